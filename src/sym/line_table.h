/*
 * One unit's line table, DWARF 2 to 5 (DWARF 5 section 6.2).
 *
 * libdwarf would read these too; it allocates every row and keeps it in a
 * search tree: 20 ms for a Go program's runtime (54,000 rows), where this
 * takes half a millisecond.
 */
#ifndef SYM_LINE_TABLE_H
#define SYM_LINE_TABLE_H

#include "sym/dwarf_file.h"

struct gc_line_row {
	uint64_t addr;
	uint32_t line;
	uint32_t file : 31;  /* index into files */
	uint32_t is_stmt : 1;
};

/** Rows of ascending address up to an end_sequence. */
struct gc_line_sequence {
	uint64_t low, high;
	size_t first, count;
};

struct gc_line_file {
	const char *name;    /* as recorded; NULL: unreadable */
	const char *dir;     /* of its directory entry; NULL: the compilation directory */
};

struct gc_line_table {
	struct gc_line_row *rows;
	size_t nrows;
	struct gc_line_sequence *sequences; /* by address */
	size_t nsequences;
	struct gc_line_file *files; /* file numbers of DIEs are indexes: [0] is unused before DWARF 5 */
	size_t nfiles;
	bool cut;                   /* damaged, or too long, from some point on */
};

/**
 * Read the table at @offset of .debug_line.
 *
 * What comes before a damaged part is kept. Names are not copied: they live as long as @dwarf.
 *
 * @param supplement  for strings that dwz moved there, or NULL
 */
enum gc_code gc_line_table_read(struct gc_line_table *out, struct gc_dwarf *dwarf, struct gc_dwarf *supplement,
				uint64_t offset, struct gc_error *err);

/** Free the rows; files stay. */
void gc_line_table_drop_rows(struct gc_line_table *table);
void gc_line_table_deinit(struct gc_line_table *table);

/** The row that gdb shows for @pc, or NULL. */
const struct gc_line_row *gc_line_table_find(const struct gc_line_table *table, uint64_t pc);

#endif
