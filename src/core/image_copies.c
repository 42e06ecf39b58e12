/* Copies of the images on this host: looked for, checked, and taken or refused. */
#include "core/image_work.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file_cache.h"
#include "core/finder.h"

/** Take @file as the copy of @w. */
static enum gc_code accept(struct gc_image_set *set, struct gc_image_work *w, struct gc_elf_file *file,
			   const struct gc_fit_result *fit, const char *found_by, struct gc_error *err)
{
	struct gc_image *image = &w->image;

	image->file = file;
	image->status = fit->fit == GC_FITS ? GC_IMAGE_FOUND : GC_IMAGE_FORCED;
	image->check = fit->check;
	image->has_bias = fit->has_bias;
	image->bias = fit->bias;
	image->found_by = found_by;
	free(image->refused);
	image->refused = NULL;
	if (w->nrows == 0 && image->has_bias)
		return gc_image_make_rows(set, w, &image->file->phdrs, image->bias, err);
	return GC_OK;
}

static void set_text(char **to, const char *text)
{
	free(*to);
	*to = strdup(text);
}

/** One gc_finder_visit. */
struct attempt {
	struct gc_image_set *set;
	struct gc_image_work *w;
	enum gc_code code;
	struct gc_error *err;
};

static void refuse(struct gc_image_work *w, const char *why)
{
	w->image.status = GC_IMAGE_MISMATCH;
	set_text(&w->image.refused, why);
}

static bool try_candidate(void *data, const char *path, const char *found_by)
{
	struct attempt *a = data;
	struct gc_image_work *w = a->w;
	struct gc_elf_file *file;
	struct gc_fit_result fit;
	struct gc_error why;
	const enum gc_file_kind kind = gc_file_kind(path);

	if (kind == GC_FILE_NONE)
		return false;
	if (kind != GC_FILE_ELF) {
		if (w->is_elf || w->image.is_program)
			return false;
		w->image.status = GC_IMAGE_NOT_ELF;
		set_text(&w->image.found_path, path);
		return true;
	}
	if (gc_file_cache_open(a->set->options->files, path, &file, &why) != GC_OK) {
		refuse(w, why.text);
		set_text(&w->image.found_path, path);
		return false;
	}
	gc_image_check_file(a->set, w, file, &fit);
	if (fit.fit == GC_FITS)
		a->code = accept(a->set, w, file, &fit, found_by, a->err);
	else if (fit.fit != GC_NO_BYTES)
		refuse(w, fit.why);
	if (fit.fit != GC_NO_BYTES)
		set_text(&w->image.found_path, path);
	if (!w->image.file)
		gc_file_cache_release(file);
	return fit.fit == GC_FITS;
}

/** May the file that the user named be used, by what was seen of it? */
static enum gc_code judge_program(const struct gc_image_set *set, const struct gc_elf_file *file,
				  const struct gc_fit_result *fit, struct gc_error *err)
{
	const struct gc_arch *arch = set->core->arch;
	const char *path = set->options->program;

	if (file->phdrs.machine != arch->elf_machine)
		return gc_fail(err, GC_E_MISMATCH, "is %s, but %s %s", arch->elf_name, path, fit->why);
	if (fit->fit == GC_NO_BYTES)
		return gc_fail(err, GC_E_MISMATCH, "%s %s", path, fit->why);
	if (fit->fit == GC_DIFFERS && !set->options->force)
		return gc_fail(err, GC_E_MISMATCH, "%s %s (--force uses it all the same)", path, fit->why);
	return GC_OK;
}

/** Use it, or say why not. */
static enum gc_code take_program(struct gc_image_set *set, struct gc_image_work *w, struct gc_elf_file *file,
				 const struct gc_fit_result *fit, struct gc_error *err)
{
	const char *path = set->options->program;

	if (fit->fit != GC_FITS && !set->options->force) {
		refuse(w, fit->why);
		gc_problem(set->problems, "program", "%s %s (--force uses it all the same)", path, fit->why);
		return GC_OK;
	}
	if (fit->fit != GC_FITS)
		gc_problem(set->problems, "program",
			   "%s %s; it is used because of --force, so memory recovered from it may be wrong",
			   path, fit->why);
	return accept(set, w, file, fit, "program", err);
}

