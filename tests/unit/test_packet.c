/* Frames of the remote protocol: reading them in any pieces, and making them. */
#include "rsp/packet.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rsp/args.h"
#include "rsp/gdb_signals.h"

/** What came out of a stream, as text: one line an event. */
static void add_event(struct gc_buf *log, const struct gc_packet_reader *r, enum gc_packet_event event)
{
	static const char *const names[] = { "none", "packet", "damaged", "too long", "+", "-", "^C" };

	gc_buf_str(log, names[event]);
	if (event == GC_PACKET_READY || (event == GC_PACKET_DAMAGED && !r->too_long)) {
		gc_buf_char(log, ' ');
		gc_buf_hex(log, r->data, r->len);
	}
	gc_buf_char(log, '\n');
}

static void feed(struct gc_packet_reader *r, const char *bytes, size_t len, struct gc_buf *log)
{
	/* a copy of just this size, so that a sanitizer sees a read behind its end */
	char *copy = malloc(len ? len : 1), *pos = copy;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	while (len) {
		enum gc_packet_event event;
		size_t used = gc_packet_read(r, pos, len, &event);

		ck_assert_uint_gt(used, 0);
		ck_assert_uint_le(used, len);
		if (event != GC_PACKET_NONE)
			add_event(log, r, event);
		pos += used;
		len -= used;
	}
	free(copy);
}

/** Feed in pieces of @piece bytes, the first one @first long. */
static void feed_pieces(const char *bytes, size_t len, size_t first, size_t piece, struct gc_buf *log)
{
	struct gc_packet_reader r = { .state = GC_PACKET_BETWEEN };
	size_t at = 0, next = first;

	while (at < len) {
		size_t n = next < len - at ? next : len - at;

		feed(&r, bytes + at, n, log);
		at += n;
		next = piece;
	}
	gc_packet_reader_deinit(&r);
}

static void assert_events(const char *bytes, size_t len, const char *expected)
{
	struct gc_buf log = GC_BUF_INIT;

	feed_pieces(bytes, len, len, len, &log);
	ck_assert_str_eq(gc_buf_text(&log), expected);
	gc_buf_deinit(&log);
}

#define ASSERT_EVENTS(bytes, expected) assert_events(bytes, sizeof(bytes) - 1, expected)

START_TEST(frames_are_read)
{
	ASSERT_EVENTS("$g#67", "packet 67\n");
	ASSERT_EVENTS("$#00", "packet \n");
	ASSERT_EVENTS("+$OK#9a", "+\npacket 4f4b\n");
	ASSERT_EVENTS("$OK#9A-", "packet 4f4b\n-\n");
	ASSERT_EVENTS("$g#67$g#67", "packet 67\npacket 67\n");
	ASSERT_EVENTS("\x03$g#67", "^C\npacket 67\n");
	ASSERT_EVENTS("$\x03#03", "packet 03\n");
	ASSERT_EVENTS("$\xff\xff#fe", "packet ffff\n");
}
END_TEST

START_TEST(wrong_frames_are_told)
{
	ASSERT_EVENTS("$g#00", "damaged 67\n");
	ASSERT_EVENTS("$g#6x", "damaged 67\n");
	ASSERT_EVENTS("$g#x7$g#67", "damaged 67\npacket 67\n");
	/* what came before a $ was half a packet */
	ASSERT_EVENTS("$abc$g#67", "packet 67\n");
	ASSERT_EVENTS("$abc#$g#67", "packet 67\n");
	ASSERT_EVENTS("$abc#1$g#67", "packet 67\n");
	ASSERT_EVENTS("$$$g#67", "packet 67\n");
}
END_TEST

START_TEST(what_is_no_packet_is_skipped)
{
	ASSERT_EVENTS("", "");
	ASSERT_EVENTS("abc#67\r\n\xff", "");
	ASSERT_EVENTS("%Stop:T05#00$g#67", "packet 67\n");
	ASSERT_EVENTS("%half$g#67", "packet 67\n");
	ASSERT_EVENTS("$g#6", "");
}
END_TEST

