/* monitor goroutines [GOID|-group] */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/monitor.h"
#include "document/text.h"
#include "gocore/go_target.h"
#include "gocore/goroutines.h"
#include "gocore/lines.h"
#include "gocore/symbols.h"
#include "gocore/unwind.h"

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

static const struct gc_thread *thread_of(const struct gc_core *core, gc_tid tid)
{
	for (size_t i = 0; tid && i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return NULL;
}

/** From its thread's registers if it runs on one, else from where it was left; C and Go in one list. */
static enum gc_code unwind(const struct gc_process *p, struct gc_unwinder *u, struct gc_go *go,
			   const struct gc_goroutine *g, struct gc_frames *frames, struct gc_stack_end *end,
			   struct gc_error *err)
{
	const struct gc_thread *thread = thread_of(&p->core, gc_go_tid(go, g));
	struct gc_go_state state;
	struct gc_regs regs;
	enum gc_code code;

	if (!thread && gc_go_from_goroutine(go, g, &state))
		return gc_unwind_go(u, &state, frames, end, err);
	if (!thread)
		return gc_fail(err, GC_E_NOT_FOUND, "it runs on a thread that is not in the core");
	code = gc_core_regs(&p->core, thread, &p->regmap, &regs, NULL, err);
	if (code != GC_OK)
		return code;
	code = gc_unwind_thread(u, &regs, thread->tid, frames, end, err);
	gc_regs_deinit(&regs);
	return code;
}

static enum gc_code add_frames(const struct gc_process *p, struct gc_unwinder *u, struct gc_go *go,
			       const struct gc_goroutine *g, struct gc_buf *out, struct gc_error *err)
{
	struct gc_frames frames = { .list = NULL };
	struct gc_stack_end end = { .kind = GC_STACK_COMPLETE };
	enum gc_code code = unwind(p, u, go, g, &frames, &end, err);

	for (size_t i = 0; i < frames.count; i++)
		add_frame(&frames.list[i], i, out);
	if (code == GC_OK && end.kind != GC_STACK_COMPLETE)
		gc_buf_printf(out, "the stack ends early: %s\n", end.why.text);
	gc_frames_deinit(&frames);
	return code;
}

static enum gc_code add_stack(const struct gc_process *p, struct gc_go *go, const struct gc_goroutine *g,
			      struct gc_buf *out, struct gc_error *err)
{
	struct gc_symbols *symbols = NULL;
	struct gc_process_lines *lines = NULL;
	struct gc_unwinder *unwinder = NULL;
	enum gc_code code = gc_symbols_new(&symbols, p, NULL, NULL, err);

	if (code == GC_OK)
		code = gc_process_lines_new(&lines, p, symbols, NULL, NULL, err);
	if (code == GC_OK)
		code = gc_unwinder_new(&unwinder, p, symbols, go, NULL, err);
	if (code == GC_OK) {
		gc_unwinder_set_lines(unwinder, gc_process_lines_frames, gc_process_lines_tail_calls, lines);
		add_line(go, g, out);
		code = add_frames(p, unwinder, go, g, out, err);
	}
	if (code == GC_OK)
		add_creator(go, g, out);
	gc_unwinder_free(unwinder);
	gc_process_lines_free(lines);
	gc_symbols_free(symbols);
	return code;
}

static enum gc_code add_one(const struct gc_process *p, struct gc_go *go, const char *args, struct gc_buf *out,
			    struct gc_error *err)
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
	return add_stack(p, go, g, out, err);
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
		return add_one(t->process, go, args, out, err);
	add_list(go, out);
	return GC_OK;
}