/** PROGRAM, as the user gave it. */
enum gc_code gc_image_use_program(struct gc_image_set *set, struct gc_error *err)
{
	const char *path = set->options->program;
	struct gc_image_work *w = &set->list[set->program];
	struct gc_elf_file *file;
	struct gc_fit_result fit;
	struct gc_error why;
	enum gc_code code = gc_file_cache_open(set->options->files, path, &file, &why);

	if (code == GC_E_UNSUPPORTED)
		return gc_fail(err, GC_E_MISMATCH, "is %s, but %s %s", set->core->arch->elf_name, path, why.text);
	if (code != GC_OK)
		return gc_fail(err, code, "%s %s", path, why.text);
	gc_image_check_file(set, w, file, &fit);
	set_text(&w->image.found_path, path);
	code = judge_program(set, file, &fit, err);
	if (code == GC_OK)
		code = take_program(set, w, file, &fit, err);
	if (!w->image.file)
		gc_file_cache_release(file);
	return code;
}

/** What never was a file with code in it. */
static bool is_no_file(const char *path)
{
	static const char *const prefixes[] = { "/dev/", "/SYSV", "/proc/", "/sys/" };

	for (size_t i = 0; i < GC_COUNT(prefixes); i++)
		if (strncmp(path, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return path[0] != '/' && strchr(path, ':') != NULL; /* anon_inode:[perf_event] */
}

/** The path without the " (deleted)" that d_path (fs/d_path.c) appends; NULL: @path has none. */
static char *undeleted(const char *path)
{
	static const char mark[] = " (deleted)";
	size_t len = strlen(path), mark_len = sizeof(mark) - 1;

	if (len <= mark_len || strcmp(path + len - mark_len, mark) != 0)
		return NULL;
	return strndup(path, len - mark_len);
}

/** Images of one path share what was not found. */
static bool same_as_before(const struct gc_image_set *set, struct gc_image_work *w)
{
	const struct gc_image_work *before = w->same_path != GC_NO_IMAGE ? &set->list[w->same_path] : NULL;

	if (!before || !before->done || before->image.file || before->is_elf != w->is_elf ||
	    !gc_build_id_equal(&before->image.build_id, &w->image.build_id))
		return false;
	w->image.status = before->image.status;
	if (before->image.found_path)
		set_text(&w->image.found_path, before->image.found_path);
	if (before->image.refused)
		set_text(&w->image.refused, before->image.refused);
	return true;
}

enum gc_code gc_image_look_for(struct gc_image_set *set, struct gc_finder *finder, struct gc_image_work *w,
			     struct gc_error *err)
{
	struct attempt attempt = { .set = set, .w = w, .err = err };
	char *old_path = undeleted(w->image.path);
	const struct gc_wanted wanted = {
		.paths = { old_path ? old_path : w->image.path, w->other_path },
		.not_here = old_path || strncmp(w->image.path, "/memfd:", 7) == 0,
		.build_id = &w->image.build_id,
		.go_build_id = w->image.go_build_id,
	};

	if (w->is_data || (!w->is_elf && is_no_file(w->image.path)))
		w->image.status = GC_IMAGE_NOT_ELF;
	else if (!same_as_before(set, w))
		gc_finder_visit(finder, &wanted, try_candidate, &attempt);
	if (w->image.status == GC_IMAGE_MISMATCH && w->same_path == GC_NO_IMAGE && attempt.code == GC_OK) {
		char where[PATH_MAX];

		snprintf(where, sizeof(where), "image %s", w->image.path);
		gc_problem(set->problems, where, "%s %s", w->image.found_path, w->image.refused);
	}
	free(old_path);
	return attempt.code;
}
