/* Registers of threads, out of their notes. */
#include "gocore/core.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/core_private.h"

void gc_core_regmap(const struct gc_core *core, struct gc_regmap *out)
{
	const struct gc_arch *arch = core->arch;
	uint64_t hwcap = 0, hwcap2 = 0;

	gc_regmap_init(out, arch);
	for (size_t i = 0; i < core->nnotes; i++)
		for (size_t k = 0; k < arch->nnotes; k++)
			if (arch->notes[k].probe &&
			    gc_note_is(core, &core->notes[i], arch->notes[k].owner, arch->notes[k].type))
				arch->notes[k].probe(out, &core->notes[i]);
	gc_core_auxv(core, AT_HWCAP, &hwcap);
	gc_core_auxv(core, AT_HWCAP2, &hwcap2);
	if (arch->probe_hwcap)
		arch->probe_hwcap(out, hwcap, hwcap2);
	gc_regmap_seal(out);
}

static void report_regs(const struct gc_core *core, const struct gc_thread *thread,
			const struct gc_note *note, struct gc_problems *problems,
			const struct gc_error *why)
{
	char where[64], at[128];

	snprintf(at, sizeof(at), "thread %" PRId64 ", %s", thread->tid, gc_note_where(core, note, where));
	gc_problem(problems, at, "%s", why->text);
}

static void load_notes(const struct gc_core *core, const struct gc_thread *thread, struct gc_regs *out,
		       struct gc_problems *problems)
{
	const struct gc_arch *arch = core->arch;

	for (size_t i = 0; i < arch->nnotes; i++) {
		const struct gc_note *note;
		struct gc_error why;

		if (!arch->notes[i].load)
			continue;
		note = gc_thread_note(core, thread, arch->notes[i].owner, arch->notes[i].type);
		if (note && arch->notes[i].load(note, out, &why) != GC_OK)
			report_regs(core, thread, note, problems, &why);
	}
}

enum gc_code gc_core_regs(const struct gc_core *core, const struct gc_thread *thread,
			  const struct gc_regmap *map, struct gc_regs *out,
			  struct gc_problems *problems, struct gc_error *err)
{
	enum gc_code code = gc_regs_init(out, map, err);
	struct gc_error why;

	if (code != GC_OK)
		return code;
	if (core->maker == GC_MADE_BY_DELVE_PORTABLE) {
		const struct gc_note *note = &core->notes[thread->first_note];

		if (gc_delve_load(core, note, out, &why) != GC_OK)
			report_regs(core, thread, note, problems, &why);
	} else {
		load_notes(core, thread, out, problems);
	}
	return GC_OK;
}