/* A stream with something of everything. */
static const char mixed[] = "+$qSupported:multiprocess+#c6junk$m0,4#fd%N:1#00-\x03$g#00$half$c#63"
			    "$X1,1:}\x03#dd$#00+++$a#$s#73$\x03$?#3f";

START_TEST(every_split_gives_the_same)
{
	struct gc_buf whole = GC_BUF_INIT;
	const size_t len = sizeof(mixed) - 1;

	feed_pieces(mixed, len, len, len, &whole);
	ck_assert_ptr_nonnull(strstr(whole.data, "packet 3f\n"));
	for (size_t first = 1; first <= len; first++) {
		for (size_t piece = 1; piece <= len; piece++) {
			struct gc_buf log = GC_BUF_INIT;

			feed_pieces(mixed, len, first, piece, &log);
			ck_assert_str_eq(log.data, whole.data);
			gc_buf_deinit(&log);
		}
	}
	gc_buf_deinit(&whole);
}
END_TEST

/** The protocol once more, a byte at a time and simply: what the events should be. */
static void model(const char *bytes, size_t len, struct gc_buf *log)
{
	struct gc_buf data = GC_BUF_INIT;
	enum { BETWEEN, DATA, SUM1, SUM2 } state = BETWEEN;
	char sum1 = 0, sent[3], wanted[3];
	bool note = false;

	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];
		unsigned sum = 0;

		if (c == '$') {
			state = DATA;
			note = false;
			gc_buf_clear(&data);
			continue;
		}
		switch (state) {
		case BETWEEN:
			if (c == '+' || c == '-')
				gc_buf_printf(log, "%c\n", c);
			else if (c == 3)
				gc_buf_str(log, "^C\n");
			else if (c == '%') {
				state = DATA;
				note = true;
			}
			break;
		case DATA:
			if (c == '#')
				state = SUM1;
			else
				gc_buf_char(&data, c);
			break;
		case SUM1:
			sum1 = c;
			state = SUM2;
			break;
		case SUM2:
			state = BETWEEN;
			if (note)
				break;
			for (size_t j = 0; j < data.len; j++)
				sum += (uint8_t)data.data[j];
			snprintf(wanted, sizeof(wanted), "%02x", sum & 0xff);
			snprintf(sent, sizeof(sent), "%c%c", sum1, c);
			gc_buf_str(log, strcasecmp(sent, wanted) == 0 ? "packet " : "damaged ");
			gc_buf_hex(log, data.data, data.len);
			gc_buf_char(log, '\n');
		}
	}
	gc_buf_deinit(&data);
}

START_TEST(rubbish_is_read_as_the_model_reads_it)
{
	static const char alphabet[] = "$$#+-%}*\x03\x00" "abc0163";
	char bytes[400];

	srand48(4711);
	for (unsigned round = 0; round < 3000; round++) {
		struct gc_buf expected = GC_BUF_INIT, log = GC_BUF_INIT;
		size_t len = 1 + (size_t)lrand48() % sizeof(bytes);

		for (size_t i = 0; i < len; i++)
			bytes[i] = alphabet[(size_t)lrand48() % (sizeof(alphabet) - 1)];
		model(bytes, len, &expected);
		feed_pieces(bytes, len, 1 + (size_t)lrand48() % len, 1 + (size_t)lrand48() % 40, &log);
		ck_assert_str_eq(gc_buf_text(&log), gc_buf_text(&expected));
		gc_buf_deinit(&log);
		gc_buf_deinit(&expected);
	}
}
END_TEST

/** A packet with @len times 'a', fed in pieces. @return what the reader kept at most */
static size_t feed_long(size_t len, size_t piece, struct gc_buf *log)
{
	struct gc_packet_reader r = { .state = GC_PACKET_BETWEEN };
	char end[4], *bytes = malloc(piece);
	size_t most = 0;

	ck_assert_ptr_nonnull(bytes);
	memset(bytes, 'a', piece);
	feed(&r, "$", 1, log);
	for (size_t left = len; left; left -= left < piece ? left : piece) {
		feed(&r, bytes, left < piece ? left : piece, log);
		most = r.pieces.cap > most ? r.pieces.cap : most;
	}
	snprintf(end, sizeof(end), "#%02x", (unsigned)(len * 'a') & 0xff);
	feed(&r, end, 3, log);
	feed(&r, "$g#67", 5, log);
	gc_packet_reader_deinit(&r);
	free(bytes);
	return most;
}

