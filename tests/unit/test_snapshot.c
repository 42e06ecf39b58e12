/* The document "snapshot" of cores built in memory: faults of all kinds, registers, code, auxv, environment, text. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document/text.h"
#include "gocore/bytes.h"
#include "gocore/snapshot.h"

#include "core_builder.h"

#define PAGE  0x1000ULL
#define CODE  0x400000ULL
#define DATA  0x500000ULL
#define GUARD 0x7f0000000000ULL
#define STACK (GUARD + PAGE)
#define ENTRY 0x100 /* of the code in its page */

enum { BUS = 7, SEGV = 11 };
enum { RBX = 5, RAX = 10, RDX = 12, RIP = 16, RSP = 19 }; /* words of struct user_regs_struct */

static struct core_builder b;
static struct gc_process process;
static bool opened;
static json_t *doc;
static struct gc_buf text;
static struct gc_error err;
static struct gc_snapshot_options options;
static uint8_t page[PAGE], stack[2 * PAGE];
static uint64_t words[34];

static void setup(void)
{
	memset(page, 0, sizeof(page));
	memset(stack, 0, sizeof(stack));
	memset(words, 0, sizeof(words));
	options = (struct gc_snapshot_options){ .instructions = 5 };
	opened = false;
	doc = NULL;
	text = (struct gc_buf)GC_BUF_INIT;
}

static void teardown(void)
{
	json_decref(doc);
	gc_buf_deinit(&text);
	if (opened)
		gc_process_close(&process);
	builder_deinit(&b);
}

/** A thread with @words as its registers, and a signal's siginfo unless @code is 0. */
static void add_thread(uint16_t machine, int32_t tid, int signal, int code, uint64_t addr)
{
	uint8_t regs[34 * 8];

	for (size_t i = 0; i < GC_COUNT(words); i++)
		gc_store_le64(regs + 8 * i, words[i]);
	builder_prstatus(&b, tid, (uint16_t)signal, regs, machine == EM_X86_64 ? 27 * 8 : 34 * 8);
	if (code)
		builder_siginfo(&b, signal, code, addr);
}

static void add_memory(void)
{
	builder_load(&b, CODE, PAGE, page, PAGE, PF_R | PF_X);
	builder_load(&b, DATA, PAGE, NULL, PAGE, PF_R);
	builder_load(&b, GUARD, PAGE, NULL, 0, 0);
	builder_load(&b, STACK, sizeof(stack), stack, sizeof(stack), PF_R | PF_W);
}

static json_t *open_snapshot(void)
{
	const struct gc_find_options find = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_input in;

	builder_finish(&b);
	input_of_bytes(&in, b.out.data, b.out.len);
	ck_assert_msg(gc_process_open(&process, &in, &find, &err) == GC_OK, "%s", err.text);
	opened = true;
	options.find = &find;
	doc = gc_snapshot(&process, &options);
	ck_assert_ptr_nonnull(doc);
	gc_snapshot_text(doc, &text);
	return json_array_get(json_object_get(doc, "threads"), 0);
}

/** x86_64, with @insn at its pc. */
static json_t *crash(const char *insn, size_t len, int signal, int code, uint64_t addr)
{
	memcpy(page + ENTRY, insn, len);
	words[RIP] = words[RIP] ? words[RIP] : CODE + ENTRY;
	words[RSP] = words[RSP] ? words[RSP] : STACK + 0x1800;
	builder_init(&b, EM_X86_64);
	add_thread(EM_X86_64, 73, signal, code, addr);
	add_memory();
	return json_object_get(open_snapshot(), "fault");
}

#define CRASH(insn, signal, code, addr) crash(insn, sizeof(insn) - 1, signal, code, addr)
#define LOAD  "\x8b\x43\x10" /* mov 0x10(%rbx),%eax */
#define STORE "\x89\x03"     /* mov %eax,(%rbx) */

static void expect(const json_t *fault, const char *reason, const char *sentence)
{
	ck_assert_ptr_nonnull(fault);
	ck_assert_str_eq(gc_json_str(fault, "reason"), reason);
	ck_assert_str_eq(gc_json_str(fault, "text"), sentence);
	ck_assert_ptr_nonnull(strstr(gc_buf_text(&text), ": "));
}

