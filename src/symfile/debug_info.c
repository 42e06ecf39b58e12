/* .debug_info: functions and the calls inlined into them, by compilation unit (DWARF 4, section 3.3). */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "symfile/emit.h"
#include "symfile/inlines.h"
#include "symfile/symfile.h"

#define MAX_PACKAGE 1024

/*
 * Not DW_LANG_Go: LLDB reads no functions of a language that it has no plugin for, and so shows no inlined
 * calls. GDB treats functions without types alike in both, and takes casts of addresses only in this one.
 */
#define LANGUAGE DW_LANG_C99

enum abbrev {
	A_UNIT = 1,
	A_FUNCTION,          /* the next three: + HAS_CHILDREN, + HAS_DECL */
	A_ABSTRACT = A_FUNCTION + 4, /* + 1 with a declaration */
	A_INLINED = A_ABSTRACT + 2,  /* + HAS_CHILDREN, + HAS_RANGES */
};
#define HAS_CHILDREN 1
#define HAS_DECL     2
#define HAS_RANGES   2

/** A function that was inlined somewhere in the unit. */
struct abstract {
	uint32_t name;               /* offset in the strings */
	uint32_t decl_file, decl_line;
	uint32_t at;                 /* of its entry in the unit, once it is written */
};

/** An abstract_origin to be filled in. */
struct fixup {
	uint32_t at;
	uint32_t abstract;
};

struct info_writer {
	struct symfile *s;
	struct gc_buf *out;
	struct symfile_files files;
	struct symfile_inlines inlines;
	struct symfile_tables tables; /* of the function at hand */
	size_t unit;                 /* offset of the unit's header */
	struct abstract *abstracts;
	size_t nabstracts, abstracts_cap;
	uint32_t *slots;             /* hash of abstracts by name: index + 1 */
	size_t nslots;               /* a power of two */
	struct fixup *fixups;
	size_t nfixups, fixups_cap;
	uint32_t switch_name;        /* offset of STACK_SWITCH */
};

/** Stands before functions behind which the stack is another one; see add_marks. */
#define STACK_SWITCH "<stack switch>"

/* Abbreviations */

static void abbrev(struct gc_buf *out, unsigned code, unsigned tag, bool children)
{
	emit_uleb(out, code);
	emit_uleb(out, tag);
	emit_u8(out, children ? DW_CHILDREN_yes : DW_CHILDREN_no);
}

static void attribute(struct gc_buf *out, unsigned name, unsigned form)
{
	emit_uleb(out, name);
	emit_uleb(out, form);
}

static void function_abbrev(struct gc_buf *out, unsigned variant)
{
	abbrev(out, A_FUNCTION + variant, DW_TAG_subprogram, variant & HAS_CHILDREN);
	attribute(out, DW_AT_name, DW_FORM_strp);
	attribute(out, DW_AT_low_pc, DW_FORM_addr);
	attribute(out, DW_AT_high_pc, DW_FORM_data4);
	attribute(out, DW_AT_external, DW_FORM_flag_present);
	if (variant & HAS_DECL) {
		attribute(out, DW_AT_decl_file, DW_FORM_udata);
		attribute(out, DW_AT_decl_line, DW_FORM_udata);
	}
	attribute(out, 0, 0);
}

static void inlined_abbrev(struct gc_buf *out, unsigned variant)
{
	abbrev(out, A_INLINED + variant, DW_TAG_inlined_subroutine, variant & HAS_CHILDREN);
	attribute(out, DW_AT_abstract_origin, DW_FORM_ref4);
	if (variant & HAS_RANGES) {
		attribute(out, DW_AT_ranges, DW_FORM_sec_offset);
	} else {
		attribute(out, DW_AT_low_pc, DW_FORM_addr);
		attribute(out, DW_AT_high_pc, DW_FORM_data4);
	}
	attribute(out, DW_AT_call_file, DW_FORM_udata);
	attribute(out, DW_AT_call_line, DW_FORM_udata);
	attribute(out, 0, 0);
}

