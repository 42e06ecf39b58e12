/*
 * What instructions access. The aarch64 rows are what an emulated processor
 * reported (si_addr) for each instruction with these registers; the x86_64
 * rows follow the Intel manual and were compared with what a processor reported.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/disasm.h"

#define EM_X86_64_NUMBER  62
#define EM_AARCH64_NUMBER 183
#define PC 0x400000

enum { R = 1, W = 2 };

static struct gc_regmap map;
static struct gc_regs regs;
static struct gc_disasm *disasm;

static void start(uint16_t machine)
{
	struct gc_error err;

	gc_regmap_init(&map, gc_arch_by_machine(machine));
	gc_regmap_seal(&map);
	ck_assert_int_eq(gc_regs_init(&regs, &map, &err), GC_OK);
	ck_assert_msg(gc_disasm_open(&disasm, map.arch, &err) == GC_OK, "%s", err.text);
}

static void teardown(void)
{
	gc_disasm_close(disasm);
	gc_regs_deinit(&regs);
	disasm = NULL;
}

static void set(const char *name, uint64_t value)
{
	int row = gc_regmap_reg_named(&map, name);

	ck_assert_int_ge(row, 0);
	gc_regs_set_u64(&regs, (unsigned)row, value);
}

static void check(const struct gc_access *a, const char *what, uint64_t addr, uint64_t size, int how)
{
	ck_assert_msg(a->addr == addr, "%s: 0x%llx", what, (unsigned long long)a->addr);
	ck_assert_msg(a->size == size, "%s: %llu bytes", what, (unsigned long long)a->size);
	ck_assert_msg(a->read == !!(how & R) && a->write == !!(how & W), "%s: read %d write %d", what, a->read, a->write);
}

/* aarch64 */

static void setup_aarch64(void)
{
	start(EM_AARCH64_NUMBER);
	set("x0", 0);
	set("x1", 0x70001000);
	set("x2", 0xfffffffffffffff8);
	set("x3", 0x100);
	set("x4", 0x5a00000070001000); /* with a tag */
	set("sp", 0x7ff0000);
}

