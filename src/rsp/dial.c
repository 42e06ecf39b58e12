/*
 * One connection instead of a server: dialled, or the first that comes.
 * Debuggers that start their stub themselves (Delve) tell it where to meet.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "gocore/rsp.h"
#include "rsp/listen.h"

#define RELAY_SIZE 65536

/** @return a connected socket, or -1 with errno */
static int connect_to(const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int failed;

	if (fd < 0 || connect(fd, addr, len) == 0)
		return fd;
	failed = errno;
	close(fd);
	errno = failed;
	return -1;
}

static enum gc_code dial_unix(const char *path, int *out, struct gc_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (!*path || strlen(path) >= sizeof(addr.sun_path))
		return gc_fail(err, GC_E_USAGE, "unix:%s: a socket's path has 1 to %zu bytes", path,
			       sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	fd = connect_to((struct sockaddr *)&addr, sizeof(addr));
	if (fd < 0)
		return gc_fail_errno(err, errno, "cannot connect to %s", path);
	*out = fd;
	return GC_OK;
}

static enum gc_code dial_tcp(const char *address, int *out, struct gc_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	char host[GC_MAX_ADDRESS], service[8];
	struct addrinfo *list;
	uint16_t port;
	int failed, fd = -1;

	if (!gc_address_split(address, host, &port) || !port)
		return gc_fail(err, GC_E_USAGE, "%s is no address to connect to: :PORT, HOST:PORT, [ADDR]:PORT or "
			       "unix:PATH", address);
	snprintf(service, sizeof(service), "%u", port);
	failed = getaddrinfo(*host ? host : NULL, service, &hints, &list); /* no host: loopback of both families */
	if (failed)
		return gc_fail(err, GC_E_IO, "cannot connect to %s: %s", address, gai_strerror(failed));
	for (const struct addrinfo *item = list; item && fd < 0; item = item->ai_next)
		fd = connect_to(item->ai_addr, item->ai_addrlen);
	failed = errno;
	freeaddrinfo(list);
	if (fd < 0)
		return gc_fail_errno(err, failed, "cannot connect to %s", address);
	*out = fd;
	return GC_OK;
}

enum gc_code gc_rsp_dial(const char *address, int *fd, struct gc_error *err)
{
	if (strncmp(address, "unix:", 5) == 0)
		return dial_unix(address + 5, fd, err);
	return dial_tcp(address, fd, err);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/** The first client of any of the listeners. @return -1 with errno; ETIMEDOUT when none came */
static int accept_first(const struct gc_listeners *l, int64_t end_ms)
{
	for (;;) {
		struct pollfd polled[GC_MAX_LISTENERS];
		int64_t left = end_ms - now_ms();

		for (size_t i = 0; i < l->count; i++)
			polled[i] = (struct pollfd){ .fd = l->fds[i], .events = POLLIN };
		if (left <= 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		if (poll(polled, l->count, (int)left) < 0 && errno != EINTR)
			return -1;
		for (size_t i = 0; i < l->count; i++) {
			int fd = accept4(l->fds[i], NULL, NULL, SOCK_CLOEXEC);

			if (fd >= 0)
				return fd;
		}
	}
}

enum gc_code gc_rsp_accept(const struct gc_listen *where, int seconds, int *out, struct gc_error *err)
{
	struct gc_listeners l;
	int fd, failed;

	if (gc_listeners_open(&l, where->address, err) != GC_OK)
		return err->code;
	gc_listeners_announce(&l, where);
	fd = accept_first(&l, now_ms() + (int64_t)seconds * 1000);
	failed = errno;
	gc_listeners_close(&l);
	if (fd < 0)
		return gc_fail_errno(err, failed, "waiting for the debugger");
	*out = fd;
	return GC_OK;
}

/** Pass on what is there. @return false when one side has ended */
static bool pass(int from, int to)
{
	char bytes[RELAY_SIZE];
	ssize_t n = recv(from, bytes, sizeof(bytes), 0);

	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	return n > 0 && gc_send_all(to, bytes, (size_t)n);
}

enum gc_code gc_rsp_relay(int a, int b, struct gc_error *err)
{
	struct pollfd polled[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
	const int on = 1;

	setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* packets wait for their answers */
	setsockopt(b, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	for (;;) {
		if (poll(polled, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return gc_fail_errno(err, errno, "poll");
		}
		if (polled[0].revents && !pass(a, b))
			return GC_OK;
		if (polled[1].revents && !pass(b, a))
			return GC_OK;
	}
}
