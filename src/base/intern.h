/* Byte strings, each kept once and numbered in the order of their coming. */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

#include "gocore/buf.h"

struct gc_intern_key {
	uint64_t hash;
	size_t offset, len; /* in bytes */
};

struct gc_intern {
	struct gc_buf bytes;
	struct gc_intern_key *keys;
	size_t count, cap;
	uint32_t *slots;    /* index + 1, 0: free */
	size_t nslots;      /* a power of two, or 0 */
};

/**
 * Find a key, and add it if it is new.
 *
 * @param index its number; it is new if count was that before
 */
enum gc_code gc_intern(struct gc_intern *set, const void *key, size_t len, size_t *index, struct gc_error *err);

/** @return the key's bytes, valid until the next one is added */
const void *gc_intern_bytes(const struct gc_intern *set, size_t index, size_t *len);

/** Empty it and keep its storage. */
void gc_intern_clear(struct gc_intern *set);
void gc_intern_deinit(struct gc_intern *set);

/**
 * Make room for element @index of an array; new elements are zero.
 *
 * @param array address of the pointer to it
 * @return false: no memory
 */
bool gc_intern_room(void *array, size_t *cap, size_t index, size_t size);

#endif
