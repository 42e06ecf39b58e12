/* What a goroutine is doing in C: the frames between its thread's registers and its own stack. */
#include <stdlib.h>

#include "gocore/lines.h"
#include "gocore/symbols.h"
#include "gocore/unwind.h"

#include "snapshot/goroutines_private.h"

struct c_frames {
	struct gc_symbols *symbols;
	struct gc_process_lines *lines;
	struct gc_unwinder *unwinder;
};

static enum gc_code open_unwinder(struct goroutines *g, struct gc_error *err)
{
	struct c_frames *c = calloc(1, sizeof(*c));
	enum gc_code code;

	if (!c)
		return gc_fail_memory(err);
	g->c = c;
	code = gc_symbols_new(&c->symbols, g->p, g->options->find, g->problems, err);
	if (code == GC_OK)
		code = gc_process_lines_new(&c->lines, g->p, c->symbols, g->options->find, g->problems, err);
	if (code == GC_OK)
		code = gc_unwinder_new(&c->unwinder, g->p, c->symbols, g->go, g->problems, err);
	if (code == GC_OK)
		gc_unwinder_set_lines(c->unwinder, gc_process_lines_frames, gc_process_lines_tail_calls,
				      c->lines);
	return code;
}

void goroutine_c_close(struct goroutines *g)
{
	if (!g->c)
		return;
	gc_unwinder_free(g->c->unwinder);
	gc_process_lines_free(g->c->lines);
	gc_symbols_free(g->c->symbols);
	free(g->c);
	g->c = NULL;
}

static const struct gc_thread *thread_of(const struct gc_core *core, gc_tid tid)
{
	for (size_t i = 0; i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return NULL;
}

static enum gc_code unwind_thread(struct goroutines *g, const struct gc_thread *thread, struct gc_frames *out,
				  struct gc_error *err)
{
	const struct gc_process *p = g->p;
	struct gc_stack_end end;
	struct gc_regs regs;
	enum gc_code code = gc_core_regs(&p->core, thread, &p->regmap, &regs, NULL, err);

	if (code != GC_OK)
		return code;
	code = gc_unwind_thread(g->c->unwinder, &regs, thread->tid, out, &end, err);
	gc_regs_deinit(&regs);
	return code;
}

/** Keep what lies above the goroutine's own stack; nothing if the way does not lead there. */
static void keep_above(struct gc_frames *frames, const struct gc_goroutine *goroutine)
{
	for (size_t i = 0; i < frames->count; i++) {
		uint64_t sp = frames->list[i].sp;

		if (sp >= goroutine->stack_lo && sp < goroutine->stack_hi) {
			frames->count = i;
			return;
		}
	}
	frames->count = 0;
}

enum gc_code goroutine_c_frames(struct goroutines *g, const struct gc_goroutine *goroutine, struct gc_frames *out,
				struct gc_error *err)
{
	gc_tid tid = gc_go_tid(g->go, goroutine);
	const struct gc_go_m *m = tid ? gc_go_m_of_thread(g->go, tid) : NULL;
	const struct gc_thread *thread;
	enum gc_code code = GC_OK;

	if (!m || !m->in_cgo || !goroutine->syscall_sp)
		return GC_OK;
	thread = thread_of(&g->p->core, tid);
	if (!thread)
		return GC_OK;
	if (!g->c)
		code = open_unwinder(g, err);
	if (code == GC_OK)
		code = unwind_thread(g, thread, out, err);
	if (code == GC_OK)
		keep_above(out, goroutine);
	else if (code != GC_E_MEMORY)
		gc_frames_clear(out);
	return code == GC_E_MEMORY ? code : GC_OK;
}
