/* The sockets that clients connect to: --listen, PRODUCT "Serving". */
#ifndef RSP_LISTEN_H
#define RSP_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "gocore/rsp.h"

#define GC_MAX_LISTENERS 8
#define GC_MAX_ADDRESS   300

struct gc_listeners {
	const char *address;        /* as the user wrote it */
	int fds[GC_MAX_LISTENERS];  /* non-blocking */
	size_t count;
	bool unix_bound;
	struct sockaddr_un unix_addr;
	dev_t unix_dev;             /* of the socket file, to remove ours only */
	ino_t unix_ino;
};

/**
 * Listen at @address, which must outlive the result.
 *
 * @return GC_E_USAGE if it is no address, GC_E_IO if it cannot be listened at
 */
enum gc_code gc_listeners_open(struct gc_listeners *l, const char *address, struct gc_error *err);

/** Close all, and remove the socket file if it is still ours. */
void gc_listeners_close(struct gc_listeners *l);

/** Tell where->ready of each socket. */
void gc_listeners_announce(const struct gc_listeners *l, const struct gc_listen *where);

/** Split HOST:PORT or [ADDR]:PORT; an empty HOST is this host only. @return false if it is neither */
bool gc_address_split(const char *text, char host[GC_MAX_ADDRESS], uint16_t *port);

/** "127.0.0.1:1234", "[::1]:1234"; what connects by a path has no name of its own. */
void gc_address_name(const struct sockaddr_storage *addr, char out[GC_MAX_ADDRESS]);

#endif
