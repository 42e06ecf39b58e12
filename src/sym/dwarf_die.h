/* Reading debugging information entries (DIEs) by libdwarf: the few attributes that frames need. */
#ifndef SYM_DWARF_DIE_H
#define SYM_DWARF_DIE_H

#include "sym/dwarf_file.h"

/** DWARF 5 section 7.5; <dwarf.h> is libdwarf's or elfutils', whichever comes first. */
enum {
	GC_TAG_CLASS = 0x02, GC_TAG_LEXICAL_BLOCK = 0x0b, GC_TAG_COMPILE_UNIT = 0x11, GC_TAG_STRUCTURE = 0x13,
	GC_TAG_UNION = 0x17, GC_TAG_INLINED = 0x1d, GC_TAG_MODULE = 0x1e, GC_TAG_CATCH_BLOCK = 0x25,
	GC_TAG_SUBPROGRAM = 0x2e, GC_TAG_TRY_BLOCK = 0x32, GC_TAG_INTERFACE = 0x38, GC_TAG_NAMESPACE = 0x39,
	GC_TAG_CALL_SITE = 0x48, GC_TAG_GNU_CALL_SITE = 0x4109,

	GC_AT_NAME = 0x03, GC_AT_STMT_LIST = 0x10, GC_AT_LOW_PC = 0x11, GC_AT_HIGH_PC = 0x12,
	GC_AT_LANGUAGE = 0x13, GC_AT_COMP_DIR = 0x1b, GC_AT_ABSTRACT_ORIGIN = 0x31, GC_AT_DECLARATION = 0x3c,
	GC_AT_SPECIFICATION = 0x47,
	GC_AT_RANGES = 0x55, GC_AT_CALL_FILE = 0x58, GC_AT_CALL_LINE = 0x59, GC_AT_LINKAGE_NAME = 0x6e,
	GC_AT_ADDR_BASE = 0x73,
	GC_AT_RNGLISTS_BASE = 0x74, GC_AT_CALL_RETURN_PC = 0x7d, GC_AT_CALL_ORIGIN = 0x7f, GC_AT_CALL_TAIL_CALL = 0x82,
	GC_AT_MIPS_LINKAGE_NAME = 0x2007, GC_AT_GNU_TAIL_CALL = 0x2115,
};

/** A file's .debug_info, and the one that dwz moved common entries to. */
struct gc_dies {
	struct gc_dwarf *dwarf;
	Dwarf_Debug dbg;
	struct gc_dies *supplement; /* or NULL */
};

/** What the DIE of a unit says that the attributes of others need. */
struct gc_die_unit {
	uint64_t low_pc;         /* ranges count from there */
	uint64_t addr_base, rnglists_base;
	unsigned version;
	bool is_64;              /* offsets of 8 bytes */
};

/** @param die  of the unit */
void gc_die_unit_read(struct gc_die_unit *out, struct gc_dies *dies, Dwarf_Die die);

/** @return the DIE at an offset of .debug_info, NULL: there is none */
Dwarf_Die gc_die_at(struct gc_dies *dies, uint64_t offset);

/** The first child, or NULL. */
Dwarf_Die gc_die_child(struct gc_dies *dies, Dwarf_Die die);

/** The next sibling, or NULL; @die is freed. */
Dwarf_Die gc_die_next(struct gc_dies *dies, Dwarf_Die die);
void gc_die_free(struct gc_dies *dies, Dwarf_Die die);

uint64_t gc_die_offset(struct gc_dies *dies, Dwarf_Die die);
unsigned gc_die_tag(struct gc_dies *dies, Dwarf_Die die);

/** @return as long-lived as the file, or NULL */
const char *gc_die_string(struct gc_dies *dies, Dwarf_Die die, unsigned attribute);
bool gc_die_number(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out);

/** Is there such an attribute? A flag is set by being there. */
bool gc_die_has(struct gc_dies *dies, Dwarf_Die die, unsigned attribute);

bool gc_die_address(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out);

/** An offset of another section, such as DW_AT_stmt_list. */
bool gc_die_section_offset(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out);

/** What an attribute refers to. @return false if there is none; *out_dies may be the supplement */
bool gc_die_reference(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, struct gc_dies **out_dies,
		      uint64_t *out);

/**
 * Visit the address ranges of a DIE: DW_AT_low_pc and DW_AT_high_pc, or
 * DW_AT_ranges in any version; stops when @visit returns false.
 *
 * The lists are read here: libdwarf 20210528 frees twice when .debug_rnglists is damaged.
 *
 * @return false if the DIE has no range attributes at all
 */
bool gc_die_ranges(struct gc_dies *dies, Dwarf_Die die, const struct gc_die_unit *unit,
		   bool (*visit)(void *data, uint64_t low, uint64_t high), void *data);

#endif
