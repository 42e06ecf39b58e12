/*
 * The Go modules of a process, by their runtime.moduledata in its memory; where
 * those are damaged by what the files have, or by the tables of functions alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_MODULES 256

static uint64_t word(const uint8_t *md, unsigned off)
{
	return gc_load_le64(md + off);
}

struct finder {
	struct gc_go_modules *out;
	const struct gc_process *p;
	const struct go_layout *layout;
	struct gc_problems *problems;
	struct go_memory mem;
	bool layout_is_guess;   /* the version is not one of the tables' */
	bool failed;
};

/** The pclntab in place if it lies in one piece. */
static const uint8_t *one_piece(const struct gc_process *p, const struct gc_go_moduledata *m)
{
	const uint8_t *bytes = NULL;
	uint64_t len = gc_space_peek(&p->space, m->pclntab, &bytes);

	return len >= m->pclntab_len ? bytes : NULL;
}

/** Room for one more. @return NULL when out of memory */
static struct gc_go_moduledata *new_module(struct finder *f)
{
	struct gc_go_moduledata *list = realloc(f->out->list, (f->out->count + 1) * sizeof(*list));

	if (!list) {
		f->failed = true;
		return NULL;
	}
	f->out->list = list;
	list[f->out->count] = (struct gc_go_moduledata){ .addr = 0 };
	return &list[f->out->count++];
}

static void open_module(struct finder *f, struct gc_go_moduledata *m, size_t nsections)
{
	struct gc_error err;
	char where[64];

	snprintf(where, sizeof(where), "Go module at 0x%" PRIx64, m->addr);
	if (go_open_table(m, &f->mem, one_piece(f->p, m), nsections, f->p->core.arch->go_abi.quantum, &err) != GC_OK)
		gc_problem(f->problems, where, "no function names: %s", err.text);
	else if (m->bad_header)
		gc_problem(f->problems, where, "the header of its table of functions is damaged; what its moduledata "
			   "says is used");
}

static bool is_known(const struct finder *f, uint64_t pclntab)
{
	for (size_t i = 0; i < f->out->count; i++)
		if (f->out->list[i].pclntab == pclntab)
			return true;
	return false;
}

/** Words of the moduledata that the loader relocates. */
static void rebase(uint8_t *md, const struct go_layout *l, uint64_t bias)
{
	const uint16_t more[] = { l->md.types, l->md.etypes, l->md.gofunc, l->md.textsectmap };

	for (unsigned off = MD_PCHEADER; off < MD_NOPTRDATA + 64; off += 8)
		if (off == MD_PCHEADER || off >= MD_FINDFUNCTAB || (off - MD_NAMES) % 24 == 0)
			gc_store_le64(md + off, word(md, off) + bias);
	for (size_t i = 0; i < GC_COUNT(more); i++)
		if (word(md, more[i]))
			gc_store_le64(md + more[i], word(md, more[i]) + bias);
}

/** Do they differ in what never changes while the program runs? */
static bool differs(const uint8_t *a, const uint8_t *b, const struct go_layout *l)
{
	return memcmp(a, b, MD_NOPTRDATA + 64) != 0 || word(a, l->md.types) != word(b, l->md.types) ||
	       word(a, l->md.etypes) != word(b, l->md.etypes) || word(a, l->md.gofunc) != word(b, l->md.gofunc);
}

/** @param md  as the core has it; replaced by what the program's file has if the core's is damaged */
static void repair(const struct finder *f, uint64_t addr, uint8_t md[MD_SIZE])
{
	const struct gc_image *image = gc_images_at(&f->p->images, addr);
	uint8_t file[MD_SIZE];
	char where[64];

	if (!image || !image->file || !image->has_bias || image->status != GC_IMAGE_FOUND || f->layout_is_guess ||
	    !go_file_moduledata_at(image->file, addr - image->bias, file))
		return;
	rebase(file, f->layout, image->bias);
	if (!differs(md, file, f->layout))
		return;
	memcpy(md, file, MD_SIZE);
	snprintf(where, sizeof(where), "Go module at 0x%" PRIx64, addr);
	gc_problem(f->problems, where, "its moduledata is damaged; that of the program's file is used");
}

