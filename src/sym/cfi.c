#include "gocore/cfi.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "sym/cfi_private.h"

/* One function's entry; the largest seen are a few KiB. */
#define MAX_ENTRY (1U << 20)

/* Entries that an index is made of. */
#define MAX_INDEXED (1U << 23)

/* How .eh_frame encodes pointers (LSB, "DWARF Exception Header Encoding"). */
enum {
	PE_ABSPTR = 0x00,
	PE_ULEB = 0x01,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SLEB = 0x09,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_FORM = 0x0f,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_BASE = 0x70,
	PE_INDIRECT = 0x80,
	PE_OMIT = 0xff,
};

/** An entry by the code that it is about. */
struct gc_cfi_entry {
	uint64_t start, end;
	uint64_t at;         /* address in .eh_frame, or offset in .debug_frame */
	bool debug;
};

enum gc_code cfi_block(struct gc_cursor *c, const uint8_t **bytes, uint64_t *len, struct gc_error *err)
{
	struct gc_cursor at = *c;
	uint64_t n;
	enum gc_code code = gc_cursor_uleb(&at, &n, err);

	if (code == GC_OK)
		code = gc_cursor_bytes(&at, n, bytes, err);
	if (code != GC_OK)
		return code;
	*c = at;
	*len = n;
	return GC_OK;
}

static enum gc_code form(struct gc_cursor *c, uint8_t encoding, uint64_t *out, struct gc_error *err)
{
	enum gc_code code;
	uint32_t u32 = 0;
	uint16_t u16 = 0;
	int64_t number = 0;

	switch (encoding & PE_FORM) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return gc_cursor_u64(c, out, err);
	case PE_ULEB:
		return gc_cursor_uleb(c, out, err);
	case PE_SLEB:
		code = gc_cursor_sleb(c, &number, err);
		break;
	case PE_UDATA2:
	case PE_SDATA2:
		code = gc_cursor_u16(c, &u16, err);
		number = (encoding & PE_FORM) == PE_SDATA2 ? (int16_t)u16 : u16;
		break;
	case PE_UDATA4:
	case PE_SDATA4:
		code = gc_cursor_u32(c, &u32, err);
		number = (encoding & PE_FORM) == PE_SDATA4 ? (int64_t)(int32_t)u32 : (int64_t)u32;
		break;
	default:
		return gc_fail(err, GC_E_UNSUPPORTED, "pointer encoding 0x%02x", encoding);
	}
	if (code == GC_OK)
		*out = (uint64_t)number;
	return code;
}

enum gc_code cfi_encoded(struct gc_cursor *c, uint8_t encoding, const struct cfi_base *base, uint64_t *out,
			 struct gc_error *err)
{
	uint64_t here = base->addr + (uint64_t)(c->pos - c->base), value;
	enum gc_code code;

	switch (encoding & PE_BASE) {
	case 0:
		here = 0;
		break;
	case PE_PCREL:
		break;
	case PE_DATAREL:
		here = base->data;
		break;
	default:
		return gc_fail(err, GC_E_UNSUPPORTED, "pointer encoding 0x%02x", encoding);
	}
	code = form(c, encoding, &value, err);
	if (code == GC_OK)
		*out = here + value;
	return code;
}

/* Entries. */

/** An entry's frame: what it is, and its content. */
struct entry {
	struct gc_cursor body;   /* behind the CIE pointer */
	uint64_t body_addr;      /* of body.base */
	uint64_t next;           /* place of the next entry */
	bool is_cie, is_end;
	uint64_t cie;            /* place of an FDE's CIE */
};

/** Places are addresses in .eh_frame, offsets in .debug_frame. */
static uint64_t bytes_at(const struct gc_cfi *cfi, bool debug, uint64_t place, const uint8_t **bytes)
{
	const struct gc_cfi_source *s = &cfi->src;

	if (!debug)
		return s->at ? s->at(s->data, place, bytes) : 0;
	if (place >= s->debug_frame_len)
		return 0;
	*bytes = s->debug_frame + place;
	return s->debug_frame_len - place;
}

/** The field that tells CIEs and FDEs apart. */
static enum gc_code read_pointer(struct gc_cursor *c, bool wide, uint64_t *out, struct gc_error *err)
{
	enum gc_code code;
	uint32_t narrow;

	if (wide)
		return gc_cursor_u64(c, out, err);
	code = gc_cursor_u32(c, &narrow, err);
	if (code == GC_OK)
		*out = narrow;
	return code;
}

