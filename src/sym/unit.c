#include "sym/unit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FUNCTIONS 4000000
#define MAX_DIES      8000000  /* that one search looks at */
#define MAX_DEPTH     64       /* blocks, namespaces and classes in each other */
#define LOOK_BACK     16       /* functions that overlap a later one */

/* Functions. */

struct collection {
	struct gc_unit *unit;
	uint64_t die, entry;
	bool full;
};

static bool add_function(void *data, uint64_t low, uint64_t high)
{
	struct collection *c = data;
	struct gc_unit *u = c->unit;

	if (low == 0) /* the linker left it out */
		return true;
	if (u->nfunctions == u->cap_functions) {
		size_t cap = u->cap_functions ? 2 * u->cap_functions : 64;
		struct gc_unit_function *list = NULL;

		if (cap <= MAX_FUNCTIONS)
			list = realloc(u->functions, cap * sizeof(*list));
		c->full = !list;
		if (c->full)
			return false;
		u->functions = list;
		u->cap_functions = cap;
	}
	if (!c->entry)
		c->entry = low;
	u->functions[u->nfunctions++] = (struct gc_unit_function){
		.low = low, .high = high, .entry = c->entry, .die = c->die,
	};
	return true;
}

static int by_low(const void *a, const void *b)
{
	const struct gc_unit_function *x = a, *y = b;

	if (x->low != y->low)
		return x->low < y->low ? -1 : 1;
	return x->high > y->high ? -1 : x->high < y->high;
}

/** May functions with code be inside? */
static bool is_scope(unsigned tag, bool nested)
{
	switch (tag) {
	case GC_TAG_NAMESPACE:
	case GC_TAG_MODULE:
		return true;
	case GC_TAG_CLASS:
	case GC_TAG_STRUCTURE:
	case GC_TAG_UNION:
	case GC_TAG_INTERFACE:
	case GC_TAG_SUBPROGRAM:
	case GC_TAG_LEXICAL_BLOCK:
		return nested;
	default:
		return false;
	}
}

/**
 * Find the functions. Those inside of functions (of GNU C) and classes are
 * looked for only if an address is not found without them: it takes longer.
 */
static enum gc_code find_functions(struct gc_unit *u, struct gc_dies *dies, bool nested, struct gc_error *err)
{
	struct collection c = { .unit = u };
	Dwarf_Die stack[MAX_DEPTH], root = gc_die_at(dies, u->offset);
	size_t depth = 1, seen = 0;

	if (!root)
		return gc_fail(err, GC_E_FORMAT, "unit at 0x%" PRIx64 " of .debug_info is damaged", u->offset);
	stack[0] = gc_die_child(dies, root);
	gc_die_free(dies, root);
	u->nfunctions = 0;
	while (depth > 0 && !c.full && seen++ < MAX_DIES) {
		Dwarf_Die die = stack[depth - 1];
		unsigned tag;

		if (!die) {
			depth--;
			continue;
		}
		tag = gc_die_tag(dies, die);
		if (tag == GC_TAG_SUBPROGRAM) {
			c.die = gc_die_offset(dies, die);
			c.entry = 0;
			gc_die_ranges(dies, die, &u->die, add_function, &c);
		}
		if (depth < MAX_DEPTH && is_scope(tag, nested)) {
			Dwarf_Die child = gc_die_child(dies, die);

			stack[depth - 1] = gc_die_next(dies, die);
			stack[depth++] = child;
		} else {
			stack[depth - 1] = gc_die_next(dies, die);
		}
	}
	while (depth > 0)
		gc_die_free(dies, stack[--depth]);
	if (u->nfunctions)
		qsort(u->functions, u->nfunctions, sizeof(*u->functions), by_low);
	u->has_functions = true;
	u->has_nested = nested;
	return GC_OK;
}

