/*
 * A process for each client: with listen.c the only file of rsp that knows
 * sockets. The parent has loaded the core and only accepts; what one client
 * does, and what a core file cut under our feet does (SIGBUS), ends that
 * client's process and nothing else.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gocore/log.h"
#include "gocore/rsp.h"
#include "gocore/sandbox.h"

#include "rsp/listen.h"

#define MAX_CLIENTS   512

#define READ_SIZE 65536

/*
 * How much is answered before the answers are sent: a 14-byte m asks for
 * 128 KiB, so that a read full of them must not be answered as one.
 */
#define FEED_SIZE 512

struct client {
	pid_t pid;
	char name[GC_MAX_ADDRESS];
};

struct server {
	struct gc_target *target;
	const struct gc_rsp_options *options;
	const struct gc_listen *where;
	struct gc_listeners listeners;
	int signals;                /* signalfd */
	sigset_t old_mask;
	struct client clients[MAX_CLIENTS];
	size_t nclients;
	bool refusing;              /* told the user that there are too many clients */
};

/* One client: bytes between its descriptors and its session. */

/** Write all. @return false when the client is gone */
static bool write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			poll(&p, 1, -1);
			continue;
		}
		if (n <= 0)
			return false;
		bytes += n;
		len -= (size_t)n;
	}
	return true;
}

/** @return bytes read, 0 at the end */
static size_t read_some(int fd, char *buf, size_t len)
{
	for (;;) {
		ssize_t n = read(fd, buf, len);

		if (n >= 0)
			return (size_t)n;
		if (errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLIN };

			poll(&p, 1, -1);
		} else if (errno != EINTR) {
			return 0;
		}
	}
}

/** Answer what was read, and send as we go. @return false when the session is over */
static bool answer(struct gc_rsp *rsp, int fd, const char *bytes, size_t len, struct gc_buf *out)
{
	bool go_on = true;

	while (len && go_on) {
		size_t piece = len < FEED_SIZE ? len : FEED_SIZE;

		go_on = gc_rsp_feed(rsp, bytes, piece, out);
		if (!write_all(fd, out->data, out->len))
			return false;
		gc_buf_clear(out);
		bytes += piece;
		len -= piece;
	}
	return go_on;
}

static enum gc_code talk(struct gc_target *t, const struct gc_rsp_options *options, int in, int out_fd,
			 struct gc_error *err)
{
	struct gc_buf out = GC_BUF_INIT;
	char *buf = malloc(READ_SIZE);
	struct gc_rsp *rsp = NULL;
	size_t n;

	if (!buf) {
		gc_fail_memory(err);
		goto done;
	}
	if (gc_rsp_new(&rsp, t, options, err) != GC_OK)
		goto done;
	err->code = GC_OK;
	while ((n = read_some(in, buf, READ_SIZE)) > 0)
		if (!answer(rsp, out_fd, buf, n, &out))
			break;
done:
	gc_rsp_free(rsp);
	gc_buf_deinit(&out);
	free(buf);
	return err->code;
}

/** Small replies at once, and an end to clients that vanished without a word. */
static void tune(int fd)
{
	const int on = 1, idle = 60, interval = 15, count = 4;

	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void enter_sandbox(bool wanted)
{
	struct gc_error err;

	if (wanted && gc_sandbox_enter(&err) != GC_OK)
		gc_debug("%s", err.text);
}

static _Noreturn void run_client(struct server *s, int fd, pid_t parent)
{
	struct gc_error err;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	if (getppid() != parent)
		_exit(0);
	for (size_t i = 0; i < s->listeners.count; i++)
		close(s->listeners.fds[i]);
	close(s->signals);
	tune(fd);
	enter_sandbox(s->where->sandbox);
	if (talk(s->target, s->options, fd, fd, &err) != GC_OK)
		gc_warn("%s", err.text);
	_exit(0);
}

/* The parent. */

static void refuse_client(struct server *s, int fd, const char *why)
{
	close(fd);
	if (!s->refusing)
		gc_warn("a client was turned away: %s", why);
	s->refusing = true;
}

static void start_client(struct server *s, int fd, const char *name)
{
	pid_t parent = getpid(), pid;

	if (s->nclients == MAX_CLIENTS) {
		refuse_client(s, fd, "there are too many");
		return;
	}
	if (s->where->once) /* before it gets its first answer: then nobody else can come in */
		gc_listeners_close(&s->listeners);
	pid = fork();
	if (pid == 0)
		run_client(s, fd, parent);
	if (pid < 0) {
		refuse_client(s, fd, strerror(errno));
		return;
	}
	close(fd);
	s->refusing = false;
	s->clients[s->nclients].pid = pid;
	snprintf(s->clients[s->nclients].name, GC_MAX_ADDRESS, "%s", name);
	s->nclients++;
	gc_debug("%s connected (process %d)", name, (int)pid);
}

/** @return false when there is no room for one more descriptor just now */
static bool accept_client(struct server *s, int listener)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC);
	char name[GC_MAX_ADDRESS];

	if (fd < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
	gc_address_name(&addr, name);
	start_client(s, fd, name);
	return true;
}

