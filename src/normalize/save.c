/*
 * The new core as a file: made beside its name, put there when it is whole.
 * Where the file system can, it has no name until then, so that nothing is
 * left behind however we end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gocore/normalize.h"

#define MAX_PATH 4096

/** A file that is being made. */
struct fresh {
	int fd;
	bool nameless;
	char path[MAX_PATH];      /* where it will be */
	char temporary[MAX_PATH + 16]; /* its name until then */
};

static bool is_file(const struct stat *st, const char *path)
{
	struct stat other;

	return path && stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/** Is the file that is there one that the new core is made from? */
static bool is_source(const struct gc_process *p, const struct stat *st)
{
	const struct gc_input *in = &p->core.input;

	if ((in->ino && in->dev == st->st_dev && in->ino == st->st_ino) || is_file(st, in->path))
		return true;
	for (size_t i = 0; i < p->images.count; i++)
		if (p->images.list[i].file && is_file(st, p->images.list[i].found_path))
			return true;
	return false;
}

/** What is at @path now may be replaced. A link is followed: the file that it names is. */
static enum gc_code choose_path(struct fresh *f, const struct gc_process *p, const char *path, struct gc_error *err)
{
	struct stat st;
	char *real;

	if (strlen(path) >= MAX_PATH)
		return gc_fail_errno(err, ENAMETOOLONG, "cannot be written");
	strcpy(f->path, path);
	if (stat(path, &st) != 0)
		return GC_OK;
	if (S_ISDIR(st.st_mode))
		return gc_fail(err, GC_E_USAGE, "is a directory: name the file to write");
	if (!S_ISREG(st.st_mode))
		return gc_fail(err, GC_E_USAGE, "is not a regular file (-o - writes to standard output)");
	if (is_source(p, &st))
		return gc_fail(err, GC_E_USAGE, "is an input: it is not overwritten");
	real = realpath(path, NULL);
	if (real && strlen(real) < MAX_PATH)
		strcpy(f->path, real);
	free(real);
	return GC_OK;
}

/** The folder of f->path, in @out. */
static void folder_of(const struct fresh *f, char out[MAX_PATH])
{
	char *slash;

	strcpy(out, f->path);
	slash = strrchr(out, '/');
	if (!slash)
		strcpy(out, ".");
	else
		slash[slash == out] = '\0';
}

static enum gc_code create(struct fresh *f, struct gc_error *err)
{
	char folder[MAX_PATH];

	folder_of(f, folder);
	snprintf(f->temporary, sizeof(f->temporary), "%s.XXXXXX", f->path);
	f->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	f->nameless = f->fd >= 0;
	if (f->fd < 0) /* file systems and kernels that do not know O_TMPFILE, or the true reason once more */
		f->fd = mkostemp(f->temporary, O_CLOEXEC);
	return f->fd >= 0 ? GC_OK : gc_fail_errno(err, errno, "cannot be made");
}

/** Give a file without a name one that nobody has: link(2) replaces nothing. */
static bool name_it(struct fresh *f)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", f->fd);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(f->temporary, sizeof(f->temporary), "%s.%u-%u", f->path, (unsigned)getpid(), i);
		if (linkat(AT_FDCWD, self, AT_FDCWD, f->temporary, AT_SYMLINK_FOLLOW) == 0)
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

/** Put the whole file in its place. Some file systems say only now that there was no room. */
static enum gc_code publish(struct fresh *f, struct gc_error *err)
{
	bool named = !f->nameless;
	int failed = 0;

	if (f->nameless && !(named = name_it(f)))
		failed = errno;
	if (close(f->fd) != 0 && !failed)
		failed = errno;
	f->fd = -1;
	if (!failed && rename(f->temporary, f->path) != 0)
		failed = errno;
	if (!failed)
		return GC_OK;
	if (named)
		unlink(f->temporary);
	return gc_fail_errno(err, failed, "cannot be written");
}

static void discard(struct fresh *f)
{
	close(f->fd);
	if (!f->nameless)
		unlink(f->temporary);
}

enum gc_code gc_normalize_save(const struct gc_process *p, const struct gc_normalize_options *options,
			       const char *path, struct gc_normalized *out, struct gc_problems *problems,
			       struct gc_error *err)
{
	struct gc_normalized n;
	struct fresh f;
	enum gc_code code = choose_path(&f, p, path, err);

	if (code == GC_OK)
		code = create(&f, err);
	if (code != GC_OK)
		return code;
	code = gc_normalize(p, options, f.fd, &n, problems, err);
	if (code != GC_OK) {
		discard(&f);
		return code;
	}
	code = publish(&f, err);
	if (code == GC_OK)
		*out = n;
	return code;
}
