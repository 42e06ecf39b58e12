/* The formats of the goroutines command, on stacks made up here. */
#include <check.h>
#include <string.h>

#include "snapshot/goroutines_private.h"

static struct gc_error err;

#define ok(call) ck_assert_msg((call) == GC_OK, "%s", err.text)

/* main.work called by main.main; in the first the call of a lock was inlined. */
static const struct gc_frame busy[] = {
	{ .pc = 0x1010, .sp = 0x7000, .function = "sync.Lock", .file = "/go/mutex.go", .line = 7, .entry = 0x1000,
	  .inlined = true, .how = GC_HOW_REGISTERS },
	{ .pc = 0x1010, .sp = 0x7000, .function = "main.work", .file = "/src/main.go", .line = 20, .entry = 0x1000,
	  .how = GC_HOW_REGISTERS },
	{ .pc = 0x2020, .sp = 0x7100, .function = "main.main", .file = "/src/main.go", .line = 9, .entry = 0x2000,
	  .how = GC_HOW_PCLNTAB },
};
static const struct gc_frame idle[] = {
	{ .pc = 0x3030, .sp = 0x8000, .function = "main.f[struct { a int; b int }]", .file = "/src/f.go", .line = 300,
	  .entry = 0x3000, .exact = true, .how = GC_HOW_REGISTERS },
};

/* intern */

START_TEST(test_intern)
{
	struct gc_intern set = { .keys = NULL };
	size_t index, len;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 5000; i++) {
			ok(gc_intern(&set, &i, sizeof(i), &index, &err));
			ck_assert_uint_eq(index, i);
		}
	}
	ck_assert_uint_eq(set.count, 5000);
	ok(gc_intern(&set, "", 0, &index, &err));
	ck_assert_uint_eq(index, 5000);
	ok(gc_intern(&set, "ab\0c", 4, &index, &err));
	ok(gc_intern(&set, "ab\0d", 4, &index, &err));
	ck_assert_uint_eq(index, 5002);
	ck_assert_mem_eq(gc_intern_bytes(&set, 5001, &len), "ab\0c", 4);
	ck_assert_uint_eq(len, 4);
	gc_intern_clear(&set);
	ok(gc_intern(&set, "x", 1, &index, &err));
	ck_assert_uint_eq(index, 0);
	gc_intern_deinit(&set);
}
END_TEST

START_TEST(test_numbers)
{
	struct gc_buf b = GC_BUF_INIT;

	put_hex(&b, 0);
	put_hex(&b, 0x123456789abcdef0);
	put_hex(&b, UINT64_MAX);
	put_uint(&b, 0);
	gc_buf_char(&b, ' ');
	put_uint(&b, UINT64_MAX);
	ck_assert_str_eq(gc_buf_text(&b), "0x00x123456789abcdef00xffffffffffffffff0 18446744073709551615");
	gc_buf_deinit(&b);
}
END_TEST

/* groups */

static void add(struct goroutine_groups *groups, struct gc_goroutine *g, const struct gc_frame *frames, size_t n)
{
	const struct goroutine_view view = { g, frames, n };

	ok(goroutine_groups_add(groups, &view, true, &err));
}

static uint64_t goid_of(const struct goroutine_group *group, size_t i)
{
	uint64_t goid;

	ck_assert_uint_ge(group->goids.len, (i + 1) * sizeof(goid));
	memcpy(&goid, group->goids.data + i * sizeof(goid), sizeof(goid));
	return goid;
}

START_TEST(test_groups)
{
	struct goroutine_groups groups = { .list = NULL };
	struct gc_goroutine g[6];

	for (unsigned i = 0; i < 6; i++)
		g[i] = (struct gc_goroutine){
			.goid = 10 + i, .status = GC_GO_WAITING, .wait_reason = "select", .wait_minutes = 9 - i,
		};
	g[4].wait_reason = "chan receive";
	g[5].locked_m = 1;
	add(&groups, &g[0], busy, 3);
	add(&groups, &g[1], idle, 1);
	add(&groups, &g[2], idle, 1);
	add(&groups, &g[3], idle, 1);
	add(&groups, &g[4], idle, 1);
	add(&groups, &g[5], idle, 1);
	goroutine_groups_sort(&groups);
	ck_assert_uint_eq(groups.count, 4);
	ck_assert_uint_eq(groups.list[0].count, 3);
	ck_assert_uint_eq(goid_of(&groups.list[0], 0), 11);
	ck_assert_uint_eq(goid_of(&groups.list[0], 2), 13);
	ck_assert_uint_eq(groups.list[0].min_minutes, 6);
	ck_assert_uint_eq(groups.list[0].max_minutes, 8);
	ck_assert_uint_eq(goid_of(&groups.list[1], 0), 10);
	ck_assert_uint_eq(groups.list[1].first.nframes, 3);
	ck_assert_uint_eq(goid_of(&groups.list[2], 0), 14);
	ck_assert_uint_eq(goid_of(&groups.list[3], 0), 15);
	goroutine_groups_deinit(&groups);
}
END_TEST

