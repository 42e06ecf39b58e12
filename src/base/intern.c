#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

/** Words are mixed as a whole; the keys are mostly addresses. */
static uint64_t hash_of(const uint8_t *p, size_t len)
{
	uint64_t hash = 0x9e3779b97f4a7c15 ^ len, word;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccd;
		hash ^= hash >> 32;
	}
	word = 0;
	if (len)
		memcpy(&word, p, len);
	hash = (hash ^ word) * 0xc4ceb9fe1a85ec53;
	return hash ^ hash >> 29;
}

bool gc_intern_room(void *array, size_t *cap, size_t index, size_t size)
{
	size_t more = *cap ? *cap : 64;
	void *list;

	if (index < *cap)
		return true;
	while (more <= index)
		more *= 2;
	memcpy(&list, array, sizeof(list)); /* a pointer to another type may not be read as void * */
	list = more <= SIZE_MAX / 2 / size ? realloc(list, more * size) : NULL;
	if (!list)
		return false;
	memset((char *)list + *cap * size, 0, (more - *cap) * size);
	memcpy(array, &list, sizeof(list));
	*cap = more;
	return true;
}

static void place(struct gc_intern *set, size_t index)
{
	size_t slot = set->keys[index].hash & (set->nslots - 1);

	while (set->slots[slot])
		slot = (slot + 1) & (set->nslots - 1);
	set->slots[slot] = (uint32_t)index + 1;
}

/** At most half of the slots are used. */
static bool more_slots(struct gc_intern *set)
{
	size_t n = set->nslots ? set->nslots * 2 : 256;
	uint32_t *slots;

	if (set->count < set->nslots / 2)
		return true;
	slots = n < UINT32_MAX ? calloc(n, sizeof(*slots)) : NULL;
	if (!slots)
		return false;
	free(set->slots);
	set->slots = slots;
	set->nslots = n;
	for (size_t i = 0; i < set->count; i++)
		place(set, i);
	return true;
}

static bool find(const struct gc_intern *set, const void *key, size_t len, uint64_t hash, size_t *index)
{
	for (size_t slot = hash & (set->nslots - 1); set->slots[slot]; slot = (slot + 1) & (set->nslots - 1)) {
		const struct gc_intern_key *k = &set->keys[set->slots[slot] - 1];

		if (k->hash != hash || k->len != len || (len && memcmp(set->bytes.data + k->offset, key, len) != 0))
			continue;
		*index = set->slots[slot] - 1;
		return true;
	}
	return false;
}

enum gc_code gc_intern(struct gc_intern *set, const void *key, size_t len, size_t *index, struct gc_error *err)
{
	uint64_t hash = hash_of(key, len);
	size_t offset = set->bytes.len;

	if (set->nslots && find(set, key, len, hash, index))
		return GC_OK;
	if (!gc_intern_room(&set->keys, &set->cap, set->count, sizeof(*set->keys)) || !more_slots(set))
		return gc_fail_memory(err);
	gc_buf_add(&set->bytes, key, len);
	if (set->bytes.failed)
		return gc_fail_memory(err);
	set->keys[set->count] = (struct gc_intern_key){ hash, offset, len };
	place(set, set->count);
	*index = set->count++;
	return GC_OK;
}

const void *gc_intern_bytes(const struct gc_intern *set, size_t index, size_t *len)
{
	*len = set->keys[index].len;
	return set->bytes.data + set->keys[index].offset;
}

void gc_intern_clear(struct gc_intern *set)
{
	gc_buf_clear(&set->bytes);
	set->count = 0;
	if (set->slots)
		memset(set->slots, 0, set->nslots * sizeof(*set->slots));
}

void gc_intern_deinit(struct gc_intern *set)
{
	gc_buf_deinit(&set->bytes);
	free(set->keys);
	free(set->slots);
	*set = (struct gc_intern){ .keys = NULL };
}