START_TEST(null_pointer)
{
	const json_t *fault = CRASH(LOAD, SEGV, 1, 0x10);

	expect(fault, "null-pointer", "mov eax, dword ptr [rbx + 0x10]: rbx = 0: address 0x10 not mapped");
	ck_assert_str_eq(gc_json_str(fault, "access"), "read");
	ck_assert_uint_eq(gc_json_uint(fault, "size"), 4);
	ck_assert_uint_eq(gc_json_hex(fault, "effective_address"), 0x10);
	ck_assert_str_eq(gc_json_str(json_object_get(fault, "registers"), "rbx"), "0x0");
	ck_assert_ptr_nonnull(strstr(gc_buf_text(&text),
		"\nThread 73 (crashed: SIGSEGV address not mapped to object, address 0x10)\n"
		"  mov eax, dword ptr [rbx + 0x10]: rbx = 0: address 0x10 not mapped\n#0 "));
}
END_TEST

START_TEST(not_mapped)
{
	words[RBX] = 0xdead0000;
	expect(CRASH(LOAD, SEGV, 1, 0xdead0010), "not-mapped",
	       "mov eax, dword ptr [rbx + 0x10]: rbx = 0xdead0000: address 0xdead0010 not mapped");
}
END_TEST

START_TEST(no_permission)
{
	words[RBX] = DATA + 4;
	expect(CRASH(STORE, SEGV, 2, DATA + 4), "no-permission",
	       "mov dword ptr [rbx], eax: rbx = 0x500004: address 0x500004 not writable (r--)");
}
END_TEST

/* A general protection fault has no address: it is known from the instruction alone. */
START_TEST(non_canonical)
{
	const json_t *fault;

	words[RBX] = 0x6006beefdeadbeef;
	fault = CRASH(STORE, SEGV, 0x80, 0);
	ck_assert_ptr_nonnull(fault);
	ck_assert_str_eq(gc_json_str(fault, "reason"), "non-canonical");
	ck_assert_str_eq(gc_json_str(fault, "address"), "0x6006beefdeadbeef");
}
END_TEST

/* The processor looks at where a branch goes before it goes there (Intel SDM volume 2, CALL, JMP, RET). */
START_TEST(branch_to_no_address)
{
	const json_t *fault;

	words[RBX] = 0x4141414141414141;
	fault = CRASH("\xff\xd3", SEGV, 0x80, 0); /* call *%rbx */
	expect(fault, "non-canonical", "call rbx: rbx = 0x4141414141414141: address 0x4141414141414141 not canonical: "
	       "outside of what any pointer can reach");
	ck_assert_str_eq(gc_json_str(fault, "access"), "execute");
}
END_TEST

START_TEST(return_to_no_address)
{
	const json_t *fault;

	memset(stack + 0x1800, 0x41, 8);
	fault = CRASH("\xc3", SEGV, 0x80, 0);
	memset(stack + 0x1800, 0, 8);
	expect(fault, "non-canonical", "ret: to what is at 0x7f0000002800: address 0x4141414141414141 not canonical: "
	       "outside of what any pointer can reach");
}
END_TEST

/* movaps wants a multiple of its 16 bytes, movups does not mind. */
START_TEST(misaligned_vector)
{
	words[RBX] = DATA + 4;
	expect(CRASH("\x0f\x28\x03", SEGV, 0x80, 0), "misaligned",
	       "movaps xmm0, xmmword ptr [rbx]: rbx = 0x500004: address 0x500004 not a multiple of 16, as this access needs");
}
END_TEST

START_TEST(only_for_the_kernel)
{
	expect(CRASH("\xf4", SEGV, 0x80, 0), "privileged", "hlt: an instruction only for the kernel");
}
END_TEST

