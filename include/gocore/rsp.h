/*
 * The GDB Remote Serial Protocol: one client's session, as bytes in and bytes
 * out (GDB manual, appendix "GDB Remote Serial Protocol").
 *
 * A session reads the target and never changes it, so any number can run on
 * one. Only transport.c, listen.c and dial.c touch sockets.
 */
#ifndef GOCORE_RSP_H
#define GOCORE_RSP_H

#include "gocore/buf.h"
#include "gocore/target.h"

/** A `monitor` command; the list is given by who starts the server, so rsp knows none of them. */
struct gc_monitor {
	const char *name;
	const char *args;   /* for help: "[ADDR]"; NULL: none */
	const char *help;   /* one line */
	/** Append the answer to @out. @args: what follows the name, "" if nothing. */
	enum gc_code (*run)(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err);
};

struct gc_rsp_options {
	const struct gc_monitor *monitors;
	size_t nmonitors;
	bool trace;          /* log every packet to standard error */
};

struct gc_rsp;

enum gc_code gc_rsp_new(struct gc_rsp **out, struct gc_target *t, const struct gc_rsp_options *options,
			struct gc_error *err);
void gc_rsp_free(struct gc_rsp *rsp);

/**
 * Take bytes from the client and append what it gets to @out.
 *
 * @return false when the session is over; what is in @out is still to be sent
 */
bool gc_rsp_feed(struct gc_rsp *rsp, const void *bytes, size_t len, struct gc_buf *out);

/** Where to listen, as --listen says; see PRODUCT "Serving". */
struct gc_listen {
	const char *address;   /* ":1234", "HOST:PORT", "[ADDR]:PORT", ":0", "unix:PATH", "stdio" */
	bool once;
	bool sandbox;          /* shut each client's process in, where the system can (gocore/sandbox.h) */
	/** Called once each socket accepts, with the address as a client writes it ("127.0.0.1:1234"). */
	void (*ready)(void *data, const char *address, bool loopback, bool last);
	void *data;
};

/**
 * Serve until a signal, or with once until the first client leaves. Each
 * client gets a process of its own, forked from this one.
 */
enum gc_code gc_rsp_serve(struct gc_target *t, const struct gc_rsp_options *options,
			  const struct gc_listen *where, struct gc_error *err);

/** Serve the one client at the other end of a connected socket, in this process, until it leaves. */
enum gc_code gc_rsp_serve_socket(struct gc_target *t, const struct gc_rsp_options *options, int fd, bool sandbox,
				 struct gc_error *err);

/* A debugger that starts its stub itself says where to meet it; dial.c. */

/**
 * Connect to ":PORT" (this host), "HOST:PORT", "[ADDR]:PORT" or "unix:PATH".
 *
 * @return GC_E_USAGE if @address is none of these, GC_E_IO if nobody listens there
 */
enum gc_code gc_rsp_dial(const char *address, int *fd, struct gc_error *err);

/**
 * Listen at where->address, as gc_rsp_serve does, until one client comes.
 *
 * @return GC_E_IO also if none came within @seconds
 */
enum gc_code gc_rsp_accept(const struct gc_listen *where, int seconds, int *fd, struct gc_error *err);

/** Pass bytes on both ways until one side ends. */
enum gc_code gc_rsp_relay(int a, int b, struct gc_error *err);

#endif
