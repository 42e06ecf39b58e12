/*
 * Thread-local storage: the ABI's formula for the program, the DTV for
 * libraries with and without glibc's descriptions, and memory tags.
 */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"
#include "gocore/process.h"

#include "core_builder.h"

/*
 * This test program plays the C library whose copy has the descriptions: its
 * structures are unlike glibc's, so that a right answer comes from them. (Words:
 * size in bits, elements, offset; nptl_db/db_info.c.)
 */
const uint32_t _thread_db_link_map_l_tls_modid[3] = { 64, 1, 0x58 };
const uint32_t _thread_db_link_map_l_tls_offset[3] = { 64, 1, 0x60 };
const uint32_t _thread_db_pthread_dtvp[3] = { 64, 1, 0x28 };
const uint32_t _thread_db_dtv_dtv[3] = { 192, 1, 0 };
const uint32_t _thread_db_dtv_t_pointer_val[3] = { 64, 1, 8 };
const uint32_t _thread_db_sizeof_pthread = 0x700;
const uint32_t _thread_db_rtld_global__dl_tls_dtv_slotinfo_list[3] = { 64, 1, 0x30 };
const uint32_t _thread_db_dtv_slotinfo_list_len[3] = { 64, 1, 0 };
const uint32_t _thread_db_dtv_slotinfo_list_next[3] = { 64, 1, 8 };
const uint32_t _thread_db_dtv_slotinfo_list_slotinfo[3] = { 128, 0, 16 };
const uint32_t _thread_db_dtv_slotinfo_gen[3] = { 64, 1, 0 };
const uint32_t _thread_db_dtv_slotinfo_map[3] = { 64, 1, 8 };
/* A local symbol: a global one would be taken for the dynamic linker's own. */
static const char rtld_stand_in[64] __asm__("_rtld_global") __attribute__((used));

#define BASE  0x555500000000ULL
#define LIB   0x7fff00000000ULL /* a library's ELF header */
#define SIZE  0x10000
#define TP    (BASE + 0x8000)
#define LM    (BASE + 0x4000)   /* link_map of the library */
#define DTV   (BASE + 0x5000)
#define BLOCK 0x7ffe12345670ULL
#define RTLD  (BASE + 0x9000)
#define SLOTS (BASE + 0xa000)

static uint8_t memory[SIZE], library[0x1000];
static struct gc_process p;
static struct core_builder b;
static struct gc_regs regs;
static struct gc_link list[3];
static struct gc_image images[2];
static struct gc_elf_file self;
static struct gc_error err;

static void put(uint64_t addr, uint64_t value)
{
	gc_store_le64(memory + (addr - BASE), value);
}

static void put_phdr(uint8_t *at, uint32_t type, uint64_t vaddr, uint64_t filesz, uint64_t memsz, uint64_t align)
{
	gc_store_le32(at, type);
	gc_store_le64(at + 8, type == PT_LOAD ? 0 : vaddr);
	gc_store_le64(at + 16, vaddr);
	gc_store_le64(at + 32, filesz);
	gc_store_le64(at + 40, memsz);
	gc_store_le64(at + 48, align);
}

static void put_library(uint16_t machine)
{
	memset(library, 0, sizeof(library));
	memcpy(library, ELFMAG, SELFMAG);
	library[EI_CLASS] = ELFCLASS64;
	library[EI_DATA] = ELFDATA2LSB;
	library[EI_VERSION] = EV_CURRENT;
	gc_store_le16(library + 16, ET_DYN);
	gc_store_le16(library + 18, machine);
	gc_store_le64(library + 32, 64);
	gc_store_le16(library + 54, 56);
	gc_store_le16(library + 56, 2);
	put_phdr(library + 64, PT_LOAD, 0, 0x1000, 0x1000, 0x1000);
	put_phdr(library + 120, PT_TLS, 0xd30, 0x18, 0x40, 16);
}

/** The link_map's TLS fields as glibc has had them since 2.5. */
static void put_link_fields(uint64_t at, uint64_t modid, uint64_t offset)
{
	put(at, LIB + 0xd30);
	put(at + 8, 0x18);
	put(at + 16, 0x40);
	put(at + 24, 16);
	put(at + 32, 0);
	put(at + 40, offset);
	put(at + 48, modid);
}

