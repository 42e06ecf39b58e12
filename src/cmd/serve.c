#include "cmd/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/delve.h"
#include "cmd/monitor.h"
#include "gocore/go_target.h"
#include "gocore/program_file.h"
#include "gocore/rsp.h"

enum threads_mode { THREADS_AUTO, THREADS_OS, THREADS_GO, THREADS_ALL };

struct serve_options {
	struct common_options common;
	const char *core, *program, *listen;
	bool once;
	enum threads_mode threads;
	size_t group_beyond; /* goroutines */
};

enum { OPT_ONCE = 0x200, OPT_THREADS, OPT_GOROUTINES };

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "Serving:", 1 },
	{ "listen", 'l', "ADDR", 0,
	  ":PORT (default :1234; loopback only), HOST:PORT, [ADDR]:PORT, :0 (a free port, printed), "
	  "unix:PATH, or stdio", 1 },
	{ "once", OPT_ONCE, NULL, 0, "End with the first client's leaving", 1 },
	{ "threads", OPT_THREADS, "MODE", 0,
	  "What the debugger's threads are: the OS threads (os), the goroutines (go) or both (all); auto, the "
	  "default, is all for Go programs", 1 },
	{ "goroutines", OPT_GOROUTINES, "N|all", 0,
	  "With more than N goroutines (1000) show those with the same stack and state as one thread", 1 },
	{ 0 },
};

static void set_threads(struct argp_state *state, struct serve_options *o, const char *arg)
{
	static const char *const names[] = { "auto", "os", "go", "all" };

	for (size_t i = 0; i < GC_COUNT(names); i++) {
		if (strcmp(arg, names[i]) == 0) {
			o->threads = (enum threads_mode)i;
			return;
		}
	}
	argp_error(state, "--threads=%s is none of auto, os, go, all", arg);
}

static void set_goroutines(struct argp_state *state, struct serve_options *o, const char *arg)
{
	unsigned long n;
	char *end;

	if (strcmp(arg, "all") == 0) {
		o->group_beyond = SIZE_MAX;
		return;
	}
	errno = 0;
	n = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno)
		argp_error(state, "--goroutines=%s is neither a number nor all", arg);
	o->group_beyond = n;
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
		set_threads(state, o, arg);
		return 0;
	case OPT_GOROUTINES:
		set_goroutines(state, o, arg);
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
	.args_doc = "CORE [PROGRAM]\nCOMMAND ...",
	.doc = "Serve a core file to debuggers by the GDB remote protocol: any host, any "
	       "architecture, no emulator, no live process."
	       "\vCORE may be compressed with zstd, xz, lz4 or gzip, or - for standard input. PROGRAM may "
	       "be left out: it is then looked for by build ID and by the path that the core names.\n\n"
	       "  gocore-stub core.4711 ./server                 then, in another terminal:\n"
	       "  gdb-multiarch -ex 'target remote :1234'\n\n"
	       "  gocore-stub core.zst ./server --sysroot=/srv/arm64-root --listen=:0\n"
	       "  gdb-multiarch -ex 'target remote | gocore-stub core ./server --listen=stdio'\n\n"
	       "Commands, each with a --help of its own (a core that is called like one is opened as ./info):\n\n"
	       "  info        what a core or a program is, and whether they belong together\n"
	       "  snapshot    how it died: signal, access, stacks, registers, code\n"
	       "  goroutines  all goroutines: as Go's traceback, JSON, folded stacks, pprof\n"
	       "  maps        the memory map; what is at an address\n"
	       "  triage      many cores: a line of JSON for each, with its signature\n"
	       "  report      such lines as one page for a browser\n"
	       "  symbols     a symbol file for a stripped Go program\n"
	       "  normalize   a plain, complete core for tools that reject this one\n"
	       "  dlv         Delve on this core\n\n"
	       "Exit status: 0 done, 1 the input can't be used, 2 wrong usage.",
	.children = common_children,
};

/**
 * Delve connects to no stub, so that it has to be started by us; and one of
 * another architecture than the core's, as this host's probably is, wants the
 * core itself.
 */
static void print_delve_hint(const struct gc_process *p, const char *address)
{
	const struct gc_image *program = gc_images_program(&p->images);

	if (!program || !program->file || !gc_go_is_likely(p))
		return;
	if (p->core.arch == delve_host_arch())
		fprintf(stderr, "  gocore-stub dlv --connect=%s %s\n", address, program->found_path);
	else if (strcmp(p->core.input.path, "-") != 0)
		fprintf(stderr, "  gocore-stub dlv %s %s\n", p->core.input.path, program->found_path);
}

