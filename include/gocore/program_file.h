/*
 * What clients get in the place of a Go program: the same file with what it
 * lacks behind it (gocore/symbol_file.h), made when the first client opens it.
 *
 * One that was stripped gets names, lines and call frame information; any
 * other one the call frame information alone, for the Go linker's own does not
 * know of signals, of calls that a signal handler faked, and of changes of
 * stack, so that gdb loses its way there. Its debug information stays its own.
 */
#ifndef GOCORE_PROGRAM_FILE_H
#define GOCORE_PROGRAM_FILE_H

#include "gocore/process.h"

struct gc_program_file;

/**
 * Before the fork; the clients' processes share what one of them makes.
 *
 * @param p             must outlive @out
 * @param only_stripped leave programs alone that have symbols
 * @return GC_E_NOT_FOUND if the program's own file will do: it is not Go's, or not at hand
 */
enum gc_code gc_program_file_new(struct gc_program_file **out, const struct gc_process *p, bool only_stripped,
				 struct gc_error *err);
void gc_program_file_free(struct gc_program_file *f);

/** Was the program stripped of symbols and debug information? */
bool gc_program_file_is_stripped(const struct gc_program_file *f);

/** Its bytes, valid as long as @f. */
enum gc_code gc_program_file_get(struct gc_program_file *f, const uint8_t **bytes, uint64_t *len,
				 struct gc_error *err);

#endif
