/* Which PT_LOADs the new core has. */
#include <elf.h>
#include <stdlib.h>

#include "normalize/normalize_private.h"

void gc_new_segments_deinit(struct gc_new_segments *segments)
{
	free(segments->list);
	*segments = (struct gc_new_segments){ .list = NULL };
}

static struct gc_new_segment *append(struct gc_new_segments *segments, const struct gc_new_segment *s)
{
	if (segments->count == segments->cap) {
		size_t cap = segments->cap ? 2 * segments->cap : 64;
		struct gc_new_segment *list = realloc(segments->list, cap * sizeof(*list));

		if (!list)
			return NULL;
		segments->list = list;
		segments->cap = cap;
	}
	segments->list[segments->count] = *s;
	return &segments->list[segments->count++];
}

/**
 * Does a hole get into the program headers?
 *
 * gdb's core target reads zeros where a PT_LOAD has less in the file than in
 * memory, unless NT_FILE names a file there. What no PT_LOAD tells of it
 * refuses. The others refuse both, and like to know of all mappings.
 */
static bool shows_hole(const struct gc_range *r, enum gc_reader reader)
{
	if (r->unlisted)
		return false; /* the core did not list it either: NT_FILE does */
	if (reader == GC_READER_LLDB || reader == GC_READER_DELVE)
		return true;
	return r->file && r->what == GC_RANGE_ABSENT;
}

/** May @r be the next part of @s? In a segment what the file holds comes first. */
static bool goes_on(const struct gc_new_segment *s, const struct gc_range *r)
{
	return s && !r->starts_mapping && s->addr + s->memsz == r->start && s->flags == r->flags &&
	       (!gc_range_served(r) || s->filesz == s->memsz);
}

static enum gc_code add_ranges(struct gc_new_segments *segments, const struct gc_space *space,
			       enum gc_reader reader, struct gc_error *err)
{
	struct gc_new_segment *last = NULL;

	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];
		bool served = gc_range_served(r);

		if (!served && !shows_hole(r, reader)) {
			last = NULL;
			continue;
		}
		if (!goes_on(last, r)) {
			const struct gc_new_segment new = {
				.type = PT_LOAD, .flags = r->flags, .addr = r->start, .first = i,
			};

			last = append(segments, &new);
			if (!last)
				return gc_fail_memory(err);
		}
		last->memsz += r->end - r->start;
		last->filesz += served ? r->end - r->start : 0;
		last->nranges += served;
	}
	return GC_OK;
}

static enum gc_code add_tags(struct gc_new_segments *segments, const struct gc_core *core, struct gc_error *err)
{
	for (size_t i = 0; i < core->ntags; i++) {
		const struct gc_tag_segment *t = &core->tags[i];
		const struct gc_new_segment new = {
			.type = core->arch->memtag_segment, .addr = t->addr, .memsz = t->memsz,
			.filesz = t->have, .bytes = t->have ? core->input.bytes + t->offset : NULL,
		};

		if (!append(segments, &new))
			return gc_fail_memory(err);
	}
	return GC_OK;
}

static void count_memory(const struct gc_space *space, struct gc_normalized *out)
{
	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];
		uint64_t len = r->end - r->start;

		if (gc_range_served(r))
			out->memory += len;
		if (r->what == GC_RANGE_RECOVERED)
			out->recovered += len;
		if (r->what == GC_RANGE_CUT)
			out->cut += len;
		/* address space that was only reserved had no content to dump */
		if (r->what == GC_RANGE_ABSENT && (r->flags || r->file))
			out->absent += len;
	}
}

enum gc_code gc_new_segments_make(struct gc_new_segments *segments, const struct gc_process *p,
				  enum gc_reader reader, struct gc_normalized *out, struct gc_error *err)
{
	enum gc_code code;

	*segments = (struct gc_new_segments){ .list = NULL };
	code = add_ranges(segments, &p->space, reader, err);
	if (code == GC_OK)
		code = add_tags(segments, &p->core, err);
	if (code != GC_OK) {
		gc_new_segments_deinit(segments);
		return code;
	}
	out->segments = segments->count;
	count_memory(&p->space, out);
	return GC_OK;
}
