/* src/base: errors, buffers, cursors, problems, little-endian loads. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"
#include "gocore/cursor.h"
#include "gocore/log.h"

START_TEST(errors_say_code_and_text)
{
	struct gc_error err;

	ck_assert_int_eq(gc_fail(&err, GC_E_FAULT, "at %d", 7), GC_E_FAULT);
	ck_assert_int_eq(err.code, GC_E_FAULT);
	ck_assert_str_eq(err.text, "at 7");
	ck_assert_int_eq(gc_wrap(&err, "note %d", 3), GC_E_FAULT);
	ck_assert_str_eq(err.text, "note 3: at 7");
	ck_assert_int_eq(gc_fail_errno(&err, ENOENT, "x"), GC_E_IO);
	ck_assert_str_eq(err.text, "x: No such file or directory");
	ck_assert_int_eq(gc_fail_memory(&err), GC_E_MEMORY);
	ck_assert_int_eq(gc_fail(NULL, GC_E_LIMIT, "nobody listens"), GC_E_LIMIT);
	ck_assert_int_eq(gc_fail_errno(NULL, ENOENT, "x"), GC_E_IO);
}
END_TEST

START_TEST(long_errors_are_cut)
{
	struct gc_error err;
	char text[1000];

	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	gc_fail(&err, GC_E_IO, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	gc_wrap(&err, "b");
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	ck_assert_int_eq(strncmp(err.text, "b: aaa", 6), 0);
	gc_wrap(&err, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
	gc_fail_errno(&err, ENOENT, "%s", text);
	ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
}
END_TEST

START_TEST(loads_and_stores_at_odd_addresses)
{
	uint8_t b[9] = { 0 };

	gc_store_le64(b + 1, 0x0123456789abcdef);
	ck_assert_uint_eq(b[1], 0xef);
	ck_assert_uint_eq(b[8], 0x01);
	ck_assert_uint_eq(b[0], 0);
	ck_assert_uint_eq(gc_load_le64(b + 1), 0x0123456789abcdef);
	ck_assert_uint_eq(gc_load_le32(b + 3), 0x456789ab);
	ck_assert_uint_eq(gc_load_le16(b + 5), 0x4567);
}
END_TEST

START_TEST(cursor_reads_and_stays_on_failure)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 'a', 0, 'b' };
	struct gc_cursor c;
	struct gc_error err;
	const uint8_t *p = NULL;
	const char *s = NULL;
	uint64_t u64 = 99;
	uint32_t u32 = 99;
	uint16_t u16 = 99;
	uint8_t u8 = 99;

	gc_cursor_init(&c, bytes, sizeof(bytes), 0x100);
	ck_assert_int_eq(gc_cursor_u8(&c, &u8, &err), GC_OK);
	ck_assert_uint_eq(u8, 1);
	ck_assert_int_eq(gc_cursor_u16(&c, &u16, &err), GC_OK);
	ck_assert_uint_eq(u16, 0x0302);
	ck_assert_int_eq(gc_cursor_u32(&c, &u32, &err), GC_OK);
	ck_assert_uint_eq(u32, 0x07060504);
	ck_assert_int_eq(gc_cursor_u64(&c, &u64, &err), GC_OK);
	ck_assert_uint_eq(u64, 0x0f0e0d0c0b0a0908);
	ck_assert_uint_eq(gc_cursor_left(&c), 3);

	ck_assert_int_eq(gc_cursor_u32(&c, &u32, &err), GC_E_TRUNCATED);
	ck_assert_str_eq(err.text, "file offset 0x10f: need 4 bytes, have 3");
	ck_assert_uint_eq(u32, 0x07060504);
	ck_assert_int_eq(gc_cursor_u64(&c, &u64, &err), GC_E_TRUNCATED);
	ck_assert_int_eq(gc_cursor_bytes(&c, UINT64_MAX, &p, &err), GC_E_TRUNCATED);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(gc_cursor_left(&c), 3);

	ck_assert_int_eq(gc_cursor_string(&c, &s, &err), GC_OK);
	ck_assert_str_eq(s, "a");
	ck_assert_int_eq(gc_cursor_string(&c, &s, &err), GC_E_TRUNCATED);
	ck_assert_str_eq(s, "a");
	ck_assert_int_eq(gc_cursor_bytes(&c, 1, &p, &err), GC_OK);
	ck_assert_uint_eq(*p, 'b');
	ck_assert_int_eq(gc_cursor_u8(&c, &u8, &err), GC_E_TRUNCATED);
	ck_assert_int_eq(gc_cursor_u16(&c, &u16, NULL), GC_E_TRUNCATED);
	ck_assert_int_eq(gc_cursor_string(&c, &s, &err), GC_E_TRUNCATED);
	ck_assert_int_eq(gc_cursor_bytes(&c, 0, &p, &err), GC_OK);
}
END_TEST

START_TEST(cursor_aligns_from_its_base)
{
	uint8_t bytes[11] = { 0 };
	struct gc_cursor c;
	uint8_t u8;

	gc_cursor_init(&c, bytes, sizeof(bytes), 1);
	gc_cursor_align(&c, 4);
	ck_assert_uint_eq(gc_cursor_left(&c), 11);
	gc_cursor_u8(&c, &u8, NULL);
	gc_cursor_align(&c, 4);
	ck_assert_uint_eq(gc_cursor_left(&c), 7);
	gc_cursor_u8(&c, &u8, NULL);
	gc_cursor_align(&c, 8);
	ck_assert_uint_eq(gc_cursor_left(&c), 3);
	gc_cursor_u8(&c, &u8, NULL);
	gc_cursor_align(&c, 8);
	ck_assert_uint_eq(gc_cursor_left(&c), 0);
}
END_TEST

/* The examples of DWARF 5, tables 7.7 and 7.8, and numbers that are padded or too long. */
START_TEST(cursor_reads_leb128)
{
	static const uint8_t bytes[] = {
		0x02, 0x7f, 0x80, 0x01, 0xb9, 0x64,
		0x7e, 0xff, 0x00, 0x81, 0x7f, 0x80, 0x7f,
		0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
		0x80, 0x80,
	};
	static const uint64_t numbers[] = { 2, 127, 128, 12857 };
	static const int64_t signed_numbers[] = { -2, 127, -127, -128 };
	int64_t i64 = 5;
	uint64_t u64;
	struct gc_cursor c;
	struct gc_error err;

	gc_cursor_init(&c, bytes, sizeof(bytes), 0x100);
	for (size_t i = 0; i < GC_COUNT(numbers); i++) {
		ck_assert_int_eq(gc_cursor_uleb(&c, &u64, &err), GC_OK);
		ck_assert_uint_eq(u64, numbers[i]);
	}
	for (size_t i = 0; i < GC_COUNT(signed_numbers); i++) {
		ck_assert_int_eq(gc_cursor_sleb(&c, &i64, &err), GC_OK);
		ck_assert_int_eq(i64, signed_numbers[i]);
	}
	ck_assert_int_eq(gc_cursor_uleb(&c, &u64, &err), GC_OK);
	ck_assert_uint_eq(u64, 1);
	ck_assert_int_eq(gc_cursor_sleb(&c, &i64, &err), GC_OK);
	ck_assert_int_eq(i64, -1);
	ck_assert_int_eq(gc_cursor_uleb(&c, &u64, &err), GC_E_TRUNCATED);
	ck_assert_int_eq(gc_cursor_sleb(&c, &i64, NULL), GC_E_TRUNCATED);
	ck_assert_int_eq(i64, -1);
	ck_assert_uint_eq(gc_cursor_left(&c), 2);
}
END_TEST

