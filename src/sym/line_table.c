/* The program of a line table, and looking a pc up in its rows. */
#include <inttypes.h>
#include <stdlib.h>

#include "sym/line_reader.h"

#define MAX_ROWS (1U << 26)

/* DWARF 5 section 7.22; <dwarf.h> is libdwarf's or elfutils', whichever comes first */
enum {
	LNS_COPY = 1, LNS_ADVANCE_PC, LNS_ADVANCE_LINE, LNS_SET_FILE, LNS_SET_COLUMN, LNS_NEGATE_STMT,
	LNS_SET_BASIC_BLOCK, LNS_CONST_ADD_PC, LNS_FIXED_ADVANCE_PC,

	LNE_END_SEQUENCE = 1, LNE_SET_ADDRESS, LNE_DEFINE_FILE, LNE_SET_DISCRIMINATOR,
};

struct machine {
	uint64_t addr;
	uint64_t op_index;
	uint64_t file;
	uint64_t line;          /* unsigned in DWARF; wraps where damaged */
	bool is_stmt;
	uint64_t discriminator;
	bool line_has_discriminator; /* since line or file changed last */
	size_t first;           /* row of the sequence */
	uint64_t last_addr;     /* of the row before, kept or not */
	bool stmt_at_addr;      /* there was one that starts a statement */
};

static void reset(const struct line_reader *r, struct machine *m)
{
	*m = (struct machine){ .file = 1, .line = 1, .is_stmt = r->default_is_stmt, .first = r->table.nrows };
}

/** VLIW machines have several operations an instruction; elsewhere max_ops is 1. */
static void advance(const struct line_reader *r, struct machine *m, uint64_t ops)
{
	if (r->max_ops <= 1) {
		m->addr += r->min_length * ops;
		return;
	}
	m->addr += r->min_length * ((m->op_index + ops) / r->max_ops);
	m->op_index = (m->op_index + ops) % r->max_ops;
}

static void advance_line(struct machine *m, uint64_t delta)
{
	m->line = (uint32_t)(m->line + delta);
	if (delta != 0)
		m->line_has_discriminator = m->discriminator != 0;
}

/**
 * gdb passes over some rows, so that what comes before them holds there too:
 * those of line 0 or without a file, those inside a bundle of a VLIW machine,
 * repeated ones that differ by their discriminators, and those of another
 * file that start no statement at an address where one was started.
 */
static bool is_passed_over(const struct line_reader *r, const struct machine *m)
{
	const struct gc_line_table *t = &r->table;
	const struct gc_line_row *last = t->nrows > m->first ? &t->rows[t->nrows - 1] : NULL;
	const bool same_file = last && last->file == m->file;

	if (m->line == 0 || m->file >= t->nfiles || m->op_index != 0)
		return true;
	if (same_file && last->line == m->line && m->line_has_discriminator)
		return true;
	return !same_file && !m->is_stmt && m->stmt_at_addr && m->last_addr == m->addr;
}

static bool keep_row(struct line_reader *r, const struct machine *m)
{
	struct gc_line_table *t = &r->table;

	if (t->nrows == r->cap_rows) {
		size_t cap = r->cap_rows ? 2 * r->cap_rows : 256;
		struct gc_line_row *rows = cap <= MAX_ROWS ? realloc(t->rows, cap * sizeof(*rows)) : NULL;

		if (!rows)
			return false;
		t->rows = rows;
		r->cap_rows = cap;
	}
	t->rows[t->nrows++] = (struct gc_line_row){
		.addr = m->addr,
		.line = (uint32_t)m->line,
		.file = (uint32_t)m->file & INT32_MAX, /* line_header.c reads far fewer files */
		.is_stmt = m->is_stmt,
	};
	return true;
}

static bool add_row(struct line_reader *r, struct machine *m)
{
	const bool ok = is_passed_over(r, m) || keep_row(r, m);

	m->discriminator = 0;
	if (m->last_addr != m->addr)
		m->stmt_at_addr = false;
	m->last_addr = m->addr;
	m->stmt_at_addr |= m->is_stmt;
	return ok;
}

