/* src/core/notes.c, delve.c, signals.c: threads, process notes, registers, signals. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/signals.h"

#include "core_builder.h"

#define NT_XSTATE 0x202

static void open_ok(struct core_builder *b, struct gc_core *core)
{
	struct gc_error err = { .text = "" };

	if (builder_open_core(b, core, &err) != GC_OK)
		ck_abort_msg("%s", err.text);
}

/** pr_reg of x86_64 with rip (index 16) and rsp (19) set: user_regs_struct, asm/user_64.h. */
static void x86_regs(uint8_t regs[27 * 8], uint64_t rip, uint64_t rsp)
{
	memset(regs, 0, 27 * 8);
	gc_store_le64(regs + 16 * 8, rip);
	gc_store_le64(regs + 19 * 8, rsp);
}

static void add_x86_thread(struct core_builder *b, int32_t tid, uint16_t sig)
{
	uint8_t regs[27 * 8], fp[512] = { 0 };

	x86_regs(regs, 0x400000 + (uint64_t)tid, 0x7f0000);
	builder_prstatus(b, tid, sig, regs, sizeof(regs));
	gc_store_le64(fp + 160, 0x1122334455667700 + (uint64_t)tid); /* xmm0, user_fpregs_struct */
	builder_note(b, "CORE", NT_FPREGSET, fp, sizeof(fp));
}

static uint64_t reg(const struct gc_core *core, size_t thread, const char *name, bool *valid)
{
	struct gc_regmap map;
	struct gc_regs regs;
	struct gc_error err;
	uint64_t value = 0;

	gc_core_regmap(core, &map);
	ck_assert_int_eq(gc_core_regs(core, &core->threads[thread], &map, &regs, NULL, &err), GC_OK);
	*valid = gc_regs_u64(&regs, gc_arch_reg_named(core->arch, name), &value);
	gc_regs_deinit(&regs);
	return value;
}

static void check_reg(const struct gc_core *core, size_t thread, const char *name, uint64_t want)
{
	bool valid;
	uint64_t value = reg(core, thread, name, &valid);

	if (!valid)
		ck_abort_msg("%s is unknown", name);
	if (value != want)
		ck_abort_msg("%s is 0x%llx, not 0x%llx", name, (unsigned long long)value,
			     (unsigned long long)want);
}

static void check_unknown(const struct gc_core *core, size_t thread, const char *name)
{
	bool valid;

	reg(core, thread, name, &valid);
	ck_assert_msg(!valid, "%s is known", name);
}

/** The order of fs/binfmt_elf.c. */
static void kernel_core(struct core_builder *b)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096, AT_ENTRY, 0x401000, AT_BASE, 0x7f00 };
	static const struct builder_file files[] = {
		{ 0x400000, 0x402000, 0, "/bin/prog" },
		{ 0x600000, 0x601000, 3, "/bin/prog" },
		{ 0x7f0000, 0x7f1000, 0, "/lib/libc.so.6" },
	};
	uint8_t regs[27 * 8], fp[512] = { 0 };

	builder_init(b, EM_X86_64);
	x86_regs(regs, 0x401234, 0x7ffe0000);
	builder_prstatus(b, 103, 11, regs, sizeof(regs));
	builder_prpsinfo(b, 101, "prog", "/bin/prog -x");
	builder_siginfo(b, 11, 1, 0xdead);
	builder_auxv(b, auxv, 3);
	builder_files(b, 4096, files, 3);
	gc_store_le64(fp + 160, 0xabcdef);
	builder_note(b, "CORE", NT_FPREGSET, fp, sizeof(fp));
	builder_note(b, "LINUX", 0x7777, "what", 4);
	add_x86_thread(b, 101, 11);
	add_x86_thread(b, 102, 11);
	builder_load(b, 0x400000, 0x1000, NULL, 0x1000, PF_R);
}

