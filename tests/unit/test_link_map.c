/* The dynamic linker's lists, in order and damaged in every way that a walk could fall over. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/process.h"

#include "core_builder.h"

/* One segment holds all that the walk reads; the program is linked at 0 and loaded at BASE. */
#define BASE    0x555500000000ULL
#define SIZE    0x100000
#define PHDRS   0x40
#define DYNAMIC 0x1000
#define R_DEBUG 0x2000
#define NAMES   0x8000
#define LINKS   0x10000

static uint8_t memory[SIZE];
static struct core_builder b;
static struct builder_file files[1];
static size_t nfiles;
static struct gc_core core;
static struct gc_space space;
static struct gc_link_map links;
static struct gc_problems problems;
static struct gc_error err;
static uint64_t auxv[8] = { AT_PHDR, BASE + PHDRS, AT_PHNUM, 3, AT_PHENT, 56, AT_ENTRY, BASE };

static void put(uint64_t at, uint64_t value)
{
	gc_store_le64(memory + at, value);
}

static void put_phdr(size_t index, uint32_t type, uint64_t vaddr, uint64_t size)
{
	uint64_t at = PHDRS + index * 56;

	gc_store_le32(memory + at, type);
	put(at + 8, vaddr);
	put(at + 16, vaddr);
	put(at + 32, size);
	put(at + 40, size);
}

/** Number @i of a list: a link_map of 0x40 bytes, l_addr i << 32. */
static void put_link(size_t i, uint64_t next, uint64_t prev, const char *name)
{
	uint64_t at = LINKS + i * 0x40;

	put(at, (uint64_t)i << 32);
	put(at + 8, name ? BASE + NAMES + i * 32 : 0);
	put(at + 16, BASE + 0x500 + i);
	put(at + 24, next);
	put(at + 32, prev);
	if (name)
		strcpy((char *)memory + NAMES + i * 32, name);
}

static uint64_t link_at(size_t i)
{
	return BASE + LINKS + i * 0x40;
}

static void put_namespace(uint64_t at, uint32_t version, uint64_t map, uint64_t next)
{
	gc_store_le32(memory + at, version);
	put(at + 8, map);
	put(at + 40, next);
}

static void setup(void)
{
	memset(memory, 0, sizeof(memory));
	put_phdr(0, PT_PHDR, PHDRS, 3 * 56);
	put_phdr(1, PT_LOAD, 0, SIZE);
	put_phdr(2, PT_DYNAMIC, DYNAMIC, 0x100);
	put(DYNAMIC, DT_STRTAB);
	put(DYNAMIC + 16, DT_DEBUG);
	put(DYNAMIC + 24, BASE + R_DEBUG);
	put_namespace(R_DEBUG, 1, link_at(0), 0xdead);
	put_link(0, link_at(1), 0, "");
	put_link(1, link_at(2), link_at(0), "/lib/one.so");
	put_link(2, 0, link_at(1), "/lib/two.so");
	auxv[3] = 3;
	nfiles = 0;
}

static void teardown(void)
{
	gc_link_map_deinit(&links);
	gc_problems_deinit(&problems);
	gc_space_deinit(&space);
	gc_core_close(&core);
	builder_deinit(&b);
}

static void read_links(void)
{
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_auxv(&b, auxv, 4);
	if (nfiles)
		builder_files(&b, 0x1000, files, nfiles);
	builder_load(&b, BASE, SIZE, memory, SIZE, PF_R | PF_W);
	ck_assert_int_eq(builder_open_core(&b, &core, &err), GC_OK);
	ck_assert_int_eq(gc_space_init(&space, &core, &err), GC_OK);
	ck_assert_int_eq(gc_link_map_read(&links, &core, &space, NULL, &problems, &err), GC_OK);
}