/** Sequences at 0 are of functions that the linker left out. */
static bool end_sequence(struct line_reader *r, const struct machine *m)
{
	struct gc_line_table *t = &r->table;
	const size_t count = t->nrows - m->first;
	const uint64_t low = count ? t->rows[m->first].addr : 0;

	if (low == 0 || m->addr <= low) {
		t->nrows = m->first;
		return true;
	}
	if (t->nsequences == r->cap_sequences) {
		size_t cap = r->cap_sequences ? 2 * r->cap_sequences : 16;
		struct gc_line_sequence *list = realloc(t->sequences, cap * sizeof(*list));

		if (!list)
			return false;
		t->sequences = list;
		r->cap_sequences = cap;
	}
	t->sequences[t->nsequences++] = (struct gc_line_sequence){
		.low = low, .high = m->addr, .first = m->first, .count = count,
	};
	return true;
}

static bool run_extended(struct line_reader *r, struct machine *m)
{
	struct gc_cursor c;
	const uint8_t *bytes;
	const char *name;
	uint64_t len;
	uint8_t op;

	if (gc_cursor_uleb(&r->c, &len, NULL) != GC_OK || gc_cursor_bytes(&r->c, len, &bytes, NULL) != GC_OK)
		return false;
	gc_cursor_init(&c, bytes, len, 0);
	if (gc_cursor_u8(&c, &op, NULL) != GC_OK)
		return true; /* empty */
	switch (op) {
	case LNE_END_SEQUENCE:
		if (!end_sequence(r, m))
			return false;
		reset(r, m);
		return true;
	case LNE_SET_ADDRESS:
		m->op_index = 0;
		return (len == 9 || len == 5) && line_read_sized(&c, (unsigned)len - 1, &m->addr);
	case LNE_DEFINE_FILE: {
		struct gc_cursor saved = r->c;
		bool ok;

		r->c = c;
		ok = gc_cursor_string(&r->c, &name, NULL) == GC_OK && line_read_old_file(r, name);
		r->c = saved;
		return ok;
	}
	case LNE_SET_DISCRIMINATOR:
		if (gc_cursor_uleb(&c, &m->discriminator, NULL) != GC_OK)
			return false;
		m->line_has_discriminator |= m->discriminator != 0;
		return true;
	default:
		return true;
	}
}

static bool run_standard(struct line_reader *r, struct machine *m, uint8_t op)
{
	uint64_t value;
	int64_t delta;
	uint16_t step;

	switch (op) {
	case LNS_COPY:
		return add_row(r, m);
	case LNS_ADVANCE_PC:
		if (gc_cursor_uleb(&r->c, &value, NULL) != GC_OK)
			return false;
		advance(r, m, value);
		return true;
	case LNS_ADVANCE_LINE:
		if (gc_cursor_sleb(&r->c, &delta, NULL) != GC_OK)
			return false;
		advance_line(m, (uint64_t)delta);
		return true;
	case LNS_SET_FILE:
		m->line_has_discriminator = m->discriminator != 0;
		return gc_cursor_uleb(&r->c, &m->file, NULL) == GC_OK;
	case LNS_NEGATE_STMT:
		m->is_stmt = !m->is_stmt;
		return true;
	case LNS_CONST_ADD_PC:
		if (r->line_range == 0)
			return false;
		advance(r, m, (uint64_t)(255 - r->opcode_base) / r->line_range);
		return true;
	case LNS_FIXED_ADVANCE_PC:
		if (gc_cursor_u16(&r->c, &step, NULL) != GC_OK)
			return false;
		m->addr += step;
		m->op_index = 0;
		return true;
	default: /* those that do not matter here, and those that are not known */
		for (uint8_t n = r->lengths[op - 1]; n > 0; n--)
			if (gc_cursor_uleb(&r->c, &value, NULL) != GC_OK)
				return false;
		return true;
	}
}

