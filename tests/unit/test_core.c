/* src/core/elf_core.c: ELF headers, segments, what is cut and what is no core. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "core_builder.h"

#define PAGE 0x1000

static uint8_t page[4 * PAGE];

static void set_up(void)
{
	for (size_t i = 0; i < sizeof(page); i++)
		page[i] = (uint8_t)(i * 7 + i / 256);
}

/** One thread and two segments: what most tests start from. */
static void small(struct core_builder *b)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096, AT_ENTRY, 0x401000 };
	static const struct builder_file files[] = { { 0x400000, 0x402000, 0, "/bin/prog" } };

	builder_init(b, EM_X86_64);
	builder_prstatus(b, 4711, 11, NULL, 0);
	builder_prpsinfo(b, 4711, "prog", "/bin/prog -x");
	builder_siginfo(b, 11, 1, 0x10);
	builder_auxv(b, auxv, 2);
	builder_files(b, 4096, files, 1);
	builder_load(b, 0x400000, 2 * PAGE, page, PAGE, PF_R | PF_X);
	builder_load(b, 0x600000, PAGE, page + PAGE, PAGE, PF_R | PF_W);
}

static void open_ok(struct core_builder *b, struct gc_core *core)
{
	struct gc_error err = { .text = "" };

	if (builder_open_core(b, core, &err) != GC_OK)
		ck_abort_msg("%s", err.text);
}

