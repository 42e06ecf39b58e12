#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_CANDIDATES 256   /* chains of Ms that are tried */
#define MAX_SLICES     64    /* that may be allgs */
#define ALLGS_SAMPLE   64    /* goroutines looked at to tell allgs from other slices */
#define FEW_GOROUTINES 4     /* do not tell what a version is that the build information names */
#define MAX_REASONS    128
#define MAX_REASON     64    /* longest text */
#define REASON_1 "GC assist marking"   /* waitReasonStrings[1] and [2] in all versions */
#define REASON_2 "IO wait"

bool go_word(struct gc_go *go, uint64_t addr, uint64_t *out)
{
	uint64_t off = addr - go->window;

	if (off >= go->window_len || go->window_len - off < 8) {
		const uint8_t *bytes = NULL;
		uint64_t len = gc_space_peek(&go->p->space, addr, &bytes);

		if (len < 8 || !bytes)
			return gc_space_u64(&go->p->space, addr, out, NULL) == GC_OK;
		go->window = addr;
		go->window_len = len;
		go->window_bytes = bytes;
		off = 0;
	}
	*out = gc_load_le64(go->window_bytes + off);
	return true;
}

int gc_go_minor(const char *version)
{
	const char *at = version ? strstr(version, "go1.") : NULL;

	return at ? atoi(at + strlen("go1.")) : 0;
}

/** Does what lies at @g seem a runtime.g? */
static bool is_g(struct gc_go *go, uint64_t g)
{
	uint8_t start[GO_MAX_G];

	return g && g % 8 == 0 &&
	       gc_space_read_all(&go->p->space, g, start, go->layout->g.sched + GOBUF_G + 8U, NULL) == GC_OK &&
	       go_g_seems(start, g, go->layout->g.sched);
}

bool go_is_m(struct gc_go *go, uint64_t m)
{
	uint64_t g0, back;

	return m && m % 8 == 0 && go_word(go, m + M_G0, &g0) && g0 &&
	       go_word(go, g0 + go->layout->g.m, &back) && back == m;
}

/** Length of the chain of Ms from @m on; 0 if it does not end at m0. */
static size_t chain_length(struct gc_go *go, uint64_t m)
{
	uint64_t last = 0;
	size_t n = 0;

	while (m && n < GC_MAX_MS && go_is_m(go, m)) {
		last = m;
		n++;
		if (!go_word(go, m + go->layout->m.alllink, &m))
			return 0;
	}
	return m == 0 && last == go->m0 ? n : 0;
}

/* m0: the static m and the static g0 point at each other */

static bool visit_m0(void *data, uint64_t addr, const uint8_t *bytes)
{
	const struct gc_go_moduledata *md;
	struct gc_go *go = data;
	uint64_t g0 = gc_load_le64(bytes);

	md = go->runtime;
	if (g0 < md->noptrdata || g0 >= md->enoptrbss || g0 % 8 || !go_is_m(go, addr))
		return true;
	go->m0 = addr;
	return false;
}

struct allm_search {
	struct gc_go *go;
	size_t best;
	unsigned tried;
};

static bool visit_allm(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct allm_search *s = data;
	uint64_t m = gc_load_le64(bytes);
	size_t n;

	(void)addr;
	if (!go_is_m(s->go, m))
		return true;
	n = chain_length(s->go, m);
	if (n > s->best) {
		s->best = n;
		s->go->allm = m;
	}
	return ++s->tried < MAX_CANDIDATES;
}

/** Scan what the core has of [@start, @end). */
static void scan_data(struct gc_go *go, uint64_t start, uint64_t end, size_t ahead,
		      bool (*visit)(void *, uint64_t, const uint8_t *), void *data)
{
	const struct gc_space *space = &go->p->space;

	for (size_t i = gc_space_index(space, start); i < space->count && space->ranges[i].start < end; i++) {
		const struct gc_range *r = &space->ranges[i];
		struct go_scan scan = {
			.mem = { go_read_space, (void *)space }, .at = r->start > start ? r->start : start,
			.end = r->end < end ? r->end : end, .budget = &go->budget, .ahead = ahead,
			.visit = visit, .data = data,
		};

		if (!gc_range_served(r))
			continue;
		while (i + 1 < space->count && space->ranges[i + 1].start == scan.end &&
		       gc_range_served(&space->ranges[i + 1]))
			scan.end = space->ranges[++i].end < end ? space->ranges[i].end : end;
		go_scan_run(&scan);
		if (scan.stopped)
			return;
	}
}

