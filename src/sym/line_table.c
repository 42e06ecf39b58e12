#include "sym/line_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

#define MAX_ROWS    (1U << 26)
#define MAX_FILES   1000000
#define MAX_DIRS    1000000
#define MAX_FORMATS 32

/* DWARF 5 sections 7.5.6, 7.22; <dwarf.h> is libdwarf's or elfutils', whichever comes first */
enum {
	FORM_BLOCK2 = 0x03, FORM_BLOCK4 = 0x04, FORM_DATA2 = 0x05, FORM_DATA4 = 0x06, FORM_DATA8 = 0x07,
	FORM_STRING = 0x08, FORM_BLOCK = 0x09, FORM_BLOCK1 = 0x0a, FORM_DATA1 = 0x0b, FORM_STRP = 0x0e,
	FORM_UDATA = 0x0f, FORM_STRP_SUP = 0x1d, FORM_DATA16 = 0x1e, FORM_LINE_STRP = 0x1f,
	FORM_GNU_STRP_ALT = 0x1f21,

	LNCT_PATH = 1, LNCT_DIRECTORY_INDEX = 2,

	LNS_COPY = 1, LNS_ADVANCE_PC, LNS_ADVANCE_LINE, LNS_SET_FILE, LNS_SET_COLUMN, LNS_NEGATE_STMT,
	LNS_SET_BASIC_BLOCK, LNS_CONST_ADD_PC, LNS_FIXED_ADVANCE_PC,

	LNE_END_SEQUENCE = 1, LNE_SET_ADDRESS, LNE_DEFINE_FILE, LNE_SET_DISCRIMINATOR,
};

/** The header, and the place in the bytes. */
struct reader {
	struct gc_dwarf *dwarf, *supplement;
	struct gc_cursor c;
	bool is_64;              /* offsets of 8 bytes */
	uint16_t version;
	uint8_t address_size;
	uint8_t min_length, max_ops, line_range, opcode_base;
	int8_t line_base;
	bool default_is_stmt;
	const uint8_t *lengths;  /* of standard opcodes, from opcode 1 on */
	const char **dirs;
	size_t ndirs;
	size_t cap_dirs, cap_files, cap_rows, cap_sequences;
	struct gc_line_table table;
};

/* Numbers and strings. */

static bool read_sized(struct gc_cursor *c, unsigned size, uint64_t *out)
{
	const uint8_t *bytes;

	if (gc_cursor_bytes(c, size, &bytes, NULL) != GC_OK)
		return false;
	*out = size == 8 ? gc_load_le64(bytes) : size == 4 ? gc_load_le32(bytes) :
	       size == 2 ? gc_load_le16(bytes) : bytes[0];
	return true;
}

static bool read_offset(struct reader *r, uint64_t *out)
{
	return read_sized(&r->c, r->is_64 ? 8 : 4, out);
}

static const char *string_at(struct gc_dwarf *dwarf, const char *section, uint64_t offset)
{
	const uint8_t *bytes;
	uint64_t len;

	if (!dwarf || gc_dwarf_section(dwarf, section, &bytes, &len, NULL) != GC_OK || offset >= len ||
	    !memchr(bytes + offset, 0, len - offset))
		return NULL;
	return (const char *)bytes + offset;
}

/* DWARF 5 tables of directories and files: a description of the entries, then the entries. */

struct entry {
	const char *text;
	uint64_t dir;
};

/** One field. @return false if its form is unknown, as what follows cannot be found then */
static bool read_field(struct reader *r, uint64_t type, uint64_t form, struct entry *e)
{
	const char *text = NULL;
	uint64_t value = 0;
	const uint8_t *skipped;
	bool ok = true;

	switch (form) {
	case FORM_STRING:
		ok = gc_cursor_string(&r->c, &text, NULL) == GC_OK;
		break;
	case FORM_LINE_STRP:
	case FORM_STRP:
		ok = read_offset(r, &value);
		text = ok ? string_at(r->dwarf, form == FORM_STRP ? ".debug_str" : ".debug_line_str", value) : NULL;
		break;
	case FORM_STRP_SUP:
	case FORM_GNU_STRP_ALT:
		ok = read_offset(r, &value);
		text = ok ? string_at(r->supplement, ".debug_str", value) : NULL;
		break;
	case FORM_UDATA:
		ok = gc_cursor_uleb(&r->c, &value, NULL) == GC_OK;
		break;
	case FORM_DATA1:
	case FORM_DATA2:
	case FORM_DATA4:
	case FORM_DATA8:
		ok = read_sized(&r->c, form == FORM_DATA1 ? 1 : form == FORM_DATA2 ? 2 : form == FORM_DATA4 ? 4 : 8,
				&value);
		break;
	case FORM_DATA16:
		ok = gc_cursor_bytes(&r->c, 16, &skipped, NULL) == GC_OK;
		break;
	case FORM_BLOCK:
	case FORM_BLOCK1:
	case FORM_BLOCK2:
	case FORM_BLOCK4:
		ok = form == FORM_BLOCK ? gc_cursor_uleb(&r->c, &value, NULL) == GC_OK :
		     read_sized(&r->c, form == FORM_BLOCK1 ? 1 : form == FORM_BLOCK2 ? 2 : 4, &value);
		ok = ok && gc_cursor_bytes(&r->c, value, &skipped, NULL) == GC_OK;
		break;
	default:
		return false;
	}
	if (type == LNCT_PATH)
		e->text = text;
	else if (type == LNCT_DIRECTORY_INDEX)
		e->dir = value;
	return ok;
}

