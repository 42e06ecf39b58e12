/* What the collector of a core wrote beside it. */
#ifndef TRIAGE_COLLECTOR_H
#define TRIAGE_COLLECTOR_H

#include "document/doc.h"

/**
 * Add "host", "unit" and "time" as systemd-coredump, or whoever does as it
 * does, has them in extended attributes of the file: user.coredump.hostname,
 * .unit and .timestamp (systemd-coredump(8)). What is not there is not added.
 *
 * @return true if "time" was added
 */
bool triage_add_collected(struct gc_doc *d, json_t *root, const char *path);

/** Add "time". @param seconds since 1970 */
bool triage_add_time(struct gc_doc *d, json_t *root, int64_t seconds);

#endif
