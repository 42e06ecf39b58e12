#include "sym/dwarf_info.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libdwarf.h>

#define MAX_DEBUG_INFO (1ULL << 30) /* libdwarf reads the section whole */
#define MAX_UNITS      100000
#define LOOK_INTO      2000         /* units whose producer is read */

/* DWARF 5 section 7.5.4; <dwarf.h> is libdwarf's or elfutils', whichever comes first */
#define AT_LANGUAGE 0x13
#define AT_PRODUCER 0x25

/* libdwarf 0.1 (2021) dropped arguments; versions before it are dates and have no macro for them */
#ifdef DW_LIBDWARF_VERSION_MAJOR
static int start(int fd, Dwarf_Debug *dbg, Dwarf_Error *error)
{
	return dwarf_init_b(fd, DW_GROUPNUMBER_ANY, NULL, NULL, dbg, error);
}

static void finish(Dwarf_Debug dbg)
{
	dwarf_finish(dbg);
}
#else
static int start(int fd, Dwarf_Debug *dbg, Dwarf_Error *error)
{
	return dwarf_init_b(fd, DW_DLC_READ, DW_GROUPNUMBER_ANY, NULL, NULL, dbg, error);
}

static void finish(Dwarf_Debug dbg)
{
	dwarf_finish(dbg, NULL);
}
#endif

/** What went wrong, and forget it. */
static enum gc_code failed(Dwarf_Debug dbg, Dwarf_Error error, struct gc_error *err)
{
	enum gc_code code = gc_fail(err, GC_E_FORMAT, "debug information: %s",
				    error ? dwarf_errmsg(error) : "unreadable");

	if (error)
		dwarf_dealloc_error(dbg, error);
	return code;
}

static void forget(Dwarf_Debug dbg, Dwarf_Error error)
{
	if (error)
		dwarf_dealloc_error(dbg, error);
}

/** A string attribute of a unit's DIE, libdwarf's; NULL: none. */
static const char *string_of(Dwarf_Debug dbg, Dwarf_Die die, Dwarf_Half name)
{
	Dwarf_Attribute attr;
	Dwarf_Error error = NULL;
	char *text = NULL;

	if (dwarf_attr(die, name, &attr, &error) != DW_DLV_OK) {
		forget(dbg, error);
		return NULL;
	}
	if (dwarf_formstring(attr, &text, &error) != DW_DLV_OK) {
		forget(dbg, error);
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
		forget(dbg, error);
		return false;
	}
	found = dwarf_formudata(attr, out, &error) == DW_DLV_OK;
	if (!found)
		forget(dbg, error);
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
		forget(dbg, error);
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
			return failed(dbg, error, err);
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

static bool debug_info_size(struct gc_elf_file *file, uint64_t *out)
{
	const uint8_t *bytes;
	uint64_t addr;

	return gc_elf_section(file, ".debug_info", &bytes, out, &addr) ||
	       gc_elf_section(file, ".zdebug_info", &bytes, out, &addr);
}

/**
 * The file once more, with an offset of its own: libdwarf reads by lseek, and
 * the sessions that were forked share one offset. @return -1 in a sandbox
 */
static int reopen(const struct gc_elf_file *file)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->input.fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static enum gc_code read_units(struct gc_dwarf_info *info, int fd, struct gc_error *err)
{
	Dwarf_Debug dbg = NULL;
	Dwarf_Error error = NULL;
	int result = start(fd, &dbg, &error);
	enum gc_code code;

	if (result == DW_DLV_NO_ENTRY)
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	if (result != DW_DLV_OK)
		return failed(NULL, error, err);
	code = walk_units(info, dbg, err);
	finish(dbg);
	return code;
}

enum gc_code gc_dwarf_info_read(struct gc_dwarf_info *out, struct gc_elf_file *file, struct gc_error *err)
{
	struct gc_dwarf_info info = { .units = 0 };
	enum gc_code code;
	uint64_t size;
	int fd;

	if (!debug_info_size(file, &size))
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	if (size > MAX_DEBUG_INFO)
		return gc_fail(err, GC_E_LIMIT, "debug information of %" PRIu64 " bytes", size);
	fd = reopen(file);
	if (fd < 0)
		return gc_fail(err, GC_E_IO, "debug information: the file cannot be opened here");
	code = read_units(&info, fd, err);
	close(fd);
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
