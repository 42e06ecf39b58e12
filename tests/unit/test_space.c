/* The address space: what each byte is, and reading over joins, holes and the ends of things. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gocore/process.h"

#include "core/image_work.h"
#include "core_builder.h"

#define PAGE 0x1000ULL

static struct core_builder b;
static struct gc_core core;
static struct gc_space space;
static struct gc_error err;
static uint8_t content[8 * PAGE]; /* byte i of page p is a function of both */

static void setup(void)
{
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 7 + i / PAGE * 31 + 1);
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
}

static void teardown(void)
{
	gc_space_deinit(&space);
	gc_core_close(&core);
	builder_deinit(&b);
}

static void open_space(void)
{
	ck_assert_int_eq(builder_open_core(&b, &core, &err), GC_OK);
	ck_assert_int_eq(gc_space_init(&space, &core, &err), GC_OK);
}

static void ck_range(size_t i, uint64_t start, uint64_t end, enum gc_range_class what)
{
	ck_assert_uint_lt(i, space.count);
	ck_assert_uint_eq(space.ranges[i].start, start);
	ck_assert_uint_eq(space.ranges[i].end, end);
	ck_assert_int_eq(space.ranges[i].what, what);
}

START_TEST(classes)
{
	uint64_t totals[4];

	builder_load(&b, 0x10000, 2 * PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, 0x20000, PAGE, NULL, 0, PF_R);
	open_space();
	ck_assert_uint_eq(space.count, 3);
	ck_range(0, 0x10000, 0x11000, GC_RANGE_DUMPED);
	ck_range(1, 0x11000, 0x12000, GC_RANGE_ABSENT);
	ck_range(2, 0x20000, 0x21000, GC_RANGE_ABSENT);
	ck_assert_uint_eq(space.ranges[0].flags, PF_R | PF_W);
	ck_assert(space.ranges[0].starts_mapping);
	ck_assert(!space.ranges[1].starts_mapping);
	ck_assert(space.ranges[2].starts_mapping);
	ck_assert_uint_eq(gc_space_mapping_end(&space, 0), 2);
	gc_space_totals(&space, totals);
	ck_assert_uint_eq(totals[GC_RANGE_DUMPED], PAGE);
	ck_assert_uint_eq(totals[GC_RANGE_ABSENT], 2 * PAGE);
	ck_assert_uint_eq(totals[GC_RANGE_CUT] + totals[GC_RANGE_RECOVERED], 0);
}
END_TEST

START_TEST(cut_file)
{
	size_t got = 99;
	uint8_t buf[16];

	builder_load(&b, 0x10000, 2 * PAGE, content, 2 * PAGE, PF_R);
	builder_finish(&b);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, b.out.len - PAGE - 100, &err), GC_OK);
	ck_assert_int_eq(gc_space_init(&space, &core, &err), GC_OK);
	ck_range(0, 0x10000, 0x11000 - 100, GC_RANGE_DUMPED);
	ck_range(1, 0x11000 - 100, 0x12000, GC_RANGE_CUT);
	ck_assert_int_eq(gc_space_read(&space, 0x11000, buf, 16, &got, &err), GC_E_FAULT);
	ck_assert_uint_eq(got, 99);
	ck_assert_ptr_nonnull(strstr(err.text, "0x11000"));
	ck_assert_ptr_nonnull(strstr(err.text, "cut off"));
	ck_assert_int_eq(gc_space_read(&space, 0x11000 - 104, buf, 16, &got, &err), GC_OK);
	ck_assert_uint_eq(got, 4);
	ck_assert_mem_eq(buf, content + PAGE - 104, 4);
}
END_TEST

