/* The lines that a run gives away: as they come, or each in its turn. */
#include "triage/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void pool_tell(struct pool *p, bool always)
{
	double t = gc_now();

	if (p->options->progress && (always || t - p->shown >= 0.1)) {
		p->shown = t;
		p->options->progress(p->options->data, &p->progress);
	}
}

static void give(struct pool *p, const char *text, size_t len)
{
	if (!p->stopped && !p->options->line(p->options->data, text, len))
		p->stopped = true;
}

void pool_give_waiting(struct pool *p)
{
	while (p->turn < p->list->count) {
		struct pool_waiting *w = &p->waiting[p->turn % POOL_MAX_WAITING];

		if (!w->done && !(p->done && p->done[p->turn]))
			return;
		if (w->text)
			give(p, w->text, w->len);
		free(w->text);
		*w = (struct pool_waiting){ .done = false };
		p->turn++;
	}
}

void pool_finish(struct pool *p, size_t file, const char *text, size_t len)
{
	struct pool_waiting *w = p->waiting ? &p->waiting[file % POOL_MAX_WAITING] : NULL;

	if (!w && text) {
		give(p, text, len);
	} else if (w) {
		w->done = true;
		w->text = text ? malloc(len + 1) : NULL;
		w->len = len;
		if (w->text)
			memcpy(w->text, text, len);
		p->stopped |= text && !w->text;
		pool_give_waiting(p);
	}
	pool_tell(p, false);
}

void pool_finish_failed(struct pool *p, size_t file, const struct gc_core_identity *id, double since,
			enum gc_triage_failure why, const char *what)
{
	json_t *line = gc_triage_failed(id, why, what);
	char *text;

	if (line)
		gc_triage_elapsed(line, since > 0 ? gc_now() - since : 0);
	text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	p->progress.done++;
	p->progress.failed++;
	if (text)
		pool_finish(p, file, text, strlen(text));
	else
		p->stopped = true;
	free(text);
	json_decref(line);
}
