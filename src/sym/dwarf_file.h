/*
 * The debug sections of a file, unpacked when first needed, and libdwarf on
 * top of them. libdwarf gets them by its object interface: it opens no file,
 * so it works in the sandbox, and it copies nothing that is not compressed.
 */
#ifndef SYM_DWARF_FILE_H
#define SYM_DWARF_FILE_H

#include <libdwarf.h>

#include "gocore/elf_file.h"

struct gc_dwarf;

/** @return GC_E_NOT_FOUND if @file, which must stay open, has no debug section */
enum gc_code gc_dwarf_open(struct gc_dwarf **out, struct gc_elf_file *file, struct gc_error *err);
void gc_dwarf_close(struct gc_dwarf *dwarf);

/** Has the file debug information? Reads none of it. */
bool gc_dwarf_is_in(struct gc_elf_file *file);

/** libdwarf's handle; it is made on the first call. */
enum gc_code gc_dwarf_debug(struct gc_dwarf *dwarf, Dwarf_Debug *out, struct gc_error *err);

/** Unpacked content of a section, ".debug_line" also if it is there as ".zdebug_line"; lives as long as @dwarf. */
enum gc_code gc_dwarf_section(struct gc_dwarf *dwarf, const char *name, const uint8_t **bytes, uint64_t *len,
			      struct gc_error *err);

/** Its size once unpacked. @return 0 if there is no such section */
uint64_t gc_dwarf_section_size(const struct gc_dwarf *dwarf, const char *name);

/** Bytes of all sections that had to be unpacked so far. */
uint64_t gc_dwarf_unpacked(const struct gc_dwarf *dwarf);

/** What libdwarf says, "@what: ...", and forget it. @return GC_E_FORMAT */
enum gc_code gc_dwarf_failed(Dwarf_Debug dbg, Dwarf_Error error, const char *what, struct gc_error *err);

/** Forget what libdwarf says. */
void gc_dwarf_forget(Dwarf_Debug dbg, Dwarf_Error error);

#endif
