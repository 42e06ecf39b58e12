/* Where the lines of triage go, and the bar that shows how far it is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/intern.h"
#include "cmd/triage.h"

/* Output. */

/** One run at a time: two that go on with one file would both read what is left. */
static bool lock(const struct triage_output *out)
{
	if (flock(out->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
		return true; /* some file systems have no locks */
	gc_warn("%s: another run is writing to it", out->path);
	return false;
}

static bool open_file(struct triage_output *out)
{
	struct stat st;

	out->fd = open(out->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (out->fd < 0) {
		gc_warn("%s: cannot be opened: %s", out->path, strerror(errno));
		return false;
	}
	out->regular = fstat(out->fd, &st) == 0 && S_ISREG(st.st_mode);
	return !out->regular || lock(out);
}

bool triage_output_open(struct triage_output *out, const struct triage_options *o)
{
	const char *path = o->resume ? o->resume : o->output;

	out->began = gc_now();
	out->path = path ? path : "standard output";
	if (o->group) {
		out->groups = gc_triage_groups_new(o->by);
		out->bar = isatty(STDERR_FILENO);
		if (!out->groups)
			gc_warn("out of memory");
		return out->groups != NULL;
	}
	if (!path)
		out->fd = STDOUT_FILENO;
	else if (!open_file(out))
		return false;
	out->bar = isatty(STDERR_FILENO) && !isatty(out->fd);
	return true;
}

bool triage_output_keep(struct triage_output *out, uint64_t good)
{
	struct stat st;

	out->good = good;
	if (!out->regular || fstat(out->fd, &st) != 0 || (uint64_t)st.st_size <= good)
		return true;
	if (ftruncate(out->fd, (off_t)good) == 0)
		return true;
	gc_warn("%s: cannot be cut to the lines that are whole: %s", out->path, strerror(errno));
	return false;
}

void triage_output_close(struct triage_output *out)
{
	if (out->fd > STDERR_FILENO)
		close(out->fd);
	gc_triage_groups_free(out->groups);
	gc_buf_deinit(&out->line);
}

/** Leave no half line behind. */
static bool write_failed(struct triage_output *out, int errnum)
{
	if (out->regular && ftruncate(out->fd, (off_t)out->good) != 0)
		gc_warn("%s: its last line is only half there", out->path);
	gc_warn("%s: writing failed: %s%s%s", out->path, strerror(errnum),
		out->regular ? "; its lines are whole: go on with --resume=" : "", out->regular ? out->path : "");
	out->failed = true;
	return false;
}

/** One write takes a line whole, but for a pipe that is full and a disk that is. */
static bool write_line(struct triage_output *out, const char *text, size_t len)
{
	gc_buf_clear(&out->line);
	gc_buf_add(&out->line, text, len);
	gc_buf_char(&out->line, '\n');
	if (out->line.failed)
		return write_failed(out, ENOMEM);
	for (size_t at = 0; at < out->line.len;) {
		ssize_t put = write(out->fd, out->line.data + at, out->line.len - at);

		if (put < 0 && errno != EINTR)
			return write_failed(out, errno);
		at += put > 0 ? (size_t)put : 0;
	}
	out->good += out->line.len;
	return true;
}

bool triage_take_line(void *data, const char *text, size_t len)
{
	struct triage_output *out = data;
	struct gc_error err;
	json_t *line;

	if (!out->groups)
		return write_line(out, text, len);
	line = json_loadb(text, len, 0, NULL);
	if (line && gc_triage_groups_add(out->groups, line, &err) != GC_OK) {
		gc_warn("%s", err.text);
		out->failed = true;
	}
	json_decref(line);
	return !out->failed;
}

/* The bar. */

/** "4:05", "1:02:45" */
static const char *format_time(double seconds, char buf[32])
{
	unsigned long s = seconds < 1e7 ? (unsigned long)seconds : 9999999;

	if (s >= 3600)
		snprintf(buf, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(buf, 32, "%lu:%02lu", s / 60, s % 60);
	return buf;
}

void triage_show_progress(void *data, const struct gc_triage_progress *p)
{
	enum { WIDTH = 24 };
	struct triage_output *out = data;
	const size_t seen = p->done + p->skipped;
	const double spent = gc_now() - out->began, rate = spent > 0 ? (double)seen / spent : 0;
	char bar[WIDTH + 1], time[32], failed[48] = "";
	size_t full = p->total ? seen * WIDTH / p->total : WIDTH;

	if (!out->bar)
		return;
	if (seen >= p->total) {
		fprintf(stderr, "\r\033[K");
		return;
	}
	memset(bar, ' ', WIDTH);
	memset(bar, '=', full < WIDTH ? full : WIDTH);
	bar[WIDTH] = '\0';
	if (p->failed)
		snprintf(failed, sizeof(failed), "  %zu failed", p->failed);
	fprintf(stderr, "\r[%s] %zu of %zu cores  %.0f/s  %s left%s\033[K", bar, seen, p->total, rate,
		rate > 0 ? format_time((double)(p->total - seen) / rate, time) : "?", failed);
}

/* Going on. */

struct resume {
	struct gc_intern seen;
	struct gc_buf text;
	bool failed;
};

static bool remember(void *data, json_t *line)
{
	struct resume *r = data;
	struct gc_error err;
	size_t index;

	gc_buf_clear(&r->text);
	if (gc_triage_identity(line, &r->text))
		r->failed = gc_intern(&r->seen, r->text.data, r->text.len, &index, &err) != GC_OK;
	return !r->failed;
}

/** Has this file, as it is now, a line? */
static bool is_done(struct resume *r, const char *path)
{
	struct gc_core_identity id = { .path = path };
	size_t index, before = r->seen.count;
	struct gc_error err;
	struct stat st;

	if (stat(path, &st) == 0) {
		id.size = (uint64_t)st.st_size;
		id.inode = st.st_ino;
		id.mtime_s = st.st_mtim.tv_sec;
		id.mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	}
	gc_buf_clear(&r->text);
	if (!gc_triage_identity_of(&id, &r->text) ||
	    gc_intern(&r->seen, r->text.data, r->text.len, &index, &err) != GC_OK) {
		r->failed = true;
		return false;
	}
	return index != before; /* the same path a second time in the list is done as well */
}

bool triage_resume(const char *path, const struct gc_triage_list *list, bool *done, uint64_t *good)
{
	struct gc_problems problems = { .list = NULL };
	struct resume r = { .failed = false };
	struct gc_error err;
	size_t n = 0;

	*good = 0;
	if (access(path, F_OK) != 0 && errno == ENOENT)
		return true; /* the first of several runs */
	if (gc_triage_read(path, remember, &r, good, &problems, &err) != GC_OK) {
		print_error(path, &err);
		r.failed = true;
	}
	for (size_t i = 0; i < problems.count; i++)
		gc_warn("%s: %s", problems.list[i].where, problems.list[i].what);
	gc_problems_deinit(&problems);
	for (size_t i = 0; i < list->count && !r.failed; i++)
		n += done[i] = is_done(&r, list->files[i].path);
	if (isatty(STDERR_FILENO) && !r.failed)
		fprintf(stderr, "%s: %zu of %zu cores are done\n", path, n, list->count);
	gc_intern_deinit(&r.seen);
	gc_buf_deinit(&r.text);
	return !r.failed;
}
