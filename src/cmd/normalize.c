#include "gocore/normalize.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

struct normalize_options {
	struct common_options common;
	enum gc_reader reader;
	const char *core, *program, *output;
};

enum {
	OPT_FOR = 0x200,
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Where to write the new core; -: standard output", 1 },
	{ "for", OPT_FOR, "READER", 0, "Who is going to read it: any (default), gdb, lldb, dlv", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct normalize_options *o = state->input;

	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case OPT_FOR:
		if (!gc_reader_named(arg, &o->reader))
			argp_error(state, "--for=%s: it is any, gdb, lldb or dlv", arg);
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
	case ARGP_KEY_END:
		if (!o->output || !*o->output)
			argp_error(state, "where to? (-o FILE)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM] -o FILE",
	.doc = "Write a plain, complete core for tools that reject or misread this one: unpacked, with notes as the "
	       "kernel writes them, and with the memory that is only in the program's and libraries' files. "
	       "Cores of Delve and of qemu's user mode become such cores too."
	       "\vWhat is not known stays a hole. The new file is sparse and readable by you alone; it replaces "
	       "FILE when it is whole. With --for=dlv it has no NT_FILE, whose every row Delve takes for one of "
	       "the program; with --for=lldb and --for=dlv mappings without content are listed, in which gdb "
	       "would show zeros.\n\n"
	       "  gocore-stub normalize core.4711.zst ./server -o core.plain\n"
	       "  gocore-stub normalize core.4711 ./server --sysroot=./target -o core.full --for=gdb\n"
	       "  gocore-stub normalize core.4711 ./server -o core.dlv --for=dlv && dlv core ./server core.dlv\n"
	       "  gocore-stub normalize core.4711 -o - | zstd >core.full.zst\n",
	.children = common_children,
};

static void print_problems(const char *path, const struct gc_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++)
		gc_warn("%s: %s: %s", path, problems->list[i].where, problems->list[i].what);
}

/** "38.5 MiB" */
static const char *amount(uint64_t bytes, char buf[32])
{
	if (bytes >= 1ULL << 30)
		snprintf(buf, 32, "%.1f GiB", (double)bytes / 0x1p30);
	else if (bytes >= 1 << 20)
		snprintf(buf, 32, "%.1f MiB", (double)bytes / 0x1p20);
	else
		snprintf(buf, 32, "%.0f KiB", (double)bytes / 0x1p10);
	return buf;
}

/** One line, so that nobody takes a core with holes for a complete one. */
static void print_summary(const char *path, const struct gc_normalized *n)
{
	char memory[32], recovered[32], absent[32], cut[32];

	fprintf(stderr, "%s: %zu thread%s, %s of memory", path, n->threads, n->threads == 1 ? "" : "s",
		amount(n->memory, memory));
	if (n->recovered)
		fprintf(stderr, ", %s of it out of files", amount(n->recovered, recovered));
	if (n->absent)
		fprintf(stderr, "; %s were not dumped and stay holes", amount(n->absent, absent));
	if (n->cut)
		fprintf(stderr, "; %s were cut off", amount(n->cut, cut));
	fputc('\n', stderr);
}

static enum gc_code write_core(const struct gc_process *p, const struct normalize_options *o,
			       struct gc_normalized *out, struct gc_problems *problems, struct gc_error *err)
{
	struct progress progress = { .what = "writing" };
	const struct gc_normalize_options how = {
		.reader = o->reader, .progress = progress_bar(), .data = &progress,
	};
	enum gc_code code;

	if (strcmp(o->output, "-") != 0)
		code = gc_normalize_save(p, &how, o->output, out, problems, err);
	else if (isatty(STDOUT_FILENO))
		code = gc_fail(err, GC_E_USAGE, "standard output is a terminal: a core is not written there");
	else
		code = gc_normalize(p, &how, STDOUT_FILENO, out, problems, err);
	progress_done(&progress);
	return code;
}

static int normalize(const struct gc_process *p, const struct normalize_options *o)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_normalized n;
	struct gc_error err;
	enum gc_code code = write_core(p, o, &n, &problems, &err);

	if (code == GC_OK) {
		print_problems(o->core, &p->core.problems);
		print_problems(o->core, &p->problems);
		print_problems(o->core, &problems);
		print_summary(strcmp(o->output, "-") == 0 ? "standard output" : o->output, &n);
	} else {
		print_error(code == GC_E_LIMIT ? o->core : o->output, &err);
	}
	gc_problems_deinit(&problems);
	return code == GC_OK ? EXIT_DONE : EXIT_UNUSABLE;
}

int run_normalize(int argc, char **argv)
{
	struct normalize_options o = { .reader = GC_READER_ANY };
	struct gc_process process;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	signal(SIGXFSZ, SIG_IGN); /* over the limit of file sizes (ulimit -f) write fails, which is said */
	if (!open_process(&process, o.core, o.program, &o.common))
		return EXIT_UNUSABLE;
	status = normalize(&process, &o);
	gc_process_close(&process);
	return status;
}
