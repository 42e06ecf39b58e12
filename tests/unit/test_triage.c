/* What of triage needs no core: lists of files, identities, lines that are read again, groups. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gocore/triage.h"

/* The list of files. */

START_TEST(test_shards)
{
	size_t total = 0;

	for (unsigned part = 1; part <= 7; part++) {
		struct gc_triage_list one = { .files = NULL };

		for (int i = 0; i < 1000; i++) {
			char path[64];

			snprintf(path, sizeof(path), "/nowhere/core.%d", i);
			ck_assert_int_eq(gc_triage_list_add(&one, path, NULL), GC_OK);
		}
		gc_triage_list_shard(&one, part, 7);
		ck_assert_uint_gt(one.count, 100);
		ck_assert_uint_lt(one.count, 190);
		total += one.count;
		gc_triage_list_deinit(&one);
	}
	ck_assert_uint_eq(total, 1000);
}
END_TEST

START_TEST(test_identity)
{
	const struct gc_core_identity id = { .path = "/x/\xff" "core", .size = 5, .inode = 7, .mtime_s = 1, .mtime_ns = 2 };
	struct gc_buf a = GC_BUF_INIT, b = GC_BUF_INIT;
	json_t *line = gc_triage_failed(&id, GC_TRIAGE_DIED, "no reason");

	ck_assert(gc_triage_identity_of(&id, &a)); /* a path that JSON cannot hold is the same on both ways */
	ck_assert(gc_triage_identity(line, &b));
	ck_assert_str_eq(gc_buf_text(&a), gc_buf_text(&b));
	json_object_set_new(line, "size", json_integer(6));
	gc_buf_clear(&b);
	ck_assert(gc_triage_identity(line, &b));
	ck_assert_str_ne(gc_buf_text(&a), gc_buf_text(&b));
	json_object_del(line, "mtime");
	ck_assert(!gc_triage_identity(line, &b));
	json_decref(line);
	gc_buf_deinit(&a);
	gc_buf_deinit(&b);
}
END_TEST

START_TEST(test_unique)
{
	static const char *const paths[] = { "b", "a", "b", "c", "a", "a" };
	struct gc_triage_list list = { .files = NULL };

	for (size_t i = 0; i < GC_COUNT(paths); i++)
		ck_assert_int_eq(gc_triage_list_add(&list, paths[i], NULL), GC_OK);
	ck_assert_int_eq(gc_triage_list_unique(&list, NULL), GC_OK);
	ck_assert_uint_eq(list.count, 3);
	ck_assert_str_eq(list.files[0].path, "b"); /* the order stays */
	ck_assert_str_eq(list.files[1].path, "a");
	ck_assert_str_eq(list.files[2].path, "c");
	gc_triage_list_deinit(&list);
}
END_TEST

