/* The calls that the compiler inlined into one function, as a tree with the addresses of each. */
#ifndef SYMFILE_INLINES_H
#define SYMFILE_INLINES_H

#include "symfile/symfile.h"

#define NO_NODE UINT32_MAX

struct symfile_span {
	uint64_t start, end;
	uint32_t next;             /* NO_NODE: the last one */
};

struct symfile_inlined {
	int32_t index;             /* in the function's inline tree */
	uint32_t name;             /* for gc_pclntab_name */
	uint32_t start_line;       /* of the inlined function; 0: unknown */
	uint32_t call_file, call_line; /* of the call, for the line table; 0: unknown */
	uint32_t parent, child, last_child, sibling;
	uint32_t depth;
	uint32_t first, last;      /* spans */
};

struct symfile_inlines {
	struct symfile_inlined *nodes;
	uint32_t count, cap;
	uint32_t root, last_root;  /* the first of those inlined into the function itself */
	struct symfile_span *spans;
	uint32_t nspans, spans_cap;
	uint32_t *by_index;        /* node + 1 */
	uint32_t by_index_cap;
};

/** The tables of one function. */
struct symfile_tables {
	struct gc_pcrows inlines, files, lines;
};

/** Fill with the calls inlined into @f; what the tables do not tell is left out. */
enum gc_code symfile_inlines_read(struct symfile_inlines *t, struct symfile *s, const struct gc_pcfunc *f,
				  const struct symfile_tables *tables, struct symfile_files *files,
				  struct gc_error *err);
void symfile_inlines_clear(struct symfile_inlines *t);
void symfile_inlines_deinit(struct symfile_inlines *t);

#endif
