/* The instructions of call frame information (DWARF 5 section 6.4.2). */
#include "sym/cfi_private.h"

#include <inttypes.h>
#include <string.h>

/* Compilers nest one or two of them. */
#define MAX_REMEMBERED 8

/* Two bits of opcode, six of operand */
#define CFA_ADVANCE 0x40
#define CFA_OFFSET  0x80
#define CFA_RESTORE 0xc0

enum {
	CFA_NOP = 0x00,
	CFA_SET_LOC = 0x01,
	CFA_ADVANCE1 = 0x02,
	CFA_ADVANCE2 = 0x03,
	CFA_ADVANCE4 = 0x04,
	CFA_OFFSET_EXTENDED = 0x05,
	CFA_RESTORE_EXTENDED = 0x06,
	CFA_UNDEFINED = 0x07,
	CFA_SAME_VALUE = 0x08,
	CFA_REGISTER = 0x09,
	CFA_REMEMBER = 0x0a,
	CFA_RECALL = 0x0b,
	CFA_DEF_CFA = 0x0c,
	CFA_DEF_CFA_REGISTER = 0x0d,
	CFA_DEF_CFA_OFFSET = 0x0e,
	CFA_DEF_CFA_EXPRESSION = 0x0f,
	CFA_EXPRESSION = 0x10,
	CFA_OFFSET_EXTENDED_SF = 0x11,
	CFA_DEF_CFA_SF = 0x12,
	CFA_DEF_CFA_OFFSET_SF = 0x13,
	CFA_VAL_OFFSET = 0x14,
	CFA_VAL_OFFSET_SF = 0x15,
	CFA_VAL_EXPRESSION = 0x16,
	CFA_ADVANCE8 = 0x1d,            /* DW_CFA_MIPS_advance_loc8 */
	CFA_NEGATE_RA_STATE_WITH_PC = 0x2c,
	CFA_NEGATE_RA_STATE = 0x2d,     /* "DWARF for the Arm 64-bit Architecture" */
	CFA_ARGS_SIZE = 0x2e,
	CFA_NEGATIVE_OFFSET_EXTENDED = 0x2f,
};

/** The part of a row that instructions change. */
struct rules {
	struct gc_cfi_rule cfa;
	uint32_t cfa_column;
	bool return_signed;
	struct gc_cfi_rule regs[GC_CFI_REGS];
};

struct run {
	const struct cfi_fde *fde;
	struct gc_cursor *code;
	uint64_t at;                  /* address of the row that is being made */
	struct rules now, initial;
	struct rules remembered[MAX_REMEMBERED];
	size_t nremembered;
	bool in_cie;
};

static void set(struct run *r, uint64_t column, enum gc_cfi_kind kind, int64_t number)
{
	if (column < GC_CFI_REGS)
		r->now.regs[column] = (struct gc_cfi_rule){ .kind = kind, .number = number };
}

static void restore(struct run *r, uint64_t column)
{
	if (column < GC_CFI_REGS)
		r->now.regs[column] = r->initial.regs[column];
}

/** A factored offset without overflow. */
static int64_t factored(const struct run *r, uint64_t n)
{
	return (int64_t)(n * (uint64_t)r->fde->cie.data_align);
}

static void define_cfa(struct run *r, int64_t offset)
{
	r->now.cfa = (struct gc_cfi_rule){ .kind = GC_CFI_VAL_OFFSET, .number = offset };
}

static enum gc_code remember(struct run *r, struct gc_error *err)
{
	if (r->nremembered == MAX_REMEMBERED)
		return gc_fail(err, GC_E_LIMIT, "more than %d remembered states", MAX_REMEMBERED);
	r->remembered[r->nremembered++] = r->now;
	return GC_OK;
}

static enum gc_code recall(struct run *r, struct gc_error *err)
{
	if (r->nremembered == 0)
		return gc_fail(err, GC_E_FORMAT, "a state is restored that was not remembered");
	r->now = r->remembered[--r->nremembered];
	return GC_OK;
}

static enum gc_code expression(struct run *r, struct gc_cfi_rule *rule, enum gc_cfi_kind kind, struct gc_error *err)
{
	const uint8_t *bytes;
	uint64_t len;
	enum gc_code code = cfi_block(r->code, &bytes, &len, err);

	if (code != GC_OK)
		return code;
	if (len > UINT32_MAX)
		return gc_fail(err, GC_E_LIMIT, "an expression of %" PRIu64 " bytes", len);
	*rule = (struct gc_cfi_rule){ .kind = kind, .len = (uint32_t)len, .expression = bytes };
	return GC_OK;
}

/** An instruction with a column, and an expression. */
static enum gc_code column_expression(struct run *r, enum gc_cfi_kind kind, struct gc_error *err)
{
	struct gc_cfi_rule rule;
	uint64_t column;
	enum gc_code code = gc_cursor_uleb(r->code, &column, err);