static const struct {
	uint32_t insn;
	uint64_t addr;
	uint64_t size;
	int how;
} aarch64[] = {
	{ 0xf9400020, 0x70001000, 8, R }, /* ldr x0, [x1] */
	{ 0xf8408c20, 0x70001008, 8, R }, /* ldr x0, [x1, #8]! */
	{ 0xf8408420, 0x70001000, 8, R }, /* ldr x0, [x1], #8 */
	{ 0xf85fd020, 0x70000ffd, 8, R }, /* ldur x0, [x1, #-3] */
	{ 0xb97ffc20, 0x70004ffc, 4, R }, /* ldr w0, [x1, #16380] */
	{ 0x397ffc20, 0x70001fff, 1, R }, /* ldrb w0, [x1, #4095] */
	{ 0x78637820, 0x70001200, 2, R }, /* ldrh w0, [x1, x3, lsl #1] */
	{ 0xb9800420, 0x70001004, 4, R }, /* ldrsw x0, [x1, #4] */
	{ 0xf8625820, 0x870000fc0, 8, R }, /* ldr x0, [x1, w2, uxtw #3] */
	{ 0xf862d820, 0x70000fc0, 8, R }, /* ldr x0, [x1, w2, sxtw #3] */
	{ 0xb862c820, 0x70000ff8, 4, R }, /* ldr w0, [x1, w2, sxtw] */
	{ 0xf862f820, 0x70000fc0, 8, R }, /* ldr x0, [x1, x2, sxtx #3] */
	{ 0xf8636820, 0x70001100, 8, R }, /* ldr x0, [x1, x3] */
	{ 0xf87f6820, 0x70001000, 8, R }, /* ldr x0, [x1, xzr] */
	{ 0x3ce37820, 0x70002000, 16, R }, /* ldr q0, [x1, x3, lsl #4] */
	{ 0x3dc00820, 0x70001020, 16, R }, /* ldr q0, [x1, #32] */
	{ 0x3c9f0c20, 0x70000ff0, 16, W }, /* str q0, [x1, #-16]! */
	{ 0x3d001420, 0x70001005, 1, W }, /* str b0, [x1, #5] */
	{ 0x7c1fe420, 0x70001000, 2, W }, /* str h0, [x1], #-2 */
	{ 0xfd000080, 0x5a00000070001000, 8, W }, /* str d0, [x4] */
	{ 0xf9000880, 0x5a00000070001010, 8, W }, /* str x0, [x4, #16] */
	{ 0x38236820, 0x70001100, 1, W }, /* strb w0, [x1, x3] */
	{ 0xf81f8820, 0x70000ff8, 8, W }, /* sttr x0, [x1, #-8] */
	{ 0xa9bc1825, 0x70000fc0, 16, W }, /* stp x5, x6, [x1, #-64]! */
	{ 0xa8841825, 0x70001000, 16, W }, /* stp x5, x6, [x1], #64 */
	{ 0x29419825, 0x7000100c, 8, R }, /* ldp w5, w6, [x1, #12] */
	{ 0xad5f8821, 0x700013f0, 32, R }, /* ldp q1, q2, [x1, #1008] */
	{ 0x697f1825, 0x70000ff8, 8, R }, /* ldpsw x5, x6, [x1, #-8] */
	{ 0xa8411825, 0x70001010, 16, R }, /* ldnp x5, x6, [x1, #16] */
	{ 0x2d008821, 0x70001004, 8, W }, /* stp s1, s2, [x1, #4] */
	{ 0xc85f7c20, 0x70001000, 8, R }, /* ldxr x0, [x1] */
	{ 0xc87f9825, 0x70001000, 16, R }, /* ldaxp x5, x6, [x1] */
	{ 0x889ffc20, 0x70001000, 4, W }, /* stlr w0, [x1] */
	{ 0xc8dffc20, 0x70001000, 8, R }, /* ldar x0, [x1] */
	{ 0xf8bfc020, 0x70001000, 8, R }, /* ldapr x0, [x1] */
	{ 0x995f9020, 0x70000ff9, 4, R }, /* ldapur w0, [x1, #-7] */
	{ 0x19009020, 0x70001009, 1, W }, /* stlurb w0, [x1, #9] */
	{ 0xc8a57c26, 0x70001000, 8, R | W }, /* cas x5, x6, [x1] */
	{ 0x48267c28, 0x70001000, 16, R | W }, /* casp x6, x7, x8, x9, [x1] */
	{ 0x08e5fc26, 0x70001000, 1, R | W }, /* casalb w5, w6, [x1] */
	{ 0xf8250026, 0x70001000, 8, R | W }, /* ldadd x5, x6, [x1] */
	{ 0xb8e58026, 0x70001000, 4, R | W }, /* swpal w5, w6, [x1] */
	{ 0xf825303f, 0x70001000, 8, R | W }, /* stset x5, [x1] */
	{ 0x4cdfa020, 0x70001000, 32, R }, /* ld1 {v0.16b, v1.16b}, [x1], #32 */
	{ 0x4cc37c20, 0x70001000, 16, R }, /* ld1 {v0.2d}, [x1], x3 */
	{ 0x4c000820, 0x70001000, 64, W }, /* st4 {v0.4s, v1.4s, v2.4s, v3.4s}, [x1] */
	{ 0x0c404020, 0x70001000, 24, R }, /* ld3 {v0.8b, v1.8b, v2.8b}, [x1] */
	{ 0x0dc39020, 0x70001000, 4, R }, /* ld1 {v0.s}[1], [x1], x3 */
	{ 0x4d208420, 0x70001000, 16, W }, /* st2 {v0.d, v1.d}[1], [x1] */
	{ 0x0d40c420, 0x70001000, 2, R }, /* ld1r {v0.4h}, [x1] */
	{ 0xd50b7421, 0x70001000, 64, W }, /* dc zva, x1 */
	{ 0x58400000, PC + 0x80000, 8, R }, /* ldr x0, .+0x80000 */
	{ 0x98c00000, PC - 0x80000, 4, R }, /* ldrsw x0, .-0x80000 */
	{ 0x9c600000, PC + 0xc0000, 16, R }, /* ldr q0, .+0xc0000 */
	{ 0xd9201820, 0x70001010, 16, W }, /* stg x0, [x1, #16] */
	{ 0xd97ffc20, 0x70000ff0, 16, W }, /* stzg x0, [x1, #-16]! */
	{ 0xd9a00420, 0x70001000, 32, W }, /* st2g x0, [x1], #0 */
	{ 0xd9602020, 0x70001020, 16, R }, /* ldg x0, [x1, #32] */
	{ 0x69018420, 0x70001030, 16, W }, /* stgp x0, x1, [x1, #48] */
	{ 0xf94007e0, 0x7ff0008, 8, R }, /* ldr x0, [sp, #8] */
};

