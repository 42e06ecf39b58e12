/* What stripping left of a program for a debugger. */
#include <stdio.h>
#include <string.h>

#include "document/doc.h"
#include "gocore/bytes.h"
#include "sym/dwarf_info.h"

#define MAX_FILE_NAME 4096

/* The sections that say something about the program, and what of it each keeps. */
enum content {
	SYMTAB, DYNSYM, DEBUG_INFO, DEBUG_LINE, DEBUG_FRAME, EH_FRAME, PCLNTAB,
	DEBUGDATA, DEBUGLINK, DEBUGALTLINK, OTHER,
};

static const struct section_kind {
	const char *name;
	enum content content;
} kinds[] = {
	{ ".symtab", SYMTAB }, { ".dynsym", DYNSYM },
	{ ".debug_info", DEBUG_INFO }, { ".zdebug_info", DEBUG_INFO },
	{ ".debug_types", OTHER }, { ".debug_abbrev", OTHER }, { ".zdebug_abbrev", OTHER },
	{ ".debug_line", DEBUG_LINE }, { ".zdebug_line", DEBUG_LINE },
	{ ".debug_str", OTHER }, { ".debug_line_str", OTHER }, { ".debug_aranges", OTHER },
	{ ".debug_loc", OTHER }, { ".zdebug_loc", OTHER }, { ".debug_loclists", OTHER },
	{ ".debug_ranges", OTHER }, { ".zdebug_ranges", OTHER }, { ".debug_rnglists", OTHER },
	{ ".debug_addr", OTHER }, { ".debug_frame", DEBUG_FRAME }, { ".zdebug_frame", DEBUG_FRAME },
	{ ".debug_macro", OTHER }, { ".debug_names", OTHER }, { ".gdb_index", OTHER },
	{ ".debug_gdb_scripts", OTHER }, { ".gnu_debugdata", DEBUGDATA }, { ".gnu_debuglink", DEBUGLINK },
	{ ".gnu_debugaltlink", DEBUGALTLINK }, { ".eh_frame", EH_FRAME }, { ".eh_frame_hdr", OTHER },
	{ ".gopclntab", PCLNTAB }, { ".data.rel.ro.gopclntab", PCLNTAB }, { ".gosymtab", OTHER },
	{ ".go.buildinfo", OTHER }, { ".note.gnu.build-id", OTHER }, { ".note.go.buildid", OTHER },
};

/* In words. stripped NULL: its lack is nothing that stripping did. */
static const struct {
	enum content content;
	const char *kept, *stripped;
} words[] = {
	{ SYMTAB, "names of all functions and variables (.symtab)",
	  "names of local functions and variables (.symtab)" },
	{ DYNSYM, "names of exported and imported functions (.dynsym)", NULL },
	{ DEBUG_INFO, "types, variables and inlined functions (.debug_info)",
	  "types, variables and inlined functions (.debug_info)" },
	{ DEBUG_LINE, "source files and lines (.debug_line)", "source files and lines (.debug_line)" },
	{ PCLNTAB, "Go function names, source lines, frame sizes (.gopclntab)", NULL },
	{ DEBUG_FRAME, "unwinding (.debug_frame)", NULL },
	{ EH_FRAME, "unwinding (.eh_frame)", NULL },
	{ DEBUGDATA, "names of local functions (.gnu_debugdata)", NULL },
};

static json_t *sections(struct gc_doc *d, struct gc_elf_file *file, unsigned *contents)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < GC_COUNT(kinds); i++) {
		const uint8_t *bytes;
		uint64_t size, addr;
		json_t *section;

		if (!gc_elf_section(file, kinds[i].name, &bytes, &size, &addr) || !size)
			continue;
		section = gc_doc_object(d);
		gc_doc_str(d, section, "name", kinds[i].name);
		gc_doc_size(d, section, "size", size);
		if (addr)
			gc_doc_hex(d, section, "address", addr);
		gc_doc_append(d, array, section);
		*contents |= 1U << kinds[i].content;
	}
	return array;
}

/** .gnu_debuglink: name, padding to 4, CRC-32 of the debug file (GDB manual, "Separate Debug Files"). */
static void add_debuglink(struct gc_doc *d, json_t *debug, struct gc_elf_file *file)
{
	const uint8_t *bytes, *nul;
	uint64_t size, addr;
	size_t len;

	if (!gc_elf_section(file, ".gnu_debuglink", &bytes, &size, &addr) || size > MAX_FILE_NAME ||
	    !(nul = memchr(bytes, 0, size)))
		return;
	len = (size_t)(nul - bytes);
	gc_doc_strn(d, debug, "link", (const char *)bytes, len);
	len = (len + 4) & ~(size_t)3;
	if (len <= size && size - len >= 4)
		gc_doc_hex(d, debug, "link_crc", gc_load_le32(bytes + len));
}

