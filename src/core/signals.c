#include "gocore/signals.h"

#include <stdio.h>

#include "gocore/bytes.h"

/* asm-generic/signal.h; the same on both architectures. Texts as strsignal(3) of glibc has them. */
static const struct {
	const char *name, *text;
} signals[] = {
	[1] = { "SIGHUP", "Hangup" },
	[2] = { "SIGINT", "Interrupt" },
	[3] = { "SIGQUIT", "Quit" },
	[4] = { "SIGILL", "Illegal instruction" },
	[5] = { "SIGTRAP", "Trace/breakpoint trap" },
	[6] = { "SIGABRT", "Aborted" },
	[7] = { "SIGBUS", "Bus error" },
	[8] = { "SIGFPE", "Floating point exception" },
	[9] = { "SIGKILL", "Killed" },
	[10] = { "SIGUSR1", "User defined signal 1" },
	[11] = { "SIGSEGV", "Segmentation fault" },
	[12] = { "SIGUSR2", "User defined signal 2" },
	[13] = { "SIGPIPE", "Broken pipe" },
	[14] = { "SIGALRM", "Alarm clock" },
	[15] = { "SIGTERM", "Terminated" },
	[16] = { "SIGSTKFLT", "Stack fault" },
	[17] = { "SIGCHLD", "Child exited" },
	[18] = { "SIGCONT", "Continued" },
	[19] = { "SIGSTOP", "Stopped (signal)" },
	[20] = { "SIGTSTP", "Stopped" },
	[21] = { "SIGTTIN", "Stopped (tty input)" },
	[22] = { "SIGTTOU", "Stopped (tty output)" },
	[23] = { "SIGURG", "Urgent I/O condition" },
	[24] = { "SIGXCPU", "CPU time limit exceeded" },
	[25] = { "SIGXFSZ", "File size limit exceeded" },
	[26] = { "SIGVTALRM", "Virtual timer expired" },
	[27] = { "SIGPROF", "Profiling timer expired" },
	[28] = { "SIGWINCH", "Window changed" },
	[29] = { "SIGIO", "I/O possible" },
	[30] = { "SIGPWR", "Power failure" },
	[31] = { "SIGSYS", "Bad system call" },
};

enum {
	ANY = 0,
	ILL = 4,
	TRAP = 5,
	BUS = 7,
	FPE = 8,
	SEGV = 11,
	CHLD = 17,
	IO = 29,
	SYS = 31,
};

/* asm-generic/siginfo.h; negative ones and SI_KERNEL come with any signal. */
static const struct code {
	int signal, code;
	const char *name, *text;
} codes[] = {
	{ ANY, 0, "SI_USER", "sent by kill" },
	{ ANY, 0x80, "SI_KERNEL", "sent by the kernel" },
	{ ANY, -1, "SI_QUEUE", "sent by sigqueue" },
	{ ANY, -2, "SI_TIMER", "timer expired" },
	{ ANY, -3, "SI_MESGQ", "message queue state changed" },
	{ ANY, -4, "SI_ASYNCIO", "asynchronous I/O completed" },
	{ ANY, -5, "SI_SIGIO", "queued SIGIO" },
	{ ANY, -6, "SI_TKILL", "sent by tkill" },
	{ ANY, -7, "SI_DETHREAD", "sent by execve to its own threads" },
	{ ANY, -60, "SI_ASYNCNL", "asynchronous name lookup completed" },

	{ ILL, 1, "ILL_ILLOPC", "illegal opcode" },
	{ ILL, 2, "ILL_ILLOPN", "illegal operand" },
	{ ILL, 3, "ILL_ILLADR", "illegal addressing mode" },
	{ ILL, 4, "ILL_ILLTRP", "illegal trap" },
	{ ILL, 5, "ILL_PRVOPC", "privileged opcode" },
	{ ILL, 6, "ILL_PRVREG", "privileged register" },
	{ ILL, 7, "ILL_COPROC", "coprocessor error" },
	{ ILL, 8, "ILL_BADSTK", "internal stack error" },
	{ ILL, 9, "ILL_BADIADDR", "unimplemented instruction address" },

	{ FPE, 1, "FPE_INTDIV", "integer divide by zero" },
	{ FPE, 2, "FPE_INTOVF", "integer overflow" },
	{ FPE, 3, "FPE_FLTDIV", "floating point divide by zero" },
	{ FPE, 4, "FPE_FLTOVF", "floating point overflow" },
	{ FPE, 5, "FPE_FLTUND", "floating point underflow" },
	{ FPE, 6, "FPE_FLTRES", "inexact floating point result" },
	{ FPE, 7, "FPE_FLTINV", "invalid floating point operation" },
	{ FPE, 8, "FPE_FLTSUB", "subscript out of range" },
	{ FPE, 14, "FPE_FLTUNK", "undiagnosed floating point exception" },
	{ FPE, 15, "FPE_CONDTRAP", "trap on condition" },

	{ SEGV, 1, "SEGV_MAPERR", "address not mapped to object" },
	{ SEGV, 2, "SEGV_ACCERR", "invalid permissions for mapped object" },
	{ SEGV, 3, "SEGV_BNDERR", "failed address bound checks" },
	{ SEGV, 4, "SEGV_PKUERR", "failed protection key checks" },
	{ SEGV, 5, "SEGV_ACCADI", "ADI not enabled for mapped object" },
	{ SEGV, 6, "SEGV_ADIDERR", "disrupting memory corruption by ADI" },
	{ SEGV, 7, "SEGV_ADIPERR", "precise memory corruption by ADI" },
	{ SEGV, 8, "SEGV_MTEAERR", "async tag check fault" },
	{ SEGV, 9, "SEGV_MTESERR", "sync tag check fault" },
	{ SEGV, 10, "SEGV_CPERR", "control protection fault" },

	{ BUS, 1, "BUS_ADRALN", "illegal alignment" },
	{ BUS, 2, "BUS_ADRERR", "illegal address" },
	{ BUS, 3, "BUS_OBJERR", "hardware error" },
	{ BUS, 4, "BUS_MCEERR_AR", "hardware memory error consumed on a machine check: action required" },
	{ BUS, 5, "BUS_MCEERR_AO", "hardware memory error detected but not consumed: action optional" },

	{ TRAP, 1, "TRAP_BRKPT", "process breakpoint" },
	{ TRAP, 2, "TRAP_TRACE", "process trace trap" },
	{ TRAP, 3, "TRAP_BRANCH", "process taken branch trap" },
	{ TRAP, 4, "TRAP_HWBKPT", "hardware breakpoint or watchpoint" },
	{ TRAP, 5, "TRAP_UNK", "undiagnosed trap" },
	{ TRAP, 6, "TRAP_PERF", "perf event" },

	{ CHLD, 1, "CLD_EXITED", "child has exited" },
	{ CHLD, 2, "CLD_KILLED", "child was killed" },
	{ CHLD, 3, "CLD_DUMPED", "child terminated abnormally" },
	{ CHLD, 4, "CLD_TRAPPED", "traced child has trapped" },
	{ CHLD, 5, "CLD_STOPPED", "child has stopped" },
	{ CHLD, 6, "CLD_CONTINUED", "stopped child has continued" },

	{ IO, 1, "POLL_IN", "data input available" },
	{ IO, 2, "POLL_OUT", "output buffers available" },
	{ IO, 3, "POLL_MSG", "input message available" },
	{ IO, 4, "POLL_ERR", "I/O error" },
	{ IO, 5, "POLL_PRI", "high priority input available" },
	{ IO, 6, "POLL_HUP", "device disconnected" },

	{ SYS, 1, "SYS_SECCOMP", "seccomp triggered" },
	{ SYS, 2, "SYS_USER_DISPATCH", "syscall user dispatch triggered" },
};

