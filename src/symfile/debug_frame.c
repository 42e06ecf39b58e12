/*
 * .debug_frame: how to get from each function to its caller.
 *
 * The rules are those of src/go/stack.c, put into call frame information
 * (DWARF 4, section 6.4). A function that a signal interrupted, or that a
 * signal handler made call another, has to be looked up by its exact pc; the
 * frame above it is marked as a signal frame (augmentation "S") for that.
 */
#include <dwarf.h>

#include "symfile/emit.h"
#include "symfile/symfile.h"

#define DATA_ALIGN 8 /* factor of offsets, negative */

/** Which return address column, and is it a signal frame? */
enum cie {
	CIE_CALL,    /* the return address is where calls leave it */
	CIE_PC,      /* pc has a rule of its own beside that of the return address */
	CIE_SIGNAL,  /* the same for signal frames */
	NCIES,
};

struct frame_writer {
	struct symfile *s;
	struct gc_buf *out;
	const struct symfile_function *function;
	unsigned pc, sp, fp, ret, ra; /* DWARF numbers; ra: the column */
	uint64_t at;          /* the rules so far hold from here */
	int32_t delta;
	bool saved;           /* the frame holds registers, and there are rules for them */
};

static void offset_rule(struct frame_writer *w, unsigned reg, int64_t offset)
{
	emit_u8(w->out, DW_CFA_offset_extended_sf);
	emit_uleb(w->out, reg);
	emit_sleb(w->out, -offset / DATA_ALIGN);
}

static void register_rule(struct frame_writer *w, unsigned opcode, unsigned reg)
{
	emit_u8(w->out, opcode);
	emit_uleb(w->out, reg);
}

static void expression(struct frame_writer *w, const struct gc_buf *code)
{
	emit_uleb(w->out, code->len);
	gc_buf_add(w->out, code->data, code->len);
}

/** The saved value of @reg is at the address that @code works out. */
static void expression_rule(struct frame_writer *w, unsigned reg, const struct gc_buf *code)
{
	register_rule(w, DW_CFA_expression, reg);
	expression(w, code);
}

/* Expressions (DWARF 4, section 2.5) */

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

/** @return where the distance of a DW_OP_bra or DW_OP_skip is to be put */
static size_t op_jump(struct gc_buf *code, unsigned opcode)
{
	emit_u8(code, opcode);
	emit_u16(code, 0);
	return code->len;
}

static void op_land(struct gc_buf *code, size_t jump)
{
	if (!code->failed)
		gc_store_le16(code->data + jump - 2, (uint16_t)(code->len - jump));
}

/** Push the address of this thread's runtime.m. */
static void op_m(struct frame_writer *w, struct gc_buf *code)
{
	op_load(code, symfile_dwarf(w->s, w->s->abi->g), w->s->offsets.g_m);
}

/**
 * Push the address of the goroutine that this thread works for; of g0 if it
 * has none any more, whose stack is then the one that is left.
 */
static void op_goroutine(struct frame_writer *w, struct gc_buf *code)
{
	size_t end;

	op_m(w, code);
	op_follow(code, w->s->offsets.m_curg);
	emit_u8(code, DW_OP_dup);
	end = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_m(w, code);
	op_follow(code, w->s->offsets.m_g0);
	op_land(code, end);
}

/** Bytes from sp to the canonical frame address while the frame has @delta bytes. */
static uint64_t frame_size(const struct frame_writer *w, int32_t delta)
{
	return (uint64_t)(uint32_t)delta + w->s->abi->call_push;
}

/** systemstack runs its argument on g0's stack; its own frame is where m.curg was left. */
static void systemstack_cfa(struct frame_writer *w, struct gc_buf *code, int32_t delta)
{
	const struct gc_go_offsets *o = &w->s->offsets;
	size_t same, end;

	op_goroutine(w, code);
	emit_u8(code, DW_OP_dup);
	op_register(code, symfile_dwarf(w->s, w->s->abi->g), 0);
	emit_u8(code, DW_OP_eq);
	same = op_jump(code, DW_OP_bra); /* not gone yet, or back again */
	op_follow(code, o->g_sched_sp);
	end = op_jump(code, DW_OP_skip);
	op_land(code, same);
	emit_u8(code, DW_OP_drop);
	op_register(code, w->sp, 0);
	op_land(code, end);
	op_plus(code, frame_size(w, delta));
}

