/* What x86_64 instructions do to the stack (Intel SDM volume 2). */
#include "sym/disasm_private.h"

static bool is_sp(unsigned reg)
{
	return reg == X86_REG_RSP || reg == X86_REG_ESP || reg == X86_REG_SP || reg == X86_REG_SPL;
}

static bool is_fp(unsigned reg)
{
	return reg == X86_REG_RBP || reg == X86_REG_EBP || reg == X86_REG_BP || reg == X86_REG_BPL;
}

static bool is_reg(const cs_x86_op *op, x86_reg reg)
{
	return op->type == X86_OP_REG && op->reg == reg;
}

/** Memory at @base and a constant. */
static bool is_memory(const cs_x86_op *op, x86_reg base)
{
	return op->type == X86_OP_MEM && op->mem.base == base && op->mem.index == X86_REG_INVALID &&
	       op->mem.segment == X86_REG_INVALID;
}

static bool is_in_group(const cs_insn *insn, uint8_t group)
{
	for (uint8_t i = 0; i < insn->detail->groups_count; i++)
		if (insn->detail->groups[i] == group)
			return true;
	return false;
}

static void find_next(const cs_insn *insn, struct gc_flow *out)
{
	const cs_x86 *x = &insn->detail->x86;

	if (is_in_group(insn, CS_GRP_CALL)) {
		out->next = GC_FLOW_CALL;
	} else if (is_in_group(insn, CS_GRP_RET) || is_in_group(insn, CS_GRP_IRET) || insn->id == X86_INS_UD2 ||
		   insn->id == X86_INS_HLT) {
		out->next = GC_FLOW_END;
	} else if (is_in_group(insn, CS_GRP_JUMP)) {
		out->next = insn->id == X86_INS_JMP ? GC_FLOW_JUMP : GC_FLOW_BRANCH;
		out->has_target = x->op_count && x->operands[x->op_count - 1].type == X86_OP_IMM;
		if (out->has_target)
			out->target = (uint64_t)x->operands[x->op_count - 1].imm;
	}
}

/** Whatever is not one of the instructions that are known to be harmless. */
static void look_for_writes(csh handle, const cs_insn *insn, struct gc_flow *out)
{
	cs_regs read, written;
	uint8_t nread, nwritten;

	if (cs_regs_access(handle, insn, read, &nread, written, &nwritten) != CS_ERR_OK) {
		out->sp = GC_FLOW_SP_LOST;
		out->fp = GC_FLOW_FP_LOST;
		return;
	}
	for (uint8_t i = 0; i < nwritten; i++) {
		if (is_sp(written[i]))
			out->sp = GC_FLOW_SP_LOST;
		if (is_fp(written[i]))
			out->fp = GC_FLOW_FP_LOST;
	}
}

static bool find_push(const cs_x86 *x, unsigned id, struct gc_flow *out)
{
	if (id != X86_INS_PUSH && id != X86_INS_PUSHFQ)
		return false;
	out->sp_by = x->op_count && x->operands[0].size == 2 ? -2 : -8;
	out->saves_fp = x->op_count && is_reg(&x->operands[0], X86_REG_RBP);
	return true;
}

static bool find_pop(const cs_x86 *x, unsigned id, struct gc_flow *out)
{
	if (id == X86_INS_LEAVE) {
		out->sp = GC_FLOW_SP_FROM_FP;
		out->sp_by = 8;
	} else if (id == X86_INS_POPFQ || (id == X86_INS_POP && !is_reg(&x->operands[0], X86_REG_RSP))) {
		out->sp_by = x->op_count && x->operands[0].size == 2 ? 2 : 8;
	} else {
		return false;
	}
	if (id == X86_INS_LEAVE || (x->op_count && is_reg(&x->operands[0], X86_REG_RBP))) {
		out->fp = GC_FLOW_FP_LOADED;
		out->fp_by = -8;
	}
	return true;
}

/** add, sub and lea of constants */
static bool find_sum(const cs_x86 *x, unsigned id, struct gc_flow *out)
{
	const cs_x86_op *to = &x->operands[0], *from = &x->operands[1];

	if ((id == X86_INS_ADD || id == X86_INS_SUB) && is_reg(to, X86_REG_RSP) && from->type == X86_OP_IMM) {
		out->sp_by = id == X86_INS_ADD ? from->imm : -from->imm;
		return true;
	}
	if (id != X86_INS_LEA)
		return false;
	if (is_reg(to, X86_REG_RSP) && (is_memory(from, X86_REG_RSP) || is_memory(from, X86_REG_RBP))) {
		out->sp = from->mem.base == X86_REG_RSP ? GC_FLOW_SP_BY : GC_FLOW_SP_FROM_FP;
		out->sp_by = from->mem.disp;
		return true;
	}
	if (!is_reg(to, X86_REG_RBP) || !is_memory(from, X86_REG_RSP))
		return false;
	out->fp = GC_FLOW_FP_FROM_SP;
	out->fp_by = from->mem.disp;
	return true;
}

static bool find_move(const cs_x86 *x, unsigned id, struct gc_flow *out)
{
	const cs_x86_op *to = &x->operands[0], *from = &x->operands[1];

	if (id != X86_INS_MOV)
		return false;
	if (is_reg(to, X86_REG_RBP) && is_reg(from, X86_REG_RSP)) {
		out->fp = GC_FLOW_FP_FROM_SP;
	} else if (is_reg(to, X86_REG_RSP) && is_reg(from, X86_REG_RBP)) {
		out->sp = GC_FLOW_SP_FROM_FP;
	} else if (is_memory(to, X86_REG_RSP) && is_reg(from, X86_REG_RBP)) {
		out->saves_fp = true;
		out->fp_at = to->mem.disp;
	} else if (is_reg(to, X86_REG_RBP) && is_memory(from, X86_REG_RSP)) {
		out->fp = GC_FLOW_FP_LOADED;
		out->fp_by = from->mem.disp;
	} else {
		return false;
	}
	return true;
}

void gc_flow_x86(csh handle, const cs_insn *insn, struct gc_flow *out)
{
	const cs_x86 *x = &insn->detail->x86;

	find_next(insn, out);
	if (out->next == GC_FLOW_ON && !find_push(x, insn->id, out) && !find_pop(x, insn->id, out) &&
	    !find_sum(x, insn->id, out) && !find_move(x, insn->id, out))
		look_for_writes(handle, insn, out);
}
