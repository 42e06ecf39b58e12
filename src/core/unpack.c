#include "core/unpack.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define IN_SIZE    (128 * 1024)
#define OUT_SIZE   (256 * 1024) /* a multiple of BLOCK, so that blocks keep their places */
#define BLOCK      4096
#define XZ_MEMORY  (1ULL << 30) /* xz -9 needs 65 MiB; a hostile header can ask for 4 GiB */
#define ZSTD_WINDOW 31          /* zstd --long=31; touched only as far as there is data */

enum status {
	MORE,        /* inside a frame */
	FRAME_END,   /* a whole frame is out; another may follow */
	DAMAGED,
	TOO_BIG,     /* wants more memory than we give */
	NO_MEMORY,
};

/** What a decoder may take and fill; it moves both on. */
struct window {
	const uint8_t *in;
	size_t in_len;
	bool last;       /* no input comes after this */
	uint8_t *out;
	size_t out_len;
};

struct gc_codec {
	const char *name;
	uint8_t magic[GC_MAGIC_LEN];
	size_t magic_len;
	uint8_t magic_mask;  /* of the first byte */
	void *(*begin)(void);
	enum status (*step)(void *state, struct window *w);
	void (*end)(void *state);
};

static void *zstd_begin(void)
{
	ZSTD_DStream *state = ZSTD_createDStream();

	if (state)
		ZSTD_DCtx_setParameter(state, ZSTD_d_windowLogMax, ZSTD_WINDOW);
	return state;
}

static enum status zstd_step(void *state, struct window *w)
{
	ZSTD_inBuffer in = { w->in, w->in_len, 0 };
	ZSTD_outBuffer out = { w->out, w->out_len, 0 };
	size_t left = ZSTD_decompressStream(state, &out, &in);

	w->in += in.pos;
	w->in_len -= in.pos;
	w->out += out.pos;
	w->out_len -= out.pos;
	if (ZSTD_isError(left))
		return DAMAGED;
	return left ? MORE : FRAME_END;
}

static void zstd_end(void *state)
{
	ZSTD_freeDStream(state);
}

static void *xz_begin(void)
{
	lzma_stream *state = calloc(1, sizeof(*state)); /* zeros are LZMA_STREAM_INIT */

	if (state && lzma_stream_decoder(state, XZ_MEMORY, LZMA_CONCATENATED) != LZMA_OK) {
		free(state);
		return NULL;
	}
	return state;
}

static enum status xz_step(void *state, struct window *w)
{
	lzma_stream *xz = state;
	lzma_ret ret;

	xz->next_in = w->in;
	xz->avail_in = w->in_len;
	xz->next_out = w->out;
	xz->avail_out = w->out_len;
	ret = lzma_code(xz, w->last ? LZMA_FINISH : LZMA_RUN);
	w->in = xz->next_in;
	w->in_len = xz->avail_in;
	w->out = xz->next_out;
	w->out_len = xz->avail_out;
	switch (ret) {
	case LZMA_OK:
	case LZMA_BUF_ERROR: /* wants more input; the loop sees that nothing moved */
		return MORE;
	case LZMA_STREAM_END:
		return FRAME_END;
	case LZMA_MEMLIMIT_ERROR:
		return TOO_BIG;
	case LZMA_MEM_ERROR:
		return NO_MEMORY;
	default:
		return DAMAGED;
	}
}

static void xz_end(void *state)
{
	lzma_end(state);
	free(state);
}

static void *lz4_begin(void)
{
	LZ4F_dctx *state;

	return LZ4F_isError(LZ4F_createDecompressionContext(&state, LZ4F_VERSION)) ? NULL : state;
}

static enum status lz4_step(void *state, struct window *w)
{
	size_t in = w->in_len, out = w->out_len;
	size_t left = LZ4F_decompress(state, w->out, &out, w->in, &in, NULL);

