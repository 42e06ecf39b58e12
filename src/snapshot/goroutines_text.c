/*
 * Goroutines as the runtime itself prints them (runtime/traceback.go) with
 * GOTRACEBACK=crash, for the tools that read that. Arguments are unknown, so
 * each call has the "(...)" that the runtime prints for inlined ones. A frame
 * without a name has its address instead, and "??:0" for its line.
 */
#include <inttypes.h>
#include <string.h>

#include "document/text.h"

#include "snapshot/goroutines_private.h"

#define MAX_GOIDS 20 /* of a group, in its heading */

struct text_writer {
	int minor; /* of Go 1.N */
	struct goroutine_groups groups;
};

/* Frames */

/** Nothing but printable text, on one line. */
static void put_name(struct gc_buf *out, const char *name)
{
	gc_text_str(out, name && *name ? name : "??");
}

/** What the runtime calls by which names while it prints and dies: never part of what it prints. */
static bool is_dying(const char *function, bool *sure)
{
	static const char *const names[] = {
		"raise", "dieFromSignal", "crash", "sighandler", "fatalpanic", "fatalpanic.func1",
		"fatalpanic.func2", "fatalthrow", "fatalthrow.func1", "dopanic_m", "sigfwdgo", "sigtrampgo",
		"sigtramp", "tgkill",
	};
	static const char *const also[] = {
		"systemstack", "systemstack_switch", "usleep", "osyield", "cgoSigtramp", "gsignal", "exit",
		"raiseproc", "badsignal", "adjustSignalStack",
	};

	if (!function || strncmp(function, "runtime.", 8) != 0)
		return false;
	for (size_t i = 0; i < GC_COUNT(names); i++) {
		if (strcmp(function + 8, names[i]) == 0) {
			*sure = true;
			return true;
		}
	}
	for (size_t i = 0; i < GC_COUNT(also); i++)
		if (strcmp(function + 8, also[i]) == 0)
			return true;
	return false;
}

/** How many frames lie above the one at which the runtime began to print. */
static size_t dying_frames(const struct goroutine_view *view)
{
	size_t n = 0;
	bool sure = false;

	while (n < view->nframes && is_dying(view->frames[n].function, &sure))
		n++;
	return sure && n < view->nframes ? n : 0;
}

static void put_offset(struct gc_buf *out, const struct gc_frame *frame)
{
	if (!frame->entry || frame->pc <= frame->entry)
		return;
	gc_buf_str(out, " +");
	put_hex(out, frame->pc - frame->entry);
}

/** @param same without the addresses of one stack */
static void put_frame(struct gc_buf *out, const struct gc_frame *frame, bool same)
{
	if (frame->function && *frame->function)
		put_name(out, frame->function);
	else
		put_hex(out, frame->pc);
	gc_buf_str(out, "(...)\n\t");
	put_name(out, frame->file);
	gc_buf_char(out, ':');
	put_uint(out, frame->line);
	if (!frame->inlined)
		put_offset(out, frame);
	if (!frame->inlined && !same && frame->cfa) {
		gc_buf_str(out, " fp=");
		put_hex(out, frame->cfa);
		gc_buf_str(out, " sp=");
		put_hex(out, frame->sp);
		gc_buf_str(out, " pc=");
		put_hex(out, frame->pc);
	}
	gc_buf_char(out, '\n');
}

static bool is_runtime(const struct gc_frame *frame, const char *name)
{
	return frame->function && strncmp(frame->function, "runtime.", 8) == 0 &&
	       strcmp(frame->function + 8, name) == 0;
}

/** How many frames are of the thread's own stack, on which the runtime gave up: it prints them apart (dopanic_m). */
static size_t runtime_frames(const struct goroutine_view *view)
{
	bool thrown = false;

	for (size_t i = 0; i + 1 < view->nframes; i++) {
		if (is_runtime(&view->frames[i], "morestack") ||
		    (is_runtime(&view->frames[i], "systemstack") &&
		     is_runtime(&view->frames[i + 1], "systemstack_switch")))
			return thrown ? i + 1 : 0;
		thrown |= is_runtime(&view->frames[i], "throw") || is_runtime(&view->frames[i], "fatal");
	}
	return 0;
}

static void put_runtime_stack(struct goroutines *g, const struct goroutine_view *view, size_t count)
{
	if (!count)
		return;
	gc_buf_str(&g->out, "runtime stack:\n");
	for (size_t i = dying_frames(view); i < count; i++)
		put_frame(&g->out, &view->frames[i], false);
	gc_buf_char(&g->out, '\n');
}

