#include "gocore/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "base/instrumented.h"

/* What reading a core and talking to one client needs. */
static const int allowed[] = {
	/* the client's socket, and what is open already */
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev),
	SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(close), SCMP_SYS(fstat),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
	SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(ppoll),
	/* memory */
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	/* signals, time, the end */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
	SCMP_SYS(futex), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(exit), SCMP_SYS(exit_group),
};

/* What finding files takes beside. */
static const int allowed_for_files[] = {
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getdents64),
	SCMP_SYS(pwrite64), SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fadvise64), SCMP_SYS(sysinfo),
	SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(getcwd), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(getxattr),
};

/** Memory may be mapped and protected, but never made executable. @return 0 or a negative errno */
static int allow_plain_memory(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_exec);

	return failed ? failed : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_exec);
}

/** abort() has to work: it ends the process by a signal to itself. */
static int allow_signals(scmp_filter_ctx filter)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
}

/** What the first client made for all (gocore/shared.h) is sealed, so that no other one can change it. */
static int allow_sealing(scmp_filter_ctx filter)
{
	const struct scmp_arg_cmp add_seals = SCMP_A1(SCMP_CMP_EQ, F_ADD_SEALS, 0);

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &add_seals);
}

/** Files may be opened for reading only, and descriptors copied. */
static int allow_reading(scmp_filter_ctx filter)
{
	const unsigned no_write = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	const struct scmp_arg_cmp read_only = SCMP_A2(SCMP_CMP_MASKED_EQ, no_write, O_RDONLY);
	const struct scmp_arg_cmp copy = SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC, 0);
	const struct scmp_arg_cmp get_flags = SCMP_A1(SCMP_CMP_EQ, F_GETFL, 0);
	int failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1, &read_only);

	for (size_t i = 0; i < GC_COUNT(allowed_for_files) && !failed; i++) {
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed_for_files[i], 0);
		if (failed == -EDOM) /* not a call of this architecture */
			failed = 0;
	}
	if (!failed)
		failed = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &copy);
	return failed ? failed : seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, &get_flags);
}

static int fill(scmp_filter_ctx filter)
{
	int failed = 0;

	for (size_t i = 0; i < GC_COUNT(allowed) && !failed; i++)
		failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
	if (!failed)
		failed = allow_plain_memory(filter);
	if (!failed)
		failed = allow_sealing(filter);
	return failed ? failed : allow_signals(filter);
}

static enum gc_code enter(bool files, struct gc_error *err)
{
	scmp_filter_ctx filter;
	int failed;

	if (GC_INSTRUMENTED)
		return gc_fail(err, GC_E_UNSUPPORTED, "no sandbox in a build with a sanitizer");
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return gc_fail_memory(err);
	failed = fill(filter);
	if (!failed && files)
		failed = allow_reading(filter);
	if (!failed)
		failed = seccomp_load(filter);
	seccomp_release(filter);
	if (failed)
		return gc_fail(err, GC_E_UNSUPPORTED, "no sandbox: %s", strerror(-failed));
	return GC_OK;
}

enum gc_code gc_sandbox_enter(struct gc_error *err)
{
	return enter(false, err);
}

enum gc_code gc_sandbox_enter_files(struct gc_error *err)
{
	return enter(true, err);
}
