/*
 * gocore-stub: opens Linux core files of any architecture and serves them to
 * debuggers. This file picks the command and sets up the process.
 */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/helper.h"

static const struct command commands[] = {
	{ "dlv", run_dlv },
	{ "goroutines", run_goroutines },
	{ "info", run_info },
	{ "maps", run_maps },
	{ "normalize", run_normalize },
	{ "report", run_report },
	{ "snapshot", run_snapshot },
	{ "symbols", run_symbols },
	{ "triage", run_triage },
};

/*
 * Files are mapped, so one that another program cuts short while we read it
 * shows up as SIGBUS. There is nothing left to read then.
 */
static void on_sigbus(int signal)
{
	static const char text[] = "gocore-stub: a file was cut short while it was being read\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)signal;
	(void)ignored;
	_exit(EXIT_UNUSABLE);
}

static void catch_sigbus(void)
{
	struct sigaction action = { .sa_handler = on_sigbus };

	sigaction(SIGBUS, &action, NULL);
}

/** jansson would open /dev/urandom for it, which takes longer than all else at the start of a command. */
static void seed_json(void)
{
	size_t seed = 0;
	ssize_t got = getrandom(&seed, sizeof(seed), GRND_NONBLOCK);

	json_object_seed(got == sizeof(seed) ? seed : 0); /* 0: by itself after all */
}

int main(int argc, char **argv)
{
	struct helper helper = helper_of_args(argc, argv);

	catch_sigbus();
	seed_json();
	argp_err_exit_status = EXIT_USAGE;
	if (helper.kind != HELPER_NONE)
		return run_helper(&helper);
	for (size_t i = 0; argc > 1 && i < GC_COUNT(commands); i++) {
		char name[64];

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		snprintf(name, sizeof(name), "gocore-stub %s", commands[i].name);
		argv[1] = name;
		return commands[i].run(argc - 1, argv + 1);
	}
	return run_serve(argc, argv);
}
