/* Which goroutines, in which order, with which frames; the formats are in files of their own. */
#include "gocore/goroutines.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "snapshot/goroutines_private.h"

#define FLUSH_AT         (1U << 18)
#define FORGET_EVERY     4096       /* goroutines: what was read of the core for so many is let go of */
#define MAX_FRAMES_ALL   (1U << 26) /* of all goroutines: a million with 64 frames each */
#define MAX_FRAMES_GROUP (1U << 23) /* of all groups, which are in memory at once */

/* Numbers */

void put_hex(struct gc_buf *b, uint64_t value)
{
	char text[18], *p = text + sizeof(text);

	do {
		*--p = "0123456789abcdef"[value & 15];
		value >>= 4;
	} while (value);
	*--p = 'x';
	*--p = '0';
	gc_buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

void put_uint(struct gc_buf *b, uint64_t value)
{
	char text[20], *p = text + sizeof(text);

	do {
		*--p = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	gc_buf_add(b, p, (size_t)(text + sizeof(text) - p));
}

const char *goroutine_state(const struct gc_goroutine *g)
{
	return g->wait_reason ? g->wait_reason : gc_go_status_name(g->status);
}

enum gc_code goroutines_flush(struct goroutines *g, struct gc_error *err)
{
	if (g->out.failed)
		return gc_fail_memory(err);
	if (g->out.len && !g->write(g->data, g->out.data, g->out.len))
		return gc_fail_errno(err, errno, "write");
	gc_buf_clear(&g->out);
	return GC_OK;
}

/* Groups */

static enum gc_code key_of(struct gc_buf *key, const struct goroutine_view *view, bool by_state,
			   struct gc_error *err)
{
	const struct gc_goroutine *g = view->g;

	gc_buf_clear(key);
	if (by_state) {
		gc_buf_add(key, &g->go_pc, sizeof(g->go_pc));
		gc_buf_str(key, gc_go_status_name(g->status));
		gc_buf_str(key, g->locked_m ? "/locked/" : "/");
		gc_buf_str(key, goroutine_state(g));
		gc_buf_char(key, '\0');
	}
	for (size_t i = 0; i < view->nframes; i++) {
		const struct gc_frame *frame = &view->frames[i];
		uint64_t words[2] = { frame->pc, (uint64_t)frame->exact | (uint64_t)frame->inlined << 1 };

		gc_buf_add(key, words, sizeof(words));
	}
	return key->failed ? gc_fail_memory(err) : GC_OK;
}

static enum gc_code new_group(struct goroutine_groups *groups, const struct goroutine_view *view,
			      struct gc_error *err)
{
	struct goroutine_group *group;
	struct gc_frame *frames;

	if (groups->nframes + view->nframes > MAX_FRAMES_GROUP)
		return gc_fail(err, GC_E_LIMIT, "the stacks that differ have more than %u frames",
			       MAX_FRAMES_GROUP);
	if (!gc_intern_room(&groups->list, &groups->cap, groups->count, sizeof(*groups->list)))
		return gc_fail_memory(err);
	frames = malloc(view->nframes * sizeof(*frames) + 1);
	if (!frames)
		return gc_fail_memory(err);
	if (view->nframes)
		memcpy(frames, view->frames, view->nframes * sizeof(*frames));
	group = &groups->list[groups->count++];
	*group = (struct goroutine_group){
		.first = { .g = view->g, .frames = frames, .nframes = view->nframes },
		.min_minutes = view->g->wait_minutes,
		.max_minutes = view->g->wait_minutes,
	};
	groups->nframes += view->nframes;
	return GC_OK;
}

enum gc_code goroutine_groups_add(struct goroutine_groups *groups, const struct goroutine_view *view,
				  bool by_state, struct gc_error *err)
{
	size_t index, before = groups->keys.count;
	struct goroutine_group *group;
	enum gc_code code;

	code = key_of(&groups->key, view, by_state, err);
	if (code == GC_OK)
		code = gc_intern(&groups->keys, groups->key.data ? groups->key.data : "", groups->key.len, &index,
				 err);
	if (code == GC_OK && index == before)
		code = new_group(groups, view, err);
	if (code != GC_OK)
		return code;
	group = &groups->list[index];
	group->count++;
	if (view->g->wait_minutes < group->min_minutes)
		group->min_minutes = view->g->wait_minutes;
	if (view->g->wait_minutes > group->max_minutes)
		group->max_minutes = view->g->wait_minutes;
	if (by_state)
		gc_buf_add(&group->goids, &view->g->goid, sizeof(view->g->goid));
	return group->goids.failed ? gc_fail_memory(err) : GC_OK;
}

static int by_size(const void *left, const void *right)
{
	const struct goroutine_group *a = left, *b = right;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return (a->order > b->order) - (a->order < b->order);
}

void goroutine_groups_sort(struct goroutine_groups *groups)
{
	for (size_t i = 0; i < groups->count; i++)
		groups->list[i].order = i;
	if (groups->count)
		qsort(groups->list, groups->count, sizeof(*groups->list), by_size);
}

void goroutine_groups_deinit(struct goroutine_groups *groups)
{
	for (size_t i = 0; i < groups->count; i++) {
		free((void *)groups->list[i].first.frames);
		gc_buf_deinit(&groups->list[i].goids);
	}
	free(groups->list);
	gc_intern_deinit(&groups->keys);
	gc_buf_deinit(&groups->key);
	*groups = (struct goroutine_groups){ .list = NULL };
}

/* Filters */

static bool has_state(const struct gc_goroutines_options *o, const struct gc_goroutine *g)
{
	for (size_t i = 0; i < o->nstates; i++)
		if (strcasecmp(o->states[i], gc_go_status_name(g->status)) == 0 ||
		    strcasecmp(o->states[i], goroutine_state(g)) == 0)
			return true;
	return o->nstates == 0;
}

/** One match a function: names live as long as the tables, so their address stands for them. */
static enum gc_code matches(struct goroutines *g, const char *function, bool *out, struct gc_error *err)
{
	size_t index, before = g->matched.count;
	enum gc_code code = gc_intern(&g->matched, &function, sizeof(function), &index, err);

	if (code != GC_OK)
		return code;
	if (index == before)
		gc_buf_char(&g->matches, regexec(g->options->function, function, 0, NULL, 0) == 0);
	if (g->matches.failed)
		return gc_fail_memory(err);
	*out = g->matches.data[index];
	return GC_OK;
}

static enum gc_code has_function(struct goroutines *g, const struct gc_frames *frames, bool *out,
				 struct gc_error *err)
{
	bool found = !g->options->function;

	for (size_t i = 0; i < frames->count && !found; i++) {
		enum gc_code code = frames->list[i].function ? matches(g, frames->list[i].function, &found, err)
							     : GC_OK;

		if (code != GC_OK)
			return code;
	}
	*out = found;
	return GC_OK;
}

/* The walk */

/** A goroutine that does not run was called by Go, to its very end. */
static bool is_cut(const struct goroutines *g, const struct gc_goroutine *goroutine, const struct gc_frames *frames,
		   const struct gc_go_stack_end *end)
{
	return end->how == GC_GO_C && frames->count && frames->list[frames->count - 1].function &&
	       !gc_go_tid(g->go, goroutine);
}

/** What a stack lacks is a problem, and no reason to lose the goroutine. */
static enum gc_code frames_of(struct goroutines *g, const struct gc_goroutine *goroutine, struct gc_frames *frames,
			      struct gc_error *err)
{
	struct gc_go_stack_end end = { .how = GC_GO_END };
	struct gc_error why = { .code = GC_OK };
	char where[48];
	enum gc_code code;

	gc_frames_clear(frames);
	snprintf(where, sizeof(where), "goroutine %" PRIu64, goroutine->goid);
	if (g->nframes >= MAX_FRAMES_ALL) {
		if (!g->full)
			gc_problem(g->problems, where, "more than %u frames: the stacks from here on are left out",
				   MAX_FRAMES_ALL);
		g->full = true;
		return GC_OK;
	}
	code = goroutine_c_frames(g, goroutine, frames, err);
	if (code != GC_OK)
		return code;
	code = gc_go_goroutine_stack(g->go, goroutine, frames, &end, &why);
	if (code == GC_E_MEMORY)
		return gc_fail_memory(err);
	if (code != GC_OK)
		gc_problem(g->problems, where, "%s", why.text);
	else if (end.how == GC_GO_DAMAGED)
		gc_problem(g->problems, where, "the stack ends early: %s", end.why.text);
	else if (end.how == GC_GO_C && !frames->count && gc_go_get_modules(g->go)->count)
		gc_problem(g->problems, where, "no stack: it goes on at 0x%" PRIx64 ", which is in no Go function",
			   end.state.pc);
	else if (is_cut(g, goroutine, frames, &end))
		gc_problem(g->problems, where, "the stack ends early: the return address 0x%" PRIx64
			   " is in no Go function", end.state.pc);
	g->nframes += frames->count;
	return GC_OK;
}

static enum gc_code add_one(struct goroutines *g, const struct goroutines_writer *format, void *writer,
			    const struct gc_goroutine *goroutine, struct gc_frames *frames, struct gc_error *err)
{
	struct goroutine_view view = { .g = goroutine };
	enum gc_code code;
	bool wanted;

	if (!has_state(g->options, goroutine))
		return GC_OK;
	code = frames_of(g, goroutine, frames, err);
	if (code == GC_OK)
		code = has_function(g, frames, &wanted, err);
	if (code != GC_OK || !wanted)
		return code;
	view.frames = frames->list;
	view.nframes = frames->count;
	code = format->add(writer, g, &view, err);
	if (code == GC_OK && g->out.len >= FLUSH_AT)
		code = goroutines_flush(g, err);
	return code;
}

/** The runtime prints the goroutine that crashed first, and the others as they were made. */
static enum gc_code add_all(struct goroutines *g, const struct goroutines_writer *format, void *writer,
			    struct gc_error *err)
{
	struct gc_frames frames = { .list = NULL };
	enum gc_code code = GC_OK;
	size_t count;
	const struct gc_goroutine *list = gc_go_goroutines(g->go, &count);

	if (g->crashed)
		code = add_one(g, format, writer, g->crashed, &frames, err);
	for (size_t i = 0; i < count && code == GC_OK; i++) {
		if (i % FORGET_EVERY == FORGET_EVERY - 1)
			gc_input_forget(&g->p->core.input);
		if (&list[i] != g->crashed)
			code = add_one(g, format, writer, &list[i], &frames, err);
	}
	gc_frames_deinit(&frames);
	return code;
}

static const struct gc_goroutine *running_on(const struct gc_go *go, const struct gc_go_m *m)
{
	return m && m->curg ? gc_go_goroutine_at(go, m->curg) : NULL;
}

/** Of the panic, else of the M that died first or throws, else of the thread that the kernel dumped first. */
static const struct gc_goroutine *crashed_of(const struct goroutines *g)
{
	size_t count;
	const struct gc_go_m *ms = gc_go_ms(g->go, &count);

	if (g->panics.goroutine)
		return g->panics.goroutine;
	if (gc_go_dying_m(g->go))
		return running_on(g->go, gc_go_dying_m(g->go));
	for (size_t i = 0; i < count; i++)
		if (ms[i].throwing && running_on(g->go, &ms[i]))
			return running_on(g->go, &ms[i]);
	return g->p->core.signal ? running_on(g->go, gc_go_m_of_thread(g->go, g->p->core.threads[0].tid)) : NULL;
}

static void look_for_names(struct goroutines *g)
{
	const struct gc_go_modules *modules = gc_go_get_modules(g->go);
	const struct gc_image *program = gc_images_program(&g->p->images);
	char hex[2 * GC_BUILD_ID_MAX + 1] = "";

	for (size_t i = 0; i < modules->count; i++)
		if (modules->list[i].has_table)
			return;
	if (program)
		gc_build_id_hex(&program->build_id, hex);
	gc_problem(g->problems, "stacks",
		   "the core does not hold the table of Go functions, so frames have no names and stacks may "
		   "be short: give the program%s%s", *hex ? ", build ID " : "", hex);
}

static enum gc_code write_all(struct goroutines *g, const struct goroutines_writer *format, struct gc_error *err)
{
	void *writer = calloc(1, format->size);
	enum gc_code code;

	if (!writer)
		return gc_fail_memory(err);
	code = format->begin(writer, g, err);
	if (code == GC_OK)
		code = add_all(g, format, writer, err);
	if (code == GC_OK)
		code = format->end(writer, g, err);
	if (code == GC_OK)
		code = goroutines_flush(g, err);
	format->deinit(writer);
	free(writer);
	return code;
}

static const struct goroutines_writer *format_of(const struct gc_goroutines_options *o)
{
	switch (o->format) {
	case GC_GOROUTINES_TEXT:
		return o->group ? &goroutines_text_groups : &goroutines_text;
	case GC_GOROUTINES_JSON:
		return o->group ? &goroutines_json_groups : &goroutines_json;
	case GC_GOROUTINES_FOLDED:
		return &goroutines_folded;
	case GC_GOROUTINES_PPROF:
		return &goroutines_pprof;
	}
	return NULL;
}

enum gc_code gc_goroutines_write(const struct gc_process *p, const struct gc_goroutines_options *options,
				 gc_write_fn *write, void *data, struct gc_problems *problems,
				 struct gc_error *err)
{
	struct goroutines g = { .p = p, .options = options, .problems = problems, .write = write, .data = data };
	enum gc_code code = gc_go_open(&g.go, p, problems, err);
	struct gc_error why;

	if (code != GC_OK)
		return code;
	gc_input_forget(&p->core.input);
	look_for_names(&g);
	if (gc_go_panics_read(g.go, &g.panics, &why) != GC_OK) {
		gc_problem(problems, "panics", "%s", why.text);
		g.panics = (struct gc_go_panics){ .list = NULL };
	}
	g.crashed = crashed_of(&g);
	code = write_all(&g, format_of(options), err);
	goroutine_c_close(&g);
	gc_go_panics_deinit(&g.panics);
	gc_go_close(g.go);
	gc_intern_deinit(&g.matched);
	gc_buf_deinit(&g.matches);
	gc_buf_deinit(&g.out);
	return code;
}
