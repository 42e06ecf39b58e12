/*
 * A symbol file for a stripped Go program, made out of its pclntab: names,
 * files, lines, inlined calls and how to unwind, in the form that debuggers
 * load (ELF with DWARF 4).
 *
 * The call frame information knows more than the one that the Go linker
 * writes: signal frames, calls that a signal handler faked, and the places
 * where Go changes stacks, so that backtraces are complete.
 */
#ifndef GOCORE_SYMBOL_FILE_H
#define GOCORE_SYMBOL_FILE_H

#include "gocore/buf.h"
#include "gocore/go.h"

/**
 * Return addresses that are the pc of an innermost frame: of goroutines that
 * wait. Debuggers look for the line of such a pc itself, where the call was on
 * the line before. So the first bytes of the instruction there are given the
 * call's line, as in the runtime's own traceback.
 */
struct gc_return_pcs {
	const uint64_t *list; /* sorted; as in the module */
	size_t count;
};

/** What the file is made from. */
struct gc_symbol_source {
	const struct gc_arch *arch;
	uint16_t type;                     /* ET_EXEC or ET_DYN */
	const struct gc_go_moduledata *module;
	uint64_t bias;                     /* taken off all addresses of the module */
	int minor;                         /* N of Go 1.N; 0: unknown */
	const struct gc_phdrs *phdrs;      /* NULL: not known */
	const struct gc_build_id *build_id; /* NULL or len 0: none */
	const char *go_build_id;           /* NULL: none */
	struct gc_elf_file *file;          /* the program; NULL: not at hand */
	bool combined;                     /* all of @file, and the symbols behind it */
	struct gc_return_pcs returns;
};

/**
 * Append the symbol file to @out.
 *
 * A program of which @combined keeps its own symbols or debug information gets
 * only what it lacks, and the call frame information.
 *
 * @param problems what the tables lack; may be NULL
 * @return GC_E_LIMIT if the tables are damaged so that they would never end
 */
enum gc_code gc_symbol_file_build(const struct gc_symbol_source *src, struct gc_buf *out,
				  struct gc_problems *problems, struct gc_error *err);

/**
 * The same for a program or library file.
 *
 * @param returns of a process of the program, less the bias; NULL: none
 * @return GC_E_NOT_FOUND if it holds no Go code
 */
enum gc_code gc_symbol_file_of_program(struct gc_elf_file *file, bool combined,
				       const struct gc_return_pcs *returns, struct gc_buf *out,
				       struct gc_problems *problems, struct gc_error *err);

/**
 * The same for the program of a core: out of its file, or of the core's own
 * memory where that holds the pclntab.
 *
 * @return GC_E_NOT_FOUND if there is no Go code, GC_E_FAULT if its tables are not in the core
 */
enum gc_code gc_symbol_file_of_process(const struct gc_process *p, bool combined, struct gc_buf *out,
				       struct gc_problems *problems, struct gc_error *err);

#endif
