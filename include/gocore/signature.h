/*
 * Signatures: what of a crash stays the same when it happens again. Three of
 * them, from strict to loose, and none holds an absolute address.
 *
 * doc/signatures.md says what goes into each, and lists what is skipped.
 */
#ifndef GOCORE_SIGNATURE_H
#define GOCORE_SIGNATURE_H

#include "gocore/buf.h"
#include "gocore/crash.h"

/** By what the process is told apart from others. */
enum gc_signature_kind {
	GC_SIGNATURE_STACK,      /* the frames of what crashed */
	GC_SIGNATURE_RECURSION,  /* a stack overflow: the calls that repeat */
	GC_SIGNATURE_GOROUTINES, /* nothing of the program itself was running: what its goroutines wait for */
};

/** "stack", "recursion", "goroutines" */
const char *gc_signature_kind_name(enum gc_signature_kind kind);

struct gc_signature {
	enum gc_signature_kind kind;
	char *exact;        /* 32 hex digits of build ID and offset of each frame; NULL: no frame is known */
	char *top;          /* names of the first five, "c < b < a"; NULL as exact */
	char *site;         /* program, signal and place of the pc; NULL: not even that is known */
	const char **skipped; /* function names, innermost first; each lives as long as the frames */
	size_t nskipped;
	size_t first;       /* index in the crash's frames of the first one that counts; their count: none does */
};

/** @return only GC_E_MEMORY */
enum gc_code gc_signature_of(struct gc_signature *out, const struct gc_crash *crash,
			     const struct gc_stack_tools *tools, struct gc_error *err);
void gc_signature_deinit(struct gc_signature *s);

/** Why frames of a function say nothing of where the fault is. */
struct gc_skip_rule {
	const char *pattern; /* "abort", "runtime.panic*" */
	const char *group;   /* "C library", "Go runtime", ... */
};

/** The one table; doc/signatures.md shows it. Ends with a NULL pattern. */
extern const struct gc_skip_rule gc_skip_rules[];

/** Append the name of a function as signatures write it. @param go it is one of Go */
void gc_signature_name(struct gc_buf *out, const char *function, bool go);

/** Goroutines that wait alike: same state and same calls. */
struct gc_wait_group {
	const char *status, *wait_reason; /* the latter may be NULL */
	size_t count;
	const struct gc_goroutine *first;
	struct gc_frames frames;          /* of the first one, runtime and start-up included */
};

struct gc_wait_groups {
	struct gc_wait_group *list;       /* the largest first */
	size_t count;
	size_t goroutines;                /* in all of them */
	bool capped;                      /* there were more than anyone wants */
};

/** Of all goroutines that the runtime did not make for itself. @return only GC_E_MEMORY */
enum gc_code gc_wait_groups_of(struct gc_wait_groups *out, struct gc_go *go, struct gc_error *err);
void gc_wait_groups_deinit(struct gc_wait_groups *groups);

#endif