	if (code == GC_OK)
		code = expression(r, &rule, kind, err);
	if (code == GC_OK && column < GC_CFI_REGS)
		r->now.regs[column] = rule;
	return code;
}

/** An instruction with one unsigned operand. */
static enum gc_code run_one(struct run *r, uint8_t op, struct gc_error *err)
{
	uint64_t n;
	enum gc_code code = gc_cursor_uleb(r->code, &n, err);

	if (code != GC_OK)
		return code;
	switch (op) {
	case CFA_RESTORE_EXTENDED:
		restore(r, n);
		break;
	case CFA_UNDEFINED:
		set(r, n, GC_CFI_UNDEFINED, 0);
		break;
	case CFA_SAME_VALUE:
		set(r, n, GC_CFI_SAME, 0);
		break;
	case CFA_DEF_CFA_REGISTER:
		if (r->now.cfa.kind != GC_CFI_VAL_OFFSET)
			return gc_fail(err, GC_E_FORMAT, "the CFA gets a register before it has an offset");
		r->now.cfa_column = n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
		break;
	case CFA_DEF_CFA_OFFSET:
		define_cfa(r, (int64_t)n);
		break;
	default: /* CFA_ARGS_SIZE, which the CFA allows for already */
		break;
	}
	return GC_OK;
}

/** An instruction with a column and an unsigned number. */
static enum gc_code run_two(struct run *r, uint8_t op, struct gc_error *err)
{
	uint64_t column, n;
	enum gc_code code = gc_cursor_uleb(r->code, &column, err);

	if (code == GC_OK)
		code = gc_cursor_uleb(r->code, &n, err);
	if (code != GC_OK)
		return code;
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		set(r, column, GC_CFI_OFFSET, factored(r, n));
		break;
	case CFA_NEGATIVE_OFFSET_EXTENDED:
		set(r, column, GC_CFI_OFFSET, factored(r, 0 - n));
		break;
	case CFA_VAL_OFFSET:
		set(r, column, GC_CFI_VAL_OFFSET, factored(r, n));
		break;
	case CFA_REGISTER:
		set(r, column, GC_CFI_REGISTER, (int64_t)n);
		break;
	default: /* CFA_DEF_CFA */
		r->now.cfa_column = column < UINT32_MAX ? (uint32_t)column : UINT32_MAX;
		define_cfa(r, (int64_t)n);
		break;
	}
	return GC_OK;
}

/** An instruction whose last operand is signed and factored. */
static enum gc_code run_signed(struct run *r, uint8_t op, struct gc_error *err)
{
	enum gc_code code = GC_OK;
	uint64_t column = 0;
	int64_t n;

	if (op != CFA_DEF_CFA_OFFSET_SF)
		code = gc_cursor_uleb(r->code, &column, err);
	if (code == GC_OK)
		code = gc_cursor_sleb(r->code, &n, err);
	if (code != GC_OK)
		return code;
	n = factored(r, (uint64_t)n);
	if (op == CFA_OFFSET_EXTENDED_SF) {
		set(r, column, GC_CFI_OFFSET, n);
	} else if (op == CFA_VAL_OFFSET_SF) {
		set(r, column, GC_CFI_VAL_OFFSET, n);
	} else {
		if (op == CFA_DEF_CFA_SF)
			r->now.cfa_column = column < UINT32_MAX ? (uint32_t)column : UINT32_MAX;
		define_cfa(r, n);
	}
	return GC_OK;
}

static enum gc_code run_low(struct run *r, uint8_t op, struct gc_error *err)
{
	switch (op) {
	case CFA_NOP:
		return GC_OK;
	case CFA_REMEMBER:
		return remember(r, err);
	case CFA_RECALL:
		return recall(r, err);
	case CFA_DEF_CFA_EXPRESSION:
		return expression(r, &r->now.cfa, GC_CFI_VAL_EXPRESSION, err);
	case CFA_EXPRESSION:
		return column_expression(r, GC_CFI_EXPRESSION, err);
	case CFA_VAL_EXPRESSION:
		return column_expression(r, GC_CFI_VAL_EXPRESSION, err);
	case CFA_NEGATE_RA_STATE:
	case CFA_NEGATE_RA_STATE_WITH_PC:
		r->now.return_signed = !r->now.return_signed;
		return GC_OK;
	case CFA_RESTORE_EXTENDED:
	case CFA_UNDEFINED:
	case CFA_SAME_VALUE:
	case CFA_DEF_CFA_REGISTER:
	case CFA_DEF_CFA_OFFSET:
	case CFA_ARGS_SIZE:
		return run_one(r, op, err);
	case CFA_OFFSET_EXTENDED:
	case CFA_NEGATIVE_OFFSET_EXTENDED:
	case CFA_VAL_OFFSET:
	case CFA_REGISTER:
	case CFA_DEF_CFA:
		return run_two(r, op, err);
	case CFA_OFFSET_EXTENDED_SF:
	case CFA_VAL_OFFSET_SF:
	case CFA_DEF_CFA_SF:
	case CFA_DEF_CFA_OFFSET_SF:
		return run_signed(r, op, err);
	default:
		return gc_fail(err, GC_E_UNSUPPORTED, "call frame instruction 0x%02x", op);
	}
}

