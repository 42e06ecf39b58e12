/* What is shown: the OS threads in the core's order, then the goroutines that are on none of them. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "target/go_threads.h"

/* OS threads */

static uint32_t m_index(struct go_target *t, const struct gc_go_m *m)
{
	size_t count;

	return m ? (uint32_t)(m - gc_go_ms(t->go, &count)) + 1 : 0;
}

static enum go_place place_of(struct go_target *t, const struct gc_go_m *m, const struct gc_goroutine *g,
			      const struct gc_regs *regs)
{
	uint64_t pc, sp;

	if (go_regs_on_stack(g, regs))
		return GO_PLACE_ON;
	if (!gc_regs_u64(regs, regs->map->arch->pc, &pc) || !gc_regs_u64(regs, regs->map->arch->sp, &sp))
		return GO_PLACE_SYSTEM;
	if (m->gsignal && sp >= m->gsignal_lo && sp < m->gsignal_hi)
		return GO_PLACE_SIGNAL;
	return gc_go_is_text(t->go, pc) ? GO_PLACE_SYSTEM : GO_PLACE_C;
}

static void look_at_thread(struct go_target *t, struct go_os_thread *os)
{
	const struct gc_go_m *m = gc_go_m_of_thread(t->go, os->tid);
	const struct gc_goroutine *g = m ? gc_go_goroutine_at(t->go, m->curg) : NULL;
	struct gc_regs regs;

	os->m = m_index(t, m);
	os->place = m ? GO_PLACE_IDLE : GO_PLACE_FOREIGN;
	if (!g || gc_go_tid(t->go, g) != os->tid ||
	    t->inner->ops->read_regs(t->inner, os->tid, &regs, NULL) != GC_OK)
		return;
	os->g = (uint32_t)(g - t->goroutines) + 1;
	os->place = place_of(t, m, g, &regs);
	gc_regs_deinit(&regs);
}

