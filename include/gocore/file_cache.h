/*
 * Programs and libraries that stay open from one core to the next, for those
 * who read many: the copies of images, their debug files and what was read of
 * their debug information. Named in gc_find_options; not for threads.
 */
#ifndef GOCORE_FILE_CACHE_H
#define GOCORE_FILE_CACHE_H

#include "gocore/images.h"

struct gc_file_cache;

/** @return NULL: out of memory */
struct gc_file_cache *gc_file_cache_new(void);
void gc_file_cache_free(struct gc_file_cache *cache);

/** Look through --bin-dir now, before the cache is copied by fork(2). */
void gc_file_cache_warm(struct gc_file_cache *cache, const struct gc_find_options *options,
			struct gc_problems *problems);

/** Let go of all files, between two cores. */
void gc_file_cache_clear(struct gc_file_cache *cache);

/** What goes with a file that is kept; other layers fill it when they first need it. */
struct gc_kept {
	struct gc_elf_file *debug;     /* its separate debug file */
	bool looked_for_debug;
	void *symbols;                 /* struct gc_symbol_table, of both */
	void (*free_symbols)(void *symbols);
	void *lines;                   /* struct gc_lines, of file and debug file */
	void (*free_lines)(void *lines);
};

#endif
