/* Symbols that were looked up before, in this run or an earlier one: no table is read for them. */
#ifndef SYM_SYMBOL_MEMORY_H
#define SYM_SYMBOL_MEMORY_H

#include "gocore/symbols.h"

#include "sym/symbol_table.h"

struct gc_symbol_memory {
	void *data;

	/** @param pc link-time; @param out name NULL: there is no symbol; @return false: it is not known */
	bool (*recall)(void *data, const struct gc_image *image, uint64_t pc, struct gc_table_symbol *out);

	/** @param symbol  NULL: there is none. Its name lives as long as the symbols. */
	void (*remember)(void *data, const struct gc_image *image, uint64_t pc, const struct gc_table_symbol *symbol);

	/** The same by name, of what @image has or of what it @exports; @param value link-time, 0: no such symbol */
	bool (*recall_named)(void *data, const struct gc_image *image, bool exports, const char *name, uint64_t *value);
	void (*remember_named)(void *data, const struct gc_image *image, bool exports, const char *name,
			       uint64_t value);
};

/** @param memory  copied; names that it recalls must live as long as the symbols are asked; NULL: none */
void gc_symbols_set_memory(struct gc_symbols *s, const struct gc_symbol_memory *memory);

#endif
