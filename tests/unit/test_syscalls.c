/* Names of system calls, and the call that a thread was in. Numbers as in the kernel's tables. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/syscalls.h"

#include "core_builder.h"

#define CODE 0x400000
#define AT   0x100 /* where the instruction is */

#define NT_ARM_SYSTEM_CALL_TYPE 0x404

static struct core_builder b;
static struct gc_process p;
static struct gc_regs regs;
static struct gc_error err;
static struct gc_in_syscall call;

START_TEST(names)
{
	static const struct {
		uint16_t machine;
		unsigned number;
		const char *name;
		unsigned args;
	} known[] = {
		{ EM_X86_64, 0, "read", 3 }, { EM_X86_64, 9, "mmap", 6 }, { EM_X86_64, 15, "rt_sigreturn", 0 },
		{ EM_X86_64, 23, "select", 5 }, { EM_X86_64, 35, "nanosleep", 2 }, { EM_X86_64, 56, "clone", 5 },
		{ EM_X86_64, 158, "arch_prctl", 2 }, { EM_X86_64, 202, "futex", 6 }, { EM_X86_64, 230, "clock_nanosleep", 4 },
		{ EM_X86_64, 231, "exit_group", 1 }, { EM_X86_64, 232, "epoll_wait", 4 }, { EM_X86_64, 234, "tgkill", 3 },
		{ EM_X86_64, 262, "newfstatat", 4 }, { EM_X86_64, 281, "epoll_pwait", 6 }, { EM_X86_64, 334, "rseq", 4 },
		{ EM_X86_64, 435, "clone3", 2 }, { EM_X86_64, 449, "futex_waitv", 5 }, { EM_X86_64, 462, "mseal", 3 },
		{ EM_AARCH64, 0, "io_setup", 2 }, { EM_AARCH64, 22, "epoll_pwait", 6 }, { EM_AARCH64, 56, "openat", 4 },
		{ EM_AARCH64, 63, "read", 3 }, { EM_AARCH64, 73, "ppoll", 5 }, { EM_AARCH64, 79, "newfstatat", 4 },
		{ EM_AARCH64, 93, "exit", 1 }, { EM_AARCH64, 98, "futex", 6 }, { EM_AARCH64, 115, "clock_nanosleep", 4 },
		{ EM_AARCH64, 131, "tgkill", 3 }, { EM_AARCH64, 139, "rt_sigreturn", 0 }, { EM_AARCH64, 220, "clone", 5 },
		{ EM_AARCH64, 222, "mmap", 6 }, { EM_AARCH64, 260, "wait4", 4 }, { EM_AARCH64, 435, "clone3", 2 },
	};

	for (size_t i = 0; i < GC_COUNT(known); i++) {
		const struct gc_syscall *s = gc_syscall_by_number(gc_arch_by_machine(known[i].machine), known[i].number);

		ck_assert_msg(s != NULL, "%u", known[i].number);
		ck_assert_str_eq(s->name, known[i].name);
		ck_assert_msg(s->args == known[i].args, "%s: %u", s->name, s->args);
	}
}
END_TEST

START_TEST(no_names)
{
	static const uint64_t x86[] = { 335, 423, 1000, UINT64_MAX, 0x40000000 };
	static const uint64_t aarch64[] = { 244, 259, 295, 423, 1000, UINT64_MAX };

	for (size_t i = 0; i < GC_COUNT(x86); i++)
		ck_assert_ptr_null(gc_syscall_by_number(gc_arch_by_machine(EM_X86_64), x86[i]));
	for (size_t i = 0; i < GC_COUNT(aarch64); i++)
		ck_assert_ptr_null(gc_syscall_by_number(gc_arch_by_machine(EM_AARCH64), aarch64[i]));
}
END_TEST

/** A core of one thread whose registers are @words, with @code at AT. */
static void open_core(uint16_t machine, const uint64_t *words, size_t n, const uint8_t *code, size_t len,
		      const int32_t *note)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	uint8_t pr_reg[34 * 8] = { 0 }, page[0x1000] = { 0 };
	struct gc_input in;

	for (size_t i = 0; i < n; i++)
		gc_store_le64(pr_reg + 8 * i, words[i]);
	memcpy(page + AT, code, len);
	builder_init(&b, machine);
	builder_prstatus(&b, 73, 6, pr_reg, 8 * n);
	if (note)
		builder_note(&b, "LINUX", NT_ARM_SYSTEM_CALL_TYPE, note, sizeof(*note));
	builder_load(&b, CODE, sizeof(page), page, sizeof(page), PF_R | PF_X);
	builder_finish(&b);
	input_of_bytes(&in, b.out.data, b.out.len);
	ck_assert_msg(gc_process_open(&p, &in, &options, &err) == GC_OK, "%s", err.text);
	ck_assert_int_eq(gc_core_regs(&p.core, &p.core.threads[0], &p.regmap, &regs, NULL, &err), GC_OK);
}

static void close_core(void)
{
	gc_regs_deinit(&regs);
	gc_process_close(&p);
	builder_deinit(&b);
}

