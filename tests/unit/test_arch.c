/*
 * The register tables and their decoders, on notes made here byte by byte.
 * Numbers in this file are written down from the kernel's headers, the psABIs
 * and GDB's features, not taken from the code.
 */
#include "gocore/arch.h"

#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/* A core's threads as far as registers go. */
static struct gc_regmap map;
static struct gc_regs regs;
static struct gc_error err;

static void start(uint16_t machine)
{
	gc_regmap_init(&map, gc_arch_by_machine(machine));
}

static void seal(void)
{
	gc_regmap_seal(&map);
	ck_assert_int_eq(gc_regs_init(&regs, &map, &err), GC_OK);
}

static void finish(void)
{
	gc_regs_deinit(&regs);
}

static const struct gc_regnote *kind(uint32_t type)
{
	for (size_t i = 0; i < map.arch->nnotes; i++)
		if (map.arch->notes[i].type == type)
			return &map.arch->notes[i];
	ck_abort_msg("no note 0x%x", type);
	return NULL;
}

/** Storage of its own and of exactly @len bytes, so that the sanitizer sees a step behind it. */
static struct gc_note make_note(uint32_t type, const void *bytes, size_t len)
{
	const char *owner = kind(type)->owner;
	uint8_t *copy = malloc(len ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len)
		memcpy(copy, bytes, len);
	return (struct gc_note){ .owner = owner, .owner_len = (uint32_t)strlen(owner), .type = type,
				 .desc = copy, .desc_len = len, .file_off = 0x1000 };
}

static void free_note(struct gc_note *note)
{
	free((void *)(uintptr_t)note->desc);
}

static void probe(uint32_t type, const void *bytes, size_t len)
{
	struct gc_note note = make_note(type, bytes, len);

	ck_assert_ptr_nonnull(kind(type)->probe);
	kind(type)->probe(&map, &note);
	free_note(&note);
}

static enum gc_code load(uint32_t type, const void *bytes, size_t len)
{
	struct gc_note note = make_note(type, bytes, len);
	enum gc_code code;

	err.text[0] = '\0';
	code = kind(type)->load(&note, &regs, &err);
	if (code != GC_OK)
		ck_assert_ptr_nonnull(strstr(err.text, "file offset 0x1000: "));
	free_note(&note);
	return code;
}

static unsigned row(const char *name)
{
	int at = gc_regmap_reg_named(&map, name);

	ck_assert_msg(at >= 0, "no register %s", name);
	return (unsigned)at;
}

static bool has(const char *name)
{
	return gc_regmap_reg_named(&map, name) >= 0;
}

static bool known(const char *name)
{
	return regs.valid[row(name)];
}

static uint64_t value(const char *name)
{
	uint64_t v = 0;

	ck_assert_msg(gc_regs_u64(&regs, (int)row(name), &v), "%s is unknown", name);
	return v;
}

static const uint8_t *bytes_of(const char *name)
{
	ck_assert_msg(known(name), "%s is unknown", name);
	return regs.bytes + map.offset[row(name)];
}

static const char *numbered(const char *prefix, unsigned n, const char *suffix)
{
	static char name[16];

	snprintf(name, sizeof(name), "%s%u%s", prefix, n, suffix);
	return name;
}

/** The register is @len bytes of @fill, then zeros up to @size. */
static void check_filled(const char *name, uint8_t fill, size_t len, size_t size)
{
	const uint8_t *p = bytes_of(name);

	ck_assert_uint_eq(map.size[row(name)], size);
	for (size_t i = 0; i < size; i++)
		ck_assert_msg(p[i] == (i < len ? fill : 0), "%s byte %zu is %02x", name, i, p[i]);
}

/* The tables */

START_TEST(test_tables)
{
	const struct gc_arch *arch;

	for (size_t a = 0; (arch = gc_arch_at(a)); a++) {
		ck_assert_ptr_eq(gc_arch_by_machine(arch->elf_machine), arch);
		ck_assert_uint_le(arch->nregs, GC_MAX_REGS);
		ck_assert_uint_le(arch->nfeatures, GC_MAX_FEATURES);
		for (size_t i = 0; i < arch->nregs; i++) {
			const struct gc_reg *reg = &arch->regs[i];

			ck_assert_ptr_nonnull(reg->name);
			ck_assert_uint_lt(reg->feature, arch->nfeatures);
			ck_assert_msg((reg->bits == 0) == (reg->scale != GC_SCALE_NONE), "%s", reg->name);
			ck_assert_uint_eq(reg->bits % 8, 0);
			if (i) {
				ck_assert_uint_gt(reg->number, reg[-1].number);
				ck_assert_uint_ge(reg->feature, reg[-1].feature);
			}
			for (size_t j = 0; j < i; j++) {
				if (reg->dwarf >= 0)
					ck_assert_msg(reg->dwarf != arch->regs[j].dwarf, "%s and %s", reg->name,
						      arch->regs[j].name);
				if (reg->generic && arch->regs[j].generic)
					ck_assert_str_ne(reg->generic, arch->regs[j].generic);
			}
		}
		ck_assert_str_eq(arch->regs[arch->pc].generic, "pc");
		ck_assert_str_eq(arch->regs[arch->sp].generic, "sp");
		ck_assert_str_eq(arch->regs[arch->fp].generic, "fp");
		ck_assert_str_eq(arch->regs[arch->tp].generic, "tp");
	}
	ck_assert_uint_eq(2, (size_t)(gc_arch_at(0) != NULL) + (gc_arch_at(1) != NULL) + (gc_arch_at(2) != NULL));
	ck_assert_ptr_null(gc_arch_by_machine(EM_386));
}
END_TEST

