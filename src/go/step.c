/* From a frame of Go code to its caller. */
#include <elf.h>
#include <inttypes.h>

#include "go/go_private.h"

#define MAX_DELTA    ((int32_t)1 << 30)
#define POINTER_SIZE 8
#define MAX_CALL_AREA 4096 /* what asmcgocall takes of the stack that it stays on */

static const struct gc_go_m *m_of(const struct gc_go *go, const struct gc_go_state *s)
{
	return s->m ? &go->ms[s->m - 1] : NULL;
}

static enum gc_go_step damaged(struct gc_error *err, const char *what, uint64_t value)
{
	gc_fail(err, GC_E_FORMAT, "%s 0x%" PRIx64, what, value);
	return GC_GO_DAMAGED;
}

/** Append what a pc is. */
static enum gc_code add_frames(struct gc_go *go, const struct go_pc *what, const struct gc_frame *model,
			       struct gc_frames *out, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	for (uint32_t i = 0; code == GC_OK && i < what->count; i++) {
		const struct go_line *line = &go->pcs.lines[what->first + i];
		struct gc_frame frame = *model;

		frame.function = line->function;
		frame.entry = what->entry;
		frame.file = line->file;
		frame.line = line->line;
		frame.inlined = line->inlined;
		frame.wrapper = line->wrapper;
		code = gc_frames_add(out, &frame, err);
	}
	return code;
}

const struct gc_image *go_image_at(const struct gc_go *go, uint64_t pc)
{
	for (size_t i = 0; i < go->modules.count; i++)
		if (pc >= go->modules.list[i].minpc && pc < go->modules.list[i].maxpc)
			return go->modules.list[i].image;
	return NULL;
}

enum gc_code gc_go_symbolize(struct gc_go *go, uint64_t pc, bool exact, struct gc_frames *out, struct gc_error *err)
{
	const struct go_pc *what = go_pc_lookup(go, pc, exact);
	struct gc_frame model = { .pc = pc, .exact = exact, .how = GC_HOW_PCLNTAB, .image = go_image_at(go, pc) };

	if (!what)
		return gc_fail(err, GC_E_NOT_FOUND, "address 0x%" PRIx64 ": in no Go function", pc);
	return add_frames(go, what, &model, out, err);
}

/* Stepping. The rules are those of (*unwinder).resolveInternal of runtime/traceback.go. */

/** Has the runtime put its goroutine's state into g.sched, which it has when this M is on another stack? */
static bool curg_sched(struct gc_go *go, const struct gc_go_state *s, struct gc_go_state *out)
{
	const struct gc_go_m *m = m_of(go, s);
	const struct gc_goroutine *g = m ? gc_go_goroutine_at(go, m->curg) : NULL;

	if (!g || !g->sched_sp)
		return false;
	*out = *s;
	out->pc = g->sched_pc;
	out->sp = g->sched_sp;
	out->lr = g->sched_lr;
	out->has_lr = g->sched_lr != 0;
	out->fp = g->sched_fp;
	out->has_fp = g->sched_fp != 0;
	out->exact = out->as_call = false;
	out->how = GC_HOW_PCLNTAB;
	return ++out->switches <= GO_MAX_SWITCHES;
}

/** The plain rule: the caller's state by the size of the frame. */
static enum gc_go_step unwind_frame(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s,
				    struct gc_error *err)
{
	const struct gc_go_abi *abi = go->abi;
	struct gc_go_state caller = *s;
	uint64_t fp_slot;

	if (what->delta < 0 || what->delta > MAX_DELTA)
		return damaged(err, "no frame size is known at", s->pc);
	caller.sp = s->sp + (uint32_t)what->delta + abi->call_push;
	if (abi->link_register && what->delta == 0 && s->has_lr)
		caller.pc = s->lr;
	else if (!go_word(go, abi->link_register ? s->sp : caller.sp - POINTER_SIZE, &caller.pc))
		return damaged(err, "the return address is not in the core: stack address", s->sp);
	fp_slot = abi->fp_below_sp ? s->sp - 8 : caller.sp - 16;
	if (what->delta >= 8 && !go_word(go, fp_slot, &caller.fp))
		caller.has_fp = false;
	else if (what->delta >= 8)
		caller.has_fp = true;
	caller.has_lr = false;
	caller.exact = caller.as_call = false;
	caller.how = GC_HOW_PCLNTAB;
	if (caller.sp < s->sp || (caller.sp == s->sp && caller.pc == s->pc))
		return damaged(err, "the stack does not go on at", s->sp);
	*s = caller;
	return caller.pc ? GC_GO_CALLER : GC_GO_END;
}

bool go_is_executable(const struct gc_go *go, uint64_t pc)
{
	const struct gc_range *r = gc_space_find(&go->p->space, pc);

	return r && r->flags & PF_X;
}

/**
 * A handler faked the call: its return address was interrupted (preparePanic,
 * pushCall of runtime/signal_*.go). Where calls link, lr was saved above.
 */
