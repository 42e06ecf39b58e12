#include "gocore/images.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gocore/process.h"

#include "core/elf_identity.h"
#include "core/finder.h"
#include "core/image_work.h"

/* Images that are looked for. A process has a few hundred; a core that says more may still be read without. */
#define MAX_LOOKED_FOR 4096

/* New links show more of the link map (names that lie in images), but not for ever. */
#define MAX_LINK_ROUNDS 4

const char *gc_image_status_name(enum gc_image_status status)
{
	static const char *const names[] = {
		[GC_IMAGE_MISSING] = "missing",
		[GC_IMAGE_FOUND] = "found",
		[GC_IMAGE_FORCED] = "forced",
		[GC_IMAGE_MISMATCH] = "mismatch",
		[GC_IMAGE_NOT_ELF] = "not-elf",
		[GC_IMAGE_IN_CORE] = "in-core",
	};

	return (size_t)status < GC_COUNT(names) ? names[status] : "unknown";
}

const char *gc_image_check_name(enum gc_image_check check)
{
	static const char *const names[] = {
		[GC_CHECK_NONE] = "none",
		[GC_CHECK_BUILD_ID] = "build-id",
		[GC_CHECK_GO_BUILD_ID] = "go-build-id",
		[GC_CHECK_PAGES] = "pages",
	};

	return (size_t)check < GC_COUNT(names) ? names[check] : "unknown";
}

/* Which images there were. */

/** The image with a row at @addr, or GC_NO_IMAGE. */
static size_t image_with_row(const struct gc_image_set *set, uint64_t addr)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct gc_image_work *w = &set->list[i];

		if (addr < w->image.base || addr >= w->image.end)
			continue;
		for (size_t r = 0; r < w->nrows; r++)
			if (addr >= w->rows[r]->start && addr < w->rows[r]->end)
				return i;
	}
	return GC_NO_IMAGE;
}

/** AT_EXECFN, or "" */
static const char *execfn(struct gc_image_set *set)
{
	char text[PATH_MAX];
	uint64_t addr;
	const char *name = NULL;

	if (gc_core_auxv(set->core, AT_EXECFN, &addr) &&
	    gc_space_string(set->space, addr, text, sizeof(text), NULL) == GC_OK)
		name = gc_image_name(set, text);
	return name ? name : "";
}

static size_t image_named(const struct gc_image_set *set, const char *path)
{
	for (size_t i = 0; i < set->count; i++)
		if (strcmp(set->list[i].image.path, path) == 0)
			return i;
	return GC_NO_IMAGE;
}

/** Which image of NT_FILE is the program? */
static size_t find_program(struct gc_image_set *set)
{
	uint64_t addr;
	size_t i = GC_NO_IMAGE;

	if (gc_core_auxv(set->core, AT_PHDR, &addr))
		i = image_with_row(set, addr);
	if (i == GC_NO_IMAGE && gc_image_entry(set->core, &addr))
		i = image_with_row(set, addr);
	if (i == GC_NO_IMAGE)
		i = image_named(set, execfn(set));
	return i == GC_NO_IMAGE && set->count > 0 ? 0 : i;
}

/** Learn of an image without rows from its ELF header at @addr, if that was dumped. */
static enum gc_code adopt_header(struct gc_image_set *set, size_t index, uint64_t addr, struct gc_error *err)
{
	const uint64_t page = set->core->page_size;
	struct gc_image_work *w = &set->list[index];
	enum gc_code code;

	gc_image_look_at(set, w, addr);
	if (!w->is_elf || !gc_phdrs_span(&w->phdrs, page, &w->low, &w->high))
		return GC_OK;
	w->image.has_bias = true;
	w->image.bias = addr - w->low;
	code = gc_image_make_rows(set, w, &w->phdrs, w->image.bias, err);
	gc_image_identify(set, w);
	return code;
}

/** Where the program's ELF header should be. */
static bool program_header_addr(const struct gc_image_set *set, uint64_t *out)
{
	const struct gc_range *r;
	uint64_t addr;

	if (gc_core_auxv(set->core, AT_PHDR, &addr)) {
		*out = addr - sizeof(Elf64_Ehdr); /* where all linkers put the program headers */
		return true;
	}
	r = gc_image_entry(set->core, &addr) ? gc_space_find(set->space, addr) : NULL;
	if (r)
		*out = r->start; /* a Go program's text begins with it */
	return r != NULL;
}

