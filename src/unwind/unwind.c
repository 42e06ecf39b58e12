#include "gocore/unwind.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unwind/unwind_private.h"

/* Signal frames on one stack; each may lead to another place, so nothing else bounds a made-up chain. */
#define MAX_SIGNALS 256

const char *gc_stack_end_name(enum gc_stack_end_kind kind)
{
	static const char *const names[] = {
		[GC_STACK_COMPLETE] = "complete",
		[GC_STACK_NOT_CODE] = "not-code",
		[GC_STACK_NO_MEMORY] = "no-memory",
		[GC_STACK_NO_RULES] = "no-rules",
		[GC_STACK_DAMAGED] = "damaged",
		[GC_STACK_LIMIT] = "limit",
	};

	return (size_t)kind < GC_COUNT(names) ? names[kind] : "unknown";
}

bool uw_end(struct uw_step *s, enum gc_stack_end_kind kind, const char *format, ...)
{
	va_list args;

	s->end.kind = kind;
	s->end.why.code = GC_E_FORMAT;
	va_start(args, format);
	vsnprintf(s->end.why.text, sizeof(s->end.why.text), format, args);
	va_end(args);
	return false;
}

bool uw_complete(struct uw_step *s)
{
	s->end = (struct gc_stack_end){ .kind = GC_STACK_COMPLETE };
	return false;
}

bool uw_is_code(const struct gc_unwinder *u, uint64_t pc)
{
	const struct gc_range *r = gc_space_find(&u->p->space, pc);

	return r && r->flags & PF_X;
}

uint64_t uw_clean(const struct gc_unwinder *u, uint64_t pc)
{
	uint64_t clean = u->arch->clean_code ? u->arch->clean_code(&u->p->masks, pc) : pc;

	if (u->arch->clean_code && !u->p->masks.code && !uw_is_code(u, clean))
		clean = u->arch->clean_code(&u->arch->unwind.likely_masks, pc);
	return clean;
}

/** One stack. */
struct stack {
	struct gc_unwinder *u;
	struct uw_frame now;
	struct gc_go_state go;    /* what Go's unwinding keeps between its parts */
	unsigned signals;
	struct gc_frames *out;
	struct gc_stack_end *end;
	struct gc_error *err;
};

/* C frames. */

static enum gc_code add_with_lines(struct stack *s, struct gc_frame *frame)
{
	enum gc_code code = GC_E_NOT_FOUND;

	if (s->u->lines && frame->image)
		code = s->u->lines(s->u->lines_data, frame, s->out, s->err);
	return code == GC_E_NOT_FOUND ? gc_frames_add(s->out, frame, s->err) : code;
}

static enum gc_code add_frame(struct stack *s, const struct gc_image *image, uint64_t cfa, bool is_signal)
{
	struct gc_frame frame = {
		.pc = s->now.pc, .cfa = cfa, .how = s->now.how, .exact = s->now.exact, .image = image,
	};
	struct gc_symbol_at symbol;

	uw_get(&s->now.regs, (uint64_t)s->u->sp, &frame.sp);
	if (image && gc_symbols_at(s->u->symbols, frame.exact || is_signal ? frame.pc : frame.pc - 1, &symbol)) {
		frame.function = symbol.name;
		frame.entry = symbol.entry;
	}
	if (!is_signal)
		return add_with_lines(s, &frame);
	frame.function = "<signal handler called>"; /* as gdb has it */
	frame.entry = 0;
	return gc_frames_add(s->out, &frame, s->err);
}

/**
 * A call that says whom it calls has called the frame that is being left, and
 * no other: then there is nothing to look for.
 */
static bool may_have_jumped(struct stack *s, uint64_t ret)
{
	const struct gc_frame *callee = &s->out->list[s->out->count - 1];
	uint64_t target;

	return s->u->tail_calls && callee->image && uw_is_after_call(s->u, ret, &target) && target &&
	       target != callee->entry;
}

/** Append the functions that left no frames between the last one and its caller. */
static enum gc_code add_tail_calls(struct stack *s, const struct uw_step *step)
{
	uint64_t pcs[GC_MAX_TAIL_CALLS];
	enum gc_code code = GC_OK;
	size_t count;

	if (step->caller.how != GC_HOW_CFI || !may_have_jumped(s, step->caller.pc))
		return GC_OK;
	count = s->u->tail_calls(s->u->lines_data, &s->out->list[s->out->count - 1], step->caller.pc, pcs);
	for (size_t i = 0; i < count && code == GC_OK; i++) {
		struct gc_frame frame = { .pc = pcs[i], .sp = step->cfa, .cfa = step->cfa, .how = GC_HOW_TAIL_CALL };
		struct gc_symbol_at symbol;

		frame.image = gc_images_at(&s->u->p->images, frame.pc);
		if (gc_symbols_at(s->u->symbols, frame.pc - 1, &symbol)) {
			frame.function = symbol.name;
			frame.entry = symbol.entry;
		}
		code = add_with_lines(s, &frame);
	}
	return code;
}

