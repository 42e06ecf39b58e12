/* Separate debug files. Private to src/sym. */
#ifndef SYM_DEBUG_FILE_H
#define SYM_DEBUG_FILE_H

#include "gocore/images.h"

struct debug_places {
	char **sysroots;
	size_t nsysroots;
	char **dirs;      /* --debug-dir, or the default */
	size_t ndirs;
};

enum gc_code debug_places_init(struct debug_places *places, const struct gc_find_options *options,
			       struct gc_error *err);
void debug_places_deinit(struct debug_places *places);

/**
 * The debug file of @image, whose own file is @file: by build ID (DIR/.build-id/ab/cdef.debug), else by
 * .gnu_debuglink (GDB manual, "Separate Debug Files").
 *
 * @return allocated, or NULL: none of the same build was found
 */
struct gc_elf_file *debug_file_find(const struct debug_places *places, const struct gc_image *image,
				    struct gc_elf_file *file, struct gc_problems *problems);

/** The ELF file that is packed in .gnu_debugdata, or NULL. */
struct gc_elf_file *debug_file_mini(struct gc_elf_file *file);

/** An ELF file of bytes that are copied; NULL: they are none. */
struct gc_elf_file *debug_file_of_bytes(const char *name, const void *bytes, size_t len);
void debug_file_free(struct gc_elf_file *file);

#endif
