/* What a function has done to its stack, by following its code from the entry. */
#include "unwind/unwind_private.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/disasm.h"

#define MAX_FRAME   0x1000000
#define MAX_STEPS   16384      /* instructions of one function */
#define MAX_TOTAL   1000000    /* of all: about two seconds */
#define MAX_PLACES  512        /* that were branched to and not looked at yet */
#define MAX_JUMPS   64         /* out of a function */
#define NSEEN       (2 * MAX_STEPS)
#define NKNOWN      256        /* recursion comes by the same places again and again */

/** How things stand before an instruction; distances are from the caller's sp down. */
struct state {
	int64_t down;            /* of sp */
	int64_t frame;           /* of the frame pointer */
	int64_t fp_at, ret_at;
	bool has_sp, has_frame;
	bool fp_saved, fp_lost;  /* lost: changed without having been saved */
	bool ret_saved, ret_lost;
};

struct place {
	uint64_t pc;
	struct state state;
};

struct known {
	uint64_t entry, pc;
	bool found;
	struct uw_prologue prologue;
};

struct uw_flow {
	struct gc_disasm *disasm;
	uint64_t total;
	struct known known[NKNOWN];
	/* of one walk */
	const struct uw_code *code;
	uint64_t goal;
	unsigned steps;
	struct place list[MAX_PLACES], calls[MAX_PLACES]; /* to go on from; behind calls last, some do not return */
	size_t count, ncalls;
	struct place computed;   /* behind the first jump whose target is computed */
	bool has_computed;
	uint64_t jumps[MAX_JUMPS];
	size_t njumps;
	uint64_t seen[NSEEN];    /* hashed; 0: free */
};

static struct uw_flow *flow_of(struct gc_unwinder *u)
{
	if (u->flow || u->flow_failed)
		return u->flow;
	u->flow = calloc(1, sizeof(*u->flow));
	if (u->flow && gc_disasm_open(&u->flow->disasm, u->arch, NULL) != GC_OK) {
		free(u->flow);
		u->flow = NULL;
	}
	u->flow_failed = !u->flow;
	return u->flow;
}

void uw_flow_free(struct uw_flow *f)
{
	if (!f)
		return;
	gc_disasm_close(f->disasm);
	free(f);
}

/** @return false if @pc was there before */
static bool see(struct uw_flow *f, uint64_t pc)
{
	size_t i = (size_t)((pc * 0x9e3779b97f4a7c15ULL) >> 32) % NSEEN;

	while (f->seen[i] && f->seen[i] != pc)
		i = (i + 1) % NSEEN;
	if (f->seen[i] == pc)
		return false;
	f->seen[i] = pc;
	return true;
}

static bool is_inside(const struct uw_code *code, uint64_t pc)
{
	return pc - code->entry < code->size || pc - code->part < code->part_size;
}

static void add_place(struct place *list, size_t *count, uint64_t pc, const struct state *state)
{
	if (*count < MAX_PLACES)
		list[(*count)++] = (struct place){ pc, *state };
}

/* One instruction. */

static void move_sp(struct state *s, const struct gc_flow *step)
{
	if (step->sp == GC_FLOW_SP_LOST || (step->sp == GC_FLOW_SP_FROM_FP && !s->has_frame))
		s->has_sp = false;
	else if (step->sp == GC_FLOW_SP_FROM_FP)
		s->has_sp = true;
	if (s->has_sp)
		s->down = (step->sp == GC_FLOW_SP_FROM_FP ? s->frame : s->down) - step->sp_by;
	if (s->down < -MAX_FRAME || s->down > MAX_FRAME)
		s->has_sp = false;
}

static void save(struct state *s, const struct gc_flow *step)
{
	if (step->saves_fp && s->has_sp && !s->fp_saved && !s->fp_lost) {
		s->fp_saved = true;
		s->fp_at = s->down - step->fp_at;
	}
	if (step->saves_ret && s->has_sp && !s->ret_saved && !s->ret_lost) {
		s->ret_saved = true;
		s->ret_at = s->down - step->ret_at;
	}
}

