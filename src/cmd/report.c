#include "cmd/cmd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/new_file.h"
#include "gocore/log.h"
#include "gocore/report.h"
#include "gocore/triage.h"

/* Lines that are none and are told one by one. */
#define MAX_SHOWN 10

struct report_options {
	const char **files;
	size_t count;
	const char *output;
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Where to write the page; - is standard output", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct report_options *o = state->input;

	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case ARGP_KEY_ARG:
		o->files[o->count++] = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "of which lines? (FILE.ndjson, as triage wrote it; - is standard input)");
		return 0;
	case ARGP_KEY_END:
		if (!o->output || !*o->output)
			argp_error(state, "where to? (-o FILE.html)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "FILE.ndjson... -o FILE.html",
	.doc = "Make one page of the lines that triage wrote: groups of equal crashes with their stacks, values, "
	       "times and cores, to filter and to read in a browser."
	       "\vThe page is one file that needs no network and no server. Any number of files is read; a core "
	       "that is in several of them counts once, so the parts of a run on many machines are simply named one "
	       "after the other.\n\n"
	       "  gocore-stub triage /var/cores > cores.ndjson\n"
	       "  gocore-stub report cores.ndjson -o cores.html\n"
	       "  gocore-stub report part-*.ndjson -o all.html\n"
	       "  gocore-stub triage /var/cores | gocore-stub report - -o cores.html\n",
};

struct adding {
	struct gc_report *report;
	struct gc_error err;
	bool failed;
};

static bool add(void *data, json_t *line)
{
	struct adding *a = data;

	a->failed = gc_report_add(a->report, line, &a->err) != GC_OK;
	return !a->failed;
}

/** @return false after saying why */
static bool add_file(struct gc_report *report, const char *path, struct gc_problems *problems)
{
	const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
	struct adding a = { .report = report };
	struct gc_error err;
	uint64_t good;

	if (gc_triage_read(path, add, &a, &good, problems, &err) != GC_OK) {
		print_error(name, &err);
		return false;
	}
	if (a.failed)
		print_error(name, &a.err);
	return !a.failed;
}

static bool write_page(const struct gc_report *report, size_t unreadable, FILE *out, const char *path)
{
	struct gc_error err;
	time_t now = time(NULL);
	char made[32] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm))
		strftime(made, sizeof(made), "%Y-%m-%d %H:%M UTC", &tm);
	if (gc_report_write(report, unreadable, made, out, &err) == GC_OK)
		return true;
	print_error(path, &err);
	return false;
}

/** write_page to a descriptor, which stays open. */
static bool write_page_to(const struct gc_report *report, size_t unreadable, int fd, const char *path)
{
	int copy = dup(fd);
	FILE *out = copy >= 0 ? fdopen(copy, "w") : NULL;
	bool done;

	if (!out) {
		gc_warn("%s: cannot be written: %s", path, strerror(errno));
		if (copy >= 0)
			close(copy);
		return false;
	}
	done = write_page(report, unreadable, out, path);
	if (fclose(out) != 0 && done) {
		gc_warn("%s: cannot be written: %s", path, strerror(errno));
		done = false;
	}
	return done;
}

static bool write_file(const struct gc_report *report, size_t unreadable, const char *path)
{
	struct gc_new_file file;
	struct gc_error err;

	if (gc_new_file_open(&file, path, &err) != GC_OK) {
		print_error(path, &err);
		return false;
	}
	if (!write_page_to(report, unreadable, file.fd, path)) {
		gc_new_file_discard(&file);
		return false;
	}
	if (gc_new_file_publish(&file, 0666, &err) == GC_OK)
		return true;
	print_error(path, &err);
	return false;
}

/** Into what is no file: a device or a pipe stays what it is. */
static bool write_through(const struct gc_report *report, size_t unreadable, const char *path)
{
	FILE *out = fopen(path, "we");
	bool done;

	if (!out) {
		gc_warn("%s: cannot be opened: %s", path, strerror(errno));
		return false;
	}
	done = write_page(report, unreadable, out, path);
	fclose(out);
	return done;
}

static bool write_output(const struct gc_report *report, size_t unreadable, const char *path)
{
	struct stat st;

	if (strcmp(path, "-") == 0)
		return write_page(report, unreadable, stdout, "standard output");
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return write_through(report, unreadable, path);
	return write_file(report, unreadable, path);
}

/** Is the output one of the inputs? */
static bool is_input(const struct report_options *o)
{
	if (strcmp(o->output, "-") == 0)
		return false;
	for (size_t i = 0; i < o->count; i++)
		if (gc_is_same_file(o->files[i], o->output))
			return true;
	return false;
}

/** A few of them, for a file of another kind has nothing else. @return how many there are */
static size_t print_unreadable(const struct gc_problems *problems)
{
	const size_t all = problems->count + problems->dropped;
	size_t shown = problems->count < MAX_SHOWN ? problems->count : MAX_SHOWN;

	for (size_t i = 0; i < shown; i++)
		gc_warn("%s: %s", problems->list[i].where, problems->list[i].what);
	if (all > shown)
		gc_warn("%zu more lines do not count", all - shown);
	return all;
}

static int run(const struct report_options *o, struct gc_report *report)
{
	struct gc_problems problems = { .list = NULL };
	size_t unreadable;
	bool done = true;

	if (is_input(o)) {
		gc_warn("%s: is the input: it is not overwritten", o->output);
		return EXIT_UNUSABLE;
	}
	for (size_t i = 0; i < o->count && done; i++)
		done = add_file(report, o->files[i], &problems);
	unreadable = print_unreadable(&problems);
	gc_problems_deinit(&problems);
	if (done && gc_report_cores(report) == 0) {
		gc_warn("%s: no line of triage in %s", o->files[0], o->count > 1 ? "any of the files" : "it");
		done = unreadable == 0; /* a run that found no core leaves an empty file, and that is a report, too */
	}
	if (!done)
		return EXIT_UNUSABLE;
	return write_output(report, unreadable, o->output) ? EXIT_DONE : EXIT_UNUSABLE;
}

int run_report(int argc, char **argv)
{
	struct report_options o = { .files = calloc((size_t)argc, sizeof(*o.files)) };
	struct gc_report *report = gc_report_new();
	int status = EXIT_UNUSABLE;

	if (o.files && report) {
		argp_parse(&argp, argc, argv, 0, NULL, &o);
		status = run(&o, report);
	} else {
		gc_warn("out of memory");
	}
	free(o.files);
	gc_report_free(report);
	return status;
}