START_TEST(small_core)
{
	struct core_builder b;
	struct gc_core core;

	small(&b);
	open_ok(&b, &core);
	ck_assert_str_eq(core.arch->name, "x86_64");
	ck_assert_uint_eq(core.nsegments, 2);
	ck_assert_uint_eq(core.segments[0].addr, 0x400000);
	ck_assert_uint_eq(core.segments[0].memsz, 2 * PAGE);
	ck_assert_uint_eq(core.segments[0].filesz, PAGE);
	ck_assert_uint_eq(core.segments[0].have, PAGE);
	ck_assert_uint_eq(core.segments[0].flags, PF_R | PF_X);
	ck_assert_mem_eq(core.input.bytes + core.segments[0].offset, page, PAGE);
	ck_assert_mem_eq(core.input.bytes + core.segments[1].offset, page + PAGE, PAGE);
	ck_assert_uint_eq(core.nthreads, 1);
	ck_assert_int_eq(core.threads[0].tid, 4711);
	ck_assert_uint_eq(core.page_size, 4096);
	ck_assert(!core.cut);
	ck_assert_uint_eq(core.problems.count, 0);
	gc_core_close(&core);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(headers_in_odd_places)
{
	static const struct {
		bool at_end, xnum;
		uint16_t entsize;
		uint64_t align;
	} shapes[] = {
		{ true, false, 56, 1 }, { false, true, 56, 1 }, { true, true, 64, 4096 },
		{ false, false, 57, 3 }, { true, false, 129, 7 },
	};

	for (size_t i = 0; i < GC_COUNT(shapes); i++) {
		struct core_builder b;
		struct gc_core core;

		small(&b);
		b.phdrs_at_end = shapes[i].at_end;
		b.xnum = shapes[i].xnum;
		b.phentsize = shapes[i].entsize;
		b.load_align = shapes[i].align;
		open_ok(&b, &core);
		ck_assert_uint_eq(core.nsegments, 2);
		ck_assert_mem_eq(core.input.bytes + core.segments[1].offset, page + PAGE, PAGE);
		ck_assert_uint_eq(core.nthreads, 1);
		ck_assert_uint_eq(core.problems.count, 0);
		gc_core_close(&core);
		if (b.phdrs_at_end) { /* nothing needs to follow the last header */
			size_t len = b.out.len - (b.phentsize - 56);

			ck_assert_int_eq(core_of_bytes(&core, b.out.data, len, NULL), GC_OK);
			ck_assert_uint_eq(core.nsegments, 2);
			ck_assert(!core.cut);
			gc_core_close(&core);
		}
		builder_deinit(&b);
	}
}
END_TEST

START_TEST(many_segments)
{
	struct core_builder b;
	struct gc_core core;
	struct gc_error err;
	size_t n = 70000;

	builder_init(&b, EM_AARCH64);
	b.xnum = true;
	builder_prstatus(&b, 1, 6, NULL, 0);
	for (size_t i = 0; i < n; i++)
		builder_load(&b, 0x10000 + i * 2 * PAGE, PAGE, NULL, 1, PF_R);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nsegments, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(core.segments[i].addr, 0x10000 + i * 2 * PAGE);
	gc_core_close(&core);

	/* As the kernel has it, section header 0 is at the end; here it is cut off. */
	gc_store_le64(b.out.data + 40, b.out.len);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, b.out.len, &err), GC_OK);
	ck_assert_uint_eq(core.nsegments, n);
	ck_assert(core.cut);
	ck_assert_uint_eq(core.expected_size, b.out.len + 64);
	gc_core_close(&core);

	/* No section header at all: PN_XNUM is the count itself. */
	gc_store_le64(b.out.data + 40, 0);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, b.out.len, &err), GC_OK);
	ck_assert_uint_eq(core.nsegments, PN_XNUM - 1);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(segments_are_sorted)
{
	struct core_builder b;
	struct gc_core core;

	small(&b);
	builder_load(&b, 0x1000, PAGE, page, PAGE, PF_R);
	builder_load(&b, 0x500000, PAGE, page + PAGE, PAGE, PF_R);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nsegments, 4);
	ck_assert_uint_eq(core.segments[0].addr, 0x1000);
	ck_assert_uint_eq(core.segments[1].addr, 0x400000);
	ck_assert_uint_eq(core.segments[2].addr, 0x500000);
	ck_assert_uint_eq(core.segments[3].addr, 0x600000);
	ck_assert_uint_eq(core.problems.count, 0);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(overlaps_are_trimmed)
{
	struct core_builder b;
	struct gc_core core;

	small(&b);
	builder_load(&b, 0x400800, 0x400, page, 0x400, PF_R);         /* inside the first */
	builder_load(&b, 0x401800, PAGE, page + 0x100, PAGE, PF_R);   /* its first half is */
	builder_load(&b, 0x600800, PAGE, page, 0x400, PF_R);          /* all its bytes are */
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nsegments, 4);
	ck_assert_uint_eq(core.segments[1].addr, 0x402000);
	ck_assert_uint_eq(core.segments[1].memsz, 0x800);
	ck_assert_uint_eq(core.segments[1].filesz, 0x800);
	ck_assert_uint_eq(core.segments[1].have, 0x800);
	ck_assert_mem_eq(core.input.bytes + core.segments[1].offset, page + 0x900, 0x800);
	ck_assert_uint_eq(core.segments[3].addr, 0x601000);
	ck_assert_uint_eq(core.segments[3].memsz, 0x800);
	ck_assert_uint_eq(core.segments[3].filesz, 0);
	ck_assert_uint_eq(core.segments[3].have, 0);
	ck_assert_uint_eq(core.problems.count, 3);
	ck_assert(has_problem(&core.problems, "segment 0x400800"));
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(impossible_segments)
{
	struct builder_segment *s;
	struct core_builder b;
	struct gc_core core;

	small(&b);
	builder_load(&b, 0xfffffffffffff000, 0x1001, page, 16, PF_R);
	builder_load(&b, 0xffffffffff600000, PAGE, page, PAGE, PF_R); /* [vsyscall] is fine */
	builder_load(&b, 0x700000, 0x100, page, 0x180, PF_R);
	s = builder_load(&b, 0x800000, PAGE, NULL, PAGE, PF_R);
	s->fixed_offset = true;
	s->offset = 0xfffffffffffff800;
	builder_load(&b, 0x900000, 0, NULL, 0, PF_R);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nsegments, 5);
	ck_assert_uint_eq(core.segments[2].addr, 0x700000);
	ck_assert_uint_eq(core.segments[2].memsz, 0x100);
	ck_assert_uint_eq(core.segments[2].filesz, 0x100);
	ck_assert_uint_eq(core.segments[3].addr, 0x800000);
	ck_assert_uint_eq(core.segments[3].filesz, 0);
	ck_assert_uint_eq(core.segments[4].addr, 0xffffffffff600000);
	ck_assert(!core.cut);
	ck_assert(has_problem(&core.problems, "segment 0xfffffffffffff000"));
	ck_assert(has_problem(&core.problems, "segment 0x700000"));
	ck_assert(has_problem(&core.problems, "segment 0x800000"));
	ck_assert_uint_eq(core.problems.count, 3);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(memory_tags_are_kept_apart)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0x10000, 2 * PAGE, page, 2 * PAGE, PF_R);
	builder_segment(&b, 0x70000002, 0x10000, 2 * PAGE, page, 0x100, 0);
	builder_segment(&b, 0x70000002, 0x20000, PAGE, page, 0x100, 0); /* 0x80 would do */
	builder_segment(&b, 0x70000001, 0x10000, 2 * PAGE, page, 0x100, 0);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.nsegments, 1);
	ck_assert_uint_eq(core.ntags, 2);
	ck_assert_uint_eq(core.tags[0].addr, 0x10000);
	ck_assert_uint_eq(core.tags[0].memsz, 2 * PAGE);
	ck_assert_uint_eq(core.tags[0].have, 0x100);
	ck_assert_mem_eq(core.input.bytes + core.tags[0].offset, page, 0x100);
	ck_assert_uint_eq(core.tags[1].have, 0x80);
	gc_core_close(&core);

	b.machine = EM_X86_64; /* where that number means nothing */
	open_ok(&b, &core);
	ck_assert_uint_eq(core.ntags, 0);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(page_size_without_auxv)
{
	struct core_builder b;
	struct gc_core core;

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 1, 11, NULL, 0);
	builder_load(&b, 0x10000, PAGE, page, PAGE, PF_R);
	open_ok(&b, &core);
	ck_assert_uint_eq(core.page_size, 4096);
	gc_core_close(&core);
	b.segments[1].align = 16384;
	open_ok(&b, &core);
	ck_assert_uint_eq(core.page_size, 16384);
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

