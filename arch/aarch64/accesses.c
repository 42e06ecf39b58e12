/*
 * What loads and stores access, from their encodings: Arm Architecture
 * Reference Manual for A-profile, C4.1 "Loads and Stores". A disassembler's
 * answer would depend on its version: the older ones know neither the atomics
 * of Armv8.1 nor memory tags. SVE and the memory copies of Armv8.8, which
 * touch many places, and loads that authenticate are left out.
 */
#include "gocore/bytes.h"

#include "aarch64.h"

/** Bits @high to @low of @insn. */
static uint32_t bits(uint32_t insn, unsigned high, unsigned low)
{
	return insn >> low & ((1U << (high - low + 1)) - 1);
}

static int64_t sign_extend(uint64_t value, unsigned width)
{
	uint64_t sign = (uint64_t)1 << (width - 1);

	return (int64_t)((value ^ sign) - sign);
}

/** An instruction while it is looked at. */
struct insn {
	const struct gc_regs *regs;
	uint64_t pc;
	uint32_t bits;
	struct gc_access *out;
};

static bool add_row(struct insn *in, int row, uint64_t *value)
{
	if (!gc_regs_u64(in->regs, row, value))
		return false;
	in->out->rows[in->out->nrows++] = (int16_t)row;
	return true;
}

/** The access is at base register + @offset. */
static bool at_base(struct insn *in, int64_t offset, uint64_t size, bool read, bool write)
{
	unsigned rn = bits(in->bits, 9, 5);
	uint64_t base;

	*in->out = (struct gc_access){ .size = size, .read = read, .write = write };
	if (!add_row(in, rn == 31 ? ROW_SP : (int)(ROW_X0 + rn), &base))
		return false;
	in->out->addr = base + (uint64_t)offset;
	return true;
}

/** "Load/store exclusive pair", "... register", "... ordered", "Compare and swap (pair)" */
static bool exclusive(struct insn *in)
{
	uint32_t i = in->bits;
	uint64_t size = (uint64_t)1 << bits(i, 31, 30);
	bool load = bits(i, 22, 22), pair = bits(i, 23, 23) == 0 && bits(i, 21, 21);
	bool swaps = bits(i, 21, 21) && (bits(i, 23, 23) || !bits(i, 31, 31));

	if (pair)
		size = (uint64_t)8 << bits(i, 30, 30);
	return at_base(in, 0, size, load || swaps, !load || swaps);
}

/** "Load register (literal)" */
static bool literal(struct insn *in)
{
	uint32_t i = in->bits, opc = bits(i, 31, 30);
	bool vector = bits(i, 26, 26);

	if (opc == 3) /* PRFM, or nothing */
		return false;
	*in->out = (struct gc_access){
		.addr = in->pc + (uint64_t)(sign_extend(bits(i, 23, 5), 19) * 4),
		.size = vector ? 4U << opc : opc == 1 ? 8 : 4,
		.read = true,
	};
	return true;
}

/** "Load/store register pair" of all kinds, and STGP */
static bool pair(struct insn *in)
{
	uint32_t i = in->bits, opc = bits(i, 31, 30);
	bool load = bits(i, 22, 22), vector = bits(i, 26, 26), post = bits(i, 24, 23) == 1;
	uint64_t bytes = vector ? 4U << opc : opc == 2 ? 8 : 4, size = 2 * bytes;

	if (opc == 3)
		return false;
	if (!vector && opc == 1 && !load) /* STGP counts its offset in granules */
		size = bytes = 16;
	return at_base(in, post ? 0 : sign_extend(bits(i, 21, 15), 7) * (int64_t)bytes, size, load, !load);
}

/** Value of the index register of "Load/store register (register offset)" */
static bool index_of(struct insn *in, unsigned shift, uint64_t *out)
{
	uint32_t i = in->bits, rm = bits(i, 20, 16), option = bits(i, 15, 13);
	uint64_t value = 0;

	if (rm != 31 && !add_row(in, (int)(ROW_X0 + rm), &value))
		return false;
	if (option == 2) /* UXTW */
		value = (uint32_t)value;
	else if (option == 6) /* SXTW */
		value = (uint64_t)sign_extend((uint32_t)value, 32);
	else if (option != 3 && option != 7)
		return false;
	*out = value << (bits(i, 12, 12) ? shift : 0);
	return true;
}

/** "Atomic memory operations": all read and write but LDAPR. */
static bool atomic(struct insn *in)
{
	uint32_t i = in->bits;
	bool ldapr = bits(i, 23, 22) == 2 && bits(i, 15, 12) == 12;

	if (bits(i, 26, 26))
		return false;
	return at_base(in, 0, (uint64_t)1 << bits(i, 31, 30), true, !ldapr);
}