static const struct division {
	const char *name, *code;
	size_t len;
	uint64_t rdx, rax, rbx;
	const char *reason, *text;
} divisions[] = {
	{ "div %ebx", "\xf7\xf3", 2, 0, 7, 0xdead00000000, "division-by-zero",
	  "div ebx: rdx = 0, rax = 0x7, divisor 0: division by zero" },
	{ "idiv %rbx", "\x48\xf7\xfb", 3, UINT64_MAX, INT64_MIN, UINT64_MAX, "division-overflow",
	  "idiv rbx: rdx = 0xffffffffffffffff, rax = 0x8000000000000000, divisor -1: the quotient does not fit" },
	{ "div %bl", "\xf6\xf3", 2, 5, 0x300, 0x102, "division-overflow",
	  "div bl: rax = 0x300, divisor 2: the quotient does not fit" },
};

START_TEST(division)
{
	const struct division *d = &divisions[_i];
	const json_t *fault;

	words[RDX] = d->rdx;
	words[RAX] = d->rax;
	words[RBX] = d->rbx;
	fault = crash(d->code, d->len, 8, 1, CODE + ENTRY);
	expect(fault, d->reason, d->text);
	ck_assert_uint_eq(gc_json_hex(fault, "address"), CODE + ENTRY);
}
END_TEST

START_TEST(traps)
{
	expect(CRASH("\x0f\x0b", 4, 2, CODE + ENTRY), "trap",
	       "ud2: an instruction made to fail: a failed check, or code that is never to be reached");
}
END_TEST

/* The pc is behind the breakpoint. */
START_TEST(breakpoint)
{
	words[RIP] = CODE + ENTRY + 1;
	expect(CRASH("\xcc\x90", 5, 0x80, 0), "trap", "int3: a breakpoint instruction in the program");
}
END_TEST

START_TEST(no_instruction)
{
	expect(CRASH("\x06\x90\x90\x90\x90\x90\x90\x90", 4, 2, CODE + ENTRY), "illegal-instruction",
	       "the bytes 06 90 90 90 90 90 90 90 at 0x400100 are no instruction that is known");
}
END_TEST

START_TEST(kernel_address)
{
	words[RBX] = 0xffffffff81000000;
	ck_assert_str_eq(gc_json_str(CRASH(STORE, SEGV, 1, 0xffffffff81000000), "reason"), "kernel");
}
END_TEST

/* The access begins in a page that is there, and what faulted is the next one. */
START_TEST(crosses_page)
{
	const json_t *fault;

	words[RBX] = DATA + PAGE - 2;
	fault = CRASH("\x8b\x03", SEGV, 1, DATA + PAGE);
	ck_assert_uint_eq(gc_json_hex(fault, "address"), DATA + PAGE);
	ck_assert_uint_eq(gc_json_hex(fault, "effective_address"), DATA + PAGE - 2);
}
END_TEST

/* What the instruction does and what the kernel says do not fit: then nothing is said of the instruction. */
START_TEST(another_address)
{
	const json_t *fault;

	words[RBX] = 0xdead0000;
	fault = CRASH(LOAD, SEGV, 1, 0xbeef0000);
	expect(fault, "not-mapped", "address 0xbeef0000 not mapped");
	ck_assert_ptr_null(json_object_get(fault, "effective_address"));
	ck_assert_ptr_null(json_object_get(fault, "instruction"));
}
END_TEST

START_TEST(stack_overflow)
{
	const json_t *fault;

	words[RSP] = STACK;
	fault = CRASH("\x50", SEGV, 2, STACK - 8); /* push %rax */
	expect(fault, "stack-overflow",
	       "push rax: rsp = 0x7f0000001000: address 0x7f0000000ff8 in the guard below the stack of thread 73: "
	       "it overflowed");
	ck_assert_uint_eq(gc_json_uint(fault, "stack_tid"), 73);
}
END_TEST

START_TEST(stack_guard)
{
	words[RBX] = GUARD + 0x10;
	ck_assert_str_eq(gc_json_str(CRASH(STORE, SEGV, 2, GUARD + 0x10), "reason"), "stack-guard");
}
END_TEST

START_TEST(jump_to_nowhere)
{
	const json_t *fault;

	words[RIP] = 0xdead0000;
	fault = CRASH("", SEGV, 1, 0xdead0000);
	ck_assert_str_eq(gc_json_str(fault, "access"), "execute");
	ck_assert_str_eq(gc_json_str(fault, "reason"), "not-mapped");
}
END_TEST