/** The variables are in .bss; the rest of the data is looked at only if they are not. */
static void scan_for(struct gc_go *go, size_t ahead, bool (*visit)(void *, uint64_t, const uint8_t *), void *data,
		     const uint64_t *found)
{
	const struct gc_go_moduledata *md = go->runtime;

	scan_data(go, md->bss, md->ebss, ahead, visit, data);
	if (!*found)
		scan_data(go, md->noptrdata, md->enoptrbss, ahead, visit, data);
}

/** How many of the first pointers at @list lead to goroutines, out of *@n. */
static uint64_t count_gs(struct gc_go *go, uint64_t list, uint64_t len, uint64_t *n)
{
	uint64_t good = 0, g;

	*n = len < ALLGS_SAMPLE ? len : ALLGS_SAMPLE;
	for (uint64_t i = 0; i < *n; i++)
		good += go_word(go, list + 8 * i, &g) && is_g(go, g);
	return good;
}

/** Is @list one of @len pointers, by all that can be said without looking at what they point to? */
static bool is_list(struct gc_go *go, uint64_t list, uint64_t len)
{
	uint64_t word;

	return list && list % 8 == 0 && len && len <= (uint64_t)1 << 32 && go_word(go, list, &word) &&
	       go_word(go, list + 8 * (len - 1), &word);
}

/** A slice of pointers some of which lead to goroutines. */
struct allgs_candidate {
	uint64_t list, len;
	bool most;          /* of its pointers do */
	unsigned seen;      /* how often the list is pointed at: runtime.allgptr does so too (runtime/proc.go) */
};

struct allgs_search {
	struct gc_go *go;
	struct allgs_candidate list[MAX_SLICES];
	size_t count;
};

static bool visit_allgs(void *data, uint64_t addr, const uint8_t *bytes)
{
	uint64_t list = gc_load_le64(bytes), len = gc_load_le64(bytes + 8), cap = gc_load_le64(bytes + 16), good, n;
	struct allgs_search *s = data;

	(void)addr;
	if (len > cap || !is_list(s->go, list, len) || go_is_m(s->go, list)) /* an m begins with its g0 */
		return true;
	good = count_gs(s->go, list, len, &n);
	if (good)
		s->list[s->count++] = (struct allgs_candidate){ .list = list, .len = len, .most = 2 * good >= n };
	return s->count < MAX_SLICES;
}

static bool visit_pointer(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct allgs_search *s = data;

	(void)addr;
	for (size_t i = 0; i < s->count; i++)
		s->list[i].seen += s->list[i].list == gc_load_le64(bytes);
	return true;
}

/** Is @a more likely the list of all goroutines? */
static bool is_better(const struct allgs_candidate *a, const struct allgs_candidate *b)
{
	bool sure = a->seen > 1, other = b->seen > 1;

	if (sure != other)
		return sure;
	return a->most != b->most ? a->most : a->len > b->len;
}

static void find_allgs(struct gc_go *go)
{
	struct allgs_search s = { .go = go };
	const struct gc_go_moduledata *md = go->runtime;
	const struct allgs_candidate *best = NULL;

	scan_data(go, md->bss, md->ebss, 24, visit_allgs, &s);
	if (!s.count)
		scan_data(go, md->noptrdata, md->enoptrbss, 24, visit_allgs, &s);
	if (s.count)
		scan_data(go, md->noptrdata, md->enoptrbss, 8, visit_pointer, &s);
	for (size_t i = 0; i < s.count; i++)
		if (!best || is_better(&s.list[i], best))
			best = &s.list[i];
	if (!best || !best->most)
		return;
	go->allgs = best->list;
	go->nallgs = best->len;
	go->sure_allgs = best->seen > 1;
}

/* The program's own symbols, if it has some */

bool go_symbol_word(struct gc_go *go, const char *name, uint64_t off, uint64_t *out)
{
	const struct gc_image *image = go->runtime->image;
	struct gc_symbol sym;

	return image && image->file && image->has_bias && gc_elf_symbol_named(image->file, name, &sym) &&
	       go_word(go, sym.value + image->bias + off, out);
}

static void ask_symbols(struct gc_go *go)
{
	const struct gc_image *image = go->runtime->image;
	struct gc_symbol sym;
	uint64_t list, len;

	if (!image || !image->file || !image->has_bias)
		return;
	if (!go->m0 && gc_elf_symbol_named(image->file, "runtime.m0", &sym) && go_is_m(go, sym.value + image->bias))
		go->m0 = sym.value + image->bias;
	/* allgptr and allglen say the same as the slice, for those who read it without a lock (runtime/proc.go) */
	if (!(go_symbol_word(go, "runtime.allgs", 0, &list) && go_symbol_word(go, "runtime.allgs", 8, &len) &&
	      is_list(go, list, len))) {
		if (!go_symbol_word(go, "runtime.allgptr", 0, &list) ||
		    !go_symbol_word(go, "runtime.allglen", 0, &len) ||
		    !is_list(go, list, len))
			return;
		gc_problem(go->problems, "Go runtime",
			   "runtime.allgs is damaged; runtime.allgptr and allglen are used");
	}
	go->allgs = list;
	go->nallgs = len;
	go->sure_allgs = true;
}

