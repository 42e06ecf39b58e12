#include "sym/dwarf_info.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sym/dwarf_file.h"

#define MAX_DEBUG_INFO (1ULL << 30) /* libdwarf reads the section whole */
#define MAX_UNITS      100000
#define LOOK_INTO      2000         /* units whose producer is read */

/* DWARF 5 section 7.5.4; <dwarf.h> is libdwarf's or elfutils', whichever comes first */
#define AT_LANGUAGE 0x13
#define AT_PRODUCER 0x25

/** A string attribute of a unit's DIE, libdwarf's; NULL: none. */
static const char *string_of(Dwarf_Debug dbg, Dwarf_Die die, Dwarf_Half name)
{
	Dwarf_Attribute attr;
	Dwarf_Error error = NULL;
	char *text = NULL;

	if (dwarf_attr(die, name, &attr, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dbg, error);
		return NULL;
	}
	if (dwarf_formstring(attr, &text, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dbg, error);
		text = NULL;
	}
	dwarf_dealloc(dbg, attr, DW_DLA_ATTR);
	return text;
}

static bool number_of(Dwarf_Debug dbg, Dwarf_Die die, Dwarf_Half name, Dwarf_Unsigned *out)
{
	Dwarf_Attribute attr;
	Dwarf_Error error = NULL;
	bool found;

	if (dwarf_attr(die, name, &attr, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dbg, error);
		return false;
	}
	found = dwarf_formudata(attr, out, &error) == DW_DLV_OK;
	if (!found)
		gc_dwarf_forget(dbg, error);
	dwarf_dealloc(dbg, attr, DW_DLA_ATTR);
	return found;
}

static void add_producer(struct gc_dwarf_info *info, const char *producer)
{
	char *copy;

	for (size_t i = 0; i < info->nproducers; i++)
		if (strcmp(info->producers[i], producer) == 0)
			return;
	copy = info->nproducers < GC_DWARF_LIST ? strndup(producer, 1000) : NULL;
	if (copy)
		info->producers[info->nproducers++] = copy;
}

static void add_language(struct gc_dwarf_info *info, Dwarf_Unsigned number)
{
	static const char prefix[] = "DW_LANG_";
	const char *name = NULL;

	if (number > UINT16_MAX || dwarf_get_LANG_name((unsigned)number, &name) != DW_DLV_OK)
		return;
	if (strncmp(name, prefix, sizeof(prefix) - 1) == 0)
		name += sizeof(prefix) - 1;
	for (size_t i = 0; i < info->nlanguages; i++)
		if (strcmp(info->languages[i], name) == 0)
			return;
	if (info->nlanguages < GC_DWARF_LIST)
		info->languages[info->nlanguages++] = name;
}

/** Look at the DIE of the unit whose header was read last. */
static void look_into(struct gc_dwarf_info *info, Dwarf_Debug dbg)
{
	Dwarf_Error error = NULL;
	Dwarf_Unsigned language;
	const char *producer;
	Dwarf_Die die;

	if (dwarf_siblingof_b(dbg, NULL, 1, &die, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dbg, error);
		return;
	}
	producer = string_of(dbg, die, AT_PRODUCER);
	if (producer)
		add_producer(info, producer);
	if (number_of(dbg, die, AT_LANGUAGE, &language))
		add_language(info, language);
	dwarf_dealloc(dbg, die, DW_DLA_DIE);
}

static enum gc_code walk_units(struct gc_dwarf_info *info, Dwarf_Debug dbg, struct gc_error *err)
{
	for (;;) {
		Dwarf_Unsigned length, type_offset, next;
		Dwarf_Half version, address_size, length_size, extension_size, type;
		Dwarf_Off abbrev;
		Dwarf_Sig8 signature;
		Dwarf_Error error = NULL;
		int result = dwarf_next_cu_header_d(dbg, 1, &length, &version, &abbrev, &address_size,
						    &length_size, &extension_size, &signature, &type_offset,
						    &next, &type, &error);

		if (result == DW_DLV_NO_ENTRY)
			return GC_OK;
		if (result != DW_DLV_OK)
			return gc_dwarf_failed(dbg, error, "debug information", err);
		if (info->units == MAX_UNITS) {
			info->more = true;
			return GC_OK;
		}
		if (info->units++ < LOOK_INTO)
			look_into(info, dbg);
		if (version < GC_COUNT(info->version))
			info->version[version] = true;
	}
}

static enum gc_code read_units(struct gc_dwarf_info *info, struct gc_dwarf *dwarf, struct gc_error *err)
{
	const uint64_t size = gc_dwarf_section_size(dwarf, ".debug_info");
	enum gc_code code;
	Dwarf_Debug dbg;

	if (size == 0)
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	if (size > MAX_DEBUG_INFO)
		return gc_fail(err, GC_E_LIMIT, "debug information of %" PRIu64 " bytes", size);
	code = gc_dwarf_debug(dwarf, &dbg, err);
	return code == GC_OK ? walk_units(info, dbg, err) : code;
}

enum gc_code gc_dwarf_info_read(struct gc_dwarf_info *out, struct gc_elf_file *file, struct gc_error *err)
{
	struct gc_dwarf_info info = { .units = 0 };
	struct gc_dwarf *dwarf;
	enum gc_code code = gc_dwarf_open(&dwarf, file, err);

	if (code != GC_OK)
		return code;
	code = read_units(&info, dwarf, err);
	gc_dwarf_close(dwarf);
	if (code == GC_OK || info.units) /* what came before the damage counts */
		*out = info;
	else
		gc_dwarf_info_deinit(&info);
	return info.units ? GC_OK : code;
}

void gc_dwarf_info_deinit(struct gc_dwarf_info *info)
{
	for (size_t i = 0; i < info->nproducers; i++)
		free(info->producers[i]);
	*info = (struct gc_dwarf_info){ .units = 0 };
}
