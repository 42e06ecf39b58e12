#include "cmd/delve.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gocore/bytes.h"

/* How long `dlv version` may take. It takes 30 ms. */
#define PATIENCE_MS 10000

extern char **environ;

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/** As the shell finds a command. @return false if it is in none of the folders */
static bool find_in_path(const char *name, char out[PATH_MAX])
{
	const char *dir = getenv("PATH");

	while (dir && *dir) {
		size_t len = strcspn(dir, ":");
		int n = snprintf(out, PATH_MAX, "%.*s%s%s", (int)len, dir, len ? "/" : "./", name);

		if (n < PATH_MAX && is_program(out))
			return true;
		dir += len + (dir[len] == ':');
	}
	return false;
}

static enum gc_code find_file(struct delve *d, const char *name, struct gc_error *err)
{
	char path[PATH_MAX];

	if (strchr(name, '/'))
		snprintf(path, sizeof(path), "%s", name);
	else if (!find_in_path(name, path))
		return gc_fail(err, GC_E_NOT_FOUND,
			       "%s is not in PATH; install it (Debian: delve; or go install "
			       "github.com/go-delve/delve/cmd/dlv@latest), or say --dlv=PATH", name);
	/* a link stays one: some programs look at the name that they are called by */
	if (*path == '/' ? snprintf(d->path, sizeof(d->path), "%s", path) >= (int)sizeof(d->path)
			 : !realpath(path, d->path))
		return gc_fail_errno(err, errno, "%s", path);
	if (access(d->path, F_OK) != 0)
		return gc_fail_errno(err, errno, "%s", d->path);
	if (!is_program(d->path))
		return gc_fail(err, GC_E_FORMAT, "%s: is no program that can be run", d->path);
	return GC_OK;
}

const struct gc_arch *delve_host_arch(void)
{
	struct utsname name;
	const struct gc_arch *arch;

	if (uname(&name) != 0)
		return NULL;
	for (size_t i = 0; (arch = gc_arch_at(i)); i++)
		if (strcmp(arch->name, name.machine) == 0)
			return arch;
	return NULL;
}

/** Delve takes the architecture from its own build, so its own ELF header tells. */
static void read_arch(struct delve *d)
{
	uint8_t header[20] = { 0 };
	int fd = open(d->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, header, sizeof(header));

	if (fd >= 0)
		close(fd);
	if (n == sizeof(header) && memcmp(header, ELFMAG, SELFMAG) == 0) {
		d->arch = gc_arch_by_machine(gc_load_le16(header + 18));
		return;
	}
	d->is_script = true;
	d->arch = delve_host_arch();
}

/** Append what @fd gives to @text, up to its end or until time is up. */
static void read_all(int fd, char *text, size_t cap)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (len + 1 < cap && poll(&p, 1, PATIENCE_MS) == 1) {
		ssize_t n = read(fd, text + len, cap - 1 - len);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
}

/** Standard output of `dlv version`; "" if it cannot be run. */
static void ask_version(const struct delve *d, char *text, size_t cap)
{
	char *const argv[] = { (char *)d->path, (char *)"version", NULL };
	posix_spawn_file_actions_t actions;
	int ends[2], failed;
	pid_t pid;

	*text = '\0';
	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	failed = posix_spawn(&pid, d->path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(ends[1]);
	if (!failed)
		read_all(ends[0], text, cap);
	close(ends[0]);
	if (failed)
		return;
	kill(pid, SIGKILL); /* it has said what we asked for, or never will */
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

struct delve_version delve_version_of_text(const char *text)
{
	const char *line = strstr(text, "Version: 1.");
	struct delve_version v = { 0, 0 };

	if (line && sscanf(line, "Version: 1.%u.%u", &v.minor, &v.patch) < 1)
		v.minor = 0;
	return v;
}

enum gc_code delve_find(struct delve *out, const char *name, struct gc_error *err)
{
	char text[4096];

	*out = (struct delve){ .arch = NULL };
	if (find_file(out, name, err) != GC_OK)
		return err->code;
	read_arch(out);
	ask_version(out, text, sizeof(text));
	if (*text && !strstr(text, "Delve"))
		return gc_fail(err, GC_E_FORMAT, "%s: is no Delve: '%s version' does not name it", out->path, name);
	out->version = delve_version_of_text(text);
	return GC_OK;
}

/* pkg/goversion/compat.go of each release: a row holds from its release on, up to that of the next row. */
static const struct {
	struct delve_version since;
	struct go_range takes;
} releases[] = {
	{ {  6, 0 }, { 13, 16 } }, { {  6, 1 }, { 14, 16 } }, { {  7, 0 }, { 15, 17 } }, { {  8, 0 }, { 16, 18 } },
	{ {  9, 0 }, { 16, 19 } }, { {  9, 1 }, { 17, 19 } }, { { 20, 0 }, { 18, 20 } }, { { 21, 0 }, { 18, 21 } },
	{ { 21, 1 }, { 19, 21 } }, { { 22, 0 }, { 19, 22 } }, { { 23, 0 }, { 21, 23 } }, { { 24, 0 }, { 21, 24 } },
	{ { 25, 1 }, { 22, 25 } }, { { 26, 0 }, { 24, 26 } }, { { 27, 0 }, { 25, 27 } }, { { 28, 0 }, {  0,  0 } },
};

struct go_range delve_takes(struct delve_version v)
{
	struct go_range found = { 0, 0 };

	for (size_t i = 0; i < GC_COUNT(releases); i++)
		if (v.minor > releases[i].since.minor ||
		    (v.minor == releases[i].since.minor && v.patch >= releases[i].since.patch))
			found = releases[i].takes;
	return found;
}

unsigned go_minor(const char *version)
{
	unsigned minor;

	return version && sscanf(version, "go1.%u", &minor) == 1 ? minor : 0;
}
