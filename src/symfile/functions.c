/* The functions of a pclntab, their files, and what is special about some of them. */
#include <stdlib.h>
#include <string.h>

#include "symfile/symfile.h"

#define MAX_FILE_NUMBER (1U << 20)

/* In every program, and named for what its last instruction is made to stand for; that one hardly ever runs. */
#define SIGNAL_FUNCTION "runtime.cgoSigtramp"

/* Matched by name, since funcIDs were renumbered between versions. */
static const struct {
	const char *name;
	enum symfile_kind kind;
} special[] = {
	{ "runtime.sigtramp", SYMFILE_SIGTRAMP },
	{ "runtime.systemstack", SYMFILE_SYSTEMSTACK },
	{ "runtime.morestack", SYMFILE_MORESTACK },
	{ "runtime.asmcgocall", SYMFILE_ASMCGOCALL },
	{ "runtime.cgocallback", SYMFILE_CALLBACK },
	{ "crosscall2", SYMFILE_CROSSCALL },
	{ "runtime.sigpanic", SYMFILE_INJECTED },
	{ "runtime.asyncPreempt", SYMFILE_INJECTED },
	{ "runtime.debugCallV2", SYMFILE_INJECTED },
	{ "runtime.nanotime1", SYMFILE_VDSO },
	{ "runtime.walltime", SYMFILE_VDSO },
	{ "time.now", SYMFILE_VDSO },
	{ "runtime.vgetrandom1", SYMFILE_VDSO },
};

/**
 * Beside a program's own debug information: no more than debuggers need to get
 * further than with the linker's call frame information, for the rest they are
 * to show as ever.
 */
static enum symfile_kind kind_beside(const struct symfile *s, enum symfile_kind kind)
{
	int since = s->abi->linker_signals;

	switch (kind) {
	case SYMFILE_END:
	case SYMFILE_INJECTED:
	case SYMFILE_SIGTRAMP:
		return since && s->src->minor >= since ? SYMFILE_PLAIN : kind;
	default:
		return kind;
	}
}

static enum symfile_kind kind_of(const struct symfile *s, const struct gc_pcfunc *f, const char *name)
{
	bool ends = f->flags & (GC_FUNC_TOP | GC_FUNC_SPWRITE) || !f->pcsp;

	for (size_t i = 0; f->pcsp && i < GC_COUNT(special); i++)
		if (strcmp(name, special[i].name) == 0)
			return special[i].kind == SYMFILE_VDSO && !s->offsets.m_vdso_pc ? SYMFILE_END
										      : special[i].kind;
	return ends ? SYMFILE_END : SYMFILE_PLAIN;
}

/** Sort key of by_unit: the unit, then the address. */
struct unit_key {
	uint32_t cu, index;
};

