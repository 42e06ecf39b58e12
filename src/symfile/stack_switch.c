/*
 * Where the frame is that a stack was left at: DWARF expressions (DWARF 4,
 * section 2.5) with the rules of src/go/stack.c, for call frame information.
 */
#include <dwarf.h>

#include "symfile/emit.h"
#include "symfile/symfile.h"

#define POINTER_SIZE 8

static void op_register(struct gc_buf *code, unsigned reg, int64_t offset)
{
	if (reg < 32) {
		emit_u8(code, DW_OP_breg0 + reg);
	} else {
		emit_u8(code, DW_OP_bregx);
		emit_uleb(code, reg);
	}
	emit_sleb(code, offset);
}

static void op_plus(struct gc_buf *code, uint64_t value)
{
	emit_u8(code, DW_OP_plus_uconst);
	emit_uleb(code, value);
}

/** Push what is at register + @offset. */
static void op_load(struct gc_buf *code, unsigned reg, int64_t offset)
{
	op_register(code, reg, offset);
	emit_u8(code, DW_OP_deref);
}

/** Replace an address by what is @offset behind it. */
static void op_follow(struct gc_buf *code, uint64_t offset)
{
	op_plus(code, offset);
	emit_u8(code, DW_OP_deref);
}

/** Push a copy of the entry @below the top. */
static void op_pick(struct gc_buf *code, unsigned below)
{
	emit_u8(code, DW_OP_pick);
	emit_u8(code, below);
}

/** @return where the distance of a DW_OP_bra or DW_OP_skip is to be put */
static size_t op_jump(struct gc_buf *code, unsigned opcode)
{
	emit_u8(code, opcode);
	emit_u16(code, 0);
	return code->len;
}

/** To what was at @target bytes. */
static void op_jump_back(struct gc_buf *code, size_t target)
{
	emit_u8(code, DW_OP_skip);
	emit_u16(code, (unsigned)(target - (code->len + 2)));
}

static void op_land(struct gc_buf *code, size_t jump)
{
	if (!code->failed)
		gc_store_le16(code->data + jump - 2, (uint16_t)(code->len - jump));
}

/** Push the address of this thread's runtime.m. */
static void op_m(const struct symfile *s, struct gc_buf *code)
{
	op_load(code, symfile_dwarf(s, s->abi->g), s->offsets.g_m);
}

/**
 * Push the address of the goroutine that this thread works for; of g0 if it
 * has none any more, whose stack is then the one that is left.
 */
static void op_goroutine(const struct symfile *s, struct gc_buf *code)
{
	size_t end;

	op_m(s, code);
	op_follow(code, s->offsets.m_curg);
	emit_u8(code, DW_OP_dup);
	end = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_m(s, code);
	op_follow(code, s->offsets.m_g0);
	op_land(code, end);
}

/** systemstack runs its argument on g0's stack; its own frame is where m.curg was left. */
void symfile_systemstack_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code)
{
	const struct gc_go_offsets *o = &s->offsets;
	size_t same, end;

	op_goroutine(s, code);
	emit_u8(code, DW_OP_dup);
	op_register(code, symfile_dwarf(s, s->abi->g), 0);
	emit_u8(code, DW_OP_eq);
	same = op_jump(code, DW_OP_bra); /* not gone yet, or back again */
	op_follow(code, o->g_sched_sp);
	end = op_jump(code, DW_OP_skip);
	op_land(code, same);
	emit_u8(code, DW_OP_drop);
	op_register(code, symfile_dwarf(s, s->arch->sp), 0);
	op_land(code, end);
	op_plus(code, size);
}

/** asmcgocall keeps the depth of the stack that it leaves; with no g, the stack pointer itself. */
void symfile_asmcgocall_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code)
{
	const struct gc_go_abi *abi = s->abi;
	bool old = abi->asmcgocall[1].depth && !s->landingpad;
	uint8_t g = abi->asmcgocall[old].g, depth = abi->asmcgocall[old].depth;
	size_t with_g, end;

	op_load(code, symfile_dwarf(s, s->arch->sp), g);
	emit_u8(code, DW_OP_dup);
	with_g = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_load(code, symfile_dwarf(s, s->arch->sp), depth);
	end = op_jump(code, DW_OP_skip);
	op_land(code, with_g);
	op_follow(code, s->offsets.g_stack_hi);
	op_load(code, symfile_dwarf(s, s->arch->sp), depth);
	emit_u8(code, DW_OP_minus);
	op_land(code, end);
	op_plus(code, size);
}

/** With [sp, runtime.g] pushed: is sp outside the goroutine's stack? Leaves [sp, runtime.g] and jumps. */
static void op_outside(const struct symfile *s, struct gc_buf *code, size_t jumps[2])
{
	emit_u8(code, DW_OP_over);
	emit_u8(code, DW_OP_over);
	op_follow(code, s->offsets.g_stack_lo);
	emit_u8(code, DW_OP_lt);
	jumps[0] = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_over);
	emit_u8(code, DW_OP_over);
	op_follow(code, s->offsets.g_stack_hi);
	emit_u8(code, DW_OP_ge);
	jumps[1] = op_jump(code, DW_OP_bra);
}

