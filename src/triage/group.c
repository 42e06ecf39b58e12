/* Lines that have the same signature, joined. */
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "document/doc.h"
#include "gocore/triage.h"

/* Of each kind of value that a group collects; a page of architectures or versions says no more. */
#define MAX_VALUES 32

struct group {
	size_t count, order;
	json_t *signature;      /* of the first line */
	json_t *program, *example, *signal, *function;
	json_t *first, *last;   /* times; as text they sort by time */
	json_t *arches, *versions; /* objects: value to count */
};

struct gc_triage_groups {
	enum gc_triage_by by;
	struct gc_intern seen, keys;
	struct group *list;
	size_t count, cap;
	size_t lines, failed, duplicates;
	struct gc_buf text;
};

struct gc_triage_groups *gc_triage_groups_new(enum gc_triage_by by)
{
	struct gc_triage_groups *groups = calloc(1, sizeof(*groups));

	if (groups)
		groups->by = by;
	return groups;
}

void gc_triage_groups_free(struct gc_triage_groups *groups)
{
	if (!groups)
		return;
	for (size_t i = 0; i < groups->count; i++) {
		struct group *g = &groups->list[i];
		json_t *const values[] = { g->signature, g->program, g->example, g->signal, g->function,
					   g->first, g->last, g->arches, g->versions };

		for (size_t v = 0; v < GC_COUNT(values); v++)
			json_decref(values[v]);
	}
	free(groups->list);
	gc_intern_deinit(&groups->seen);
	gc_intern_deinit(&groups->keys);
	gc_buf_deinit(&groups->text);
	free(groups);
}

static const char *base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash && slash[1] ? slash + 1 : path;
}