static int compare_units(const void *a, const void *b)
{
	const struct unit_key *x = a, *y = b;

	if (x->cu != y->cu)
		return x->cu < y->cu ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

static enum gc_code sort_units(struct symfile *s, struct gc_error *err)
{
	struct unit_key *keys = calloc(s->count + 1, sizeof(*keys));

	s->by_unit = calloc(s->count + 1, sizeof(*s->by_unit));
	if (!keys || !s->by_unit) {
		free(keys);
		return gc_fail_memory(err);
	}
	for (size_t i = 0; i < s->count; i++)
		keys[i] = (struct unit_key){ s->functions[i].f.cu, (uint32_t)i };
	qsort(keys, s->count, sizeof(*keys), compare_units);
	for (size_t i = 0; i < s->count; i++)
		s->by_unit[i] = keys[i].index;
	free(keys);
	return GC_OK;
}

/**
 * Until Go 1.20 a stack that was left goes on at the first instruction of
 * systemstack_switch, which never runs. Debuggers look for a return address
 * one byte before it.
 */
static void add_lead(struct symfile *s, struct symfile_function *function, const char *name)
{
	struct gc_pcfunc *before = s->count ? &s->functions[s->count - 1].f : NULL;
	uint8_t lead = s->abi->quantum;

	if (strcmp(name, "runtime.systemstack_switch") != 0 || !before || before->end != function->f.entry ||
	    before->end - before->entry <= lead)
		return;
	before->end -= lead;
	function->lead = lead;
}

/** DWARF wants functions that do not overlap, and so does whoever bounds the work. */
enum gc_code symfile_read_functions(struct symfile *s, struct gc_problems *problems, struct gc_error *err)
{
	uint32_t damaged = 0;
	uint64_t last = 0;

	s->functions = calloc((size_t)s->table->nfunc + 1, sizeof(*s->functions));
	if (!s->functions)
		return gc_fail_memory(err);
	for (uint32_t i = 0; i < s->table->nfunc; i++) {
		struct symfile_function *to = &s->functions[s->count];
		const char *name = NULL;

		if (gc_pclntab_func(s->table, i, &to->f))
			name = gc_pclntab_name(s->table, to->f.name);
		if (!name || to->f.entry < last || to->f.entry < s->bias || to->f.end - to->f.entry > UINT32_MAX) {
			damaged++;
			continue;
		}
		to->kind = kind_of(s, &to->f, name);
		if (!s->own_info)
			to->kind = kind_beside(s, to->kind);
		to->lead = 0;
		if (strcmp(name, SIGNAL_FUNCTION) == 0 && to->f.end - to->f.entry > 2 * s->abi->quantum)
			s->signal_pc = to->f.end - s->abi->quantum;
		s->landingpad |= strcmp(name, "runtime.asmcgocall_landingpad") == 0;
		add_lead(s, to, name);
		last = to->f.end;
		s->count++;
	}
	if (damaged)
		gc_problem(problems, "pclntab", "%u of %u functions are damaged or missing and left out", damaged,
			   s->table->nfunc);
	if (!s->count)
		return gc_fail(err, GC_E_NOT_FOUND, "the pclntab holds no functions");
	return sort_units(s, err);
}

enum gc_code symfile_spend(struct symfile *s, size_t rows, struct gc_error *err)
{
	if (rows > s->budget)
		return gc_fail(err, GC_E_LIMIT, "the pclntab is damaged: its tables do not end");
	s->budget -= rows;
	return GC_OK;
}

enum gc_code symfile_rows(struct symfile *s, const struct gc_pcfunc *f, uint32_t table, struct gc_pcrows *out,
			  struct gc_error *err)
{
	enum gc_code code = gc_pclntab_rows(s->table, f, table, out, err);

	if (code != GC_OK)
		return code;
	if (out->count && out->list[out->count - 1].end > f->end)
		out->list[out->count - 1].end = f->end;
	code = symfile_spend(s, out->count + 1, err);
	if (code != GC_OK)
		gc_pcrows_deinit(out);
	return code;
}

int32_t symfile_value(const struct gc_pcrows *rows, uint64_t pc)
{
	size_t low = 0, high = rows->count;

	while (low < high) { /* the first row that ends behind pc */
		size_t mid = low + (high - low) / 2;

		if (rows->list[mid].end <= pc)
			low = mid + 1;
		else
			high = mid;
	}
	return low < rows->count && rows->list[low].start <= pc ? rows->list[low].value : -1;
}

/** Make room for @number. @return false when out of memory */
static bool make_room(struct symfile_files *files, uint32_t number)
{
	size_t cap = files->numbers_cap ? files->numbers_cap : 256;
	uint32_t *numbers;

	while (cap <= number)
		cap *= 2;
	if (cap > files->numbers_cap) {
		numbers = realloc(files->numbers, cap * sizeof(*numbers));
		if (!numbers)
			return false;
		memset(numbers + files->numbers_cap, 0, (cap - files->numbers_cap) * sizeof(*numbers));
		files->numbers = numbers;
		files->numbers_cap = cap;
	}
	if (files->count == files->cap) {
		uint32_t more = files->cap ? 2 * files->cap : 64;
		uint32_t *used = realloc(files->used, more * sizeof(*used));
		const char **names;

		if (used)
			files->used = used;
		names = used ? realloc(files->names, more * sizeof(*names)) : NULL;
		if (!names)
			return false;
		files->names = names;
		files->cap = more;
	}
	return true;
}

uint32_t symfile_file(struct symfile *s, struct symfile_files *files, const struct gc_pcfunc *f, int32_t number)
{
	const char *name;

	if (number < 0 || (uint32_t)number >= MAX_FILE_NUMBER)
		return 0;
	if ((uint32_t)number < files->numbers_cap && files->numbers[number])
		return files->numbers[number];
	name = gc_pclntab_file(s->table, f, number);
	if (!name || !*name || !make_room(files, (uint32_t)number))
		return 0;
	files->used[files->count] = (uint32_t)number;
	files->names[files->count] = name;
	files->numbers[number] = ++files->count;
	return files->count;
}

void symfile_files_clear(struct symfile_files *files)
{
	for (uint32_t i = 0; i < files->count; i++)
		files->numbers[files->used[i]] = 0;
	files->count = 0;
}

void symfile_files_deinit(struct symfile_files *files)
{
	free(files->numbers);
	free(files->used);
	free(files->names);
	*files = (struct symfile_files){ .count = 0 };
}