START_TEST(test_numbers)
{
	static const struct { uint16_t machine; const char *name; int number, dwarf; } want[] = {
		{ EM_X86_64, "rax", 0, 0 }, { EM_X86_64, "rbx", 1, 3 }, { EM_X86_64, "rcx", 2, 2 },
		{ EM_X86_64, "rdx", 3, 1 }, { EM_X86_64, "rsi", 4, 4 }, { EM_X86_64, "rdi", 5, 5 },
		{ EM_X86_64, "rbp", 6, 6 }, { EM_X86_64, "rsp", 7, 7 }, { EM_X86_64, "r8", 8, 8 },
		{ EM_X86_64, "r15", 15, 15 }, { EM_X86_64, "rip", 16, 16 }, { EM_X86_64, "eflags", 17, 49 },
		{ EM_X86_64, "gs", 23, 55 }, { EM_X86_64, "st0", 24, 33 }, { EM_X86_64, "fctrl", 32, 65 },
		{ EM_X86_64, "fop", 39, -1 }, { EM_X86_64, "xmm0", 40, 17 }, { EM_X86_64, "xmm15", 55, 32 },
		{ EM_X86_64, "mxcsr", 56, 64 }, { EM_X86_64, "orig_rax", 57, -1 },
		{ EM_X86_64, "fs_base", 58, 58 }, { EM_X86_64, "gs_base", 59, 59 },
		{ EM_X86_64, "ymm0h", 60, -1 }, { EM_X86_64, "xmm16", 76, 67 }, { EM_X86_64, "ymm16h", 92, -1 },
		{ EM_X86_64, "k0", 108, 118 }, { EM_X86_64, "zmm0h", 116, -1 }, { EM_X86_64, "zmm31h", 147, -1 },
		{ EM_X86_64, "pkru", 148, -1 }, { EM_X86_64, "pl3_ssp", 149, -1 },
		{ EM_AARCH64, "x0", 0, 0 }, { EM_AARCH64, "x30", 30, 30 }, { EM_AARCH64, "sp", 31, 31 },
		{ EM_AARCH64, "pc", 32, 32 }, { EM_AARCH64, "cpsr", 33, -1 }, { EM_AARCH64, "v0", 34, 64 },
		{ EM_AARCH64, "v31", 65, 95 }, { EM_AARCH64, "fpsr", 66, -1 }, { EM_AARCH64, "fpcr", 67, -1 },
		{ EM_AARCH64, "z0", 68, 96 }, { EM_AARCH64, "p15", 117, 63 }, { EM_AARCH64, "ffr", 118, 47 },
		{ EM_AARCH64, "vg", 119, 46 }, { EM_AARCH64, "tpidr", 123, 36 },
	};

	for (size_t i = 0; i < GC_COUNT(want); i++) {
		const struct gc_arch *arch = gc_arch_by_machine(want[i].machine);
		int at = gc_arch_reg_named(arch, want[i].name);

		ck_assert_msg(at >= 0, "%s", want[i].name);
		ck_assert_int_eq(arch->regs[at].number, want[i].number);
		ck_assert_int_eq(arch->regs[at].dwarf, want[i].dwarf);
	}
	ck_assert_int_eq(gc_arch_reg_named(gc_arch_by_machine(EM_X86_64), "x0"), -1);
}
END_TEST

START_TEST(test_regmap)
{
	uint32_t at = 0;

	start(EM_X86_64);
	seal();
	for (size_t i = 0; i < map.arch->nregs; i++) {
		ck_assert_uint_eq(map.offset[i], at);
		at += map.size[i];
	}
	ck_assert_uint_eq(map.total, at);
	/* 17 of 8 bytes, 7 and 8 and mxcsr of 4, st of 10, xmm of 16, 3 of 8: gdbserver's g without AVX */
	ck_assert_uint_eq(map.total, 560);
	ck_assert_int_eq(gc_regmap_row(&map, 16), 16);
	ck_assert_int_eq(gc_regmap_row(&map, 59), 59);
	ck_assert_int_eq(gc_regmap_row(&map, 60), -1); /* ymm0h: no AVX here */
	ck_assert_int_eq(gc_regmap_row(&map, 100000), -1);
	ck_assert(!has("ymm0h"));
	for (size_t i = 0; i < map.arch->nregs; i++)
		ck_assert(!regs.valid[i]);
	gc_regs_set_u64(&regs, 60, 1);
	ck_assert(!regs.valid[60]);
	gc_regs_set_u64(&regs, row("xmm1"), 0x1122334455667788);
	ck_assert_uint_eq(value("xmm1"), 0x1122334455667788);
	ck_assert_uint_eq(gc_load_le64(bytes_of("xmm1") + 8), 0);
	gc_regs_set_bytes(&regs, row("cs"), (const uint8_t[8]){ 1 }, 8); /* too wide */
	ck_assert(!known("cs"));
	finish();
}
END_TEST

/* x86_64 */

/** struct user_regs_struct: 64-bit words in this order. */
static const char *const user_regs[27] = {
	"r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
	"orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
};

static void make_prstatus(uint8_t *bytes, size_t words)
{
	for (size_t i = 0; i < words; i++)
		gc_store_le64(bytes + 112 + 8 * i, 0xa1b2c3d400000000 | (0x1000 + i));
}

START_TEST(test_x86_prstatus)
{
	uint8_t bytes[336] = { 0 };

	make_prstatus(bytes, 27);
	start(EM_X86_64);
	seal();
	ck_assert_int_eq(load(NT_PRSTATUS, bytes, sizeof(bytes)), GC_OK);
	for (size_t i = 0; i < 27; i++) {
		bool wide = map.size[row(user_regs[i])] == 8;

		ck_assert_msg(value(user_regs[i]) == ((wide ? 0xa1b2c3d400000000 : 0) | (0x1000 + i)), "%s",
			      user_regs[i]);
	}
	ck_assert(!known("xmm0"));
	finish();
}
END_TEST

START_TEST(test_x86_prstatus_cut)
{
	uint8_t bytes[336] = { 0 };

	make_prstatus(bytes, 27);
	start(EM_X86_64);
	for (size_t len = 0; len < sizeof(bytes); len++) {
		seal();
		ck_assert_int_eq(load(NT_PRSTATUS, bytes, len), len < 112 + 216 ? GC_E_TRUNCATED : GC_OK);
		ck_assert_int_eq(known("r15"), len >= 120);
		ck_assert_int_eq(known("rip"), len >= 112 + 17 * 8);
		ck_assert_int_eq(known("gs"), len >= 112 + 26 * 8 + 4);
		finish();
	}
}
END_TEST

/** An FXSAVE area with a known pattern. */
static void make_fxsave(uint8_t fx[512])
{
	memset(fx, 0, 512);
	gc_store_le16(fx, 0x027f);      /* control */
	gc_store_le16(fx + 2, 0x2800);  /* status: top is 5 */
	fx[4] = 0xe0;                   /* physical 5, 6, 7 in use: st0, st1, st2 */
	gc_store_le16(fx + 6, 0xffff);  /* opcode */
	gc_store_le32(fx + 8, 0x11223344);
	gc_store_le16(fx + 12, 0x5566);
	gc_store_le16(fx + 14, 0x7788); /* part of a 64-bit rip */
	gc_store_le32(fx + 16, 0x99aabbcc);
	gc_store_le16(fx + 20, 0xddee);
	gc_store_le32(fx + 24, 0x7f80);
	for (unsigned i = 0; i < 8; i++)
		memset(fx + 32 + 16 * i, (int)(0x30 + i), 10);
	for (unsigned i = 0; i < 16; i++)
		memset(fx + 160 + 16 * i, (int)(0x40 + i), 16);
	gc_store_le64(fx + 32, 0x8000000000000000); /* st0 = 1: valid */
	gc_store_le16(fx + 40, 0x3fff);
	gc_store_le64(fx + 48, 0);                  /* st1 = -0: zero */
	gc_store_le16(fx + 56, 0x8000);
	gc_store_le64(fx + 64, 0xc000000000000000); /* st2: NaN, special */
	gc_store_le16(fx + 72, 0x7fff);
}