/** asmcgocall keeps the depth of the stack that it leaves; with no g, the stack pointer itself. */
static void asmcgocall_cfa(struct frame_writer *w, struct gc_buf *code, int32_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;
	bool old = abi->asmcgocall[1].depth && !w->s->landingpad;
	uint8_t g = abi->asmcgocall[old].g, depth = abi->asmcgocall[old].depth;
	size_t with_g, end;

	op_load(code, w->sp, g);
	emit_u8(code, DW_OP_dup);
	with_g = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_load(code, w->sp, depth);
	end = op_jump(code, DW_OP_skip);
	op_land(code, with_g);
	op_follow(code, w->s->offsets.g_stack_hi);
	op_load(code, w->sp, depth);
	emit_u8(code, DW_OP_minus);
	op_land(code, end);
	op_plus(code, frame_size(w, delta));
}

/** What the runtime noted before it called the vDSO; as usual if it has noted nothing. */
static void vdso_cfa(struct frame_writer *w, struct gc_buf *code, int32_t delta)
{
	size_t end;

	op_m(w, code);
	op_follow(code, w->s->offsets.m_vdso_sp);
	emit_u8(code, DW_OP_dup);
	end = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_register(code, w->sp, (int64_t)frame_size(w, delta));
	op_land(code, end);
}

static void vdso_caller(struct frame_writer *w, struct gc_buf *code, uint64_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;
	size_t noted, end;

	op_m(w, code);
	emit_u8(code, DW_OP_dup);
	op_follow(code, w->s->offsets.m_vdso_sp);
	noted = op_jump(code, DW_OP_bra);
	emit_u8(code, DW_OP_drop);
	op_register(code, w->sp, abi->link_register ? 0 : (int64_t)(delta + abi->call_push) - 8);
	end = op_jump(code, DW_OP_skip);
	op_land(code, noted);
	op_plus(code, w->s->offsets.m_vdso_pc);
	op_land(code, end);
}

/** A register of the goroutine, as it was left. */
static void goroutine_field(struct frame_writer *w, struct gc_buf *code, uint64_t field)
{
	op_goroutine(w, code);
	op_plus(code, field);
}

/* Rules */

static void cfa_expression(struct frame_writer *w, int32_t delta,
			   void (*make)(struct frame_writer *, struct gc_buf *, int32_t))
{
	struct gc_buf code = GC_BUF_INIT;

	make(w, &code, delta);
	w->out->failed |= code.failed;
	emit_u8(w->out, DW_CFA_def_cfa_expression);
	expression(w, &code);
	gc_buf_deinit(&code);
}

static void caller_expression(struct frame_writer *w, unsigned reg, uint64_t arg,
			      void (*make)(struct frame_writer *, struct gc_buf *, uint64_t))
{
	struct gc_buf code = GC_BUF_INIT;

	make(w, &code, arg);
	w->out->failed |= code.failed;
	expression_rule(w, reg, &code);
	gc_buf_deinit(&code);
}

/** Where the frame of @delta bytes keeps the caller's frame pointer, from the frame address. */
static int64_t fp_offset(const struct frame_writer *w, int32_t delta)
{
	return w->s->abi->fp_below_sp ? -(int64_t)delta - 8 : -16;
}

/** The caller's registers, where the frame has saved them. */
static void saved_rules(struct frame_writer *w, int32_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;
	bool crosscall = w->function->kind == SYMFILE_CROSSCALL && abi->crosscall_ret;
	bool moves = abi->link_register || abi->fp_below_sp; /* with the bottom of the frame */

	if (delta < 8 || delta % 8) {
		if (w->saved) {
			register_rule(w, DW_CFA_same_value, w->fp);
			if (abi->link_register)
				register_rule(w, DW_CFA_same_value, w->ret);
		}
		w->saved = false;
		return;
	}
	if (w->saved && !moves)
		return;
	w->saved = true;
	offset_rule(w, w->fp, crosscall ? abi->crosscall_fp - (int64_t)delta : fp_offset(w, delta));
	if (abi->link_register && w->ra == w->pc)
		offset_rule(w, w->pc, -(int64_t)delta);
	if (abi->link_register)
		offset_rule(w, w->ret, crosscall ? abi->crosscall_ret - (int64_t)delta : -(int64_t)delta);
}

/**
 * The handler pushed a return address, and below it, where calls link, the
 * link register of the code that was interrupted (preparePanic and pushCall of
 * runtime/signal_*.go).
 */
static void injected_rules(struct frame_writer *w, int32_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;

	if (!abi->link_register) {
		saved_rules(w, delta);
		return;
	}
	if (delta >= 8 && delta % 8 == 0) {
		offset_rule(w, w->pc, -(int64_t)delta);
		offset_rule(w, w->fp, fp_offset(w, delta));
	} else {
		register_rule(w, DW_CFA_register, w->pc);
		emit_uleb(w->out, w->ret);
		register_rule(w, DW_CFA_same_value, w->fp);
	}
}

