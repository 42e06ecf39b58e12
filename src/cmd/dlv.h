/* Between the files of `gocore-stub dlv`. */
#ifndef CMD_DLV_H
#define CMD_DLV_H

#include "cmd/cmd.h"
#include "cmd/delve.h"

/** What the user wants of Delve: the words behind --. */
struct dlv_args {
	char **list;        /* without --init and its value */
	size_t count;
	const char *init;   /* the user's own init file, or NULL */
	bool headless;
	bool dap;           /* `dap` is the first word */
	bool any_go;        /* --check-go-version=false */
};

/** @return false after saying what is wrong with them */
bool dlv_args_read(struct dlv_args *out, int count, char **words);
void dlv_args_deinit(struct dlv_args *args);

/** A Delve that is about to be started. */
struct dlv_start {
	const struct delve *delve;
	const struct dlv_args *args;
	const char *program;
	gc_tid crashed;      /* to be selected; 0: not known */
};

/** Put these in the place of this process; they come back only if that failed, after saying so. @return exit status */
int dlv_exec_on_stub(const struct dlv_start *start);
int dlv_exec_on_core(const struct dlv_start *start, const char *core);

/**
 * A file without a name, open in this process and in those that it becomes
 * and starts: in memory, or for what may be large under TMPDIR.
 *
 * @return -1 after saying why
 */
int dlv_nameless(const char *what);
int dlv_nameless_file(void);

/** The path by which this process's successors find an open file. */
const char *dlv_fd_path(int fd, char out[32]);

#endif