/** The lines to paste, once there is an address. */
static void print_hints(const struct gc_process *p, const char *address)
{
	const char *colon = strrchr(address, ':');

	if (strcmp(address, "stdio") == 0)
		return; /* the client is there already */
	if (strncmp(address, "unix:", 5) == 0) {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", address + 5);
		fprintf(stderr, "  lldb -o 'process connect -p gdb-remote unix-connect://%s'\n", address + 5);
	} else if (strncmp(address, "127.0.0.1:", 10) == 0) {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", colon);
		fprintf(stderr, "  lldb -o 'gdb-remote %s'\n", colon + 1);
	} else {
		fprintf(stderr, "  gdb-multiarch -ex 'target remote %s'\n", address);
		fprintf(stderr, "  lldb -o 'gdb-remote %s'\n", address);
	}
	print_delve_hint(p, strncmp(address, "127.0.0.1:", 10) == 0 ? colon : address);
}

/** What on_ready is called for. */
struct listening {
	const struct gc_process *process;
	struct gc_buf first; /* the address that came first */
};

/** The hints come last, for the address that came first. */
static void on_ready(void *data, const char *address, bool loopback, bool last)
{
	struct listening *l = data;

	if (!loopback)
		gc_warn("%s can be reached from other hosts: the protocol has no passwords, and a core "
			"holds secrets", address);
	fprintf(stderr, "listening on %s\n", address);
	if (!l->first.len)
		gc_buf_str(&l->first, address);
	if (last)
		print_hints(l->process, gc_buf_text(&l->first));
}

static int serve(struct gc_target *target, const struct serve_options *o)
{
	struct listening listening = { .process = target->process, .first = GC_BUF_INIT };
	const struct gc_listen where = {
		.address = o->listen,
		.once = o->once,
		.sandbox = !o->common.no_sandbox,
		.ready = on_ready,
		.data = &listening,
	};
	const struct gc_rsp_options rsp = {
		.monitors = monitor_commands,
		.nmonitors = monitor_command_count,
		.trace = o->common.verbose > 1,
	};
	struct gc_error err;
	enum gc_code code = gc_rsp_serve(target, &rsp, &where, &err);

	gc_buf_deinit(&listening.first);
	if (code == GC_OK)
		return EXIT_DONE;
	gc_warn("%s", err.text);
	return code == GC_E_USAGE ? EXIT_USAGE : EXIT_UNUSABLE;
}

/** Show goroutines too, if that is wanted and there are any; @why gets the reason if they cannot be shown. */
static void add_goroutines(struct gc_target **target, const struct serve_options *o, struct gc_error *why)
{
	const struct gc_go_target_options wanted = {
		.only_goroutines = o->threads == THREADS_GO,
		.group_beyond = o->group_beyond,
	};

	why->code = GC_OK;
	if (o->threads == THREADS_AUTO && !gc_go_is_likely((*target)->process))
		return;
	if (o->threads == THREADS_OS || gc_go_target_new(target, *target, &wanted, why) == GC_OK ||
	    (o->threads == THREADS_AUTO && why->code == GC_E_NOT_FOUND))
		why->code = GC_OK;
}

static void print_banner(struct gc_target *target, const struct gc_error *no_goroutines)
{
	struct gc_buf banner = GC_BUF_INIT;

	banner_text(target, no_goroutines->code != GC_OK ? no_goroutines->text : NULL, &banner);
	fputs(gc_buf_text(&banner), stderr);
	gc_buf_deinit(&banner);
}

static int serve_process(const struct gc_process *process, const struct serve_options *o)
{
	struct gc_program_file *program_file = NULL;
	struct gc_target *target;
	struct gc_error err;
	int status;

	if (gc_core_target_new(&target, process, &err) != GC_OK) {
		print_error(o->core, &err);
		return EXIT_UNUSABLE;
	}
	if (gc_program_file_new(&program_file, process, &err) == GC_OK)
		target->program_file = program_file;
	add_goroutines(&target, o, &err);
	if (program_file && gc_go_target_go(target))
		gc_program_file_show_waiting(program_file, gc_go_target_go(target));
	print_banner(target, &err);
	status = serve(target, o);
	gc_target_free(target);
	gc_program_file_free(program_file);
	return status;
}

int run_serve(int argc, char **argv)
{
	struct serve_options o = { .listen = ":1234", .group_beyond = GC_GO_GROUP_BEYOND };
	struct gc_process process;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_process(&process, o.core, o.program, &o.common))
		return EXIT_UNUSABLE;
	status = serve_process(&process, &o);
	gc_process_close(&process);
	return status;
}
