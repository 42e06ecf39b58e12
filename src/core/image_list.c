/* Which images the process had: by NT_FILE, else by the auxiliary vector and the link map. */
#include "core/image_work.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/process.h"

#include "core/elf_identity.h"

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

enum gc_code gc_image_list(struct gc_image_set *set, struct gc_error *err)
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
enum gc_code gc_image_add_interp(struct gc_image_set *set, struct gc_error *err)
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
enum gc_code gc_image_add_links(struct gc_image_set *set, bool *added, struct gc_error *err)
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
