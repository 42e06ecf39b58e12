/*
 * .debug_frame: how to get from each function to its caller.
 *
 * The rules are those of src/go/stack.c, put into call frame information
 * (DWARF 4, section 6.4). A function that a signal interrupted, or that a
 * signal handler made call another, has to be looked up by its exact pc: a
 * frame marked as a signal frame (augmentation "S") is put next to it for that.
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
	int32_t deepest;      /* delta of the function where it makes calls */
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

/* Rules */

/** Bytes from sp to the canonical frame address while the frame has @delta bytes. */
static uint64_t frame_size(const struct frame_writer *w, int32_t delta)
{
	return (uint64_t)(uint32_t)delta + w->s->abi->call_push;
}

typedef void make_fn(const struct symfile *s, uint64_t arg, struct gc_buf *code);

static void cfa_expression(struct frame_writer *w, uint64_t arg, make_fn *make)
{
	struct gc_buf code = GC_BUF_INIT;

	make(w->s, arg, &code);
	w->out->failed |= code.failed;
	emit_u8(w->out, DW_CFA_def_cfa_expression);
	expression(w, &code);
	gc_buf_deinit(&code);
}

/** @param opcode DW_CFA_expression: the caller's value is at the address; DW_CFA_val_expression: it is the value */
static void caller_expression(struct frame_writer *w, unsigned opcode, unsigned reg, uint64_t arg, make_fn *make)
{
	struct gc_buf code = GC_BUF_INIT;

	make(w->s, arg, &code);
	w->out->failed |= code.failed;
	register_rule(w, opcode, reg);
	expression(w, &code);
	gc_buf_deinit(&code);
}

/** Where the frame of @delta bytes keeps the caller's frame pointer, from the frame address. */
static int64_t fp_offset(const struct frame_writer *w, int32_t delta)
{
	return w->s->abi->fp_below_sp ? -(int64_t)delta - 8 : -16;
}

/** crosscall2 has saved what C wants back by the time that it makes its call. */
static void crosscall_rules(struct frame_writer *w, int32_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;

	for (size_t i = 0; i < abi->ncrosscall; i++)
		offset_rule(w, symfile_dwarf(w->s, abi->crosscall[i].row),
			    abi->crosscall[i].offset - (int64_t)frame_size(w, delta));
}

/** The caller's registers, where the frame has saved them. */
static void saved_rules(struct frame_writer *w, int32_t delta)
{
	const struct gc_go_abi *abi = w->s->abi;
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
	offset_rule(w, w->fp, fp_offset(w, delta));
	if (abi->link_register && w->ra == w->pc && w->function->kind != SYMFILE_INJECTED)
		offset_rule(w, w->pc, -(int64_t)delta);
	if (abi->link_register)
		offset_rule(w, w->ret, -(int64_t)delta);
}

static void vdso_rules(struct frame_writer *w, int32_t delta)
{
	if (w->s->abi->link_register && delta < 8) { /* before it has made its frame */
		register_rule(w, DW_CFA_register, w->pc);
		emit_uleb(w->out, w->ret);
		return;
	}
	caller_expression(w, DW_CFA_expression, w->pc, frame_size(w, delta), symfile_vdso_caller);
}

/** The rules for a frame of @delta bytes. */
static void row_rules(struct frame_writer *w, int32_t delta)
{
	switch (w->function->kind) {
	case SYMFILE_SYSTEMSTACK:
		cfa_expression(w, frame_size(w, delta), symfile_systemstack_cfa);
		break;
	case SYMFILE_ASMCGOCALL:
		cfa_expression(w, frame_size(w, delta), symfile_asmcgocall_cfa);
		break;
	case SYMFILE_VDSO:
		cfa_expression(w, frame_size(w, delta), symfile_vdso_cfa);
		vdso_rules(w, delta);
		return;
	case SYMFILE_CALLBACK:
		cfa_expression(w, frame_size(w, delta), symfile_callback_cfa);
		break;
	case SYMFILE_MORESTACK:
		return; /* the same everywhere */
	default:
		emit_u8(w->out, DW_CFA_def_cfa_offset);
		emit_uleb(w->out, frame_size(w, delta));
		break;
	}
	if (w->function->kind != SYMFILE_SIGTRAMP)
		saved_rules(w, delta);
	if (w->function->kind == SYMFILE_CROSSCALL && delta == w->deepest)
		crosscall_rules(w, delta);
}

