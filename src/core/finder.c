#include "core/file_cache.h"
#include "core/finder.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_LINKS 40 /* as the kernel follows, MAXSYMLINKS */

void gc_finder_init(struct gc_finder *f, const struct gc_find_options *options, uint16_t machine,
		    struct gc_problems *problems)
{
	*f = (struct gc_finder){
		.options = options, .machine = machine, .problems = problems,
		.debuginfod_off = options->no_debuginfod,
	};
}

void gc_finder_deinit(struct gc_finder *f)
{
	if (!f->options->files)
		gc_bin_index_free(f->index);
	gc_debuginfod_end(f);
}

enum gc_file_kind gc_file_kind(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	enum gc_file_kind kind = GC_FILE_NONE;
	struct stat st;
	char magic[4];

	if (fd < 0)
		return GC_FILE_NONE;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		kind = pread(fd, magic, sizeof(magic), 0) == sizeof(magic) && memcmp(magic, "\177ELF", 4) == 0
		     ? GC_FILE_ELF : GC_FILE_OTHER;
	close(fd);
	return kind;
}

/* Paths under another root. */

/** A path that is being walked. */
struct walk {
	char done[PATH_MAX];    /* resolved so far, root included */
	size_t root_len, done_len;
	char rest[PATH_MAX];    /* still to go */
};

static void go_up(struct walk *w)
{
	while (w->done_len > w->root_len && w->done[--w->done_len] != '/')
		;
	w->done[w->done_len] = '\0';
}

static bool append(struct walk *w, const char *name, size_t len)
{
	if (len + 2 > sizeof(w->done) - w->done_len)
		return false;
	w->done[w->done_len++] = '/';
	memcpy(w->done + w->done_len, name, len);
	w->done_len += len;
	w->done[w->done_len] = '\0';
	return true;
}

/** Replace the last component, a link, by where it leads. */
static bool follow(struct walk *w)
{
	char target[PATH_MAX];
	ssize_t len = readlink(w->done, target, sizeof(target) - 1);
	size_t rest = strlen(w->rest);

	if (len <= 0 || (size_t)len + 1 + rest >= sizeof(w->rest))
		return false;
	memmove(w->rest + len + 1, w->rest, rest + 1);
	memcpy(w->rest, target, (size_t)len);
	w->rest[len] = '/';
	if (target[0] == '/')
		w->done[w->done_len = w->root_len] = '\0';
	else
		go_up(w);
	return true;
}

/** Take one component off the rest. @return false at a dead end */
static bool step(struct walk *w, unsigned *links)
{
	char name[NAME_MAX + 1];
	size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
	struct stat st;

	if (len > NAME_MAX)
		return false;
	memcpy(name, w->rest + skip, len);
	name[len] = '\0';
	memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
	if (len == 0 || strcmp(name, ".") == 0)
		return true;
	if (strcmp(name, "..") == 0) {
		go_up(w);
		return true;
	}
	if (!append(w, name, len) || lstat(w->done, &st) != 0)
		return false;
	return !S_ISLNK(st.st_mode) || (++*links <= MAX_LINKS && follow(w));
}

char *gc_resolve_in_root(const char *root, const char *path)
{
	struct walk w;
	unsigned links = 0;

	w.root_len = w.done_len = strlen(root);
	if (w.root_len + 1 >= sizeof(w.done) || strlen(path) >= sizeof(w.rest))
		return NULL;
	memcpy(w.done, root, w.root_len + 1);
	memcpy(w.rest, path, strlen(path) + 1);
	while (w.rest[0])
		if (!step(&w, &links))
			return NULL;
	return strdup(w.done);
}

/* The places. */

/** One gc_finder_visit call. */
struct visit {
	struct gc_finder *finder;
	const struct gc_wanted *wanted;
	gc_candidate_fn *fn;
	void *data;
};

static bool visit_file(const struct visit *v, const char *path, const char *found_by)
{
	return v->fn(v->data, path, found_by);
}

