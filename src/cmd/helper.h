/*
 * What Delve starts as its debugserver, lldb-server or rr. gocore-stub is one
 * of these when it is called as one; there is no option for it.
 *
 * The words are those of Delve's pkg/proc/gdbserial/gdbserver.go (LLDBLaunch,
 * LLDBAttach) and rr.go. Those that would start or attach to a process are
 * understood and not obeyed: what is served is a core.
 */
#ifndef CMD_HELPER_H
#define CMD_HELPER_H

#include <stdbool.h>

/* What cannot be said in the words, the environment says. */
#define HELPER_CORE    "GOCORE_STUB_CORE"    /* the core; before the one among the words */
#define HELPER_PROGRAM "GOCORE_STUB_BIN"     /* its program */
#define HELPER_OPTIONS "GOCORE_STUB_OPTIONS" /* --sysroot=DIR and other common options, one a line */
#define HELPER_CONNECT "GOCORE_STUB_CONNECT" /* of a stub that serves already: pass bytes on, open nothing */

enum helper_kind {
	HELPER_NONE,
	HELPER_PROBE,   /* asked for what it knows: nothing to do */
	HELPER_DIAL,    /* debugserver: connects to address */
	HELPER_LISTEN,  /* lldb-server: waits at address */
	HELPER_RR,      /* rr replay: waits anywhere, and tells where */
	HELPER_WRONG,   /* called by its name, with words that it does not know */
};

struct helper {
	enum helper_kind kind;
	const char *address;  /* as Delve writes it, ":4040" or "127.0.0.1:4040" */
	const char *program;  /* among the words, or NULL */
	const char *core;     /* among the words, or NULL */
};

/**
 * Is this a call of a helper? Every word has to be one that Delve uses, so
 * that no usual command line is taken for it.
 *
 * @return kind is HELPER_NONE if it is not
 */
struct helper helper_of_args(int argc, char **argv);

/** Serve the core to the Delve that called. @return exit status */
int run_helper(const struct helper *helper);

#endif
