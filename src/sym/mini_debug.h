/* ELF files that lie in other files or in memory. Private to src/sym. */
#ifndef SYM_MINI_DEBUG_H
#define SYM_MINI_DEBUG_H

#include "gocore/elf_file.h"

/** An ELF file of bytes, which are copied. @return allocated, or NULL: they are none */
struct gc_elf_file *gc_elf_of_bytes(const char *name, const void *bytes, size_t len);

/** What Fedora leaves in a stripped program (.gnu_debugdata, an ELF file with symbols, packed with xz), or NULL. */
struct gc_elf_file *gc_mini_debug_open(struct gc_elf_file *file);

/** Close and free; NULL is fine. */
void gc_elf_free(struct gc_elf_file *file);

#endif
