#include "cmd/helper.h"

#include <stddef.h>
#include <string.h>

#include "gocore/error.h"

/** The words still to be read. */
struct words {
	char **next, **end;
};

static char *peek(const struct words *w)
{
	return w->next < w->end ? *w->next : NULL;
}

/** Take the next word if it is @word. */
static bool take(struct words *w, const char *word)
{
	if (w->next >= w->end || strcmp(*w->next, word) != 0)
		return false;
	w->next++;
	return true;
}

/** Take any word. @return NULL at the end */
static const char *take_any(struct words *w)
{
	return w->next < w->end ? *w->next++ : NULL;
}

/** -- PROGRAM ARG...: the program that we do not start, and the core in the place of its first argument. */
static bool take_program(struct words *w, struct helper *out)
{
	out->program = take_any(w);
	out->core = take_any(w);
	w->next = w->end;
	return out->program != NULL;
}

static bool is_one_of(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

static bool starts_one_of(const char *word, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(word, list[i], strlen(list[i])) == 0)
			return true;
	return false;
}

/** A word of debugserver's that changes nothing here, and its value if it has one. */
static bool take_debugserver_option(struct words *w)
{
	static const char *const plain[] = { "-F", "-D", "-g", "--unmask-signals" };
	static const char *const valued[] = { "-e", "-l", "--stdio-path", "--stdin-path", "--stdout-path",
					      "--stderr-path" };
	static const char *const joined[] = { "--attach=", "--waitfor=", "--waitfor-interval=",
					      "--waitfor-duration=" };
	const char *word = take_any(w);

	if (is_one_of(word, valued, GC_COUNT(valued)))
		return take_any(w) != NULL;
	return is_one_of(word, plain, GC_COUNT(plain)) || starts_one_of(word, joined, GC_COUNT(joined));
}

static struct helper debugserver(struct words w)
{
	const struct helper none = { HELPER_NONE, NULL, NULL, NULL }, probe = { HELPER_PROBE, NULL, NULL, NULL };
	struct helper h = { HELPER_DIAL, NULL, NULL, NULL };

	if (w.end - w.next == 1 && take(&w, "--unmask-signals"))
		return probe;
	while (peek(&w)) {
		if (take(&w, "-R"))
			h.address = take_any(&w);
		else if (take(&w, "--") ? !take_program(&w, &h) : !take_debugserver_option(&w))
			return none;
	}
	return h.address && strchr(h.address, ':') ? h : none;
}

/** gdbserver [--attach PID] :PORT [-- PROGRAM ARG...] */
static struct helper lldb_server(struct words w)
{
	const struct helper none = { HELPER_NONE, NULL, NULL, NULL };
	struct helper h = { HELPER_LISTEN, NULL, NULL, NULL };

	if (!take(&w, "gdbserver") || (take(&w, "--attach") && !take_any(&w)))
		return none;
	h.address = take_any(&w);
	if (!h.address || !strchr(h.address, ':'))
		return none;
	if (peek(&w) && (!take(&w, "--") || !take_program(&w, &h)))
		return none;
	return h;
}

/** replay [OPTION]... TRACE, or --version. Delve's user adds options; the trace is always last. */
static struct helper rr(struct words w)
{
	const struct helper none = { HELPER_NONE, NULL, NULL, NULL }, probe = { HELPER_PROBE, NULL, NULL, NULL };
	struct helper h = { HELPER_RR, ":0", NULL, NULL };

	if (w.end - w.next == 1 && take(&w, "--version"))
		return probe;
	if (!take(&w, "replay") || !peek(&w))
		return none;
	h.core = w.end[-1];
	return h;
}

static bool is_called(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return strcmp(slash ? slash + 1 : path, name) == 0;
}

struct helper helper_of_args(int argc, char **argv)
{
	const struct words words = { argv + 1, argv + argc };
	bool is_rr = argc > 0 && is_called(argv[0], "rr");
	bool is_lldb_server = argc > 0 && is_called(argv[0], "lldb-server");
	struct helper h = { HELPER_NONE, NULL, NULL, NULL };

	if (argc < 1)
		return h;
	if (is_rr)
		h = rr(words);
	else
		h = lldb_server(words);
	if (h.kind == HELPER_NONE && (is_rr || is_lldb_server))
		h.kind = HELPER_WRONG;
	if (h.kind == HELPER_NONE && argc > 1)
		h = debugserver(words);
	return h;
}