START_TEST(in_order)
{
	read_links();
	ck_assert_uint_eq(links.dt_debug, BASE + DYNAMIC + 24);
	ck_assert_uint_eq(links.r_debug, BASE + R_DEBUG);
	ck_assert_uint_eq(links.main_lm, link_at(0));
	ck_assert_uint_eq(links.count, 3);
	ck_assert(links.list[0].is_program);
	ck_assert_str_eq(links.list[0].name, "");
	ck_assert(!links.list[1].is_program);
	ck_assert_str_eq(links.list[1].name, "/lib/one.so");
	ck_assert_uint_eq(links.list[2].lm, link_at(2));
	ck_assert_uint_eq(links.list[2].l_addr, 2ULL << 32);
	ck_assert_uint_eq(links.list[2].l_ld, BASE + 0x502);
	ck_assert_uint_eq(links.list[2].lmid, BASE + R_DEBUG);
	ck_assert_uint_eq(problems.count, 0);
}
END_TEST

START_TEST(bias_without_pt_phdr)
{
	put_phdr(0, PT_NOTE, 0x200, 8);
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert_uint_eq(links.dt_debug, BASE + DYNAMIC + 24);
}
END_TEST

START_TEST(namespaces)
{
	put_namespace(R_DEBUG, 2, link_at(0), BASE + R_DEBUG + 0x100);
	put_namespace(R_DEBUG + 0x100, 2, link_at(5), 0);
	put_link(5, link_at(6), 0, "/lib/other.so");
	put_link(6, 0, link_at(5), "/lib/one.so");
	read_links();
	ck_assert_uint_eq(links.count, 5);
	ck_assert_uint_eq(links.main_lm, link_at(0));
	ck_assert_uint_eq(links.list[3].lmid, BASE + R_DEBUG + 0x100);
	ck_assert(!links.list[3].is_program);
	ck_assert_str_eq(links.list[4].name, "/lib/one.so");
	ck_assert_uint_eq(problems.count, 0);
}
END_TEST

START_TEST(namespaces_in_a_circle)
{
	put_namespace(R_DEBUG, 2, link_at(0), BASE + R_DEBUG + 0x100);
	put_namespace(R_DEBUG + 0x100, 2, 0, BASE + R_DEBUG);
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert(has_problem(&problems, "circle"));
}
END_TEST

START_TEST(too_many_namespaces)
{
	for (size_t i = 0; i < 100; i++)
		put_namespace(R_DEBUG + i * 0x40, 2, i ? 0 : link_at(0), BASE + R_DEBUG + (i + 1) * 0x40);
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert(has_problem(&problems, "too long"));
}
END_TEST

START_TEST(circle)
{
	put_link(2, link_at(0), link_at(1), "/lib/two.so");
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert(has_problem(&problems, "circle"));
}
END_TEST

START_TEST(to_itself)
{
	put_link(0, link_at(0), 0, "");
	read_links();
	ck_assert_uint_eq(links.count, 1);
	ck_assert(has_problem(&problems, "circle"));
}
END_TEST

START_TEST(damaged_prev)
{
	put_link(2, 0, link_at(0), "/lib/two.so");
	read_links();
	ck_assert_uint_eq(links.count, 2);
	ck_assert(has_problem(&problems, "l_prev"));
}
END_TEST

START_TEST(next_is_nowhere)
{
	static const uint64_t nowhere[] = { 0x1000, BASE + SIZE - 8, UINT64_MAX, UINT64_MAX - 16 };

	put_link(1, nowhere[_i], link_at(0), "/lib/one.so");
	read_links();
	ck_assert_uint_eq(links.count, 2);
	ck_assert(has_problem(&problems, "breaks off"));
}
END_TEST

START_TEST(names)
{
	put(LINKS + 0x40 + 8, UINT64_MAX - 3);
	memset(memory + NAMES + 64, 'x', 5000); /* longer than any path */
	put(LINKS + 0x80 + 8, BASE + NAMES + 64);
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert_str_eq(links.list[1].name, "");
	ck_assert_str_eq(links.list[2].name, "");
	ck_assert_uint_eq(problems.count, 2);
}
END_TEST

