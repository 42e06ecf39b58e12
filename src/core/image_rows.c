/* Which rows of NT_FILE are one image, and what the dumped pages say of it. */
#include <stdlib.h>
#include <string.h>

#include "core/elf_identity.h"
#include "core/image_work.h"

/* Segments of one image lie at most as far apart as linkers align them (-z max-page-size). */
#define MAX_SEGMENT_GAP 0x200000

/* PT_LOADs of one image. */
#define MAX_LOADS 64

void gc_image_set_deinit(struct gc_image_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		struct gc_image_work *w = &set->list[i];

		gc_phdrs_deinit(&w->phdrs);
		if (w->made)
			free(w->rows);
		free(w->made);
		free(w->image.go_build_id);
		free(w->image.found_path);
		free(w->image.refused);
		if (w->image.file)
			gc_elf_file_close(w->image.file);
		free(w->image.file);
	}
	for (size_t i = 0; i < set->nnames; i++)
		free(set->names[i]);
	free(set->names);
	free(set->list);
	free(set->row_pointers);
	*set = (struct gc_image_set){ .list = NULL };
}

struct gc_image_work *gc_image_add(struct gc_image_set *set, const char *path)
{
	if (set->count == set->cap) {
		size_t cap = set->cap ? 2 * set->cap : 16;
		struct gc_image_work *list = realloc(set->list, cap * sizeof(*list));

		if (!list)
			return NULL;
		set->list = list;
		set->cap = cap;
	}
	set->list[set->count] = (struct gc_image_work){
		.image = { .path = path, .base = UINT64_MAX }, .same_path = GC_NO_IMAGE,
	};
	return &set->list[set->count++];
}

const char *gc_image_name(struct gc_image_set *set, const char *text)
{
	char **names = realloc(set->names, (set->nnames + 1) * sizeof(*names));
	char *name = names ? strdup(text) : NULL;

	if (names)
		set->names = names;
	if (name)
		names[set->nnames++] = name;
	return name;
}

bool gc_image_read_dumped(const struct gc_space *space, uint64_t addr, void *buf, size_t len)
{
	uint8_t *to = buf;

	while (len > 0) {
		const struct gc_range *r = gc_space_find(space, addr);
		uint64_t n;

		/* a tagged address finds the range of the clean one */
		if (!r || r->what != GC_RANGE_DUMPED || addr < r->start || addr >= r->end)
			return false;
		n = r->end - addr < len ? r->end - addr : len;
		memcpy(to, r->bytes + (addr - r->start), n);
		to += n;
		len -= n;
		addr += n;
	}
	return true;
}

bool gc_image_entry(const struct gc_core *core, uint64_t *out)
{
	if (gc_core_auxv(core, AT_ENTRY, out))
		return true;
	if (core->has_delve && core->delve.has_entry)
		*out = core->delve.entry;
	return core->has_delve && core->delve.has_entry;
}

/** For gc_phdrs_read: an image's headers lie together at its start, on file and in memory. */
struct header_reader {
	const struct gc_space *space;
	uint64_t base;
};

static bool read_header(void *data, uint64_t offset, void *buf, size_t len)
{
	const struct header_reader *r = data;

	return offset <= UINT64_MAX - r->base && gc_image_read_dumped(r->space, r->base + offset, buf, len);
}

void gc_image_look_at(struct gc_image_set *set, struct gc_image_work *w, uint64_t addr)
{
	struct header_reader reader = { .space = set->space, .base = addr };
	uint8_t magic[SELFMAG];

	if (!gc_image_read_dumped(set->space, addr, magic, sizeof(magic)))
		return;
	w->is_data = memcmp(magic, ELFMAG, SELFMAG) != 0;
	if (w->is_data || gc_phdrs_read(&w->phdrs, read_header, &reader, NULL) != GC_OK)
		return;
	/* an ELF file of another machine can only have been mapped to be looked at */
	w->is_elf = w->phdrs.machine == set->core->arch->elf_machine;
	w->is_data = !w->is_elf;
	if (w->is_data)
		gc_phdrs_deinit(&w->phdrs);
}

/* Grouping. */

/** Paths seen, and the image that each belongs to now. */
struct path_table {
	struct path_slot {
		uint64_t hash;
		size_t image; /* index + 1; 0: free */
	} *slots;
	size_t mask;
	uint64_t seed;
};