	if (LZ4F_isError(left))
		return DAMAGED;
	w->in += in;
	w->in_len -= in;
	w->out += out;
	w->out_len -= out;
	return left ? MORE : FRAME_END;
}

static void lz4_end(void *state)
{
	LZ4F_freeDecompressionContext(state);
}

struct gzip {
	z_stream z;
	bool member_done;
};

static void *gzip_begin(void)
{
	struct gzip *state = calloc(1, sizeof(*state));

	if (state && inflateInit2(&state->z, 16 + MAX_WBITS) != Z_OK) { /* 16: gzip header, not zlib's */
		free(state);
		return NULL;
	}
	return state;
}

/** Behind a member: another one, or the zeros that tapes and gzip(1) pad with. */
static bool gzip_next_member(struct gzip *state, struct window *w)
{
	while (w->in_len && *w->in == 0) {
		w->in++;
		w->in_len--;
	}
	if (!w->in_len)
		return false;
	inflateReset(&state->z);
	state->member_done = false;
	return true;
}

static enum status gzip_step(void *state, struct window *w)
{
	struct gzip *gzip = state;
	int ret;

	if (gzip->member_done && !gzip_next_member(gzip, w))
		return FRAME_END;
	gzip->z.next_in = (Bytef *)(uintptr_t)w->in; /* zlib does not write to it */
	gzip->z.avail_in = (uInt)w->in_len;
	gzip->z.next_out = w->out;
	gzip->z.avail_out = (uInt)w->out_len;
	ret = inflate(&gzip->z, Z_NO_FLUSH);
	w->in = gzip->z.next_in;
	w->in_len = gzip->z.avail_in;
	w->out = gzip->z.next_out;
	w->out_len = gzip->z.avail_out;
	gzip->member_done = ret == Z_STREAM_END;
	if (ret == Z_MEM_ERROR)
		return NO_MEMORY;
	if (ret != Z_OK && ret != Z_STREAM_END && ret != Z_BUF_ERROR)
		return DAMAGED;
	return gzip->member_done ? FRAME_END : MORE;
}

static void gzip_end(void *state)
{
	struct gzip *gzip = state;

	inflateEnd(&gzip->z);
	free(gzip);
}

static const struct gc_codec codecs[] = {
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, 0xff, zstd_begin, zstd_step, zstd_end },
	/* RFC 8878, 3.1.2: skippable frames; pzstd begins its files with one. */
	{ "zstd", { 0x50, 0x2a, 0x4d, 0x18 }, 4, 0xf0, zstd_begin, zstd_step, zstd_end },
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, 0xff, xz_begin, xz_step, xz_end },
	{ "lz4", { 0x04, 0x22, 0x4d, 0x18 }, 4, 0xff, lz4_begin, lz4_step, lz4_end },
	{ "gzip", { 0x1f, 0x8b, 8 }, 3, 0xff, gzip_begin, gzip_step, gzip_end },
};

const struct gc_codec *gc_codec_by_magic(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < GC_COUNT(codecs); i++) {
		const struct gc_codec *c = &codecs[i];

		if (len >= c->magic_len && (bytes[0] & c->magic_mask) == c->magic[0] &&
		    memcmp(bytes + 1, c->magic + 1, c->magic_len - 1) == 0)
			return c;
	}
	return NULL;
}

const char *gc_codec_name(const struct gc_codec *codec)
{
	return codec->name;
}

enum gc_code gc_stream_init(struct gc_stream *s, int fd, struct gc_error *err)
{
	*s = (struct gc_stream){ .fd = fd, .buf = malloc(IN_SIZE) };
	return s->buf ? GC_OK : gc_fail_memory(err);
}

void gc_stream_deinit(struct gc_stream *s)
{
	free(s->buf);
	s->buf = NULL;
}

enum gc_code gc_stream_more(struct gc_stream *s, struct gc_error *err)
{
	ssize_t got;

