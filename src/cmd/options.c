#include "cmd/cmd.h"

#include <capstone/capstone.h>
#include <gelf.h>
#include <jansson.h>
#include <libdwarf.h>
#include <lz4.h>
#include <lzma.h>
#include <seccomp.h>
#include <stdio.h>
#include <zlib.h>
#include <zstd.h>

#include "config.h"

enum {
	OPT_SYSROOT = 0x100,
	OPT_DEBUG_DIR,
	OPT_BIN_DIR,
	OPT_FORCE,
	OPT_NO_CACHE,
	OPT_NO_SANDBOX,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "Where programs and libraries are found:", 10 },
	{ "sysroot", OPT_SYSROOT, "DIR", 0, "The target's file tree (repeatable)", 10 },
	{ "debug-dir", OPT_DEBUG_DIR, "DIR", 0,
	  "A tree with .build-id/ (repeatable; default /usr/lib/debug)", 10 },
	{ "bin-dir", OPT_BIN_DIR, "DIR", 0,
	  "A folder searched once, recursively, by build ID, whatever the file names (repeatable)", 10 },
	{ "force", OPT_FORCE, NULL, 0,
	  "Use PROGRAM even if it is another build than the one that crashed", 10 },
	{ "no-cache", OPT_NO_CACHE, NULL, 0,
	  "Neither use nor keep source lines of earlier runs ($XDG_CACHE_HOME/gocore-stub)", 10 },
	{ NULL, 0, NULL, 0, "Safety and messages:", 20 },
	{ "no-sandbox", OPT_NO_SANDBOX, NULL, 0,
	  "Do not shut the processes that read the core in (seccomp)", 20 },
	{ "verbose", 'v', NULL, 0, "Say more; twice: trace every packet", 20 },
	{ 0 },
};

static void add_dir(struct argp_state *state, struct dir_list *dirs, const char *dir)
{
	if (dirs->count == MAX_DIRS)
		argp_error(state, "more than %d folders of one kind", MAX_DIRS);
	dirs->list[dirs->count++] = dir;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct common_options *o = state->input;

	switch (key) {
	case OPT_SYSROOT:
		add_dir(state, &o->sysroots, arg);
		return 0;
	case OPT_DEBUG_DIR:
		add_dir(state, &o->debug_dirs, arg);
		return 0;
	case OPT_BIN_DIR:
		add_dir(state, &o->bin_dirs, arg);
		return 0;
	case OPT_FORCE:
		o->force = true;
		return 0;
	case OPT_NO_CACHE:
		o->no_cache = true;
		return 0;
	case OPT_NO_SANDBOX:
		o->no_sandbox = true;
		return 0;
	case 'v':
		o->verbose++;
		gc_log_verbose(true);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

const struct argp common_argp = { .options = options, .parser = parse };

const struct argp_child common_children[] = { { &common_argp, 0, NULL, 0 }, { 0 } };

void take_file(struct argp_state *state, const char *arg, const char **file, const char **program)
{
	if (state->arg_num == 0)
		*file = arg;
	else if (state->arg_num == 1)
		*program = arg;
	else
		argp_error(state, "%s: is one too many: one core, and at most one program to it", arg);
}

static void print_version(FILE *out, struct argp_state *state)
{
	const struct scmp_version *seccomp = seccomp_version();

	(void)state;
	fprintf(out, "gocore-stub %s\n", PACKAGE_VERSION);
	fprintf(out, "capstone %d.%d, jansson %s, libdwarf %s, libelf %u, liblzma %s, libseccomp %u.%u.%u, lz4 %s, "
		"zlib %s, zstd %s\n",
		CS_API_MAJOR, CS_API_MINOR, jansson_version_str(), dwarf_package_version(), elf_version(EV_CURRENT),
		lzma_version_string(), seccomp->major, seccomp->minor, seccomp->micro, LZ4_versionString(),
		zlibVersion(), ZSTD_versionString());
}

void (*argp_program_version_hook)(FILE *out, struct argp_state *state) = print_version;
