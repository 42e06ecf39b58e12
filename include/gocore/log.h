/*
 * Diagnostics for people, on standard error: "gocore-stub: FILE: what is wrong".
 *
 * Library code reports what the user should know of by gc_problem (below) or
 * by its error; only transport traces and warnings about the outside world
 * come through here.
 */
#ifndef GOCORE_LOG_H
#define GOCORE_LOG_H

#include <stdbool.h>

#include "gocore/error.h"

/** Always shown. One line; a newline is added. */
void gc_warn(const char *format, ...) GC_PRINTF(1, 2);

/** Shown with -v. */
void gc_debug(const char *format, ...) GC_PRINTF(1, 2);

/**
 * Names in a core must not drive the terminal: C0 but for newlines, DEL, and C1
 * in UTF-8 (0xc2 0x80-0x9f) become question marks.
 */
void gc_defuse(char *text);

void gc_log_verbose(bool on);
bool gc_log_is_verbose(void);

/** What is damaged or missing in one core, collected while it is read. */
struct gc_problem {
	char *where; /* "note 3 (NT_PRSTATUS)", "image /lib/libc.so.6" */
	char *what;  /* one sentence, no full stop */
};

struct gc_problems {
	struct gc_problem *list;
	size_t count;
	size_t dropped; /* over the cap of 1000 */
};

void gc_problems_deinit(struct gc_problems *p);

/** Record one. Lack of memory drops it. */
void gc_problem(struct gc_problems *p, const char *where, const char *format, ...) GC_PRINTF(3, 4);

#endif
