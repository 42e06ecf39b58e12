/* Does a structure of the runtime look like one? Each sign is judged by itself, for any of them may be damaged. */
#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_STACK ((uint64_t)1 << 30) /* maxstacksize on 64 bits */
#define MAX_GOID  ((uint64_t)1 << 48)
#define MAX_GUARD 32768               /* stackGuard times stackGuardMultiplier, and room for them to grow */
#define PREEMPT   0xfffffffffffffadeULL /* stackPreempt, which stackguard0 is at times (runtime/stack.go) */

/** _Gmoribund_unused (5) and _Genqueue_unused (7) never occur. */
static bool is_status(uint32_t status)
{
	return status <= GC_GO_DEADEXTRA && status != 5 && status != 7;
}

bool go_is_hidden(uint32_t status)
{
	return status == GC_GO_IDLE || status == GC_GO_DEAD || status == GC_GO_DEADEXTRA;
}

bool go_in_text(const struct gc_go *go, uint64_t pc)
{
	for (size_t i = 0; i < go->modules.count; i++)
		if (pc >= go->modules.list[i].minpc && pc < go->modules.list[i].maxpc)
			return true;
	return false;
}

bool go_g_has_stack(const uint8_t *g)
{
	uint64_t lo = gc_load_le64(g + G_STACK_LO), hi = gc_load_le64(g + G_STACK_HI);

	return lo && lo < hi && hi - lo <= MAX_STACK && lo % 8 == 0;
}

unsigned go_g_signs(const struct gc_go *go, const struct go_layout *l, uint64_t addr, const uint8_t *g)
{
	uint64_t lo = gc_load_le64(g + G_STACK_LO), hi = gc_load_le64(g + G_STACK_HI);
	uint64_t sp = gc_load_le64(g + l->g.sched + GOBUF_SP), goid = gc_load_le64(g + l->g.goid);
	unsigned signs = 0;

	if (is_status(go_g_status(l, g)))
		signs |= GO_SIGN_STATUS;
	if (goid && goid < MAX_GOID)
		signs |= GO_SIGN_ID;
	if (go_g_has_stack(g)) {
		signs |= GO_SIGN_STACK;
		if (sp == 0 || (sp >= lo && sp <= hi))
			signs |= GO_SIGN_SP;
	}
	if (gc_load_le64(g + l->g.sched + GOBUF_G) == addr)
		signs |= GO_SIGN_SELF;
	if (go_in_text(go, gc_load_le64(g + l->g.gopc)) && go_in_text(go, gc_load_le64(g + l->g.startpc)))
		signs |= GO_SIGN_CODE;
	return signs;
}

bool go_g_is_sound(unsigned signs)
{
	static const unsigned proofs[] = { GO_SIGN_STACK, GO_SIGN_SELF, GO_SIGN_CODE };
	unsigned n = 0;

	if (!(signs & GO_SIGN_ID))
		return false;
	for (size_t i = 0; i < GC_COUNT(proofs); i++)
		n += !!(signs & proofs[i]);
	return n >= (signs & GO_SIGN_STATUS ? 2 : 3);
}

bool go_g_seems(const uint8_t *g, uint64_t addr, uint16_t sched)
{
	uint64_t guard = gc_load_le64(g + G_STACKGUARD) - gc_load_le64(g + G_STACK_LO);

	if (gc_load_le64(g + sched + GOBUF_G) == addr)
		return true;
	return go_g_has_stack(g) && (guard - 1 < MAX_GUARD || gc_load_le64(g + G_STACKGUARD) == PREEMPT);
}