static void write_abbrevs(struct gc_buf *out)
{
	abbrev(out, A_UNIT, DW_TAG_compile_unit, true);
	attribute(out, DW_AT_name, DW_FORM_strp);
	attribute(out, DW_AT_language, DW_FORM_data1);
	attribute(out, DW_AT_stmt_list, DW_FORM_sec_offset);
	attribute(out, DW_AT_low_pc, DW_FORM_addr);
	attribute(out, DW_AT_ranges, DW_FORM_sec_offset);
	attribute(out, 0, 0);
	for (unsigned variant = 0; variant < 4; variant++)
		function_abbrev(out, variant);
	for (unsigned decl = 0; decl < 2; decl++) {
		abbrev(out, A_ABSTRACT + decl, DW_TAG_subprogram, false);
		attribute(out, DW_AT_name, DW_FORM_strp);
		attribute(out, DW_AT_inline, DW_FORM_data1);
		attribute(out, DW_AT_external, DW_FORM_flag_present);
		if (decl) {
			attribute(out, DW_AT_decl_file, DW_FORM_udata);
			attribute(out, DW_AT_decl_line, DW_FORM_udata);
		}
		attribute(out, 0, 0);
	}
	for (unsigned variant = 0; variant < 4; variant++)
		inlined_abbrev(out, variant);
	emit_u8(out, 0);
}

/* Abstract functions */

static size_t find_slot(const struct info_writer *w, uint32_t name)
{
	size_t i = name * 2654435761U & (w->nslots - 1);

	while (w->slots[i] && w->abstracts[w->slots[i] - 1].name != name)
		i = (i + 1) & (w->nslots - 1);
	return i;
}

/** Room for one more abstract function, with half of the slots free. */
static bool abstract_room(struct info_writer *w)
{
	uint32_t *slots;

	if (w->nabstracts == w->abstracts_cap) {
		size_t cap = w->abstracts_cap ? 2 * w->abstracts_cap : 256;
		struct abstract *list = realloc(w->abstracts, cap * sizeof(*list));

		if (!list)
			return false;
		w->abstracts = list;
		w->abstracts_cap = cap;
	}
	if (2 * (w->nabstracts + 1) <= w->nslots)
		return true;
	slots = calloc(w->nslots ? 2 * w->nslots : 512, sizeof(*slots));
	if (!slots)
		return false;
	free(w->slots);
	w->slots = slots;
	w->nslots = w->nslots ? 2 * w->nslots : 512;
	for (size_t i = 0; i < w->nabstracts; i++)
		w->slots[find_slot(w, w->abstracts[i].name)] = (uint32_t)i + 1;
	return true;
}

/** Append a reference to the abstract function of this name. */
static bool refer(struct info_writer *w, uint32_t name, uint32_t decl_file, uint32_t decl_line)
{
	size_t slot;

	if (!abstract_room(w))
		return false;
	slot = find_slot(w, name);
	if (!w->slots[slot]) {
		w->abstracts[w->nabstracts++] = (struct abstract){ name, decl_file, decl_line, 0 };
		w->slots[slot] = (uint32_t)w->nabstracts;
	}
	if (w->nfixups == w->fixups_cap) {
		size_t cap = w->fixups_cap ? 2 * w->fixups_cap : 1024;
		struct fixup *list = realloc(w->fixups, cap * sizeof(*list));

		if (!list)
			return false;
		w->fixups = list;
		w->fixups_cap = cap;
	}
	w->fixups[w->nfixups++] = (struct fixup){ (uint32_t)w->out->len, w->slots[slot] - 1 };
	emit_u32(w->out, 0);
	return true;
}

/** The abstract functions of the unit, and all references to them. */
static void write_abstracts(struct info_writer *w)
{
	for (size_t i = 0; i < w->nabstracts; i++) {
		struct abstract *a = &w->abstracts[i];
		bool decl = a->decl_file && a->decl_line;

		a->at = (uint32_t)(w->out->len - w->unit);
		emit_uleb(w->out, A_ABSTRACT + (unsigned)decl);
		emit_u32(w->out, a->name);
		emit_u8(w->out, DW_INL_inlined);
		if (decl) {
			emit_uleb(w->out, a->decl_file);
			emit_uleb(w->out, a->decl_line);
		}
	}
	for (size_t i = 0; i < w->nfixups; i++)
		emit_patch_u32(w->out, w->fixups[i].at, w->abstracts[w->fixups[i].abstract].at);
	if (w->nabstracts)
		memset(w->slots, 0, w->nslots * sizeof(*w->slots));
	w->nabstracts = w->nfixups = 0;
}

