/* The entry of a pc: by the table of .eh_frame_hdr, else by an index of our own. */
#include "gocore/cfi.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gocore/bytes.h"

#include "sym/cfi_private.h"

/* Entries that an index is made of. */
#define MAX_INDEXED (1U << 23)

/** An entry by the code that it is about. */
struct gc_cfi_entry {
	uint64_t start, end;
	uint64_t at;         /* address in .eh_frame, or offset in .debug_frame */
	bool debug;
};

/** The search table of .eh_frame_hdr: pairs of addresses, sorted. */
struct table {
	const uint8_t *rows;
	uint64_t count;
	uint8_t encoding;
	unsigned width;        /* of one address */
	uint64_t hdr_addr, rows_addr;
	uint64_t eh_addr;      /* of .eh_frame; 0: not said */
};

static unsigned width_of(uint8_t encoding)
{
	switch (encoding & CFI_PE_FORM) {
	case CFI_PE_UDATA2:
	case CFI_PE_SDATA2:
		return 2;
	case CFI_PE_UDATA4:
	case CFI_PE_SDATA4:
		return 4;
	case CFI_PE_ABSPTR:
	case CFI_PE_UDATA8:
	case CFI_PE_SDATA8:
		return 8;
	default:
		return 0; /* cannot be searched */
	}
}

static bool read_table(const struct gc_cfi *cfi, struct table *t)
{
	const struct cfi_base base = { .addr = cfi->src.hdr_addr, .data = cfi->src.hdr_addr };
	const uint8_t *bytes = NULL;
	uint64_t have = cfi->src.hdr_addr ? cfi_bytes_at(cfi, false, cfi->src.hdr_addr, &bytes) : 0;
	struct gc_cursor c;

	*t = (struct table){ .hdr_addr = cfi->src.hdr_addr };
	if (have < 4 || !bytes || bytes[0] != 1)
		return false;
	gc_cursor_init(&c, bytes, have, 0);
	c.pos += 4;
	t->encoding = bytes[3];
	t->width = t->encoding == CFI_PE_OMIT || t->encoding & CFI_PE_INDIRECT ? 0 : width_of(t->encoding);
	if (bytes[1] == CFI_PE_OMIT || cfi_encoded(&c, bytes[1], &base, &t->eh_addr, NULL) != GC_OK)
		return false;
	if (!t->width || bytes[2] == CFI_PE_OMIT || cfi_encoded(&c, bytes[2], &base, &t->count, NULL) != GC_OK)
		return false;
	if (t->count > gc_cursor_left(&c) / (2 * t->width))
		t->count = 0; /* damaged */
	t->rows = c.pos;
	t->rows_addr = t->hdr_addr + (uint64_t)(c.pos - c.base);
	return t->count > 0;
}

/** Address @which (0: of the code, 1: of its entry) of row @i. */
static uint64_t row_addr(const struct table *t, uint64_t i, unsigned which)
{
	const uint64_t offset = (2 * i + which) * t->width;
	const struct cfi_base base = { .addr = t->rows_addr + offset, .data = t->hdr_addr };
	struct gc_cursor c;
	uint64_t addr = 0;

	gc_cursor_init(&c, t->rows + offset, t->width, 0);
	cfi_encoded(&c, t->encoding, &base, &addr, NULL);
	return addr;
}

