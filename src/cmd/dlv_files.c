/* What Delve is given: the program, the core, and our own options for the helper. */
#include "cmd/dlv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "cmd/helper.h"
#include "gocore/log.h"
#include "gocore/normalize.h"

bool dlv_program(const struct gc_elf_file *program, const char *found_path, char out[PATH_MAX])
{
	const struct gc_input *in = &program->input;
	struct stat st;
	char path[32];
	int fd;

	if (!in->compression && stat(found_path, &st) == 0 && st.st_mode & 0111) {
		if (realpath(found_path, out))
			return true;
		gc_warn("%s: %s", found_path, strerror(errno));
		return false;
	}
	fd = dlv_nameless("program");
	if (fd < 0)
		return false;
	if (!gc_write_all(fd, in->bytes, in->size)) {
		gc_warn("a copy of %s: %s", found_path, strerror(errno));
		return false;
	}
	snprintf(out, PATH_MAX, "%s", dlv_fd_path(fd, path));
	return true;
}

bool dlv_is_stdin(const struct gc_core *core)
{
	return strcmp(core->input.path, "-") == 0;
}

void dlv_take_terminal(const struct dlv_args *args)
{
	int fd = open("/dev/tty", O_RDWR);

	if (fd < 0) {
		if (!args->headless && !args->dap && !args->init)
			gc_warn("the core was standard input, and no terminal is there for Delve's commands: "
				"give them with -- --init=FILE");
		fd = open("/dev/null", O_RDWR);
	}
	if (fd > STDIN_FILENO) {
		dup2(fd, STDIN_FILENO);
		close(fd);
	}
}

bool dlv_core(const struct gc_core *core, char out[PATH_MAX])
{
	const struct gc_input *in = &core->input;
	char path[32];
	int fd;

	if (in->ino && !dlv_is_stdin(core)) {
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

bool dlv_set_options(const struct common_options *o)
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

bool dlv_readable_core(const struct gc_process *p, char out[PATH_MAX])
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
		return dlv_core(&p->core, out);
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
