/* Leaving the frame that the kernel makes for a signal handler. */
#include "unwind/unwind_private.h"

#include <inttypes.h>
#include <string.h>

/** Does @code, or its system call, stand at @pc? */
static bool is_code_at(const struct gc_unwinder *u, const struct gc_sigreturn *code, uint64_t pc)
{
	uint8_t bytes[sizeof(code->code)];

	if (gc_space_read_all(&u->p->space, pc, bytes, code->len, NULL) == GC_OK &&
	    memcmp(bytes, code->code, code->len) == 0)
		return true;
	return pc >= code->call && gc_space_read_all(&u->p->space, pc - code->call, bytes, code->len, NULL) == GC_OK &&
	       memcmp(bytes, code->code, code->len) == 0;
}

bool uw_is_sigreturn(const struct gc_unwinder *u, const struct uw_frame *f)
{
	const struct gc_unwind_abi *abi = &u->arch->unwind;

	for (size_t i = 0; i < abi->nsigreturns; i++)
		if (is_code_at(u, &abi->sigreturns[i], f->pc))
			return true;
	return false;
}

bool uw_by_ucontext(struct gc_unwinder *u, uint64_t ucontext, struct uw_step *s)
{
	const struct gc_go_abi *abi = &u->arch->go_abi;
	struct gc_error err;
	bool has_pc = false;

	memset(s->caller.regs.known, 0, sizeof(s->caller.regs.known));
	for (size_t i = 0; i < abi->nucontext_regs; i++) {
		const struct gc_ucontext_reg *r = &abi->ucontext_regs[i];
		const int column = u->arch->regs[r->row].dwarf;
		uint64_t value;

		if (gc_space_u64(&u->p->space, ucontext + r->offset, &value, &err) != GC_OK)
			return uw_end(s, GC_STACK_NO_MEMORY, "the registers that a signal saved: %s", err.text);
		if (r->row == u->arch->pc) {
			s->caller.pc = uw_clean(u, value);
			has_pc = true;
		} else if (column >= 0) {
			uw_set(&s->caller.regs, (uint64_t)column, value);
		}
	}
	if (!has_pc)
		return uw_end(s, GC_STACK_NO_RULES, "how signals save registers is not known");
	s->caller.floor = 0;
	uw_get(&s->caller.regs, (uint64_t)u->sp, &s->caller.floor);
	s->caller.exact = true;
	s->caller.how = GC_HOW_SIGNAL_FRAME;
	return true;
}

bool uw_by_sigreturn(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s)
{
	uint64_t sp;

	if (!uw_get(&f->regs, (uint64_t)u->sp, &sp))
		return uw_end(s, GC_STACK_NO_RULES, "the stack pointer is not known");
	return uw_by_ucontext(u, sp + u->arch->unwind.ucontext, s);
}
