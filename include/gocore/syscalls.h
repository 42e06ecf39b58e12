/* System calls: their names, and which one a thread was in when the core was written. */
#ifndef GOCORE_SYSCALLS_H
#define GOCORE_SYSCALLS_H

#include "gocore/process.h"

/** A thread in a system call. */
struct gc_in_syscall {
	uint64_t number;
	const char *name;      /* NULL: this number has no name that we know */
	unsigned nargs;        /* how many it takes; all six if that is not known */
	bool has_arg[6];       /* false: the register holds something else by now */
	uint64_t args[6];
	bool has_result;       /* it was done, and the thread had not yet gone on */
	int64_t result;
};

/** @return name and argument count of a system call, or NULL */
const struct gc_syscall *gc_syscall_by_number(const struct gc_arch *arch, uint64_t number);

/** Which system call is the thread in? @return false: in none as far as its registers tell */
bool gc_in_syscall(const struct gc_process *p, const struct gc_thread *thread, const struct gc_regs *regs,
		   struct gc_in_syscall *out);

#endif
