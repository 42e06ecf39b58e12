/*
 * Function names by address, out of the symbol tables of images that are not
 * Go's: .symtab, else that of the separate debug file, else .dynsym with the
 * mini debug info (.gnu_debugdata).
 *
 * Nothing is read before an address of its image is asked for. The first few
 * look-ups in an image walk its table, which for one stack is cheaper than to
 * sort it; then an index is made.
 */
#ifndef GOCORE_SYMBOLS_H
#define GOCORE_SYMBOLS_H

#include "gocore/process.h"

struct gc_symbols;

/** What is at an address. */
struct gc_symbol_at {
	const char *name;              /* demangled; lives as long as the symbols */
	uint64_t entry;                /* run-time address of the symbol */
	uint64_t size;                 /* 0: unknown */
	const struct gc_image *image;
};

/**
 * @param p       must outlive @out
 * @param options where debug files are looked for; must outlive @out; NULL: the usual places
 * @param problems collects what is damaged; may be NULL, else must outlive @out
 */
enum gc_code gc_symbols_new(struct gc_symbols **out, const struct gc_process *p,
			    const struct gc_find_options *options, struct gc_problems *problems,
			    struct gc_error *err);
void gc_symbols_free(struct gc_symbols *s);

/** Open all debug files now. In a sandbox, where it cannot be done later, images without one stay without. */
void gc_symbols_open_files(struct gc_symbols *s);

/**
 * The function that holds @addr: for a frame that made a call, its return
 * address minus 1. Of several names the one that gdb would show.
 *
 * @return false if no symbol is known to hold it
 */
bool gc_symbols_at(struct gc_symbols *s, uint64_t addr, struct gc_symbol_at *out);

/**
 * The function that a link to @name from @from leads to: one of its own, or
 * one that another image exports.
 *
 * @param name  as symbol tables have it, without a version
 * @param out   run-time address
 */
bool gc_symbols_named(struct gc_symbols *s, const struct gc_image *from, const char *name, uint64_t *out);

/** The image's own file, also one that lies in the core (the vDSO); NULL: none. */
struct gc_elf_file *gc_symbols_file(struct gc_symbols *s, const struct gc_image *image);

/** A program header of the image as it was mapped, even where there is no file; NULL: none. */
const Elf64_Phdr *gc_symbols_phdr(struct gc_symbols *s, const struct gc_image *image, uint32_t type);

/** Its separate debug file, of the same build; NULL: none. */
struct gc_elf_file *gc_symbols_debug_file(struct gc_symbols *s, const struct gc_image *image);

/**
 * The name of a C++ or Rust symbol as people write it, by libiberty.
 *
 * @return allocated, or NULL: it is no mangled name
 */
char *gc_demangle(const char *mangled);

/** The same without parameters and return type, as gdb names the functions of frames with debug information. */
char *gc_demangle_function(const char *mangled);

#endif
