/* Stacks of both architectures: each way to leave a frame, and why stacks end. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/unwind.h"

#include "code_builder.h"

#define FUNC ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)
#define SP (CODE_STACK + 0x400) /* where the innermost frame starts */

/* struct user_regs_struct, struct user_pt_regs */
enum { RBP = 4, RBX = 5, RIP = 16, RSP = 19 };
enum { FP = 29, LR = 30, A64_SP = 31, PC = 32 };

static struct code_builder b;
static struct gc_process process;
static struct gc_symbols *symbols;
static struct gc_unwinder *unwinder;
static struct gc_frames frames;
static struct gc_stack_end end;
static struct gc_error err;

/* The text: functions of 0x40 bytes each. */
static const struct code_symbol names[] = {
	{ "f0", 0x000, 0x40, FUNC }, { "f1", 0x040, 0x40, FUNC }, { "f2", 0x080, 0x40, FUNC },
	{ "f3", 0x0c0, 0x40, FUNC }, { "start", 0x100, 0x40, FUNC },
};

static void setup_x86_64(void)
{
	b = (struct code_builder){ .machine = EM_X86_64, .symbols = names, .nsymbols = GC_COUNT(names) };
	memset(b.text, 0x90, sizeof(b.text));
	for (size_t i = 0x10; i < sizeof(b.text); i += 0x10)
		memcpy(b.text + i - 2, "\xff\xd0", 2); /* call *%rax ends at each multiple of 16 */
	b.regs[RSP] = SP;
}

static void setup_aarch64(void)
{
	b = (struct code_builder){ .machine = EM_AARCH64, .symbols = names, .nsymbols = GC_COUNT(names) };
	for (size_t i = 0; i < sizeof(b.text); i += 4)
		gc_store_le32(b.text + i, i % 16 == 12 ? 0xd63f0000 : 0xd503201f); /* blr x0; nop */
	b.regs[A64_SP] = SP;
}

static void teardown(void)
{
	gc_unwinder_free(unwinder);
	gc_symbols_free(symbols);
	gc_process_close(&process);
	gc_frames_deinit(&frames);
}

static void unwind(void)
{
	struct gc_regs regs;

	code_process(&b, &process);
	ck_assert_int_eq(gc_symbols_new(&symbols, &process, NULL, NULL, &err), GC_OK);
	ck_assert_int_eq(gc_unwinder_new(&unwinder, &process, symbols, NULL, &process.problems, &err), GC_OK);
	ck_assert_int_eq(gc_core_regs(&process.core, &process.core.threads[0], &process.regmap, &regs, NULL, &err),
			 GC_OK);
	ck_assert_int_eq(gc_unwind_thread(unwinder, &regs, 1, &frames, &end, &err), GC_OK);
	gc_regs_deinit(&regs);
}

static void ck_frame(size_t i, uint64_t pc, const char *function, enum gc_frame_how how)
{
	ck_assert_msg(i < frames.count, "only %zu frames: %s", frames.count, end.why.text);
	ck_assert_msg(frames.list[i].pc == pc, "frame %zu: pc 0x%lx", i, (unsigned long)frames.list[i].pc);
	if (function)
		ck_assert_str_eq(frames.list[i].function, function);
	else
		ck_assert_ptr_null(frames.list[i].function);
	ck_assert_int_eq(frames.list[i].how, how);
}

static void ck_end(size_t count, enum gc_stack_end_kind kind, const char *text)
{
	ck_assert_msg(end.kind == kind, "%s: %s", gc_stack_end_name(end.kind), end.why.text);
	ck_assert_msg(strstr(end.why.text, text) != NULL, "%s", end.why.text);
	ck_assert_uint_eq(frames.count, count);
}

/* x86_64 by CFI. */

static const uint8_t x86_frame[] = { /* push %rbx (1), sub $16,%rsp (4) */
	0x41, 0x0e, 16, 0x83, 2,
	0x44, 0x0e, 32,
};
static const uint8_t x86_rbx_frame[] = { 0x41, 0x0d, 3, 0x0e, 16 }; /* the CFA is rbx + 16 */
static const uint8_t undefined_ra[] = { 0x07, 16 };