/** The program of a core without NT_FILE. */
static enum gc_code add_program(struct gc_image_set *set, struct gc_error *err)
{
	struct gc_image_work *w = gc_image_add(set, execfn(set));
	enum gc_code code = GC_OK;
	uint64_t addr;

	if (!w)
		return gc_fail_memory(err);
	set->program = set->count - 1;
	w->image.is_program = true;
	w->image.base = 0;
	if (program_header_addr(set, &addr)) {
		const struct gc_range *r = gc_space_find(set->space, addr);

		w->image.base = r ? r->start : addr;
		w->image.end = r ? r->end : addr;
		code = adopt_header(set, set->program, addr, err);
	}
	return code;
}

/** The vDSO lies whole in the core, for it is on no disk. */
static enum gc_code add_vdso(struct gc_image_set *set, struct gc_error *err)
{
	struct gc_image_work *w;
	uint64_t addr;

	if (!gc_core_auxv(set->core, AT_SYSINFO_EHDR, &addr))
		return GC_OK;
	w = gc_image_add(set, "[vdso]");
	if (!w)
		return gc_fail_memory(err);
	w->done = true;
	w->image.base = w->image.end = addr;
	gc_image_look_at(set, w, addr);
	if (w->is_elf && gc_phdrs_span(&w->phdrs, set->core->page_size, &w->low, &w->high)) {
		const struct gc_file_map row = { .start = addr, .end = addr + (w->high - w->low) };
		const struct gc_file_map *rows[] = { &row };

		w->image.end = row.end;
		w->image.has_bias = true;
		w->image.bias = addr - w->low;
		w->image.status = GC_IMAGE_IN_CORE;
		w->rows = rows;
		w->nrows = 1;
		gc_image_identify(set, w);
		w->rows = NULL;
		w->nrows = 0;
	}
	return GC_OK;
}

static enum gc_code list_images(struct gc_image_set *set, struct gc_error *err)
{
	enum gc_code code = gc_image_group_rows(set, err);
	uint64_t at_base;

	if (code != GC_OK)
		return code;
	for (size_t i = 0; i < set->count; i++)
		gc_image_identify(set, &set->list[i]);
	set->program = find_program(set);
	if (set->program != GC_NO_IMAGE)
		set->list[set->program].image.is_program = true;
	else if (set->core->auxv || set->core->has_delve || set->options->program)
		code = add_program(set, err);
	if (gc_core_auxv(set->core, AT_BASE, &at_base) && at_base != 0)
		set->interp = image_with_row(set, at_base);
	if (set->interp == set->program) /* ld.so PROGRAM */
		set->interp = GC_NO_IMAGE;
	if (set->interp != GC_NO_IMAGE)
		set->list[set->interp].image.is_interp = true;
	return code == GC_OK ? add_vdso(set, err) : code;
}

/* Copies. */

