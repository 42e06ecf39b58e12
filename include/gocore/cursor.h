/*
 * A cursor over bytes that nobody vouches for.
 *
 * A read that does not fit fails with GC_E_TRUNCATED, names the file offset,
 * and leaves both the cursor and the result untouched.
 */
#ifndef GOCORE_CURSOR_H
#define GOCORE_CURSOR_H

#include <stdint.h>

#include "gocore/error.h"

struct gc_cursor {
	const uint8_t *base;
	const uint8_t *pos;
	const uint8_t *end;
	uint64_t file_off; /* of base; only for messages */
};

void gc_cursor_init(struct gc_cursor *c, const void *bytes, size_t len, uint64_t file_off);

static inline size_t gc_cursor_left(const struct gc_cursor *c)
{
	return (size_t)(c->end - c->pos);
}

enum gc_code gc_cursor_u8(struct gc_cursor *c, uint8_t *out, struct gc_error *err);
enum gc_code gc_cursor_u16(struct gc_cursor *c, uint16_t *out, struct gc_error *err);
enum gc_code gc_cursor_u32(struct gc_cursor *c, uint32_t *out, struct gc_error *err);
enum gc_code gc_cursor_u64(struct gc_cursor *c, uint64_t *out, struct gc_error *err);

/** Numbers of variable length (DWARF 5 section 7.6). Bits beyond 64 are dropped, as all readers do. */
enum gc_code gc_cursor_uleb(struct gc_cursor *c, uint64_t *out, struct gc_error *err);
enum gc_code gc_cursor_sleb(struct gc_cursor *c, int64_t *out, struct gc_error *err);

/** @len bytes in place; *out points into the cursor's bytes. */
enum gc_code gc_cursor_bytes(struct gc_cursor *c, uint64_t len, const uint8_t **out, struct gc_error *err);

/** A NUL-terminated string in place; the cursor ends up behind the NUL. */
enum gc_code gc_cursor_string(struct gc_cursor *c, const char **out, struct gc_error *err);

/** Skip to the next multiple of @align (a power of two) from the base; stops at the end. */
void gc_cursor_align(struct gc_cursor *c, size_t align);

#endif
