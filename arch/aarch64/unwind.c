/* Unwinding where no table tells how. */
#include "gocore/bytes.h"

#include "aarch64.h"

/* __kernel_rt_sigreturn of the vDSO, and what qemu puts on a page of its own */
const struct gc_sigreturn aarch64_sigreturns[AARCH64_NSIGRETURNS] = {
	{ .len = 8, .call = 4, .code = { 0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4 } }, /* mov x8, #139; svc #0 */
};

/* Encodings: Arm Architecture Reference Manual, C6 "A64 Base Instruction Descriptions" */

static bool is_call(uint32_t insn)
{
	return (insn & 0xfc000000) == 0x94000000 ||  /* bl */
	       (insn & 0xfffffc1f) == 0xd63f0000 ||  /* blr */
	       (insn & 0xfefff800) == 0xd63f0800;    /* blraa, blrab and those with a zero modifier */
}

static int64_t sign_extend(uint32_t value, unsigned width)
{
	const int64_t sign = (int64_t)1 << (width - 1);

	return ((int64_t)value ^ sign) - sign;
}

/** Where @insn at @pc goes on. */
static void find_next(uint32_t insn, uint64_t pc, struct gc_flow *out)
{
	if (is_call(insn)) {
		out->next = GC_FLOW_CALL;
	} else if ((insn & 0xfffffbff) == 0xd65f0bff || (insn & 0xfffffc1f) == 0xd65f0000 || /* retaa, retab, ret */
		   (insn & 0xffe0001f) == 0xd4200000 || (insn & 0xffff0000) == 0) {          /* brk, udf */
		out->next = GC_FLOW_END;
	} else if ((insn & 0xfffffc1f) == 0xd61f0000 || (insn & 0xfefff800) == 0xd61f0800) { /* br, braa, brab... */
		out->next = GC_FLOW_JUMP;
	} else if ((insn & 0xfc000000) == 0x14000000) { /* b */
		out->next = GC_FLOW_JUMP;
		out->has_target = true;
		out->target = pc + (uint64_t)(4 * sign_extend(insn & 0x3ffffff, 26));
	} else if ((insn & 0xff000000) == 0x54000000 || (insn & 0x7e000000) == 0x34000000) { /* b.cond, cbz, cbnz */
		out->next = GC_FLOW_BRANCH;
		out->has_target = true;
		out->target = pc + (uint64_t)(4 * sign_extend(insn >> 5 & 0x7ffff, 19));
	} else if ((insn & 0x7e000000) == 0x36000000) { /* tbz, tbnz */
		out->next = GC_FLOW_BRANCH;
		out->has_target = true;
		out->target = pc + (uint64_t)(4 * sign_extend(insn >> 5 & 0x3fff, 14));
	}
}

static void save(struct gc_flow *out, uint32_t reg, int64_t at)
{
	if (reg == 29) {
		out->saves_fp = true;
		out->fp_at = at;
	} else if (reg == 30) {
		out->saves_ret = true;
		out->ret_at = at;
	}
}

static void load(struct gc_flow *out, uint32_t reg, int64_t at)
{
	if (reg == 29) {
		out->fp = GC_FLOW_FP_LOADED;
		out->fp_by = at;
	}
	out->loads_ret |= reg == 30;
}

/** stp and ldp of registers, "Load/store register pair", relative to sp; @wide: of x registers */
static bool find_pair(uint32_t insn, bool wide, struct gc_flow *out)
{
	const int64_t imm = 8 * sign_extend(insn >> 15 & 0x7f, 7);
	const uint32_t index = insn >> 23 & 3; /* 1: behind the access, 2: none, 3: before it */
	const bool is_load = insn >> 22 & 1;
	const int64_t at = index == 2 ? imm : index == 3 ? 0 : -imm;

	if ((insn & 0xfe0003e0) != (wide ? 0xa80003e0 : 0x6c0003e0))
		return false;
	if (index & 1)
		out->sp_by = imm;
	if (wide && is_load) {
		load(out, insn & 31, at);
		load(out, insn >> 10 & 31, at + 8);
	} else if (wide) {
		save(out, insn & 31, at);
		save(out, insn >> 10 & 31, at + 8);
	}
	return true;
}