START_TEST(kernel_threads)
{
	struct core_builder b;
	struct gc_core core;
	uint64_t value = 0;

	kernel_core(&b);
	open_ok(&b, &core);
	ck_assert_int_eq(core.maker, GC_MADE_BY_KERNEL);
	ck_assert_str_eq(gc_core_maker_name(core.maker), "kernel");
	ck_assert_uint_eq(core.nthreads, 3);
	ck_assert_int_eq(core.threads[0].tid, 103);
	ck_assert_int_eq(core.threads[1].tid, 101);
	ck_assert_int_eq(core.threads[2].tid, 102);
	ck_assert_int_eq(core.threads[0].cursig, 11);
	ck_assert_int_eq(core.threads[0].ppid, 1);
	ck_assert_uint_eq(core.threads[0].nnotes, 7);
	ck_assert_uint_eq(core.threads[1].nnotes, 2);
	ck_assert_uint_eq(core.nnotes, 11);
	ck_assert_int_eq(core.pid, 101);
	ck_assert_int_eq(core.signal, 11);

	ck_assert_ptr_eq(gc_thread_note(&core, &core.threads[0], "CORE", NT_FPREGSET), &core.notes[5]);
	ck_assert_ptr_eq(gc_thread_note(&core, &core.threads[2], "CORE", NT_FPREGSET), &core.notes[10]);
	ck_assert_ptr_null(gc_thread_note(&core, &core.threads[1], "CORE", NT_SIGINFO));
	ck_assert_ptr_null(gc_thread_note(&core, &core.threads[1], "LINUX", NT_FPREGSET));

	ck_assert(core.has_siginfo && core.siginfo.has_addr);
	ck_assert_uint_eq(core.siginfo.addr, 0xdead);
	ck_assert(core.has_prpsinfo);
	ck_assert_str_eq(core.prpsinfo.fname, "prog");
	ck_assert_str_eq(core.prpsinfo.args, "/bin/prog -x");
	ck_assert_int_eq(core.prpsinfo.state, 'R');
	ck_assert_uint_eq(core.prpsinfo.uid, 1000);
	ck_assert_uint_eq(core.prpsinfo.gid, 100);
	ck_assert(gc_core_auxv(&core, AT_BASE, &value));
	ck_assert_uint_eq(value, 0x7f00);
	ck_assert(!gc_core_auxv(&core, AT_PHDR, &value));
	ck_assert(!gc_core_auxv(&core, AT_NULL, &value));
	ck_assert_uint_eq(core.problems.count, 0);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(registers_of_threads)
{
	struct core_builder b;
	struct gc_core core;

	kernel_core(&b);
	open_ok(&b, &core);
	check_reg(&core, 0, "rip", 0x401234);
	check_reg(&core, 0, "rsp", 0x7ffe0000);
	check_reg(&core, 0, "xmm0", 0xabcdef);
	check_reg(&core, 1, "rip", 0x400000 + 101);
	check_reg(&core, 2, "xmm0", 0x1122334455667700 + 102);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(damaged_registers_are_unknown)
{
	struct gc_problems problems = { .list = NULL };
	struct core_builder b;
	struct gc_core core;
	struct gc_regmap map;
	struct gc_regs regs;
	uint8_t desc[200] = { 0 };
	uint64_t value;

	builder_init(&b, EM_X86_64);
	gc_store_le32(desc + 32, 7);
	builder_note(&b, "CORE", NT_PRSTATUS, desc, sizeof(desc)); /* who it is, but not all of pr_reg */
	open_ok(&b, &core);
	ck_assert_int_eq(core.threads[0].tid, 7);
	gc_core_regmap(&core, &map);
	ck_assert_int_eq(gc_core_regs(&core, &core.threads[0], &map, &regs, &problems, NULL), GC_OK);
	ck_assert(!gc_regs_u64(&regs, core.arch->pc, &value));
	ck_assert(has_problem(&problems, "thread 7, note 0 (NT_PRSTATUS)"));
	gc_regs_deinit(&regs);
	gc_problems_deinit(&problems);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(file_rows)
{
	struct core_builder b;
	struct gc_core core;

	kernel_core(&b);
	open_ok(&b, &core);
	ck_assert(core.has_files);
	ck_assert_uint_eq(core.nfiles, 3);
	ck_assert_uint_eq(core.files[1].start, 0x600000);
	ck_assert_uint_eq(core.files[1].end, 0x601000);
	ck_assert_uint_eq(core.files[1].offset, 3 * 4096);
	ck_assert_str_eq(core.files[2].path, "/lib/libc.so.6");
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(odd_file_rows)
{
	static const struct builder_file files[] = {
		{ 0x9000, 0xa000, 1, "/last" },
		{ 0x5000, 0x5000, 0, "/empty" },
		{ 0x1000, 0x3000, 0, "/first" },
		{ 0x2000, 0x4000, 0, "/overlap" },
		{ 0x6000, 0x7000, UINT64_MAX / 2, "/offset" },
		{ 0x8000, 0x7000, 0, "/backwards" },
	};
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_files(&b, 4096, files, GC_COUNT(files));
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nfiles, 2);
	ck_assert_str_eq(core.files[0].path, "/first");
	ck_assert_str_eq(core.files[1].path, "/last");
	ck_assert_uint_eq(core.files[1].offset, 4096);
	ck_assert_uint_eq(core.problems.count, 4);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(damaged_file_notes)
{
	static const struct {
		uint64_t count, page_size;
		size_t len;
		size_t rows;
	} cases[] = {
		{ UINT64_MAX, 4096, 16 + 48 + 5, 0 },
		{ UINT64_MAX / 24 + 2, 4096, 16 + 48 + 5, 0 }, /* * 24 overflows to little */
		{ 3, 4096, 16 + 48 + 5, 0 },
		{ 2, 4096, 16 + 48 + 5, 2 },
		{ 2, 4096, 16 + 48 + 4, 1 },                   /* second path without its NUL */
		{ 2, 4096, 16 + 48, 0 },
		{ 2, 0, 16 + 48 + 5, 0 },
		{ 2, 4096, 15, 0 },
		{ 0, 4096, 0, 0 },
	};

	for (size_t i = 0; i < GC_COUNT(cases); i++) {
		uint8_t desc[16 + 48 + 5] = { 0 };
		struct core_builder b;
		struct gc_core core;

		gc_store_le64(desc, cases[i].count);
		gc_store_le64(desc + 8, cases[i].page_size);
		for (size_t k = 0; k < 2; k++) {
			gc_store_le64(desc + 16 + 24 * k, 0x1000 + 0x1000 * k);
			gc_store_le64(desc + 24 + 24 * k, 0x2000 + 0x1000 * k);
		}
		memcpy(desc + 64, "/\0/b", 5);
		builder_init(&b, EM_X86_64);
		builder_prstatus(&b, 1, 11, NULL, 0);
		builder_note(&b, "CORE", NT_FILE, desc, cases[i].len);
		open_ok(&b, &core);
		ck_assert(core.has_files);
		ck_assert_uint_eq(core.nfiles, cases[i].rows);
		ck_assert_uint_eq(core.problems.count, cases[i].rows != 2);
		gc_core_close(&core);
		builder_deinit(&b);
	}
}
END_TEST

START_TEST(gcore_order)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096 };
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	builder_prpsinfo(&b, 50, "prog", "prog");
	add_x86_thread(&b, 51, 0);
	builder_siginfo(&b, 19, 0x80, 0);
	add_x86_thread(&b, 50, 0);
	builder_siginfo(&b, 5, 1, 0x1234);
	builder_auxv(&b, auxv, 1);
	builder_note(&b, "GDB", 0xff000000, "<target/>", 10);
	open_ok(&b, &core);
	ck_assert_int_eq(core.maker, GC_MADE_BY_GCORE);
	ck_assert_uint_eq(core.nthreads, 2);
	ck_assert_int_eq(core.threads[0].tid, 51);
	ck_assert_int_eq(core.pid, 50);
	ck_assert_int_eq(core.signal, 0);
	ck_assert_int_eq(core.siginfo.signo, 19);
	ck_assert(!core.siginfo.has_addr && !core.siginfo.has_sender);
	ck_assert_ptr_eq(gc_thread_note(&core, &core.threads[1], "CORE", NT_SIGINFO), &core.notes[6]);
	ck_assert_str_eq(gc_note_name(&core, &core.notes[8]), "NT_GDB_TDESC");
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(siginfo_of_another_thread_is_not_the_crash)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	add_x86_thread(&b, 1, 11);
	add_x86_thread(&b, 2, 11);
	builder_siginfo(&b, 5, 1, 0x1234);
	open_ok(&b, &core);
	ck_assert(!core.has_siginfo);
	gc_core_close(&core);
	builder_deinit(&b);

	builder_init(&b, EM_X86_64);
	builder_siginfo(&b, 5, 1, 0x1234); /* before all threads: whose else */
	add_x86_thread(&b, 1, 5);
	open_ok(&b, &core);
	ck_assert(core.has_siginfo);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(qemu_user_notes)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096 };
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 9, 11, NULL, 0);
	builder_prpsinfo(&b, 8, "prog", "prog");
	builder_auxv(&b, auxv, 1);
	builder_prstatus(&b, 8, 0, NULL, 0);
	open_ok(&b, &core);
	ck_assert_int_eq(core.maker, GC_MADE_BY_QEMU_USER);
	ck_assert_uint_eq(core.nthreads, 2);
	ck_assert(!core.has_files && !core.has_siginfo);
	ck_assert_int_eq(core.pid, 8);
	check_reg(&core, 0, "pc", 0);
	check_unknown(&core, 0, "v0");
	check_unknown(&core, 0, "tpidr");
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(kernel_core_cut_in_its_notes)
{
	struct core_builder b;
	struct gc_core core;
	struct gc_error err;
	size_t notes;

	kernel_core(&b);
	builder_finish(&b);
	notes = b.segments[0].offset;
	/* NT_PRSTATUS is 20 + 336 bytes, NT_PRPSINFO 20 + 136. */
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, notes + 356, &err), GC_OK);
	ck_assert_int_eq(core.maker, GC_MADE_BY_KERNEL);
	ck_assert_uint_eq(core.nthreads, 1);
	ck_assert_int_eq(core.pid, 103);
	check_reg(&core, 0, "rip", 0x401234);
	check_unknown(&core, 0, "xmm0");
	gc_core_close(&core);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, notes + 600, &err), GC_OK);
	ck_assert_int_eq(core.maker, GC_MADE_BY_KERNEL);
	ck_assert_int_eq(core.pid, 101);
	ck_assert(!core.has_siginfo);
	ck_assert(has_problem(&core.problems, "of notes and 4.0 KiB of memory are missing"));
	gc_core_close(&core);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, notes + 355, &err), GC_E_TRUNCATED);
	builder_deinit(&b);
}
END_TEST

