/* DWARF expressions as call frame information uses them (DWARF 5 section 2.5). */
#include "sym/cfi_private.h"

#include <inttypes.h>
#include <string.h>

#include "gocore/bytes.h"

#define MAX_DEPTH 64
#define MAX_STEPS 10000

enum {
	OP_ADDR = 0x03,
	OP_DEREF = 0x06,
	OP_CONST1U = 0x08, OP_CONST1S, OP_CONST2U, OP_CONST2S, OP_CONST4U, OP_CONST4S, OP_CONST8U, OP_CONST8S,
	OP_CONSTU, OP_CONSTS,
	OP_DUP, OP_DROP, OP_OVER, OP_PICK, OP_SWAP, OP_ROT,
	OP_ABS = 0x19, OP_AND, OP_DIV, OP_MINUS, OP_MOD, OP_MUL, OP_NEG, OP_NOT, OP_OR, OP_PLUS,
	OP_PLUS_UCONST, OP_SHL, OP_SHR, OP_SHRA, OP_XOR,
	OP_BRA, OP_EQ, OP_GE, OP_GT, OP_LE, OP_LT, OP_NE, OP_SKIP,
	OP_LIT0 = 0x30, OP_LIT31 = 0x4f,
	OP_BREG0 = 0x70, OP_BREG31 = 0x8f,
	OP_BREGX = 0x92,
	OP_DEREF_SIZE = 0x94,
	OP_NOP = 0x96,
};

struct eval {
	const struct gc_cfi_machine *machine;
	struct gc_cursor c;
	uint64_t stack[MAX_DEPTH];
	size_t depth;
	struct gc_error *err;
};

static enum gc_code push(struct eval *e, uint64_t value)
{
	if (e->depth == MAX_DEPTH)
		return gc_fail(e->err, GC_E_LIMIT, "an expression with more than %d values", MAX_DEPTH);
	e->stack[e->depth++] = value;
	return GC_OK;
}

/** Are there @n values? */
static enum gc_code need(struct eval *e, size_t n)
{
	return e->depth >= n ? GC_OK : gc_fail(e->err, GC_E_FORMAT, "an expression that takes more than it has");
}

static uint64_t pop(struct eval *e)
{
	return e->stack[--e->depth];
}

/** A constant of @size bytes in place. */
static enum gc_code constant(struct eval *e, unsigned size, bool is_signed, uint64_t *out)
{
	const uint8_t *bytes;
	uint8_t full[8];
	enum gc_code code = gc_cursor_bytes(&e->c, size, &bytes, e->err);

	if (code != GC_OK)
		return code;
	memset(full, is_signed && bytes[size - 1] & 0x80 ? 0xff : 0, sizeof(full));
	memcpy(full, bytes, size);
	*out = gc_load_le64(full);
	return GC_OK;
}

static enum gc_code push_constant(struct eval *e, uint8_t op)
{
	enum gc_code code;
	uint64_t value;

	if (op == OP_CONSTU) {
		code = gc_cursor_uleb(&e->c, &value, e->err);
	} else if (op == OP_CONSTS) {
		int64_t number;

		code = gc_cursor_sleb(&e->c, &number, e->err);
		value = code == GC_OK ? (uint64_t)number : 0;
	} else if (op == OP_ADDR) {
		code = constant(e, 8, false, &value);
		value = code == GC_OK ? value + e->machine->bias : 0;
	} else {
		code = constant(e, 1U << (op - OP_CONST1U) / 2, (op - OP_CONST1U) & 1, &value);
	}
	return code == GC_OK ? push(e, value) : code;
}

static enum gc_code push_register(struct eval *e, uint64_t column)
{
	int64_t offset;
	uint64_t value;
	enum gc_code code = gc_cursor_sleb(&e->c, &offset, e->err);

	if (code != GC_OK)
		return code;
	if (!e->machine->reg(e->machine->data, column, &value))
		return gc_fail(e->err, GC_E_NOT_FOUND, "DWARF register %" PRIu64 " is not known here", column);
	return push(e, value + (uint64_t)offset);
}

static enum gc_code deref(struct eval *e, uint8_t size)
{
	uint8_t bytes[8] = { 0 };
	enum gc_code code = need(e, 1);

	if (code == GC_OK && (size == 0 || size > 8))
		code = gc_fail(e->err, GC_E_FORMAT, "an expression that loads %u bytes", size);
	if (code == GC_OK)
		code = e->machine->read(e->machine->data, e->stack[e->depth - 1], bytes, size, e->err);
	if (code == GC_OK)
		e->stack[e->depth - 1] = gc_load_le64(bytes);
	return code;
}

/** Copy or move what is on the stack. */
static enum gc_code shuffle(struct eval *e, uint8_t op)
{
	uint64_t *top;
	enum gc_code code;
	uint64_t value;
	uint8_t index = op == OP_OVER ? 1 : 0;

	if (op == OP_PICK && gc_cursor_u8(&e->c, &index, e->err) != GC_OK)
		return GC_E_TRUNCATED;
	code = need(e, op == OP_ROT ? 3 : op == OP_SWAP ? 2 : (size_t)index + 1);
	if (code != GC_OK)
		return code;
	top = &e->stack[e->depth - 1];
	switch (op) {
	case OP_DROP:
		e->depth--;
		return GC_OK;
	case OP_SWAP:
		value = top[0];
		top[0] = top[-1];
		top[-1] = value;
		return GC_OK;
	case OP_ROT:
		value = top[0];
		top[0] = top[-1];
		top[-1] = top[-2];
		top[-2] = value;
		return GC_OK;
	default:
		return push(e, top[-(ptrdiff_t)index]);
	}
}

