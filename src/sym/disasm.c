#include "gocore/disasm.h"

#include <stdio.h>
#include <string.h>

#include <capstone/capstone.h>

/* What capstone calls the architectures. Syntax as gdb and objdump have it. */
static const struct choice {
	const char *name;
	cs_arch arch;
	cs_mode mode;
	cs_opt_value syntax;
} choices[] = {
	{ "x86_64", CS_ARCH_X86, CS_MODE_64, CS_OPT_SYNTAX_ATT },
	{ "aarch64", CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, CS_OPT_SYNTAX_DEFAULT },
};

static const struct choice *choice_of(const struct gc_arch *arch)
{
	for (size_t i = 0; i < GC_COUNT(choices); i++)
		if (strcmp(choices[i].name, arch->name) == 0)
			return &choices[i];
	return NULL;
}

static enum gc_code open_handle(const struct gc_arch *arch, csh *out, struct gc_error *err)
{
	const struct choice *choice = choice_of(arch);
	csh handle;
	cs_err failed;

	if (!choice)
		return gc_fail(err, GC_E_UNSUPPORTED, "no disassembler for %s", arch->elf_name);
	failed = cs_open(choice->arch, choice->mode, &handle);
	if (failed == CS_ERR_MEM)
		return gc_fail_memory(err);
	if (failed != CS_ERR_OK)
		return gc_fail(err, GC_E_UNSUPPORTED, "disassembler: %s", cs_strerror(failed));
	if (choice->syntax != CS_OPT_SYNTAX_DEFAULT)
		cs_option(handle, CS_OPT_SYNTAX, choice->syntax);
	*out = handle;
	return GC_OK;
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

enum gc_code gc_disasm(const struct gc_arch *arch, uint64_t addr, const uint8_t *bytes, size_t len,
		       struct gc_instruction *out, struct gc_error *err)
{
	cs_insn *insn = NULL;
	size_t count;
	csh handle;
	enum gc_code code = open_handle(arch, &handle, err);

	if (code != GC_OK)
		return code;
	count = cs_disasm(handle, bytes, len, addr, 1, &insn);
	if (count)
		copy(insn, out);
	else
		code = gc_fail(err, GC_E_FORMAT, "no instruction");
	cs_free(insn, count);
	cs_close(&handle);
	return code;
}
