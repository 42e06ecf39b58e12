/* Unwinding where no table tells how. */
#include "gocore/bytes.h"

#include "aarch64.h"

/* __kernel_rt_sigreturn of the vDSO, and what qemu puts on a page of its own */
const struct gc_sigreturn aarch64_sigreturns[AARCH64_NSIGRETURNS] = {
	{ .len = 8, .call = 4, .code = { 0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4 } }, /* mov x8, #139; svc #0 */
};

/* Encodings: Arm Architecture Reference Manual, C6 "A64 Base Instruction Descriptions" */

#define MAX_FRAME 0x1000000

static bool is_call(uint32_t insn)
{
	return (insn & 0xfc000000) == 0x94000000 ||  /* bl */
	       (insn & 0xfffffc1f) == 0xd63f0000 ||  /* blr */
	       (insn & 0xfefff800) == 0xd63f0800;    /* blraa, blrab and those with a zero modifier */
}

/** By how much @insn moves sp down. */
static int64_t moves_sp(uint32_t insn)
{
	const uint32_t imm12 = (insn >> 10 & 0xfff) << (insn >> 22 & 1 ? 12 : 0);
	const int64_t imm7 = ((int64_t)(insn >> 15 & 0x7f) ^ 0x40) - 0x40;
	const int64_t imm9 = ((int64_t)(insn >> 12 & 0x1ff) ^ 0x100) - 0x100;

	if ((insn & 0xff8003ff) == 0xd10003ff)       /* sub sp, sp, #imm */
		return imm12;
	if ((insn & 0xff8003ff) == 0x910003ff)       /* add sp, sp, #imm */
		return -(int64_t)imm12;
	if ((insn & 0xffc003e0) == 0xa98003e0 || (insn & 0xffc003e0) == 0xa8c003e0)
		return -8 * imm7;                    /* stp x, x, [sp, #imm]! and ldp x, x, [sp], #imm */
	if ((insn & 0xffc003e0) == 0x6d8003e0 || (insn & 0xffc003e0) == 0x6cc003e0)
		return -8 * imm7;                    /* the same with d registers */
	if ((insn & 0xffe00fe0) == 0xf8000fe0 || (insn & 0xffe00fe0) == 0xf84007e0)
		return -imm9;                        /* str x, [sp, #imm]! and ldr x, [sp], #imm */
	return 0;
}

/** What the code up to some instruction has done; distances are from the sp of the entry down. */
struct progress {
	int64_t down;
	int64_t frame;           /* where x29 points to */
	int64_t saved[2];        /* where x29 and x30 lie */
	bool has_frame, is_saved[2], called;
};

static void save(struct progress *p, uint32_t reg, int64_t at)
{
	if (reg == 29 || reg == 30) {
		p->is_saved[reg - 29] = true;
		p->saved[reg - 29] = at;
	}
}

/** Stores of x registers relative to sp, once sp was moved. */
static void look_for_stores(struct progress *p, uint32_t insn)
{
	const int64_t imm7 = ((int64_t)(insn >> 15 & 0x7f) ^ 0x40) - 0x40;

	if ((insn & 0xffc003e0) == 0xa98003e0 || (insn & 0xffc003e0) == 0xa90003e0) { /* stp, with ! or not */
		int64_t at = p->down - (insn >> 23 & 1 ? 0 : 8 * imm7);

		save(p, insn & 31, at);
		save(p, insn >> 10 & 31, at - 8);
	} else if ((insn & 0xffe00fe0) == 0xf8000fe0) { /* str x, [sp, #imm]! */
		save(p, insn & 31, p->down);
	} else if ((insn & 0xffc003e0) == 0xf90003e0) { /* str x, [sp, #imm] */
		save(p, insn & 31, p->down - 8 * (int64_t)(insn >> 10 & 0xfff));
	}
}

/** Loads of x30 from where it was saved. */
static bool drops_frame(uint32_t insn)
{
	return (insn & 0xffc07fe0) == 0xa9407be0 || (insn & 0xffc07fe0) == 0xa8c07be0 || /* ldp x, x30, [sp... */
	       (insn & 0xffe00fff) == 0xf84007fe || (insn & 0xffc003ff) == 0xf94003fe;   /* ldr x30, [sp... */
}

/** A return, or a branch that may be a call in its place. */
static bool leaves(uint32_t insn)
{
	return insn == 0xd65f03c0 || (insn & 0xfffffbff) == 0xd65f0bff || /* ret, retaa, retab */
	       (insn & 0xfc000000) == 0x14000000 || (insn & 0xfffffc1f) == 0xd61f0000; /* b, br */
}

static void advance(struct progress *p, uint32_t insn)
{
	p->called |= is_call(insn);
	p->down += moves_sp(insn);
	look_for_stores(p, insn);
	if ((insn & 0xff8003ff) == 0x910003fd) { /* add x29, sp, #imm; mov x29, sp is one of them */
		p->has_frame = true;
		p->frame = p->down - (int64_t)(insn >> 10 & 0xfff);
	}
}

static bool is_sane(const struct progress *p)
{
	return p->down >= 0 && p->down <= MAX_FRAME && (!p->has_frame || (p->frame >= 0 && p->frame <= MAX_FRAME)) &&
	       (!p->is_saved[0] || (p->saved[0] >= 0 && p->saved[0] <= MAX_FRAME)) &&
	       (!p->is_saved[1] || (p->saved[1] >= 0 && p->saved[1] <= MAX_FRAME));
}

/** Code behind an early return runs with the frame that the return dropped. */
bool aarch64_prologue(const uint8_t *code, size_t at, size_t len, struct gc_prologue *out)
{
	struct progress now = { 0 }, dropped = { 0 };
	bool has_dropped = false;

	for (size_t i = 0; i < at && len - i >= 4; i += 4) {
		const uint32_t insn = gc_load_le32(code + i);

		if (drops_frame(insn) && !has_dropped) {
			dropped = now;
			has_dropped = true;
			now.called = now.has_frame = now.is_saved[0] = now.is_saved[1] = false;
		}
		advance(&now, insn);
		if (leaves(insn) && has_dropped) {
			now = dropped;
			has_dropped = false;
		}
	}
	*out = (struct gc_prologue){
		.pushed = (uint32_t)now.down, .has_frame = now.has_frame, .frame = (uint32_t)now.frame,
		.fp_saved = now.is_saved[0], .fp_at = (uint32_t)now.saved[0],
		.ret_saved = now.is_saved[1], .ret_at = (uint32_t)now.saved[1],
	};
	return is_sane(&now) && (now.is_saved[1] || !now.called);
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
