/* src/normalize: cores written anew, read again by our own loader and field by field. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gocore/bytes.h"
#include "gocore/normalize.h"

#include "core_builder.h"

#define PAGE 0x1000ULL

static struct core_builder b;
static struct gc_process process, made;
static struct gc_problems problems;
static struct gc_normalized written;
static struct gc_error err;
static uint8_t content[4 * PAGE];

static void setup(void)
{
	for (size_t i = 0; i < sizeof(content); i++)
		content[i] = (uint8_t)(i * 7 + i / PAGE * 31 + 1);
	process = made = (struct gc_process){ .exe = NULL };
	problems = (struct gc_problems){ .list = NULL };
}

static void close_all(void)
{
	gc_process_close(&process);
	gc_process_close(&made);
	gc_problems_deinit(&problems);
}

static void teardown(void)
{
	close_all();
	builder_deinit(&b);
}

/** @return false with err set */
static bool open_bytes(struct gc_process *p, const void *bytes, size_t len)
{
	static const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_input in;

	input_of_bytes(&in, bytes, len);
	return gc_process_open(p, &in, &options, &err) == GC_OK;
}

static void open_core(size_t len)
{
	builder_finish(&b);
	ck_assert_msg(open_bytes(&process, b.out.data, len ? len : b.out.len), "%s", err.text);
}

/** Write process anew and open the result. */
static enum gc_code normalize(enum gc_reader reader)
{
	const struct gc_normalize_options options = { .reader = reader };
	int fd = memfd_create("normalized", MFD_CLOEXEC);
	enum gc_code code = gc_normalize(&process, &options, fd, &written, &problems, &err);
	uint8_t *bytes;

	if (code == GC_OK) {
		ck_assert_uint_eq((uint64_t)lseek(fd, 0, SEEK_END), written.size);
		bytes = mmap(NULL, written.size, PROT_READ, MAP_PRIVATE, fd, 0);
		ck_assert(bytes != MAP_FAILED);
		ck_assert_msg(open_bytes(&made, bytes, written.size), "%s", err.text);
		munmap(bytes, written.size);
	}
	close(fd);
	return code;
}

static void remake(enum gc_reader reader)
{
	ck_assert_msg(normalize(reader) == GC_OK, "%s", err.text);
}

static void ck_note(size_t i, const char *owner, uint32_t type, size_t len)
{
	const struct gc_note *note = &made.core.notes[i];

	ck_assert_uint_lt(i, made.core.nnotes);
	ck_assert_msg(note->owner_len == strlen(owner) && memcmp(note->owner, owner, note->owner_len) == 0,
		      "note %zu: owner %.*s, not %s", i, (int)note->owner_len, note->owner, owner);
	ck_assert_uint_eq(note->type, type);
	ck_assert_uint_eq(note->desc_len, len);
}

static void ck_reg(size_t thread, const char *name, uint64_t want)
{
	struct gc_regs regs;
	uint64_t value = ~want;
	int row = gc_regmap_reg_named(&made.regmap, name);

	ck_assert_int_eq(gc_core_regs(&made.core, &made.core.threads[thread], &made.regmap, &regs, NULL, &err), GC_OK);
	ck_assert(gc_regs_u64(&regs, row, &value));
	ck_assert_uint_eq(value, want);
	gc_regs_deinit(&regs);
}

static void ck_memory(uint64_t addr, const void *want, size_t len)
{
	uint8_t *got = malloc(len);

	ck_assert_int_eq(gc_space_read_all(&made.space, addr, got, len, &err), GC_OK);
	ck_assert_mem_eq(got, want, len);
	free(got);
}

static const struct gc_segment *segment_at(uint64_t addr)
{
	for (size_t i = 0; i < made.core.nsegments; i++)
		if (addr - made.core.segments[i].addr < made.core.segments[i].memsz)
			return &made.core.segments[i];
	return NULL;
}

