#include <stdlib.h>
#include <string.h>

#include "go/go_private.h"

#define FREE_KEY    UINT64_MAX
#define MAX_PC      (UINT64_MAX / 4)  /* above is no user space; keys have room for a flag */
#define MAX_CACHED  (1U << 18)  /* then the cache starts anew */
#define MAX_LINES   64          /* calls inlined into each other that are shown */

/* Functions that unwinding treats in their own way; matched by name, since funcIDs were renumbered. */
static const struct {
	const char *name;
	enum go_kind kind;
} special[] = {
	{ "runtime.sigtramp", GO_KIND_SIGTRAMP },
	{ "runtime.systemstack", GO_KIND_SYSTEMSTACK },
	{ "runtime.morestack", GO_KIND_MORESTACK },
	{ "runtime.mcall", GO_KIND_MCALL },
	{ "runtime.asmcgocall", GO_KIND_ASMCGOCALL },
	{ "runtime.cgocallback", GO_KIND_CGOCALLBACK },
	{ "crosscall2", GO_KIND_CROSSCALL },
	{ "runtime.sigpanic", GO_KIND_SIGPANIC },
	{ "runtime.asyncPreempt", GO_KIND_PREEMPT },
	{ "runtime.debugCallV2", GO_KIND_PREEMPT },
	{ "runtime.nanotime1", GO_KIND_VDSO },
	{ "runtime.walltime", GO_KIND_VDSO },
	{ "time.now", GO_KIND_VDSO },
	{ "runtime.vgetrandom1", GO_KIND_VDSO },
};

static enum go_kind kind_of(const char *name)
{
	for (size_t i = 0; name && i < GC_COUNT(special); i++)
		if (strcmp(name, special[i].name) == 0)
			return special[i].kind;
	return GO_KIND_PLAIN;
}

static struct gc_go_moduledata *module_at(const struct gc_go *go, uint64_t pc)
{
	for (size_t i = 0; i < go->modules.count; i++) {
		struct gc_go_moduledata *m = &go->modules.list[i];

		if (pc >= m->minpc && pc < m->maxpc)
			return m->has_table ? m : NULL;
	}
	return NULL;
}

bool gc_go_is_text(const struct gc_go *go, uint64_t pc)
{
	return module_at(go, pc) != NULL;
}

static struct go_pc *find_slot(const struct go_pcs *pcs, uint64_t key)
{
	size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 30) & (pcs->size - 1);

	while (pcs->slots[i].key != key && pcs->slots[i].key != FREE_KEY)
		i = (i + 1) & (pcs->size - 1);
	return &pcs->slots[i];
}

/** Keep half of the slots free. @return false when out of memory */
static bool make_room(struct go_pcs *pcs)
{
	struct go_pcs bigger = { .size = pcs->size ? 2 * pcs->size : 1024 };

	if (2 * (pcs->count + 1) <= pcs->size)
		return true;
	if (pcs->count >= MAX_CACHED) {
		for (size_t i = 0; i < pcs->size; i++)
			pcs->slots[i].key = FREE_KEY;
		pcs->count = pcs->nlines = 0;
		return true;
	}
	bigger.slots = malloc(bigger.size * sizeof(*bigger.slots));
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < bigger.size; i++)
		bigger.slots[i].key = FREE_KEY;
	for (size_t i = 0; i < pcs->size; i++)
		if (pcs->slots[i].key != FREE_KEY)
			*find_slot(&bigger, pcs->slots[i].key) = pcs->slots[i];
	free(pcs->slots);
	pcs->slots = bigger.slots;
	pcs->size = bigger.size;
	return true;
}

/** Append the calls that a pc is in. @return false when out of memory */
static bool add_lines(struct gc_go *go, struct gc_pclntab *t, const struct gc_pcline *from, size_t n)
{
	struct go_pcs *pcs = &go->pcs;

	if (pcs->nlines + n > pcs->lines_cap) {
		size_t cap = pcs->lines_cap ? 2 * pcs->lines_cap : 2048;
		struct go_line *lines = realloc(pcs->lines, cap * sizeof(*lines));

		if (!lines)
			return false;
		pcs->lines = lines;
		pcs->lines_cap = cap;
	}
	for (size_t i = 0; i < n; i++)
		pcs->lines[pcs->nlines++] = (struct go_line){
			.function = gc_pclntab_print_name(t, from[i].name), .file = from[i].file,
			.line = from[i].line, .inlined = from[i].inlined,
			.wrapper = from[i].id == go->layout->wrapper,
		};
	return true;
}

/** The trees of inlined calls lie apart from the rest, and may be where a core holds nothing. */
static void tell_of_inlines(struct gc_go *go, const struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc)
{
	if (go->pcs.told || gc_pclntab_value(t, f, f->inlines, pc) < 0)
		return;
	go->pcs.told = true;
	gc_problem(go->problems, "inlined calls",
		   "the core does not hold which functions were inlined, so stacks lack those, and where one was "
		   "the file and line shown for its caller are its own: give the program");
}

const struct go_pc *go_pc_lookup(struct gc_go *go, uint64_t pc, bool exact)
{
	struct gc_go_moduledata *m;
	uint64_t key = pc * 2 + exact, inside;
	struct gc_pcline lines[MAX_LINES];
	struct go_pc *slot;
	struct gc_pcfunc f;
	size_t n;

	if (pc > MAX_PC)
		return NULL;
	if (go->pcs.size) {
		slot = find_slot(&go->pcs, key);
		if (slot->key == key)
			return slot;
	}
	m = module_at(go, pc);
	if (!m || !gc_pclntab_find(&m->table, pc, &f) || !make_room(&go->pcs))
		return NULL;
	/* The return address of a call that ends its function is the next one's entry: it is not taken back
	 * then, as the runtime does not (symPC of runtime/traceback.go). */
	inside = exact || pc == f.entry ? pc : pc - 1;
	n = gc_pclntab_lines(&m->table, &f, inside, lines, MAX_LINES);
	if (n == 1)
		tell_of_inlines(go, &m->table, &f, inside);
	slot = find_slot(&go->pcs, key);
	if (!add_lines(go, &m->table, lines, n))
		return NULL;
	*slot = (struct go_pc){
		.key = key, .entry = f.entry, .delta = gc_pclntab_value(&m->table, &f, f.pcsp, pc),
		.first = (uint32_t)(go->pcs.nlines - n), .count = (uint32_t)n, .flags = f.flags,
		.kind = (uint8_t)kind_of(gc_pclntab_name(&m->table, f.name)),
	};
	go->pcs.count++;
	return slot;
}

void go_pcs_deinit(struct go_pcs *pcs)
{
	free(pcs->slots);
	free(pcs->lines);
	*pcs = (struct go_pcs){ .slots = NULL };
}
