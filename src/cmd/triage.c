#include "cmd/triage.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT 30
#define DEFAULT_MEMORY  ((uint64_t)1 << 30)

enum {
	OPT_FILES_FROM = 0x200,
	OPT_ORDERED,
	OPT_TIMEOUT,
	OPT_MEMORY_LIMIT,
	OPT_RESUME,
	OPT_SHARD,
	OPT_GROUP,
	OPT_JSON,
	OPT_TIMINGS,
};

static const struct argp_option options[] = {
	{ NULL, 0, NULL, 0, "What to read:", 1 },
	{ "files-from", OPT_FILES_FROM, "FILE", 0,
	  "Read the paths of cores from FILE (-: standard input), one a line, or with a NUL behind each", 1 },
	{ "shard", OPT_SHARD, "K/N", 0,
	  "Only the K-th of N parts; each path is in one and the same part in every run", 1 },
	{ "resume", OPT_RESUME, "FILE", 0,
	  "Go on with an earlier run: cores that have a line in FILE are left out, new lines go to its end", 1 },
	{ NULL, 0, NULL, 0, "What to write:", 2 },
	{ "output", 'o', "FILE", 0, "Write the lines to FILE (default: standard output)", 2 },
	{ "ordered", OPT_ORDERED, NULL, 0, "In the order of the cores, and not in that of finishing", 2 },
	{ "group", OPT_GROUP, "KEY", OPTION_ARG_OPTIONAL,
	  "Instead of lines a summary of equal signatures, by top (default), exact or site; PATH may be a file of "
	  "lines, too", 2 },
	{ "json", OPT_JSON, NULL, 0, "With --group: as JSON (schema gocore-stub/triage-groups/1)", 2 },
	{ "timings", OPT_TIMINGS, NULL, 0, "Say in each line how long each step took (timings_ms)", 2 },
	{ NULL, 0, NULL, 0, "How:", 3 },
	{ "jobs", 'j', "N", 0, "Read N cores at a time (default: as many as there are processors)", 3 },
	{ "timeout", OPT_TIMEOUT, "SECONDS", 0, "Give a core up after so long (default 30)", 3 },
	{ "memory-limit", OPT_MEMORY_LIMIT, "SIZE", 0,
	  "Give a core up that takes more memory, in bytes or with K, M, G behind (default 1G; 0: no limit)", 3 },
	{ 0 },
};

static volatile sig_atomic_t stop;

static void on_stop(int signal)
{
	stop = signal;
}

/* Options. */

static unsigned parse_number(struct argp_state *state, const char *option, const char *arg, unsigned long max)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (*arg < '0' || *arg > '9' || *end || errno || n < 1 || n > max)
		argp_error(state, "%s%s: not a number from 1 to %lu", option, arg, max);
	return (unsigned)n;
}

static double parse_seconds(struct argp_state *state, const char *arg)
{
	char *end;
	double seconds = strtod(arg, &end);

	if (end == arg || *end || !(seconds > 0) || seconds > 1e6)
		argp_error(state, "--timeout=%s: not a number of seconds", arg);
	return seconds;
}

static uint64_t parse_size(struct argp_state *state, const char *arg)
{
	static const char units[] = "KMGT";
	uint64_t n;
	unsigned shift = 0;
	const char *unit;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit)
		shift = 10 * (unsigned)(unit - units + 1);
	if (*arg < '0' || *arg > '9' || errno || (*end && (!unit || end[1])) || n > UINT64_MAX >> shift)
		argp_error(state, "--memory-limit=%s: not a size as 512M or 2G", arg);
	return n << shift;
}

static void parse_shard(struct argp_state *state, struct triage_options *o, char *arg)
{
	char *slash = strchr(arg, '/');

	if (!slash)
		argp_error(state, "--shard=%s: it is K/N, as 2/8", arg);
	*slash = '\0';
	o->shards = parse_number(state, "--shard: ", slash + 1, 1000000);
	o->shard = parse_number(state, "--shard: ", arg, o->shards);
	*slash = '/';
}

static void parse_group(struct argp_state *state, struct triage_options *o, const char *arg)
{
	static const char *const names[] = {
		[GC_TRIAGE_BY_TOP] = "top", [GC_TRIAGE_BY_EXACT] = "exact", [GC_TRIAGE_BY_SITE] = "site",
	};

	o->group = true;
	if (!arg)
		return;
	for (size_t i = 0; i < GC_COUNT(names); i++) {
		if (strcmp(arg, names[i]) == 0) {
			o->by = (enum gc_triage_by)i;
			return;
		}
	}
	argp_error(state, "--group=%s: it is top, exact or site", arg);
}