/** Take @file as the copy of @w. */
static enum gc_code accept(struct gc_image_set *set, struct gc_image_work *w, const struct gc_elf_file *file,
			   const struct gc_fit_result *fit, const char *found_by, struct gc_error *err)
{
	struct gc_image *image = &w->image;

	image->file = malloc(sizeof(*image->file));
	if (!image->file)
		return gc_fail_memory(err);
	*image->file = *file;
	image->status = fit->fit == GC_FITS ? GC_IMAGE_FOUND : GC_IMAGE_FORCED;
	image->check = fit->check;
	image->has_bias = fit->has_bias;
	image->bias = fit->bias;
	image->found_by = found_by;
	free(image->refused);
	image->refused = NULL;
	if (file->input.fd >= 0) { /* it is mapped; a thousand libraries would use up the descriptors */
		close(file->input.fd);
		image->file->input.fd = -1;
	}
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
	struct gc_elf_file file;
	struct gc_fit_result fit;
	struct gc_error why;

	if (gc_file_kind(path) != GC_FILE_ELF) {
		if (w->is_elf || w->image.is_program)
			return false;
		w->image.status = GC_IMAGE_NOT_ELF;
		set_text(&w->image.found_path, path);
		return true;
	}
	if (gc_elf_file_open(&file, path, &why) != GC_OK) {
		refuse(w, why.text);
		set_text(&w->image.found_path, path);
		return false;
	}
	gc_image_check_file(a->set, w, &file, &fit);
	if (fit.fit == GC_FITS)
		a->code = accept(a->set, w, &file, &fit, found_by, a->err);
	else if (fit.fit != GC_NO_BYTES)
		refuse(w, fit.why);
	if (fit.fit != GC_NO_BYTES)
		set_text(&w->image.found_path, path);
	if (!w->image.file)
		gc_elf_file_close(&file);
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
static enum gc_code take_program(struct gc_image_set *set, struct gc_image_work *w, const struct gc_elf_file *file,
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
static enum gc_code use_program(struct gc_image_set *set, struct gc_error *err)
{
	const char *path = set->options->program;
	struct gc_image_work *w = &set->list[set->program];
	struct gc_elf_file file;
	struct gc_fit_result fit;
	struct gc_error why;
	enum gc_code code = gc_elf_file_open(&file, path, &why);

	if (code == GC_E_UNSUPPORTED)
		return gc_fail(err, GC_E_MISMATCH, "is %s, but %s %s", set->core->arch->elf_name, path, why.text);
	if (code != GC_OK)
		return gc_fail(err, code, "%s %s", path, why.text);
	gc_image_check_file(set, w, &file, &fit);
	set_text(&w->image.found_path, path);
	code = judge_program(set, &file, &fit, err);
	if (code == GC_OK)
		code = take_program(set, w, &file, &fit, err);
	if (!w->image.file)
		gc_elf_file_close(&file);
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

static enum gc_code look_for(struct gc_image_set *set, struct gc_finder *finder, struct gc_image_work *w,
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

/* Memory. */

/** Does the core hold private memory that was written to? Not with a coredump_filter without bits 0 and 2. */
static bool dumps_private(const struct gc_space *space)
{
	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];

		if (r->flags & PF_W && !r->file && (r->what == GC_RANGE_DUMPED || r->what == GC_RANGE_CUT))
			return true;
	}
	return false;
}

/** The PT_LOAD that has @addr, or NULL. */
static const Elf64_Phdr *load_at(const struct gc_image *image, uint64_t addr, uint64_t page_size)
{
	const struct gc_phdrs *p = &image->file->phdrs;
	uint64_t vaddr = addr - image->bias;

	for (size_t i = 0; image->has_bias && i < p->count; i++) {
		const Elf64_Phdr *ph = &p->list[i];

		if (ph->p_type == PT_LOAD && vaddr >= gc_page_floor(ph->p_vaddr, page_size) &&
		    vaddr < gc_page_ceil(ph->p_vaddr + ph->p_memsz, page_size))
			return ph;
	}
	return NULL;
}

/** Could the process have written here, now or before the dynamic linker took the right away (PT_GNU_RELRO)? */
static bool was_writable(const struct gc_image *image, const struct gc_range *r, uint64_t addr,
			 uint64_t page_size)
{
	const Elf64_Phdr *load = load_at(image, addr, page_size);

	return r->flags & PF_W || (load && load->p_flags & PF_W);
}

/**
 * What of a row may be taken from the file. A page that was written to is the
 * process's own copy, which the kernel dumps (vma->anon_vma, vma_dump_size in
 * fs/coredump.c): so one that is absent was not written to, provided that
 * private memory is dumped at all. One that was cut off is not known.
 */
static bool may_recover(const struct gc_image *image, const struct gc_range *r, uint64_t addr,
			uint64_t page_size, bool private_dumped)
{
	if (gc_range_served(r))
		return false;
	return !was_writable(image, r, addr, page_size) || (r->what == GC_RANGE_ABSENT && private_dumped);
}

static enum gc_code recover_row(struct gc_image_set *set, const struct gc_image *image,
				const struct gc_file_map *row, bool private_dumped, struct gc_error *err)
{
	const struct gc_input *in = &image->file->input;
	const uint64_t page = set->core->page_size;
	uint64_t file_end = gc_page_ceil(in->size, page);
	enum gc_code code = GC_OK;
	uint64_t at = row->start, end;

	for (; code == GC_OK && at < row->end; at = end) {
		size_t i = gc_space_index(set->space, at);
		const struct gc_range *r = i < set->space->count ? &set->space->ranges[i] : NULL;
		uint64_t offset = row->offset + (at - row->start);

		if (!r || r->start >= row->end || offset >= in->size || offset < row->offset)
			break;
		end = r->end < row->end ? r->end : row->end;
		if (r->start > at)
			end = r->start; /* not mapped */
		else if (may_recover(image, r, at, page, private_dumped))
			code = gc_space_recover(set->space, at, end, in->bytes + offset, in->size - offset,
						at + (file_end - offset), NULL, err);
	}
	return code;
}

static enum gc_code recover(struct gc_image_set *set, const struct gc_image_work *w, bool private_dumped,
			    struct gc_error *err)
{
	enum gc_code code = GC_OK;

	for (size_t i = 0; w->image.file && code == GC_OK && i < w->nrows; i++)
		code = recover_row(set, &w->image, w->rows[i], private_dumped, err);
	return code;
}

/* Cores without NT_FILE. */

/** The name of the dynamic linker in the program, or NULL. */
static const char *interp_name(struct gc_image_set *set)
{
	const struct gc_image_work *w = set->program != GC_NO_IMAGE ? &set->list[set->program] : NULL;
	const struct gc_phdrs *p = !w ? NULL : w->image.file ? &w->image.file->phdrs : &w->phdrs;
	const Elf64_Phdr *interp = p ? gc_phdrs_find(p, PT_INTERP) : NULL;
	const uint8_t *bytes;
	char name[PATH_MAX];
	uint64_t len;

	if (!interp)
		return NULL;
	if (w->image.file && gc_elf_at(w->image.file, interp->p_vaddr, &bytes, &len) && len > 0 &&
	    memchr(bytes, 0, len))
		return gc_image_name(set, (const char *)bytes);
	if (w->image.has_bias &&
	    gc_space_string(set->space, w->image.bias + interp->p_vaddr, name, sizeof(name), NULL) == GC_OK)
		return gc_image_name(set, name);
	return NULL;
}

/** The dynamic linker, if no row is its. */
static enum gc_code add_interp(struct gc_image_set *set, struct gc_error *err)
{
	const char *name = interp_name(set);
	struct gc_image_work *w;
	uint64_t at_base;

	if (set->interp != GC_NO_IMAGE) {
		set->list[set->interp].other_path = name;
		return GC_OK;
	}
	if (!name || set->core->nfiles > 0 || !gc_core_auxv(set->core, AT_BASE, &at_base) || at_base == 0)
		return GC_OK;
	w = gc_image_add(set, name);
	if (!w)
		return gc_fail_memory(err);
	set->interp = set->count - 1;
	w->image.is_interp = true;
	w->image.base = w->image.end = at_base;
	return adopt_header(set, set->interp, at_base, err);
}

static bool is_known(const struct gc_image_set *set, const struct gc_link *link)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct gc_image *image = &set->list[i].image;

		if ((image->has_bias && image->bias == link->l_addr) ||
		    (link->l_ld >= image->base && link->l_ld < image->end))
			return true;
	}
	return false;
}