static enum gc_code fixed(struct gc_cursor *c, uint8_t op, uint64_t *out, struct gc_error *err)
{
	enum gc_code code;
	uint32_t u32 = 0;
	uint16_t u16 = 0;
	uint8_t u8 = 0;

	if (op == CFA_ADVANCE8)
		return gc_cursor_u64(c, out, err);
	if (op == CFA_ADVANCE4)
		code = gc_cursor_u32(c, &u32, err);
	else if (op == CFA_ADVANCE2)
		code = gc_cursor_u16(c, &u16, err);
	else
		code = gc_cursor_u8(c, &u8, err);
	if (code == GC_OK)
		*out = (uint64_t)u32 + u16 + u8;
	return code;
}

static bool is_advance(uint8_t op)
{
	return (op & 0xc0) == CFA_ADVANCE || (op >= CFA_SET_LOC && op <= CFA_ADVANCE4) || op == CFA_ADVANCE8;
}

/** Where the next row starts. */
static enum gc_code next_at(struct run *r, uint8_t op, uint64_t *out, struct gc_error *err)
{
	const struct cfi_base base = { .addr = r->fde->code_addr };
	const uint64_t align = r->fde->cie.code_align;
	uint64_t delta = op & 0x3f;
	enum gc_code code = GC_OK;

	if (op == CFA_SET_LOC)
		return cfi_encoded(r->code, r->fde->cie.encoding, &base, out, err);
	if ((op & 0xc0) != CFA_ADVANCE)
		code = fixed(r->code, op, &delta, err);
	if (code == GC_OK && align && delta > (UINT64_MAX - r->at) / align)
		code = gc_fail(err, GC_E_FORMAT, "a row behind the end of the address space");
	if (code == GC_OK)
		*out = r->at + delta * align;
	return code;
}

/** Run instructions until the row that holds @pc is complete. */
static enum gc_code run_until(struct run *r, uint64_t pc, struct gc_error *err)
{
	while (gc_cursor_left(r->code)) {
		enum gc_code code;
		uint64_t next;
		uint8_t op;

		gc_cursor_u8(r->code, &op, NULL);
		if (is_advance(op)) {
			code = next_at(r, op, &next, err);
			if (code == GC_OK && next > pc && !r->in_cie)
				return GC_OK;
			r->at = code == GC_OK ? next : r->at;
		} else if ((op & 0xc0) == CFA_OFFSET) {
			uint64_t n;

			code = gc_cursor_uleb(r->code, &n, err);
			if (code == GC_OK)
				set(r, op & 0x3f, GC_CFI_OFFSET, factored(r, n));
		} else if ((op & 0xc0) == CFA_RESTORE) {
			code = GC_OK;
			restore(r, op & 0x3f);
		} else {
			code = run_low(r, op, err);
		}
		if (code != GC_OK)
			return code;
	}
	return GC_OK;
}

enum gc_code cfi_run(const struct cfi_fde *fde, uint64_t pc, struct gc_cfi_row *out, struct gc_error *err)
{
	struct gc_cursor initial = fde->cie.code, own = fde->code;
	struct run r;
	enum gc_code code;

	r.fde = fde;
	r.code = &initial;
	r.at = fde->start;
	r.nremembered = 0;
	r.in_cie = true;
	memset(&r.now, 0, sizeof(r.now));
	memset(&r.initial, 0, sizeof(r.initial));
	code = run_until(&r, pc, err);
	if (code != GC_OK)
		return code;
	r.initial = r.now;
	r.code = &own;
	r.at = fde->start;
	r.in_cie = false;
	code = run_until(&r, pc, err);
	if (code != GC_OK)
		return code;
	if (r.now.cfa.kind == GC_CFI_UNSPECIFIED)
		return gc_fail(err, GC_E_FORMAT, "a row without a CFA");
	out->start = fde->start;
	out->end = fde->start + fde->len;
	out->cfa = r.now.cfa;
	out->cfa_column = r.now.cfa_column;
	out->return_column = (uint32_t)fde->cie.return_column;
	out->signal = fde->cie.signal;
	out->return_signed = r.now.return_signed;
	memcpy(out->regs, r.now.regs, sizeof(out->regs));
	return GC_OK;
}
