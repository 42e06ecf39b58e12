/*
 * Lines of triage as one page: self-contained HTML that groups, filters and
 * explains them in a browser, from disk and without a network.
 */
#ifndef GOCORE_REPORT_H
#define GOCORE_REPORT_H

#include <jansson.h>
#include <stdio.h>

#include "gocore/error.h"

struct gc_report;

/** @return NULL: out of memory */
struct gc_report *gc_report_new(void);
void gc_report_free(struct gc_report *report);

/**
 * Take a line (doc/schema/triage-1.schema.json) in. A core that was there
 * before, by its identity, counts once.
 *
 * @return only GC_E_MEMORY; what is not as the schema says is left out
 */
enum gc_code gc_report_add(struct gc_report *report, const json_t *line, struct gc_error *err);

/** How many cores are in it. */
size_t gc_report_cores(const struct gc_report *report);

/**
 * Write the page.
 *
 * @param unreadable lines that were none, for the page to tell
 * @param made       when, as text
 * @return GC_E_IO or GC_E_MEMORY
 */
enum gc_code gc_report_write(const struct gc_report *report, size_t unreadable, const char *made, FILE *out,
			     struct gc_error *err);

#endif
