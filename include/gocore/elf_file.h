/*
 * An ELF program, library or debug file on this host: identity and symbols.
 *
 * Headers and build ID are read at once, by our own code because they are also
 * read out of dumped memory; sections and symbols by libelf when first asked.
 */
#ifndef GOCORE_ELF_FILE_H
#define GOCORE_ELF_FILE_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>

#include "gocore/input.h"

#define GC_BUILD_ID_MAX 64

struct gc_build_id {
	uint8_t bytes[GC_BUILD_ID_MAX];
	size_t len;   /* 0: none */
};

/** "x86-64", "RISC-V"; NULL: unknown. */
const char *gc_machine_name(uint16_t machine);

/** Program headers of an image, in host order. */
struct gc_phdrs {
	uint16_t type, machine;
	uint64_t entry;
	uint64_t phoff;
	Elf64_Phdr *list;
	size_t count;
};

/** Reads @len bytes of an image at @offset of its file or at @offset from its base. @return false if not there */
typedef bool gc_read_fn(void *data, uint64_t offset, void *buf, size_t len);

/** Read and check an ELF header and its program headers (at most 4096 of them). */
enum gc_code gc_phdrs_read(struct gc_phdrs *out, gc_read_fn *read, void *data, struct gc_error *err);
void gc_phdrs_deinit(struct gc_phdrs *p);

/** Span of the PT_LOADs: lowest p_vaddr rounded down and highest end rounded up to a page. @return false if none */
bool gc_phdrs_span(const struct gc_phdrs *p, uint64_t page_size, uint64_t *low, uint64_t *high);

/** GNU build ID out of the bytes of a PT_NOTE or note section; false if none. */
bool gc_build_id_of_notes(const uint8_t *notes, size_t len, size_t align, struct gc_build_id *out);

bool gc_build_id_equal(const struct gc_build_id *a, const struct gc_build_id *b);

/** Lower-case hex, NUL-terminated. */
void gc_build_id_hex(const struct gc_build_id *id, char out[2 * GC_BUILD_ID_MAX + 1]);

struct gc_symbol {
	const char *name;
	const char *version;    /* "GLIBC_2.34", or NULL */
	uint64_t value, size;
	uint8_t info, other;    /* st_info, st_other */
	uint16_t section;       /* st_shndx */
};

struct gc_elf_file {
	struct gc_input input;
	struct gc_phdrs phdrs;
	uint8_t osabi;
	struct gc_build_id build_id;
	char *go_build_id;      /* NULL: none */
	struct Elf *elf;        /* libelf's, opened on first use */
	struct gc_kept *kept;   /* of one that stays open from core to core (gocore/file_cache.h), else NULL */
};

/** @return GC_E_FORMAT if it is no ELF program or library (the text says what it is) */
enum gc_code gc_elf_file_open(struct gc_elf_file *file, const char *path, struct gc_error *err);

/** The same on an input that is open already; it is taken over, and closed on failure too. */
enum gc_code gc_elf_file_take(struct gc_elf_file *file, struct gc_input *in, struct gc_error *err);
void gc_elf_file_close(struct gc_elf_file *file);

/** Content of a section in place (SHT_NOBITS: none). @return false if there is none */
bool gc_elf_section(struct gc_elf_file *file, const char *name, const uint8_t **bytes, uint64_t *len, uint64_t *addr);

/**
 * Visit the sections; stops when @visit returns false.
 *
 * Nothing of @shdr is checked, and its offset and size need not lie in the file.
 */
void gc_elf_sections(struct gc_elf_file *file, bool (*visit)(void *data, const char *name, const Elf64_Shdr *shdr),
		     void *data);

/** Visit the symbols of .symtab or .dynsym; stops when @visit returns false. */
enum gc_code gc_elf_symbols(struct gc_elf_file *file, bool dynamic,
			    bool (*visit)(void *data, const struct gc_symbol *sym), void *data,
			    struct gc_error *err);

/** A defined symbol by name, .dynsym first. @return false if there is none */
bool gc_elf_symbol_named(struct gc_elf_file *file, const char *name, struct gc_symbol *out);

/** Bytes of the file that a virtual address of the image refers to; *len bytes are there. @return false if none */
bool gc_elf_at(const struct gc_elf_file *file, uint64_t vaddr, const uint8_t **bytes, uint64_t *len);

/** The @n-th value of a DT_ tag in PT_DYNAMIC. */
bool gc_elf_dynamic(const struct gc_elf_file *file, int64_t tag, size_t n, uint64_t *value);

#endif
