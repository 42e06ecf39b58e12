/*
 * Frames of the remote protocol: $DATA#CHECKSUM, acknowledgements, escapes
 * (GDB manual, "Overview" of the remote protocol). Bytes in, bytes out; no
 * packet has a meaning here.
 */
#ifndef RSP_PACKET_H
#define RSP_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/buf.h"

/** Announced as PacketSize. The data of a reply is as long at most, plus a byte or two of prefix. */
#define GC_PACKET_SIZE 0x20000

enum gc_packet_event {
	GC_PACKET_NONE,      /* the bytes are used up */
	GC_PACKET_READY,
	GC_PACKET_DAMAGED,   /* wrong checksum; the data are there all the same */
	GC_PACKET_TOO_LONG,  /* its data were thrown away as they came */
	GC_PACKET_ACK,
	GC_PACKET_NACK,
	GC_PACKET_INTERRUPT,
};

enum gc_packet_state {
	GC_PACKET_BETWEEN,
	GC_PACKET_IN_DATA,
	GC_PACKET_IN_SUM,
};

/** Where in the client's stream we are. Zeroed is the beginning. */
struct gc_packet_reader {
	enum gc_packet_state state;
	bool notification;   /* started by %: to be skipped */
	bool too_long;
	uint8_t sum;         /* of the data so far */
	char digits[2];      /* of the checksum sent */
	unsigned ndigits;
	struct gc_buf pieces; /* data that came in more than one call */

	/* the packet of the last event, valid until the next call */
	const char *data;
	size_t len;
};

void gc_packet_reader_deinit(struct gc_packet_reader *r);

/**
 * Take bytes up to the next event.
 *
 * A packet that lies whole in @bytes is not copied. A `$` inside a packet
 * starts a new one, because the client escapes it in data: what came before
 * was half a packet.
 *
 * @return how many bytes were used
 */
size_t gc_packet_read(struct gc_packet_reader *r, const char *bytes, size_t len,
		      enum gc_packet_event *event);

/** Undo the escapes of binary data. @return the new length */
size_t gc_packet_unescape(char *data, size_t len);

/** Start a packet. @return where it starts in @out, for gc_packet_end */
size_t gc_packet_begin(struct gc_buf *out);

/** Close the packet that starts at @start: checksum. */
void gc_packet_end(struct gc_buf *out, size_t start);

/**
 * Append escaped binary data, as much as fits in @room escaped bytes.
 *
 * @return how many of @len were taken
 */
size_t gc_packet_add_binary(struct gc_buf *out, const void *bytes, size_t len, size_t room);

/** Append two lower-case digits a byte. */
void gc_packet_add_hex(struct gc_buf *out, const void *bytes, size_t len);

#endif
