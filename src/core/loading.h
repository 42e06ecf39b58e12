/* A core that is being opened: shared by the files that read its headers. */
#ifndef CORE_LOADING_H
#define CORE_LOADING_H

#include "core/core_private.h"

#define MAX_NOTE_SEGMENTS 64 /* everybody writes one */

/** What is needed of an ELF header. */
struct elf_header {
	uint16_t type, machine, phentsize, phnum;
	uint64_t phoff, shoff;
};

/** A program header. */
struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

/** One gc_core_open call. */
struct core_loading {
	struct gc_core *core;
	struct elf_header ehdr;
	uint64_t phnum;        /* as the file says */
	uint64_t phdrs_there;  /* of these, whole in the file */
	struct gc_note_segment notes[MAX_NOTE_SEGMENTS];
	size_t nnotes;
	size_t nloads, ntags;
	uint64_t load_align;   /* of the first PT_LOAD that has a sensible one */
	uint64_t missing_memory, missing_notes;
};

/* What a file is that is no core for us. */

enum gc_code core_not_elf(const struct gc_input *in, struct gc_error *err);

/** @return GC_OK if it is one that can be read, as far as this part of its header tells */
enum gc_code core_check_ident(const uint8_t *ident, struct gc_error *err);
enum gc_code core_check_type(const struct elf_header *e, struct gc_error *err);
enum gc_code core_wrong_machine(const struct elf_header *e, struct gc_error *err);

/* Segments. */

/** Note that the headers describe bytes up to @offset + @len. */
void core_expect(struct core_loading *l, uint64_t offset, uint64_t len);

/** Of @len bytes at @offset, how many the file holds. */
uint64_t core_bytes_there(const struct core_loading *l, uint64_t offset, uint64_t len);

/** Fill the core's segments and tags, and @l->notes, from the headers that are there. */
enum gc_code core_read_segments(struct core_loading *l, struct gc_error *err);

#endif