static void find_in_module(struct gc_go *go)
{
	scan_for(go, 8, visit_m0, go, &go->m0);
	find_allgs(go);
	if (!go->m0 || !go->sure_allgs)
		ask_symbols(go);
}

void go_find_allm(struct gc_go *go)
{
	struct allm_search s = { .go = go };

	go->allm = 0;
	if (go->m0)
		scan_for(go, 8, visit_allm, &s, &go->allm);
	if (!go->allm)
		go->allm = go->m0;
}

/** If the moduledata lies about where its data is: all that the file's image may write. */
static void widen(const struct gc_process *p, struct gc_go_moduledata *m)
{
	go_image_data(p, m->image, &m->noptrdata, &m->enoptrbss);
	m->bss = m->noptrdata;
	m->edata = m->ebss = m->enoptrbss;
}

void go_find_runtime(struct gc_go *go)
{
	for (int wide = 0; wide < 2; wide++) {
		for (size_t i = 0; i < go->modules.count && !go->m0 && !go->allgs; i++) {
			if (wide)
				widen(go->p, &go->modules.list[i]);
			go->runtime = &go->modules.list[i];
			find_in_module(go);
		}
	}
	if (!go->m0 && !go->allgs)
		go->runtime = NULL;
	if (!go->m0)
		gc_problem(go->problems, "Go runtime", "its threads were not found in the program's data");
	if (!go->allgs)
		gc_problem(go->problems, "Go runtime", "its goroutines were not found in the program's data");
}

/* Wait reasons of a version that is newer than the tables */

/** A Go string of printable ASCII. @return false if it is none */
static bool reason_text(struct gc_go *go, uint64_t header, char text[MAX_REASON + 1])
{
	uint64_t ptr, len;

	if (!go_word(go, header, &ptr) || !go_word(go, header + 8, &len) || len > MAX_REASON ||
	    (len && gc_space_read_all(&go->p->space, ptr, text, len, NULL) != GC_OK))
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	text[len] = '\0';
	return true;
}

struct reason_search {
	struct gc_go *go;
	uint64_t array;
};

static bool visit_reasons(void *data, uint64_t addr, const uint8_t *bytes)
{
	struct reason_search *s = data;
	char text[MAX_REASON + 1];

	if (gc_load_le64(bytes + 8) != strlen(REASON_1) || gc_load_le64(bytes + 24) != strlen(REASON_2) ||
	    !reason_text(s->go, addr, text) || strcmp(text, REASON_1) != 0 ||
	    !reason_text(s->go, addr + 16, text) || strcmp(text, REASON_2) != 0)
		return true;
	s->array = addr - 16;
	return false;
}

static bool is_known_version(const struct gc_go *go)
{
	return go->minor && go->minor <= go_layouts[go_nlayouts - 1].minor;
}

enum gc_code go_find_reasons(struct gc_go *go, struct gc_error *err)
{
	struct reason_search s = { .go = go };
	char text[MAX_REASON + 1];
	size_t n;

	go_wait_reasons(go->layout->minor, &go->reasons, &go->nreasons);
	if (!go->runtime || is_known_version(go))
		return GC_OK;
	scan_data(go, go->runtime->noptrdata, go->runtime->edata, 32, visit_reasons, &s);
	if (!s.array)
		return GC_OK;
	go->own_reasons = calloc(MAX_REASONS, sizeof(*go->own_reasons));
	if (!go->own_reasons)
		return gc_fail_memory(err);
	for (n = 0; n < MAX_REASONS && reason_text(go, s.array + 16 * n, text) && (n == 0 || text[0]); n++) {
		go->own_reasons[n] = strdup(text);
		if (!go->own_reasons[n])
			return gc_fail_memory(err);
	}
	go->reasons = (const char *const *)go->own_reasons;
	go->nreasons = n;
	return GC_OK;
}

/* Opening */

/** A library in Go (-buildmode=c-shared) of a program that is not. */
static enum gc_code read_version_of_library(struct gc_go *go)
{
	const struct gc_images *images = &go->p->images;
	enum gc_code code = GC_E_NOT_FOUND;

