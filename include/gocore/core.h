/*
 * One core file, parsed: program headers, notes, threads.
 *
 * Formats: ELF-64 (System V ABI, linux/elf.h), notes as written by
 * fs/binfmt_elf.c, gdb's gcore, qemu linux-user/elfload.c and Delve's
 * pkg/proc/dump.go. Everything points into the mapped file; opening costs what
 * the headers and notes cost. What is damaged is left out and listed in
 * problems; only a file that is no core at all is an error.
 *
 * The fields are for reading; gc_core_open fills them and nothing changes them
 * afterwards.
 */
#ifndef GOCORE_CORE_H
#define GOCORE_CORE_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/arch.h"
#include "gocore/input.h"
#include "gocore/log.h"

typedef int64_t gc_tid;

enum gc_core_maker {
	GC_MADE_BY_KERNEL,
	GC_MADE_BY_GCORE,      /* gdb's generate-core-file */
	GC_MADE_BY_QEMU_USER,
	GC_MADE_BY_DELVE,      /* with NT_PRSTATUS notes: linux/amd64 */
	GC_MADE_BY_DELVE_PORTABLE, /* header and thread notes only */
	GC_MADE_BY_OTHER,
};

const char *gc_core_maker_name(enum gc_core_maker maker);

/** A PT_LOAD. */
struct gc_segment {
	uint64_t addr;    /* first address */
	uint64_t memsz;   /* bytes mapped in the process; addr + memsz does not overflow */
	uint64_t filesz;  /* of these, bytes that the core says it holds; at most memsz */
	uint64_t have;    /* of these, bytes that the file really holds; less when it was cut off */
	uint64_t offset;  /* in the file */
	uint32_t flags;   /* PF_R PF_W PF_X */
};

/** An arch-specific segment that describes memory (PT_AARCH64_MEMTAG_MTE). */
struct gc_tag_segment {
	uint64_t addr, memsz;  /* the memory that the tags belong to */
	uint64_t offset, have; /* the packed tags in the file */
};

/** A row of NT_FILE. */
struct gc_file_map {
	uint64_t start, end;
	uint64_t offset;       /* in the file, in bytes */
	const char *path;      /* NUL-terminated, inside the note */
};

/** One NT_PRSTATUS (or Delve thread note) and the notes that follow it. */
struct gc_thread {
	gc_tid tid;
	int cursig;
	int64_t ppid, pgrp, sid;
	uint64_t sigpend, sighold;
	const struct gc_note *prstatus; /* NULL for a Delve thread note */
	size_t first_note, nnotes;      /* its notes in gc_core.notes */
};

/** NT_SIGINFO: siginfo_t, asm-generic/siginfo.h. A has_ field false: this signal has none. */
struct gc_siginfo {
	const struct gc_note *note;
	int signo, code, errnum;
	bool has_addr, has_sender;
	uint64_t addr;
	int32_t sender_pid;
	uint32_t sender_uid;
};

struct gc_prpsinfo {
	int64_t pid, ppid, pgrp, sid;
	uint32_t uid, gid;
	char state;            /* 'R', 'S', ... or 0 */
	int nice;
	char fname[17];
	char args[81];
};

/** What Delve writes into its header note. */
struct gc_delve_header {
	char goos_goarch[64];
	bool has_pid, has_entry;
	int64_t pid;
	uint64_t entry;
};

struct gc_core {
	struct gc_input input;
	const struct gc_arch *arch;
	enum gc_core_maker maker;

	struct gc_segment *segments;    /* sorted by address, no overlap */
	size_t nsegments;
	struct gc_tag_segment *tags;
	size_t ntags;

	size_t nnote_segments;          /* PT_NOTEs; everybody writes one */
	struct gc_note *notes;          /* all of them, in file order */
	size_t nnotes;
	struct gc_thread *threads;      /* [0] is the one that crashed, as the kernel writes it */
	size_t nthreads;                /* never 0; tids are positive and differ */

	const struct gc_note *auxv;     /* NULL: none */
	struct gc_file_map *files;      /* sorted by start, no overlap */
	size_t nfiles;
	bool has_files;                 /* there was an NT_FILE, even if empty or damaged */
	bool has_siginfo;
	struct gc_siginfo siginfo;      /* of the crashed thread */
	bool has_prpsinfo;
	struct gc_prpsinfo prpsinfo;
	bool has_delve;
	struct gc_delve_header delve;

	uint64_t page_size;             /* AT_PAGESZ, else the alignment of the segments, else 4096 */
	gc_tid pid;                     /* NT_PRPSINFO, else Delve's, else the first thread's */
	int signal;                     /* Linux number, 0: none */

	bool cut;                       /* the file is shorter than its headers say */
	uint64_t expected_size;         /* what the headers say, when cut */
	struct gc_problems problems;
};

/**
 * Parse a core.
 *
 * @param in   taken over: closed with the core, and on failure too
 * @return GC_E_FORMAT for what is no ELF core (says what it is instead) or has no threads,
 *         GC_E_UNSUPPORTED for 32 bits, big endian or another machine,
 *         GC_E_TRUNCATED if so much is cut off that no thread is left
 */
enum gc_code gc_core_open(struct gc_core *core, struct gc_input *in, struct gc_error *err);
void gc_core_close(struct gc_core *core);

/** @return true for a note with this owner and type; see notes.c for the excused owners */
bool gc_note_is(const struct gc_core *core, const struct gc_note *note, const char *owner, uint32_t type);

/** The thread's own note of @type, or NULL. */
const struct gc_note *gc_thread_note(const struct gc_core *core, const struct gc_thread *thread,
				     const char *owner, uint32_t type);

/** "NT_PRSTATUS"; NULL if this type of this owner has no name. */
const char *gc_note_name(const struct gc_core *core, const struct gc_note *note);

/** @return false if the auxiliary vector has no @type (AT_PHDR...) */
bool gc_core_auxv(const struct gc_core *core, uint64_t type, uint64_t *out);

/**
 * Decode one thread's registers by the map. What is damaged stays unknown and
 * is reported in @problems (may be NULL). The caller releases @out with
 * gc_regs_deinit.
 */
enum gc_code gc_core_regs(const struct gc_core *core, const struct gc_thread *thread,
			  const struct gc_regmap *map, struct gc_regs *out,
			  struct gc_problems *problems, struct gc_error *err);

/** Which registers this core's threads have. */
void gc_core_regmap(const struct gc_core *core, struct gc_regmap *out);

#endif
