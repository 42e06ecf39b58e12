#include "gocore/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "gocore/triage.h"
#include "report/tables.h"

/* page_html, page_css and page_js: src/report/page/, made into arrays by the Makefile. */
#include "report/page.inc"

struct gc_report *gc_report_new(void)
{
	return calloc(1, sizeof(struct gc_report));
}

void gc_report_free(struct gc_report *r)
{
	if (!r)
		return;
	gc_intern_deinit(&r->identities);
	gc_intern_deinit(&r->texts);
	gc_intern_deinit(&r->values);
	gc_intern_deinit(&r->stacks);
	gc_intern_deinit(&r->skipped);
	gc_intern_deinit(&r->goroutine_groups);
	gc_intern_deinit(&r->register_names);
	free(r->with_registers);
	gc_buf_deinit(&r->rows);
	free(r);
}

size_t gc_report_cores(const struct gc_report *report)
{
	return report->cores;
}

/** A core is the same if its identity is; a line without one is a core of its own. */
static bool is_duplicate(struct gc_report *r, const json_t *line)
{
	struct gc_buf identity = GC_BUF_INIT;
	size_t index = 0, before = r->identities.count;
	bool known = gc_triage_identity(line, &identity);
	struct gc_error err;

	if (known && (identity.failed ||
		      gc_intern(&r->identities, gc_buf_text(&identity), identity.len, &index, &err) != GC_OK))
		r->failed = true;
	gc_buf_deinit(&identity);
	return known && !r->failed && index < before;
}

enum gc_code gc_report_add(struct gc_report *r, const json_t *line, struct gc_error *err)
{
	if (is_duplicate(r, line))
		r->duplicates++;
	else if (!r->failed && json_is_string(json_object_get(line, "core")))
		gc_report_add_row(r, line);
	return r->failed ? gc_fail_memory(err) : GC_OK;
}

/* Writing. */

/** A table of texts as a JSON array of strings. */
static void write_texts(const struct gc_intern *set, FILE *out)
{
	fputc('[', out);
	for (size_t i = 0; i < set->count; i++) {
		struct gc_buf text = GC_BUF_INIT;
		size_t len;
		const char *bytes = gc_intern_bytes(set, i, &len);
		json_t *value = json_stringn(bytes, len);

		gc_report_json(&text, value);
		fprintf(out, "%s%s", i ? "," : "", text.len ? gc_buf_text(&text) : "\"\"");
		json_decref(value);
		gc_buf_deinit(&text);
	}
	fputc(']', out);
}

/** A table whose keys are JSON. */
static void write_lists(const struct gc_intern *set, FILE *out)
{
	fputc('[', out);
	for (size_t i = 0; i < set->count; i++) {
		size_t len;
		const char *bytes = gc_intern_bytes(set, i, &len);

		fprintf(out, "%s%.*s", i ? ",\n" : "", (int)len, bytes);
	}
	fputc(']', out);
}

static void write_data(const struct gc_report *r, size_t unreadable, const char *made, FILE *out)
{
	const struct {
		const char *name;
		const struct gc_intern *set;
	} lists[] = {
		{ "stacks", &r->stacks },
		{ "skipped", &r->skipped },
		{ "goroutine_groups", &r->goroutine_groups },
		{ "register_names", &r->register_names },
	};
	struct gc_buf names = GC_BUF_INIT;

	gc_report_columns(&names);
	fprintf(out, "{\"version\":\"" PACKAGE_VERSION "\",\"made\":\"%s\",\"duplicates\":%zu,\"unreadable\":%zu", made,
		r->duplicates, unreadable);
	fprintf(out, ",\n\"columns\":%s,\n\"texts\":", gc_buf_text(&names));
	write_texts(&r->texts, out);
	fputs(",\n\"values\":", out);
	write_texts(&r->values, out);
	for (size_t i = 0; i < GC_COUNT(lists); i++) {
		fprintf(out, ",\n\"%s\":", lists[i].name);
		write_lists(lists[i].set, out);
	}
	fprintf(out, ",\n\"cores\":[%s]}", gc_buf_text(&r->rows));
	gc_buf_deinit(&names);
}

/** What stands in the page for something else. */
static const char *const marks[] = { "@CSS@", "@DATA@", "@JS@" };

enum gc_code gc_report_write(const struct gc_report *r, size_t unreadable, const char *made, FILE *out,
			     struct gc_error *err)
{
	const char *from = (const char *)page_html;

	for (size_t i = 0; i < GC_COUNT(marks); i++) {
		const char *mark = strstr(from, marks[i]);

		fwrite(from, 1, (size_t)(mark - from), out);
		if (i == 0)
			fputs((const char *)page_css, out);
		else if (i == 1)
			write_data(r, unreadable, made, out);
		else
			fputs((const char *)page_js, out);
		from = mark + strlen(marks[i]);
	}
	fputs(from, out);
	if (fflush(out) != 0 || ferror(out))
		return gc_fail_errno(err, errno, "cannot be written");
	return GC_OK;
}
