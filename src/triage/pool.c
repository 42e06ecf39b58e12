/*
 * The pool: hands out files to workers, takes their lines, and writes one for
 * each core whatever becomes of the worker that reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "gocore/file_cache.h"
#include "gocore/signals.h"
#include "gocore/triage.h"

#include "triage/worker.h"

#define MAX_JOBS 1024

/* With --ordered, so many lines may wait for an earlier one. */
#define MAX_WAITING 1024

#define NO_FILE SIZE_MAX

struct worker {
	pid_t pid;          /* 0: none */
	int fd;
	size_t file;        /* that it reads, or NO_FILE */
	struct gc_core_identity id;
	double since;       /* when it began */
	struct gc_buf in;   /* what came of its answer */
};

/** A line that is done; with --ordered until its turn comes. */
struct waiting {
	bool done;
	char *text;         /* NULL: there is no line */
	size_t len;
};

struct pool {
	const struct gc_triage_list *list;
	const struct gc_triage_options *options;
	const bool *done;
	struct worker *workers;
	size_t count;
	size_t next;        /* file to hand out */
	size_t turn;        /* with --ordered: whose line is next */
	struct waiting *waiting; /* a ring over files from turn on */
	struct gc_triage_progress progress;
	double shown;       /* when progress was told */
	bool stopped;       /* a line was not taken, or a signal came */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void tell(struct pool *p, bool always)
{
	double t = now();

	if (p->options->progress && (always || t - p->shown >= 0.1)) {
		p->shown = t;
		p->options->progress(p->options->data, &p->progress);
	}
}

/* Lines. */

static void give(struct pool *p, const char *text, size_t len)
{
	if (!p->stopped && !p->options->line(p->options->data, text, len))
		p->stopped = true;
}

static void give_waiting(struct pool *p)
{
	while (p->turn < p->list->count) {
		struct waiting *w = &p->waiting[p->turn % MAX_WAITING];

		if (!w->done && !(p->done && p->done[p->turn]))
			return;
		if (w->text)
			give(p, w->text, w->len);
		free(w->text);
		*w = (struct waiting){ .done = false };
		p->turn++;
	}
}

/** A file is done. @param text its line, NULL: none */
static void finish(struct pool *p, size_t file, const char *text, size_t len)
{
	struct waiting *w = p->waiting ? &p->waiting[file % MAX_WAITING] : NULL;

	if (!w && text) {
		give(p, text, len);
	} else if (w) {
		w->done = true;
		w->text = text ? malloc(len + 1) : NULL;
		w->len = len;
		if (w->text)
			memcpy(w->text, text, len);
		p->stopped |= text && !w->text;
		give_waiting(p);
	}
	tell(p, false);
}

/** @param since when it was begun, 0: never */
static void finish_failed(struct pool *p, size_t file, const struct gc_core_identity *id, double since,
			  enum gc_triage_failure why, const char *what)
{
	json_t *line = gc_triage_failed(id, why, what);
	char *text;

	if (line)
		gc_triage_elapsed(line, since ? now() - since : 0);
	text = line ? json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
	p->progress.done++;
	p->progress.failed++;
	if (text)
		finish(p, file, text, strlen(text));
	else
		p->stopped = true;
	free(text);
	json_decref(line);
}

/** A file in a folder that turned out to be no core, inside of a compressed one. */
static void finish_other(struct pool *p, size_t file)
{
	p->progress.skipped++;
	finish(p, file, NULL, 0);
}

/* Workers. */

static enum gc_code start(struct pool *p, struct worker *w, struct gc_error *err)
{
	int *others = calloc(p->count + 2, sizeof(*others));
	size_t n = 0;
	enum gc_code code;

