/* Folded stacks: "root;...;leaf COUNT" a line, as flamegraph.pl, speedscope and inferno read them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document/text.h"

#include "snapshot/goroutines_private.h"

/* Lines */

/** A semicolon ends a frame and a control character might end a line: both as \x3b. */
static void put_name(struct gc_buf *line, const char *name)
{
	struct gc_buf clean = GC_BUF_INIT;

	gc_text_str(&clean, name);
	for (const char *p = gc_buf_text(&clean); *p; p++) {
		if (*p == ';')
			gc_buf_str(line, "\\x3b");
		else
			gc_buf_char(line, *p);
	}
	line->failed |= clean.failed;
	gc_buf_deinit(&clean);
}

static void put_frame(struct gc_buf *line, const struct gc_frame *frame)
{
	if (frame->function && *frame->function)
		put_name(line, frame->function);
	else
		put_hex(line, frame->pc);
}

enum gc_code folded_add(struct folded *folded, const char *state, const struct gc_frame *frames, size_t nframes,
			size_t count, struct gc_error *err)
{
	struct gc_buf line = GC_BUF_INIT;
	enum gc_code code = GC_OK;
	size_t index;

	if (state)
		gc_buf_printf(&line, "[%s]", state);
	for (size_t i = nframes; i-- > 0; ) {
		if (line.len)
			gc_buf_char(&line, ';');
		put_frame(&line, &frames[i]);
	}
	if (!line.len)
		gc_buf_str(&line, "[no stack]");
	if (line.failed)
		code = gc_fail_memory(err);
	if (code == GC_OK)
		code = gc_intern(&folded->lines, line.data, line.len, &index, err);
	if (code == GC_OK && !gc_intern_room(&folded->counts, &folded->cap, index, sizeof(*folded->counts)))
		code = gc_fail_memory(err);
	if (code == GC_OK)
		folded->counts[index] += count;
	gc_buf_deinit(&line);
	return code;
}

struct row {
	const char *line;
	size_t len, count;
};

static int by_text(const void *left, const void *right)
{
	const struct row *a = left, *b = right;
	int order = memcmp(a->line, b->line, a->len < b->len ? a->len : b->len);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_count(const void *left, const void *right)
{
	const struct row *a = left, *b = right;

	return a->count == b->count ? by_text(a, b) : a->count < b->count ? 1 : -1;
}

enum gc_code folded_write(const struct folded *folded, bool largest, struct gc_buf *out, struct gc_error *err)
{
	size_t n = folded->lines.count;
	struct row *rows = calloc(n + 1, sizeof(*rows));

	if (!rows)
		return gc_fail_memory(err);
	for (size_t i = 0; i < n; i++) {
		rows[i].line = gc_intern_bytes(&folded->lines, i, &rows[i].len);
		rows[i].count = folded->counts[i];
	}
	qsort(rows, n, sizeof(*rows), largest ? by_count : by_text);
	for (size_t i = 0; i < n; i++) {
		gc_buf_add(out, rows[i].line, rows[i].len);
		gc_buf_printf(out, " %zu\n", rows[i].count);
	}
	free(rows);
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

void folded_deinit(struct folded *folded)
{
	gc_intern_deinit(&folded->lines);
	free(folded->counts);
	*folded = (struct folded){ .counts = NULL };
}

/* Goroutines */

struct folded_writer {
	struct goroutine_groups groups; /* since equal pcs need to be spelled out only once */
	struct folded folded;
};

static enum gc_code begin(void *writer, struct goroutines *g, struct gc_error *err)
{
	(void)writer;
	(void)g;
	(void)err;
	return GC_OK;
}

static enum gc_code add(void *writer, struct goroutines *g, const struct goroutine_view *view, struct gc_error *err)
{
	struct folded_writer *w = writer;

	return goroutine_groups_add(&w->groups, view, g->options->group, err);
}

static enum gc_code end(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct folded_writer *w = writer;
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < w->groups.count && code == GC_OK; i++) {
		const struct goroutine_group *group = &w->groups.list[i];

		code = folded_add(&w->folded, g->options->group ? goroutine_state(group->first.g) : NULL,
				  group->first.frames, group->first.nframes, group->count, err);
	}
	return code == GC_OK ? folded_write(&w->folded, g->options->group, &g->out, err) : code;
}

static void deinit(void *writer)
{
	struct folded_writer *w = writer;

	goroutine_groups_deinit(&w->groups);
	folded_deinit(&w->folded);
}

const struct goroutines_writer goroutines_folded = { begin, add, end, deinit, sizeof(struct folded_writer) };