START_TEST(cut_in_the_segments)
{
	struct core_builder b;
	struct gc_core core;
	struct gc_error err;
	uint64_t whole;

	small(&b);
	builder_finish(&b);
	whole = b.out.len;
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, whole - PAGE - 0x800, &err), GC_OK);
	ck_assert(core.cut);
	ck_assert_uint_eq(core.expected_size, whole);
	ck_assert_uint_eq(core.segments[0].filesz, PAGE);
	ck_assert_uint_eq(core.segments[0].have, 0x800);
	ck_assert_uint_eq(core.segments[1].filesz, PAGE);
	ck_assert_uint_eq(core.segments[1].have, 0);
	ck_assert_uint_eq(core.problems.count, 1);
	ck_assert(has_problem(&core.problems, "the file ends at 0x"));
	ck_assert(has_problem(&core.problems, "6.0 KiB of memory are missing"));
	gc_core_close(&core);
	builder_deinit(&b);
}
END_TEST

/** Wherever it is cut: opened with whole threads, or refused with a sentence. */
static void cut_everywhere(struct core_builder *b, size_t step)
{
	enum gc_code last = GC_E_FORMAT;
	size_t opened = 0;

	builder_finish(b);
	for (size_t len = 0; len <= b->out.len; len += step) {
		struct gc_core core;
		struct gc_error err = { .text = "" };
		enum gc_code code = core_of_bytes(&core, b->out.data, len, &err);

		if (code != GC_OK) {
			ck_assert_str_ne(err.text, "");
			ck_assert(code == GC_E_TRUNCATED || len < 4);
			ck_assert(len < 4 || strstr(err.text, "cut off"));
		} else {
			ck_assert_uint_ge(core.nthreads, 1);
			ck_assert_int_eq(core.threads[0].tid, 4711);
			ck_assert(core.cut == (len < b->out.len));
			ck_assert(core.cut == (core.problems.count > 0));
			for (size_t i = 0; i < core.nsegments; i++)
				ck_assert(core.segments[i].have == 0 ||
					  core.segments[i].have <= len - core.segments[i].offset);
			opened++;
			gc_core_close(&core);
		}
		last = code;
	}
	ck_assert_int_eq(last, GC_OK);
	ck_assert_uint_ge(opened, b->phdrs_at_end ? 1 : 100);
}

START_TEST(cut_at_every_byte)
{
	struct core_builder b;

	small(&b);
	/* Short segments: what matters is in front of them. */
	b.segments[1].filesz = b.segments[1].bytes.len = 100;
	b.segments[2].filesz = b.segments[2].bytes.len = 100;
	b.phdrs_at_end = _i == 1;
	b.xnum = _i == 2;
	b.phentsize = _i == 3 ? 70 : 56;
	cut_everywhere(&b, 1);
	builder_deinit(&b);
}
END_TEST

static void check_refused(const void *bytes, size_t len, enum gc_code code, const char *text)
{
	struct gc_core core;
	struct gc_error err = { .text = "" };

	ck_assert_int_eq(core_of_bytes(&core, bytes, len, &err), code);
	if (!strstr(err.text, text))
		ck_abort_msg("\"%s\" is not in \"%s\"", text, err.text);
}