static enum gc_code read_entry(const struct gc_cfi *cfi, bool debug, uint64_t place, struct entry *out,
			       struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	uint64_t have = bytes_at(cfi, debug, place, &bytes), len, pointer, pointer_at;
	struct gc_cursor c;
	enum gc_code code;
	uint32_t first;
	bool wide;

	if (have == 0 || !bytes)
		return gc_fail(err, GC_E_NOT_FOUND, "no frame table at 0x%" PRIx64, place);
	gc_cursor_init(&c, bytes, have, place);
	code = gc_cursor_u32(&c, &first, err);
	wide = code == GC_OK && first == UINT32_MAX;
	len = code == GC_OK ? first : 0;
	if (wide)
		code = gc_cursor_u64(&c, &len, err);
	if (code != GC_OK)
		return code;
	out->is_end = len == 0;
	if (len > gc_cursor_left(&c))
		return gc_fail(err, GC_E_TRUNCATED, "a frame table entry that is longer than its table");
	out->next = place + (uint64_t)(c.pos - c.base) + len;
	if (out->is_end)
		return GC_OK;
	c.end = c.pos + len;
	pointer_at = place + (uint64_t)(c.pos - c.base);
	code = read_pointer(&c, wide, &pointer, err);
	if (code != GC_OK)
		return code;
	if (debug) {
		out->is_cie = pointer == (wide ? UINT64_MAX : UINT32_MAX);
		out->cie = pointer;
	} else {
		out->is_cie = pointer == 0;
		out->cie = pointer_at - pointer;
	}
	out->body_addr = debug ? 0 : place + (uint64_t)(c.pos - c.base);
	gc_cursor_init(&out->body, c.pos, gc_cursor_left(&c), place + (uint64_t)(c.pos - c.base));
	return GC_OK;
}

/** What the letters behind 'z' announce; unknown ones end it, for the length says where the code is. */
static enum gc_code read_augmentation(struct gc_cursor *data, const char *letters, const struct cfi_base *base,
				      struct cfi_cie *cie, struct gc_error *err)
{
	for (; *letters; letters++) {
		enum gc_code code = GC_OK;
		uint64_t ignored;
		uint8_t encoding;

		switch (*letters) {
		case 'S':
			cie->signal = true;
			break;
		case 'B': /* return addresses are signed with key B */
		case 'G': /* stack with memory tags */
			break;
		case 'R':
			code = gc_cursor_u8(data, &cie->encoding, err);
			break;
		case 'L':
			code = gc_cursor_u8(data, &encoding, err);
			break;
		case 'P':
			code = gc_cursor_u8(data, &encoding, err);
			if (code == GC_OK && encoding != PE_OMIT)
				code = cfi_encoded(data, encoding & ~PE_INDIRECT & 0xff, base, &ignored, err);
			break;
		default:
			return GC_OK;
		}
		if (code != GC_OK)
			return code;
	}
	return GC_OK;
}

static enum gc_code skip(struct gc_cursor *c, uint64_t n, struct gc_error *err)
{
	const uint8_t *ignored;

	return gc_cursor_bytes(c, n, &ignored, err);
}

/** Up to the alignment factors. */
static enum gc_code read_cie_head(struct gc_cursor *c, uint8_t *version, const char **augmentation,
				  struct gc_error *err)
{
	uint8_t address_size = 8, segment_size = 0;
	enum gc_code code = gc_cursor_u8(c, version, err);

	if (code == GC_OK && *version != 1 && *version != 3 && *version != 4)
		code = gc_fail(err, GC_E_UNSUPPORTED, "call frame information of version %u", *version);
	if (code == GC_OK)
		code = gc_cursor_string(c, augmentation, err);
	if (code == GC_OK && strcmp(*augmentation, "eh") == 0) /* GCC 2 */
		code = skip(c, 8, err);
	if (code == GC_OK && *version == 4)
		code = gc_cursor_u8(c, &address_size, err);
	if (code == GC_OK && *version == 4)
		code = gc_cursor_u8(c, &segment_size, err);
	if (code == GC_OK && (address_size != 8 || segment_size != 0))
		code = gc_fail(err, GC_E_UNSUPPORTED, "call frame information with addresses of %u and %u bytes",
			       address_size, segment_size);
	return code;
}

static enum gc_code read_cie(const struct gc_cfi *cfi, bool debug, uint64_t place, struct cfi_cie *out,
			     struct gc_error *err)
{
	struct cfi_base base = { 0 };
	const char *augmentation;
	struct entry e;
	struct gc_cursor *c = &e.body;
	enum gc_code code = read_entry(cfi, debug, place, &e, err);
	uint8_t version, column = 0;
	uint64_t len = 0;

