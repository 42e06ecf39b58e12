#include "rsp/gdb_signals.h"

#include <stdint.h>

#include "gocore/error.h"

#define GDB_SIGNAL_UNKNOWN     143
#define GDB_SIGNAL_REALTIME_32 77
#define GDB_SIGNAL_REALTIME_33 45 /* to 63 in a row */
#define GDB_SIGNAL_REALTIME_64 78

/* By Linux number (asm-generic/signal.h); both architectures use the generic ones. */
static const uint8_t classic[] = {
	[0] = 0,
	[1] = 1,    /* SIGHUP */
	[2] = 2,    /* SIGINT */
	[3] = 3,    /* SIGQUIT */
	[4] = 4,    /* SIGILL */
	[5] = 5,    /* SIGTRAP */
	[6] = 6,    /* SIGABRT */
	[7] = 10,   /* SIGBUS */
	[8] = 8,    /* SIGFPE */
	[9] = 9,    /* SIGKILL */
	[10] = 30,  /* SIGUSR1 */
	[11] = 11,  /* SIGSEGV */
	[12] = 31,  /* SIGUSR2 */
	[13] = 13,  /* SIGPIPE */
	[14] = 14,  /* SIGALRM */
	[15] = 15,  /* SIGTERM */
	[16] = GDB_SIGNAL_UNKNOWN, /* SIGSTKFLT */
	[17] = 20,  /* SIGCHLD */
	[18] = 19,  /* SIGCONT */
	[19] = 17,  /* SIGSTOP */
	[20] = 18,  /* SIGTSTP */
	[21] = 21,  /* SIGTTIN */
	[22] = 22,  /* SIGTTOU */
	[23] = 16,  /* SIGURG */
	[24] = 24,  /* SIGXCPU */
	[25] = 25,  /* SIGXFSZ */
	[26] = 26,  /* SIGVTALRM */
	[27] = 27,  /* SIGPROF */
	[28] = 28,  /* SIGWINCH */
	[29] = 23,  /* SIGIO */
	[30] = 32,  /* SIGPWR */
	[31] = 12,  /* SIGSYS */
};

int gc_gdb_signal(int linux_number)
{
	if (linux_number >= 0 && linux_number < (int)GC_COUNT(classic))
		return classic[linux_number];
	if (linux_number == 32)
		return GDB_SIGNAL_REALTIME_32;
	if (linux_number > 32 && linux_number < 64)
		return GDB_SIGNAL_REALTIME_33 + linux_number - 33;
	return linux_number == 64 ? GDB_SIGNAL_REALTIME_64 : GDB_SIGNAL_UNKNOWN;
}