static void start(uint16_t machine)
{
	memset(&p, 0, sizeof(p));
	memset(memory, 0, sizeof(memory));
	memset(images, 0, sizeof(images));
	put_library(machine);
	put_phdr(memory + 64, PT_PHDR, 64, 3 * 56, 3 * 56, 8);
	put_phdr(memory + 64 + 56, PT_LOAD, 0, SIZE, SIZE, 0x1000);
	put_phdr(memory + 64 + 112, PT_TLS, 0x2d90, 0x10, 0x31, 16);
	builder_deinit(&b); /* setup() made one for x86_64 */
	builder_init(&b, machine);
	builder_prstatus(&b, 1, 11, NULL, 0);
	list[0] = (struct gc_link){ .lm = BASE + 0x3000, .l_addr = BASE, .name = (char *)"", .is_program = true };
	list[1] = (struct gc_link){ .lm = LM, .l_addr = LIB, .name = (char *)"/lib/mod.so" };
	list[2] = (struct gc_link){ .lm = BASE + 0x3800, .l_addr = LIB + 0x100000, .name = (char *)"/lib/ld-musl-x.so" };
}

static void open_process(void)
{
	const uint64_t auxv[] = { AT_PHDR, BASE + 64, AT_PHNUM, 3 };

	builder_auxv(&b, auxv, 2);
	builder_load(&b, BASE, SIZE, memory, SIZE, PF_R | PF_W);
	builder_load(&b, LIB, sizeof(library), library, sizeof(library), PF_R);
	ck_assert_int_eq(builder_open_core(&b, &p.core, &err), GC_OK);
	gc_core_regmap(&p.core, &p.regmap);
	ck_assert_int_eq(gc_space_init(&p.space, &p.core, &err), GC_OK);
	ck_assert_int_eq(gc_regs_init(&regs, &p.regmap, &err), GC_OK);
	gc_regs_set_u64(&regs, (unsigned)p.core.arch->tp, TP);
	p.links = (struct gc_link_map){ .list = list, .count = 2 };
}

static void setup(void)
{
	start(EM_X86_64);
}

static void teardown(void)
{
	gc_regs_deinit(&regs);
	gc_space_deinit(&p.space);
	gc_core_close(&p.core);
	builder_deinit(&b);
	memset(&b, 0, sizeof(b));
	if (self.input.bytes)
		gc_elf_file_close(&self);
	memset(&self, 0, sizeof(self));
}

static void ck_tls(uint64_t lm, uint64_t offset, uint64_t expected)
{
	uint64_t out = 0;

	ck_assert_msg(gc_process_tls(&p, &regs, lm, offset, &out, &err) == GC_OK, "%s", err.text);
	ck_assert_uint_eq(out, expected);
}