	*out = (struct cfi_cie){ .encoding = PE_ABSPTR };
	if (code == GC_OK && (e.is_end || !e.is_cie))
		code = gc_fail(err, GC_E_FORMAT, "no CIE at 0x%" PRIx64, place);
	if (code == GC_OK)
		code = read_cie_head(c, &version, &augmentation, err);
	if (code == GC_OK)
		code = gc_cursor_uleb(c, &out->code_align, err);
	if (code == GC_OK)
		code = gc_cursor_sleb(c, &out->data_align, err);
	if (code == GC_OK && version == 1) {
		code = gc_cursor_u8(c, &column, err);
		out->return_column = column;
	} else if (code == GC_OK) {
		code = gc_cursor_uleb(c, &out->return_column, err);
	}
	if (code != GC_OK)
		return code;
	if (out->return_column >= GC_CFI_REGS)
		return gc_fail(err, GC_E_UNSUPPORTED, "return address in column %" PRIu64, out->return_column);
	if (augmentation[0] == 'z') {
		struct gc_cursor data;

		out->has_length = true;
		code = gc_cursor_uleb(c, &len, err);
		data = *c;
		if (code == GC_OK)
			code = skip(c, len, err);
		data.end = c->pos;
		base.addr = e.body_addr;
		if (code == GC_OK)
			code = read_augmentation(&data, augmentation + 1, &base, out, err);
	} else if (augmentation[0] && strcmp(augmentation, "eh") != 0) {
		code = gc_fail(err, GC_E_UNSUPPORTED, "augmentation \"%.16s\"", augmentation);
	}
	out->code = *c;
	return code;
}

static enum gc_code read_fde(const struct gc_cfi *cfi, bool debug, const struct entry *entry, struct cfi_fde *out,
			     struct gc_error *err)
{
	const struct cfi_base base = { .addr = entry->body_addr, .data = cfi->src.hdr_addr };
	struct gc_cursor c = entry->body;
	enum gc_code code = read_cie(cfi, debug, entry->cie, &out->cie, err);
	const uint8_t *data;
	uint64_t len;

	if (code == GC_OK && gc_cursor_left(&c) > MAX_ENTRY)
		code = gc_fail(err, GC_E_LIMIT, "a frame table entry of %zu bytes", gc_cursor_left(&c));
	if (code == GC_OK)
		code = cfi_encoded(&c, out->cie.encoding & ~PE_INDIRECT & 0xff, &base, &out->start, err);
	if (code == GC_OK)
		code = form(&c, out->cie.encoding, &out->len, err);
	if (code == GC_OK && out->cie.has_length)
		code = cfi_block(&c, &data, &len, err);
	if (code == GC_OK && out->len > UINT64_MAX - out->start)
		code = gc_fail(err, GC_E_FORMAT, "a frame table entry behind the end of the address space");
	out->code = c;
	out->code_addr = entry->body_addr;
	return code;
}

/* Finding. */

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
	switch (encoding & PE_FORM) {
	case PE_UDATA2:
	case PE_SDATA2:
		return 2;
	case PE_UDATA4:
	case PE_SDATA4:
		return 4;
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		return 8;
	default:
		return 0; /* cannot be searched */
	}
}

static bool read_table(const struct gc_cfi *cfi, struct table *t)
{
	const struct cfi_base base = { .addr = cfi->src.hdr_addr, .data = cfi->src.hdr_addr };
	const uint8_t *bytes = NULL;
	uint64_t have = cfi->src.hdr_addr ? bytes_at(cfi, false, cfi->src.hdr_addr, &bytes) : 0;
	struct gc_cursor c;

	*t = (struct table){ .hdr_addr = cfi->src.hdr_addr };
	if (have < 4 || !bytes || bytes[0] != 1)
		return false;
	gc_cursor_init(&c, bytes, have, 0);
	c.pos += 4;
	t->encoding = bytes[3];
	t->width = t->encoding == PE_OMIT || t->encoding & PE_INDIRECT ? 0 : width_of(t->encoding);
	if (bytes[1] == PE_OMIT || cfi_encoded(&c, bytes[1], &base, &t->eh_addr, NULL) != GC_OK)
		return false;
	if (!t->width || bytes[2] == PE_OMIT || cfi_encoded(&c, bytes[2], &base, &t->count, NULL) != GC_OK)
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
	struct entry e;
	enum gc_code code;

	if (!search_table(t, pc, &start, &place))
		return gc_fail(err, GC_E_NOT_FOUND, "no frame table entry for 0x%" PRIx64, pc);
	code = read_entry(cfi, false, place, &e, err);
	if (code == GC_OK && (e.is_end || e.is_cie))
		code = gc_fail(err, GC_E_FORMAT, "no FDE at 0x%" PRIx64, place);
	if (code == GC_OK)
		code = read_fde(cfi, false, &e, out, err);
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
	struct entry e;

	while (place < end && read_entry(cfi, debug, place, &e, NULL) == GC_OK) {
		struct cfi_fde fde;

		if (e.is_end && !debug)
			break;
		if (!e.is_end && !e.is_cie && read_fde(cfi, debug, &e, &fde, NULL) == GC_OK && fde.len > 0) {
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
	struct entry e;
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
	code = read_entry(cfi, found->debug, found->at, &e, err);
	return code == GC_OK ? read_fde(cfi, found->debug, &e, out, err) : code;
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