static void check_fxsave_x87(void)
{
	ck_assert_uint_eq(value("fctrl"), 0x27f);
	ck_assert_uint_eq(value("fstat"), 0x2800);
	ck_assert_uint_eq(value("ftag"), 0x93ff); /* 7: 2 (st2), 6: 1 (st1), 5: 0 (st0), others 3 */
	ck_assert_uint_eq(value("fiseg"), 0x5566);
	ck_assert_uint_eq(value("fioff"), 0x11223344);
	ck_assert_uint_eq(value("foseg"), 0xddee);
	ck_assert_uint_eq(value("fooff"), 0x99aabbcc);
	ck_assert_uint_eq(value("fop"), 0x7ff);
	ck_assert_uint_eq(value("st0"), 0x8000000000000000);
	ck_assert_uint_eq(gc_load_le16(bytes_of("st0") + 8), 0x3fff);
	check_filled("st7", 0x37, 10, 10);
}

static void check_xmm(void)
{
	for (unsigned i = 0; i < 16; i++)
		check_filled(numbered("xmm", i, ""), (uint8_t)(0x40 + i), 16, 16);
}

START_TEST(test_x86_fpregset)
{
	uint8_t fx[512];

	make_fxsave(fx);
	start(EM_X86_64);
	seal();
	ck_assert_int_eq(load(NT_FPREGSET, fx, sizeof(fx)), GC_OK);
	check_fxsave_x87();
	check_xmm();
	ck_assert_uint_eq(value("mxcsr"), 0x7f80);
	finish();
	for (size_t len = 0; len < sizeof(fx); len++) {
		seal();
		ck_assert_int_eq(load(NT_FPREGSET, fx, len), GC_E_TRUNCATED);
		ck_assert_int_eq(known("ftag"), len >= 160);
		ck_assert_int_eq(known("mxcsr"), len >= 28);
		ck_assert_int_eq(known("xmm15"), len >= 160 + 256);
		finish();
	}
}
END_TEST

START_TEST(test_x86_tags)
{
	static const struct { uint64_t significand; uint16_t exponent; unsigned tag; } want[] = {
		{ 0x8000000000000000, 0x3fff, 0 }, /* 1 */
		{ 0x8000000000000000, 0xbfff, 0 }, /* -1 */
		{ 0, 0, 1 }, { 0, 0x8000, 1 },
		{ 1, 0, 2 },                       /* denormal */
		{ 0x8000000000000000, 0, 2 },      /* pseudo-denormal */
		{ 0x8000000000000000, 0x7fff, 2 }, /* infinity */
		{ 0x4000000000000000, 0x3fff, 2 }, /* unnormal */
		{ 0, 0x3fff, 2 },
	};
	uint8_t fx[512] = { 0 };

	start(EM_X86_64);
	seal();
	for (size_t i = 0; i < GC_COUNT(want); i++)
		for (unsigned top = 0; top < 8; top++) {
			gc_store_le16(fx + 2, (uint16_t)(top << 11));
			fx[4] = (uint8_t)(1 << top); /* st0 alone */
			gc_store_le64(fx + 32, want[i].significand);
			gc_store_le16(fx + 40, want[i].exponent);
			ck_assert_int_eq(load(NT_FPREGSET, fx, sizeof(fx)), GC_OK);
			ck_assert_uint_eq(value("ftag"),
					  (0xffffU & ~(3U << 2 * top)) | want[i].tag << 2 * top);
		}
	finish();
}
END_TEST

enum { AVX = 0x60, OPMASK = 0x10, ZMM = 0x80, HI16 = 0xa0, PKRU = 0x55 };

#define INTEL_SIZE 2696

struct layout {
	uint32_t avx, opmask, zmm, hi16, pkru;
};

static const struct layout intel = { 576, 1088, 1152, 1664, 2688 };

static void make_xsave(uint8_t *area, size_t size, uint64_t xcr0, uint64_t in_use, const struct layout *l)
{
	memset(area, 0xee, size);
	memset(area + 464, 0, 112); /* from xcr0 to the end of the header */
	make_fxsave(area);
	gc_store_le64(area + 464, xcr0);
	gc_store_le64(area + 512, in_use);
	for (unsigned i = 0; l->avx && i < 16; i++)
		memset(area + l->avx + 16 * i, (int)(AVX + i), 16);
	for (unsigned i = 0; l->opmask && i < 8; i++)
		memset(area + l->opmask + 8 * i, (int)(OPMASK + i), 8);
	for (unsigned i = 0; l->zmm && i < 16; i++)
		memset(area + l->zmm + 32 * i, (int)(ZMM + i), 32);
	for (unsigned i = 0; l->hi16 && i < 16; i++) {
		memset(area + l->hi16 + 64 * i, (int)(HI16 + i), 16);
		memset(area + l->hi16 + 64 * i + 16, (int)(HI16 + i + 0x10), 16);
		memset(area + l->hi16 + 64 * i + 32, (int)(HI16 + i + 0x20), 32);
	}
	if (l->pkru)
		memset(area + l->pkru, PKRU, 4);
}

static void check_avx512(void)
{
	for (unsigned i = 0; i < 16; i++) {
		check_filled(numbered("zmm", i, "h"), (uint8_t)(ZMM + i), 32, 32);
		check_filled(numbered("xmm", i + 16, ""), (uint8_t)(HI16 + i), 16, 16);
		check_filled(numbered("ymm", i + 16, "h"), (uint8_t)(HI16 + i + 0x10), 16, 16);
		check_filled(numbered("zmm", i + 16, "h"), (uint8_t)(HI16 + i + 0x20), 32, 32);
	}
	for (unsigned i = 0; i < 8; i++)
		check_filled(numbered("k", i, ""), (uint8_t)(OPMASK + i), 8, 8);
}

static void check_avx(void)
{
	for (unsigned i = 0; i < 16; i++)
		check_filled(numbered("ymm", i, "h"), (uint8_t)(AVX + i), 16, 16);
}

static void open_xsave(const uint8_t *area, size_t size)
{
	start(EM_X86_64);
	probe(NT_X86_XSTATE, area, size);
	seal();
}

START_TEST(test_x86_xstate)
{
	uint8_t area[INTEL_SIZE];

	make_xsave(area, sizeof(area), 0x2e7, 0x2e7, &intel);
	open_xsave(area, sizeof(area));
	ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_OK);
	check_fxsave_x87();
	check_xmm();
	ck_assert_uint_eq(value("mxcsr"), 0x7f80);
	check_avx();
	check_avx512();
	ck_assert_uint_eq(value("pkru"), 0x55555555);
	finish();
}
END_TEST