START_TEST(long_packets_cost_nothing)
{
	struct gc_buf log = GC_BUF_INIT;
	size_t most = feed_long((size_t)100 << 20, 65536, &log);

	ck_assert_str_eq(log.data, "too long\npacket 67\n");
	ck_assert_uint_le(most, 4 * GC_PACKET_SIZE);
	gc_buf_deinit(&log);
}
END_TEST

START_TEST(the_limit_is_the_same_for_all_pieces)
{
	static const size_t lens[] = { GC_PACKET_SIZE, GC_PACKET_SIZE + 64, GC_PACKET_SIZE + 65 };
	static const size_t pieces[] = { 1000, 65536, GC_PACKET_SIZE + 64, 1 << 20 };

	for (size_t i = 0; i < GC_COUNT(lens); i++) {
		for (size_t j = 0; j < GC_COUNT(pieces); j++) {
			struct gc_buf log = GC_BUF_INIT;

			feed_long(lens[i], pieces[j], &log);
			if (lens[i] <= GC_PACKET_SIZE + 64)
				ck_assert(strncmp(log.data, "packet 6161", 11) == 0);
			else
				ck_assert_str_eq(log.data, "too long\npacket 67\n");
			gc_buf_deinit(&log);
		}
	}
}
END_TEST

START_TEST(a_long_packet_in_one_piece_is_too_long)
{
	const size_t len = GC_PACKET_SIZE + 65;
	struct gc_buf stream = GC_BUF_INIT, log = GC_BUF_INIT;

	gc_buf_char(&stream, '$');
	for (size_t i = 0; i < len; i++)
		gc_buf_char(&stream, 'a');
	gc_buf_printf(&stream, "#%02x$g#67", (unsigned)(len * 'a') & 0xff);
	feed_pieces(stream.data, stream.len, stream.len, 1, &log);
	ck_assert_str_eq(log.data, "too long\npacket 67\n");
	gc_buf_deinit(&log);
	gc_buf_deinit(&stream);
}
END_TEST

START_TEST(escapes_are_undone)
{
	char data[] = "a}\x03}\x04}]}\x0a}";
	size_t len = gc_packet_unescape(data, sizeof(data) - 1);

	ck_assert_uint_eq(len, 6); /* one escape without its byte stays */
	ck_assert_mem_eq(data, "a#$}*}", 6);
}
END_TEST

/** One byte after the other. */
static size_t escape_simply(const uint8_t *bytes, size_t len, size_t room, struct gc_buf *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		bool special = strchr("#$}*", bytes[i]) && bytes[i];

		if (room < (special ? 2U : 1U))
			break;
		room -= special ? 2 : 1;
		if (special)
			gc_buf_char(out, '}');
		gc_buf_char(out, (char)(special ? bytes[i] ^ 0x20 : bytes[i]));
	}
	return i;
}

/** @percent of the bytes need an escape. */
static void fill(uint8_t *bytes, size_t len, int percent)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(lrand48() % 100 < percent ? "#$}*"[lrand48() % 4] : lrand48() >> 8);
}

static void assert_escaped(const uint8_t *bytes, size_t len, size_t room)
{
	struct gc_buf expected = GC_BUF_INIT, out = GC_BUF_INIT;
	uint8_t *copy = malloc(len ? len : 1);
	size_t wanted = escape_simply(bytes, len, room, &expected);

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, bytes, len);
	gc_buf_str(&out, "before");
	ck_assert_uint_eq(gc_packet_add_binary(&out, copy, len, room), wanted);
	ck_assert_uint_eq(out.len, expected.len + 6);
	ck_assert_mem_eq(out.data + 6, gc_buf_text(&expected), expected.len);
	free(copy);
	gc_buf_deinit(&out);
	gc_buf_deinit(&expected);
}

