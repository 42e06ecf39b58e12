#include "gocore/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/unpack.h"

/* Of a file that is unpacked: with all its holes, still a matter of minutes. */
#define MAX_UNPACKED (1ULL << 38)

/** One gc_input_open call. */
struct opening {
	struct gc_input in;
	bool is_stdin;
	bool is_stream;  /* a pipe: read once, from wherever it stands */
	int scratch;     /* to unpack into, -1: make a file */
	gc_progress_fn *progress;
	void *data;
};

static enum gc_code open_fd(struct opening *o, struct gc_error *err)
{
	struct gc_input *in = &o->in;

	/* O_NONBLOCK: a FIFO without a writer must not hang us. Regular files ignore it. */
	in->fd = o->is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
			     : open(in->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (in->fd >= 0)
		return GC_OK;
	if (o->is_stdin)
		return gc_fail_errno(err, errno, "standard input cannot be read");
	if (errno == ENXIO)
		return gc_fail(err, GC_E_FORMAT, "is a socket or device, not a file");
	return gc_fail_errno(err, errno, "cannot be opened");
}

/** Refuse what has no bytes to read again, tell files from streams. */
static enum gc_code look_at_kind(struct opening *o, struct gc_error *err)
{
	struct gc_input *in = &o->in;
	struct stat st;

	if (fstat(in->fd, &st) != 0)
		return gc_fail_errno(err, errno, "cannot be read");
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		/* < FILE that somebody has already read from: the rest of it counts. */
		o->is_stream = o->is_stdin && lseek(in->fd, 0, SEEK_CUR) > 0;
		in->size = (uint64_t)st.st_size;
		in->dev = st.st_dev;
		in->ino = st.st_ino;
		in->mtime = st.st_mtime;
		if (in->size == 0)
			return gc_fail(err, GC_E_FORMAT, "is empty");
		return GC_OK;
	case S_IFDIR:
		return gc_fail(err, GC_E_FORMAT, "is a directory, not a file");
	case S_IFIFO:
	case S_IFSOCK:
		o->is_stream = true;
		return GC_OK;
	default:
		return gc_fail(err, GC_E_FORMAT, isatty(in->fd) ? "is a terminal, not a file"
							       : "is a device, not a file");
	}
}

/** Enough of the stream's start to know its format. */
static enum gc_code peek(const struct opening *o, struct gc_stream *s, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	while (code == GC_OK && !s->ended && s->len < GC_MAGIC_LEN)
		code = gc_stream_more(s, err);
	if (code == GC_OK && s->len == 0)
		return gc_fail(err, GC_E_FORMAT,
			       o->is_stdin ? "is empty" : "is a pipe that nobody writes to");
	return code;
}

static const char *temporary_dir(void)
{
	const char *dir = getenv("TMPDIR");

	return dir && *dir ? dir : "/tmp";
}

/** A file without a name: nothing is left behind, however we end. */
static enum gc_code open_temporary(const char *dir, int *out, struct gc_error *err)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

	/* EISDIR, ENOENT: kernels before 3.11; EOPNOTSUPP: file systems that cannot (overlayfs, NFS) */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT) &&
	    (size_t)snprintf(path, sizeof(path), "%s/gocore-stub-XXXXXX", dir) < sizeof(path)) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd >= 0)
			unlink(path);
	}
	if (fd < 0)
		return gc_fail_errno(err, errno,
				     "must be unpacked, but no temporary file can be made in %s (set TMPDIR)",
				     dir);
	*out = fd;
	return GC_OK;
}

enum gc_code gc_input_scratch(int *out, struct gc_error *err)
{
	return open_temporary(temporary_dir(), out, err);
}

/** An empty file to unpack into. */
static enum gc_code open_target(const struct opening *o, const char *dir, int *out, struct gc_error *err)
{
	int fd;

	if (o->scratch < 0)
		return open_temporary(dir, out, err);
	fd = ftruncate(o->scratch, 0) == 0 ? fcntl(o->scratch, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd < 0)
		return gc_fail_errno(err, errno, "must be unpacked, but the file for it in %s cannot be used", dir);
	*out = fd;
	return GC_OK;
}

/** What unpacking may take of the file system that @fd lies on: a sixteenth stays free for others. */
static uint64_t usable_room(int fd)
{
	struct statfs fs;
	uint64_t room;

	if (fstatfs(fd, &fs) != 0 || __builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_bsize, &room))
		return UINT64_MAX; /* writing fails when it is full */
	return room - room / 16;
}

