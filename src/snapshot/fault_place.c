/* What is at the address that a process died of. */
#include "snapshot/fault.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#define STACK_GAP 0x100000 /* that the kernel keeps below a growing stack: stack_guard_gap of mm/mmap.c */
#define HEAP_NEAR 0x100000

bool gc_fault_allows(const struct gc_range *r, const struct gc_snap_fault *f)
{
	if (f->execute)
		return r->flags & PF_X;
	if (f->by_access && f->access.write)
		return r->flags & PF_W;
	return r->flags & PF_R;
}

static const struct gc_range *range_at(const struct gc_snap *s, size_t index)
{
	return index < s->p->space.count ? &s->p->space.ranges[index] : NULL;
}

static bool is_labelled(const struct gc_range *r, const char *label)
{
	return r && r->label && strcmp(r->label, label) == 0;
}

static bool holds(const struct gc_range *r, const struct gc_regs *regs, int row)
{
	uint64_t value;

	return gc_regs_u64(regs, row, &value) && value >= r->start && value < r->end;
}

/**
 * Is @r the stack of the thread? Its sp may have left it, but not the rest
 * that points there: pthreads have their thread pointer on the stack, too.
 */
static bool is_stack_of(const struct gc_range *r, const struct gc_regs *regs, bool pthread)
{
	const struct gc_arch *arch = regs->map->arch;

	return holds(r, regs, arch->sp) || holds(r, regs, arch->fp) || (pthread && holds(r, regs, arch->tp));
}

/** The thread whose stack @r is; 0: none's */
static gc_tid owner_of(struct gc_snap *s, const struct gc_range *r, const struct gc_snap_thread *t, bool pthread)
{
	if (is_stack_of(r, t->regs, pthread))
		return t->thread->tid;
	for (size_t i = 0; i < s->p->core.nthreads; i++) {
		const struct gc_thread *other = &s->p->core.threads[i];
		struct gc_regs regs;
		bool found;

		if (gc_core_regs(&s->p->core, other, &s->p->regmap, &regs, NULL, NULL) != GC_OK)
			continue;
		found = is_stack_of(r, &regs, pthread);
		gc_regs_deinit(&regs);
		if (found)
			return other->tid;
	}
	return 0;
}

/** Below a stack there is a page without permissions (pthreads), or a gap (the main thread). */
static bool is_stack_guard(struct gc_snap_verdict *v, const struct gc_snap_thread *t, uint64_t addr, size_t index)
{
	const struct gc_range *r = range_at(v->s, index), *stack = r;
	uint64_t page = v->s->p->core.page_size, sp;
	gc_tid tid;

	if (r && r->start <= addr)
		stack = range_at(v->s, index + 1);
	if (!stack || !(stack->flags & PF_W) || stack->start - addr > STACK_GAP ||
	    (stack != r && stack->start != r->end))
		return false;
	tid = owner_of(v->s, stack, t, stack != r);
	if (!tid && !is_labelled(stack, "[stack]"))
		return false;
	v->reason = "stack-guard";
	gc_buf_str(&v->text, "in the guard below the stack");
	if (tid) {
		gc_buf_printf(&v->text, " of thread %" PRId64, tid);
		gc_doc_int(&v->s->d, v->object, "stack_tid", tid);
	}
	if (gc_regs_u64(t->regs, t->regs->map->arch->sp, &sp) && sp < stack->start + page &&
	    (tid == 0 || tid == t->thread->tid)) {
		v->reason = "stack-overflow";
		gc_buf_str(&v->text, ": it overflowed");
	}
	return true;
}

static void judge_unmapped(struct gc_snap_verdict *v, const struct gc_snap_thread *t, uint64_t addr, size_t index)
{
	const struct gc_range *before = index ? range_at(v->s, index - 1) : NULL;

	if (is_stack_guard(v, t, addr, index))
		return;
	v->reason = "not-mapped";
	gc_buf_str(&v->text, "not mapped");
	if (addr < v->s->p->core.page_size) {
		v->reason = "null-pointer";
	} else if (is_labelled(before, "[heap]") && addr - before->end < HEAP_NEAR) {
		v->reason = "heap-end";
		gc_buf_printf(&v->text, ", %" PRIu64 " bytes behind the end of the heap", addr - before->end);
	}
}

static void judge_denied(struct gc_snap_verdict *v, const struct gc_snap_fault *f, const struct gc_range *r)
{
	const char *what = f->execute ? "executable" : f->by_access && f->access.write ? "writable" : "accessible";

	if (!f->execute && f->by_access && f->access.read && !f->access.write)
		what = "readable";
	v->reason = "no-permission";
	gc_buf_printf(&v->text, "not %s (%c%c%c)", what, r->flags & PF_R ? 'r' : '-', r->flags & PF_W ? 'w' : '-',
		      r->flags & PF_X ? 'x' : '-');
}

static void judge_mapped(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f,
			 uint64_t addr, size_t index)
{
	const struct gc_range *r = range_at(v->s, index);

	if (f->signo == FAULT_BUS && f->code == FAULT_BUS_ADRERR) {
		v->reason = "beyond-file";
		gc_buf_printf(&v->text, "behind the end of the mapped file%s%s", r->file ? " " : "",
			      r->file ? r->file->path : "");
	} else if (gc_fault_knows_flags(r) && !(r->flags & (PF_R | PF_W | PF_X)) && is_stack_guard(v, t, addr, index)) {
		return;
	} else if (gc_fault_knows_flags(r) && (!gc_fault_allows(r, f) || f->code == FAULT_SEGV_ACCERR)) {
		judge_denied(v, f, r);
	} else {
		v->reason = "unknown";
		gc_buf_str(&v->text, "mapped when the core was written");
	}
}

