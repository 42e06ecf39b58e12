/* The header of a line table: its numbers, its directories and its files. */
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "sym/line_reader.h"

#define MAX_FILES   1000000
#define MAX_DIRS    1000000
#define MAX_FORMATS 32

/* DWARF 5 sections 7.5.6, 7.22; <dwarf.h> is libdwarf's or elfutils', whichever comes first */
enum {
	FORM_BLOCK2 = 0x03, FORM_BLOCK4 = 0x04, FORM_DATA2 = 0x05, FORM_DATA4 = 0x06, FORM_DATA8 = 0x07,
	FORM_STRING = 0x08, FORM_BLOCK = 0x09, FORM_BLOCK1 = 0x0a, FORM_DATA1 = 0x0b, FORM_STRP = 0x0e,
	FORM_UDATA = 0x0f, FORM_STRP_SUP = 0x1d, FORM_DATA16 = 0x1e, FORM_LINE_STRP = 0x1f,
	FORM_GNU_STRP_ALT = 0x1f21,

	LNCT_PATH = 1, LNCT_DIRECTORY_INDEX = 2,
};

/* Numbers and strings. */

bool line_read_sized(struct gc_cursor *c, unsigned size, uint64_t *out)
{
	const uint8_t *bytes;

	if (gc_cursor_bytes(c, size, &bytes, NULL) != GC_OK)
		return false;
	*out = size == 8 ? gc_load_le64(bytes) : size == 4 ? gc_load_le32(bytes) :
	       size == 2 ? gc_load_le16(bytes) : bytes[0];
	return true;
}

static bool read_offset(struct line_reader *r, uint64_t *out)
{
	return line_read_sized(&r->c, r->is_64 ? 8 : 4, out);
}

static const char *string_at(struct gc_dwarf *dwarf, const char *section, uint64_t offset)
{
	const uint8_t *bytes;
	uint64_t len;

	if (!dwarf || gc_dwarf_section(dwarf, section, &bytes, &len, NULL) != GC_OK || offset >= len ||
	    !memchr(bytes + offset, 0, len - offset))
		return NULL;
	return (const char *)bytes + offset;
}

/* DWARF 5 tables of directories and files: a description of the entries, then the entries. */

struct entry {
	const char *text;
	uint64_t dir;
};

/** One field. @return false if its form is unknown, as what follows cannot be found then */
static bool read_field(struct line_reader *r, uint64_t type, uint64_t form, struct entry *e)
{
	const char *text = NULL;
	uint64_t value = 0;
	const uint8_t *skipped;
	bool ok = true;

	switch (form) {
	case FORM_STRING:
		ok = gc_cursor_string(&r->c, &text, NULL) == GC_OK;
		break;
	case FORM_LINE_STRP:
	case FORM_STRP:
		ok = read_offset(r, &value);
		text = ok ? string_at(r->dwarf, form == FORM_STRP ? ".debug_str" : ".debug_line_str", value) : NULL;
		break;
	case FORM_STRP_SUP:
	case FORM_GNU_STRP_ALT:
		ok = read_offset(r, &value);
		text = ok ? string_at(r->supplement, ".debug_str", value) : NULL;
		break;
	case FORM_UDATA:
		ok = gc_cursor_uleb(&r->c, &value, NULL) == GC_OK;
		break;
	case FORM_DATA1:
	case FORM_DATA2:
	case FORM_DATA4:
	case FORM_DATA8:
		ok = line_read_sized(&r->c, form == FORM_DATA1 ? 1 : form == FORM_DATA2 ? 2 :
				      form == FORM_DATA4 ? 4 : 8, &value);
		break;
	case FORM_DATA16:
		ok = gc_cursor_bytes(&r->c, 16, &skipped, NULL) == GC_OK;
		break;
	case FORM_BLOCK:
	case FORM_BLOCK1:
	case FORM_BLOCK2:
	case FORM_BLOCK4:
		ok = form == FORM_BLOCK ? gc_cursor_uleb(&r->c, &value, NULL) == GC_OK :
		     line_read_sized(&r->c, form == FORM_BLOCK1 ? 1 : form == FORM_BLOCK2 ? 2 : 4, &value);
		ok = ok && gc_cursor_bytes(&r->c, value, &skipped, NULL) == GC_OK;
		break;
	default:
		return false;
	}
	if (type == LNCT_PATH)
		e->text = text;
	else if (type == LNCT_DIRECTORY_INDEX)
		e->dir = value;
	return ok;
}

static bool add_file(struct line_reader *r, const char *name, uint64_t dir)
{
	struct gc_line_table *t = &r->table;

	if (t->nfiles == r->cap_files) {
		size_t cap = r->cap_files ? 2 * r->cap_files : 32;
		struct gc_line_file *files = cap <= MAX_FILES ? realloc(t->files, cap * sizeof(*files)) : NULL;

		if (!files)
			return false;
		t->files = files;
		r->cap_files = cap;
	}
	t->files[t->nfiles++] = (struct gc_line_file){
		.name = name,
		.dir = dir < r->ndirs ? r->dirs[dir] : NULL,
	};
	return true;
}