START_TEST(aarch64_accesses)
{
	struct gc_access out[GC_MAX_ACCESSES];
	uint8_t code[4];
	char what[16];

	gc_store_le32(code, aarch64[_i].insn);
	snprintf(what, sizeof(what), "%08x", aarch64[_i].insn);
	ck_assert_uint_eq(gc_disasm_accesses(disasm, &regs, PC, code, sizeof(code), out), 1);
	check(&out[0], what, aarch64[_i].addr, aarch64[_i].size, aarch64[_i].how);
}
END_TEST

/* No access, or one whose address the registers do not tell. */
START_TEST(aarch64_none)
{
	static const uint32_t insns[] = {
		0xd503201f, /* nop */
		0x8b020020, /* add x0, x1, x2 */
		0xd65f03c0, /* ret */
		0xf9800020, /* prfm pldl1keep, [x1] */
		0xf8a36820, /* prfm pldl1keep, [x1, x3] */
		0xd8000000, /* prfm pldl1keep, . */
		0xf8202420, /* ldraa x0, [x1, #16] */
		0xa5e04000, /* ld1d {z0.d}, p0/z, [x0, x0, lsl #3] */
		0xf94000a0, /* ldr x0, [x5], and x5 is unknown */
		0xf8656820, /* ldr x0, [x1, x5] */
		0xd4000001, /* svc #0 */
		0x00000000, 0xffffffff,
	};
	struct gc_access out[GC_MAX_ACCESSES];
	uint8_t code[4];

	for (size_t i = 0; i < GC_COUNT(insns); i++) {
		gc_store_le32(code, insns[i]);
		ck_assert_msg(gc_disasm_accesses(disasm, &regs, PC, code, sizeof(code), out) == 0, "%08x", insns[i]);
	}
	gc_store_le32(code, aarch64[0].insn);
	ck_assert_uint_eq(gc_disasm_accesses(disasm, &regs, PC, code, 3, out), 0);
}
END_TEST

START_TEST(aarch64_registers)
{
	static const uint8_t code[4] = { 0x20, 0x68, 0x63, 0xf8 }; /* ldr x0, [x1, x3] */
	struct gc_access out[GC_MAX_ACCESSES];

	ck_assert_uint_eq(gc_disasm_accesses(disasm, &regs, PC, code, sizeof(code), out), 1);
	ck_assert_uint_eq(out[0].nrows, 2);
	ck_assert_str_eq(map.arch->regs[out[0].rows[0]].name, "x1");
	ck_assert_str_eq(map.arch->regs[out[0].rows[1]].name, "x3");
}
END_TEST

/* x86_64 */

static void setup_x86(void)
{
	start(EM_X86_64_NUMBER);
	set("rax", 0x10);
	set("rbx", 0x2000);
	set("rcx", 0x20);
	set("rdx", 0xfffffffffffffffd); /* -3 */
	set("rsi", 0x5000);
	set("rdi", 0x6000);
	set("rbp", 0x7000);
	set("rsp", 0x8000);
	set("r12", 0xffffffff00009000);
	set("fs_base", 0x7f0000000000);
	set("gs_base", 0x6f0000000000);
}

