/* The synthetic /proc: maps and smaps of joined and split ranges, and what the notes tell of the process. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/procfs.h"

#include "core_builder.h"

#define PAGE     0x1000ULL
#define PROGRAM  0x555555554000ULL
#define HEAP     0x555555600000ULL
#define VDSO     0x7ffff7fc1000ULL
#define STACK    0x7ffffffde000ULL
#define STACK_SIZE 0x21000ULL

static uint8_t content[0x3000], stack[STACK_SIZE];
static struct core_builder b;
static struct gc_process p;
static struct gc_target *target;
static struct gc_buf out;
static struct gc_error err;

static const struct builder_file files[] = {
	{ PROGRAM - 0x10000, PROGRAM - 0xf000, 7, "/no/such/line\nbreak" },
	{ PROGRAM, PROGRAM + 2 * PAGE, 0, "/no/such/program" },
	{ PROGRAM + 2 * PAGE, PROGRAM + 3 * PAGE, 1, "/no/such/program" },
};

static void put_phdr(size_t index, uint32_t type, uint64_t vaddr, uint64_t memsz)
{
	uint8_t *at = content + 64 + index * 56;

	gc_store_le32(at, type);
	gc_store_le64(at + 16, vaddr);
	gc_store_le64(at + 40, memsz);
}

/** The first stack as create_elf_tables leaves it. @return its auxiliary vector's pairs in @auxv */
static void put_stack(uint64_t auxv[12], const char *const *argv, size_t argc)
{
	uint64_t text = STACK + 0x20800, at = STACK + 0x20000;

	gc_store_le64(stack + (at - STACK), argc);
	at += 8;
	for (size_t i = 0; i < argc; i++, at += 8) {
		strcpy((char *)stack + (text - STACK), argv[i]);
		gc_store_le64(stack + (at - STACK), text);
		text += strlen(argv[i]) + 1;
	}
	at += 8;
	strcpy((char *)stack + (text - STACK), "HOME=/");
	gc_store_le64(stack + (at - STACK), text);
	at += 16;
	for (size_t i = 0; i < 12; i++, at += 8)
		gc_store_le64(stack + (at - STACK), auxv[i]);
}

static uint64_t at_random;
static const char *const default_argv[] = { "/no/such/program", "two words", "", "last" };
static const char *args = "/no/such/program two words  last";

static void setup(void)
{
	memset(content, 0, sizeof(content));
	memset(stack, 0, sizeof(stack));
	at_random = STACK + 0x20700;
	builder_init(&b, EM_X86_64);
	put_phdr(0, PT_PHDR, 64, 3 * 56);
	put_phdr(1, PT_LOAD, 0, 3 * PAGE + 100);
	put_phdr(2, PT_INTERP, 0x500, 10);
}

static void teardown(void)
{
	gc_buf_deinit(&out);
	gc_target_free(target);
	gc_process_close(&p);
	builder_deinit(&b);
}

static void open_target(const char *const *argv, size_t argc, const char *psargs)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	uint64_t auxv[12] = {
		AT_PHDR, PROGRAM + 64, AT_PHNUM, 3, AT_BASE, 0x7ffff7fd0000,
		AT_RANDOM, at_random, AT_SYSINFO_EHDR, VDSO, AT_NULL, 0,
	};
	struct gc_input in;

	put_stack(auxv, argv, argc);
	builder_prstatus(&b, 70, 11, NULL, 0);
	builder_prpsinfo(&b, 68, "program", psargs);
	builder_auxv(&b, auxv, 5);
	builder_files(&b, PAGE, files, GC_COUNT(files));
	builder_prstatus(&b, 68, 11, NULL, 0);
	builder_load(&b, PROGRAM, 2 * PAGE, content, PAGE, PF_R | PF_X);
	builder_load(&b, PROGRAM + 2 * PAGE, 2 * PAGE, content, 2 * PAGE, PF_R | PF_W);
	builder_load(&b, HEAP, PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, 0x7ffff0000000, PAGE, NULL, 0, 0);
	builder_load(&b, 0x7ffff0001000, PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, 0x7ffff0002000, PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, VDSO - 4 * PAGE, 4 * PAGE, NULL, 0, PF_R);
	builder_load(&b, VDSO, 2 * PAGE, content, 2 * PAGE, PF_R | PF_X);
	builder_load(&b, STACK, STACK_SIZE, stack, STACK_SIZE, PF_R | PF_W);
	builder_load(&b, 0xffffffffff600000, PAGE, content, PAGE, PF_X);
	builder_finish(&b);
	input_of_bytes(&in, b.out.data, b.out.len);
	ck_assert_msg(gc_process_open(&p, &in, &options, &err) == GC_OK, "%s", err.text);
	ck_assert_int_eq(gc_core_target_new(&target, &p, &err), GC_OK);
}

