/*
 * A worker: one process that reads cores, one after the other. It is in a cage
 * from its first core on, has a limit of memory, and leaves no core itself.
 */
#include "triage/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/instrumented.h"
#include "base/io.h"
#include "gocore/file_cache.h"
#include "gocore/sandbox.h"
#include "triage/fetch.h"

/* Bytes of programs' tables that are kept from one core to the next. */
#define MAX_KEPT (40U << 20)

/* Exit status of one that could not begin. */
#define EXIT_NO_START 1

static bool answer(int fd, enum triage_status status, const char *text, size_t len)
{
	const struct triage_reply reply = { .status = status, .len = (uint32_t)len };

	return len <= TRIAGE_MAX_LINE && gc_send_all(fd, &reply, sizeof(reply)) && gc_send_all(fd, text, len);
}

static bool answer_failed(int fd, const struct gc_error *err)
{
	const enum triage_status status = err->code == GC_E_MEMORY ? TRIAGE_NO_MEMORY
					: err->code == GC_E_NOT_FOUND ? TRIAGE_NO_CORE : TRIAGE_UNUSABLE;

	return answer(fd, status, err->text, strlen(err->text));
}

static bool answer_line(int fd, json_t *line)
{
	const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(9);
	const double began = gc_now();
	struct gc_error err;
	size_t len = json_dumpb(line, NULL, 0, flags);
	char *text;
	bool ok;

	if (json_object_get(line, "timings_ms")) { /* what writing takes is known only when it was done */
		gc_triage_time(line, "output", gc_now() - began);
		len = json_dumpb(line, NULL, 0, flags);
	}
	text = len && len <= TRIAGE_MAX_LINE ? malloc(len) : NULL;
	if (!text) {
		gc_fail_memory(&err);
		return answer_failed(fd, &err);
	}
	json_dumpb(line, text, len, flags);
	ok = answer(fd, TRIAGE_LINE, text, len);
	free(text);
	return ok;
}

/** @return false when there is nobody to answer to */
static bool serve_one(int fd, struct gc_triage_reader *reader)
{
	struct triage_request request;
	struct gc_core_identity id;
	struct gc_error err = { .code = GC_OK };
	double began;
	json_t *line;
	char *path;
	bool ok;

	if (!gc_read_all(fd, &request, sizeof(request)))
		return false;
	path = malloc((size_t)request.path_len + 1);
	if (!path || !gc_read_all(fd, path, request.path_len))
		return false;
	path[request.path_len] = '\0';
	id = (struct gc_core_identity){
		.path = path, .size = request.size, .inode = request.inode,
		.mtime_s = request.mtime_s, .mtime_ns = request.mtime_ns,
	};
	began = gc_now();
	line = gc_triage_line(reader, &id, &err);
	if (line)
		gc_triage_elapsed(line, gc_now() - began);
	ok = line ? answer_line(fd, line) : answer_failed(fd, &err);
	json_decref(line);
	free(path);
	return ok;
}

static void set_limit(int what, rlim_t value)
{
	const struct rlimit limit = { value, value };

	setrlimit(what, &limit);
}

/** Whatever is open in the parent: its output, and the other workers. */
static void close_others(const int *others, size_t nothers, bool verbose)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (size_t i = 0; i < nothers; i++)
		close(others[i]);
	if (null < 0)
		return;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!verbose)
		dup2(null, STDERR_FILENO);
	close(null);
}

static void default_signals(void)
{
	static const int signals[] = { SIGBUS, SIGTERM, SIGHUP, SIGPIPE };

	for (size_t i = 0; i < GC_COUNT(signals); i++)
		signal(signals[i], SIG_DFL);
	signal(SIGINT, SIG_IGN); /* that of the terminal is the parent's affair */
}

static _Noreturn void run(const struct gc_triage_options *options, int fd)
{
	struct gc_find_options find = *options->find;
	struct gc_triage_reader *reader;
	struct gc_error err;
	int scratch = -1, fetcher;

	if (gc_input_scratch(&scratch, &err) != GC_OK)
		scratch = -1;
	triage_fetch_start(&find, fd, &fetcher);
	reader = gc_triage_reader_new(&find, scratch, options->timings);
	if (!reader)
		_exit(EXIT_NO_START);
	set_limit(RLIMIT_CORE, 0);
	/*
	 * Not RLIMIT_AS: files are mapped whole, however large. RLIMIT_DATA counts what
	 * is private and can be written to since Linux 4.7 (mm/mmap.c, may_expand_vm).
	 */
	malloc_trim(0); /* what the parent left is not for free */
	if (options->memory_limit && !GC_INSTRUMENTED)
		set_limit(RLIMIT_DATA, options->memory_limit);
	if (options->sandbox && gc_sandbox_enter_files(&err) != GC_OK && err.code == GC_E_MEMORY)
		_exit(EXIT_NO_START);
	while (serve_one(fd, reader))
		if (mallinfo2().uordblks > MAX_KEPT)
			gc_file_cache_clear(options->find->files);
	_exit(0);
}

enum gc_code triage_worker_start(const struct gc_triage_options *options, const int *others, size_t nothers,
				 pid_t *pid, int *socket, struct gc_error *err)
{
	const pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return gc_fail_errno(err, errno, "no socket for a worker");
	*pid = fork();
	if (*pid < 0) {
		int errnum = errno;

		close(pair[0]);
		close(pair[1]);
		return gc_fail_errno(err, errnum, "no worker can be started");
	}
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(EXIT_NO_START);
		close(pair[0]);
		close_others(others, nothers, options->verbose);
		default_signals();
		run(options, pair[1]);
	}
	close(pair[1]);
	*socket = pair[0];
	return GC_OK;
}
