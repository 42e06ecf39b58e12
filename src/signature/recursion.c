/* What repeats on a stack that overflowed. */
#include <string.h>

#include "signature/signature_private.h"

/* The innermost frames need not be part of it: whatever was called when the stack was full. */
#define MAX_LEAF 256

/* So often must it be seen in a row. */
#define ROUNDS 4

/** What of a frame is the same each time round: the function, however the call in it was reached. */
static uint64_t key_of(const struct gc_frame *frame)
{
	return frame->entry ? frame->entry : frame->pc;
}

static bool same(const struct gc_frame *a, const struct gc_frame *b)
{
	return key_of(a) == key_of(b) && a->inlined == b->inlined &&
	       (!a->inlined || (a->function && b->function && strcmp(a->function, b->function) == 0));
}

static bool repeats(const struct gc_frame *frames, size_t count, size_t period)
{
	if (count < ROUNDS * period)
		return false;
	for (size_t i = 0; i < (ROUNDS - 1) * period; i++)
		if (!same(&frames[i], &frames[i + period]))
			return false;
	return true;
}

/** Names decide where the cycle begins: addresses move. */
static int compare(const struct gc_frame *a, const struct gc_frame *b)
{
	const char *x = a->function ? a->function : "", *y = b->function ? b->function : "";
	int order = strcmp(x, y);
	const uint64_t at = a->image ? key_of(a) - a->image->base : 0, bt = b->image ? key_of(b) - b->image->base : 0;

	return order ? order : at < bt ? -1 : at > bt;
}

/** Is the cycle that begins at @a before the one that begins at @b? */
static bool rotation_less(const struct gc_frame *frames, size_t period, size_t a, size_t b)
{
	for (size_t i = 0; i < period; i++) {
		int order = compare(&frames[(a + i) % period], &frames[(b + i) % period]);

		if (order)
			return order < 0;
	}
	return false;
}

static size_t rotate(const struct gc_frame *frames, size_t start, size_t period, size_t out[SIG_MAX_PERIOD])
{
	size_t best = 0;

	for (size_t i = 1; i < period; i++)
		if (rotation_less(frames + start, period, i, best))
			best = i;
	for (size_t i = 0; i < period; i++)
		out[i] = start + (best + i) % period;
	return period;
}

/** Recursion without a period, as that of a parser: the functions that are there more than once, by name. */
static size_t frequent(const struct gc_frames *frames, struct sig_span span, size_t out[SIG_MAX_PERIOD])
{
	size_t end = span.end - span.first > 2 * MAX_LEAF ? span.first + 2 * MAX_LEAF : span.end, n = 0;

	for (size_t i = span.first; i < end && n < SIG_MAX_PERIOD; i++) {
		size_t times = 0, at = n;
		bool known = false;

		for (size_t k = 0; k < n && !known; k++)
			known = same(&frames->list[out[k]], &frames->list[i]);
		for (size_t k = i; k < end && !known; k++)
			times += same(&frames->list[k], &frames->list[i]);
		if (times < ROUNDS)
			continue;
		while (at > 0 && compare(&frames->list[i], &frames->list[out[at - 1]]) < 0) {
			out[at] = out[at - 1];
			at--;
		}
		out[at] = i;
		n++;
	}
	return n;
}

size_t sig_cycle(const struct gc_frames *frames, struct sig_span span, size_t out[SIG_MAX_PERIOD])
{
	for (size_t leaf = 0; leaf < MAX_LEAF && span.first + leaf < span.end; leaf++)
		for (size_t period = 1; period <= SIG_MAX_PERIOD; period++)
			if (repeats(frames->list + span.first + leaf, span.end - span.first - leaf, period))
				return rotate(frames->list, span.first + leaf, period, out);
	return frequent(frames, span, out);
}
