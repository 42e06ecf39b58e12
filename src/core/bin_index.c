/* --bin-dir: programs and libraries by build ID, whatever their names. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/elf_identity.h"
#include "core/finder.h"

#define MAX_FILES 1000000

/** One key of one file: its build ID, its Go build ID or its name. */
struct entry {
	uint64_t hash;
	char *path;  /* shared by the file's entries; owned by paths */
};

struct paths {
	char **list;
	size_t count, cap;
};

struct gc_bin_index {
	struct entry *entries;
	size_t count, cap;
	struct paths files;  /* those that have entries */
	size_t seen;         /* files of any kind */
	uint16_t machine;
};

/** @return the stored copy of @path, or NULL: out of memory */
static char *add_path(struct paths *p, const char *path)
{
	if (p->count == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 64;
		char **list = realloc(p->list, cap * sizeof(*list));

		if (!list)
			return NULL;
		p->list = list;
		p->cap = cap;
	}
	p->list[p->count] = strdup(path);
	return p->list[p->count] ? p->list[p->count++] : NULL;
}

static void paths_deinit(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->list[i]);
	free(p->list);
}

/** FNV-1a. The kind keeps a name from looking like an ID; what is found is checked, so collisions do no harm. */
static uint64_t hash_key(char kind, const void *bytes, size_t len)
{
	uint64_t hash = (0xcbf29ce484222325 ^ (uint8_t)kind) * 0x100000001b3;
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ p[i]) * 0x100000001b3;
	return hash;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void add_entry(struct gc_bin_index *index, uint64_t hash, char *path)
{
	if (index->count == index->cap) {
		size_t cap = index->cap ? 2 * index->cap : 64;
		struct entry *entries = realloc(index->entries, cap * sizeof(*entries));

		if (!entries)
			return;
		index->entries = entries;
		index->cap = cap;
	}
	index->entries[index->count++] = (struct entry){ hash, path };
}

static bool read_fd(void *data, uint64_t offset, void *buf, size_t len)
{
	const int *fd = data;

	return offset <= INT64_MAX && pread(*fd, buf, len, (off_t)offset) == (ssize_t)len;
}

static void add_elf(struct gc_bin_index *index, const char *path, int fd)
{
	struct gc_build_id id;
	struct gc_phdrs phdrs;
	char *go_id, *kept;

	if (gc_phdrs_read(&phdrs, read_fd, &fd, NULL) != GC_OK)
		return;
	if (phdrs.machine == index->machine && (kept = add_path(&index->files, path))) {
		gc_identity_read(&phdrs, read_fd, &fd, &id, &go_id);
		if (id.len)
			add_entry(index, hash_key('b', id.bytes, id.len), kept);
		if (go_id)
			add_entry(index, hash_key('g', go_id, strlen(go_id)), kept);
		add_entry(index, hash_key('n', base_name(path), strlen(base_name(path))), kept);
		free(go_id);
	}
	gc_phdrs_deinit(&phdrs);
}

/** Links to files count, links to folders do not: what they lead to may be anywhere, in a circle too. */
static void add_file(struct gc_bin_index *index, const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	char magic[4];

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_fd(&fd, 0, magic, sizeof(magic)) &&
	    memcmp(magic, "\177ELF", 4) == 0)
		add_elf(index, path, fd);
	close(fd);
}

static bool is_dir(const char *path, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_DIR;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void read_dir(struct gc_bin_index *index, const char *dir, struct paths *to_go)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	while (d && index->seen < MAX_FILES && (e = readdir(d))) {
		char path[PATH_MAX];

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		index->seen++;
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= sizeof(path))
			continue;
		if (is_dir(path, e))
			add_path(to_go, path);
		else
			add_file(index, path);
	}
	if (d)
		closedir(d);
}

/** The tree without recursion: it is as deep as whoever made it liked. */
static void read_tree(struct gc_bin_index *index, const char *dir, struct gc_problems *problems)
{
	struct paths to_go = { .list = NULL };

	if (access(dir, R_OK | X_OK) != 0)
		gc_problem(problems, dir, "this --bin-dir cannot be read");
	add_path(&to_go, dir);
	while (to_go.count > 0) {
		char *next = to_go.list[--to_go.count];

		read_dir(index, next, &to_go);
		free(next);
	}
	paths_deinit(&to_go);
	if (index->seen >= MAX_FILES)
		gc_problem(problems, dir, "more than %d files under --bin-dir: not all were looked at",
			   MAX_FILES);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return strcmp(x->path, y->path); /* the same choice each time */
}

struct gc_bin_index *gc_bin_index_new(const char *const *dirs, size_t ndirs, uint16_t machine,
				      struct gc_problems *problems)
{
	struct gc_bin_index *index = calloc(1, sizeof(*index));

	if (!index)
		return NULL;
	index->machine = machine;
	for (size_t i = 0; i < ndirs; i++)
		read_tree(index, dirs[i], problems);
	if (index->count > 0)
		qsort(index->entries, index->count, sizeof(*index->entries), compare_entries);
	return index;
}

void gc_bin_index_free(struct gc_bin_index *index)
{
	if (!index)
		return;
	paths_deinit(&index->files);
	free(index->entries);
	free(index);
}

bool gc_bin_index_visit(const struct gc_bin_index *index, const struct gc_wanted *wanted, gc_candidate_fn *visit,
			void *data)
{
	const char *name = wanted->paths[0] ? base_name(wanted->paths[0]) : "";
	size_t low = 0, high = index->count;
	uint64_t hash;

	if (wanted->build_id->len)
		hash = hash_key('b', wanted->build_id->bytes, wanted->build_id->len);
	else if (wanted->go_build_id)
		hash = hash_key('g', wanted->go_build_id, strlen(wanted->go_build_id));
	else
		hash = hash_key('n', name, strlen(name));
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (index->entries[mid].hash < hash)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < index->count && index->entries[low].hash == hash; low++)
		if (visit(data, index->entries[low].path, "bin-dir"))
			return true;
	return false;
}