static enum gc_code path_table_init(struct path_table *t, size_t paths, struct gc_error *err)
{
	size_t size = 16;

	while (size / 2 < paths)
		size *= 2;
	t->slots = calloc(size, sizeof(*t->slots));
	t->mask = size - 1;
	t->seed = (uintptr_t)t; /* the stack's random address: nobody can prepare collisions */
	return t->slots ? GC_OK : gc_fail_memory(err);
}

/** FNV-1a. */
static uint64_t hash_path(const struct path_table *t, const char *path)
{
	uint64_t hash = 0xcbf29ce484222325 ^ t->seed;

	for (; *path; path++)
		hash = (hash ^ (uint8_t)*path) * 0x100000001b3;
	return hash;
}

static struct path_slot *path_slot(struct path_table *t, const struct gc_image_set *set, const char *path)
{
	uint64_t hash = hash_path(t, path);

	for (size_t i = (hash ^ hash >> 32) & t->mask;; i = (i + 1) & t->mask) {
		struct path_slot *slot = &t->slots[i];

		if (slot->image == 0)
			slot->hash = hash;
		if (slot->image == 0 ||
		    (slot->hash == hash && strcmp(set->list[slot->image - 1].image.path, path) == 0))
			return slot;
	}
}

static bool is_exec(const struct gc_image_set *set, const struct gc_file_map *row)
{
	const struct gc_range *r = gc_space_find(set->space, row->start);

	return r && r->flags & PF_X;
}

/** Does @row go on with image @w, which has the same path? It does not when the file was mapped once more. */
static bool continues(const struct gc_image_set *set, const struct gc_image_work *w,
		      const struct gc_file_map *row)
{
	if (w->is_elf && w->last->end == row->start && row->start - row->offset == w->last->start - w->last->offset)
		return true; /* one piece, whatever its headers say */
	if (w->is_elf && w->image.has_bias)
		return row->start - w->image.bias >= w->low && row->start - w->image.bias < w->high;
	if (!w->has_exec && !is_exec(set, row))
		return true; /* data, and so no more than a list of rows */
	return row->offset > w->last->offset ||
	       (row->offset == w->last->offset && row->start - w->last->end <= MAX_SEGMENT_GAP);
}

/** Learn from a row at offset 0 where the image lies. */
static void look_at_row(struct gc_image_set *set, struct gc_image_work *w, const struct gc_file_map *row)
{
	gc_image_look_at(set, w, row->start);
	for (size_t i = 0; w->is_elf && !w->image.has_bias && i < w->phdrs.count; i++) {
		const Elf64_Phdr *ph = &w->phdrs.list[i];

		if (ph->p_type != PT_LOAD || gc_page_floor(ph->p_offset, set->core->page_size) != 0)
			continue;
		w->image.has_bias = gc_phdrs_span(&w->phdrs, set->core->page_size, &w->low, &w->high);
		w->image.bias = row->start - gc_page_floor(ph->p_vaddr, set->core->page_size);
	}
}

/** Number of the image that @row belongs to. */
static enum gc_code place_row(struct gc_image_set *set, struct path_table *paths, const struct gc_file_map *row,
			      uint32_t *out, struct gc_error *err)
{
	struct path_slot *slot = path_slot(paths, set, row->path);
	struct gc_image_work *w = slot->image ? &set->list[slot->image - 1] : NULL;

	if (!w || !continues(set, w, row)) {
		size_t before = slot->image ? slot->image - 1 : GC_NO_IMAGE;

		w = gc_image_add(set, row->path);
		if (!w)
			return gc_fail_memory(err);
		w->same_path = before;
		slot->image = set->count;
	}
	if (row->offset == 0 && !w->is_elf && !w->is_data)
		look_at_row(set, w, row);
	if (w->image.base == UINT64_MAX)
		w->image.base = row->start;
	w->image.end = row->end > w->image.end ? row->end : w->image.end;
	w->has_exec |= is_exec(set, row);
	w->last = row;
	w->nrows++;
	*out = (uint32_t)(w - set->list);
	return GC_OK;
}

