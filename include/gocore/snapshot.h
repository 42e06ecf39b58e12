/*
 * The document "snapshot": what one core says, without a debugger. The signal,
 * every thread with registers, frames, code and system call, and the access
 * that faulted.
 *
 * Built once as JSON (doc/schema/snapshot-1.schema.json); the text is made of
 * the same values.
 */
#ifndef GOCORE_SNAPSHOT_H
#define GOCORE_SNAPSHOT_H

#include <jansson.h>

#include "gocore/buf.h"
#include "gocore/process.h"

enum gc_snapshot_registers {
	GC_REGISTERS_GENERAL, /* what NT_PRSTATUS holds: integers, pc, flags */
	GC_REGISTERS_ALL,     /* floating point, vectors and system registers, too */
	GC_REGISTERS_NONE,
};

struct gc_snapshot_options {
	enum gc_snapshot_registers registers;
	unsigned instructions;  /* of each thread, around its pc; 0: none */
	bool att;               /* x86_64 instructions as AT&T writes them, not Intel */
	bool auxv;
	bool env;               /* arguments and environment that the program was started with */
	const struct gc_find_options *find; /* for debug files; NULL: the usual places */
};

#define GC_SNAPSHOT_INSTRUCTIONS 5

/** @return new reference, or NULL: out of memory */
json_t *gc_snapshot(const struct gc_process *p, const struct gc_snapshot_options *options);

/** The text for people. Control characters are escaped. */
void gc_snapshot_text(const json_t *snapshot, struct gc_buf *out);

#endif
