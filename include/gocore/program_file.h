/*
 * What clients get in the place of a stripped Go program: the same file with
 * names, lines and call frame information behind it (gocore/symbol_file.h),
 * made when the first client opens it.
 *
 * A program that has symbols is served as it is. Call frame information that
 * knows Go's signals and changes of stack would help gdb there too, but gdb 13
 * dies of an internal error on some programs that have it beside their own
 * debug information.
 */
#ifndef GOCORE_PROGRAM_FILE_H
#define GOCORE_PROGRAM_FILE_H

#include "gocore/process.h"

struct gc_program_file;

/**
 * Before the fork; the clients' processes share what one of them makes.
 *
 * @param p must outlive @out
 * @return GC_E_NOT_FOUND if the program's own file will do: it is not Go's, or not at hand
 */
enum gc_code gc_program_file_new(struct gc_program_file **out, const struct gc_process *p, struct gc_error *err);
void gc_program_file_free(struct gc_program_file *f);

/** Its bytes, valid as long as @f. */
enum gc_code gc_program_file_get(struct gc_program_file *f, const uint8_t **bytes, uint64_t *len,
				 struct gc_error *err);

#endif