static const struct gc_unit_function *known_function_at(const struct gc_unit *u, uint64_t pc)
{
	size_t low = 0, high = u->nfunctions;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (u->functions[mid].low <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	for (size_t tries = 0; low > 0 && tries < LOOK_BACK; tries++)
		if (pc < u->functions[--low].high)
			return &u->functions[low];
	return NULL;
}

enum gc_code gc_unit_function_at(struct gc_unit *u, struct gc_dies *dies, uint64_t pc,
				 const struct gc_unit_function **out, struct gc_error *err)
{
	enum gc_code code = GC_OK;

	if (!u->has_functions)
		code = find_functions(u, dies, false, err);
	*out = known_function_at(u, pc);
	if (code == GC_OK && !*out && !u->has_nested) {
		code = find_functions(u, dies, true, err);
		*out = known_function_at(u, pc);
	}
	return code;
}

/* Files. */

/** "DIR/NAME". @return allocated, or NULL */
static char *join(const char *dir, const char *name)
{
	const size_t len = dir ? strlen(dir) : 0, name_len = strlen(name);
	const bool slash = len > 0 && dir[len - 1] != '/';
	char *path;

	if (len == 0 || name[0] == '/')
		return strdup(name);
	path = malloc(len + slash + name_len + 1);
	if (path) {
		memcpy(path, dir, len);
		path[len] = '/';
		memcpy(path + len + slash, name, name_len + 1);
	}
	return path;
}

/** Is it the file that the unit is named after? gdb shows that one as the unit calls it. */
static bool is_main_file(const struct gc_unit *u, const char *path)
{
	char *main_path = u->name ? join(u->comp_dir, u->name) : NULL;
	bool same = main_path && strcmp(main_path, path) == 0;

	free(main_path);
	return same;
}

/** Fill in file and path of @frame. */
static void set_file(struct gc_unit *u, uint64_t number, struct gc_line_frame *frame)
{
	struct gc_line_frame *f;

	if (number >= u->lines.nfiles || !u->lines.files[number].name)
		return;
	if (!u->files)
		u->files = calloc(u->lines.nfiles, sizeof(*u->files));
	if (!u->files)
		return;
	f = &u->files[number];
	if (!f->path) {
		char *file = join(u->lines.files[number].dir, u->lines.files[number].name);
		char *path = file ? join(u->comp_dir, file) : NULL;

		if (!path) {
			free(file);
			return;
		}
		if (is_main_file(u, path)) {
			free(file);
			file = strdup(u->name);
		}
		f->file = file;
		f->path = path;
	}
	frame->file = f->file;
	frame->path = f->path;
}

/* Inlined calls. */

/** A call on the way from the function to the code. */
struct call {
	const char *function;
	uint64_t file, line;    /* where it is called; of the outermost: 0 */
};

struct holds {
	uint64_t pc;
	bool found;
};

static bool is_inside(void *data, uint64_t low, uint64_t high)
{
	struct holds *h = data;

	h->found = h->pc >= low && h->pc < high;
	return !h->found;
}

static bool is_block(unsigned tag)
{
	return tag == GC_TAG_INLINED || tag == GC_TAG_LEXICAL_BLOCK || tag == GC_TAG_TRY_BLOCK ||
	       tag == GC_TAG_CATCH_BLOCK;
}

/** One search for the calls around an address. */
struct descent {
	struct gc_unit *unit;
	struct gc_dies *dies;
	struct gc_function_names *names;
	uint64_t pc;
	struct call *calls;
	size_t count, max;
	Dwarf_Die stack[MAX_DEPTH]; /* what is still to be looked at, at each level */
	size_t depth;
};

static void forget_rest(struct descent *d)
{
	while (d->depth > 0)
		gc_die_free(d->dies, d->stack[--d->depth]);
}

static void add_call(struct descent *d, Dwarf_Die die, const struct call *site)
{
	struct call *call;

	if (d->count == d->max)
		return;
	call = &d->calls[d->count++];
	*call = *site;
	call->function = gc_function_name(d->names, d->dies, die, d->unit->language);
}

/**
 * Where the inlined DIE was called. Strict DWARF 2 does not tell, and gdb
 * shows no calls then whose caller would have no place.
 */
static bool read_site(struct descent *d, Dwarf_Die die, struct call *site)
{
	return gc_die_number(d->dies, die, GC_AT_CALL_FILE, &site->file) &&
	       gc_die_number(d->dies, die, GC_AT_CALL_LINE, &site->line);
}

/** Look at the next DIE: go into it if it holds the address, or if it does not tell. */
static void step(struct descent *d)
{
	Dwarf_Die die = d->stack[d->depth - 1], child;
	struct holds h = { .pc = d->pc };
	struct call site = { .line = 0 };
	unsigned tag;
	bool told;

	if (!die) {
		d->depth--;
		return;
	}
	tag = gc_die_tag(d->dies, die);
	told = is_block(tag) && gc_die_ranges(d->dies, die, &d->unit->die, is_inside, &h);
	if (h.found && (tag != GC_TAG_INLINED || read_site(d, die, &site))) {
		if (tag == GC_TAG_INLINED)
			add_call(d, die, &site);
		child = gc_die_child(d->dies, die);
		forget_rest(d);
		d->stack[d->depth++] = child;
		return;
	}
	child = is_block(tag) && tag != GC_TAG_INLINED && !told && d->depth < MAX_DEPTH ?
		gc_die_child(d->dies, die) : NULL;
	d->stack[d->depth - 1] = gc_die_next(d->dies, die);
	if (child)
		d->stack[d->depth++] = child;
}

/** The function at @die_offset and the calls inlined in it that hold the address, outermost first. */
static enum gc_code find_calls(struct descent *d, uint64_t die_offset, struct gc_error *err)
{
	Dwarf_Die die = gc_die_at(d->dies, die_offset);
	size_t seen = 0;

	if (!die)
		return gc_fail(err, GC_E_FORMAT, "function at 0x%" PRIx64 " of .debug_info is damaged", die_offset);
	add_call(d, die, &(struct call){ .line = 0 });
	d->stack[0] = gc_die_child(d->dies, die);
	d->depth = 1;
	gc_die_free(d->dies, die);
	while (d->depth > 0 && seen++ < MAX_DIES)
		step(d);
	forget_rest(d);
	return GC_OK;
}

/* Lines. */

/** Functions are of use without lines too, so that damage here is only noted. */
static void read_rows(struct gc_unit *u, struct gc_dies *dies)
{
	struct gc_line_table table;

	if (u->has_rows || !u->has_lines)
		return;
	u->has_rows = true;
	if (gc_line_table_read(&table, dies->dwarf, dies->supplement ? dies->supplement->dwarf : NULL, u->lines_offset,
			       &u->damage) != GC_OK) {
		u->has_lines = false;
		return;
	}
	if (u->lines.files) { /* read once before: the strings made of them are in use */
		free(table.files);
		table.files = u->lines.files;
		table.nfiles = u->lines.nfiles;
	}
	u->lines = table;
	if (table.cut)
		gc_fail(&u->damage, GC_E_FORMAT, "line table at 0x%" PRIx64 " is damaged", u->lines_offset);
}

/* The whole. */

/** Innermost first: each call is at the place that the one inside it was called from. */
static size_t make_frames(struct gc_unit *u, const struct call *calls, size_t count, const struct gc_line_row *row,
			  uint64_t entry, struct gc_line_frame *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct call *inner = i == 0 ? NULL : &calls[count - i];
		struct gc_line_frame frame = {
			.function = calls[count - 1 - i].function, .entry = entry, .inlined = i + 1 < count,
		};

		if (inner && inner->line) {
			frame.line = (uint32_t)inner->line;
			set_file(u, inner->file, &frame);
		} else if (row) {
			frame.line = row->line;
			set_file(u, row->file, &frame);
		}
		out[i] = frame;
	}
	return count;
}