static enum gc_code add_link(struct gc_image_set *set, const struct gc_link *link, struct gc_error *err)
{
	const char *name = gc_image_name(set, link->name);
	struct gc_image_work *w = name ? gc_image_add(set, name) : NULL;
	const struct gc_range *r = gc_space_find(set->space, link->l_ld);

	if (!w)
		return gc_fail_memory(err);
	w->image.has_bias = true;
	w->image.bias = link->l_addr;
	w->image.base = link->l_addr;
	w->image.end = r && r->end > link->l_addr ? r->end : link->l_addr;
	w->has_l_ld = true;
	w->l_ld = link->l_ld;
	return adopt_header(set, set->count - 1, link->l_addr, err);
}

/** Read the link map with what is known so far, and add what is new. */
static enum gc_code add_links(struct gc_image_set *set, bool *added, struct gc_error *err)
{
	struct gc_images so_far = { .count = set->count, .list = calloc(set->count + 1, sizeof(*so_far.list)) };
	struct gc_link_map links;
	enum gc_code code;

	*added = false;
	if (!so_far.list)
		return gc_fail_memory(err);
	for (size_t i = 0; i < set->count; i++)
		so_far.list[i] = set->list[i].image;
	code = gc_link_map_read(&links, set->core, set->space, &so_far, NULL, err);
	free(so_far.list);
	if (code != GC_OK)
		return code;
	for (size_t i = 0; code == GC_OK && i < links.count; i++) {
		const struct gc_link *link = &links.list[i];

		if (link->is_program || !link->name[0] || is_known(set, link))
			continue;
		code = add_link(set, link, err);
		*added = true;
	}
	gc_link_map_deinit(&links);
	return code;
}

/* Together. */