static const struct code_fde x86_fdes[] = {
	{ 0x000, 0x40, x86_frame, sizeof(x86_frame), false },
	{ 0x040, 0x40, x86_rbx_frame, sizeof(x86_rbx_frame), false },
	{ 0x080, 0x40, NULL, 0, false },
	{ 0x100, 0x40, undefined_ra, sizeof(undefined_ra), false },
};

static void make_x86_stack(void)
{
	b.fdes = x86_fdes;
	b.nfdes = GC_COUNT(x86_fdes);
	b.regs[RIP] = CODE_AT(0x20);
	b.regs[RBX] = 1;
	code_push(&b, SP + 16, SP + 0x60);      /* rbx of f1 */
	code_push(&b, SP + 24, CODE_AT(0x50));  /* into f1, whose CFA is rbx + 16 */
	code_push(&b, SP + 0x60 + 8, CODE_AT(0xc0)); /* the end of f2: a call that does not return */
	code_push(&b, SP + 0x60 + 16, CODE_AT(0x110));
}

static void ck_x86_stack(void)
{
	ck_frame(0, CODE_AT(0x20), "f0", GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0xc0), "f2", GC_HOW_CFI);
	ck_frame(3, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_assert_uint_eq(frames.list[0].sp, SP);
	ck_assert_uint_eq(frames.list[0].cfa, SP + 32);
	ck_assert_uint_eq(frames.list[1].sp, SP + 32);
	ck_assert_uint_eq(frames.list[1].cfa, SP + 0x70);
	ck_assert_uint_eq(frames.list[1].entry, CODE_AT(0x40));
	ck_assert(frames.list[0].exact && !frames.list[1].exact);
	ck_end(4, GC_STACK_COMPLETE, "");
}

START_TEST(x86_by_search_table)
{
	make_x86_stack();
	unwind();
	ck_x86_stack();
	ck_assert_uint_eq(process.problems.count, 0);
}
END_TEST

START_TEST(x86_by_section)
{
	make_x86_stack();
	b.no_hdr = true;
	unwind();
	ck_x86_stack();
}
END_TEST

START_TEST(x86_by_index_when_the_table_is_damaged)
{
	make_x86_stack();
	b.damaged_hdr = true;
	unwind();
	ck_x86_stack();
}
END_TEST

START_TEST(x86_in_the_prologue)
{
	make_x86_stack();
	b.regs[RIP] = CODE_AT(0x00);
	code_push(&b, SP, CODE_AT(0x90));
	code_push(&b, SP + 8, CODE_AT(0x110));
	unwind();
	ck_frame(1, CODE_AT(0x90), "f2", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_end(3, GC_STACK_COMPLETE, "");
}
END_TEST

START_TEST(x86_ends)
{
	make_x86_stack();
	code_push(&b, SP + 24, 0x1234);
	unwind();
	ck_end(1, GC_STACK_NOT_CODE, "the return address 0x1234");
}
END_TEST

START_TEST(x86_zero_ends)
{
	make_x86_stack();
	code_push(&b, SP + 24, 0);
	unwind();
	ck_end(1, GC_STACK_COMPLETE, "");
}
END_TEST

START_TEST(x86_stack_is_missing)
{
	make_x86_stack();
	b.regs[RSP] = CODE_STACK + CODE_STACK_LEN - 16;
	unwind();
	ck_end(1, GC_STACK_NO_MEMORY, "not mapped");
}
END_TEST

START_TEST(x86_stack_goes_down)
{
	make_x86_stack();
	code_push(&b, SP + 16, SP - 0x40);
	unwind();
	ck_end(2, GC_STACK_DAMAGED, "not above");
}
END_TEST

START_TEST(x86_register_is_lost)
{
	make_x86_stack();
	b.regs[RIP] = CODE_AT(0x90);            /* f2, which keeps nothing */
	code_push(&b, SP, CODE_AT(0x50));
	unwind();
	/* rbx is preserved by the ABI, and is 1 */
	ck_end(2, GC_STACK_DAMAGED, "not above");
}
END_TEST

START_TEST(x86_call_of_null)
{
	make_x86_stack();
	b.regs[RIP] = 0;
	code_push(&b, SP, CODE_AT(0x90));
	code_push(&b, SP + 8, CODE_AT(0x110));
	unwind();
	ck_frame(0, 0, NULL, GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x90), "f2", GC_HOW_REGISTERS);
	ck_frame(2, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_end(3, GC_STACK_COMPLETE, "");
}
END_TEST

START_TEST(x86_jump_to_nowhere)
{
	make_x86_stack();
	b.regs[RIP] = 0xdead0000;
	code_push(&b, SP, 0x77);
	unwind();
	ck_frame(0, 0xdead0000, NULL, GC_HOW_REGISTERS);
	ck_end(1, GC_STACK_NOT_CODE, "0x77 is no return address");
}
END_TEST

/* x86_64 without tables. */

START_TEST(x86_frame_pointers)
{
	memcpy(b.text + 0x00, "\x55\x48\x89\xe5", 4);
	memcpy(b.text + 0x40, "\x55\x48\x89\xe5", 4);
	b.regs[RIP] = CODE_AT(0x25);
	b.regs[RBP] = SP + 0x20;
	code_push(&b, SP + 0x20, SP + 0x60);
	code_push(&b, SP + 0x28, CODE_AT(0x50));
	code_push(&b, SP + 0x60, 0);
	code_push(&b, SP + 0x68, 0);
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_FRAME_POINTER);
	ck_assert_uint_eq(frames.list[1].sp, SP + 0x30);
	ck_end(2, GC_STACK_COMPLETE, "");
}
END_TEST

