/* Between the files of `gocore-stub dlv`. */
#ifndef CMD_DLV_H
#define CMD_DLV_H

#include <limits.h>

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

/** What a client of `dlv dap` has to say. @param core NULL: gocore-stub has it */
void dlv_print_launch(const char *program, const char *core);

/* dlv_gate.c */

/** @return false after saying so if it is no Go program, or none for this Delve */
bool dlv_takes(struct gc_elf_file *file, const char *path, const struct delve *d, const struct dlv_args *args);

/* dlv_connect.c */

/** Start the Delve called @name on the stub at @address. @return exit status */
int dlv_connected(const char *address, const char *program, const char *name, const struct dlv_args *args);

/* dlv_files.c; each returns false after saying why */

/**
 * Where Delve finds the program: where we found it, or in a copy if it was
 * compressed or nobody may execute it, which Delve insists on.
 */
bool dlv_program(const struct gc_elf_file *program, const char *found_path, char out[PATH_MAX]);

/** The core by its path; by its descriptor if it was unpacked and has none. */
bool dlv_core(const struct gc_core *core, char out[PATH_MAX]);

/** Was the core read from standard input? */
bool dlv_is_stdin(const struct gc_core *core);

/** Delve's commands come from the terminal then, as with pagers; from nowhere if there is none. */
void dlv_take_terminal(const struct dlv_args *args);

/** A core that Delve's own reader does not stumble over: this one or one made anew. */
bool dlv_readable_core(const struct gc_process *p, char out[PATH_MAX]);

/** The same options for the helper, which starts where Delve likes. */
bool dlv_set_options(const struct common_options *o);

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
