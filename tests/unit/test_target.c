/* The OS threads as a target: order, registers, names, signals, and the program's path. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/target.h"

#include "core_builder.h"

#define NT_SIGINFO_TYPE 0x53494749

static struct core_builder b;
static struct gc_process p;
static struct gc_target *t;
static struct gc_error err;

static void setup(void)
{
	builder_init(&b, EM_X86_64);
}

static void teardown(void)
{
	gc_target_free(t);
	t = NULL;
	gc_process_close(&p);
	builder_deinit(&b);
}

/** pr_reg of struct elf_prstatus: rip is its 17th word. */
static void thread(int32_t tid, uint16_t sig, uint64_t rip)
{
	uint8_t regs[27 * 8] = { 0 };

	gc_store_le64(regs + 16 * 8, rip);
	builder_prstatus(&b, tid, sig, regs, sizeof(regs));
}

static void open_target(void)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_input in;

	builder_finish(&b);
	input_of_bytes(&in, b.out.data, b.out.len);
	ck_assert_msg(gc_process_open(&p, &in, &options, &err) == GC_OK, "%s", err.text);
	ck_assert_int_eq(gc_core_target_new(&t, &p, &err), GC_OK);
}

static uint64_t pc_of(gc_tid tid)
{
	struct gc_regs regs;
	uint64_t pc = 0;

	ck_assert_int_eq(t->ops->read_regs(t, tid, &regs, &err), GC_OK);
	ck_assert(gc_regs_u64(&regs, p.core.arch->pc, &pc));
	gc_regs_deinit(&regs);
	return pc;
}

static struct gc_thread_text text_of(gc_tid tid)
{
	struct gc_thread_text text;

	ck_assert_int_eq(t->ops->describe(t, tid, &text, &err), GC_OK);
	return text;
}

START_TEST(kernel_core)
{
	const struct gc_tids *tids;

	thread(73, 11, 0x1111);
	builder_prpsinfo(&b, 70, "worker", "worker -x");
	builder_siginfo(&b, 11, 1, 0xdead0);
	thread(70, 11, 0x2222);
	thread(72, 11, 0x3333);
	open_target();
	tids = t->ops->threads(t);
	ck_assert_uint_eq(tids->count, 3);
	ck_assert_int_eq(tids->list[0], 73);
	ck_assert_int_eq(tids->list[1], 70);
	ck_assert_int_eq(tids->list[2], 72);
	ck_assert_uint_eq(pc_of(73), 0x1111);
	ck_assert_uint_eq(pc_of(70), 0x2222);
	ck_assert_uint_eq(pc_of(72), 0x3333);
	/* the kernel writes the fatal signal for every thread; one crashed */
	ck_assert_int_eq(t->ops->signal(t, 73), 11);
	ck_assert_int_eq(t->ops->signal(t, 70), 0);
	ck_assert_int_eq(t->ops->signal(t, 72), 0);
	ck_assert_ptr_nonnull(t->ops->siginfo(t, 73));
	ck_assert_uint_eq(t->ops->siginfo(t, 73)->type, NT_SIGINFO_TYPE);
	ck_assert_ptr_null(t->ops->siginfo(t, 70));
	/* the one name is the main thread's */
	ck_assert_str_eq(text_of(70).name, "worker");
	ck_assert_str_eq(text_of(70).extra, "");
	ck_assert_str_eq(text_of(73).name, "");
	ck_assert_str_eq(text_of(73).extra, "crashed: SIGSEGV");
}
END_TEST

START_TEST(no_such_thread)
{
	struct gc_thread_text text;
	struct gc_regs regs;

	thread(73, 11, 0x1111);
	open_target();
	ck_assert_int_eq(t->ops->read_regs(t, 74, &regs, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(t->ops->read_regs(t, -73, &regs, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(t->ops->describe(t, 74, &text, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(t->ops->signal(t, 74), 0);
	ck_assert_ptr_null(t->ops->siginfo(t, 74));
}
END_TEST

/* gdb's gcore: no signal anywhere, a siginfo for each thread. */
START_TEST(no_signal)
{
	thread(73, 0, 0x1111);
	builder_siginfo(&b, 0, 0, 0);
	thread(74, 0, 0x2222);
	builder_siginfo(&b, 0, 0, 0);
	open_target();
	ck_assert_int_eq(t->ops->signal(t, 73), 0);
	ck_assert_str_eq(text_of(73).extra, "");
	ck_assert_ptr_nonnull(t->ops->siginfo(t, 73));
	ck_assert_ptr_nonnull(t->ops->siginfo(t, 74));
	ck_assert_ptr_ne(t->ops->siginfo(t, 73), t->ops->siginfo(t, 74));
}
END_TEST

START_TEST(many_threads)
{
	enum { N = 5000 };

	for (int32_t i = 0; i < N; i++)
		thread(1000 + i * 7 % N, 6, (uint64_t)i);
	open_target();
	ck_assert_uint_eq(t->ops->threads(t)->count, N);
	for (int32_t i = 0; i < N; i += 97)
		ck_assert_uint_eq(pc_of(1000 + i * 7 % N), (uint64_t)i);
}
END_TEST

/* The same id twice, as a damaged core may have it: both answer, nothing falls over. */
START_TEST(same_tid_twice)
{
	thread(73, 11, 0x1111);
	thread(73, 11, 0x2222);
	open_target();
	ck_assert_uint_ge(t->ops->threads(t)->count, 1);
	ck_assert(pc_of(73) == 0x1111 || pc_of(73) == 0x2222);
}
END_TEST

/* The program's path: NT_FILE at AT_ENTRY or AT_PHDR first, AT_EXECFN without one. */
START_TEST(exe_of_rows)
{
	static const struct builder_file files[] = {
		{ 0x400000, 0x401000, 0, "/opt/program" },
		{ 0x7f0000000000, 0x7f0000001000, 0, "/lib/libc.so.6" },
	};
	static const uint64_t auxv[] = { AT_PHDR, 0x400040, AT_ENTRY, 0x400800 };

	thread(73, 11, 0);
	builder_auxv(&b, auxv, 2);
	builder_files(&b, 0x1000, files, 2);
	open_target();
	ck_assert_pstr_eq(gc_process_exe(&p), "/opt/program");
}
END_TEST

START_TEST(exe_of_execfn)
{
	static const char *const paths[] = { "/usr/bin/thing", "./thing", "" };
	static const uint64_t auxv[] = { AT_EXECFN, 0x7ff000000100 };
	char stack[0x1000] = { 0 };

	strcpy(stack + 0x100, paths[_i]);
	thread(73, 11, 0);
	builder_auxv(&b, auxv, 1);
	builder_load(&b, 0x7ff000000000, sizeof(stack), stack, sizeof(stack), PF_R | PF_W);
	open_target();
	ck_assert_pstr_eq(gc_process_exe(&p), _i == 0 ? paths[0] : NULL); /* where "." was is not known */
}
END_TEST

START_TEST(nothing_named)
{
	thread(73, 11, 0);
	open_target();
	ck_assert_ptr_null(gc_process_exe(&p));
	ck_assert_uint_eq(p.links.count, 0);
	ck_assert_uint_eq(p.space.count, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("target");
	TCase *tc = tcase_create("target");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, kernel_core);
	tcase_add_test(tc, no_such_thread);
	tcase_add_test(tc, no_signal);
	tcase_add_test(tc, many_threads);
	tcase_add_test(tc, same_tid_twice);
	tcase_add_test(tc, exe_of_rows);
	tcase_add_loop_test(tc, exe_of_execfn, 0, 3);
	tcase_add_test(tc, nothing_named);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
