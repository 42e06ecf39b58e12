#include "gocore/disasm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sym/disasm_private.h"

/* What capstone calls the architectures. */
static const struct choice {
	const char *name;
	cs_arch arch;
	cs_mode mode;
	bool has_att;             /* a second syntax */
	gc_operands_fn *operands; /* NULL: the architecture tells without capstone */
	gc_facts_fn *facts;
	gc_flow_fn *flow;         /* as operands */
} choices[] = {
	{ "x86_64", CS_ARCH_X86, CS_MODE_64, true, gc_operands_x86, gc_facts_x86, gc_flow_x86 },
	{ "aarch64", CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, false, NULL, gc_facts_arm64, NULL },
};

struct gc_disasm {
	const struct gc_arch *arch;
	const struct choice *choice;
	csh handle;
	cs_insn *insn; /* without details, used again and again */
	bool att;
};

static const struct choice *choice_of(const struct gc_arch *arch)
{
	for (size_t i = 0; i < GC_COUNT(choices); i++)
		if (strcmp(choices[i].name, arch->name) == 0)
			return &choices[i];
	return NULL;
}

static enum gc_code open_handle(const struct gc_arch *arch, const struct choice *choice, csh *out, struct gc_error *err)
{
	csh handle;
	cs_err failed;

	if (!choice)
		return gc_fail(err, GC_E_UNSUPPORTED, "no disassembler for %s", arch->elf_name);
	failed = cs_open(choice->arch, choice->mode, &handle);
	if (failed == CS_ERR_MEM)
		return gc_fail_memory(err);
	if (failed != CS_ERR_OK)
		return gc_fail(err, GC_E_UNSUPPORTED, "disassembler: %s", cs_strerror(failed));
	*out = handle;
	return GC_OK;
}

enum gc_code gc_disasm_open(struct gc_disasm **out, const struct gc_arch *arch, struct gc_error *err)
{
	struct gc_disasm *d = calloc(1, sizeof(*d));
	enum gc_code code;

	if (!d)
		return gc_fail_memory(err);
	d->arch = arch;
	d->choice = choice_of(arch);
	code = open_handle(arch, d->choice, &d->handle, err);
	if (code != GC_OK) {
		free(d);
		return code;
	}
	d->insn = cs_malloc(d->handle);
	if (!d->insn) {
		gc_disasm_close(d);
		return gc_fail_memory(err);
	}
	*out = d;
	return GC_OK;
}

void gc_disasm_close(struct gc_disasm *d)
{
	if (!d)
		return;
	if (d->insn)
		cs_free(d->insn, 1);
	cs_close(&d->handle);
	free(d);
}

void gc_disasm_set_att(struct gc_disasm *d)
{
	d->att = d->choice->has_att;
	if (d->att)
		cs_option(d->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
}

static bool decode(struct gc_disasm *d, uint64_t addr, const uint8_t *bytes, size_t len)
{
	return cs_disasm_iter(d->handle, &bytes, &len, &addr, d->insn);
}

static void copy(const cs_insn *insn, struct gc_instruction *out)
{
	out->len = insn->size < GC_INSTRUCTION_MAX ? insn->size : GC_INSTRUCTION_MAX;
	memcpy(out->bytes, insn->bytes, out->len);
	if (insn->op_str[0])
		snprintf(out->text, sizeof(out->text), "%s %s", insn->mnemonic, insn->op_str);
	else
		snprintf(out->text, sizeof(out->text), "%s", insn->mnemonic);
}

enum gc_code gc_disasm_one(struct gc_disasm *d, uint64_t addr, const uint8_t *bytes, size_t len,
			   struct gc_instruction *out, struct gc_error *err)
{
	if (!decode(d, addr, bytes, len))
		return gc_fail(err, GC_E_FORMAT, "no instruction");
	copy(d->insn, out);
	return GC_OK;
}

size_t gc_disasm_len(struct gc_disasm *d, uint64_t addr, const uint8_t *bytes, size_t len)
{
	return decode(d, addr, bytes, len) ? d->insn->size : 0;
}

/** Decode with details, which need Intel's syntax: with the other one some are missing. @return what cs_free takes */
static size_t decode_details(struct gc_disasm *d, uint64_t pc, const uint8_t *bytes, size_t len, cs_insn **out)
{
	size_t n;

	*out = NULL;
	cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON);
	if (d->att)
		cs_option(d->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_INTEL);
	n = cs_disasm(d->handle, bytes, len, pc, 1, out);
	cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_OFF);
	if (d->att)
		cs_option(d->handle, CS_OPT_SYNTAX, CS_OPT_SYNTAX_ATT);
	return n;
}

size_t gc_disasm_accesses(struct gc_disasm *d, const struct gc_regs *regs, uint64_t pc, const uint8_t *bytes,
			  size_t len, struct gc_access out[GC_MAX_ACCESSES])
{
	size_t count = 0, n;
	cs_insn *insn;

	if (d->arch->accesses)
		return d->arch->accesses(regs, pc, bytes, len, out);
	if (!d->choice->operands)
		return 0;
	n = decode_details(d, pc, bytes, len, &insn);
	if (n)
		count = d->choice->operands(regs, insn, out);
	cs_free(insn, n);
	return count;
}

void gc_disasm_facts(struct gc_disasm *d, const struct gc_regs *regs, uint64_t pc, const uint8_t *bytes, size_t len,
		     struct gc_instruction_facts *out)
{
	cs_insn *insn;
	size_t n = decode_details(d, pc, bytes, len, &insn);

	*out = (struct gc_instruction_facts){ .row = -1, .dividend = { -1, -1 } };
	if (n)
		d->choice->facts(regs, insn, out);
	cs_free(insn, n);
}

bool gc_disasm_flow(struct gc_disasm *d, uint64_t pc, const uint8_t *bytes, size_t len, struct gc_flow *out)
{
	cs_insn *insn;
	size_t n;

	if (d->arch->unwind.flow)
		return d->arch->unwind.flow(bytes, len, pc, out);
	if (!d->choice->flow)
		return false;
	n = decode_details(d, pc, bytes, len, &insn);
	if (n) {
		*out = (struct gc_flow){ .len = insn->size };
		cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_ON); /* cs_regs_access asks for it */
		d->choice->flow(d->handle, insn, out);
		cs_option(d->handle, CS_OPT_DETAIL, CS_OPT_OFF);
	}
	cs_free(insn, n);
	return n != 0;
}

enum gc_code gc_disasm(const struct gc_arch *arch, uint64_t addr, const uint8_t *bytes, size_t len,
		       struct gc_instruction *out, struct gc_error *err)
{
	struct gc_disasm *d;
	enum gc_code code = gc_disasm_open(&d, arch, err);

	if (code != GC_OK)
		return code;
	code = gc_disasm_one(d, addr, bytes, len, out, err);
	gc_disasm_close(d);
	return code;
}