static void check(struct argp_state *state, const struct triage_options *o)
{
	if (o->npaths + o->nfiles_from == 0)
		argp_error(state, "which cores?");
	if (o->json && !o->group)
		argp_error(state, "--json is for --group: without it every line is JSON");
	if (o->group && (o->output || o->resume))
		argp_error(state, "--group writes a summary and no lines: -o and --resume are for lines");
	if (o->output && o->resume && strcmp(o->output, o->resume) != 0)
		argp_error(state, "--resume goes on with its own file: leave -o out");
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct triage_options *o = state->input;

	switch (key) {
	case OPT_FILES_FROM:
		if (o->nfiles_from == MAX_DIRS)
			argp_error(state, "more than %d lists", MAX_DIRS);
		o->files_from[o->nfiles_from++] = arg;
		return 0;
	case OPT_SHARD:
		parse_shard(state, o, arg);
		return 0;
	case OPT_RESUME:
		o->resume = arg;
		return 0;
	case 'o':
		o->output = arg;
		return 0;
	case OPT_ORDERED:
		o->run.ordered = true;
		return 0;
	case OPT_GROUP:
		parse_group(state, o, arg);
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_TIMINGS:
		o->run.timings = true;
		return 0;
	case 'j':
		o->run.jobs = parse_number(state, "-j ", arg, 1024);
		return 0;
	case OPT_TIMEOUT:
		o->run.timeout = parse_seconds(state, arg);
		return 0;
	case OPT_MEMORY_LIMIT:
		o->run.memory_limit = parse_size(state, arg);
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARGS:
		o->paths = state->argv + state->next;
		o->npaths = (size_t)(state->argc - state->next);
		return 0;
	case ARGP_KEY_END:
		check(state, o);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "PATH...",
	.doc = "Read many cores and write a line of JSON for each: what crashed, where, and the signatures that tell "
	       "equal crashes. PATH is a core, packed or not, or a folder, which is searched for cores by their "
	       "content, whatever their names."
	       "\vEvery core is read by a process of its own making, shut in and limited. One that is damaged, hangs "
	       "or eats memory has a line with \"error\", and the others go on. A run that was interrupted is "
	       "continued with --resume. Lines of several runs are joined by putting their files together.\n\n"
	       "  gocore-stub triage /var/crash --bin-dir=./artifacts -o crashes.ndjson\n"
	       "  gocore-stub triage /var/crash --bin-dir=./artifacts --resume=crashes.ndjson\n"
	       "  gocore-stub triage --group crashes.ndjson\n"
	       "  find . -name 'core*' -print0 | gocore-stub triage --files-from=- --group\n"
	       "  gocore-stub triage /mnt/cores --shard=3/16 -o part3.ndjson\n"
	       "  jq -r '.signature.top' crashes.ndjson | sort | uniq -c | sort -rn\n\n"
	       "Exit status: 0 all cores were read, 1 nothing could be done, 2 wrong usage, 3 some cores failed, "
	       "the rest is written.",
	.children = common_children,
};

/* Running. */

static unsigned processors(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

	return n > 0 ? (unsigned)n : 1;
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_stop };

	for (size_t i = 0; i < GC_COUNT(signals); i++)
		sigaction(signals[i], &action, NULL);
}

static bool collect(const struct triage_options *o, struct gc_triage_list *list)
{
	struct gc_error err;

	for (size_t i = 0; i < o->nfiles_from; i++) {
		if (gc_triage_list_add_from(list, o->files_from[i], &err) != GC_OK) {
			print_error(o->files_from[i], &err);
			return false;
		}
	}
	for (size_t i = 0; i < o->npaths; i++) {
		if (gc_triage_list_add(list, o->paths[i], &err) != GC_OK) {
			print_error(o->paths[i], &err);
			return false;
		}
	}
	if (gc_triage_list_unique(list, &err) != GC_OK) {
		gc_warn("%s", err.text);
		return false;
	}
	for (size_t i = 0; i < list->problems.count; i++)
		gc_warn("%s: %s", list->problems.list[i].where, list->problems.list[i].what);
	if (list->count + list->nlines == 0)
		gc_warn("no core is among what was named%s", list->others ? ", though it has other files" : "");
	if (o->shards)
		gc_triage_list_shard(list, o->shard, o->shards);
	if (list->nlines && !o->group) {
		gc_warn("%s: holds lines of triage, no core: --group reads it", list->lines[0]);
		return false;
	}
	return true;
}

