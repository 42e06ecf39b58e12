#include "gocore/space.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/* Up to this many ranges gc_space_recover seals at once; a merge of so few costs microseconds. */
#define SEAL_AT_ONCE 1024

/* Ranges that gc_space_peek joins at most, so that a read of one word stays cheap. */
#define MAX_JOINED 64

/** A list of ranges that is being made. */
struct range_list {
	struct gc_range *list;
	size_t count, cap;
	bool failed;
};

static void push(struct range_list *l, const struct gc_range *r)
{
	if (l->failed || r->start >= r->end)
		return;
	if (l->count == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 64;
		struct gc_range *list = realloc(l->list, cap * sizeof(*list));

		if (!list) {
			l->failed = true;
			return;
		}
		l->list = list;
		l->cap = cap;
	}
	l->list[l->count++] = *r;
}

/** Make @made the space's ranges, or drop it when memory ran out. */
static enum gc_code take_ranges(struct gc_space *space, struct range_list *made, struct gc_error *err)
{
	if (made->failed) {
		free(made->list);
		return gc_fail_memory(err);
	}
	free(space->ranges);
	space->ranges = made->list;
	space->count = made->count;
	return GC_OK;
}

/** The part [@start, @end) of @r; @start is not before r->start. */
static struct gc_range part_of(const struct gc_range *r, uint64_t start, uint64_t end)
{
	struct gc_range part = *r;

	part.start = start;
	part.end = end;
	part.starts_mapping = start == r->start && r->starts_mapping;
	if (part.bytes)
		part.bytes += start - r->start;
	return part;
}

static void push_segment(struct range_list *l, const struct gc_core *core, const struct gc_segment *s)
{
	struct gc_range whole = {
		.start = s->addr, .end = s->addr + s->memsz, .flags = s->flags, .starts_mapping = true,
	};
	uint64_t held_end = s->addr + s->have, said_end = s->addr + s->filesz;
	struct gc_range part;

	part = part_of(&whole, whole.start, held_end);
	part.what = GC_RANGE_DUMPED;
	part.bytes = s->have ? core->input.bytes + s->offset : NULL;
	push(l, &part);
	part = part_of(&whole, held_end, said_end);
	part.what = GC_RANGE_CUT;
	push(l, &part);
	part = part_of(&whole, said_end, whole.end);
	part.what = GC_RANGE_ABSENT;
	push(l, &part);
}

enum gc_code gc_space_init(struct gc_space *space, const struct gc_core *core, struct gc_error *err)
{
	struct range_list made = { .list = NULL };
	enum gc_code code;

	*space = (struct gc_space){ .arch = core->arch };
	for (size_t i = 0; i < core->nsegments; i++)
		push_segment(&made, core, &core->segments[i]);
	code = take_ranges(space, &made, err);
	if (code == GC_OK)
		code = gc_space_add_rows(space, core->files, core->nfiles, err);
	if (code != GC_OK)
		gc_space_deinit(space);
	return code;
}

void gc_space_deinit(struct gc_space *space)
{
	free(space->ranges);
	free(space->pieces);
	*space = (struct gc_space){ .ranges = NULL };
}

/** Walks rows that may overlap as if each ended where the one before it does at least. */
struct row_walk {
	const struct gc_file_map *rows;
	size_t count, index;
	uint64_t start, end; /* what is left of rows[index] */
};

static void next_row(struct row_walk *w, uint64_t from)
{
	for (; w->index < w->count; w->index++) {
		const struct gc_file_map *row = &w->rows[w->index];

		w->start = row->start > from ? row->start : from;
		w->end = row->end;
		if (w->start < w->end)
			return;
	}
}