static void open_default(void)
{
	open_target(default_argv, GC_COUNT(default_argv), args);
}

static const char *content_of(const char *path)
{
	gc_buf_clear(&out);
	ck_assert_msg(gc_procfs_read(target, path, &out, &err) == GC_OK, "%s", err.text);
	return gc_buf_text(&out);
}

START_TEST(maps)
{
	/* Columns and spaces as fs/proc/task_mmu.c has them; an absent tail does not split a mapping, a row does. */
	static const char expected[] =
		"555555544000-555555545000 ---p 00007000 00:00 0                          /no/such/line\\012break\n"
		"555555554000-555555556000 r-xp 00000000 00:00 0                          /no/such/program\n"
		"555555556000-555555557000 rw-p 00001000 00:00 0                          /no/such/program\n"
		"555555557000-555555558000 rw-p 00000000 00:00 0 \n"
		"555555600000-555555601000 rw-p 00000000 00:00 0                          [heap]\n"
		"7ffff0000000-7ffff0001000 ---p 00000000 00:00 0 \n"
		"7ffff0001000-7ffff0002000 rw-p 00000000 00:00 0 \n"
		"7ffff0002000-7ffff0003000 rw-p 00000000 00:00 0 \n"
		"7ffff7fbd000-7ffff7fc1000 r--p 00000000 00:00 0                          [vvar]\n"
		"7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0                          [vdso]\n"
		"7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0                          [stack]\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

	open_default();
	ck_assert_str_eq(content_of("/proc/68/maps"), expected);
	ck_assert_str_eq(content_of("/proc/68/task/70/maps"), expected);
}
END_TEST

/** Has smaps a mapping that starts with @header, and does its VmFlags line follow as @flags? */
static void ck_smaps(const char *smaps, const char *header, const char *flags)
{
	const char *at = strstr(smaps, header);
	char line[64];

	ck_assert_ptr_nonnull(at);
	at = strstr(at, "VmFlags:");
	ck_assert_ptr_nonnull(at);
	ck_assert_int_eq(sscanf(at, "%63[^\n]", line), 1);
	ck_assert_str_eq(line, flags);
}

START_TEST(smaps)
{
	const char *text;

	open_default();
	text = content_of("/proc/68/smaps");
	ck_smaps(text, "555555554000-555555555000 r-xp 00000000 00:00 1 ", "VmFlags: rd ex ");
	ck_smaps(text, "555555555000-555555556000 r-xp 00001000 00:00 1 ", "VmFlags: rd ex dd ");
	ck_smaps(text, "555555600000-555555601000 rw-p 00000000 00:00 0 ", "VmFlags: rd wr ");
	ck_smaps(text, "7ffff0000000-7ffff0001000 ---p 00000000 00:00 0 ", "VmFlags: dd ");
	ck_smaps(text, "7ffff7fbd000-7ffff7fc1000 r--p 00000000 00:00 0 ", "VmFlags: rd dd ");
	ck_assert_ptr_nonnull(strstr(text, "[vvar]\nSize:                 16 kB\n"));
	ck_assert_ptr_nonnull(strstr(text, "[heap]\nSize:                  4 kB\nKernelPageSize:        4 kB\n"
					   "Anonymous:             4 kB\nVmFlags: rd wr \n"));
	ck_assert_str_eq(content_of("/proc/68/coredump_filter"), "000001ff\n");
}
END_TEST

START_TEST(cmdline)
{
	static const char expected[] = "/no/such/program\0two words\0\0last";

	open_default();
	content_of("/proc/68/cmdline");
	ck_assert_uint_eq(out.len, sizeof(expected));
	ck_assert_mem_eq(out.data, expected, sizeof(expected));
}
END_TEST

/* A long one is whole although the note has 80 bytes of it. */
START_TEST(cmdline_long)
{
	static char first[200];
	const char *argv[] = { first, "x" };
	char psargs[81];

	memset(first, 'a', sizeof(first) - 1);
	memcpy(psargs, first, 79);
	psargs[79] = '\0';
	open_target(argv, 2, psargs);
	content_of("/proc/68/cmdline");
	ck_assert_uint_eq(out.len, 202);
	ck_assert_str_eq(out.data, first);
	ck_assert_str_eq(out.data + 200, "x");
}
END_TEST