static void vdso_rules(struct frame_writer *w, int32_t delta)
{
	if (w->s->abi->link_register && delta < 8) { /* before it has made its frame */
		register_rule(w, DW_CFA_register, w->pc);
		emit_uleb(w->out, w->ret);
		return;
	}
	caller_expression(w, w->pc, (uint64_t)delta, vdso_caller);
}

/** The rules for a frame of @delta bytes. */
static void row_rules(struct frame_writer *w, int32_t delta)
{
	switch (w->function->kind) {
	case SYMFILE_SYSTEMSTACK:
		cfa_expression(w, delta, systemstack_cfa);
		break;
	case SYMFILE_ASMCGOCALL:
		cfa_expression(w, delta, asmcgocall_cfa);
		break;
	case SYMFILE_VDSO:
		cfa_expression(w, delta, vdso_cfa);
		vdso_rules(w, delta);
		return;
	case SYMFILE_MORESTACK:
		return; /* the same everywhere */
	default:
		emit_u8(w->out, DW_CFA_def_cfa_offset);
		emit_uleb(w->out, frame_size(w, delta));
		break;
	}
	if (w->function->kind == SYMFILE_INJECTED)
		injected_rules(w, delta);
	else if (w->function->kind != SYMFILE_SIGTRAMP)
		saved_rules(w, delta);
}

/** morestack: the goroutine's own stack, as its function's prologue left it. */
static void morestack_rules(struct frame_writer *w)
{
	const struct gc_go_offsets *o = &w->s->offsets;
	struct gc_buf code = GC_BUF_INIT;

	goroutine_field(w, &code, o->g_sched_sp);
	emit_u8(&code, DW_OP_deref);
	w->out->failed |= code.failed;
	emit_u8(w->out, DW_CFA_def_cfa_expression);
	expression(w, &code);
	gc_buf_deinit(&code);
	caller_expression(w, w->pc, o->g_sched_pc, goroutine_field);
	caller_expression(w, w->fp, o->g_sched_fp, goroutine_field);
	if (w->s->abi->link_register)
		caller_expression(w, w->ret, o->g_sched_lr, goroutine_field);
}

/** All registers of the interrupted code are in the ucontext, which is above the frame. */
static void ucontext_rules(struct frame_writer *w)
{
	const struct gc_go_abi *abi = w->s->abi;

	for (size_t i = 0; i < abi->nucontext_regs; i++) {
		int dwarf = w->s->arch->regs[abi->ucontext_regs[i].row].dwarf;

		if (dwarf >= 0)
			offset_rule(w, (unsigned)dwarf, abi->ucontext + abi->ucontext_regs[i].offset);
	}
}

/** The caller's stack pointer is @above the frame address. LLDB 21 does not know DW_CFA_val_offset_sf. */
static void stack_rule(struct frame_writer *w, uint8_t above)
{
	struct gc_buf code = GC_BUF_INIT;

	op_plus(&code, above);
	w->out->failed |= code.failed;
	register_rule(w, DW_CFA_val_expression, w->sp);
	expression(w, &code);
	gc_buf_deinit(&code);
}

/** Rules that hold in the whole function. */
static void function_rules(struct frame_writer *w)
{
	switch (w->function->kind) {
	case SYMFILE_END:
		register_rule(w, DW_CFA_undefined, w->ra);
		break;
	case SYMFILE_MORESTACK:
		morestack_rules(w);
		break;
	case SYMFILE_SIGTRAMP:
		ucontext_rules(w);
		break;
	case SYMFILE_INJECTED:
		if (!w->s->abi->link_register)
			break;
		stack_rule(w, w->s->abi->injected_push);
		offset_rule(w, w->ret, 0);
		break;
	default:
		break;
	}
}

static void advance(struct frame_writer *w, uint64_t to)
{
	uint64_t steps = (to - w->at) / w->s->abi->quantum;

	w->at = to;
	if (steps == 0)
		return;
	if (steps < 0x40) {
		emit_u8(w->out, DW_CFA_advance_loc | (unsigned)steps);
	} else if (steps <= UINT8_MAX) {
		emit_u8(w->out, DW_CFA_advance_loc1);
		emit_u8(w->out, (unsigned)steps);
	} else if (steps <= UINT16_MAX) {
		emit_u8(w->out, DW_CFA_advance_loc2);
		emit_u16(w->out, (unsigned)steps);
	} else {
		emit_u8(w->out, DW_CFA_advance_loc4);
		emit_u32(w->out, steps);
	}
}

