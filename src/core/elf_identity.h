/* What ELF headers tell of a program, wherever they are read from. */
#ifndef CORE_ELF_IDENTITY_H
#define CORE_ELF_IDENTITY_H

#include "gocore/elf_file.h"

#define GC_MACHINE_PHRASE 48

/** "an x86-64", "a RISC-V", "a machine 4711": as it stands before the word program; perhaps made in @buf. */
const char *gc_machine_phrase(uint16_t machine, char buf[GC_MACHINE_PHRASE]);

/**
 * Build IDs out of the PT_NOTEs, and Go's also out of the start of the text.
 *
 * @param read         takes offsets of the file
 * @param go_build_id  set to allocated text, or to NULL: none
 */
void gc_identity_read(const struct gc_phdrs *phdrs, gc_read_fn *read, void *data,
		      struct gc_build_id *build_id, char **go_build_id);

/**
 * Does the file hold what is loaded? Debug files (objcopy --only-keep-debug)
 * have the program headers and the build ID of their program, but no bytes.
 */
bool gc_elf_has_content(struct gc_elf_file *file);

/** Address of the program headers in the image before it is moved. @return false if they are not loaded */
bool gc_phdrs_vaddr(const struct gc_phdrs *p, uint64_t *vaddr);

/** The first program header of @type, or NULL. */
const Elf64_Phdr *gc_phdrs_find(const struct gc_phdrs *p, uint32_t type);

#endif
