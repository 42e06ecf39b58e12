/* Where copies of images may lie on this host. Private to images.c. */
#ifndef CORE_FINDER_H
#define CORE_FINDER_H

#include "gocore/images.h"

struct gc_bin_index;

struct gc_finder {
	const struct gc_find_options *options;
	struct gc_problems *problems;
	uint16_t machine;
	struct gc_bin_index *index; /* of --bin-dir, made when first needed */
	bool index_made;
	void *debuginfod;           /* debuginfod_client */
	bool debuginfod_off;        /* cannot be had, or failed */
};

void gc_finder_init(struct gc_finder *f, const struct gc_find_options *options, uint16_t machine,
		    struct gc_problems *problems);
void gc_finder_deinit(struct gc_finder *f);

/** What is looked for. */
struct gc_wanted {
	const char *paths[2];              /* as the core names it, or NULL; the second only under --sysroot */
	bool not_here;                     /* its path means something else on this host by now: deleted */
	const struct gc_build_id *build_id;
	const char *go_build_id;           /* or NULL */
};

/** @param path  may not exist; @return true to stop */
typedef bool gc_candidate_fn(void *data, const char *path, const char *found_by);

/** Visit the places where it may be, best first. */
void gc_finder_visit(struct gc_finder *f, const struct gc_wanted *wanted, gc_candidate_fn *visit, void *data);

enum gc_file_kind {
	GC_FILE_NONE,  /* not there, or no regular file */
	GC_FILE_ELF,
	GC_FILE_OTHER,
};

/** By its first bytes. Never blocks on a FIFO or device. */
enum gc_file_kind gc_file_kind(const char *path);

/**
 * The file that @path means where @root is the root directory: symbolic links
 * and ".." stay inside.
 *
 * @return allocated path on this host, or NULL: there is no such file
 */
char *gc_resolve_in_root(const char *root, const char *path);

/* bin_index.c */

/** Walk the folders once. @return NULL: out of memory */
struct gc_bin_index *gc_bin_index_new(const char *const *dirs, size_t ndirs, uint16_t machine,
				      struct gc_problems *problems);
void gc_bin_index_free(struct gc_bin_index *index);

/** Visit the files with this build ID, Go build ID, or (if both are unknown) name. @return true if stopped */
bool gc_bin_index_visit(const struct gc_bin_index *index, const struct gc_wanted *wanted, gc_candidate_fn *visit,
			void *data);

/* debuginfod.c */

/** @return allocated path of the executable in debuginfod's cache, or NULL */
char *gc_debuginfod_find(struct gc_finder *f, const struct gc_build_id *build_id);

/** The same of the debug file that belongs to it. */
char *gc_debuginfod_find_debug(struct gc_finder *f, const struct gc_build_id *build_id);
void gc_debuginfod_end(struct gc_finder *f);

#endif
