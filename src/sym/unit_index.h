/* Which compile units may hold an address. */
#ifndef SYM_UNIT_INDEX_H
#define SYM_UNIT_INDEX_H

#include "sym/dwarf_die.h"

struct gc_unit_range {
	uint64_t low, high;
	uint64_t unit;        /* offset of the unit's DIE */
};

struct gc_unit_index {
	struct gc_unit_range *list; /* by low */
	size_t count, cap;
};

void gc_unit_index_deinit(struct gc_unit_index *index);

/**
 * Out of .debug_aranges, read in place: libdwarf takes 20 ms for those of
 * libc, and rejects all for one that is damaged.
 *
 * @return GC_E_NOT_FOUND if there are none; compilers such as clang and Go write none, so other units may be missing
 */
enum gc_code gc_unit_index_of_aranges(struct gc_unit_index *out, struct gc_dwarf *dwarf, struct gc_error *err);

/**
 * Add what a walk over all units finds. (Units of strict DWARF 2 cannot say
 * that their code is in several places, and .debug_aranges does.)
 *
 * @return GC_E_LIMIT if there are too many; those before that were added
 */
enum gc_code gc_unit_index_add_units(struct gc_unit_index *index, struct gc_dies *dies, struct gc_error *err);

/** Units with a range that holds @pc. @return how many are in @units, at most @max; nearest first */
size_t gc_unit_index_find(const struct gc_unit_index *index, uint64_t pc, uint64_t *units, size_t max);

#endif
