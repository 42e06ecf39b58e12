/*
 * How fast a server reads memory to a raw client, with one request in flight:
 *
 *	rsp_read HOST:PORT ADDR SIZE [x|m] [REQUEST] [ROUNDS]
 *
 * prints "x 65536 1234.5 MB/s", the best of ROUNDS (3). The client only looks
 * for the packet's end: what is measured is the server and the way to it.
 * Works with any stub, gdbserver too; it needs binary-upload for x.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX (4 << 20)

struct client {
	int fd;
	bool no_ack;
	char *buf;
	size_t len; /* of what was read of the reply */
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "rsp_read: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	exit(1);
}

static int connect_to(char *address)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	char *colon = strrchr(address, ':');
	struct addrinfo *list;
	const int on = 1;
	int fd = -1;

	if (!colon)
		fail(address);
	*colon = '\0';
	if (getaddrinfo(*address ? address : "127.0.0.1", colon + 1, &hints, &list) != 0)
		fail("getaddrinfo");
	for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
		fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(list);
	if (fd < 0)
		fail("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void send_packet(struct client *c, const char *data)
{
	char packet[256];
	unsigned sum = 0;
	int len;

	for (const char *p = data; *p; p++)
		sum += (unsigned char)*p;
	len = snprintf(packet, sizeof(packet), "$%s#%02x", data, sum & 0xff);
	if (send(c->fd, packet, (size_t)len, MSG_NOSIGNAL) != len)
		fail("send");
}

/** Skip acknowledgements. @return the reply's data, *len bytes; valid until the next */
static const char *read_reply(struct client *c, size_t *len)
{
	const char *start = NULL, *hash = NULL;

	c->len = 0;
	while (!hash || (size_t)(c->buf + c->len - hash) < 3) {
		ssize_t n = recv(c->fd, c->buf + c->len, REPLY_MAX - c->len, 0);

		if (n <= 0)
			fail("recv");
		if (!hash) {
			hash = memchr(c->buf + c->len, '#', (size_t)n);
			if (!start)
				start = memchr(c->buf, '$', c->len + (size_t)n);
		}
		c->len += (size_t)n;
	}
	if (!start || start > hash)
		fail("reply");
	if (!c->no_ack && send(c->fd, "+", 1, MSG_NOSIGNAL) != 1)
		fail("send");
	*len = (size_t)(hash - start - 1);
	return start + 1;
}

static const char *ask(struct client *c, const char *data, size_t *len)
{
	send_packet(c, data);
	return read_reply(c, len);
}

/** @return how many characters the reply stands for: "0* " is four of them */
static size_t unpacked_length(const char *data, size_t len)
{
	size_t more = 0;

	for (const char *p = data; (p = memchr(p, '*', (size_t)(data + len - p))) && p + 1 < data + len; p += 2)
		more += (size_t)(p[1] - 29) - 2; /* the '*' and the count stand for themselves in len */
	return len + more;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double read_all(struct client *c, char kind, uint64_t addr, uint64_t size, uint64_t request)
{
	double start = now();

	for (uint64_t at = 0; at < size; at += request) {
		uint64_t want = size - at < request ? size - at : request;
		char packet[64];
		const char *reply;
		size_t len;

		snprintf(packet, sizeof(packet), "%c%" PRIx64 ",%" PRIx64, kind, addr + at, want);
		reply = ask(c, packet, &len);
		/* Escapes only make a reply to x longer. */
		if (kind == 'm' ? unpacked_length(reply, len) != 2 * want : len < want) {
			errno = 0;
			fail("short reply");
		}
	}
	return (double)size / (now() - start) / 1e6;
}

int main(int argc, char **argv)
{
	struct client c = { .buf = malloc(REPLY_MAX) };
	uint64_t request = argc > 5 ? strtoull(argv[5], NULL, 0) : 65536;
	int rounds = argc > 6 ? atoi(argv[6]) : 3;
	char kind = argc > 4 ? *argv[4] : 'x';
	double best = 0;
	size_t len;

	if (argc < 4 || !c.buf || (kind != 'x' && kind != 'm')) {
		fprintf(stderr, "usage: rsp_read HOST:PORT ADDR SIZE [x|m] [REQUEST] [ROUNDS]\n");
		return 2;
	}
	c.fd = connect_to(argv[1]);
	/* gdbserver 18 on x86_64 dies of a client that does not know its descriptions. */
	ask(&c, "qSupported:multiprocess+;vContSupported+;xmlRegisters=i386", &len);
	if (len >= 15 && memcmp(ask(&c, "QStartNoAckMode", &len), "OK", 2) == 0)
		c.no_ack = true;
	ask(&c, "?", &len);
	for (int i = 0; i < rounds; i++) {
		double rate = read_all(&c, kind, strtoull(argv[2], NULL, 0), strtoull(argv[3], NULL, 0), request);

		best = rate > best ? rate : best;
	}
	printf("%c %" PRIu64 " %.1f MB/s\n", kind, request, best);
	send_packet(&c, "D");
	close(c.fd);
	free(c.buf);
	return 0;
}
