/* Stacks of goroutines and threads: where they begin, and frame by frame to their end. */
#include <inttypes.h>

#include "go/go_private.h"

/* Where to begin */

enum gc_code gc_ucontext_regs(const struct gc_process *p, uint64_t ucontext, struct gc_regs *regs,
			      struct gc_error *err)
{
	const struct gc_go_abi *abi = &p->core.arch->go_abi;
	enum gc_code code = GC_OK;

	for (size_t i = 0; code == GC_OK && i < abi->nucontext_regs; i++) {
		uint64_t value;

		code = gc_space_u64(&p->space, ucontext + abi->ucontext_regs[i].offset, &value, err);
		if (code == GC_OK)
			gc_regs_set_u64(regs, (unsigned)abi->ucontext_regs[i].row, value);
	}
	return code;
}

/** One register at a ucontext. */
static bool ucontext_reg(const struct gc_go *go, uint64_t ucontext, int16_t row, uint64_t *out)
{
	for (size_t i = 0; row >= 0 && i < go->abi->nucontext_regs; i++)
		if (go->abi->ucontext_regs[i].row == row)
			return gc_space_u64(&go->p->space, ucontext + go->abi->ucontext_regs[i].offset, out,
					    NULL) == GC_OK;
	return false;
}

enum gc_code gc_go_from_ucontext(const struct gc_go *go, struct gc_go_state *state, struct gc_error *err)
{
	const struct gc_arch *arch = go->p->core.arch;
	struct gc_go_state s = *state;

	if (!ucontext_reg(go, s.ucontext, arch->pc, &s.pc) || !ucontext_reg(go, s.ucontext, arch->sp, &s.sp) ||
	    ++s.switches > GO_MAX_SWITCHES)
		return gc_fail(err, GC_E_FAULT, "the registers of a signal at 0x%" PRIx64 " are not in the core",
			       s.ucontext);
	s.has_fp = ucontext_reg(go, s.ucontext, arch->fp, &s.fp);
	s.has_lr = ucontext_reg(go, s.ucontext, arch->ret, &s.lr);
	s.exact = true;
	s.as_call = false;
	s.how = GC_HOW_SIGNAL_FRAME;
	*state = s;
	return GC_OK;
}

bool gc_go_from_regs(const struct gc_go *go, gc_tid tid, const struct gc_regs *regs, struct gc_go_state *out)
{
	const struct gc_arch *arch = go->p->core.arch;
	const struct gc_go_m *m = gc_go_m_of_thread(go, tid);
	struct gc_go_state s = { .exact = true, .how = GC_HOW_REGISTERS };

	if (!gc_regs_u64(regs, arch->pc, &s.pc) || !gc_regs_u64(regs, arch->sp, &s.sp))
		return false;
	s.has_fp = gc_regs_u64(regs, arch->fp, &s.fp);
	s.has_lr = gc_regs_u64(regs, arch->ret, &s.lr);
	s.m = m ? (uint32_t)(m - go->ms) + 1 : 0;
	*out = s;
	return true;
}

static bool is_running(const struct gc_go *go, const struct gc_goroutine *g)
{
	if (!g->m) /* its M is damaged, or its thread is not in the core */
		return g->status == GC_GO_RUNNING;
	return go->ms[g->m - 1].curg == g->addr && (g->status == GC_GO_RUNNING || g->status == GC_GO_SYSCALL);
}

bool gc_go_from_goroutine(const struct gc_go *go, const struct gc_goroutine *g, struct gc_go_state *out)
{
	struct gc_go_state s = { .how = GC_HOW_REGISTERS, .m = g->m };

	if (g->syscall_sp) {
		s.pc = g->syscall_pc;
		s.sp = g->syscall_sp;
		s.fp = g->syscall_fp;
	} else if (!is_running(go, g)) {
		s.pc = g->sched_pc;
		s.sp = g->sched_sp;
		s.fp = g->sched_fp;
		s.lr = g->sched_lr;
	} else {
		return false;
	}
	s.has_fp = s.fp != 0;
	s.has_lr = s.lr != 0;
	*out = s;
	return s.pc != 0 && s.sp != 0;
}

/* Whole stacks */

/** A jump to nowhere (a call of a nil function): what was pushed or linked is the caller. */
static bool leave_nowhere(struct gc_go *go, struct gc_go_state *s)
{
	struct gc_go_state caller = *s;

	if (!s->exact || go_is_executable(go, s->pc))
		return false;
	caller.sp += go->abi->call_push;
	if (go->abi->link_register)
		caller.pc = s->has_lr ? s->lr : 0;
	else if (!go_word(go, s->sp, &caller.pc))
		return false;
	caller.exact = caller.has_lr = false;
	caller.how = GC_HOW_PCLNTAB;
	if (!gc_go_is_text(go, caller.pc))
		return false;
	*s = caller;
	return true;
}