START_TEST(order_and_memory)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096 };
	static const struct builder_file files[] = { { 0x400000, 0x402000, 0, "/bin/prog" } };
	uint8_t regs[27 * 8] = { [16 * 8] = 0x42 };

	/* as gdb's gcore has it: the process first, siginfo with each thread */
	builder_init(&b, EM_X86_64);
	builder_prpsinfo(&b, 4711, "prog", "prog");
	builder_prstatus(&b, 4711, 11, regs, sizeof(regs));
	builder_note(&b, "CORE", NT_FPREGSET, content, 512);
	builder_siginfo(&b, 11, 1, 0x10);
	builder_prstatus(&b, 4712, 0, NULL, 0);
	builder_siginfo(&b, 5, 1, 0x10);
	builder_note_segment(&b, 4);
	builder_auxv(&b, auxv, 1);
	builder_files(&b, 4096, files, 1);
	builder_load(&b, 0x600000, 2 * PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, 0x400000, 2 * PAGE, content + PAGE, PAGE, PF_R | PF_X);
	open_core(0);
	ck_assert_uint_eq(process.core.nnote_segments, 2);
	remake(GC_READER_ANY);
	ck_assert_uint_eq(made.core.nnote_segments, 1);
	ck_assert_uint_eq(made.core.nnotes, 8);
	ck_note(0, "CORE", NT_PRSTATUS, 336);
	ck_note(1, "CORE", NT_PRPSINFO, 136);
	ck_note(2, "CORE", NT_SIGINFO, 128);
	ck_note(3, "CORE", NT_AUXV, 32);
	ck_note(4, "CORE", NT_FILE, 16 + 24 + sizeof("/bin/prog"));
	ck_note(5, "CORE", NT_FPREGSET, 512);
	ck_note(6, "CORE", NT_PRSTATUS, 336);
	ck_note(7, "CORE", NT_SIGINFO, 128);
	ck_assert_uint_eq(made.core.input.bytes[EI_OSABI], ELFOSABI_LINUX); /* which no note's owner says */
	ck_assert_int_eq(made.core.siginfo.signo, 11);
	ck_reg(0, "rip", 0x42);
	ck_memory(0x400000, content + PAGE, PAGE);
	ck_memory(0x600000, content, PAGE);
	ck_assert_uint_eq(written.memory, 2 * PAGE);
	ck_assert_uint_eq(written.absent, 2 * PAGE);
	ck_assert_uint_eq(problems.count, 0);
}
END_TEST

/** gdb invents zeros for what a PT_LOAD lists without content; of file rows it knows better. */
START_TEST(holes)
{
	static const struct builder_file files[] = { { 0x400000, 0x402000, 0, "/bin/prog" } };

	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_files(&b, 4096, files, 1);
	builder_load(&b, 0x400000, 2 * PAGE, content, PAGE, PF_R | PF_X);
	builder_load(&b, 0x500000, 2 * PAGE, content, PAGE, PF_R | PF_W);
	builder_load(&b, 0x600000, PAGE, NULL, 0, 0);
	open_core(0);
	remake(GC_READER_ANY);
	ck_assert_uint_eq(segment_at(0x400000)->filesz, PAGE);
	ck_assert_uint_eq(segment_at(0x400000)->memsz, 2 * PAGE);
	ck_assert_uint_eq(segment_at(0x500000)->memsz, PAGE);
	ck_assert_ptr_null(segment_at(0x600000));
	gc_process_close(&made);
	remake(GC_READER_LLDB);
	ck_assert_uint_eq(segment_at(0x500000)->memsz, 2 * PAGE);
	ck_assert_uint_eq(segment_at(0x500000)->filesz, PAGE);
	ck_assert_ptr_nonnull(segment_at(0x600000));
	gc_process_close(&made);
	remake(GC_READER_DELVE);
	ck_assert(!made.core.has_files);
}
END_TEST

