#include "sym/function_name.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/symbols.h"

#define MAX_HOPS   16        /* abstract origins and specifications */
#define MAX_SCOPES 64
#define MAX_NAMES  10000000

struct gc_function_name {
	uintptr_t key;           /* address of the mangled name, or of the name when it is scoped by die */
	uint64_t die;
	char *text;              /* NULL: an empty slot */
};

/** What attributes say, along the chain of references. */
struct raw_name {
	const char *linkage;
	const char *name;
	struct gc_dies *dies;    /* where the chain ends: the declaration */
	uint64_t offset;
};

/* The table of names. */

static size_t slot_of(const struct gc_function_names *names, uintptr_t key, uint64_t die)
{
	size_t at = (size_t)((key ^ die * 0x9e3779b97f4a7c15) * 0x9e3779b97f4a7c15 >> 20) & (names->size - 1);

	while (names->list[at].text && (names->list[at].key != key || names->list[at].die != die))
		at = (at + 1) & (names->size - 1);
	return at;
}

static bool grow(struct gc_function_names *names)
{
	struct gc_function_names larger = { .size = names->size ? 2 * names->size : 256, .count = names->count };

	if (larger.size > MAX_NAMES)
		return false;
	larger.list = calloc(larger.size, sizeof(*larger.list));
	if (!larger.list)
		return false;
	for (size_t i = 0; i < names->size; i++)
		if (names->list[i].text)
			larger.list[slot_of(&larger, names->list[i].key, names->list[i].die)] = names->list[i];
	free(names->list);
	*names = larger;
	return true;
}

/** @param text  taken over. @return it, or NULL */
static const char *keep(struct gc_function_names *names, uintptr_t key, uint64_t die, char *text)
{
	if (!text || (names->count >= names->size / 2 && !grow(names))) {
		free(text);
		return NULL;
	}
	names->list[slot_of(names, key, die)] = (struct gc_function_name){ .key = key, .die = die, .text = text };
	names->count++;
	return text;
}

static const char *kept(const struct gc_function_names *names, uintptr_t key, uint64_t die)
{
	return names->size ? names->list[slot_of(names, key, die)].text : NULL;
}

void gc_function_names_deinit(struct gc_function_names *names)
{
	for (size_t i = 0; i < names->size; i++)
		free(names->list[i].text);
	free(names->list);
	*names = (struct gc_function_names){ .list = NULL };
}

/* Attributes. */

static void read_names(struct raw_name *raw, struct gc_dies *dies, Dwarf_Die die)
{
	if (!raw->linkage)
		raw->linkage = gc_die_string(dies, die, GC_AT_LINKAGE_NAME);
	if (!raw->linkage)
		raw->linkage = gc_die_string(dies, die, GC_AT_MIPS_LINKAGE_NAME);
	if (!raw->name)
		raw->name = gc_die_string(dies, die, GC_AT_NAME);
	raw->dies = dies;
	raw->offset = gc_die_offset(dies, die);
}

/** A concrete function refers to its abstract instance, and that to its declaration in a class. */
static void follow(struct raw_name *raw, struct gc_dies *dies, Dwarf_Die die)
{
	struct gc_dies *next_dies;
	Dwarf_Die first = die, next;
	uint64_t offset;

	read_names(raw, dies, die);
	for (size_t hops = 0; hops < MAX_HOPS; hops++) {
		if (!gc_die_reference(dies, die, GC_AT_ABSTRACT_ORIGIN, &next_dies, &offset) &&
		    !gc_die_reference(dies, die, GC_AT_SPECIFICATION, &next_dies, &offset))
			break;
		next = gc_die_at(next_dies, offset);
		if (die != first)
			gc_die_free(dies, die);
		die = next;
		dies = next_dies;
		if (!die)
			return;
		read_names(raw, dies, die);
	}
	if (die != first)
		gc_die_free(dies, die);
}

/* Scopes, for functions of C++ without a linkage name: static ones, and those in unnamed namespaces. */

