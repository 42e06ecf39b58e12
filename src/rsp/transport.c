/*
 * Listening, and a process for each client: the only file of rsp that knows
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

#define MAX_LISTENERS 8
#define MAX_CLIENTS   512
#define BACKLOG       128
#define MAX_ADDRESS   300

/* For :0, how often to look for a number that is free in both families. */
#define PORT_TRIES 20

#define READ_SIZE 65536

/*
 * How much is answered before the answers are sent: a 14-byte m asks for
 * 128 KiB, so that a read full of them must not be answered as one.
 */
#define FEED_SIZE 512

struct client {
	pid_t pid;
	char name[MAX_ADDRESS];
};

struct server {
	struct gc_target *target;
	const struct gc_rsp_options *options;
	const struct gc_listen *where;
	int listeners[MAX_LISTENERS];
	size_t nlisteners;
	int signals;                /* signalfd */
	sigset_t old_mask;
	struct client clients[MAX_CLIENTS];
	size_t nclients;
	bool refusing;              /* told the user that there are too many clients */
	bool unix_bound;
	struct sockaddr_un unix_addr;
	dev_t unix_dev;             /* of the socket file, to remove ours only */
	ino_t unix_ino;
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

static enum gc_code talk(const struct server *s, int in, int out_fd, struct gc_error *err)
{
	struct gc_buf out = GC_BUF_INIT;
	char *buf = malloc(READ_SIZE);
	struct gc_rsp *rsp = NULL;
	size_t n;

	if (!buf) {
		gc_fail_memory(err);
		goto done;
	}
	if (gc_rsp_new(&rsp, s->target, s->options, err) != GC_OK)
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

static void enter_sandbox(const struct server *s)
{
	struct gc_error err;

	if (s->where->sandbox && gc_sandbox_enter(&err) != GC_OK)
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
	for (size_t i = 0; i < s->nlisteners; i++)
		close(s->listeners[i]);
	close(s->signals);
	tune(fd);
	enter_sandbox(s);
	if (talk(s, fd, fd, &err) != GC_OK)
		gc_warn("%s", err.text);
	_exit(0);
}

/* Addresses. */

static void close_listeners(struct server *s)
{
	for (size_t i = 0; i < s->nlisteners; i++)
		close(s->listeners[i]);
	s->nlisteners = 0;
}

static uint16_t port_of(const struct sockaddr_storage *addr)
{
	return ntohs(addr->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)addr)->sin6_port
						 : ((const struct sockaddr_in *)addr)->sin_port);
}

static void set_port(struct sockaddr_storage *addr, uint16_t port)
{
	if (addr->ss_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)addr)->sin_port = htons(port);
}

static bool is_loopback(const struct sockaddr_storage *addr)
{
	if (addr->ss_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)addr)->sin6_addr);
	return addr->ss_family != AF_INET ||
	       ntohl(((const struct sockaddr_in *)addr)->sin_addr.s_addr) >> 24 == 127;
}

/** "127.0.0.1:1234", "[::1]:1234"; "a local client" for a Unix socket. */
static void name_of(const struct sockaddr_storage *addr, char out[MAX_ADDRESS])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (addr->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)addr)->sin6_addr, host, sizeof(host));
		snprintf(out, MAX_ADDRESS, "[%s]:%u", host, port_of(addr));
	} else if (addr->ss_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, host, sizeof(host));
		snprintf(out, MAX_ADDRESS, "%s:%u", host, port_of(addr));
	} else {
		snprintf(out, MAX_ADDRESS, "a local client");
	}
}

/** @return a listening socket, or -1 with errno */
static int listen_on(const struct sockaddr_storage *addr, socklen_t len)
{
	int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int on = 1;
	int failed;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (addr->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)addr, len) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	failed = errno;
	close(fd);
	errno = failed;
	return -1;
}

static void add_listener(struct server *s, int fd)
{
	s->listeners[s->nlisteners++] = fd;
}

/** The port that the first listener got. */
static uint16_t first_port(const struct server *s)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);

	getsockname(s->listeners[0], (struct sockaddr *)&addr, &len);
	return port_of(&addr);
}

/** This host has no such family; the other one will do. */
static bool is_missing_family(int errnum)
{
	return errnum == EAFNOSUPPORT || errnum == EADDRNOTAVAIL || errnum == EPROTONOSUPPORT;
}

