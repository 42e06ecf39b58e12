/* Names and numbers of Linux signals, as asm-generic/signal.h and siginfo.h have them. */
#ifndef GOCORE_SIGNALS_H
#define GOCORE_SIGNALS_H

#include "gocore/core.h"

/** "SIGSEGV", "SIG34" for what has no name; never NULL. The text of unnamed ones is in @buf. */
const char *gc_signal_name(int linux_number, char buf[16]);

/** "Segmentation fault", or NULL. */
const char *gc_signal_text(int linux_number);

/** "SEGV_MAPERR", or NULL. */
const char *gc_signal_code_name(int linux_number, int code);

/** "address not mapped to object", or NULL. */
const char *gc_signal_code_text(int linux_number, int code);

/** Read a siginfo_t of 128 bytes. */
bool gc_siginfo_decode(const struct gc_note *note, struct gc_siginfo *out);

#endif