START_TEST(auxv_with_half_an_entry)
{
	struct core_builder b;
	struct gc_core core;
	uint64_t value = 0;
	uint8_t desc[24] = { 0 };

	gc_store_le64(desc, AT_PAGESZ);
	gc_store_le64(desc + 8, 16384);
	gc_store_le64(desc + 16, AT_ENTRY);
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_note(&b, "CORE", NT_AUXV, desc, sizeof(desc));
	open_ok(&b, &core);
	ck_assert_uint_eq(core.page_size, 16384);
	ck_assert(!gc_core_auxv(&core, AT_ENTRY, &value));
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(several_note_segments)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	add_x86_thread(&b, 1, 11);
	builder_note_segment(&b, 8);
	builder_note(&b, "CORE", 0x1001, "abc", 3);
	add_x86_thread(&b, 2, 11);
	builder_note_segment(&b, 0);
	add_x86_thread(&b, 3, 11);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nthreads, 3);
	ck_assert_uint_eq(core.nnotes, 7);
	check_reg(&core, 1, "rip", 0x400002);
	check_reg(&core, 2, "rip", 0x400003);
	ck_assert_uint_eq(core.problems.count, 0);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(owners_and_types_both_count)
{
	struct core_builder b;
	struct gc_core core;
	uint8_t desc[336] = { 0 };

	builder_init(&b, EM_X86_64);
	gc_store_le32(desc + 32, 5);
	builder_note_named(&b, "CORE", 4, NT_PRSTATUS, desc, sizeof(desc)); /* no NUL */
	builder_note(&b, "LINUX", NT_PRSTATUS, desc, sizeof(desc));         /* another's type 1 */
	builder_note(&b, "COREX", NT_PRSTATUS, desc, sizeof(desc));
	builder_note(&b, "", NT_PRSTATUS, desc, sizeof(desc));              /* only Delve may */
	builder_note(&b, "CORE", 0x1234, NULL, 0);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nthreads, 1);
	ck_assert_uint_eq(core.nnotes, 5);
	ck_assert_uint_eq(core.notes[0].owner_len, 4);
	ck_assert(gc_note_is(&core, &core.notes[0], "CORE", NT_PRSTATUS));
	ck_assert(!gc_note_is(&core, &core.notes[3], "CORE", NT_PRSTATUS));
	ck_assert_str_eq(gc_note_name(&core, &core.notes[0]), "NT_PRSTATUS");
	ck_assert_ptr_null(gc_note_name(&core, &core.notes[1]));
	ck_assert_ptr_null(gc_note_name(&core, &core.notes[4]));
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(hostile_note_sizes)
{
	static const uint32_t sizes[] = { 0xffffffff, 0xfffffffc, 0x80000000, 1000 };

	for (size_t i = 0; i < GC_COUNT(sizes); i++) {
		for (size_t field = 0; field < 8; field += 4) {
			struct core_builder b;
			struct gc_core core;

			builder_init(&b, EM_X86_64);
			builder_prstatus(&b, 1, 11, NULL, 0);
			builder_note(&b, "CORE", 0x77, "abcd", 4);
			/* The second note is behind 20 + 336 bytes. */
			gc_store_le32(b.segments[0].bytes.data + 356 + field, sizes[i]);
			open_ok(&b, &core);
			ck_assert_uint_eq(core.nnotes, 1);
			ck_assert_uint_eq(core.nthreads, 1);
			ck_assert(has_problem(&core.problems, "note 1"));
			gc_core_close(&core);
			builder_deinit(&b);
		}
	}
}
END_TEST