static int compare_os(const void *a, const void *b)
{
	const struct go_os_thread *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

static bool build_os(struct go_target *t, const struct gc_tids *tids)
{
	t->os = calloc(tids->count + 1, sizeof(*t->os));
	if (!t->os)
		return false;
	for (size_t i = 0; i < tids->count; i++) {
		t->os[i].tid = tids->list[i];
		look_at_thread(t, &t->os[i]);
	}
	t->nos = tids->count;
	qsort(t->os, t->nos, sizeof(*t->os), compare_os);
	return true;
}

const struct go_os_thread *go_threads_os(struct go_target *t, gc_tid tid)
{
	struct go_os_thread key = { .tid = tid };

	go_threads_build(t);
	return t->nos ? bsearch(&key, t->os, t->nos, sizeof(*t->os), compare_os) : NULL;
}

const struct go_os_thread *go_threads_running(struct go_target *t, const struct gc_goroutine *g)
{
	gc_tid tid = gc_go_tid(t->go, g);
	const struct go_os_thread *os = tid ? go_threads_os(t, tid) : NULL;

	return os && os->g == (uint32_t)(g - t->goroutines) + 1 ? os : NULL;
}

/* Goroutines by id */

static int compare_goids(const void *a, const void *b)
{
	const struct by_goid *x = a, *y = b;

	return x->goid < y->goid ? -1 : x->goid > y->goid;
}

const struct gc_goroutine *go_threads_goroutine(struct go_target *t, gc_tid id)
{
	struct by_goid key = { .goid = (uint64_t)(id - GC_GO_TID_BASE) };
	const struct by_goid *found;

	if (id <= GC_GO_TID_BASE || !t->nby_goid)
		return NULL;
	found = bsearch(&key, t->by_goid, t->nby_goid, sizeof(*t->by_goid), compare_goids);
	return found ? &t->goroutines[found->g] : NULL;
}

const struct go_group *go_threads_group(struct go_target *t, const struct gc_goroutine *g)
{
	size_t low = 0, high;

	go_threads_build(t);
	/* by goid, but for the first, which may be the one that crashed */
	if (t->count && &t->goroutines[t->list[0].g] == g)
		return &t->list[0];
	for (low = t->count ? 1 : 0, high = t->count; low < high;) {
		size_t middle = low + (high - low) / 2;
		const struct gc_goroutine *at = &t->goroutines[t->list[middle].g];

		if (at == g)
			return &t->list[middle];
		if (at->goid < g->goid)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The list */

static struct go_group alone(const struct go_target *t, uint32_t g)
{
	uint32_t minutes = t->goroutines[g].wait_minutes;

	return (struct go_group){ .g = g, .count = 1, .min_minutes = minutes, .max_minutes = minutes };
}

/** Is it a thread of its own, with nothing to be joined to? */
static bool is_own_thread(struct go_target *t, const struct gc_goroutine *g)
{
	const struct go_os_thread *os = go_threads_running(t, g);

	return os && (t->options.only_goroutines || os->place != GO_PLACE_ON);
}

static void add_goroutine(struct go_target *t, const struct go_group *group)
{
	const struct gc_goroutine *g = &t->goroutines[group->g];

	if (!t->inner->ops->has_thread(t->inner, go_id_of(g))) /* a damaged core may say so */
		t->list[t->count++] = *group;
}

/** Goroutines that run, apart from those that are shown as their OS threads. */
static void add_running(struct go_target *t)
{
	for (size_t i = 0; i < t->nby_goid; i++) {
		const struct gc_goroutine *g = &t->goroutines[t->by_goid[i].g];
		struct go_group group = alone(t, t->by_goid[i].g);

		if (is_own_thread(t, g))
			add_goroutine(t, &group);
	}
}

static void add_parked(struct go_target *t)
{
	for (size_t i = 0; i < t->nby_goid; i++) {
		struct go_group group = alone(t, t->by_goid[i].g);

		if (!go_threads_running(t, &t->goroutines[group.g]))
			add_goroutine(t, &group);
	}
}

/** In the list of problems, once for each client. */
static void say_joined(struct go_target *t, const struct go_groups_head *head, size_t ngroups)
{
	if (!head->by_state)
		return;
	gc_problem(&t->problems, "threads",
		   "there are too many different stacks for a thread each: goroutines in the same "
		   "state with the same go statement are one thread (monitor goroutines lists them all)");
	if (head->left_out)
		gc_problem(&t->problems, "threads", "%" PRIu32 " goroutines are no threads: there are %zu already "
			   "(monitor goroutines lists them all)", head->left_out, ngroups);
}

/** @return false if they could not be made, or another process made nonsense of them */
static bool add_groups(struct go_target *t)
{
	struct go_groups_head head;
	const struct go_group *groups;
	const uint8_t *bytes;
	uint64_t len;
	size_t n;

	if (gc_shared_get(t->groups, go_groups_make, t, &bytes, &len, NULL) != GC_OK)
		return false;
	if (len < sizeof(head))
		return false;
	memcpy(&head, bytes, sizeof(head));
	groups = (const struct go_group *)(bytes + sizeof(head));
	n = (len - sizeof(head)) / sizeof(*groups);
	if (n > t->nby_goid)
		return false;
	for (size_t i = 0; i < n; i++)
		if (groups[i].g >= t->ngoroutines ||
		    (i && t->goroutines[groups[i].g].goid <= t->goroutines[groups[i - 1].g].goid))
			return false;
	for (size_t i = 0; i < n; i++)
		add_goroutine(t, &groups[i]);
	say_joined(t, &head, n);
	return true;
}

static int compare_groups(const void *a, const void *b, void *data)
{
	const struct go_group *x = a, *y = b;
	const struct gc_goroutine *list = data;

	return list[x->g].goid < list[y->g].goid ? -1 : list[x->g].goid > list[y->g].goid;
}

/** Move the goroutine of the thread that crashed to the front. */
static void put_crashed_first(struct go_target *t, gc_tid crashed)
{
	const struct go_os_thread *os = go_threads_os(t, crashed);

	for (size_t i = 1; os && os->g && i < t->count; i++) {
		struct go_group group = t->list[i];

		if (group.g != os->g - 1)
			continue;
		memmove(&t->list[1], &t->list[0], i * sizeof(*t->list));
		t->list[0] = group;
		return;
	}
}

static bool build_list(struct go_target *t, gc_tid crashed)
{
	t->list = calloc(t->nby_goid + 1, sizeof(*t->list));
	if (!t->list)
		return false;
	add_running(t);
	if (!t->groups || !add_groups(t))
		add_parked(t);
	qsort_r(t->list, t->count, sizeof(*t->list), compare_groups, (void *)t->goroutines);
	if (t->options.only_goroutines)
		put_crashed_first(t, crashed);
	return true;
}

/** With goroutines alone, is this OS thread there because it crashed and runs none? */
static bool is_shown(struct go_target *t, const struct gc_tids *tids, size_t i)
{
	const struct go_os_thread *os = go_threads_os(t, tids->list[i]);

	return !t->options.only_goroutines || (i == 0 && os && !os->g);
}

static bool build_tids(struct go_target *t, const struct gc_tids *tids)
{
	t->tids.list = calloc(tids->count + t->count + 1, sizeof(*t->tids.list));
	if (!t->tids.list)
		return false;
	for (size_t i = 0; i < tids->count; i++)
		if (is_shown(t, tids, i))
			t->tids.list[t->tids.count++] = tids->list[i];
	for (size_t i = 0; i < t->count; i++)
		t->tids.list[t->tids.count++] = go_id_of(&t->goroutines[t->list[i].g]);
	return true;
}

void go_threads_build(struct go_target *t)
{
	const struct gc_tids *tids = t->inner->ops->threads(t->inner);

	if (t->built)
		return;
	t->built = true;
	if (build_os(t, tids) && build_list(t, tids->count ? tids->list[0] : 0) && build_tids(t, tids))
		return;
	t->count = t->tids.count = 0;
}
