/* Shared by the files of src/symfile. */
#ifndef SYMFILE_H
#define SYMFILE_H

#include "gocore/buf.h"
#include "gocore/symbol_file.h"

/** How the caller of a function is found. */
enum symfile_kind {
	SYMFILE_PLAIN,       /* by the size of the frame */
	SYMFILE_END,         /* not at all: outermost */
	SYMFILE_INJECTED,    /* a signal handler faked the call */
	SYMFILE_SIGTRAMP,    /* a signal interrupted it */
	SYMFILE_SYSTEMSTACK, /* the same frame, on the goroutine's stack */
	SYMFILE_MORESTACK,   /* where the goroutine needed more stack */
	SYMFILE_ASMCGOCALL,  /* on the stack that was left for C */
	SYMFILE_CALLBACK,    /* where C called it, on g0's stack */
	SYMFILE_VDSO,        /* on the stack that was left for the vDSO */
	SYMFILE_CROSSCALL,   /* saves its caller's registers in places of its own */
};

struct symfile_function {
	struct gc_pcfunc f;
	enum symfile_kind kind;
	uint8_t lead;        /* bytes before its entry that count as its own */
};

/** Files of one compilation unit, numbered for its line table from 1 on. */
struct symfile_files {
	uint32_t *numbers;   /* of the pclntab's file numbers; 0: not used yet */
	size_t numbers_cap;
	uint32_t *used;      /* the pclntab's number of each */
	const char **names;
	uint32_t count, cap;
};

struct symfile {
	const struct gc_symbol_source *src;
	const struct gc_arch *arch;
	const struct gc_go_abi *abi;
	const struct gc_pclntab *table;
	struct gc_go_offsets offsets;
	uint64_t bias;
	struct symfile_function *functions; /* by address */
	size_t count;
	uint32_t *by_unit;   /* indexes of functions by compilation unit, then address */
	uint64_t budget;     /* rows that may still be decoded */
	uint32_t lost_trees; /* functions whose inlined calls are not to be had */
	bool landingpad;     /* there is an asmcgocall_landingpad, see gc_go_abi.asmcgocall */
	uint64_t signal_pc;  /* stands for the signal that made a function call another; 0: there is no place for it */
	bool own_info;       /* .debug_info is made here, so that it can mark functions */
	struct gc_buf strings; /* .strtab and .debug_str: a name's offset is that in the pclntab plus 1 */
	struct gc_buf symbols, frame, info, abbrev, line, ranges;
};

/** Fill functions and by_unit. Damaged ones are left out. */
enum gc_code symfile_read_functions(struct symfile *s, struct gc_problems *problems, struct gc_error *err);

/** Fails with GC_E_LIMIT once the tables have more rows than can be. */
enum gc_code symfile_spend(struct symfile *s, size_t rows, struct gc_error *err);

/** All rows of a table of @f; the caller frees. */
enum gc_code symfile_rows(struct symfile *s, const struct gc_pcfunc *f, uint32_t table, struct gc_pcrows *out,
			  struct gc_error *err);

/** Value at @pc, -1 if there is none. */
int32_t symfile_value(const struct gc_pcrows *rows, uint64_t pc);

/** @return number for the line table; 0: the file is not known, or out of memory */
uint32_t symfile_file(struct symfile *s, struct symfile_files *files, const struct gc_pcfunc *f, int32_t number);
void symfile_files_clear(struct symfile_files *files);
void symfile_files_deinit(struct symfile_files *files);

/** Where a function begins for debuggers. */
static inline uint64_t symfile_low(const struct symfile_function *function)
{
	return function->f.entry - function->lead;
}

/** DWARF number of a register row. */
static inline unsigned symfile_dwarf(const struct symfile *s, int row)
{
	return (unsigned)s->arch->regs[row].dwarf;
}

/*
 * stack_switch.c: append DWARF expressions for functions that go on on another
 * stack.
 *
 * @param size  bytes from the stack pointer to the frame address on the stack where the function is called
 */

/** The frame address. */
void symfile_systemstack_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code);
void symfile_asmcgocall_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code);
void symfile_callback_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code);
void symfile_vdso_cfa(const struct symfile *s, uint64_t size, struct gc_buf *code);

/** Where the return address is. */
void symfile_vdso_caller(const struct symfile *s, uint64_t size, struct gc_buf *code);

/** The address of a field of the goroutine that the thread works for, and what is in it. */
void symfile_goroutine_field(const struct symfile *s, uint64_t field, struct gc_buf *code);
void symfile_goroutine_value(const struct symfile *s, uint64_t field, struct gc_buf *code);

/** .debug_frame */
enum gc_code symfile_frame(struct symfile *s, struct gc_error *err);

/** .debug_info, .debug_abbrev, .debug_ranges and .debug_line */
enum gc_code symfile_info(struct symfile *s, struct gc_error *err);

/** The program of one compilation unit: functions by_unit[first..first+n), and then its @files. */
enum gc_code symfile_line_unit(struct symfile *s, size_t first, size_t n, struct symfile_files *files,
			       struct gc_error *err);

/** The ELF file around it all. */
enum gc_code symfile_elf(struct symfile *s, struct gc_buf *out, struct gc_error *err);

/** Does the program have a section of this name? */
bool symfile_has_section(const struct gc_symbol_source *src, const char *name);

#endif
