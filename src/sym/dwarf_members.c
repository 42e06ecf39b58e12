#include "sym/dwarf_members.h"

#include <inttypes.h>
#include <string.h>

#include "sym/dwarf_die.h"

#define MAX_DEBUG_INFO (1ULL << 30) /* libdwarf reads the section whole */
#define MAX_UNITS      100000
#define MAX_TYPES      10000000     /* entries at the top of units */
#define MAX_MEMBERS    10000        /* of a structure */

enum { GC_TAG_MEMBER = 0x0d, GC_AT_MEMBER_LOCATION = 0x38 };

struct search {
	struct gc_dies *dies;
	struct gc_member *list;
	size_t count, missing;
	size_t seen;            /* entries looked at */
};

static void found_member(struct search *s, const char *type, const char *name, uint64_t offset)
{
	for (size_t i = 0; i < s->count; i++) {
		struct gc_member *m = &s->list[i];

		if (m->found || strcmp(m->name, name) != 0 || strcmp(m->type, type) != 0)
			continue;
		m->found = true;
		m->offset = offset;
		s->missing--;
	}
}

static void look_into_structure(struct search *s, Dwarf_Die structure, const char *type)
{
	Dwarf_Die die = gc_die_child(s->dies, structure);

	for (size_t i = 0; die && i < MAX_MEMBERS; i++) {
		const char *name = gc_die_tag(s->dies, die) == GC_TAG_MEMBER ?
				   gc_die_string(s->dies, die, GC_AT_NAME) : NULL;
		uint64_t offset;

		if (name && gc_die_number(s->dies, die, GC_AT_MEMBER_LOCATION, &offset))
			found_member(s, type, name, offset);
		die = gc_die_next(s->dies, die);
	}
	gc_die_free(s->dies, die);
}

static bool is_wanted(const struct search *s, const char *type)
{
	for (size_t i = 0; i < s->count; i++)
		if (!s->list[i].found && strcmp(s->list[i].type, type) == 0)
			return true;
	return false;
}

/** The structures at the top of a unit. */
static void look_into_unit(struct search *s, Dwarf_Die unit)
{
	Dwarf_Die die = gc_die_child(s->dies, unit);

	while (die && s->missing && s->seen++ < MAX_TYPES) {
		const char *type = gc_die_tag(s->dies, die) == GC_TAG_STRUCTURE ?
				   gc_die_string(s->dies, die, GC_AT_NAME) : NULL;

		if (type && is_wanted(s, type))
			look_into_structure(s, die, type);
		die = gc_die_next(s->dies, die);
	}
	gc_die_free(s->dies, die);
}

static enum gc_code look_into_units(struct search *s, struct gc_error *err)
{
	Dwarf_Debug dbg = s->dies->dbg;

	for (size_t n = 0; s->missing && n < MAX_UNITS; n++) {
		Dwarf_Unsigned length, type_offset, next;
		Dwarf_Half version, address_size, length_size, extension_size, type;
		Dwarf_Off abbrev;
		Dwarf_Sig8 signature;
		Dwarf_Error error = NULL;
		Dwarf_Die unit;
		int result = dwarf_next_cu_header_d(dbg, 1, &length, &version, &abbrev, &address_size, &length_size,
						    &extension_size, &signature, &type_offset, &next, &type, &error);

		if (result == DW_DLV_NO_ENTRY)
			break;
		if (result != DW_DLV_OK)
			return gc_dwarf_failed(dbg, error, "debug information", err);
		if (dwarf_siblingof_b(dbg, NULL, 1, &unit, &error) != DW_DLV_OK) {
			gc_dwarf_forget(dbg, error);
			continue;
		}
		look_into_unit(s, unit);
		gc_die_free(s->dies, unit);
	}
	return GC_OK;
}

enum gc_code gc_dwarf_members(struct gc_elf_file *file, struct gc_member *list, size_t count, struct gc_error *err)
{
	struct gc_dies dies = { .dwarf = NULL };
	struct search s = { .dies = &dies, .list = list, .count = count, .missing = count };
	enum gc_code code = gc_dwarf_open(&dies.dwarf, file, err);
	uint64_t size;

	for (size_t i = 0; i < count; i++)
		list[i].found = false;
	if (code != GC_OK)
		return code;
	size = gc_dwarf_section_size(dies.dwarf, ".debug_info");
	if (size == 0)
		code = gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	else if (size > MAX_DEBUG_INFO)
		code = gc_fail(err, GC_E_LIMIT, "debug information of %" PRIu64 " bytes", size);
	else
		code = gc_dwarf_debug(dies.dwarf, &dies.dbg, err);
	if (code == GC_OK)
		code = look_into_units(&s, err);
	gc_dwarf_close(dies.dwarf);
	if (code == GC_OK && s.missing == count)
		return gc_fail(err, GC_E_NOT_FOUND, "none of the structures is in the debug information");
	return s.missing < count ? GC_OK : code;
}