/** Find and recover the images [@first, @last) that were not looked for yet. */
static enum gc_code find_images(struct gc_image_set *set, struct gc_finder *finder, size_t first, size_t last,
				bool private_dumped, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	for (size_t i = first; code == GC_OK && i < last; i++) {
		struct gc_image_work *w = &set->list[i];

		if (w->done)
			continue;
		w->done = true;
		if (set->looked_for++ == MAX_LOOKED_FOR)
			gc_problem(set->problems, "images",
				   "there are more than %d: no copies of the others are looked for", MAX_LOOKED_FOR);
		if (set->looked_for > MAX_LOOKED_FOR)
			continue;
		if (w->image.is_program && set->options->program)
			code = use_program(set, err);
		else
			code = look_for(set, finder, w, err);
		if (code == GC_OK)
			code = recover(set, &set->list[i], private_dumped, err);
	}
	return code == GC_OK ? gc_space_seal(set->space, err) : code;
}

static enum gc_code find_all(struct gc_image_set *set, struct gc_finder *finder, struct gc_error *err)
{
	const bool private_dumped = dumps_private(set->space);
	enum gc_code code = GC_OK;
	bool added = set->core->nfiles == 0;

	if (set->program != GC_NO_IMAGE)
		code = find_images(set, finder, set->program, set->program + 1, private_dumped, err);
	if (code == GC_OK)
		code = add_interp(set, err);
	if (code == GC_OK)
		code = find_images(set, finder, 0, set->count, private_dumped, err);
	for (int round = 0; code == GC_OK && added && round < MAX_LINK_ROUNDS; round++) {
		code = add_links(set, &added, err);
		if (code == GC_OK)
			code = find_images(set, finder, 0, set->count, private_dumped, err);
	}
	return code;
}

/* The result. */

/** A work, and its rows' place among all. */
static int compare_works(const void *a, const void *b)
{
	const struct gc_image_work *x = a, *y = b;

	if (x->image.is_program != y->image.is_program)
		return x->image.is_program ? -1 : 1;
	return x->image.base < y->image.base ? -1 : x->image.base > y->image.base;
}

struct made_row {
	struct gc_file_map row;
	size_t image;
};

static int compare_made(const void *a, const void *b)
{
	const struct made_row *x = a, *y = b;

	return x->row.start < y->row.start ? -1 : x->row.start > y->row.start;
}

/** The rows that were made, of all images. */
static enum gc_code collect_made(struct gc_images *images, const struct gc_image_set *set, struct gc_error *err)
{
	struct made_row *all;
	size_t n = 0;

	for (size_t i = 0; i < set->count; i++)
		n += set->list[i].made ? set->list[i].nrows : 0;
	all = calloc(n + 1, sizeof(*all));
	images->rows = calloc(n + 1, sizeof(*images->rows));
	images->mapped_by = calloc(n + 1, sizeof(*images->mapped_by));
	if (!all || !images->rows || !images->mapped_by) {
		free(all);
		return gc_fail_memory(err);
	}
	n = 0;
	for (size_t i = 0; i < set->count; i++)
		for (size_t r = 0; set->list[i].made && r < set->list[i].nrows; r++)
			all[n++] = (struct made_row){ set->list[i].made[r], i };
	qsort(all, n, sizeof(*all), compare_made);
	for (size_t i = 0; i < n; i++) {
		images->rows[i] = all[i].row;
		images->mapped_by[i] = &images->list[all[i].image];
	}
	free(all);
	images->nrows = n;
	images->mapped = images->rows;
	images->nmapped = n;
	return GC_OK;
}

static enum gc_code collect_files(struct gc_images *images, const struct gc_image_set *set,
				  struct gc_error *err)
{
	const struct gc_core *core = set->core;

	images->mapped_by = calloc(core->nfiles, sizeof(*images->mapped_by));
	if (!images->mapped_by)
		return gc_fail_memory(err);
	images->mapped = core->files;
	images->nmapped = core->nfiles;
	for (size_t i = 0; i < set->count; i++)
		for (size_t r = 0; r < set->list[i].nrows; r++)
			images->mapped_by[set->list[i].rows[r] - core->files] = &images->list[i];
	return GC_OK;
}

/** Up to where the image's own memory goes: zeros behind the file (.bss) are no row, but the image's. */
static void extend_end(struct gc_images *images, const struct gc_image_set *set, size_t i)
{
	const struct gc_image_work *w = &set->list[i];
	struct gc_image *image = &images->list[i];
	const struct gc_phdrs *p = image->file ? &image->file->phdrs : &w->phdrs;
	uint64_t low, high;

	if (image->has_bias && gc_phdrs_span(p, set->core->page_size, &low, &high) &&
	    high + image->bias > image->end && high + image->bias > image->base)
		image->end = high + image->bias;
}

