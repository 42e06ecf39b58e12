/* Unpacking a stream into a sparse file. Private to src/core. */
#ifndef CORE_UNPACK_H
#define CORE_UNPACK_H

#include "gocore/input.h"

/** Bytes that gc_codec_by_magic needs to see. */
#define GC_MAGIC_LEN 6

struct gc_codec;

/** The format that begins like this, or NULL. */
const struct gc_codec *gc_codec_by_magic(const uint8_t *bytes, size_t len);
const char *gc_codec_name(const struct gc_codec *codec);

/** Bytes that come from a file descriptor, buffered. */
struct gc_stream {
	int fd;
	uint8_t *buf;
	size_t pos, len;   /* unread: buf[pos..len) */
	bool ended;        /* read returned 0 */
	uint64_t total;    /* bytes read so far */
};

enum gc_code gc_stream_init(struct gc_stream *s, int fd, struct gc_error *err);
void gc_stream_deinit(struct gc_stream *s);

/** Wait for more bytes behind the unread ones, of which there are at most GC_MAGIC_LEN. */
enum gc_code gc_stream_more(struct gc_stream *s, struct gc_error *err);

struct gc_unpack_job {
	const struct gc_codec *codec; /* NULL: copy */
	struct gc_stream *from;
	uint64_t from_size;           /* for progress; 0: unknown */
	int to;                       /* empty file; zero blocks become holes */
	const char *to_dir;           /* for messages */
	uint64_t max_size;            /* of the result; what is longer is no core but a trap */
	uint64_t max_data;            /* of it that is not zero, which takes room */
	gc_progress_fn *progress;     /* may be NULL */
	void *data;
};

/** @param size  length of the result. GC_E_LIMIT: it would be longer, or take more room, than it may */
enum gc_code gc_unpack(const struct gc_unpack_job *job, uint64_t *size, struct gc_error *err);

#endif
