/*
 * What x86_64 instructions access: the memory operands that capstone tells,
 * and the stack and string accesses that are not written in the instruction
 * (Intel SDM volume 2).
 */
#include <string.h>

#include "sym/disasm_private.h"

#define POINTER_SIZE 8

/** An instruction while it is looked at. */
struct operands {
	const struct gc_regs *regs;
	const cs_x86 *x86;
	const cs_insn *insn;
	struct gc_access *out;
	size_t count;
};

/* Each by the names that use all of it, the lower 4, 2 and 1 bytes, and the second byte. */
static const struct {
	x86_reg parts[5];
	const char *name;
} registers[] = {
	{ { X86_REG_RAX, X86_REG_EAX, X86_REG_AX, X86_REG_AL, X86_REG_AH }, "rax" },
	{ { X86_REG_RBX, X86_REG_EBX, X86_REG_BX, X86_REG_BL, X86_REG_BH }, "rbx" },
	{ { X86_REG_RCX, X86_REG_ECX, X86_REG_CX, X86_REG_CL, X86_REG_CH }, "rcx" },
	{ { X86_REG_RDX, X86_REG_EDX, X86_REG_DX, X86_REG_DL, X86_REG_DH }, "rdx" },
	{ { X86_REG_RSI, X86_REG_ESI, X86_REG_SI, X86_REG_SIL }, "rsi" },
	{ { X86_REG_RDI, X86_REG_EDI, X86_REG_DI, X86_REG_DIL }, "rdi" },
	{ { X86_REG_RBP, X86_REG_EBP, X86_REG_BP, X86_REG_BPL }, "rbp" },
	{ { X86_REG_RSP, X86_REG_ESP, X86_REG_SP, X86_REG_SPL }, "rsp" },
	{ { X86_REG_R8, X86_REG_R8D, X86_REG_R8W, X86_REG_R8B }, "r8" },
	{ { X86_REG_R9, X86_REG_R9D, X86_REG_R9W, X86_REG_R9B }, "r9" },
	{ { X86_REG_R10, X86_REG_R10D, X86_REG_R10W, X86_REG_R10B }, "r10" },
	{ { X86_REG_R11, X86_REG_R11D, X86_REG_R11W, X86_REG_R11B }, "r11" },
	{ { X86_REG_R12, X86_REG_R12D, X86_REG_R12W, X86_REG_R12B }, "r12" },
	{ { X86_REG_R13, X86_REG_R13D, X86_REG_R13W, X86_REG_R13B }, "r13" },
	{ { X86_REG_R14, X86_REG_R14D, X86_REG_R14W, X86_REG_R14B }, "r14" },
	{ { X86_REG_R15, X86_REG_R15D, X86_REG_R15W, X86_REG_R15B }, "r15" },
};

static uint64_t part_of(uint64_t value, size_t part)
{
	static const uint64_t masks[] = { UINT64_MAX, UINT32_MAX, UINT16_MAX, UINT8_MAX, UINT8_MAX };

	return (part == 4 ? value >> 8 : value) & masks[part];
}

int gc_x86_register(const struct gc_regs *regs, x86_reg reg, uint64_t *value)
{
	for (size_t i = 0; reg != X86_REG_INVALID && i < GC_COUNT(registers); i++) {
		for (size_t part = 0; part < GC_COUNT(registers[i].parts); part++) {
			const int row = gc_arch_reg_named(regs->map->arch, registers[i].name);
			uint64_t whole;

			if (registers[i].parts[part] != reg)
				continue;
			if (!gc_regs_u64(regs, row, &whole))
				return -1;
			*value = part_of(whole, part);
			return row;
		}
	}
	return -1; /* a vector of addresses */
}

static void note_row(struct gc_access *a, int row)
{
	for (size_t i = 0; i < a->nrows; i++)
		if (a->rows[i] == row)
			return;
	a->rows[a->nrows++] = (int16_t)row;
}

/** Value of a register by name, and note that the address depends on it. */
static bool use_named(const struct operands *o, struct gc_access *a, const char *name, uint64_t *value)
{
	int row = gc_arch_reg_named(o->regs->map->arch, name);

	if (!gc_regs_u64(o->regs, row, value))
		return false;
	note_row(a, row);
	return true;
}

/** Value of a base or index register; those that are none count as 0. */
static bool use_reg(const struct operands *o, struct gc_access *a, x86_reg reg, uint64_t *value)
{
	int row;

	*value = 0;
	if (reg == X86_REG_INVALID || reg == X86_REG_RIZ || reg == X86_REG_EIZ)
		return true;
	if (reg == X86_REG_RIP || reg == X86_REG_EIP) {
		*value = o->insn->address + o->insn->size; /* of the next instruction */
		return true;
	}
	row = gc_x86_register(o->regs, reg, value);
	if (row < 0)
		return false;
	note_row(a, row);
	return true;
}

/** In 64-bit mode the other segments start at 0. */
static bool use_segment(const struct operands *o, struct gc_access *a, x86_reg segment, uint64_t *base)
{
	*base = 0;
	if (segment == X86_REG_FS)
		return use_named(o, a, "fs_base", base);
	if (segment == X86_REG_GS)
		return use_named(o, a, "gs_base", base);
	return true;
}