static enum gc_code unary(struct eval *e, uint8_t op)
{
	enum gc_code code = need(e, 1);
	uint64_t n, *top;

	if (code == GC_OK && op == OP_PLUS_UCONST)
		code = gc_cursor_uleb(&e->c, &n, e->err);
	if (code != GC_OK)
		return code;
	top = &e->stack[e->depth - 1];
	if (op == OP_PLUS_UCONST)
		*top += n;
	else if (op == OP_NOT)
		*top = ~*top;
	else if (op == OP_NEG || *top >> 63)
		*top = 0 - *top;
	return GC_OK;
}

static uint64_t shift(uint64_t value, uint64_t by, uint8_t op)
{
	uint64_t fill = op == OP_SHRA && value >> 63 ? UINT64_MAX : 0;

	if (by >= 64)
		return fill;
	if (op == OP_SHL)
		return value << by;
	return by ? value >> by | fill << (64 - by) : value;
}

static enum gc_code divide(struct eval *e, int64_t a, int64_t b, uint64_t *out)
{
	if (b == 0 || (a == INT64_MIN && b == -1))
		return gc_fail(e->err, GC_E_FORMAT, "an expression that divides by zero");
	*out = (uint64_t)(a / b);
	return GC_OK;
}

static enum gc_code binary(struct eval *e, uint8_t op)
{
	enum gc_code code = need(e, 2);
	uint64_t a, b, result = 0;
	int64_t sa, sb;

	if (code != GC_OK)
		return code;
	b = pop(e);
	a = pop(e);
	sa = (int64_t)a;
	sb = (int64_t)b;
	switch (op) {
	case OP_AND:   result = a & b; break;
	case OP_OR:    result = a | b; break;
	case OP_XOR:   result = a ^ b; break;
	case OP_PLUS:  result = a + b; break;
	case OP_MINUS: result = a - b; break;
	case OP_MUL:   result = a * b; break;
	case OP_MOD:   result = b ? a % b : 0; break;
	case OP_EQ:    result = a == b; break;
	case OP_NE:    result = a != b; break;
	case OP_GE:    result = sa >= sb; break;
	case OP_GT:    result = sa > sb; break;
	case OP_LE:    result = sa <= sb; break;
	case OP_LT:    result = sa < sb; break;
	case OP_DIV:
		code = divide(e, sa, sb, &result);
		if (code != GC_OK)
			return code;
		break;
	default:       result = shift(a, b, op); break;
	}
	return push(e, result);
}

static enum gc_code branch(struct eval *e, uint8_t op)
{
	enum gc_code code;
	uint64_t delta;
	int64_t to;

	code = constant(e, 2, true, &delta);
	if (code == GC_OK && op == OP_BRA)
		code = need(e, 1);
	if (code != GC_OK || (op == OP_BRA && !pop(e)))
		return code;
	to = (int64_t)delta + (e->c.pos - e->c.base);
	if (to < 0 || to > e->c.end - e->c.base)
		return gc_fail(e->err, GC_E_FORMAT, "an expression that branches out of itself");
	e->c.pos = e->c.base + to;
	return GC_OK;
}

static enum gc_code step(struct eval *e, uint8_t op)
{
	enum gc_code code;
	uint64_t column;
	uint8_t size;

	if (op >= OP_LIT0 && op <= OP_LIT31)
		return push(e, op - OP_LIT0);
	if (op >= OP_BREG0 && op <= OP_BREG31)
		return push_register(e, op - OP_BREG0);
	if (op == OP_ADDR || (op >= OP_CONST1U && op <= OP_CONSTS))
		return push_constant(e, op);
	if (op >= OP_DUP && op <= OP_ROT)
		return shuffle(e, op);
	switch (op) {
	case OP_NOP:
		return GC_OK;
	case OP_DEREF:
		return deref(e, 8);
	case OP_DEREF_SIZE:
		code = gc_cursor_u8(&e->c, &size, e->err);
		return code == GC_OK ? deref(e, size) : code;
	case OP_BREGX:
		code = gc_cursor_uleb(&e->c, &column, e->err);
		return code == GC_OK ? push_register(e, column) : code;
	case OP_ABS:
	case OP_NEG:
	case OP_NOT:
	case OP_PLUS_UCONST:
		return unary(e, op);
	case OP_BRA:
	case OP_SKIP:
		return branch(e, op);
	default:
		if (op >= OP_AND && op <= OP_NE)
			return binary(e, op);
		return gc_fail(e->err, GC_E_UNSUPPORTED, "expression operation 0x%02x", op);
	}
}

enum gc_code gc_cfi_eval(const uint8_t *expression, size_t len, const struct gc_cfi_machine *machine,
			 const uint64_t *initial, uint64_t *out, struct gc_error *err)
{
	struct eval e = { .machine = machine, .err = err };
	enum gc_code code;

	gc_cursor_init(&e.c, expression, len, 0);
	if (initial)
		e.stack[e.depth++] = *initial;
	for (int steps = 0; gc_cursor_left(&e.c); steps++) {
		uint8_t op;

		if (steps == MAX_STEPS)
			return gc_fail(err, GC_E_LIMIT, "an expression of more than %d steps", MAX_STEPS);
		gc_cursor_u8(&e.c, &op, NULL);
		code = step(&e, op);
		if (code != GC_OK)
			return code;
	}
	code = need(&e, 1);
	if (code == GC_OK)
		*out = pop(&e);
	return code;
}