START_TEST(binary_data_are_escaped)
{
	static const int percents[] = { 0, 2, 10, 50, 100 };
	uint8_t bytes[300];

	srand48(1);
	for (size_t i = 0; i < GC_COUNT(percents); i++) {
		for (size_t len = 0; len <= sizeof(bytes); len++) {
			fill(bytes, len, percents[i]);
			assert_escaped(bytes, len, 2 * sizeof(bytes));
			assert_escaped(bytes, len, (size_t)lrand48() % (2 * len + 1));
		}
	}
}
END_TEST

START_TEST(every_byte_survives)
{
	uint8_t bytes[256];
	struct gc_buf out = GC_BUF_INIT;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	ck_assert_uint_eq(gc_packet_add_binary(&out, bytes, 256, 1000), 256);
	ck_assert_uint_eq(out.len, 260);
	ck_assert_ptr_null(memchr(out.data, '#', out.len));
	ck_assert_ptr_null(memchr(out.data, '$', out.len));
	ck_assert_ptr_null(memchr(out.data, '*', out.len));
	ck_assert_uint_eq(gc_packet_unescape(out.data, out.len), 256);
	ck_assert_mem_eq(out.data, bytes, 256);
	gc_buf_deinit(&out);
}
END_TEST

START_TEST(hex_is_that_of_the_base)
{
	uint8_t bytes[300];

	srand48(2);
	fill(bytes, sizeof(bytes), 0);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct gc_buf out = GC_BUF_INIT, expected = GC_BUF_INIT;
		uint8_t *copy = malloc(len ? len : 1);

		ck_assert_ptr_nonnull(copy);
		memcpy(copy, bytes, len);
		gc_packet_add_hex(&out, copy, len);
		gc_buf_hex(&expected, bytes, len);
		ck_assert_str_eq(gc_buf_text(&out), gc_buf_text(&expected));
		free(copy);
		gc_buf_deinit(&out);
		gc_buf_deinit(&expected);
	}
}
END_TEST

START_TEST(packets_are_closed)
{
	struct gc_buf out = GC_BUF_INIT;
	size_t start;
	char sum[3];

	start = gc_packet_begin(&out);
	gc_packet_end(&out, start);
	start = gc_packet_begin(&out);
	gc_buf_str(&out, "OK");
	gc_packet_end(&out, start);
	ck_assert_str_eq(out.data, "$#00$OK#9a");

	gc_buf_clear(&out);
	start = gc_packet_begin(&out);
	for (unsigned i = 0; i < 1000; i++)
		gc_buf_char(&out, (char)(i | 1));
	gc_packet_end(&out, start);
	/* 1 1 3 3 .. 255 255 is 32768 a round, three rounds, and 1 1 .. 231 231 */
	snprintf(sum, sizeof(sum), "%02x", (3 * 32768 + 2 * 116 * 116) & 0xff);
	ck_assert_str_eq(out.data + out.len - 2, sum);
	gc_buf_deinit(&out);
}
END_TEST

static struct gc_args args_of(const char *text)
{
	return (struct gc_args){ text, text + strlen(text) };
}

START_TEST(numbers_are_hex)
{
	struct gc_args args = args_of("1fG,");
	uint64_t value = 7;

	ck_assert(gc_args_hex(&args, &value));
	ck_assert_uint_eq(value, 0x1f);
	ck_assert(!gc_args_hex(&args, &value));
	ck_assert_uint_eq(value, 0x1f);
	ck_assert(gc_args_char(&args, 'G'));
	ck_assert(!gc_args_char(&args, ';'));
	ck_assert(gc_args_text(&args, ","));
	ck_assert(gc_args_end(&args));
	ck_assert(!gc_args_char(&args, ','));

	args = args_of("ffffffffffffffff");
	ck_assert(gc_args_hex(&args, &value));
	ck_assert_uint_eq(value, UINT64_MAX);
	args = args_of("10000000000000000");
	ck_assert(!gc_args_hex(&args, &value));
	args = args_of("00000000000000000000A");
	ck_assert(gc_args_hex(&args, &value));
	ck_assert_uint_eq(value, 10);
}
END_TEST

