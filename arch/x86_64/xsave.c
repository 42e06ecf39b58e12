#include "x86_64.h"

#include <inttypes.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"

/*
 * The FXSAVE and XSAVE areas: Intel SDM volume 1, 10.5.1 "FXSAVE Area" and
 * chapter 13; arch/x86/include/asm/user.h struct user_xstateregs.
 */

#define XSAVE_XCR0      464 /* software-reserved bytes of the FXSAVE area: what the kernel had enabled */
#define XSAVE_XSTATE_BV 512
#define XSAVE_XCOMP_BV  520
#define XSAVE_EXTENDED  576 /* legacy area and header */
#define XCOMP_COMPACTED ((uint64_t)1 << 63)

#define XCR0_X87    ((uint64_t)1 << 0)
#define XCR0_SSE    ((uint64_t)1 << 1)
#define XCR0_AVX    ((uint64_t)1 << 2)
#define XCR0_AVX512 ((uint64_t)7 << 5) /* the three are of use together only */
#define XCR0_PKRU   ((uint64_t)1 << 9)

/* In the order in which a CPU without MPX packs them. */
static const struct component {
	uint8_t bit;
	uint8_t bank;
	uint16_t size;
	uint16_t offset; /* where CPUID leaf 0xd of Intel's CPUs puts it */
} components[] = {
	{ 2, BANK_AVX,       256,  576 },
	{ 5, BANK_OPMASK,     64, 1088 },
	{ 6, BANK_ZMM_HI256, 512, 1152 },
	{ 7, BANK_HI16_ZMM, 1024, 1664 },
	{ 9, BANK_PKRU,        8, 2688 },
};

/* Initial configuration of the x87 and SSE state, SDM volume 1, 13.6: the rest is zero. */
static const uint8_t initial_fxsave[FXSAVE_SIZE] = {
	[0] = 0x7f, [1] = 0x03,   /* FCW */
	[24] = 0x80, [25] = 0x1f, /* MXCSR */
};

static const uint8_t zeros[1024]; /* the initial configuration of every extended component */

/** Tag of an x87 register: 0 valid, 1 zero, 2 special (SDM volume 1, 8.1.7). */
static unsigned tag_of(const uint8_t *st)
{
	unsigned exponent = gc_load_le16(st + 8) & 0x7fff;
	uint64_t significand = gc_load_le64(st);

	if (exponent == 0x7fff)
		return 2;
	if (exponent == 0)
		return significand == 0 ? 1 : 2;
	return significand >> 63 ? 0 : 2;
}

/** The tag word of FSAVE: FXSAVE keeps only which physical registers are in use. */
static uint16_t full_tags(const uint8_t *fxsave)
{
	unsigned top = gc_load_le16(fxsave + 2) >> 11 & 7;
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++) {
		unsigned tag = 3; /* empty */

		if (fxsave[4] & 1U << i)
			tag = tag_of(fxsave + FXSAVE_ST + 16 * ((i - top) & 7));
		tags |= tag << 2 * i;
	}
	return (uint16_t)tags;
}

static void load_x87(struct gc_regs *out, const uint8_t *fxsave)
{
	const uint32_t control[] = {
		gc_load_le16(fxsave),          /* fctrl */
		gc_load_le16(fxsave + 2),      /* fstat */
		full_tags(fxsave),
		gc_load_le16(fxsave + 12),     /* fiseg */
		gc_load_le32(fxsave + 8),      /* fioff */
		gc_load_le16(fxsave + 20),     /* foseg */
		gc_load_le32(fxsave + 16),     /* fooff */
		gc_load_le16(fxsave + 6) & 0x7ffU, /* fop */
	};
	uint8_t bytes[sizeof(control)];

	for (size_t i = 0; i < GC_COUNT(control); i++)
		gc_store_le32(bytes + 4 * i, control[i]);
	gc_regs_load(out, BANK_X87_CONTROL, bytes, sizeof(bytes));
	gc_regs_load(out, BANK_X87, fxsave, FXSAVE_SIZE);
}

enum gc_code x86_64_load_fpregset(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	if (note->desc_len >= FXSAVE_XMM) /* the tags need all of st */
		load_x87(out, note->desc);
	gc_regs_load_note(out, BANK_MXCSR, note, 0, FXSAVE_SIZE, NULL);
	return gc_regs_load_note(out, BANK_SSE, note, 0, FXSAVE_SIZE, err);
}

/** FXSAVE's byte of tags out of FSAVE's word: a bit for each physical register that is not empty. */
static uint8_t short_tags(uint16_t full)
{
	unsigned tags = 0;

	for (unsigned i = 0; i < 8; i++)
		if ((full >> 2 * i & 3) != 3)
			tags |= 1U << i;
	return (uint8_t)tags;
}

bool x86_64_store_fpregset(const struct gc_regs *regs, struct gc_buf *out)
{
	uint8_t desc[FXSAVE_SIZE] = { 0 }, control[8 * 4] = { 0 };
	size_t st = gc_regs_store(regs, BANK_X87, desc, sizeof(desc));
	size_t known = st + gc_regs_store(regs, BANK_SSE, desc, sizeof(desc)) +
		       gc_regs_store(regs, BANK_MXCSR, desc, sizeof(desc));

	/* without tags no register of st that is known may look empty */
	gc_store_le32(control + 4 * 2, st ? 0 : 0xffff);
	known += gc_regs_store(regs, BANK_X87_CONTROL, control, sizeof(control));
	gc_store_le16(desc, gc_load_le16(control));              /* in the order of load_x87 */
	gc_store_le16(desc + 2, gc_load_le16(control + 4));
	desc[4] = short_tags(gc_load_le16(control + 4 * 2));
	gc_store_le16(desc + 12, gc_load_le16(control + 4 * 3));
	gc_store_le32(desc + 8, gc_load_le32(control + 4 * 4));
	gc_store_le16(desc + 20, gc_load_le16(control + 4 * 5));
	gc_store_le32(desc + 16, gc_load_le32(control + 4 * 6));
	gc_store_le16(desc + 6, gc_load_le16(control + 4 * 7));
	gc_buf_add(out, desc, known ? sizeof(desc) : 0);
	return known;
}