/** "Load/store register": one register, all ways of addressing */
static bool single(struct insn *in)
{
	uint32_t i = in->bits, size = bits(i, 31, 30), opc = bits(i, 23, 22);
	bool vector = bits(i, 26, 26), load = vector ? opc & 1 : opc != 0;
	unsigned scale = vector ? (opc & 2) << 1 | size : size;
	uint64_t index;

	if (!bits(i, 24, 24) && bits(i, 21, 21) && bits(i, 11, 10) == 0)
		return atomic(in);
	if (scale > 4 || (!vector && size == 3 && opc == 2)) /* the latter is PRFM */
		return false;
	if (bits(i, 24, 24))
		return at_base(in, (int64_t)bits(i, 21, 10) << scale, (uint64_t)1 << scale, load, !load);
	if (!bits(i, 21, 21))
		return at_base(in, bits(i, 11, 10) == 1 ? 0 : sign_extend(bits(i, 20, 12), 9), (uint64_t)1 << scale,
			       load, !load);
	if (bits(i, 11, 10) != 2 || !at_base(in, 0, (uint64_t)1 << scale, load, !load) || !index_of(in, scale, &index))
		return false;
	in->out->addr += index;
	return true;
}

/** "LDAPR/STLR (unscaled immediate)" and "Load/store memory tags" */
static bool unscaled_or_tags(struct insn *in)
{
	uint32_t i = in->bits, how = bits(i, 11, 10), opc = bits(i, 23, 22);
	int64_t imm = sign_extend(bits(i, 20, 12), 9);

	if (!bits(i, 21, 21))
		return how == 0 && at_base(in, imm, (uint64_t)1 << bits(i, 31, 30), opc != 0, opc == 0);
	if (bits(i, 31, 30) != 3)
		return false;
	if (how == 0) /* LDG; STGM and its like do whole blocks */
		return opc == 1 && at_base(in, imm * 16, 16, true, false);
	return at_base(in, how == 1 ? 0 : imm * 16, opc & 2 ? 32 : 16, false, true);
}

/** "Advanced SIMD load/store multiple structures" */
static bool structures(struct insn *in)
{
	static const uint8_t registers[16] = { [0] = 4, [2] = 4, [4] = 3, [6] = 3, [7] = 1, [8] = 2, [10] = 2 };
	uint32_t i = in->bits, count = registers[bits(i, 15, 12)];
	bool load = bits(i, 22, 22);

	return count && at_base(in, 0, (uint64_t)count * (8U << bits(i, 30, 30)), load, !load);
}

/** "Advanced SIMD load/store single structure" */
static bool one_structure(struct insn *in)
{
	uint32_t i = in->bits, opcode = bits(i, 15, 13), size = bits(i, 11, 10);
	uint32_t elements = ((opcode & 1) << 1 | bits(i, 21, 21)) + 1, scale = opcode >> 1;
	bool load = bits(i, 22, 22);

	if (scale == 2)
		scale += size & 1;
	else if (scale == 3)
		scale = size;
	return at_base(in, 0, (uint64_t)elements << scale, load, !load);
}

/** DC ZVA, which memset uses. The size is DCZID_EL0's, 64 on all that Linux runs on so far. */
static bool zero_block(struct insn *in)
{
	enum { BLOCK = 64 };
	uint64_t addr;

	*in->out = (struct gc_access){ .size = BLOCK, .write = true };
	if (bits(in->bits, 4, 0) == 31 || !add_row(in, (int)(ROW_X0 + bits(in->bits, 4, 0)), &addr))
		return false;
	in->out->addr = addr & ~(uint64_t)(BLOCK - 1);
	return true;
}

static const struct {
	uint32_t mask, value;
	bool (*decode)(struct insn *in);
} classes[] = {
	{ 0x3f000000, 0x08000000, exclusive },
	{ 0x3f000000, 0x19000000, unscaled_or_tags },
	{ 0x3b000000, 0x18000000, literal },
	{ 0x3a000000, 0x28000000, pair },
	{ 0x3a000000, 0x38000000, single },
	{ 0xbf200000, 0x0c000000, structures },
	{ 0xbf000000, 0x0d000000, one_structure },
	{ 0xffffffe0, 0xd50b7420, zero_block },
};

size_t aarch64_accesses(const struct gc_regs *regs, uint64_t pc, const uint8_t *code, size_t len,
			struct gc_access out[GC_MAX_ACCESSES])
{
	struct insn in = { .regs = regs, .pc = pc, .out = &out[0] };

	if (len < 4)
		return 0;
	in.bits = gc_load_le32(code);
	for (size_t i = 0; i < GC_COUNT(classes); i++)
		if ((in.bits & classes[i].mask) == classes[i].value)
			return classes[i].decode(&in);
	return 0;
}