/** Write @text to a file of its own. */
static void write_file(char path[32], const char *text, size_t len)
{
	int fd;

	strcpy(path, "triage-XXXXXX");
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

START_TEST(test_list_of_paths)
{
	static const struct {
		const char *text;
		size_t len;
		const char *paths[3];
	} lists[] = {
		{ "no/a\nno/b\n", 10, { "no/a", "no/b" } },
		{ "no/a\n\nno/b", 10, { "no/a", "no/b" } },
		{ "no/a\n1\0no/b\0", 12, { "no/a\n1", "no/b" } },
		{ "", 0, { NULL } },
	};
	struct gc_triage_list list = { .files = NULL };
	struct gc_error err;
	char path[32];
	size_t n = 0;

	write_file(path, lists[_i].text, lists[_i].len);
	ck_assert_int_eq(gc_triage_list_add_from(&list, path, &err), GC_OK);
	unlink(path);
	while (n < GC_COUNT(lists[_i].paths) && lists[_i].paths[n])
		n++;
	ck_assert_uint_eq(list.count, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_str_eq(list.files[i].path, lists[_i].paths[i]);
	gc_triage_list_deinit(&list);
}
END_TEST

/* Lines that are read again. */

#define LINE(rest) "{\"schema\":\"gocore-stub/triage/1\"," rest "}\n"

static bool count_line(void *data, json_t *line)
{
	(void)line;
	++*(size_t *)data;
	return true;
}

START_TEST(test_read)
{
	static const char whole[] = LINE("\"core\":\"a\"") "rubbish\n" LINE("\"core\":\"b\"");
	static const char half[] = "{\"schema\":\"gocore-stub/tri";
	struct gc_problems problems = { .list = NULL };
	char path[32], text[512];
	struct gc_error err;
	uint64_t good;
	size_t lines = 0;

	snprintf(text, sizeof(text), "%s%s", whole, half);
	write_file(path, text, strlen(text));
	ck_assert_int_eq(gc_triage_read(path, count_line, &lines, &good, &problems, &err), GC_OK);
	ck_assert_uint_eq(lines, 2);
	ck_assert_uint_eq(good, strlen(whole)); /* what a run that goes on keeps */
	ck_assert_uint_eq(problems.count, 2);
	gc_problems_deinit(&problems);
	unlink(path);
}
END_TEST

/* Groups. */

/** @param arch, time may be NULL */
static json_t *line_of(const char *core, const char *program, const char *top, const char *arch, const char *time)
{
	json_t *line = json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:{s:s, s:s}}", "schema", "gocore-stub/triage/1", "core", core,
				 "program", program, "size", 1, "inode", 1, "mtime", "1.000000000", "signature", "top", top,
				 "site", "x");

	if (arch)
		json_object_set_new(line, "arch", json_string(arch));
	if (time)
		json_object_set_new(line, "time", json_string(time));
	return line;
}

static void add(struct gc_triage_groups *groups, json_t *line)
{
	ck_assert_int_eq(gc_triage_groups_add(groups, line, NULL), GC_OK);
	json_decref(line);
}

static const char *text_at(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

START_TEST(test_groups)
{
	struct gc_triage_groups *groups = gc_triage_groups_new(GC_TRIAGE_BY_TOP);
	const json_t *list, *first;
	json_t *document;

	add(groups, line_of("1", "/t/other", "main.main", "x86_64", NULL));
	add(groups, line_of("2", "/a/server", "main.main", "x86_64", "2026-01-02T00:00:00Z"));
	add(groups, line_of("3", "/b/server", "main.main", "aarch64", "2026-01-01T00:00:00Z"));
	add(groups, line_of("3", "/b/server", "main.main", "aarch64", "2026-01-01T00:00:00Z")); /* another part has it, too */
	document = gc_triage_groups_document(groups);
	list = json_object_get(document, "groups");
	ck_assert_int_eq(json_integer_value(json_object_get(document, "cores")), 3);
	ck_assert_int_eq(json_integer_value(json_object_get(document, "duplicates")), 1);
	ck_assert_uint_eq(json_array_size(list), 2); /* equal names of another program are another fault */
	first = json_array_get(list, 0);
	ck_assert_int_eq(json_integer_value(json_object_get(first, "count")), 2);
	ck_assert_str_eq(text_at(first, "example"), "2");
	ck_assert_str_eq(text_at(first, "first"), "2026-01-01T00:00:00Z");
	ck_assert_str_eq(text_at(first, "last"), "2026-01-02T00:00:00Z");
	ck_assert_uint_eq(json_object_size(json_object_get(first, "architectures")), 2);
	json_decref(document);
	gc_triage_groups_free(groups);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("triage");
	TCase *t = tcase_create("triage");
	SRunner *runner;
	int failed;

	tcase_add_test(t, test_shards);
	tcase_add_test(t, test_identity);
	tcase_add_test(t, test_unique);
	tcase_add_loop_test(t, test_list_of_paths, 0, 4);
	tcase_add_test(t, test_read);
	tcase_add_test(t, test_groups);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
