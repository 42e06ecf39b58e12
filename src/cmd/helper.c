#include "cmd/helper.h"

#include <argz.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "gocore/rsp.h"
#include "gocore/target.h"

/* Delve dials within a second or two; without it nobody should be left waiting. */
#define WAIT_SECONDS 30

/** An environment variable; one that is empty is none. */
static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/** The options in the environment. @param words holds them; the caller frees it when it is done with the options */
static bool read_options(struct common_options *out, char **words)
{
	const char *lines = environment(HELPER_OPTIONS);
	static char name[] = HELPER_OPTIONS;
	char **argv;
	size_t len = 0;
	int argc;
	error_t failed;

	*words = NULL;
	if (!lines)
		return true;
	if (argz_create_sep(lines, '\n', words, &len) != 0)
		return false;
	argc = (int)argz_count(*words, len) + 1;
	argv = calloc((size_t)argc + 1, sizeof(*argv));
	if (!argv)
		return false;
	argv[0] = name;
	argz_extract(*words, len, argv + 1);
	while (argc > 1 && !*argv[argc - 1])
		argc--; /* behind the last line's end */
	failed = argp_parse(&common_argp, argc, argv, ARGP_NO_EXIT, NULL, out);
	free(argv);
	return failed == 0;
}

/** rr's last words to gdb, which Delve reads; the program is their last one. */
static void tell_rr(void *data, const char *address, bool loopback, bool last)
{
	const char *program = data;

	(void)loopback;
	if (strncmp(address, "127.", 4) == 0 || last)
		fprintf(stderr, "  gdb '-l' '10000' '-ex' 'target extended-remote %s' %s\n", address, program);
}

static void tell_nobody(void *data, const char *address, bool loopback, bool last)
{
	(void)data;
	(void)address;
	(void)loopback;
	(void)last;
}

/** Meet Delve. @param program as rr would tell it */
static enum gc_code meet(const struct helper *h, const char *program, int *fd, struct gc_error *err)
{
	struct gc_listen where = { .address = h->address, .ready = tell_nobody };

	if (h->kind == HELPER_DIAL)
		return gc_rsp_dial(h->address, fd, err);
	if (h->kind == HELPER_RR) {
		where.address = "127.0.0.1:0";
		where.ready = tell_rr;
		where.data = (char *)program;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* Delve may die before it dials */
	return gc_rsp_accept(&where, WAIT_SECONDS, fd, err);
}

static int fail(const struct gc_error *err)
{
	gc_warn("%s", err->text);
	return EXIT_UNUSABLE;
}

/** Between Delve and a stub that serves already. */
static int relay(const struct helper *h, const char *address, const char *program)
{
	struct gc_error err;
	int stub, client;

	if (gc_rsp_dial(address, &stub, &err) != GC_OK)
		return fail(&err);
	if (meet(h, program ? program : "", &client, &err) != GC_OK || gc_rsp_relay(stub, client, &err) != GC_OK)
		return fail(&err);
	return EXIT_DONE;
}

static int serve(const struct helper *h, const struct gc_process *process, const struct common_options *common)
{
	const struct gc_rsp_options options = { .trace = common->verbose > 1 };
	const struct gc_image *program = gc_images_program(&process->images);
	const char *path = program && program->found_path ? program->found_path : gc_process_exe(process);
	struct gc_target *target;
	struct gc_error err;
	enum gc_code code;
	int fd;

	if (gc_core_target_new(&target, process, &err) != GC_OK)
		return fail(&err);
	code = meet(h, path ? path : "", &fd, &err);
	if (code == GC_OK)
		code = gc_rsp_serve_socket(target, &options, fd, !common->no_sandbox, &err);
	gc_target_free(target);
	return code == GC_OK ? EXIT_DONE : fail(&err);
}

static int open_and_serve(const struct helper *h, const char *core, const char *program)
{
	struct common_options common = { .verbose = 0 };
	struct gc_process process;
	char *words;
	int status = EXIT_UNUSABLE;

	if (!read_options(&common, &words)) {
		status = EXIT_USAGE;
	} else if (open_process(&process, core, program, &common)) {
		status = serve(h, &process, &common);
		gc_process_close(&process);
	}
	free(words);
	return status;
}

int run_helper(const struct helper *h)
{
	const char *connect = environment(HELPER_CONNECT);
	const char *core = environment(HELPER_CORE), *program = environment(HELPER_PROGRAM);

	if (h->kind == HELPER_PROBE)
		return EXIT_DONE;
	if (h->kind == HELPER_WRONG) {
		gc_warn("called as Delve's rr or lldb-server, it knows only the words that Delve uses");
		return EXIT_USAGE;
	}
	if (!core)
		core = h->core;
	if (!program)
		program = h->program;
	if (connect)
		return relay(h, connect, program);
	if (!core) {
		gc_warn("which core? Give it behind the program, or in " HELPER_CORE);
		return EXIT_USAGE;
	}
	return open_and_serve(h, core, program);
}
