/*
 * What the process died of: the instruction, the registers that its address
 * comes from, and what is at that address.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "snapshot/fault.h"

static bool is_memory_fault(const struct gc_snap_fault *f)
{
	return f->signo == FAULT_SEGV || f->signo == FAULT_BUS;
}

/** Signals by which kernels tell that an instruction failed. */
static bool is_fault(int signo)
{
	return signo == FAULT_SEGV || signo == FAULT_BUS || signo == FAULT_FPE || signo == FAULT_ILL ||
	       signo == FAULT_TRAP;
}

/* Which access it was */

static bool covers(const struct gc_snap *s, const struct gc_access *a, uint64_t addr)
{
	uint64_t start = gc_fault_clean(s, a->addr);

	return addr >= start && addr - start < (a->size ? a->size : 1);
}

/** Could the processor have refused this access? */
static bool would_fault(const struct gc_snap *s, const struct gc_access *a)
{
	const struct gc_snap_fault f = { .by_access = true, .access = *a };
	uint64_t addr = gc_fault_clean(s, a->addr);
	const struct gc_range *r = gc_space_find(&s->p->space, addr);

	return !gc_fault_is_canonical(s, addr) || !r || (gc_fault_knows_flags(r) && !gc_fault_allows(r, &f));
}

/** Without an address from the kernel it is the first access that cannot have worked. */
static bool is_culprit(const struct gc_snap *s, const struct gc_snap_fault *f, const struct gc_access *a)
{
	if (f->has_address)
		return covers(s, a, gc_fault_clean(s, f->address));
	if (f->code == FAULT_SI_KERNEL) /* accesses of whole vectors may have to be aligned */
		return !gc_fault_is_canonical(s, gc_fault_clean(s, a->addr)) || (a->size >= 16 && a->addr % a->size);
	if (f->signo == FAULT_BUS && f->code == FAULT_BUS_ADRALN)
		return a->size && a->addr % a->size;
	return would_fault(s, a);
}

static void read_instruction(struct gc_snap *s, const struct gc_regs *regs, struct gc_snap_fault *f)
{
	struct gc_access list[GC_MAX_ACCESSES];
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t got, count;

	if (!s->disasm || gc_space_read(&s->p->space, f->pc, bytes, sizeof(bytes), &got, NULL) != GC_OK)
		return;
	f->has_insn = gc_disasm_one(s->disasm, f->pc, bytes, got, &f->insn, NULL) == GC_OK;
	gc_disasm_facts(s->disasm, regs, f->pc, bytes, got, &f->facts);
	count = gc_disasm_accesses(s->disasm, regs, f->pc, bytes, got, list);
	for (size_t i = 0; i < count && !f->by_access; i++) {
		f->by_access = is_memory_fault(f) && is_culprit(s, f, &list[i]);
		if (f->by_access || f->access.size == 0)
			f->access = list[i];
	}
	if (f->by_access && !f->has_address)
		f->address = f->access.addr;
}

/** A jump to where no code is. */
static bool is_bad_pc(const struct gc_snap *s, const struct gc_snap_fault *f)
{
	const struct gc_range *r = gc_space_find(&s->p->space, f->pc);
	const uint64_t insn_len = s->p->core.arch->insn_len;

	if (!is_memory_fault(f) || (f->has_address && gc_fault_clean(s, f->address) != gc_fault_clean(s, f->pc)))
		return false;
	return !r || (gc_fault_knows_flags(r) && !(r->flags & PF_X)) || (insn_len && f->pc % insn_len);
}

/** @return false if the signal is none of the processor's, or nothing is known of it */
static bool find_fault(struct gc_snap *s, const struct gc_snap_thread *t, struct gc_snap_fault *f)
{
	const struct gc_core *core = &s->p->core;

	*f = (struct gc_snap_fault){ .signo = core->signal };
	if (!is_fault(core->signal))
		return false;
	if (core->has_siginfo && core->siginfo.signo == core->signal) {
		f->code = core->siginfo.code;
		f->has_address = core->siginfo.has_addr;
		f->address = core->siginfo.addr;
		if (f->code <= 0) /* sent by a process */
			return false;
	}
	if (f->code == FAULT_BUS_ADRALN && f->signo == FAULT_BUS && !f->address) /* x86 does not tell it */
		f->has_address = false;
	if (!gc_regs_u64(t->regs, core->arch->pc, &f->pc))
		return f->has_address && is_memory_fault(f);
	f->execute = is_bad_pc(s, f);
	if (f->execute)
		f->address = f->pc;
	else
		read_instruction(s, t->regs, f);
	return true;
}

/* What is said */

static const char *kind_of(const struct gc_snap_fault *f)
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
static void add_registers(struct gc_snap *s, json_t *object, const struct gc_regs *regs, const struct gc_snap_fault *f,
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

static void describe(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t, const struct gc_snap_fault *f,
		     struct gc_buf *text)
{
	if (f->execute)
		gc_fault_describe_branch(s, t->regs, f->pc, text);
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

/** An access to memory, or a branch to where no code is. */
static void tell_access(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f)
{
	struct gc_doc *d = &v->s->d;
	struct gc_buf text = GC_BUF_INIT;

	gc_doc_hex(d, v->object, "address", f->address);
	describe(v->s, v->object, t, f, &text);
	gc_fault_judge_place(v, t, f);
	gc_buf_printf(&text, "address 0x%" PRIx64 " %s", f->address, gc_buf_text(&v->text));
	gc_doc_str(d, v->object, "reason", v->reason);
	gc_doc_str(d, v->object, "text", gc_buf_text(&text));
	gc_doc_set(d, v->object, "nearby", gc_doc_address(d, f->address));
	d->failed |= text.failed;
	gc_buf_deinit(&text);
}

/** @return false: there is nothing to tell */
static bool tell_instruction(struct gc_snap_verdict *v, const struct gc_snap_thread *t, struct gc_snap_fault *f)
{
	struct gc_doc *d = &v->s->d;

	if (!gc_fault_judge_instruction(v, t->regs, f))
		return false;
	gc_doc_hex(d, v->object, "address", f->address);
	if (f->has_insn)
		gc_doc_str(d, v->object, "instruction", f->insn.text);
	if (f->execute)
		gc_doc_str(d, v->object, "access", "execute");
	gc_doc_str(d, v->object, "reason", v->reason);
	gc_doc_str(d, v->object, "text", gc_buf_text(&v->text));
	return true;
}

void gc_snap_fault(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t)
{
	struct gc_snap_verdict v = { .s = s, .text = GC_BUF_INIT };
	struct gc_snap_fault f;
	bool told = false;

	if (!find_fault(s, t, &f))
		return;
	v.object = gc_doc_object(&s->d);
	if (is_memory_fault(&f) && (f.execute || f.by_access || f.has_address)) {
		tell_access(&v, t, &f);
		told = true;
	} else {
		told = tell_instruction(&v, t, &f);
	}
	s->d.failed |= v.text.failed;
	if (told)
		gc_doc_set(&s->d, object, "fault", v.object);
	else
		json_decref(v.object);
	gc_buf_deinit(&v.text);
}
