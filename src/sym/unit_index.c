#include "sym/unit_index.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

#define MAX_UNITS  1000000
#define MAX_RANGES 20000000
#define LOOK_BACK  64        /* ranges that overlap a later one */

static bool add(struct gc_unit_index *index, uint64_t low, uint64_t high, uint64_t unit)
{
	if (low == 0 || high <= low) /* at 0: functions that the linker left out */
		return true;
	if (index->count == index->cap) {
		size_t cap = index->cap ? 2 * index->cap : 64;
		struct gc_unit_range *list = cap <= MAX_RANGES ? realloc(index->list, cap * sizeof(*list)) : NULL;

		if (!list)
			return false;
		index->list = list;
		index->cap = cap;
	}
	index->list[index->count++] = (struct gc_unit_range){ .low = low, .high = high, .unit = unit };
	return true;
}

static int by_low(const void *a, const void *b)
{
	const struct gc_unit_range *x = a, *y = b;

	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return x->high > y->high ? -1 : x->high < y->high; /* the larger first: the nearest of all is the smallest */
}

static void sort(struct gc_unit_index *index)
{
	if (index->count)
		qsort(index->list, index->count, sizeof(*index->list), by_low);
}

void gc_unit_index_deinit(struct gc_unit_index *index)
{
	free(index->list);
	*index = (struct gc_unit_index){ .list = NULL };
}

/* Headers. */

/** Initial length (DWARF 5 section 7.4). @return false at the end */
static bool read_length(struct gc_cursor *c, bool *is_64, uint64_t *length)
{
	const uint8_t *bytes;
	uint32_t first;

	if (gc_cursor_u32(c, &first, NULL) != GC_OK)
		return false;
	*is_64 = first == 0xffffffff;
	*length = first;
	if (*is_64) {
		if (gc_cursor_bytes(c, 8, &bytes, NULL) != GC_OK)
			return false;
		*length = gc_load_le64(bytes);
	}
	return true;
}

/** A unit of .debug_info at @offset. @return false if there is none */
static bool read_unit(const uint8_t *info, uint64_t info_len, uint64_t offset, uint64_t *die, uint64_t *next)
{
	struct gc_cursor c;
	uint64_t length;
	uint16_t version;
	uint8_t type;
	bool is_64;

	if (offset >= info_len)
		return false;
	gc_cursor_init(&c, info + offset, info_len - offset, 0);
	if (!read_length(&c, &is_64, &length) || length > gc_cursor_left(&c))
		return false;
	*next = offset + (is_64 ? 12 : 4) + length;
	if (gc_cursor_u16(&c, &version, NULL) != GC_OK || gc_cursor_u8(&c, &type, NULL) != GC_OK)
		return false;
	*die = offset + (is_64 ? 23 : 11);
	if (version >= 5) /* the type of the unit; skeletons and split units have an ID of 8 bytes too */
		*die += type == 4 || type == 5 ? 9 : 1;
	return true;
}

/* .debug_aranges (DWARF 5 section 6.1.2). */

/** @return false if there is no room */
static bool read_tuples(struct gc_unit_index *index, struct gc_cursor *c, uint64_t unit)
{
	const uint8_t *bytes;

	gc_cursor_align(c, 16);
	while (gc_cursor_bytes(c, 16, &bytes, NULL) == GC_OK) {
		const uint64_t low = gc_load_le64(bytes), len = gc_load_le64(bytes + 8);

		if (low == 0 && len == 0)
			break;
		if (len <= UINT64_MAX - low && !add(index, low, low + len, unit))
			return false;
	}
	return true;
}