/** .gnu_debugaltlink: name of a dwz file, NUL, its build ID. */
static void add_altlink(struct gc_doc *d, json_t *debug, struct gc_elf_file *file)
{
	struct gc_build_id id = { .len = 0 };
	const uint8_t *bytes, *nul;
	uint64_t size, addr;
	json_t *link;

	if (!gc_elf_section(file, ".gnu_debugaltlink", &bytes, &size, &addr) || size > MAX_FILE_NAME ||
	    !(nul = memchr(bytes, 0, size)))
		return;
	link = gc_doc_object(d);
	gc_doc_strn(d, link, "path", (const char *)bytes, (size_t)(nul - bytes));
	id.len = size - (size_t)(nul - bytes) - 1;
	if (id.len <= GC_BUILD_ID_MAX) {
		memcpy(id.bytes, nul + 1, id.len);
		gc_doc_build_id(d, link, &id);
	}
	gc_doc_set(d, debug, "alt_link", link);
}

static json_t *versions(struct gc_doc *d, const struct gc_dwarf_info *info)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < GC_COUNT(info->version); i++)
		if (info->version[i])
			gc_doc_append(d, array, json_integer((json_int_t)i));
	return array;
}

static json_t *strings(struct gc_doc *d, const char *const *list, size_t count)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < count; i++)
		gc_doc_add_str(d, array, list[i]);
	return array;
}

static void add_dwarf(struct gc_doc *d, json_t *debug, struct gc_elf_file *file)
{
	struct gc_dwarf_info info;
	struct gc_error err;
	enum gc_code code = gc_dwarf_info_read(&info, file, &err);

	if (code != GC_OK) {
		if (code != GC_E_NOT_FOUND && code != GC_E_IO)
			gc_problem(&d->problems, file->input.path, "%s", err.text);
		return;
	}
	gc_doc_set(d, debug, "dwarf_versions", versions(d, &info));
	gc_doc_size(d, debug, "units", info.units);
	if (info.more)
		gc_doc_bool(d, debug, "more_units", true);
	gc_doc_set_filled(d, debug, "languages", strings(d, info.languages, info.nlanguages));
	gc_doc_set_filled(d, debug, "producers", strings(d, (const char *const *)info.producers, info.nproducers));
	gc_dwarf_info_deinit(&info);
}

static json_t *debug_info(struct gc_doc *d, struct gc_elf_file *file)
{
	json_t *debug = gc_doc_object(d);

	add_dwarf(d, debug, file);
	add_debuglink(d, debug, file);
	add_altlink(d, debug, file);
	return debug;
}

static bool has_segment(const struct gc_elf_file *file, uint32_t type)
{
	for (size_t i = 0; i < file->phdrs.count; i++)
		if (file->phdrs.list[i].p_type == type)
			return true;
	return false;
}

static json_t *stripped(struct gc_doc *d, unsigned contents)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < GC_COUNT(words); i++)
		if (words[i].stripped && !(contents & 1U << words[i].content))
			gc_doc_add_str(d, array, words[i].stripped);
	return array;
}

/** With a separate debug file everything comes back; where it is looked for. */
static void add_separate(struct gc_doc *d, json_t *array, const struct gc_elf_file *file, json_t *debug)
{
	const char *link = json_string_value(json_object_get(debug, "link"));
	char text[MAX_FILE_NAME + 64];

	if (link) {
		snprintf(text, sizeof(text), "all of it with the debug file %s (.gnu_debuglink)", link);
		gc_doc_add_str(d, array, text);
	}
	if (file->build_id.len)
		gc_doc_add_str(d, array, "all of it with the debug file of this build ID (.build-id/, debuginfod)");
}

static json_t *recoverable(struct gc_doc *d, struct gc_elf_file *file, unsigned contents, json_t *debug)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < GC_COUNT(words); i++)
		if (contents & 1U << words[i].content)
			gc_doc_add_str(d, array, words[i].kept);
	if (!(contents & 1U << EH_FRAME) && has_segment(file, PT_GNU_EH_FRAME))
		gc_doc_add_str(d, array, "unwinding (PT_GNU_EH_FRAME)");
	if (!(contents & 1U << SYMTAB) || !(contents & 1U << DEBUG_INFO))
		add_separate(d, array, file, debug);
	return array;
}

void gc_doc_remains(struct gc_doc *d, json_t *root, struct gc_elf_file *file)
{
	json_t *debug = debug_info(d, file);
	unsigned contents = 0;

	gc_doc_set_filled(d, root, "sections", sections(d, file, &contents));
	gc_doc_set_filled(d, root, "stripped", stripped(d, contents));
	gc_doc_set_filled(d, root, "recoverable", recoverable(d, file, contents, debug));
	gc_doc_set_filled(d, root, "debug", debug);
}
