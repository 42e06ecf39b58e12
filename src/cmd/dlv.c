/*
 * Delve on a core. It speaks the remote protocol only to a stub that it
 * starts itself, so it is told to start us (cmd/helper.h); and it takes the
 * architecture from its own build, so that cores of another one are for its
 * own core reader, made anew where that would stumble.
 */
#include "cmd/dlv.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/helper.h"
#include "gocore/buildinfo.h"
#include "gocore/normalize.h"
#include "gocore/rsp.h"
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

static const struct argp_child children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

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
	.children = children,
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

/** A Delve whose version takes this Go, for the message. */
static void other_delves(unsigned go, char out[64])
{
	unsigned first = 0, last = 0;

	for (unsigned minor = 6; minor < 100; minor++) {
		struct go_range range = delve_takes((struct delve_version){ minor, UINT_MAX });

		if (go < range.min || go > range.max)
			continue;
		if (!first)
			first = minor;
		last = minor;
	}
	if (!first)
		*out = '\0';
	else
		snprintf(out, 64, first == last ? " (1.%u does)" : " (1.%u to 1.%u do)", first, last);
}

/** Delve's own gate says less, and says it late. @return false after saying it */
static bool is_go_taken(const struct delve *d, const struct dlv_args *args, const char *program, const char *go)
{
	struct go_range range = delve_takes(d->version);
	unsigned minor = go_minor(go);
	char others[64];

	if (!minor || !range.max || args->any_go || (minor >= range.min && minor <= range.max))
		return true;
	other_delves(minor, others);
	gc_warn("%s: was built by %s, and Delve 1.%u.%u (%s) is for Go 1.%u to 1.%u: name one that is for it with "
		"--dlv=PATH%s, or try your luck with -- --check-go-version=false", program, go, d->version.minor,
		d->version.patch, d->path, range.min, range.max, others);
	return false;
}

/** @return false after saying so if it is no Go program, or none for this Delve */
static bool is_for_delve(struct gc_elf_file *file, const char *path, const struct delve *d,
			 const struct dlv_args *args)
{
	struct gc_buildinfo info;
	const uint8_t *bytes;
	uint64_t len, addr;
	bool taken;

	if (gc_buildinfo_of_file(&info, file, NULL) != GC_OK) {
		gc_warn("%s: is no Go program, and Delve is for Go: gdb and lldb take its core", path);
		return false;
	}
	taken = is_go_taken(d, args, path, info.version);
	gc_buildinfo_deinit(&info);
	if (taken && !gc_elf_section(file, ".debug_info", &bytes, &len, &addr) &&
	    !gc_elf_section(file, ".zdebug_info", &bytes, &len, &addr))
		gc_warn("%s: has no debug information (go build -ldflags=-w), without which Delve shows little; gdb gets "
			"names and stacks from gocore-stub all the same", path);
	return taken;
}

/* What Delve is given. */

static bool write_all(int fd, const uint8_t *bytes, uint64_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len < 0x40000000 ? len : 0x40000000);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		len -= (uint64_t)n;
	}
	return true;
}

/**
 * Where Delve finds the program: where we found it, or in a copy if it was
 * compressed or nobody may execute it, which Delve insists on.
 */
static bool program_for_delve(const struct gc_image *program, char out[PATH_MAX])
{
	const struct gc_input *in = &program->file->input;
	struct stat st;
	char path[32];
	int fd;

	if (!in->compression && stat(program->found_path, &st) == 0 && st.st_mode & 0111) {
		if (realpath(program->found_path, out))
			return true;
		gc_warn("%s: %s", program->found_path, strerror(errno));
		return false;
	}
	fd = dlv_nameless("program");
	if (fd < 0)
		return false;
	if (!write_all(fd, in->bytes, in->size)) {
		gc_warn("a copy of %s: %s", program->found_path, strerror(errno));
		return false;
	}
	snprintf(out, PATH_MAX, "%s", dlv_fd_path(fd, path));
	return true;
}