START_TEST(what_is_no_core)
{
	static const char text[] = "#!/bin/sh\necho gr\xc3\xbc\xc3\x9f" "e\n";

	check_refused(text, sizeof(text) - 1, GC_E_FORMAT, "is a text file");
	check_refused("\0\1\2\3", 4, GC_E_FORMAT, "is not an ELF file");
	check_refused("MDMP\x93\xa7\0\0", 8, GC_E_FORMAT, "is a minidump");
	check_refused("\xcf\xfa\xed\xfe\x07\0\0\1", 8, GC_E_FORMAT, "is a Mach-O file");
	check_refused("BZh91AY&SY", 10, GC_E_FORMAT, "bzip2");
	check_refused("", 0, GC_E_FORMAT, "is empty");
	check_refused("\177ELF", 4, GC_E_TRUNCATED, "in its ELF header: 4 of 64 bytes");
	check_refused("\177ELF\1\1\1", 7, GC_E_UNSUPPORTED, "32-bit");
	check_refused("\177ELF\2\2\1", 7, GC_E_UNSUPPORTED, "big-endian");
	check_refused("\177ELF\7\1\1", 7, GC_E_FORMAT, "class 7");
	check_refused("\177ELF\2\7\1", 7, GC_E_FORMAT, "byte order 7");
}
END_TEST

START_TEST(elf_files_that_are_no_core)
{
	static const struct {
		uint16_t type, machine;
		enum gc_code code;
		const char *text;
	} cases[] = {
		{ ET_EXEC, EM_X86_64, GC_E_FORMAT, "is a program, not a core" },
		{ ET_DYN, EM_AARCH64, GC_E_FORMAT, "is a program or shared library, not a core" },
		{ ET_DYN, EM_PPC64, GC_E_FORMAT, "is a program or shared library, not a core" },
		{ ET_REL, EM_X86_64, GC_E_FORMAT, "is an object file" },
		{ 99, EM_X86_64, GC_E_FORMAT, "type 99" },
		{ ET_CORE, EM_PPC64, GC_E_UNSUPPORTED, "core of PowerPC64; only cores of x86-64 and AArch64" },
		{ ET_CORE, EM_RISCV, GC_E_UNSUPPORTED, "core of RISC-V" },
		{ ET_CORE, 9999, GC_E_UNSUPPORTED, "core of machine 9999" },
	};
	struct core_builder b;

	small(&b);
	for (size_t i = 0; i < GC_COUNT(cases); i++) {
		b.type = cases[i].type;
		b.machine = cases[i].machine;
		builder_finish(&b);
		check_refused(b.out.data, b.out.len, cases[i].code, cases[i].text);
	}
	builder_deinit(&b);
}
END_TEST

START_TEST(cores_without_what_is_needed)
{
	struct core_builder b;

	builder_init(&b, EM_X86_64);
	builder_load(&b, 0x1000, PAGE, page, PAGE, PF_R);
	builder_finish(&b);
	check_refused(b.out.data, b.out.len, GC_E_FORMAT, "without threads: it has no notes");
	builder_prpsinfo(&b, 1, "a", "a");
	builder_finish(&b);
	check_refused(b.out.data, b.out.len, GC_E_FORMAT, "without threads: none of its notes");
	builder_deinit(&b);

	small(&b);
	b.phentsize = 32;
	builder_finish(&b);
	check_refused(b.out.data, b.out.len, GC_E_FORMAT, "program headers of 32 bytes");
	b.phentsize = 56;
	builder_finish(&b);
	gc_store_le16(b.out.data + 56, 0);
	check_refused(b.out.data, b.out.len, GC_E_FORMAT, "without program headers");
	b.xnum = true;
	builder_finish(&b);
	gc_store_le32(b.out.data + 64 + 44, 0);
	check_refused(b.out.data, b.out.len, GC_E_FORMAT, "without program headers");
	builder_deinit(&b);
}
END_TEST

START_TEST(hostile_counts)
{
	struct core_builder b;
	struct gc_core core;
	struct gc_error err;

	small(&b);
	b.xnum = true;
	builder_finish(&b);
	gc_store_le32(b.out.data + 64 + 44, 0xffffffff);
	ck_assert_int_eq(core_of_bytes(&core, b.out.data, b.out.len, &err), GC_OK);
	ck_assert(core.cut);
	ck_assert(has_problem(&core.problems, "4294967295 of them"));
	gc_core_close(&core);
	gc_store_le64(b.out.data + 32, UINT64_MAX - 10);
	check_refused(b.out.data, b.out.len, GC_E_TRUNCATED, "before its program headers");
	builder_deinit(&b);
}
END_TEST

static uint32_t random_state;

static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % n;
}

