/* Files from debuginfod for a worker, which cannot open connections. */
#ifndef TRIAGE_FETCH_H
#define TRIAGE_FETCH_H

#include "gocore/images.h"

/**
 * Start a process that asks debuginfod servers for build IDs; it sees nothing
 * else of a core. To be called before the cage is shut.
 *
 * @param find  gets the way to ask
 * @param ours  the worker's socket, which nobody else may hold: its end tells the pool that the worker is dead
 * @param fd    of the process, kept open for as long as it is wanted; -1: nobody wants debuginfod, or it cannot be
 */
void triage_fetch_start(struct gc_find_options *find, int ours, int *fd);

#endif
