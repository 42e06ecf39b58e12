/* Shared by the files that read call frame information. */
#ifndef SYM_CFI_PRIVATE_H
#define SYM_CFI_PRIVATE_H

#include "gocore/cfi.h"
#include "gocore/cursor.h"

/** A length, and the bytes that follow it. */
enum gc_code cfi_block(struct gc_cursor *c, const uint8_t **bytes, uint64_t *len, struct gc_error *err);

/** A common information entry. */
struct cfi_cie {
	uint64_t code_align;
	int64_t data_align;
	uint64_t return_column;
	uint8_t encoding;      /* DW_EH_PE_ of addresses in its FDEs */
	bool has_length;       /* augmentation z: FDEs have augmentation data */
	bool signal;
	struct gc_cursor code; /* initial instructions */
};

/** A frame description entry. */
struct cfi_fde {
	struct cfi_cie cie;
	uint64_t start, len;   /* of the code */
	struct gc_cursor code;
	uint64_t code_addr;    /* link-time address of code.base; 0 in .debug_frame */
};

/** What an encoded pointer may be relative to. */
struct cfi_base {
	uint64_t addr;         /* of c->base */
	uint64_t data;
};

/** An address encoded as @encoding (LSB, "DWARF Exception Header Encoding"). */
enum gc_code cfi_encoded(struct gc_cursor *c, uint8_t encoding, const struct cfi_base *base, uint64_t *out,
			 struct gc_error *err);

/** Run the instructions of @fde up to @pc. */
enum gc_code cfi_run(const struct cfi_fde *fde, uint64_t pc, struct gc_cfi_row *out, struct gc_error *err);

#endif