enum gc_code gc_unit_frames(struct gc_unit *u, struct gc_dies *dies, struct gc_function_names *names, uint64_t pc,
			    struct gc_line_frame *out, size_t max, size_t *count, struct gc_error *err)
{
	struct call *calls = malloc(max * sizeof(*calls));
	struct descent d = { .unit = u, .dies = dies, .names = names, .pc = pc, .calls = calls, .max = max };
	const struct gc_line_row *row;
	const struct gc_unit_function *function = NULL;
	enum gc_code code;

	if (!calls)
		return gc_fail_memory(err);
	read_rows(u, dies);
	row = gc_line_table_find(&u->lines, pc);
	code = gc_unit_function_at(u, dies, pc, &function, err);
	if (code == GC_OK && function)
		code = find_calls(&d, function->die, err);
	else if (code == GC_OK && row)
		calls[d.count++] = (struct call){ .line = 0 }; /* assembler: lines, but no functions */
	if (code == GC_OK && d.count == 0)
		code = gc_fail(err, GC_E_NOT_FOUND, "no debug information for 0x%" PRIx64, pc);
	if (code == GC_OK)
		*count = make_frames(u, calls, d.count, row, function ? function->entry : 0, out);
	free(calls);
	return code;
}

enum gc_code gc_unit_open(struct gc_unit *out, struct gc_dies *dies, uint64_t offset, struct gc_error *err)
{
	struct gc_unit u = { .offset = offset };
	Dwarf_Die die = gc_die_at(dies, offset);

	if (!die)
		return gc_fail(err, GC_E_FORMAT, "unit at 0x%" PRIx64 " of .debug_info is damaged", offset);
	gc_die_unit_read(&u.die, dies, die);
	u.name = gc_die_string(dies, die, GC_AT_NAME);
	u.comp_dir = gc_die_string(dies, die, GC_AT_COMP_DIR);
	gc_die_number(dies, die, GC_AT_LANGUAGE, &u.language);
	u.has_lines = gc_die_section_offset(dies, die, GC_AT_STMT_LIST, &u.lines_offset);
	gc_die_free(dies, die);
	*out = u;
	return GC_OK;
}

void gc_unit_shrink(struct gc_unit *u)
{
	gc_line_table_drop_rows(&u->lines);
	u->has_rows = false;
	free(u->functions);
	u->functions = NULL;
	u->nfunctions = u->cap_functions = 0;
	u->has_functions = u->has_nested = false;
}

void gc_unit_close(struct gc_unit *u)
{
	for (size_t i = 0; u->files && i < u->lines.nfiles; i++) {
		free((char *)(uintptr_t)u->files[i].file);
		free((char *)(uintptr_t)u->files[i].path);
	}
	free(u->files);
	gc_unit_shrink(u);
	gc_line_table_deinit(&u->lines);
}
