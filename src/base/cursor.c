#include "gocore/cursor.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "gocore/bytes.h"

void gc_cursor_init(struct gc_cursor *c, const void *bytes, size_t len, uint64_t file_off)
{
	c->base = bytes;
	c->pos = bytes;
	c->end = c->base + len;
	c->file_off = file_off;
}

static uint64_t offset_of(const struct gc_cursor *c)
{
	return c->file_off + (uint64_t)(c->pos - c->base);
}

/** Take @len bytes, or fail and stay. */
static enum gc_code take(struct gc_cursor *c, uint64_t len, const uint8_t **out, struct gc_error *err)
{
	size_t left = gc_cursor_left(c);

	if (len > left)
		return gc_fail(err, GC_E_TRUNCATED,
			       "file offset 0x%" PRIx64 ": need %" PRIu64 " bytes, have %zu",
			       offset_of(c), len, left);
	*out = c->pos;
	c->pos += len;
	return GC_OK;
}

enum gc_code gc_cursor_u8(struct gc_cursor *c, uint8_t *out, struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	enum gc_code code = take(c, 1, &bytes, err);

	if (code == GC_OK)
		*out = *bytes;
	return code;
}

enum gc_code gc_cursor_u16(struct gc_cursor *c, uint16_t *out, struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	enum gc_code code = take(c, 2, &bytes, err);

	if (code == GC_OK)
		*out = gc_load_le16(bytes);
	return code;
}

enum gc_code gc_cursor_u32(struct gc_cursor *c, uint32_t *out, struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	enum gc_code code = take(c, 4, &bytes, err);

	if (code == GC_OK)
		*out = gc_load_le32(bytes);
	return code;
}

enum gc_code gc_cursor_u64(struct gc_cursor *c, uint64_t *out, struct gc_error *err)
{
	const uint8_t *bytes = NULL;
	enum gc_code code = take(c, 8, &bytes, err);

	if (code == GC_OK)
		*out = gc_load_le64(bytes);
	return code;
}

static enum gc_code leb(struct gc_cursor *c, bool is_signed, uint64_t *out, struct gc_error *err)
{
	uint64_t value = 0;
	unsigned bits = 0;

	for (const uint8_t *at = c->pos; at < c->end; at++) {
		if (bits < 64) {
			value |= (uint64_t)(*at & 0x7f) << bits;
			bits += 7;
		}
		if (*at & 0x80)
			continue;
		if (is_signed && bits < 64 && *at & 0x40)
			value |= UINT64_MAX << bits;
		c->pos = at + 1;
		*out = value;
		return GC_OK;
	}
	return gc_fail(err, GC_E_TRUNCATED, "file offset 0x%" PRIx64 ": number without an end", offset_of(c));
}

enum gc_code gc_cursor_uleb(struct gc_cursor *c, uint64_t *out, struct gc_error *err)
{
	return leb(c, false, out, err);
}

enum gc_code gc_cursor_sleb(struct gc_cursor *c, int64_t *out, struct gc_error *err)
{
	uint64_t value = 0;
	enum gc_code code = leb(c, true, &value, err);

	if (code == GC_OK)
		*out = (int64_t)value;
	return code;
}

enum gc_code gc_cursor_bytes(struct gc_cursor *c, uint64_t len, const uint8_t **out, struct gc_error *err)
{
	return take(c, len, out, err);
}

enum gc_code gc_cursor_string(struct gc_cursor *c, const char **out, struct gc_error *err)
{
	const uint8_t *nul = gc_cursor_left(c) ? memchr(c->pos, 0, gc_cursor_left(c)) : NULL;

	if (!nul)
		return gc_fail(err, GC_E_TRUNCATED, "file offset 0x%" PRIx64 ": string without an end",
			       offset_of(c));
	*out = (const char *)c->pos;
	c->pos = nul + 1;
	return GC_OK;
}

void gc_cursor_align(struct gc_cursor *c, size_t align)
{
	size_t at = (size_t)(c->pos - c->base);
	size_t skip = (align - at % align) % align;

	c->pos = skip > gc_cursor_left(c) ? c->end : c->pos + skip;
}
