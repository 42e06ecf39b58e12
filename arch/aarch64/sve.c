#include "aarch64.h"

#include <inttypes.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"

#include "../rows.h"

/*
 * Scalable vectors. Notes: arch/arm64/include/uapi/asm/ptrace.h, struct
 * user_sve_header and user_za_header, SVE_PT_* and ZA_PT_*; the kernel's
 * Documentation/arch/arm64/sve.rst and sme.rst.
 */

#define HEADER_SIZE  16
#define QUADWORD     16
#define MAX_VL       256 /* the architecture's limit; GDB's too */
#define REGS_SVE     1   /* SVE_PT_REGS_MASK: the payload is not struct user_fpsimd_state */
#define SVCR_SM      1
#define SVCR_ZA      2
#define ZT_SIZE      64

/** struct user_sve_header, which user_za_header is equal to. */
struct header {
	uint32_t size;  /* of header and payload, as far as the note has it */
	uint32_t vl;    /* bytes */
	bool regs_sve;
};

static enum gc_code too_short(const struct gc_note *note, struct gc_error *err)
{
	return gc_fail(err, GC_E_TRUNCATED, "file offset 0x%" PRIx64 ": registers lie behind the end of the %" PRIu64
		       " bytes", note->file_off, note->desc_len);
}

static enum gc_code read_header(const struct gc_note *note, struct header *out, struct gc_error *err)
{
	struct header h;

	if (note->desc_len < HEADER_SIZE)
		return too_short(note, err);
	h.size = gc_load_le32(note->desc);
	h.vl = gc_load_le16(note->desc + 8);
	h.regs_sve = note->desc[12] & REGS_SVE;
	if (h.size > note->desc_len)
		h.size = (uint32_t)note->desc_len;
	if (h.vl == 0 || h.vl > MAX_VL || h.vl % QUADWORD)
		return gc_fail(err, GC_E_FORMAT, "file offset 0x%" PRIx64 ": vector length of %" PRIu32 " bytes",
			       note->file_off, h.vl);
	*out = h;
	return GC_OK;
}

/** The kernel had no registers to give. The note holds a header, or read_header fails. */
static bool is_header_alone(const struct gc_note *note)
{
	return gc_load_le32(note->desc) == HEADER_SIZE;
}

/** Set a row from @len bytes of the payload. @return false if they are not all there */
static bool take(struct gc_regs *out, unsigned row, const struct gc_note *note, const struct header *h,
		 uint32_t at, uint32_t len)
{
	if (at > h->size || len > h->size - at)
		return false;
	gc_regs_set_bytes(out, row, note->desc + at, len);
	return true;
}

/** SVE_PT_SVE_*: z, p, ffr, then aligned to a quadword fpsr and fpcr. */
static bool load_scalable(const struct gc_note *note, const struct header *h, struct gc_regs *out)
{
	uint32_t predicates = HEADER_SIZE + 32 * h->vl;
	uint32_t control = (predicates + 17 * (h->vl / 8) + QUADWORD - 1) / QUADWORD * QUADWORD;
	bool whole = true;

	for (unsigned i = 0; i < 32; i++)
		whole &= take(out, ROW_Z0 + i, note, h, HEADER_SIZE + i * h->vl, h->vl);
	for (unsigned i = 0; i < 17; i++) /* ffr is the row and the bytes behind p15 */
		whole &= take(out, ROW_P0 + i, note, h, predicates + i * (h->vl / 8), h->vl / 8);
	whole &= take(out, ROW_SVE_FPSR, note, h, control, 4);
	whole &= take(out, ROW_SVE_FPCR, note, h, control + 4, 4);
	return whole;
}