/** @return false: the tags do not tell */
static bool judge_tags(struct gc_snap_verdict *v, const struct gc_snap_fault *f)
{
	const struct gc_arch *arch = v->s->p->core.arch;
	struct gc_buf tags = GC_BUF_INIT;
	unsigned pointer, memory;
	bool found;

	if (f->signo != FAULT_SEGV || f->code != FAULT_SEGV_MTESERR || !arch->tag_granule)
		return false;
	v->reason = "tag-mismatch";
	pointer = (unsigned)(f->address >> arch->tag_shift & 15);
	gc_doc_int(&v->s->d, v->object, "pointer_tag", pointer);
	found = gc_process_tags(v->s->p, f->address, 1, &tags, NULL) == GC_OK;
	memory = found ? (unsigned)(uint8_t)gc_buf_text(&tags)[0] : 0;
	gc_buf_deinit(&tags);
	gc_buf_printf(&v->text, "has tag %u", pointer);
	if (found) {
		gc_doc_int(&v->s->d, v->object, "memory_tag", memory);
		gc_buf_printf(&v->text, ", the memory tag %u", memory);
	}
	return true;
}

bool gc_fault_judge_number(struct gc_snap_verdict *v, uint64_t addr)
{
	if (!gc_fault_is_canonical(v->s, addr)) {
		v->reason = "non-canonical";
		gc_buf_str(&v->text, "not canonical: outside of what any pointer can reach");
	} else if (addr >> 63) {
		v->reason = "kernel";
		gc_buf_str(&v->text, "in the kernel's half of the address space");
	} else {
		return false;
	}
	return true;
}

/** General protection at an access of that size to an address that is none of its multiples. */
static bool is_misaligned(const struct gc_snap_verdict *v, const struct gc_snap_fault *f)
{
	const uint64_t insn_len = v->s->p->core.arch->insn_len;

	return (f->signo == FAULT_BUS && f->code == FAULT_BUS_ADRALN) ||
	       (f->signo == FAULT_BUS && f->execute && insn_len && f->address % insn_len) ||
	       (f->by_access && f->code == FAULT_SI_KERNEL && f->access.size > 1 && f->access.addr % f->access.size);
}

static bool is_misaligned_sp(const struct gc_snap_thread *t, const struct gc_snap_fault *f)
{
	const struct gc_arch *arch = t->regs->map->arch;
	uint64_t sp;

	return arch->sp_align && gc_regs_u64(t->regs, arch->sp, &sp) && sp == f->address && sp % arch->sp_align;
}

static void judge_alignment(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f)
{
	const struct gc_arch *arch = v->s->p->core.arch;
	const uint64_t insn_len = arch->insn_len;

	v->reason = "misaligned";
	if (is_misaligned_sp(t, f))
		gc_buf_printf(&v->text, "in the stack pointer, which is not a multiple of %u", arch->sp_align);
	else if (f->execute && insn_len)
		gc_buf_printf(&v->text, "not a multiple of %" PRIu64 ", as those of all instructions are", insn_len);
	else if (f->by_access && f->access.size > 1)
		gc_buf_printf(&v->text, "not a multiple of %" PRIu64 ", as this access needs",
			      (uint64_t)f->access.size);
	else
		gc_buf_str(&v->text, "misaligned for this access");
}

/** What the kernel's code says. */
static bool judge_code(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f)
{
	if (is_misaligned(v, f)) {
		judge_alignment(v, t, f);
	} else if (f->signo == FAULT_SEGV && f->code == FAULT_SEGV_PKUERR) {
		v->reason = "protection-key";
		gc_buf_str(&v->text, "protected by a memory protection key");
	} else {
		return false;
	}
	return true;
}

/**
 * A signature that does not match leaves a mark in the upper bits, so that the
 * branch fails (Arm ARM, "Pointer authentication", AuthIA).
 */
static bool judge_signature(struct gc_snap_verdict *v, const struct gc_snap_fault *f, uint64_t addr)
{
	const struct gc_arch *arch = v->s->p->core.arch;
	const uint64_t clean = addr & ((UINT64_C(1) << 48) - 1);
	const struct gc_range *r = gc_space_find(&v->s->p->space, clean);

	if (!f->execute || !arch->clean_code || clean == addr || !r || !gc_fault_knows_flags(r) || !(r->flags & PF_X))
		return false;
	v->reason = "bad-signature";
	gc_buf_printf(&v->text, "is 0x%" PRIx64 ", which is code, with other upper bits: a signature (PAC) that did "
		      "not match, or a damaged pointer", clean);
	return true;
}

void gc_fault_judge_place(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f)
{
	uint64_t addr = gc_fault_clean(v->s, f->address);
	size_t index = gc_space_index(&v->s->p->space, addr);
	const struct gc_range *r = range_at(v->s, index);

	if (judge_tags(v, f) || judge_signature(v, f, addr) || gc_fault_judge_number(v, addr) || judge_code(v, t, f))
		return;
	if (r && r->start <= addr)
		judge_mapped(v, t, f, addr, index);
	else
		judge_unmapped(v, t, addr, index);
}