/* Sizes as CPUs have them: AMD's with AVX-512, AMD's with protection keys alone, AVX alone. */
START_TEST(test_x86_layout_by_size)
{
	static const struct layout amd = { 576, 832, 896, 1408, 2432 };
	static const struct layout zen3 = { .avx = 576, .pkru = 832 };
	static const struct layout amd_no_pkru = { 576, 832, 896, 1408, 0 };
	static const struct layout intel_no_pkru = { 576, 1088, 1152, 1664, 0 };
	static const struct layout intel_no_avx512 = { .avx = 576, .pkru = 2688 };
	static const struct layout avx = { .avx = 576 };
	static const struct { uint64_t xcr0; size_t size; const struct layout *l; } want[] = {
		{ 0x2e7, 2440, &amd }, { 0x207, 840, &zen3 }, { 0xe7, 2432, &amd_no_pkru },
		{ 0xe7, 2688, &intel_no_pkru }, { 0x207, 2696, &intel_no_avx512 }, { 0x7, 832, &avx },
		{ 0x1f, 1088, &avx },            /* MPX */
		{ 0x602e7, 11008, &intel },      /* AMX */
	};
	uint8_t *area = malloc(11008);

	ck_assert_ptr_nonnull(area);
	for (size_t i = 0; i < GC_COUNT(want); i++) {
		make_xsave(area, want[i].size, want[i].xcr0, want[i].xcr0, want[i].l);
		open_xsave(area, want[i].size);
		ck_assert_int_eq(load(NT_X86_XSTATE, area, want[i].size), GC_OK);
		check_avx();
		ck_assert_int_eq(has("zmm0h"), want[i].l->zmm != 0);
		ck_assert_int_eq(has("pkru"), want[i].l->pkru != 0);
		if (want[i].l->zmm)
			check_avx512();
		if (want[i].l->pkru)
			ck_assert_uint_eq(value("pkru"), 0x55555555);
		finish();
	}
	free(area);
}
END_TEST

static size_t add_entry(uint8_t *note, size_t at, uint32_t type, uint32_t size, uint32_t offset)
{
	gc_store_le32(note + at, type);
	gc_store_le32(note + at + 4, size);
	gc_store_le32(note + at + 8, offset);
	gc_store_le32(note + at + 12, 0);
	return at + 16;
}

/* The note wins over what XCR0 and the size would say; made of offsets that no CPU has. */
START_TEST(test_x86_layout_note)
{
	static const struct layout odd = { 2000, 600, 700, 2400, 1300 };
	uint8_t area[4000], note[16 * 8];
	size_t len = 0;

	len = add_entry(note, len, 9, 8, 1300);
	len = add_entry(note, len, 2, 256, 2000);
	len = add_entry(note, len, 5, 64, 600);
	len = add_entry(note, len, 6, 512, 700);
	len = add_entry(note, len, 7, 1024, 2400);
	len = add_entry(note, len, 64, 1, 1);          /* no such component */
	len = add_entry(note, len, 0xffffffff, 1, 1);
	make_xsave(area, sizeof(area), 0x2e7, 0x2e7, &odd);
	start(EM_X86_64);
	probe(NT_X86_XSTATE, area, sizeof(area));
	probe(0x205, note, len + 5); /* and the start of another */
	ck_assert(map.has_xsave_layout);
	seal();
	ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_OK);
	check_avx();
	check_avx512();
	ck_assert_uint_eq(value("pkru"), 0x55555555);
	finish();
}
END_TEST

START_TEST(test_x86_layout_lies)
{
	static const struct { uint32_t size, offset; } lies[] = {
		{ 256, INTEL_SIZE - 255 }, { 256, INTEL_SIZE }, { 256, INTEL_SIZE + 1 }, { 256, 0xffffffff },
		{ 256, 0xffffff80 }, { 0xffffffff, 0xffffffff }, { 255, 576 }, { 0, 0 },
		{ 256, 0 }, { 256, 575 },
	};
	uint8_t area[INTEL_SIZE], note[16];

	make_xsave(area, sizeof(area), 0x7, 0x7, &intel);
	for (size_t i = 0; i < GC_COUNT(lies); i++) {
		start(EM_X86_64);
		probe(NT_X86_XSTATE, area, sizeof(area));
		add_entry(note, 0, 2, lies[i].size, lies[i].offset);
		probe(0x205, note, sizeof(note));
		seal();
		ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_E_TRUNCATED);
		ck_assert(!known("ymm0h"));
		ck_assert_uint_eq(value("mxcsr"), 0x7f80);
		finish();
	}
	start(EM_X86_64);
	probe(0x205, note, 15);
	ck_assert(!map.has_xsave_layout);
}
END_TEST

START_TEST(test_x86_initial_states)
{
	uint8_t area[INTEL_SIZE];

	make_xsave(area, sizeof(area), 0x2e7, 0, &intel);
	open_xsave(area, sizeof(area));
	ck_assert_int_eq(load(NT_FPREGSET, area, 512), GC_OK); /* what it says gives way */
	ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_OK);
	ck_assert_uint_eq(value("fctrl"), 0x37f);
	ck_assert_uint_eq(value("ftag"), 0xffff);
	ck_assert_uint_eq(value("fioff"), 0);
	ck_assert_uint_eq(value("mxcsr"), 0x1f80);
	check_filled("st0", 0, 0, 10);
	check_filled("xmm3", 0, 0, 16);
	check_filled("ymm3h", 0, 0, 16);
	check_filled("zmm15h", 0, 0, 32);
	check_filled("xmm31", 0, 0, 16);
	check_filled("zmm31h", 0, 0, 32);
	check_filled("k7", 0, 0, 8);
	check_filled("pkru", 0, 0, 4);
	finish();
}
END_TEST

/* Each bit governs its own registers and no others. */
START_TEST(test_x86_initial_states_one_by_one)
{
	static const struct { const char *name; unsigned bit; } want[] = {
		{ "st0", 0 }, { "fctrl", 0 }, { "xmm3", 1 }, { "ymm3h", 2 }, { "k3", 5 }, { "zmm3h", 6 },
		{ "zmm16h", 7 }, { "ymm16h", 7 }, { "xmm16", 7 }, { "pkru", 9 },
	};
	uint8_t area[INTEL_SIZE];

	for (unsigned bit = 0; bit < 10; bit++) {
		make_xsave(area, sizeof(area), 0x2e7, (uint64_t)1 << bit, &intel);
		open_xsave(area, sizeof(area));
		ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_OK);
		for (size_t i = 0; i < GC_COUNT(want); i++) {
			uint64_t initial = strcmp(want[i].name, "fctrl") == 0 ? 0x37f : 0;

			ck_assert_msg((value(want[i].name) != initial) == (want[i].bit == bit), "%s, bit %u",
				      want[i].name, bit);
		}
		ck_assert_uint_eq(value("mxcsr"), bit == 1 || bit == 2 ? 0x7f80 : 0x1f80);
		finish();
	}
}
END_TEST

