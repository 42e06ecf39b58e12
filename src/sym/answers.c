#include "sym/answers.h"

#include <stdlib.h>
#include <string.h>

#include "sym/line_cache.h"

#define MAX_CALLERS 4096 /* functions whose calls are remembered */
#define MAX_NAMED   256  /* names, which are walked for each look-up */

void gc_answers_deinit(struct gc_answers *answers)
{
	for (size_t i = 0; i < answers->size; i++)
		free(answers->list[i].frames);
	free(answers->list);
	for (size_t i = 0; i < answers->ncalls; i++) {
		gc_call_sites_deinit(answers->calls[i]);
		free(answers->calls[i]);
	}
	free(answers->calls);
	for (size_t i = 0; i < answers->nnamed; i++)
		free(answers->named[i].name);
	free(answers->named);
	free(answers->cached);
	*answers = (struct gc_answers){ .list = NULL };
}

static size_t slot_of(const struct gc_answer *list, size_t size, uint64_t pc)
{
	size_t at = (size_t)(pc * 0x9e3779b97f4a7c15 >> 32) & (size - 1);

	while (list[at].used && list[at].pc != pc)
		at = (at + 1) & (size - 1);
	return at;
}

static bool grow(struct gc_answers *answers)
{
	const size_t size = answers->size ? 2 * answers->size : 64;
	struct gc_answer *list = calloc(size, sizeof(*list));

	if (!list)
		return false;
	for (size_t i = 0; i < answers->size; i++)
		if (answers->list[i].used)
			list[slot_of(list, size, answers->list[i].pc)] = answers->list[i];
	free(answers->list);
	answers->list = list;
	answers->size = size;
	return true;
}

struct gc_answer *gc_answers_at(struct gc_answers *answers, uint64_t pc)
{
	struct gc_answer *a;

	if (answers->count >= answers->size / 2 && !grow(answers))
		return NULL;
	a = &answers->list[slot_of(answers->list, answers->size, pc)];
	if (!a->used) {
		*a = (struct gc_answer){ .pc = pc, .used = true };
		answers->count++;
	}
	return a;
}

static void set_new(struct gc_answers *answers, struct gc_answer *a)
{
	a->is_old = false;
	answers->is_new = true;
}

bool gc_answers_set_frames(struct gc_answers *answers, struct gc_answer *a, const struct gc_line_frame *frames,
			   size_t count)
{
	if (count) {
		a->frames = malloc(count * sizeof(*frames));
		if (!a->frames)
			return false;
		memcpy(a->frames, frames, count * sizeof(*frames));
	}
	a->count = count;
	a->has_frames = true;
	set_new(answers, a);
	return true;
}

void gc_answers_set_calls(struct gc_answers *answers, struct gc_answer *a, const struct gc_call_sites *calls)
{
	a->calls = calls;
	a->has_calls = true;
	set_new(answers, a);
}

void gc_answers_set_symbol(struct gc_answers *answers, struct gc_answer *a, const struct gc_table_symbol *symbol)
{
	a->symbol = symbol ? *symbol : (struct gc_table_symbol){ .name = NULL };
	a->has_symbol = true;
	set_new(answers, a);
}

const struct gc_call_sites *gc_answers_calls(const struct gc_answers *answers, uint64_t die)
{
	for (size_t i = answers->ncalls; i > 0; i--)
		if (answers->calls[i - 1]->die == die)
			return answers->calls[i - 1];
	return NULL;
}

const struct gc_call_sites *gc_answers_add_calls(struct gc_answers *answers, struct gc_call_sites *calls)
{
	struct gc_call_sites **list = answers->ncalls < MAX_CALLERS ?
		realloc(answers->calls, (answers->ncalls + 1) * sizeof(*list)) : NULL;
	struct gc_call_sites *copy = list ? malloc(sizeof(*copy)) : NULL;

	if (list)
		answers->calls = list;
	if (!copy) {
		gc_call_sites_deinit(calls);
		return NULL;
	}
	*copy = *calls;
	answers->calls[answers->ncalls++] = copy;
	return copy;
}