START_TEST(impossible_threads_are_left_out)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	add_x86_thread(&b, 10, 11);
	builder_note(&b, "CORE", NT_PRSTATUS, "short", 5);
	builder_note(&b, "CORE", NT_FPREGSET, "nobody's", 8);
	add_x86_thread(&b, 0, 0);
	add_x86_thread(&b, -1, 0);
	add_x86_thread(&b, 9, 0);
	add_x86_thread(&b, 10, 0);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nthreads, 2);
	ck_assert_int_eq(core.threads[0].tid, 10);
	ck_assert_int_eq(core.threads[0].cursig, 11);
	ck_assert_uint_eq(core.threads[0].nnotes, 2);
	ck_assert_int_eq(core.threads[1].tid, 9);
	ck_assert_uint_eq(core.problems.count, 4);
	ck_assert(has_problem(&core.problems, "thread 10 comes a second time"));
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(thousands_of_threads)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_X86_64);
	for (int32_t i = 0; i < 10000; i++)
		add_x86_thread(&b, 20000 - i, 6);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nthreads, 10000);
	ck_assert_int_eq(core.threads[9999].tid, 10001);
	check_reg(&core, 9999, "rip", 0x400000 + 10001);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

/* ---- Delve ---- */

static void add_delve_header(struct core_builder *b, const char *target)
{
	char text[200];
	int len = snprintf(text, sizeof(text), "%s\nVersion: 1.24.0\nBuild: x\nTarget Pid: 4242\n"
			   "Entry Point: 0x46e1a0\n", target);

	builder_note_named(b, "Delve Header", 12, BUILDER_DELVE_HEADER, text, (size_t)len);
}