enum gc_code gc_go_unwind(struct gc_go *go, const struct gc_go_state *state, struct gc_frames *out,
			  struct gc_go_stack_end *end, struct gc_error *err)
{
	struct gc_go_stack_end e = { .state = *state };
	size_t steps = 0;

	do {
		e.why.code = GC_OK;
		e.how = gc_go_step(go, &e.state, out, &e.why);
		if (e.why.code == GC_E_MEMORY)
			return gc_fail_memory(err);
		if (e.how == GC_GO_SIGNAL)
			e.how = gc_go_from_ucontext(go, &e.state, &e.why) == GC_OK ? GC_GO_CALLER : GC_GO_DAMAGED;
		else if (e.how == GC_GO_C && leave_nowhere(go, &e.state))
			e.how = GC_GO_CALLER;
	} while (e.how == GC_GO_CALLER && ++steps < GC_MAX_FRAMES);
	if (e.how == GC_GO_CALLER) {
		e.how = GC_GO_DAMAGED;
		gc_fail(&e.why, GC_E_LIMIT, "more than %d frames", GC_MAX_FRAMES);
	}
	if (end)
		*end = e;
	return GC_OK;
}

static const struct gc_thread *thread_of(const struct gc_go *go, gc_tid tid)
{
	const struct gc_core *core = &go->p->core;

	for (size_t i = 0; tid && i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return NULL;
}

enum gc_code go_thread_state(struct gc_go *go, const struct gc_thread *thread, struct gc_go_state *out,
			     struct gc_error *err)
{
	struct gc_regs regs;
	enum gc_code code = gc_core_regs(&go->p->core, thread, &go->p->regmap, &regs, NULL, err);

	if (code != GC_OK)
		return code;
	if (!gc_go_from_regs(go, thread->tid, &regs, out))
		code = gc_fail(err, GC_E_NOT_FOUND, "thread %" PRId64 " has no registers", thread->tid);
	gc_regs_deinit(&regs);
	return code;
}

enum gc_code gc_go_thread_stack(struct gc_go *go, gc_tid tid, struct gc_frames *out, struct gc_error *err)
{
	const struct gc_thread *thread = thread_of(go, tid);
	struct gc_go_state state;
	enum gc_code code;

	if (!thread)
		return gc_fail(err, GC_E_NOT_FOUND, "no thread %" PRId64, tid);
	code = go_thread_state(go, thread, &state, err);
	return code == GC_OK ? gc_go_unwind(go, &state, out, NULL, err) : code;
}

/** Is one of the frames on the goroutine's stack? */
static bool is_on_stack(const struct gc_goroutine *g, const struct gc_frames *frames)
{
	for (size_t i = 0; i < frames->count; i++)
		if (frames->list[i].sp >= g->stack_lo && frames->list[i].sp < g->stack_hi)
			return true;
	return false;
}

/** The thread whose M is damaged: one without an M that has frames on the goroutine's stack. */
static bool lost_thread(struct gc_go *go, const struct gc_goroutine *g, struct gc_go_state *out)
{
	const struct gc_core *core = &go->p->core;
	bool found = false;

	for (size_t i = 0; i < core->nthreads && !found; i++) {
		struct gc_frames frames = { .list = NULL };

		if (gc_go_m_of_thread(go, core->threads[i].tid) ||
		    go_thread_state(go, &core->threads[i], out, NULL) != GC_OK)
			continue;
		found = gc_go_unwind(go, out, &frames, NULL, NULL) == GC_OK && is_on_stack(g, &frames);
		gc_frames_deinit(&frames);
	}
	return found;
}

static enum gc_code running_state(struct gc_go *go, const struct gc_goroutine *g, struct gc_go_state *out,
				  struct gc_error *err)
{
	const struct gc_thread *thread = thread_of(go, gc_go_tid(go, g));

	if (!thread && lost_thread(go, g, out))
		return GC_OK;
	if (!thread)
		return gc_fail(err, GC_E_NOT_FOUND, "it runs on a thread that is not in the core");
	return go_thread_state(go, thread, out, err);
}

enum gc_code gc_go_goroutine_stack(struct gc_go *go, const struct gc_goroutine *g, struct gc_frames *out,
				   struct gc_go_stack_end *end, struct gc_error *err)
{
	struct gc_go_state state;
	enum gc_code code;

	if (!gc_go_from_goroutine(go, g, &state)) {
		code = running_state(go, g, &state, err);
		if (code != GC_OK)
			return code;
	}
	return gc_go_unwind(go, &state, out, end, err);
}