static bool visit_in_root(const struct visit *v, const char *root, const char *path)
{
	char *file = gc_resolve_in_root(root, path);
	bool stop = file && visit_file(v, file, "sysroot");

	free(file);
	return stop;
}

/** /lib is /usr/lib where /usr is merged, and a core names either. */
static bool visit_usr_merged(const struct visit *v, const char *root, const char *path)
{
	static const char *const merged[] = { "/lib/", "/lib64/", "/lib32/", "/libx32/", "/bin/", "/sbin/" };
	const bool in_usr = strncmp(path, "/usr/", 5) == 0;
	const char *tail = in_usr ? path + 4 : path;
	char other[PATH_MAX];

	if (visit_in_root(v, root, path))
		return true;
	for (size_t i = 0; i < GC_COUNT(merged); i++) {
		if (strncmp(tail, merged[i], strlen(merged[i])) != 0)
			continue;
		if (in_usr)
			return visit_in_root(v, root, tail);
		if ((size_t)snprintf(other, sizeof(other), "/usr%s", tail) < sizeof(other))
			return visit_in_root(v, root, other);
	}
	return false;
}

static bool visit_sysroots(const struct visit *v)
{
	const struct gc_find_options *o = v->finder->options;

	for (size_t i = 0; i < o->nsysroots; i++)
		for (size_t p = 0; p < GC_COUNT(v->wanted->paths); p++)
			if (v->wanted->paths[p] && v->wanted->paths[p][0] == '/' &&
			    visit_usr_merged(v, o->sysroots[i], v->wanted->paths[p]))
				return true;
	return false;
}

static bool visit_path(const struct visit *v)
{
	const char *path = v->wanted->paths[0];

	return !v->finder->options->no_host_paths && !v->wanted->not_here && path && path[0] == '/' &&
	       visit_file(v, path, "path");
}

static bool visit_debug_dir(const struct visit *v, const char *dir)
{
	static const char *const suffixes[] = { "", ".debug" };
	char id[2 * GC_BUILD_ID_MAX + 1], path[PATH_MAX];

	gc_build_id_hex(v->wanted->build_id, id);
	for (size_t i = 0; i < GC_COUNT(suffixes); i++) {
		int len = snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s%s", dir, id, id + 2, suffixes[i]);

		if ((size_t)len < sizeof(path) && visit_file(v, path, "debug-dir"))
			return true;
	}
	return false;
}

static bool visit_debug_dirs(const struct visit *v)
{
	const struct gc_find_options *o = v->finder->options;

	if (v->wanted->build_id->len < 2)
		return false;
	for (size_t i = 0; i < o->ndebug_dirs; i++)
		if (visit_debug_dir(v, o->debug_dirs[i]))
			return true;
	return o->ndebug_dirs == 0 && visit_debug_dir(v, "/usr/lib/debug");
}

static bool visit_bin_dirs(const struct visit *v)
{
	struct gc_finder *f = v->finder;

	const struct gc_find_options *o = f->options;

	if (o->nbin_dirs == 0)
		return false;
	if (o->files)
		f->index = gc_file_cache_index(o->files, o, f->machine, f->problems);
	else if (!f->index_made) {
		f->index_made = true;
		f->index = gc_bin_index_new(o->bin_dirs, o->nbin_dirs, f->machine, f->problems);
	}
	return f->index && gc_bin_index_visit(f->index, v->wanted, v->fn, v->data);
}

static bool visit_debuginfod(const struct visit *v)
{
	char *path = gc_debuginfod_find(v->finder, v->wanted->build_id);
	bool stop = path && visit_file(v, path, "debuginfod");

	free(path);
	return stop;
}

void gc_finder_visit(struct gc_finder *f, const struct gc_wanted *wanted, gc_candidate_fn *visit, void *data)
{
	const struct visit v = { .finder = f, .wanted = wanted, .fn = visit, .data = data };

	if (visit_sysroots(&v) || visit_path(&v) || visit_debug_dirs(&v) || visit_bin_dirs(&v))
		return;
	visit_debuginfod(&v);
}
