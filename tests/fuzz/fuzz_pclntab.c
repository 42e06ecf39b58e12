/*
 * Any bytes as a pclntab: each function of it is looked up, named and decoded.
 * The first byte says for which architecture and whether pages are missing; the
 * inline trees lie in the same bytes.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/pclntab.h"

#define GOFUNC    0x600000ULL
#define MAX_FUNCS 512
#define MAX_LINES 64

struct table {
	const uint8_t *bytes;
	size_t len;
};

static bool read_tree(void *data, uint64_t addr, void *buf, size_t len)
{
	const struct table *t = data;

	if (addr < GOFUNC || addr - GOFUNC > t->len || len > t->len - (addr - GOFUNC))
		return false;
	memcpy(buf, t->bytes + (addr - GOFUNC), len);
	return true;
}

/** Text that is returned must be text. */
static size_t length(const char *text)
{
	return text ? strlen(text) : 0;
}

static void look_up(struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc)
{
	struct gc_pcline lines[MAX_LINES];
	size_t n = gc_pclntab_lines(t, f, pc, lines, MAX_LINES);
	size_t total = 0;

	if (n == 0 || n > MAX_LINES || lines[n - 1].inlined)
		abort();
	for (size_t i = 0; i < n; i++)
		total += length(lines[i].file) + length(gc_pclntab_print_name(t, lines[i].name));
	if (total == SIZE_MAX) /* the texts are read for a reason */
		abort();
}

static void decode(struct gc_pclntab *t, const struct gc_pcfunc *f)
{
	const uint32_t tables[] = { f->pcsp, f->pcfile, f->pcln, f->inlines };
	struct gc_pcrows rows;
	struct gc_pcfunc same;
	struct gc_error err;

	if (gc_pclntab_find(t, f->entry, &same) && (f->entry < same.entry || f->entry >= same.end))
		abort();
	look_up(t, f, f->entry);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++) {
		if (gc_pclntab_rows(t, f, tables[i], &rows, &err) != GC_OK)
			continue;
		for (size_t k = 0; k < rows.count && k < MAX_LINES; k++)
			look_up(t, f, rows.list[k].start);
		gc_pcrows_deinit(&rows);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t some[] = { 0xfd, 0xff, 0xff, 0xff };
	struct table bytes = { data + 1, size - 1 };
	struct gc_pclntab_source src = {
		.text = 0x401000, .gofunc = GOFUNC, .read = read_tree, .data = &bytes,
	};
	struct gc_pclntab t;
	struct gc_pcfunc f;
	struct gc_error err;

	if (!size || size > sizeof(some) * 8 * GC_PCLNTAB_PAGE)
		return 0;
	src.bytes = bytes.bytes;
	src.len = bytes.len;
	src.quantum = data[0] & 1 ? 4 : 1;
	src.present = data[0] & 2 ? some : NULL;
	if (gc_pclntab_init(&t, &src, &err) != GC_OK)
		return 0;
	for (uint32_t i = 0; i < t.nfunc && i < MAX_FUNCS; i++)
		if (gc_pclntab_func(&t, i, &f))
			decode(&t, &f);
	gc_pclntab_deinit(&t);
	return 0;
}