static bool add_dir(struct line_reader *r, const char *name)
{
	if (r->ndirs == r->cap_dirs) {
		size_t cap = r->cap_dirs ? 2 * r->cap_dirs : 16;
		const char **dirs = cap <= MAX_DIRS ? realloc(r->dirs, cap * sizeof(*dirs)) : NULL;

		if (!dirs)
			return false;
		r->dirs = dirs;
		r->cap_dirs = cap;
	}
	r->dirs[r->ndirs++] = name;
	return true;
}

static bool read_entries(struct line_reader *r, bool files)
{
	uint64_t types[MAX_FORMATS], forms[MAX_FORMATS], count;
	uint8_t nformats;

	if (gc_cursor_u8(&r->c, &nformats, NULL) != GC_OK || nformats > MAX_FORMATS)
		return false;
	for (size_t i = 0; i < nformats; i++)
		if (gc_cursor_uleb(&r->c, &types[i], NULL) != GC_OK || gc_cursor_uleb(&r->c, &forms[i], NULL) != GC_OK)
			return false;
	if (gc_cursor_uleb(&r->c, &count, NULL) != GC_OK || (count > 0 && nformats == 0))
		return false;
	for (uint64_t n = 0; n < count; n++) {
		struct entry e = { .text = NULL };

		for (size_t i = 0; i < nformats; i++)
			if (!read_field(r, types[i], forms[i], &e))
				return false;
		if (files ? !add_file(r, e.text, e.dir) : !add_dir(r, e.text))
			return false;
	}
	return true;
}

/* Before DWARF 5: names up to an empty one; directory 0 is that of the compilation. */

static bool read_old_dirs(struct line_reader *r)
{
	const char *name;

	if (!add_dir(r, NULL))
		return false;
	for (;;) {
		if (gc_cursor_string(&r->c, &name, NULL) != GC_OK)
			return false;
		if (name[0] == '\0')
			return true;
		if (!add_dir(r, name))
			return false;
	}
}

bool line_read_old_file(struct line_reader *r, const char *name)
{
	uint64_t dir, time, length;

	return gc_cursor_uleb(&r->c, &dir, NULL) == GC_OK &&
	       gc_cursor_uleb(&r->c, &time, NULL) == GC_OK &&
	       gc_cursor_uleb(&r->c, &length, NULL) == GC_OK &&
	       add_file(r, name, dir);
}

static bool read_old_files(struct line_reader *r)
{
	const char *name;

	if (!add_file(r, NULL, 0))
		return false;
	for (;;) {
		if (gc_cursor_string(&r->c, &name, NULL) != GC_OK)
			return false;
		if (name[0] == '\0')
			return true;
		if (!line_read_old_file(r, name))
			return false;
	}
}

/* The header. */

/** Unit length and version; the cursor ends with the unit then. */
static bool read_length(struct line_reader *r)
{
	uint64_t length;

	if (!line_read_sized(&r->c, 4, &length))
		return false;
	r->is_64 = length == 0xffffffff;
	if (r->is_64 && !line_read_sized(&r->c, 8, &length))
		return false;
	if (length > gc_cursor_left(&r->c)) {
		length = gc_cursor_left(&r->c);
		r->table.cut = true;
	}
	r->c.end = r->c.pos + length;
	return gc_cursor_u16(&r->c, &r->version, NULL) == GC_OK && r->version >= 2 && r->version <= 5;
}

static bool read_numbers(struct line_reader *r)
{
	uint8_t is_stmt, base;

	r->max_ops = 1;
	if (gc_cursor_u8(&r->c, &r->min_length, NULL) != GC_OK ||
	    (r->version >= 4 && gc_cursor_u8(&r->c, &r->max_ops, NULL) != GC_OK) ||
	    gc_cursor_u8(&r->c, &is_stmt, NULL) != GC_OK || gc_cursor_u8(&r->c, &base, NULL) != GC_OK ||
	    gc_cursor_u8(&r->c, &r->line_range, NULL) != GC_OK ||
	    gc_cursor_u8(&r->c, &r->opcode_base, NULL) != GC_OK || r->opcode_base == 0 || r->max_ops == 0)
		return false;
	r->default_is_stmt = is_stmt;
	r->line_base = (int8_t)base;
	return gc_cursor_bytes(&r->c, (uint64_t)r->opcode_base - 1, &r->lengths, NULL) == GC_OK;
}

/** @param program  where the opcodes start */
bool line_read_header(struct line_reader *r, const uint8_t **program)
{
	uint64_t header_length;
	uint8_t segment_size;

	r->address_size = 8;
	if (!read_length(r) ||
	    (r->version >= 5 && (gc_cursor_u8(&r->c, &r->address_size, NULL) != GC_OK ||
				 gc_cursor_u8(&r->c, &segment_size, NULL) != GC_OK)) ||
	    !read_offset(r, &header_length) || header_length > gc_cursor_left(&r->c))
		return false;
	*program = r->c.pos + header_length;
	if (!read_numbers(r))
		return false;
	if (!(r->version >= 5 ? read_entries(r, false) && read_entries(r, true) :
				read_old_dirs(r) && read_old_files(r)))
		r->table.cut = true; /* names of files only */
	return true;
}