static const char *string_at(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* Keys. */

static const char *const key_names[] = {
	[GC_TRIAGE_BY_TOP] = "top", [GC_TRIAGE_BY_EXACT] = "exact", [GC_TRIAGE_BY_SITE] = "site",
};

/** What all lines of a group share. Names alone may mean another thing in another program. */
static void write_key(struct gc_triage_groups *groups, const json_t *line)
{
	const json_t *signature = json_object_get(line, "signature"), *error = json_object_get(line, "error");
	const char *program = base_name(string_at(line, "program"));
	const char *value = string_at(signature, key_names[groups->by]);

	gc_buf_clear(&groups->text);
	if (error) { /* the reason alone: addresses and names in the text would keep them apart */
		gc_buf_printf(&groups->text, "failed\n%s", string_at(error, "kind") ? string_at(error, "kind") : "");
		return;
	}
	gc_buf_printf(&groups->text, "%s\n%s", program && groups->by == GC_TRIAGE_BY_TOP ? program : "",
		      value ? value : string_at(signature, "site") ? string_at(signature, "site") : "");
}

/* Values. */

static void keep(json_t **to, json_t *value)
{
	if (!*to)
		*to = json_incref(value);
}

static void keep_time(struct group *g, json_t *time)
{
	const char *text = json_string_value(time);

	if (!text)
		return;
	if (!g->first || strcmp(text, json_string_value(g->first)) < 0) {
		json_decref(g->first);
		g->first = json_incref(time);
	}
	if (!g->last || strcmp(text, json_string_value(g->last)) > 0) {
		json_decref(g->last);
		g->last = json_incref(time);
	}
}

static bool count_value(json_t *values, const char *value)
{
	json_int_t n = json_integer_value(json_object_get(values, value));

	if (!value || (!n && json_object_size(values) >= MAX_VALUES))
		return true;
	return json_object_set_new(values, value, json_integer(n + 1)) == 0;
}

/** What tells one release of a program from the next. */
static const char *version_of(const json_t *line)
{
	const json_t *go = json_object_get(line, "go");
	const char *version = string_at(go, "module_version");

	if (version && strcmp(version, "(devel)") != 0)
		return version;
	return string_at(line, "build_id") ? string_at(line, "build_id") : string_at(go, "version");
}

static enum gc_code add_values(struct group *g, json_t *line, struct gc_error *err)
{
	if (!g->arches)
		g->arches = json_object();
	if (!g->versions)
		g->versions = json_object();
	keep(&g->signature, json_object_get(line, "signature"));
	keep(&g->program, json_object_get(line, "program"));
	keep(&g->example, json_object_get(line, "core"));
	keep(&g->signal, json_object_get(json_object_get(line, "signal"), "name"));
	keep(&g->function, json_object_get(json_object_get(line, "crashed"), "function"));
	if (json_object_get(line, "error"))
		keep(&g->function, json_object_get(json_object_get(line, "error"), "text"));
	keep_time(g, json_object_get(line, "time"));
	g->count++;
	if (!g->arches || !g->versions || !count_value(g->arches, string_at(line, "arch")) ||
	    !count_value(g->versions, version_of(line)))
		return gc_fail_memory(err);
	return GC_OK;
}

enum gc_code gc_triage_groups_add(struct gc_triage_groups *groups, json_t *line, struct gc_error *err)
{
	size_t index, before = groups->seen.count;
	enum gc_code code;

	gc_buf_clear(&groups->text);
	if (gc_triage_identity(line, &groups->text)) {
		code = gc_intern(&groups->seen, groups->text.data, groups->text.len, &index, err);
		if (code != GC_OK)
			return code;
		if (index != before) {
			groups->duplicates++;
			return GC_OK;
		}
	}
	groups->lines++;
	groups->failed += json_object_get(line, "error") != NULL;
	write_key(groups, line);
	if (groups->text.failed)
		return gc_fail_memory(err);
	code = gc_intern(&groups->keys, groups->text.data, groups->text.len, &index, err);
	if (code != GC_OK)
		return code;
	if (index == groups->count) {
		if (!gc_intern_room(&groups->list, &groups->cap, index, sizeof(*groups->list)))
			return gc_fail_memory(err);
		groups->list[groups->count++] = (struct group){ .order = index };
	}
	return add_values(&groups->list[index], line, err);
}

/* The document. */

static int by_size(const void *left, const void *right)
{
	const struct group *const *a = left, *const *b = right;

	if ((*a)->count != (*b)->count)
		return (*a)->count < (*b)->count ? 1 : -1;
	return (*a)->order < (*b)->order ? -1 : (*a)->order > (*b)->order;
}

static void set_kept(struct gc_doc *d, json_t *object, const char *key, json_t *value)
{
	if (value)
		gc_doc_set(d, object, key, json_incref(value));
}

static json_t *group_of(struct gc_doc *d, const struct group *g)
{
	json_t *object = gc_doc_object(d);

	gc_doc_size(d, object, "count", g->count);
	set_kept(d, object, "program", g->program);
	set_kept(d, object, "signal", g->signal);
	set_kept(d, object, g->signature ? "function" : "error", g->function);
	set_kept(d, object, "signature", g->signature);
	set_kept(d, object, "example", g->example);
	set_kept(d, object, "first", g->first);
	set_kept(d, object, "last", g->last);
	set_kept(d, object, "architectures", g->arches);
	set_kept(d, object, "versions", g->versions);
	return object;
}

json_t *gc_triage_groups_document(const struct gc_triage_groups *groups)
{
	struct gc_doc d = { .p = NULL };
	json_t *root = gc_doc_begin(&d, "triage-groups", NULL, NULL, NULL), *array = gc_doc_array(&d);
	const struct group **sorted = calloc(groups->count + 1, sizeof(*sorted));

	gc_doc_str(&d, root, "by", key_names[groups->by]);
	gc_doc_size(&d, root, "cores", groups->lines);
	gc_doc_size(&d, root, "failed", groups->failed);
	gc_doc_size(&d, root, "duplicates", groups->duplicates);
	d.failed |= !sorted;
	for (size_t i = 0; sorted && i < groups->count; i++)
		sorted[i] = &groups->list[i];
	if (sorted && groups->count)
		qsort(sorted, groups->count, sizeof(*sorted), by_size);
	for (size_t i = 0; sorted && i < groups->count; i++)
		gc_doc_append(&d, array, group_of(&d, sorted[i]));
	gc_doc_set(&d, root, "groups", array);
	free(sorted);
	return gc_doc_end(&d, root);
}

/* The text. */

/* Columns of a terminal, and those before a value. */
#define LINE   80
#define INDENT 16

static void write_values(struct gc_buf *out, const char *label, json_t *values, size_t len)
{
	const char *value, *between = "";
	json_t *count;

	if (!json_object_size(values))
		return;
	gc_buf_printf(out, "      %-9s ", label);
	json_object_foreach(values, value, count) {
		gc_buf_printf(out, "%s%.*s", between, (int)len, value);
		if (json_object_size(values) > 1)
			gc_buf_printf(out, " (%" JSON_INTEGER_FORMAT ")", json_integer_value(count));
		between = ", ";
	}
	gc_buf_char(out, '\n');
}

static void write_line(struct gc_buf *out, const char *label, const char *text)
{
	if (text)
		gc_buf_printf(out, "      %-9s %s\n", label, text);
}

/** Names of functions: on one line, or each on its own if that would be too long. */
static void write_stack(struct gc_buf *out, const char *label, const char *text)
{
	const bool wide = strlen(text) > LINE - INDENT;

	gc_buf_printf(out, "      %-9s ", label);
	for (const char *p = text; *p; p++) {
		if (wide && strncmp(p, " < ", 3) == 0)
			gc_buf_printf(out, "\n%*s", INDENT - 1, "");
		gc_buf_char(out, *p);
	}
	gc_buf_char(out, '\n');
}

/** @param by what all cores of the group share; of the rest the first one's is no news */
static void write_group(struct gc_buf *out, const json_t *g, const char *by)
{
	const json_t *signature = json_object_get(g, "signature");
	const char *program = base_name(string_at(g, "program")), *signal = string_at(g, "signal");
	const char *between = program && signal ? " " : "";
	const char *first = string_at(g, "first"), *last = string_at(g, "last");
	const char *what = string_at(signature, "top");

	if (!what)
		what = string_at(signature, "site");
	if (!what)
		what = string_at(g, "error");
	gc_buf_printf(out, "%5" JSON_INTEGER_FORMAT " %s%s%s%s\n", json_integer_value(json_object_get(g, "count")),
		      signature ? "" : "FAILED", program ? program : "", between, signal ? signal : "");
	if (what)
		write_stack(out, signature ? "stack" : "reason", what);
	if (by && strcmp(by, "top") != 0)
		write_line(out, by, string_at(signature, by));
	write_line(out, "example", string_at(g, "example"));
	if (first && last && strcmp(first, last) != 0)
		gc_buf_printf(out, "      %-9s %s to %s\n", "time", first, last);
	else
		write_line(out, "time", first);
	write_values(out, "arch", json_object_get(g, "architectures"), 64);
	write_values(out, "versions", json_object_get(g, "versions"), 12);
}

void gc_triage_groups_text(const json_t *document, struct gc_buf *out)
{
	const json_t *groups = json_object_get(document, "groups");
	json_int_t failed = json_integer_value(json_object_get(document, "failed"));
	json_int_t duplicates = json_integer_value(json_object_get(document, "duplicates"));
	size_t index;
	json_t *g;

	json_int_t cores = json_integer_value(json_object_get(document, "cores"));

	gc_buf_printf(out, "%" JSON_INTEGER_FORMAT " core%s in %zu group%s", cores, cores == 1 ? "" : "s",
		      json_array_size(groups), json_array_size(groups) == 1 ? "" : "s");
	if (failed)
		gc_buf_printf(out, ", %" JSON_INTEGER_FORMAT " failed", failed);
	if (duplicates)
		gc_buf_printf(out, ", %" JSON_INTEGER_FORMAT " line%s of the same cores dropped", duplicates,
			      duplicates == 1 ? "" : "s");
	gc_buf_char(out, '\n');
	json_array_foreach(groups, index, g) {
		gc_buf_char(out, '\n');
		write_group(out, g, string_at(document, "by"));
	}
	if (out->data)
		gc_defuse(out->data);
}
