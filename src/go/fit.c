/*
 * Which layout fits a runtime whose version is newer than the tables, unknown,
 * or contradicted by what is there. Moduledata, g and m changed in different
 * versions, so each is chosen by itself: the newest whose invariants hold.
 */
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define SAMPLE        64            /* goroutines, Ms or functions looked at */
#define SAMPLE_TRIED  4096          /* functions passed over to find so many with inlined calls */
#define MAX_GOID      ((uint64_t)1 << 48)
#define MAX_TYPES     ((uint64_t)4 << 30)
#define MAX_REASON    64
#define MAX_FUNC_ID   64

/* At least three of four. */
static bool most(size_t good, size_t all)
{
	return all && 4 * good >= 3 * all;
}

/** More than has to hold of a single goroutine, which may be damaged, or a thread's of C. */
static bool g_fits(const struct gc_go *go, const struct go_layout *l, uint64_t addr, const uint8_t *g)
{
	const unsigned signs = GO_SIGN_STATUS | GO_SIGN_ID | GO_SIGN_STACK | GO_SIGN_SP;
	uint64_t lo = gc_load_le64(g + G_STACK_LO), hi = gc_load_le64(g + G_STACK_HI);
	uint64_t syscallsp = gc_load_le64(g + l->g.syscallsp), syscallpc = gc_load_le64(g + l->g.syscallpc);
	uint64_t lr = gc_load_le64(g + l->g.sched_lr);

	if ((go_g_signs(go, l, addr, g) & signs) != signs || (lr && !go_in_text(go, lr)))
		return false;
	if ((syscallsp || syscallpc) && (syscallsp < lo || syscallsp > hi || !go_in_text(go, syscallpc)))
		return false;
	if (l->g.parent != NO_FIELD && gc_load_le64(g + l->g.parent) >= MAX_GOID)
		return false;
	return go_in_text(go, gc_load_le64(g + l->g.gopc)) && go_in_text(go, gc_load_le64(g + l->g.startpc)) &&
	       (go_g_status(l, g) != GC_GO_WAITING || g[l->g.waitreason] < MAX_REASON);
}

/** The goroutines that are known, whether the runtime lists them or not. */
static bool known_g(struct gc_go *go, uint64_t index, uint64_t *out)
{
	if (index < go->nallgs)
		return go_word(go, go->allgs + 8 * index, out);
	*out = go->strays[index - go->nallgs].addr;
	return true;
}

static uint64_t count_known(const struct gc_go *go, uint64_t max)
{
	uint64_t n = go->nallgs < max ? go->nallgs : max;

	return go->nallgs >= max ? max : n + (go->nstrays < max - n ? go->nstrays : max - n);
}

bool go_layout_fits(struct gc_go *go, const struct go_layout *layout, size_t *sample)
{
	uint64_t n = count_known(go, SAMPLE_TRIED), addr, last = 0;
	size_t good = 0, known = 0;
	uint8_t g[GO_MAX_RECORD];

	for (uint64_t i = 0; i < n && known < SAMPLE; i++) {
		if (!known_g(go, i, &addr) ||
		    gc_space_read_all(&go->p->space, addr, g, layout->g.size, NULL) != GC_OK ||
		    go_is_hidden(go_g_status(layout, g))) /* which a zero elsewhere would seem too */
			continue;
		known++;
		good += g_fits(go, layout, addr, g) && gc_load_le64(g + layout->g.goid) != last;
		last = gc_load_le64(g + layout->g.goid);
	}
	if (sample)
		*sample = known;
	return most(good, known);
}

bool go_has_thread(const struct gc_go *go, uint64_t tid)
{
	for (size_t i = 0; i < go->p->core.nthreads; i++)
		if (go->p->core.threads[i].tid == (gc_tid)tid)
			return true;
	return false;
}

/** Is the word at @addr + @off 0, or a g whose m is @m? */
static bool owns_g(struct gc_go *go, uint64_t m, uint16_t off, bool may_be_zero)
{
	uint64_t g, back;

	if (!go_word(go, m + off, &g))
		return false;
	return g ? go_word(go, g + go->layout->g.m, &back) && back == m : may_be_zero;
}

/** An M that has a thread. */
static bool m_fits(struct gc_go *go, const struct go_layout *l, uint64_t m, uint64_t tid)
{
	uint64_t id;

	return owns_g(go, m, l->m.curg, true) && owns_g(go, m, l->m.gsignal, false) &&
	       go_word(go, m + l->m.id, &id) && id < GC_MAX_MS &&
	       (!go->p->core.nthreads || go_has_thread(go, tid));
}

/** How many of the Ms from go->allm on fit; 0 if most do not. */
static size_t fitting_ms(struct gc_go *go, const struct go_layout *l)
{
	size_t good = 0, known = 0;
	uint64_t m = go->allm, tid;

	for (size_t i = 0; m && i < SAMPLE; i++) {
		if (go_word(go, m + l->m.procid, &tid) && tid) { /* one for callbacks from C has none */
			known++;
			good += m_fits(go, l, m, tid);
		}
		if (!go_word(go, m + l->m.alllink, &m))
			break;
	}
	return most(good, known) ? good : 0;
}

/** Does the first element of a function's inline tree look like a call? */
static bool tree_is_sound(const struct gc_pclntab *t, const struct gc_pcfunc *f)
{
	struct gc_inlined_call call;
	const char *name;

	if (!gc_pclntab_inlined(t, f, 0, &call) || call.id > MAX_FUNC_ID || call.parent_pc < f->entry ||
	    call.parent_pc >= f->end)
		return false;
	name = gc_pclntab_name(t, call.name);
	return name && strchr(name, '.');
}

