/* .debug_line: which line each instruction is of (DWARF 4, section 6.2). */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "symfile/emit.h"
#include "symfile/symfile.h"

enum {
	VERSION = 4,
	LINE_BASE = -4,
	LINE_RANGE = 12,
	OPCODE_BASE = 13,
};

/* Operands of the standard opcodes 1 to 12 */
static const uint8_t operands[OPCODE_BASE - 1] = { 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1 };

/** Registers of the line number machine. */
struct machine {
	uint64_t pc;
	uint32_t file, line;
};

static void extended(struct gc_buf *out, unsigned opcode, size_t len)
{
	emit_u8(out, 0);
	emit_uleb(out, len + 1);
	emit_u8(out, opcode);
}

/** Append a row. */
static void add_row(struct gc_buf *out, const struct gc_go_abi *abi, struct machine *m, uint64_t pc, uint32_t file,
		    uint32_t line)
{
	uint64_t steps = (pc - m->pc) / abi->quantum;
	int64_t lines = (int64_t)line - m->line;

	if (file != m->file) {
		emit_u8(out, DW_LNS_set_file);
		emit_uleb(out, file);
	}
	if (lines < LINE_BASE || lines >= LINE_BASE + LINE_RANGE) {
		emit_u8(out, DW_LNS_advance_line);
		emit_sleb(out, lines);
		lines = 0;
	}
	if (steps > (uint64_t)(255 - OPCODE_BASE - (lines - LINE_BASE)) / LINE_RANGE) {
		emit_u8(out, DW_LNS_advance_pc);
		emit_uleb(out, steps);
		steps = 0;
	}
	emit_u8(out, (unsigned)((uint64_t)(lines - LINE_BASE) + LINE_RANGE * steps + OPCODE_BASE));
	*m = (struct machine){ pc, file, line };
}

/** One sequence: the rows of both tables, merged. */
static int compare_pcs(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/** How far from @pc the line of a call goes on, see gc_return_pcs. */
static uint64_t behind_call(const struct symfile *s, uint64_t pc)
{
	const struct gc_return_pcs *r = &s->src->returns;

	return r->count && bsearch(&pc, r->list, r->count, sizeof(*r->list), compare_pcs) ? s->abi->quantum : 0;
}

static void add_sequence(struct symfile *s, const struct symfile_function *function,
			 const struct gc_pcrows *files_at, const struct gc_pcrows *lines_at,
			 struct symfile_files *files)
{
	const struct gc_pcfunc *f = &function->f;
	struct machine m = { .pc = symfile_low(function), .file = 1, .line = 1 };
	uint64_t pc = f->entry;
	size_t i = 0, j = 0;
	bool first = true;

	extended(&s->line, DW_LNE_set_address, 8);
	emit_u64(&s->line, m.pc - s->bias);
	while (pc < f->end) {
		uint64_t next = f->end;
		uint32_t file = 0, line = 0;

		while (i < files_at->count && files_at->list[i].end <= pc)
			i++;
		while (j < lines_at->count && lines_at->list[j].end <= pc)
			j++;
		if (i < files_at->count) {
			file = symfile_file(s, files, f, files_at->list[i].value);
			next = files_at->list[i].end < next ? files_at->list[i].end : next;
		}
		if (j < lines_at->count) {
			line = lines_at->list[j].value > 0 ? (uint32_t)lines_at->list[j].value : 0;
			next = lines_at->list[j].end < next ? lines_at->list[j].end : next;
		}
		if (!file) { /* line 0: of no line */
			file = m.file;
			line = 0;
		}
		if (first || file != m.file || line != m.line)
			add_row(&s->line, s->abi, &m, first ? m.pc : pc + behind_call(s, pc), file, line);
		first = false;
		pc = next;
	}
	emit_u8(&s->line, DW_LNS_advance_pc);
	emit_uleb(&s->line, (f->end - m.pc) / s->abi->quantum);
	extended(&s->line, DW_LNE_end_sequence, 0);
}

static enum gc_code add_function(struct symfile *s, const struct symfile_function *function,
				 struct symfile_files *files, struct gc_error *err)
{
	const struct gc_pcfunc *f = &function->f;
	struct gc_pcrows files_at, lines_at;
	enum gc_code code = symfile_rows(s, f, f->pcfile, &files_at, err);

	if (code != GC_OK)
		return code;
	code = symfile_rows(s, f, f->pcln, &lines_at, err);
	if (code == GC_OK && files_at.count && lines_at.count)
		add_sequence(s, function, &files_at, &lines_at, files);
	if (code == GC_OK)
		gc_pcrows_deinit(&lines_at);
	gc_pcrows_deinit(&files_at);
	return code;
}

/** The header, with the files that the program behind it names. */
static void add_header(struct symfile *s, const struct symfile_files *files)
{
	struct gc_buf *out = &s->line;
	size_t length;

	emit_u16(out, VERSION);
	length = emit_begin_length(out);
	emit_u8(out, s->abi->quantum);
	emit_u8(out, 1); /* operations of an instruction */
	emit_u8(out, 1); /* default_is_stmt */
	emit_u8(out, (unsigned)LINE_BASE);
	emit_u8(out, LINE_RANGE);
	emit_u8(out, OPCODE_BASE);
	gc_buf_add(out, operands, sizeof(operands));
	emit_u8(out, 0); /* no directories: Go's file names are whole */
	for (uint32_t i = 0; i < files->count; i++) {
		gc_buf_add(out, files->names[i], strlen(files->names[i]) + 1);
		gc_buf_add(out, "\0\0", 3); /* directory, time, size */
	}
	emit_u8(out, 0);
	emit_end_length(out, length);
}

enum gc_code symfile_line_unit(struct symfile *s, size_t first, size_t n, struct symfile_files *files,
			       struct gc_error *err)
{
	struct gc_buf before = s->line, program;
	enum gc_code code = GC_OK;
	size_t begin;

	s->line = (struct gc_buf)GC_BUF_INIT; /* files are known only behind the program */
	for (size_t i = first; code == GC_OK && i < first + n; i++)
		code = add_function(s, &s->functions[s->by_unit[i]], files, err);
	program = s->line;
	s->line = before;
	begin = emit_begin_length(&s->line);
	add_header(s, files);
	gc_buf_add(&s->line, program.data, program.len);
	s->line.failed |= program.failed;
	emit_end_length(&s->line, begin);
	gc_buf_deinit(&program);
	return code;
}
