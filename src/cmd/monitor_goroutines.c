/* monitor goroutines [GOID|-group] */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/monitor.h"
#include "document/text.h"
#include "gocore/go_target.h"
#include "gocore/goroutines.h"

/** "G17 [chan receive, 3 minutes] main.worker" */
static void add_line(struct gc_go *go, const struct gc_goroutine *g, struct gc_buf *out)
{
	const char *function = gc_go_entry_function(go, g);
	gc_tid tid = gc_go_tid(go, g);

	gc_buf_printf(out, "G%" PRIu64 " [", g->goid);
	gc_go_describe(go, g, out);
	gc_buf_str(out, "] ");
	gc_text_str(out, function ? function : "?");
	if (tid)
		gc_buf_printf(out, " (thread %" PRId64 ")", tid);
	gc_buf_char(out, '\n');
}

static void add_list(struct gc_go *go, struct gc_buf *out)
{
	size_t count;
	const struct gc_goroutine *list = gc_go_goroutines(go, &count);

	for (size_t i = 0; i < count && !out->failed; i++)
		add_line(go, &list[i], out);
}

/* One of them */

static void add_frame(const struct gc_frame *frame, size_t number, struct gc_buf *out)
{
	gc_buf_printf(out, "#%-3zu ", number);
	gc_text_str(out, frame->function ? frame->function : "?");
	if (frame->file) {
		gc_buf_str(out, " at ");
		gc_text_str(out, frame->file);
		gc_buf_printf(out, ":%" PRIu32, frame->line);
	} else {
		gc_buf_printf(out, " at 0x%" PRIx64, frame->pc);
	}
	gc_buf_str(out, frame->inlined ? " (inlined)\n" : "\n");
}

static void add_creator(struct gc_go *go, const struct gc_goroutine *g, struct gc_buf *out)
{
	struct gc_frame creator;

	if (!gc_go_created_by(go, g, &creator))
		return;
	gc_buf_str(out, "created by ");
	gc_text_str(out, creator.function ? creator.function : "?");
	if (creator.file) {
		gc_buf_str(out, " at ");
		gc_text_str(out, creator.file);
		gc_buf_printf(out, ":%" PRIu32, creator.line);
	}
	if (g->parent)
		gc_buf_printf(out, " in G%" PRIu64, g->parent);
	gc_buf_char(out, '\n');
}

static enum gc_code add_stack(struct gc_go *go, const struct gc_goroutine *g, struct gc_buf *out,
			      struct gc_error *err)
{
	struct gc_frames frames = { .list = NULL };
	struct gc_go_stack_end end = { .how = GC_GO_END };
	enum gc_code code = gc_go_goroutine_stack(go, g, &frames, &end, err);

	add_line(go, g, out);
	for (size_t i = 0; i < frames.count; i++)
		add_frame(&frames.list[i], i, out);
	gc_frames_deinit(&frames);
	if (code != GC_OK)
		return code;
	if (end.how == GC_GO_DAMAGED)
		gc_buf_printf(out, "the stack ends early: %s\n", end.why.text);
	add_creator(go, g, out);
	return GC_OK;
}

static enum gc_code add_one(struct gc_go *go, const char *args, struct gc_buf *out, struct gc_error *err)
{
	const char *number = *args == 'G' || *args == 'g' ? args + 1 : args;
	const struct gc_goroutine *g;
	uint64_t goid;
	char *end;

	errno = 0;
	goid = strtoull(number, &end, 10);
	if (*number < '0' || *number > '9' || *end || errno)
		return gc_fail(err, GC_E_USAGE, "%s: give a goroutine's number, or -group", args);
	g = gc_go_goroutine_by_id(go, goid);
	if (!g)
		return gc_fail(err, GC_E_NOT_FOUND, "there is no goroutine %" PRIu64, goid);
	return add_stack(go, g, out, err);
}

static bool append(void *data, const void *bytes, size_t len)
{
	gc_buf_add(data, bytes, len);
	return !((struct gc_buf *)data)->failed;
}

static enum gc_code add_groups(const struct gc_process *p, struct gc_buf *out, struct gc_error *err)
{
	const struct gc_goroutines_options grouped = { .format = GC_GOROUTINES_TEXT, .group = true };

	return gc_goroutines_write(p, &grouped, append, out, NULL, err);
}

enum gc_code monitor_goroutines(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err)
{
	struct gc_go *go = gc_go_target_go(t);

	if (!go)
		return gc_fail(err, GC_E_NOT_FOUND, "there are none: no Go program, or served with --threads=os");
	if (strcmp(args, "-group") == 0)
		return add_groups(t->process, out, err);
	if (*args)
		return add_one(go, args, out, err);
	add_list(go, out);
	return GC_OK;
}
