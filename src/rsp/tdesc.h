/* The target description (GDB manual, "Target Descriptions"), made from the rows of the registers. */
#ifndef GOCORE_TDESC_H
#define GOCORE_TDESC_H

#include "gocore/arch.h"
#include "gocore/buf.h"

/** Append the whole document: the one annex is target.xml. @map is sealed. */
void gc_tdesc_xml(const struct gc_regmap *map, bool for_lldb, struct gc_buf *out);

#endif
