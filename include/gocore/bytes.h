/*
 * Little-endian loads and stores at any alignment.
 *
 * Cores of both architectures are little-endian whatever the host is, so no
 * code reads a field by way of a host struct or host byte order.
 */
#ifndef GOCORE_BYTES_H
#define GOCORE_BYTES_H

#include <stdint.h>

static inline uint16_t gc_load_le16(const void *bytes)
{
	const uint8_t *p = bytes;

	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t gc_load_le32(const void *bytes)
{
	const uint8_t *p = bytes;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t gc_load_le64(const void *bytes)
{
	const uint8_t *p = bytes;

	return gc_load_le32(p) | (uint64_t)gc_load_le32(p + 4) << 32;
}

static inline void gc_store_le16(void *bytes, uint16_t value)
{
	uint8_t *p = bytes;

	p[0] = (uint8_t)value;
	p[1] = (uint8_t)(value >> 8);
}

static inline void gc_store_le32(void *bytes, uint32_t value)
{
	gc_store_le16(bytes, (uint16_t)value);
	gc_store_le16((uint8_t *)bytes + 2, (uint16_t)(value >> 16));
}

static inline void gc_store_le64(void *bytes, uint64_t value)
{
	gc_store_le32(bytes, (uint32_t)value);
	gc_store_le32((uint8_t *)bytes + 4, (uint32_t)(value >> 32));
}

#endif
