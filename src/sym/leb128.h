/* Numbers of variable length (DWARF 5 section 7.6). Bits beyond 64 are dropped, as all readers do. */
#ifndef SYM_LEB128_H
#define SYM_LEB128_H

#include <stdbool.h>

#include "gocore/cursor.h"

/** @return false at the end of the bytes */
static inline bool gc_read_uleb(struct gc_cursor *c, uint64_t *out)
{
	uint64_t value = 0;
	uint8_t byte;

	for (unsigned shift = 0;; shift += shift < 64 ? 7 : 0) {
		if (gc_cursor_u8(c, &byte, NULL) != GC_OK)
			return false;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	*out = value;
	return true;
}

static inline bool gc_read_sleb(struct gc_cursor *c, int64_t *out)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (gc_cursor_u8(c, &byte, NULL) != GC_OK)
			return false;
		if (shift < 64) {
			value |= (uint64_t)(byte & 0x7f) << shift;
			shift += 7;
		}
	} while (byte & 0x80);
	if (shift < 64 && (byte & 0x40))
		value |= ~UINT64_C(0) << shift;
	*out = (int64_t)value;
	return true;
}

#endif