/* An interrupted pc and a return address of the same value are not the same place. */
START_TEST(test_groups_of_places)
{
	struct goroutine_groups groups = { .list = NULL };
	struct gc_goroutine g = { .status = GC_GO_RUNNABLE };
	struct gc_frame called = idle[0];

	called.exact = false;
	add(&groups, &g, idle, 1);
	add(&groups, &g, &called, 1);
	add(&groups, &g, NULL, 0);
	ck_assert_uint_eq(groups.count, 3);
	goroutine_groups_deinit(&groups);
}
END_TEST

/* folded */

START_TEST(test_folded)
{
	struct folded folded = { .counts = NULL };
	struct gc_frame unnamed = { .pc = 0xabc }, control = { .function = "a\nb", .pc = 1 };
	struct gc_buf out = GC_BUF_INIT;

	ok(folded_add(&folded, NULL, busy, 3, 2, &err));
	ok(folded_add(&folded, NULL, idle, 1, 10, &err));
	ok(folded_add(&folded, "chan receive", &unnamed, 1, 1, &err));
	ok(folded_add(&folded, NULL, NULL, 0, 4, &err));
	ok(folded_add(&folded, NULL, busy, 3, 5, &err));
	ok(folded_add(&folded, NULL, &control, 1, 1, &err));
	ok(folded_write(&folded, false, &out, &err));
	ck_assert_str_eq(gc_buf_text(&out),
			 "[chan receive];0xabc 1\n"
			 "[no stack] 4\n"
			 "a\\nb 1\n"
			 "main.f[struct { a int\\x3b b int }] 10\n"
			 "main.main;main.work;sync.Lock 7\n");
	gc_buf_clear(&out);
	ok(folded_write(&folded, true, &out, &err));
	ck_assert_str_eq(gc_buf_text(&out),
			 "main.f[struct { a int\\x3b b int }] 10\n"
			 "main.main;main.work;sync.Lock 7\n"
			 "[no stack] 4\n"
			 "[chan receive];0xabc 1\n"
			 "a\\nb 1\n");
	gc_buf_deinit(&out);
	folded_deinit(&folded);
}
END_TEST

/* pprof */

