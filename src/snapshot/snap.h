/* What the parts of the document "snapshot" share. */
#ifndef SNAPSHOT_SNAP_H
#define SNAPSHOT_SNAP_H

#include "document/doc.h"
#include "gocore/disasm.h"
#include "gocore/lines.h"
#include "gocore/snapshot.h"
#include "gocore/unwind.h"

#define GC_SNAP_SHOWN 32

/** The code at a pc, as it was last shown: most threads of a large process wait at the same few places. */
struct gc_snap_shown {
	uint64_t pc, entry;
	json_t *list;                 /* NULL: none yet */
};

/** A snapshot while it is made. */
struct gc_snap {
	struct gc_doc d;
	const struct gc_process *p;
	const struct gc_snapshot_options *options;
	struct gc_disasm *disasm;     /* NULL: there is none for the architecture */
	struct gc_symbols *symbols;
	struct gc_go *go;             /* NULL: no Go */
	struct gc_process_lines *lines;
	struct gc_unwinder *unwinder; /* NULL: memory ran out */
	struct gc_frames frames;      /* of the thread at hand */
	struct gc_snap_shown shown[GC_SNAP_SHOWN]; /* by pc */
};

/** One thread of it. */
struct gc_snap_thread {
	const struct gc_thread *thread;
	const struct gc_regs *regs;
	uint64_t entry;               /* of the function at its pc; 0: unknown */
	bool crashed;
};

/* Each sets keys of @object; what is not known is left out. */
void gc_snap_registers(struct gc_snap *s, json_t *object, const struct gc_regs *regs);
void gc_snap_frames(struct gc_snap *s, json_t *object, struct gc_snap_thread *t);
void gc_snap_code(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t);
void gc_snap_code_end(struct gc_snap *s);
void gc_snap_syscall(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t);
void gc_snap_fault(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t);
void gc_snap_auxv(struct gc_snap *s, json_t *root);
void gc_snap_strings(struct gc_snap *s, json_t *root); /* arguments, environment */

/** Start and end what gc_snap_frames needs. */
void gc_snap_unwind_begin(struct gc_snap *s);
void gc_snap_unwind_end(struct gc_snap *s);

/** A value as hex without leading zeros; 0 is "0". For sentences. */
const char *gc_snap_value(uint64_t value, char buf[24]);

#endif