static bool has_name(int number)
{
	return number > 0 && number < (int)GC_COUNT(signals) && signals[number].name;
}

const char *gc_signal_name(int linux_number, char buf[16])
{
	if (has_name(linux_number))
		return signals[linux_number].name;
	snprintf(buf, 16, "SIG%d", linux_number);
	return buf;
}

const char *gc_signal_text(int linux_number)
{
	return has_name(linux_number) ? signals[linux_number].text : NULL;
}

static const struct code *find_code(int signal, int code)
{
	for (size_t i = 0; i < GC_COUNT(codes); i++)
		if (codes[i].code == code && (codes[i].signal == signal || codes[i].signal == ANY))
			return &codes[i];
	return NULL;
}

const char *gc_signal_code_name(int linux_number, int code)
{
	const struct code *c = find_code(linux_number, code);

	return c ? c->name : NULL;
}

const char *gc_signal_code_text(int linux_number, int code)
{
	const struct code *c = find_code(linux_number, code);

	return c ? c->text : NULL;
}

#define SIGINFO_SIZE  128
#define SI_KERNEL     0x80
#define SI_TIMER      (-2)
#define SI_SIGIO      (-5)
#define SEGV_MTEAERR  8

/** Raised by an instruction? What tells which members are filled: siginfo_layout, kernel/signal.c. */
static bool is_fault(int signo, int code)
{
	if (code <= 0 || code >= SI_KERNEL)
		return false;
	/* An asynchronous tag check fault does not know its address (arch/arm64/kernel/mte.c). */
	if (signo == SEGV && code == SEGV_MTEAERR)
		return false;
	return signo == ILL || signo == FPE || signo == SEGV || signo == BUS || signo == TRAP ||
	       signo == SYS;
}

/** Sent by a process: kill, sigqueue, tkill, or a child's end. The kernel itself is no sender. */
static bool has_sender(int signo, int code)
{
	if (signo == CHLD && code > 0 && code < SI_KERNEL)
		return true;
	return code <= 0 && code != SI_TIMER && code != SI_SIGIO;
}

bool gc_siginfo_decode(const struct gc_note *note, struct gc_siginfo *out)
{
	const uint8_t *d = note->desc;

	if (note->desc_len < SIGINFO_SIZE)
		return false;
	*out = (struct gc_siginfo){
		.note = note,
		.signo = (int32_t)gc_load_le32(d),
		.errnum = (int32_t)gc_load_le32(d + 4),
		.code = (int32_t)gc_load_le32(d + 8),
	};
	if (is_fault(out->signo, out->code)) {
		out->has_addr = true;
		out->addr = gc_load_le64(d + 16);
	} else if (has_sender(out->signo, out->code)) {
		out->has_sender = true;
		out->sender_pid = (int32_t)gc_load_le32(d + 16);
		out->sender_uid = gc_load_le32(d + 20);
	}
	return true;
}
