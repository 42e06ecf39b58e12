/* Leaving a frame where no table tells how. */
#include "unwind/unwind_private.h"

#include <inttypes.h>
#include <string.h>

/* The longest instruction that calls, and some. */
#define BEFORE_CALL 16

bool uw_is_after_call(const struct gc_unwinder *u, uint64_t pc, uint64_t *target)
{
	uint8_t code[BEFORE_CALL];
	size_t len = pc < sizeof(code) ? (size_t)pc : sizeof(code);

	*target = 0;
	while (len > 1 && gc_space_read_all(&u->p->space, pc - len, code, len, NULL) != GC_OK)
		len /= 2; /* the start of a mapping */
	return len > 1 && u->arch->unwind.is_call(code, len, pc, target);
}

/** A return address that follows a call, as far as its code can be read, or that a signal handler has. */
static bool is_return_address(const struct gc_unwinder *u, uint64_t pc)
{
	const struct uw_frame caller = { .pc = pc };
	uint64_t target;
	uint8_t byte;

	return uw_is_code(u, pc) &&
	       (uw_is_after_call(u, pc, &target) || gc_space_read_all(&u->p->space, pc - 1, &byte, 1, NULL) != GC_OK ||
		uw_is_sigreturn(u, &caller));
}

/**
 * A return address that the function at @entry may have been called with: a
 * direct call says whom it calls. That may have gone over to this one by a
 * jump, and if it is no function it may be an entry of a PLT.
 */
static bool is_return_address_of(struct gc_unwinder *u, uint64_t pc, uint64_t entry)
{
	uint64_t target;

	if (!is_return_address(u, pc))
		return false;
	return !uw_is_after_call(u, pc, &target) || !target || target == entry || uw_may_jump_to(u, target, entry);
}

static void set_caller(struct gc_unwinder *u, struct uw_step *s, uint64_t pc, uint64_t sp, enum gc_frame_how how)
{
	s->cfa = s->caller.floor = sp;
	uw_set(&s->caller.regs, (uint64_t)u->sp, sp);
	s->caller.pc = uw_clean(u, pc);
	s->caller.exact = false;
	s->caller.how = how;
}

/* Just called. */

/** The caller's registers if nothing was done since the call. */
static bool take_call(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s)
{
	struct gc_error err;
	uint64_t sp, pc;

	if (!uw_get(&f->regs, (uint64_t)u->sp, &sp) || (u->ret >= 0 && !uw_get(&f->regs, (uint64_t)u->ret, &pc)))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and the stack pointer or return address is not known", f->pc);
	s->caller.regs = f->regs;
	if (u->ret >= 0) {
		uw_forget(&s->caller.regs, (uint64_t)u->ret);
	} else {
		if (gc_space_u64(&u->p->space, sp, &pc, &err) != GC_OK)
			return uw_end(s, GC_STACK_NO_MEMORY, "%s", err.text);
		sp += 8;
	}
	set_caller(u, s, pc, sp, GC_HOW_REGISTERS);
	return true;
}

/** Does the return address say that it called code just before f->pc? */
static bool was_just_called(struct gc_unwinder *u, const struct uw_frame *f, const struct uw_step *s)
{
	const uint64_t near = 0x10000;
	uint64_t target;

	return uw_is_code(u, s->caller.pc) && uw_is_after_call(u, s->caller.pc, &target) && target &&
	       target <= f->pc && f->pc - target < near && !(s->caller.pc >= target && s->caller.pc <= f->pc);
}

/* By the chain of frame pointers. */

/** Is there memory all the way from @from up to @to, as within one stack? */
static bool is_same_stack(const struct gc_unwinder *u, uint64_t from, uint64_t to)
{
	enum { MAX_PARTS = 16 }; /* that differ in permissions */
	const struct gc_range *r = gc_space_find(&u->p->space, from);

	for (int i = 0; r && to >= r->end && i < MAX_PARTS; i++)
		r = gc_space_find(&u->p->space, r->end);
	return r && to < r->end;
}

static bool follow_chain(struct gc_unwinder *u, const struct uw_frame *f, uint64_t entry, struct uw_step *s)
{
	struct gc_error err;
	uint64_t fp, next, pc;

	if (!uw_get(&f->regs, (uint64_t)u->fp, &fp) || fp < f->floor || fp % 8 ||
	    !is_same_stack(u, f->floor, fp))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and there is no frame pointer", f->pc);
	if (gc_space_u64(&u->p->space, fp, &next, &err) != GC_OK ||
	    gc_space_u64(&u->p->space, fp + 8, &pc, &err) != GC_OK)
		return uw_end(s, GC_STACK_NO_MEMORY, "there are no unwind tables for 0x%" PRIx64
			      ", and where the frame pointer points to: %s", f->pc, err.text);
	pc = uw_clean(u, pc);
	if (pc == 0 && next == 0)
		return uw_complete(s);
	if (entry ? !is_return_address_of(u, pc, entry) : !is_return_address(u, pc))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and the frame pointer leads to no return address of it", f->pc);
	memset(s->caller.regs.known, 0, sizeof(s->caller.regs.known));
	set_caller(u, s, pc, fp + 16, GC_HOW_FRAME_POINTER);
	uw_set(&s->caller.regs, (uint64_t)u->fp, next);
	if (u->ret >= 0) { /* where calls push nothing the pair lies at the lower end of the frame */
		uw_forget(&s->caller.regs, (uint64_t)u->sp);
		s->cfa = 0;
	}
	return true;
}