/* struct user_regs_struct: r10 7, r9 8, r8 9, rax 10, rdx 12, rsi 13, rdi 14, orig_rax 15, rip 16 */
static bool x86_in(uint64_t orig_rax, uint64_t rax, uint64_t rip)
{
	static const uint8_t syscall_insn[] = { 0x0f, 0x05 };
	uint64_t words[27] = { [7] = 0x44, [8] = 0x66, [9] = 0x55, [12] = 0x33, [13] = 0x22, [14] = 0x11 };
	bool found;

	words[10] = rax;
	words[15] = orig_rax;
	words[16] = rip;
	open_core(EM_X86_64, words, GC_COUNT(words), syscall_insn, sizeof(syscall_insn), NULL);
	found = gc_in_syscall(&p, &p.core.threads[0], &regs, &call);
	close_core();
	return found;
}

START_TEST(x86_waiting)
{
	ck_assert(x86_in(202, (uint64_t)-512, CODE + AT + 2));
	ck_assert_str_eq(call.name, "futex");
	ck_assert_uint_eq(call.nargs, 6);
	for (unsigned i = 0; i < 6; i++) {
		ck_assert(call.has_arg[i]);
		ck_assert_uint_eq(call.args[i], 0x11 * (i + 1));
	}
	ck_assert(!call.has_result); /* -ERESTARTSYS never reaches the program */
	ck_assert(x86_in(202, (uint64_t)-516, CODE + AT + 2) && !call.has_result);
	ck_assert(x86_in(202, (uint64_t)-38, CODE + AT + 2) && !call.has_result);
}
END_TEST

START_TEST(x86_done)
{
	ck_assert(x86_in(234, 0, CODE + AT + 2));
	ck_assert_str_eq(call.name, "tgkill");
	ck_assert_uint_eq(call.nargs, 3);
	ck_assert(call.has_result);
	ck_assert_int_eq(call.result, 0);
	ck_assert(x86_in(0, (uint64_t)-4, CODE + AT + 2));
	ck_assert(call.has_result);
	ck_assert_int_eq(call.result, -4);
}
END_TEST

START_TEST(x86_unknown_number)
{
	ck_assert(x86_in(9999, 0, CODE + AT + 2));
	ck_assert_ptr_null(call.name);
	ck_assert_uint_eq(call.number, 9999);
	ck_assert_uint_eq(call.nargs, 6);
}
END_TEST

START_TEST(x86_in_none)
{
	ck_assert(!x86_in((uint64_t)-1, 0, CODE + AT + 2)); /* interrupted or faulted there */
	ck_assert(!x86_in(202, 0, CODE + AT + 3));
	ck_assert(!x86_in(202, 0, CODE + AT));
	ck_assert(!x86_in(202, 0, 0));
	ck_assert(!x86_in(202, 0, 0xdead0000));
}
END_TEST

/* struct user_pt_regs: x0.., sp 31, pc 32 */
static bool arm_in(const int32_t *note, uint64_t x8, uint64_t pc)
{
	static const uint8_t svc[] = { 0x01, 0x00, 0x00, 0xd4 };
	uint64_t words[34] = { 0x11, 0x22, 0x33, 0x44, 0x55, 0x66 };
	bool found;

	words[8] = x8;
	words[32] = pc;
	open_core(EM_AARCH64, words, GC_COUNT(words), svc, sizeof(svc), note);
	found = gc_in_syscall(&p, &p.core.threads[0], &regs, &call);
	close_core();
	return found;
}

/* Before it dumps, the kernel rewinds a call that was interrupted, and forgets the number. */
START_TEST(aarch64_rewound)
{
	static const int32_t none = -1;

	ck_assert(arm_in(&none, 98, CODE + AT));
	ck_assert_str_eq(call.name, "futex");
	for (unsigned i = 0; i < 6; i++)
		ck_assert(call.has_arg[i] && call.args[i] == 0x11 * (i + 1));
	ck_assert(!call.has_result);
	ck_assert(arm_in(NULL, 98, CODE + AT)); /* qemu-user has no such note */
}
END_TEST

/* x0 is the first argument before the call and the result after it: it could be either. */
START_TEST(aarch64_inside)
{
	static const int32_t number = 115;

	ck_assert(arm_in(&number, 0, CODE + AT + 4));
	ck_assert_str_eq(call.name, "clock_nanosleep");
	ck_assert_uint_eq(call.nargs, 4);
	ck_assert(!call.has_arg[0] && call.has_arg[1] && call.has_arg[2] && call.has_arg[3]);
	ck_assert_uint_eq(call.args[1], 0x22);
	ck_assert(!call.has_result);
}
END_TEST

START_TEST(aarch64_in_none)
{
	static const int32_t none = -1, number = 115;

	ck_assert(!arm_in(&none, 98, CODE + AT + 4)); /* it was done */
	ck_assert(!arm_in(NULL, 98, CODE + AT + 4));
	ck_assert(!arm_in(&number, 98, CODE + AT + 8));
	ck_assert(!arm_in(&none, 98, 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("syscalls");
	TCase *tc = tcase_create("syscalls");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, names);
	tcase_add_test(tc, no_names);
	tcase_add_test(tc, x86_waiting);
	tcase_add_test(tc, x86_done);
	tcase_add_test(tc, x86_unknown_number);
	tcase_add_test(tc, x86_in_none);
	tcase_add_test(tc, aarch64_rewound);
	tcase_add_test(tc, aarch64_inside);
	tcase_add_test(tc, aarch64_in_none);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