	for (size_t i = 0; i < images->count && code != GC_OK; i++)
		if (images->list[i].file && go_image_is_go(&images->list[i]))
			code = gc_buildinfo_of_file(&go->info, images->list[i].file, NULL);
	return code;
}

static void read_version(struct gc_go *go)
{
	const struct gc_image *program = gc_images_program(&go->p->images);
	enum gc_code code = GC_E_NOT_FOUND;

	if (program && program->file)
		code = gc_buildinfo_of_file(&go->info, program->file, NULL);
	if (code != GC_OK)
		code = gc_buildinfo_of_memory(&go->info, go->p, NULL);
	if (code != GC_OK)
		code = read_version_of_library(go);
	go->has_info = code == GC_OK;
	go->minor = go->has_info ? gc_go_minor(go->info.version) : 0;
}

/** That of the version if it is known and fits, else what fits. */
static void choose_layout(struct gc_go *go)
{
	const struct go_layout *wanted = go->layout;
	const bool known = is_known_version(go);
	size_t sample;

	go_find_allm(go);
	if (!go->sure_allgs)
		go_find_strays(go);
	if (go->by_dwarf) {
		go->own.wrapper = go_wrapper_id(go);
		gc_problem(go->problems, "Go runtime",
			   "%s is not known here: its structures are read by the program's debug information",
			   go->has_info ? go->info.version : "its version");
		return;
	}
	if (known && (go_layout_fits(go, wanted, &sample) || sample < FEW_GOROUTINES))
		return;
	if (go_fit_layout(go)) {
		gc_problem(go->problems, "Go runtime", "%s is not known here: its structures are read by what fits",
			   go->has_info ? go->info.version : "its version");
		return;
	}
	if (known) { /* no other fits better: what is damaged will be told */
		go->layout = wanted;
		go_find_allm(go);
	} else if (go->allgs || go->nstrays) {
		gc_problem(go->problems, "Go runtime",
			   "its goroutines do not look like those of any known version of Go");
	}
}

/** The row of the version; for one that is in no table what the program's debug information says, if it has some. */
static void first_layout(struct gc_go *go)
{
	const struct gc_image *program = gc_images_program(&go->p->images);

	go->layout = go_layout_for(go->minor ? go->minor : go_layouts[go_nlayouts - 1].minor);
	if (is_known_version(go) || !program || !program->file || !(go->has_info || go_image_is_go(program)) ||
	    !go_layout_by_dwarf(&go->own, program->file))
		return;
	go->by_dwarf = true;
	go->layout = &go->own;
}

static enum gc_code read_runtime(struct gc_go *go, struct gc_error *err)
{
	enum gc_code code;

	code = go_modules_of_process(&go->modules, go->p, go->layout, is_known_version(go) || go->by_dwarf,
				     go->problems, err);
	if (code != GC_OK)
		return code;
	go_find_runtime(go);
	choose_layout(go);
	code = go_find_reasons(go, err);
	if (code == GC_OK)
		code = go_read_ms(go, err);
	if (code == GC_OK)
		code = go_read_goroutines(go, err);
	return code;
}

enum gc_code gc_go_open(struct gc_go **out, const struct gc_process *p, struct gc_problems *problems,
			struct gc_error *err)
{
	struct gc_go *go = calloc(1, sizeof(*go));
	enum gc_code code;

	if (!go)
		return gc_fail_memory(err);
	go->p = p;
	go->abi = &p->core.arch->go_abi;
	go->problems = problems;
	go->budget = GO_SCAN_BUDGET;
	read_version(go);
	first_layout(go);
	code = read_runtime(go, err);
	if (code != GC_OK) {
		gc_go_close(go);
		return code;
	}
	*out = go;
	return GC_OK;
}

void gc_go_close(struct gc_go *go)
{
	if (!go)
		return;
	go_pcs_deinit(&go->pcs);
	gc_go_modules_deinit(&go->modules);
	for (size_t i = 0; go->own_reasons && i < MAX_REASONS; i++)
		free(go->own_reasons[i]);
	free(go->own_reasons);
	free(go->strays);
	free(go->stray_ms);
	free(go->list);
	free(go->index.slots);
	free(go->ms);
	if (go->has_info)
		gc_buildinfo_deinit(&go->info);
	free(go);
}

const struct gc_buildinfo *gc_go_buildinfo(const struct gc_go *go)
{
	return go->has_info ? &go->info : NULL;
}

const struct gc_go_modules *gc_go_get_modules(const struct gc_go *go)
{
	return &go->modules;
}