static bool found_moduledata(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct finder *f = data;
	struct gc_go_moduledata *m;
	uint8_t md[MD_SIZE];

	if (!go_is_moduledata(bytes) || is_known(f, word(bytes, MD_PCHEADER)))
		return true;
	memcpy(md, bytes, MD_SIZE);
	repair(f, addr, md);
	m = new_module(f);
	if (!m)
		return false;
	go_parse_moduledata(m, addr, md, f->layout);
	m->image = gc_images_at(&f->p->images, m->text);
	open_module(f, m, go_read_sections(m, &f->mem, md, f->layout));
	return f->out->count < MAX_MODULES;
}

/** May a moduledata lie in @r? The linker puts it into data, which may have become read-only since. */
static bool may_hold(const struct gc_range *r, int pass)
{
	if (!gc_range_served(r) || !r->bytes || r->flags & PF_X)
		return false;
	switch (pass) {
	case 0: /* the data of images */
		return (r->file || r->image) && r->flags & PF_W;
	case 1: /* what was made read-only */
		return (r->file || r->image) && !(r->flags & PF_W);
	default: /* cores that do not name their files */
		return !r->file && !r->image && r->flags & PF_W;
	}
}

/** Look for moduledata in memory. */
static void find_in_memory(struct finder *f, uint64_t *budget)
{
	const struct gc_space *space = &f->p->space;

	for (int pass = 0; pass < 3 && !f->out->count; pass++) {
		for (size_t i = 0; i < space->count && !f->failed && f->out->count < MAX_MODULES; i++) {
			struct go_scan scan = {
				.mem = f->mem, .at = space->ranges[i].start, .budget = budget, .ahead = MD_SIZE,
				.visit = found_moduledata, .data = f,
			};

			if (!may_hold(&space->ranges[i], pass))
				continue;
			while (i + 1 < space->count && space->ranges[i + 1].start == space->ranges[i].end &&
			       may_hold(&space->ranges[i + 1], pass))
				i++;
			scan.end = space->ranges[i].end;
			go_scan_run(&scan);
		}
	}
}

/* Where the core's moduledata is lost */

/** As the files have it. */
static void find_in_files(struct finder *f)
{
	uint8_t md[MD_SIZE];

	for (size_t i = 0; i < f->p->images.count && !f->failed && f->out->count < MAX_MODULES; i++) {
		const struct gc_image *image = &f->p->images.list[i];
		uint64_t addr;

		if (!image->file || !image->has_bias || !go_image_is_go(image))
			continue;
		addr = go_file_moduledata(image->file, md);
		if (!addr)
			continue;
		rebase(md, f->layout, image->bias);
		found_moduledata(f, addr + image->bias, md);
	}
	if (f->out->count)
		gc_problem(f->problems, "Go runtime", "its moduledata is damaged; that of the program's file is used");
}

void go_image_data(const struct gc_process *p, const struct gc_image *image, uint64_t *start, uint64_t *end)
{
	*start = *end = 0;
	for (size_t i = 0; image && i < p->space.count; i++) {
		const struct gc_range *r = &p->space.ranges[i];
		bool own = r->image == image, bss = *end && r->start == *end && !r->file && !r->image;

		if (!(r->flags & PF_W) || !(own || bss))
			continue;
		if (!*end)
			*start = r->start;
		*end = r->end;
	}
}

static uint64_t symbol(const struct gc_image *image, const char *name)
{
	struct gc_symbol sym;

	return image && image->file && image->has_bias && gc_elf_symbol_named(image->file, name, &sym) ?
	       sym.value + image->bias : 0;
}

/** Where the code begins by where the process did: _rt0_amd64_linux and its like are its entry point. */
static uint64_t text_by_entry(const struct finder *f, const struct gc_pclntab *t)
{
	struct gc_pcfunc fn;
	uint64_t entry;

	if (!gc_core_auxv(&f->p->core, AT_ENTRY, &entry))
		return 0;
	for (uint32_t i = 0; i < t->nfunc; i++) {
		const char *name = gc_pclntab_func(t, i, &fn) ? gc_pclntab_name(t, fn.name) : NULL;

		if (name && strncmp(name, "_rt0_", 5) == 0 && strstr(name, "_linux") && !strstr(name, "_lib"))
			return entry - (fn.entry - t->text);
	}
	return 0;
}

