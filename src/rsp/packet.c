#include "rsp/packet.h"

#include <endian.h>
#include <string.h>

/* More than PacketSize is not refused at once: clients differ in what they count. */
#define MAX_DATA (GC_PACKET_SIZE + 64)

#define VECTOR 16

/* Sixteen bytes at once, on any host: SSE2 or NEON is what gcc and clang make of it. */
typedef uint8_t v16 __attribute__((vector_size(VECTOR)));
typedef int8_t v16s __attribute__((vector_size(VECTOR)));

static const char digits[] = "0123456789abcdef";

static v16 load(const void *bytes)
{
	v16 v;

	memcpy(&v, bytes, sizeof(v));
	return v;
}

static void store(void *to, v16 v)
{
	memcpy(to, &v, sizeof(v));
}

/** Sum of all bytes, modulo 256. */
static uint8_t checksum(const char *bytes, size_t len)
{
	v16 sums = { 0 };
	uint8_t sum = 0;
	size_t i = 0;

	for (; len - i >= VECTOR; i += VECTOR)
		sums += load(bytes + i);
	for (; i < len; i++)
		sum = (uint8_t)(sum + (uint8_t)bytes[i]);
	for (i = 0; i < VECTOR; i++)
		sum = (uint8_t)(sum + sums[i]);
	return sum;
}

void gc_packet_reader_deinit(struct gc_packet_reader *r)
{
	gc_buf_deinit(&r->pieces);
}

static void start(struct gc_packet_reader *r, bool notification)
{
	r->state = GC_PACKET_IN_DATA;
	r->notification = notification;
	r->too_long = false;
	r->sum = 0;
	r->ndigits = 0;
	r->data = NULL;
	r->len = 0;
	gc_buf_clear(&r->pieces);
}

/** Skip to the start of a packet, or to a byte that means something alone. */
static size_t read_between(struct gc_packet_reader *r, const char *bytes, size_t len,
			   enum gc_packet_event *event)
{
	for (size_t i = 0; i < len; i++) {
		switch (bytes[i]) {
		case '$':
		case '%':
			start(r, bytes[i] == '%');
			return i + 1;
		case '+':
			*event = GC_PACKET_ACK;
			return i + 1;
		case '-':
			*event = GC_PACKET_NACK;
			return i + 1;
		case '\3':
			*event = GC_PACKET_INTERRUPT;
			return i + 1;
		default:
			break;
		}
	}
	return len;
}

/** Keep a piece of a packet, unless it is too long already or nobody wants it. */
static void keep(struct gc_packet_reader *r, const char *bytes, size_t len)
{
	if (r->too_long || r->notification)
		return;
	if (len > MAX_DATA - r->pieces.len) {
		r->too_long = true;
		gc_buf_clear(&r->pieces);
		return;
	}
	gc_buf_add(&r->pieces, bytes, len);
}

static size_t read_data(struct gc_packet_reader *r, const char *bytes, size_t len)
{
	const char *hash = memchr(bytes, '#', len);
	size_t n = hash ? (size_t)(hash - bytes) : len;
	const char *again = memrchr(bytes, '$', n);

	if (again) {
		start(r, false);
		return (size_t)(again - bytes) + 1;
	}
	r->sum = (uint8_t)(r->sum + checksum(bytes, n));
	if (!hash) {
		keep(r, bytes, n);
		return n;
	}
	r->state = GC_PACKET_IN_SUM;
	if (r->pieces.len == 0 && len - n > 2 && n <= MAX_DATA && !r->too_long) {
		r->data = bytes;
		r->len = n;
	} else {
		keep(r, bytes, n);
	}
	return n + 1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 'a' ^ 'A';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool sum_agrees(const struct gc_packet_reader *r)
{
	int high = hex_digit(r->digits[0]), low = hex_digit(r->digits[1]);

	return high >= 0 && low >= 0 && r->sum == high * 16 + low;
}

static enum gc_packet_event finish(struct gc_packet_reader *r)
{
	r->state = GC_PACKET_BETWEEN;
	if (r->notification)
		return GC_PACKET_NONE;
	if (r->too_long || r->pieces.failed)
		return sum_agrees(r) ? GC_PACKET_TOO_LONG : GC_PACKET_DAMAGED;
	if (!r->data) {
		r->data = gc_buf_text(&r->pieces);
		r->len = r->pieces.len;
	}
	return sum_agrees(r) ? GC_PACKET_READY : GC_PACKET_DAMAGED;
}

static size_t read_sum(struct gc_packet_reader *r, const char *bytes, enum gc_packet_event *event)
{
	if (*bytes == '$') {
		start(r, false);
		return 1;
	}
	r->digits[r->ndigits++] = *bytes;
	if (r->ndigits == 2)
		*event = finish(r);
	return 1;
}

size_t gc_packet_read(struct gc_packet_reader *r, const char *bytes, size_t len,
		      enum gc_packet_event *event)
{
	size_t used = 0;

	*event = GC_PACKET_NONE;
	while (used < len && *event == GC_PACKET_NONE) {
		switch (r->state) {
		case GC_PACKET_BETWEEN:
			used += read_between(r, bytes + used, len - used, event);
			break;
		case GC_PACKET_IN_DATA:
			used += read_data(r, bytes + used, len - used);
			break;
		case GC_PACKET_IN_SUM:
			used += read_sum(r, bytes + used, event);
			break;
		}
	}
	return used;
}

size_t gc_packet_unescape(char *data, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		if (data[i] == '}' && i + 1 < len)
			data[out++] = data[++i] ^ 0x20;
		else
			data[out++] = data[i];
	}
	return out;
}