START_TEST(jump_to_data)
{
	words[RIP] = DATA;
	ck_assert_str_eq(gc_json_str(CRASH("", SEGV, 2, DATA), "reason"), "no-permission");
}
END_TEST

START_TEST(beyond_file)
{
	static const struct builder_file file = { DATA, DATA + PAGE, 0, "/tmp/short" };

	words[RBX] = DATA + 0x10;
	words[RIP] = CODE + ENTRY;
	memcpy(page + ENTRY, "\x8b\x03", 2);
	builder_init(&b, EM_X86_64);
	add_thread(EM_X86_64, 73, BUS, 2, DATA + 0x10);
	builder_files(&b, PAGE, &file, 1);
	add_memory();
	expect(json_object_get(open_snapshot(), "fault"), "beyond-file",
	       "mov eax, dword ptr [rbx]: rbx = 0x500010: address 0x500010 behind the end of the mapped file /tmp/short");
}
END_TEST

START_TEST(sent_signal_is_no_fault)
{
	ck_assert_ptr_null(CRASH(LOAD, SEGV, -6, 0));
}
END_TEST

/* Without a siginfo (qemu-user) the access counts only if it cannot have worked. */
START_TEST(without_siginfo)
{
	words[RBX] = _i ? DATA : 0xdead0000;
	if (_i)
		ck_assert_ptr_null(CRASH(LOAD, SEGV, 0, 0));
	else
		expect(CRASH(LOAD, SEGV, 0, 0), "not-mapped",
		       "mov eax, dword ptr [rbx + 0x10]: rbx = 0xdead0000: address 0xdead0010 not mapped");
}
END_TEST

/* Nothing says where a function starts, so what is before the pc cannot be told. */
START_TEST(code_from_pc_only)
{
	const json_t *list;

	CRASH(LOAD STORE "\x90\x90\x90", SEGV, 1, 0x10);
	list = json_object_get(json_array_get(json_object_get(doc, "threads"), 0), "disassembly");
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert(json_is_true(json_object_get(json_array_get(list, 0), "current")));
	ck_assert_str_eq(gc_json_str(json_array_get(list, 0), "bytes"), "8b4310");
	ck_assert_str_eq(gc_json_str(json_array_get(list, 1), "address"), "0x400103");
	ck_assert_str_eq(gc_json_str(json_array_get(list, 2), "text"), "nop");
	ck_assert_ptr_nonnull(strstr(gc_buf_text(&text), "=> 0x0000000000400100: mov eax, dword ptr [rbx + 0x10]\n"));
}
END_TEST

START_TEST(code_at_the_end_of_memory)
{
	words[RIP] = CODE + PAGE - 2;
	memcpy(page + PAGE - 2, "\x8b\x43", 2); /* its last byte is not there */
	CRASH(LOAD, SEGV, 1, 0x10);
	ck_assert_ptr_null(json_object_get(json_array_get(json_object_get(doc, "threads"), 0), "disassembly"));
}
END_TEST

/* All instructions are as long: those before are known, and what is none is shown as a word. */
START_TEST(code_aarch64)
{
	const json_t *list;

	gc_store_le32(page + ENTRY - 8, 0xd503201f);
	gc_store_le32(page + ENTRY - 4, 0xffffffff);
	gc_store_le32(page + ENTRY, 0xf9000020); /* str x0, [x1] */
	gc_store_le32(page + ENTRY + 4, 0xd65f03c0);
	words[1] = 0x10;
	words[32] = CODE + ENTRY;
	builder_init(&b, EM_AARCH64);
	add_thread(EM_AARCH64, 73, SEGV, 1, 0x10);
	add_memory();
	list = json_object_get(open_snapshot(), "disassembly");
	ck_assert_uint_eq(json_array_size(list), 5);
	ck_assert_str_eq(gc_json_str(json_array_get(list, 0), "text"), "nop");
	ck_assert_str_eq(gc_json_str(json_array_get(list, 1), "text"), ".inst 0xffffffff");
	ck_assert_str_eq(gc_json_str(json_array_get(list, 2), "text"), "str x0, [x1]");
	ck_assert(json_is_true(json_object_get(json_array_get(list, 2), "current")));
	ck_assert_str_eq(gc_json_str(json_array_get(list, 3), "text"), "ret");
}
END_TEST

