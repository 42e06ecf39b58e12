/*
 * A core written anew: plain, complete, as the kernel would have written it.
 *
 * For tools that reject or misread the core at hand: compressed cores, Delve's
 * dumps, cores of qemu's user mode, cores whose code lies in files that the
 * tool does not have. Notes are in the kernel's order (write_note_info,
 * fs/binfmt_elf.c); every byte that gc_space serves is in a PT_LOAD. What is
 * not known stays a hole: no PT_LOAD says that its file holds it.
 */
#ifndef GOCORE_NORMALIZE_H
#define GOCORE_NORMALIZE_H

#include "gocore/process.h"

/** Who is going to read the core. */
enum gc_reader {
	GC_READER_ANY,
	GC_READER_GDB,
	GC_READER_LLDB,
	GC_READER_DELVE,  /* gets no NT_FILE: it takes every mapping in there for one of the program */
};

const char *gc_reader_name(enum gc_reader reader); /* "any", "gdb", "lldb", "dlv" */

/** @return false if there is no reader of this name */
bool gc_reader_named(const char *name, enum gc_reader *out);

struct gc_normalize_options {
	enum gc_reader reader;
	gc_progress_fn *progress;  /* NULL: none; told bytes of memory done and in all */
	void *data;
};

/** What was written. */
struct gc_normalized {
	size_t threads, segments;
	uint64_t size;       /* of the file; less on disk, for zeros are holes in it */
	uint64_t memory;     /* bytes of memory in it */
	uint64_t recovered;  /* of these, from files that the process had mapped */
	uint64_t absent;     /* bytes that the process could use, and that neither the core nor a file has */
	uint64_t cut;        /* bytes that were lost with the end of the core */
};

/**
 * Write the core to @fd: a regular file from its start, sparse; anything else
 * as a stream.
 *
 * @param problems gets what the new core cannot say, or lacks; may be NULL
 * @return GC_E_IO if it cannot be written, GC_E_LIMIT for a core whose segments all name the same bytes
 */
enum gc_code gc_normalize(const struct gc_process *p, const struct gc_normalize_options *options, int fd,
			  struct gc_normalized *out, struct gc_problems *problems, struct gc_error *err);

/**
 * gc_normalize into the file @path with mode 0600, which appears or is
 * replaced when all of it is written, and not before.
 *
 * @return also GC_E_USAGE if @path is the core itself or a file that memory is taken from
 */
enum gc_code gc_normalize_save(const struct gc_process *p, const struct gc_normalize_options *options,
			       const char *path, struct gc_normalized *out, struct gc_problems *problems,
			       struct gc_error *err);

/**
 * Why @reader cannot make as much of the core as of its normalised form.
 *
 * @param out gets one problem a reason; may be NULL
 * @return how many there are; 0: it may have the core as it is
 */
size_t gc_normalize_reasons(const struct gc_process *p, enum gc_reader reader, struct gc_problems *out);

#endif
