/*
 * How long commands take, beside each other:
 *
 *	compare [-n ROUNDS] [-o FILE] NAME COMMAND [ARG...] [-- NAME COMMAND [ARG...]]...
 *
 * runs them in turn (a, b, a, b, ...), so that a busy machine slows all of them alike, each twice, so that
 * none pays for the processor's caches that the one before has filled, and prints of the second runs of
 * each the least and the median time from its start to its end, the median as a multiple of the first
 * one's, and the most memory that it had. What they print goes to FILE (/dev/null). A shell's own loop
 * would add half a millisecond for its fork.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COMMANDS 16

extern char **environ;

struct row {
	const char *name;
	char **argv;
	double *times;      /* ms */
	int runs;
	long memory;        /* KiB */
	int failed;         /* wait status or, negative, an error number; 0: none */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void run(struct row *r, const posix_spawn_file_actions_t *files, bool counts)
{
	const double begin = now();
	struct rusage usage;
	int status;
	pid_t pid;

	r->failed = -posix_spawnp(&pid, r->argv[0], files, NULL, r->argv, environ);
	if (r->failed)
		return;
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	if (counts)
		r->times[r->runs++] = now() - begin;
	r->failed = status;
	if (usage.ru_maxrss > r->memory)
		r->memory = usage.ru_maxrss;
}

static int compare_times(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static double median(const struct row *r)
{
	return r->times[r->runs / 2];
}

static void print_row(const struct row *r, const struct row *first)
{
	if (r->failed == -ENOENT)
		printf("%-34s (there is none)\n", r->name);
	else if (r->failed)
		printf("%-34s failed (%s %d)\n", r->name, r->failed < 0 ? strerror(-r->failed) : "wait status", r->failed);
	else
		printf("%-34s %10.2f ms %10.2f ms  %8.2f x  %8.1f MiB\n", r->name, r->times[0], median(r),
		       first->failed ? 0.0 : median(r) / median(first), (double)r->memory / 1024);
}

/** Cut the arguments into commands. @return how many there are, 0: not as it should be */
static int split(struct row *rows, char **argv)
{
	int n = 0;

	while (argv[0]) {
		if (n == MAX_COMMANDS || !argv[1])
			return 0;
		rows[n++] = (struct row){ .name = argv[0], .argv = argv + 1 };
		for (argv++; *argv && strcmp(*argv, "--") != 0; argv++)
			;
		if (*argv)
			*argv++ = NULL;
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *output = "/dev/null";
	struct row rows[MAX_COMMANDS];
	posix_spawn_file_actions_t files;
	int rounds = 21, option, n;

	while ((option = getopt(argc, argv, "+n:o:")) != -1) {
		if (option == 'n')
			rounds = atoi(optarg);
		else if (option == 'o')
			output = optarg;
		else
			return 2;
	}
	n = split(rows, argv + optind);
	if (n == 0 || rounds < 1) {
		fprintf(stderr, "usage: compare [-n ROUNDS] [-o FILE] NAME COMMAND [ARG...] [-- ...]\n");
		return 2;
	}
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < n; i++) {
		rows[i].times = calloc((size_t)rounds, sizeof(*rows[i].times));
		if (!rows[i].times)
			return 1;
	}
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < n; i++)
			for (int run_of = rounds > 1 ? 0 : 1; run_of < 2 && !rows[i].failed; run_of++)
				run(&rows[i], &files, run_of == 1);
	for (int i = 0; i < n; i++) {
		qsort(rows[i].times, (size_t)rows[i].runs, sizeof(*rows[i].times), compare_times);
		print_row(&rows[i], &rows[0]);
	}
	for (int i = 0; i < n; i++)
		free(rows[i].times);
	posix_spawn_file_actions_destroy(&files);
	return 0;
}
