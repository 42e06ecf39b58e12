/* Shared by the methods of unwinding. */
#ifndef UNWIND_PRIVATE_H
#define UNWIND_PRIVATE_H

#include "gocore/cfi.h"
#include "gocore/unwind.h"

#include "sym/dwarf_file.h"

/** Registers by DWARF number; one that is not known has no value. */
struct uw_regs {
	uint64_t value[GC_CFI_REGS];
	uint64_t known[GC_CFI_REGS / 64];
};

/** A frame before it is left. */
struct uw_frame {
	uint64_t pc;
	struct uw_regs regs;
	uint64_t floor;          /* its part of the stack does not start below: sp, or what is known of it */
	bool exact;              /* pc was interrupted and has not called */
	enum gc_frame_how how;
};

/** Frame tables of an image. */
struct uw_tables {
	const struct gc_space *space;
	struct gc_elf_file *file;      /* NULL: read them in memory */
	uint64_t bias;
	bool opened, opened_debug, damaged;
	struct gc_cfi eh, debug;
	struct gc_dwarf *dwarf;        /* holds .debug_frame when it was compressed */
};

struct gc_unwinder {
	const struct gc_process *p;
	const struct gc_arch *arch;
	struct gc_symbols *symbols;
	struct gc_go *go;
	struct gc_problems *problems;
	gc_lines_fn *lines;
	gc_tail_calls_fn *tail_calls;
	void *lines_data;
	struct uw_tables *tables;      /* as p->images.list */
	struct uw_flow *flow;          /* NULL until code has to be read */
	bool flow_failed;
	int sp, fp, ret;               /* DWARF numbers; ret -1: on the stack */
};

static inline bool uw_get(const struct uw_regs *r, uint64_t column, uint64_t *out)
{
	if (column >= GC_CFI_REGS || !(r->known[column / 64] >> column % 64 & 1))
		return false;
	*out = r->value[column];
	return true;
}

static inline void uw_set(struct uw_regs *r, uint64_t column, uint64_t value)
{
	if (column >= GC_CFI_REGS)
		return;
	r->value[column] = value;
	r->known[column / 64] |= 1ULL << column % 64;
}

static inline void uw_forget(struct uw_regs *r, uint64_t column)
{
	if (column < GC_CFI_REGS)
		r->known[column / 64] &= ~(1ULL << column % 64);
}

/** How a frame can be left. */
enum uw_method {
	UW_CFI,
	UW_SIGRETURN,    /* by its code: there are no tables for it */
	UW_BAD_PC,       /* the pc is no code: something called there */
	UW_NO_TABLES,
};

/** What leaving a frame comes to. */
struct uw_step {
	struct uw_frame caller;
	uint64_t cfa;             /* 0: unknown */
	struct gc_stack_end end;  /* if uw_leave returned false */
};

/** End the stack. @return false */
bool uw_end(struct uw_step *s, enum gc_stack_end_kind kind, const char *format, ...) GC_PRINTF(3, 4);

/** The stack is complete. @return false */
bool uw_complete(struct uw_step *s);

/** @return true if code can run there */
bool uw_is_code(const struct gc_unwinder *u, uint64_t pc);

/** @return the address that a return address leads to: without a signature */
uint64_t uw_clean(const struct gc_unwinder *u, uint64_t pc);

/** Is @pc the return address of a call? @param target of the call, 0: not known */
bool uw_is_after_call(const struct gc_unwinder *u, uint64_t pc, uint64_t *target);

/**
 * Find the rules for @f. @param image that f->pc is in, or NULL
 *
 * @return false if there are none
 */
bool uw_find_row(struct gc_unwinder *u, const struct gc_image *image, const struct uw_frame *f,
		 struct gc_cfi_row *row);
void uw_close_tables(struct uw_tables *t);

/** Leave @f by @row. @return false: the stack ends */
bool uw_by_cfi(struct gc_unwinder *u, const struct uw_frame *f, const struct gc_image *image,
	       const struct gc_cfi_row *row, struct uw_step *s);

/** Does the code at f->pc call rt_sigreturn? */
bool uw_is_sigreturn(const struct gc_unwinder *u, const struct uw_frame *f);
bool uw_by_sigreturn(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s);

/** Take what a signal interrupted out of a ucontext. @return false: the stack ends */
bool uw_by_ucontext(struct gc_unwinder *u, uint64_t ucontext, struct uw_step *s);

/** Leave code that must not be any by the return address where a call leaves it. */
bool uw_by_call(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s);

/** The code of a function. */
struct uw_code {
	uint64_t entry, size;
	uint64_t part, part_size; /* a part of it elsewhere; part_size 0: none */
};

/** @return false if no symbol tells */
bool uw_find_code(struct gc_unwinder *u, uint64_t pc, struct uw_code *out);

/** What a function that no table describes has done to its stack before some pc. */
struct uw_prologue {
	uint32_t pushed;         /* bytes from its sp up to the caller's */
	bool has_frame;          /* the frame pointer is its own, so pushed does not matter */
	uint32_t frame;          /* bytes from the frame pointer up to the caller's sp */
	bool ret_saved;          /* the return address lies ret_at below the caller's sp; else gc_arch.ret has it */
	uint32_t ret_at;
	bool fp_saved;           /* the same of the caller's frame pointer; else it is untouched */
	uint32_t fp_at;
	bool fp_lost;            /* neither */
};

/** What @code did on its way to @pc. @return false if it does not tell */
bool uw_read_prologue(struct gc_unwinder *u, const struct uw_code *code, uint64_t pc, struct uw_prologue *out);

/** May the function at @from go over to the one at @to by jumps alone? */
bool uw_may_jump_to(struct gc_unwinder *u, uint64_t from, uint64_t to);

struct uw_flow;
void uw_flow_free(struct uw_flow *f);

/** Leave code that no table describes, by its prologue or the frame pointer. */
bool uw_by_frame_pointer(struct gc_unwinder *u, const struct uw_frame *f, struct uw_step *s);

#endif