/** bt and its kin reach as far as the number of the bit in the register says. */
static bool add_bit_offset(const struct operands *o, struct gc_access *a, uint8_t size, uint64_t *addr)
{
	const cs_x86_op *bit = &o->x86->operands[1];
	uint64_t number;
	int64_t words;

	switch (o->insn->id) {
	case X86_INS_BT:
	case X86_INS_BTC:
	case X86_INS_BTR:
	case X86_INS_BTS:
		break;
	default:
		return true;
	}
	if (o->x86->op_count != 2 || bit->type != X86_OP_REG)
		return true;
	if ((size != 4 && size != 8) || !use_reg(o, a, bit->reg, &number))
		return false;
	words = size == 8 ? (int64_t)number >> 6 : (int32_t)number >> 5;
	*addr += (uint64_t)words * size;
	return true;
}

static bool address_of(const struct operands *o, const cs_x86_op *op, struct gc_access *a)
{
	uint64_t base, index, segment, addr;

	if (!use_reg(o, a, op->mem.base, &base) || !use_reg(o, a, op->mem.index, &index) ||
	    !use_segment(o, a, op->mem.segment, &segment))
		return false;
	if (o->insn->id == X86_INS_POP && (op->mem.base == X86_REG_RSP || op->mem.base == X86_REG_ESP))
		base += op->size; /* "computes the effective address after it increments" */
	addr = base + index * (uint64_t)op->mem.scale + (uint64_t)op->mem.disp;
	if (!add_bit_offset(o, a, op->size, &addr))
		return false;
	if (o->x86->addr_size == 4)
		addr = (uint32_t)addr;
	a->addr = addr + segment;
	return true;
}

static bool is_mov(const cs_insn *insn)
{
	return strncmp(insn->mnemonic, "mov", 3) == 0 || strncmp(insn->mnemonic, "vmov", 4) == 0;
}

/** Names an address, but does not go there. */
static bool only_computes(const cs_insn *insn)
{
	switch (insn->id) {
	case X86_INS_LEA:
	case X86_INS_NOP:
	case X86_INS_PREFETCH:
	case X86_INS_PREFETCHNTA:
	case X86_INS_PREFETCHT0:
	case X86_INS_PREFETCHT1:
	case X86_INS_PREFETCHT2:
	case X86_INS_PREFETCHW:
		return true;
	default:
		return false;
	}
}

static void add_operand(struct operands *o, const cs_x86_op *op, bool first)
{
	struct gc_access a = { .size = op->size };

	if (op->type != X86_OP_MEM || o->count == GC_MAX_ACCESSES || !address_of(o, op, &a))
		return;
	a.read = op->access & CS_AC_READ;
	a.write = op->access & CS_AC_WRITE;
	if (first && o->x86->op_count > 1 && is_mov(o->insn)) { /* capstone 4 says "read" of many vector moves */
		a.read = false;
		a.write = true;
	}
	o->out[o->count++] = a;
}

/** An access at a register + @offset that the instruction does not show. */
static void add_implicit(struct operands *o, const char *name, int64_t offset, uint64_t size, bool write)
{
	struct gc_access a = { .size = size, .read = !write, .write = write };
	uint64_t base;

	if (o->count == GC_MAX_ACCESSES || !use_named(o, &a, name, &base))
		return;
	a.addr = base + (uint64_t)offset;
	o->out[o->count++] = a;
}

/** What push and pop move: 2 bytes with an operand size prefix, else 8. */
static int64_t stack_width(const cs_x86 *x86)
{
	return x86->prefix[2] == 0x66 ? 2 : POINTER_SIZE;
}

static void add_translation(struct operands *o)
{
	struct gc_access a = { .size = 1, .read = true };
	uint64_t table, index;

	if (o->count == GC_MAX_ACCESSES || !use_named(o, &a, "rbx", &table) || !use_named(o, &a, "rax", &index))
		return;
	a.addr = table + (uint8_t)index;
	o->out[o->count++] = a;
}

static void add_implicits(struct operands *o)
{
	int64_t width = stack_width(o->x86);

	switch (o->insn->id) {
	case X86_INS_CALL:
	case X86_INS_ENTER:
		add_implicit(o, "rsp", -POINTER_SIZE, POINTER_SIZE, true);
		break;
	case X86_INS_PUSH:
	case X86_INS_PUSHF:
	case X86_INS_PUSHFQ:
		add_implicit(o, "rsp", -width, (uint64_t)width, true);
		break;
	case X86_INS_POP:
	case X86_INS_POPF:
	case X86_INS_POPFQ:
		add_implicit(o, "rsp", 0, (uint64_t)width, false);
		break;
	case X86_INS_RET:
		add_implicit(o, "rsp", 0, POINTER_SIZE, false);
		break;
	case X86_INS_LEAVE:
		add_implicit(o, "rbp", 0, POINTER_SIZE, false);
		break;
	case X86_INS_XLATB:
		add_translation(o);
		break;
	case X86_INS_MASKMOVQ:
		add_implicit(o, "rdi", 0, 8, true);
		break;
	case X86_INS_MASKMOVDQU:
	case X86_INS_VMASKMOVDQU:
		add_implicit(o, "rdi", 0, 16, true);
		break;
	}
}

size_t gc_operands_x86(const struct gc_regs *regs, const cs_insn *insn,
		       struct gc_access out[GC_MAX_ACCESSES])
{
	struct operands o = { .regs = regs, .x86 = &insn->detail->x86, .insn = insn, .out = out };

	if (only_computes(insn))
		return 0;
	for (uint8_t i = 0; i < o.x86->op_count; i++)
		add_operand(&o, &o.x86->operands[i], i == 0);
	add_implicits(&o);
	return o.count;
}