/** The last row that starts at or before @addr, or SIZE_MAX. */
static size_t row_before(const struct gc_images *images, uint64_t addr)
{
	size_t low = 0, high = images->nmapped;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (images->mapped[mid].start <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low - 1;
}

/** The rights of a range that no PT_LOAD of the core tells of. */
static void set_flags(struct gc_range *r, uint64_t page_size)
{
	const Elf64_Phdr *load = load_at(r->image, r->start, page_size);

	if (load)
		r->flags = load->p_flags & (PF_R | PF_W | PF_X);
}

/** Tell the ranges of the space whose they are. */
static void mark_ranges(const struct gc_images *images, struct gc_space *space, uint64_t page_size)
{
	size_t row = 0;

	for (size_t i = 0; i < space->count; i++) {
		struct gc_range *r = &space->ranges[i];

		while (row < images->nmapped && images->mapped[row].end <= r->start)
			row++;
		if (images->vdso && r->start >= images->vdso->base && r->start < images->vdso->end)
			r->image = images->vdso;
		if (row == images->nmapped || images->mapped[row].start > r->start)
			continue;
		r->file = &images->mapped[row];
		r->image = images->mapped_by[row];
		if (r->unlisted && r->image && r->image->file)
			set_flags(r, page_size);
	}
}

static void take_names(struct gc_images *images, struct gc_image_set *set)
{
	images->names = set->names;
	images->nnames = set->nnames;
	set->names = NULL;
	set->nnames = 0;
}

static enum gc_code finish(struct gc_images *out, struct gc_image_set *set, struct gc_error *err)
{
	struct gc_images images = { .list = calloc(set->count + 1, sizeof(*images.list)) };
	enum gc_code code;

	if (!images.list)
		return gc_fail_memory(err);
	if (set->count)
		qsort(set->list, set->count, sizeof(*set->list), compare_works);
	for (size_t i = 0; i < set->count; i++)
		images.list[i] = set->list[i].image;
	code = set->core->nfiles > 0 ? collect_files(&images, set, err) : collect_made(&images, set, err);
	if (code != GC_OK) { /* the images themselves are still the set's */
		free(images.list);
		free(images.rows);
		free(images.mapped_by);
		return code;
	}
	images.count = set->count;
	for (size_t i = 0; i < images.count; i++) {
		extend_end(&images, set, i);
		if (images.list[i].status == GC_IMAGE_IN_CORE)
			images.vdso = &images.list[i];
		set->list[i].image = (struct gc_image){ .path = NULL };
	}
	take_names(&images, set);
	mark_ranges(&images, set->space, set->core->page_size);
	*out = images;
	return GC_OK;
}

enum gc_code gc_images_init(struct gc_images *images, const struct gc_core *core, struct gc_space *space,
			    const struct gc_find_options *options, struct gc_problems *problems,
			    struct gc_error *err)
{
	struct gc_image_set set = {
		.core = core, .space = space, .options = options, .problems = problems,
		.program = GC_NO_IMAGE, .interp = GC_NO_IMAGE,
	};
	struct gc_finder finder;
	enum gc_code code;

	gc_finder_init(&finder, options, core->arch->elf_machine, problems);
	code = list_images(&set, err);
	if (code == GC_OK)
		code = find_all(&set, &finder, err);
	if (code == GC_OK)
		code = finish(images, &set, err);
	gc_finder_deinit(&finder);
	gc_image_set_deinit(&set);
	return code;
}

void gc_images_deinit(struct gc_images *images)
{
	for (size_t i = 0; i < images->count; i++) {
		struct gc_image *image = &images->list[i];

		if (image->file)
			gc_elf_file_close(image->file);
		free(image->file);
		free(image->go_build_id);
		free(image->found_path);
		free(image->refused);
	}
	for (size_t i = 0; i < images->nnames; i++)
		free(images->names[i]);
	free(images->names);
	free(images->list);
	free(images->rows);
	free(images->mapped_by);
	*images = (struct gc_images){ .list = NULL };
}

const struct gc_image *gc_images_at(const struct gc_images *images, uint64_t addr)
{
	size_t row = row_before(images, addr);
	const struct gc_image *image = row != SIZE_MAX ? images->mapped_by[row] : NULL;

	if (images->vdso && addr >= images->vdso->base && addr < images->vdso->end)
		return images->vdso;
	if (!image || addr < images->mapped[row].end)
		return image;
	return image->has_bias && addr < image->end ? image : NULL;
}

const struct gc_image *gc_images_program(const struct gc_images *images)
{
	for (size_t i = 0; i < images->count; i++)
		if (images->list[i].is_program)
			return &images->list[i];
	return NULL;
}
