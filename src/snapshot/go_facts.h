/* What documents say of a Go program as a whole. */
#ifndef SNAPSHOT_GO_FACTS_H
#define SNAPSHOT_GO_FACTS_H

#include "document/doc.h"
#include "gocore/buildinfo.h"
#include "gocore/go.h"

/** Key "go". @param info may be NULL */
void gc_snap_go(struct gc_doc *d, json_t *root, const struct gc_buildinfo *info);

/** Keys "fatal_error" and "panics": what it died of. */
void gc_snap_panics(struct gc_doc *d, json_t *root, const struct gc_go_panics *panics);

/** Key "caught_signal": the signal that the runtime itself died of; the kernel tells the one that it then sent. */
void gc_snap_caught(struct gc_doc *d, json_t *root, struct gc_go *go);

#endif
