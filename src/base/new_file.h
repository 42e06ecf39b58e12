/*
 * A file that appears, or is replaced, when all of it is written and not
 * before: it is made beside its name and renamed. Where the file system can,
 * it has no name until then, so that nothing is left behind however we end.
 */
#ifndef BASE_NEW_FILE_H
#define BASE_NEW_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "gocore/error.h"

struct gc_new_file {
	int fd;                         /* to write to */
	bool nameless;
	char path[PATH_MAX];            /* where it will be */
	char temporary[PATH_MAX + 16];  /* its name until then */
};

/** Is @path there, and the file that @st describes? */
bool gc_is_file(const char *path, const struct stat *st);

/** Do two paths, either of which may be NULL, lead to one file that is there? */
bool gc_is_same_file(const char *a, const char *b);

/**
 * Begin the file that will be @path; a link is followed: the file that it names is replaced.
 *
 * @return GC_E_USAGE if something is there that is no regular file
 */
enum gc_code gc_new_file_open(struct gc_new_file *f, const char *path, struct gc_error *err);

/**
 * Put the whole file in its place and close it. When that fails it is gone.
 *
 * @param mode as for open(2): the process's umask is taken out of it
 */
enum gc_code gc_new_file_publish(struct gc_new_file *f, mode_t mode, struct gc_error *err);

/** In place of gc_new_file_publish: nothing happened. */
void gc_new_file_discard(struct gc_new_file *f);

#endif
