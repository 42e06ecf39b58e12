/* One compile unit: its functions by address, the calls inlined in them, and its line table. */
#ifndef SYM_UNIT_H
#define SYM_UNIT_H

#include "gocore/lines.h"

#include "sym/dwarf_die.h"
#include "sym/function_name.h"
#include "sym/line_table.h"

struct gc_unit_function {
	uint64_t low, high;     /* all of it, or a part */
	uint64_t entry;         /* where the first part begins */
	uint64_t die;
};

struct gc_unit {
	uint64_t offset;        /* of its DIE */
	struct gc_die_unit die; /* what it says */
	const char *name, *comp_dir;
	uint64_t language;      /* DW_LANG_; 0: unknown */
	struct gc_line_table lines;
	uint64_t lines_offset;  /* of .debug_line */
	bool has_lines;         /* there is a table */
	bool has_rows;          /* it was read */
	struct gc_error damage; /* of the table; code GC_OK: none */
	struct gc_line_frame *files;  /* file and path of each of lines.files, made when first needed */
	struct gc_unit_function *functions; /* by low */
	size_t nfunctions, cap_functions;
	bool has_functions;
	bool has_nested;        /* functions inside functions were looked for too */
	uint64_t used;          /* when last, for the cache */
};

/** @param offset  of the unit's DIE */
enum gc_code gc_unit_open(struct gc_unit *out, struct gc_dies *dies, uint64_t offset, struct gc_error *err);
void gc_unit_close(struct gc_unit *unit);

/** Free what is large and will be read again when needed. */
void gc_unit_shrink(struct gc_unit *unit);

/** The function that holds @pc. @param out  NULL: there is none; else valid until the unit shrinks */
enum gc_code gc_unit_function_at(struct gc_unit *unit, struct gc_dies *dies, uint64_t pc,
				 const struct gc_unit_function **out, struct gc_error *err);

/** As gc_lines_at; the frames are in @out, room for @max of them. */
enum gc_code gc_unit_frames(struct gc_unit *unit, struct gc_dies *dies, struct gc_function_names *names, uint64_t pc,
			    struct gc_line_frame *out, size_t max, size_t *count, struct gc_error *err);

#endif