START_TEST(delve_dump_with_kernel_notes)
{
	struct core_builder b;
	struct gc_core core;
	uint8_t desc[336] = { 0 };

	builder_init(&b, EM_X86_64);
	b.phdrs_at_end = true;
	add_delve_header(&b, "linux/amd64");
	gc_store_le32(desc + 32, 4243);
	gc_store_le64(desc + 112 + 16 * 8, 0x46e1a5);
	builder_note(&b, "", NT_PRSTATUS, desc, sizeof(desc));
	gc_store_le32(desc + 32, 4242);
	builder_note(&b, "", NT_PRSTATUS, desc, sizeof(desc));
	builder_note(&b, "", NT_XSTATE, "", 0);
	builder_load(&b, 0x1000, 0x100, NULL, 0x100, PF_R);
	open_ok(&b, &core);
	ck_assert_int_eq(core.maker, GC_MADE_BY_DELVE);
	ck_assert_str_eq(core.delve.goos_goarch, "linux/amd64");
	ck_assert(core.delve.has_pid && core.delve.has_entry);
	ck_assert_int_eq(core.delve.pid, 4242);
	ck_assert_uint_eq(core.delve.entry, 0x46e1a0);
	ck_assert_int_eq(core.pid, 4242);
	ck_assert_uint_eq(core.nthreads, 2);
	ck_assert_int_eq(core.threads[0].tid, 4243);
	ck_assert_int_eq(core.signal, 0);
	check_reg(&core, 0, "rip", 0x46e1a5);
	ck_assert_str_eq(gc_note_name(&core, &core.notes[0]), "NT_DELVE_HEADER");
	ck_assert_str_eq(gc_note_name(&core, &core.notes[1]), "NT_PRSTATUS");
	ck_assert_str_eq(gc_note_name(&core, &core.notes[3]), "NT_X86_XSTATE");
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

static void add_u64(struct gc_buf *b, uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_buf_add(b, bytes, 8);
}

static void add_delve_reg(struct gc_buf *b, const char *name, const void *value, size_t len)
{
	uint8_t bytes[2];

	gc_store_le16(bytes, (uint16_t)strlen(name));
	gc_buf_add(b, bytes, 2);
	gc_buf_str(b, name);
	gc_store_le16(bytes, (uint16_t)len);
	gc_buf_add(b, bytes, 2);
	gc_buf_add(b, value, len);
}

static void add_delve_u64(struct gc_buf *b, const char *name, uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	add_delve_reg(b, name, bytes, 8);
}

/** The fixed part of a thread note, 53 bytes. */
static void begin_delve_thread(struct gc_buf *b, uint64_t id, uint32_t nregs)
{
	uint8_t bytes[4];

	gc_buf_clear(b);
	add_u64(b, id);
	add_u64(b, 0x1111);       /* pc */
	add_u64(b, 0x2222);       /* sp */
	add_u64(b, 0x3333);       /* bp */
	add_u64(b, 0x4444);       /* tls */
	gc_buf_char(b, 1);
	add_u64(b, 0xc000000180); /* g */
	gc_store_le32(bytes, nregs);
	gc_buf_add(b, bytes, 4);
	ck_assert_uint_eq(b->len, 53);
}

static void end_delve_thread(struct core_builder *b, struct gc_buf *desc)
{
	builder_note(b, "", BUILDER_DELVE_THREAD, desc->data, desc->len);
}

START_TEST(delve_dump_of_its_own_kind)
{
	struct gc_buf desc = GC_BUF_INIT;
	struct core_builder b;
	struct gc_core core;
	uint8_t v0[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };

	builder_init(&b, EM_AARCH64);
	b.phdrs_at_end = true;
	add_delve_header(&b, "linux/arm64");
	begin_delve_thread(&desc, 77, 7);
	add_delve_u64(&desc, "X0", 0xa0);
	add_delve_u64(&desc, "X30", 0xa30);
	add_delve_u64(&desc, "SP", 0x7ff0);
	add_delve_u64(&desc, "PC", 0x401000);
	add_delve_u64(&desc, "PSTATE", 0x60000000);
	add_delve_reg(&desc, "V0", v0, 16);
	add_delve_u64(&desc, "no_such", 1);
	end_delve_thread(&b, &desc);
	begin_delve_thread(&desc, 76, 0);
	end_delve_thread(&b, &desc);
	begin_delve_thread(&desc, 75, 0);
	memset(desc.data + 32, 0, 8); /* tls, as without cgo */
	end_delve_thread(&b, &desc);
	open_ok(&b, &core);
	ck_assert_int_eq(core.maker, GC_MADE_BY_DELVE_PORTABLE);
	ck_assert_uint_eq(core.nthreads, 3);
	ck_assert_int_eq(core.threads[0].tid, 77);
	ck_assert_ptr_null(core.threads[0].prstatus);
	ck_assert_uint_eq(core.threads[0].nnotes, 1);
	ck_assert_int_eq(core.pid, 4242);
	check_reg(&core, 0, "x0", 0xa0);
	check_reg(&core, 0, "x30", 0xa30);
	check_reg(&core, 0, "sp", 0x7ff0);
	check_reg(&core, 0, "pc", 0x401000);
	check_reg(&core, 0, "cpsr", 0x60000000);
	check_reg(&core, 0, "v0", 0x0807060504030201);
	check_reg(&core, 0, "x29", 0x3333); /* from the fixed part */
	check_unknown(&core, 0, "x1");
	check_reg(&core, 1, "pc", 0x1111);
	check_reg(&core, 1, "sp", 0x2222);
	check_reg(&core, 1, "tpidr", 0x4444);
	check_unknown(&core, 2, "tpidr");
	ck_assert_str_eq(gc_note_name(&core, &core.notes[1]), "NT_DELVE_THREAD");
	ck_assert_uint_eq(core.problems.count, 0);
	gc_core_close(&core);
	gc_buf_deinit(&desc);
	builder_deinit(&b);
}
END_TEST

START_TEST(delve_dump_from_windows)
{
	struct gc_buf desc = GC_BUF_INIT;
	struct core_builder b;
	struct gc_core core;
	uint8_t wide[32] = { 0x11, [16] = 0xff }, ten[10] = { 0x22 };

	builder_init(&b, EM_X86_64);
	add_delve_header(&b, "windows/amd64");
	begin_delve_thread(&desc, 3, 6);
	add_delve_u64(&desc, "Rip", 0x140001000);
	add_delve_u64(&desc, "Rflags", 0x246);
	add_delve_u64(&desc, "Cs", 0x33);
	add_delve_reg(&desc, "XMM0", wide, 32);
	add_delve_reg(&desc, "ST(0)", ten, 10);
	add_delve_reg(&desc, "XMM1", wide, 8); /* too short to be it */
	end_delve_thread(&b, &desc);
	open_ok(&b, &core);
	check_reg(&core, 0, "rip", 0x140001000);
	check_reg(&core, 0, "eflags", 0x246);
	check_reg(&core, 0, "cs", 0x33);
	check_reg(&core, 0, "xmm0", 0x11);
	check_reg(&core, 0, "st0", 0x22);
	check_reg(&core, 0, "rsp", 0x2222);
	check_unknown(&core, 0, "xmm1");
	check_unknown(&core, 0, "rax");
	check_unknown(&core, 0, "fs_base"); /* what its tls field means is Windows' business */
	gc_core_close(&core);
	gc_buf_deinit(&desc);
	builder_deinit(&b);
}
END_TEST

START_TEST(damaged_delve_threads)
{
	struct gc_buf desc = GC_BUF_INIT;
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_AARCH64);
	add_delve_header(&b, "linux/arm64");
	begin_delve_thread(&desc, 1, 0xffffffff);
	end_delve_thread(&b, &desc);
	begin_delve_thread(&desc, 2, 2);
	add_delve_u64(&desc, "X0", 5);
	gc_buf_add(&desc, "\xff\xff", 2);
	end_delve_thread(&b, &desc);
	begin_delve_thread(&desc, 3, 0);
	desc.len = 20;
	end_delve_thread(&b, &desc);
	desc.len = 7;
	end_delve_thread(&b, &desc);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nthreads, 3);
	ck_assert_uint_eq(core.problems.count, 1);
	check_reg(&core, 0, "pc", 0x1111);
	check_reg(&core, 1, "x0", 5);
	check_unknown(&core, 2, "pc");
	gc_core_close(&core);
	gc_buf_deinit(&desc);
	builder_deinit(&b);
}
END_TEST

