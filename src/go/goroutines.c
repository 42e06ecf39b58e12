#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"

#include "go/go_private.h"

#define STATUS_SCAN   0x1000   /* _Gscan */
#define READ_AHEAD    4096     /* pointers of allgs read at once */
#define NS_PER_MINUTE 60000000000LL

const char *gc_go_status_name(enum gc_go_status status)
{
	switch (status) {
	case GC_GO_IDLE:
		return "idle";
	case GC_GO_RUNNABLE:
		return "runnable";
	case GC_GO_RUNNING:
		return "running";
	case GC_GO_SYSCALL:
		return "syscall";
	case GC_GO_WAITING:
		return "waiting";
	case GC_GO_DEAD:
		return "dead";
	case GC_GO_COPYSTACK:
		return "copystack";
	case GC_GO_PREEMPTED:
		return "preempted";
	case GC_GO_LEAKED:
		return "leaked";
	case GC_GO_DEADEXTRA:
		return "dead";
	case GC_GO_UNKNOWN:
		break;
	}
	return "unknown";
}

/** A structure of @len bytes, in place if it lies in one piece. */
static const uint8_t *record(const struct gc_go *go, uint64_t addr, size_t len, uint8_t buf[GO_MAX_RECORD])
{
	const uint8_t *bytes = NULL;

	if (len > GO_MAX_RECORD)
		return NULL;
	if (gc_space_peek(&go->p->space, addr, &bytes) >= len && bytes)
		return bytes;
	return gc_space_read_all(&go->p->space, addr, buf, len, NULL) == GC_OK ? buf : NULL;
}

/** 0 if this version has no such field */
static uint64_t field(const uint8_t *bytes, uint16_t off)
{
	return off == NO_FIELD ? 0 : gc_load_le64(bytes + off);
}

uint32_t go_g_status(const struct go_layout *layout, const uint8_t *g)
{
	return gc_load_le32(g + layout->g.status) & ~(uint32_t)STATUS_SCAN;
}

/* Index by address */

static size_t hash(uint64_t addr, size_t size)
{
	return (size_t)(addr * 0x9e3779b97f4a7c15ULL >> 20) & (size - 1);
}

/** Slot of @addr, or the free one where it belongs. */
static uint32_t *find_slot(const struct gc_go *go, uint64_t addr)
{
	size_t i = hash(addr, go->index.size);

	while (go->index.slots[i] && go->list[go->index.slots[i] - 1].addr != addr)
		i = (i + 1) & (go->index.size - 1);
	return &go->index.slots[i];
}

const struct gc_goroutine *gc_go_goroutine_at(const struct gc_go *go, uint64_t addr)
{
	uint32_t *slot = addr && go->index.size ? find_slot(go, addr) : NULL;

	return slot && *slot ? &go->list[*slot - 1] : NULL;
}

const struct gc_goroutine *gc_go_goroutine_by_id(const struct gc_go *go, uint64_t goid)
{
	for (size_t i = 0; i < go->count; i++)
		if (go->list[i].goid == goid)
			return &go->list[i];
	return NULL;
}

/* Ms */

static void parse_m(struct gc_go *go, uint64_t addr, const uint8_t *bytes, struct gc_go_m *m)
{
	const struct go_layout *l = go->layout;

	*m = (struct gc_go_m){
		.addr = addr, .id = (int64_t)field(bytes, l->m.id), .tid = (gc_tid)field(bytes, l->m.procid),
		.g0 = gc_load_le64(bytes + M_G0), .gsignal = field(bytes, l->m.gsignal),
		.curg = field(bytes, l->m.curg), .vdso_sp = field(bytes, l->m.vdsosp),
		.vdso_pc = field(bytes, l->m.vdsopc), .in_cgo = bytes[l->m.incgo] == 1,
		.throwing = gc_load_le32(bytes + l->m.throwing) != 0,
		.dying = l->m.dying != NO_FIELD && gc_load_le32(bytes + l->m.dying) != 0,
	};
	go_word(go, m->g0 + G_STACK_LO, &m->g0_lo);
	go_word(go, m->g0 + G_STACK_HI, &m->g0_hi);
	if (m->gsignal) {
		go_word(go, m->gsignal + G_STACK_LO, &m->gsignal_lo);
		go_word(go, m->gsignal + G_STACK_HI, &m->gsignal_hi);
	}
}

