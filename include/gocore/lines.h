/*
 * Functions, inlined calls, source files and lines by address, out of DWARF 2
 * to 5, as gdb shows them.
 *
 * Opening costs nothing. The first address asked for opens the debug
 * information; each one reads the unit that it lies in, and what was read is
 * kept for the next (line tables within bounds).
 */
#ifndef GOCORE_LINES_H
#define GOCORE_LINES_H

#include "gocore/frame.h"
#include "gocore/symbols.h"

/* One image. */

struct gc_lines;

/** One call at an address. All strings live as long as the lines. */
struct gc_line_frame {
	const char *function;  /* C++ and Rust names are demangled and without parameters; NULL: unknown */
	const char *file;      /* as gdb's backtraces have it: relative to where it was compiled; NULL: unknown */
	const char *path;      /* with the directory of compilation before it */
	uint32_t line;         /* 0: unknown */
	uint64_t entry;        /* link-time address of the function that holds the code; 0: unknown */
	bool inlined;
};

/**
 * @param image      must outlive @out, as must @debug
 * @param debug      its separate debug file, or NULL: used if @image has no debug information itself
 * @param options    where the supplementary file of dwz is looked for; must outlive @out
 * @return only GC_E_MEMORY
 */
enum gc_code gc_lines_new(struct gc_lines **out, struct gc_elf_file *image, struct gc_elf_file *debug,
			  const struct gc_find_options *options, struct gc_error *err);
void gc_lines_free(struct gc_lines *lines);

/** Open the supplementary file now, for those who enter the sandbox before they ask. */
void gc_lines_open_files(struct gc_lines *lines);

/**
 * What was called at @pc, innermost first; only the last is not inlined.
 *
 * @param pc     link-time; for a frame that made a call, its return address minus 1
 * @param count  at least 1 on success
 * @return frames that live as long as the lines, GC_E_NOT_FOUND if nothing is said about @pc, GC_E_FORMAT,
 *         GC_E_LIMIT if what is said is damaged
 */
enum gc_code gc_lines_at(struct gc_lines *lines, uint64_t pc, const struct gc_line_frame **frames, size_t *count,
			 struct gc_error *err);

/** What was damaged so far, in a sentence, or NULL. */
const char *gc_lines_damage(const struct gc_lines *lines);

/* All images of a process. */

struct gc_process_lines;

/** @param symbols  whose debug files are used; all arguments must outlive @out; problems may be NULL */
enum gc_code gc_process_lines_new(struct gc_process_lines **out, const struct gc_process *p,
				  struct gc_symbols *symbols, const struct gc_find_options *options,
				  struct gc_problems *problems, struct gc_error *err);
void gc_process_lines_free(struct gc_process_lines *lines);

/** As gc_symbols_open_files: open now what cannot be opened in the sandbox. */
void gc_process_lines_open_files(struct gc_process_lines *lines);

/**
 * A gc_tail_calls_fn for gc_unwinder_set_lines: the functions between the one
 * of @callee and the call behind which @ret lies, if the calls that debug
 * information knows leave only one way from there to here.
 */
size_t gc_process_lines_tail_calls(void *lines, const struct gc_frame *callee, uint64_t ret,
				   uint64_t pcs[GC_MAX_TAIL_CALLS]);

/** A gc_lines_fn for gc_unwinder_set_lines: @lines is a struct gc_process_lines. */
enum gc_code gc_process_lines_frames(void *lines, const struct gc_frame *frame, struct gc_frames *out,
				     struct gc_error *err);

#endif
