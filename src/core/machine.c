/* Names of machines, as they stand in messages and documents. */
#include <stdio.h>
#include <string.h>

#include "gocore/arch.h"

#include "core/elf_identity.h"

/* With their articles. Those that can be read have their names in gc_arch. */
static const struct {
	uint16_t machine;
	const char *phrase;
} machines[] = {
	{ EM_386, "an x86" },       { EM_ARM, "an ARM" },        { EM_MIPS, "a MIPS" },
	{ EM_PPC, "a PowerPC" },    { EM_PPC64, "a PowerPC64" }, { EM_S390, "an S/390" },
	{ EM_RISCV, "a RISC-V" },   { EM_SPARC, "a SPARC" },     { EM_SPARCV9, "a SPARC64" },
	{ EM_68K, "an m68k" },      { EM_PARISC, "a PA-RISC" },  { EM_SH, "a SuperH" },
	{ EM_IA_64, "an Itanium" }, { EM_ALPHA, "an Alpha" },    { EM_BPF, "a BPF" },
	{ 258 /* EM_LOONGARCH, which older headers lack */, "a LoongArch" },
};

static const char *phrase_of(uint16_t machine)
{
	for (size_t i = 0; i < GC_COUNT(machines); i++)
		if (machines[i].machine == machine)
			return machines[i].phrase;
	return NULL;
}

const char *gc_machine_name(uint16_t machine)
{
	const struct gc_arch *arch = gc_arch_by_machine(machine);
	const char *phrase = phrase_of(machine);

	if (arch)
		return arch->elf_name;
	return phrase ? strchr(phrase, ' ') + 1 : NULL;
}

const char *gc_machine_phrase(uint16_t machine, char buf[GC_MACHINE_PHRASE])
{
	const struct gc_arch *arch = gc_arch_by_machine(machine);
	const char *phrase = phrase_of(machine);

	if (phrase)
		return phrase;
	if (arch)
		snprintf(buf, GC_MACHINE_PHRASE, "an %s", arch->elf_name);
	else
		snprintf(buf, GC_MACHINE_PHRASE, "a machine %u", machine);
	return buf;
}
