/*
 * Bytes that are made once for a family of processes: the first that asks
 * makes them, all that were forked from the same parent see them.
 *
 * Nothing is made before it is asked for. No process depends on another: when
 * the maker dies the next one makes them, and when it takes too long the
 * others make their own.
 */
#ifndef GOCORE_SHARED_H
#define GOCORE_SHARED_H

#include <stdint.h>

#include "gocore/buf.h"

struct gc_shared;

typedef enum gc_code gc_make_fn(void *data, struct gc_buf *out, struct gc_error *err);

/** Before the fork. */
enum gc_code gc_shared_new(struct gc_shared **out, struct gc_error *err);
void gc_shared_free(struct gc_shared *s);

/**
 * @param make  called if nobody made them yet; what fails once for this process is not tried again
 * @param bytes aligned for any type, valid as long as @s; another process may have made them, so
 *              what would do harm if it were wrong has to be checked
 */
enum gc_code gc_shared_get(struct gc_shared *s, gc_make_fn *make, void *data, const uint8_t **bytes, uint64_t *len,
			   struct gc_error *err);

#endif
