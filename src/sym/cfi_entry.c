/* The entries of .eh_frame and .debug_frame, and how they encode addresses. */
#include <inttypes.h>
#include <string.h>

#include "sym/cfi_private.h"

/* One function's entry; the largest seen are a few KiB. */
#define MAX_ENTRY (1U << 20)

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

	switch (encoding & CFI_PE_FORM) {
	case CFI_PE_ABSPTR:
	case CFI_PE_UDATA8:
	case CFI_PE_SDATA8:
		return gc_cursor_u64(c, out, err);
	case CFI_PE_ULEB:
		return gc_cursor_uleb(c, out, err);
	case CFI_PE_SLEB:
		code = gc_cursor_sleb(c, &number, err);
		break;
	case CFI_PE_UDATA2:
	case CFI_PE_SDATA2:
		code = gc_cursor_u16(c, &u16, err);
		number = (encoding & CFI_PE_FORM) == CFI_PE_SDATA2 ? (int16_t)u16 : u16;
		break;
	case CFI_PE_UDATA4:
	case CFI_PE_SDATA4:
		code = gc_cursor_u32(c, &u32, err);
		number = (encoding & CFI_PE_FORM) == CFI_PE_SDATA4 ? (int64_t)(int32_t)u32 : (int64_t)u32;
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

	switch (encoding & CFI_PE_BASE) {
	case 0:
		here = 0;
		break;
	case CFI_PE_PCREL:
		break;
	case CFI_PE_DATAREL:
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

uint64_t cfi_bytes_at(const struct gc_cfi *cfi, bool debug, uint64_t place, const uint8_t **bytes)
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

enum gc_code cfi_read_entry(const struct gc_cfi *cfi, bool debug, uint64_t place, struct cfi_entry *out,
			    struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	uint64_t have = cfi_bytes_at(cfi, debug, place, &bytes), len, pointer, pointer_at;
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
			if (code == GC_OK && encoding != CFI_PE_OMIT)
				code = cfi_encoded(data, encoding & ~CFI_PE_INDIRECT & 0xff, base, &ignored, err);
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
	struct cfi_entry e;
	struct gc_cursor *c = &e.body;
	enum gc_code code = cfi_read_entry(cfi, debug, place, &e, err);
	uint8_t version, column = 0;
	uint64_t len = 0;

	*out = (struct cfi_cie){ .encoding = CFI_PE_ABSPTR };
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

enum gc_code cfi_read_fde(const struct gc_cfi *cfi, bool debug, const struct cfi_entry *entry, struct cfi_fde *out,
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
		code = cfi_encoded(&c, out->cie.encoding & ~CFI_PE_INDIRECT & 0xff, &base, &out->start, err);
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
