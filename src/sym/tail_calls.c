/*
 * Functions that are missing between two frames because they ended with a jump.
 *
 * Where the caller's call leads and where the function is that has the next
 * frame are known, and so are the jumps at the end of all functions with debug
 * information. If there is one chain of jumps only, it was taken; of several,
 * what they have in common at both ends ("Tail Call Frames", GDB manual). One
 * call on the way that may lead anywhere makes all unknown.
 */
#include <string.h>

#include "sym/lines_calls.h"
#include "sym/process_lines.h"

#define MAX_STEPS 10000

/** A function with its calls, at run time. */
struct function {
	const struct gc_image *image;
	const struct gc_call_sites *sites;
};

/** A jump that is taken on the way. */
struct hop {
	struct function in;
	size_t site;
};

struct search {
	struct gc_process_lines *lines;
	uint64_t callee;                   /* entry that the way ends at */
	struct hop way[GC_MAX_TAIL_CALLS]; /* from the caller on */
	size_t depth;
	uint64_t found[GC_MAX_TAIL_CALLS]; /* the first way, as return addresses */
	size_t length, first, last;        /* so many of its first and last ones are sure */
	bool any;
};

static const struct gc_call_site *site_of(const struct hop *hop)
{
	return &hop->in.sites->list[hop->site];
}

static uint64_t ret_of(const struct hop *hop)
{
	return site_of(hop)->ret + hop->in.image->bias;
}

static bool calls_at(struct gc_process_lines *l, uint64_t pc, struct function *out)
{
	struct image_lines *lines;

	out->image = gc_images_at(&l->p->images, pc);
	if (!out->image || !out->image->has_bias)
		return false;
	lines = gc_process_lines_of(l, out->image);
	out->sites = lines->lines ? gc_lines_calls(lines->lines, pc - out->image->bias) : NULL;
	return out->sites != NULL;
}

/** @return run-time address, 0: not known */
static uint64_t target_of(struct search *s, const struct hop *hop)
{
	const struct gc_call_site *site = site_of(hop);
	uint64_t addr;

	if (site->target)
		return site->target + hop->in.image->bias;
	return site->name && gc_symbols_named(s->lines->symbols, hop->in.image, site->name, &addr) ? addr : 0;
}

/** One way has led to the callee: the first, or one that leaves less of it sure. @return false: nothing is sure */
static bool note_way(struct search *s)
{
	size_t same = 0;

	if (!s->any) {
		s->any = true;
		for (size_t i = 0; i < s->depth; i++)
			s->found[i] = ret_of(&s->way[i]);
		s->length = s->first = s->last = s->depth;
		return true;
	}
	while (same < s->first && same < s->depth && s->found[same] == ret_of(&s->way[same]))
		same++;
	s->first = same;
	same = 0;
	while (same < s->last && same < s->depth &&
	       s->found[s->length - 1 - same] == ret_of(&s->way[s->depth - 1 - same]))
		same++;
	s->last = same;
	return s->first + s->last > 0;
}

static bool is_on_way(const struct search *s, uint64_t ret)
{
	for (size_t i = 0; i < s->depth; i++)
		if (ret_of(&s->way[i]) == ret)
			return true;
	return false;
}

/** Step to the next jump of the function at the end of the way, or of those before it. */
static bool take_next(struct search *s)
{
	while (s->depth > 0) {
		struct hop *hop = &s->way[--s->depth];

		while (++hop->site < hop->in.sites->count)
			if (site_of(hop)->tail && !is_on_way(s, ret_of(hop))) {
				s->depth++;
				return true;
			}
	}
	return false;
}

/** Go into the function at @target by its first jump. @return false: it cannot be known where it leads */
static bool enter(struct search *s, uint64_t target, bool *more)
{
	struct hop *hop = &s->way[s->depth];

	if (s->depth == GC_MAX_TAIL_CALLS || !calls_at(s->lines, target, &hop->in) ||
	    hop->in.sites->entry + hop->in.image->bias != target)
		return false;
	hop->site = SIZE_MAX; /* the one before the first */
	s->depth++;
	*more = take_next(s);
	return true;
}

/** @param target  where the caller's call leads. @return false: the way is not known */
static bool find_ways(struct search *s, uint64_t target)
{
	bool more = true;

	for (size_t steps = 0; more; steps++) {
		if (!target || steps == MAX_STEPS)
			return false;
		if (target == s->callee) {
			if (!note_way(s))
				return false;
			more = take_next(s);
		} else if (!enter(s, target, &more)) {
			return false;
		}
		target = more ? target_of(s, &s->way[s->depth - 1]) : 0;
	}
	return s->any;
}

/** Where the function begins whose frame this is: not at the start of a part of it that lies elsewhere. */
static uint64_t entry_of(struct gc_process_lines *l, const struct gc_frame *frame)
{
	struct image_lines *lines = gc_process_lines_of(l, frame->image);
	const uint64_t pc = frame->pc - (frame->exact ? 0 : 1) - frame->image->bias;
	const struct gc_line_frame *list;
	size_t count;

	if (lines->lines && gc_lines_at(lines->lines, pc, &list, &count, NULL) == GC_OK && list[count - 1].entry)
		return list[count - 1].entry + frame->image->bias;
	return frame->entry;
}

/** The caller's call. @return false: debug information has none there */
static bool find_call(struct gc_process_lines *l, uint64_t ret, struct hop *out)
{
	if (!calls_at(l, ret - 1, &out->in))
		return false;
	for (out->site = 0; out->site < out->in.sites->count; out->site++)
		if (ret_of(out) == ret)
			return true;
	return false;
}

size_t gc_process_lines_tail_calls(void *lines, const struct gc_frame *callee, uint64_t ret,
				   uint64_t pcs[GC_MAX_TAIL_CALLS])
{
	struct search s = { .lines = lines, .callee = entry_of(lines, callee) };
	struct hop call;
	size_t count = 0;

	if (!s.callee || !find_call(lines, ret, &call) || !find_ways(&s, target_of(&s, &call)))
		return 0;
	for (size_t i = 0; i < s.last; i++)
		pcs[count++] = s.found[s.length - 1 - i];
	for (size_t i = s.last == s.length ? 0 : s.first; i > 0; i--)
		pcs[count++] = s.found[i - 1];
	return count;
}
