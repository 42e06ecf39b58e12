/*
 * Call frame information: how to find the caller's registers at a pc.
 *
 * Formats: DWARF 5 section 6.4 (.debug_frame of versions 2 to 5), LSB Core
 * "Exception Frames" (.eh_frame, .eh_frame_hdr), and the GNU and AArch64
 * additions. libdwarf would read these too, but it decodes all entries of an
 * image before the first answer and gives up on the whole section for one
 * entry that it does not like; a stack needs the few entries of its frames.
 *
 * Nothing is copied: tables are read in place, at the link-time addresses of
 * their image.
 */
#ifndef GOCORE_CFI_H
#define GOCORE_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/error.h"

/** DWARF register numbers (columns) that rules are kept for. */
#define GC_CFI_REGS 128

/** Bytes at a link-time address, in place. @return how many there are, 0: none */
typedef uint64_t gc_cfi_at_fn(void *data, uint64_t addr, const uint8_t **bytes);

/** Where the tables of an image are; what is 0 or NULL is not there. */
struct gc_cfi_source {
	gc_cfi_at_fn *at;            /* for .eh_frame_hdr and .eh_frame */
	void *data;
	uint64_t hdr_addr;           /* PT_GNU_EH_FRAME */
	uint64_t eh_addr, eh_len;    /* .eh_frame, for images without a usable .eh_frame_hdr */
	const uint8_t *debug_frame;  /* unpacked */
	uint64_t debug_frame_len;
};

struct gc_cfi_entry;

/** The tables of one image. */
struct gc_cfi {
	struct gc_cfi_source src;
	struct gc_cfi_entry *index;  /* of what no binary search table is there for, by address */
	size_t count;
	bool indexed, no_table;
};

enum gc_cfi_kind {
	GC_CFI_UNSPECIFIED,    /* as the ABI says */
	GC_CFI_UNDEFINED,
	GC_CFI_SAME,
	GC_CFI_OFFSET,         /* at CFA + number */
	GC_CFI_VAL_OFFSET,     /* is CFA + number */
	GC_CFI_REGISTER,       /* in column number */
	GC_CFI_EXPRESSION,     /* at the address that it yields */
	GC_CFI_VAL_EXPRESSION, /* is what it yields */
};

struct gc_cfi_rule {
	uint32_t kind;         /* enum gc_cfi_kind */
	uint32_t len;          /* of an expression */
	union {
		int64_t number;
		const uint8_t *expression;
	};
};

/** The rules at one pc. */
struct gc_cfi_row {
	uint64_t start, end;       /* of the function or part of it that has this entry */
	struct gc_cfi_rule cfa;    /* GC_CFI_VAL_OFFSET: column cfa_column + number; else GC_CFI_VAL_EXPRESSION */
	uint32_t cfa_column;
	uint32_t return_column;
	bool signal;               /* augmentation S: the caller was interrupted and did not call */
	bool return_signed;        /* DW_CFA_AARCH64_negate_ra_state */
	struct gc_cfi_rule regs[GC_CFI_REGS];
};

/** Costs nothing: all is read when first needed. */
void gc_cfi_init(struct gc_cfi *cfi, const struct gc_cfi_source *src);
void gc_cfi_deinit(struct gc_cfi *cfi);

/**
 * The rules at @pc: for a frame that made a call, its return address minus 1.
 *
 * @return GC_E_NOT_FOUND if nothing is said about @pc; GC_E_FORMAT,
 *         GC_E_TRUNCATED, GC_E_LIMIT if what is said is damaged
 */
enum gc_code gc_cfi_find(struct gc_cfi *cfi, uint64_t pc, struct gc_cfi_row *out, struct gc_error *err);

/** What an expression may ask for. */
struct gc_cfi_machine {
	bool (*reg)(void *data, uint64_t column, uint64_t *out);
	enum gc_code (*read)(void *data, uint64_t addr, void *buf, size_t len, struct gc_error *err);
	void *data;
	uint64_t bias;         /* of the image, for DW_OP_addr */
};

/**
 * Run a DWARF expression on a stack of at most 64 values, for at most 10000 steps.
 *
 * @param initial pushed first; NULL: the stack starts empty
 */
enum gc_code gc_cfi_eval(const uint8_t *expression, size_t len, const struct gc_cfi_machine *machine,
			 const uint64_t *initial, uint64_t *out, struct gc_error *err);

#endif