/** The entry whose code starts last before or at @pc. @return false if all start behind it */
static bool search_table(const struct table *t, uint64_t pc, uint64_t *start, uint64_t *entry)
{
	uint64_t low = 0, high = t->count;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (row_addr(t, mid, 0) <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return false;
	*start = row_addr(t, low - 1, 0);
	*entry = row_addr(t, low - 1, 1);
	return true;
}

/**
 * By the search table.
 *
 * @return GC_E_FORMAT if the table and .eh_frame contradict each other
 */
static enum gc_code find_by_table(const struct gc_cfi *cfi, const struct table *t, uint64_t pc, struct cfi_fde *out,
				  struct gc_error *err)
{
	uint64_t start, place;
	struct cfi_entry e;
	enum gc_code code;

	if (!search_table(t, pc, &start, &place))
		return gc_fail(err, GC_E_NOT_FOUND, "no frame table entry for 0x%" PRIx64, pc);
	code = cfi_read_entry(cfi, false, place, &e, err);
	if (code == GC_OK && (e.is_end || e.is_cie))
		code = gc_fail(err, GC_E_FORMAT, "no FDE at 0x%" PRIx64, place);
	if (code == GC_OK)
		code = cfi_read_fde(cfi, false, &e, out, err);
	if (code == GC_OK && out->start != start)
		code = gc_fail(err, GC_E_FORMAT, "the search table does not belong to the frame table");
	if (code == GC_OK && pc - start >= out->len)
		code = gc_fail(err, GC_E_NOT_FOUND, "no frame table entry for 0x%" PRIx64, pc);
	return code;
}

static bool push_entry(struct gc_cfi *cfi, size_t *cap, const struct gc_cfi_entry *entry)
{
	if (cfi->count == *cap) {
		size_t more = *cap ? 2 * *cap : 256;
		struct gc_cfi_entry *list = cfi->count < MAX_INDEXED ? realloc(cfi->index, more * sizeof(*list)) : NULL;

		if (!list)
			return false;
		cfi->index = list;
		*cap = more;
	}
	cfi->index[cfi->count++] = *entry;
	return true;
}

/** Put all FDEs of one table into the index; one that is damaged is left out. */
static void index_table(struct gc_cfi *cfi, size_t *cap, bool debug, uint64_t place, uint64_t end)
{
	struct cfi_entry e;

	while (place < end && cfi_read_entry(cfi, debug, place, &e, NULL) == GC_OK) {
		struct cfi_fde fde;

		if (e.is_end && !debug)
			break;
		if (!e.is_end && !e.is_cie && cfi_read_fde(cfi, debug, &e, &fde, NULL) == GC_OK && fde.len > 0) {
			const struct gc_cfi_entry entry = {
				.start = fde.start, .end = fde.start + fde.len, .at = place, .debug = debug,
			};

			if (!push_entry(cfi, cap, &entry))
				return;
		}
		place = e.next;
	}
}

static int compare_entries(const void *a, const void *b)
{
	const struct gc_cfi_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return (int)x->debug - (int)y->debug;
}

/** @param table  .eh_frame's search table; NULL: none, so .eh_frame is indexed too */
static void make_index(struct gc_cfi *cfi, const struct table *table, uint64_t eh_addr)
{
	size_t cap = 0;

	cfi->indexed = true;
	if (!table && cfi->src.eh_len)
		index_table(cfi, &cap, false, cfi->src.eh_addr, cfi->src.eh_addr + cfi->src.eh_len);
	else if (!table && eh_addr)
		index_table(cfi, &cap, false, eh_addr, UINT64_MAX);
	if (cfi->src.debug_frame)
		index_table(cfi, &cap, true, 0, cfi->src.debug_frame_len);
	if (cfi->count)
		qsort(cfi->index, cfi->count, sizeof(*cfi->index), compare_entries);
}

static enum gc_code find_by_index(const struct gc_cfi *cfi, uint64_t pc, struct cfi_fde *out, struct gc_error *err)
{
	const struct gc_cfi_entry *found = NULL;
	size_t low = 0, high = cfi->count;
	struct cfi_entry e;
	enum gc_code code;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (cfi->index[mid].start <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	/* of two tables that both have it the first will do, and functions that were dropped start at 0 */
	for (size_t i = 0; i < 2 && i < low && !found; i++)
		if (pc < cfi->index[low - 1 - i].end)
			found = &cfi->index[low - 1 - i];
	if (!found)
		return gc_fail(err, GC_E_NOT_FOUND, "no frame table entry for 0x%" PRIx64, pc);
	code = cfi_read_entry(cfi, found->debug, found->at, &e, err);
	return code == GC_OK ? cfi_read_fde(cfi, found->debug, &e, out, err) : code;
}

static enum gc_code find_fde(struct gc_cfi *cfi, uint64_t pc, struct cfi_fde *out, struct gc_error *err)
{
	enum gc_code code = GC_E_NOT_FOUND;
	struct table table = { .eh_addr = 0 };
	bool has_table;

	has_table = !cfi->no_table && read_table(cfi, &table);
	if (has_table)
		code = find_by_table(cfi, &table, pc, out, err);
	if (code == GC_OK)
		return code;
	if (has_table && code != GC_E_NOT_FOUND) { /* do without it from now on */
		cfi->no_table = true;
		cfi->indexed = false;
		cfi->count = 0;
		has_table = false;
	}
	if (!cfi->indexed) {
		if (!has_table && !cfi->no_table)
			read_table(cfi, &table); /* it may say where .eh_frame is */
		make_index(cfi, has_table ? &table : NULL, table.eh_addr);
	}
	return find_by_index(cfi, pc, out, err);
}

void gc_cfi_init(struct gc_cfi *cfi, const struct gc_cfi_source *src)
{
	*cfi = (struct gc_cfi){ .src = *src };
}

void gc_cfi_deinit(struct gc_cfi *cfi)
{
	free(cfi->index);
	*cfi = (struct gc_cfi){ .index = NULL };
}

enum gc_code gc_cfi_find(struct gc_cfi *cfi, uint64_t pc, struct gc_cfi_row *out, struct gc_error *err)
{
	struct cfi_fde fde;
	enum gc_code code = find_fde(cfi, pc, &fde, err);

	return code == GC_OK ? cfi_run(&fde, pc, out, err) : code;
}
