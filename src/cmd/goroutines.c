#include "cmd/cmd.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "gocore/goroutines.h"

enum {
	OPT_FORMAT = 0x200,
	OPT_GROUP,
	OPT_STATE,
	OPT_FUNCTION,
};

#define MAX_STATES   64
#define MAX_PROBLEMS 10 /* printed beside a result that has no place for them */

struct goroutines_options {
	struct common_options common;
	const char *core, *program;
	struct gc_goroutines_options result;
	char *state_text[MAX_STATES]; /* what the options' lists were cut from */
	size_t nstate_text;
	const char *states[MAX_STATES];
	regex_t function;
};

static const struct argp_option options[] = {
	{ "format", OPT_FORMAT, "FORMAT", 0,
	  "text (Go's own traceback; the default), json, folded (for flame graphs) or pprof (for go tool "
	  "pprof)", 1 },
	{ "json", 'j', NULL, 0, "The same as --format=json (schema gocore-stub/goroutines/1)", 1 },
	{ "group", OPT_GROUP, NULL, 0,
	  "Join goroutines of one state with equal stacks, the largest group first; folded: the state is "
	  "the root", 1 },
	{ "state", OPT_STATE, "STATE", 0,
	  "Only of this state or wait reason: waiting, running, 'chan receive'... (repeatable; or a list "
	  "with commas)", 2 },
	{ "function", OPT_FUNCTION, "REGEX", 0,
	  "Only those with a frame whose function matches (POSIX extended regular expression)", 2 },
	{ 0 },
};

static void set_format(struct argp_state *state, struct goroutines_options *o, const char *name)
{
	static const char *const names[] = { "text", "json", "folded", "pprof" };
	static const enum gc_goroutines_format formats[] = {
		GC_GOROUTINES_TEXT, GC_GOROUTINES_JSON, GC_GOROUTINES_FOLDED, GC_GOROUTINES_PPROF,
	};

	for (size_t i = 0; i < GC_COUNT(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			o->result.format = formats[i];
			return;
		}
	}
	argp_error(state, "format '%s' is none of text, json, folded, pprof", name);
}

static void add_states(struct argp_state *state, struct goroutines_options *o, const char *list)
{
	char *text = o->nstate_text < MAX_STATES ? strdup(list) : NULL, *rest = NULL;

	if (!text)
		argp_failure(state, EXIT_USAGE, 0, "too many states");
	o->state_text[o->nstate_text++] = text;
	for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest)) {
		if (o->result.nstates == MAX_STATES)
			argp_error(state, "more than %d states", MAX_STATES);
		o->states[o->result.nstates++] = one;
	}
	if (o->result.nstates == 0)
		argp_error(state, "which state?");
}

static void set_function(struct argp_state *state, struct goroutines_options *o, const char *pattern)
{
	int failed;
	char why[200];

	if (o->result.function)
		argp_error(state, "one --function; join patterns with |");
	failed = regcomp(&o->function, pattern, REG_EXTENDED | REG_NOSUB);
	if (failed) {
		regerror(failed, &o->function, why, sizeof(why));
		argp_error(state, "'%s' is no regular expression: %s", pattern, why);
	}
	o->result.function = &o->function;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct goroutines_options *o = state->input;

	switch (key) {
	case OPT_FORMAT:
		set_format(state, o, arg);
		return 0;
	case 'j':
		o->result.format = GC_GOROUTINES_JSON;
		return 0;
	case OPT_GROUP:
		o->result.group = true;
		return 0;
	case OPT_STATE:
		add_states(state, o, arg);
		return 0;
	case OPT_FUNCTION:
		set_function(state, o, arg);
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		take_file(state, arg, &o->core, &o->program);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which core?");
		return 0;
	case ARGP_KEY_END:
		if (o->result.group && o->result.format == GC_GOROUTINES_PPROF)
			argp_error(state, "a pprof profile is grouped already");
		if (o->result.format == GC_GOROUTINES_PPROF && isatty(STDOUT_FILENO))
			argp_error(state, "a pprof profile is binary: send it to a file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM]",
	.doc = "List all goroutines of a Go program with their stacks."
	       "\vThe text is what the program itself would have printed with GOTRACEBACK=crash, but without "
	       "arguments, so that tools that read Go tracebacks read it too. What could not be read is said "
	       "on standard error, and in JSON under \"problems\".\n\n"
	       "  gocore-stub goroutines core.4711 ./server\n"
	       "  gocore-stub goroutines core.4711 --group --state='chan receive,select'\n"
	       "  gocore-stub goroutines core.4711 --json | jq '.goroutines[].wait_reason'\n"
	       "  gocore-stub goroutines core.4711 --format=folded | flamegraph.pl > g.svg\n"
	       "  gocore-stub goroutines core.4711 --format=pprof > g.pb.gz\n"
	       "  go tool pprof -http=:8080 g.pb.gz\n",
	.children = common_children,
};

/** write(2), since the pieces are large already. */
static bool write_out(void *data, const void *bytes, size_t len)
{
	(void)data;
	return gc_write_all(STDOUT_FILENO, bytes, len);
}

static void print_problems(const char *path, const struct gc_problems *problems)
{
	size_t n = problems->count < MAX_PROBLEMS ? problems->count : MAX_PROBLEMS;

	for (size_t i = 0; i < n; i++)
		gc_warn("%s: %s: %s", path, problems->list[i].where, problems->list[i].what);
	if (problems->count + problems->dropped > n)
		gc_warn("%s: %zu more problems; --json lists them", path, problems->count - n + problems->dropped);
}

static int write_goroutines(const struct gc_process *p, const struct goroutines_options *o)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_error err;
	enum gc_code code = gc_goroutines_write(p, &o->result, write_out, NULL, &problems, &err);

	if (code == GC_E_IO)
		gc_warn("standard output: %s", err.text);
	else if (code != GC_OK)
		print_error(o->core, &err);
	if (o->result.format != GC_GOROUTINES_JSON)
		print_problems(o->core, &problems);
	gc_problems_deinit(&problems);
	return code == GC_OK ? EXIT_DONE : EXIT_UNUSABLE;
}

int run_goroutines(int argc, char **argv)
{
	struct goroutines_options o = { .core = NULL };
	struct gc_find_options find;
	struct gc_process process;
	int status = EXIT_UNUSABLE;

	o.result.states = o.states;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (open_process(&process, o.core, o.program, &o.common)) {
		find = find_options(&o.common, o.program);
		o.result.find = &find;
		status = write_goroutines(&process, &o);
		gc_process_close(&process);
	}
	for (size_t i = 0; i < o.nstate_text; i++)
		free(o.state_text[i]);
	if (o.result.function)
		regfree(&o.function);
	return status;
}