/** morestack: the goroutine's own stack, as its function's prologue left it. */
static void morestack_rules(struct frame_writer *w)
{
	const struct gc_go_offsets *o = &w->s->offsets;

	cfa_expression(w, o->g_sched_sp, symfile_goroutine_value);
	caller_expression(w, DW_CFA_expression, w->pc, o->g_sched_pc, symfile_goroutine_field);
	caller_expression(w, DW_CFA_expression, w->fp, o->g_sched_fp, symfile_goroutine_field);
	if (w->s->abi->link_register)
		caller_expression(w, DW_CFA_expression, w->ret, o->g_sched_lr, symfile_goroutine_field);
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

static void above_cfa(const struct symfile *s, uint64_t above, struct gc_buf *code)
{
	(void)s; /* the frame address is there already */
	emit_u8(code, DW_OP_plus_uconst);
	emit_uleb(code, above);
}

static void constant_address(const struct symfile *s, uint64_t addr, struct gc_buf *code)
{
	emit_u8(code, DW_OP_addr);
	emit_u64(code, addr - s->bias);
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
		if (w->s->signal_pc)
			caller_expression(w, DW_CFA_val_expression, w->pc, w->s->signal_pc, constant_address);
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
	case SYMFILE_SIGTRAMP:
		return CIE_SIGNAL;
	case SYMFILE_INJECTED:
		return CIE_PC;
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

/** Begin an entry for the addresses from @low to @end. @return for end_entry */
static size_t begin_fde(struct frame_writer *w, enum cie cie, const size_t cies[NCIES], uint64_t low, uint64_t end)
{
	size_t begin = emit_begin_length(w->out);

	emit_u32(w->out, cies[cie]);
	emit_u64(w->out, low - w->s->bias);
	emit_u64(w->out, end - low);
	if (cie == CIE_SIGNAL)
		emit_uleb(w->out, 0); /* bytes of augmentation data */
	w->ra = cie == CIE_CALL && w->s->abi->link_register ? w->ret : w->pc;
	w->at = low;
	w->delta = 0;
	w->saved = false;
	return begin;
}

/**
 * The frame between a function that a signal interrupted and the one that the
 * handler made it call. The handler pushed a return address, or where calls
 * link the link register of what it interrupted (preparePanic and pushCall of
 * runtime/signal_*.go).
 *
 * It makes debuggers look up the caller by its exact pc. To mark the called
 * function itself as a signal frame would do, but for GDB 13, which fails an
 * assertion where that one has ended in a call that was inlined into it
 * (get_frame_block of gdb/blockframe.c); sigpanic always does.
 */
static void write_signal_fde(struct frame_writer *w, const size_t cies[NCIES])
{
	struct symfile *s = w->s;
	size_t begin = begin_fde(w, CIE_SIGNAL, cies, s->signal_pc - s->abi->quantum, s->signal_pc + s->abi->quantum);

	emit_u8(w->out, DW_CFA_def_cfa_offset);
	emit_uleb(w->out, 0);
	if (s->abi->link_register) {
		register_rule(w, DW_CFA_register, w->pc);
		emit_uleb(w->out, w->ret);
		offset_rule(w, w->ret, 0);
		/* LLDB 21 does not know DW_CFA_val_offset_sf */
		caller_expression(w, DW_CFA_val_expression, w->sp, s->abi->injected_push, above_cfa);
	}
	end_entry(w->out, begin);
}

static int32_t deepest(const struct gc_pcrows *rows)
{
	int32_t delta = 0;

	for (size_t i = 0; i < rows->count; i++)
		if (rows->list[i].value > delta)
			delta = rows->list[i].value;
	return delta;
}

static void write_rows(struct frame_writer *w, const struct gc_pcrows *rows, uint64_t end)
{
	const struct gc_pcfunc *f = &w->function->f;

	w->deepest = deepest(rows);
	for (size_t i = 0; i < rows->count && rows->list[i].start < end; i++) {
		int32_t delta = rows->list[i].value;

		if (delta < 0 || (i && delta == w->delta))
			continue;
		if (delta == 0 && i == 0 && w->function->kind == SYMFILE_PLAIN)
			continue; /* as in the CIE */
		if (rows->list[i].start > f->entry)
			advance(w, rows->list[i].start);
		row_rules(w, delta);
		w->delta = delta;
	}
}

static enum gc_code write_fde(struct frame_writer *w, const size_t cies[NCIES], struct gc_error *err)
{
	struct symfile *s = w->s;
	const struct gc_pcfunc *f = &w->function->f;
	uint64_t low = symfile_low(w->function), end = f->end;
	struct gc_pcrows rows = { .list = NULL };
	enum gc_code code = GC_OK;
	size_t begin;

	if (w->function->kind != SYMFILE_END)
		code = symfile_rows(s, f, f->pcsp, &rows, err);
	if (code != GC_OK)
		return code;
	if (s->signal_pc >= low && s->signal_pc < end)
		end = s->signal_pc - s->abi->quantum;
	begin = begin_fde(w, cie_of(s, w->function->kind), cies, low, end);
	function_rules(w);
	write_rows(w, &rows, end);
	gc_pcrows_deinit(&rows);
	end_entry(w->out, begin);
	if (end != f->end)
		write_signal_fde(w, cies);
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
