#include "rsp/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 128

/* For :0, how often to look for a number that is free in both families. */
#define PORT_TRIES 20

static void close_all(struct gc_listeners *l)
{
	for (size_t i = 0; i < l->count; i++)
		close(l->fds[i]);
	l->count = 0;
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
void gc_address_name(const struct sockaddr_storage *addr, char out[GC_MAX_ADDRESS])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (addr->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)addr)->sin6_addr, host, sizeof(host));
		snprintf(out, GC_MAX_ADDRESS, "[%s]:%u", host, port_of(addr));
	} else if (addr->ss_family == AF_INET) {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)addr)->sin_addr, host, sizeof(host));
		snprintf(out, GC_MAX_ADDRESS, "%s:%u", host, port_of(addr));
	} else {
		snprintf(out, GC_MAX_ADDRESS, "a local client");
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

static void add_listener(struct gc_listeners *l, int fd)
{
	l->fds[l->count++] = fd;
}

/** The port that the first listener got. */
static uint16_t first_port(const struct gc_listeners *l)
{
	struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);

	getsockname(l->fds[0], (struct sockaddr *)&addr, &len);
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
static int listen_on_all(struct gc_listeners *l, const struct addrinfo *list, uint16_t port)
{
	const struct addrinfo *first = list;
	int failed = EADDRNOTAVAIL;

	for (; list && l->count < GC_MAX_LISTENERS; list = list->ai_next) {
		struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
		int fd;

		if (is_repeated(first, list))
			continue;
		memcpy(&addr, list->ai_addr, list->ai_addrlen);
		set_port(&addr, l->count ? first_port(l) : port);
		fd = listen_on(&addr, list->ai_addrlen);
		if (fd >= 0) {
			add_listener(l, fd);
			continue;
		}
		failed = errno;
		if (!is_missing_family(failed)) {
			close_all(l);
			return failed;
		}
	}
	return l->count ? 0 : failed;
}

static enum gc_code listen_on_port(struct gc_listeners *l, const struct addrinfo *list, uint16_t port,
				   struct gc_error *err)
{
	int failed = 0;

	for (unsigned i = 0; i < (port ? 1 : PORT_TRIES); i++) {
		failed = listen_on_all(l, list, port);
		if (failed != EADDRINUSE)
			break;
	}
	if (failed == EADDRINUSE)
		return gc_fail(err, GC_E_IO, "cannot listen on %s: the address is in use", l->address);
	return failed ? gc_fail_errno(err, failed, "cannot listen on %s", l->address) : GC_OK;
}

bool gc_address_split(const char *text, char host[GC_MAX_ADDRESS], uint16_t *port)
{
	const char *colon = strrchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : 0;
	unsigned long number;
	char *end;

	if (!colon || len >= GC_MAX_ADDRESS || colon[1] < '0' || colon[1] > '9')
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

static enum gc_code listen_tcp(struct gc_listeners *l, struct gc_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct addrinfo *list;
	char host[GC_MAX_ADDRESS];
	enum gc_code code;
	uint16_t port;
	int failed;

	if (!gc_address_split(l->address, host, &port))
		return gc_fail(err, GC_E_USAGE,
			       "%s is no address to listen on: :PORT, HOST:PORT, [ADDR]:PORT, unix:PATH or stdio",
			       l->address);
	/* "localhost" by its numbers: both families, whatever the host's files say */
	if (!*host) {
		const struct sockaddr_in v4 = { .sin_family = AF_INET,
						.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
		const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
						 .sin6_addr = IN6ADDR_LOOPBACK_INIT };
		struct addrinfo second = { .ai_addr = (struct sockaddr *)&v6, .ai_addrlen = sizeof(v6) };
		struct addrinfo first = { .ai_addr = (struct sockaddr *)&v4, .ai_addrlen = sizeof(v4),
					  .ai_next = &second };

		return listen_on_port(l, &first, port, err);
	}
	failed = getaddrinfo(host, "0", &hints, &list);
	if (failed)
		return gc_fail(err, GC_E_IO, "cannot listen on %s: %s", l->address,
			       gai_strerror(failed));
	code = listen_on_port(l, list, port, err);
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

static enum gc_code listen_unix(struct gc_listeners *l, const char *path, struct gc_error *err)
{
	struct sockaddr_un *addr = &l->unix_addr;
	struct stat st;
	int fd;

	if (!*path || strlen(path) >= sizeof(addr->sun_path))
		return gc_fail(err, GC_E_USAGE, "%s: a socket's path has 1 to %zu bytes", l->address,
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
	add_listener(l, fd);
	if (lstat(path, &st) == 0) {
		l->unix_bound = true;
		l->unix_dev = st.st_dev;
		l->unix_ino = st.st_ino;
	}
	return GC_OK;
}

static void remove_unix(struct gc_listeners *l)
{
	struct stat st;

	if (l->unix_bound && lstat(l->unix_addr.sun_path, &st) == 0 && st.st_dev == l->unix_dev &&
	    st.st_ino == l->unix_ino)
		unlink(l->unix_addr.sun_path);
	l->unix_bound = false;
}

enum gc_code gc_listeners_open(struct gc_listeners *l, const char *address, struct gc_error *err)
{
	*l = (struct gc_listeners){ .address = address };
	if (strncmp(address, "unix:", 5) == 0)
		return listen_unix(l, address + 5, err);
	return listen_tcp(l, err);
}

void gc_listeners_close(struct gc_listeners *l)
{
	close_all(l);
	remove_unix(l);
}

void gc_listeners_announce(const struct gc_listeners *l, const struct gc_listen *where)
{
	for (size_t i = 0; i < l->count && where->ready; i++) {
		struct sockaddr_storage addr = { .ss_family = AF_UNSPEC };
		socklen_t len = sizeof(addr);
		char name[GC_MAX_ADDRESS];

		getsockname(l->fds[i], (struct sockaddr *)&addr, &len);
		gc_address_name(&addr, name);
		where->ready(where->data, addr.ss_family == AF_UNIX ? l->address : name, is_loopback(&addr),
			     i + 1 == l->count);
	}
}