bool gc_answers_named(const struct gc_answers *answers, bool exports, const char *name, uint64_t *value)
{
	for (size_t i = 0; i < answers->nnamed; i++)
		if (answers->named[i].exports == exports && strcmp(answers->named[i].name, name) == 0) {
			*value = answers->named[i].value;
			return true;
		}
	return false;
}

bool gc_answers_add_named(struct gc_answers *answers, bool exports, const char *name, uint64_t value)
{
	struct gc_named *list = answers->nnamed < MAX_NAMED ?
		realloc(answers->named, (answers->nnamed + 1) * sizeof(*list)) : NULL;
	char *copy = list ? strdup(name) : NULL;

	if (list)
		answers->named = list;
	if (!copy)
		return false;
	answers->named[answers->nnamed++] = (struct gc_named){ .name = copy, .value = value, .exports = exports };
	answers->is_new = true;
	return true;
}

/* Earlier runs. */

/** @return false if it contradicts what was there, or memory ran out */
static bool add_record(struct gc_answers *answers, struct gc_line_record *r, const struct gc_line_frame *frames)
{
	struct gc_answer *a;

	if (r->is_named)
		return gc_answers_add_named(answers, r->exports, r->name, r->value);
	if (r->is_calls && gc_answers_calls(answers, r->calls.die)) {
		gc_call_sites_deinit(&r->calls);
		return false;
	}
	if (r->is_calls)
		return gc_answers_add_calls(answers, &r->calls);
	a = gc_answers_at(answers, r->pc);
	if (!a || a->has_frames || a->has_calls || a->has_symbol ||
	    (r->has_frames && !gc_answers_set_frames(answers, a, frames, r->count)))
		return false;
	if (r->has_calls)
		gc_answers_set_calls(answers, a, r->knows_calls ? gc_answers_calls(answers, r->die) : NULL);
	if (r->has_symbol)
		gc_answers_set_symbol(answers, a, &r->symbol);
	a->is_old = true;
	return true;
}

void gc_answers_load(struct gc_answers *answers, const struct gc_line_cache *cache,
		     bool (*is_same)(void *data, const char *supplement), void *data)
{
	const char *supplement;
	struct gc_line_frame frames[GC_MAX_INLINED];
	struct gc_line_record record;
	struct gc_cursor content;

	answers->cached = gc_line_cache_read(cache, &content, &supplement);
	if (answers->cached && is_same(data, supplement))
		while (gc_line_cache_next(&content, &record, frames, GC_MAX_INLINED))
			if (!add_record(answers, &record, frames))
				break;
	answers->is_new = false;
}

/** @param written  one for each of answers->calls */
static bool save_one(const struct gc_answers *answers, const struct gc_answer *a, bool *written, struct gc_buf *out)
{
	const struct gc_line_record record = {
		.pc = a->pc, .has_frames = a->has_frames, .count = a->count, .has_calls = a->has_calls,
		.knows_calls = a->calls != NULL, .die = a->calls ? a->calls->die : 0,
		.has_symbol = a->has_symbol, .symbol = a->symbol,
	};

	for (size_t i = 0; i < answers->ncalls; i++)
		if (answers->calls[i] == a->calls && !written[i]) {
			if (!gc_line_cache_add_calls(out, a->calls))
				return false;
			written[i] = true;
		}
	return gc_line_cache_add(out, &record, a->frames);
}

void gc_answers_save(const struct gc_answers *answers, const struct gc_line_cache *cache, const char *supplement)
{
	bool *written = calloc(answers->ncalls + 1, sizeof(*written)), room = written != NULL;
	struct gc_buf out = GC_BUF_INIT;

	gc_line_cache_add_supplement(&out, supplement);
	for (size_t i = 0; room && i < answers->nnamed; i++)
		room = gc_line_cache_add_named(&out, answers->named[i].exports, answers->named[i].name,
					       answers->named[i].value);
	for (int old = 0; old < 2; old++) /* the new ones first: they are the ones that must find room */
		for (size_t i = 0; room && i < answers->size; i++)
			if (answers->list[i].used && answers->list[i].is_old == (old == 1))
				room = save_one(answers, &answers->list[i], written, &out);
	if (written)
		gc_line_cache_write(cache, &out);
	gc_buf_deinit(&out);
	free(written);
}