static bool add_file(struct reader *r, const char *name, uint64_t dir)
{
	struct gc_line_table *t = &r->table;

	if (t->nfiles == r->cap_files) {
		size_t cap = r->cap_files ? 2 * r->cap_files : 32;
		struct gc_line_file *files = cap <= MAX_FILES ? realloc(t->files, cap * sizeof(*files)) : NULL;

		if (!files)
			return false;
		t->files = files;
		r->cap_files = cap;
	}
	t->files[t->nfiles++] = (struct gc_line_file){
		.name = name,
		.dir = dir < r->ndirs ? r->dirs[dir] : NULL,
	};
	return true;
}

static bool add_dir(struct reader *r, const char *name)
{
	if (r->ndirs == r->cap_dirs) {
		size_t cap = r->cap_dirs ? 2 * r->cap_dirs : 16;
		const char **dirs = cap <= MAX_DIRS ? realloc(r->dirs, cap * sizeof(*dirs)) : NULL;

		if (!dirs)
			return false;
		r->dirs = dirs;
		r->cap_dirs = cap;
	}
	r->dirs[r->ndirs++] = name;
	return true;
}

static bool read_entries(struct reader *r, bool files)
{
	uint64_t types[MAX_FORMATS], forms[MAX_FORMATS], count;
	uint8_t nformats;

	if (gc_cursor_u8(&r->c, &nformats, NULL) != GC_OK || nformats > MAX_FORMATS)
		return false;
	for (size_t i = 0; i < nformats; i++)
		if (gc_cursor_uleb(&r->c, &types[i], NULL) != GC_OK || gc_cursor_uleb(&r->c, &forms[i], NULL) != GC_OK)
			return false;
	if (gc_cursor_uleb(&r->c, &count, NULL) != GC_OK || (count > 0 && nformats == 0))
		return false;
	for (uint64_t n = 0; n < count; n++) {
		struct entry e = { .text = NULL };

		for (size_t i = 0; i < nformats; i++)
			if (!read_field(r, types[i], forms[i], &e))
				return false;
		if (files ? !add_file(r, e.text, e.dir) : !add_dir(r, e.text))
			return false;
	}
	return true;
}

/* Before DWARF 5: names up to an empty one; directory 0 is that of the compilation. */

static bool read_old_dirs(struct reader *r)
{
	const char *name;

	if (!add_dir(r, NULL))
		return false;
	for (;;) {
		if (gc_cursor_string(&r->c, &name, NULL) != GC_OK)
			return false;
		if (name[0] == '\0')
			return true;
		if (!add_dir(r, name))
			return false;
	}
}

static bool read_old_file(struct reader *r, const char *name)
{
	uint64_t dir, time, length;

	return gc_cursor_uleb(&r->c, &dir, NULL) == GC_OK &&
	       gc_cursor_uleb(&r->c, &time, NULL) == GC_OK &&
	       gc_cursor_uleb(&r->c, &length, NULL) == GC_OK &&
	       add_file(r, name, dir);
}

static bool read_old_files(struct reader *r)
{
	const char *name;

	if (!add_file(r, NULL, 0))
		return false;
	for (;;) {
		if (gc_cursor_string(&r->c, &name, NULL) != GC_OK)
			return false;
		if (name[0] == '\0')
			return true;
		if (!read_old_file(r, name))
			return false;
	}
}

/* The header. */

/** Unit length and version; the cursor ends with the unit then. */
static bool read_length(struct reader *r)
{
	uint64_t length;

	if (!read_sized(&r->c, 4, &length))
		return false;
	r->is_64 = length == 0xffffffff;
	if (r->is_64 && !read_sized(&r->c, 8, &length))
		return false;
	if (length > gc_cursor_left(&r->c)) {
		length = gc_cursor_left(&r->c);
		r->table.cut = true;
	}
	r->c.end = r->c.pos + length;
	return gc_cursor_u16(&r->c, &r->version, NULL) == GC_OK && r->version >= 2 && r->version <= 5;
}