static bool has_scopes(uint64_t language)
{
	/* DW_LANG_C_plus_plus, _03, _11, _14, _17, _20 */
	return language == 0x04 || language == 0x19 || language == 0x1a || language == 0x21 || language == 0x2a ||
	       language == 0x2b;
}

/** The child of @die that is or holds the DIE at @offset, or NULL. */
static Dwarf_Die child_towards(struct gc_dies *dies, Dwarf_Die die, uint64_t offset)
{
	Dwarf_Die child = gc_die_child(dies, die);

	while (child) {
		Dwarf_Error error = NULL;
		Dwarf_Die next = NULL;

		if (dwarf_siblingof_b(dies->dbg, child, 1, &next, &error) != DW_DLV_OK)
			next = NULL;
		gc_dwarf_forget(dies->dbg, error);
		if (!next || gc_die_offset(dies, next) > offset ||
		    gc_die_offset(dies, next) <= gc_die_offset(dies, child)) {
			gc_die_free(dies, next);
			break;
		}
		gc_die_free(dies, child);
		child = next;
	}
	if (child && gc_die_offset(dies, child) > offset) {
		gc_die_free(dies, child);
		child = NULL;
	}
	return child;
}

/** One scope on the way to the function. */
static void add_scope(struct gc_buf *text, struct gc_dies *dies, Dwarf_Die die)
{
	const unsigned tag = gc_die_tag(dies, die);
	const char *name;

	switch (tag) {
	case GC_TAG_NAMESPACE:
	case GC_TAG_CLASS:
	case GC_TAG_STRUCTURE:
	case GC_TAG_UNION:
		name = gc_die_string(dies, die, GC_AT_NAME);
		if (!name && tag == GC_TAG_NAMESPACE)
			name = "(anonymous namespace)";
		if (name)
			gc_buf_printf(text, "%s::", name);
		break;
	case GC_TAG_SUBPROGRAM: /* gdb names local classes without their function */
		gc_buf_clear(text);
		break;
	default:
		break;
	}
}

/** @return allocated, or NULL */
static char *scoped_name(const struct raw_name *raw)
{
	struct gc_buf text = GC_BUF_INIT;
	struct gc_dies *dies = raw->dies;
	Dwarf_Die target = gc_die_at(dies, raw->offset), die;
	Dwarf_Error error = NULL;
	Dwarf_Off unit;

	if (!target)
		return NULL;
	if (dwarf_CU_dieoffset_given_die(target, &unit, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dies->dbg, error);
		unit = raw->offset;
	}
	gc_die_free(dies, target);
	die = gc_die_at(dies, unit);
	for (size_t i = 0; die && i < MAX_SCOPES; i++) {
		Dwarf_Die child = child_towards(dies, die, raw->offset);

		gc_die_free(dies, die);
		die = child;
		if (!die || gc_die_offset(dies, die) == raw->offset)
			break;
		add_scope(&text, dies, die);
	}
	gc_die_free(dies, die);
	gc_buf_str(&text, raw->name);
	if (!text.failed)
		return text.data;
	gc_buf_deinit(&text);
	return NULL;
}

const char *gc_function_name(struct gc_function_names *names, struct gc_dies *dies, Dwarf_Die die, uint64_t language)
{
	struct raw_name raw = { .name = NULL };
	const char *text;

	follow(&raw, dies, die);
	if (raw.linkage && raw.linkage[0] == '_' && (raw.linkage[1] == 'Z' || raw.linkage[1] == 'R')) {
		text = kept(names, (uintptr_t)raw.linkage, 0);
		if (!text)
			text = keep(names, (uintptr_t)raw.linkage, 0, gc_demangle_function(raw.linkage));
		if (text)
			return text;
	}
	if (!has_scopes(language)) /* C with asm("name"): gdb prefers that name, as in __GI_abort */
		return raw.linkage ? raw.linkage : raw.name;
	if (!raw.name)
		return raw.linkage;
	text = kept(names, (uintptr_t)raw.name, raw.offset);
	if (!text)
		text = keep(names, (uintptr_t)raw.name, raw.offset, scoped_name(&raw));
	return text ? text : raw.name;
}
