/*
 * A file to read: plain, compressed or standard input, as bytes in memory.
 *
 * Plain files are mapped, never read whole, so opening costs nothing however
 * large they are. Compressed ones (zstd, xz, lz4, gzip; told by magic) and
 * pipes are unpacked into an unlinked sparse file under TMPDIR, and that one
 * is mapped.
 */
#ifndef GOCORE_INPUT_H
#define GOCORE_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/error.h"

struct gc_input {
	char *path;            /* as the user wrote it; "-" is standard input */
	int fd;                /* of the bytes: the file itself or the temporary one */
	const uint8_t *bytes;  /* mapped read-only, NULL when size is 0 */
	uint64_t size;
	const char *compression; /* "zstd"...; NULL: none */
	uint64_t dev, ino;     /* of the plain file, else 0: tells whether two paths are one file */
	int64_t mtime;         /* seconds since 1970 of the file at path, 0 for a pipe */
};

/** Called now and then while unpacking; total is 0 where unknown. */
typedef void gc_progress_fn(void *data, uint64_t done, uint64_t total);

/**
 * Open @path ("-": standard input).
 *
 * A directory, device, empty file or FIFO that nobody writes to is refused.
 * Messages do not name the file: the caller does. A compressed
 * stream that ends early is GC_E_TRUNCATED: the caller is told before a
 * debugger is.
 */
enum gc_code gc_input_open(struct gc_input *in, const char *path, gc_progress_fn *progress,
			   void *data, struct gc_error *err);
void gc_input_close(struct gc_input *in);

/**
 * The same for those who cannot make files any more when they open it.
 *
 * @param scratch of gc_input_scratch, one input at a time; it stays the caller's. -1: none is needed
 */
enum gc_code gc_input_open_with(struct gc_input *in, const char *path, int scratch, struct gc_error *err);

/** A file without a name under TMPDIR, to unpack into. */
enum gc_code gc_input_scratch(int *out, struct gc_error *err);

/** The pages read so far need not stay in our memory; they come back when they are read again. */
void gc_input_forget(const struct gc_input *in);

#endif