START_TEST(odd_delve_headers)
{
	static const struct {
		const char *text, *target;
		bool has_pid, has_entry;
	} cases[] = {
		{ "", "", false, false },
		{ "linux/amd64", "linux/amd64", false, false },
		{ "x\nTarget Pid: 12x\nEntry Point: zz\n", "x", false, false },
		{ "x\nTarget Pid: -12\nEntry Point: 0x1ffffffffffffffff\n", "x", false, false },
		{ "x\nTarget Pid: 99999999999\nEntry Point: 0x10", "x", false, true },
		{ "\nTarget Pid: 1\n", "", true, false },
	};

	for (size_t i = 0; i < GC_COUNT(cases); i++) {
		struct core_builder b;
		struct gc_core core;

		builder_init(&b, EM_X86_64);
		builder_prstatus(&b, 5, 0, NULL, 0);
		builder_note_named(&b, "Delve Header", 12, BUILDER_DELVE_HEADER, cases[i].text,
				   strlen(cases[i].text));
		open_ok(&b, &core);
		ck_assert(core.has_delve);
		ck_assert_str_eq(core.delve.goos_goarch, cases[i].target);
		ck_assert(core.delve.has_pid == cases[i].has_pid);
		ck_assert(core.delve.has_entry == cases[i].has_entry);
		gc_core_close(&core);
		builder_deinit(&b);
	}
}
END_TEST