START_TEST(cut_off)
{
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0x500000, 2 * PAGE, content, 2 * PAGE, PF_R | PF_W);
	builder_load(&b, 0x700000, PAGE, content, PAGE, PF_R | PF_W);
	builder_finish(&b);
	open_core(b.out.len - 2 * PAGE);
	remake(GC_READER_ANY);
	ck_assert(!made.core.cut);
	ck_assert_uint_eq(written.cut, 2 * PAGE);
	ck_memory(0x500000, content, PAGE);
	ck_assert_ptr_null(segment_at(0x501000));
	ck_assert_ptr_null(segment_at(0x700000));
}
END_TEST

START_TEST(memory_tags)
{
	static const uint8_t tags[128] = { 0x21, 0x43 };

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0x500000, PAGE, content, PAGE, PF_R | PF_W);
	builder_segment(&b, 0x70000002, 0x500000, PAGE, tags, sizeof(tags), 0);
	open_core(0);
	remake(GC_READER_GDB);
	ck_assert_uint_eq(made.core.ntags, 1);
	ck_assert_uint_eq(made.core.tags[0].addr, 0x500000);
	ck_assert_uint_eq(made.core.tags[0].have, sizeof(tags));
	ck_assert_mem_eq(made.core.input.bytes + made.core.tags[0].offset, tags, sizeof(tags));
}
END_TEST

/* ---- Delve ---- */

static void add_delve_header(const char *target)
{
	char text[100];
	int len = snprintf(text, sizeof(text), "%s\nTarget Pid: 4242\nEntry Point: 0x46e1a0\n", target);

	builder_note_named(&b, "Delve Header", 12, BUILDER_DELVE_HEADER, text, (size_t)len);
}

static void add_u64(struct gc_buf *out, uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_buf_add(out, bytes, 8);
}

static void add_register(struct gc_buf *out, const char *name, uint64_t value, uint16_t len)
{
	uint8_t bytes[16] = { 0 };

	gc_store_le16(bytes, (uint16_t)strlen(name));
	gc_buf_add(out, bytes, 2);
	gc_buf_str(out, name);
	gc_store_le16(bytes, len);
	gc_buf_add(out, bytes, 2);
	gc_store_le64(bytes, value);
	gc_buf_add(out, bytes, len);
}

/** A thread note's fixed part; tls is 0x4444. */
static void begin_thread(struct gc_buf *out, uint64_t tid, uint32_t nregs)
{
	uint8_t bytes[4];

	add_u64(out, tid);
	add_u64(out, 0x1111); /* pc */
	add_u64(out, 0x2222); /* sp */
	add_u64(out, 0x3333); /* bp */
	add_u64(out, 0x4444);
	gc_buf_char(out, 0);
	add_u64(out, 0);
	gc_store_le32(bytes, nregs);
	gc_buf_add(out, bytes, 4);
}

START_TEST(delve_without_owners)
{
	uint8_t desc[336] = { 0 };

	builder_init(&b, EM_X86_64);
	add_delve_header("linux/amd64");
	builder_note(&b, "", NT_PRPSINFO, content, 136);
	gc_store_le32(desc + 32, 4243);
	builder_note(&b, "", NT_PRSTATUS, desc, sizeof(desc));
	builder_note(&b, "", NT_X86_XSTATE, content, 832);
	gc_store_le32(desc + 32, 4242);
	builder_note(&b, "", NT_PRSTATUS, desc, sizeof(desc));
	open_core(0);
	ck_assert_uint_eq(gc_normalize_reasons(&process, GC_READER_GDB, NULL), 1);
	ck_assert_uint_eq(gc_normalize_reasons(&process, GC_READER_DELVE, NULL), 0);
	remake(GC_READER_ANY);
	ck_assert_int_ne(made.core.maker, GC_MADE_BY_DELVE);
	ck_note(0, "CORE", NT_PRSTATUS, 336);
	ck_note(1, "CORE", NT_PRPSINFO, 136);
	ck_note(2, "CORE", NT_AUXV, 32);
	ck_note(3, "LINUX", NT_X86_XSTATE, 832);
	ck_note(4, "CORE", NT_PRSTATUS, 336);
	ck_assert_uint_eq(made.core.nnotes, 5);
	ck_assert_int_eq(made.core.threads[0].tid, 4243);
}
END_TEST