/** Where the functions lie. @return false if that cannot be told */
static bool place_text(const struct finder *f, struct gc_go_moduledata *m)
{
	struct gc_pclntab *t = &m->table;
	struct gc_pcfunc first, last;

	m->text = symbol(m->image, "runtime.text");
	if (!m->text)
		m->text = t->text ? t->text : text_by_entry(f, t);
	t->text = t->src.text = m->text;
	if (!m->text || !t->nfunc || !gc_pclntab_func(t, 0, &first) || !gc_pclntab_func(t, t->nfunc - 1, &last) ||
	    first.entry >= last.end)
		return false;
	m->minpc = first.entry;
	m->maxpc = m->etext = last.end;
	return true;
}

static void fill_by_symbols(struct finder *f, struct gc_go_moduledata *m)
{
	m->gofunc = symbol(m->image, "go:func.*");
	if (!m->gofunc)
		m->gofunc = symbol(m->image, "go.func.*"); /* before Go 1.20 */
	m->table.src.gofunc = m->gofunc;
	m->types = symbol(m->image, "runtime.types");
	m->etypes = symbol(m->image, "runtime.etypes");
	go_image_data(f->p, m->image, &m->noptrdata, &m->enoptrbss);
	m->bss = m->noptrdata;
	m->edata = m->ebss = m->enoptrbss;
}

static bool found_header(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct finder *f = data;
	const uint8_t quantum = f->p->core.arch->go_abi.quantum;
	struct gc_go_moduledata *m;
	const uint8_t *there;

	if (!gc_pclntab_is_header(bytes, quantum) || is_known(f, addr))
		return true;
	m = new_module(f);
	if (!m)
		return false;
	m->addr = m->pclntab = addr;
	m->pclntab_len = gc_space_peek(&f->p->space, addr, &there);
	m->image = gc_images_at(&f->p->images, addr);
	if (!there || go_open_table(m, &f->mem, there, 0, quantum, NULL) != GC_OK || !place_text(f, m)) {
		gc_pclntab_deinit(&m->table);
		f->out->count--;
		return true;
	}
	fill_by_symbols(f, m);
	return f->out->count < MAX_MODULES;
}

/** By the magic number of the table of functions, in what is only read. */
static void find_tables(struct finder *f, uint64_t *budget)
{
	const struct gc_space *space = &f->p->space;

	for (size_t i = 0; i < space->count && !f->failed && f->out->count < MAX_MODULES; i++) {
		const struct gc_range *r = &space->ranges[i];
		struct go_scan scan = {
			.mem = f->mem, .at = r->start, .end = r->end, .budget = budget,
			.ahead = GC_PCLNTAB_HEADER, .visit = found_header, .data = f,
		};

		if (gc_range_served(r) && r->bytes && !(r->flags & PF_X) && (r->file || r->image))
			go_scan_run(&scan);
	}
	if (f->out->count)
		gc_problem(f->problems, "Go runtime", "its moduledata is damaged; the table of functions was found "
			   "by its magic number");
}

enum gc_code go_modules_of_process(struct gc_go_modules *out, const struct gc_process *p,
				   const struct go_layout *layout, bool known, struct gc_problems *problems,
				   struct gc_error *err)
{
	uint64_t budget = GO_SCAN_BUDGET;
	struct finder f = {
		.out = out, .p = p, .layout = layout, .problems = problems, .layout_is_guess = !known,
		.mem = { go_read_space, (void *)&p->space },
	};

	*out = (struct gc_go_modules){ .list = NULL };
	find_in_memory(&f, &budget);
	if (!out->count)
		find_in_files(&f);
	if (!out->count)
		find_tables(&f, &budget);
	if (f.failed) {
		gc_go_modules_deinit(out);
		return gc_fail_memory(err);
	}
	return out->count ? GC_OK : gc_fail(err, GC_E_NOT_FOUND, "no Go code in this process");
}
