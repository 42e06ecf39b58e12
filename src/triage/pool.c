/*
 * The pool: hands out files to workers, takes their lines, and writes one for
 * each core whatever becomes of the worker that reads it.
 */
#include "triage/pool.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "gocore/file_cache.h"

#define MAX_JOBS 1024

/* Files. */

/** The file as it is now. @return false: a line says why there is none */
static bool identify(struct pool *p, size_t file, struct gc_core_identity *id)
{
	const struct gc_triage_file *f = &p->list->files[file];
	struct stat st;
	char why[512];

	*id = (struct gc_core_identity){ .path = f->path };
	if (stat(f->path, &st) != 0) {
		snprintf(why, sizeof(why), "cannot be read: %s", strerror(errno));
		pool_finish_failed(p, file, id, 0, GC_TRIAGE_UNUSABLE, why);
		return false;
	}
	id->size = (uint64_t)st.st_size;
	id->inode = st.st_ino;
	id->mtime_s = st.st_mtim.tv_sec;
	id->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	if (S_ISREG(st.st_mode) && !f->refused)
		return true;
	pool_finish_failed(p, file, id, 0, GC_TRIAGE_UNUSABLE,
			   f->refused ? f->refused : S_ISFIFO(st.st_mode) ? "is a FIFO, not a file"
			   : S_ISDIR(st.st_mode) ? "is a directory, not a file"
			   : S_ISSOCK(st.st_mode) ? "is a socket, not a file" : "is a device, not a file");
	return false;
}

/** May the next file be handed out? With --ordered not too far ahead of the line that is due. */
static bool may_go_on(const struct pool *p)
{
	return !p->stopped && p->next < p->list->count && (!p->waiting || p->next - p->turn < POOL_MAX_WAITING);
}

/** Make a worker read a file. @return as gc_triage_run: no worker can be started */
static enum gc_code begin(struct pool *p, struct pool_worker *w, size_t file, struct gc_error *err)
{
	for (int tries = 0; tries < 2; tries++) {
		enum gc_code code = w->pid ? GC_OK : pool_start(p, w, err);

		if (code != GC_OK)
			return code;
		w->file = file;
		w->since = gc_now();
		if (pool_send(w))
			return GC_OK;
		pool_end(w, true); /* somebody killed it between two cores: that is not the core's fault */
		w->file = POOL_NO_FILE;
	}
	pool_finish_failed(p, file, &w->id, 0, GC_TRIAGE_DIED, "no worker took it");
	return GC_OK;
}

/** Give a worker something to do. */
static enum gc_code hand_out(struct pool *p, struct pool_worker *w, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	while (code == GC_OK && w->file == POOL_NO_FILE && may_go_on(p)) {
		size_t file = p->next++;

		if (p->done && p->done[file] && p->waiting)
			pool_give_waiting(p);
		else if (!(p->done && p->done[file]) && identify(p, file, &w->id))
			code = begin(p, w, file, err);
	}
	return code;
}

/* The loop. */

/** Milliseconds until the first worker has had its time; progress wants to be told before. */
static int patience(const struct pool *p)
{
	double t = gc_now(), left = 1;

	for (size_t i = 0; i < p->count; i++) {
		double end = p->workers[i].since + p->options->timeout;

		if (p->workers[i].file != POOL_NO_FILE && end - t < left)
			left = end - t;
	}
	return left <= 0 ? 0 : (int)(left * 1000) + 1;
}

static bool any_busy(const struct pool *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->workers[i].file != POOL_NO_FILE)
			return true;
	return false;
}

static void wait_for_workers(struct pool *p, struct pollfd *polls)
{
	for (size_t i = 0; i < p->count; i++)
		polls[i] = (struct pollfd){ .fd = p->workers[i].pid ? p->workers[i].fd : -1, .events = POLLIN };
	if (poll(polls, p->count, patience(p)) > 0)
		for (size_t i = 0; i < p->count; i++)
			if (polls[i].revents && p->workers[i].pid)
				pool_receive(p, &p->workers[i]);
	for (size_t i = 0; i < p->count; i++)
		pool_check_time(p, &p->workers[i], gc_now());
	if (p->options->stop && *p->options->stop)
		p->stopped = true;
	pool_tell(p, false);
}

static enum gc_code loop(struct pool *p, struct gc_error *err)
{
	struct pollfd *polls = calloc(p->count, sizeof(*polls));
	enum gc_code code = polls ? GC_OK : gc_fail_memory(err);

	while (code == GC_OK && !p->stopped) {
		for (size_t i = 0; i < p->count && code == GC_OK; i++)
			if (p->workers[i].file == POOL_NO_FILE)
				code = hand_out(p, &p->workers[i], err);
		if (p->waiting)
			pool_give_waiting(p);
		if (!any_busy(p) && !may_go_on(p))
			break;
		if (code == GC_OK)
			wait_for_workers(p, polls);
	}
	free(polls);
	return code;
}

static size_t count_wanted(const struct gc_triage_list *list, const bool *done)
{
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++)
		n += !done || !done[i];
	return n;
}

/** The pool itself, with all that it needs at hand. */
static enum gc_code run(struct pool *p, struct gc_error *err)
{
	enum gc_code code = p->workers && (p->waiting || !p->options->ordered) ? GC_OK : gc_fail_memory(err);

	for (size_t i = 0; p->workers && i < p->count; i++)
		p->workers[i].file = POOL_NO_FILE;
	if (code == GC_OK)
		code = loop(p, err);
	pool_tell(p, true);
	for (size_t i = 0; p->workers && i < p->count; i++) {
		pool_end(&p->workers[i], true);
		gc_buf_deinit(&p->workers[i].in);
	}
	for (size_t i = 0; p->waiting && i < POOL_MAX_WAITING; i++)
		free(p->waiting[i].text);
	free(p->waiting);
	free(p->workers);
	return code;
}

enum gc_code gc_triage_run(const struct gc_triage_list *list, const bool *done, const struct gc_triage_options *options,
			   struct gc_triage_progress *result, struct gc_error *err)
{
	const size_t jobs = options->jobs < 1 ? 1 : options->jobs > MAX_JOBS ? MAX_JOBS : options->jobs;
	struct gc_find_options find = *options->find;
	struct gc_triage_options ours = *options;
	struct pool p = {
		.list = list, .options = &ours, .done = done, .count = jobs,
		.workers = calloc(jobs, sizeof(*p.workers)),
		.waiting = options->ordered ? calloc(POOL_MAX_WAITING, sizeof(*p.waiting)) : NULL,
		.progress = { .total = count_wanted(list, done) },
	};
	struct gc_problems problems = { .list = NULL };
	enum gc_code code;

	ours.find = &find;
	find.files = gc_file_cache_new();
	if (find.files && p.progress.total)
		gc_file_cache_warm(find.files, &find, &problems);
	for (size_t i = 0; i < problems.count; i++)
		options->problem(options->data, &problems.list[i]);
	code = run(&p, err);
	gc_problems_deinit(&problems);
	gc_file_cache_free(find.files);
	*result = p.progress;
	return code;
}