/** The core by its path; by its descriptor if it was unpacked and has none. */
static bool core_for_helper(const struct gc_core *core, char out[PATH_MAX])
{
	const struct gc_input *in = &core->input;
	char path[32];
	int fd;

	if (in->ino) {
		if (realpath(in->path, out))
			return true;
		gc_warn("%s: %s", in->path, strerror(errno));
		return false;
	}
	fd = dup(in->fd); /* without FD_CLOEXEC */
	if (fd < 0) {
		gc_warn("%s: %s", in->path, strerror(errno));
		return false;
	}
	snprintf(out, PATH_MAX, "%s", dlv_fd_path(fd, path));
	return true;
}

static bool add_dirs(struct gc_buf *out, const char *option, const struct dir_list *dirs)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < dirs->count; i++) {
		if (!realpath(dirs->list[i], path))
			continue; /* nothing was found in it */
		if (strchr(path, '\n')) {
			gc_warn("%s: a folder with a line break in its name cannot be passed on", path);
			return false;
		}
		gc_buf_printf(out, "--%s=%s\n", option, path);
	}
	return true;
}

/** The same options for the helper, which starts where Delve likes. */
static bool set_options(const struct common_options *o)
{
	struct gc_buf lines = GC_BUF_INIT;
	bool good = add_dirs(&lines, "sysroot", &o->sysroots) && add_dirs(&lines, "debug-dir", &o->debug_dirs) &&
		    add_dirs(&lines, "bin-dir", &o->bin_dirs);

	if (o->force)
		gc_buf_str(&lines, "--force\n");
	if (o->no_sandbox)
		gc_buf_str(&lines, "--no-sandbox\n");
	for (int i = 0; i < o->verbose; i++)
		gc_buf_str(&lines, "-v\n");
	good = good && setenv(HELPER_OPTIONS, gc_buf_text(&lines), 1) == 0;
	gc_buf_deinit(&lines);
	return good;
}

/** A JSON string of a path. */
static void add_quoted(struct gc_buf *out, const char *text)
{
	gc_buf_char(out, '"');
	for (; *text; text++) {
		if (strchr("\"\\", *text))
			gc_buf_char(out, '\\');
		gc_buf_char(out, *text);
	}
	gc_buf_char(out, '"');
}

/** What a client of `dlv dap` has to say. @param core NULL: gocore-stub has it */
static void print_launch(const char *program, const char *core)
{
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_str(&line, "launch request: { \"request\": \"launch\", \"mode\": ");
	gc_buf_str(&line, core ? "\"core\"" : "\"exec\", \"backend\": \"lldb\"");
	gc_buf_str(&line, ", \"stopOnEntry\": true, \"program\": ");
	add_quoted(&line, program);
	if (core) {
		gc_buf_str(&line, ", \"coreFilePath\": ");
		add_quoted(&line, core);
	}
	fprintf(stderr, "%s }\n", gc_buf_text(&line));
	gc_buf_deinit(&line);
}

/** What the user sees first. */
static void print_start(const struct dlv_start *s, const char *core, int signal, bool on_stub)
{
	char number[16], version[32] = "Delve";
	const char *name = signal ? gc_signal_name(signal, number) : "no signal";

	if (s->delve->version.minor)
		snprintf(version, sizeof(version), "Delve 1.%u.%u", s->delve->version.minor, s->delve->version.patch);
	fprintf(stderr, "%s on %s: %s, thread %" PRId64 "\n", version, core, name, s->crashed);
	if (s->args->headless && on_stub)
		fprintf(stderr, "Delve starts at any thread; 'thread %" PRId64 "' is the one that crashed\n", s->crashed);
}

/* The two ways. */

static int start_on_stub(const struct dlv_start *s, const struct gc_core *core, const struct dlv_options *o)
{
	char path[PATH_MAX];

	if (!core_for_helper(core, path) || !set_options(&o->common))
		return EXIT_UNUSABLE;
	setenv(HELPER_CORE, path, 1);
	setenv(HELPER_PROGRAM, s->program, 1);
	unsetenv(HELPER_CONNECT);
	print_start(s, core->input.path, core->signal, true);
	if (s->args->dap)
		print_launch(s->program, NULL);
	return dlv_exec_on_stub(s);
}