START_TEST(buffers_grow)
{
	struct gc_buf b = GC_BUF_INIT;

	ck_assert_str_eq(gc_buf_text(&b), "");
	gc_buf_add(&b, NULL, 0);
	for (int i = 0; i < 10000; i++)
		gc_buf_printf(&b, "%04d", i);
	ck_assert_uint_eq(b.len, 40000);
	ck_assert_uint_eq(strlen(b.data), 40000);
	ck_assert_int_eq(strncmp(b.data + 4 * 1234, "12341235", 8), 0);
	gc_buf_clear(&b);
	gc_buf_str(&b, "ab");
	gc_buf_char(&b, 'c');
	gc_buf_hex(&b, "\x00\xfe\x7a", 3);
	ck_assert_str_eq(gc_buf_text(&b), "abc00fe7a");
	memcpy(gc_buf_reserve(&b, 5), "hello", 5);
	b.len += 5;
	gc_buf_str(&b, "!");
	ck_assert_str_eq(gc_buf_text(&b), "abc00fe7ahello!");
	gc_buf_deinit(&b);
}
END_TEST

START_TEST(buffers_fail_once_and_for_all)
{
	struct gc_buf b = GC_BUF_INIT;

	gc_buf_str(&b, "ab");
	ck_assert_ptr_null(gc_buf_reserve(&b, SIZE_MAX - 10));
	ck_assert(b.failed);
	gc_buf_str(&b, "cd");
	ck_assert_str_eq(gc_buf_text(&b), "ab");
	gc_buf_clear(&b);
	ck_assert(!b.failed);
	gc_buf_hex(&b, "x", SIZE_MAX / 2);
	ck_assert_uint_eq(b.len, 0);
	gc_buf_deinit(&b);
}
END_TEST

