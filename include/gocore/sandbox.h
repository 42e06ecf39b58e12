/*
 * A cage for code that reads what nobody vouches for: from gc_sandbox_enter
 * on, this process can use the files and sockets that it has open, and
 * memory, and nothing else. No new files, connections or programs.
 */
#ifndef GOCORE_SANDBOX_H
#define GOCORE_SANDBOX_H

#include "gocore/error.h"

/**
 * Shut the cage (seccomp(2), by libseccomp). There is no way out.
 *
 * A forbidden call fails with EPERM, so that a library that tries one in
 * passing goes on. GC_E_UNSUPPORTED where the kernel has no seccomp, and in
 * builds with a sanitizer, whose run time needs more than we would allow.
 */
enum gc_code gc_sandbox_enter(struct gc_error *err);

/**
 * The same, but files may be opened to be read, and the ones that are open for
 * writing may be cut and filled: for those who read many cores.
 */
enum gc_code gc_sandbox_enter_files(struct gc_error *err);

#endif