size_t gc_packet_begin(struct gc_buf *out)
{
	size_t at = out->len;

	gc_buf_char(out, '$');
	return at;
}

void gc_packet_end(struct gc_buf *out, size_t start)
{
	uint8_t sum;

	if (out->failed)
		return;
	sum = checksum(out->data + start + 1, out->len - start - 1);
	gc_buf_add(out, (char[]){ '#', digits[sum >> 4], digits[sum & 15] }, 3);
}

/* The three that end or start something, and *, which is run-length encoding in a reply. */
static bool is_special(uint8_t c)
{
	return c == '#' || c == '$' || c == '}' || c == '*';
}

/** All ones in the lanes that need an escape. */
static v16 specials(v16 v)
{
	return (v16)((v == '#') | (v == '$') | (v == '}') | (v == '*'));
}

/** One bit a lane, the first lane's lowest. @words is what specials() gave: lanes of all ones or zero. */
static unsigned lane_bits(const uint64_t words[2])
{
	const uint64_t one_a_byte = UINT64_C(0x0101010101010101), gather = UINT64_C(0x0102040810204080);
	unsigned low = (unsigned)((le64toh(words[0]) & one_a_byte) * gather >> 56);
	unsigned high = (unsigned)((le64toh(words[1]) & one_a_byte) * gather >> 56);

	return low | high << 8;
}

/** Append sixteen bytes of which those in @marks need escapes; writes at most 48 bytes. @return bytes written */
static size_t escape_vector(char *to, const uint8_t *from, unsigned marks)
{
	size_t extra = 0;

	store(to, load(from));
	do {
		size_t at = (size_t)__builtin_ctz(marks);
		char *escape = to + at + extra;

		/* the rest moves on by one; what is read behind the sixteen is written over later */
		store(escape + 1, load(from + at));
		escape[0] = '}';
		escape[1] = (char)(from[at] ^ 0x20);
		extra++;
		marks &= marks - 1;
	} while (marks);
	return VECTOR + extra;
}

/** Escape as many bytes as fit. @return how many of @len were taken; *written into @to */
static size_t escape(char *to, size_t room, const uint8_t *from, size_t len, size_t *written)
{
	size_t in = 0, out = 0;

	while (len - in >= 2 * VECTOR && room - out >= 3 * VECTOR) {
		v16 v = load(from + in), marks = specials(v);
		uint64_t words[2];

		memcpy(words, &marks, sizeof(words));
		if (words[0] | words[1]) {
			out += escape_vector(to + out, from + in, lane_bits(words));
		} else {
			store(to + out, v);
			out += VECTOR;
		}
		in += VECTOR;
	}
	while (in < len && room - out >= (is_special(from[in]) ? 2U : 1U)) {
		if (is_special(from[in])) {
			to[out++] = '}';
			to[out++] = (char)(from[in] ^ 0x20);
		} else {
			to[out++] = (char)from[in];
		}
		in++;
	}
	*written = out;
	return in;
}

size_t gc_packet_add_binary(struct gc_buf *out, const void *bytes, size_t len, size_t room)
{
	size_t taken, written;
	char *to;

	if (room / 2 > len)
		room = 2 * len;
	to = gc_buf_reserve(out, room);
	if (!to)
		return 0;
	taken = escape(to, room, bytes, len, &written);
	out->len += written;
	out->data[out->len] = '\0';
	return taken;
}

/** The digits of sixteen numbers below 16. */
static v16 hex_digits(v16 v)
{
	v16 letter = (v16)((v16s)v > 9);

	return v + '0' + (letter & ('a' - '0' - 10));
}

void gc_packet_add_hex(struct gc_buf *out, const void *bytes, size_t len)
{
	const uint8_t *from = bytes;
	char *to = gc_buf_reserve(out, 2 * len);
	size_t i = 0;

	if (!to)
		return;
	for (; len - i >= VECTOR; i += VECTOR) {
		v16 v = load(from + i);
		v16 high = hex_digits(v >> 4), low = hex_digits(v & 15);

		store(to + 2 * i, __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19,
							  4, 20, 5, 21, 6, 22, 7, 23));
		store(to + 2 * i + VECTOR,
		      __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27,
					      12, 28, 13, 29, 14, 30, 15, 31));
	}
	for (; i < len; i++) {
		to[2 * i] = digits[from[i] >> 4];
		to[2 * i + 1] = digits[from[i] & 15];
	}
	out->len += 2 * len;
	out->data[out->len] = '\0';
}
