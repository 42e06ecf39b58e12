/* Shared by the files that read call frame information. */
#ifndef SYM_CFI_PRIVATE_H
#define SYM_CFI_PRIVATE_H

#include "gocore/cfi.h"
#include "gocore/cursor.h"

/* How .eh_frame encodes pointers (LSB, "DWARF Exception Header Encoding"). */
enum {
	CFI_PE_ABSPTR = 0x00,
	CFI_PE_ULEB = 0x01,
	CFI_PE_UDATA2 = 0x02,
	CFI_PE_UDATA4 = 0x03,
	CFI_PE_UDATA8 = 0x04,
	CFI_PE_SLEB = 0x09,
	CFI_PE_SDATA2 = 0x0a,
	CFI_PE_SDATA4 = 0x0b,
	CFI_PE_SDATA8 = 0x0c,
	CFI_PE_FORM = 0x0f,
	CFI_PE_PCREL = 0x10,
	CFI_PE_DATAREL = 0x30,
	CFI_PE_BASE = 0x70,
	CFI_PE_INDIRECT = 0x80,
	CFI_PE_OMIT = 0xff,
};

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

/** An entry's frame: what it is, and its content. */
struct cfi_entry {
	struct gc_cursor body;   /* behind the CIE pointer */
	uint64_t body_addr;      /* of body.base */
	uint64_t next;           /* place of the next entry */
	bool is_cie, is_end;
	uint64_t cie;            /* place of an FDE's CIE */
};

/** Bytes of a table. Places are addresses in .eh_frame, offsets in .debug_frame. @return how many; 0: none */
uint64_t cfi_bytes_at(const struct gc_cfi *cfi, bool debug, uint64_t place, const uint8_t **bytes);

enum gc_code cfi_read_entry(const struct gc_cfi *cfi, bool debug, uint64_t place, struct cfi_entry *out,
			    struct gc_error *err);

/** Decode an FDE with the CIE that it names. */
enum gc_code cfi_read_fde(const struct gc_cfi *cfi, bool debug, const struct cfi_entry *entry, struct cfi_fde *out,
			  struct gc_error *err);

/** Run the instructions of @fde up to @pc. */
enum gc_code cfi_run(const struct cfi_fde *fde, uint64_t pc, struct gc_cfi_row *out, struct gc_error *err);

#endif
