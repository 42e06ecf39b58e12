/* What `info threads` says of goroutines and of the threads that run them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/signals.h"
#include "target/go_threads.h"

/** As much as fits, with nothing that drives a terminal. */
static void copy_text(char *to, size_t size, struct gc_buf *from)
{
	snprintf(to, size, "%s", gc_buf_text(from));
	for (; *to; to++)
		if ((unsigned char)*to < ' ' || *to == 0x7f)
			*to = '?';
	gc_buf_deinit(from);
}

/** "chan receive 3m" */
static void add_state(const struct gc_goroutine *g, const struct go_group *group, struct gc_buf *out)
{
	uint32_t least = group ? group->min_minutes : g->wait_minutes;
	uint32_t most = group ? group->max_minutes : g->wait_minutes;

	gc_buf_str(out, g->wait_reason ? g->wait_reason : gc_go_status_name((enum gc_go_status)g->status));
	if (most > least)
		gc_buf_printf(out, " %" PRIu32 "-%" PRIu32 "m", least, most);
	else if (most)
		gc_buf_printf(out, " %" PRIu32 "m", most);
}

static void add_function(const char *function, struct gc_buf *out)
{
	if (function && *function)
		gc_buf_printf(out, " %s", function);
}

/** "G17 chan receive 3m main.worker", "G17 x5000 chan receive main.worker" */
static void add_goroutine(struct go_target *t, const struct gc_goroutine *g, const struct go_group *group,
			  struct gc_buf *out)
{
	const char *function = gc_go_entry_function(t->go, g);

	gc_buf_printf(out, "G%" PRIu64 " ", g->goid);
	if (group && group->count > 1)
		gc_buf_printf(out, "x%" PRIu32 " ", group->count);
	add_state(g, group, out);
	/* the main goroutine's own function is the runtime's, which calls the program's */
	add_function(function && strcmp(function, "runtime.main") == 0 ? "main.main" : function, out);
}

/* Extra text */

static void add_part(struct gc_buf *out, const char *text)
{
	if (out->len)
		gc_buf_str(out, ", ");
	gc_buf_str(out, text);
}

/** @param tid the thread that it is shown as; 0: it is one of its own */
static void add_locked(struct go_target *t, const struct gc_goroutine *g, gc_tid tid, struct gc_buf *out)
{
	gc_tid locked = gc_go_locked_tid(t->go, g);

	if (!g->locked_m)
		return;
	if (tid && tid == locked)
		add_part(out, "locked to this thread");
	else if (locked)
		add_part(out, "locked to thread ");
	else
		add_part(out, "locked to a thread");
	if (locked && tid != locked)
		gc_buf_printf(out, "%" PRId64, locked);
}

/** pprof labels: "{request: 42}" */
static void add_labels(struct go_target *t, const struct gc_goroutine *g, struct gc_buf *out)
{
	struct gc_go_labels labels;

	if (!g->labels || gc_go_labels(t->go, g, &labels, NULL) != GC_OK)
		return;
	for (size_t i = 0; i < labels.count; i++) {
		if (i == 0)
			add_part(out, "{");
		else
			gc_buf_str(out, ", ");
		gc_buf_printf(out, "%s: %s", labels.list[i].key, labels.list[i].value);
	}
	if (labels.count)
		gc_buf_char(out, '}');
	gc_go_labels_deinit(&labels);
}

/* OS threads */

/** The function that the thread is in, if it is Go's. */
static void add_pc(struct go_target *t, const struct go_os_thread *os, struct gc_buf *out)
{
	struct gc_frames frames = { .list = NULL };
	struct gc_regs regs;
	uint64_t pc;

	if (t->inner->ops->read_regs(t->inner, os->tid, &regs, NULL) != GC_OK)
		return;
	if (gc_regs_u64(&regs, regs.map->arch->pc, &pc) &&
	    gc_go_symbolize(t->go, pc, true, &frames, NULL) == GC_OK && frames.count)
		add_function(frames.list[0].function, out);
	gc_frames_deinit(&frames);
	gc_regs_deinit(&regs);
}

static const char *place_name(enum go_place place)
{
	switch (place) {
	case GO_PLACE_SIGNAL:
		return "signal handler";
	case GO_PLACE_SYSTEM:
		return "runtime";
	case GO_PLACE_C:
		return "C";
	default:
		return "no goroutine";
	}
}

/** "M2 (no goroutine) runtime.futex", "M5 (C of G77)" */
static void add_m(struct go_target *t, const struct go_os_thread *os, struct gc_buf *out)
{
	size_t count;

	gc_buf_printf(out, "M%" PRId64 " (%s", gc_go_ms(t->go, &count)[os->m - 1].id, place_name(os->place));
	if (os->g)
		gc_buf_printf(out, " of G%" PRIu64, t->goroutines[os->g - 1].goid);
	gc_buf_char(out, ')');
	add_pc(t, os, out);
}

/** The thread that had the fault, where the kernel's record of the crash is that of another, to which Go passed it on. */
static void add_caught(struct go_target *t, const struct go_os_thread *os, struct gc_buf *out)
{
	struct gc_go_caught caught;
	char buf[16];

	if (gc_go_dying_m(t->go) && gc_go_dying_m(t->go)->tid == os->tid && gc_go_caught_read(t->go, &caught)) {
		add_part(out, "caught ");
		gc_buf_str(out, gc_signal_name(caught.info.signo, buf));
	}
}

void go_names_os(struct go_target *t, const struct go_os_thread *os, struct gc_thread_text *out)
{
	const struct gc_goroutine *g = os->place == GO_PLACE_ON ? &t->goroutines[os->g - 1] : NULL;
	struct gc_buf name = GC_BUF_INIT, extra = GC_BUF_INIT;

	if (!os->m)
		return; /* as it is without Go */
	gc_buf_str(&extra, out->extra);
	add_caught(t, os, &extra);
	if (g) {
		add_goroutine(t, g, NULL, &name);
		add_locked(t, g, os->tid, &extra);
		add_labels(t, g, &extra);
	} else {
		add_m(t, os, &name);
	}
	copy_text(out->name, sizeof(out->name), &name);
	copy_text(out->extra, sizeof(out->extra), &extra);
}

void go_names_goroutine(struct go_target *t, const struct gc_goroutine *g, struct gc_thread_text *out)
{
	const struct go_os_thread *os = go_threads_running(t, g);
	struct gc_buf name = GC_BUF_INIT, extra = GC_BUF_INIT;
	int number = os ? t->base.ops->signal(&t->base, go_id_of(g)) : 0;
	char buf[16];

	add_goroutine(t, g, go_threads_group(t, g), &name);
	if (number) {
		add_part(&extra, "crashed: ");
		gc_buf_str(&extra, gc_signal_name(number, buf));
	}
	if (os && gc_go_locked_tid(t->go, g) != os->tid) {
		add_part(&extra, "thread ");
		gc_buf_printf(&extra, "%" PRId64, os->tid);
	}
	add_locked(t, g, 0, &extra);
	add_labels(t, g, &extra);
	copy_text(out->name, sizeof(out->name), &name);
	copy_text(out->extra, sizeof(out->extra), &extra);
}