/* ---- Signals ---- */

START_TEST(signal_names)
{
	char buf[16];

	ck_assert_str_eq(gc_signal_name(11, buf), "SIGSEGV");
	ck_assert_str_eq(gc_signal_name(1, buf), "SIGHUP");
	ck_assert_str_eq(gc_signal_name(31, buf), "SIGSYS");
	ck_assert_str_eq(gc_signal_name(34, buf), "SIG34");
	ck_assert_str_eq(gc_signal_name(0, buf), "SIG0");
	ck_assert_str_eq(gc_signal_name(-2147483647 - 1, buf), "SIG-2147483648");
	/* glibc on this host has the same texts; its own words are the truth. */
	for (int i = 1; i <= 31; i++)
		ck_assert_str_eq(gc_signal_text(i), sigdescr_np(i));
	for (int i = 1; i <= 31; i++)
		ck_assert_str_eq(gc_signal_name(i, buf) + 3, i == 29 ? "IO" : sigabbrev_np(i));
	ck_assert_ptr_null(gc_signal_text(0));
	ck_assert_ptr_null(gc_signal_text(32));
	ck_assert_ptr_null(gc_signal_text(-1));
}
END_TEST

START_TEST(signal_codes)
{
	ck_assert_str_eq(gc_signal_code_name(11, 1), "SEGV_MAPERR");
	ck_assert_str_eq(gc_signal_code_text(11, 1), "address not mapped to object");
	ck_assert_str_eq(gc_signal_code_name(11, 9), "SEGV_MTESERR");
	ck_assert_str_eq(gc_signal_code_name(11, 10), "SEGV_CPERR");
	ck_assert_str_eq(gc_signal_code_name(11, 0x80), "SI_KERNEL");
	ck_assert_str_eq(gc_signal_code_name(6, -6), "SI_TKILL");
	ck_assert_str_eq(gc_signal_code_name(6, 0), "SI_USER");
	ck_assert_str_eq(gc_signal_code_name(8, 1), "FPE_INTDIV");
	ck_assert_str_eq(gc_signal_code_name(7, 1), "BUS_ADRALN");
	ck_assert_str_eq(gc_signal_code_name(5, 1), "TRAP_BRKPT");
	ck_assert_str_eq(gc_signal_code_name(4, 2), "ILL_ILLOPN");
	ck_assert_str_eq(gc_signal_code_name(31, 1), "SYS_SECCOMP");
	ck_assert_str_eq(gc_signal_code_name(17, 3), "CLD_DUMPED");
	ck_assert_ptr_null(gc_signal_code_name(6, 1));
	ck_assert_ptr_null(gc_signal_code_name(11, 99));
	ck_assert_ptr_null(gc_signal_code_text(0, 5));
}
END_TEST