	if (!others)
		return gc_fail_memory(err);
	for (size_t i = 0; i < p->count; i++)
		if (p->workers[i].pid)
			others[n++] = p->workers[i].fd;
	if (p->options->output > STDERR_FILENO)
		others[n++] = p->options->output;
	code = triage_worker_start(p->options, others, n, &w->pid, &w->fd, err);
	free(others);
	if (code != GC_OK)
		w->pid = 0;
	w->file = NO_FILE;
	gc_buf_clear(&w->in);
	return code;
}

/** @return its status as wait(2) has it */
static int end_worker(struct worker *w, bool kill_it)
{
	int status = 0;

	if (!w->pid)
		return 0;
	if (kill_it)
		kill(w->pid, SIGKILL);
	close(w->fd);
	while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
		;
	w->pid = 0;
	return status;
}

/** The file as it is now. @return false: a line says why there is none */
static bool identify(struct pool *p, size_t file, struct gc_core_identity *id)
{
	const struct gc_triage_file *f = &p->list->files[file];
	struct stat st;
	char why[512];

	*id = (struct gc_core_identity){ .path = f->path };
	if (stat(f->path, &st) != 0) {
		snprintf(why, sizeof(why), "cannot be read: %s", strerror(errno));
		finish_failed(p, file, id, 0, GC_TRIAGE_UNUSABLE, why);
		return false;
	}
	id->size = (uint64_t)st.st_size;
	id->inode = st.st_ino;
	id->mtime_s = st.st_mtim.tv_sec;
	id->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	if (S_ISREG(st.st_mode) && !f->refused)
		return true;
	finish_failed(p, file, id, 0, GC_TRIAGE_UNUSABLE,
		      f->refused ? f->refused : S_ISFIFO(st.st_mode) ? "is a FIFO, not a file"
		      : S_ISDIR(st.st_mode) ? "is a directory, not a file"
		      : S_ISSOCK(st.st_mode) ? "is a socket, not a file" : "is a device, not a file");
	return false;
}

static bool send_request(struct worker *w)
{
	const struct triage_request request = {
		.size = w->id.size, .inode = w->id.inode, .mtime_s = w->id.mtime_s, .mtime_ns = w->id.mtime_ns,
		.path_len = (uint32_t)strlen(w->id.path),
	};
	char message[sizeof(request) + 8192];
	size_t len = sizeof(request) + request.path_len;

	if (len > sizeof(message))
		return false;
	memcpy(message, &request, sizeof(request));
	memcpy(message + sizeof(request), w->id.path, request.path_len);
	return send(w->fd, message, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/** May the next file be handed out? With --ordered not too far ahead of the line that is due. */
static bool may_go_on(const struct pool *p)
{
	return !p->stopped && p->next < p->list->count && (!p->waiting || p->next - p->turn < MAX_WAITING);
}

/** Make a worker read a file. @return as gc_triage_run: no worker can be started */
static enum gc_code begin(struct pool *p, struct worker *w, size_t file, struct gc_error *err)
{
	for (int tries = 0; tries < 2; tries++) {
		enum gc_code code = w->pid ? GC_OK : start(p, w, err);

		if (code != GC_OK)
			return code;
		w->file = file;
		w->since = now();
		if (send_request(w))
			return GC_OK;
		end_worker(w, true); /* somebody killed it between two cores: that is not the core's fault */
		w->file = NO_FILE;
	}
	finish_failed(p, file, &w->id, 0, GC_TRIAGE_DIED, "no worker took it");
	return GC_OK;
}

/** Give a worker something to do. */
static enum gc_code hand_out(struct pool *p, struct worker *w, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	while (code == GC_OK && w->file == NO_FILE && may_go_on(p)) {
		size_t file = p->next++;

		if (p->done && p->done[file] && p->waiting)
			give_waiting(p);
		else if (!(p->done && p->done[file]) && identify(p, file, &w->id))
			code = begin(p, w, file, err);
	}
	return code;
}

/** @param text NUL-terminated */
static void take_answer(struct pool *p, struct worker *w, enum triage_status status, const char *text, size_t len)
{
	const size_t file = w->file;

	w->file = NO_FILE;
	if (status == TRIAGE_LINE) {
		p->progress.done++;
		finish(p, file, text, len);
	} else if (status == TRIAGE_NO_MEMORY) {
		char why[128];

		snprintf(why, sizeof(why), "needs more memory than a worker may have: %" PRIu64 " KiB (--memory-limit)",
			 p->options->memory_limit >> 10);
		finish_failed(p, file, &w->id, w->since, GC_TRIAGE_MEMORY, why);
		end_worker(w, true); /* whatever is left there is in pieces */
	} else if (status == TRIAGE_NO_CORE && !p->list->files[file].named) {
		finish_other(p, file);
	} else {
		finish_failed(p, file, &w->id, w->since, GC_TRIAGE_UNUSABLE, text);
	}
}

static void take_death(struct pool *p, struct worker *w, int status)
{
	char text[128], name[16];
	const size_t file = w->file;

	w->file = NO_FILE;
	if (file == NO_FILE)
		return;
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "the worker that read it died of %s%s",
			 gc_signal_name(WTERMSIG(status), name),
			 WTERMSIG(status) == SIGBUS ? ": the file was cut short meanwhile" : "");
	else
		snprintf(text, sizeof(text), "the worker that read it ended with status %d", WEXITSTATUS(status));
	finish_failed(p, file, &w->id, w->since, GC_TRIAGE_DIED, text);
}

/** A line is one line, whatever a worker sends. */
static bool is_one_line(const char *text, size_t len)
{
	return len > 0 && text[0] == '{' && !memchr(text, '\n', len) && !memchr(text, '\0', len);
}

/** Look whether the answer is complete. @return false: it is none */
static bool parse(struct pool *p, struct worker *w)
{
	struct triage_reply reply;
	const char *text;

	if (w->in.failed)
		return false;
	if (w->in.len < sizeof(reply))
		return true;
	memcpy(&reply, w->in.data, sizeof(reply));
	if (w->file == NO_FILE || reply.len > TRIAGE_MAX_LINE || w->in.len - sizeof(reply) > reply.len)
		return false;
	if (w->in.len - sizeof(reply) < reply.len)
		return true;
	text = w->in.data + sizeof(reply);
	if (reply.status == TRIAGE_LINE && !is_one_line(text, reply.len))
		return false;
	take_answer(p, w, (enum triage_status)reply.status, text, reply.len);
	gc_buf_clear(&w->in);
	return true;
}

/** Take what a worker has written. */
static void receive(struct pool *p, struct worker *w)
{
	char *to = gc_buf_reserve(&w->in, 65536);
	ssize_t got = to ? recv(w->fd, to, 65536, MSG_DONTWAIT) : -1;

	if (got < 0 && to && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0) {
		w->in.len += (size_t)got;
		w->in.data[w->in.len] = '\0';
		if (parse(p, w))
			return;
	}
	take_death(p, w, end_worker(w, got != 0));
}

static void check_time(struct pool *p, struct worker *w, double t)
{
	char text[128];
	size_t file = w->file;

	if (file == NO_FILE || t - w->since < p->options->timeout)
		return;
	end_worker(w, true);
	w->file = NO_FILE;
	snprintf(text, sizeof(text), "took longer than %g seconds (--timeout)", p->options->timeout);
	finish_failed(p, file, &w->id, w->since, GC_TRIAGE_TIMEOUT, text);
}

/* The loop. */

/** Milliseconds until the first worker has had its time; progress wants to be told before. */
static int patience(const struct pool *p)
{
	double t = now(), left = 1;

	for (size_t i = 0; i < p->count; i++) {
		double end = p->workers[i].since + p->options->timeout;

		if (p->workers[i].file != NO_FILE && end - t < left)
			left = end - t;
	}
	return left <= 0 ? 0 : (int)(left * 1000) + 1;
}

static bool any_busy(const struct pool *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->workers[i].file != NO_FILE)
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
				receive(p, &p->workers[i]);
	for (size_t i = 0; i < p->count; i++)
		check_time(p, &p->workers[i], now());
	if (p->options->stop && *p->options->stop)
		p->stopped = true;
	tell(p, false);
}

static enum gc_code loop(struct pool *p, struct gc_error *err)
{
	struct pollfd *polls = calloc(p->count, sizeof(*polls));
	enum gc_code code = polls ? GC_OK : gc_fail_memory(err);

	while (code == GC_OK && !p->stopped) {
		for (size_t i = 0; i < p->count && code == GC_OK; i++)
			if (p->workers[i].file == NO_FILE)
				code = hand_out(p, &p->workers[i], err);
		if (p->waiting)
			give_waiting(p);
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
		p->workers[i].file = NO_FILE;
	if (code == GC_OK)
		code = loop(p, err);
	tell(p, true);
	for (size_t i = 0; p->workers && i < p->count; i++) {
		end_worker(&p->workers[i], true);
		gc_buf_deinit(&p->workers[i].in);
	}
	for (size_t i = 0; p->waiting && i < MAX_WAITING; i++)
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
		.waiting = options->ordered ? calloc(MAX_WAITING, sizeof(*p.waiting)) : NULL,
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
