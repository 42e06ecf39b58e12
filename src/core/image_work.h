/* Shared by images.c and the image_*.c: images while they are being found out. */
#ifndef CORE_IMAGE_WORK_H
#define CORE_IMAGE_WORK_H

#include "gocore/images.h"

#define GC_NO_IMAGE SIZE_MAX

/** One image, and what was learnt of it on the way. */
struct gc_image_work {
	struct gc_image image;
	const struct gc_file_map **rows; /* by address */
	size_t nrows;
	struct gc_file_map *made;        /* what rows points to when there is no NT_FILE, else NULL */
	struct gc_phdrs phdrs;           /* as the core has them; list is NULL: not dumped */
	bool is_elf, is_data;            /* what the dumped first bytes say; neither: not dumped */
	uint64_t low, high;              /* span of phdrs; if image.has_bias */
	bool has_l_ld;
	uint64_t l_ld;                   /* address of the dynamic section, from the link map */
	const char *other_path;          /* a second name of the file, or NULL */
	size_t same_path;                /* an earlier image with this path, or GC_NO_IMAGE */
	bool done;                       /* was looked for */

	/* for grouping only */
	const struct gc_file_map *last;
	bool has_exec;
};

struct gc_image_set {
	const struct gc_core *core;
	struct gc_space *space;
	const struct gc_find_options *options;
	struct gc_problems *problems;
	struct gc_image_work *list;
	size_t count, cap;
	size_t program, interp;          /* indexes, or GC_NO_IMAGE */
	size_t looked_for;
	char **names;                    /* paths that are not in NT_FILE */
	size_t nnames;
	const struct gc_file_map **row_pointers; /* storage of all .rows of NT_FILE */
};

void gc_image_set_deinit(struct gc_image_set *set);

/** A new image with this path. @return NULL: out of memory. Pointers to others are void then. */
struct gc_image_work *gc_image_add(struct gc_image_set *set, const char *path);

/** Keep a copy of @text for as long as the images live. */
const char *gc_image_name(struct gc_image_set *set, const char *text);

/** Group the rows of NT_FILE into images. */
enum gc_code gc_image_group_rows(struct gc_image_set *set, struct gc_error *err);

/** Read headers of what is mapped at @addr, if they were dumped; fills phdrs, is_elf, is_data. */
void gc_image_look_at(struct gc_image_set *set, struct gc_image_work *w, uint64_t addr);

/** Build IDs out of the dumped pages. */
void gc_image_identify(const struct gc_image_set *set, struct gc_image_work *w);

/** Rows as @phdrs loads them at @bias, for an image that has none, also in the space. */
enum gc_code gc_image_make_rows(struct gc_image_set *set, struct gc_image_work *w, const struct gc_phdrs *phdrs,
				uint64_t bias, struct gc_error *err);

/** Where @phdrs must have been moved to so that the rows are as they are. @return false if they cannot be */
bool gc_image_bias_of_rows(const struct gc_image_work *w, const struct gc_phdrs *phdrs, uint64_t page_size,
			   uint64_t *bias);

/** Does each row show what @phdrs loads there? With @exact, also all of it and nothing else. */
bool gc_image_rows_fit(const struct gc_image_work *w, const struct gc_phdrs *phdrs, uint64_t bias,
		       uint64_t page_size, bool exact);

/** Is the file mapped in one piece, as data is? */
bool gc_image_is_flat(const struct gc_image_work *w);

/** Read only what was dumped, nothing recovered. */
bool gc_image_read_dumped(const struct gc_space *space, uint64_t addr, void *buf, size_t len);

/** AT_ENTRY; Delve's dumps say it in their header note. */
bool gc_image_entry(const struct gc_core *core, uint64_t *out);

struct gc_finder;

/** List the images of NT_FILE, or the program of a core without it, and the vDSO. */
enum gc_code gc_image_list(struct gc_image_set *set, struct gc_error *err);

/** The dynamic linker, if no row is its. */
enum gc_code gc_image_add_interp(struct gc_image_set *set, struct gc_error *err);

/** Read the link map with what is known so far, and add what is new. */
enum gc_code gc_image_add_links(struct gc_image_set *set, bool *added, struct gc_error *err);

/** PROGRAM, as the user gave it. */
enum gc_code gc_image_use_program(struct gc_image_set *set, struct gc_error *err);

/** Find a copy of an image, or learn why there is none. */
enum gc_code gc_image_look_for(struct gc_image_set *set, struct gc_finder *finder, struct gc_image_work *w,
			       struct gc_error *err);

/** Does the core hold private memory that was written to? Not with a coredump_filter without bits 0 and 2. */
bool gc_image_dumps_private(const struct gc_space *space);

/** The PT_LOAD of the copy that has @addr, or NULL. */
const Elf64_Phdr *gc_image_load_at(const struct gc_image *image, uint64_t addr, uint64_t page_size);

/** Supply the space with what the image's copy holds of its rows. */
enum gc_code gc_image_recover(struct gc_image_set *set, const struct gc_image_work *w, bool private_dumped,
			      struct gc_error *err);

enum gc_fit {
	GC_FITS,
	GC_DIFFERS,
	GC_UNCHECKED,  /* nothing that could be compared */
	GC_NO_BYTES,   /* a debug file: of no use, but not wrong either */
};

struct gc_fit_result {
	enum gc_fit fit;
	enum gc_image_check check;
	bool has_bias;
	uint64_t bias;
	char why[384];  /* a sentence without its subject: "has build ID 12, but..." */
};

/** Is @file the image that the process had mapped? */
void gc_image_check_file(const struct gc_image_set *set, const struct gc_image_work *w,
			 struct gc_elf_file *file, struct gc_fit_result *out);

static inline uint64_t gc_page_floor(uint64_t addr, uint64_t page_size)
{
	return addr - addr % page_size;
}

/** Saturates at the last page instead of wrapping. */
static inline uint64_t gc_page_ceil(uint64_t addr, uint64_t page_size)
{
	uint64_t over = addr % page_size;

	if (over == 0)
		return addr;
	return addr > UINT64_MAX - page_size ? UINT64_MAX - page_size + 1 : addr - over + page_size;
}

#endif
