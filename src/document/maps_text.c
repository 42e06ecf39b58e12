/* The document "maps" for people: like /proc/PID/maps, with the class of each range. */
#include <inttypes.h>
#include <string.h>

#include "document/text.h"
#include "gocore/document.h"

/** "0x7ffc…" of the document without its 0x, at least 12 digits as /proc/PID/maps has them. */
static void add_range(struct gc_table *t, const json_t *range)
{
	gc_table_printf(t, "%012" PRIx64 "-%012" PRIx64, gc_json_hex(range, "start"), gc_json_hex(range, "end"));
}

static void add_size(struct gc_table *t, const json_t *range)
{
	struct gc_buf size = GC_BUF_INIT;

	gc_text_size(&size, gc_json_uint(range, "size"));
	gc_table_add(t, gc_buf_text(&size));
	gc_buf_deinit(&size);
}

static void add_row(struct gc_table *t, const json_t *range)
{
	const char *path = gc_json_str(range, "path");

	add_range(t, range);
	gc_table_add(t, gc_json_str(range, "perms"));
	if (gc_json_str(range, "offset"))
		gc_table_printf(t, "%08" PRIx64, gc_json_hex(range, "offset"));
	else
		gc_table_add(t, NULL);
	add_size(t, range);
	gc_table_add(t, gc_json_str(range, "class"));
	gc_table_add(t, path ? path : gc_json_str(range, "label"));
}

static struct gc_table new_table(const char *indent)
{
	return (struct gc_table){ .columns = 6, .right = 1U << 3, .indent = indent };
}

static void add_ranges(const json_t *ranges, struct gc_buf *out)
{
	struct gc_table t = new_table(NULL);
	const json_t *range;
	size_t i;

	json_array_foreach(ranges, i, range)
		add_row(&t, range);
	gc_table_end(&t, out);
}

/** Bytes of each class, and of all. */
static void add_totals(const json_t *ranges, struct gc_buf *out)
{
	static const char *const classes[] = { "dumped", "recovered", "missing", "truncated" };
	uint64_t sums[GC_COUNT(classes)] = { 0 }, sum = 0;
	const json_t *range;
	size_t i;

	json_array_foreach(ranges, i, range) {
		const char *class = gc_json_str(range, "class");

		for (size_t k = 0; class && k < GC_COUNT(classes); k++)
			if (strcmp(class, classes[k]) == 0)
				sums[k] += gc_json_uint(range, "size");
	}
	for (size_t k = 0; k < GC_COUNT(classes); k++)
		sum += sums[k];
	gc_buf_printf(out, "%zu range%s, ", json_array_size(ranges), json_array_size(ranges) == 1 ? "" : "s");
	gc_text_size(out, sum);
	for (size_t k = 0, n = 0; k < GC_COUNT(classes); k++) {
		if (!sums[k])
			continue;
		gc_buf_str(out, n++ ? ", " : ": ");
		gc_text_size(out, sums[k]);
		gc_buf_printf(out, " %s", classes[k]);
	}
	gc_buf_char(out, '\n');
}

/** The sentence, and the ranges that it speaks of as rows. */
static void add_address(const json_t *address, struct gc_buf *out)
{
	static const char *const keys[] = { "before", "range", "after" };
	const char *text = gc_json_str(address, "text");
	struct gc_table t = new_table("  ");

	gc_text_str(out, text ? text : "");
	gc_buf_char(out, '\n');
	for (size_t i = 0; i < GC_COUNT(keys); i++) {
		const json_t *range = json_object_get(address, keys[i]);

		if (range)
			add_row(&t, range);
	}
	gc_table_end(&t, out);
}

void gc_maps_text(const json_t *maps, struct gc_buf *out)
{
	const json_t *addresses = json_object_get(maps, "addresses"), *ranges = json_object_get(maps, "ranges");
	const json_t *address;
	size_t i;

	json_array_foreach(addresses, i, address)
		add_address(address, out);
	if (addresses) /* who asks for an address wants the answer, not 70,000 lines with it */
		return;
	add_ranges(ranges, out);
	add_totals(ranges, out);
}