static void uninject(struct gc_go *go, enum go_kind kind, struct gc_go_state *s)
{
	const struct go_pc *what = go_pc_lookup(go, s->pc, true);

	s->exact = true;
	/* gentraceback, until Go 1.20, took only the code below sigpanic for interrupted */
	s->as_call = kind == GO_KIND_PREEMPT && go->minor && go->minor < 21;
	if (!go->abi->injected_push || !go_word(go, s->sp, &s->lr))
		return;
	s->sp += go->abi->injected_push;
	if (!what && !go_is_executable(go, s->pc)) {
		s->pc = s->lr;
		s->has_lr = false;
	} else {
		s->has_lr = true;
	}
}

/**
 * The stack pointer that asmcgocall had on the stack which it left. It keeps it
 * as a depth, for stacks move; or as it is, with no g, if it stayed on g0.
 */
static bool asmcgocall_sp(struct gc_go *go, const struct gc_go_state *s, unsigned row, uint64_t *out)
{
	const struct gc_go_m *m = m_of(go, s);
	uint64_t g, depth, lo, hi;

	if (!go_word(go, s->sp + go->abi->asmcgocall[row].g, &g) ||
	    !go_word(go, s->sp + go->abi->asmcgocall[row].depth, &depth))
		return false;
	if (!g) {
		*out = depth;
		return depth > s->sp && depth - s->sp <= MAX_CALL_AREA;
	}
	if ((m && g != m->curg && g != m->g0 && g != m->gsignal) || !go_word(go, g + G_STACK_LO, &lo) ||
	    !go_word(go, g + G_STACK_HI, &hi) || lo >= hi || depth > hi - lo)
		return false;
	*out = hi - depth;
	return true;
}

static enum gc_go_step leave_asmcgocall(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s,
					struct gc_error *err)
{
	uint64_t sp;

	for (unsigned row = 0; row < GC_COUNT(go->abi->asmcgocall); row++) {
		if ((row && !go->abi->asmcgocall[row].depth) || !asmcgocall_sp(go, s, row, &sp))
			continue;
		if (++s->switches > GO_MAX_SWITCHES)
			return damaged(err, "too many changes of stack: stack address", s->sp);
		s->sp = sp;
		s->has_lr = s->has_fp = false;
		return unwind_frame(go, what, s, err);
	}
	return damaged(err, "asmcgocall's frame does not say whose stack it left: stack address", s->sp);
}

/**
 * cgocallback as it looks from g0's stack: m.g0.sched.sp is its sp there, and
 * the one of the callback before it is kept in the frame (unwindm of
 * runtime/cgocall.go).
 */
static bool cross_to_c(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s)
{
	const struct gc_go_m *m = m_of(go, s);
	struct gc_go_state c = *s;
	uint64_t sp = s->callback_sp;

	if (!m || (!sp && !go_word(go, m->g0 + go->layout->g.sched + GOBUF_SP, &sp)) ||
	    ++c.switches > GO_MAX_SWITCHES || !go_word(go, sp + go->abi->callback_sp, &c.callback_sp))
		return false;
	c.sp = sp;
	c.has_lr = false;
	if (unwind_frame(go, what, &c, NULL) != GC_GO_CALLER)
		return false;
	*s = c;
	return true;
}

/** Where crosscall2 saved a register, from its sp; 0: as other functions do. */
static uint16_t crosscall_slot(const struct gc_go *go, int row)
{
	const struct gc_go_abi *abi = go->abi;

	for (size_t i = 0; row >= 0 && i < abi->ncrosscall; i++)
		if (abi->crosscall[i].row == row)
			return abi->crosscall[i].offset;
	return 0;
}

/** crosscall2 of some architectures saves what its caller in C needs in places of its own. */
static enum gc_go_step leave_crosscall(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s,
				       struct gc_error *err)
{
	const struct gc_arch *arch = go->p->core.arch;
	uint16_t ret = crosscall_slot(go, arch->ret), fp = crosscall_slot(go, arch->fp);
	uint64_t sp = s->sp;
	enum gc_go_step step = unwind_frame(go, what, s, err);

	if (step == GC_GO_DAMAGED || what->delta == 0)
		return step;
	if (ret && !go_word(go, sp + ret, &s->pc))
		return damaged(err, "the return address is not in the core: stack address", sp);
	if (fp)
		s->has_fp = go_word(go, sp + fp, &s->fp);
	return s->pc ? GC_GO_CALLER : GC_GO_END;
}

static enum gc_go_step leave_sigtramp(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s,
				      struct gc_error *err)
{
	if (what->delta < 0)
		return damaged(err, "no frame size is known at", s->pc);
	s->ucontext = s->sp + (uint32_t)what->delta + go->abi->call_push + go->abi->ucontext;
	return GC_GO_SIGNAL;
}

/** Code that called the vDSO on g0's stack: the runtime kept its caller. */
static enum gc_go_step leave_vdso(struct gc_go *go, struct gc_go_state *s)
{
	const struct gc_go_m *m = m_of(go, s);

