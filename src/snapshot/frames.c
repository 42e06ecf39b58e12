/* The frames of a thread, and why its stack ends. */
#include <string.h>

#include "gocore/buildinfo.h"

#include "snapshot/snap.h"

void gc_snap_unwind_begin(struct gc_snap *s)
{
	const struct gc_find_options *find = s->options->find;
	struct gc_problems *problems = &s->d.problems;
	struct gc_error err;

	if (gc_go_is_likely(s->p) && gc_go_open(&s->go, s->p, problems, &err) != GC_OK)
		s->go = NULL;
	if (gc_symbols_new(&s->symbols, s->p, find, problems, &err) != GC_OK ||
	    gc_process_lines_new(&s->lines, s->p, s->symbols, find, problems, &err) != GC_OK ||
	    gc_unwinder_new(&s->unwinder, s->p, s->symbols, s->go, problems, &err) != GC_OK) {
		s->d.failed = true;
		return;
	}
	gc_unwinder_set_lines(s->unwinder, gc_process_lines_frames, gc_process_lines_tail_calls, s->lines);
}

void gc_snap_unwind_end(struct gc_snap *s)
{
	gc_frames_deinit(&s->frames);
	gc_unwinder_free(s->unwinder);
	gc_process_lines_free(s->lines);
	gc_symbols_free(s->symbols);
	gc_go_close(s->go);
}

static void add_module(struct gc_snap *s, json_t *object, const struct gc_frame *frame)
{
	gc_doc_str(&s->d, object, "module", frame->image->path);
	gc_doc_build_id(&s->d, object, &frame->image->build_id);
	if (frame->image->has_bias)
		gc_doc_hex(&s->d, object, "module_offset", frame->pc - frame->image->bias);
}

static json_t *frame_of(struct gc_snap *s, const struct gc_frame *frame)
{
	json_t *object = gc_doc_object(&s->d);

	gc_doc_hex(&s->d, object, "pc", frame->pc);
	gc_doc_hex(&s->d, object, "sp", frame->sp);
	gc_doc_str(&s->d, object, "function", frame->function);
	if (frame->entry && !frame->inlined && frame->pc >= frame->entry)
		gc_doc_size(&s->d, object, "offset", frame->pc - frame->entry);
	gc_doc_str(&s->d, object, "file", frame->file);
	if (frame->line)
		gc_doc_int(&s->d, object, "line", frame->line);
	if (frame->inlined)
		gc_doc_bool(&s->d, object, "inlined", true);
	if (frame->image)
		add_module(s, object, frame);
	gc_doc_str(&s->d, object, "how", gc_frame_how_name(frame->how));
	return object;
}

static void add_end(struct gc_snap *s, json_t *object, const struct gc_stack_end *end)
{
	json_t *stack_end;

	if (end->kind == GC_STACK_COMPLETE)
		return;
	stack_end = gc_doc_object(&s->d);
	gc_doc_str(&s->d, stack_end, "reason", gc_stack_end_name(end->kind));
	gc_doc_str(&s->d, stack_end, "text", end->why.text);
	gc_doc_set(&s->d, object, "stack_end", stack_end);
}

/** The function that holds the pc: its frame is behind those that were inlined into it. */
static uint64_t entry_of(const struct gc_frames *frames, uint64_t pc)
{
	for (size_t i = 0; i < frames->count && frames->list[i].pc == pc; i++)
		if (frames->list[i].entry)
			return frames->list[i].entry;
	return 0;
}

void gc_snap_frames(struct gc_snap *s, json_t *object, struct gc_snap_thread *t)
{
	struct gc_stack_end end = { .kind = GC_STACK_COMPLETE };
	struct gc_error err;
	json_t *frames;
	uint64_t pc;

	gc_frames_clear(&s->frames);
	if (!s->unwinder || !gc_regs_u64(t->regs, t->regs->map->arch->pc, &pc))
		return;
	if (gc_unwind_thread(s->unwinder, t->regs, t->thread->tid, &s->frames, &end, &err) == GC_E_MEMORY)
		s->d.failed = true;
	t->entry = entry_of(&s->frames, pc);
	frames = gc_doc_array(&s->d);
	for (size_t i = 0; i < s->frames.count; i++)
		gc_doc_append(&s->d, frames, frame_of(s, &s->frames.list[i]));
	gc_doc_set(&s->d, object, "frames", frames);
	add_end(s, object, &end);
}