START_TEST(test_x86_features)
{
	static const struct { uint64_t xcr0; bool avx, avx512, pkeys; } want[] = {
		{ 0x0, false, false, false }, { 0x3, false, false, false }, { 0x7, true, false, false },
		{ 0x67, true, false, false }, { 0xe7, true, true, false }, { 0x207, true, false, true },
		{ 0x2e7, true, true, true },
	};
	uint8_t area[INTEL_SIZE];

	for (size_t i = 0; i < GC_COUNT(want); i++) {
		make_xsave(area, sizeof(area), want[i].xcr0, 3, &intel);
		open_xsave(area, sizeof(area));
		ck_assert_int_eq(has("ymm0h"), want[i].avx);
		ck_assert_int_eq(has("zmm0h"), want[i].avx512);
		ck_assert_int_eq(has("k0"), want[i].avx512);
		ck_assert_int_eq(has("pkru"), want[i].pkeys);
		ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_OK);
		finish();
	}
}
END_TEST

START_TEST(test_x86_compacted)
{
	uint8_t area[INTEL_SIZE];

	make_xsave(area, sizeof(area), 0x2e7, 0x2e7, &intel);
	gc_store_le64(area + 520, 0x80000000000002e7);
	open_xsave(area, sizeof(area));
	ck_assert_int_eq(load(NT_X86_XSTATE, area, sizeof(area)), GC_E_UNSUPPORTED);
	check_xmm();
	ck_assert(!known("ymm0h"));
	finish();
}
END_TEST

START_TEST(test_x86_xstate_cut)
{
	uint8_t area[INTEL_SIZE];

	make_xsave(area, sizeof(area), 0x2e7, 0x2e7, &intel);
	for (size_t len = 0; len < sizeof(area); len++) {
		open_xsave(area, len);
		ck_assert_int_eq(has("ymm0h"), len >= 576);
		if (len == 2440) { /* that is a whole area of AMD's */
			ck_assert_int_eq(load(NT_X86_XSTATE, area, len), GC_OK);
			finish();
			continue;
		}
		ck_assert_int_eq(load(NT_X86_XSTATE, area, len), GC_E_TRUNCATED);
		ck_assert_int_eq(known("xmm0"), len >= 576);
		if (len >= 576) {
			ck_assert_int_eq(known("ymm0h"), len >= 832);
			ck_assert_int_eq(known("k0"), len >= 1152);
			ck_assert_int_eq(known("zmm0h"), len >= 1664);
			ck_assert_int_eq(known("zmm16h"), len >= 2688);
			ck_assert(!known("pkru"));
		}
		finish();
	}
}
END_TEST

START_TEST(test_x86_shstk)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, 0x7f0012345678);
	start(EM_X86_64);
	probe(0x204, bytes, 7);
	seal();
	ck_assert(!has("pl3_ssp"));
	finish();
	probe(0x204, bytes, 8);
	seal();
	ck_assert_int_eq(load(0x204, bytes, 8), GC_OK);
	ck_assert_uint_eq(value("pl3_ssp"), 0x7f0012345678);
	finish();
}
END_TEST

/* aarch64 */

START_TEST(test_arm_prstatus)
{
	uint8_t bytes[392] = { 0 };

	make_prstatus(bytes, 34);
	start(EM_AARCH64);
	seal();
	ck_assert_int_eq(load(NT_PRSTATUS, bytes, sizeof(bytes)), GC_OK);
	for (unsigned i = 0; i < 31; i++)
		ck_assert_uint_eq(value(numbered("x", i, "")), 0xa1b2c3d400001000 + i);
	ck_assert_uint_eq(value("sp"), 0xa1b2c3d40000101f);
	ck_assert_uint_eq(value("pc"), 0xa1b2c3d400001020);
	ck_assert_uint_eq(value("cpsr"), 0x1021);
	finish();
	for (size_t len = 0; len < sizeof(bytes); len++) {
		seal();
		ck_assert_int_eq(load(NT_PRSTATUS, bytes, len), len < 112 + 272 ? GC_E_TRUNCATED : GC_OK);
		ck_assert_int_eq(known("x30"), len >= 112 + 31 * 8);
		ck_assert_int_eq(known("cpsr"), len >= 112 + 33 * 8 + 4);
		finish();
	}
}
END_TEST

static void make_fpsimd(uint8_t fp[528])
{
	memset(fp, 0, 528);
	for (unsigned i = 0; i < 32; i++)
		memset(fp + 16 * i, (int)(0x80 + i), 16);
	gc_store_le32(fp + 512, 0x08000010);
	gc_store_le32(fp + 516, 0x02c00000);
}

START_TEST(test_arm_fpregset)
{
	uint8_t fp[528];

	make_fpsimd(fp);
	start(EM_AARCH64);
	seal();
	ck_assert_int_eq(load(NT_FPREGSET, fp, sizeof(fp)), GC_OK);
	for (unsigned i = 0; i < 32; i++)
		check_filled(numbered("v", i, ""), (uint8_t)(0x80 + i), 16, 16);
	ck_assert_uint_eq(value("fpsr"), 0x08000010);
	ck_assert_uint_eq(value("fpcr"), 0x02c00000);
	finish();
	for (size_t len = 0; len < sizeof(fp); len++) {
		seal();
		ck_assert_int_eq(load(NT_FPREGSET, fp, len), GC_E_TRUNCATED);
		ck_assert_int_eq(known("v31"), len >= 512);
		ck_assert_int_eq(known("fpcr"), len >= 520);
		finish();
	}
}
END_TEST

enum { NT_SVE = 0x405, NT_SSVE = 0x40b, NT_ZA = 0x40c, NT_ZT = 0x40d };

#define MAX_SVE (16 + 32 * 256 + 17 * 32 + 32)

static void make_header(uint8_t *bytes, size_t size, unsigned vl, unsigned flags)
{
	gc_store_le32(bytes, (uint32_t)size);
	gc_store_le32(bytes + 4, MAX_SVE);
	gc_store_le16(bytes + 8, (uint16_t)vl);
	gc_store_le16(bytes + 10, 256);
	gc_store_le16(bytes + 12, (uint16_t)flags);
	gc_store_le16(bytes + 14, 0);
}