void x86_64_probe_xstate(struct gc_regmap *map, const struct gc_note *note)
{
	uint64_t xcr0;

	if (note->desc_len < XSAVE_EXTENDED)
		return;
	xcr0 = gc_load_le64(note->desc + XSAVE_XCR0);
	map->xcr0 |= xcr0;
	if (xcr0 & XCR0_AVX)
		map->features |= 1U << FEATURE_AVX;
	if ((xcr0 & XCR0_AVX512) == XCR0_AVX512)
		map->features |= 1U << FEATURE_AVX512;
	if (xcr0 & XCR0_PKRU)
		map->features |= 1U << FEATURE_PKEYS;
}

/* NT_X86_XSAVE_LAYOUT: struct x86_xfeat_component of arch/x86/include/uapi/asm/elf.h. */
void x86_64_probe_xsave_layout(struct gc_regmap *map, const struct gc_note *note)
{
	for (size_t i = 0; i < GC_COUNT(map->xsave) && i < note->desc_len / 16; i++) {
		const uint8_t *entry = note->desc + 16 * i;
		uint32_t type = gc_load_le32(entry);

		if (type >= GC_COUNT(map->xsave))
			continue;
		map->xsave[type].size = gc_load_le32(entry + 4);
		map->xsave[type].offset = gc_load_le32(entry + 8);
		map->has_xsave_layout = true;
	}
}

/**
 * Where a component lies if the core does not tell.
 *
 * AMD's CPUs leave no hole for MPX, which they never had, so the components
 * follow each other. Which of the two it is shows in the size of the area.
 */
static uint32_t guess_offset(const struct component *wanted, uint64_t xcr0, uint64_t area)
{
	uint32_t packed = XSAVE_EXTENDED, offset = wanted->offset;

	for (size_t i = 0; i < GC_COUNT(components); i++) {
		if (&components[i] == wanted)
			offset = packed;
		if (xcr0 >> components[i].bit & 1)
			packed += components[i].size;
	}
	return area == packed ? offset : wanted->offset;
}

/** @return the bytes of a component, or NULL if the area does not hold it whole */
static const uint8_t *find_component(const struct gc_regmap *map, const struct component *c,
				     const struct gc_note *note)
{
	uint32_t offset;

	if (map->has_xsave_layout) {
		if (map->xsave[c->bit].size < c->size)
			return NULL;
		offset = map->xsave[c->bit].offset;
	} else {
		offset = guess_offset(c, gc_load_le64(note->desc + XSAVE_XCR0), note->desc_len);
	}
	if (offset < XSAVE_EXTENDED || offset > note->desc_len || c->size > note->desc_len - offset)
		return NULL;
	return note->desc + offset;
}

/** @return false if the component is in use but not in the area */
static bool load_component(const struct component *c, const struct gc_note *note, struct gc_regs *out)
{
	const uint8_t *bytes = zeros;

	if (gc_load_le64(note->desc + XSAVE_XSTATE_BV) >> c->bit & 1)
		bytes = find_component(out->map, c, note);
	if (bytes)
		gc_regs_load(out, c->bank, bytes, c->size);
	return bytes;
}

static void load_legacy(const struct gc_note *note, struct gc_regs *out)
{
	uint64_t in_use = gc_load_le64(note->desc + XSAVE_XSTATE_BV);
	const uint8_t *x87 = in_use & XCR0_X87 ? note->desc : initial_fxsave;
	const uint8_t *sse = in_use & XCR0_SSE ? note->desc : initial_fxsave;
	const uint8_t *mxcsr = in_use & (XCR0_SSE | XCR0_AVX) ? note->desc : initial_fxsave;

	load_x87(out, x87);
	gc_regs_load(out, BANK_SSE, sse, FXSAVE_SIZE);
	gc_regs_load(out, BANK_MXCSR, mxcsr, FXSAVE_SIZE);
}

enum gc_code x86_64_load_xstate(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	uint64_t xcr0;
	unsigned lost = 0;

	if (note->desc_len < XSAVE_EXTENDED)
		return gc_fail(err, GC_E_TRUNCATED, "file offset 0x%" PRIx64 ": need %d bytes, have %" PRIu64,
			       note->file_off, XSAVE_EXTENDED, note->desc_len);
	load_legacy(note, out);
	/* Neither ptrace nor core dumps use it; its offsets would mean something else. */
	if (gc_load_le64(note->desc + XSAVE_XCOMP_BV) & XCOMP_COMPACTED)
		return gc_fail(err, GC_E_UNSUPPORTED,
			       "file offset 0x%" PRIx64 ": XSAVE area in the compacted format", note->file_off);
	xcr0 = gc_load_le64(note->desc + XSAVE_XCR0);
	for (size_t i = 0; i < GC_COUNT(components); i++)
		if (xcr0 >> components[i].bit & 1 && !load_component(&components[i], note, out))
			lost++;
	if (lost)
		return gc_fail(err, GC_E_TRUNCATED,
			       "file offset 0x%" PRIx64 ": %u components are outside of the XSAVE area of %" PRIu64
			       " bytes", note->file_off, lost, note->desc_len);
	return GC_OK;
}
