#include "gocore/images.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/process.h"

#include "core/file_cache.h"
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

/** Find and gc_image_recover the images [@first, @last) that were not looked for yet. */
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
			code = gc_image_use_program(set, err);
		else
			code = gc_image_look_for(set, finder, w, err);
		if (code == GC_OK)
			code = gc_image_recover(set, &set->list[i], private_dumped, err);
	}
	return code == GC_OK ? gc_space_seal(set->space, err) : code;
}

static enum gc_code find_all(struct gc_image_set *set, struct gc_finder *finder, struct gc_error *err)
{
	const bool private_dumped = gc_image_dumps_private(set->space);
	enum gc_code code = GC_OK;
	bool added = set->core->nfiles == 0;

	if (set->program != GC_NO_IMAGE)
		code = find_images(set, finder, set->program, set->program + 1, private_dumped, err);
	if (code == GC_OK)
		code = gc_image_add_interp(set, err);
	if (code == GC_OK)
		code = find_images(set, finder, 0, set->count, private_dumped, err);
	for (int round = 0; code == GC_OK && added && round < MAX_LINK_ROUNDS; round++) {
		code = gc_image_add_links(set, &added, err);
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
	const Elf64_Phdr *load = gc_image_load_at(r->image, r->start, page_size);

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
	code = gc_image_list(&set, err);
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

		gc_file_cache_release(image->file);
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