START_TEST(delve_threads_of_arm64)
{
	struct gc_buf desc = GC_BUF_INIT;
	uint64_t entry;

	builder_init(&b, EM_AARCH64);
	add_delve_header("linux/arm64");
	begin_thread(&desc, 77, 4);
	add_register(&desc, "X1", 0xa1, 8);
	add_register(&desc, "PSTATE", 0x60000000, 8);
	add_register(&desc, "V3", 0xb3, 16);
	add_register(&desc, "FPCR", 0x7, 8);
	builder_note(&b, "", BUILDER_DELVE_THREAD, desc.data, desc.len);
	open_core(0);
	ck_assert_uint_eq(gc_normalize_reasons(&process, GC_READER_LLDB, NULL), 1);
	remake(GC_READER_ANY);
	ck_note(0, "CORE", NT_PRSTATUS, 392);
	ck_note(1, "CORE", NT_PRPSINFO, 136);
	ck_note(2, "CORE", NT_AUXV, 32);
	ck_note(3, "CORE", NT_FPREGSET, 528);
	ck_note(4, "LINUX", NT_ARM_TLS, 8);
	ck_assert_uint_eq(made.core.nnotes, 5);
	ck_assert_int_eq(made.core.prpsinfo.pid, 4242);
	ck_assert_uint_eq(made.core.input.bytes[EI_OSABI], ELFOSABI_NONE); /* NT_ARM_TLS says whose it is */
	ck_assert(gc_core_auxv(&made.core, AT_ENTRY, &entry) && entry == 0x46e1a0);
	ck_assert_int_eq(made.core.threads[0].tid, 77);
	ck_reg(0, "x1", 0xa1);
	ck_reg(0, "pc", 0x1111);
	ck_reg(0, "sp", 0x2222);
	ck_reg(0, "x29", 0x3333);
	ck_reg(0, "cpsr", 0x60000000);
	ck_reg(0, "v3", 0xb3);
	ck_reg(0, "fpcr", 0x7);
	ck_reg(0, "tpidr", 0x4444);
	ck_assert(has_problem(&problems, "x0, x2, "));
	ck_assert(!has_problem(&problems, "x1, "));
	gc_buf_deinit(&desc);
}
END_TEST

START_TEST(delve_threads_of_amd64)
{
	struct gc_buf desc = GC_BUF_INIT;

	builder_init(&b, EM_X86_64);
	add_delve_header("windows/amd64");
	begin_thread(&desc, 3, 4);
	add_register(&desc, "Rax", 0xa, 8);
	add_register(&desc, "XMM1", 0xb, 16);
	add_register(&desc, "ST(2)", 0xc, 10);
	add_register(&desc, "CW", 0x37f, 2);
	builder_note(&b, "", BUILDER_DELVE_THREAD, desc.data, desc.len);
	open_core(0);
	remake(GC_READER_ANY);
	ck_reg(0, "rax", 0xa);
	ck_reg(0, "rip", 0x1111);
	ck_reg(0, "rbp", 0x3333);
	ck_reg(0, "xmm1", 0xb);
	ck_reg(0, "st2", 0xc);
	ck_reg(0, "orig_rax", UINT64_MAX); /* in no system call */
	ck_assert(has_problem(&problems, "rbx, rcx, "));
	gc_buf_deinit(&desc);
}
END_TEST

/* ---- Damage ---- */