static void push_unlisted(struct range_list *l, struct row_walk *w, uint64_t end)
{
	struct gc_range r = {
		.start = w->start, .end = end, .what = GC_RANGE_ABSENT,
		.file = &w->rows[w->index], .starts_mapping = true, .unlisted = true,
	};

	push(l, &r);
	next_row(w, end);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/** Split @r by the rows; those that lie before it are unlisted. */
static void split_by_rows(struct range_list *l, const struct gc_range *r, struct row_walk *w)
{
	uint64_t at = r->start;
	bool in_row = false;

	while (at < r->end) {
		bool row_left = w->index < w->count && w->start < r->end;
		struct gc_range part;

		if (row_left && w->start < at) {
			push_unlisted(l, w, least(w->end, at));
			continue;
		}
		if (row_left && w->start == at) {
			const struct gc_file_map *row = &w->rows[w->index];

			part = part_of(r, at, least(w->end, r->end));
			if (!part.file) {
				part.file = row;
				part.starts_mapping |= at == row->start || at > r->start;
			}
			in_row = true;
			next_row(w, part.end);
		} else {
			part = part_of(r, at, row_left ? w->start : r->end);
			part.starts_mapping |= in_row && !part.file;
			in_row = false;
		}
		at = part.end;
		push(l, &part);
	}
}

enum gc_code gc_space_add_rows(struct gc_space *space, const struct gc_file_map *rows, size_t nrows,
			       struct gc_error *err)
{
	struct row_walk walk = { .rows = rows, .count = nrows };
	struct range_list made = { .list = NULL };

	if (!nrows)
		return GC_OK;
	next_row(&walk, 0);
	for (size_t i = 0; i < space->count; i++)
		split_by_rows(&made, &space->ranges[i], &walk);
	while (walk.index < walk.count)
		push_unlisted(&made, &walk, walk.end);
	return take_ranges(space, &made, err);
}

enum gc_code gc_space_recover(struct gc_space *space, uint64_t start, uint64_t end, const uint8_t *bytes,
			      uint64_t len, uint64_t zero_end, const struct gc_image *image,
			      struct gc_error *err)
{
	uint64_t bytes_end = len < UINT64_MAX - start ? start + len : UINT64_MAX;
	uint64_t known_end = bytes_end > zero_end ? bytes_end : zero_end;

	if (end > known_end)
		end = known_end;
	if (start >= end)
		return GC_OK;
	if (space->npieces == space->pieces_cap) {
		size_t cap = space->pieces_cap ? 2 * space->pieces_cap : 16;
		struct gc_space_piece *pieces = realloc(space->pieces, cap * sizeof(*pieces));

		if (!pieces)
			return gc_fail_memory(err);
		space->pieces = pieces;
		space->pieces_cap = cap;
	}
	space->pieces[space->npieces++] = (struct gc_space_piece){
		.start = start, .end = end, .bytes = bytes,
		.len = len < end - start ? len : end - start, .image = image,
	};
	return space->count <= SEAL_AT_ONCE ? gc_space_seal(space, err) : GC_OK;
}

static int compare_pieces(const void *a, const void *b)
{
	const struct gc_space_piece *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/** Cut the first @n bytes off. */
static void advance_piece(struct gc_space_piece *p, uint64_t n)
{
	uint64_t content = n < p->len ? n : p->len;

	p->start += n;
	p->bytes += content;
	p->len -= content;
}

/** Sort the pieces and cut what overlaps. */
static void order_pieces(struct gc_space *space)
{
	uint64_t done = 0;
	size_t kept = 0;

	qsort(space->pieces, space->npieces, sizeof(*space->pieces), compare_pieces);
	for (size_t i = 0; i < space->npieces; i++) {
		struct gc_space_piece p = space->pieces[i];

		if (p.end <= done)
			continue;
		if (p.start < done)
			advance_piece(&p, done - p.start);
		done = p.end;
		space->pieces[kept++] = p;
	}
	space->npieces = kept;
}

/** Put [@start, @end) of @p, which lies in both, into the place of @r. */
static void push_recovered(struct range_list *l, const struct gc_range *r, const struct gc_space_piece *p,
			   uint64_t start, uint64_t end)
{
	uint64_t content_end = p->start + p->len;
	uint64_t split = content_end < start ? start : content_end < end ? content_end : end;
	struct gc_range part = part_of(r, start, split);

	part.what = GC_RANGE_RECOVERED;
	part.image = p->image;
	part.bytes = split > start ? p->bytes + (start - p->start) : NULL;
	push(l, &part);
	part.starts_mapping &= split == start;
	part.start = split;
	part.end = end;
	part.bytes = NULL;
	push(l, &part);
}

enum gc_code gc_space_seal(struct gc_space *space, struct gc_error *err)
{
	struct range_list made = { .list = NULL };
	enum gc_code code;
	size_t next = 0;

	if (!space->npieces)
		return GC_OK;
	order_pieces(space);
	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];
		uint64_t at = r->start;
		struct gc_range rest;

		while (next < space->npieces && space->pieces[next].end <= r->start)
			next++;
		for (size_t n = next; !gc_range_served(r) && n < space->npieces; n++) {
			const struct gc_space_piece *p = &space->pieces[n];
			uint64_t start = p->start > at ? p->start : at;
			uint64_t end = p->end < r->end ? p->end : r->end;

			if (p->start >= r->end)
				break;
			rest = part_of(r, at, start);
			push(&made, &rest);
			push_recovered(&made, r, p, start, end);
			at = end;
		}
		rest = part_of(r, at, r->end);
		push(&made, &rest);
	}
	code = take_ranges(space, &made, err);
	if (code == GC_OK)
		space->npieces = 0;
	return code;
}

const char *gc_range_class_name(enum gc_range_class what)
{
	switch (what) {
	case GC_RANGE_DUMPED:
		return "dumped";
	case GC_RANGE_RECOVERED:
		return "recovered";
	case GC_RANGE_ABSENT:
		return "absent";
	case GC_RANGE_CUT:
		return "cut";
	}
	return "unknown";
}

size_t gc_space_mapping_end(const struct gc_space *space, size_t first)
{
	size_t i = first + 1;

	while (i < space->count && !space->ranges[i].starts_mapping &&
	       space->ranges[i].start == space->ranges[i - 1].end)
		i++;
	return i;
}

static uint64_t clean(const struct gc_space *space, uint64_t addr)
{
	return space->arch && space->arch->clean_data ? space->arch->clean_data(addr) : addr;
}

