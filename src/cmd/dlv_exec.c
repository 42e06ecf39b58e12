/* Delve's command line and environment. */
#include "cmd/dlv.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmd/helper.h"
#include "gocore/log.h"

/* Words of ours around those of the user, and the end. */
#define OUR_WORDS 8

static bool is_option(const char *word, const char *name)
{
	size_t len = strlen(name);

	return strncmp(word, name, len) == 0 && (!word[len] || word[len] == '=');
}

/**
 * Delve would run the program if it got another backend, or words of the
 * program's own behind which ours do not count.
 */
static bool is_refused(const char *word)
{
	if (strcmp(word, "--") == 0)
		gc_warn("a dead program gets no arguments: there can be no second --");
	else if (is_option(word, "--backend"))
		gc_warn("%s: the backend is gocore-stub itself", word);
	else
		return false;
	return true;
}

bool dlv_args_read(struct dlv_args *out, int count, char **words)
{
	*out = (struct dlv_args){ .list = calloc((size_t)count + 1, sizeof(*out->list)) };
	if (!out->list)
		return false;
	out->dap = count > 0 && strcmp(words[0], "dap") == 0;
	for (int i = 0; i < count; i++) {
		char *word = words[i];

		if (is_refused(word)) {
			dlv_args_deinit(out);
			return false;
		}
		if (strncmp(word, "--init=", 7) == 0) {
			out->init = word + 7;
			continue;
		}
		if (strcmp(word, "--init") == 0 && i + 1 < count) {
			out->init = words[++i];
			continue;
		}
		out->headless |= strcmp(word, "--headless") == 0 || strcmp(word, "--headless=true") == 0;
		out->any_go |= strcmp(word, "--check-go-version=false") == 0;
		out->list[out->count++] = word;
	}
	return true;
}

void dlv_args_deinit(struct dlv_args *args)
{
	free(args->list);
	args->list = NULL;
}

int dlv_nameless(const char *what)
{
	int fd = memfd_create(what, 0);

	if (fd < 0)
		gc_warn("%s: %s", what, strerror(errno));
	return fd;
}

int dlv_nameless_file(void)
{
	const char *dir = getenv("TMPDIR");
	char name[PATH_MAX];
	int fd;

	if (!dir || !*dir)
		dir = "/tmp";
	snprintf(name, sizeof(name), "%s/gocore-stub.XXXXXX", dir);
	fd = mkstemp(name);
	if (fd < 0)
		gc_warn("no temporary file can be made in %s (set TMPDIR): %s", dir, strerror(errno));
	else
		unlink(name);
	return fd;
}

const char *dlv_fd_path(int fd, char out[32])
{
	snprintf(out, 32, "/proc/self/fd/%d", fd);
	return out;
}

/**
 * Delve takes any thread for the current one: it keeps them in a Go map and
 * asks nobody. So its own commands select the crashed one.
 */
static bool write_init(const struct dlv_start *s, char path[32])
{
	int fd = dlv_nameless("init");

	if (fd < 0)
		return false;
	if (s->crashed)
		dprintf(fd, "thread %" PRId64 "\n", s->crashed);
	if (s->args->init)
		dprintf(fd, "source %s\n", s->args->init);
	dlv_fd_path(fd, path);
	return true;
}

/** Our own path, for Delve to start. */
static bool own_path(char out[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);

	if (n < 0) {
		gc_warn("/proc/self/exe: %s", strerror(errno));
		return false;
	}
	out[n] = '\0';
	return true;
}

/** The words of a Delve: the user's, and ours around them. */
struct delve_words {
	char **list;
	size_t count;
	char init[PATH_MAX + 16];
};

static void add(struct delve_words *w, const char *word)
{
	w->list[w->count++] = (char *)word;
}

/** Up to the user's words. @param init NULL: no init file */
static bool begin(struct delve_words *w, const struct dlv_start *s, const char *command, const char *init)
{
	w->count = 0;
	w->list = calloc(s->args->count + OUR_WORDS + 1, sizeof(*w->list));
	if (!w->list)
		return false;
	add(w, s->delve->path);
	if (s->args->dap)
		return true;
	add(w, command);
	if (s->args->headless)
		return true;
	/* Delve minds a pipe because the program would share it */
	add(w, "--allow-non-terminal-interactive=true");
	if (init) {
		snprintf(w->init, sizeof(w->init), "--init=%s", init);
		add(w, w->init);
	}
	return true;
}

static int finish(struct delve_words *w, const struct dlv_start *s, const char *core)
{
	for (size_t i = 0; i < s->args->count; i++)
		add(w, s->args->list[i]);
	if (!s->args->dap)
		add(w, s->program);
	if (!s->args->dap && core)
		add(w, core);
	execv(s->delve->path, w->list);
	gc_warn("%s: %s", s->delve->path, strerror(errno));
	free(w->list);
	return EXIT_UNUSABLE;
}

int dlv_exec_on_stub(const struct dlv_start *s)
{
	char self[PATH_MAX], init[32];
	struct delve_words w;

	if (!own_path(self) || !write_init(s, init) || !begin(&w, s, "exec", init))
		return EXIT_UNUSABLE;
	setenv("DELVE_DEBUGSERVER_PATH", self, 1);
	if (!s->args->dap)
		add(&w, "--backend=lldb");
	return finish(&w, s, NULL);
}

int dlv_exec_on_core(const struct dlv_start *s, const char *core)
{
	struct delve_words w;

	return begin(&w, s, "core", s->args->init) ? finish(&w, s, core) : EXIT_UNUSABLE;
}

/** A JSON string of a path. */
static void add_quoted(struct gc_buf *out, const char *text)
{
	gc_buf_char(out, '"');
	for (; *text; text++) {
		if (strchr("\"\\", *text))
			gc_buf_char(out, '\\');
		gc_buf_char(out, *text);
	}
	gc_buf_char(out, '"');
}

void dlv_print_launch(const char *program, const char *core)
{
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_str(&line, "launch request: { \"request\": \"launch\", \"mode\": ");
	gc_buf_str(&line, core ? "\"core\"" : "\"exec\", \"backend\": \"lldb\"");
	gc_buf_str(&line, ", \"stopOnEntry\": true, \"program\": ");
	add_quoted(&line, program);
	if (core) {
		gc_buf_str(&line, ", \"coreFilePath\": ");
		add_quoted(&line, core);
	}
	fprintf(stderr, "%s }\n", gc_buf_text(&line));
	gc_buf_deinit(&line);
}
