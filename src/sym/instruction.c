/* What an instruction is, as far as that tells why it failed (Intel SDM volume 2; Arm ARM C6). */
#include "sym/disasm_private.h"

/** A target or divisor in a register; one in memory stays with its size alone. */
static void take_operand(const struct gc_regs *regs, const cs_x86_op *op, struct gc_instruction_facts *out)
{
	out->size = op->size;
	if (op->type == X86_OP_REG)
		out->row = (int16_t)gc_x86_register(regs, op->reg, &out->value);
}

static bool is_in_group(const cs_insn *insn, uint8_t group)
{
	for (uint8_t i = 0; i < insn->detail->groups_count; i++)
		if (insn->detail->groups[i] == group)
			return true;
	return false;
}

/** capstone 4 has no group for those that the I/O privilege level decides about. */
static bool is_privileged(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_CLI:
	case X86_INS_HLT:
	case X86_INS_IN:
	case X86_INS_INSB:
	case X86_INS_INSD:
	case X86_INS_INSW:
	case X86_INS_OUT:
	case X86_INS_OUTSB:
	case X86_INS_OUTSD:
	case X86_INS_OUTSW:
	case X86_INS_STI:
		return true;
	default:
		return is_in_group(insn, CS_GRP_PRIVILEGE);
	}
}

static enum gc_instruction_kind kind_of_x86(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_CALL:
		return GC_INSTRUCTION_CALL;
	case X86_INS_JMP:
		return GC_INSTRUCTION_JUMP;
	case X86_INS_RET:
		return GC_INSTRUCTION_RETURN;
	case X86_INS_DIV:
	case X86_INS_IDIV:
		return GC_INSTRUCTION_DIVIDE;
	case X86_INS_INT1:
	case X86_INS_INT3:
	case X86_INS_UD0:
	case X86_INS_UD2:
		return GC_INSTRUCTION_TRAP;
	default:
		return is_privileged(insn) ? GC_INSTRUCTION_PRIVILEGED : GC_INSTRUCTION_OTHER;
	}
}

/** A byte divides ax, all else what is in two registers. */
static void find_dividend(const struct gc_regs *regs, struct gc_instruction_facts *out)
{
	if (out->size > 1)
		out->dividend[0] = (int16_t)gc_arch_reg_named(regs->map->arch, "rdx");
	out->dividend[1] = (int16_t)gc_arch_reg_named(regs->map->arch, "rax");
}

void gc_facts_x86(const struct gc_regs *regs, const cs_insn *insn, struct gc_instruction_facts *out)
{
	const cs_x86 *x86 = &insn->detail->x86;

	out->kind = kind_of_x86(insn);
	out->is_signed = insn->id == X86_INS_IDIV;
	if (out->kind == GC_INSTRUCTION_RETURN)
		out->size = 8;
	else if (out->kind != GC_INSTRUCTION_OTHER && x86->op_count == 1)
		take_operand(regs, &x86->operands[0], out);
	if (out->kind == GC_INSTRUCTION_DIVIDE)
		find_dividend(regs, out);
}

void gc_facts_arm64(const struct gc_regs *regs, const cs_insn *insn, struct gc_instruction_facts *out)
{
	(void)regs;
	if (insn->id == ARM64_INS_BRK || insn->id == ARM64_INS_HLT)
		out->kind = GC_INSTRUCTION_TRAP;
}