static bool read_numbers(struct reader *r)
{
	uint8_t is_stmt, base;

	r->max_ops = 1;
	if (gc_cursor_u8(&r->c, &r->min_length, NULL) != GC_OK ||
	    (r->version >= 4 && gc_cursor_u8(&r->c, &r->max_ops, NULL) != GC_OK) ||
	    gc_cursor_u8(&r->c, &is_stmt, NULL) != GC_OK || gc_cursor_u8(&r->c, &base, NULL) != GC_OK ||
	    gc_cursor_u8(&r->c, &r->line_range, NULL) != GC_OK ||
	    gc_cursor_u8(&r->c, &r->opcode_base, NULL) != GC_OK || r->opcode_base == 0 || r->max_ops == 0)
		return false;
	r->default_is_stmt = is_stmt;
	r->line_base = (int8_t)base;
	return gc_cursor_bytes(&r->c, (uint64_t)r->opcode_base - 1, &r->lengths, NULL) == GC_OK;
}

/** @param program  where the opcodes start */
static bool read_header(struct reader *r, const uint8_t **program)
{
	uint64_t header_length;
	uint8_t segment_size;

	r->address_size = 8;
	if (!read_length(r) ||
	    (r->version >= 5 && (gc_cursor_u8(&r->c, &r->address_size, NULL) != GC_OK ||
				 gc_cursor_u8(&r->c, &segment_size, NULL) != GC_OK)) ||
	    !read_offset(r, &header_length) || header_length > gc_cursor_left(&r->c))
		return false;
	*program = r->c.pos + header_length;
	if (!read_numbers(r))
		return false;
	if (!(r->version >= 5 ? read_entries(r, false) && read_entries(r, true) :
				read_old_dirs(r) && read_old_files(r)))
		r->table.cut = true; /* names of files only */
	return true;
}

/* The program. */

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

static void reset(const struct reader *r, struct machine *m)
{
	*m = (struct machine){ .file = 1, .line = 1, .is_stmt = r->default_is_stmt, .first = r->table.nrows };
}

/** VLIW machines have several operations an instruction; elsewhere max_ops is 1. */
static void advance(const struct reader *r, struct machine *m, uint64_t ops)
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
static bool is_passed_over(const struct reader *r, const struct machine *m)
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

static bool keep_row(struct reader *r, const struct machine *m)
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
		.file = (uint32_t)m->file & INT32_MAX, /* less than MAX_FILES */
		.is_stmt = m->is_stmt,
	};
	return true;
}

static bool add_row(struct reader *r, struct machine *m)
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
static bool end_sequence(struct reader *r, const struct machine *m)
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

static bool run_extended(struct reader *r, struct machine *m)
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
		return (len == 9 || len == 5) && read_sized(&c, (unsigned)len - 1, &m->addr);
	case LNE_DEFINE_FILE: {
		struct gc_cursor saved = r->c;
		bool ok;

		r->c = c;
		ok = gc_cursor_string(&r->c, &name, NULL) == GC_OK && read_old_file(r, name);
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

static bool run_standard(struct reader *r, struct machine *m, uint8_t op)
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

static bool run_special(struct reader *r, struct machine *m, uint8_t op)
{
	const uint8_t adjusted = (uint8_t)(op - r->opcode_base);

	if (r->line_range == 0)
		return false;
	advance(r, m, adjusted / r->line_range);
	advance_line(m, (uint64_t)(r->line_base + adjusted % r->line_range));
	return add_row(r, m);
}

/** @return false at damage */
static bool run(struct reader *r)
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
	struct reader r = { .dwarf = dwarf, .supplement = supplement };
	const uint8_t *bytes, *program;
	uint64_t len;
	enum gc_code code = gc_dwarf_section(dwarf, ".debug_line", &bytes, &len, err);

	if (code != GC_OK)
		return code;
	if (offset >= len)
		return gc_fail(err, GC_E_FORMAT, "line table at 0x%" PRIx64 ", behind the end of .debug_line", offset);
	gc_cursor_init(&r.c, bytes, len, 0);
	r.c.pos += offset;
	if (read_header(&r, &program)) {
		r.c.pos = program;
		if (!run(&r))
			r.table.cut = true;
		if (r.table.nsequences)
			qsort(r.table.sequences, r.table.nsequences, sizeof(*r.table.sequences), by_low);
		*out = r.table;
	} else {
		code = gc_fail(err, GC_E_FORMAT, "line table at 0x%" PRIx64 " is damaged or of an unknown version", offset);
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