/** Give each image its rows, once it is known how many each has. */
static void hand_out_rows(struct gc_image_set *set, const uint32_t *image_of)
{
	const struct gc_file_map **at = set->row_pointers;

	for (size_t i = 0; i < set->count; i++) {
		set->list[i].rows = at;
		at += set->list[i].nrows;
		set->list[i].nrows = 0;
	}
	for (size_t i = 0; i < set->core->nfiles; i++) {
		struct gc_image_work *w = &set->list[image_of[i]];

		w->rows[w->nrows++] = &set->core->files[i];
	}
}

enum gc_code gc_image_group_rows(struct gc_image_set *set, struct gc_error *err)
{
	const struct gc_core *core = set->core;
	struct path_table paths = { .slots = NULL };
	uint32_t *image_of = calloc(core->nfiles + 1, sizeof(*image_of));
	enum gc_code code;

	set->row_pointers = calloc(core->nfiles + 1, sizeof(*set->row_pointers));
	code = image_of && set->row_pointers ? path_table_init(&paths, core->nfiles, err) : gc_fail_memory(err);
	for (size_t i = 0; code == GC_OK && i < core->nfiles; i++)
		code = place_row(set, &paths, &core->files[i], &image_of[i], err);
	if (code == GC_OK)
		hand_out_rows(set, image_of);
	free(paths.slots);
	free(image_of);
	return code;
}

/* Identity. */

/** For gc_identity_read: the rows tell where the file's bytes were mapped. */
struct row_reader {
	const struct gc_space *space;
	const struct gc_image_work *w;
};

static bool read_row(void *data, uint64_t offset, void *buf, size_t len)
{
	const struct row_reader *r = data;

	for (size_t i = 0; i < r->w->nrows; i++) {
		const struct gc_file_map *row = r->w->rows[i];

		if (offset >= row->offset && offset - row->offset < row->end - row->start &&
		    gc_image_read_dumped(r->space, row->start + (offset - row->offset), buf, len))
			return true;
	}
	return false;
}

void gc_image_identify(const struct gc_image_set *set, struct gc_image_work *w)
{
	struct row_reader reader = { .space = set->space, .w = w };

	if (w->is_elf)
		gc_identity_read(&w->phdrs, read_row, &reader, &w->image.build_id, &w->image.go_build_id);
}

/* Layout. */

/** A PT_LOAD in whole pages. */
struct load {
	uint64_t from, to;  /* addresses before the image is moved */
	uint64_t delta;     /* address minus file offset */
};

/** All of them, by address. More than these has no program that is not meant to be a nuisance. */
struct load_table {
	struct load list[MAX_LOADS];
	size_t count;
	uint64_t low, high;  /* of all, with what is not on file */
	uint64_t hole_delta; /* of the first one in the table of program headers */
};

