/* What the commands share. Only files in src/cmd/ print results or exit. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include <argp.h>
#include <stdbool.h>

#include "gocore/buf.h"

#include "gocore/process.h"

/** Exit statuses, the same for every command. */
enum {
	EXIT_DONE = 0,
	EXIT_UNUSABLE = 1, /* the input can't be used */
	EXIT_USAGE = 2,
	EXIT_SOME_FAILED = 3, /* triage: the other cores' lines are written */
};

#define MAX_DIRS 64

/** A repeatable option that names folders. */
struct dir_list {
	const char *list[MAX_DIRS];
	size_t count;
};

/** The options that every command knows; filled by common_argp. */
struct common_options {
	struct dir_list sysroots, debug_dirs, bin_dirs;
	bool force;
	bool no_cache;
	bool no_sandbox;
	int verbose;
};

/** Parser for the common options; its input is a struct common_options. */
extern const struct argp common_argp;

/** It as the one child of a command's parser. */
extern const struct argp_child common_children[];

/** ARGP_KEY_ARG of a command whose arguments are FILE [PROGRAM]. */
void take_file(struct argp_state *state, const char *arg, const char **file, const char **program);

/** A command: its word, and what runs it with argv[0] being that word. */
struct command {
	const char *name;
	int (*run)(int argc, char **argv);
};

int run_serve(int argc, char **argv);
int run_dlv(int argc, char **argv);
int run_goroutines(int argc, char **argv);
int run_info(int argc, char **argv);
int run_maps(int argc, char **argv);
int run_normalize(int argc, char **argv);
int run_report(int argc, char **argv);
int run_snapshot(int argc, char **argv);
int run_symbols(int argc, char **argv);
int run_triage(int argc, char **argv);

/** Where files are looked for; it points into @options. */
struct gc_find_options find_options(const struct common_options *options, const char *program);

/**
 * Open the core and all that belongs to it, with a progress bar for long
 * unpacking. Prints one sentence when it fails.
 *
 * @param program may be NULL
 */
bool open_process(struct gc_process *p, const char *core, const char *program,
		  const struct common_options *options);

/** As open_process, on an input that is open already (and is taken over). */
bool open_process_of(struct gc_process *p, struct gc_input *in, const char *program,
		     const struct common_options *options);

/** Open a file with a progress bar. Prints one sentence when it fails. */
bool open_input(struct gc_input *in, const char *path);

/** A bar on standard error, rewritten in place, while something takes long. */
struct progress {
	const char *what;  /* "unpacking" */
	bool shown;
};

/** The gc_progress_fn of a struct progress; NULL where standard error is no terminal. */
gc_progress_fn *progress_bar(void);

/** Take the bar away. */
void progress_done(const struct progress *progress);

/** Print "gocore-stub: PATH: text of err". */
void print_error(const char *path, const struct gc_error *err);

/** Write to standard output, all of it. @return exit status */
int print_result(struct gc_buf *text);

/** A JSON document or, without @as_json, its text form. Releases @document. @return exit status */
struct json_t;
int print_document(struct json_t *document, bool as_json, void (*text)(const struct json_t *, struct gc_buf *));

/** The same as the last act of a command: it ends the process, but in a build that looks for leaks. */
int print_last_document(struct json_t *document, bool as_json,
			void (*text)(const struct json_t *, struct gc_buf *));

struct gc_target;

/** The banner that `serve` prints first, PRODUCT "Serving". @param no_goroutines why there are none, or NULL */
void banner_text(struct gc_target *t, const char *no_goroutines, struct gc_buf *out);

/** The lines of it that say what is wrong with the core. */
void banner_problems(const struct gc_process *p, struct gc_buf *out);

#endif