static void ck_no_tls(uint64_t lm, enum gc_code code, const char *text)
{
	uint64_t out = 42;

	ck_assert_int_eq(gc_process_tls(&p, &regs, lm, 8, &out, &err), code);
	ck_assert_uint_eq(out, 42);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

START_TEST(program_below_tp)
{
	open_process();
	ck_tls(0, 0, TP - 0x40);         /* 0x31 rounded up to 16 */
	ck_tls(list[0].lm, 8, TP - 0x38);
}
END_TEST

START_TEST(program_above_tp)
{
	start(EM_AARCH64);
	open_process();
	ck_tls(0, 4, TP + 16 + 4);
}
END_TEST

/* The formulas of _dl_determine_tlsoffset and of the linkers, worked out by hand. */
START_TEST(program_alignment)
{
	put_phdr(memory + 64 + 112, PT_TLS, 0x2d90, 0x10, 0x31, 64); /* at 16 bytes behind a multiple of 64 */
	open_process();
	ck_tls(0, 0, TP - 0x70); /* the least distance >= 0x31 that is 16 below a multiple of 64 */
}
END_TEST

START_TEST(program_alignment_above)
{
	start(EM_AARCH64);
	put_phdr(memory + 64 + 112, PT_TLS, 0x2d80, 0x10, 0x31, 64);
	open_process();
	ck_tls(0, 0, TP + 64);
}
END_TEST

/* TP is a multiple of 64 and the block begins 16 behind one, right where the TCB ends. */
START_TEST(program_skew_above)
{
	start(EM_AARCH64);
	put_phdr(memory + 64 + 112, PT_TLS, 0x2d90, 0x10, 0x31, 64);
	open_process();
	ck_tls(0, 0, TP + 16);
}
END_TEST

START_TEST(program_odd)
{
	put_phdr(memory + 64 + 112, PT_TLS, 0x2d90, 0x10, 0x31, 48);
	open_process();
	ck_no_tls(0, GC_E_FORMAT, "alignment");
}
END_TEST

START_TEST(program_without)
{
	put_phdr(memory + 64 + 112, PT_NOTE, 0x2d90, 0x10, 0x31, 16);
	open_process();
	ck_no_tls(0, GC_E_NOT_FOUND, "no thread-local");
}
END_TEST

START_TEST(unknown_tp)
{
	open_process();
	gc_regs_set_u64(&regs, (unsigned)p.core.arch->tp, 0);
	ck_no_tls(0, GC_E_NOT_FOUND, "thread pointer");
	regs.valid[p.core.arch->tp] = false;
	ck_no_tls(0, GC_E_NOT_FOUND, "thread pointer");
}
END_TEST

START_TEST(unknown_module)
{
	open_process();
	ck_no_tls(LM + 8, GC_E_NOT_FOUND, "no module");
	ck_no_tls(UINT64_MAX, GC_E_NOT_FOUND, "no module");
}
END_TEST

/** glibc's DTV of @slots modules; the thread's pointer to it lies at TP + @at. */
static void put_dtv(int64_t at, uint64_t slots)
{
	put(TP + (uint64_t)at, DTV);
	put(DTV - 16, slots);
	put(DTV + 3 * 16, BLOCK);
}

START_TEST(library_without_descriptions)
{
	put_link_fields(LM + 1096, 3, 0);
	put_dtv(8, 15);
	open_process();
	ck_tls(LM, 0x20, BLOCK + 0x20);
}
END_TEST

START_TEST(library_without_descriptions_above)
{
	start(EM_AARCH64);
	put_link_fields(LM + 1000, 3, 0);
	put_dtv(0, 15);
	open_process();
	ck_tls(LM, 0x20, BLOCK + 0x20);
}
END_TEST

START_TEST(not_allocated)
{
	put_link_fields(LM + 1096, 3, 0);
	put_dtv(8, 15);
	put(DTV + 3 * 16, UINT64_MAX);
	open_process();
	ck_no_tls(LM, GC_E_NOT_FOUND, "not allocated");
}
END_TEST

START_TEST(dtv_too_short)
{
	put_link_fields(LM + 1096, 3, 0);
	put_dtv(8, 2);
	open_process();
	ck_no_tls(LM, GC_E_NOT_FOUND, "not allocated");
}
END_TEST

START_TEST(static_library)
{
	put_link_fields(LM + 1096, 3, 0x140);
	put_dtv(8, 15);
	put(DTV + 3 * 16, UINT64_MAX);
	open_process();
	ck_tls(LM, 8, TP - 0x140 + 8);
}
END_TEST

START_TEST(static_library_above)
{
	start(EM_AARCH64);
	put_link_fields(LM + 1096, 3, 0x140);
	put_dtv(0, 15);
	put(DTV + 3 * 16, UINT64_MAX);
	open_process();
	ck_tls(LM, 8, TP + 0x140 + 8);
}
END_TEST

START_TEST(forced_dynamic)
{
	put_link_fields(LM + 1096, 3, UINT64_MAX);
	put_dtv(8, 15);
	put(DTV + 3 * 16, UINT64_MAX);
	open_process();
	ck_no_tls(LM, GC_E_NOT_FOUND, "not allocated");
}
END_TEST

START_TEST(hostile_dtv)
{
	static const uint64_t dtvs[] = { 0, 8, UINT64_MAX, UINT64_MAX - 7, BASE + SIZE + 16 };

	put_link_fields(LM + 1096, 3, 0);
	put_dtv(8, 15);
	put(TP + 8, dtvs[_i]);
	open_process();
	ck_no_tls(LM, GC_E_FAULT, "0x");
}
END_TEST

START_TEST(hostile_modid)
{
	put_link_fields(LM + 1096, 1ULL << 60, 0);
	put_dtv(8, UINT64_MAX);
	open_process();
	ck_no_tls(LM, GC_E_LIMIT, "module id");
}
END_TEST

START_TEST(fields_not_found)
{
	put_dtv(8, 15);
	open_process();
	ck_no_tls(LM, GC_E_NOT_FOUND, "/lib/mod.so");
}
END_TEST

START_TEST(library_without_tls)
{
	put_phdr(library + 120, PT_NOTE, 0xd30, 0x18, 0x40, 16);
	put_dtv(8, 15);
	open_process();
	ck_no_tls(LM, GC_E_NOT_FOUND, "no thread-local");
}
END_TEST

/* musl counts modules by position, has words as slots, and keeps the DTV elsewhere above the thread pointer. */
START_TEST(musl)
{
	put(TP + 8, DTV);
	put(DTV, 2);
	put(DTV + 16, BLOCK);
	open_process();
	p.links.count = 3;
	ck_tls(LM, 4, BLOCK + 4);
}
END_TEST

START_TEST(musl_above)
{
	start(EM_AARCH64);
	put(TP - 8, DTV);
	put(DTV, 2);
	put(DTV + 16, BLOCK);
	open_process();
	p.links.count = 3;
	ck_tls(LM, 4, BLOCK + 4);
}
END_TEST

START_TEST(musl_headers_not_there)
{
	put(TP + 8, DTV);
	put(DTV, 2);
	put(DTV + 16, BLOCK);
	list[0].is_program = false; /* its headers, and so the count, are not known */
	list[0].l_addr = 0x1000;
	open_process();
	p.links.count = 3;
	ck_no_tls(LM, GC_E_FAULT, "program headers");
}
END_TEST

/** Let this program be the copy of libc, and of ld.so with its _rtld_global at RTLD. */
static void describe(void)
{
	struct gc_symbol sym;

	ck_assert_ptr_nonnull(rtld_stand_in);
	ck_assert_int_eq(gc_elf_file_open(&self, "/proc/self/exe", &err), GC_OK);
	images[0] = (struct gc_image){ .path = "/lib/libc.so.6", .has_bias = true, .file = &self };
	images[1] = (struct gc_image){ .path = "/lib/ld.so", .is_interp = true, .has_bias = true, .file = &self };
	ck_assert(gc_elf_symbol_named(&self, "_rtld_global", &sym));
	images[1].bias = RTLD - sym.value;
	p.images = (struct gc_images){ .list = images, .count = 2 };
}

/** As described: slots of 24 bytes, the pointer at 8; module 3 of generation @module, the thread's is @thread. */
static void put_described(uint64_t dtvp_at, uint64_t thread, uint64_t module)
{
	put(LM + 0x58, 3);
	put(TP + dtvp_at, DTV);
	put(DTV - 24, 15);
	put(DTV, thread);
	put(DTV + 3 * 24 + 8, BLOCK);
	put(RTLD + 0x30, SLOTS);
	put(SLOTS, 2);                           /* the first node has modules 0 and 1 */
	put(SLOTS + 8, SLOTS + 0x100);
	put(SLOTS + 0x100, 64);
	put(SLOTS + 0x100 + 16 + 1 * 16, module); /* 3 - 2 = 1 */
}

START_TEST(described)
{
	put_described(0x28, 5, 5);
	open_process();
	describe();
	ck_tls(LM, 0x10, BLOCK + 0x10);
}
END_TEST

START_TEST(described_above)
{
	start(EM_AARCH64);
	put_described(0x28 - 0x700ULL, 5, 5);
	open_process();
	describe();
	ck_tls(LM, 0x10, BLOCK + 0x10);
}
END_TEST

/* The slot is of a module that was unloaded since. */
START_TEST(described_stale)
{
	put_described(0x28, 5, 6);
	open_process();
	describe();
	ck_no_tls(LM, GC_E_NOT_FOUND, "not allocated");
}
END_TEST

START_TEST(described_static)
{
	put_described(0x28, 5, 6);
	put(LM + 0x60, 0x200);
	open_process();
	describe();
	ck_tls(LM, 0, TP - 0x200);
}
END_TEST

START_TEST(described_slotinfo_in_a_circle)
{
	put_described(0x28, 5, 6);
	put(SLOTS, 0);
	put(SLOTS + 8, SLOTS);
	open_process();
	describe();
	ck_tls(LM, 0, BLOCK); /* the generation is not known, the slot is believed */
}
END_TEST

#define TAGGED 0xffff80000000ULL

static void open_tagged(size_t have)
{
	/* granule i has tag i & 15: two a byte, the first in the low half */
	uint8_t tags[128];

	for (size_t i = 0; i < sizeof(tags); i++)
		tags[i] = (uint8_t)((2 * i & 15) | (2 * i + 1) << 4);
	start(EM_AARCH64);
	builder_load(&b, TAGGED, 0x1000, NULL, 0, PF_R | PF_W);
	builder_segment(&b, 0x70000002, TAGGED, 0x1000, tags, have, 0); /* PT_AARCH64_MEMTAG_MTE */
	open_process();
}

START_TEST(tags)
{
	struct gc_buf out = GC_BUF_INIT;

	open_tagged(128);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, 0x1000, &out, &err), GC_OK);
	ck_assert_uint_eq(out.len, 256);
	for (size_t i = 0; i < 256; i++)
		ck_assert_int_eq(out.data[i], (int)(i & 15));
	gc_buf_clear(&out);
	/* a pointer's own tag does not matter; a range takes in all granules that it touches */
	ck_assert_int_eq(gc_process_tags(&p, 0x0b00000000000000 | (TAGGED + 0x3f), 2, &out, &err), GC_OK);
	ck_assert_uint_eq(out.len, 2);
	ck_assert_int_eq(out.data[0], 3);
	ck_assert_int_eq(out.data[1], 4);
	gc_buf_clear(&out);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, 0, &out, &err), GC_OK);
	ck_assert_uint_eq(out.len, 0);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED + 0xff0, 0x11, &out, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED - 1, 2, &out, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, UINT64_MAX, &out, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, 1ULL << 40, &out, &err), GC_E_LIMIT);
	ck_assert_uint_eq(out.len, 0);
	ck_assert(gc_process_is_tagged(&p, TAGGED));
	ck_assert(gc_process_is_tagged(&p, 0x0700000000000000 | (TAGGED + 0xfff)));
	ck_assert(!gc_process_is_tagged(&p, TAGGED + 0x1000));
	ck_assert(!gc_process_is_tagged(&p, BASE));
	gc_buf_deinit(&out);
}
END_TEST

