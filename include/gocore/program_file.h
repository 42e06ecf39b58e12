/*
 * What clients get in the place of a Go program: the same file with what it
 * lacks behind it (gocore/symbol_file.h), made when the first client opens it.
 * That is names and lines for a stripped one, and for each one call frame
 * information that knows Go's signals, changes of stack and calls of C.
 */
#ifndef GOCORE_PROGRAM_FILE_H
#define GOCORE_PROGRAM_FILE_H

#include "gocore/go.h"
#include "gocore/process.h"

struct gc_program_file;

/**
 * Before the fork; the clients' processes share what one of them makes.
 *
 * @param p must outlive @out
 * @return GC_E_NOT_FOUND if the program's own file has to do: it is not Go's, or not at hand
 */
enum gc_code gc_program_file_new(struct gc_program_file **out, const struct gc_process *p, struct gc_error *err);

/** Goroutines that wait are to be on the lines of the calls that they wait in. @param go must outlive the clients */
void gc_program_file_show_waiting(struct gc_program_file *f, struct gc_go *go);

/** Does the program itself hold neither symbols nor debug information? */
bool gc_program_file_is_stripped(const struct gc_program_file *f);
void gc_program_file_free(struct gc_program_file *f);

/** Its bytes, valid as long as @f. */
enum gc_code gc_program_file_get(struct gc_program_file *f, const uint8_t **bytes, uint64_t *len,
				 struct gc_error *err);

#endif
