/* What images.c and finder.c need of the cache of files. */
#ifndef CORE_FILE_CACHE_H
#define CORE_FILE_CACHE_H

#include "gocore/file_cache.h"

struct gc_bin_index;

/**
 * Open a copy of an image, or take one that is open: then its kept is not NULL and it belongs to the cache.
 *
 * @param cache NULL: none
 */
enum gc_code gc_file_cache_open(struct gc_file_cache *cache, const char *path, struct gc_elf_file **out,
				struct gc_error *err);

/** Close what gc_file_cache_open gave; one that is kept stays open. NULL is fine. */
void gc_file_cache_release(struct gc_elf_file *file);

/** The index of --bin-dir, made when first asked for. @return NULL: out of memory */
struct gc_bin_index *gc_file_cache_index(struct gc_file_cache *cache, const struct gc_find_options *options,
					 uint16_t machine, struct gc_problems *problems);

#endif
