/*
 * Frames of a stack, innermost first. A call that was inlined has a frame of
 * its own, before that of the function which holds its code.
 */
#ifndef GOCORE_FRAME_H
#define GOCORE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/error.h"

#define GC_MAX_FRAMES 10000
#define GC_MAX_TAIL_CALLS 64 /* between two frames */

struct gc_image;

/** By what a frame was found. */
enum gc_frame_how {
	GC_HOW_REGISTERS,     /* the thread's or goroutine's own registers */
	GC_HOW_CFI,           /* .eh_frame, .debug_frame */
	GC_HOW_PCLNTAB,       /* Go's frame sizes */
	GC_HOW_FRAME_POINTER, /* the chain of frame pointers */
	GC_HOW_SIGNAL_FRAME,  /* the registers that the kernel saved for a signal handler */
	GC_HOW_TAIL_CALL,     /* debug information alone: it jumped to the frame before it, its own is gone */
};

/** "cfi", "pclntab", ... */
const char *gc_frame_how_name(enum gc_frame_how how);

struct gc_frame {
	uint64_t pc;            /* the next instruction of the frame: a return address but for exact ones */
	uint64_t sp;
	uint64_t cfa;           /* the caller's sp (Go prints it as fp); 0: unknown */
	const char *function;   /* lives as long as the process and the tables do; NULL: unknown */
	uint64_t entry;         /* of the function that holds the code; 0: unknown */
	const char *file;       /* as function */
	uint32_t line;          /* 0: unknown */
	bool inlined;           /* pc, sp, cfa and entry are those of the function that holds the code */
	bool wrapper;           /* made by the Go compiler; Go shows it only to GOTRACEBACK=system and crash */
	bool exact;             /* pc was interrupted and has not called: symbols are those of pc, not of pc - 1 */
	enum gc_frame_how how;
	const struct gc_image *image; /* that pc is in, or NULL */
};

struct gc_frames {
	struct gc_frame *list;
	size_t count;
	size_t cap;
	size_t most;   /* that it takes; 0: GC_MAX_FRAMES */
};

/** Append. @return GC_E_LIMIT when there are as many as it takes */
enum gc_code gc_frames_add(struct gc_frames *frames, const struct gc_frame *frame, struct gc_error *err);

/** Empty the list and keep its storage. */
void gc_frames_clear(struct gc_frames *frames);
void gc_frames_deinit(struct gc_frames *frames);

#endif
