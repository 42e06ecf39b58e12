/*
 * The access that the process died of: the instruction, the registers that
 * its address comes from, and what is at that address.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "snapshot/snap.h"

/* asm-generic/signal.h, asm-generic/siginfo.h */
enum {
	BUS = 7,
	SEGV = 11,
	BUS_ADRALN_CODE = 1,
	BUS_ADRERR_CODE = 2,
	SEGV_MAPERR_CODE = 1,
	SEGV_ACCERR_CODE = 2,
	SEGV_PKUERR_CODE = 4,
	SEGV_MTESERR_CODE = 9,
	SI_KERNEL_CODE = 0x80,
};

#define STACK_GAP 0x100000 /* that the kernel keeps below a growing stack: stack_guard_gap of mm/mmap.c */
#define HEAP_NEAR 0x100000

struct fault {
	int signo, code;        /* code 0: not known */
	bool has_address;       /* as siginfo tells it */
	uint64_t address;       /* as siginfo tells it, else as the instruction does */
	bool by_access;         /* access is what faulted */
	struct gc_access access;
	bool execute;           /* there is no instruction: the pc itself cannot be executed */
	bool has_insn;
	struct gc_instruction insn;
};

/** What is known of the place. */
struct verdict {
	const char *reason;
	struct gc_buf text;     /* follows "address 0x10" */
	struct gc_snap *s;
	json_t *object;
};

static uint64_t clean(const struct gc_snap *s, uint64_t addr)
{
	return s->p->core.arch->clean_data ? s->p->core.arch->clean_data(addr) : addr;
}

static bool is_canonical(const struct gc_arch *arch, uint64_t addr)
{
	return addr < arch->user_end || addr >= 0 - arch->user_end;
}

/** @return false where the core does not tell permissions */
static bool knows_flags(const struct gc_range *r)
{
	return !r->unlisted || r->flags;
}

static bool allows(const struct gc_range *r, const struct fault *f)
{
	if (f->execute)
		return r->flags & PF_X;
	if (f->by_access && f->access.write)
		return r->flags & PF_W;
	return r->flags & PF_R;
}

/* Which access it was */

static bool covers(const struct gc_snap *s, const struct gc_access *a, uint64_t addr)
{
	uint64_t start = clean(s, a->addr);

	return addr >= start && addr - start < (a->size ? a->size : 1);
}

/** Could the processor have refused this access? */
static bool would_fault(const struct gc_snap *s, const struct gc_access *a)
{
	const struct fault f = { .by_access = true, .access = *a };
	uint64_t addr = clean(s, a->addr);
	const struct gc_range *r = gc_space_find(&s->p->space, addr);

	return !is_canonical(s->p->core.arch, addr) || !r || (knows_flags(r) && !allows(r, &f));
}

/** Without an address from the kernel it is the first access that cannot have worked. */
static bool is_culprit(const struct gc_snap *s, const struct fault *f, const struct gc_access *a)
{
	if (f->has_address)
		return covers(s, a, clean(s, f->address));
	if (f->code == SI_KERNEL_CODE)
		return !is_canonical(s->p->core.arch, clean(s, a->addr));
	return would_fault(s, a);
}

static bool find_access(struct gc_snap *s, const struct gc_regs *regs, uint64_t pc, struct fault *f)
{
	struct gc_access list[GC_MAX_ACCESSES];
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t got, count;

	if (!s->disasm || gc_space_read(&s->p->space, pc, bytes, sizeof(bytes), &got, NULL) != GC_OK)
		return false;
	f->has_insn = gc_disasm_one(s->disasm, pc, bytes, got, &f->insn, NULL) == GC_OK;
	count = gc_disasm_accesses(s->disasm, regs, pc, bytes, got, list);
	for (size_t i = 0; i < count; i++) {
		if (!is_culprit(s, f, &list[i]))
			continue;
		f->access = list[i];
		f->by_access = true;
		if (!f->has_address)
			f->address = list[i].addr;
		return true;
	}
	return false;
}

