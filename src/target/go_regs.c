/*
 * Registers of a goroutine that is not where its thread is: of one that waits,
 * or whose thread is on another stack meanwhile.
 */
#include <inttypes.h>

#include "target/go_threads.h"

bool go_regs_on_stack(const struct gc_goroutine *g, const struct gc_regs *regs)
{
	uint64_t sp;

	return gc_regs_u64(regs, regs->map->arch->sp, &sp) && sp >= g->stack_lo && sp < g->stack_hi;
}

static void set_row(struct gc_regs *regs, int row, uint64_t value)
{
	if (row >= 0)
		gc_regs_set_u64(regs, (unsigned)row, value);
}

/** What is known of a frame that made a call. */
static void set_state(struct go_target *t, const struct gc_goroutine *g, const struct gc_go_state *s,
		      struct gc_regs *out)
{
	const struct gc_arch *arch = t->base.process->core.arch;

	set_row(out, arch->pc, s->pc);
	set_row(out, arch->sp, s->sp);
	if (s->has_fp)
		set_row(out, arch->fp, s->fp);
	if (s->has_lr)
		set_row(out, arch->ret, s->lr);
	set_row(out, arch->go_abi.g, g->addr);
}

/** Walk from where the thread is to the first frame on the goroutine's own stack. @return false if C is between */
static bool walk_to_stack(struct go_target *t, const struct gc_goroutine *g, struct gc_go_state *s,
			  struct gc_frames *frames)
{
	enum gc_go_step step;
	size_t steps = 0;

	do {
		gc_frames_clear(frames);
		s->ucontext = 0;
		step = gc_go_step(t->go, s, frames, NULL);
		if (step == GC_GO_SIGNAL)
			step = gc_go_from_ucontext(t->go, s, NULL) == GC_OK ? GC_GO_CALLER : GC_GO_DAMAGED;
		if (step == GC_GO_CALLER && s->sp >= g->stack_lo && s->sp < g->stack_hi)
			return s->ucontext || gc_go_is_text(t->go, s->pc);
	} while (step == GC_GO_CALLER && ++steps < GC_MAX_FRAMES);
	return false;
}

/** Its registers as a signal frame has them, or what is known of its innermost frame. */
static bool read_aside(struct go_target *t, const struct gc_goroutine *g, const struct go_os_thread *os,
		       const struct gc_regs *regs, struct gc_regs *out)
{
	struct gc_frames frames = { .list = NULL };
	struct gc_go_state s;
	bool found;

	if (!gc_go_from_regs(t->go, os->tid, regs, &s))
		return false;
	found = walk_to_stack(t, g, &s, &frames);
	gc_frames_deinit(&frames);
	if (found && s.ucontext)
		return gc_ucontext_regs(t->base.process, s.ucontext, out, NULL) == GC_OK;
	if (!found && !gc_go_from_goroutine(t->go, g, &s))
		return false;
	set_state(t, g, &s, out);
	return true;
}

static enum gc_code read_running(struct go_target *t, const struct gc_goroutine *g, const struct go_os_thread *os,
				 struct gc_regs *out, struct gc_error *err)
{
	struct gc_regs regs;
	enum gc_code code = t->inner->ops->read_regs(t->inner, os->tid, &regs, err);

	if (code != GC_OK)
		return code;
	if (go_regs_on_stack(g, &regs)) {
		*out = regs;
		return GC_OK;
	}
	code = gc_regs_init(out, regs.map, err);
	if (code == GC_OK)
		read_aside(t, g, os, &regs, out); /* what it does not find stays unknown */
	gc_regs_deinit(&regs);
	return code;
}

enum gc_code go_regs_read(struct go_target *t, const struct gc_goroutine *g, struct gc_regs *out,
			  struct gc_error *err)
{
	const struct go_os_thread *os = go_threads_running(t, g);
	struct gc_go_state s;
	enum gc_code code;

	if (os)
		return read_running(t, g, os, out, err);
	code = gc_regs_init(out, &t->base.process->regmap, err);
	if (code == GC_OK && gc_go_from_goroutine(t->go, g, &s))
		set_state(t, g, &s, out);
	return code;
}