/* What only aarch64 can die of. */

static json_t *crash_aarch64(uint32_t insn, uint64_t pc, int signal, int code, uint64_t addr)
{
	gc_store_le32(page + ENTRY, insn);
	words[31] = words[31] ? words[31] : STACK + 0x1800;
	words[32] = pc;
	builder_init(&b, EM_AARCH64);
	add_thread(EM_AARCH64, 73, signal, code, addr);
	add_memory();
	return json_object_get(open_snapshot(), "fault");
}

START_TEST(a64_breakpoint)
{
	expect(crash_aarch64(0xd4200020, CODE + ENTRY, 5, 1, CODE + ENTRY), "trap",
	       "brk #0x1: a breakpoint instruction in the program");
}
END_TEST

START_TEST(a64_misaligned_pc)
{
	const json_t *fault = crash_aarch64(0xd503201f, CODE + ENTRY + 2, 7, 1, CODE + ENTRY + 2);

	ck_assert_str_eq(gc_json_str(fault, "reason"), "misaligned");
	ck_assert_ptr_nonnull(strstr(gc_json_str(fault, "text"), "not a multiple of 4, as those of all instructions are"));
}
END_TEST

/* do_sp_pc_abort of arch/arm64/mm/fault.c: the address is that of the stack pointer */
START_TEST(a64_misaligned_sp)
{
	const json_t *fault;

	words[31] = STACK + 0x1801;
	fault = crash_aarch64(0xf94007e1, CODE + ENTRY, 7, 1, STACK + 0x1801); /* ldr x1, [sp, #8] */
	ck_assert_str_eq(gc_json_str(fault, "reason"), "misaligned");
	ck_assert_ptr_nonnull(strstr(gc_json_str(fault, "text"), "in the stack pointer, which is not a multiple of 16"));
}
END_TEST

START_TEST(a64_bad_signature)
{
	const uint64_t pc = (CODE + ENTRY) | UINT64_C(1) << 53; /* what autia makes of a wrong one */
	const json_t *fault = crash_aarch64(0xd503201f, pc, SEGV, 1, pc);

	ck_assert_str_eq(gc_json_str(fault, "reason"), "bad-signature");
	ck_assert_ptr_nonnull(strstr(gc_json_str(fault, "text"), "which is code, with other upper bits: a signature (PAC)"));
}
END_TEST

/* el0_bti of arch/arm64/kernel/entry-common.c: SIGILL, ILL_ILLOPC, with PSTATE.BTYPE as the branch set it */
START_TEST(a64_no_landing)
{
	words[33] = 2 << 10;
	expect(crash_aarch64(0xd503201f, CODE + ENTRY, 4, 1, CODE + ENTRY), "branch-target",
	       "nop: a branch by a register led here, which is not marked as a target (BTI)");
}
END_TEST

START_TEST(registers)
{
	static const size_t counts[] = { [GC_REGISTERS_GENERAL] = 27, [GC_REGISTERS_ALL] = 27, [GC_REGISTERS_NONE] = 0 };
	uint8_t fpregs[512] = { 0 };
	const json_t *all;

	for (unsigned i = 0; i < 16; i++)
		fpregs[160 + i] = (uint8_t)(i + 1); /* xmm0 */
	words[RBX] = 0x1122;
	words[RIP] = CODE + ENTRY;
	builder_init(&b, EM_X86_64);
	add_thread(EM_X86_64, 73, 6, 0, 0);
	builder_note(&b, "CORE", NT_FPREGSET, fpregs, sizeof(fpregs));
	add_memory();
	options.registers = (enum gc_snapshot_registers)_i;
	all = json_object_get(open_snapshot(), "registers");
	ck_assert_uint_ge(json_object_size(all), counts[_i]);
	if (_i == GC_REGISTERS_NONE)
		return;
	ck_assert_str_eq(gc_json_str(all, "rbx"), "0x1122");
	if (_i == GC_REGISTERS_ALL)
		ck_assert_str_eq(gc_json_str(all, "xmm0"), "0x100f0e0d0c0b0a090807060504030201");
	else
		ck_assert_uint_eq(json_object_size(all), counts[_i]);
	ck_assert_ptr_null(json_object_get(all, "ymm0")); /* its upper half is not in this core */
}
END_TEST

