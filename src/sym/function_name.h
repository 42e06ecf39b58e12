/* Names of functions as gdb shows them. */
#ifndef SYM_FUNCTION_NAME_H
#define SYM_FUNCTION_NAME_H

#include "sym/dwarf_die.h"

struct gc_function_name;

/** Names that had to be made, by what they were made of. */
struct gc_function_names {
	struct gc_function_name *list; /* hash table */
	size_t count, size;
};

void gc_function_names_deinit(struct gc_function_names *names);

/**
 * The name of a DIE of a function or inlined call: demangled, or with the
 * namespaces and classes that it is in.
 *
 * @param language  of the unit, DW_LANG_
 * @return NULL if it has none; lives as long as @names and the file
 */
const char *gc_function_name(struct gc_function_names *names, struct gc_dies *dies, Dwarf_Die die, uint64_t language);

#endif
