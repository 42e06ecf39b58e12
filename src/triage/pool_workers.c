/* What the pool does with one worker: start it, ask it, take its answer or its death. */
#include "triage/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gocore/signals.h"

enum gc_code pool_start(struct pool *p, struct pool_worker *w, struct gc_error *err)
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
	w->file = POOL_NO_FILE;
	gc_buf_clear(&w->in);
	return code;
}

int pool_end(struct pool_worker *w, bool kill_it)
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

bool pool_send(struct pool_worker *w)
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

/** A file in a folder that turned out to be no core, inside of a compressed one. */
static void finish_other(struct pool *p, size_t file)
{
	p->progress.skipped++;
	pool_finish(p, file, NULL, 0);
}

/** @param text NUL-terminated */
static void take_answer(struct pool *p, struct pool_worker *w, enum triage_status status, const char *text, size_t len)
{
	const size_t file = w->file;

	w->file = POOL_NO_FILE;
	if (status == TRIAGE_LINE) {
		p->progress.done++;
		pool_finish(p, file, text, len);
	} else if (status == TRIAGE_NO_MEMORY) {
		char why[128];

		snprintf(why, sizeof(why), "needs more memory than a worker may have: %" PRIu64 " KiB (--memory-limit)",
			 p->options->memory_limit >> 10);
		pool_finish_failed(p, file, &w->id, w->since, GC_TRIAGE_MEMORY, why);
		pool_end(w, true); /* whatever is left there is in pieces */
	} else if (status == TRIAGE_NO_CORE && !p->list->files[file].named) {
		finish_other(p, file);
	} else {
		pool_finish_failed(p, file, &w->id, w->since, GC_TRIAGE_UNUSABLE, text);
	}
}

static void take_death(struct pool *p, struct pool_worker *w, int status)
{
	char text[128], name[16];
	const size_t file = w->file;

	w->file = POOL_NO_FILE;
	if (file == POOL_NO_FILE)
		return;
	if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "the worker that read it died of %s%s",
			 gc_signal_name(WTERMSIG(status), name),
			 WTERMSIG(status) == SIGBUS ? ": the file was cut short meanwhile" : "");
	else
		snprintf(text, sizeof(text), "the worker that read it ended with status %d", WEXITSTATUS(status));
	pool_finish_failed(p, file, &w->id, w->since, GC_TRIAGE_DIED, text);
}

/** A line is one line, whatever a worker sends. */
static bool is_one_line(const char *text, size_t len)
{
	return len > 0 && text[0] == '{' && !memchr(text, '\n', len) && !memchr(text, '\0', len);
}

/** Look whether the answer is complete. @return false: it is none */
static bool parse(struct pool *p, struct pool_worker *w)
{
	struct triage_reply reply;
	const char *text;

	if (w->in.failed)
		return false;
	if (w->in.len < sizeof(reply))
		return true;
	memcpy(&reply, w->in.data, sizeof(reply));
	if (w->file == POOL_NO_FILE || reply.len > TRIAGE_MAX_LINE || w->in.len - sizeof(reply) > reply.len)
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

void pool_receive(struct pool *p, struct pool_worker *w)
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
	take_death(p, w, pool_end(w, got != 0));
}

void pool_check_time(struct pool *p, struct pool_worker *w, double t)
{
	char text[128];
	size_t file = w->file;

	if (file == POOL_NO_FILE || t - w->since < p->options->timeout)
		return;
	pool_end(w, true);
	w->file = POOL_NO_FILE;
	snprintf(text, sizeof(text), "took longer than %g seconds (--timeout)", p->options->timeout);
	pool_finish_failed(p, file, &w->id, w->since, GC_TRIAGE_TIMEOUT, text);
}
