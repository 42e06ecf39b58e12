/*
 * All goroutines of a dumped process, in the formats that other tools read.
 *
 * The result is passed on piece by piece, so that a million goroutines cost
 * no more memory than the runtime's list of them and one stack (those that
 * differ, where equal ones are joined).
 */
#ifndef GOCORE_GOROUTINES_H
#define GOCORE_GOROUTINES_H

#include <regex.h>

#include "gocore/process.h"

enum gc_goroutines_format {
	GC_GOROUTINES_TEXT,   /* the runtime's own traceback, as with GOTRACEBACK=crash */
	GC_GOROUTINES_JSON,   /* document "goroutines" */
	GC_GOROUTINES_FOLDED, /* "root;...;leaf COUNT", for flame graphs */
	GC_GOROUTINES_PPROF,  /* gzipped profile.proto */
};

struct gc_goroutines_options {
	enum gc_goroutines_format format;
	bool group;                 /* join equal stacks of one state, the largest group first; not for pprof */
	const char *const *states;  /* of these only: "waiting", or a wait reason; none: of all */
	size_t nstates;
	const regex_t *function;    /* with a frame whose function matches; NULL: all */
	const struct gc_find_options *find; /* for debug files of C code; NULL: the usual places */
};

/** Takes the next bytes of a result. @return false (errno says why) to end it */
typedef bool gc_write_fn(void *data, const void *bytes, size_t len);

/**
 * Write the goroutines of a process.
 *
 * @param problems collects what is damaged or missing, of the Go runtime; JSON holds it too
 * @return GC_E_NOT_FOUND if there is no Go code in the process, GC_E_IO when @write failed
 */
enum gc_code gc_goroutines_write(const struct gc_process *p, const struct gc_goroutines_options *options,
				 gc_write_fn *write, void *data, struct gc_problems *problems,
				 struct gc_error *err);

#endif
