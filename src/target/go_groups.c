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
	bool by_state;            /* without the stacks */
	size_t max;               /* groups */
	struct go_groups_head head;
};

static enum gc_code make_key(struct grouping *s, const struct gc_goroutine *g, struct gc_error *err)
{
	const char *reason = g->wait_reason ? g->wait_reason : "";
	bool locked = g->locked_m != 0;

	gc_frames_clear(&s->frames);
	/* the frames of a stack that ends early count as they are */
	if (!s->by_state && s->nframes < MAX_FRAMES_ALL &&
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
	if (i >= s->max) {
		s->head.left_out++;
		return GC_OK;
	}
	if (!gc_intern_room(&s->list, &s->cap, i, sizeof(*s->list)))
		return gc_fail_memory(err);
	if (i == before)
		s->list[i] = (struct go_group){ .g = index, .min_minutes = g->wait_minutes };
	count(&s->list[i], g->wait_minutes);
	return GC_OK;
}

/** Go over all that are on no thread; by their stacks, until there are too many groups. */
static enum gc_code join(struct grouping *s, struct gc_error *err)
{
	const struct go_target *t = s->t;
	enum gc_code code = GC_OK;

	for (size_t i = 0; code == GC_OK && i < t->nby_goid && (s->by_state || !s->head.left_out); i++)
		if (!go_threads_running(s->t, &t->goroutines[t->by_goid[i].g]))
			code = add(s, t->by_goid[i].g, err);
	return code;
}

static void start_over(struct grouping *s)
{
	gc_intern_deinit(&s->keys);
	s->head = (struct go_groups_head){ .by_state = true };
	s->by_state = true;
}

static size_t most_groups(const struct gc_go_target_options *o)
{
	if (o->max_groups)
		return o->max_groups;
	return o->group_beyond > GC_GO_MAX_GROUPS ? o->group_beyond : GC_GO_MAX_GROUPS;
}

enum gc_code go_groups_make(void *data, struct gc_buf *out, struct gc_error *err)
{
	struct grouping s = { .t = data };
	enum gc_code code;

	s.max = most_groups(&s.t->options);
	code = join(&s, err);
	if (code == GC_OK && s.head.left_out) {
		start_over(&s);
		code = join(&s, err);
	}
	if (code == GC_OK) {
		gc_buf_add(out, &s.head, sizeof(s.head));
		gc_buf_add(out, s.list, (s.keys.count < s.max ? s.keys.count : s.max) * sizeof(*s.list));
	}
	free(s.list);
	gc_intern_deinit(&s.keys);
	gc_frames_deinit(&s.frames);
	gc_buf_deinit(&s.key);
	return code;
}
