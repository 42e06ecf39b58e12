/*
 * A synthetic /proc/PID made from the core, for clients that ask the remote
 * file system (gdb's `info proc`, generate-core-file). Never the host's /proc:
 * there the number may belong to another process by now. Formats: proc(5).
 */
#ifndef GOCORE_PROCFS_H
#define GOCORE_PROCFS_H

#include "gocore/buf.h"
#include "gocore/target.h"

/**
 * Content of a file under /proc/PID or /proc/PID/task/TID.
 *
 * @return GC_E_NOT_FOUND if it is not one of maps smaps status stat cmdline environ auxv coredump_filter comm,
 *         or the core does not have it
 */
enum gc_code gc_procfs_read(struct gc_target *t, const char *path, struct gc_buf *out, struct gc_error *err);

/** Where the links exe and cwd point to. GC_E_NOT_FOUND if not known. */
enum gc_code gc_procfs_readlink(struct gc_target *t, const char *path, struct gc_buf *out, struct gc_error *err);

/** The content of /proc/PID/maps: a line for each mapping. */
void gc_procfs_maps(const struct gc_process *p, struct gc_buf *out);

#endif