static bool add_line(void *data, json_t *line)
{
	struct triage_output *out = data;
	struct gc_error err;

	out->failed = gc_triage_groups_add(out->groups, line, &err) != GC_OK;
	return !out->failed;
}

/** Lines of former runs into the groups. */
static bool read_lines(const struct gc_triage_list *list, struct triage_output *out)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_error err;
	uint64_t good;

	for (size_t i = 0; i < list->nlines && !out->failed; i++) {
		if (gc_triage_read(list->lines[i], add_line, out, &good, &problems, &err) != GC_OK) {
			print_error(list->lines[i], &err);
			out->failed = true;
		}
	}
	for (size_t i = 0; i < problems.count; i++)
		gc_warn("%s: %s", problems.list[i].where, problems.list[i].what);
	gc_problems_deinit(&problems);
	return !out->failed;
}

/** As the shell wants it: died of the signal. */
static _Noreturn void end_of_signal(void)
{
	signal(stop, SIG_DFL);
	raise(stop);
	_exit(128 + stop);
}

static int say_result(const struct triage_options *o, const struct gc_triage_progress *result)
{
	if (stop)
		gc_warn("interrupted after %zu of %zu cores%s%s", result->done, result->total,
			o->resume || o->output ? "; go on with --resume=" : "",
			o->resume ? o->resume : o->output ? o->output : "");
	else if (result->failed)
		gc_warn("%zu of %zu cores failed; \"error\" in their lines says why", result->failed, result->done);
	return result->failed ? EXIT_SOME_FAILED : EXIT_DONE;
}

static void say_problem(void *data, const struct gc_problem *problem)
{
	(void)data;
	gc_warn("%s: %s", problem->where, problem->what);
}

static int run(struct triage_options *o, const struct gc_triage_list *list, const bool *done, struct triage_output *out)
{
	const struct gc_find_options find = find_options(&o->common, NULL);
	struct gc_triage_progress result;
	struct gc_error err;
	int status;

	o->run.find = &find;
	o->run.sandbox = !o->common.no_sandbox;
	o->run.verbose = o->common.verbose > 0;
	o->run.stop = &stop;
	o->run.line = triage_take_line;
	o->run.progress = triage_show_progress;
	o->run.problem = say_problem;
	o->run.data = out;
	o->run.output = out->fd;
	if (gc_triage_run(list, done, &o->run, &result, &err) != GC_OK) {
		gc_warn("%s", err.text);
		return EXIT_UNUSABLE;
	}
	if (out->failed)
		return EXIT_UNUSABLE;
	if (o->common.verbose && list->others + result.skipped)
		gc_warn("%zu files are no cores", list->others + result.skipped);
	status = say_result(o, &result);
	if (status == EXIT_DONE && !stop && o->group)
		status = EXIT_DONE;
	return status;
}

static int run_on(struct triage_options *o, const struct gc_triage_list *list)
{
	struct triage_output out = { .fd = -1 };
	bool *done = calloc(list->count + 1, sizeof(*done));
	uint64_t good = 0;
	int status = EXIT_UNUSABLE, printed;

	if (!done) {
		gc_warn("out of memory");
		return status;
	}
	if (triage_output_open(&out, o) && (!o->resume || triage_resume(o->resume, list, done, &good)) &&
	    triage_output_keep(&out, good) && read_lines(list, &out))
		status = run(o, list, done, &out);
	if (o->group && !stop && (status == EXIT_DONE || status == EXIT_SOME_FAILED)) {
		printed = print_document(gc_triage_groups_document(out.groups), o->json, gc_triage_groups_text);
		status = printed == EXIT_DONE ? status : printed;
	}
	triage_output_close(&out);
	free(done);
	return status;
}

int run_triage(int argc, char **argv)
{
	struct triage_options o = { .run = { .timeout = DEFAULT_TIMEOUT, .memory_limit = DEFAULT_MEMORY } };
	struct gc_triage_list list = { .files = NULL };
	int status = EXIT_UNUSABLE;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.run.jobs)
		o.run.jobs = processors();
	catch_signals();
	if (collect(&o, &list))
		status = run_on(&o, &list);
	gc_triage_list_deinit(&list);
	if (stop)
		end_of_signal();
	return status;
}
