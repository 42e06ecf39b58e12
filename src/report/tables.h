/* The page's data: texts, stacks and values are kept once, and cores are rows of numbers. */
#ifndef REPORT_TABLES_H
#define REPORT_TABLES_H

#include <jansson.h>

#include "base/intern.h"
#include "gocore/buf.h"

struct gc_report {
	struct gc_intern identities; /* of the cores that are in */
	struct gc_intern texts;      /* 0 is the empty one */
	struct gc_intern values;     /* of registers */
	/* Each key is a JSON array of numbers, or of arrays of them. */
	struct gc_intern stacks;           /* [[function, file, line, module, inlined], ...] */
	struct gc_intern skipped;          /* [function, ...] */
	struct gc_intern goroutine_groups; /* [[count, status, wait reason, stack], ...] */
	struct gc_intern register_names;   /* [name, ...] */
	uint32_t *with_registers;          /* by text of the exact signature: cores whose registers are kept */
	size_t with_registers_cap;
	struct gc_buf rows;                /* JSON, with commas between */
	size_t cores, duplicates;
	bool failed;                       /* memory ran out */
};

/** Append the row of a core. Lack of memory sets r->failed. */
void gc_report_add_row(struct gc_report *r, const json_t *line);

/** Append the names of a row's cells, as JSON. */
void gc_report_columns(struct gc_buf *out);

/** Append JSON as it may stand in an HTML script element: ASCII, and no '<'. */
void gc_report_json(struct gc_buf *out, const json_t *value);

#endif