START_TEST(tags_short)
{
	struct gc_buf out = GC_BUF_INIT;

	open_tagged(16); /* fewer than the memory needs */
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, 0x200, &out, &err), GC_OK);
	ck_assert_uint_eq(out.len, 32);
	ck_assert_int_eq(gc_process_tags(&p, TAGGED, 0x201, &out, &err), GC_E_NOT_FOUND);
	gc_buf_deinit(&out);
}
END_TEST

START_TEST(tags_not_on_x86_64)
{
	struct gc_buf out = GC_BUF_INIT;

	open_process();
	ck_assert_int_eq(gc_process_tags(&p, BASE, 16, &out, &err), GC_E_NOT_FOUND);
	ck_assert(!gc_process_is_tagged(&p, BASE));
	gc_buf_deinit(&out);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tls");
	TCase *tc = tcase_create("tls");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, program_below_tp);
	tcase_add_test(tc, program_above_tp);
	tcase_add_test(tc, program_alignment);
	tcase_add_test(tc, program_alignment_above);
	tcase_add_test(tc, program_skew_above);
	tcase_add_test(tc, program_odd);
	tcase_add_test(tc, program_without);
	tcase_add_test(tc, unknown_tp);
	tcase_add_test(tc, unknown_module);
	tcase_add_test(tc, library_without_descriptions);
	tcase_add_test(tc, library_without_descriptions_above);
	tcase_add_test(tc, not_allocated);
	tcase_add_test(tc, dtv_too_short);
	tcase_add_test(tc, static_library);
	tcase_add_test(tc, static_library_above);
	tcase_add_test(tc, forced_dynamic);
	tcase_add_loop_test(tc, hostile_dtv, 0, 5);
	tcase_add_test(tc, hostile_modid);
	tcase_add_test(tc, fields_not_found);
	tcase_add_test(tc, library_without_tls);
	tcase_add_test(tc, musl);
	tcase_add_test(tc, musl_above);
	tcase_add_test(tc, musl_headers_not_there);
	tcase_add_test(tc, described);
	tcase_add_test(tc, described_above);
	tcase_add_test(tc, described_stale);
	tcase_add_test(tc, described_static);
	tcase_add_test(tc, described_slotinfo_in_a_circle);
	tcase_add_test(tc, tags);
	tcase_add_test(tc, tags_short);
	tcase_add_test(tc, tags_not_on_x86_64);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