/** SVE_PT_REGS_SVE. @return its size */
static size_t make_sve(uint8_t *bytes, unsigned vl)
{
	size_t at = 16;

	memset(bytes, 0xee, MAX_SVE);
	for (unsigned i = 0; i < 32; i++, at += vl)
		memset(bytes + at, (int)(0x80 + i), vl);
	for (unsigned i = 0; i < 17; i++, at += vl / 8)
		memset(bytes + at, (int)(0x50 + i), vl / 8);
	at += 15 - (at + 15) % 16;
	gc_store_le32(bytes + at, 0x08000010);
	gc_store_le32(bytes + at + 4, 0x02c00000);
	at += 16;
	make_header(bytes, at, vl, 1);
	return at;
}

static size_t make_sve_fpsimd(uint8_t *bytes, unsigned vl)
{
	make_fpsimd(bytes + 16);
	make_header(bytes, 16 + 528, vl, 0);
	return 16 + 528;
}

static void check_scalable(unsigned vl, unsigned width)
{
	for (unsigned i = 0; i < 32; i++)
		check_filled(numbered("z", i, ""), (uint8_t)(0x80 + i), vl, width);
	for (unsigned i = 0; i < 16; i++)
		check_filled(numbered("p", i, ""), (uint8_t)(0x50 + i), vl / 8, width / 8);
	check_filled("ffr", 0x60, vl / 8, width / 8);
	ck_assert_uint_eq(value("fpsr"), 0x08000010);
	ck_assert_uint_eq(value("fpcr"), 0x02c00000);
	ck_assert_uint_eq(value("vg"), vl / 8);
}

START_TEST(test_arm_sve)
{
	uint8_t bytes[MAX_SVE];

	for (unsigned vl = 16; vl <= 256; vl += 16) {
		size_t len = make_sve(bytes, vl);

		start(EM_AARCH64);
		probe(NT_SVE, bytes, len);
		seal();
		ck_assert(!has("v0"));
		ck_assert_int_eq(load(NT_SVE, bytes, len), GC_OK);
		check_scalable(vl, vl);
		finish();
	}
	/* Sizes of the kernel's SVE_PT_SIZE, as real dumps have them */
	ck_assert_uint_eq(make_sve(bytes, 64), 0x8b0);
	ck_assert_uint_eq(make_sve(bytes, 16), 592);
}
END_TEST

static void check_fpsimd(unsigned vl, unsigned width)
{
	for (unsigned i = 0; i < 32; i++)
		check_filled(numbered("z", i, ""), (uint8_t)(0x80 + i), 16, width);
	for (unsigned i = 0; i < 16; i++)
		check_filled(numbered("p", i, ""), 0, 0, width / 8);
	check_filled("ffr", 0, 0, width / 8);
	ck_assert_uint_eq(value("fpsr"), 0x08000010);
	ck_assert_uint_eq(value("vg"), vl / 8);
}

START_TEST(test_arm_sve_fpsimd)
{
	uint8_t bytes[MAX_SVE];
	size_t len = make_sve_fpsimd(bytes, 64);

	start(EM_AARCH64);
	probe(NT_SVE, bytes, len);
	seal();
	ck_assert(!has("v0"));
	ck_assert_int_eq(load(NT_SVE, bytes, len), GC_OK);
	check_fpsimd(64, 64);
	finish();
}
END_TEST

START_TEST(test_arm_sve_mixed_lengths)
{
	uint8_t small[MAX_SVE], large[MAX_SVE], plain[MAX_SVE];
	size_t small_len = make_sve(small, 16), large_len = make_sve(large, 48);
	size_t plain_len = make_sve_fpsimd(plain, 32);

	start(EM_AARCH64);
	probe(NT_SVE, small, small_len);
	probe(NT_SVE, large, large_len);
	probe(NT_SVE, plain, plain_len);
	ck_assert_uint_eq(map.vl, 48);
	seal();
	ck_assert_int_eq(load(NT_SVE, large, large_len), GC_OK);
	check_scalable(48, 48);
	ck_assert_int_eq(load(NT_SVE, small, small_len), GC_OK); /* nothing of the longer one stays */
	check_scalable(16, 48);
	ck_assert_int_eq(load(NT_SVE, plain, plain_len), GC_OK);
	check_fpsimd(32, 48);
	finish();
}
END_TEST

START_TEST(test_arm_sve_bad_length)
{
	static const uint16_t lengths[] = { 0, 8, 15, 17, 24, 272, 0x2000, 0xffff };
	uint8_t bytes[MAX_SVE], fp[528];
	size_t len = make_sve(bytes, 64);

	make_fpsimd(fp);
	for (size_t i = 0; i < GC_COUNT(lengths); i++) {
		gc_store_le16(bytes + 8, lengths[i]);
		start(EM_AARCH64);
		probe(NT_SVE, bytes, len);
		probe(NT_SSVE, bytes, len);
		probe(NT_ZA, bytes, len);
		seal();
		ck_assert(!has("z0") && !has("svg") && has("v0"));
		ck_assert_int_eq(load(NT_FPREGSET, fp, sizeof(fp)), GC_OK);
		ck_assert_int_eq(load(NT_SVE, bytes, len), GC_E_FORMAT);
		ck_assert_int_eq(load(NT_SSVE, bytes, len), GC_E_FORMAT);
		ck_assert_int_eq(load(NT_ZA, bytes, len), GC_E_FORMAT);
		check_filled("v31", 0x9f, 16, 16);
		finish();
	}
}
END_TEST

/* A note that was not probed cannot write over what the layout has room for. */
START_TEST(test_arm_sve_longer_than_layout)
{
	uint8_t small[MAX_SVE], large[MAX_SVE];
	size_t small_len = make_sve(small, 16), large_len = make_sve(large, 256);

	start(EM_AARCH64);
	probe(NT_SVE, small, small_len);
	seal();
	load(NT_SVE, large, large_len);
	load(NT_SSVE, large, large_len);
	load(NT_ZA, large, large_len);
	ck_assert(!known("z0"));
	finish();
}
END_TEST

START_TEST(test_arm_sve_cut)
{
	uint8_t bytes[MAX_SVE];
	size_t len = make_sve(bytes, 32);

	for (size_t cut = 0; cut < len; cut++) {
		start(EM_AARCH64);
		probe(NT_SVE, bytes, cut);
		seal();
		ck_assert_int_eq(has("z0"), cut >= 16);
		/* the last eight bytes are padding */
		ck_assert_int_eq(load(NT_SVE, bytes, cut), cut < len - 8 ? GC_E_TRUNCATED : GC_OK);
		if (cut >= 16) {
			ck_assert_int_eq(known("z0"), cut >= 16 + 32);
			ck_assert_int_eq(known("z31"), cut >= 16 + 32 * 32);
			ck_assert_int_eq(known("p0"), cut >= 16 + 32 * 32 + 4);
			ck_assert_int_eq(known("fpcr"), cut >= len - 8);
		}
		finish();
	}
	len = make_sve_fpsimd(bytes, 32);
	for (size_t cut = 0; cut < len; cut++) {
		start(EM_AARCH64);
		probe(NT_SVE, bytes, cut);
		seal();
		ck_assert_int_eq(load(NT_SVE, bytes, cut), cut < len - 8 ? GC_E_TRUNCATED : GC_OK);
		if (cut >= 16)
			ck_assert_int_eq(known("z31"), cut >= 16 + 512);
		finish();
	}
	/* A header that claims less than there is */
	len = make_sve(bytes, 32);
	gc_store_le32(bytes, 15);
	start(EM_AARCH64);
	probe(NT_SVE, bytes, len);
	seal();
	ck_assert_int_eq(load(NT_SVE, bytes, len), GC_E_TRUNCATED);
	ck_assert(!known("z0"));
	finish();
}
END_TEST

