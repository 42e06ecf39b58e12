/* What an instruction did that failed for another reason than the memory it accesses. */
#include "snapshot/fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gocore/bytes.h"

#define BEFORE_CALL 8 /* the longest call of x86_64 */
#define SHOWN_BYTES 8

/** What the instruction works with: a register, or the memory that it reads. */
static bool read_operand(const struct gc_snap *s, const struct gc_snap_fault *f, uint64_t *out)
{
	uint8_t bytes[8] = { 0 };

	if (f->facts.row >= 0) {
		*out = f->facts.value;
		return true;
	}
	if (!f->access.read || f->facts.size == 0 || f->facts.size > sizeof(bytes) ||
	    gc_space_read_all(&s->p->space, f->access.addr, bytes, f->facts.size, NULL) != GC_OK)
		return false;
	*out = gc_load_le64(bytes);
	return true;
}

/** "rdx = 0xffffffff, ", as JSON too. */
static void add_register(struct gc_snap_verdict *v, json_t *registers, const struct gc_regs *regs, int row)
{
	uint64_t value;
	char buf[24];

	if (row < 0 || !gc_regs_u64(regs, row, &value))
		return;
	gc_doc_hex(&v->s->d, registers, regs->map->arch->regs[row].name, value);
	gc_buf_printf(&v->text, "%s = %s, ", regs->map->arch->regs[row].name, gc_snap_value(value, buf));
}

/** A divisor as the instruction takes it. */
static void add_divisor(struct gc_buf *text, const struct gc_instruction_facts *facts, uint64_t divisor)
{
	const uint64_t sign = (uint64_t)1 << (8 * facts->size - 1);

	if (facts->is_signed)
		gc_buf_printf(text, "divisor %" PRId64, (int64_t)((divisor ^ sign) - sign));
	else
		gc_buf_printf(text, "divisor %" PRIu64, divisor);
}

/** Only two things can be wrong with an integer division. */
static bool judge_division(struct gc_snap_verdict *v, const struct gc_regs *regs, const struct gc_snap_fault *f)
{
	json_t *registers = gc_doc_object(&v->s->d);
	uint64_t divisor;

	if (!f->facts.size || !read_operand(v->s, f, &divisor)) {
		json_decref(registers);
		return false;
	}
	v->reason = divisor ? "division-overflow" : "division-by-zero";
	gc_buf_printf(&v->text, "%s: ", f->insn.text);
	for (size_t i = 0; i < GC_COUNT(f->facts.dividend); i++)
		add_register(v, registers, regs, f->facts.dividend[i]);
	add_divisor(&v->text, &f->facts, divisor);
	gc_buf_str(&v->text, divisor ? ": the quotient does not fit" : ": division by zero");
	gc_doc_set_filled(&v->s->d, v->object, "registers", registers);
	return true;
}

/** Where a branch wanted to go, which the processor looks at before it goes. */
static bool judge_branch(struct gc_snap_verdict *v, const struct gc_regs *regs, struct gc_snap_fault *f)
{
	const struct gc_arch *arch = regs->map->arch;
	uint64_t target;

	if (!read_operand(v->s, f, &target) || gc_fault_is_canonical(v->s, target))
		return false;
	f->execute = true;
	f->address = target;
	gc_buf_printf(&v->text, "%s: ", f->insn.text);
	if (f->facts.row >= 0)
		gc_buf_printf(&v->text, "%s = 0x%" PRIx64 ": ", arch->regs[f->facts.row].name, target);
	else
		gc_buf_printf(&v->text, "to what is at 0x%" PRIx64 ": ", f->access.addr);
	gc_buf_printf(&v->text, "address 0x%" PRIx64 " ", target);
	return gc_fault_judge_number(v, target);
}

static bool judge_trap(struct gc_snap_verdict *v, const struct gc_snap_fault *f)
{
	v->reason = "trap";
	gc_buf_printf(&v->text, f->signo == FAULT_TRAP ? "%s: a breakpoint instruction in the program" :
		      "%s: an instruction made to fail: a failed check, or code that is never to be reached",
		      f->insn.text);
	return true;
}

/** A breakpoint of one byte, which the pc has gone past. */
static bool judge_breakpoint_before(struct gc_snap_verdict *v, const struct gc_regs *regs, struct gc_snap_fault *f)
{
	struct gc_instruction_facts facts;
	struct gc_snap *s = v->s;
	uint8_t byte;

	if (!s->disasm || f->pc == 0 || gc_space_read_all(&s->p->space, f->pc - 1, &byte, 1, NULL) != GC_OK)
		return false;
	gc_disasm_facts(s->disasm, regs, f->pc - 1, &byte, 1, &facts);
	f->has_insn = facts.kind == GC_INSTRUCTION_TRAP &&
		      gc_disasm_one(s->disasm, f->pc - 1, &byte, 1, &f->insn, NULL) == GC_OK;
	f->address = f->pc - 1;
	return f->has_insn && judge_trap(v, f);
}

