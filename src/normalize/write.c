/* The bytes of the new core on their way out: holes for zeros where the file can have them. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "normalize/normalize_private.h"

#define BLOCK ((size_t)4096)      /* what file systems can leave out */
#define CHUNK ((size_t)1 << 20)   /* bytes of one write */
#define REPORT ((uint64_t)32 << 20) /* bytes between two reports of progress */

static const uint8_t zeros[64 << 10];

struct writer {
	int fd;
	bool stream;         /* no seeking: zeros are written too */
	uint64_t at;         /* stream: bytes written so far */
	const struct gc_input *from;
	uint64_t done, reported, total; /* of memory */
	const struct gc_normalize_options *options;
};

static enum gc_code put(struct writer *w, uint64_t offset, const uint8_t *bytes, size_t len, struct gc_error *err)
{
	while (len) {
		ssize_t n = w->stream ? write(w->fd, bytes, len) : pwrite(w->fd, bytes, len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return gc_fail_errno(err, n < 0 ? errno : ENOSPC, "cannot be written");
		bytes += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
		w->at += (uint64_t)n;
	}
	return GC_OK;
}

/** Zeros up to @offset; only a stream needs them. */
static enum gc_code pad_to(struct writer *w, uint64_t offset, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	while (w->stream && w->at < offset && code == GC_OK) {
		uint64_t left = offset - w->at;

		code = put(w, w->at, zeros, left < sizeof(zeros) ? (size_t)left : sizeof(zeros), err);
	}
	return code;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/** The first part of @bytes that is all zero blocks, or has none. Blocks are those of the new file. */
static size_t run_of(uint64_t offset, const uint8_t *bytes, size_t len, bool *zero)
{
	size_t run = 0;

	*zero = false;
	while (run < len && run < CHUNK) {
		size_t part = BLOCK - (size_t)((offset + run) % BLOCK);
		bool empty;

		if (part > len - run)
			part = len - run;
		empty = is_zero(bytes + run, part);
		if (run == 0)
			*zero = empty;
		else if (empty != *zero)
			break;
		run += part;
	}
	return run;
}

static void report(struct writer *w, uint64_t more)
{
	w->done += more;
	if (w->done - w->reported < REPORT)
		return;
	w->reported = w->done;
	gc_input_forget(w->from);
	if (w->options->progress)
		w->options->progress(w->options->data, w->done, w->total);
}

/** How many bytes from @bytes on are a hole of the core's own file: they need not even be looked at. */
static size_t hole_at(const struct writer *w, const uint8_t *bytes, size_t len)
{
	const struct gc_input *in = w->from;
	uint64_t offset, left;
	off_t data;

	if (bytes < in->bytes || bytes >= in->bytes + in->size || in->fd < 0)
		return 0;
	offset = (uint64_t)(bytes - in->bytes);
	data = lseek(in->fd, (off_t)offset, SEEK_DATA);
	if (data < 0 && errno != ENXIO) /* ENXIO: nothing but a hole up to the end */
		return 0;
	left = data < 0 ? len : (uint64_t)data - offset;
	return left < len ? (size_t)left : len;
}

static enum gc_code put_sparse(struct writer *w, uint64_t offset, const uint8_t *bytes, size_t len,
			       struct gc_error *err)
{
	enum gc_code code = GC_OK;

	while (len && code == GC_OK) {
		bool zero;
		size_t run = run_of(offset, bytes, len, &zero);

		if (!zero)
			code = pad_to(w, offset, err);
		if (!zero && code == GC_OK)
			code = put(w, offset, bytes, run, err);
		report(w, run);
		bytes += run;
		offset += run;
		len -= run;
		if (zero && len) {
			run = hole_at(w, bytes, len);
			report(w, run);
			bytes += run;
			offset += run;
			len -= run;
		}
	}
	return code;
}

static enum gc_code put_load(struct writer *w, const struct gc_space *space, const struct gc_new_segment *s,
			     struct gc_error *err)
{
	uint64_t offset = s->offset;
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < s->nranges && code == GC_OK; i++) {
		const struct gc_range *r = &space->ranges[s->first + i];
		uint64_t len = r->end - r->start;

		if (r->bytes)
			code = put_sparse(w, offset, r->bytes, len, err);
		offset += len;
	}
	return code;
}

static enum gc_code put_segments(struct writer *w, const struct gc_space *space,
				 const struct gc_new_segments *segments, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < segments->count && code == GC_OK; i++) {
		const struct gc_new_segment *s = &segments->list[i];

		if (s->nranges)
			code = put_load(w, space, s, err);
		else if (s->bytes)
			code = put_sparse(w, s->offset, s->bytes, s->filesz, err);
	}
	return code;
}

/** The file may end with zeros that were not written. */
static enum gc_code finish(struct writer *w, uint64_t size, struct gc_error *err)
{
	if (w->stream)
		return pad_to(w, size, err);
	if (ftruncate(w->fd, (off_t)size) != 0)
		return gc_fail_errno(err, errno, "cannot be written");
	return GC_OK;
}

/** Also a file that somebody else has begun, as the shell's >> does. */
static bool is_stream(int fd)
{
	struct stat st;

	return fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || lseek(fd, 0, SEEK_CUR) != 0 ||
	       fcntl(fd, F_GETFL) & O_APPEND;
}

enum gc_code gc_new_write(int fd, const struct gc_process *p, const struct gc_new_segments *segments,
			  const struct gc_buf *headers, const struct gc_buf *notes, uint64_t size,
			  const struct gc_normalize_options *options, uint64_t memory, struct gc_error *err)
{
	struct writer w = {
		.fd = fd, .stream = is_stream(fd), .from = &p->core.input, .options = options, .total = memory,
	};
	enum gc_code code = put(&w, 0, (const uint8_t *)headers->data, headers->len, err);

	if (code == GC_OK)
		code = put(&w, headers->len, (const uint8_t *)notes->data, notes->len, err);
	if (code == GC_OK)
		code = put_segments(&w, &p->space, segments, err);
	return code == GC_OK ? finish(&w, size, err) : code;
}