START_TEST(rows_split)
{
	static const struct builder_file files[] = {
		{ 0x10000, 0x11000, 0, "/a" },
		{ 0x12000, 0x14000, 3, "/b" },
		{ 0x18000, 0x19000, 1, "/gone" },
	};

	builder_load(&b, 0x10000, 3 * PAGE, content, 3 * PAGE, PF_R);
	builder_load(&b, 0x13000, 2 * PAGE, NULL, 0, PF_R | PF_X);
	builder_files(&b, PAGE, files, GC_COUNT(files));
	open_space();
	ck_assert_uint_eq(space.count, 6);
	ck_range(0, 0x10000, 0x11000, GC_RANGE_DUMPED);
	ck_assert_str_eq(space.ranges[0].file->path, "/a");
	ck_range(1, 0x11000, 0x12000, GC_RANGE_DUMPED);
	ck_assert_ptr_null(space.ranges[1].file);
	ck_assert(space.ranges[1].starts_mapping);
	ck_range(2, 0x12000, 0x13000, GC_RANGE_DUMPED);
	ck_assert_str_eq(space.ranges[2].file->path, "/b");
	ck_assert_uint_eq(space.ranges[2].file->offset, 3 * PAGE);
	ck_range(3, 0x13000, 0x14000, GC_RANGE_ABSENT);
	ck_assert_str_eq(space.ranges[3].file->path, "/b");
	ck_range(4, 0x14000, 0x15000, GC_RANGE_ABSENT);
	ck_assert_ptr_null(space.ranges[4].file);
	ck_range(5, 0x18000, 0x19000, GC_RANGE_ABSENT);
	ck_assert(space.ranges[5].unlisted);
	ck_assert_str_eq(space.ranges[5].file->path, "/gone");
}
END_TEST

START_TEST(rows_overlap)
{
	static const struct gc_file_map rows[] = {
		{ 0x8000, 0x10800, 0, "/before" },
		{ 0x10000, 0x10400, 0, "/inside" },
		{ 0x10600, 0x30000, 0, "/over" },
		{ 0x10600, 0x10600, 0, "/empty" },
	};
	uint64_t at = 0;

	builder_load(&b, 0x10000, PAGE, content, PAGE, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_add_rows(&space, rows, GC_COUNT(rows), &err), GC_OK);
	ck_range(0, 0x8000, 0x10000, GC_RANGE_ABSENT);
	ck_range(1, 0x10000, 0x10800, GC_RANGE_DUMPED);
	ck_range(2, 0x10800, 0x11000, GC_RANGE_DUMPED);
	ck_range(3, 0x11000, 0x30000, GC_RANGE_ABSENT);
	ck_assert_uint_eq(space.count, 4);
	ck_assert_ptr_eq(space.ranges[2].bytes, space.ranges[1].bytes + 0x800);
	for (size_t i = 0; i < space.count; i++) {
		ck_assert_uint_le(at, space.ranges[i].start);
		at = space.ranges[i].end;
	}
}
END_TEST

START_TEST(read_joins_and_holes)
{
	uint8_t buf[5 * PAGE];
	const uint8_t *run;
	size_t got;

	builder_load(&b, 0x10000, PAGE, content, PAGE, PF_R);
	builder_load(&b, 0x12000, PAGE, content + 3 * PAGE, PAGE, PF_R);
	builder_load(&b, 0x11000, PAGE, content + PAGE, PAGE, PF_R | PF_X);
	open_space();
	ck_assert_int_eq(gc_space_read(&space, 0x10ffe, buf, 6, &got, &err), GC_OK);
	ck_assert_uint_eq(got, 6);
	ck_assert_mem_eq(buf, content + PAGE - 2, 6);
	ck_assert_int_eq(gc_space_read(&space, 0x10001, buf, sizeof(buf), &got, &err), GC_OK);
	ck_assert_uint_eq(got, 3 * PAGE - 1);
	ck_assert_mem_eq(buf, content + 1, 2 * PAGE - 1);
	ck_assert_mem_eq(buf + 2 * PAGE - 1, content + 3 * PAGE, PAGE);
	ck_assert_uint_eq(gc_space_peek(&space, 0x12ff0, &run), 16);
	ck_assert_mem_eq(run, content + 4 * PAGE - 16, 16);
	ck_assert_uint_eq(gc_space_peek(&space, 0x13000, &run), 0);
	ck_assert_uint_eq(gc_space_peek(&space, 0xffff, &run), 0);
	ck_assert_int_eq(gc_space_read(&space, 0xffff, buf, 2, &got, &err), GC_E_FAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "not mapped"));
	ck_assert_int_eq(gc_space_read_all(&space, 0x12fff, buf, 2, &err), GC_E_FAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "0x13000"));
	got = 7;
	ck_assert_int_eq(gc_space_read(&space, 0x5000, buf, 0, &got, &err), GC_OK);
	ck_assert_uint_eq(got, 0);
}
END_TEST