static const struct {
	const char *name;
	const char *code;
	size_t len;
	size_t count;
	struct {
		uint64_t addr, size;
		int how;
	} access[2];
} x86[] = {
#define CODE(bytes) bytes, sizeof(bytes) - 1
	{ "mov 0x10(%rax),%eax", CODE("\x8b\x40\x10"), 1, { { 0x20, 4, R } } },
	{ "mov %ecx,(%rbx)", CODE("\x89\x0b"), 1, { { 0x2000, 4, W } } },
	{ "add %rax,(%rbx,%rcx,8)", CODE("\x48\x01\x04\xcb"), 1, { { 0x2100, 8, R | W } } },
	{ "movl $5,(%rbx,%rdx,8)", CODE("\xc7\x04\xd3\x05\x00\x00\x00"), 1, { { 0x1fe8, 4, W } } },
	{ "mov %rax,%fs:0x28", CODE("\x64\x48\x89\x04\x25\x28\x00\x00\x00"), 1, { { 0x7f0000000028, 8, W } } },
	{ "mov %gs:(%rbx),%rcx", CODE("\x65\x48\x8b\x0b"), 1, { { 0x6f0000002000, 8, R } } },
	{ "movss 8(%rip),%xmm0", CODE("\xf3\x0f\x10\x05\x08\x00\x00\x00"), 1, { { PC + 16, 4, R } } },
	{ "mov (%r12d),%ecx", CODE("\x67\x41\x8b\x0c\x24"), 1, { { 0x9000, 4, R } } },
	{ "movabs 0x1234567000,%al", CODE("\xa0\x00\x70\x56\x34\x12\x00\x00\x00"), 1, { { 0x1234567000, 1, R } } },
	{ "push %rbp", CODE("\x55"), 1, { { 0x7ff8, 8, W } } },
	{ "push 8(%rbx)", CODE("\xff\x73\x08"), 2, { { 0x2008, 8, R }, { 0x7ff8, 8, W } } },
	{ "pop %rbp", CODE("\x5d"), 1, { { 0x8000, 8, R } } },
	{ "pop (%rbx)", CODE("\x8f\x03"), 2, { { 0x2000, 8, W }, { 0x8000, 8, R } } },
	{ "pop 16(%rsp)", CODE("\x8f\x44\x24\x10"), 2, { { 0x8018, 8, W }, { 0x8000, 8, R } } },
	{ "call .", CODE("\xe8\xfb\xff\xff\xff"), 1, { { 0x7ff8, 8, W } } },
	{ "call *8(%rax)", CODE("\xff\x50\x08"), 2, { { 0x18, 8, R }, { 0x7ff8, 8, W } } },
	{ "jmp *(%rbx,%rcx,8)", CODE("\xff\x24\xcb"), 1, { { 0x2100, 8, R } } },
	{ "ret", CODE("\xc3"), 1, { { 0x8000, 8, R } } },
	{ "leave", CODE("\xc9"), 1, { { 0x7000, 8, R } } },
	{ "lods", CODE("\xac"), 1, { { 0x5000, 1, R } } },
	{ "xlat", CODE("\xd7"), 1, { { 0x2010, 1, R } } },
	{ "bts %rcx,(%rbx)", CODE("\x48\x0f\xab\x0b"), 1, { { 0x2000, 8, R | W } } },
	{ "bts %rdx,(%rbx)", CODE("\x48\x0f\xab\x13"), 1, { { 0x1ff8, 8, R | W } } },
	{ "vmovdqu %ymm0,(%rdi)", CODE("\xc5\xfe\x7f\x07"), 1, { { 0x6000, 32, W } } },
	{ "vmovdqu (%rdi),%ymm0", CODE("\xc5\xfe\x6f\x07"), 1, { { 0x6000, 32, R } } },
	{ "lea 0x10(%rax),%rbx", CODE("\x48\x8d\x58\x10"), 0, { { 0 } } },
	{ "nopw (%rax,%rax,1)", CODE("\x66\x0f\x1f\x44\x00\x00"), 0, { { 0 } } },
	{ "prefetcht0 (%rax)", CODE("\x0f\x18\x08"), 0, { { 0 } } },
	{ "vpgatherdd %ymm1,(%rax,%ymm2,4),%ymm3", CODE("\xc4\xe2\x75\x90\x1c\x90"), 0, { { 0 } } },
	{ "mov (%r13),%rax, and r13 is unknown", CODE("\x49\x8b\x45\x00"), 0, { { 0 } } },
	{ "syscall", CODE("\x0f\x05"), 0, { { 0 } } },
	{ "half an instruction", CODE("\x48\x8b"), 0, { { 0 } } },
};