/** A jump to where no code is. */
static bool is_bad_pc(const struct gc_snap *s, uint64_t pc, const struct fault *f)
{
	const struct gc_range *r = gc_space_find(&s->p->space, pc);

	if (f->has_address && clean(s, f->address) != clean(s, pc))
		return false;
	return !r || (knows_flags(r) && !(r->flags & PF_X));
}

/** @return false if the signal is no faulting access, or nothing is known of it */
static bool find_fault(struct gc_snap *s, const struct gc_snap_thread *t, struct fault *f)
{
	const struct gc_core *core = &s->p->core;
	uint64_t pc;

	*f = (struct fault){ .signo = core->signal };
	if (core->signal != SEGV && core->signal != BUS)
		return false;
	if (core->has_siginfo && core->siginfo.signo == core->signal) {
		f->code = core->siginfo.code;
		f->has_address = core->siginfo.has_addr;
		f->address = core->siginfo.addr;
		if (f->code <= 0) /* sent by a process */
			return false;
	}
	if (!gc_regs_u64(t->regs, core->arch->pc, &pc))
		return f->has_address;
	if (is_bad_pc(s, pc, f)) {
		f->execute = true;
		f->address = pc;
		return true;
	}
	return find_access(s, t->regs, pc, f) || f->has_address;
}

/* What is there */

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
static bool is_stack_guard(struct verdict *v, const struct gc_snap_thread *t, uint64_t addr, size_t index)
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

static void judge_unmapped(struct verdict *v, const struct gc_snap_thread *t, uint64_t addr, size_t index)
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

static void judge_denied(struct verdict *v, const struct fault *f, const struct gc_range *r)
{
	const char *what = f->execute ? "executable" : f->by_access && f->access.write ? "writable" : "accessible";

	if (!f->execute && f->by_access && f->access.read && !f->access.write)
		what = "readable";
	v->reason = "no-permission";
	gc_buf_printf(&v->text, "not %s (%c%c%c)", what, r->flags & PF_R ? 'r' : '-', r->flags & PF_W ? 'w' : '-',
		      r->flags & PF_X ? 'x' : '-');
}

static void judge_mapped(struct verdict *v, const struct gc_snap_thread *t, const struct fault *f, uint64_t addr,
			 size_t index)
{
	const struct gc_range *r = range_at(v->s, index);

	if (f->signo == BUS && f->code == BUS_ADRERR_CODE) {
		v->reason = "beyond-file";
		gc_buf_printf(&v->text, "behind the end of the mapped file%s%s", r->file ? " " : "",
			      r->file ? r->file->path : "");
	} else if (knows_flags(r) && !(r->flags & (PF_R | PF_W | PF_X)) && is_stack_guard(v, t, addr, index)) {
		return;
	} else if (knows_flags(r) && (!allows(r, f) || f->code == SEGV_ACCERR_CODE)) {
		judge_denied(v, f, r);
	} else {
		v->reason = "unknown";
		gc_buf_str(&v->text, "mapped when the core was written");
	}
}