static int compare_loads(const void *a, const void *b)
{
	const struct load *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static bool load_table_init(struct load_table *t, const struct gc_phdrs *p, uint64_t page_size)
{
	const Elf64_Phdr *first = gc_phdrs_find(p, PT_LOAD);

	t->count = 0;
	if (!first || !gc_phdrs_span(p, page_size, &t->low, &t->high))
		return false;
	t->hole_delta = first->p_vaddr - first->p_offset;
	for (size_t i = 0; i < p->count; i++) {
		const Elf64_Phdr *ph = &p->list[i];

		if (ph->p_type != PT_LOAD || ph->p_filesz == 0)
			continue;
		if (t->count == MAX_LOADS)
			return false;
		t->list[t->count++] = (struct load){
			.from = gc_page_floor(ph->p_vaddr, page_size),
			.to = gc_page_ceil(ph->p_vaddr + ph->p_filesz, page_size),
			.delta = ph->p_vaddr - ph->p_offset,
		};
	}
	qsort(t->list, t->count, sizeof(*t->list), compare_loads);
	for (size_t i = 0; i + 1 < t->count; i++) /* where pages are larger than the linker thought */
		if (t->list[i].to > t->list[i + 1].from)
			t->list[i].to = t->list[i + 1].from;
	return t->count > 0;
}

/** Does the row show the file's bytes where the PT_LOADs put them? With @exact, no others. */
static bool row_fits(const struct gc_file_map *row, const struct load_table *t, uint64_t bias, bool exact)
{
	uint64_t start = row->start - bias, end = row->end - bias, delta = start - row->offset;

	for (size_t i = 0; i < t->count; i++) {
		const struct load *load = &t->list[i];

		if (start < load->from || start >= load->to)
			continue;
		if (load->delta != delta)
			return false;
		/* neighbours with the same rights whose bytes go on are one row */
		for (; exact && end > load->to && ++i < t->count; load++)
			if (load[1].from != load->to || load[1].delta != delta)
				return false;
		return !exact || end <= load->to;
	}
	/*
	 * Between segments the dynamic linker leaves a hole of the file's first
	 * mapping, without access (_dl_map_segments, glibc elf/dl-map-segments.h).
	 */
	return delta == t->hole_delta && start >= t->low && start < t->high;
}

/** Is some row at the first and at the last page of this PT_LOAD? */
static bool is_covered(const struct gc_image_work *w, const struct load *load, uint64_t bias)
{
	bool first = false, last = false;

	for (size_t i = 0; i < w->nrows; i++) {
		uint64_t start = w->rows[i]->start - bias, end = w->rows[i]->end - bias;

		first |= start <= load->from && load->from < end;
		last |= start < load->to && load->to <= end;
	}
	return (first && last) || load->from >= load->to;
}

static bool rows_fit(const struct gc_image_work *w, const struct load_table *t, uint64_t bias, bool exact)
{
	for (size_t i = 0; i < w->nrows; i++)
		if (!row_fits(w->rows[i], t, bias, exact))
			return false;
	for (size_t i = 0; exact && i < t->count; i++)
		if (!is_covered(w, &t->list[i], bias))
			return false;
	return w->nrows > 0;
}

bool gc_image_rows_fit(const struct gc_image_work *w, const struct gc_phdrs *phdrs, uint64_t bias,
		       uint64_t page_size, bool exact)
{
	struct load_table t;

	return load_table_init(&t, phdrs, page_size) && rows_fit(w, &t, bias, exact);
}

bool gc_image_bias_of_rows(const struct gc_image_work *w, const struct gc_phdrs *phdrs, uint64_t page_size,
			   uint64_t *bias)
{
	struct load_table t;

	if (w->nrows == 0 || !load_table_init(&t, phdrs, page_size))
		return false;
	for (size_t i = 0; i < t.count; i++) {
		uint64_t moved = w->rows[0]->start - t.list[i].from;

		if (w->rows[0]->offset != t.list[i].from - t.list[i].delta || !rows_fit(w, &t, moved, false))
			continue;
		*bias = moved;
		return true;
	}
	return false;
}

bool gc_image_is_flat(const struct gc_image_work *w)
{
	for (size_t i = 1; i < w->nrows; i++)
		if (w->rows[i]->start - w->rows[i]->offset != w->rows[0]->start - w->rows[0]->offset)
			return false;
	return w->nrows > 0;
}

/* Rows for cores without NT_FILE. */

static int compare_rows(const void *a, const void *b)
{
	const struct gc_file_map *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static size_t rows_of_loads(struct gc_file_map *rows, const struct load_table *t, uint64_t bias,
			    const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++) {
		const struct load *load = &t->list[i];

		if (load->from >= load->to || load->from + bias > UINT64_MAX - (load->to - load->from))
			continue;
		rows[n++] = (struct gc_file_map){
			.start = load->from + bias, .end = load->to + bias,
			.offset = load->from - load->delta, .path = path,
		};
	}
	qsort(rows, n, sizeof(*rows), compare_rows); /* an address may have wrapped */
	return n;
}

enum gc_code gc_image_make_rows(struct gc_image_set *set, struct gc_image_work *w, const struct gc_phdrs *phdrs,
				uint64_t bias, struct gc_error *err)
{
	struct load_table t;

	if (!load_table_init(&t, phdrs, set->core->page_size))
		return GC_OK;
	w->made = calloc(MAX_LOADS, sizeof(*w->made));
	w->rows = calloc(MAX_LOADS, sizeof(*w->rows));
	if (!w->made || !w->rows) {
		free(w->made);
		free(w->rows);
		w->made = NULL;
		w->rows = NULL;
		return gc_fail_memory(err);
	}
	w->nrows = rows_of_loads(w->made, &t, bias, w->image.path);
	for (size_t i = 0; i < w->nrows; i++)
		w->rows[i] = &w->made[i];
	if (w->nrows > 0) {
		w->image.base = w->rows[0]->start;
		w->image.end = w->rows[w->nrows - 1]->end;
	}
	return gc_space_add_rows(set->space, w->made, w->nrows, err);
}
