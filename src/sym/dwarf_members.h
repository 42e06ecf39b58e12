/* Where structures have their members, by the debug information. */
#ifndef SYM_DWARF_MEMBERS_H
#define SYM_DWARF_MEMBERS_H

#include "gocore/elf_file.h"

struct gc_member {
	const char *type;       /* "runtime.g" */
	const char *name;       /* "goid" */
	uint64_t offset;        /* set if found */
	bool found;
};

/**
 * Look up members of structures; the first structure of a name that has members counts.
 *
 * @return GC_E_NOT_FOUND if there is no debug information, or nothing of this in it
 */
enum gc_code gc_dwarf_members(struct gc_elf_file *file, struct gc_member *list, size_t count, struct gc_error *err);

#endif
