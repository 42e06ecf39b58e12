/*
 * Stacks: from registers to a list of frames, C and Go in one.
 *
 * Each frame is left by the best means there is: Go's tables for Go code
 * (gocore/go.h), else call frame information, the signal frame of the kernel,
 * and where there are no tables the code of the prologue and the chain of
 * frame pointers. A frame is only listed if its pc lies in executable memory;
 * otherwise the stack ends, and gc_stack_end says why.
 */
#ifndef GOCORE_UNWIND_H
#define GOCORE_UNWIND_H

#include "gocore/frame.h"
#include "gocore/go.h"
#include "gocore/process.h"
#include "gocore/symbols.h"

struct gc_unwinder;

/** Why a stack ends where it does. */
enum gc_stack_end_kind {
	GC_STACK_COMPLETE,    /* that was the outermost frame */
	GC_STACK_NOT_CODE,    /* the return address is in no executable memory */
	GC_STACK_NO_MEMORY,   /* the stack is not in the core there */
	GC_STACK_NO_RULES,    /* nothing tells where the caller is */
	GC_STACK_DAMAGED,     /* what tells it contradicts itself */
	GC_STACK_LIMIT,       /* more frames than anyone wants */
};

/** "complete", "not-code", ... */
const char *gc_stack_end_name(enum gc_stack_end_kind kind);

struct gc_stack_end {
	enum gc_stack_end_kind kind;
	struct gc_error why;  /* a sentence; empty when complete */
};

/**
 * The frames that debug information makes of one physical frame: calls that
 * were inlined first, the function itself last, each with the pc, sp, cfa,
 * entry, how, exact and image of @frame.
 *
 * @return GC_E_NOT_FOUND if nothing was appended for it knows nothing of the pc
 */
typedef enum gc_code gc_lines_fn(void *lines, const struct gc_frame *frame, struct gc_frames *out,
				 struct gc_error *err);

/**
 * Functions that jumped on their way to @callee instead of calling it, so that
 * they left no frames of their own.
 *
 * @param ret  the return address of @callee
 * @param pcs  where they went on to: behind their jumps, innermost first
 * @return how many
 */
typedef size_t gc_tail_calls_fn(void *lines, const struct gc_frame *callee, uint64_t ret,
				uint64_t pcs[GC_MAX_TAIL_CALLS]);

/**
 * @param symbols, go  must outlive @out; go may be NULL: no Go in the process
 * @param problems     collects damaged tables, once for each image; may be NULL, else must outlive @out
 */
enum gc_code gc_unwinder_new(struct gc_unwinder **out, const struct gc_process *p, struct gc_symbols *symbols,
			     struct gc_go *go, struct gc_problems *problems, struct gc_error *err);
void gc_unwinder_free(struct gc_unwinder *u);

/** Ask @lines about each C frame from now on, and (unless NULL) what lies between it and its caller. */
void gc_unwinder_set_lines(struct gc_unwinder *u, gc_lines_fn *fn, gc_tail_calls_fn *tail_calls, void *lines);

/**
 * Append the frames of an OS thread.
 *
 * @param regs  its registers, or any others to start from
 * @param tid   whose stacks these are; 0: none of Go
 * @return GC_E_MEMORY, GC_E_NOT_FOUND if @regs has no pc; a stack that ends early is no error
 */
enum gc_code gc_unwind_thread(struct gc_unwinder *u, const struct gc_regs *regs, gc_tid tid, struct gc_frames *out,
			      struct gc_stack_end *end, struct gc_error *err);

/** The same from a Go frame on (gc_go_from_goroutine), with the C frames between Go's. */
enum gc_code gc_unwind_go(struct gc_unwinder *u, const struct gc_go_state *state, struct gc_frames *out,
			  struct gc_stack_end *end, struct gc_error *err);

#endif
