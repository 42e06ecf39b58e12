/*
 * What crashed: the thread or goroutine that the process died of, and its
 * stack. Made once, and read by signatures, snapshots and triage.
 */
#ifndef GOCORE_CRASH_H
#define GOCORE_CRASH_H

#include "gocore/frame.h"
#include "gocore/go.h"
#include "gocore/lines.h"
#include "gocore/symbols.h"
#include "gocore/unwind.h"

/** What reads stacks. All of it is borrowed and outlives the crash. */
struct gc_stack_tools {
	const struct gc_process *p;
	struct gc_symbols *symbols;
	struct gc_go *go;              /* NULL: no Go */
	struct gc_process_lines *lines;
	struct gc_unwinder *unwinder;
};

/**
 * Make all of them. On failure nothing is left.
 *
 * @param find     where debug files are looked for; must outlive the tools; NULL: the usual places
 * @param problems collects what is damaged; must outlive the tools
 * @return only GC_E_MEMORY
 */
enum gc_code gc_stack_tools_open(struct gc_stack_tools *tools, const struct gc_process *p,
				 const struct gc_find_options *find, struct gc_problems *problems,
				 struct gc_error *err);
void gc_stack_tools_close(struct gc_stack_tools *tools);

/*
 * Frames of it that are wanted. A stack that overflowed has ten thousands, which say the same
 * again and again and cost more than all the rest of a core.
 */
#define GC_CRASH_FRAMES 1024

struct gc_crash {
	/*
	 * The thread. Where Go relays a signal to all threads (GOTRACEBACK=crash) the kernel dumps
	 * the last of them first; then this is the one that had the fault. NULL: a goroutine that is on no thread.
	 */
	const struct gc_thread *thread;
	const struct gc_goroutine *goroutine; /* that it runs, or that panics; NULL: none */
	int signal;                    /* of the fault, Linux number: SIGSEGV where Go made a SIGABRT of it; 0: none */
	struct gc_regs regs;           /* of the thread; none are known without one */
	struct gc_frames frames;       /* the innermost GC_CRASH_FRAMES; may be empty */
	struct gc_stack_end end;
	struct gc_go_panics panics;    /* empty without Go */
};

/** @return only GC_E_MEMORY; what cannot be told is empty */
enum gc_code gc_crash_find(struct gc_crash *out, const struct gc_stack_tools *tools, struct gc_problems *problems,
			   struct gc_error *err);
void gc_crash_deinit(struct gc_crash *crash);

/**
 * The signal that the frame before @index handles, by the siginfo that the kernel left for the handler.
 *
 * @param index of the frame that it interrupted (how is GC_HOW_SIGNAL_FRAME)
 * @param code  si_code
 * @return its number, 0: unknown
 */
int gc_frame_signal(const struct gc_process *p, const struct gc_frames *frames, size_t index, int *code);

/** The address of the fault that it handles, if it is one of memory. @return false: unknown */
bool gc_frame_fault(const struct gc_process *p, const struct gc_frames *frames, size_t index, uint64_t *addr);

#endif