static size_t make_za(uint8_t *bytes, unsigned svl)
{
	for (unsigned i = 0; i < svl; i++)
		memset(bytes + 16 + i * svl, (int)(i + 1), svl);
	make_header(bytes, 16 + svl * svl, svl, 0);
	return 16 + svl * svl;
}

static void check_za(unsigned svl, unsigned width)
{
	const uint8_t *za = bytes_of("za");

	ck_assert_uint_eq(map.size[row("za")], width * width);
	for (unsigned i = 0; i < width; i++)
		for (unsigned k = 0; k < width; k++)
			ck_assert_uint_eq(za[i * width + k], i < svl && k < svl ? i + 1 : 0);
}

START_TEST(test_arm_streaming)
{
	uint8_t sve[16], ssve[MAX_SVE], za[16 + 32 * 32], old[16 + 528];
	size_t ssve_len = make_sve(ssve, 32), za_len = make_za(za, 32);

	make_header(sve, 16, 64, 0); /* nothing of it while streaming */
	start(EM_AARCH64);
	probe(NT_SVE, sve, sizeof(sve));
	probe(NT_SSVE, ssve, ssve_len);
	probe(NT_ZA, za, za_len);
	seal();
	ck_assert_uint_eq(map.svl, 32);
	ck_assert_int_eq(load(NT_SVE, sve, sizeof(sve)), GC_OK);
	ck_assert(!known("z0") && !known("vg"));
	ck_assert_int_eq(load(NT_SSVE, ssve, ssve_len), GC_OK);
	ck_assert_uint_eq(value("svcr"), 1);
	ck_assert_int_eq(load(NT_ZA, za, za_len), GC_OK);
	check_scalable(32, 32);
	ck_assert_uint_eq(value("svg"), 4);
	ck_assert_uint_eq(value("svcr"), 3);
	check_za(32, 32);
	finish();
	/* older kernels: the quadwords stand in the note of SVE too */
	probe(NT_SVE, old, make_sve_fpsimd(old, 64));
	seal();
	ck_assert_int_eq(load(NT_SVE, old, sizeof(old)), GC_OK);
	ck_assert_int_eq(load(NT_SSVE, ssve, ssve_len), GC_OK);
	check_scalable(32, 64);
	finish();
}
END_TEST

START_TEST(test_arm_not_streaming)
{
	uint8_t sve[MAX_SVE], ssve[16 + 528], za[16], zt[64];
	size_t sve_len = make_sve(sve, 64);

	make_header(ssve, 16, 32, 0);
	make_header(za, 16, 32, 0);
	memset(zt, 0x77, sizeof(zt));
	start(EM_AARCH64);
	probe(NT_SVE, sve, sve_len);
	probe(NT_SSVE, ssve, 16);
	probe(NT_ZA, za, sizeof(za));
	probe(NT_ZT, zt, 63);
	ck_assert_uint_eq(map.vl, 64);
	seal();
	ck_assert(has("svg") && has("za") && !has("zt0"));
	finish();
	probe(NT_ZT, zt, sizeof(zt));
	seal();
	ck_assert_int_eq(load(NT_SVE, sve, sve_len), GC_OK);
	ck_assert_int_eq(load(NT_SSVE, ssve, 16), GC_OK);
	ck_assert_int_eq(load(NT_ZA, za, sizeof(za)), GC_OK);
	ck_assert_int_eq(load(NT_ZT, zt, sizeof(zt)), GC_OK);
	check_scalable(64, 64);
	ck_assert_uint_eq(value("svcr"), 0);
	check_filled("za", 0, 0, 32 * 32);
	check_filled("zt0", 0x77, 64, 64);
	/* older kernels: quadwords instead of nothing */
	ck_assert_int_eq(load(NT_SSVE, ssve, make_sve_fpsimd(ssve, 32)), GC_OK);
	check_scalable(64, 64);
	ck_assert_uint_eq(value("svcr"), 0);
	finish();
}
END_TEST

/* A CPU may have SME and no SVE: then z is there while streaming only. */
START_TEST(test_arm_sme_alone)
{
	uint8_t ssve[MAX_SVE];
	size_t len = make_sve(ssve, 64);

	start(EM_AARCH64);
	probe(NT_SSVE, ssve, len);
	seal();
	ck_assert(has("z0") && !has("v0"));
	finish();
	make_header(ssve, 16, 64, 0);
	start(EM_AARCH64);
	probe(NT_SSVE, ssve, 16);
	seal();
	ck_assert(!has("z0") && has("v0") && has("svg"));
	finish();
}
END_TEST

START_TEST(test_arm_za_cut)
{
	uint8_t small[16 + 16 * 16], large[16 + 32 * 32];
	size_t small_len = make_za(small, 16), large_len = make_za(large, 32);

	start(EM_AARCH64);
	probe(NT_ZA, small, small_len);
	probe(NT_ZA, large, large_len);
	for (size_t cut = 0; cut < large_len; cut++) {
		seal();
		ck_assert_int_eq(load(NT_ZA, large, cut), GC_E_TRUNCATED);
		ck_assert(!known("za"));
		finish();
	}
	seal();
	ck_assert_int_eq(load(NT_ZA, small, small_len), GC_OK);
	check_za(16, 32);
	finish();
	/* A note that was not probed cannot write over what the layout has room for. */
	start(EM_AARCH64);
	probe(NT_ZA, small, small_len);
	seal();
	ck_assert_int_eq(load(NT_ZA, large, large_len), GC_E_TRUNCATED);
	ck_assert(!known("za"));
	finish();
}
END_TEST

