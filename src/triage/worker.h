/* Worker processes: how the pool starts them and talks to them. */
#ifndef TRIAGE_WORKER_H
#define TRIAGE_WORKER_H

#include <stdint.h>
#include <sys/types.h>

#include "gocore/triage.h"

/* A longer line is none. */
#define TRIAGE_MAX_LINE (64U << 20)

/** What goes to a worker, and behind it the path without a NUL. */
struct triage_request {
	uint64_t size, inode;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint32_t path_len;
};

/** How a core ended. */
enum triage_status {
	TRIAGE_LINE,
	TRIAGE_UNUSABLE,  /* the text says why */
	TRIAGE_NO_CORE,   /* the text says what it is instead */
	TRIAGE_NO_MEMORY,
};

/** What comes back, and behind it a line or a text. */
struct triage_reply {
	uint32_t status;  /* enum triage_status */
	uint32_t len;
};

/**
 * Start one.
 *
 * @param socket      ours; the worker ends when it is closed
 * @param others      descriptors of ours that it must not have
 */
enum gc_code triage_worker_start(const struct gc_triage_options *options, const int *others, size_t nothers,
				 pid_t *pid, int *socket, struct gc_error *err);

#endif