	if (!m || !m->vdso_sp || !m->vdso_pc || ++s->switches > GO_MAX_SWITCHES)
		return GC_GO_END;
	s->pc = m->vdso_pc;
	s->sp = m->vdso_sp;
	s->has_fp = s->has_lr = s->exact = false;
	s->how = GC_HOW_PCLNTAB;
	return GC_GO_CALLER;
}

/** The caller of the frame that @what is. */
static enum gc_go_step leave_frame(struct gc_go *go, const struct go_pc *what, struct gc_go_state *s,
				   struct gc_error *err)
{
	enum gc_go_step step;
	bool exact = s->exact;

	switch ((enum go_kind)what->kind) {
	case GO_KIND_SIGTRAMP:
		return leave_sigtramp(go, what, s, err);
	case GO_KIND_SYSTEMSTACK: /* on the goroutine's own stack systemstack_switch stands for it */
		if (exact)
			return unwind_frame(go, what, s, err);
		return curg_sched(go, s, s) ? GC_GO_CALLER : GC_GO_END;
	case GO_KIND_MORESTACK:
		if (exact)
			break;
		return curg_sched(go, s, s) ? GC_GO_CALLER : GC_GO_END;
	case GO_KIND_MCALL:
		if (!exact)
			return GC_GO_END;
		break;
	case GO_KIND_ASMCGOCALL:
		if (!exact)
			return leave_asmcgocall(go, what, s, err);
		break;
	case GO_KIND_CGOCALLBACK:
		if (s->cross_to_c && cross_to_c(go, what, s))
			return GC_GO_CALLER;
		return unwind_frame(go, what, s, err);
	case GO_KIND_CROSSCALL:
		return leave_crosscall(go, what, s, err);
	case GO_KIND_SIGPANIC:
	case GO_KIND_PREEMPT:
		step = unwind_frame(go, what, s, err);
		if (step == GC_GO_CALLER)
			uninject(go, (enum go_kind)what->kind, s);
		return step;
	case GO_KIND_VDSO:
		if (!exact)
			return leave_vdso(go, s);
		break;
	case GO_KIND_PLAIN:
		break;
	}
	if (what->flags & GC_FUNC_TOP)
		return GC_GO_END;
	if (what->flags & GC_FUNC_SPWRITE && !exact)
		return GC_GO_END;
	return unwind_frame(go, what, s, err);
}

/** Is @pc Go code of which no table says anything? */
static bool is_nameless(const struct gc_go *go, uint64_t pc)
{
	for (size_t i = 0; i < go->modules.count; i++) {
		const struct gc_go_moduledata *m = &go->modules.list[i];

		if (pc >= m->minpc && pc < m->maxpc)
			return !m->has_table;
	}
	return false;
}

/**
 * Without tables only the chain of frame pointers is left: each points at the
 * saved one, which the return address follows (on arm64 too, where both lie at
 * the bottom of the frame). It misses functions without a frame.
 */
static enum gc_go_step step_by_fp(struct gc_go *go, struct gc_go_state *s, struct gc_frames *out, struct gc_error *err)
{
	struct gc_frame frame = {
		.pc = s->pc, .sp = s->sp, .exact = s->exact, .how = s->how, .image = go_image_at(go, s->pc),
	};
	uint64_t fp = s->fp, next;

	if (gc_frames_add(out, &frame, err) != GC_OK)
		return GC_GO_DAMAGED;
	if (!s->has_fp || !fp)
		return GC_GO_END;
	if (!go_word(go, fp, &next) || !go_word(go, fp + 8, &s->pc) || (next && next <= fp))
		return damaged(err, "the chain of frame pointers ends at", fp);
	s->fp = next;
	s->sp = !go->abi->fp_below_sp ? fp + 16 : next ? next + 8 : 0;
	s->has_lr = s->exact = false;
	s->how = GC_HOW_FRAME_POINTER;
	return s->pc ? GC_GO_CALLER : GC_GO_END;
}

enum gc_go_step gc_go_step(struct gc_go *go, struct gc_go_state *state, struct gc_frames *out, struct gc_error *err)
{
	bool exact = state->exact && !state->as_call;
	const struct go_pc *found = go_pc_lookup(go, state->pc, exact);
	struct gc_frame model;
	struct go_pc what;

	if (!found && is_nameless(go, state->pc))
		return step_by_fp(go, state, out, err);
	if (!found) {
		if (gc_go_is_text(go, state->pc))
			return damaged(err, "in no function of the pclntab: pc", state->pc);
		return GC_GO_C;
	}
	what = *found; /* look-ups may move it */
	model = (struct gc_frame){
		.pc = state->pc, .sp = state->sp, .exact = exact, .how = state->how,
		.image = go_image_at(go, state->pc),
	};
	if (what.delta >= 0)
		model.cfa = state->sp + (uint32_t)what.delta + go->abi->call_push;
	if (add_frames(go, &what, &model, out, err) != GC_OK)
		return GC_GO_DAMAGED;
	return leave_frame(go, &what, state, err);
}