/** str and ldr of one x register relative to sp: "unscaled, pre- and post-indexed" or "unsigned offset" */
static bool find_single(uint32_t insn, struct gc_flow *out)
{
	const bool is_load = insn >> 22 & 1, indexed = (insn & 0xffa003e0) == 0xf80003e0;
	const int64_t imm9 = sign_extend(insn >> 12 & 0x1ff, 9);
	const uint32_t index = insn >> 10 & 3; /* 0: none, 1: behind, 3: before the access */
	int64_t at = index == 0 ? imm9 : index == 1 ? -imm9 : 0;

	if (!indexed && (insn & 0xff8003e0) != 0xf90003e0)
		return false;
	if (!indexed)
		at = 8 * (int64_t)(insn >> 10 & 0xfff);
	else if (index & 1)
		out->sp_by = imm9;
	if (is_load)
		load(out, insn & 31, at);
	else
		save(out, insn & 31, at);
	return true;
}

/** add and sub of a constant that have to do with sp or x29. */
static bool find_sum(uint32_t insn, struct gc_flow *out)
{
	const int64_t imm12 = (int64_t)(insn >> 10 & 0xfff) << (insn >> 22 & 1 ? 12 : 0);
	const int64_t by = insn >> 30 & 1 ? -imm12 : imm12;
	const uint32_t to = insn & 31, from = insn >> 5 & 31;

	if ((insn & 0xbf800000) != 0x91000000 || (to != 31 && to != 29))
		return false;
	if (to == 31) {
		out->sp = from == 31 ? GC_FLOW_SP_BY : from == 29 ? GC_FLOW_SP_FROM_FP : GC_FLOW_SP_LOST;
		out->sp_by = by;
	} else {
		out->fp = from == 31 ? GC_FLOW_FP_FROM_SP : GC_FLOW_FP_LOST;
		out->fp_by = by;
	}
	return true;
}

/** What the others that compilers use may do: "Data processing" with x29, sp by a register. */
static void find_rest(uint32_t insn, struct gc_flow *out)
{
	const bool is_immediate = (insn & 0x1c000000) == 0x10000000, is_register = (insn & 0x0e000000) == 0x0a000000;

	if ((insn & 0x3fe0001f) == 0x0b20001f && !(insn >> 29 & 1)) /* add, sub sp, sp, x */
		out->sp = GC_FLOW_SP_LOST;
	else if ((insn & 0x7f80001f) == 0x1200001f) /* and sp, x, #imm */
		out->sp = GC_FLOW_SP_LOST;
	else if ((is_immediate || is_register) && (insn & 31) == 29)
		out->fp = GC_FLOW_FP_LOST;
}

bool aarch64_flow(const uint8_t *code, size_t len, uint64_t pc, struct gc_flow *out)
{
	uint32_t insn;

	*out = (struct gc_flow){ .len = 4 };
	if (len < 4)
		return false;
	insn = gc_load_le32(code);
	find_next(insn, pc, out);
	if (out->next == GC_FLOW_ON && !find_pair(insn, true, out) && !find_pair(insn, false, out) &&
	    !find_single(insn, out) && !find_sum(insn, out))
		find_rest(insn, out);
	return true;
}

bool aarch64_is_call(const uint8_t *code, size_t len, uint64_t ret, uint64_t *target)
{
	uint32_t insn;

	*target = 0;
	if (len < 4)
		return false;
	insn = gc_load_le32(code + len - 4);
	if ((insn & 0xfc000000) == 0x94000000) /* a signed distance in words */
		*target = ret - 4 + (uint64_t)((int64_t)((uint64_t)insn << 38) >> 36);
	return is_call(insn);
}