/** Leave s->now. @param is_signal set if it is the code that signal handlers return to */
static bool leave(struct stack *s, const struct gc_image *image, struct uw_step *step, bool *is_signal)
{
	struct gc_unwinder *u = s->u;
	struct gc_cfi_row row;

	if (uw_find_row(u, image, &s->now, &row)) {
		*is_signal = row.signal;
		return uw_by_cfi(u, &s->now, image, &row, step);
	}
	*is_signal = uw_is_sigreturn(u, &s->now);
	if (*is_signal)
		return uw_by_sigreturn(u, &s->now, step);
	if (s->now.exact && !uw_is_code(u, s->now.pc))
		return uw_by_call(u, &s->now, step);
	return uw_by_frame_pointer(u, &s->now, step);
}

/** Is the caller that was found a place to go on from? */
static bool check_caller(struct stack *s, bool is_signal, struct uw_step *step)
{
	if (is_signal && ++s->signals > MAX_SIGNALS)
		return uw_end(step, GC_STACK_LIMIT, "more than %d signal frames", MAX_SIGNALS);
	if (is_signal) /* it may have come from a jump to nowhere */
		return true;
	if (step->caller.pc == 0)
		return uw_complete(step);
	if (!uw_is_code(s->u, step->caller.pc))
		return uw_end(step, GC_STACK_NOT_CODE, "the return address 0x%" PRIx64 " of 0x%" PRIx64
			      " is in no executable memory", step->caller.pc, s->now.pc);
	return true;
}

/** Append the frame s->now, and go to its caller. @param more false at the end */
static enum gc_code step_c(struct stack *s, bool *more)
{
	const struct gc_image *image = gc_images_at(&s->u->p->images, s->now.pc);
	struct uw_step step;
	bool is_signal = false;
	enum gc_code code;

	step.cfa = 0;
	*more = leave(s, image, &step, &is_signal) && check_caller(s, is_signal, &step);
	code = add_frame(s, image, step.cfa, is_signal);
	if (*more && code == GC_OK)
		code = add_tail_calls(s, &step);
	if (*more)
		s->now = step.caller;
	else
		*s->end = step.end;
	return code;
}

/* Go frames. */

/** @return false if a part that Go needs is missing */
static bool to_go(struct stack *s)
{
	const struct gc_unwinder *u = s->u;

	s->go.pc = s->now.pc;
	s->go.has_fp = uw_get(&s->now.regs, (uint64_t)u->fp, &s->go.fp);
	s->go.has_lr = s->now.exact && u->ret >= 0 && uw_get(&s->now.regs, (uint64_t)u->ret, &s->go.lr);
	s->go.exact = s->now.exact;
	s->go.how = s->now.how;
	return uw_get(&s->now.regs, (uint64_t)u->sp, &s->go.sp);
}

static void from_go(struct stack *s)
{
	const struct gc_unwinder *u = s->u;

	memset(s->now.regs.known, 0, sizeof(s->now.regs.known));
	s->now.pc = s->go.pc;
	s->now.exact = s->go.exact;
	s->now.how = s->go.how;
	s->now.floor = s->go.sp;
	uw_set(&s->now.regs, (uint64_t)u->sp, s->go.sp);
	if (s->go.has_fp)
		uw_set(&s->now.regs, (uint64_t)u->fp, s->go.fp);
	if (s->go.has_lr && u->ret >= 0)
		uw_set(&s->now.regs, (uint64_t)u->ret, s->go.lr);
}

/** Go on where a signal interrupted. */
static bool from_ucontext(struct stack *s)
{
	struct uw_step step;

	if (++s->signals > MAX_SIGNALS)
		uw_end(&step, GC_STACK_LIMIT, "more than %d signal frames", MAX_SIGNALS);
	else if (uw_by_ucontext(s->u, s->go.ucontext, &step)) {
		s->now = step.caller;
		return true;
	}
	*s->end = step.end;
	return false;
}

static void end_in_go(struct stack *s, enum gc_stack_end_kind kind, const struct gc_error *why)
{
	s->end->kind = kind;
	s->end->why = *why;
}

/** Append Go frames as long as they follow each other. */
static enum gc_code step_go(struct stack *s, bool *more)
{
	struct gc_error why = { .code = GC_OK };
	enum gc_go_step how;

