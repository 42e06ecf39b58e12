/* Calls of one image, for those that look for tail calls. */
#ifndef SYM_LINES_CALLS_H
#define SYM_LINES_CALLS_H

#include "gocore/lines.h"

#include "sym/call_sites.h"

/**
 * The calls of the function that holds @pc, a link-time address.
 *
 * @return NULL: there is no debug information; else lives as long as the lines
 */
const struct gc_call_sites *gc_lines_calls(struct gc_lines *lines, uint64_t pc);

#endif
