/* Which frames of a stack tell of the fault: neither those that ended the process nor those that started it. */
#include <signal.h>
#include <string.h>

#include "signature/signature_private.h"

/* A handler that gives up calls few functions to do so. */
#define MAX_HANDLER 64

static bool is_skipped(const struct gc_frame *frame)
{
	return frame->function && sig_is_skipped(frame->function);
}

/** Inside of what throws and ends: libraries whose own symbols are stripped. */
static bool is_nameless(const struct gc_frame *frame)
{
	return !frame->function && sig_is_runtime_library(frame);
}

static bool is_fault(int signal, int code)
{
	return code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
			    signal == SIGTRAP || signal == SIGSYS);
}

/**
 * A program's own handler of a fault, that ended it in its turn: the fault is
 * what it interrupted. Which signal it was is only known of handlers with
 * SA_SIGINFO; of the others most that end the process are for faults.
 */
static size_t behind_handler(const struct gc_crash *crash, const struct gc_process *p, size_t first)
{
	for (size_t i = first; i < crash->frames.count && i - first < MAX_HANDLER; i++) {
		int code, signal;

		if (crash->frames.list[i].how != GC_HOW_SIGNAL_FRAME)
			continue;
		signal = gc_frame_signal(p, &crash->frames, i, &code);
		return !signal || is_fault(signal, code) ? i : first;
	}
	return first;
}

/** Past frames without names of those libraries, if one of the table called them: raise() without its symbols. */
static size_t behind_nameless(const struct gc_frames *frames, size_t first)
{
	size_t i = first;

	while (i < frames->count && is_nameless(&frames->list[i]))
		i++;
	return first > 0 || (i < frames->count && is_skipped(&frames->list[i])) ? i : first;
}

static size_t skip_inner(const struct gc_crash *crash, const struct gc_process *p)
{
	const struct gc_frames *frames = &crash->frames;
	size_t first = 0, before;

	do {
		before = first;
		while (first < frames->count && is_skipped(&frames->list[first]))
			first++;
		first = behind_nameless(frames, first);
		if (first > 0)
			first = behind_handler(crash, p, first);
	} while (first != before);
	return first;
}

static bool is_named(const struct gc_frame *frame, const char *name)
{
	return frame->function && strcmp(frame->function, name) == 0;
}

/** Outer frames of the C library that have no name, and those that start a thread or the program. */
static bool is_outer(const struct gc_frame *frame)
{
	return frame->function ? sig_is_start(frame->function) : sig_is_libc(frame);
}

/** What calls main starts it. */
static size_t behind_main(const struct gc_frames *frames, size_t first, size_t end)
{
	for (size_t i = end; i > first; i--)
		if (is_named(&frames->list[i - 1], "main"))
			return i;
	return end;
}

/** Rust's main, and the closure of a thread, are called by the library's own through a marker for its traceback. */
static size_t behind_rust_start(const struct gc_frames *frames, size_t first, size_t end)
{
	size_t i = first;

	while (i < end && !(frames->list[i].function && sig_is_rust_start(frames->list[i].function)))
		i++;
	if (i == end)
		return end;
	while (i > first + 1 && frames->list[i - 1].function &&
	       strncmp(frames->list[i - 1].function, "core::ops::function::FnOnce::call_once", 38) == 0)
		i--;
	return i > first ? i : end;
}

struct sig_span sig_span_of(const struct gc_crash *crash, const struct gc_stack_tools *tools)
{
	struct sig_span span = { .first = skip_inner(crash, tools->p), .end = crash->frames.count };

	while (span.end > span.first && is_outer(&crash->frames.list[span.end - 1]))
		span.end--;
	span.end = behind_main(&crash->frames, span.first, span.end);
	span.end = behind_rust_start(&crash->frames, span.first, span.end);
	return span;
}