/* What dlopen("./two.so") leaves: NT_FILE alone knows where that was. */
START_TEST(relative_names)
{
	files[0] = (struct builder_file){ BASE, BASE + SIZE, 0, "/srv/plugins/two.so" };
	nfiles = 1;
	put_link(1, link_at(2), link_at(0), "linux-vdso.so.1");
	put(LINKS + 0x40 + 16, 0x1000);
	put_link(2, 0, link_at(1), "./two.so");
	read_links();
	ck_assert_uint_eq(links.count, 3);
	ck_assert_str_eq(links.list[0].name, "");
	ck_assert_str_eq(links.list[1].name, "linux-vdso.so.1");
	ck_assert_str_eq(links.list[2].name, "/srv/plugins/two.so");
}
END_TEST

START_TEST(too_many)
{
	enum { N = 10000 };

	for (size_t i = 0; i < N; i++) /* names would overlap: none */
		put_link(i, i + 1 < N ? link_at(i + 1) : 0, i ? link_at(i - 1) : 0, NULL);
	read_links();
	ck_assert_uint_eq(links.count, 8192);
	ck_assert(has_problem(&problems, "too long"));
}
END_TEST

static void ck_nothing(void)
{
	read_links();
	ck_assert_uint_eq(links.count, 0);
	ck_assert_uint_eq(links.main_lm, 0);
	ck_assert_uint_eq(links.r_debug, 0);
}

START_TEST(no_dt_debug)
{
	put(DYNAMIC + 16, DT_NULL);
	ck_nothing();
	ck_assert_uint_eq(links.dt_debug, 0);
	ck_assert_uint_eq(problems.count, 0);
}
END_TEST

START_TEST(not_started_yet)
{
	put(DYNAMIC + 24, 0);
	ck_nothing();
	ck_assert_uint_eq(links.dt_debug, BASE + DYNAMIC + 24);
}
END_TEST

START_TEST(no_dynamic)
{
	put_phdr(2, PT_NOTE, DYNAMIC, 0x100);
	ck_nothing();
}
END_TEST

START_TEST(dynamic_without_end)
{
	put_phdr(2, PT_DYNAMIC, DYNAMIC, UINT64_MAX);
	for (size_t i = 0; i < 8192; i++)
		put(DYNAMIC + i * 16, DT_STRTAB);
	ck_nothing();
}
END_TEST

START_TEST(absurd_phnum)
{
	static const uint64_t counts[] = { 0, 5000, UINT64_MAX, UINT64_MAX / 56 + 2 };

	auxv[3] = counts[_i];
	ck_nothing();
}
END_TEST

START_TEST(r_debug_is_nowhere)
{
	put(DYNAMIC + 24, UINT64_MAX - 4);
	read_links();
	ck_assert_uint_eq(links.count, 0);
	ck_assert_uint_eq(links.main_lm, 0);
	ck_assert(has_problem(&problems, "r_debug"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link_map");
	TCase *tc = tcase_create("link_map");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, in_order);
	tcase_add_test(tc, bias_without_pt_phdr);
	tcase_add_test(tc, namespaces);
	tcase_add_test(tc, namespaces_in_a_circle);
	tcase_add_test(tc, too_many_namespaces);
	tcase_add_test(tc, circle);
	tcase_add_test(tc, to_itself);
	tcase_add_test(tc, damaged_prev);
	tcase_add_loop_test(tc, next_is_nowhere, 0, 4);
	tcase_add_test(tc, names);
	tcase_add_test(tc, relative_names);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, no_dt_debug);
	tcase_add_test(tc, not_started_yet);
	tcase_add_test(tc, no_dynamic);
	tcase_add_test(tc, dynamic_without_end);
	tcase_add_loop_test(tc, absurd_phnum, 0, 4);
	tcase_add_test(tc, r_debug_is_nowhere);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