/* What execve leaves on a new stack: argc, argv, envp, auxv, strings. */
static void make_stack(uint64_t *auxv, size_t npairs)
{
	static const char *const strings[] = { "prog", "a\nb", "HOME=/", "X=\xff", "/bin/prog" };
	uint64_t at[5], addr = STACK + 0x800, low = STACK + 0x100;

	for (size_t i = 0; i < GC_COUNT(strings); i++) {
		at[i] = addr;
		strcpy((char *)stack + (addr - STACK), strings[i]);
		addr += strlen(strings[i]) + 1;
	}
	auxv[1] = at[4];
	{
		const uint64_t list[] = { 2, at[0], at[1], 0, at[2], at[3], 0 };

		for (size_t i = 0; i < GC_COUNT(list); i++, low += 8)
			gc_store_le64(stack + (low - STACK), list[i]);
	}
	for (size_t i = 0; i < 2 * npairs; i++, low += 8)
		gc_store_le64(stack + (low - STACK), auxv[i]);
}

static json_t *open_started(uint64_t *auxv, size_t npairs)
{
	words[RIP] = CODE + ENTRY;
	builder_init(&b, EM_X86_64);
	add_thread(EM_X86_64, 73, 6, 0, 0);
	builder_auxv(&b, auxv, npairs);
	add_memory();
	options.env = options.auxv = true;
	open_snapshot();
	return doc;
}

static const char *item(const char *list, size_t i)
{
	return json_string_value(json_array_get(json_object_get(doc, list), i));
}

START_TEST(environment)
{
	uint64_t auxv[] = { AT_EXECFN, 0, AT_PAGESZ, 4096, 4711, 5 };
	const json_t *entries;

	make_stack(auxv, 3);
	open_started(auxv, 3);
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "arguments")), 2);
	ck_assert_str_eq(item("arguments", 0), "prog");
	ck_assert_str_eq(item("arguments", 1), "a\nb");
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "environment")), 2);
	ck_assert_str_eq(item("environment", 0), "HOME=/");
	ck_assert_str_eq(item("environment", 1), "X=\xef\xbf\xbd");
	ck_assert_ptr_nonnull(strstr(gc_buf_text(&text), "  a\\nb\n"));
	entries = json_object_get(doc, "auxv");
	ck_assert_uint_eq(json_array_size(entries), 3);
	ck_assert_str_eq(gc_json_str(json_array_get(entries, 0), "name"), "AT_EXECFN");
	ck_assert_str_eq(gc_json_str(json_array_get(entries, 0), "text"), "/bin/prog");
	ck_assert_uint_eq(gc_json_uint(json_array_get(entries, 1), "number"), 4096);
	ck_assert_ptr_null(json_object_get(json_array_get(entries, 2), "name"));
	ck_assert_uint_eq(gc_json_uint(json_array_get(entries, 2), "type"), 4711);
}
END_TEST

/* The list of variables does not end, or points nowhere. */
START_TEST(damaged_environment)
{
	uint64_t auxv[] = { AT_EXECFN, 0, AT_PAGESZ, 4096 };

	make_stack(auxv, 2);
	if (_i == 0)
		memset(stack, 0x41, 0x100 + 6 * 8);
	else if (_i == 1)
		gc_store_le64(stack + 0x100 + 8, 0xdead0000); /* argv[0] */
	else
		memset(stack + 0x100 + 7 * 8, 0, 32); /* no vector */
	open_started(auxv, 2);
	if (_i == 1)
		ck_assert(json_is_null(json_array_get(json_object_get(doc, "arguments"), 0)));
	else
		ck_assert_uint_ge(json_array_size(json_object_get(doc, "problems")), 1);
}
END_TEST

