/* Which debug information a program has; nothing of its content. */
#ifndef SYM_DWARF_INFO_H
#define SYM_DWARF_INFO_H

#include "gocore/elf_file.h"

#define GC_DWARF_LIST 8 /* producers and languages that are listed */

struct gc_dwarf_info {
	size_t units;           /* compile units */
	bool more;              /* there are more units than were counted */
	bool version[8];        /* version[4]: some unit is DWARF 4 */
	char *producers[GC_DWARF_LIST]; /* distinct ones of the first units, "GNU C17 12.2.0 ..." */
	size_t nproducers;
	const char *languages[GC_DWARF_LIST]; /* "C11", "Go" */
	size_t nlanguages;
};

/**
 * Look through the headers of the compile units.
 *
 * @return GC_E_NOT_FOUND if there is no DWARF, GC_E_LIMIT if there is too much of it
 */
enum gc_code gc_dwarf_info_read(struct gc_dwarf_info *out, struct gc_elf_file *file, struct gc_error *err);
void gc_dwarf_info_deinit(struct gc_dwarf_info *info);

#endif
