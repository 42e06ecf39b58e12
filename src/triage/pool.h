/* What the files of the pool share: workers, the files that are handed out to them, and the lines that come back. */
#ifndef TRIAGE_POOL_H
#define TRIAGE_POOL_H

#include "triage/worker.h"

/* With --ordered, so many lines may wait for an earlier one. */
#define POOL_MAX_WAITING 1024

#define POOL_NO_FILE SIZE_MAX

struct pool_worker {
	pid_t pid;          /* 0: none */
	int fd;
	size_t file;        /* that it reads, or POOL_NO_FILE */
	struct gc_core_identity id;
	double since;       /* when it began */
	struct gc_buf in;   /* what came of its answer */
};

/** A line that is done; with --ordered until its turn comes. */
struct pool_waiting {
	bool done;
	char *text;         /* NULL: there is no line */
	size_t len;
};

struct pool {
	const struct gc_triage_list *list;
	const struct gc_triage_options *options;
	const bool *done;
	struct pool_worker *workers;
	size_t count;
	size_t next;        /* file to hand out */
	size_t turn;        /* with --ordered: whose line is next */
	struct pool_waiting *waiting; /* a ring over files from turn on */
	struct gc_triage_progress progress;
	double shown;       /* when progress was told */
	bool stopped;       /* a line was not taken, or a signal came */
};

/** Say how far it is, not more than ten times a second. @param always now in any case */
void pool_tell(struct pool *p, bool always);

/* Lines: pool_lines.c. */

/** Give those away whose turn has come. */
void pool_give_waiting(struct pool *p);

/** A file is done. @param text its line, NULL: none */
void pool_finish(struct pool *p, size_t file, const char *text, size_t len);

/** A file has a line that says why there is nothing else. @param since when it was begun, 0: never */
void pool_finish_failed(struct pool *p, size_t file, const struct gc_core_identity *id, double since,
			enum gc_triage_failure why, const char *what);

/* Workers: pool_workers.c. */

enum gc_code pool_start(struct pool *p, struct pool_worker *w, struct gc_error *err);

/** @return its status as wait(2) has it */
int pool_end(struct pool_worker *w, bool kill_it);

/** @return false: it is not there any more */
bool pool_send(struct pool_worker *w);

/** Take what it has written. */
void pool_receive(struct pool *p, struct pool_worker *w);

/** Has it had its time? @param t now */
void pool_check_time(struct pool *p, struct pool_worker *w, double t);

#endif
