/* Leaving a frame by call frame information. */
#include "unwind/unwind_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/** gc_cfi_at_fn of a struct uw_tables. */
static uint64_t bytes_at(void *data, uint64_t addr, const uint8_t **bytes)
{
	const struct uw_tables *t = data;
	uint64_t len;

	if (t->file)
		return gc_elf_at(t->file, addr, bytes, &len) ? len : 0;
	*bytes = NULL;
	len = gc_space_peek(t->space, addr + t->bias, bytes);
	return *bytes ? len : 0;
}

static void open_tables(struct gc_unwinder *u, const struct gc_image *image, struct uw_tables *t)
{
	struct gc_cfi_source src = { .at = bytes_at, .data = t };
	const Elf64_Phdr *ph = gc_symbols_phdr(u->symbols, image, PT_GNU_EH_FRAME);
	const uint8_t *bytes;

	t->opened = true;
	t->space = &u->p->space;
	t->file = gc_symbols_file(u->symbols, image);
	t->bias = image->bias;
	if (ph)
		src.hdr_addr = ph->p_vaddr;
	else if (t->file)
		gc_elf_section(t->file, ".eh_frame", &bytes, &src.eh_len, &src.eh_addr);
	gc_cfi_init(&t->eh, &src);
}

/** .debug_frame of @file. @return false if there is none */
static bool open_debug_frame(struct uw_tables *t, struct gc_elf_file *file)
{
	struct gc_cfi_source src = { .at = NULL };
	uint64_t addr;

	if (!file)
		return false;
	if (gc_dwarf_open(&t->dwarf, file, NULL) == GC_OK) {
		if (gc_dwarf_section(t->dwarf, ".debug_frame", &src.debug_frame, &src.debug_frame_len, NULL) == GC_OK)
			gc_cfi_init(&t->debug, &src);
		else
			gc_dwarf_close(t->dwarf);
	} else if (gc_elf_section(file, ".debug_frame", &src.debug_frame, &src.debug_frame_len, &addr)) {
		gc_cfi_init(&t->debug, &src);
	}
	if (!src.debug_frame)
		t->dwarf = NULL;
	return src.debug_frame != NULL;
}

void uw_close_tables(struct uw_tables *t)
{
	gc_cfi_deinit(&t->eh);
	gc_cfi_deinit(&t->debug);
	if (t->dwarf)
		gc_dwarf_close(t->dwarf);
}

static enum gc_code find_in_tables(struct gc_unwinder *u, const struct gc_image *image, uint64_t pc,
				   struct gc_cfi_row *row, struct gc_error *err)
{
	struct uw_tables *t = &u->tables[image - u->p->images.list];
	enum gc_code code;

	if (!t->opened)
		open_tables(u, image, t);
	code = gc_cfi_find(&t->eh, pc - t->bias, row, err);
	if (code == GC_OK)
		return code;
	if (!t->opened_debug) {
		t->opened_debug = true;
		if (!open_debug_frame(t, t->file))
			open_debug_frame(t, gc_symbols_debug_file(u->symbols, image));
	}
	if (t->debug.src.debug_frame && gc_cfi_find(&t->debug, pc - t->bias, row, NULL) == GC_OK)
		return GC_OK;
	if (code != GC_E_NOT_FOUND && !t->damaged) {
		t->damaged = true;
		gc_problem(u->problems, image->path, "unwind tables at 0x%" PRIx64 ": %s", pc, err->text);
	}
	return code;
}

/**
 * A return address is looked up by the call before it, which may be the last
 * instruction of its function. But nothing called the code that a signal
 * handler returns to, and its tables need not begin before it.
 */
bool uw_find_row(struct gc_unwinder *u, const struct gc_image *image, const struct uw_frame *f,
		 struct gc_cfi_row *row)
{
	struct gc_cfi_row at_pc;
	struct gc_error err;
	bool found;

	if (!image || !image->has_bias)
		return false;
	if (f->exact)
		return find_in_tables(u, image, f->pc, row, &err) == GC_OK;
	found = find_in_tables(u, image, f->pc - 1, row, &err) == GC_OK;
	if (found && f->pc - image->bias < row->end)
		return true;
	if (find_in_tables(u, image, f->pc, &at_pc, &err) != GC_OK || !at_pc.signal)
		return found;
	*row = at_pc;
	return true;
}

/* The machine that expressions run on. */

struct machine {
	const struct gc_unwinder *u;
	const struct uw_regs *regs;
};

static bool machine_reg(void *data, uint64_t column, uint64_t *out)
{
	const struct machine *m = data;

	return uw_get(m->regs, column, out);
}

static enum gc_code machine_read(void *data, uint64_t addr, void *buf, size_t len, struct gc_error *err)
{
	const struct machine *m = data;

	return gc_space_read_all(&m->u->p->space, addr, buf, len, err);
}

/** One application of a row. */
struct application {
	const struct gc_unwinder *u;
	const struct uw_frame *f;
	const struct gc_cfi_row *row;
	struct machine machine_data;
	struct gc_cfi_machine machine;
	uint64_t cfa;
};

static enum gc_code find_cfa(struct application *a, struct gc_error *err)
{
	const struct gc_cfi_rule *rule = &a->row->cfa, *fp_rule = &a->row->regs[a->u->fp];
	uint64_t base;

