#include "cmd/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/monitor.h"
#include "gocore/rsp.h"

struct serve_options {
	struct common_options common;
	const char *core, *program, *listen;
	bool once;
};

enum { OPT_ONCE = 0x200, OPT_THREADS };

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "Serving:", 1 },
	{ "listen", 'l', "ADDR", 0,
	  ":PORT (default :1234; loopback only), HOST:PORT, [ADDR]:PORT, :0 (a free port, printed), "
	  "unix:PATH, or stdio", 1 },
	{ "once", OPT_ONCE, NULL, 0, "End with the first client's leaving", 1 },
	{ "threads", OPT_THREADS, "auto|os", 0, "What the debugger's threads are: the OS threads (os)", 1 },
	{ 0 },
};

static void set_threads(struct argp_state *state, const char *arg)
{
	if (strcmp(arg, "auto") != 0 && strcmp(arg, "os") != 0)
		argp_error(state, "--threads=%s: this version knows auto and os", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct serve_options *o = state->input;

	switch (key) {
	case 'l':
		o->listen = arg;
		return 0;
	case OPT_ONCE:
		o->once = true;
		return 0;
	case OPT_THREADS:
		set_threads(state, arg);
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			o->core = arg;
		else if (state->arg_num == 1)
			o->program = arg;
		else
			argp_error(state, "%s: one core, and at most one program to it", arg);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which core?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM]\ninfo CORE|PROGRAM [PROGRAM]\nmaps CORE [PROGRAM] [0xADDR...]",
	.doc = "Serve a core file to debuggers by the GDB remote protocol: any host, any "
	       "architecture, no emulator, no live process."
	       "\vCORE may be compressed with zstd, xz, lz4 or gzip, or - for standard input. PROGRAM may "
	       "be left out: it is then looked for by build ID and by the path that the core names.\n\n"
	       "  gocore-stub core.4711 ./server                 then, in another terminal:\n"
	       "  gdb-multiarch -ex 'target remote :1234'\n\n"
	       "  gocore-stub core.zst ./server --sysroot=/srv/arm64-root --listen=:0\n"
	       "  gdb-multiarch -ex 'target remote | gocore-stub core ./server --listen=stdio'\n\n"
	       "Commands: 'gocore-stub info --help' and 'gocore-stub maps --help' say more of them. "
	       "A core that is called like a command is opened as ./info.\n\n"
	       "Exit status: 0 done, 1 the input can't be used, 2 wrong usage.",
	.children = children,
};

/** The lines to paste, once there is an address. */
static void print_hints(const char *address)
{
	const char *colon = strrchr(address, ':');

	if (strcmp(address, "stdio") == 0)
		return; /* the client is there already */
	if (strncmp(address, "unix:", 5) == 0) {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", address + 5);
		fprintf(stderr, "  lldb -o 'process connect unix-connect://%s'\n", address + 5);
	} else if (strncmp(address, "127.0.0.1:", 10) == 0) {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", colon);
		fprintf(stderr, "  lldb -o 'gdb-remote %s'\n", colon + 1);
	} else {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", address);
		fprintf(stderr, "  lldb -o 'gdb-remote %s'\n", address);
	}
}

static void on_ready(void *data, const char *address, bool loopback)
{
	bool *hinted = data;

	if (!loopback)
		gc_warn("%s can be reached from other hosts: the protocol has no passwords, and a core "
			"holds secrets", address);
	fprintf(stderr, "listening on %s\n", address);
	if (!*hinted)
		print_hints(address);
	*hinted = true;
}

static int serve(const struct gc_process *process, const struct serve_options *o)
{
	bool hinted = false;
	const struct gc_listen where = {
		.address = o->listen,
		.once = o->once,
		.sandbox = !o->common.no_sandbox,
		.ready = on_ready,
		.data = &hinted,
	};
	const struct gc_rsp_options rsp = {
		.monitors = monitor_commands,
		.nmonitors = monitor_command_count,
		.trace = o->common.verbose > 1,
	};
	struct gc_target *target;
	struct gc_error err;

	if (gc_core_target_new(&target, process, &err) != GC_OK) {
		print_error(o->core, &err);
		return EXIT_UNUSABLE;
	}
	if (gc_rsp_serve(target, &rsp, &where, &err) != GC_OK) {
		gc_warn("%s", err.text);
		gc_target_free(target);
		return err.code == GC_E_USAGE ? EXIT_USAGE : EXIT_UNUSABLE;
	}
	gc_target_free(target);
	return EXIT_DONE;
}

int run_serve(int argc, char **argv)
{
	struct serve_options o = { .listen = ":1234" };
	struct gc_buf banner = GC_BUF_INIT;
	struct gc_process process;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_process(&process, o.core, o.program, &o.common))
		return EXIT_UNUSABLE;
	banner_text(&process, &banner);
	fputs(gc_buf_text(&banner), stderr);
	gc_buf_deinit(&banner);
	status = serve(&process, &o);
	gc_process_close(&process);
	return status;
}