/* By the code of the function. */

/** A register that lies @below the caller's sp. */
static bool load(struct gc_unwinder *u, uint64_t sp, uint32_t below, uint64_t *out, struct uw_step *s)
{
	struct gc_error err;

	if (gc_space_u64(&u->p->space, sp - below, out, &err) == GC_OK)
		return true;
	return uw_end(s, GC_STACK_NO_MEMORY, "%s", err.text);
}

static bool by_prologue(struct gc_unwinder *u, const struct uw_frame *f, uint64_t entry,
			const struct uw_prologue *p, struct uw_step *s)
{
	uint64_t base, sp, pc, fp = 0;
	bool has_fp = uw_get(&f->regs, (uint64_t)u->fp, &fp);

	if (p->has_frame ? !has_fp : !uw_get(&f->regs, (uint64_t)u->sp, &base))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and its stack pointer is not known", f->pc);
	sp = p->has_frame ? fp + p->frame : base + p->pushed;
	if (sp < f->floor || (sp == f->floor && !f->exact))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and there is no frame pointer", f->pc);
	if (p->ret_saved && !load(u, sp, p->ret_at, &pc, s))
		return false;
	if (!p->ret_saved && (u->ret < 0 || !f->exact || !uw_get(&f->regs, (uint64_t)u->ret, &pc)))
		return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64
			      ", and its return address is not known", f->pc);
	if (p->fp_saved)
		has_fp = load(u, sp, p->fp_at, &fp, s);
	else if (p->fp_lost)
		has_fp = false;
	memset(s->caller.regs.known, 0, sizeof(s->caller.regs.known));
	if (has_fp)
		uw_set(&s->caller.regs, (uint64_t)u->fp, fp);
	set_caller(u, s, pc, sp, p->has_frame ? GC_HOW_FRAME_POINTER : GC_HOW_REGISTERS);
	if (s->caller.pc == 0 || (p->has_frame ? is_return_address(u, s->caller.pc)
				  : is_return_address_of(u, s->caller.pc, entry)))
		return true;
	return uw_end(s, GC_STACK_NO_RULES, "there are no unwind tables for 0x%" PRIx64 ", and 0x%" PRIx64
		      ", where its return address should be, is none", f->pc, s->caller.pc);
}

/** Does the return address where a call leaves it follow a call of this very function? */
static bool was_called_by(struct gc_unwinder *u, const struct uw_step *s, uint64_t entry)
{
	uint64_t target;

	return uw_is_code(u, s->caller.pc) && uw_is_after_call(u, s->caller.pc, &target) && target == entry;
}

/** The last resort: what lies where a call leaves it looks like a return address. @return false: s->end stays */
static bool by_stack_top(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s)
{
	const struct gc_stack_end end = s->end;

	if (end.kind == GC_STACK_NO_RULES && f->exact && take_call(u, f, s) && is_return_address(u, s->caller.pc))
		return true;
	s->end = end;
	return false;
}

bool uw_by_frame_pointer(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s)
{
	struct uw_prologue prologue;
	struct uw_code code;

	if (uw_find_code(u, f->exact ? f->pc : f->pc - 1, &code)) {
		if (uw_read_prologue(u, &code, f->pc, &prologue))
			return by_prologue(u, f, code.entry, &prologue, s);
		if (f->exact && take_call(u, f, s) && was_called_by(u, s, code.entry))
			return true; /* code that is not understood, but left the stack alone, as clone3 of glibc */
		return follow_chain(u, f, code.entry, s) || by_stack_top(u, f, s);
	}
	if (f->exact && take_call(u, f, s) && was_just_called(u, f, s))
		return true;
	return follow_chain(u, f, 0, s);
}

bool uw_by_call(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s)
{
	const bool taken = take_call(u, f, s);

	if (!taken || is_return_address(u, s->caller.pc))
		return taken;
	return uw_end(s, GC_STACK_NOT_CODE, "0x%" PRIx64 " is no code, and 0x%" PRIx64 " is no return address",
		      f->pc, s->caller.pc);
}
