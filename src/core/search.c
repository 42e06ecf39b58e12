#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/process.h"

/* What is copied together at a time where the bytes do not lie together. */
#define WINDOW (64 * 1024)

/* Shorter runs are not worth looking at in place. */
#define MIN_RUN 4096

struct search {
	const struct gc_space *space;
	const uint8_t *pattern;
	size_t pattern_len;
	uint8_t *window; /* WINDOW + pattern_len bytes, made when first needed */
};

/** Bytes from @at, at least as many as the pattern has and at most @left: in place, or copied together. */
static enum gc_code view(struct search *s, uint64_t at, uint64_t left, const uint8_t **bytes, size_t *got,
			 struct gc_error *err)
{
	uint64_t run = gc_space_peek(s->space, at, bytes);
	size_t want = left < WINDOW + s->pattern_len ? left : WINDOW + s->pattern_len;
	enum gc_code code;

	if (run >= s->pattern_len && run >= MIN_RUN && *bytes) {
		*got = run < left ? run : left;
		return GC_OK;
	}
	if (!s->window)
		s->window = malloc(WINDOW + s->pattern_len);
	if (!s->window)
		return gc_fail_memory(err);
	code = gc_space_read(s->space, at, s->window, want, got, err);
	if (code == GC_OK && *got < s->pattern_len)
		return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": not in the dump", at + *got);
	*bytes = s->window;
	return code;
}

/** GC_E_FAULT if part of @len bytes at @at is not served. */
static enum gc_code check_served(const struct gc_space *space, uint64_t at, uint64_t len, struct gc_error *err)
{
	while (len) {
		const uint8_t *bytes;
		uint64_t n = gc_space_peek(space, at, &bytes);

		if (!n)
			return gc_fail(err, GC_E_FAULT, "address 0x%" PRIx64 ": not in the dump", at);
		if (n > len)
			n = len;
		at += n;
		len -= n;
	}
	return GC_OK;
}

/** Look at all places where the pattern can start. */
static enum gc_code search(struct search *s, uint64_t start, uint64_t len, uint64_t *found,
			   struct gc_error *err)
{
	uint64_t at = 0;
	enum gc_code code;

	while (len - at >= s->pattern_len) {
		const uint8_t *bytes, *match;
		size_t got;

		code = view(s, start + at, len - at, &bytes, &got, err);
		if (code != GC_OK)
			return code;
		match = memmem(bytes, got, s->pattern, s->pattern_len);
		if (match) {
			*found = start + at + (uint64_t)(match - bytes);
			return GC_OK;
		}
		at += got - s->pattern_len + 1;
	}
	code = check_served(s->space, start + at, len - at, err);
	return code == GC_OK ? gc_fail(err, GC_E_NOT_FOUND, "not found") : code;
}

enum gc_code gc_process_search(const struct gc_process *p, uint64_t start, uint64_t len, const void *pattern,
			       size_t pattern_len, uint64_t *found, struct gc_error *err)
{
	struct search s = { .space = &p->space, .pattern = pattern, .pattern_len = pattern_len };
	enum gc_code code;

	if (!pattern_len)
		return gc_fail(err, GC_E_USAGE, "nothing to search for");
	code = search(&s, start, len, found, err);
	free(s.window);
	return code;
}