/** That of the thread which gave up, if it ran no goroutine: the scheduler found that all of them wait. */
static void put_idle_stack(struct goroutines *g)
{
	const struct gc_go_m *m = gc_go_m_of_thread(g->go, g->panics.fatal_tid);
	struct gc_frames frames = { .list = NULL };

	if (g->panics.fatal && m && !m->curg &&
	    gc_go_thread_stack(g->go, g->panics.fatal_tid, &frames, NULL) == GC_OK) {
		const struct goroutine_view view = { .frames = frames.list, .nframes = frames.count };

		put_runtime_stack(g, &view, frames.count);
	}
	gc_frames_deinit(&frames);
}

static void put_stack(struct goroutines *g, const struct goroutine_view *view, bool same)
{
	const size_t apart = same ? 0 : runtime_frames(view);
	struct gc_frame creator;

	for (size_t i = same ? 0 : apart ? apart : dying_frames(view); i < view->nframes; i++)
		put_frame(&g->out, &view->frames[i], same);
	if (!gc_go_created_by(g->go, view->g, &creator))
		return;
	gc_buf_str(&g->out, "created by ");
	put_name(&g->out, creator.function);
	if (view->g->parent && !same)
		gc_buf_printf(&g->out, " in goroutine %" PRIu64, view->g->parent);
	gc_buf_str(&g->out, "\n\t");
	put_name(&g->out, creator.file);
	gc_buf_printf(&g->out, ":%" PRIu32, creator.line);
	put_offset(&g->out, &creator);
	gc_buf_char(&g->out, '\n');
}

/* Headings */

/** Since Go 1.22: "gp=0xc000002380 m=0 mp=0x59c540" (goroutineheader) */
static void put_addresses(struct goroutines *g, const struct gc_goroutine *goroutine)
{
	size_t count;
	const struct gc_go_m *ms = gc_go_ms(g->go, &count);

	gc_buf_str(&g->out, " gp=");
	put_hex(&g->out, goroutine->addr);
	if (goroutine->m && goroutine->m <= count) {
		const struct gc_go_m *m = &ms[goroutine->m - 1];

		gc_buf_printf(&g->out, " m=%" PRId64 " mp=", m->id);
		put_hex(&g->out, m->addr);
	} else {
		gc_buf_str(&g->out, " m=nil");
	}
}

static enum gc_code add_text(void *writer, struct goroutines *g, const struct goroutine_view *view,
			     struct gc_error *err)
{
	const struct text_writer *w = writer;

	(void)err;
	put_runtime_stack(g, view, runtime_frames(view));
	gc_buf_str(&g->out, "goroutine ");
	put_uint(&g->out, view->g->goid);
	if (w->minor >= 22)
		put_addresses(g, view->g);
	gc_buf_str(&g->out, " [");
	gc_go_describe(g->go, view->g, &g->out);
	gc_buf_str(&g->out, "]:\n");
	put_stack(g, view, false);
	gc_buf_char(&g->out, '\n');
	return GC_OK;
}

/** Since Go 1.23 what follows the first line is indented (printindented of runtime/panic.go). */
static void put_message(struct gc_buf *out, const char *text, int minor)
{
	struct gc_buf line = GC_BUF_INIT;
	const char *end;

	for (; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		gc_buf_clear(&line);
		gc_buf_add(&line, text, (size_t)(end - text));
		gc_text_str(out, gc_buf_text(&line));
		gc_buf_str(out, minor >= 23 ? "\n\t" : "\n");
	}
	gc_text_str(out, text);
	out->failed |= line.failed;
	gc_buf_deinit(&line);
}

static void put_panic(struct gc_buf *out, const struct gc_go_panic *panic, bool first, int minor)
{
	if (panic->goexit)
		return;
	gc_buf_str(out, first ? "panic: " : "\tpanic: ");
	if (panic->text) {
		put_message(out, panic->text, minor);
	} else {
		gc_buf_char(out, '(');
		put_name(out, panic->type);
		gc_buf_char(out, ')');
	}
	if (panic->repanicked)
		gc_buf_str(out, " [recovered, repanicked]\n");
	else
		gc_buf_str(out, panic->recovered ? " [recovered]\n" : "\n");
}

/** The signals that become panics, with the names of runtime/sigtab_linux_generic.go. */
static void put_signal(struct gc_buf *out, const struct gc_goroutine *g)
{
	static const struct {
		uint32_t number;
		const char *name;
	} names[] = {
		{ 7, "SIGBUS: bus error" },
		{ 8, "SIGFPE: floating-point exception" },
		{ 11, "SIGSEGV: segmentation violation" },
	};

	gc_buf_str(out, "[signal ");
	for (size_t i = 0; i <= GC_COUNT(names); i++) {
		if (i == GC_COUNT(names))
			put_hex(out, g->signal);
		else if (names[i].number == g->signal) {
			gc_buf_str(out, names[i].name);
			break;
		}
	}
	gc_buf_printf(out, " code=0x%" PRIx64 " addr=0x%" PRIx64 " pc=0x%" PRIx64 "]\n", g->sig_code, g->sig_addr,
		      g->sig_pc);
}

