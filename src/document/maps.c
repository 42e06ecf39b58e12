/* The memory map, and what is at or near an address. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "document/doc.h"
#include "document/text.h"
#include "gocore/document.h"

/** Where a range's bytes lie in the mapped file. */
static bool file_offset(const struct gc_range *r, uint64_t *out)
{
	if (!r->file || r->start < r->file->start)
		return false;
	*out = r->file->offset + (r->start - r->file->start);
	return true;
}

static void add_perms(struct gc_doc *d, json_t *object, const struct gc_range *r)
{
	char perms[4] = "---";

	if (r->unlisted && !r->flags) /* then nothing says them */
		return;
	if (r->flags & PF_R)
		perms[0] = 'r';
	if (r->flags & PF_W)
		perms[1] = 'w';
	if (r->flags & PF_X)
		perms[2] = 'x';
	gc_doc_str(d, object, "perms", perms);
}

static json_t *range_of(struct gc_doc *d, const struct gc_range *r)
{
	json_t *object = gc_doc_object(d);
	uint64_t offset;

	gc_doc_hex(d, object, "start", r->start);
	gc_doc_hex(d, object, "end", r->end);
	gc_doc_size(d, object, "size", r->end - r->start);
	add_perms(d, object, r);
	gc_doc_str(d, object, "class", gc_doc_class(r->what));
	if (file_offset(r, &offset))
		gc_doc_hex(d, object, "offset", offset);
	gc_doc_str(d, object, "path", r->file ? r->file->path : NULL);
	gc_doc_str(d, object, "label", r->label);
	if (r->image && r->file && r->image->path == r->file->path) /* almost always; and there are many ranges */
		gc_doc_set(d, object, "image", json_incref(json_object_get(object, "path")));
	else
		gc_doc_str(d, object, "image", r->image ? r->image->path : NULL);
	return object;
}

static json_t *ranges_of(struct gc_doc *d)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < d->p->space.count; i++)
		gc_doc_append(d, array, range_of(d, &d->p->space.ranges[i]));
	return array;
}

/** What people call a range in a sentence. */
static const char *name_of(const struct gc_range *r)
{
	if (r->file)
		return r->file->path;
	if (r->label)
		return r->label;
	if (r->flags & (PF_R | PF_W | PF_X))
		return "an anonymous mapping";
	return "an inaccessible mapping";
}

static void add_neighbours(struct gc_buf *out, const struct gc_range *before, const struct gc_range *after,
			   uint64_t addr)
{
	if (before) {
		gc_buf_printf(out, "%s ends ", name_of(before));
		if (addr == before->end)
			gc_buf_str(out, "right"); /* it is the first byte behind the end */
		else
			gc_text_size(out, addr - before->end);
		gc_buf_str(out, " before it");
	}
	if (before && after)
		gc_buf_str(out, ", ");
	if (after) {
		gc_buf_printf(out, "%s starts ", name_of(after));
		gc_text_size(out, after->start - addr);
		gc_buf_str(out, " after it");
	}
}

/** A range with its distance in bytes. */
static void set_neighbour(struct gc_doc *d, json_t *object, const char *key, const struct gc_range *r,
			  uint64_t distance)
{
	json_t *neighbour;

	if (!r)
		return;
	neighbour = range_of(d, r);
	gc_doc_size(d, neighbour, "distance", distance);
	gc_doc_set(d, object, key, neighbour);
}

static const struct gc_range *range_at(const struct gc_space *space, size_t index)
{
	return index < space->count ? &space->ranges[index] : NULL;
}

/** Nothing is mapped at @addr: which range ends before it, and which starts after it. */
static void add_unmapped(struct gc_doc *d, json_t *object, uint64_t addr, size_t next, struct gc_buf *text)
{
	const struct gc_range *before = next ? range_at(&d->p->space, next - 1) : NULL;
	const struct gc_range *after = range_at(&d->p->space, next);

	gc_buf_printf(text, "0x%" PRIx64 " is in no mapping", addr);
	if (before || after)
		gc_buf_str(text, ": ");
	add_neighbours(text, before, after, addr);
	set_neighbour(d, object, "before", before, before ? addr - before->end : 0);
	set_neighbour(d, object, "after", after, after ? after->start - addr : 0);
}