START_TEST(siginfo_members)
{
	static const struct {
		int signo, code;
		bool addr, sender;
	} cases[] = {
		{ 11, 1, true, false }, { 7, 2, true, false }, { 4, 1, true, false }, { 8, 1, true, false },
		{ 5, 2, true, false }, { 31, 1, true, false }, { 11, 9, true, false },
		{ 11, 8, false, false },    /* MTE, asynchronous: address not known */
		{ 11, 0x80, false, false }, /* a non-canonical address: not known */
		{ 11, 0, false, true }, { 6, -6, false, true }, { 3, -1, false, true }, { 17, 1, false, true },
		{ 14, -2, false, false }, { 29, 1, false, false }, { 29, -5, false, false },
	};
	uint8_t desc[128] = { 0 };
	struct gc_siginfo info;
	struct gc_note note = { .desc = desc, .desc_len = sizeof(desc) };

	gc_store_le32(desc + 4, 12);
	gc_store_le32(desc + 16, 4711);
	gc_store_le32(desc + 20, 1000);
	for (size_t i = 0; i < GC_COUNT(cases); i++) {
		gc_store_le32(desc, (uint32_t)cases[i].signo);
		gc_store_le32(desc + 8, (uint32_t)cases[i].code);
		ck_assert(gc_siginfo_decode(&note, &info));
		ck_assert_int_eq(info.signo, cases[i].signo);
		ck_assert_int_eq(info.code, cases[i].code);
		ck_assert_int_eq(info.errnum, 12);
		ck_assert(info.has_addr == cases[i].addr);
		ck_assert(info.has_sender == cases[i].sender);
		ck_assert_uint_eq(info.addr, cases[i].addr ? 1000ULL << 32 | 4711 : 0);
		ck_assert_int_eq(info.sender_pid, cases[i].sender ? 4711 : 0);
		ck_assert_uint_eq(info.sender_uid, cases[i].sender ? 1000 : 0);
	}
	note.desc_len = 127;
	ck_assert(!gc_siginfo_decode(&note, &info));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("notes");
	TCase *t = tcase_create("notes");

	tcase_set_timeout(t, 60);
	tcase_add_test(t, kernel_threads);
	tcase_add_test(t, registers_of_threads);
	tcase_add_test(t, damaged_registers_are_unknown);
	tcase_add_test(t, file_rows);
	tcase_add_test(t, odd_file_rows);
	tcase_add_test(t, damaged_file_notes);
	tcase_add_test(t, gcore_order);
	tcase_add_test(t, siginfo_of_another_thread_is_not_the_crash);
	tcase_add_test(t, qemu_user_notes);
	tcase_add_test(t, kernel_core_cut_in_its_notes);
	tcase_add_test(t, auxv_with_half_an_entry);
	tcase_add_test(t, several_note_segments);
	tcase_add_test(t, owners_and_types_both_count);
	tcase_add_test(t, hostile_note_sizes);
	tcase_add_test(t, impossible_threads_are_left_out);
	tcase_add_test(t, thousands_of_threads);
	tcase_add_test(t, delve_dump_with_kernel_notes);
	tcase_add_test(t, delve_dump_of_its_own_kind);
	tcase_add_test(t, delve_dump_from_windows);
	tcase_add_test(t, damaged_delve_threads);
	tcase_add_test(t, odd_delve_headers);
	suite_add_tcase(s, t);
	t = tcase_create("signals");
	tcase_add_test(t, signal_names);
	tcase_add_test(t, signal_codes);
	tcase_add_test(t, siginfo_members);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