START_TEST(x86_accesses)
{
	struct gc_access out[GC_MAX_ACCESSES];
	size_t count = gc_disasm_accesses(disasm, &regs, PC, (const uint8_t *)x86[_i].code, x86[_i].len, out);

	ck_assert_msg(count == x86[_i].count, "%s: %zu", x86[_i].name, count);
	for (size_t i = 0; i < count; i++)
		check(&out[i], x86[_i].name, x86[_i].access[i].addr, x86[_i].access[i].size, x86[_i].access[i].how);
}
END_TEST

/* Both at once; which one is named first depends on the version of capstone. */
START_TEST(x86_strings)
{
	static const uint8_t movs[] = { 0xf3, 0x48, 0xa5 };
	struct gc_access out[GC_MAX_ACCESSES];
	size_t to, from;

	ck_assert_uint_eq(gc_disasm_accesses(disasm, &regs, PC, movs, sizeof(movs), out), 2);
	to = out[0].addr == 0x6000 ? 0 : 1;
	from = 1 - to;
	check(&out[to], "rep movsq, to", 0x6000, 8, W);
	check(&out[from], "rep movsq, from", 0x5000, 8, R);
}
END_TEST

/* Looking for operands must not change how text is written. */
START_TEST(text_stays)
{
	static const uint8_t code[] = { 0x8b, 0x40, 0x10 };
	struct gc_access out[GC_MAX_ACCESSES];
	struct gc_instruction insn;

	gc_disasm_accesses(disasm, &regs, PC, code, sizeof(code), out);
	ck_assert_int_eq(gc_disasm_one(disasm, PC, code, sizeof(code), &insn, NULL), GC_OK);
	ck_assert_str_eq(insn.text, "mov eax, dword ptr [rax + 0x10]");
	ck_assert_uint_eq(insn.len, 3);
	ck_assert_uint_eq(gc_disasm_len(disasm, PC, code, sizeof(code)), 3);
	ck_assert_uint_eq(gc_disasm_len(disasm, PC, code, 2), 0);
	gc_disasm_set_att(disasm);
	ck_assert_uint_eq(gc_disasm_accesses(disasm, &regs, PC, code, sizeof(code), out), 1);
	ck_assert_int_eq(gc_disasm_one(disasm, PC, code, sizeof(code), &insn, NULL), GC_OK);
	ck_assert_str_eq(insn.text, "movl 0x10(%rax), %eax");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("operand");
	TCase *arm = tcase_create("aarch64"), *intel = tcase_create("x86_64");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(arm, setup_aarch64, teardown);
	tcase_add_loop_test(arm, aarch64_accesses, 0, GC_COUNT(aarch64));
	tcase_add_test(arm, aarch64_none);
	tcase_add_test(arm, aarch64_registers);
	suite_add_tcase(suite, arm);
	tcase_add_checked_fixture(intel, setup_x86, teardown);
	tcase_add_loop_test(intel, x86_accesses, 0, GC_COUNT(x86));
	tcase_add_test(intel, x86_strings);
	tcase_add_test(intel, text_stays);
	suite_add_tcase(suite, intel);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