START_TEST(peek_joins_what_lies_together)
{
	const uint8_t *run;

	/* one segment that rows split is one run */
	static const struct builder_file files[] = { { 0x11000, 0x12000, 0, "/a" } };

	builder_load(&b, 0x10000, 3 * PAGE, content, 3 * PAGE, PF_R);
	builder_files(&b, PAGE, files, 1);
	open_space();
	ck_assert_uint_eq(space.count, 3);
	ck_assert_uint_eq(gc_space_peek(&space, 0x10010, &run), 3 * PAGE - 16);
	ck_assert_mem_eq(run, content + 16, 3 * PAGE - 16);
}
END_TEST

START_TEST(top_of_memory)
{
	uint8_t buf[16];
	size_t got;

	builder_load(&b, 0xffffffffff600000, PAGE, content, PAGE, PF_X);
	builder_load(&b, 0xffffffffffffe000, PAGE, content + PAGE, PAGE, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_read(&space, 0xffffffffff600ff8, buf, 16, &got, &err), GC_OK);
	ck_assert_uint_eq(got, 8);
	ck_assert_int_eq(gc_space_read(&space, 0xffffffffffffeff8, buf, 16, &got, &err), GC_OK);
	ck_assert_uint_eq(got, 8);
	ck_assert_int_eq(gc_space_read(&space, 0xfffffffffffffff8, buf, 16, &got, &err), GC_E_FAULT);
	ck_assert_int_eq(gc_space_read(&space, UINT64_MAX, buf, 16, &got, &err), GC_E_FAULT);
}
END_TEST

START_TEST(tags_are_ignored_on_aarch64)
{
	uint64_t value;

	builder_deinit(&b);
	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0xffff00010000, PAGE, content, PAGE, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_u64(&space, 0x5a00ffff00010010, &value, &err), GC_OK);
	ck_assert_mem_eq(&value, content + 16, 8);
	ck_assert_ptr_eq(gc_space_find(&space, 0xff00ffff00010000), &space.ranges[0]);
	ck_assert_int_eq(gc_space_u64(&space, 0x5a01ffff00010010, &value, &err), GC_E_FAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "0x5a01ffff00010010"));
	ck_assert(gc_image_read_dumped(&space, 0xffff00010010, &value, sizeof(value)));
	ck_assert(!gc_image_read_dumped(&space, 0x5a00ffff00010010, &value, sizeof(value)));
}
END_TEST

START_TEST(tags_are_not_on_x86_64)
{
	uint64_t value;

	builder_load(&b, 0x7fff00010000, PAGE, content, PAGE, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_u64(&space, 0x5a007fff00010010, &value, &err), GC_E_FAULT);
	ck_assert_int_eq(gc_space_u64(&space, 0x7fff00010010, &value, &err), GC_OK);
}
END_TEST

START_TEST(recover_fills_holes_only)
{
	static const struct builder_file files[] = { { 0x10000, 0x14000, 0, "/lib" } };
	static uint8_t file[3 * PAGE];
	uint8_t buf[4 * PAGE];
	uint64_t totals[4];
	size_t got;

	for (size_t i = 0; i < sizeof(file); i++)
		file[i] = 0xee;
	builder_load(&b, 0x10000, 4 * PAGE, content, PAGE, PF_R); /* page 0 dumped, 1..3 not */
	builder_files(&b, PAGE, files, 1);
	open_space();
	/* the file ends 100 bytes into page 2 */
	ck_assert_int_eq(gc_space_recover(&space, 0x10000, 0x14000, file, 2 * PAGE + 100, 0x13000, NULL, &err),
			 GC_OK);
	ck_assert_int_eq(gc_space_seal(&space, &err), GC_OK);
	ck_assert_int_eq(gc_space_read(&space, 0x10000, buf, sizeof(buf), &got, &err), GC_OK);
	ck_assert_uint_eq(got, 3 * PAGE);
	ck_assert_mem_eq(buf, content, PAGE);
	for (size_t i = PAGE; i < 3 * PAGE; i++)
		ck_assert_uint_eq(buf[i], i < 2 * PAGE + 100 ? 0xee : 0);
	ck_assert_int_eq(gc_space_read(&space, 0x13000, buf, 1, &got, &err), GC_E_FAULT);
	ck_assert_ptr_nonnull(strstr(err.text, "/lib"));
	gc_space_totals(&space, totals);
	ck_assert_uint_eq(totals[GC_RANGE_RECOVERED], 2 * PAGE);
	ck_assert_uint_eq(totals[GC_RANGE_ABSENT], PAGE);
	ck_assert_uint_eq(gc_space_mapping_end(&space, 0), space.count);
}
END_TEST