	*more = false;
	if (!to_go(s)) {
		gc_fail(&why, GC_E_NOT_FOUND, "the stack pointer is not known");
		end_in_go(s, GC_STACK_NO_RULES, &why);
		return GC_OK;
	}
	do
		how = gc_go_step(s->u->go, &s->go, s->out, &why);
	while (how == GC_GO_CALLER);
	if (how == GC_GO_C) {
		from_go(s);
		*more = true;
	} else if (how == GC_GO_SIGNAL) {
		*more = from_ucontext(s);
	} else if (how == GC_GO_END) {
		end_in_go(s, GC_STACK_COMPLETE, &(struct gc_error){ .code = GC_OK });
	} else {
		end_in_go(s, why.code == GC_E_FAULT ? GC_STACK_NO_MEMORY : why.code == GC_E_LIMIT ? GC_STACK_LIMIT
			     : GC_STACK_DAMAGED, &why);
	}
	return why.code == GC_E_MEMORY && !*more ? gc_fail_memory(s->err) : GC_OK;
}

/* Together. */

static enum gc_code unwind(struct stack *s)
{
	struct gc_error limit;
	struct gc_error *const err = s->err;
	enum gc_code code = GC_OK;
	bool more = true;

	s->err = err ? err : &limit;
	s->go.cross_to_c = true;
	while (more && code == GC_OK) {
		if (s->u->go && gc_go_is_text(s->u->go, s->now.pc))
			code = step_go(s, &more);
		else
			code = step_c(s, &more);
	}
	if (code == GC_E_LIMIT) { /* as many frames as anyone wants */
		s->end->kind = GC_STACK_LIMIT;
		s->end->why = *s->err;
		code = GC_OK;
	}
	return code;
}

/** The registers that have DWARF numbers. */
static void take_regs(const struct gc_regs *regs, struct uw_regs *out)
{
	const struct gc_arch *arch = regs->map->arch;

	memset(out->known, 0, sizeof(out->known));
	for (size_t i = 0; i < arch->nregs; i++) {
		const int column = arch->regs[i].dwarf;
		uint64_t value;

		if (column >= 0 && column < GC_CFI_REGS && gc_regs_u64(regs, (int)i, &value))
			uw_set(out, (uint64_t)column, value);
	}
}

enum gc_code gc_unwind_thread(struct gc_unwinder *u, const struct gc_regs *regs, gc_tid tid, struct gc_frames *out,
			      struct gc_stack_end *end, struct gc_error *err)
{
	struct stack s = { .u = u, .out = out, .end = end, .err = err };

	if (!gc_regs_u64(regs, u->arch->pc, &s.now.pc))
		return gc_fail(err, GC_E_NOT_FOUND, "the thread has no %s", u->arch->regs[u->arch->pc].name);
	take_regs(regs, &s.now.regs);
	uw_get(&s.now.regs, (uint64_t)u->sp, &s.now.floor);
	s.now.exact = true;
	s.now.how = GC_HOW_REGISTERS;
	if (u->go && tid)
		gc_go_from_regs(u->go, tid, regs, &s.go);
	return unwind(&s);
}

enum gc_code gc_unwind_go(struct gc_unwinder *u, const struct gc_go_state *state, struct gc_frames *out,
			  struct gc_stack_end *end, struct gc_error *err)
{
	struct stack s = { .u = u, .go = *state, .out = out, .end = end, .err = err };

	from_go(&s);
	return unwind(&s);
}

enum gc_code gc_unwinder_new(struct gc_unwinder **out, const struct gc_process *p, struct gc_symbols *symbols,
			     struct gc_go *go, struct gc_problems *problems, struct gc_error *err)
{
	const struct gc_arch *arch = p->core.arch;
	struct gc_unwinder *u = calloc(1, sizeof(*u));

	if (!u)
		return gc_fail_memory(err);
	*u = (struct gc_unwinder){
		.p = p, .arch = arch, .symbols = symbols, .go = go, .problems = problems,
		.tables = calloc(p->images.count ? p->images.count : 1, sizeof(*u->tables)),
		.sp = arch->regs[arch->sp].dwarf, .fp = arch->regs[arch->fp].dwarf,
		.ret = arch->ret >= 0 ? arch->regs[arch->ret].dwarf : -1,
	};
	if (!u->tables) {
		free(u);
		return gc_fail_memory(err);
	}
	*out = u;
	return GC_OK;
}

void gc_unwinder_free(struct gc_unwinder *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->p->images.count; i++)
		uw_close_tables(&u->tables[i]);
	uw_flow_free(u->flow);
	free(u->tables);
	free(u);
}

void gc_unwinder_set_lines(struct gc_unwinder *u, gc_lines_fn *fn, gc_tail_calls_fn *tail_calls, void *lines)
{
	u->lines = fn;
	u->tail_calls = tail_calls;
	u->lines_data = lines;
}