/** Branches by a register may only go to instructions that are marked for it, in pages that ask for that. */
static bool judge_landing(struct gc_snap_verdict *v, const struct gc_regs *regs, const struct gc_snap_fault *f)
{
	const struct gc_arch *arch = regs->map->arch;
	uint64_t flags;

	if (!f->has_insn || !arch->landing_mask || !gc_regs_u64(regs, arch->landing_row, &flags) ||
	    !(flags & arch->landing_mask))
		return false;
	v->reason = "branch-target";
	gc_buf_printf(&v->text, "%s: a branch by a register led here, which is not marked as a target (BTI)",
		      f->insn.text);
	return true;
}

static bool judge_illegal(struct gc_snap_verdict *v, const struct gc_regs *regs, const struct gc_snap_fault *f)
{
	uint8_t bytes[SHOWN_BYTES];
	size_t got, len = v->s->p->core.arch->insn_len;

	if (!len || len > sizeof(bytes))
		len = sizeof(bytes);
	if (gc_space_read(&v->s->p->space, f->pc, bytes, len, &got, NULL) != GC_OK)
		return false;
	if (judge_landing(v, regs, f))
		return true;
	v->reason = "illegal-instruction";
	if (f->has_insn) {
		gc_buf_printf(&v->text, "%s: no instruction for this processor, or not allowed here", f->insn.text);
		return true;
	}
	gc_buf_str(&v->text, "the bytes");
	for (size_t i = 0; i < got; i++)
		gc_buf_printf(&v->text, " %02x", bytes[i]);
	gc_buf_printf(&v->text, " at 0x%" PRIx64 " are no instruction that is known", f->pc);
	return true;
}

static bool judge_protection(struct gc_snap_verdict *v, const struct gc_regs *regs, struct gc_snap_fault *f)
{
	switch (f->facts.kind) {
	case GC_INSTRUCTION_CALL:
	case GC_INSTRUCTION_JUMP:
	case GC_INSTRUCTION_RETURN:
		return judge_branch(v, regs, f);
	case GC_INSTRUCTION_PRIVILEGED:
		v->reason = "privileged";
		gc_buf_printf(&v->text, "%s: an instruction only for the kernel", f->insn.text);
		return true;
	default:
		return false;
	}
}

bool gc_fault_judge_instruction(struct gc_snap_verdict *v, const struct gc_regs *regs, struct gc_snap_fault *f)
{
	const bool is_trap = f->has_insn && f->facts.kind == GC_INSTRUCTION_TRAP;

	f->address = f->pc;
	switch (f->signo) {
	case FAULT_FPE:
		return f->has_insn && f->facts.kind == GC_INSTRUCTION_DIVIDE && judge_division(v, regs, f);
	case FAULT_ILL:
		return is_trap ? judge_trap(v, f) : judge_illegal(v, regs, f);
	case FAULT_TRAP:
		return is_trap ? judge_trap(v, f) : judge_breakpoint_before(v, regs, f);
	default:
		return f->has_insn && judge_protection(v, regs, f);
	}
}

/* Branches that were taken. */

/** A return address at @ret, as one knows it by the call before it. */
static bool is_after_call(const struct gc_snap *s, uint64_t ret)
{
	const struct gc_range *r = gc_space_find(&s->p->space, ret);
	uint8_t code[BEFORE_CALL];
	uint64_t target;

	return r && r->flags & PF_X && ret >= sizeof(code) &&
	       gc_space_read_all(&s->p->space, ret - sizeof(code), code, sizeof(code), NULL) == GC_OK &&
	       s->p->core.arch->unwind.is_call(code, sizeof(code), ret, &target);
}

/** Where calls leave the return address on the stack, a return takes it from there and leaves it below. */
static void describe_by_stack(struct gc_snap *s, uint64_t sp, uint64_t pc, struct gc_buf *text)
{
	uint64_t above = 0, below = 0;
	const bool has_above = gc_space_u64(&s->p->space, sp, &above, NULL) == GC_OK;

	if (has_above && is_after_call(s, above))
		gc_buf_str(text, "a call: ");
	else if (sp >= 8 && gc_space_u64(&s->p->space, sp - 8, &below, NULL) == GC_OK && below == pc)
		gc_buf_printf(text, "a return to what was on the stack at 0x%" PRIx64 ": ", sp - 8);
	else
		gc_buf_str(text, "a jump, call or return: ");
}

void gc_fault_describe_branch(struct gc_snap *s, const struct gc_regs *regs, uint64_t pc, struct gc_buf *text)
{
	const struct gc_arch *arch = regs->map->arch;
	uint64_t sp, ret;

	if (arch->ret < 0 && gc_regs_u64(regs, arch->sp, &sp))
		describe_by_stack(s, sp, pc, text);
	else if (arch->ret >= 0 && gc_regs_u64(regs, arch->ret, &ret) && ret == pc && pc)
		gc_buf_printf(text, "a return to what is in %s: ", arch->regs[arch->ret].name);
	else
		gc_buf_str(text, "a jump, call or return: ");
}
