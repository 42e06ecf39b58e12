#include "gocore/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"

#define MAX_INSTRUCTIONS 1000

struct snapshot_options {
	struct common_options common;
	struct gc_snapshot_options what;
	const char *core, *program;
	bool json;
};

enum {
	OPT_REGISTERS = 0x200,
	OPT_DISASSEMBLE,
	OPT_FLAVOR,
	OPT_AUXV,
	OPT_ENV,
};

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "Print JSON (schema gocore-stub/snapshot/1)", 1 },
	{ "registers", OPT_REGISTERS, "SET", 0, "Of every thread: general (default), all, none", 1 },
	{ "disassemble", OPT_DISASSEMBLE, "N", 0,
	  "Instructions to show around the pc of every thread (default 5; 0: none)", 1 },
	{ "disassembly-flavor", OPT_FLAVOR, "intel|att", 0, "How x86_64 instructions are written (default intel)", 1 },
	{ "auxv", OPT_AUXV, NULL, 0, "Show the auxiliary vector", 1 },
	{ "env", OPT_ENV, NULL, 0,
	  "Show the arguments and the environment that the program was started with (they may hold secrets)", 1 },
	{ 0 },
};

static void set_registers(struct argp_state *state, struct gc_snapshot_options *o, const char *arg)
{
	if (strcmp(arg, "general") == 0)
		o->registers = GC_REGISTERS_GENERAL;
	else if (strcmp(arg, "all") == 0)
		o->registers = GC_REGISTERS_ALL;
	else if (strcmp(arg, "none") == 0)
		o->registers = GC_REGISTERS_NONE;
	else
		argp_error(state, "--registers=%s: it is general, all or none", arg);
}

static void set_instructions(struct argp_state *state, struct gc_snapshot_options *o, const char *arg)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (errno || *end || end == arg || *arg == '-' || n > MAX_INSTRUCTIONS)
		argp_error(state, "--disassemble=%s: not a number up to %d", arg, MAX_INSTRUCTIONS);
	o->instructions = (unsigned)n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct snapshot_options *o = state->input;

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case OPT_REGISTERS:
		set_registers(state, &o->what, arg);
		return 0;
	case OPT_DISASSEMBLE:
		set_instructions(state, &o->what, arg);
		return 0;
	case OPT_FLAVOR:
		o->what.att = strcmp(arg, "att") == 0;
		if (!o->what.att && strcmp(arg, "intel") != 0)
			argp_error(state, "--disassembly-flavor=%s: it is intel or att", arg);
		return 0;
	case OPT_AUXV:
		o->what.auxv = true;
		return 0;
	case OPT_ENV:
		o->what.env = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		take_file(state, arg, &o->core, &o->program);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which core?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM]",
	.doc = "Say how a process died, without a debugger: the signal, the access that faulted, and every "
	       "thread with its stack, system call, registers and code. The crashed thread comes first."
	       "\vA system call is shown for threads that were in one. What is not known is left out.\n\n"
	       "  gocore-stub snapshot core.4711 ./server\n"
	       "  gocore-stub snapshot core.4711 --registers=none --disassemble=0\n"
	       "  gocore-stub snapshot --json core.4711 | jq '.threads[0].fault.text'\n",
	.children = common_children,
};

int run_snapshot(int argc, char **argv)
{
	struct snapshot_options o = { .what.instructions = GC_SNAPSHOT_INSTRUCTIONS };
	struct gc_find_options find;
	struct gc_process process;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_process(&process, o.core, o.program, &o.common))
		return EXIT_UNUSABLE;
	find = find_options(&o.common, o.program);
	o.what.find = &find;
	status = print_last_document(gc_snapshot(&process, &o.what), o.json, gc_snapshot_text);
	gc_process_close(&process);
	return status;
}
