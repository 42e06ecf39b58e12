/*
 * The symbols of one image by address: those of .symtab, or of .dynsym and of
 * the mini debug info. All addresses are link-time, so that a table serves any
 * number of processes.
 *
 * The first few look-ups walk the tables, which for one stack is cheaper than
 * to sort them; then an index is made.
 */
#ifndef SYM_SYMBOL_TABLE_H
#define SYM_SYMBOL_TABLE_H

#include "gocore/elf_file.h"

#define GC_SYM_SIZE 24 /* Elf64_Sym */

struct gc_symbol_table;

struct gc_table_symbol {
	uint64_t value, size;
	const char *name;       /* as it is recorded; lives as long as the bytes it was read of */
};

/** @param phdrs  of the image: they say where its code is; must outlive the table. @return NULL: out of memory */
struct gc_symbol_table *gc_symbol_table_new(const struct gc_phdrs *phdrs);
void gc_symbol_table_free(struct gc_symbol_table *table);

/** Symbols of bytes that outlive the table; two tables at most. */
void gc_symbol_table_add(struct gc_symbol_table *table, const uint8_t *symbols, uint64_t count, const char *strings,
			 uint64_t strings_len);

/** The same of sections. @return false if @file, which may be NULL, has none such */
bool gc_symbol_table_add_sections(struct gc_symbol_table *table, struct gc_elf_file *file, const char *symbols,
				  const char *strings);

/** The table owns @file from now on, and its symbols are added. @param file  may be NULL */
void gc_symbol_table_add_mini(struct gc_symbol_table *table, struct gc_elf_file *file);

/** What holds @value, of several names the one that gdb would show. @return false: nothing is known to */
bool gc_symbol_table_find(struct gc_symbol_table *table, uint64_t value, struct gc_table_symbol *out);

/**
 * A function that is defined under this name, with a version or without; where
 * code picks one of several at run time (STT_GNU_IFUNC) it is not known which.
 */
bool gc_symbol_table_named(const struct gc_symbol_table *table, const char *name, uint64_t *out);

#endif