/** newstack of runtime/stack.go */
static void put_stack_limit(struct goroutines *g)
{
	if (!g->panics.stack_limit || !g->crashed)
		return;
	gc_buf_printf(&g->out, "runtime: goroutine stack exceeds %" PRIu64 "-byte limit\n", g->panics.stack_limit);
	gc_buf_printf(&g->out, "runtime: sp=0x%" PRIx64 " stack=[0x%" PRIx64 ", 0x%" PRIx64 "]\n",
		      g->panics.stack_sp, g->crashed->stack_lo, g->crashed->stack_hi);
}

/** Why it died, before the goroutines; the order of fatalpanic, fatalthrow and dopanic_m. */
static enum gc_code begin_text(void *writer, struct goroutines *g, struct gc_error *err)
{
	const struct gc_go_panics *panics = &g->panics;
	const struct gc_buildinfo *info = gc_go_buildinfo(g->go);
	struct text_writer *w = writer;
	size_t before = g->out.len;

	(void)err;
	w->minor = info ? gc_go_minor(info->version) : 0;
	for (size_t i = 0; i < panics->count && !panics->unsaid; i++)
		if (i == 0 || !panics->list[i - 1].repanicked) /* printpanics prints it once */
			put_panic(&g->out, &panics->list[i], i == 0 || panics->list[i - 1].goexit, w->minor);
	put_stack_limit(g);
	if (panics->fatal) {
		gc_buf_str(&g->out, "fatal error: ");
		put_message(&g->out, panics->fatal, w->minor);
		gc_buf_char(&g->out, '\n');
	}
	if (g->out.len > before && g->crashed && g->crashed->signal)
		put_signal(&g->out, g->crashed);
	if (g->out.len > before)
		gc_buf_char(&g->out, '\n');
	put_idle_stack(g);
	return GC_OK;
}

static enum gc_code end_text(void *writer, struct goroutines *g, struct gc_error *err)
{
	(void)writer;
	(void)g;
	(void)err;
	return GC_OK;
}

/* Groups */

static enum gc_code add_to_group(void *writer, struct goroutines *g, const struct goroutine_view *view,
				 struct gc_error *err)
{
	struct text_writer *w = writer;

	(void)g;
	return goroutine_groups_add(&w->groups, view, true, err);
}

static void put_goids(struct gc_buf *out, const struct gc_buf *goids)
{
	size_t count = goids->len / sizeof(uint64_t);

	for (size_t i = 0; i < count && i < MAX_GOIDS; i++) {
		uint64_t goid;

		memcpy(&goid, goids->data + i * sizeof(goid), sizeof(goid));
		gc_buf_printf(out, " %" PRIu64, goid);
	}
	if (count > MAX_GOIDS)
		gc_buf_str(out, " ...");
}

/** "12 goroutines [chan receive, 3 to 5 minutes]: 7 8 9 ..." */
static void put_group(struct goroutines *g, const struct goroutine_group *group)
{
	struct gc_goroutine head = *group->first.g;

	head.wait_minutes = 0;
	head.scanning = false;
	head.locked_m = 0;
	gc_buf_printf(&g->out, group->count == 1 ? "%zu goroutine [" : "%zu goroutines [", group->count);
	gc_go_describe(g->go, &head, &g->out);
	if (group->max_minutes > group->min_minutes)
		gc_buf_printf(&g->out, ", %" PRIu32 " to %" PRIu32 " minutes", group->min_minutes,
			      group->max_minutes);
	else if (group->max_minutes)
		gc_buf_printf(&g->out, ", %" PRIu32 " minutes", group->max_minutes);
	gc_buf_str(&g->out, group->first.g->locked_m ? ", locked to thread]:" : "]:");
	put_goids(&g->out, &group->goids);
	gc_buf_char(&g->out, '\n');
	put_stack(g, &group->first, true);
	gc_buf_char(&g->out, '\n');
}

static enum gc_code end_groups(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct text_writer *w = writer;
	enum gc_code code = GC_OK;

	goroutine_groups_sort(&w->groups);
	for (size_t i = 0; i < w->groups.count && code == GC_OK; i++) {
		put_group(g, &w->groups.list[i]);
		code = goroutines_flush(g, err);
	}
	return code;
}

static void deinit(void *writer)
{
	struct text_writer *w = writer;

	goroutine_groups_deinit(&w->groups);
}

const struct goroutines_writer goroutines_text = {
	begin_text, add_text, end_text, deinit, sizeof(struct text_writer),
};
const struct goroutines_writer goroutines_text_groups = {
	begin_text, add_to_group, end_groups, deinit, sizeof(struct text_writer),
};