/** @param c  the set, from its first byte on */
static bool read_set(struct gc_unit_index *index, struct gc_cursor *c, const uint8_t *info, uint64_t info_len)
{
	uint64_t length, offset, die, next;
	const uint8_t *bytes;
	uint16_t version;
	bool is_64;

	read_length(c, &is_64, &length);
	if (gc_cursor_u16(c, &version, NULL) != GC_OK || gc_cursor_bytes(c, is_64 ? 8 : 4, &bytes, NULL) != GC_OK)
		return true;
	offset = is_64 ? gc_load_le64(bytes) : gc_load_le32(bytes);
	if (gc_cursor_bytes(c, 2, &bytes, NULL) != GC_OK || version != 2 || bytes[0] != 8 || bytes[1] != 0 ||
	    !read_unit(info, info_len, offset, &die, &next))
		return true; /* not ours; the others may be */
	return read_tuples(index, c, die);
}

enum gc_code gc_unit_index_of_aranges(struct gc_unit_index *out, struct gc_dwarf *dwarf, struct gc_error *err)
{
	struct gc_unit_index index = { .list = NULL };
	const uint8_t *bytes, *info;
	uint64_t len, info_len;
	struct gc_cursor all;
	enum gc_code code = gc_dwarf_section(dwarf, ".debug_aranges", &bytes, &len, err);

	if (code == GC_OK)
		code = gc_dwarf_section(dwarf, ".debug_info", &info, &info_len, err);
	if (code != GC_OK)
		return code;
	gc_cursor_init(&all, bytes, len, 0);
	while (gc_cursor_left(&all) > 0) {
		struct gc_cursor set = all;
		uint64_t length;
		bool is_64;

		if (!read_length(&set, &is_64, &length) || length > gc_cursor_left(&set))
			break;
		all.pos = set.pos + length;
		gc_cursor_init(&set, set.pos - (is_64 ? 12 : 4), length + (is_64 ? 12 : 4), 0);
		if (!read_set(&index, &set, info, info_len))
			break;
	}
	sort(&index);
	*out = index;
	return GC_OK;
}

/* All units. */

struct walk {
	struct gc_unit_index *index;
	uint64_t unit;
	bool full;
};

static bool add_range(void *data, uint64_t low, uint64_t high)
{
	struct walk *w = data;

	w->full = !add(w->index, low, high, w->unit);
	return !w->full;
}

static void add_unit(struct walk *w, struct gc_dies *dies, uint64_t offset)
{
	Dwarf_Die die = gc_die_at(dies, offset);
	struct gc_die_unit unit;

	if (!die)
		return;
	w->unit = offset;
	if (gc_die_tag(dies, die) == GC_TAG_COMPILE_UNIT) {
		gc_die_unit_read(&unit, dies, die);
		gc_die_ranges(dies, die, &unit, add_range, w);
	}
	gc_die_free(dies, die);
}

enum gc_code gc_unit_index_add_units(struct gc_unit_index *index, struct gc_dies *dies, struct gc_error *err)
{
	struct walk w = { .index = index };
	const uint8_t *info;
	uint64_t len, offset = 0, die, next;
	size_t units = 0;
	enum gc_code code = gc_dwarf_section(dies->dwarf, ".debug_info", &info, &len, err);

	if (code != GC_OK)
		return code;
	for (; !w.full && units < MAX_UNITS && read_unit(info, len, offset, &die, &next); units++, offset = next)
		add_unit(&w, dies, die);
	if (w.full || units == MAX_UNITS)
		code = gc_fail(err, GC_E_LIMIT, "more than %zu units of debug information", units);
	sort(index);
	return code;
}

/** @return how many there are in @units then */
static size_t add_found(uint64_t *units, size_t found, uint64_t unit)
{
	for (size_t i = 0; i < found; i++)
		if (units[i] == unit)
			return found;
	units[found] = unit;
	return found + 1;
}

size_t gc_unit_index_find(const struct gc_unit_index *index, uint64_t pc, uint64_t *units, size_t max)
{
	size_t low = 0, high = index->count, found = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (index->list[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t tries = 0; low > 0 && tries < LOOK_BACK && found < max; tries++)
		if (pc < index->list[--low].high)
			found = add_found(units, found, index->list[low].unit);
	return found;
}