/** idle once, with labels, and busy twice; what each part means was worked out by hand from profile.proto. */
START_TEST(test_pprof)
{
	static const struct profile_label sleeping[] = {
		{ .key = "state", .text = "sleep" },
		{ .key = "wait", .number = 300, .unit = "minutes" },
	};
	static const uint8_t want[] = {
		/* sample_type and period_type { type: 12 unit: 13 }, period: 1 */
		0x0a, 4, 0x08, 12, 0x10, 13,
		0x5a, 4, 0x08, 12, 0x10, 13,
		0x60, 1,
		/* sample { location_id: 1 label { key: 3 str: 4 } label { key: 5 num: 300 num_unit: 6 } value: 1 } */
		0x12, 21, 0x0a, 1, 1, 0x1a, 4, 0x08, 3, 0x10, 4, 0x1a, 7, 0x08, 5, 0x18, 0xac, 0x02, 0x20, 6, 0x12, 1, 1,
		/* sample { location_id: 2 location_id: 3 value: 2 } */
		0x12, 7, 0x0a, 2, 2, 3, 0x12, 1, 2,
		/* location { id: 1 address: 0x3030 line { function_id: 1 line: 300 } }: it was interrupted there */
		0x22, 12, 0x08, 1, 0x18, 0xb0, 0x60, 0x22, 5, 0x08, 1, 0x10, 0xac, 0x02,
		/* location { id: 2 address: 0x100f line { function_id: 2 line: 7 } line { function_id: 3 line: 20 } } */
		0x22, 17, 0x08, 2, 0x18, 0x8f, 0x20, 0x22, 4, 0x08, 2, 0x10, 7, 0x22, 4, 0x08, 3, 0x10, 20,
		/* location { id: 3 address: 0x201f line { function_id: 4 line: 9 } } */
		0x22, 11, 0x08, 3, 0x18, 0x9f, 0x40, 0x22, 4, 0x08, 4, 0x10, 9,
		/* function { id name system_name filename } */
		0x2a, 8, 0x08, 1, 0x10, 1, 0x18, 1, 0x20, 2,
		0x2a, 8, 0x08, 2, 0x10, 7, 0x18, 7, 0x20, 8,
		0x2a, 8, 0x08, 3, 0x10, 9, 0x18, 9, 0x20, 10,
		0x2a, 8, 0x08, 4, 0x10, 11, 0x18, 11, 0x20, 10,
	};
	static const char *const strings[] = {
		"", "main.f[struct { a int; b int }]", "/src/f.go", "state", "sleep", "wait", "minutes", "sync.Lock",
		"/go/mutex.go", "main.work", "/src/main.go", "main.main", "goroutine", "count",
	};
	struct gc_buf out = GC_BUF_INIT, table = GC_BUF_INIT;
	struct profile profile;

	ok(profile_init(&profile, &err));
	ok(profile_add(&profile, idle, 1, sleeping, 2, &err));
	ok(profile_add(&profile, busy, 3, NULL, 0, &err));
	ok(profile_add(&profile, busy, 3, NULL, 0, &err));
	ok(profile_encode(&profile, &out, &err));
	ck_assert_uint_gt(out.len, sizeof(want));
	ck_assert_mem_eq(out.data, want, sizeof(want));
	for (size_t i = 0; i < GC_COUNT(strings); i++) {
		gc_buf_char(&table, 0x32);
		gc_buf_char(&table, (char)strlen(strings[i]));
		gc_buf_str(&table, strings[i]);
	}
	ck_assert_uint_eq(out.len - sizeof(want), table.len);
	ck_assert_mem_eq(out.data + sizeof(want), table.data, table.len);
	gc_buf_deinit(&table);
	gc_buf_deinit(&out);
	profile_deinit(&profile);
}
END_TEST

/** One frame without a name in an image: pprof may look for it by the build ID. */
START_TEST(test_pprof_mapping)
{
	static const uint8_t want[] = {
		0x0a, 4, 0x08, 3, 0x10, 4,
		0x5a, 4, 0x08, 3, 0x10, 4,
		0x60, 1,
		0x12, 6, 0x0a, 1, 1, 0x12, 1, 1,
		/* mapping { id: 1 memory_start: 0x40 memory_limit: 0x7f filename: 1 build_id: 2 } */
		0x1a, 10, 0x08, 1, 0x10, 0x40, 0x18, 0x7f, 0x28, 1, 0x30, 2,
		/* location { id: 1 mapping_id: 1 address: 0x4f } */
		0x22, 6, 0x08, 1, 0x10, 1, 0x18, 0x4f,
		0x32, 0, 0x32, 4, '/', 'l', 'i', 'b', 0x32, 4, 'c', 'a', 'f', 'e',
		0x32, 9, 'g', 'o', 'r', 'o', 'u', 't', 'i', 'n', 'e', 0x32, 5, 'c', 'o', 'u', 'n', 't',
	};
	const struct gc_image image = {
		.path = "/lib", .base = 0x40, .end = 0x7f, .build_id = { .len = 2, .bytes = { 0xca, 0xfe } },
	};
	const struct gc_frame frame = { .pc = 0x50, .image = &image };
	struct gc_buf out = GC_BUF_INIT;
	struct profile profile;

	ok(profile_init(&profile, &err));
	ok(profile_add(&profile, &frame, 1, NULL, 0, &err));
	ok(profile_encode(&profile, &out, &err));
	ck_assert_uint_eq(out.len, sizeof(want));
	ck_assert_mem_eq(out.data, want, sizeof(want));
	gc_buf_deinit(&out);
	profile_deinit(&profile);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("goroutines");
	TCase *tests = tcase_create("goroutines");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, test_intern);
	tcase_add_test(tests, test_numbers);
	tcase_add_test(tests, test_groups);
	tcase_add_test(tests, test_groups_of_places);
	tcase_add_test(tests, test_folded);
	tcase_add_test(tests, test_pprof);
	tcase_add_test(tests, test_pprof_mapping);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