START_TEST(ranges_and_parts)
{
	struct gc_args args = args_of("a:b:"), part = gc_args_until(&args, ':');
	uint64_t addr = 0, len = 0;

	ck_assert_uint_eq(gc_args_left(&part), 1);
	part = gc_args_until(&args, ';');
	ck_assert_uint_eq(gc_args_left(&part), 2);
	ck_assert(gc_args_end(&args));
	part = gc_args_until(&args, ':');
	ck_assert(gc_args_end(&part));

	args = args_of("10,20");
	ck_assert(gc_args_range(&args, &addr, &len));
	ck_assert(addr == 16 && len == 32);
	args = args_of("10,20;");
	ck_assert(!gc_args_range(&args, &addr, &len));
	args = args_of("10,");
	ck_assert(!gc_args_range(&args, &addr, &len));
}
END_TEST

START_TEST(text_comes_in_hex)
{
	struct gc_args args = args_of("2F6a");
	char buf[8];

	ck_assert(gc_args_hex_text(&args, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "/j");
	args = args_of("2f6a");
	ck_assert(!gc_args_hex_text(&args, buf, 2)); /* no room for the NUL */
	args = args_of("2f6");
	ck_assert(!gc_args_hex_text(&args, buf, sizeof(buf)));
	args = args_of("2f00");
	ck_assert(!gc_args_hex_text(&args, buf, sizeof(buf)));
	args = args_of("2x");
	ck_assert(!gc_args_hex_text(&args, buf, sizeof(buf)));
	args = args_of("");
	ck_assert(gc_args_hex_text(&args, buf, sizeof(buf)));
	ck_assert_str_eq(buf, "");
}
END_TEST

/* Linux numbers of asm-generic/signal.h; GDB's as `info signals` lists them. */
START_TEST(signals_are_gdbs)
{
	static const struct { int linux_number, gdb; } rows[] = {
		{ 0, 0 }, { 1, 1 }, { 4, 4 }, { 5, 5 }, { 6, 6 }, { 7, 10 }, { 8, 8 }, { 9, 9 }, { 10, 30 },
		{ 11, 11 }, { 12, 31 }, { 15, 15 }, { 16, 143 }, { 17, 20 }, { 18, 19 }, { 19, 17 }, { 20, 18 },
		{ 23, 16 }, { 29, 23 }, { 30, 32 }, { 31, 12 }, { 32, 77 }, { 33, 45 }, { 34, 46 }, { 63, 75 },
		{ 64, 78 }, { 65, 143 }, { -1, 143 }, { 1 << 30, 143 },
	};

	for (size_t i = 0; i < GC_COUNT(rows); i++)
		ck_assert_int_eq(gc_gdb_signal(rows[i].linux_number), rows[i].gdb);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("packet");
	TCase *reading = tcase_create("reading"), *writing = tcase_create("writing"), *parts = tcase_create("parts");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(reading, 120);
	tcase_add_test(reading, frames_are_read);
	tcase_add_test(reading, wrong_frames_are_told);
	tcase_add_test(reading, what_is_no_packet_is_skipped);
	tcase_add_test(reading, every_split_gives_the_same);
	tcase_add_test(reading, rubbish_is_read_as_the_model_reads_it);
	tcase_add_test(reading, long_packets_cost_nothing);
	tcase_add_test(reading, the_limit_is_the_same_for_all_pieces);
	tcase_add_test(reading, a_long_packet_in_one_piece_is_too_long);
	tcase_add_test(reading, escapes_are_undone);
	tcase_add_test(writing, binary_data_are_escaped);
	tcase_add_test(writing, every_byte_survives);
	tcase_add_test(writing, hex_is_that_of_the_base);
	tcase_add_test(writing, packets_are_closed);
	tcase_add_test(parts, numbers_are_hex);
	tcase_add_test(parts, ranges_and_parts);
	tcase_add_test(parts, text_comes_in_hex);
	tcase_add_test(parts, signals_are_gdbs);
	suite_add_tcase(suite, reading);
	suite_add_tcase(suite, writing);
	suite_add_tcase(suite, parts);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
