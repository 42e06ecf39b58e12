/*
 * Triage: many cores in one run, one line of JSON for each
 * (doc/schema/triage-1.schema.json), and lines joined to groups.
 *
 * Cores are read by worker processes in a cage, so that one that crashes,
 * hangs or eats memory costs its own line and nothing else.
 */
#ifndef GOCORE_TRIAGE_H
#define GOCORE_TRIAGE_H

#include <jansson.h>
#include <signal.h>

#include "gocore/buf.h"
#include "gocore/images.h"

/* The list. */

struct gc_triage_file {
	char *path;
	bool named;   /* by the user, and not found in a folder: it has to be a core */
	char *refused; /* why it cannot be looked at, or NULL */
};

struct gc_triage_list {
	struct gc_triage_file *files;
	size_t count, cap;
	char **lines;      /* files of triage lines */
	size_t nlines, lines_cap;
	size_t others;     /* files in folders that are no cores */
	struct gc_problems problems; /* loops of links, folders that cannot be read */
};

/**
 * Add a file, or all cores and compressed files in a folder, in the order of
 * their names. What a file is is told by its content.
 *
 * @return only GC_E_MEMORY
 */
enum gc_code gc_triage_list_add(struct gc_triage_list *list, const char *path, struct gc_error *err);

/** Add the paths in a file ("-": standard input), one a line, or each with a NUL behind it. */
enum gc_code gc_triage_list_add_from(struct gc_triage_list *list, const char *path, struct gc_error *err);

/** Leave each path in it once: folders and lists may name the same. @return only GC_E_MEMORY */
enum gc_code gc_triage_list_unique(struct gc_triage_list *list, struct gc_error *err);

/** Keep one part of @parts; which files these are depends on nothing but their paths. @param part from 1 on */
void gc_triage_list_shard(struct gc_triage_list *list, unsigned part, unsigned parts);
void gc_triage_list_deinit(struct gc_triage_list *list);

/* Lines. */

/** What of a file tells it from others, and from itself after a change. */
struct gc_core_identity {
	const char *path;
	uint64_t size, inode;
	int64_t mtime_s;
	uint32_t mtime_ns;
};

/** The identity as a text of its own; equal texts are equal cores. @return false: @line has none */
bool gc_triage_identity(const json_t *line, struct gc_buf *out);
bool gc_triage_identity_of(const struct gc_core_identity *id, struct gc_buf *out);

/** Why there is no more to say of a core. */
enum gc_triage_failure {
	GC_TRIAGE_UNUSABLE, /* the file is no core that can be read */
	GC_TRIAGE_TIMEOUT,
	GC_TRIAGE_MEMORY,
	GC_TRIAGE_DIED,     /* the worker did */
};

/** A line for a core that nothing else is known of. @return new reference, or NULL: out of memory */
json_t *gc_triage_failed(const struct gc_core_identity *id, enum gc_triage_failure why, const char *text);

/** Add to a key of "timings_ms". */
void gc_triage_time(json_t *line, const char *step, double seconds);

/** Key "elapsed_ms", the last one. */
void gc_triage_elapsed(json_t *line, double seconds);

/**
 * The line of one core.
 *
 * @return new reference, or NULL and @err: GC_E_MEMORY; GC_E_NOT_FOUND, it is no core at all; else it cannot be read
 */
struct gc_triage_reader;
json_t *gc_triage_line(struct gc_triage_reader *reader, const struct gc_core_identity *id, struct gc_error *err);

/**
 * What is kept between one core and the next.
 *
 * @param scratch  file for unpacking, -1: none
 * @param timings  add "timings_ms": how long each step took
 * @return NULL: no memory
 */
struct gc_triage_reader *gc_triage_reader_new(const struct gc_find_options *find, int scratch, bool timings);
void gc_triage_reader_free(struct gc_triage_reader *reader);

/* Running. */

struct gc_triage_progress {
	size_t done, failed, skipped, total; /* skipped: no core, in a folder */
};

struct gc_triage_options {
	const struct gc_find_options *find;
	unsigned jobs;
	double timeout;           /* seconds for one core */
	uint64_t memory_limit;    /* bytes that a worker may allocate */
	bool ordered, sandbox, verbose, timings;
	const volatile sig_atomic_t *stop; /* set by a signal: end */
	/* Takes a whole line, without newline. @return false to end */
	bool (*line)(void *data, const char *text, size_t len);
	void (*progress)(void *data, const struct gc_triage_progress *progress); /* may be NULL */
	void (*problem)(void *data, const struct gc_problem *problem); /* of the run, and of no core alone */
	void *data;
	int output;               /* closed in workers, so that its lock ends with the run; below 3: none */
};

/**
 * Read all cores of the list.
 *
 * @param done  of the files, those that need no line any more; may be NULL
 * @return GC_E_IO if no worker can be started or a line was not taken
 */
enum gc_code gc_triage_run(const struct gc_triage_list *list, const bool *done, const struct gc_triage_options *options,
			   struct gc_triage_progress *result, struct gc_error *err);

/* Reading lines. */

/**
 * Visit the lines of a file that a run wrote, whole ones only.
 *
 * @param good  bytes up to the end of the last whole line
 * @param visit gets a line that it may keep by json_incref; returns false to stop
 */
enum gc_code gc_triage_read(const char *path, bool (*visit)(void *data, json_t *line), void *data, uint64_t *good,
			    struct gc_problems *problems, struct gc_error *err);

/* Groups. */

enum gc_triage_by { GC_TRIAGE_BY_TOP, GC_TRIAGE_BY_EXACT, GC_TRIAGE_BY_SITE };

struct gc_triage_groups;

/** @return NULL: out of memory */
struct gc_triage_groups *gc_triage_groups_new(enum gc_triage_by by);
void gc_triage_groups_free(struct gc_triage_groups *groups);

/** Count a line; the same core is counted once. @return only GC_E_MEMORY */
enum gc_code gc_triage_groups_add(struct gc_triage_groups *groups, json_t *line, struct gc_error *err);

/** Document "triage-groups", the largest group first. @return new reference, or NULL: out of memory */
json_t *gc_triage_groups_document(const struct gc_triage_groups *groups);

/** The text for people. */
void gc_triage_groups_text(const json_t *document, struct gc_buf *out);

#endif