/** The core made anew where Delve would stumble over it. @return false after saying why not */
static bool core_for_delve(const struct gc_process *p, char out[PATH_MAX])
{
	struct progress progress = { .what = "writing" };
	const struct gc_normalize_options how = {
		.reader = GC_READER_DELVE, .progress = progress_bar(), .data = &progress,
	};
	struct gc_normalized written;
	struct gc_error err;
	enum gc_code code;
	char path[32];
	int fd;

	if (!gc_normalize_reasons(p, GC_READER_DELVE, NULL))
		return core_for_helper(&p->core, out);
	fd = dlv_nameless_file();
	if (fd < 0)
		return false;
	code = gc_normalize(p, &how, fd, &written, NULL, &err);
	progress_done(&progress);
	if (code != GC_OK)
		print_error(p->core.input.path, &err);
	snprintf(out, PATH_MAX, "%s", dlv_fd_path(fd, path));
	return code == GC_OK;
}

static int start_on_core(const struct dlv_start *s, const struct gc_process *p)
{
	const struct gc_core *core = &p->core;
	char path[PATH_MAX];

	fprintf(stderr, "this Delve is built for %s and takes every stub for that, so it reads the %s core itself\n",
		s->delve->arch ? s->delve->arch->elf_name : "another architecture", core->arch->elf_name);
	if (!core_for_delve(p, path))
		return EXIT_UNUSABLE;
	print_start(s, core->input.path, core->signal, false);
	if (s->args->dap)
		print_launch(s->program, path);
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
	if (!is_for_delve(program->file, program->found_path, &delve, args) || !program_for_delve(program, path))
		return EXIT_UNUSABLE;
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

/* A stub that serves already. */

/** The thread in the answer to ?, which is the crashed one; 0: not known. */
static gc_tid ask_thread(int fd)
{
	static const char question[] = "$?#3f";
	char answer[4096];
	size_t len = 0;
	char *thread, *dot;

	if (write(fd, question, sizeof(question) - 1) != sizeof(question) - 1)
		return 0;
	do {
		ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);

		if (n <= 0)
			return 0;
		len += (size_t)n;
		answer[len] = '\0';
	} while (!strchr(answer, '#') && len < sizeof(answer) - 1);
	thread = strstr(answer, "thread:");
	if (!thread)
		return 0;
	dot = strchr(thread, '.');
	return strtoll(dot ? dot + 1 : thread + strlen("thread:"), NULL, 16);
}

static int start_connected(const struct dlv_options *o, const struct delve *delve, const struct dlv_args *args,
			   gc_tid crashed)
{
	char path[PATH_MAX];
	const struct dlv_start s = { delve, args, path, crashed };

	if (!realpath(o->files[0], path)) {
		gc_warn("%s: %s", o->files[0], strerror(errno));
		return EXIT_UNUSABLE;
	}
	setenv(HELPER_CONNECT, o->connect, 1);
	setenv(HELPER_PROGRAM, path, 1);
	if (args->dap)
		print_launch(path, NULL);
	return dlv_exec_on_stub(&s);
}

static bool is_arch_of(const struct gc_elf_file *file, const struct delve *delve, const char *path)
{
	const struct gc_arch *arch = gc_arch_by_machine(file->phdrs.machine);

	if (arch && arch == delve->arch)
		return true;
	gc_warn("%s: is of %s, and this Delve (%s) takes every stub for one of %s; give it the core: gocore-stub dlv "
		"CORE PROGRAM", path, arch ? arch->elf_name : "another architecture", delve->path,
		delve->arch ? delve->arch->elf_name : "its own architecture");
	return false;
}

static int run_connected(const struct dlv_options *o, const struct dlv_args *args)
{
	struct gc_elf_file file;
	int fd, status = EXIT_UNUSABLE;
	struct gc_error err;
	struct delve delve;
	gc_tid crashed;

	if (gc_elf_file_open(&file, o->files[0], &err) != GC_OK) {
		print_error(o->files[0], &err);
		return EXIT_UNUSABLE;
	}
	if (delve_find(&delve, o->dlv, &err) != GC_OK || gc_rsp_dial(o->connect, &fd, &err) != GC_OK) {
		gc_warn("%s", err.text);
		goto out;
	}
	crashed = ask_thread(fd);
	close(fd);
	if (is_arch_of(&file, &delve, o->files[0]) && is_for_delve(&file, o->files[0], &delve, args))
		status = start_connected(o, &delve, args, crashed);
out:
	gc_elf_file_close(&file);
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
	status = o.connect ? run_connected(&o, &args) : run_on_core(&o, &args);
	dlv_args_deinit(&args);
	return status;
}
