/*
 * The dumped process: the core, its address space, its images and its dynamic
 * linker's lists, opened together and immutable from then on. Everything above
 * (targets, packets, documents) reads through this.
 */
#ifndef GOCORE_PROCESS_H
#define GOCORE_PROCESS_H

#include "gocore/core.h"
#include "gocore/images.h"
#include "gocore/space.h"

/** One struct link_map of the dynamic linker (glibc include/link.h). */
struct gc_link {
	uint64_t lmid;    /* address of the r_debug (namespace) that lists it */
	uint64_t lm;      /* address of the link_map */
	uint64_t l_addr;
	uint64_t l_ld;
	char *name;       /* l_name, or the path in NT_FILE if that is relative; "" for the program */
	const struct gc_image *image; /* or NULL */
	bool is_program;
};

struct gc_link_map {
	struct gc_link *list;  /* in the linker's order, namespace by namespace */
	size_t count;
	/*
	 * The program's; 0 for a static one: its C library makes it a link_map too, but gdb
	 * takes one as a sign of a dynamic linker and then finds no thread-local variables.
	 */
	uint64_t main_lm;
	uint64_t r_debug;      /* 0: none found */
	uint64_t dt_debug;     /* address of the value field of DT_DEBUG; 0: none */
};

struct gc_process {
	struct gc_core core;
	struct gc_space space;
	struct gc_images images;
	struct gc_link_map links;
	struct gc_regmap regmap;
	struct gc_addr_masks masks;
	char *exe;                   /* see gc_process_exe; NULL: not known */
	struct gc_problems problems; /* the core's own are in core.problems */
};

/**
 * Open a core and everything that belongs to it.
 *
 * @param in taken over
 * @return as gc_core_open and gc_images_init
 */
enum gc_code gc_process_open(struct gc_process *p, struct gc_input *in, const struct gc_find_options *options,
			     struct gc_error *err);
void gc_process_close(struct gc_process *p);

/** Walk r_debug and its link maps (capped, cycle-safe). Absent ones leave an empty list. */
enum gc_code gc_link_map_read(struct gc_link_map *out, const struct gc_core *core, const struct gc_space *space,
			      const struct gc_images *images, struct gc_problems *problems, struct gc_error *err);
void gc_link_map_deinit(struct gc_link_map *links);

/**
 * Address of a thread-local variable, as td_thr_tls_get_addr of libthread_db
 * finds it, from the core alone.
 *
 * @param lm     link_map of the module; 0: the program
 * @param offset of the variable in the module's block
 * @return GC_E_NOT_FOUND if the module has no TLS or the thread has not yet allocated its block
 */
enum gc_code gc_process_tls(const struct gc_process *p, const struct gc_regs *regs, uint64_t lm, uint64_t offset,
			    uint64_t *out, struct gc_error *err);

/**
 * Allocation tags of memory (MTE), one byte a granule.
 *
 * @return GC_E_NOT_FOUND if the core holds none for it
 */
enum gc_code gc_process_tags(const struct gc_process *p, uint64_t addr, uint64_t len, struct gc_buf *out,
			     struct gc_error *err);

/** @return true if @addr lies in memory that has tags in the core */
bool gc_process_is_tagged(const struct gc_process *p, uint64_t addr);

/** Absolute path of the program as the core names it (NT_FILE, AT_EXECFN, link map), or NULL. */
const char *gc_process_exe(const struct gc_process *p);

/** Find in memory; @return GC_OK and *found, GC_E_NOT_FOUND, or GC_E_FAULT when part of the range is not served. */
enum gc_code gc_process_search(const struct gc_process *p, uint64_t start, uint64_t len, const void *pattern,
			       size_t pattern_len, uint64_t *found, struct gc_error *err);

#endif
