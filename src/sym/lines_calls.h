/* What else is known of an image's addresses: calls, for those that look for tail calls, and symbols. */
#ifndef SYM_LINES_CALLS_H
#define SYM_LINES_CALLS_H

#include "gocore/lines.h"

#include "sym/call_sites.h"
#include "sym/symbol_table.h"

/**
 * The calls of the function that holds @pc, a link-time address.
 *
 * @return NULL: there is no debug information; else lives as long as the lines
 */
const struct gc_call_sites *gc_lines_calls(struct gc_lines *lines, uint64_t pc);

/**
 * The symbol that gc_lines_remember_symbol was told of, now or in an earlier run.
 *
 * @param out  its name is NULL if there is none there
 * @return false: this was not asked before
 */
bool gc_lines_recall_symbol(struct gc_lines *lines, uint64_t pc, struct gc_table_symbol *out);

/** @param symbol  NULL: there is none; its name must outlive the lines */
void gc_lines_remember_symbol(struct gc_lines *lines, uint64_t pc, const struct gc_table_symbol *symbol);

/** The same by name. @param value  link-time, 0: there is no such symbol */
bool gc_lines_recall_named(struct gc_lines *lines, bool exports, const char *name, uint64_t *value);
void gc_lines_remember_named(struct gc_lines *lines, bool exports, const char *name, uint64_t value);

#endif