/* The stack was overwritten: the note is believed. */
START_TEST(environment)
{
	open_default();
	content_of("/proc/68/environ");
	ck_assert_uint_eq(out.len, sizeof("HOME=/"));
	ck_assert_str_eq(out.data, "HOME=/");
}
END_TEST

/* Where argv is not what the kernel noted, what lies behind it may be anything. */
START_TEST(environment_damaged)
{
	open_target(default_argv, GC_COUNT(default_argv), "another title");
	gc_buf_clear(&out);
	ck_assert_int_eq(gc_procfs_read(target, "/proc/68/environ", &out, &err), GC_E_NOT_FOUND);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(cmdline_damaged)
{
	open_target(default_argv, GC_COUNT(default_argv), "another title");
	ck_assert_str_eq(content_of("/proc/68/cmdline"), "another title");
	ck_assert_uint_eq(out.len, sizeof("another title"));
}
END_TEST

/* Where tags are ignored an address outside the stack can still find the stack's range. */
START_TEST(cmdline_of_a_tagged_pointer)
{
	builder_deinit(&b);
	builder_init(&b, EM_AARCH64);
	at_random |= 1ULL << 63;
	open_default();
	ck_assert_uint_gt(strlen(content_of("/proc/68/cmdline")), 0);
}
END_TEST

START_TEST(status)
{
	open_default();
	content_of("/proc/68/status");
	ck_assert_ptr_nonnull(strstr(out.data, "Name:\tprogram\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "\nTgid:\t68\nPid:\t68\n"));
	ck_assert_ptr_nonnull(strstr(out.data, "\nThreads:\t2\n"));
	ck_assert_str_eq(content_of("/proc/68/comm"), "program\n");
	content_of("/proc/68/task/70/status");
	ck_assert_ptr_nonnull(strstr(out.data, "Tgid:\t68\nPid:\t70\n"));
	ck_assert_ptr_null(strstr(out.data, "Name:")); /* the one name is the main thread's */
}
END_TEST

START_TEST(stat)
{
	int fields = 1;

	open_default();
	content_of("/proc/68/stat");
	ck_assert_int_eq(strncmp(out.data, "68 (program) ", 13), 0);
	for (const char *at = out.data; (at = strchr(at, ' ')) != NULL; at++)
		fields++;
	ck_assert_int_eq(fields, 52); /* proc_pid_stat(5) */
	ck_assert_str_eq(strrchr(out.data, ' '), " 11\n");
}
END_TEST

START_TEST(auxv)
{
	open_default();
	content_of("/proc/68/auxv");
	ck_assert_uint_eq(out.len, 6 * 16);
	ck_assert_mem_eq(out.data, p.core.auxv->desc, out.len);
}
END_TEST

START_TEST(links)
{
	open_default();
	gc_buf_clear(&out);
	ck_assert_int_eq(gc_procfs_readlink(target, "/proc/68/exe", &out, &err), GC_OK);
	ck_assert_str_eq(out.data, "/no/such/program");
	ck_assert_int_eq(gc_procfs_readlink(target, "/proc/68/cwd", &out, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(gc_procfs_readlink(target, "/proc/69/exe", &out, &err), GC_E_NOT_FOUND);
	ck_assert_str_eq(out.data, "/no/such/program");
}
END_TEST

START_TEST(nothing_else)
{
	static const char *const paths[] = {
		"/proc/1/maps", "/proc/self/maps", "/proc/68", "/proc/68/", "/proc/68maps", "/proc/068x/maps",
		"/proc/68/task/71/maps", "/proc/68/task//maps", "/proc/68/mem", "/etc/passwd",
		"/proc/68/../1/maps", "/proc/99999999999999999999/maps", "", "/proc/-68/maps", "/proc/68/maps/",
	};

	open_default();
	for (size_t i = 0; i < GC_COUNT(paths); i++)
		ck_assert_msg(gc_procfs_read(target, paths[i], &out, &err) == GC_E_NOT_FOUND, "%s", paths[i]);
	ck_assert_uint_eq(out.len, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("procfs");
	TCase *tc = tcase_create("procfs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, maps);
	tcase_add_test(tc, smaps);
	tcase_add_test(tc, cmdline);
	tcase_add_test(tc, cmdline_long);
	tcase_add_test(tc, environment);
	tcase_add_test(tc, environment_damaged);
	tcase_add_test(tc, cmdline_damaged);
	tcase_add_test(tc, cmdline_of_a_tagged_pointer);
	tcase_add_test(tc, status);
	tcase_add_test(tc, stat);
	tcase_add_test(tc, auxv);
	tcase_add_test(tc, links);
	tcase_add_test(tc, nothing_else);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