START_TEST(xml_is_escaped)
{
	static const struct {
		const char *text, *xml;
	} cases[] = {
		{ "a<b> & \"c\" 'd'", "a&lt;b&gt; &amp; &quot;c&quot; &apos;d&apos;" },
		{ "tab\tnew\n", "tab\tnew\n" },
		{ "\x01\x1f", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80" },
		{ "\xc3", "\xef\xbf\xbd" },                 /* ends early */
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" }, /* overlong */
		{ "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xef\xbf\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* U+FFFF */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};

	for (size_t i = 0; i < GC_COUNT(cases); i++) {
		struct gc_buf b = GC_BUF_INIT;

		gc_buf_xml(&b, cases[i].text);
		ck_assert_str_eq(gc_buf_text(&b), cases[i].xml);
		gc_buf_deinit(&b);
	}
}
END_TEST

START_TEST(problems_are_collected_and_capped)
{
	struct gc_problems p = { .list = NULL };

	gc_problem(NULL, "nowhere", "nobody listens");
	for (int i = 0; i < 1005; i++)
		gc_problem(&p, "note", "number %d", i);
	ck_assert_uint_eq(p.count, 1000);
	ck_assert_uint_eq(p.dropped, 5);
	ck_assert_str_eq(p.list[999].where, "note");
	ck_assert_str_eq(p.list[999].what, "number 999");
	gc_problems_deinit(&p);
	ck_assert_ptr_null(p.list);
	ck_assert_uint_eq(p.count, 0);
}
END_TEST

START_TEST(warnings_do_not_drive_the_terminal)
{
	FILE *file = tmpfile();
	int saved = dup(STDERR_FILENO);
	char line[128] = "";

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(saved, 0);
	dup2(fileno(file), STDERR_FILENO);
	gc_warn("%s", "a\033[31m\nb\177\302\233c \303\244");
	dup2(saved, STDERR_FILENO);
	close(saved);
	rewind(file);
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), file));
	fclose(file);
	ck_assert_str_eq(line, "gocore-stub: a?[31m?b???c \303\244\n");
}
END_TEST

START_TEST(verbosity_is_remembered)
{
	ck_assert(!gc_log_is_verbose());
	gc_log_verbose(true);
	ck_assert(gc_log_is_verbose());
	gc_log_verbose(false);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("base");
	TCase *t = tcase_create("base");

	tcase_add_test(t, errors_say_code_and_text);
	tcase_add_test(t, long_errors_are_cut);
	tcase_add_test(t, loads_and_stores_at_odd_addresses);
	tcase_add_test(t, cursor_reads_and_stays_on_failure);
	tcase_add_test(t, cursor_aligns_from_its_base);
	tcase_add_test(t, cursor_reads_leb128);
	tcase_add_test(t, buffers_grow);
	tcase_add_test(t, buffers_fail_once_and_for_all);
	tcase_add_test(t, xml_is_escaped);
	tcase_add_test(t, problems_are_collected_and_capped);
	tcase_add_test(t, warnings_do_not_drive_the_terminal);
	tcase_add_test(t, verbosity_is_remembered);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