/** Push the address of the goroutine that this thread works for, or 0. */
static void op_curg(const struct symfile *s, struct gc_buf *code)
{
	size_t none;

	op_m(s, code);
	emit_u8(code, DW_OP_dup);
	emit_u8(code, DW_OP_lit0);
	emit_u8(code, DW_OP_eq);
	none = op_jump(code, DW_OP_bra);
	op_follow(code, s->offsets.m_curg);
	op_land(code, none);
}

/**
 * With [depth] pushed, replace it by the stack pointer on g0's stack of the
 * cgocallback whose goroutine had @depth bytes of stack in use: of the newest
 * one, m.g0.sched.sp; each keeps that of the one before. The asmcgocall below
 * an older one's frame has noted the depth. An M that C made has no older one.
 */
static void op_find_callback(const struct symfile *s, struct gc_buf *code)
{
	const struct gc_go_abi *abi = s->abi;
	bool old = abi->asmcgocall[1].depth && !s->landingpad;
	size_t loop, last, found;

	op_m(s, code);
	op_follow(code, s->offsets.m_g0);
	op_follow(code, s->offsets.g_sched_sp);
	loop = code->len; /* [depth, sp] */
	emit_u8(code, DW_OP_dup);
	op_follow(code, abi->callback_sp);
	emit_u8(code, DW_OP_dup);
	op_pick(code, 2);
	emit_u8(code, DW_OP_le);
	last = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_dup); /* [depth, sp, older sp, older sp] */
	emit_u8(code, DW_OP_const1u);
	emit_u8(code, abi->asmcgocall[old].size);
	emit_u8(code, DW_OP_minus);
	emit_u8(code, DW_OP_const1s);
	emit_u8(code, (uint8_t)-16);
	emit_u8(code, DW_OP_and);
	op_follow(code, abi->asmcgocall[old].depth);
	op_pick(code, 3);
	emit_u8(code, DW_OP_eq);
	found = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_swap);
	emit_u8(code, DW_OP_drop); /* [depth, older sp] */
	op_jump_back(code, loop);
	op_land(code, last);
	op_land(code, found);
	emit_u8(code, DW_OP_drop);
	emit_u8(code, DW_OP_swap);
	emit_u8(code, DW_OP_drop);
}

/**
 * cgocallback copies its frame from g0's stack, where C called it, to the
 * goroutine's. The caller is found from the one on g0's.
 */
void symfile_callback_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code)
{
	size_t some, none, outside[2], end;

	op_register(code, symfile_dwarf(s, s->arch->sp), 0);
	op_curg(s, code);
	emit_u8(code, DW_OP_dup);
	some = op_jump(code, DW_OP_bra);
	none = op_jump(code, DW_OP_skip);
	op_land(code, some);
	op_outside(s, code, outside);
	op_follow(code, s->offsets.g_stack_hi);
	emit_u8(code, DW_OP_swap);
	op_plus(code, size);
	emit_u8(code, DW_OP_minus); /* [depth] */
	op_find_callback(s, code);
	end = op_jump(code, DW_OP_skip);
	op_land(code, none);
	op_land(code, outside[0]);
	op_land(code, outside[1]);
	emit_u8(code, DW_OP_drop);
	op_land(code, end);
	op_plus(code, size);
}

/** What the runtime noted before it called the vDSO; as usual if it has noted nothing. */
void symfile_vdso_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code)
{
	size_t end;

	op_m(s, code);
	op_follow(code, s->offsets.m_vdso_sp);
	emit_u8(code, DW_OP_dup);
	end = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_register(code, symfile_dwarf(s, s->arch->sp), (int64_t)size);
	op_land(code, end);
}

void symfile_vdso_caller(const struct symfile *s, uint64_t size, struct gc_buf *code)
{
	const struct gc_go_abi *abi = s->abi;
	size_t noted, end;

	op_m(s, code);
	emit_u8(code, DW_OP_dup);
	op_follow(code, s->offsets.m_vdso_sp);
	noted = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_register(code, symfile_dwarf(s, s->arch->sp), abi->link_register ? 0 : (int64_t)size - POINTER_SIZE);
	end = op_jump(code, DW_OP_skip);
	op_land(code, noted);
	op_plus(code, s->offsets.m_vdso_pc);
	op_land(code, end);
}

/** A register of the goroutine, as it was left. */
void symfile_goroutine_field(const struct symfile *s, uint64_t field, struct gc_buf *code)
{
	op_goroutine(s, code);
	op_plus(code, field);
}


void symfile_goroutine_value(const struct symfile *s, uint64_t field, struct gc_buf *code)
{
	symfile_goroutine_field(s, field, code);
	emit_u8(code, DW_OP_deref);
}
