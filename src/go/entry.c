/* What a goroutine is: who made it, and of what function. */
#include <string.h>

#include "go/go_private.h"

bool gc_go_created_by(struct gc_go *go, const struct gc_goroutine *g, struct gc_frame *out)
{
	const struct go_pc *what = g->go_pc && g->goid != 1 ? go_pc_lookup(go, g->go_pc, false) : NULL;
	const struct go_line *line;

	if (!what)
		return false;
	/* printcreatedby1: the function that holds the code, but the line of the innermost call */
	line = &go->pcs.lines[what->first];
	*out = (struct gc_frame){
		.pc = g->go_pc, .function = line[what->count - 1].function, .entry = what->entry,
		.file = line->file, .line = line->line, .how = GC_HOW_PCLNTAB, .image = go_image_at(go, g->go_pc),
	};
	return true;
}

static const char *function_at(struct gc_go *go, uint64_t pc)
{
	const struct go_pc *what = pc ? go_pc_lookup(go, pc, true) : NULL;

	return what ? go->pcs.lines[what->first + what->count - 1].function : NULL;
}

/** "main.main.gowrap1": made for go f(x) (cmd/compile, since Go 1.22) */
static bool is_gowrap(const char *function)
{
	const char *last = strrchr(function, '.');

	return last && strncmp(last, ".gowrap", 7) == 0;
}

/** The outermost frame that is not the wrapper. */
static const char *wrapped_function(struct gc_go *go, const struct gc_goroutine *g)
{
	struct gc_frames frames = { .list = NULL };
	const char *function = NULL;

	if (gc_go_goroutine_stack(go, g, &frames, NULL, NULL) == GC_OK) {
		for (size_t i = frames.count; !function && i-- > 0;)
			if (frames.list[i].function && frames.list[i].entry != g->start_pc &&
			    strcmp(frames.list[i].function, "runtime.goexit") != 0)
				function = frames.list[i].function;
			else if (frames.list[i].function && frames.list[i].inlined)
				function = frames.list[i].function;
	}
	gc_frames_deinit(&frames);
	return function;
}

const char *gc_go_entry_function(struct gc_go *go, const struct gc_goroutine *g)
{
	const char *function = function_at(go, g->start_pc), *inner;

	if (!function || !is_gowrap(function))
		return function;
	inner = wrapped_function(go, g);
	return inner ? inner : function;
}

bool gc_go_is_system(struct gc_go *go, const struct gc_goroutine *g)
{
	const char *function = function_at(go, g->start_pc);

	if (!function || strncmp(function, "runtime.", 8) != 0)
		return false;
	/* finalizers and cleanups run the program's code there, which is not told apart */
	return strcmp(function, "runtime.main") != 0 && strcmp(function, "runtime.corostart") != 0 &&
	       strcmp(function, "runtime.handleAsyncEvent") != 0;
}