START_TEST(x86_chain_of_code_without_names)
{
	b.regs[RIP] = CODE_JIT + 0x25;
	b.regs[RBP] = SP + 0x20;
	code_push(&b, SP + 0x20, SP + 0x60);
	code_push(&b, SP + 0x28, CODE_JIT + 0x50);
	code_push(&b, SP + 0x60, SP + 0x90);
	code_push(&b, SP + 0x68, CODE_JIT + 0x55); /* no call ends there */
	unwind();
	ck_frame(1, CODE_JIT + 0x50, NULL, GC_HOW_FRAME_POINTER);
	ck_end(2, GC_STACK_NO_RULES, "no unwind tables");
}
END_TEST

START_TEST(x86_chain_must_go_up)
{
	b.regs[RIP] = CODE_JIT + 0x25;
	b.regs[RBP] = SP + 0x20;
	code_push(&b, SP + 0x20, SP + 0x20);
	code_push(&b, SP + 0x28, CODE_JIT + 0x50);
	unwind();
	ck_end(2, GC_STACK_NO_RULES, "there is no frame pointer");
}
END_TEST

START_TEST(x86_prologue_without_frame_pointer)
{
	/* endbr64; push %rbx; mov %edi,%ebx; sub $16,%rsp */
	memcpy(b.text, "\xf3\x0f\x1e\xfa\x53\x89\xfb\x48\x83\xec\x10", 11);
	b.regs[RIP] = CODE_AT(0x20);
	b.regs[RBP] = 0x1234;
	code_push(&b, SP + 24, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_assert_uint_eq(frames.list[1].sp, SP + 32);
	ck_end(2, GC_STACK_COMPLETE, "");
}
END_TEST

/** The code behind a return runs with the stack of the jump that leads there. */
START_TEST(x86_code_behind_a_return)
{
	/* push %rbx; sub $16,%rsp; je 0x18; add $16,%rsp; pop %rbx; ret */
	memcpy(b.text, "\x53\x48\x83\xec\x10\x74\x11\x48\x83\xc4\x10\x5b\xc3", 13);
	b.regs[RIP] = CODE_AT(0x1c);
	code_push(&b, SP, CODE_AT(0x60));                   /* what it would be without the 24 bytes */
	code_push(&b, SP + 24, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_assert_uint_eq(frames.list[1].sp, SP + 32);
}
END_TEST

/** In the middle of the epilogue less is left on the stack. */
START_TEST(x86_epilogue)
{
	memcpy(b.text, "\x53\x48\x83\xec\x10\x48\x83\xc4\x10\x5b\xc3", 11);
	b.regs[RIP] = CODE_AT(0x09);                        /* pop %rbx */
	code_push(&b, SP, CODE_AT(0x60));
	code_push(&b, SP + 8, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_assert_uint_eq(frames.list[1].sp, SP + 16);
}
END_TEST

/** Only the frame pointer tells how much a variable array took, here even above its alignment. */
START_TEST(x86_variable_frame)
{
	/* push %rbp; mov %rsp,%rbp; sub %rax,%rsp; and $-32,%rsp */
	memcpy(b.text, "\x55\x48\x89\xe5\x48\x29\xc4\x48\x83\xe4\xe0", 11);
	b.regs[RIP] = CODE_AT(0x20);
	b.regs[RBP] = SP + 0x80;
	code_push(&b, SP + 0x88, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_FRAME_POINTER);
	ck_assert_uint_eq(frames.list[1].sp, SP + 0x90);
}
END_TEST

/** A frame of which nothing tells the size is not guessed. */
START_TEST(x86_variable_frame_without_frame_pointer)
{
	memcpy(b.text, "\x53\x48\x29\xc4", 4);            /* push %rbx; sub %rax,%rsp */
	b.regs[RIP] = CODE_AT(0x20);
	code_push(&b, SP + 8, CODE_AT(0x50));
	unwind();
	ck_end(1, GC_STACK_NO_RULES, "no frame pointer");
}
END_TEST

/** f1 called f2, which went over to f0 by a jump. */
START_TEST(x86_call_of_a_function_that_jumped)
{
	memcpy(b.text, "\x53\x48\x83\xec\x10", 5);
	memcpy(b.text + 0x50 - 5, "\xe8\x30\x00\x00\x00", 5);
	memcpy(b.text + 0x80, "\xe9\x7b\xff\xff\xff", 5);  /* jmp f0 */
	b.regs[RIP] = CODE_AT(0x20);
	code_push(&b, SP + 24, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
}
END_TEST

/** A part of f0 that is entered by a jump from it, and has no stack of its own. */
START_TEST(x86_cold_part)
{
	static const struct code_symbol parts[] = {
		{ "f0", 0x000, 0x40, FUNC }, { "f1", 0x040, 0x40, FUNC },
		{ "f0.cold", 0x200, 0x40, ELF64_ST_INFO(STB_LOCAL, STT_FUNC) },
	};

	b.symbols = parts;
	b.nsymbols = GC_COUNT(parts);
	memcpy(b.text, "\x53\x0f\x84\xf9\x01\x00\x00", 7); /* push %rbx; je 0x200 */
	b.regs[RIP] = CODE_AT(0x204);
	code_push(&b, SP, CODE_AT(0x60));
	code_push(&b, SP + 8, CODE_AT(0x50));
	unwind();
	ck_frame(0, CODE_AT(0x204), "f0.cold", GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
}
END_TEST

START_TEST(x86_call_of_another_function)
{
	memcpy(b.text, "\x53\x48\x83\xec\x10", 5);
	memcpy(b.text + 0x50 - 5, "\xe8\x30\x00\x00\x00", 5); /* f1 calls f2 there, not f0 */
	b.regs[RIP] = CODE_AT(0x20);
	code_push(&b, SP + 24, CODE_AT(0x50));
	unwind();
	ck_end(1, GC_STACK_NO_RULES, "is none");
}
END_TEST

/* Signals. */

START_TEST(x86_sigreturn_by_its_code)
{
	make_x86_stack();
	memcpy(b.text + 0x200, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	b.regs[RIP] = CODE_AT(0x90);
	code_push(&b, SP, CODE_AT(0x200));
	code_push(&b, SP + 8 + 168, CODE_AT(0x40));         /* rip: f1 before it did anything */
	code_push(&b, SP + 8 + 160, CODE_STACK + 0x100);    /* rsp: another stack, below */
	code_push(&b, CODE_STACK + 0x100, CODE_AT(0x110));
	unwind();
	ck_frame(1, CODE_AT(0x200), "<signal handler called>", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0x40), "f1", GC_HOW_SIGNAL_FRAME);
	ck_assert(frames.list[2].exact);
	ck_frame(3, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_end(4, GC_STACK_COMPLETE, "");
}
END_TEST

/* as in glibc: the CFA is what rsp + 160 holds, rip is at rsp + 168 */
static const uint8_t restorer[] = { 0x0f, 4, 0x77, 0xa0, 0x01, 0x06, 0x10, 16, 3, 0x77, 0xa8, 0x01 };
static const struct code_fde x86_signal_fdes[] = {
	{ 0x040, 0x40, NULL, 0, false },
	{ 0x080, 0x40, NULL, 0, false },
	{ 0x100, 0x40, undefined_ra, sizeof(undefined_ra), false },
	{ 0x200, 0x10, restorer, sizeof(restorer), true },
};

START_TEST(x86_sigreturn_by_cfi)
{
	make_x86_stack();
	b.fdes = x86_signal_fdes;
	b.nfdes = GC_COUNT(x86_signal_fdes);
	b.regs[RIP] = CODE_AT(0x90);
	code_push(&b, SP, CODE_AT(0x200));
	code_push(&b, SP + 8 + 168, 0);                     /* it jumped to NULL */
	code_push(&b, SP + 8 + 160, CODE_STACK + 0x100);
	code_push(&b, CODE_STACK + 0x100, CODE_AT(0x50));
	code_push(&b, CODE_STACK + 0x108, CODE_AT(0x110));
	unwind();
	ck_frame(1, CODE_AT(0x200), "<signal handler called>", GC_HOW_CFI);
	ck_frame(2, 0, NULL, GC_HOW_SIGNAL_FRAME);
	ck_frame(3, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_frame(4, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_end(5, GC_STACK_COMPLETE, "");
}
END_TEST

/** A signal frame that returns to itself. */
START_TEST(signals_are_bounded)
{
	memcpy(b.text + 0x200, "\x48\xc7\xc0\x0f\0\0\0\x0f\x05", 9);
	b.regs[RIP] = CODE_AT(0x200);
	code_push(&b, SP + 168, CODE_AT(0x200));
	code_push(&b, SP + 160, SP);
	unwind();
	ck_end(257, GC_STACK_LIMIT, "signal frames");
}
END_TEST

/* aarch64 */

static const uint8_t a64_frame[] = { 0x41, 0x0e, 32, 0x9d, 4, 0x9e, 3 }; /* stp x29, x30, [sp, #-32]! */
static const uint8_t a64_signed_frame[] = { 0x41, 0x2d, 0x0e, 32, 0x9d, 4, 0x9e, 3 };
static const uint8_t a64_undefined[] = { 0x07, 30 };

static const struct code_fde a64_fdes[] = {
	{ 0x000, 0x40, NULL, 0, false },
	{ 0x040, 0x40, a64_frame, sizeof(a64_frame), false },
	{ 0x080, 0x40, a64_signed_frame, sizeof(a64_signed_frame), false },
	{ 0x100, 0x40, a64_undefined, sizeof(a64_undefined), false },
};

static void make_a64_stack(void)
{
	b.fdes = a64_fdes;
	b.nfdes = GC_COUNT(a64_fdes);
	b.regs[PC] = CODE_AT(0x20);             /* a leaf */
	b.regs[LR] = CODE_AT(0x50);
	code_push(&b, SP + 8, CODE_AT(0x90) | 0x2aULL << 48); /* signed, and the core does not tell the mask */
	code_push(&b, SP + 32 + 8, CODE_AT(0x110) | 0x15ULL << 48);
}

START_TEST(a64_leaf_and_signed)
{
	make_a64_stack();
	unwind();
	ck_frame(0, CODE_AT(0x20), "f0", GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0x90), "f2", GC_HOW_CFI);
	ck_frame(3, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_assert_uint_eq(frames.list[0].cfa, SP);
	ck_assert_uint_eq(frames.list[2].sp, SP + 32);
	ck_end(4, GC_STACK_COMPLETE, "");
}
END_TEST

/** A frame that made a call and did not save x30 has no caller that could be known. */
START_TEST(a64_lost_return_address)
{
	make_a64_stack();
	b.regs[LR] = CODE_AT(0x30);             /* into another leaf */
	unwind();
	ck_end(2, GC_STACK_DAMAGED, "");
}
END_TEST

START_TEST(a64_call_of_data)
{
	make_a64_stack();
	b.regs[PC] = CODE_STACK;
	unwind();
	ck_frame(0, CODE_STACK, NULL, GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_frame(2, CODE_AT(0x90), "f2", GC_HOW_CFI);
	ck_end(4, GC_STACK_COMPLETE, "");
}
END_TEST

START_TEST(a64_sigreturn_by_its_code)
{
	make_a64_stack();
	memcpy(b.text + 0x200, "\x68\x11\x80\xd2\x01\0\0\xd4", 8);
	b.regs[LR] = CODE_AT(0x200);
	code_push(&b, SP + 128 + 440, CODE_AT(0x24));       /* pc */
	code_push(&b, SP + 128 + 432, CODE_STACK + 0x100);  /* sp */
	code_push(&b, SP + 128 + 184 + 8 * 30, CODE_AT(0x110)); /* x30 */
	unwind();
	ck_frame(1, CODE_AT(0x200), "<signal handler called>", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0x24), "f0", GC_HOW_SIGNAL_FRAME);
	ck_frame(3, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_end(4, GC_STACK_COMPLETE, "");
}
END_TEST

/** stp x29, x30, [sp, #-64]!; mov x29, sp: then the caller's sp is 64 above, not 16. */
START_TEST(a64_frame_pointers)
{
	gc_store_le32(b.text + 0x00, 0xa9bc7bfd);
	gc_store_le32(b.text + 0x04, 0x910003fd);
	gc_store_le32(b.text + 0x40, 0xf81f0ffe);           /* str x30, [sp, #-16]!, without x29 */
	gc_store_le32(b.text + 0x80, 0xa9be7bfd);
	gc_store_le32(b.text + 0x84, 0x910003fd);
	b.regs[PC] = CODE_AT(0x20);
	b.regs[LR] = CODE_AT(0x10);                         /* of a call that it made */
	b.regs[FP] = SP;
	code_push(&b, SP, SP + 0x50);
	code_push(&b, SP + 8, CODE_AT(0x50));
	code_push(&b, SP + 0x40, CODE_AT(0x90));            /* x30 of f1 */
	code_push(&b, SP + 0x50, 0);
	code_push(&b, SP + 0x58, 0);
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_FRAME_POINTER);
	ck_assert_uint_eq(frames.list[1].sp, SP + 0x40);
	ck_frame(2, CODE_AT(0x90), "f2", GC_HOW_REGISTERS);
	ck_assert_uint_eq(frames.list[2].sp, SP + 0x50);
	ck_end(3, GC_STACK_COMPLETE, "");
}
END_TEST

/** Code behind an early return runs with the frame that the return dropped; x29 is not its own. */
START_TEST(a64_code_behind_a_return)
{
	gc_store_le32(b.text + 0x00, 0xd10083ff);           /* sub sp, sp, #32 */
	gc_store_le32(b.text + 0x04, 0xf9000ffe);           /* str x30, [sp, #24] */
	gc_store_le32(b.text + 0x08, 0xb4000080);           /* cbz x0, 0x18 */
	gc_store_le32(b.text + 0x0c, 0xf9400ffe);           /* ldr x30, [sp, #24] */
	gc_store_le32(b.text + 0x10, 0x910083ff);           /* add sp, sp, #32 */
	gc_store_le32(b.text + 0x14, 0xd65f03c0);           /* ret */
	b.regs[PC] = CODE_AT(0x24);
	b.regs[LR] = CODE_AT(0x20);
	code_push(&b, SP + 24, CODE_AT(0x50));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_REGISTERS);
	ck_assert_uint_eq(frames.list[1].sp, SP + 32);
}
END_TEST

/** Left by the frame pointer alone the caller's sp is not known, but its tables and its frame pointer tell. */
START_TEST(a64_tables_above_code_without_names)
{
	make_a64_stack();
	b.regs[PC] = CODE_JIT + 0x24;
	b.regs[LR] = CODE_JIT + 0x10;
	b.regs[FP] = SP;
	code_push(&b, SP, SP + 0x60);
	code_push(&b, SP + 8, CODE_AT(0x50));
	code_push(&b, SP + 0x60, 0);
	code_push(&b, SP + 0x68, CODE_AT(0x110));
	unwind();
	ck_frame(1, CODE_AT(0x50), "f1", GC_HOW_FRAME_POINTER);
	ck_frame(2, CODE_AT(0x110), "start", GC_HOW_CFI);
	ck_assert_uint_eq(frames.list[2].sp, SP + 0x80);
	ck_end(3, GC_STACK_COMPLETE, "");
}
END_TEST

/* Lines. */

static enum gc_code two_lines(void *data, const struct gc_frame *frame, struct gc_frames *out, struct gc_error *e)
{
	struct gc_frame line = *frame;

	ck_assert_ptr_eq(data, &b);
	if (frame->exact)
		return GC_E_NOT_FOUND;
	line.function = "inlined";
	line.inlined = true;
	ck_assert_int_eq(gc_frames_add(out, &line, e), GC_OK);
	return gc_frames_add(out, frame, e);
}

START_TEST(lines_are_asked)
{
	struct gc_regs regs;

	make_x86_stack();
	unwind();
	gc_frames_clear(&frames);
	gc_unwinder_set_lines(unwinder, two_lines, NULL, &b);
	gc_core_regs(&process.core, &process.core.threads[0], &process.regmap, &regs, NULL, &err);
	ck_assert_int_eq(gc_unwind_thread(unwinder, &regs, 1, &frames, &end, &err), GC_OK);
	gc_regs_deinit(&regs);
	ck_frame(0, CODE_AT(0x20), "f0", GC_HOW_REGISTERS);
	ck_frame(1, CODE_AT(0x50), "inlined", GC_HOW_CFI);
	ck_frame(2, CODE_AT(0x50), "f1", GC_HOW_CFI);
	ck_end(7, GC_STACK_COMPLETE, "");
}
END_TEST

/** Stacks of noise end, wherever they lead. */
START_TEST(noise)
{
	uint32_t random = 1;

	make_x86_stack();
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < CODE_STACK_LEN; i += 8) {
			random = random * 1103515245 + 12345;
			gc_store_le64(b.stack + i, random >> 30 == 0 ? CODE_AT((random >> 8 & 0x7f) << 4)
				      : random >> 30 == 1 ? CODE_STACK + (random >> 8 & 0xff8) : random);
		}
		b.regs[RIP] = round % 3 ? CODE_AT(random >> 12 & 0x3f0) : CODE_JIT + (random >> 12 & 0x3f0);
		b.regs[RBP] = SP + (random >> 20 & 0x1f8);
		unwind();
		if (round < 199)
			teardown();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind");
	TCase *x86 = tcase_create("x86_64"), *a64 = tcase_create("aarch64");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(x86, setup_x86_64, teardown);
	tcase_add_checked_fixture(a64, setup_aarch64, teardown);
	tcase_set_timeout(x86, 60);
	tcase_add_test(x86, x86_by_search_table);
	tcase_add_test(x86, x86_by_section);
	tcase_add_test(x86, x86_by_index_when_the_table_is_damaged);
	tcase_add_test(x86, x86_in_the_prologue);
	tcase_add_test(x86, x86_ends);
	tcase_add_test(x86, x86_zero_ends);
	tcase_add_test(x86, x86_stack_is_missing);
	tcase_add_test(x86, x86_stack_goes_down);
	tcase_add_test(x86, x86_register_is_lost);
	tcase_add_test(x86, x86_call_of_null);
	tcase_add_test(x86, x86_jump_to_nowhere);
	tcase_add_test(x86, x86_frame_pointers);
	tcase_add_test(x86, x86_chain_of_code_without_names);
	tcase_add_test(x86, x86_chain_must_go_up);
	tcase_add_test(x86, x86_prologue_without_frame_pointer);
	tcase_add_test(x86, x86_code_behind_a_return);
	tcase_add_test(x86, x86_epilogue);
	tcase_add_test(x86, x86_variable_frame);
	tcase_add_test(x86, x86_variable_frame_without_frame_pointer);
	tcase_add_test(x86, x86_call_of_a_function_that_jumped);
	tcase_add_test(x86, x86_cold_part);
	tcase_add_test(x86, x86_call_of_another_function);
	tcase_add_test(x86, x86_sigreturn_by_its_code);
	tcase_add_test(x86, x86_sigreturn_by_cfi);
	tcase_add_test(x86, signals_are_bounded);
	tcase_add_test(x86, lines_are_asked);
	tcase_add_test(x86, noise);
	suite_add_tcase(suite, x86);
	tcase_add_test(a64, a64_leaf_and_signed);
	tcase_add_test(a64, a64_lost_return_address);
	tcase_add_test(a64, a64_call_of_data);
	tcase_add_test(a64, a64_sigreturn_by_its_code);
	tcase_add_test(a64, a64_frame_pointers);
	tcase_add_test(a64, a64_code_behind_a_return);
	tcase_add_test(a64, a64_tables_above_code_without_names);
	suite_add_tcase(suite, a64);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