/* Inlined calls */

/** Name in the strings; the empty one if the table has none. */
static uint32_t string_of(const struct symfile *s, uint32_t name)
{
	return gc_pclntab_name(s->table, name) ? name + 1 : 0;
}

static void write_spans(struct info_writer *w, const struct symfile_inlined *node)
{
	const struct symfile_span *spans = w->inlines.spans;
	uint64_t bias = w->s->bias;

	if (node->first == node->last) {
		emit_u64(w->out, spans[node->first].start - bias);
		emit_u32(w->out, spans[node->first].end - spans[node->first].start);
		return;
	}
	emit_u32(w->out, w->s->ranges.len);
	for (uint32_t i = node->first; i != NO_NODE; i = spans[i].next) {
		emit_u64(&w->s->ranges, spans[i].start - bias);
		emit_u64(&w->s->ranges, spans[i].end - bias);
	}
	emit_u64(&w->s->ranges, 0);
	emit_u64(&w->s->ranges, 0);
}

/** The file that an inlined function's own code is from. */
static uint32_t inlined_file(struct info_writer *w, const struct gc_pcfunc *f, const struct symfile_inlined *node)
{
	const struct gc_pcrows *rows = &w->tables.inlines;
	uint64_t pc = w->inlines.spans[node->first].start;

	if (symfile_value(rows, pc) != node->index) /* another one is inlined there in turn */
		return 0;
	return symfile_file(w->s, &w->files, f, symfile_value(&w->tables.files, pc));
}

static bool write_inlined(struct info_writer *w, const struct gc_pcfunc *f, const struct symfile_inlined *node)
{
	unsigned variant = (node->child != NO_NODE ? HAS_CHILDREN : 0) | (node->first != node->last ? HAS_RANGES : 0);

	emit_uleb(w->out, A_INLINED + variant);
	if (!refer(w, string_of(w->s, node->name), inlined_file(w, f, node), node->start_line))
		return false;
	write_spans(w, node);
	emit_uleb(w->out, node->call_file);
	emit_uleb(w->out, node->call_line);
	return true;
}

/** The tree, from the outside in. */
static bool write_tree(struct info_writer *w, const struct gc_pcfunc *f)
{
	const struct symfile_inlined *nodes = w->inlines.nodes;
	uint32_t node = w->inlines.root;

	while (node != NO_NODE) {
		if (!write_inlined(w, f, &nodes[node]))
			return false;
		if (nodes[node].child != NO_NODE) {
			node = nodes[node].child;
			continue;
		}
		while (node != NO_NODE && nodes[node].sibling == NO_NODE) {
			node = nodes[node].parent;
			if (node != NO_NODE)
				emit_u8(w->out, 0);
		}
		if (node != NO_NODE)
			node = nodes[node].sibling;
	}
	return true;
}

/* Functions */

struct decl {
	uint32_t file, line;
};

static struct decl decl_of(struct info_writer *w, const struct gc_pcfunc *f)
{
	struct decl d = { .file = symfile_file(w->s, &w->files, f, symfile_value(&w->tables.files, f->entry)) };
	int32_t line = symfile_value(&w->tables.lines, f->entry);

	d.line = f->start_line ? f->start_line : line > 0 ? (uint32_t)line : 0;
	return d;
}

static bool write_mark(struct info_writer *w, uint32_t name, uint64_t start, uint64_t end, struct decl call,
		       bool children)
{
	emit_uleb(w->out, A_INLINED + (children ? HAS_CHILDREN : 0));
	if (!refer(w, name, 0, 0))
		return false;
	emit_u64(w->out, start - w->s->bias);
	emit_u32(w->out, end - start);
	emit_uleb(w->out, call.file);
	emit_uleb(w->out, call.line);
	return true;
}

/** A call for each line, so that the function itself is on the line that it is on. */
static bool write_line_marks(struct info_writer *w, const struct gc_pcfunc *f)
{
	for (size_t i = 0; i < w->tables.lines.count; i++) {
		const struct gc_pcrow *row = &w->tables.lines.list[i];
		struct decl call = {
			.file = symfile_file(w->s, &w->files, f, symfile_value(&w->tables.files, row->start)),
			.line = row->value > 0 ? (uint32_t)row->value : 0,
		};

		if (row->end > row->start && !write_mark(w, w->switch_name, row->start, row->end, call, false))
			return false;
	}
	return true;
}

