/*
 * The Go linker's pclntab: function names, files, lines, inlined calls and
 * frame sizes of all Go code, there even in stripped programs.
 *
 * Format: runtime/symtab.go, internal/abi/symtab.go and cmd/link
 * (ld/pcln.go) of Go 1.18 to 1.27. Everything is decoded when asked for, out
 * of the bytes in place; a look-up is a binary search. All offsets come from
 * the table and are checked each time.
 */
#ifndef GOCORE_PCLNTAB_H
#define GOCORE_PCLNTAB_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/elf_file.h"

#define GC_PCLNTAB_HEADER 72
#define GC_PCLNTAB_PAGE   4096

/** A part of the text where the linker made several (runtime.textsect). */
struct gc_text_section {
	uint64_t start, end; /* offsets in the text as the tables count them */
	uint64_t base;       /* run-time address of start */
};

/** Where the tables are and what the moduledata says about them. */
struct gc_pclntab_source {
	const uint8_t *bytes;    /* from pcHeader on; must outlive the table */
	uint64_t len;
	const uint8_t *header;   /* GC_PCLNTAB_HEADER bytes to use for the first ones, if those are damaged; or NULL */
	const uint8_t *present;  /* one bit for each GC_PCLNTAB_PAGE of bytes; NULL: all are there */
	uint64_t text;           /* run-time address of runtime.text; 0: as the header says (until Go 1.25) */
	const struct gc_text_section *sections; /* more than one, or NULL */
	size_t nsections;
	uint64_t gofunc;         /* address of go:func.*, the base of inline trees; 0: unknown */
	gc_read_fn *read;        /* reads at run-time addresses; NULL: no inline trees */
	void *data;
	uint8_t quantum;         /* of the architecture; the header must agree */
};

/** pcdata and funcdata indexes (internal/abi/symtab.go), the same in all versions. */
enum gc_pcdata {
	GC_PCDATA_INLINE = 2,
};
enum gc_funcdata {
	GC_FUNCDATA_INLINE = 3,
};

/** flag of _func */
enum gc_pcfunc_flag {
	GC_FUNC_TOP     = 1, /* outermost frame of its stack */
	GC_FUNC_SPWRITE = 2, /* assembly that loads SP */
	GC_FUNC_ASM     = 4,
};

/** A decoded _func. */
struct gc_pcfunc {
	uint32_t index;
	uint64_t entry, end;   /* run-time addresses */
	uint32_t name;         /* for gc_pclntab_name */
	uint32_t start_line;   /* 0: unknown (before Go 1.20) */
	uint32_t pcsp, pcfile, pcln; /* for gc_pclntab_value; 0: none */
	uint32_t inlines;      /* the same: index into the inline tree */
	uint64_t tree;         /* address of the inline tree, 0: none */
	uint32_t cu;           /* for gc_pclntab_file; equal for functions of one compilation unit */
	uint8_t id;            /* funcID; renumbered between versions */
	uint8_t flags;
};

/** Element of an inline tree. */
struct gc_inlined_call {
	uint32_t name;
	uint8_t id;
	uint64_t parent_pc;    /* an address inside the caller, at the call */
	uint32_t start_line;   /* 0: unknown */
	/* before Go 1.20 */
	bool has_parent;
	int32_t parent;        /* index of the caller in the tree, -1: the function itself */
	int32_t file;
	uint32_t line;         /* of the call */
};

/** Where a pc is in the source. */
struct gc_pcline {
	uint32_t name;
	uint8_t id;
	bool inlined;
	const char *file;      /* NULL: unknown */
	uint32_t line;         /* 0: unknown */
};

/** [start, end) has @value. */
struct gc_pcrow {
	uint64_t start, end;
	int32_t value;
};

struct gc_pcrows {
	struct gc_pcrow *list;
	size_t count;
};

struct gc_name_cache;

struct gc_pclntab {
	struct gc_pclntab_source src;
	uint32_t nfunc;
	uint64_t text;
	uint64_t names, names_end;   /* offsets of the parts in src.bytes */
	uint64_t cus, cus_end;
	uint64_t files, files_end;
	uint64_t values, values_end;
	uint64_t funcs;
	bool long_tree;              /* 20-byte tree elements and no startLine: Go 1.18, 1.19 */
	struct gc_name_cache *printed;
};

/** What the header says, for who knows it from elsewhere. */
struct gc_pclntab_header {
	bool is_118;             /* of Go 1.18 or 1.19 */
	uint8_t quantum;
	uint64_t nfunc, text;
	uint64_t names, cus, files, values, funcs; /* offsets of the parts */
};

/** Write one as the linker does. */
void gc_pclntab_make_header(const struct gc_pclntab_header *h, uint8_t out[GC_PCLNTAB_HEADER]);

/** Do two headers differ in something that matters? */
bool gc_pclntab_headers_differ(const uint8_t *a, const uint8_t *b);

/** Does a pcHeader start here? @bytes holds GC_PCLNTAB_HEADER of them. */
bool gc_pclntab_is_header(const uint8_t *bytes, uint8_t quantum);

/**
 * @return GC_E_FORMAT for no or a damaged header, GC_E_UNSUPPORTED for one of
 *         before Go 1.18
 */
enum gc_code gc_pclntab_init(struct gc_pclntab *t, const struct gc_pclntab_source *src, struct gc_error *err);
void gc_pclntab_deinit(struct gc_pclntab *t);

/** @return false if there is no such function or its record is damaged */
bool gc_pclntab_func(const struct gc_pclntab *t, uint32_t index, struct gc_pcfunc *out);
bool gc_pclntab_find(const struct gc_pclntab *t, uint64_t pc, struct gc_pcfunc *out);

/** Name as the linker wrote it ("main.(*Stack[go.shape.int]).Peek"), in place; NULL if damaged. */
const char *gc_pclntab_name(const struct gc_pclntab *t, uint32_t name);

/** Name as the runtime's traceback prints it ("main.(*Stack[...]).Peek", "panic"); NULL if damaged. */
const char *gc_pclntab_print_name(struct gc_pclntab *t, uint32_t name);

/** File by the number that the pcfile table gives; NULL if unknown. */
const char *gc_pclntab_file(const struct gc_pclntab *t, const struct gc_pcfunc *f, int32_t number);

/** Value of a pc-value table at @pc; -1 if it has none there. */
int32_t gc_pclntab_value(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint32_t table, uint64_t pc);

/** All rows of a pc-value table; ends early where it is damaged. */
enum gc_code gc_pclntab_rows(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint32_t table,
			     struct gc_pcrows *out, struct gc_error *err);
void gc_pcrows_deinit(struct gc_pcrows *rows);

/** Element @index of the function's inline tree. @return false if there is none */
bool gc_pclntab_inlined(const struct gc_pclntab *t, const struct gc_pcfunc *f, int32_t index,
			struct gc_inlined_call *out);

/**
 * The calls that @pc is in: inlined ones first, the innermost at [0]; the
 * function itself last.
 *
 * @param pc  an address inside the instruction meant: for a frame that made a
 *            call its return address minus 1
 * @return how many, at least 1 and at most @cap (which is at least 1)
 */
size_t gc_pclntab_lines(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc,
			struct gc_pcline *out, size_t cap);

#endif