START_TEST(recover_pieces_overlap)
{
	static uint8_t first[PAGE], second[PAGE];
	uint8_t buf[2 * PAGE];

	memset(first, 1, sizeof(first));
	memset(second, 2, sizeof(second));
	builder_load(&b, 0x10000, 3 * PAGE, NULL, 0, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_recover(&space, 0x10000, 0x11000, first, PAGE, 0, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_space_recover(&space, 0x10800, 0x11800, second, PAGE, 0, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_space_recover(&space, 0x1000, UINT64_MAX, second, 1, 0, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_space_recover(&space, 0x11000, 0x10000, second, PAGE, 0, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_space_seal(&space, &err), GC_OK);
	ck_assert_int_eq(gc_space_read_all(&space, 0x10000, buf, PAGE + 0x800, &err), GC_OK);
	for (size_t i = 0; i < PAGE + 0x800; i++)
		ck_assert_uint_eq(buf[i], i < PAGE ? 1 : 2);
	ck_assert_int_eq(gc_space_read_all(&space, 0x11800, buf, 1, &err), GC_E_FAULT);
}
END_TEST

START_TEST(strings)
{
	uint8_t page[PAGE];
	char buf[8];

	memset(page, 'x', sizeof(page));
	memcpy(page + PAGE - 3, "abc", 3);
	builder_load(&b, 0x10000, PAGE, page, PAGE, PF_R);
	builder_load(&b, 0x11000, PAGE, "de\0", 3, PF_R);
	open_space();
	ck_assert_int_eq(gc_space_string(&space, 0x10ffd, buf, sizeof(buf), &err), GC_OK);
	ck_assert_str_eq(buf, "abcde");
	ck_assert_int_eq(gc_space_string(&space, 0x10ffd, buf, 6, &err), GC_OK);
	ck_assert_int_eq(gc_space_string(&space, 0x10ffd, buf, 5, &err), GC_E_LIMIT);
	ck_assert_int_eq(gc_space_string(&space, 0x10000, buf, 8, &err), GC_E_LIMIT);
	ck_assert_int_eq(gc_space_string(&space, 0x11003, buf, 8, &err), GC_E_FAULT);
}
END_TEST

/** Look for @len bytes of content + @at in [start, start + range). */
static enum gc_code look(uint64_t start, uint64_t range, const void *pattern, size_t len, uint64_t *found)
{
	const struct gc_process p = { .space = space };

	return gc_process_search(&p, start, range, pattern, len, found, &err);
}

START_TEST(search)
{
	static uint8_t pages[64][PAGE];
	uint8_t needle[2 * PAGE + 9];
	uint64_t found;

	/* 64 pages that do not lie together in the file; the needle spans four of them */
	memset(pages, 'x', sizeof(pages));
	for (size_t i = 0; i < sizeof(needle); i++)
		needle[i] = (uint8_t)(i * 13);
	memcpy(&pages[40][PAGE - 5], needle, sizeof(needle));
	memcpy(&pages[30][PAGE - 3], "joined", 6); /* the rest in page 31 */
	memcpy(&pages[50][100], "needle", 6);
	memcpy(&pages[63][PAGE - 6], "at end", 6);
	for (size_t i = 0; i < 64; i++)
		builder_load(&b, 0x10000 + (i ^ 1) * PAGE, PAGE, pages[i ^ 1], PAGE, PF_R);
	open_space();
	ck_assert_int_eq(look(0x10000, 64 * PAGE, needle, sizeof(needle), &found), GC_OK);
	ck_assert_uint_eq(found, 0x10000 + 41 * PAGE - 5);
	ck_assert_int_eq(look(0x10000, 41 * PAGE - 5 + sizeof(needle) - 1, needle, sizeof(needle), &found),
			 GC_E_NOT_FOUND);
	ck_assert_int_eq(look(found, sizeof(needle), needle, sizeof(needle), &found), GC_OK);
	ck_assert_int_eq(look(found + 1, 10 * PAGE, needle, sizeof(needle), &found), GC_E_NOT_FOUND);
	ck_assert_int_eq(look(0x10000, 64 * PAGE, "needle", 6, &found), GC_OK);
	ck_assert_uint_eq(found, 0x10000 + 50 * PAGE + 100);
	ck_assert_int_eq(look(0x10000, 64 * PAGE, "joined", 6, &found), GC_OK);
	ck_assert_uint_eq(found, 0x10000 + 31 * PAGE - 3);
	ck_assert_int_eq(look(0x10000, 64 * PAGE, "at end", 6, &found), GC_OK);
	ck_assert_uint_eq(found, 0x10000 + 64 * PAGE - 6);
	ck_assert_int_eq(look(0x10000, 64 * PAGE, "x", 1, &found), GC_OK);
	ck_assert_uint_eq(found, 0x10000);
	/* a match before the hole is found, the hole itself ends the search */
	ck_assert_int_eq(look(0x10000, 65 * PAGE, "at end", 6, &found), GC_OK);
	ck_assert_int_eq(look(0x10000, 65 * PAGE, "absent", 6, &found), GC_E_FAULT);
	ck_assert_int_eq(look(0x10000, 64 * PAGE + 1, "absent", 6, &found), GC_E_FAULT);
	ck_assert_int_eq(look(0x10000, 64 * PAGE, "absent", 6, &found), GC_E_NOT_FOUND);
	ck_assert_int_eq(look(0x8000, PAGE, "absent", 6, &found), GC_E_FAULT);
	ck_assert_int_eq(look(0x10000, 3, "absent", 6, &found), GC_E_NOT_FOUND);
	ck_assert_int_eq(look(0x10000, UINT64_MAX, "absent", 6, &found), GC_E_FAULT);
	ck_assert_int_eq(look(0x10000, 10, "", 0, &found), GC_E_USAGE);
}
END_TEST

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A quadratic way takes minutes here, so that the limit may be wide. */
START_TEST(many_ranges)
{
	enum { N = 70000 };
	struct gc_segment *segments = calloc(N, sizeof(*segments));
	struct gc_file_map *files = calloc(N, sizeof(*files));
	struct gc_core many = { .segments = segments, .nsegments = N, .files = files, .nfiles = N };
	static uint8_t file[2 * PAGE];
	double start = now();
	uint64_t value;

	ck_assert(segments && files);
	memset(file, 0x44, sizeof(file));
	for (size_t i = 0; i < N; i++) {
		segments[i] = (struct gc_segment){ .addr = (1 + i * 3) * PAGE, .memsz = 2 * PAGE, .flags = PF_R };
		files[i] = (struct gc_file_map){ (1 + i * 3) * PAGE, (3 + i * 3) * PAGE, 0, "/many" };
	}
	ck_assert_int_eq(gc_space_init(&space, &many, &err), GC_OK);
	ck_assert_uint_eq(space.count, N);
	for (size_t i = N; i-- > 0; )
		ck_assert_int_eq(gc_space_recover(&space, files[i].start, files[i].end, file, PAGE + 64,
						  files[i].end, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_space_seal(&space, &err), GC_OK);
	ck_assert_uint_eq(space.count, 2 * N);
	for (size_t i = 0; i < N; i++) {
		ck_assert_int_eq(gc_space_u64(&space, files[i].start + PAGE + 60, &value, &err), GC_OK);
		ck_assert_uint_eq(value, 0x44444444);
	}
	ck_assert(now() - start < 5);
	free(segments);
	free(files);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("space");
	TCase *tc = tcase_create("space");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, classes);
	tcase_add_test(tc, cut_file);
	tcase_add_test(tc, rows_split);
	tcase_add_test(tc, rows_overlap);
	tcase_add_test(tc, read_joins_and_holes);
	tcase_add_test(tc, peek_joins_what_lies_together);
	tcase_add_test(tc, top_of_memory);
	tcase_add_test(tc, tags_are_ignored_on_aarch64);
	tcase_add_test(tc, tags_are_not_on_x86_64);
	tcase_add_test(tc, recover_fills_holes_only);
	tcase_add_test(tc, recover_pieces_overlap);
	tcase_add_test(tc, strings);
	tcase_add_test(tc, search);
	tcase_add_test(tc, many_ranges);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
