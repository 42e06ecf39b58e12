#include "core/file_cache.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gocore/arch.h"

#include "base/intern.h"
#include "core/finder.h"

/* Files that are kept open (mapped, without a descriptor); one more and all are let go. */
#define MAX_FILES 4096

#define MAX_MACHINES 4

struct kept_file {
	struct gc_elf_file file;  /* first: it is what others have */
	struct gc_kept kept;
	uint64_t mtime_ns;
};

struct gc_file_cache {
	struct gc_intern paths;
	struct kept_file **files; /* by the number of their path; NULL: not open */
	size_t cap, open;
	struct { uint16_t machine; struct gc_bin_index *index; } indexes[MAX_MACHINES];
	size_t nindexes;
};

struct gc_file_cache *gc_file_cache_new(void)
{
	return calloc(1, sizeof(struct gc_file_cache));
}

static void close_kept(struct kept_file *k)
{
	if (k->kept.lines) /* which know names that are the symbols' */
		k->kept.free_lines(k->kept.lines);
	if (k->kept.symbols)
		k->kept.free_symbols(k->kept.symbols);
	if (k->kept.debug)
		gc_elf_file_close(k->kept.debug);
	free(k->kept.debug);
	gc_elf_file_close(&k->file);
	free(k);
}

void gc_file_cache_clear(struct gc_file_cache *cache)
{
	for (size_t i = 0; i < cache->paths.count && i < cache->cap; i++)
		if (cache->files[i])
			close_kept(cache->files[i]);
	free(cache->files);
	cache->files = NULL;
	cache->cap = cache->open = 0;
	gc_intern_deinit(&cache->paths);
	cache->paths = (struct gc_intern){ .count = 0 };
}

void gc_file_cache_free(struct gc_file_cache *cache)
{
	if (!cache)
		return;
	gc_file_cache_clear(cache);
	for (size_t i = 0; i < cache->nindexes; i++)
		gc_bin_index_free(cache->indexes[i].index);
	free(cache);
}

/* Files. */

static uint64_t mtime_of(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * 1000000000 + (uint64_t)st->st_mtim.tv_nsec;
}

static bool is_same(const struct kept_file *k, const struct stat *st)
{
	return k->file.input.dev == st->st_dev && k->file.input.ino == st->st_ino &&
	       k->file.input.size == (uint64_t)st->st_size && k->mtime_ns == mtime_of(st);
}

static enum gc_code open_new(const char *path, struct kept_file **out, struct gc_error *err)
{
	struct kept_file *k = calloc(1, sizeof(*k));
	enum gc_code code = k ? gc_elf_file_open(&k->file, path, err) : gc_fail_memory(err);

	if (code != GC_OK) {
		free(k);
		return code;
	}
	if (k->file.input.fd >= 0) { /* it is mapped; a thousand libraries would use up the descriptors */
		close(k->file.input.fd);
		k->file.input.fd = -1;
	}
	*out = k;
	return GC_OK;
}

/** Where the file at @path is kept, or would be. @return NULL: it cannot be */
static struct kept_file **slot_of(struct gc_file_cache *cache, const char *path)
{
	size_t index;

	if (gc_intern(&cache->paths, path, strlen(path), &index, NULL) != GC_OK ||
	    !gc_intern_room(&cache->files, &cache->cap, index, sizeof(struct kept_file *)))
		return NULL;
	return &cache->files[index];
}

enum gc_code gc_file_cache_open(struct gc_file_cache *cache, const char *path, struct gc_elf_file **out,
				struct gc_error *err)
{
	struct kept_file **slot = NULL, *k;
	struct stat st;
	enum gc_code code;

	if (cache && stat(path, &st) == 0)
		slot = slot_of(cache, path);
	if (slot && *slot && is_same(*slot, &st)) {
		*out = &(*slot)->file;
		return GC_OK;
	}
	code = open_new(path, &k, err);
	if (code != GC_OK)
		return code;
	*out = &k->file;
	/* one that was replaced meanwhile may still be in use; a packed one has no identity */
	if (!slot || *slot || cache->open >= MAX_FILES || !k->file.input.ino)
		return GC_OK;
	k->mtime_ns = mtime_of(&st);
	k->file.kept = &k->kept;
	*slot = k;
	cache->open++;
	return GC_OK;
}

void gc_file_cache_release(struct gc_elf_file *file)
{
	if (!file || file->kept)
		return;
	gc_elf_file_close(file);
	free(file);
}

/* --bin-dir */

struct gc_bin_index *gc_file_cache_index(struct gc_file_cache *cache, const struct gc_find_options *options,
					 uint16_t machine, struct gc_problems *problems)
{
	struct gc_bin_index *index;

	for (size_t i = 0; i < cache->nindexes; i++)
		if (cache->indexes[i].machine == machine)
			return cache->indexes[i].index;
	if (cache->nindexes == MAX_MACHINES)
		return NULL;
	index = gc_bin_index_new(options->bin_dirs, options->nbin_dirs, machine, problems);
	if (!index)
		return NULL;
	cache->indexes[cache->nindexes].machine = machine;
	cache->indexes[cache->nindexes++].index = index;
	return index;
}

void gc_file_cache_warm(struct gc_file_cache *cache, const struct gc_find_options *options,
			struct gc_problems *problems)
{
	for (size_t i = 0; options->nbin_dirs && gc_arch_at(i); i++)
		gc_file_cache_index(cache, options, gc_arch_at(i)->elf_machine, i == 0 ? problems : NULL);
}
