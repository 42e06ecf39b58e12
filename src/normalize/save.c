/* The new core as a file, which is none of those that it is made from. */
#include "gocore/normalize.h"

#include "base/new_file.h"

/** Is the file that is there one that the new core is made from? */
static bool is_source(const struct gc_process *p, const struct stat *st)
{
	const struct gc_input *in = &p->core.input;

	if ((in->ino && in->dev == st->st_dev && in->ino == st->st_ino) || gc_is_file(in->path, st))
		return true;
	for (size_t i = 0; i < p->images.count; i++)
		if (p->images.list[i].file && gc_is_file(p->images.list[i].found_path, st))
			return true;
	return false;
}

/** May what is at @path now be replaced? */
static enum gc_code check_path(const struct gc_process *p, const char *path, struct gc_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0 || S_ISDIR(st.st_mode))
		return GC_OK; /* gc_new_file_open knows */
	if (!S_ISREG(st.st_mode))
		return gc_fail(err, GC_E_USAGE, "is not a regular file (-o - writes to standard output)");
	if (is_source(p, &st))
		return gc_fail(err, GC_E_USAGE, "is an input: it is not overwritten");
	return GC_OK;
}

enum gc_code gc_normalize_save(const struct gc_process *p, const struct gc_normalize_options *options,
			       const char *path, struct gc_normalized *out, struct gc_problems *problems,
			       struct gc_error *err)
{
	struct gc_normalized n;
	struct gc_new_file f;
	enum gc_code code = check_path(p, path, err);

	if (code == GC_OK)
		code = gc_new_file_open(&f, path, err);
	if (code != GC_OK)
		return code;
	code = gc_normalize(p, options, f.fd, &n, problems, err);
	if (code != GC_OK) {
		gc_new_file_discard(&f);
		return code;
	}
	code = gc_new_file_publish(&f, 0600, err);
	if (code == GC_OK)
		*out = n;
	return code;
}