START_TEST(test_arm_tls)
{
	uint8_t bytes[16];

	gc_store_le64(bytes, 0xffffb17cf8a0);
	gc_store_le64(bytes + 8, 0x1234);
	start(EM_AARCH64);
	seal();
	ck_assert(has("tpidr") && !has("tpidr2"));
	ck_assert(!known("tpidr"));
	ck_assert_int_eq(load(0x401, bytes, 7), GC_E_TRUNCATED);
	ck_assert(!known("tpidr"));
	ck_assert_int_eq(load(0x401, bytes, 8), GC_OK);
	ck_assert_uint_eq(value("tpidr"), 0xffffb17cf8a0);
	finish();
	probe(0x401, bytes, 8);
	seal();
	ck_assert(!has("tpidr2"));
	finish();
	probe(0x401, bytes, 16);
	seal();
	ck_assert_int_eq(load(0x401, bytes, 16), GC_OK);
	ck_assert_uint_eq(value("tpidr2"), 0x1234);
	finish();
}
END_TEST

START_TEST(test_arm_pauth)
{
	uint8_t bytes[16];
	struct gc_addr_masks masks = { 1, 2 };
	struct gc_note note;

	gc_store_le64(bytes, 0x007f000000000000);
	gc_store_le64(bytes + 8, 0x0070000000000000);
	start(EM_AARCH64);
	probe(0x406, bytes, 15);
	seal();
	ck_assert(!has("pauth_dmask"));
	finish();
	probe(0x406, bytes, 16);
	seal();
	ck_assert_int_eq(load(0x406, bytes, 16), GC_OK);
	ck_assert_uint_eq(value("pauth_dmask"), 0x007f000000000000);
	ck_assert_uint_eq(value("pauth_cmask"), 0x0070000000000000);
	finish();

	note = make_note(0x406, bytes, 16);
	ck_assert(map.arch->masks_of_note(&note, &masks));
	ck_assert_uint_eq(masks.data, 0x007f000000000000);
	ck_assert_uint_eq(masks.code, 0x0070000000000000);
	masks.data = 5;
	note.type = 0x405;
	ck_assert(!map.arch->masks_of_note(&note, &masks));
	note.type = 0x406;
	note.desc_len = 15;
	ck_assert(!map.arch->masks_of_note(&note, &masks));
	note.desc_len = 16;
	note.owner = "CORE";
	note.owner_len = 4;
	ck_assert(!map.arch->masks_of_note(&note, &masks));
	free_note(&note);

	gc_store_le64(bytes + 8, 0x007ffffff0000000); /* would eat addresses */
	note = make_note(0x406, bytes, 16);
	ck_assert(!map.arch->masks_of_note(&note, &masks));
	ck_assert_uint_eq(masks.data, 5);
	free_note(&note);
}
END_TEST

START_TEST(test_arm_addresses)
{
	const struct gc_arch *arch = gc_arch_by_machine(EM_AARCH64);
	const struct gc_addr_masks none = { 0, 0 }, known48 = { 0, 0x007f000000000000 };

	ck_assert_uint_eq(arch->clean_data(0x0600ffffbce3e010), 0x0000ffffbce3e010);
	ck_assert_uint_eq(arch->clean_data(0x0000ffffbce3e010), 0x0000ffffbce3e010);
	ck_assert_uint_eq(arch->clean_data(0x12ff000008000000), 0xffff000008000000);
	ck_assert_uint_eq(arch->clean_data(0x000fffffbce3e010), 0x000fffffbce3e010); /* 52 bits */
	ck_assert_uint_eq(arch->clean_code(&none, 0x0013aaaac9df1858), 0x0013aaaac9df1858);
	ck_assert_uint_eq(arch->clean_code(&none, 0xab13aaaac9df1858), 0x0013aaaac9df1858);
	ck_assert_uint_eq(arch->clean_code(&known48, 0x0013aaaac9df1858), 0x0000aaaac9df1858);
	ck_assert_uint_eq(arch->clean_code(&known48, 0xffaaffffc9df1858), 0xffffffffc9df1858);
	ck_assert_ptr_null((void *)(uintptr_t)gc_arch_by_machine(EM_X86_64)->clean_data);
}
END_TEST

START_TEST(test_arm_mte)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, 0x7fff3);
	start(EM_AARCH64);
	map.arch->probe_hwcap(&map, ~(uint64_t)0, ~((uint64_t)1 << 18));
	seal();
	ck_assert(!has("tag_ctl"));
	finish();
	map.arch->probe_hwcap(&map, 0, (uint64_t)1 << 18);
	seal();
	ck_assert(!known("tag_ctl"));
	ck_assert_int_eq(load(0x409, bytes, 7), GC_E_TRUNCATED);
	ck_assert(!known("tag_ctl"));
	ck_assert_int_eq(load(0x409, bytes, 8), GC_OK);
	ck_assert_uint_eq(value("tag_ctl"), 0x7fff3);
	finish();
}
END_TEST

static Suite *arch_suite(void)
{
	Suite *suite = suite_create("arch");
	TCase *tables = tcase_create("tables");
	TCase *x86 = tcase_create("x86_64");
	TCase *arm = tcase_create("aarch64");

	tcase_add_test(tables, test_tables);
	tcase_add_test(tables, test_numbers);
	tcase_add_test(tables, test_regmap);
	suite_add_tcase(suite, tables);

	tcase_add_test(x86, test_x86_prstatus);
	tcase_add_test(x86, test_x86_prstatus_cut);
	tcase_add_test(x86, test_x86_fpregset);
	tcase_add_test(x86, test_x86_tags);
	tcase_add_test(x86, test_x86_xstate);
	tcase_add_test(x86, test_x86_layout_by_size);
	tcase_add_test(x86, test_x86_layout_note);
	tcase_add_test(x86, test_x86_layout_lies);
	tcase_add_test(x86, test_x86_initial_states);
	tcase_add_test(x86, test_x86_initial_states_one_by_one);
	tcase_add_test(x86, test_x86_features);
	tcase_add_test(x86, test_x86_compacted);
	tcase_add_test(x86, test_x86_xstate_cut);
	tcase_add_test(x86, test_x86_shstk);
	suite_add_tcase(suite, x86);

	tcase_add_test(arm, test_arm_prstatus);
	tcase_add_test(arm, test_arm_fpregset);
	tcase_add_test(arm, test_arm_sve);
	tcase_add_test(arm, test_arm_sve_fpsimd);
	tcase_add_test(arm, test_arm_sve_mixed_lengths);
	tcase_add_test(arm, test_arm_sve_bad_length);
	tcase_add_test(arm, test_arm_sve_longer_than_layout);
	tcase_add_test(arm, test_arm_sve_cut);
	tcase_add_test(arm, test_arm_streaming);
	tcase_add_test(arm, test_arm_not_streaming);
	tcase_add_test(arm, test_arm_sme_alone);
	tcase_add_test(arm, test_arm_za_cut);
	tcase_add_test(arm, test_arm_tls);
	tcase_add_test(arm, test_arm_pauth);
	tcase_add_test(arm, test_arm_addresses);
	tcase_add_test(arm, test_arm_mte);
	suite_add_tcase(suite, arm);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(arch_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
