/*
 * A process with code in it, for the tests of symbols and unwinding: a core
 * whose vDSO is an image made here, so that no file is needed.
 *
 *	CODE_BASE           headers, then text, .eh_frame_hdr, .eh_frame, symbols   R X
 *	CODE_STACK          CODE_STACK_LEN bytes that the test fills               R W
 *	CODE_JIT            text once more, but of no image                        R X
 */
#ifndef CODE_BUILDER_H
#define CODE_BUILDER_H

#include "gocore/process.h"

#include "core_builder.h"

#define CODE_BASE      0x7fff00000000ULL
#define CODE_TEXT      0x400             /* offset of the text in the image */
#define CODE_TEXT_LEN  0x800
#define CODE_AT(offset) (CODE_BASE + CODE_TEXT + (offset))
#define CODE_STACK     0x7ffe00000000ULL
#define CODE_STACK_LEN 0x1000
#define CODE_JIT       0x7ffd00000000ULL

struct code_symbol {
	const char *name;
	uint64_t offset, size;         /* in the text */
	uint8_t info;                  /* ELF64_ST_INFO */
};

struct code_fde {
	uint64_t offset, len;          /* of the code, in the text */
	const void *program;           /* call frame instructions */
	size_t program_len;
	bool signal;                   /* has a CIE with augmentation S */
};

struct code_builder {
	uint16_t machine;
	uint8_t text[CODE_TEXT_LEN];
	uint8_t stack[CODE_STACK_LEN];
	const struct code_symbol *symbols;
	size_t nsymbols;
	const struct code_fde *fdes;   /* by address */
	size_t nfdes;
	bool no_hdr;                   /* no .eh_frame_hdr: .eh_frame is found as a section */
	bool damaged_hdr;              /* its rows point to the wrong entries */
	uint64_t regs[34];             /* pr_reg: struct user_regs_struct, user_pt_regs */
};

/** The image as a file. */
void code_image(const struct code_builder *b, struct gc_buf *out);

/** The process, open; its only thread has tid 1. */
void code_process(struct code_builder *b, struct gc_process *p);

/** Put a word on the stack. */
void code_push(struct code_builder *b, uint64_t addr, uint64_t value);

#endif
