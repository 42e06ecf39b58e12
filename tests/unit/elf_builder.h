/*
 * A small ELF program or library, built in memory, as a file and as it lies in
 * a process.
 *
 *	file offset   address         what
 *	0x0000        base + 0x0000   headers, notes, relocations, dynamic strings and symbols   R
 *	0x1000        base + 0x1000   text                                                        R X
 *	0x2000        base + 0x3000   .dynamic and 32 relocated pointers (PT_GNU_RELRO)           R W
 *	0x3000        base + 0x4000   data                                                        R W
 *	              base + 0x5000   bss
 *	0x4000                        symbols and section headers
 */
#ifndef ELF_BUILDER_H
#define ELF_BUILDER_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/buf.h"

enum {
	ELF_TEXT = 0x1000,
	ELF_RELRO = 0x3000,        /* address; .dynamic is at its start */
	ELF_POINTERS = 0x3200,     /* address of the relocated pointers */
	ELF_NPOINTERS = 32,
	ELF_DATA = 0x4000,         /* address */
	ELF_SPAN = 0x6000,         /* of the image */
	ELF_ENTRY = 0x1010,        /* address */
	ELF_FILE_SIZE = 0x4c00,
};

struct elf_builder {
	uint16_t machine, type;
	uint64_t base;             /* added to all addresses; for ET_EXEC */
	const void *build_id;      /* NULL: none */
	size_t build_id_len;
	const char *go_build_id;   /* NULL: none */
	bool gnu_behind_go;        /* the GNU note behind the end of PT_NOTE, as Go 1.24 has it */
	bool go_in_text;           /* the Go build ID at the start of the text instead of in a note */
	bool debug_only;           /* as objcopy --only-keep-debug leaves it */
	const char *interp;        /* NULL: none */
	uint8_t seed;              /* another build: other text, data and pointers, in the same layout */
};

/** The file. */
void elf_build(const struct elf_builder *b, struct gc_buf *out);

/** The page at address base + @vaddr as it is in memory after the image was moved by @bias. */
void elf_page(const struct elf_builder *b, uint64_t vaddr, uint64_t bias, uint8_t page[0x1000]);

#endif
