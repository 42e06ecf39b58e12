/* Shared by the files that show goroutines as threads. */
#ifndef TARGET_GO_THREADS_H
#define TARGET_GO_THREADS_H

#include "gocore/go_target.h"
#include "gocore/shared.h"

/** Where an OS thread is, seen from Go. */
enum go_place {
	GO_PLACE_FOREIGN, /* of C: the runtime does not know it */
	GO_PLACE_IDLE,    /* it runs no goroutine */
	GO_PLACE_ON,      /* on its goroutine's stack */
	GO_PLACE_SIGNAL,  /* in a signal handler, */
	GO_PLACE_SYSTEM,  /* on the runtime's own stack, */
	GO_PLACE_C,       /* or in C, on behalf of its goroutine */
};

struct go_os_thread {
	gc_tid tid;
	enum go_place place;
	uint32_t m;       /* index + 1 of its M; 0: none */
	uint32_t g;       /* index + 1 of the goroutine that it runs; 0: none */
};

/** A goroutine that is a thread of its own, and those that it stands for. Shared between processes. */
struct go_group {
	uint32_t g;       /* index of the one with the lowest goid */
	uint32_t count;
	uint32_t min_minutes, max_minutes;
};

/** What goes before the groups that processes share. */
struct go_groups_head {
	uint32_t by_state;  /* there were too many stacks for a group each */
	uint32_t left_out;  /* goroutines that are in none */
};

struct by_goid {
	uint64_t goid;
	uint32_t g;       /* index */
};

struct go_target {
	struct gc_target base;
	struct gc_target *inner;
	struct gc_go *go;
	struct gc_problems problems;
	struct gc_go_target_options options;

	const struct gc_goroutine *goroutines;
	size_t ngoroutines;
	struct by_goid *by_goid;   /* sorted, each goid once */
	size_t nby_goid;
	struct gc_shared *groups;  /* NULL: so few goroutines that there are none */

	/* made when threads are asked for */
	bool built;
	struct go_os_thread *os;   /* by tid */
	size_t nos;
	struct go_group *list;     /* goroutines with an id of their own, by goid but for a crashed one */
	size_t count;
	struct gc_tids tids;
};

static inline struct go_target *go_target_of(struct gc_target *t)
{
	return (struct go_target *)t; /* base comes first */
}

static inline gc_tid go_id_of(const struct gc_goroutine *g)
{
	return GC_GO_TID_BASE + (gc_tid)g->goid;
}

/* go_threads.c */

/** Find out where the OS threads are, and list all that is shown. Lack of memory leaves the OS threads alone. */
void go_threads_build(struct go_target *t);

/** @return the OS thread, or NULL */
const struct go_os_thread *go_threads_os(struct go_target *t, gc_tid tid);

/** @return the goroutine with this id, also if another one stands for it; NULL: none */
const struct gc_goroutine *go_threads_goroutine(struct go_target *t, gc_tid id);

/** @return the group that this goroutine stands for, or NULL */
const struct go_group *go_threads_group(struct go_target *t, const struct gc_goroutine *g);

/** The OS thread that runs a goroutine, in the core. @return NULL: none */
const struct go_os_thread *go_threads_running(struct go_target *t, const struct gc_goroutine *g);

/* go_groups.c */

/**
 * Join those that are on no thread and have the same stack and state. A
 * go_groups_head, then groups by goid. gc_make_fn; data: the target
 */
enum gc_code go_groups_make(void *data, struct gc_buf *out, struct gc_error *err);

/* go_regs.c */

/** Does the stack pointer lie on the goroutine's own stack? */
bool go_regs_on_stack(const struct gc_goroutine *g, const struct gc_regs *regs);

enum gc_code go_regs_read(struct go_target *t, const struct gc_goroutine *g, struct gc_regs *out,
			  struct gc_error *err);

/* go_names.c */

void go_names_os(struct go_target *t, const struct go_os_thread *os, struct gc_thread_text *out);
void go_names_goroutine(struct go_target *t, const struct gc_goroutine *g, struct gc_thread_text *out);

#endif