/** Which call that is not there is put into the function for debuggers? */
enum mark {
	MARK_NONE,
	MARK_NAME,
	MARK_SWITCH,
};

/**
 * GDB shows signal frames without the function's name: an inlined call of
 * itself shows it. And it takes a caller whose stack is below for the end of a
 * corrupt stack, unless one of the two frames is an inlined one.
 */
static enum mark mark_of(const struct symfile_function *function)
{
	switch (function->kind) {
	case SYMFILE_SIGTRAMP:
		return MARK_NAME;
	case SYMFILE_SYSTEMSTACK:
	case SYMFILE_MORESTACK:
	case SYMFILE_ASMCGOCALL:
	case SYMFILE_CALLBACK:
	case SYMFILE_VDSO:
		return MARK_SWITCH;
	default:
		return MARK_NONE;
	}
}

static bool write_children(struct info_writer *w, const struct gc_pcfunc *f, enum mark mark, struct decl decl)
{
	bool tree = w->inlines.root != NO_NODE;

	if (mark == MARK_SWITCH && !tree)
		return write_line_marks(w, f);
	if (mark == MARK_NAME && !write_mark(w, string_of(w->s, f->name), f->entry, f->end, decl, tree))
		return false;
	if (tree && !write_tree(w, f))
		return false;
	if (mark == MARK_NAME && tree)
		emit_u8(w->out, 0);
	return true;
}

static enum gc_code write_function(struct info_writer *w, const struct symfile_function *function,
				   struct gc_error *err)
{
	const struct gc_pcfunc *f = &function->f;
	enum mark mark = mark_of(function);
	struct decl decl = decl_of(w, f);
	enum gc_code code = symfile_inlines_read(&w->inlines, w->s, f, &w->tables, &w->files, err);
	bool has_decl = decl.file && decl.line, children;

	if (code != GC_OK)
		return code;
	children = w->inlines.root != NO_NODE || mark == MARK_NAME ||
		   (mark == MARK_SWITCH && w->tables.lines.count);
	emit_uleb(w->out, A_FUNCTION + (children ? HAS_CHILDREN : 0) + (has_decl ? HAS_DECL : 0));
	emit_u32(w->out, string_of(w->s, f->name));
	emit_u64(w->out, symfile_low(function) - w->s->bias);
	emit_u32(w->out, f->end - symfile_low(function));
	if (has_decl) {
		emit_uleb(w->out, decl.file);
		emit_uleb(w->out, decl.line);
	}
	if (!children)
		return GC_OK;
	if (!write_children(w, f, mark, decl))
		return gc_fail_memory(err);
	emit_u8(w->out, 0);
	return GC_OK;
}

static void tables_deinit(struct symfile_tables *tables)
{
	gc_pcrows_deinit(&tables->inlines);
	gc_pcrows_deinit(&tables->files);
	gc_pcrows_deinit(&tables->lines);
}

static enum gc_code add_function(struct info_writer *w, const struct symfile_function *function, struct gc_error *err)
{
	const struct gc_pcfunc *f = &function->f;
	enum gc_code code = symfile_rows(w->s, f, f->pcfile, &w->tables.files, err);

	if (code == GC_OK)
		code = symfile_rows(w->s, f, f->pcln, &w->tables.lines, err);
	if (code == GC_OK)
		code = symfile_rows(w->s, f, f->inlines, &w->tables.inlines, err);
	if (code == GC_OK)
		code = write_function(w, function, err);
	tables_deinit(&w->tables);
	return code;
}

/* Units */

/** "net/http" of "net/http.(*conn).serve". @return its length; 0: a name without a package */
static size_t package_len(const char *name)
{
	size_t end = strcspn(name, "["); /* type arguments have packages of their own */
	const char *dot, *slash = memrchr(name, '/', end);

	slash = slash ? slash : name;
	dot = memchr(slash, '.', (size_t)(name + end - slash));
	return dot && dot - name < MAX_PACKAGE ? (size_t)(dot - name) : 0;
}

