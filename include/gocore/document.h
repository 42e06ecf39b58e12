/*
 * Documents about a core or a program, as JSON and as text for people.
 *
 * Each is built once as JSON (schemas: doc/schema/KIND-1.schema.json), and the
 * text is made from the same values, so that they cannot disagree.
 */
#ifndef GOCORE_DOCUMENT_H
#define GOCORE_DOCUMENT_H

#include <jansson.h>

#include "gocore/buf.h"
#include "gocore/process.h"

/**
 * Document "info" of a core; with "program_info" if there is a copy of the program.
 *
 * @return new reference, or NULL: out of memory
 */
json_t *gc_info_core(const struct gc_process *p);

/** Document "info" of a program; @p is the core that it belongs to, or NULL. */
json_t *gc_info_program(struct gc_elf_file *file, const struct gc_process *p);

/** Document "maps": all ranges, and what is at or near each of @addrs. */
json_t *gc_maps(const struct gc_process *p, const uint64_t *addrs, size_t naddrs);

/**
 * The texts for people of these documents. Control characters are escaped.
 *
 * An info with only some of its keys ("images", "notes", "problems"...) gives
 * the text of these; a maps with "addresses" gives the answers without the map.
 */
void gc_info_text(const json_t *info, struct gc_buf *out);
void gc_maps_text(const json_t *maps, struct gc_buf *out);

#endif