	memmove(s->buf, s->buf + s->pos, s->len - s->pos);
	s->len -= s->pos;
	s->pos = 0;
	while (!s->ended) {
		got = read(s->fd, s->buf + s->len, IN_SIZE - s->len);
		if (got >= 0) {
			s->ended = got == 0;
			s->len += (size_t)got;
			s->total += (uint64_t)got;
			break;
		}
		if (errno == EAGAIN) /* a pipe whose writer is slow */
			poll(&(struct pollfd){ .fd = s->fd, .events = POLLIN }, 1, -1);
		else if (errno != EINTR)
			return gc_fail_errno(err, errno, "reading failed");
	}
	return GC_OK;
}

/** One gc_unpack call. */
struct unpacker {
	const struct gc_unpack_job *job;
	void *state;        /* of the codec */
	uint8_t *out;
	size_t out_len;
	uint64_t out_off;   /* of out in the file */
	uint64_t data;      /* bytes written */
	struct timespec told; /* when progress was last called */
};

static enum gc_code no_room(const struct unpacker *u, int errnum, struct gc_error *err)
{
	if (errnum != ENOSPC && errnum != EDQUOT && errnum != EFBIG)
		return gc_fail_errno(err, errnum, "writing to %s failed", u->job->to_dir);
	return gc_fail(err, GC_E_IO,
		       "no room in %s for the unpacked file (%.1f MiB so far): "
		       "set TMPDIR to a directory with more", u->job->to_dir, (double)u->out_off / 0x1p20);
}

static enum gc_code write_at(const struct unpacker *u, const uint8_t *bytes, size_t len, uint64_t off,
			     struct gc_error *err)
{
	while (len) {
		ssize_t put = pwrite(u->job->to, bytes, len, (off_t)off);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return no_room(u, put < 0 ? errno : ENOSPC, err);
		bytes += put;
		off += (uint64_t)put;
		len -= (size_t)put;
	}
	return GC_OK;
}

static size_t block_len(const struct unpacker *u, size_t at)
{
	return u->out_len - at < BLOCK ? u->out_len - at : BLOCK;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/** A few bytes can unpack to as many as one likes. */
static enum gc_code check_limits(const struct unpacker *u, size_t data, struct gc_error *err)
{
	const struct gc_unpack_job *job = u->job;

	if (data > job->max_data - u->data)
		return gc_fail(err, GC_E_LIMIT, "no room in %s for the unpacked file (%.1f MiB of it so far; the rest "
			       "of the disk stays free): set TMPDIR to a directory with more", job->to_dir,
			       (double)u->out_off / 0x1p20);
	if (u->out_len > job->max_size - u->out_off)
		return gc_fail(err, GC_E_LIMIT, "unpacks to more than %.0f GiB, which is not done for you: "
			       "if it is a core, unpack it yourself and give that file",
			       (double)job->max_size / 0x1p30);
	return GC_OK;
}

/** Write runs of blocks that are not zero; the others stay holes. */
static enum gc_code flush(struct unpacker *u, struct gc_error *err)
{
	size_t at = 0, run;
	enum gc_code code = check_limits(u, 0, err);

	if (code != GC_OK)
		return code;
	while (at < u->out_len) {
		for (run = at; run < u->out_len && !is_zero(u->out + run, block_len(u, run));)
			run += block_len(u, run);
		code = check_limits(u, run - at, err);
		if (code == GC_OK)
			code = write_at(u, u->out + at, run - at, u->out_off + at, err);
		if (code != GC_OK)
			return code;
		u->data += run - at;
		at = run < u->out_len ? run + block_len(u, run) : run;
	}
	u->out_off += u->out_len;
	u->out_len = 0;
	return GC_OK;
}

/** At most ten times a second. */
static void tell_progress(struct unpacker *u)
{
	struct timespec now;

	if (!u->job->progress)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - u->told.tv_sec) * 1000 + (now.tv_nsec - u->told.tv_nsec) / 1000000 < 100)
		return;
	u->told = now;
	u->job->progress(u->job->data, u->job->from->total, u->job->from_size);
}