/** @return false: the tags do not tell */
static bool judge_tags(struct verdict *v, const struct fault *f)
{
	const struct gc_arch *arch = v->s->p->core.arch;
	struct gc_buf tags = GC_BUF_INIT;
	unsigned pointer, memory;
	bool found;

	if (f->signo != SEGV || f->code != SEGV_MTESERR_CODE || !arch->tag_granule)
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

/** What the number alone or the kernel's code says. */
static bool judge_number(struct verdict *v, const struct fault *f, uint64_t addr)
{
	if (!is_canonical(v->s->p->core.arch, addr)) {
		v->reason = "non-canonical";
		gc_buf_str(&v->text, "not canonical: outside of what any pointer can reach");
	} else if (addr >> 63) {
		v->reason = "kernel";
		gc_buf_str(&v->text, "in the kernel's half of the address space");
	} else if (f->signo == BUS && f->code == BUS_ADRALN_CODE) {
		v->reason = "misaligned";
		gc_buf_str(&v->text, "misaligned for this access");
	} else if (f->signo == SEGV && f->code == SEGV_PKUERR_CODE) {
		v->reason = "protection-key";
		gc_buf_str(&v->text, "protected by a memory protection key");
	} else {
		return false;
	}
	return true;
}

static void judge(struct verdict *v, const struct gc_snap_thread *t, const struct fault *f)
{
	uint64_t addr = clean(v->s, f->address);
	size_t index = gc_space_index(&v->s->p->space, addr);
	const struct gc_range *r = range_at(v->s, index);

	if (judge_tags(v, f) || judge_number(v, f, addr))
		return;
	if (r && r->start <= addr)
		judge_mapped(v, t, f, addr, index);
	else
		judge_unmapped(v, t, addr, index);
}

/* What is said */

static const char *kind_of(const struct fault *f)
{
	if (f->execute)
		return "execute";
	if (!f->by_access)
		return NULL;
	if (f->access.read)
		return f->access.write ? "read-write" : "read";
	return f->access.write ? "write" : NULL;
}

/** The registers that the address was made of, as JSON and as "rax = 0, rcx = 0x10: " */
static void add_registers(struct gc_snap *s, json_t *object, const struct gc_regs *regs, const struct fault *f,
			  struct gc_buf *text)
{
	json_t *registers = gc_doc_object(&s->d);
	const struct gc_arch *arch = regs->map->arch;
	const char *separator = "";
	char buf[24];

	for (size_t i = 0; i < f->access.nrows; i++) {
		const char *name = arch->regs[f->access.rows[i]].name;
		uint64_t value = 0;

		gc_regs_u64(regs, f->access.rows[i], &value);
		gc_doc_hex(&s->d, registers, name, value);
		gc_buf_printf(text, "%s%s = %s", separator, name, gc_snap_value(value, buf));
		separator = ", ";
	}
	if (f->access.nrows)
		gc_buf_str(text, ": ");
	gc_doc_set_filled(&s->d, object, "registers", registers);
}

static void describe(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t, const struct fault *f,
		     struct gc_buf *text)
{
	if (f->execute)
		gc_buf_str(text, "a jump, call or return: ");
	if (f->by_access && f->has_insn) {
		gc_doc_str(&s->d, object, "instruction", f->insn.text);
		gc_buf_printf(text, "%s: ", f->insn.text);
	}
	gc_doc_str(&s->d, object, "access", kind_of(f));
	if (!f->by_access)
		return;
	if (f->access.size)
		gc_doc_size(&s->d, object, "size", f->access.size);
	gc_doc_hex(&s->d, object, "effective_address", f->access.addr);
	add_registers(s, object, t->regs, f, text);
}

void gc_snap_fault(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t)
{
	struct verdict v = { .s = s, .text = GC_BUF_INIT };
	struct gc_buf text = GC_BUF_INIT;
	struct fault f;

	if (!find_fault(s, t, &f))
		return;
	v.object = gc_doc_object(&s->d);
	gc_doc_hex(&s->d, v.object, "address", f.address);
	describe(s, v.object, t, &f, &text);
	judge(&v, t, &f);
	gc_buf_printf(&text, "address 0x%" PRIx64 " %s", f.address, gc_buf_text(&v.text));
	gc_doc_str(&s->d, v.object, "reason", v.reason);
	gc_doc_str(&s->d, v.object, "text", gc_buf_text(&text));
	gc_doc_set(&s->d, v.object, "nearby", gc_doc_address(&s->d, f.address));
	if (text.failed || v.text.failed)
		s->d.failed = true;
	gc_doc_set(&s->d, object, "fault", v.object);
	gc_buf_deinit(&text);
	gc_buf_deinit(&v.text);
}