/** Are there inline trees where this layout says that they begin? */
static bool gofunc_fits(struct gc_go_moduledata *m, uint64_t gofunc)
{
	struct gc_pclntab t = m->table;
	size_t good = 0, known = 0;
	struct gc_pcfunc f;

	t.src.gofunc = gofunc;
	for (uint32_t i = 0; i < t.nfunc && i < SAMPLE_TRIED && known < SAMPLE; i++) {
		if (!gc_pclntab_func(&t, i, &f) || !f.tree || !f.inlines)
			continue;
		known++;
		good += tree_is_sound(&t, &f);
	}
	return most(good, known);
}

static void set_offsets(struct gc_go_moduledata *m, const struct go_layout *l, const uint8_t *md)
{
	m->types = gc_load_le64(md + l->md.types);
	m->etypes = gc_load_le64(md + l->md.etypes);
	m->gofunc = gc_load_le64(md + l->md.gofunc);
	m->table.src.gofunc = m->gofunc;
}

static bool md_fits(struct gc_go_moduledata *m, const struct go_layout *l, const uint8_t *md)
{
	uint64_t types = gc_load_le64(md + l->md.types), etypes = gc_load_le64(md + l->md.etypes);

	return types < etypes && etypes - types < MAX_TYPES && gofunc_fits(m, gc_load_le64(md + l->md.gofunc));
}

static const struct go_layout *fit_md(struct gc_go *go)
{
	struct gc_go_moduledata *m = NULL;
	uint8_t md[MD_SIZE];

	for (size_t i = 0; !m && i < go->modules.count; i++)
		if (go->modules.list[i].has_table)
			m = &go->modules.list[i];
	if (!m || gc_space_read_all(&go->p->space, m->addr, md, sizeof(md), NULL) != GC_OK)
		return NULL;
	for (size_t i = go_nlayouts; i-- > 0;)
		if (md_fits(m, &go_layouts[i], md))
			return &go_layouts[i];
	return NULL;
}

static void apply_md(struct gc_go *go)
{
	uint8_t md[MD_SIZE];

	for (size_t i = 0; i < go->modules.count; i++)
		if (gc_space_read_all(&go->p->space, go->modules.list[i].addr, md, sizeof(md), NULL) == GC_OK)
			set_offsets(&go->modules.list[i], &go->own, md);
}

static const struct go_layout *fit_g(struct gc_go *go)
{
	for (size_t i = go_nlayouts; i-- > 0;)
		if (go_layout_fits(go, &go_layouts[i], NULL))
			return &go_layouts[i];
	return NULL;
}

/** The one that finds most, for a wrong one can seem to end the list early. */
static const struct go_layout *fit_m(struct gc_go *go)
{
	const struct go_layout *best = NULL;
	size_t most_ms = 0, n;

	for (size_t i = go_nlayouts; i-- > 0;) {
		go->own.m = go_layouts[i].m;
		go_find_allm(go);
		n = fitting_ms(go, &go_layouts[i]);
		if (n > most_ms) {
			most_ms = n;
			best = &go_layouts[i];
		}
	}
	return best;
}

/** Is there a value, whose type is one of the program's, where this layout says that a panic has it? */
static bool panic_fits(struct gc_go *go, const struct go_layout *l, uint64_t panic)
{
	uint64_t type, link;

	if (!go_word(go, panic + l->panic.arg, &type) || !go_word(go, panic + l->panic.link, &link))
		return false;
	for (size_t i = 0; i < go->modules.count; i++)
		if (type >= go->modules.list[i].types && type < go->modules.list[i].etypes)
			return link == 0 || go_word(go, link, &link);
	return false;
}

/** By the first goroutine that panics. */
static const struct go_layout *fit_panic(struct gc_go *go)
{
	uint64_t n = count_known(go, GC_MAX_GOROUTINES), g, panic;

	for (uint64_t k = 0; k < n; k++) {
		if (!known_g(go, k, &g) || !go_word(go, g + go->layout->g.panic, &panic) || !panic)
			continue;
		for (size_t i = go_nlayouts; i-- > 0;)
			if (panic_fits(go, &go_layouts[i], panic))
				return &go_layouts[i];
	}
	return NULL;
}

uint8_t go_wrapper_id(const struct gc_go *go)
{
	for (size_t i = 0; i < go->modules.count; i++) {
		const struct gc_go_moduledata *m = &go->modules.list[i];
		struct gc_pcfunc f;

		for (uint32_t k = 0; m->has_table && k < m->table.nfunc; k++) {
			const char *name = gc_pclntab_func(&m->table, k, &f) 
						   ? gc_pclntab_name(&m->table, f.name) : NULL;

			if (name && strcmp(name, "runtime.systemstack_switch") == 0)
				return (uint8_t)(f.id + 1);
		}
	}
	return 0;
}

bool go_fit_layout(struct gc_go *go)
{
	const struct go_layout *md, *g, *m, *panic;

	go->own = go_layouts[go_nlayouts - 1];
	go->layout = &go->own;
	md = fit_md(go);
	g = fit_g(go);
	m = fit_m(go);
	if (md)
		go->own.md = md->md;
	if (g)
		go->own.g = g->g;
	if (m) {
		go->own.m = m->m;
		go_find_allm(go);
	} else {
		go->allm = 0;
	}
	apply_md(go);
	panic = fit_panic(go);
	if (panic)
		go->own.panic = panic->panic;
	go->own.minor = g ? g->minor : go_layouts[go_nlayouts - 1].minor;
	/* nothing confirms these */
	go->own.m.vdsosp = go->own.m.vdsopc = NO_FIELD;
	go->own.panic.recovered = go->own.panic.goexit = go->own.panic.repanicked = NO_FIELD;
	go->own.wrapper = go_wrapper_id(go);
	return g != NULL;
}