static void move_fp(struct state *s, const struct gc_flow *step)
{
	const bool restored = step->fp == GC_FLOW_FP_LOADED && s->fp_saved && s->has_sp &&
			      s->down - step->fp_by == s->fp_at;

	if (step->fp == GC_FLOW_FP_KEPT)
		return;
	s->has_frame = step->fp == GC_FLOW_FP_FROM_SP && s->has_sp;
	s->frame = s->down - step->fp_by;
	if (restored)
		s->fp_saved = false;
	else
		s->fp_lost |= !s->fp_saved;
}

static void apply(struct state *s, const struct gc_flow *step, bool in_register)
{
	move_sp(s, step);
	save(s, step);
	move_fp(s, step);
	if (!in_register)
		return;
	if (step->loads_ret)
		s->ret_saved = false;
	if (step->next == GC_FLOW_CALL)
		s->ret_lost |= !s->ret_saved;
}

/* A walk. */

static bool read_step(struct gc_unwinder *u, uint64_t pc, struct gc_flow *step)
{
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t got;

	u->flow->steps++;
	u->flow->total++;
	return gc_space_read(&u->p->space, pc, bytes, sizeof(bytes), &got, NULL) == GC_OK &&
	       gc_disasm_flow(u->flow->disasm, pc, bytes, got, step) && step->len;
}

static void jump(struct uw_flow *f, const struct gc_flow *step, uint64_t behind, const struct state *state)
{
	if (!step->has_target) {
		if (!f->has_computed)
			f->computed = (struct place){ behind, *state };
		f->has_computed = true;
	} else if (is_inside(f->code, step->target)) {
		add_place(f->list, &f->count, step->target, state);
	} else if (f->njumps < MAX_JUMPS) {
		f->jumps[f->njumps++] = step->target;
	}
}

/** Follow the code from @p on as long as it goes straight. @return true at the goal; @p is how things stand there */
static bool go_straight(struct gc_unwinder *u, struct place *p)
{
	struct uw_flow *f = u->flow;
	struct gc_flow step;

	while (p->pc != f->goal) { /* it need not be inside: behind a call that does not return, at the end */
		if (!is_inside(f->code, p->pc))
			return false;
		if (f->steps >= MAX_STEPS || f->total >= MAX_TOTAL || !see(f, p->pc) || !read_step(u, p->pc, &step))
			return false;
		apply(&p->state, &step, u->ret >= 0);
		p->pc += step.len;
		if (step.next == GC_FLOW_CALL) {
			add_place(f->calls, &f->ncalls, p->pc, &p->state);
			return false;
		}
		if (step.next == GC_FLOW_BRANCH || step.next == GC_FLOW_JUMP)
			jump(f, &step, p->pc, &p->state);
		if (step.next == GC_FLOW_JUMP || step.next == GC_FLOW_END)
			return false;
	}
	return true;
}

/** Walk @code until @goal. @param out how things stand there */
static bool walk(struct gc_unwinder *u, const struct uw_code *code, uint64_t goal, struct state *out)
{
	struct uw_flow *f = u->flow;
	struct place p = { code->entry, { .has_sp = true } };

	f->code = code;
	f->goal = goal;
	f->steps = 0;
	f->count = f->ncalls = f->njumps = 0;
	f->has_computed = false;
	memset(f->seen, 0, sizeof(f->seen));
	if (u->ret < 0) { /* the call has pushed it */
		p.state.down = p.state.ret_at = (int64_t)u->arch->go_abi.call_push;
		p.state.ret_saved = true;
	}
	add_place(f->list, &f->count, p.pc, &p.state);
	while (f->count || f->ncalls) {
		p = f->count ? f->list[--f->count] : f->calls[--f->ncalls];
		if (go_straight(u, &p)) {
			*out = p.state;
			return true;
		}
	}
	return false;
}

static bool is_sane(int64_t distance)
{
	return distance >= 0 && distance <= MAX_FRAME;
}