static bool run_special(struct line_reader *r, struct machine *m, uint8_t op)
{
	const uint8_t adjusted = (uint8_t)(op - r->opcode_base);

	if (r->line_range == 0)
		return false;
	advance(r, m, adjusted / r->line_range);
	advance_line(m, (uint64_t)(r->line_base + adjusted % r->line_range));
	return add_row(r, m);
}

/** @return false at damage */
static bool run(struct line_reader *r)
{
	struct machine m;
	uint8_t op;

	reset(r, &m);
	while (gc_cursor_left(&r->c) > 0) {
		bool ok;

		if (gc_cursor_u8(&r->c, &op, NULL) != GC_OK)
			return false;
		if (op >= r->opcode_base)
			ok = run_special(r, &m, op);
		else
			ok = op == 0 ? run_extended(r, &m) : run_standard(r, &m, op);
		if (!ok)
			break;
	}
	if (m.first == r->table.nrows)
		return gc_cursor_left(&r->c) == 0;
	m.addr = r->table.rows[r->table.nrows - 1].addr; /* what came before the damage holds */
	end_sequence(r, &m);
	return false;
}

static int by_low(const void *a, const void *b)
{
	const struct gc_line_sequence *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

enum gc_code gc_line_table_read(struct gc_line_table *out, struct gc_dwarf *dwarf, struct gc_dwarf *supplement,
				uint64_t offset, struct gc_error *err)
{
	struct line_reader r = { .dwarf = dwarf, .supplement = supplement };
	const uint8_t *bytes, *program;
	uint64_t len;
	enum gc_code code = gc_dwarf_section(dwarf, ".debug_line", &bytes, &len, err);

	if (code != GC_OK)
		return code;
	if (offset >= len)
		return gc_fail(err, GC_E_FORMAT, "line table at 0x%" PRIx64 ", behind the end of .debug_line", offset);
	gc_cursor_init(&r.c, bytes, len, 0);
	r.c.pos += offset;
	if (line_read_header(&r, &program)) {
		r.c.pos = program;
		if (!run(&r))
			r.table.cut = true;
		if (r.table.nsequences)
			qsort(r.table.sequences, r.table.nsequences, sizeof(*r.table.sequences), by_low);
		*out = r.table;
	} else {
		code = gc_fail(err, GC_E_FORMAT, "line table at 0x%" PRIx64 " is damaged or of an unknown version",
			       offset);
		gc_line_table_deinit(&r.table);
	}
	free(r.dirs);
	return code;
}

void gc_line_table_drop_rows(struct gc_line_table *t)
{
	free(t->rows);
	free(t->sequences);
	t->rows = NULL;
	t->sequences = NULL;
	t->nrows = t->nsequences = 0;
}

void gc_line_table_deinit(struct gc_line_table *t)
{
	gc_line_table_drop_rows(t);
	free(t->files);
	*t = (struct gc_line_table){ .files = NULL };
}

/** How many of the rows begin at or before @pc. */
static size_t rows_up_to(const struct gc_line_row *rows, size_t count, uint64_t pc)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (rows[mid].addr <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/** The last row at its address that starts a statement, else the last (gdb, find_pc_sect_line). */
static const struct gc_line_row *row_in(const struct gc_line_table *t, const struct gc_line_sequence *s, uint64_t pc)
{
	const struct gc_line_row *rows = t->rows + s->first;
	size_t last = rows_up_to(rows, s->count, pc), i;

	if (last == 0)
		return NULL;
	for (i = last - 1; i > 0 && !rows[i].is_stmt && rows[i - 1].addr == rows[i].addr; i--)
		;
	return rows[i].is_stmt ? &rows[i] : &rows[last - 1];
}

const struct gc_line_row *gc_line_table_find(const struct gc_line_table *t, uint64_t pc)
{
	size_t low = 0, high = t->nsequences;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->sequences[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t tries = 0; low > 0 && tries < 64; tries++) /* they should not overlap, but who knows */
		if (pc < t->sequences[--low].high)
			return row_in(t, &t->sequences[low], pc);
	return NULL;
}