static enum cie cie_of(const struct symfile *s, enum symfile_kind kind)
{
	switch (kind) {
	case SYMFILE_INJECTED:
	case SYMFILE_SIGTRAMP:
		return CIE_SIGNAL;
	case SYMFILE_MORESTACK:
	case SYMFILE_VDSO:
		return s->own_info ? CIE_PC : CIE_SIGNAL;
	case SYMFILE_SYSTEMSTACK:
	case SYMFILE_ASMCGOCALL:
		/*
		 * GDB takes a stack that goes down for corrupt, but not at a signal frame, and not at
		 * an inlined call, which debug_info.c puts there.
		 */
		return s->own_info ? CIE_CALL : CIE_SIGNAL;
	default:
		return CIE_CALL;
	}
}

/** Pad an entry with DW_CFA_nop and set its length. */
static void end_entry(struct gc_buf *out, size_t begin)
{
	while ((out->len - begin) % 8 != 4)
		emit_u8(out, DW_CFA_nop);
	emit_end_length(out, begin);
}

static void write_cie(struct symfile *s, enum cie which)
{
	struct gc_buf *out = &s->frame;
	size_t begin = emit_begin_length(out);
	unsigned pc = symfile_dwarf(s, s->arch->pc);
	bool link = s->abi->link_register;

	emit_u32(out, 0xffffffff);
	emit_u8(out, 3); /* version */
	/* "S" alone would do for GDB; LLDB takes it that any augmentation has data, which is what "z" says. */
	gc_buf_add(out, which == CIE_SIGNAL ? "zS" : "", which == CIE_SIGNAL ? 3 : 1);
	emit_uleb(out, s->abi->quantum);
	emit_sleb(out, -DATA_ALIGN);
	emit_uleb(out, which == CIE_CALL && link ? symfile_dwarf(s, s->arch->ret) : pc);
	if (which == CIE_SIGNAL)
		emit_uleb(out, 0); /* bytes of augmentation data */
	emit_u8(out, DW_CFA_def_cfa);
	emit_uleb(out, symfile_dwarf(s, s->arch->sp));
	emit_uleb(out, s->abi->call_push);
	if (!link) {
		emit_u8(out, DW_CFA_offset_extended_sf);
		emit_uleb(out, pc);
		emit_sleb(out, s->abi->call_push / DATA_ALIGN);
	}
	end_entry(out, begin);
}

static enum gc_code write_fde(struct frame_writer *w, const size_t cies[NCIES], struct gc_error *err)
{
	struct symfile *s = w->s;
	const struct gc_pcfunc *f = &w->function->f;
	enum cie cie = cie_of(s, w->function->kind);
	struct gc_pcrows rows = { .list = NULL };
	size_t begin = emit_begin_length(w->out);
	enum gc_code code = GC_OK;

	if (w->function->kind != SYMFILE_END)
		code = symfile_rows(s, f, f->pcsp, &rows, err);
	if (code != GC_OK)
		return code;
	emit_u32(w->out, cies[cie]);
	emit_u64(w->out, symfile_low(w->function) - s->bias);
	emit_u64(w->out, f->end - symfile_low(w->function));
	if (cie == CIE_SIGNAL)
		emit_uleb(w->out, 0); /* bytes of augmentation data */
	w->ra = cie == CIE_CALL && s->abi->link_register ? w->ret : w->pc;
	w->at = symfile_low(w->function);
	w->delta = 0;
	w->saved = false;
	function_rules(w);
	for (size_t i = 0; i < rows.count; i++) {
		int32_t delta = rows.list[i].value;

		if (delta < 0 || (i && delta == w->delta))
			continue;
		if (delta == 0 && i == 0 && w->function->kind == SYMFILE_PLAIN)
			continue; /* as in the CIE */
		if (rows.list[i].start > f->entry)
			advance(w, rows.list[i].start);
		row_rules(w, delta);
		w->delta = delta;
	}
	gc_pcrows_deinit(&rows);
	end_entry(w->out, begin);
	return GC_OK;
}

enum gc_code symfile_frame(struct symfile *s, struct gc_error *err)
{
	struct frame_writer w = {
		.s = s, .out = &s->frame, .pc = symfile_dwarf(s, s->arch->pc), .sp = symfile_dwarf(s, s->arch->sp),
		.fp = symfile_dwarf(s, s->arch->fp),
		.ret = s->arch->ret >= 0 ? symfile_dwarf(s, s->arch->ret) : symfile_dwarf(s, s->arch->pc),
	};
	enum gc_code code = GC_OK;
	size_t cies[NCIES];

	for (unsigned i = 0; i < NCIES; i++) {
		cies[i] = s->frame.len;
		write_cie(s, (enum cie)i);
	}
	for (size_t i = 0; code == GC_OK && i < s->count; i++) {
		w.function = &s->functions[i];
		code = write_fde(&w, cies, err);
	}
	return code;
}