/** allm begins with the newest; the list with m0. */
static void reverse_ms(struct gc_go *go)
{
	for (size_t i = 0; i < go->nms / 2; i++) {
		struct gc_go_m m = go->ms[i];

		go->ms[i] = go->ms[go->nms - 1 - i];
		go->ms[go->nms - 1 - i] = m;
	}
}

static bool has_m(const struct gc_go *go, uint64_t addr)
{
	for (size_t i = 0; i < go->nms; i++)
		if (go->ms[i].addr == addr)
			return true;
	return false;
}

/** @return false if the core does not have it */
static enum gc_code add_m(struct gc_go *go, uint64_t addr, uint64_t *next, struct gc_error *err)
{
	uint8_t buf[GO_MAX_RECORD];
	const uint8_t *bytes = record(go, addr, go->layout->m.size, buf);
	struct gc_go_m *list;

	*next = 0;
	if (!bytes) {
		gc_problem(go->problems, "Go runtime", "the list of its threads breaks off at 0x%" PRIx64, addr);
		go->torn_ms = true;
		return GC_OK;
	}
	if ((go->nms & (go->nms - 1)) == 0) { /* room for the next power of two */
		list = realloc(go->ms, (go->nms ? 2 * go->nms : 1) * sizeof(*list));
		if (!list)
			return gc_fail_memory(err);
		go->ms = list;
	}
	parse_m(go, addr, bytes, &go->ms[go->nms++]);
	*next = gc_load_le64(bytes + go->layout->m.alllink);
	return GC_OK;
}

/** Ms of threads that the list, which is damaged, does not lead to. */
static enum gc_code add_stray_ms(struct gc_go *go, struct gc_error *err)
{
	enum gc_code code = GC_OK;
	uint64_t unused;

	go_find_stray_ms(go);
	for (size_t i = 0; code == GC_OK && i < go->nstray_ms; i++)
		if (!has_m(go, go->stray_ms[i]))
			code = add_m(go, go->stray_ms[i], &unused, err);
	return code;
}

enum gc_code go_read_ms(struct gc_go *go, struct gc_error *err)
{
	uint64_t addr = go->allm;
	enum gc_code code = GC_OK;

	while (code == GC_OK && addr && go->nms < GC_MAX_MS) {
		code = add_m(go, addr, &addr, err);
		if (addr == go->allm)
			break;
	}
	reverse_ms(go);
	if (code == GC_OK && (!go->m0 || go->torn_ms || (go->allm == go->m0 && go->p->core.nthreads > 1)))
		code = add_stray_ms(go, err);
	return code;
}

const struct gc_go_m *gc_go_ms(const struct gc_go *go, size_t *count)
{
	*count = go->nms;
	return go->ms;
}

const struct gc_go_m *gc_go_m_of_thread(const struct gc_go *go, gc_tid tid)
{
	for (size_t i = 0; tid && i < go->nms; i++)
		if (go->ms[i].tid == tid)
			return &go->ms[i];
	return NULL;
}

/* Goroutines */

/** Addresses of Ms and their indexes, sorted: goroutines name theirs by address. */
struct m_addr {
	uint64_t addr;
	uint32_t index;   /* + 1 */
};

