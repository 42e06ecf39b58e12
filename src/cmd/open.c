/* Opening files for a command: progress while unpacking, one sentence on failure. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"

/** "[=====>    ]  52%  1.2 GiB", rewritten in place; unknown totals show only the amount. */
static void show_progress(void *data, uint64_t done, uint64_t total)
{
	enum { WIDTH = 30 };
	struct progress *progress = data;
	char bar[WIDTH + 1];
	size_t full = total ? (size_t)((double)done / (double)total * (double)WIDTH) : 0;

	memset(bar, ' ', WIDTH);
	memset(bar, '=', full < WIDTH ? full : WIDTH);
	bar[WIDTH] = '\0';
	if (total)
		fprintf(stderr, "\r%s [%s] %3.0f%% of %.1f MiB ", progress->what, bar,
			100.0 * (double)done / (double)total, (double)total / 0x1p20);
	else
		fprintf(stderr, "\r%s %.1f MiB ", progress->what, (double)done / 0x1p20);
	progress->shown = true;
}

gc_progress_fn *progress_bar(void)
{
	return isatty(STDERR_FILENO) ? show_progress : NULL;
}

void progress_done(const struct progress *progress)
{
	if (progress->shown)
		fprintf(stderr, "\r\033[K");
}

void print_error(const char *path, const struct gc_error *err)
{
	gc_warn("%s: %s", path, err->text);
}

bool open_input(struct gc_input *in, const char *path)
{
	struct progress progress = { .what = "unpacking" };
	struct gc_error err;
	enum gc_code code = gc_input_open(in, path, progress_bar(), &progress, &err);

	progress_done(&progress);
	if (code != GC_OK)
		print_error(path, &err);
	return code == GC_OK;
}

/** Where the XDG Base Directory Specification wants it. @return NULL: nowhere */
static const char *cache_dir(void)
{
	static char dir[4096];
	const char *base = getenv("XDG_CACHE_HOME"), *below = "";
	int len;

	if (!base || base[0] != '/') {
		base = getenv("HOME");
		below = "/.cache";
	}
	if (!base || base[0] != '/')
		return NULL;
	len = snprintf(dir, sizeof(dir), "%s%s/gocore-stub", base, below);
	return (size_t)len < sizeof(dir) ? dir : NULL;
}

struct gc_find_options find_options(const struct common_options *options, const char *program)
{
	return (struct gc_find_options){
		.program = program,
		.sysroots = options->sysroots.list,
		.nsysroots = options->sysroots.count,
		.debug_dirs = options->debug_dirs.list,
		.ndebug_dirs = options->debug_dirs.count,
		.bin_dirs = options->bin_dirs.list,
		.nbin_dirs = options->bin_dirs.count,
		.force = options->force,
		.cache_dir = options->no_cache ? NULL : cache_dir(),
	};
}

bool open_process_of(struct gc_process *p, struct gc_input *in, const char *program,
		     const struct common_options *options)
{
	const struct gc_find_options find = find_options(options, program);
	struct gc_error err;
	char path[4096];

	snprintf(path, sizeof(path), "%s", in->path);
	if (gc_process_open(p, in, &find, &err) == GC_OK)
		return true;
	print_error(path, &err);
	return false;
}

bool open_process(struct gc_process *p, const char *core, const char *program,
		  const struct common_options *options)
{
	struct gc_input in;

	return open_input(&in, core) && open_process_of(p, &in, program, options);
}
