/*
 * Goroutines as threads: a target around that of the OS threads.
 *
 * A goroutine that runs on an OS thread and its own stack is shown as that
 * thread. All others have an id of their own, GC_GO_TID_BASE + goid, which no
 * kernel gives to a thread (PID_MAX_LIMIT, linux/threads.h) and which is the
 * same whenever the core is opened. Their registers are those that the runtime
 * kept for them, or that a signal frame holds; all others are unknown.
 */
#ifndef GOCORE_GO_TARGET_H
#define GOCORE_GO_TARGET_H

#include "gocore/go.h"
#include "gocore/target.h"

#define GC_GO_TID_BASE ((gc_tid)1000000000)

/** Without more goroutines than that each is a thread. */
#define GC_GO_GROUP_BEYOND 1000

/**
 * Threads that groups make at most: what gdb lists within a second. With more stacks than that,
 * goroutines that do the same wherever they are called from are one, and those that are too many even
 * then are not listed. All of them can be selected by their ids.
 */
#define GC_GO_MAX_GROUPS 3000

struct gc_go_target_options {
	bool only_goroutines; /* no OS threads but those that stand for a goroutine, and the one that crashed */
	size_t group_beyond;  /* with more goroutines, those with equal stack and state are one; SIZE_MAX: never */
	size_t max_groups;    /* 0: GC_GO_MAX_GROUPS, or group_beyond if that is more */
};

/**
 * The runtime is read here; stacks are looked at, and groups made, when the
 * threads are asked for, once for all processes forked from this one.
 *
 * @param inner taken over by @out; on failure it stays the caller's
 * @return GC_E_NOT_FOUND if there is no Go code in the process; else the error says why its
 *         goroutines cannot be shown
 */
enum gc_code gc_go_target_new(struct gc_target **out, struct gc_target *inner,
			      const struct gc_go_target_options *options, struct gc_error *err);

/** @return the runtime that a target shows, or NULL if it is another kind of target */
struct gc_go *gc_go_target_go(struct gc_target *t);

/** Are there so many goroutines that equal ones are one thread? */
bool gc_go_target_is_grouped(struct gc_target *t);

/** What is damaged in it; NULL for another kind of target. */
const struct gc_problems *gc_go_target_problems(struct gc_target *t);

#endif
