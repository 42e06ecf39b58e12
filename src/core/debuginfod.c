/*
 * Programs and debug files from debuginfod servers, debuginfod_find_executable(3). The library
 * is loaded only when it is asked for (DEBUGINFOD_URLS): with libcurl and all
 * that belongs to it, it costs more time than opening the core.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/finder.h"

/* elfutils/debuginfod.h; its package is not needed to build. */
typedef int progress_fn(void *client, long done, long total);
typedef int find_fn(void *client, const unsigned char *build_id, int len, char **path);

struct library {
	void *(*begin)(void);
	void (*end)(void *client);
	find_fn *find_executable;
	find_fn *find_debuginfo;
	void (*set_progress)(void *client, progress_fn *fn);
};

static bool load_library(struct library *lib)
{
	void *handle = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);

	if (!handle)
		return false;
	/* POSIX says that dlsym's result may be converted so. Never unloaded: libcurl does not like it. */
	*(void **)&lib->begin = dlsym(handle, "debuginfod_begin");
	*(void **)&lib->end = dlsym(handle, "debuginfod_end");
	*(void **)&lib->find_executable = dlsym(handle, "debuginfod_find_executable");
	*(void **)&lib->find_debuginfo = dlsym(handle, "debuginfod_find_debuginfo");
	*(void **)&lib->set_progress = dlsym(handle, "debuginfod_set_progressfn");
	return lib->begin && lib->end && lib->find_executable && lib->find_debuginfo && lib->set_progress;
}

static bool is_asked_for(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");

	return urls && urls[strspn(urls, " ")] != '\0';
}

/** A line that is rewritten in place while a file comes in. */
static int show_progress(void *client, long done, long total)
{
	(void)client;
	if (total > 0)
		fprintf(stderr, "\rdebuginfod: %ld of %ld KiB \033[K", done / 1024, total / 1024);
	else
		fprintf(stderr, "\rdebuginfod: looking \033[K");
	return 0;
}

/** The client, made when first needed. @return NULL if there is none to be had */
static void *client_of(struct gc_finder *f, struct library *lib)
{
	if (f->debuginfod_off || !is_asked_for())
		return NULL;
	if (!load_library(lib)) {
		f->debuginfod_off = true;
		gc_problem(f->problems, "debuginfod",
			   "DEBUGINFOD_URLS is set, but libdebuginfod.so.1 cannot be loaded (Debian: libdebuginfod1)");
		return NULL;
	}
	if (!f->debuginfod)
		f->debuginfod = lib->begin();
	if (f->debuginfod && isatty(STDERR_FILENO))
		lib->set_progress(f->debuginfod, show_progress);
	return f->debuginfod;
}

static char *find(struct gc_finder *f, const struct gc_build_id *build_id, bool debug)
{
	char hex[2 * GC_BUILD_ID_MAX + 1], *path = NULL;
	struct library lib;
	void *client;
	int fd;

	if (build_id->len == 0)
		return NULL;
	if (f->options->fetch)
		return f->options->fetch(f->options->fetch_data, build_id, debug);
	client = client_of(f, &lib);
	if (!client)
		return NULL;
	fd = (debug ? lib.find_debuginfo : lib.find_executable)(client, build_id->bytes, (int)build_id->len, &path);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (fd >= 0) {
		close(fd);
		return path;
	}
	if (fd != -ENOENT) {
		gc_build_id_hex(build_id, hex);
		gc_problem(f->problems, "debuginfod", "asking for build ID %s failed: %s", hex, strerror(-fd));
		f->debuginfod_off = true; /* the next image would wait as long for the same */
	}
	return NULL;
}

char *gc_debuginfod_find(struct gc_finder *f, const struct gc_build_id *build_id)
{
	return find(f, build_id, false);
}

char *gc_debuginfod_find_debug(struct gc_finder *f, const struct gc_build_id *build_id)
{
	return find(f, build_id, true);
}

void gc_debuginfod_end(struct gc_finder *f)
{
	struct library lib;

	if (f->debuginfod && load_library(&lib))
		lib.end(f->debuginfod);
	f->debuginfod = NULL;
}