	if (rule->kind == GC_CFI_VAL_EXPRESSION)
		return gc_cfi_eval(rule->expression, rule->len, &a->machine, NULL, &a->cfa, err);
	if (uw_get(&a->f->regs, a->row->cfa_column, &base)) {
		a->cfa = base + (uint64_t)rule->number;
		return GC_OK;
	}
	/* behind a frame that was left by its frame pointer; that points to where the caller's is saved */
	if ((int)a->row->cfa_column != a->u->sp || fp_rule->kind != GC_CFI_OFFSET ||
	    !uw_get(&a->f->regs, (uint64_t)a->u->fp, &base))
		return gc_fail(err, GC_E_NOT_FOUND, "the frame at 0x%" PRIx64 " is found by DWARF register %" PRIu32
			       ", which is not known here", a->f->pc, a->row->cfa_column);
	a->cfa = base - (uint64_t)fp_rule->number;
	return GC_OK;
}

/** The caller's value of a column that has a rule. @return GC_E_NOT_FOUND if it has none */
static enum gc_code apply(struct application *a, const struct gc_cfi_rule *rule, uint64_t column, uint64_t *out,
			  struct gc_error *err)
{
	uint64_t addr;
	enum gc_code code;

	switch ((enum gc_cfi_kind)rule->kind) {
	case GC_CFI_OFFSET:
		return gc_space_u64(&a->u->p->space, a->cfa + (uint64_t)rule->number, out, err);
	case GC_CFI_VAL_OFFSET:
		*out = a->cfa + (uint64_t)rule->number;
		return GC_OK;
	case GC_CFI_EXPRESSION:
		code = gc_cfi_eval(rule->expression, rule->len, &a->machine, &a->cfa, &addr, err);
		return code == GC_OK ? gc_space_u64(&a->u->p->space, addr, out, err) : code;
	case GC_CFI_VAL_EXPRESSION:
		return gc_cfi_eval(rule->expression, rule->len, &a->machine, &a->cfa, out, err);
	case GC_CFI_REGISTER:
		column = (uint64_t)rule->number;
		break;
	case GC_CFI_UNDEFINED:
		return gc_fail(err, GC_E_NOT_FOUND, "DWARF register %" PRIu64 " was not kept", column);
	case GC_CFI_SAME:
	case GC_CFI_UNSPECIFIED:
		break;
	}
	if (!uw_get(&a->f->regs, column, out))
		return gc_fail(err, GC_E_NOT_FOUND, "DWARF register %" PRIu64 " is not known", column);
	return GC_OK;
}

static bool is_preserved(const struct gc_unwinder *u, unsigned column)
{
	return u->arch->unwind.preserved[column / 64] >> column % 64 & 1;
}

/** All registers of the caller but its pc. */
static void apply_all(struct application *a, struct uw_regs *out)
{
	memset(out->known, 0, sizeof(out->known));
	if (a->u->sp >= 0)
		uw_set(out, (uint64_t)a->u->sp, a->cfa);
	for (unsigned i = 0; i < GC_CFI_REGS; i++) {
		const struct gc_cfi_rule *rule = &a->row->regs[i];
		uint64_t value;

		if (rule->kind == GC_CFI_UNSPECIFIED &&
		    ((int)i == a->u->sp || !(a->row->signal || is_preserved(a->u, i))))
			continue;
		if (apply(a, rule, i, &value, NULL) == GC_OK)
			uw_set(out, i, value);
		else
			uw_forget(out, i);
	}
}

/** The stack grows downwards, so the caller's part of it is above. */
static bool check_growth(const struct application *a, struct uw_step *s)
{
	/* a leaf function need not have anything on the stack if a call leaves nothing there */
	if (a->row->signal || a->cfa > a->f->floor || (a->cfa == a->f->floor && a->f->exact && a->u->ret >= 0))
		return true;
	return uw_end(s, GC_STACK_DAMAGED, "the caller of 0x%" PRIx64 " would have its frame at 0x%" PRIx64
		      ", which is not above 0x%" PRIx64, a->f->pc, a->cfa, a->f->floor);
}

/** What an error on the way means for the stack. @return false */
static bool end_of_error(struct uw_step *s, const struct gc_error *err)
{
	return uw_end(s, err->code == GC_E_FAULT ? GC_STACK_NO_MEMORY : GC_STACK_DAMAGED, "%s", err->text);
}

bool uw_by_cfi(struct gc_unwinder *u, const struct uw_frame *f, const struct gc_image *image,
	       const struct gc_cfi_row *row, struct uw_step *s)
{
	struct application a = { .u = u, .f = f, .row = row, .machine_data = { u, &f->regs } };
	const struct gc_cfi_rule *rule = &row->regs[row->return_column];
	struct gc_error err;
	uint64_t pc;

	a.machine = (struct gc_cfi_machine){
		.reg = machine_reg, .read = machine_read, .data = &a.machine_data, .bias = image->bias,
	};
	if (find_cfa(&a, &err) != GC_OK)
		return end_of_error(s, &err);
	s->cfa = a.cfa;
	if (rule->kind == GC_CFI_UNDEFINED)
		return uw_complete(s);
	if (!check_growth(&a, s))
		return false;
	if (apply(&a, rule, row->return_column, &pc, &err) != GC_OK)
		return end_of_error(s, &err);
	apply_all(&a, &s->caller.regs);
	s->caller.pc = uw_clean(u, pc);
	s->caller.floor = 0;
	uw_get(&s->caller.regs, (uint64_t)u->sp, &s->caller.floor);
	s->caller.exact = row->signal;
	s->caller.how = row->signal ? GC_HOW_SIGNAL_FRAME : GC_HOW_CFI;
	return true;
}
