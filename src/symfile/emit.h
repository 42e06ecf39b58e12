/* Appending the numbers that DWARF is made of. */
#ifndef SYMFILE_EMIT_H
#define SYMFILE_EMIT_H

#include "gocore/buf.h"
#include "gocore/bytes.h"

static inline void emit_u8(struct gc_buf *b, unsigned value)
{
	gc_buf_char(b, (char)value);
}

static inline void emit_u16(struct gc_buf *b, unsigned value)
{
	uint8_t bytes[2];

	gc_store_le16(bytes, (uint16_t)value);
	gc_buf_add(b, bytes, sizeof(bytes));
}

static inline void emit_u32(struct gc_buf *b, uint64_t value)
{
	uint8_t bytes[4];

	gc_store_le32(bytes, (uint32_t)value);
	gc_buf_add(b, bytes, sizeof(bytes));
}

static inline void emit_u64(struct gc_buf *b, uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_buf_add(b, bytes, sizeof(bytes));
}

static inline void emit_uleb(struct gc_buf *b, uint64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;

	do {
		bytes[n] = value & 0x7f;
		value >>= 7;
		bytes[n] |= value ? 0x80 : 0;
		n++;
	} while (value);
	gc_buf_add(b, bytes, n);
}

static inline void emit_sleb(struct gc_buf *b, int64_t value)
{
	uint8_t bytes[10];
	size_t n = 0;
	bool more = true;

	while (more) {
		uint8_t low = value & 0x7f;

		value = value < 0 ? -(int64_t)(((uint64_t)~value >> 7)) - 1 : value >> 7;
		more = !((value == 0 && !(low & 0x40)) || (value == -1 && low & 0x40));
		bytes[n++] = low | (more ? 0x80 : 0);
	}
	gc_buf_add(b, bytes, n);
}

/** Overwrite 4 bytes that were appended before. */
static inline void emit_patch_u32(struct gc_buf *b, size_t at, uint64_t value)
{
	if (!b->failed)
		gc_store_le32(b->data + at, (uint32_t)value);
}

/** Leave 4 bytes for the length of what follows them. @return for emit_end_length */
static inline size_t emit_begin_length(struct gc_buf *b)
{
	emit_u32(b, 0);
	return b->len;
}

static inline void emit_end_length(struct gc_buf *b, size_t begin)
{
	if (!b->failed)
		emit_patch_u32(b, begin - 4, b->len - begin);
}

#endif
