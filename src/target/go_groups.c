/* Goroutines that wait in the same place, as one thread. */
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "target/go_threads.h"

/* Of all stacks; then the state alone counts. A million stacks of 64 frames each have as many. */
#define MAX_FRAMES_ALL (1U << 26)

struct grouping {
	struct go_target *t;
	struct gc_intern keys;    /* a group's index is its key's */
	struct go_group *list;
	size_t cap;
	struct gc_frames frames;
	struct gc_buf key;
	size_t nframes;           /* looked at */
};

static enum gc_code make_key(struct grouping *s, const struct gc_goroutine *g, struct gc_error *err)
{
	const char *reason = g->wait_reason ? g->wait_reason : "";
	bool locked = g->locked_m != 0;

	gc_frames_clear(&s->frames);
	/* the frames of a stack that ends early count as they are */
	if (s->nframes < MAX_FRAMES_ALL &&
	    gc_go_goroutine_stack(s->t->go, g, &s->frames, NULL, err) == GC_E_MEMORY)
		return GC_E_MEMORY;
	s->nframes += s->frames.count;
	gc_buf_clear(&s->key);
	gc_buf_add(&s->key, &g->status, sizeof(g->status));
	gc_buf_add(&s->key, &locked, sizeof(locked));
	gc_buf_add(&s->key, &g->go_pc, sizeof(g->go_pc));
	gc_buf_add(&s->key, reason, strlen(reason) + 1);
	for (size_t i = 0; i < s->frames.count; i++)
		if (!s->frames.list[i].inlined)
			gc_buf_add(&s->key, &s->frames.list[i].pc, sizeof(s->frames.list[i].pc));
	return s->key.failed ? gc_fail_memory(err) : GC_OK;
}

static void count(struct go_group *group, uint32_t minutes)
{
	group->count++;
	if (minutes < group->min_minutes)
		group->min_minutes = minutes;
	if (minutes > group->max_minutes)
		group->max_minutes = minutes;
}

static enum gc_code add(struct grouping *s, uint32_t index, struct gc_error *err)
{
	const struct gc_goroutine *g = &s->t->goroutines[index];
	size_t i, before = s->keys.count;
	enum gc_code code = make_key(s, g, err);

	if (code == GC_OK)
		code = gc_intern(&s->keys, s->key.data, s->key.len, &i, err);
	if (code != GC_OK)
		return code;
	if (!gc_intern_room(&s->list, &s->cap, i, sizeof(*s->list)))
		return gc_fail_memory(err);
	if (i == before)
		s->list[i] = (struct go_group){ .g = index, .min_minutes = g->wait_minutes };
	count(&s->list[i], g->wait_minutes);
	return GC_OK;
}

enum gc_code go_groups_make(void *data, struct gc_buf *out, struct gc_error *err)
{
	struct grouping s = { .t = data };
	enum gc_code code = GC_OK;

	for (size_t i = 0; code == GC_OK && i < s.t->nby_goid; i++)
		if (!go_threads_running(s.t, &s.t->goroutines[s.t->by_goid[i].g]))
			code = add(&s, s.t->by_goid[i].g, err);
	if (code == GC_OK && s.keys.count)
		gc_buf_add(out, s.list, s.keys.count * sizeof(*s.list));
	free(s.list);
	gc_intern_deinit(&s.keys);
	gc_frames_deinit(&s.frames);
	gc_buf_deinit(&s.key);
	return code;
}