/* A damaged pointer that is one if its top byte is ignored. */
START_TEST(tagged_pointer_to_strings)
{
	uint64_t auxv[] = { AT_EXECFN, 0, AT_PAGESZ, 4096 };

	make_stack(auxv, 2);
	auxv[1] |= 0xff00000000000000;
	words[32] = CODE + ENTRY;
	builder_init(&b, EM_AARCH64);
	add_thread(EM_AARCH64, 73, 6, 0, 0);
	builder_auxv(&b, auxv, 2);
	add_memory();
	options.env = options.auxv = true;
	open_snapshot();
	ck_assert_uint_ge(json_array_size(json_object_get(doc, "problems")), 1);
	ck_assert_ptr_null(json_object_get(doc, "environment"));
}
END_TEST

/* A second thread, which did not crash and is in a system call. */
START_TEST(threads)
{
	const json_t *second;

	memcpy(page + ENTRY + 0x20, "\x0f\x05", 2);
	words[RIP] = CODE + ENTRY;
	builder_init(&b, EM_X86_64);
	add_thread(EM_X86_64, 73, SEGV, 1, 0x10);
	words[RIP] = CODE + ENTRY + 0x22;
	words[15] = 35; /* orig_rax */
	words[10] = (uint64_t)-516;
	words[14] = 0x1234; /* rdi */
	add_thread(EM_X86_64, 74, SEGV, 0, 0);
	add_memory();
	open_snapshot();
	second = json_array_get(json_object_get(doc, "threads"), 1);
	ck_assert_uint_eq(gc_json_uint(second, "tid"), 74);
	ck_assert(json_is_false(json_object_get(second, "crashed")));
	ck_assert_ptr_null(json_object_get(second, "signal"));
	ck_assert_ptr_null(json_object_get(second, "fault"));
	ck_assert_str_eq(gc_json_str(json_object_get(second, "syscall"), "text"), "nanosleep(0x1234, 0)");
	ck_assert_ptr_nonnull(strstr(gc_buf_text(&text), "\nThread 74\n  in nanosleep(0x1234, 0)\n"));
}
END_TEST

/* A document with nothing in it must not trouble the text. */
START_TEST(empty_document)
{
	doc = json_object();
	gc_snapshot_text(doc, &text);
	ck_assert(!text.failed);
	builder_init(&b, EM_X86_64);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("snapshot");
	TCase *tc = tcase_create("snapshot");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, null_pointer);
	tcase_add_test(tc, not_mapped);
	tcase_add_test(tc, no_permission);
	tcase_add_test(tc, non_canonical);
	tcase_add_test(tc, branch_to_no_address);
	tcase_add_test(tc, return_to_no_address);
	tcase_add_test(tc, misaligned_vector);
	tcase_add_test(tc, only_for_the_kernel);
	tcase_add_loop_test(tc, division, 0, GC_COUNT(divisions));
	tcase_add_test(tc, traps);
	tcase_add_test(tc, breakpoint);
	tcase_add_test(tc, no_instruction);
	tcase_add_test(tc, kernel_address);
	tcase_add_test(tc, crosses_page);
	tcase_add_test(tc, another_address);
	tcase_add_test(tc, stack_overflow);
	tcase_add_test(tc, stack_guard);
	tcase_add_test(tc, jump_to_nowhere);
	tcase_add_test(tc, jump_to_data);
	tcase_add_test(tc, beyond_file);
	tcase_add_test(tc, sent_signal_is_no_fault);
	tcase_add_loop_test(tc, without_siginfo, 0, 2);
	tcase_add_test(tc, code_from_pc_only);
	tcase_add_test(tc, code_at_the_end_of_memory);
	tcase_add_test(tc, code_aarch64);
	tcase_add_test(tc, a64_breakpoint);
	tcase_add_test(tc, a64_misaligned_pc);
	tcase_add_test(tc, a64_misaligned_sp);
	tcase_add_test(tc, a64_bad_signature);
	tcase_add_test(tc, a64_no_landing);
	tcase_add_loop_test(tc, registers, 0, 3);
	tcase_add_test(tc, environment);
	tcase_add_loop_test(tc, damaged_environment, 0, 3);
	tcase_add_test(tc, tagged_pointer_to_strings);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, empty_document);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
