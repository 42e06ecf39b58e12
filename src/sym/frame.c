#include "gocore/frame.h"

#include <stdlib.h>

const char *gc_frame_how_name(enum gc_frame_how how)
{
	switch (how) {
	case GC_HOW_REGISTERS:
		return "registers";
	case GC_HOW_CFI:
		return "cfi";
	case GC_HOW_PCLNTAB:
		return "pclntab";
	case GC_HOW_FRAME_POINTER:
		return "frame-pointer";
	case GC_HOW_SIGNAL_FRAME:
		return "signal-frame";
	case GC_HOW_TAIL_CALL:
		return "tail-call";
	}
	return "unknown";
}

enum gc_code gc_frames_add(struct gc_frames *frames, const struct gc_frame *frame, struct gc_error *err)
{
	const size_t most = frames->most ? frames->most : GC_MAX_FRAMES;

	if (frames->count >= most)
		return gc_fail(err, GC_E_LIMIT, "more than %zu frames", most);
	if (frames->count == frames->cap) {
		size_t cap = frames->cap ? 2 * frames->cap : 32;
		struct gc_frame *list = realloc(frames->list, cap * sizeof(*list));

		if (!list)
			return gc_fail_memory(err);
		frames->list = list;
		frames->cap = cap;
	}
	frames->list[frames->count++] = *frame;
	return GC_OK;
}

void gc_frames_clear(struct gc_frames *frames)
{
	frames->count = 0;
}

void gc_frames_deinit(struct gc_frames *frames)
{
	free(frames->list);
	*frames = (struct gc_frames){ .list = NULL };
}
