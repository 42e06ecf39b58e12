/*
 * Cores built in memory, field by field, for the unit tests.
 *
 *	struct core_builder b;
 *	struct gc_core core;
 *
 *	builder_init(&b, EM_X86_64);
 *	builder_prstatus(&b, 4711, 11, regs, sizeof(regs));
 *	builder_load(&b, 0x400000, 0x2000, bytes, 0x1000, PF_R | PF_X);
 *	ck_assert_int_eq(builder_open_core(&b, &core, &err), GC_OK);
 *	...
 *	gc_core_close(&core);
 *	builder_deinit(&b);
 *
 * A test whose own storage fails cannot go on: the builder aborts then.
 */
#ifndef CORE_BUILDER_H
#define CORE_BUILDER_H

#include "gocore/buf.h"
#include "gocore/core.h"

/* Note types that <elf.h> of Debian 12 lacks. */
#define BUILDER_DELVE_HEADER 0x444c5645
#define BUILDER_DELVE_THREAD 0x444c5654

struct builder_segment {
	uint32_t type, flags;
	uint64_t addr, memsz, filesz, align;
	uint64_t offset;      /* set by builder_finish unless fixed_offset */
	bool fixed_offset;    /* write offset as it is, store no bytes */
	struct gc_buf bytes;  /* may hold fewer than filesz: then the rest is zero */
};

struct core_builder {
	/* What the test may change before builder_finish. */
	uint16_t machine;
	uint16_t type;          /* ET_CORE */
	uint16_t phentsize;     /* 56; larger leaves gaps between the headers */
	bool phdrs_at_end;
	bool xnum;              /* e_phnum is PN_XNUM, the count in section header 0 */
	uint64_t load_align;    /* file offsets of segments are multiples of it; 1 */

	struct builder_segment *segments;
	size_t nsegments;
	size_t note_segment;    /* where builder_note appends; SIZE_MAX: none yet */
	struct gc_buf out;      /* filled by builder_finish */
	uint64_t phoff;         /* where builder_finish put the program headers */
};

void builder_init(struct core_builder *b, uint16_t machine);
void builder_deinit(struct core_builder *b);

/** Any program header. @bytes NULL: filesz zero bytes. The result lives until the next is added. */
struct builder_segment *builder_segment(struct core_builder *b, uint32_t type, uint64_t addr, uint64_t memsz,
					const void *bytes, uint64_t filesz, uint32_t flags);

/** A PT_LOAD. */
struct builder_segment *builder_load(struct core_builder *b, uint64_t addr, uint64_t memsz, const void *bytes,
				     uint64_t filesz, uint32_t flags);

/**
 * Start a further PT_NOTE with this p_align: 8, or 0, 1, 4 which all mean 4.
 * The first one starts by itself, with 4.
 */
void builder_note_segment(struct core_builder *b, uint64_t align);

/** A note with a NUL after the owner; "" gives namesz 0. */
void builder_note(struct core_builder *b, const char *owner, uint32_t type, const void *desc, size_t len);

/** The same with namesz as given, so without a NUL if it is strlen(owner). */
void builder_note_named(struct core_builder *b, const char *owner, uint32_t namesz, uint32_t type,
			const void *desc, size_t len);

/* The common notes, laid out as linux/elfcore.h has them (both architectures). */

/** @regs is pr_reg: 27 * 8 bytes on x86_64, 34 * 8 on aarch64; shorter is filled up with zeros. */
void builder_prstatus(struct core_builder *b, int32_t tid, uint16_t sig, const void *regs, size_t regs_len);
void builder_prpsinfo(struct core_builder *b, int32_t pid, const char *fname, const char *args);

/** A siginfo_t of a fault (si_addr at 16). */
void builder_siginfo(struct core_builder *b, int32_t signo, int32_t code, uint64_t addr);

/** @pairs: type, value, type, value...; AT_NULL is appended. @npairs counts pairs. */
void builder_auxv(struct core_builder *b, const uint64_t *pairs, size_t npairs);

struct builder_file {
	uint64_t start, end, page_offset;
	const char *path;
};

void builder_files(struct core_builder *b, uint64_t page_size, const struct builder_file *files, size_t n);

/** Put it together in b->out. May be called again after changes. */
void builder_finish(struct core_builder *b);

/** Finish, and open the result. */
enum gc_code builder_open_core(struct core_builder *b, struct gc_core *core, struct gc_error *err);

/** Bytes as a file without a name, opened. */
void input_of_bytes(struct gc_input *in, const void *bytes, size_t len);

/** Open bytes as a core. */
enum gc_code core_of_bytes(struct gc_core *core, const void *bytes, size_t len, struct gc_error *err);

/** Has @core a problem with @text in where or what? */
bool has_problem(const struct gc_problems *p, const char *text);

#endif