static int compare_m_addrs(const void *a, const void *b)
{
	const struct m_addr *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

struct reader {
	struct gc_go *go;
	struct m_addr *ms;
	uint64_t now;       /* latest time that the runtime noted, of CLOCK_MONOTONIC */
	uint64_t *since;    /* of each goroutine */
	size_t cap;
	size_t damaged, twice, unreadable, strays;
	size_t partly;
};

static uint32_t find_m(const struct reader *r, uint64_t addr)
{
	struct m_addr key = { .addr = addr }, *found;

	if (!addr || !r->go->nms)
		return 0;
	found = bsearch(&key, r->ms, r->go->nms, sizeof(*r->ms), compare_m_addrs);
	return found ? found->index : 0;
}

/** Its own M, or if it does not know that the M that runs it. */
static uint32_t m_of_g(const struct reader *r, uint64_t addr, uint64_t m, uint32_t status)
{
	uint32_t index = find_m(r, m);

	if (!index && m && (status == GC_GO_RUNNING || status == GC_GO_SYSCALL))
		for (size_t i = 0; i < r->go->nms && !index; i++)
			if (r->go->ms[i].curg == addr)
				index = (uint32_t)i + 1;
	return index;
}

static const char *reason_of(const struct gc_go *go, uint32_t status, uint8_t reason)
{
	if ((status != GC_GO_WAITING && status != GC_GO_LEAKED) || reason == 0 || reason >= go->nreasons)
		return NULL;
	return go->reasons[reason];
}

static void parse_g(struct reader *r, uint64_t addr, const uint8_t *g, unsigned signs, struct gc_goroutine *out)
{
	const struct go_layout *l = r->go->layout;
	uint32_t status = signs & GO_SIGN_STATUS ? go_g_status(l, g) : GC_GO_UNKNOWN;

	*out = (struct gc_goroutine){
		.addr = addr, .goid = gc_load_le64(g + l->g.goid),
		.stack_lo = gc_load_le64(g + G_STACK_LO), .stack_hi = gc_load_le64(g + G_STACK_HI),
		.sched_pc = gc_load_le64(g + l->g.sched + GOBUF_PC),
		.sched_sp = gc_load_le64(g + l->g.sched + GOBUF_SP),
		.sched_lr = field(g, l->g.sched_lr), .sched_fp = field(g, l->g.sched_fp),
		.syscall_pc = field(g, l->g.syscallpc), .syscall_sp = field(g, l->g.syscallsp),
		.syscall_fp = field(g, l->g.syscallbp),
		.start_pc = field(g, l->g.startpc), .go_pc = field(g, l->g.gopc), .parent = field(g, l->g.parent),
		.panics = gc_load_le64(g + l->g.panic), .labels = field(g, l->g.labels),
		.wait_reason = reason_of(r->go, status, g[l->g.waitreason]),
		.m = m_of_g(r, addr, gc_load_le64(g + l->g.m), status), .locked_m = find_m(r, field(g, l->g.lockedm)),
		.signal = gc_load_le32(g + l->g.sig), .sig_code = field(g, l->g.sigcode0),
		.sig_addr = field(g, l->g.sigcode1), .sig_pc = field(g, l->g.sigpc),
		.status = (uint8_t)status, .scanning = gc_load_le32(g + l->g.status) & STATUS_SCAN,
	};
}

/** It is shown, but some of it is wrong. A thread of C that calls Go may have no code of its own. */
static bool is_partly_damaged(const struct gc_go *go, const uint8_t *g, unsigned signs)
{
	const unsigned needed = GO_SIGN_STATUS | GO_SIGN_STACK | GO_SIGN_SP | GO_SIGN_SELF;

	return (signs & needed) != needed ||
	       (go_g_status(go->layout, g) == GC_GO_WAITING && g[go->layout->g.waitreason] >= go->nreasons);
}

static bool grow(struct reader *r)
{
	size_t cap = r->cap ? 2 * r->cap : 256;
	struct gc_goroutine *list = realloc(r->go->list, cap * sizeof(*list));
	uint64_t *since;

	if (!list)
		return false;
	r->go->list = list;
	since = realloc(r->since, cap * sizeof(*since));
	if (!since)
		return false;
	r->since = since;
	r->cap = cap;
	return true;
}

/** Keep half of the index free. @return false when out of memory */
static bool grow_index(struct gc_go *go)
{
	size_t size = go->index.size ? 2 * go->index.size : 1024;
	uint32_t *slots;

	if (2 * (go->count + 1) <= go->index.size)
		return true;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return false;
	free(go->index.slots);
	go->index.slots = slots;
	go->index.size = size;
	for (size_t i = 0; i < go->count; i++)
		*find_slot(go, go->list[i].addr) = (uint32_t)i + 1;
	return true;
}

static enum gc_code read_goroutine(struct reader *r, uint64_t addr, struct gc_error *err)
{
	struct gc_go *go = r->go;
	uint8_t buf[GO_MAX_RECORD];
	const uint8_t *g = record(go, addr, go->layout->g.size, buf);
	unsigned signs;
	uint64_t since;
	uint32_t *slot;

	if (!g) {
		r->unreadable++;
		return GC_OK;
	}
	signs = go_g_signs(go, go->layout, addr, g);
	if (go_is_hidden(go_g_status(go->layout, g))) {
		r->damaged += !(signs & (GO_SIGN_ID | GO_SIGN_SELF)); /* it never was one */
		return GC_OK;
	}
	if (!go_g_is_sound(signs)) {
		r->damaged++;
		return GC_OK;
	}
	if (!grow_index(go))
		return gc_fail_memory(err);
	slot = find_slot(go, addr);
	if (*slot) {
		r->twice++;
		return GC_OK;
	}
	if (go->count == r->cap && !grow(r))
		return gc_fail_memory(err);
	since = field(g, go->layout->g.waitsince);
	r->since[go->count] = since;
	if (since > r->now && since < INT64_MAX)
		r->now = since;
	r->partly += is_partly_damaged(go, g, signs);
	parse_g(r, addr, g, signs, &go->list[go->count++]);
	*slot = (uint32_t)go->count;
	return GC_OK;
}

static enum gc_code read_list(struct reader *r, struct gc_error *err)
{
	static const uint64_t chunk = READ_AHEAD;
	struct gc_go *go = r->go;
	uint64_t n = go->nallgs < GC_MAX_GOROUTINES ? go->nallgs : GC_MAX_GOROUTINES;
	uint8_t *pointers = malloc(chunk * 8);
	enum gc_code code = pointers ? GC_OK : gc_fail_memory(err);

	for (uint64_t i = 0; code == GC_OK && i < n; i += chunk) {
		size_t got = 0, want = (size_t)(n - i < chunk ? n - i : chunk);

		/* Each goroutine touches pages of its own: those of a million would fill the memory. */
		if (i)
			gc_input_forget(&go->p->core.input);
		if (gc_space_read(&go->p->space, go->allgs + 8 * i, pointers, 8 * want, &got, NULL) != GC_OK)
			got = 0;
		for (size_t k = 0; code == GC_OK && k < got / 8; k++)
			code = read_goroutine(r, gc_load_le64(pointers + 8 * k), err);
		r->unreadable += want - got / 8;
	}
	free(pointers);
	return code;
}

/** Those that the list should lead to, if it is damaged. */
static enum gc_code read_strays(struct reader *r, struct gc_error *err)
{
	const size_t damaged = r->damaged, unreadable = r->unreadable, twice = r->twice, before = r->go->count;
	enum gc_code code = GC_OK;

	if (r->go->sure_allgs && !unreadable && !twice)
		return GC_OK;
	go_find_strays(r->go);
	go_sort_strays(r->go);
	for (size_t i = 0; code == GC_OK && i < r->go->nstrays; i++)
		code = read_goroutine(r, r->go->strays[i].addr, err);
	r->strays = r->go->count - before;
	r->damaged = damaged;
	r->unreadable = unreadable;
	r->twice = twice;
	return code;
}

/** sysmon notes the time in each P that runs (runtime/proc.go, retake). */
static void look_at_ps(struct reader *r)
{
	struct gc_go *go = r->go;

	for (size_t i = 0; i < go->nms; i++) {
		uint64_t p, when;

		if (go_word(go, go->ms[i].addr + go->layout->m.p, &p) && p && go_word(go, p + P_SCHEDWHEN, &when) &&
		    when > r->now && when < INT64_MAX)
			r->now = when;
	}
}

/** As goroutineheader of runtime/traceback.go, but for the time, which is the latest that is known. */
static void set_minutes(struct reader *r)
{
	for (size_t i = 0; i < r->go->count; i++) {
		struct gc_goroutine *g = &r->go->list[i];
		uint64_t since = r->since[i];

		if ((g->status == GC_GO_WAITING || g->status == GC_GO_SYSCALL) && since && since < r->now)
			g->wait_minutes = (uint32_t)((r->now - since) / NS_PER_MINUTE);
	}
}

static int compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/** How many have the number of another one, which the runtime never gives twice. */
static size_t count_equal(const struct gc_go *go)
{
	uint64_t *ids = malloc(go->count * sizeof(*ids) + 1);
	size_t equal = 0;

	for (size_t i = 0; ids && i < go->count; i++)
		ids[i] = go->list[i].goid;
	if (ids)
		qsort(ids, go->count, sizeof(*ids), compare_ids);
	for (size_t i = 1; ids && i < go->count; i++)
		equal += ids[i] == ids[i - 1];
	free(ids);
	return equal;
}

static void report(const struct reader *r)
{
	const struct gc_go *go = r->go;
	const size_t equal = count_equal(go);

	if (go->nallgs > GC_MAX_GOROUTINES)
		gc_problem(go->problems, "goroutines", "%" PRIu64 " of them; the first %u are read", go->nallgs,
			   GC_MAX_GOROUTINES);
	if (r->unreadable)
		gc_problem(go->problems, "goroutines", "%zu of %" PRIu64 " in the runtime's list are not in the "
			   "core", r->unreadable, go->nallgs);
	if (r->damaged + r->twice)
		gc_problem(go->problems, "goroutines", "%zu of %" PRIu64 " in the runtime's list are damaged",
			   r->damaged + r->twice, go->nallgs);
	if (r->partly)
		gc_problem(go->problems, "goroutines", "%zu of %zu are shown though they are partly damaged", r->partly,
			   go->count);
	if (equal)
		gc_problem(go->problems, "goroutines", "%zu of %zu have a number that another one has, too", equal,
			   go->count);
	if (r->strays)
		gc_problem(go->problems, "goroutines", "%zu that the runtime's list does not lead to were found in "
			   "memory", r->strays);
}

enum gc_code go_read_goroutines(struct gc_go *go, struct gc_error *err)
{
	struct reader r = { .go = go };
	enum gc_code code;

	r.ms = calloc(go->nms + 1, sizeof(*r.ms));
	if (!r.ms)
		return gc_fail_memory(err);
	for (size_t i = 0; i < go->nms; i++)
		r.ms[i] = (struct m_addr){ go->ms[i].addr, (uint32_t)i + 1 };
	qsort(r.ms, go->nms, sizeof(*r.ms), compare_m_addrs);
	code = read_list(&r, err);
	if (code == GC_OK)
		code = read_strays(&r, err);
	if (code == GC_OK) {
		look_at_ps(&r);
		set_minutes(&r);
		report(&r);
	}
	free(r.ms);
	free(r.since);
	return code;
}

const struct gc_goroutine *gc_go_goroutines(const struct gc_go *go, size_t *count)
{
	*count = go->count;
	return go->list;
}

gc_tid gc_go_tid(const struct gc_go *go, const struct gc_goroutine *g)
{
	const struct gc_go_m *m = g->m ? &go->ms[g->m - 1] : NULL;

	return m && m->curg == g->addr ? m->tid : 0;
}

gc_tid gc_go_locked_tid(const struct gc_go *go, const struct gc_goroutine *g)
{
	return g->locked_m ? go->ms[g->locked_m - 1].tid : 0;
}

void gc_go_describe(const struct gc_go *go, const struct gc_goroutine *g, struct gc_buf *out)
{
	(void)go;
	gc_buf_str(out, g->wait_reason ? g->wait_reason : gc_go_status_name(g->status));
	if (g->status == GC_GO_LEAKED && g->wait_reason)
		gc_buf_str(out, " (leaked)");
	if (g->scanning)
		gc_buf_str(out, " (scan)");
	if (g->wait_minutes)
		gc_buf_printf(out, ", %" PRIu32 " minutes", g->wait_minutes);
	if (g->locked_m)
		gc_buf_str(out, ", locked to thread");
}
