/*
 * Goroutines that the runtime's list does not lead to, because it is damaged:
 * found where they lie. Each g that ever ran points at itself (g.sched.g), which
 * no copy of it does.
 */
#include <stdlib.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_STRAYS (1U << 20)
#define MAX_TID    (1U << 22)   /* PID_MAX_LIMIT of include/linux/threads.h */
#define ALL_SIGNS  (GO_SIGN_STATUS | GO_SIGN_ID | GO_SIGN_STACK | GO_SIGN_SELF | GO_SIGN_SP)

static bool add_stray(struct gc_go *go, uint64_t addr)
{
	if (go->nstrays == go->strays_cap) {
		size_t cap = go->strays_cap ? 2 * go->strays_cap : 64;
		struct go_stray *list = realloc(go->strays, cap * sizeof(*list));

		if (!list)
			return false;
		go->strays = list;
		go->strays_cap = cap;
	}
	go->strays[go->nstrays++] = (struct go_stray){ .addr = addr };
	return go->nstrays < MAX_STRAYS;
}

static bool visit_stray(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct gc_go *go = data;

	if (gc_load_le64(bytes + go->layout->g.sched + GOBUF_G) != addr || !go_g_has_stack(bytes))
		return true;
	return add_stray(go, addr);
}

static bool may_hold(const struct gc_range *r)
{
	return gc_range_served(r) && r->bytes && r->flags & PF_W && !(r->flags & PF_X);
}

/** All that the process could write. */
static void scan_memory(struct gc_go *go, bool (*visit)(void *, uint64_t, const uint8_t *))
{
	const struct gc_space *space = &go->p->space;

	for (size_t i = 0; i < space->count; i++) {
		struct go_scan scan = {
			.mem = { go_read_space, (void *)space }, .at = space->ranges[i].start,
			.budget = &go->budget, .ahead = GO_MAX_G, .visit = visit, .data = go,
		};

		if (!may_hold(&space->ranges[i]))
			continue;
		while (i + 1 < space->count && space->ranges[i + 1].start == space->ranges[i].end &&
		       may_hold(&space->ranges[i + 1]))
			i++;
		scan.end = space->ranges[i].end;
		go_scan_run(&scan);
		gc_input_forget(&go->p->core.input);
		if (scan.stopped)
			return;
	}
}

void go_find_strays(struct gc_go *go)
{
	if (!go->sought_strays)
		scan_memory(go, visit_stray);
	go->sought_strays = true;
}

static bool visit_stray_m(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct gc_go *go = data;
	uint64_t g0 = gc_load_le64(bytes + M_G0), tid = gc_load_le64(bytes + go->layout->m.procid), *list;

	if (!g0 || g0 % 8 || !tid || tid > MAX_TID || !go_has_thread(go, tid) || !go_is_m(go, addr))
		return true;
	list = realloc(go->stray_ms, (go->nstray_ms + 1) * sizeof(*list));
	if (!list)
		return false;
	go->stray_ms = list;
	list[go->nstray_ms++] = addr;
	return go->nstray_ms < go->p->core.nthreads;
}

void go_find_stray_ms(struct gc_go *go)
{
	scan_memory(go, visit_stray_m);
}

static int by_goid(const void *a, const void *b)
{
	const struct go_stray *x = a, *y = b;

	if (x->goid != y->goid)
		return x->goid < y->goid ? -1 : 1;
	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/** Goroutines are numbered as they are made. */
void go_sort_strays(struct gc_go *go)
{
	const struct go_layout *l = go->layout;
	uint8_t g[GO_MAX_RECORD];
	size_t n = 0;

	for (size_t i = 0; i < go->nstrays; i++) {
		uint64_t addr = go->strays[i].addr;

		if (gc_space_read_all(&go->p->space, addr, g, l->g.size, NULL) != GC_OK ||
		    (go_g_signs(go, l, addr, g) & ALL_SIGNS) != ALL_SIGNS)
			continue;
		go->strays[n++] = (struct go_stray){ addr, gc_load_le64(g + l->g.goid) };
	}
	go->nstrays = n;
	if (n)
		qsort(go->strays, n, sizeof(*go->strays), by_goid);
}