/** Where headers and notes are; the content of segments cannot harm. */
static void damage(uint8_t *bytes, size_t len)
{
	static const uint8_t favourites[] = { 0, 1, 0x7f, 0x80, 0xff };

	for (uint32_t n = 1 + random_below(8); n; n--) {
		size_t at = random_below((uint32_t)len);

		if (random_below(2))
			bytes[at] = favourites[random_below(sizeof(favourites))];
		else if (at + 8 <= len && random_below(2))
			gc_store_le64(bytes + at, (uint64_t)random_below(1 << 24) << random_below(60));
		else
			bytes[at] = (uint8_t)random_below(256);
	}
}

/** Use all that was read, so that a sanitizer sees what is wrong with it. */
static void walk(const struct gc_core *core)
{
	struct gc_regmap map;
	uint64_t sum = 0;

	gc_core_regmap(core, &map);
	for (size_t i = 0; i < core->nthreads; i++) {
		struct gc_problems problems = { .list = NULL };
		struct gc_regs regs;

		ck_assert_int_eq(gc_core_regs(core, &core->threads[i], &map, &regs, &problems, NULL), GC_OK);
		gc_regs_deinit(&regs);
		gc_problems_deinit(&problems);
	}
	for (size_t i = 0; i < core->nsegments; i++) {
		const struct gc_segment *s = &core->segments[i];

		ck_assert(s->have <= s->filesz && s->filesz <= s->memsz && s->memsz > 0);
		ck_assert_uint_ge(s->addr + s->memsz, s->addr);
		ck_assert(i == 0 || s->addr >= s[-1].addr + s[-1].memsz);
		if (s->have)
			sum += core->input.bytes[s->offset] + core->input.bytes[s->offset + s->have - 1];
	}
	for (size_t i = 0; i < core->nfiles; i++)
		sum += strlen(core->files[i].path);
	for (size_t i = 0; i < core->nnotes; i++) {
		const struct gc_note *n = &core->notes[i];
		const char *name = gc_note_name(core, n);

		sum += (name ? strlen(name) : 0) + (n->desc_len ? n->desc[n->desc_len - 1] : 0);
		sum += n->owner_len ? (uint8_t)n->owner[n->owner_len - 1] : 0;
	}
	ck_assert_uint_ne(sum, UINT64_MAX);
}

START_TEST(random_damage_never_harms)
{
	struct core_builder b;
	uint8_t *bytes;
	size_t opened = 0;

	small(&b);
	b.segments[1].filesz = b.segments[1].bytes.len = 100;
	b.segments[2].filesz = b.segments[2].bytes.len = 100;
	b.machine = _i % 2 ? EM_AARCH64 : EM_X86_64;
	b.xnum = _i % 4 == 2;
	b.phdrs_at_end = _i % 4 == 3;
	builder_prstatus(&b, 4712, 0, NULL, 0);
	builder_note(&b, "LINUX", 0x202, page, 1024);
	builder_note(&b, "LINUX", 0x405, page, 600);
	builder_note(&b, "LINUX", 0x205, page, 64);
	builder_finish(&b);
	bytes = malloc(b.out.len);
	for (uint32_t seed = 0; seed < 1000; seed++) {
		struct gc_core core;
		struct gc_error err = { .text = "" };

		random_state = seed + (uint32_t)_i * 100000;
		memcpy(bytes, b.out.data, b.out.len);
		damage(bytes, b.out.len);
		if (core_of_bytes(&core, bytes, b.out.len, &err) == GC_OK) {
			opened++;
			walk(&core);
			gc_core_close(&core);
		} else {
			ck_assert_str_ne(err.text, "");
		}
	}
	ck_assert_uint_ge(opened, 100);
	free(bytes);
	builder_deinit(&b);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("core");
	TCase *t = tcase_create("core");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, set_up, NULL);
	tcase_add_test(t, small_core);
	tcase_add_test(t, headers_in_odd_places);
	tcase_add_test(t, many_segments);
	tcase_add_test(t, segments_are_sorted);
	tcase_add_test(t, overlaps_are_trimmed);
	tcase_add_test(t, impossible_segments);
	tcase_add_test(t, memory_tags_are_kept_apart);
	tcase_add_test(t, page_size_without_auxv);
	tcase_add_test(t, cut_in_the_segments);
	tcase_add_loop_test(t, cut_at_every_byte, 0, 4);
	tcase_add_test(t, what_is_no_core);
	tcase_add_test(t, elf_files_that_are_no_core);
	tcase_add_test(t, cores_without_what_is_needed);
	tcase_add_test(t, hostile_counts);
	tcase_add_loop_test(t, random_damage_never_harms, 0, 8);
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
