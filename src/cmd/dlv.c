/*
 * Delve on a core. It speaks the remote protocol only to a stub that it
 * starts itself, so it is told to start us (cmd/helper.h); and it takes the
 * architecture from its own build, so that cores of another one are for its
 * own core reader, made anew where that would stumble.
 */
#include "cmd/dlv.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/helper.h"
#include "gocore/log.h"
#include "gocore/signals.h"

struct dlv_options {
	struct common_options common;
	const char *dlv, *connect;
	const char *files[2];
	size_t nfiles;
};

enum { OPT_DLV = 0x200, OPT_CONNECT };

static const struct argp_option options[] = {
	{ "dlv", OPT_DLV, "PATH", 0, "The Delve to start (default: dlv in PATH)", 1 },
	{ "connect", OPT_CONNECT, "ADDR", 0,
	  "No core: a gocore-stub that listens at :PORT, HOST:PORT or unix:PATH has it", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct dlv_options *o = state->input;

	switch (key) {
	case OPT_DLV:
		o->dlv = arg;
		return 0;
	case OPT_CONNECT:
		o->connect = arg;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		if (o->nfiles == (o->connect ? 1 : 2))
			argp_error(state, "%s: what is for Delve goes behind --", arg);
		o->files[o->nfiles++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->nfiles)
			argp_error(state, o->connect ? "which program?" : "which core?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM] [-- DELVE-OPTION...]\n--connect=ADDR PROGRAM [-- DELVE-OPTION...]",
	.doc = "Start Delve on a core of a Go program, with the crashed thread selected."
	       "\vA Delve of the core's own architecture gets the core from gocore-stub, which it takes for its "
	       "debugserver. Any other Delve opens the core with its own core reader: as it is, or made anew if "
	       "that reader would stumble over it. Nothing is ever run.\n\n"
	       "In a terminal:\n"
	       "  gocore-stub dlv core.4711 ./server\n"
	       "  (dlv) goroutines -t\n"
	       "  (dlv) goroutine 17 bt\n"
	       "  echo 'goroutines' | gocore-stub dlv core.zst ./server\n"
	       "  fetch-core 4711 | gocore-stub dlv - ./server\n"
	       "  gocore-stub dlv core --dlv=./dlv -- --check-go-version=false\n\n"
	       "For editors, and for 'dlv connect localhost:4040' in other terminals:\n"
	       "  gocore-stub dlv core ./server -- --headless --listen=localhost:4040\n"
	       "VS Code's launch.json then has\n"
	       "  { \"type\": \"go\", \"request\": \"attach\", \"mode\": \"remote\", \"name\": \"core\",\n"
	       "    \"host\": \"localhost\", \"port\": 4040, \"stopOnEntry\": true }\n\n"
	       "As a debug adapter; the launch request to send it is printed:\n"
	       "  gocore-stub dlv core ./server -- dap --listen=localhost:4040\n\n"
	       "On a core that is served already (gocore-stub core ./server --listen=:1234):\n"
	       "  gocore-stub dlv --connect=:1234 ./server\n\n"
	       "By hand, which is what this command does:\n"
	       "  export DELVE_DEBUGSERVER_PATH=$(command -v gocore-stub)\n"
	       "  dlv exec --backend=lldb ./server -- core.4711",
	.children = common_children,
};

/* Facts of the core and the program. */

/** @return false after saying so if there is no file of the program */
static bool has_program(const struct gc_process *p, const struct dlv_options *o)
{
	const struct gc_image *program = gc_images_program(&p->images);

	if (program && program->file)
		return true;
	gc_warn("%s: its program %s%swas not found, and Delve needs it: name it behind the core, or the folder that "
		"has it (--bin-dir)", o->files[0], program ? program->path : "", program ? " " : "");
	return false;
}

/** What the user sees first. */
static void print_start(const struct dlv_start *s, const char *core, int signal, bool on_stub)
{
	char number[16], version[32] = "Delve";
	const char *name = signal ? gc_signal_name(signal, number) : "no signal";

	if (s->delve->version.minor)
		snprintf(version, sizeof(version), "Delve 1.%u.%u", s->delve->version.minor, s->delve->version.patch);
	fprintf(stderr, "%s on %s: %s, thread %" PRId64 "\n", version,
		strcmp(core, "-") == 0 ? "standard input" : core, name, s->crashed);
	if (s->args->headless && on_stub)
		fprintf(stderr, "Delve starts at any thread; 'thread %" PRId64 "' is the one that crashed\n",
			s->crashed);
}

/** A core that is cut off shows less, and Delve would not say why. */
static void print_problems(const struct gc_process *p)
{
	struct gc_buf text = GC_BUF_INIT;

	banner_problems(p, &text);
	fputs(gc_buf_text(&text), stderr);
	gc_buf_deinit(&text);
}

/* The two ways. */

static int start_on_stub(const struct dlv_start *s, const struct gc_core *core, const struct dlv_options *o)
{
	char path[PATH_MAX];

	if (!dlv_core(core, path) || !dlv_set_options(&o->common))
		return EXIT_UNUSABLE;
	setenv(HELPER_CORE, path, 1);
	setenv(HELPER_PROGRAM, s->program, 1);
	unsetenv(HELPER_CONNECT);
	print_start(s, core->input.path, core->signal, true);
	if (s->args->dap)
		dlv_print_launch(s->program, NULL);
	return dlv_exec_on_stub(s);
}

static int start_on_core(const struct dlv_start *s, const struct gc_process *p)
{
	const struct gc_core *core = &p->core;
	char path[PATH_MAX];

	fprintf(stderr, "this Delve is built for %s and takes every stub for that, so it reads the %s core itself\n",
		s->delve->arch ? s->delve->arch->elf_name : "another architecture", core->arch->elf_name);
	if (!dlv_readable_core(p, path))
		return EXIT_UNUSABLE;
	print_start(s, core->input.path, core->signal, false);
	if (s->args->dap)
		dlv_print_launch(s->program, path);
	return dlv_exec_on_core(s, path);
}

static int start(const struct gc_process *p, const struct dlv_options *o, const struct dlv_args *args)
{
	const struct gc_image *program = gc_images_program(&p->images);
	char path[PATH_MAX];
	struct gc_error err;
	struct delve delve;
	const struct dlv_start s = { &delve, args, path, p->core.threads[0].tid };

	if (delve_find(&delve, o->dlv, &err) != GC_OK) {
		gc_warn("%s", err.text);
		return EXIT_UNUSABLE;
	}
	if (!dlv_takes(program->file, program->found_path, &delve, args) ||
	    !dlv_program(program->file, program->found_path, path))
		return EXIT_UNUSABLE;
	print_problems(p);
	if (dlv_is_stdin(&p->core))
		dlv_take_terminal(args);
	return delve.arch == p->core.arch ? start_on_stub(&s, &p->core, o) : start_on_core(&s, p);
}

static int run_on_core(const struct dlv_options *o, const struct dlv_args *args)
{
	struct gc_process process;
	int status = EXIT_UNUSABLE;

	if (!open_process(&process, o->files[0], o->files[1], &o->common))
		return EXIT_UNUSABLE;
	if (has_program(&process, o))
		status = start(&process, o, args);
	gc_process_close(&process);
	return status;
}

/** What is behind -- is Delve's. @return how many words are ours */
static int split(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--") == 0)
			return i;
	return argc;
}

int run_dlv(int argc, char **argv)
{
	struct dlv_options o = { .dlv = "dlv" };
	int ours = split(argc, argv), status;
	struct dlv_args args;

	argp_parse(&argp, ours, argv, 0, NULL, &o);
	if (!dlv_args_read(&args, ours < argc ? argc - ours - 1 : 0, argv + ours + 1))
		return EXIT_USAGE;
	status = o.connect ? dlv_connected(o.connect, o.files[0], o.dlv, &args) : run_on_core(&o, &args);
	dlv_args_deinit(&args);
	return status;
}