/** Made for several packages: "type:.eq.[2]string", "type..eq." before Go 1.20. */
static bool is_shared(const char *name)
{
	return strncmp(name, "type:", 5) == 0 || strncmp(name, "type..", 6) == 0 || strncmp(name, "go:", 3) == 0;
}

/**
 * Append the name of the unit to the strings: the package of its functions, or
 * else the file that the first one is from.
 *
 * @return its offset
 */
static uint32_t unit_name(struct symfile *s, size_t first, size_t n)
{
	const struct gc_pcfunc *f = &s->functions[s->by_unit[first]].f;
	uint32_t at = (uint32_t)s->strings.len;
	const char *name = NULL;
	size_t len = 0;

	for (size_t i = first; !len && i < first + n; i++) {
		name = gc_pclntab_name(s->table, s->functions[s->by_unit[i]].f.name);
		len = name && !is_shared(name) ? package_len(name) : 0;
	}
	if (!len) {
		name = gc_pclntab_file(s->table, f, gc_pclntab_value(s->table, f, f->pcfile, f->entry));
		len = name ? strlen(name) : 0;
	}
	gc_buf_add(&s->strings, name, len);
	gc_buf_char(&s->strings, '\0');
	return at;
}

/** The addresses of the unit's functions; neighbours are joined. */
static void write_unit_ranges(struct symfile *s, size_t first, size_t n)
{
	for (size_t i = first; i < first + n;) {
		const struct symfile_function *function = &s->functions[s->by_unit[i]];
		uint64_t start = symfile_low(function), end = function->f.end;

		for (i++; i < first + n && symfile_low(&s->functions[s->by_unit[i]]) == end; i++)
			end = s->functions[s->by_unit[i]].f.end;
		emit_u64(&s->ranges, start - s->bias);
		emit_u64(&s->ranges, end - s->bias);
	}
	emit_u64(&s->ranges, 0);
	emit_u64(&s->ranges, 0);
}

static enum gc_code write_unit(struct info_writer *w, size_t first, size_t n, struct gc_error *err)
{
	struct symfile *s = w->s;
	enum gc_code code = GC_OK;
	size_t length;

	symfile_files_clear(&w->files);
	w->unit = s->info.len;
	length = emit_begin_length(&s->info);
	emit_u16(&s->info, 4); /* version */
	emit_u32(&s->info, 0); /* abbreviations */
	emit_u8(&s->info, 8);  /* bytes of an address */
	emit_uleb(&s->info, A_UNIT);
	emit_u32(&s->info, unit_name(s, first, n));
	emit_u8(&s->info, LANGUAGE);
	emit_u32(&s->info, s->line.len);
	emit_u64(&s->info, 0); /* the base of the ranges */
	emit_u32(&s->info, s->ranges.len);
	write_unit_ranges(s, first, n);
	for (size_t i = first; code == GC_OK && i < first + n; i++)
		code = add_function(w, &s->functions[s->by_unit[i]], err);
	write_abstracts(w);
	emit_u8(&s->info, 0);
	emit_end_length(&s->info, length);
	return code == GC_OK ? symfile_line_unit(s, first, n, &w->files, err) : code;
}

enum gc_code symfile_info(struct symfile *s, struct gc_error *err)
{
	struct info_writer w = { .s = s, .out = &s->info, .switch_name = (uint32_t)s->strings.len };
	enum gc_code code = GC_OK;

	write_abbrevs(&s->abbrev);
	gc_buf_add(&s->strings, STACK_SWITCH, sizeof(STACK_SWITCH));
	for (size_t first = 0, n; code == GC_OK && first < s->count; first += n) {
		uint32_t cu = s->functions[s->by_unit[first]].f.cu;

		for (n = 1; first + n < s->count && s->functions[s->by_unit[first + n]].f.cu == cu; n++)
			;
		code = write_unit(&w, first, n, err);
		if (code == GC_OK && (s->info.len | s->line.len | s->ranges.len) > INT32_MAX)
			code = gc_fail(err, GC_E_LIMIT, "the debug information would have more than 2 GiB");
	}
	symfile_files_deinit(&w.files);
	symfile_inlines_deinit(&w.inlines);
	free(w.abstracts);
	free(w.slots);
	free(w.fixups);
	return code;
}