/** Readers refuse notes of a wrong length, or crash on them. */
START_TEST(notes_of_odd_lengths)
{
	uint8_t desc[500] = { 0 };

	builder_init(&b, EM_AARCH64);
	gc_store_le32(desc + 32, 7);
	gc_store_le64(desc + 112 + 8, 0xa1);
	builder_note(&b, "CORE", NT_PRSTATUS, desc, 112 + 16);
	builder_note(&b, "CORE", NT_FPREGSET, content, 100);
	builder_note(&b, "LINUX", NT_ARM_PAC_MASK, content, 3);
	gc_store_le32(desc + 32, 8);
	builder_note(&b, "CORE", NT_PRSTATUS, desc, 500);
	builder_note(&b, "OTHER", 5, content, 3);
	open_core(0);
	ck_assert_uint_ge(gc_normalize_reasons(&process, GC_READER_ANY, NULL), 1);
	remake(GC_READER_ANY);
	ck_note(0, "CORE", NT_PRSTATUS, 392);
	ck_note(1, "CORE", NT_PRPSINFO, 136);
	ck_note(2, "CORE", NT_FPREGSET, 528);
	ck_note(3, "CORE", NT_PRSTATUS, 392);
	ck_note(4, "OTHER", 5, 3);
	ck_assert_uint_eq(made.core.nnotes, 5);
	ck_reg(0, "x1", 0xa1);
	ck_reg(1, "x1", 0xa1);
	ck_reg(0, "v0", gc_load_le64(content));
	ck_assert(has_problem(&problems, "NT_ARM_PAC_MASK"));
	ck_assert(has_problem(&problems, "NT_FPREGSET"));
	ck_assert(has_problem(&problems, "x2, "));
}
END_TEST

START_TEST(damaged_file_note)
{
	static const struct builder_file files[] = {
		{ 0x400000, 0x401000, 3, "/a" }, { 0x500000, 0x400000, 0, "/no" }, { 0x600000, 0x601000, 0, "/b" },
	};

	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_files(&b, 4096, files, 3);
	open_core(0);
	remake(GC_READER_ANY);
	ck_assert_uint_eq(made.core.nfiles, 2);
	ck_assert_uint_eq(made.core.files[0].offset, 3 * PAGE);
	ck_assert_str_eq(made.core.files[1].path, "/b");
	ck_assert_uint_eq(made.core.problems.count, 0);
}
END_TEST

/** Otherwise a small file could be made to fill a disk. */
START_TEST(segments_that_share_bytes)
{
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0x100000, PAGE, content, PAGE, PF_R);
	for (uint64_t i = 1; i < 100; i++) {
		struct builder_segment *s = builder_load(&b, 0x100000 + i * 4 * PAGE, PAGE, NULL, PAGE, PF_R);

		s->fixed_offset = true;
		s->offset = 0x100;
	}
	open_core(0);
	ck_assert_int_eq(normalize(GC_READER_ANY), GC_E_LIMIT);
}
END_TEST