static enum status copy_step(struct window *w)
{
	size_t len = w->in_len < w->out_len ? w->in_len : w->out_len;

	memcpy(w->out, w->in, len);
	w->in += len;
	w->in_len -= len;
	w->out += len;
	w->out_len -= len;
	return FRAME_END; /* may end anywhere */
}

static enum status step(struct unpacker *u, bool *moved)
{
	struct gc_stream *from = u->job->from;
	struct window w = {
		.in = from->buf + from->pos, .in_len = from->len - from->pos, .last = from->ended,
		.out = u->out + u->out_len, .out_len = OUT_SIZE - u->out_len,
	};
	enum status status = u->job->codec ? u->job->codec->step(u->state, &w) : copy_step(&w);
	size_t pos = from->len - w.in_len, out_len = OUT_SIZE - w.out_len;

	*moved = pos != from->pos || out_len != u->out_len;
	from->pos = pos;
	u->out_len = out_len;
	return status;
}

static enum gc_code stream_failed(const struct unpacker *u, enum status status, struct gc_error *err)
{
	const char *name = u->job->codec->name;
	uint64_t in = u->job->from->total - (u->job->from->len - u->job->from->pos);
	uint64_t out = u->out_off + u->out_len;

	switch (status) {
	case MORE:
		return gc_fail(err, GC_E_TRUNCATED,
			       "compressed with %s, ends early after %" PRIu64 " bytes (%" PRIu64
			       " bytes unpacked)", name, in, out);
	case TOO_BIG:
		return gc_fail(err, GC_E_LIMIT, "compressed with %s, needs more than %llu MiB to unpack",
			       name, XZ_MEMORY >> 20);
	case NO_MEMORY:
		return gc_fail_memory(err);
	default:
		return gc_fail(err, GC_E_FORMAT,
			       "compressed with %s, damaged after %" PRIu64 " bytes (%" PRIu64
			       " bytes unpacked)", name, in, out);
	}
}

static enum gc_code run(struct unpacker *u, struct gc_error *err)
{
	struct gc_stream *from = u->job->from;
	enum status status = u->job->codec ? MORE : FRAME_END;
	enum gc_code code = GC_OK;
	bool moved = true;

	for (;;) {
		if (from->pos == from->len && !from->ended)
			code = gc_stream_more(from, err);
		if (code != GC_OK)
			return code;
		if (from->pos == from->len && from->ended && (status == FRAME_END || !moved))
			break;
		status = step(u, &moved);
		if (!moved && status == MORE && from->pos != from->len)
			status = DAMAGED; /* has input and room, and takes neither */
		if (status >= DAMAGED)
			break;
		if (u->out_len == OUT_SIZE)
			code = flush(u, err);
		if (code != GC_OK)
			return code;
		tell_progress(u);
	}
	return status == FRAME_END ? flush(u, err) : stream_failed(u, status, err);
}

enum gc_code gc_unpack(const struct gc_unpack_job *job, uint64_t *size, struct gc_error *err)
{
	struct unpacker u = { .job = job, .out = malloc(OUT_SIZE) };
	enum gc_code code = GC_OK;

	if (job->codec)
		u.state = job->codec->begin();
	if (!u.out || (job->codec && !u.state))
		code = gc_fail_memory(err);
	clock_gettime(CLOCK_MONOTONIC, &u.told);
	if (code == GC_OK)
		code = run(&u, err);
	if (code == GC_OK && ftruncate(job->to, (off_t)u.out_off) != 0)
		code = no_room(&u, errno, err);
	if (code == GC_OK)
		*size = u.out_off;
	if (u.state)
		job->codec->end(u.state);
	free(u.out);
	return code;
}