/** A hosts file may name one address twice. */
static bool is_repeated(const struct addrinfo *list, const struct addrinfo *item)
{
	for (; list != item; list = list->ai_next)
		if (list->ai_addrlen == item->ai_addrlen &&
		    memcmp(list->ai_addr, item->ai_addr, item->ai_addrlen) == 0)
			return true;
	return false;
}

/** Listen on each of @list, all on one port. @return 0 or errno; then nothing listens */
static int listen_on_all(struct server *s, const struct addrinfo *list, uint16_t port)
{
	const struct addrinfo *first = list;
	int failed = EADDRNOTAVAIL;

	for (; list && s->nlisteners < MAX_LISTENERS; list = list->ai_next) {
		struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
		int fd;

		if (is_repeated(first, list))
			continue;
		memcpy(&addr, list->ai_addr, list->ai_addrlen);
		set_port(&addr, s->nlisteners ? first_port(s) : port);
		fd = listen_on(&addr, list->ai_addrlen);
		if (fd >= 0) {
			add_listener(s, fd);
			continue;
		}
		failed = errno;
		if (!is_missing_family(failed)) {
			close_listeners(s);
			return failed;
		}
	}
	return s->nlisteners ? 0 : failed;
}

static enum gc_code listen_on_port(struct server *s, const struct addrinfo *list, uint16_t port,
				   struct gc_error *err)
{
	int failed = 0;

	for (unsigned i = 0; i < (port ? 1 : PORT_TRIES); i++) {
		failed = listen_on_all(s, list, port);
		if (failed != EADDRINUSE)
			break;
	}
	if (failed == EADDRINUSE)
		return gc_fail(err, GC_E_IO, "cannot listen on %s: the address is in use", s->where->address);
	return failed ? gc_fail_errno(err, failed, "cannot listen on %s", s->where->address) : GC_OK;
}

/** Split HOST:PORT or [ADDR]:PORT; an empty HOST is this host only. @return false if it is neither */
static bool split_address(const char *text, char host[MAX_ADDRESS], uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	unsigned long number;
	char *end;

	if (!colon || len >= MAX_ADDRESS || colon[1] < '0' || colon[1] > '9')
		return false;
	errno = 0;
	number = strtoul(colon + 1, &end, 10);
	if (*end || errno || number > UINT16_MAX)
		return false;
	if (len >= 2 && *text == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return false; /* an IPv6 address needs its brackets */
	}
	memcpy(host, text, len);
	host[len] = '\0';
	*port = (uint16_t)number;
	return true;
}

static enum gc_code listen_tcp(struct server *s, struct gc_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;
	char host[MAX_ADDRESS];
	enum gc_code code;
	uint16_t port;
	int failed;

	if (!split_address(s->where->address, host, &port))
		return gc_fail(err, GC_E_USAGE,
			       "%s is no address to listen on: :PORT, HOST:PORT, [ADDR]:PORT, unix:PATH or stdio",
			       s->where->address);
	/* "localhost" by its numbers: both families, whatever the host's files say */
	if (!*host) {
		const struct sockaddr_in v4 = { .sin_family = AF_INET,
						.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
						 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
		struct addrinfo second = { .ai_addr = (struct sockaddr *)&v6, .ai_addrlen = sizeof(v6) };
		struct addrinfo first = { .ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4),
					  .ai_next = &second };

		return listen_on_port(s, &first, port, err);
	}
	failed = getaddrinfo(host, "0", &hints, &list);
	if (failed)
		return gc_fail(err, GC_E_IO, "cannot listen on %s: %s", s->where->address,
			       gai_strerror(failed));
	code = listen_on_port(s, list, port, err);
	freeaddrinfo(list);
	return code;
}

/** Does a server answer at this socket? */
static bool is_live(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live;

	if (fd < 0)
		return true;
	live = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 || errno != ECONNREFUSED;
	close(fd);
	return live;
}

static int bind_unix(const struct sockaddr_un *addr)
{
	struct sockaddr_storage any = { .ss_family = AF_UNSPEC };
	mode_t old = umask(0177); /* nobody else may connect, from the first moment on */
	int fd, failed;

	memcpy(&any, addr, sizeof(*addr));
	fd = listen_on(&any, sizeof(*addr));
	failed = errno;
	umask(old);
	errno = failed;
	return fd;
}

static enum gc_code listen_unix(struct server *s, const char *path, struct gc_error *err)
{
	struct sockaddr_un *addr = &s->unix_addr;
	struct stat st;
	int fd;