/** A guard page is where an overflow ends: say what it guards. */
static void add_guarded(struct gc_doc *d, json_t *object, uint64_t addr, size_t index, struct gc_buf *text)
{
	const struct gc_space *space = &d->p->space;
	const struct gc_range *before = index ? range_at(space, index - 1) : NULL;
	const struct gc_range *after = range_at(space, index + 1);

	if (before && before->end != space->ranges[index].start)
		before = NULL;
	if (after && after->start != space->ranges[index].end)
		after = NULL;
	if (!before && !after)
		return;
	gc_buf_str(text, "; ");
	add_neighbours(text, before, after, addr);
	set_neighbour(d, object, "before", before, before ? addr - before->end : 0);
	set_neighbour(d, object, "after", after, after ? after->start - addr : 0);
}

static void add_place(struct gc_doc *d, json_t *object, uint64_t addr, struct gc_buf *text)
{
	struct gc_place place;

	gc_doc_place(d, addr, &place);
	if (!place.image)
		return;
	gc_doc_str(d, object, "image", place.image->path);
	gc_doc_build_id(d, object, &place.image->build_id);
	gc_doc_hex(d, object, "image_offset", place.offset);
	gc_buf_printf(text, ", image offset 0x%" PRIx64, place.offset);
	if (!place.symbol)
		return;
	gc_doc_str(d, object, "symbol", place.symbol);
	gc_doc_size(d, object, "symbol_offset", place.symbol_offset);
	gc_buf_printf(text, ": %s", place.symbol);
	if (place.symbol_offset)
		gc_buf_printf(text, "+%" PRIu64, place.symbol_offset);
}

static void add_mapped(struct gc_doc *d, json_t *object, uint64_t addr, size_t index, struct gc_buf *text)
{
	const struct gc_range *r = &d->p->space.ranges[index];
	const char *perms;

	gc_doc_str(d, object, "class", gc_doc_class(r->what));
	gc_doc_set(d, object, "range", range_of(d, r));
	perms = json_string_value(json_object_get(json_object_get(object, "range"), "perms"));
	gc_buf_printf(text, "0x%" PRIx64 " is in %s (%s%s%s)", addr, name_of(r), perms ? perms : "",
		      perms ? ", " : "", gc_doc_class(r->what));
	add_place(d, object, addr, text);
	if (perms && strcmp(perms, "---") == 0)
		add_guarded(d, object, addr, index, text);
}

json_t *gc_doc_address(struct gc_doc *d, uint64_t asked)
{
	const struct gc_space *space = &d->p->space;
	uint64_t addr = space->arch->clean_data ? space->arch->clean_data(asked) : asked;
	size_t index = gc_space_index(space, addr);
	const struct gc_range *r = range_at(space, index);
	struct gc_buf text = GC_BUF_INIT;
	json_t *object = gc_doc_object(d);

	gc_doc_hex(d, object, "address", asked);
	if (addr != asked) {
		gc_doc_hex(d, object, "without_tag", addr);
		gc_buf_printf(&text, "0x%" PRIx64 " without its tag: ", asked);
	}
	gc_doc_bool(d, object, "mapped", r && r->start <= addr);
	if (r && r->start <= addr)
		add_mapped(d, object, addr, index, &text);
	else
		add_unmapped(d, object, addr, index, &text);
	if (text.failed)
		d->failed = true;
	gc_doc_str(d, object, "text", gc_buf_text(&text));
	gc_buf_deinit(&text);
	return object;
}

static json_t *addresses_of(struct gc_doc *d, const uint64_t *addrs, size_t naddrs)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < naddrs; i++)
		gc_doc_append(d, array, gc_doc_address(d, addrs[i]));
	return array;
}

json_t *gc_maps(const struct gc_process *p, const uint64_t *addrs, size_t naddrs)
{
	struct gc_doc d = { .p = p };
	json_t *root = gc_doc_begin(&d, "maps", p->core.input.path, gc_doc_program(p), p->core.arch);

	gc_doc_set_filled(&d, root, "addresses", addresses_of(&d, addrs, naddrs));
	gc_doc_set(&d, root, "ranges", ranges_of(&d));
	return gc_doc_end(&d, root);
}