/** The thread used no scalable state: only the low quadwords live, the rest is zero (sve.rst). */
static bool load_fpsimd(const struct gc_note *note, const struct header *h, struct gc_regs *out)
{
	bool whole = true;

	for (unsigned i = 0; i < 32; i++)
		whole &= take(out, ROW_Z0 + i, note, h, HEADER_SIZE + i * QUADWORD, QUADWORD);
	for (unsigned i = 0; i < 17; i++)
		gc_regs_set_bytes(out, ROW_P0 + i, NULL, 0);
	whole &= take(out, ROW_SVE_FPSR, note, h, HEADER_SIZE + FPSIMD_CONTROL, 4);
	whole &= take(out, ROW_SVE_FPCR, note, h, HEADER_SIZE + FPSIMD_CONTROL + 4, 4);
	return whole;
}

static enum gc_code load_vectors(const struct gc_note *note, const struct header *h, struct gc_regs *out,
				 struct gc_error *err)
{
	bool whole = h->regs_sve ? load_scalable(note, h, out) : load_fpsimd(note, h, out);

	gc_regs_set_u64(out, ROW_VG, h->vl / 8);
	return whole ? GC_OK : too_short(note, err);
}

/** Describe sve, with room for @vl; GDB makes v out of z. */
static void describe_sve(struct gc_regmap *map, uint32_t vl)
{
	if (vl > map->vl)
		map->vl = vl;
	map->features |= 1U << FEATURE_SVE;
	map->features &= ~(1U << FEATURE_FPU);
}

static void describe_sme(struct gc_regmap *map, uint32_t svl)
{
	if (svl > map->svl)
		map->svl = svl;
	map->features |= 1U << FEATURE_SME;
}

/**
 * In streaming mode the note of streaming SVE has the registers, and that of
 * SVE has a header only (older kernels: the quadwords too); else the other way
 * round.
 */
static bool is_streaming(const struct header *ssve)
{
	return ssve->regs_sve && ssve->size > HEADER_SIZE;
}

void aarch64_probe_sve(struct gc_regmap *map, const struct gc_note *note)
{
	struct header h;

	if (read_header(note, &h, NULL) == GC_OK && !is_header_alone(note))
		describe_sve(map, h.vl);
}

enum gc_code aarch64_load_sve(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	struct header h;
	enum gc_code code = read_header(note, &h, err);

	if (code != GC_OK || is_header_alone(note))
		return code;
	return load_vectors(note, &h, out, err);
}

void aarch64_probe_ssve(struct gc_regmap *map, const struct gc_note *note)
{
	struct header h;

	if (read_header(note, &h, NULL) != GC_OK)
		return;
	describe_sme(map, h.vl);
	if (is_streaming(&h))
		describe_sve(map, h.vl);
}

enum gc_code aarch64_load_ssve(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	struct header h;
	enum gc_code code = read_header(note, &h, err);

	if (code != GC_OK)
		return code;
	gc_regs_set_u64(out, ROW_SVG, h.vl / 8);
	gc_regs_set_u64(out, ROW_SVCR, is_streaming(&h) ? SVCR_SM : 0);
	return is_streaming(&h) ? load_vectors(note, &h, out, err) : GC_OK;
}

void aarch64_probe_za(struct gc_regmap *map, const struct gc_note *note)
{
	struct header h;

	if (read_header(note, &h, NULL) == GC_OK)
		describe_sme(map, h.vl);
}

/** The rows of a matrix that is @from bytes square, in one that is @to bytes square. */
static void load_matrix(struct gc_regs *out, const uint8_t *bytes, uint32_t from, uint32_t to)
{
	uint8_t *za = out->bytes + out->map->offset[ROW_ZA];

	gc_regs_set_bytes(out, ROW_ZA, NULL, 0);
	for (uint32_t i = 0; i < from; i++)
		memcpy(za + (size_t)i * to, bytes + (size_t)i * from, from);
}

