/*
 * Images: the ELF files that the process had mapped, and their copies here.
 *
 * The rows of NT_FILE are grouped into images; cores without NT_FILE get
 * theirs from the auxiliary vector and the link map. A copy is looked for as
 * PROGRAM, under --sysroot, at its path, by build ID under --debug-dir and
 * --bin-dir, and through debuginfod. It is used only if it is the same build:
 * same GNU build ID, else same Go build ID, else the dumped pages agree.
 */
#ifndef GOCORE_IMAGES_H
#define GOCORE_IMAGES_H

#include "gocore/core.h"
#include "gocore/elf_file.h"
#include "gocore/space.h"

/** @return allocated path of the program, or debug file, of this build; NULL: there is none */
typedef char *gc_fetch_fn(void *data, const struct gc_build_id *build_id, bool debug);

struct gc_find_options {
	const char *program;            /* NULL: look for it */
	const char *const *sysroots;
	size_t nsysroots;
	const char *const *debug_dirs;  /* none given: /usr/lib/debug */
	size_t ndebug_dirs;
	const char *const *bin_dirs;
	size_t nbin_dirs;
	bool no_host_paths;             /* do not look at the image's own path on this host */
	bool force;                     /* use PROGRAM even if it is another build */
	bool no_debuginfod;
	const char *cache_dir;          /* keeps answers of slow debug information for other runs; NULL: nothing does */
	gc_fetch_fn *fetch;             /* asks debuginfod in the place of this process; NULL: it does so itself */
	void *fetch_data;
	struct gc_file_cache *files;    /* that stay open from one core to the next; NULL: none do */
};

enum gc_image_status {
	GC_IMAGE_MISSING,    /* no copy found */
	GC_IMAGE_FOUND,      /* a copy that is the same build */
	GC_IMAGE_FORCED,     /* --force: PROGRAM although it does not fit or cannot be checked */
	GC_IMAGE_MISMATCH,   /* copies found, none of this build */
	GC_IMAGE_NOT_ELF,    /* a data file: never served */
	GC_IMAGE_IN_CORE,    /* the vDSO: whole in the core */
};

/** By what a copy was accepted. */
enum gc_image_check {
	GC_CHECK_NONE,
	GC_CHECK_BUILD_ID,
	GC_CHECK_GO_BUILD_ID,
	GC_CHECK_PAGES,      /* the dumped pages agree with the file */
};

struct gc_image {
	const char *path;            /* as the core names it; "[vdso]" for the vDSO */
	uint64_t base;               /* lowest mapped address */
	uint64_t end;
	uint64_t bias;               /* run-time address minus p_vaddr */
	bool has_bias;
	bool is_program;
	bool is_interp;
	struct gc_build_id build_id; /* as the core has it; len 0: not dumped */
	char *go_build_id;           /* as the core has it, or NULL */
	enum gc_image_status status;
	enum gc_image_check check;
	char *found_path;            /* the copy, or the last one refused; NULL: none */
	char *refused;               /* why the last refused copy does not fit, or NULL */
	const char *found_by;        /* "program", "sysroot", "path", "debug-dir", "bin-dir", "debuginfod" */
	struct gc_elf_file *file;    /* the copy when found or forced, else NULL; its input.fd is closed (-1) */
};

struct gc_images {
	struct gc_image *list;       /* the program first, then by address */
	size_t count;
	struct gc_file_map *rows;    /* made for cores without NT_FILE, else NULL */
	size_t nrows;

	/* for gc_images_at: all rows by address, and the image of each */
	const struct gc_file_map *mapped;
	const struct gc_image **mapped_by;
	size_t nmapped;
	const struct gc_image *vdso;
	char **names;                /* paths that are not in NT_FILE */
	size_t nnames;
};

/**
 * Find out which images there were, find and check copies, and recover the
 * memory of @space that they hold.
 *
 * @return GC_E_MISMATCH if options->program is another build or machine
 *         (not with force; another machine always)
 */
enum gc_code gc_images_init(struct gc_images *images, const struct gc_core *core, struct gc_space *space,
			    const struct gc_find_options *options, struct gc_problems *problems,
			    struct gc_error *err);
void gc_images_deinit(struct gc_images *images);

/** The image mapped at @addr, or NULL. */
const struct gc_image *gc_images_at(const struct gc_images *images, uint64_t addr);

/** The main program, or NULL. */
const struct gc_image *gc_images_program(const struct gc_images *images);

/** "found", "missing", ... */
const char *gc_image_status_name(enum gc_image_status status);
const char *gc_image_check_name(enum gc_image_check check);

#endif
