/*
 * Where the runtime of a version newer than the tables keeps what: by the
 * debug information of the program, which names each field.
 */
#include <stdlib.h>
#include <string.h>

#include "go/go_private.h"
#include "sym/dwarf_members.h"

#define MAX_OFFSET 1536    /* of a field that is read with its structure */

/* What is added to the offset of another field. */
enum base {
	BASE_NONE,
	BASE_SCHED,            /* g.sched */
};

struct field {
	const char *type, *name;
	uint16_t at;           /* in struct go_layout */
	bool needed;           /* without it nothing can be read */
	uint8_t base;
};

#define FIELD(type, name, member, needed) { type, name, offsetof(struct go_layout, member), needed, BASE_NONE }

static const struct field fields[] = {
	{ "runtime.g", "sched", offsetof(struct go_layout, g.sched), true, BASE_NONE }, /* before those based on it */
	{ "runtime.gobuf", "lr", offsetof(struct go_layout, g.sched_lr), true, BASE_SCHED },
	{ "runtime.gobuf", "bp", offsetof(struct go_layout, g.sched_fp), true, BASE_SCHED },
	FIELD("runtime.g", "m", g.m, true),
	FIELD("runtime.g", "_panic", g.panic, true),
	FIELD("runtime.g", "syscallsp", g.syscallsp, true),
	FIELD("runtime.g", "syscallpc", g.syscallpc, true),
	FIELD("runtime.g", "syscallbp", g.syscallbp, false),
	FIELD("runtime.g", "atomicstatus", g.status, true),
	FIELD("runtime.g", "goid", g.goid, true),
	FIELD("runtime.g", "waitsince", g.waitsince, false),
	FIELD("runtime.g", "waitreason", g.waitreason, true),
	FIELD("runtime.g", "lockedm", g.lockedm, false),
	FIELD("runtime.g", "sig", g.sig, true),
	FIELD("runtime.g", "sigcode0", g.sigcode0, false),
	FIELD("runtime.g", "sigcode1", g.sigcode1, false),
	FIELD("runtime.g", "sigpc", g.sigpc, false),
	FIELD("runtime.g", "parentGoid", g.parent, false),
	FIELD("runtime.g", "gopc", g.gopc, true),
	FIELD("runtime.g", "startpc", g.startpc, true),
	FIELD("runtime.g", "labels", g.labels, false),
	FIELD("runtime.m", "procid", m.procid, true),
	FIELD("runtime.m", "gsignal", m.gsignal, true),
	FIELD("runtime.m", "curg", m.curg, true),
	FIELD("runtime.m", "p", m.p, true),
	FIELD("runtime.m", "id", m.id, false),
	FIELD("runtime.m", "throwing", m.throwing, true),
	FIELD("runtime.m", "dying", m.dying, false),
	FIELD("runtime.m", "incgo", m.incgo, true),
	FIELD("runtime.m", "alllink", m.alllink, true),
	FIELD("runtime.m", "vdsoSP", m.vdsosp, false),
	FIELD("runtime.m", "vdsoPC", m.vdsopc, false),
	FIELD("runtime._panic", "arg", panic.arg, true),
	FIELD("runtime._panic", "link", panic.link, true),
	FIELD("runtime._panic", "recovered", panic.recovered, false),
	FIELD("runtime._panic", "goexit", panic.goexit, false),
	FIELD("runtime._panic", "repanicked", panic.repanicked, false),
	FIELD("runtime.moduledata", "types", md.types, true),
	FIELD("runtime.moduledata", "etypes", md.etypes, true),
	FIELD("runtime.moduledata", "gofunc", md.gofunc, true),
	FIELD("runtime.moduledata", "textsectmap", md.textsectmap, true),
	FIELD("runtime.moduledata", "next", md.next, true),
};

/* What the code takes for granted (layout.h). */
static const struct {
	const char *type, *name;
	uint64_t offset;
} fixed[] = {
	{ "runtime.g", "stack", G_STACK_LO },
	{ "runtime.gobuf", "sp", GOBUF_SP },
	{ "runtime.gobuf", "pc", GOBUF_PC },
	{ "runtime.gobuf", "g", GOBUF_G },
	{ "runtime.m", "g0", M_G0 },
	{ "runtime.moduledata", "text", MD_TEXT },
	{ "runtime.moduledata", "noptrdata", MD_NOPTRDATA },
};

static uint16_t *field_of(struct go_layout *l, const struct field *f)
{
	return (uint16_t *)(void *)((char *)l + f->at);
}

static bool fill(struct go_layout *l, const struct gc_member *found)
{
	for (size_t i = 0; i < GC_COUNT(fields); i++) {
		uint64_t offset = found[i].found ? found[i].offset : NO_FIELD;

		if (found[i].found && fields[i].base == BASE_SCHED)
			offset += l->g.sched;
		if ((!found[i].found && fields[i].needed) || offset > MAX_OFFSET)
			return false;
		*field_of(l, &fields[i]) = (uint16_t)offset;
	}
	for (size_t i = 0; i < GC_COUNT(fixed); i++) {
		const struct gc_member *m = &found[GC_COUNT(fields) + i];

		if (!m->found || m->offset != fixed[i].offset)
			return false;
	}
	return l->md.next <= MD_SIZE - 8 && l->md.textsectmap <= MD_SIZE - 16 && l->g.sched + GOBUF_G + 8 <= GO_MAX_G;
}

/** As much as is read of a g or an m: up to behind its last field. */
static void set_sizes(struct go_layout *l)
{
	l->g.size = l->m.size = 0;
	for (size_t i = 0; i < GC_COUNT(fields); i++) {
		const uint16_t end = (uint16_t)(*field_of(l, &fields[i]) + 8);

		if (strcmp(fields[i].type, "runtime.m") == 0 && end > l->m.size)
			l->m.size = end;
		if ((strcmp(fields[i].type, "runtime.g") == 0 || fields[i].base == BASE_SCHED) && end > l->g.size)
			l->g.size = end;
	}
	if (l->g.size < l->g.sched + GOBUF_G + 8)
		l->g.size = (uint16_t)(l->g.sched + GOBUF_G + 8);
}

bool go_layout_by_dwarf(struct go_layout *out, struct gc_elf_file *file)
{
	struct gc_member members[GC_COUNT(fields) + GC_COUNT(fixed)] = { { .type = NULL } };
	struct go_layout l = go_layouts[go_nlayouts - 1];

	for (size_t i = 0; i < GC_COUNT(fields); i++)
		members[i] = (struct gc_member){ .type = fields[i].type, .name = fields[i].name };
	for (size_t i = 0; i < GC_COUNT(fixed); i++)
		members[GC_COUNT(fields) + i] = (struct gc_member){ .type = fixed[i].type, .name = fixed[i].name };
	if (gc_dwarf_members(file, members, GC_COUNT(members), NULL) != GC_OK || !fill(&l, members))
		return false;
	set_sizes(&l);
	*out = l;
	return true;
}
