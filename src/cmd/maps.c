#include "cmd/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/document.h"

#define MAX_ADDRS 256

struct maps_options {
	struct common_options common;
	const char *core, *program;
	uint64_t addrs[MAX_ADDRS];
	size_t naddrs;
	bool json;
};

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "Print JSON (schema gocore-stub/maps/1)", 1 },
	{ 0 },
};

/** Only 0x... is an address: a program may be called 1000. */
static bool is_address(const char *arg)
{
	return strncmp(arg, "0x", 2) == 0 || strncmp(arg, "0X", 2) == 0;
}

static void add_address(struct argp_state *state, struct maps_options *o, const char *arg)
{
	char *end;

	errno = 0;
	if (o->naddrs == MAX_ADDRS)
		argp_error(state, "more than %d addresses", MAX_ADDRS);
	o->addrs[o->naddrs++] = strtoull(arg, &end, 16);
	if (errno || *end || end == arg + 2)
		argp_error(state, "%s: not an address", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct maps_options *o = state->input;

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		if (!o->core)
			o->core = arg;
		else if (is_address(arg))
			add_address(state, o, arg);
		else if (!o->program && !o->naddrs)
			o->program = arg;
		else
			argp_error(state, "%s: not an address (they start with 0x)", arg);
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
	.args_doc = "CORE [PROGRAM] [0xADDR...]",
	.doc = "Show the memory map of a core like /proc/PID/maps, and what each range is: dumped, "
	       "recovered from a file, missing, or truncated."
	       "\vWith addresses: what is there, or which range ends how far before it and which "
	       "starts after it.\n\n"
	       "  gocore-stub maps core.4711 ./server\n"
	       "  gocore-stub maps core.4711 ./server 0xffffb17cf8b0 0xdead0010\n",
	.children = common_children,
};

int run_maps(int argc, char **argv)
{
	struct maps_options o = { .core = NULL };
	struct gc_process process;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_process(&process, o.core, o.program, &o.common))
		return EXIT_UNUSABLE;
	status = print_document(gc_maps(&process, o.addrs, o.naddrs), o.json, gc_maps_text);
	gc_process_close(&process);
	return status;
}