static void client_ended(struct server *s, size_t index, int status)
{
	struct client *c = &s->clients[index];
	int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	if (number == SIGBUS)
		gc_warn("the session of %s ended by SIGBUS: a file was cut or damaged while it was served", c->name);
	else if (number && number != SIGTERM && number != SIGINT)
		gc_warn("the session of %s ended by signal %d (%s)", c->name, number, strsignal(number));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		gc_warn("the session of %s failed (status %d)", c->name, WEXITSTATUS(status));
	else
		gc_debug("%s left", c->name);
	*c = s->clients[--s->nclients];
	s->refusing = false;
}

static void reap(struct server *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < s->nclients; i++)
			if (s->clients[i].pid == pid) {
				client_ended(s, i, status);
				break;
			}
}

static void end_clients(struct server *s)
{
	for (size_t i = 0; i < s->nclients; i++)
		kill(s->clients[i].pid, SIGTERM);
	for (size_t i = 0; i < s->nclients; i++)
		while (waitpid(s->clients[i].pid, NULL, 0) < 0 && errno == EINTR)
			;
	s->nclients = 0;
}

/** Take what signals there are. @return false if one asks us to end */
static bool handle_signals(struct server *s)
{
	struct signalfd_siginfo info;
	bool go_on = true;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info))
		if (info.ssi_signo != SIGCHLD)
			go_on = false;
	reap(s);
	return go_on;
}

/** With once: the first client has come, is served, or has gone. */
static void accept_from_all(struct server *s, const struct pollfd *polled, bool *wait_a_moment)
{
	for (size_t i = 0; i < s->listeners.count; i++) {
		if (!(polled[i].revents & (POLLIN | POLLERR)))
			continue;
		if (!accept_client(s, s->listeners.fds[i]))
			*wait_a_moment = true;
	}
}

static enum gc_code loop(struct server *s, struct gc_error *err)
{
	bool wait_a_moment = false;

	for (;;) {
		struct pollfd polled[GC_MAX_LISTENERS + 1];
		nfds_t n = wait_a_moment ? 0 : s->listeners.count;

		for (size_t i = 0; i < n; i++)
			polled[i] = (struct pollfd){ .fd = s->listeners.fds[i], .events = POLLIN };
		polled[n] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
		if (poll(polled, n + 1, wait_a_moment ? 100 : -1) < 0 && errno != EINTR)
			return gc_fail_errno(err, errno, "waiting for clients");
		if (polled[n].revents & POLLIN && !handle_signals(s))
			return GC_OK;
		wait_a_moment = false;
		if (n)
			accept_from_all(s, polled, &wait_a_moment);
		if (s->where->once && !s->listeners.count && !s->nclients)
			return GC_OK;
	}
}

/** SIGINT and SIGTERM end us; one that was ignored from the start (a script's background job) stays so. */
static enum gc_code take_signals(struct server *s, struct gc_error *err)
{
	struct sigaction old;
	sigset_t mask;

	signal(SIGCHLD, SIG_DFL); /* inherited as ignored, it would leave us nothing to wait for */
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
		sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, &s->old_mask);
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signals >= 0)
		return GC_OK;
	gc_fail_errno(err, errno, "signalfd");
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	return err->code;
}

static void release_signals(struct server *s)
{
	close(s->signals);
	sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
}

static enum gc_code serve_stdio(const struct server *s, struct gc_error *err)
{
	/* ^C at gdb's prompt reaches us too, and is gdb's; we end with our input. */
	signal(SIGINT, SIG_IGN);
	if (s->where->ready)
		s->where->ready(s->where->data, s->where->address, true, true);
	enter_sandbox(s->where->sandbox);
	return talk(s->target, s->options, STDIN_FILENO, STDOUT_FILENO, err);
}

enum gc_code gc_rsp_serve_socket(struct gc_target *t, const struct gc_rsp_options *options, int fd, bool sandbox,
				 struct gc_error *err)
{
	signal(SIGPIPE, SIG_IGN);
	tune(fd);
	enter_sandbox(sandbox);
	return talk(t, options, fd, fd, err);
}

enum gc_code gc_rsp_serve(struct gc_target *t, const struct gc_rsp_options *options,
			  const struct gc_listen *where, struct gc_error *err)
{
	struct server *s = calloc(1, sizeof(*s));
	enum gc_code code;

	if (!s)
		return gc_fail_memory(err);
	s->target = t;
	s->options = options;
	s->where = where;
	signal(SIGPIPE, SIG_IGN);
	if (strcmp(where->address, "stdio") == 0) {
		code = serve_stdio(s, err);
		goto out;
	}
	code = take_signals(s, err);
	if (code != GC_OK)
		goto out;
	code = gc_listeners_open(&s->listeners, where->address, err);
	if (code == GC_OK) {
		gc_listeners_announce(&s->listeners, where);
		code = loop(s, err);
	}
	end_clients(s);
	gc_listeners_close(&s->listeners);
	release_signals(s);
out:
	free(s);
	return code;
}