static bool tell(const struct state *s, struct uw_prologue *out)
{
	*out = (struct uw_prologue){
		.pushed = (uint32_t)s->down, .has_frame = s->has_frame, .frame = (uint32_t)s->frame,
		.ret_saved = s->ret_saved, .ret_at = (uint32_t)s->ret_at,
		.fp_saved = s->fp_saved, .fp_at = (uint32_t)s->fp_at, .fp_lost = s->fp_lost,
	};
	return (s->has_frame ? is_sane(s->frame) : s->has_sp && is_sane(s->down)) && (s->ret_saved || !s->ret_lost) &&
	       (!s->ret_saved || is_sane(s->ret_at)) && (!s->fp_saved || is_sane(s->fp_at));
}

/**
 * The targets of a computed jump are not known, but those of a switch all have
 * the stack that it had; what no other way leads to is taken for one of them.
 */
static bool walk_all(struct gc_unwinder *u, const struct uw_code *code, uint64_t pc, struct uw_prologue *out)
{
	struct state state;

	if (walk(u, code, pc, &state))
		return tell(&state, out);
	return u->flow->has_computed && tell(&u->flow->computed.state, out);
}

bool uw_read_prologue(struct gc_unwinder *u, const struct uw_code *code, uint64_t pc, struct uw_prologue *out)
{
	struct uw_flow *f = flow_of(u);
	struct known *known;

	if (!f)
		return false;
	known = &f->known[(pc * 0x9e3779b97f4a7c15ULL >> 32) % NKNOWN];
	if (known->pc != pc || known->entry != code->entry) {
		known->entry = code->entry;
		known->pc = pc;
		known->found = walk_all(u, code, pc, &known->prologue);
	}
	*out = known->prologue;
	return known->found;
}

bool uw_may_jump_to(struct gc_unwinder *u, uint64_t from, uint64_t to)
{
	enum { MAX_FUNCTIONS = 16 };
	uint64_t list[MAX_FUNCTIONS] = { from };
	struct state unused;

	if (!flow_of(u))
		return true;
	for (size_t i = 0, count = 1; i < count; i++) {
		struct uw_code code;

		if (!uw_find_code(u, list[i], &code) || code.entry != list[i] || u->flow->total >= MAX_TOTAL)
			return true; /* not known: an entry of a PLT */
		walk(u, &code, UINT64_MAX, &unused);
		if (u->flow->has_computed)
			return true;
		for (size_t j = 0; j < u->flow->njumps; j++) {
			size_t k = 0;

			if (u->flow->jumps[j] == to)
				return true;
			while (k < count && list[k] != u->flow->jumps[j])
				k++;
			if (k == count && count < MAX_FUNCTIONS)
				list[count++] = u->flow->jumps[j];
		}
	}
	return false;
}

/** The parts of functions that are seldom run have names of their own, "f.cold", and are entered by jumps alone. */
static bool find_whole(struct gc_unwinder *u, const struct gc_symbol_at *part, uint64_t *entry)
{
	const char *cold = part->name ? strstr(part->name, ".cold") : NULL;
	char name[256];

	if (!cold || !part->image || (size_t)(cold - part->name) >= sizeof(name))
		return false;
	memcpy(name, part->name, (size_t)(cold - part->name));
	name[cold - part->name] = '\0';
	return gc_symbols_named(u->symbols, part->image, name, entry);
}

static uint64_t size_of(const struct gc_symbol_at *s)
{
	return s->size ? s->size : 0x10000;
}

bool uw_find_code(struct gc_unwinder *u, uint64_t pc, struct uw_code *out)
{
	struct gc_symbol_at symbol, whole;
	uint64_t entry;

	if (!gc_symbols_at(u->symbols, pc, &symbol))
		return false;
	*out = (struct uw_code){ .entry = symbol.entry, .size = size_of(&symbol) };
	if (!find_whole(u, &symbol, &entry) || !gc_symbols_at(u->symbols, entry, &whole))
		return true;
	out->part = symbol.entry;
	out->part_size = size_of(&symbol);
	out->entry = entry;
	out->size = size_of(&whole);
	return true;
}
