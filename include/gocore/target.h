/*
 * What a debugger sees of a dump: threads and their registers.
 *
 * Memory, auxv, libraries and the like are the same whoever looks and are read
 * from process directly; only what a goroutine view answers differently goes
 * through the table.
 */
#ifndef GOCORE_TARGET_H
#define GOCORE_TARGET_H

#include "gocore/process.h"

struct gc_target;
struct gc_program_file;

struct gc_tids {
	gc_tid *list;   /* the crashed one first */
	size_t count;
};

struct gc_thread_text {
	char name[256]; /* "" : not known */
	char extra[256]; /* what `info threads` shows in brackets; "": nothing */
};

struct gc_target_ops {
	/** All ids, owned by the target. */
	const struct gc_tids *(*threads)(struct gc_target *t);

	bool (*has_thread)(struct gc_target *t, gc_tid tid);

	/** The caller releases @out with gc_regs_deinit. GC_E_NOT_FOUND: no such thread. */
	enum gc_code (*read_regs)(struct gc_target *t, gc_tid tid, struct gc_regs *out, struct gc_error *err);

	/** Name and extra text. GC_E_NOT_FOUND: no such thread. */
	enum gc_code (*describe)(struct gc_target *t, gc_tid tid, struct gc_thread_text *out,
				 struct gc_error *err);

	/** Linux signal to report for the thread; 0: none. */
	int (*signal)(struct gc_target *t, gc_tid tid);

	/** The thread's siginfo_t bytes; NULL: none. */
	const struct gc_note *(*siginfo)(struct gc_target *t, gc_tid tid);

	void (*destroy)(struct gc_target *t);
};

struct gc_target {
	const struct gc_target_ops *ops;
	const struct gc_process *process;
	struct gc_target *os_threads; /* of a target around others: the OS threads alone; else NULL */
	struct gc_program_file *program_file; /* served in the program's place; NULL: the program's own file is */
};

/** The OS threads of a process, which must outlive the target. */
enum gc_code gc_core_target_new(struct gc_target **out, const struct gc_process *p, struct gc_error *err);
void gc_target_free(struct gc_target *t);

#endif