	if (!*path || strlen(path) >= sizeof(addr->sun_path))
		return gc_fail(err, GC_E_USAGE, "%s: a socket's path has 1 to %zu bytes", s->where->address,
			       sizeof(addr->sun_path) - 1);
	addr->sun_family = AF_UNIX;
	memcpy(addr->sun_path, path, strlen(path) + 1);
	fd = bind_unix(addr);
	if (fd < 0 && errno == EADDRINUSE && lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return gc_fail(err, GC_E_IO, "cannot listen on %s: there is a file that is no socket", path);
		if (is_live(addr))
			return gc_fail(err, GC_E_IO, "cannot listen on %s: the address is in use", path);
		unlink(path);
		fd = bind_unix(addr);
	}
	if (fd < 0)
		return gc_fail_errno(err, errno, "cannot listen on %s", path);
	add_listener(s, fd);
	if (lstat(path, &st) == 0) {
		s->unix_bound = true;
		s->unix_dev = st.st_dev;
		s->unix_ino = st.st_ino;
	}
	return GC_OK;
}

static void remove_unix(const struct server *s)
{
	struct stat st;

	if (s->unix_bound && lstat(s->unix_addr.sun_path, &st) == 0 && st.st_dev == s->unix_dev &&
	    st.st_ino == s->unix_ino)
		unlink(s->unix_addr.sun_path);
}

static void announce(const struct server *s)
{
	for (size_t i = 0; i < s->nlisteners && s->where->ready; i++) {
		struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(addr);
		char name[MAX_ADDRESS];

		getsockname(s->listeners[i], (struct sockaddr *)&addr, &len);
		name_of(&addr, name);
		s->where->ready(s->where->data, addr.ss_family == AF_UNIX ? s->where->address : name,
				is_loopback(&addr));
	}
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
	snprintf(s->clients[s->nclients].name, MAX_ADDRESS, "%s", name);
	s->nclients++;
	gc_debug("%s connected (process %d)", name, (int)pid);
}

/** @return false when there is no room for one more descriptor just now */
static bool accept_client(struct server *s, int listener)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNIX };
	socklen_t len = sizeof(addr);
	int fd = accept4(listener, (struct sockaddr *)&addr, &len, SOCK_CLOEXEC);
	char name[MAX_ADDRESS];

	if (fd < 0)
		return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
	name_of(&addr, name);
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
	for (size_t i = 0; i < s->nlisteners; i++) {
		if (!(polled[i].revents & (POLLIN | POLLERR)))
			continue;
		if (!accept_client(s, s->listeners[i]))
			*wait_a_moment = true;
		if (s->where->once && s->nclients) {
			close_listeners(s);
			return;
		}
	}
}

static enum gc_code loop(struct server *s, struct gc_error *err)
{
	bool wait_a_moment = false;

	for (;;) {
		struct pollfd polled[MAX_LISTENERS + 1];
		nfds_t n = wait_a_moment ? 0 : s->nlisteners;

		for (size_t i = 0; i < n; i++)
			polled[i] = (struct pollfd){ .fd = s->listeners[i], .events = POLLIN };
		polled[n] = (struct pollfd){ .fd = s->signals, .events = POLLIN };
		if (poll(polled, n + 1, wait_a_moment ? 100 : -1) < 0 && errno != EINTR)
			return gc_fail_errno(err, errno, "waiting for clients");
		if (polled[n].revents & POLLIN && !handle_signals(s))
			return GC_OK;
		wait_a_moment = false;
		if (n)
			accept_from_all(s, polled, &wait_a_moment);
		if (s->where->once && !s->nlisteners && !s->nclients)
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
		s->where->ready(s->where->data, s->where->address, true);
	enter_sandbox(s);
	return talk(s, STDIN_FILENO, STDOUT_FILENO, err);
}

static enum gc_code start_listening(struct server *s, struct gc_error *err)
{
	const char *address = s->where->address;

	if (strncmp(address, "unix:", 5) == 0)
		return listen_unix(s, address + 5, err);
	return listen_tcp(s, err);
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
	code = start_listening(s, err);
	if (code == GC_OK) {
		announce(s);
		code = loop(s, err);
	}
	end_clients(s);
	close_listeners(s);
	remove_unix(s);
	release_signals(s);
out:
	free(s);
	return code;
}