/** gc_space_index of an address without a tag. */
static size_t index_of(const struct gc_space *space, uint64_t addr)
{
	size_t low = 0, high = space->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (space->ranges[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

size_t gc_space_index(const struct gc_space *space, uint64_t addr)
{
	return index_of(space, clean(space, addr));
}

static const struct gc_range *find_clean(const struct gc_space *space, uint64_t addr)
{
	size_t i = index_of(space, addr);

	return i < space->count && space->ranges[i].start <= addr ? &space->ranges[i] : NULL;
}

const struct gc_range *gc_space_find(const struct gc_space *space, uint64_t addr)
{
	return find_clean(space, clean(space, addr));
}

/** Does @next go on where @r ends, in memory and in the bytes? */
static bool joins(const struct gc_range *r, const struct gc_range *next)
{
	if (next->start != r->end || !gc_range_served(next))
		return false;
	return r->bytes ? next->bytes == r->bytes + (r->end - r->start) : !next->bytes;
}

static uint64_t peek_clean(const struct gc_space *space, uint64_t addr, const uint8_t **out)
{
	const struct gc_range *r = find_clean(space, addr);
	const struct gc_range *last;

	if (!r || !gc_range_served(r))
		return 0;
	last = &space->ranges[space->count - 1];
	*out = r->bytes ? r->bytes + (addr - r->start) : NULL;
	for (int i = 0; i < MAX_JOINED && r < last && joins(r, r + 1); i++)
		r++;
	return r->end - addr;
}

uint64_t gc_space_peek(const struct gc_space *space, uint64_t addr, const uint8_t **out)
{
	return peek_clean(space, clean(space, addr), out);
}

/** Say why nothing can be read at @addr. */
static enum gc_code fault(const struct gc_space *space, uint64_t addr, struct gc_error *err)
{
	const struct gc_range *r = gc_space_find(space, addr);

	if (!r)
		return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": not mapped", addr);
	if (r->what == GC_RANGE_CUT)
		return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": cut off with the end of the core file",
			       addr);
	if (r->file)
		return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": in %s, not dumped", addr,
			       r->file->path);
	return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": mapped, but not dumped", addr);
}

enum gc_code gc_space_read(const struct gc_space *space, uint64_t addr, void *buf, size_t len,
			   size_t *got, struct gc_error *err)
{
	uint64_t at = clean(space, addr);
	uint8_t *to = buf;
	size_t done = 0;

	while (done < len) {
		const uint8_t *bytes;
		uint64_t n = peek_clean(space, at, &bytes); /* at + n <= end of a range, no wrap */

		if (!n)
			break;
		if (n > len - done)
			n = len - done;
		if (bytes)
			memcpy(to + done, bytes, n);
		else
			memset(to + done, 0, n);
		done += n;
		at += n;
	}
	if (!done && len)
		return fault(space, addr, err);
	*got = done;
	return GC_OK;
}

enum gc_code gc_space_read_all(const struct gc_space *space, uint64_t addr, void *buf, size_t len,
			       struct gc_error *err)
{
	size_t got;
	enum gc_code code = gc_space_read(space, addr, buf, len, &got, err);

	if (code == GC_OK && got < len)
		code = fault(space, addr + got, err);
	return code;
}

enum gc_code gc_space_u64(const struct gc_space *space, uint64_t addr, uint64_t *out, struct gc_error *err)
{
	uint8_t bytes[8];
	enum gc_code code = gc_space_read_all(space, addr, bytes, sizeof(bytes), err);

	if (code == GC_OK)
		*out = gc_load_le64(bytes);
	return code;
}

enum gc_code gc_space_u32(const struct gc_space *space, uint64_t addr, uint32_t *out, struct gc_error *err)
{
	uint8_t bytes[4];
	enum gc_code code = gc_space_read_all(space, addr, bytes, sizeof(bytes), err);

	if (code == GC_OK)
		*out = gc_load_le32(bytes);
	return code;
}

enum gc_code gc_space_string(const struct gc_space *space, uint64_t addr, char *buf, size_t cap,
			     struct gc_error *err)
{
	uint64_t at = clean(space, addr);
	size_t len = 0;

	while (len < cap) {
		const uint8_t *bytes, *nul;
		uint64_t n = peek_clean(space, at + len, &bytes);

		if (!n)
			return fault(space, addr + len, err);
		if (n > cap - len)
			n = cap - len;
		nul = bytes ? memchr(bytes, 0, n) : NULL;
		if (bytes)
			memcpy(buf + len, bytes, nul ? (size_t)(nul - bytes) + 1 : n);
		else
			buf[len] = '\0';
		if (!bytes || nul)
			return GC_OK;
		len += n;
	}
	return gc_fail(err, GC_E_LIMIT, "address 0x%" PRIx64 ": a string longer than %zu bytes", addr,
		       cap ? cap - 1 : 0);
}

void gc_space_totals(const struct gc_space *space, uint64_t totals[4])
{
	memset(totals, 0, 4 * sizeof(*totals));
	for (size_t i = 0; i < space->count; i++)
		totals[space->ranges[i].what] += space->ranges[i].end - space->ranges[i].start;
}