/** Put the unpacked bytes in the place of the stream. */
static enum gc_code unpack_stream(struct opening *o, struct gc_stream *s, struct gc_error *err)
{
	struct gc_unpack_job job = {
		.codec = gc_codec_by_magic(s->buf, s->len),
		.from = s,
		.from_size = o->is_stream ? 0 : o->in.size,
		.to_dir = temporary_dir(),
		.progress = o->progress,
		.data = o->data,
	};
	uint64_t size = 0;
	enum gc_code code = open_target(o, job.to_dir, &job.to, err);

	if (code != GC_OK)
		return code;
	job.max_size = MAX_UNPACKED;
	job.max_data = usable_room(job.to);
	code = gc_unpack(&job, &size, err);
	if (code == GC_OK && size == 0)
		code = gc_fail(err, GC_E_FORMAT, "compressed with %s, is empty inside",
			       gc_codec_name(job.codec));
	if (code != GC_OK) {
		close(job.to);
		return code;
	}
	close(o->in.fd);
	o->in.fd = job.to;
	o->in.size = size;
	o->in.dev = 0;
	o->in.ino = 0;
	o->in.compression = job.codec ? gc_codec_name(job.codec) : NULL;
	return GC_OK;
}

static enum gc_code unpack(struct opening *o, struct gc_error *err)
{
	struct gc_stream s;
	enum gc_code code = gc_stream_init(&s, o->in.fd, err);

	if (code == GC_OK)
		code = peek(o, &s, err);
	if (code == GC_OK)
		code = unpack_stream(o, &s, err);
	gc_stream_deinit(&s);
	return code;
}

static enum gc_code needs_unpacking(const struct opening *o, bool *out, struct gc_error *err)
{
	uint8_t magic[GC_MAGIC_LEN];
	ssize_t got;

	*out = o->is_stream;
	if (o->is_stream)
		return GC_OK;
	got = pread(o->in.fd, magic, sizeof(magic), 0);
	if (got < 0)
		return gc_fail_errno(err, errno, "cannot be read");
	*out = gc_codec_by_magic(magic, (size_t)got) != NULL;
	return GC_OK;
}

static enum gc_code map(struct gc_input *in, struct gc_error *err)
{
	void *bytes = mmap(NULL, in->size, PROT_READ, MAP_PRIVATE, in->fd, 0);

	if (bytes == MAP_FAILED)
		return gc_fail_errno(err, errno, "cannot be mapped");
	in->bytes = bytes;
	return GC_OK;
}

static enum gc_code open_all(struct opening *o, struct gc_error *err)
{
	enum gc_code code = open_fd(o, err);
	bool packed = false;

	if (code == GC_OK)
		code = look_at_kind(o, err);
	if (code == GC_OK)
		code = needs_unpacking(o, &packed, err);
	if (code == GC_OK && packed)
		code = unpack(o, err);
	if (code == GC_OK)
		code = map(&o->in, err);
	return code;
}

static enum gc_code open_path(struct gc_input *in, struct opening *o, const char *path, struct gc_error *err)
{
	enum gc_code code;

	o->in = (struct gc_input){ .path = strdup(path), .fd = -1 };
	o->is_stdin = strcmp(path, "-") == 0;
	code = o->in.path ? open_all(o, err) : gc_fail_memory(err);
	if (code == GC_OK)
		*in = o->in;
	else
		gc_input_close(&o->in);
	return code;
}

enum gc_code gc_input_open(struct gc_input *in, const char *path, gc_progress_fn *progress,
			   void *data, struct gc_error *err)
{
	struct opening o = { .scratch = -1, .progress = progress, .data = data };

	return open_path(in, &o, path, err);
}

enum gc_code gc_input_open_with(struct gc_input *in, const char *path, int scratch, struct gc_error *err)
{
	struct opening o = { .scratch = scratch };

	return open_path(in, &o, path, err);
}

void gc_input_close(struct gc_input *in)
{
	if (in->bytes)
		munmap((void *)(uintptr_t)in->bytes, in->size);
	if (in->fd >= 0)
		close(in->fd);
	free(in->path);
	*in = (struct gc_input){ .fd = -1 };
}

void gc_input_forget(const struct gc_input *in)
{
	if (in->bytes)
		madvise((void *)(uintptr_t)in->bytes, in->size, MADV_DONTNEED); /* only a wish: it may fail */
}