START_TEST(many_segments)
{
	enum { COUNT = 66000 };

	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	for (uint64_t i = 0; i < COUNT; i++)
		builder_load(&b, 0x100000 + i * 2 * PAGE, PAGE, content + i % PAGE, 16, PF_R);
	b.xnum = true;
	open_core(0);
	remake(GC_READER_LLDB);
	ck_assert_uint_eq(written.segments, COUNT);
	ck_assert_uint_eq(made.core.nsegments, COUNT);
	ck_assert_uint_eq(gc_load_le16(made.core.input.bytes + 56), PN_XNUM);
	ck_memory(0x100000 + (COUNT - 1) * 2 * PAGE, content + (COUNT - 1) % PAGE, 16);
}
END_TEST

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/** Whatever can be opened can be written, and what was written can be opened and has the same threads. */
START_TEST(random_damage)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096, AT_PHDR, 0x400040, AT_PHNUM, 3, AT_ENTRY, 0x400100 };
	static const struct builder_file files[] = { { 0x400000, 0x402000, 0, "/bin/prog" } };
	uint32_t state = (uint32_t)_i + 1;
	size_t opened = 0;

	builder_init(&b, _i % 2 ? EM_X86_64 : EM_AARCH64);
	builder_prstatus(&b, 4711, 11, content, 27 * 8);
	builder_prpsinfo(&b, 4711, "prog", "prog");
	builder_siginfo(&b, 11, 1, 0x10);
	builder_auxv(&b, auxv, 4);
	builder_files(&b, 4096, files, 1);
	builder_note(&b, "CORE", NT_FPREGSET, content, 528);
	builder_note(&b, "LINUX", _i % 2 ? NT_X86_XSTATE : 0x405, content, 832);
	builder_prstatus(&b, 4712, 0, content, 27 * 8);
	builder_load(&b, 0x400000, 2 * PAGE, content, PAGE, PF_R | PF_X);
	builder_load(&b, 0x600000, PAGE, content, PAGE, PF_R | PF_W);
	builder_finish(&b);
	for (int round = 0; round < 150; round++) {
		char *bytes = malloc(b.out.len);

		memcpy(bytes, b.out.data, b.out.len);
		for (uint32_t n = 1 + next_random(&state) % 4; n; n--)
			bytes[next_random(&state) % (b.out.len - 2 * PAGE)] = (char)next_random(&state);
		if (open_bytes(&process, bytes, b.out.len)) {
			opened++;
			if (normalize((enum gc_reader)(round % 4)) == GC_OK) {
				ck_assert_uint_eq(made.core.nthreads, process.core.nthreads);
				ck_assert_uint_eq(made.core.threads[0].tid, process.core.threads[0].tid);
				ck_assert(!made.core.cut);
			} else {
				ck_assert_int_eq(err.code, GC_E_LIMIT);
			}
		}
		close_all();
		free(bytes);
	}
	ck_assert_uint_gt(opened, 50);
}
END_TEST

START_TEST(reasons)
{
	static const struct builder_file files[] = {
		{ 0x400000, 0x401000, 0, "/bin/prog" }, { 0x700000, 0x701000, 0, "/lib/c.so" },
	};

	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_files(&b, 4096, files, 2);
	builder_load(&b, 0x400000, PAGE, content, PAGE, PF_R | PF_X);
	builder_load(&b, 0x700000, PAGE, NULL, 0, PF_R | PF_X);
	open_core(0);
	for (int reader = GC_READER_ANY; reader <= GC_READER_LLDB; reader++)
		ck_assert_uint_eq(gc_normalize_reasons(&process, (enum gc_reader)reader, NULL), 0);
	ck_assert_uint_eq(gc_normalize_reasons(&process, GC_READER_DELVE, &problems), 1);
	ck_assert(has_problem(&problems, "would be read out of the program"));
}
END_TEST

START_TEST(readers)
{
	enum gc_reader reader;

	ck_assert(gc_reader_named("dlv", &reader) && reader == GC_READER_DELVE);
	ck_assert(gc_reader_named("any", &reader) && reader == GC_READER_ANY);
	ck_assert(!gc_reader_named("", &reader));
	ck_assert_str_eq(gc_reader_name(GC_READER_LLDB), "lldb");
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("normalize");
	TCase *t = tcase_create("normalize");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, order_and_memory);
	tcase_add_test(t, holes);
	tcase_add_test(t, cut_off);
	tcase_add_test(t, memory_tags);
	tcase_add_test(t, delve_without_owners);
	tcase_add_test(t, delve_threads_of_arm64);
	tcase_add_test(t, delve_threads_of_amd64);
	tcase_add_test(t, notes_of_odd_lengths);
	tcase_add_test(t, damaged_file_note);
	tcase_add_test(t, segments_that_share_bytes);
	tcase_add_test(t, many_segments);
	tcase_add_loop_test(t, random_damage, 0, 6);
	tcase_add_test(t, reasons);
	tcase_add_test(t, readers);
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
