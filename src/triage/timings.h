/* Where the time of one core goes: for those who want triage to be faster. */
#ifndef TRIAGE_TIMINGS_H
#define TRIAGE_TIMINGS_H

#include <jansson.h>

#include "gocore/crash.h"

#define TRIAGE_MAX_STEPS 8

struct triage_timings {
	bool on;
	double last, symbols; /* seconds; symbols: names and lines, which are asked for while a stack is unwound */
	struct {
		const char *name;
		double seconds;
	} steps[TRIAGE_MAX_STEPS];
	size_t count;
	const struct gc_stack_tools *tools;
};

void triage_timings_begin(struct triage_timings *t, bool on);

/** What happened since the last step was this one. @param name stays the caller's, lives as long as @t */
void triage_timings_step(struct triage_timings *t, const char *name);

/** Count what @tools take for names and lines by itself. */
void triage_timings_watch(struct triage_timings *t, const struct gc_stack_tools *tools);

/** Key "timings_ms" of a line, if they are wanted. */
void triage_timings_add(const struct triage_timings *t, json_t *line);

#endif
