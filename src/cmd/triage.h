/* What the files of the command triage share. */
#ifndef CMD_TRIAGE_H
#define CMD_TRIAGE_H

#include "cmd/cmd.h"
#include "gocore/triage.h"

struct triage_options {
	struct common_options common;
	struct gc_triage_options run;
	const char *output, *resume, *files_from[MAX_DIRS];
	size_t nfiles_from;
	unsigned shard, shards;       /* 0: all */
	bool group, json, progress_off;
	enum gc_triage_by by;
	char **paths;
	size_t npaths;
};

/** Where lines go. */
struct triage_output {
	const char *path;  /* for messages */
	int fd;
	bool regular;
	uint64_t good;     /* bytes of a regular file that are whole lines */
	struct gc_triage_groups *groups; /* or into these */
	struct gc_buf line;
	bool failed;
	bool bar;          /* a bar is on the terminal */
	double began;
};

/** Open it, and keep other runs out of it. Prints one sentence when it fails. */
bool triage_output_open(struct triage_output *out, const struct triage_options *o);

/** Of what is in it keep @good bytes: the whole lines of a run that goes on. Prints as _open. */
bool triage_output_keep(struct triage_output *out, uint64_t good);
void triage_output_close(struct triage_output *out);

/** For struct gc_triage_options; @data is a struct triage_output. */
bool triage_take_line(void *data, const char *text, size_t len);
void triage_show_progress(void *data, const struct gc_triage_progress *progress);

/** Which files the lines in @path are of. @return false after saying why that cannot be told */
bool triage_resume(const char *path, const struct gc_triage_list *list, bool *done, uint64_t *good);

#endif
