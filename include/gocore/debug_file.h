/*
 * Separate debug files: what objcopy --only-keep-debug and dwz took out of a
 * program or library, found as gdb finds it (GDB manual, "Separate Debug
 * Files"), and accepted only if it is of the same build.
 */
#ifndef GOCORE_DEBUG_FILE_H
#define GOCORE_DEBUG_FILE_H

#include "gocore/elf_file.h"
#include "gocore/images.h"

/**
 * Find and open the debug file of @image: by build ID under the debug
 * directories, as .gnu_debuglink names it, and from debuginfod.
 *
 * @param options     NULL: the usual places
 * @param image_path  where @image lies on this host
 * @param out         its input.fd is -1
 * @return GC_E_NOT_FOUND if there is none; the text names a file of another build if there was one
 */
enum gc_code gc_debug_file_find(const struct gc_find_options *options, struct gc_elf_file *image,
				const char *image_path, struct gc_elf_file *out, struct gc_error *err);

/** Does @file name a supplementary file, without which it is not complete? */
bool gc_debug_file_needs_supplement(struct gc_elf_file *file);

/**
 * Find and open the supplementary file that dwz made for @file, a debug file
 * or a program (.gnu_debugaltlink: a path and a build ID; DWARF 5's own
 * .debug_sup has the same content).
 *
 * @param file_path  where @file lies on this host
 * @return GC_E_NOT_FOUND if it needs none, or if there is none
 */
enum gc_code gc_debug_file_find_supplement(const struct gc_find_options *options, struct gc_elf_file *file,
					   const char *file_path, struct gc_elf_file *out, struct gc_error *err);

#endif
