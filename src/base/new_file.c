#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool gc_is_file(const char *path, const struct stat *st)
{
	struct stat other;

	return path && stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

bool gc_is_same_file(const char *a, const char *b)
{
	struct stat st;

	return a && stat(a, &st) == 0 && gc_is_file(b, &st);
}

/** What is at @path now may be replaced. */
static enum gc_code choose_path(struct gc_new_file *f, const char *path, struct gc_error *err)
{
	struct stat st;
	char *real;

	if (strlen(path) >= sizeof(f->path))
		return gc_fail_errno(err, ENAMETOOLONG, "cannot be written");
	strcpy(f->path, path);
	if (stat(path, &st) != 0)
		return GC_OK;
	if (S_ISDIR(st.st_mode))
		return gc_fail(err, GC_E_USAGE, "is a directory: name the file to write");
	if (!S_ISREG(st.st_mode)) /* renaming would put a file in place of a device */
		return gc_fail(err, GC_E_USAGE, "is not a regular file");
	real = realpath(path, NULL);
	if (real && strlen(real) < sizeof(f->path))
		strcpy(f->path, real);
	free(real);
	return GC_OK;
}

/** The folder of f->path, in @out. */
static void folder_of(const struct gc_new_file *f, char out[PATH_MAX])
{
	char *slash;

	strcpy(out, f->path);
	slash = strrchr(out, '/');
	if (!slash)
		strcpy(out, ".");
	else
		slash[slash == out] = '\0';
}

enum gc_code gc_new_file_open(struct gc_new_file *f, const char *path, struct gc_error *err)
{
	enum gc_code code = choose_path(f, path, err);
	char folder[PATH_MAX];

	if (code != GC_OK)
		return code;
	folder_of(f, folder);
	snprintf(f->temporary, sizeof(f->temporary), "%s.XXXXXX", f->path);
	f->fd = -1;
	if (access("/proc/self/fd", X_OK) == 0) /* by which it gets its name */
		f->fd = open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	f->nameless = f->fd >= 0;
	if (f->fd < 0) /* file systems and kernels that do not know O_TMPFILE, or the true reason once more */
		f->fd = mkostemp(f->temporary, O_CLOEXEC);
	return f->fd >= 0 ? GC_OK : gc_fail_errno(err, errno, "cannot be made");
}

/** Give a file without a name one that nobody has: link(2) replaces nothing. */
static bool name_it(struct gc_new_file *f)
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

static mode_t without_umask(mode_t mode)
{
	mode_t mask = umask(0);

	umask(mask);
	return mode & ~mask;
}

/* Some file systems say only when the file is closed that there was no room. */
enum gc_code gc_new_file_publish(struct gc_new_file *f, mode_t mode, struct gc_error *err)
{
	bool named = !f->nameless;
	int failed = 0;

	if (fchmod(f->fd, without_umask(mode)) != 0)
		failed = errno;
	if (!failed && f->nameless && !(named = name_it(f)))
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

void gc_new_file_discard(struct gc_new_file *f)
{
	close(f->fd);
	f->fd = -1;
	if (!f->nameless)
		unlink(f->temporary);
}