enum gc_code aarch64_load_za(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	struct header h;
	enum gc_code code = read_header(note, &h, err);
	uint64_t svcr = 0;

	if (code != GC_OK)
		return code;
	gc_regs_u64(out, ROW_SVCR, &svcr);
	gc_regs_set_u64(out, ROW_SVG, h.vl / 8);
	if (is_header_alone(note)) { /* off: reads as zero once it is on (sme.rst) */
		gc_regs_set_u64(out, ROW_SVCR, svcr);
		gc_regs_set_bytes(out, ROW_ZA, NULL, 0);
		return GC_OK;
	}
	gc_regs_set_u64(out, ROW_SVCR, svcr | SVCR_ZA);
	if (h.size < HEADER_SIZE || h.vl * h.vl > h.size - HEADER_SIZE || h.vl > out->map->svl)
		return too_short(note, err);
	load_matrix(out, note->desc + HEADER_SIZE, h.vl, out->map->svl);
	return GC_OK;
}

void aarch64_probe_zt(struct gc_regmap *map, const struct gc_note *note)
{
	if (note->desc_len >= ZT_SIZE)
		map->features |= 1U << FEATURE_SME2;
}

enum gc_code aarch64_load_zt(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_ZT, note, 0, ZT_SIZE, err);
}

/* The types that GDB's own descriptions have (gdb/features/aarch64-sve.c, aarch64-sme.c). */

static const struct { const char *id, *element; unsigned bytes; } z_vectors[] = {
	{ "svevqu", "uint128", 16 },    { "svevqs", "int128", 16 },
	{ "svevdf", "ieee_double", 8 }, { "svevdu", "uint64", 8 },  { "svevds", "int64", 8 },
	{ "svevsf", "ieee_single", 4 }, { "svevsu", "uint32", 4 },  { "svevss", "int32", 4 },
	{ "svevhf", "ieee_half", 2 },   { "svevhu", "uint16", 2 },  { "svevhs", "int16", 2 },
	{ "svevbu", "uint8", 1 },       { "svevbs", "int8", 1 },
};

static const char z_unions[] =
	"<union id=\"svevnq\">\n" GC_FIELD("u", "svevqu") GC_FIELD("s", "svevqs") "</union>\n"
	"<union id=\"svevnd\">\n" GC_FIELD("f", "svevdf") GC_FIELD("u", "svevdu") GC_FIELD("s", "svevds") "</union>\n"
	"<union id=\"svevns\">\n" GC_FIELD("f", "svevsf") GC_FIELD("u", "svevsu") GC_FIELD("s", "svevss") "</union>\n"
	"<union id=\"svevnh\">\n" GC_FIELD("f", "svevhf") GC_FIELD("u", "svevhu") GC_FIELD("s", "svevhs") "</union>\n"
	"<union id=\"svevnb\">\n" GC_FIELD("u", "svevbu") GC_FIELD("s", "svevbs") "</union>\n"
	"<union id=\"svev\">\n"
	GC_FIELD("q", "svevnq") GC_FIELD("d", "svevnd") GC_FIELD("s", "svevns") GC_FIELD("h", "svevnh")
	GC_FIELD("b", "svevnb")
	"</union>\n";

static void add_vector(struct gc_buf *out, const char *id, const char *element, unsigned count)
{
	gc_buf_printf(out, "<vector id=\"%s\" type=\"%s\" count=\"%u\"/>\n", id, element, count);
}

void aarch64_sve_types(struct gc_buf *out, unsigned vl, unsigned svl)
{
	(void)svl;
	for (size_t i = 0; i < GC_COUNT(z_vectors); i++)
		add_vector(out, z_vectors[i].id, z_vectors[i].element, vl / z_vectors[i].bytes);
	gc_buf_str(out, z_unions);
	add_vector(out, "svep", "uint8", vl / 8);
	gc_buf_str(out, aarch64_fp_control_types);
}

void aarch64_sme_types(struct gc_buf *out, unsigned vl, unsigned svl)
{
	(void)vl;
	gc_buf_str(out, "<flags id=\"svcr_flags\" size=\"8\">\n" GC_FLAG("SM", 0) GC_FLAG("ZA", 1) "</flags>\n");
	add_vector(out, "sme_bv", "uint8", svl);
	add_vector(out, "sme_bvv", "sme_bv", svl);
}
