#include "sym/call_sites.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX_HOPS  16 /* abstract origins */
#define MAX_DIES  1000000
#define MAX_DEPTH 64
#define MAX_SITES 100000

static bool take_low(void *data, uint64_t low, uint64_t high)
{
	(void)high;
	*(uint64_t *)data = low;
	return false;
}

/** @return the name that a declaration has in symbol tables */
static const char *linkage_name(struct gc_dies *dies, Dwarf_Die die)
{
	const char *name = gc_die_string(dies, die, GC_AT_LINKAGE_NAME);

	if (!name)
		name = gc_die_string(dies, die, GC_AT_MIPS_LINKAGE_NAME);
	return name ? name : gc_die_string(dies, die, GC_AT_NAME);
}

/** An address, or the name of what another unit defines. With LTO declarations are referred to by others. */
static void read_function(struct gc_call_site *site, struct gc_dies *dies, const struct gc_unit *unit,
			  struct gc_dies *target_dies, uint64_t offset)
{
	bool more = true;

	for (size_t hops = 0; more && hops < MAX_HOPS; hops++) {
		struct gc_dies *const die_dies = target_dies;
		Dwarf_Die die = gc_die_at(die_dies, offset);

		if (!die)
			return;
		if (target_dies == dies)
			gc_die_ranges(dies, die, &unit->die, take_low, &site->target);
		if (!site->target && gc_die_has(die_dies, die, GC_AT_DECLARATION))
			site->name = linkage_name(die_dies, die);
		more = !site->target && !site->name &&
		       gc_die_reference(die_dies, die, GC_AT_ABSTRACT_ORIGIN, &target_dies, &offset);
		gc_die_free(die_dies, die);
	}
}

/** Whom the call calls, if it says so. */
static void read_target(struct gc_call_site *site, struct gc_dies *dies, const struct gc_unit *unit, Dwarf_Die die)
{
	struct gc_dies *target_dies;
	uint64_t offset;

	if (gc_die_reference(dies, die, GC_AT_CALL_ORIGIN, &target_dies, &offset) ||
	    gc_die_reference(dies, die, GC_AT_ABSTRACT_ORIGIN, &target_dies, &offset))
		read_function(site, dies, unit, target_dies, offset);
}

static bool add_site(struct gc_call_sites *out, const struct gc_call_site *site)
{
	if (out->count == out->cap) {
		size_t cap = out->cap ? 2 * out->cap : 16;
		struct gc_call_site *list = cap <= MAX_SITES ? realloc(out->list, cap * sizeof(*list)) : NULL;

		if (!list)
			return false;
		out->list = list;
		out->cap = cap;
	}
	out->list[out->count++] = *site;
	return true;
}

static bool is_call_site(unsigned tag)
{
	return tag == GC_TAG_CALL_SITE || tag == GC_TAG_GNU_CALL_SITE;
}

static bool read_site(struct gc_call_sites *out, struct gc_dies *dies, const struct gc_unit *unit, Dwarf_Die die)
{
	struct gc_call_site site = { .ret = 0 };

	if (!gc_die_address(dies, die, GC_AT_CALL_RETURN_PC, &site.ret) &&
	    !gc_die_address(dies, die, GC_AT_LOW_PC, &site.ret))
		return true;
	site.tail = gc_die_has(dies, die, GC_AT_CALL_TAIL_CALL) || gc_die_has(dies, die, GC_AT_GNU_TAIL_CALL);
	read_target(&site, dies, unit, die);
	return add_site(out, &site);
}

/** Calls lie in blocks and in inlined calls, too, but those of nested functions are theirs. */
static bool holds_sites(unsigned tag)
{
	return tag == GC_TAG_INLINED || tag == GC_TAG_LEXICAL_BLOCK || tag == GC_TAG_TRY_BLOCK ||
	       tag == GC_TAG_CATCH_BLOCK;
}

enum gc_code gc_call_sites_read(struct gc_call_sites *out, struct gc_dies *dies, const struct gc_unit *unit,
				const struct gc_unit_function *function, struct gc_error *err)
{
	Dwarf_Die stack[MAX_DEPTH], root = gc_die_at(dies, function->die);
	size_t depth = 1, seen = 0;

	if (!root)
		return gc_fail(err, GC_E_FORMAT, "function at 0x%" PRIx64 " of .debug_info is damaged", function->die);
	*out = (struct gc_call_sites){ .die = function->die, .entry = function->entry };
	stack[0] = gc_die_child(dies, root);
	gc_die_free(dies, root);
	while (depth > 0 && seen++ < MAX_DIES) {
		Dwarf_Die die = stack[depth - 1], child = NULL;
		unsigned tag;

		if (!die) {
			depth--;
			continue;
		}
		tag = gc_die_tag(dies, die);
		if (is_call_site(tag) && !read_site(out, dies, unit, die))
			break;
		if (holds_sites(tag) && depth < MAX_DEPTH)
			child = gc_die_child(dies, die);
		stack[depth - 1] = gc_die_next(dies, die);
		if (child)
			stack[depth++] = child;
	}
	while (depth > 0)
		gc_die_free(dies, stack[--depth]);
	return GC_OK;
}

void gc_call_sites_deinit(struct gc_call_sites *sites)
{
	free(sites->list);
	*sites = (struct gc_call_sites){ .list = NULL };
}
