#include "sym/dwarf_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "gocore/bytes.h"

#define MAX_SECTIONS  64              /* there are about 20 kinds */
#define MAX_UNPACKED  (2ULL << 30)    /* all sections of a file */
#define MAX_RATIO     1100            /* deflate packs at most 1032 to 1 */
#define CHDR_SIZE     24              /* Elf64_Chdr */
#define ZDEBUG_SIZE   12              /* "ZLIB" and the size, big-endian */
#define COMPRESS_ZSTD 2               /* ELFCOMPRESS_ZSTD, which older elf.h lack */

enum packing {
	PLAIN,
	ZLIB,
	ZSTD,
	UNKNOWN,
};

struct section {
	char *name;              /* ".debug_info" */
	const uint8_t *bytes;    /* in the file, behind the header of compressed ones */
	uint64_t len;
	uint64_t size;           /* unpacked */
	uint64_t addr;
	enum packing packing;
	uint8_t *unpacked;
	bool damaged;
};

/* libdwarf renamed all of this in version 0.3; versions before 0.1 are dates and have no macro for them. */
#ifdef DW_LIBDWARF_VERSION_MAJOR
typedef Dwarf_Obj_Access_Interface_a access_interface;
typedef Dwarf_Obj_Access_Methods_a access_methods;
typedef Dwarf_Obj_Access_Section_a access_section;
typedef Dwarf_Unsigned section_index;
typedef Dwarf_Small byte_order;
#define LITTLE_ENDIAN_OBJECT 2 /* DW_END_little */
#else
typedef Dwarf_Obj_Access_Interface access_interface;
typedef Dwarf_Obj_Access_Methods access_methods;
typedef Dwarf_Obj_Access_Section access_section;
typedef Dwarf_Half section_index;
typedef Dwarf_Endianness byte_order;
#define LITTLE_ENDIAN_OBJECT DW_OBJECT_LSB
#endif

struct gc_dwarf {
	struct gc_elf_file *file;
	struct section list[MAX_SECTIONS];
	size_t count;
	uint64_t unpacked;       /* bytes of all sections together */
	Dwarf_Debug dbg;
	access_interface access;
};

/* Sections. */

static struct section *section_named(struct gc_dwarf *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->list[i].name, name) == 0)
			return &d->list[i];
	return NULL;
}

/** Elf64_Chdr: type, reserved, size, alignment. */
static void read_compressed(struct section *s)
{
	uint32_t type;

	s->packing = UNKNOWN;
	if (s->len < CHDR_SIZE)
		return;
	type = gc_load_le32(s->bytes);
	s->size = gc_load_le64(s->bytes + 8);
	s->bytes += CHDR_SIZE;
	s->len -= CHDR_SIZE;
	if (type == ELFCOMPRESS_ZLIB)
		s->packing = ZLIB;
	else if (type == COMPRESS_ZSTD)
		s->packing = ZSTD;
}

/** What GNU tools and Go wrote before SHF_COMPRESSED. */
static void read_zdebug(struct section *s)
{
	if (s->len < ZDEBUG_SIZE || memcmp(s->bytes, "ZLIB", 4) != 0)
		return;
	s->size = 0;
	for (size_t i = 4; i < ZDEBUG_SIZE; i++)
		s->size = s->size << 8 | s->bytes[i];
	s->bytes += ZDEBUG_SIZE;
	s->len -= ZDEBUG_SIZE;
	s->packing = ZLIB;
}

static bool add_section(void *data, const char *name, const Elf64_Shdr *shdr)
{
	const bool zdebug = strncmp(name, ".zdebug_", 8) == 0;
	struct gc_dwarf *d = data;
	struct section s = { .packing = PLAIN };
	const char *rest = name + (zdebug ? 8 : 7);

	if ((!zdebug && strncmp(name, ".debug_", 7) != 0) || shdr->sh_type == SHT_NOBITS ||
	    shdr->sh_offset > d->file->input.size || shdr->sh_size > d->file->input.size - shdr->sh_offset)
		return true;
	if (asprintf(&s.name, ".debug_%.40s", rest) < 0)
		return false;
	s.bytes = d->file->input.bytes + shdr->sh_offset;
	s.len = s.size = shdr->sh_size;
	s.addr = shdr->sh_addr;
	if (shdr->sh_flags & SHF_COMPRESSED)
		read_compressed(&s);
	else if (zdebug)
		read_zdebug(&s);
	if (section_named(d, s.name) || s.packing == UNKNOWN) /* .debug_types may be there often; the first counts */
		free(s.name);
	else
		d->list[d->count++] = s;
	return d->count < MAX_SECTIONS;
}

static bool unzlib(const struct section *s, uint8_t *out)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)s->bytes };
	uint64_t in_left = s->len, out_left = s->size;
	int ret = Z_OK;

	if (inflateInit(&z) != Z_OK)
		return false;
	z.next_out = out;
	while (ret == Z_OK) { /* avail_in and avail_out are 32 bits wide */
		uInt in = in_left < UINT32_MAX ? (uInt)in_left : UINT32_MAX;
		uInt room = out_left < UINT32_MAX ? (uInt)out_left : UINT32_MAX;

		z.avail_in = in;
		z.avail_out = room;
		ret = inflate(&z, Z_NO_FLUSH);
		in_left -= in - z.avail_in;
		out_left -= room - z.avail_out;
	}
	inflateEnd(&z);
	return ret == Z_STREAM_END && out_left == 0;
}

static bool unzstd(const struct section *s, uint8_t *out)
{
	return ZSTD_decompress(out, s->size, s->bytes, s->len) == s->size;
}

static enum gc_code unpack(struct gc_dwarf *d, struct section *s, struct gc_error *err)
{
	uint8_t *out;

	if (s->packing == PLAIN || s->unpacked)
		return GC_OK;
	if (s->damaged)
		return gc_fail(err, GC_E_FORMAT, "%s cannot be unpacked", s->name);
	s->damaged = true;
	if (s->size > MAX_UNPACKED - d->unpacked || (s->packing == ZLIB && s->size / MAX_RATIO > s->len))
		return gc_fail(err, GC_E_LIMIT, "%s claims to be of %" PRIu64 " bytes", s->name, s->size);
	out = malloc(s->size ? s->size : 1);
	if (!out)
		return gc_fail_memory(err);
	if (!(s->packing == ZLIB ? unzlib : unzstd)(s, out)) {
		free(out);
		return gc_fail(err, GC_E_FORMAT, "%s cannot be unpacked", s->name);
	}
	s->damaged = false;
	s->unpacked = out;
	d->unpacked += s->size;
	return GC_OK;
}

enum gc_code gc_dwarf_section(struct gc_dwarf *d, const char *name, const uint8_t **bytes, uint64_t *len,
			      struct gc_error *err)
{
	struct section *s = section_named(d, name);
	enum gc_code code;

	if (!s)
		return gc_fail(err, GC_E_NOT_FOUND, "no %s", name);
	code = unpack(d, s, err);
	if (code != GC_OK)
		return code;
	*bytes = s->unpacked ? s->unpacked : s->bytes;
	*len = s->size;
	return GC_OK;
}

uint64_t gc_dwarf_section_size(const struct gc_dwarf *d, const char *name)
{
	const struct section *s = section_named((struct gc_dwarf *)(uintptr_t)d, name);

	return s ? s->size : 0;
}

uint64_t gc_dwarf_unpacked(const struct gc_dwarf *d)
{
	return d->unpacked;
}

/*
 * libdwarf's view: section 0 is the empty one of ELF. It only gets what DIEs
 * are made of. Tables of other kinds it would read in passing, and version
 * 20210528 does not survive damaged ones.
 */
static bool is_for_libdwarf(const char *name)
{
	static const char *const names[] = {
		".debug_info", ".debug_abbrev", ".debug_str", ".debug_line_str", ".debug_str_offsets", ".debug_addr",
	};

	for (size_t i = 0; i < GC_COUNT(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static int section_info(void *object, section_index index, access_section *out, int *error)
{
	const struct gc_dwarf *d = object;
	const struct section *s;

	(void)error;
	memset(out, 0, sizeof(*out));
	if (index > d->count)
		return DW_DLV_NO_ENTRY;
	s = index && is_for_libdwarf(d->list[index - 1].name) ? &d->list[index - 1] : NULL;
#ifdef DW_LIBDWARF_VERSION_MAJOR
	out->as_name = s ? s->name : "";
	out->as_type = s ? SHT_PROGBITS : SHT_NULL;
	out->as_size = s ? s->size : 0;
	out->as_addr = s ? s->addr : 0;
#else
	out->name = s ? s->name : "";
	out->type = s ? SHT_PROGBITS : SHT_NULL;
	out->size = s ? s->size : 0;
	out->addr = s ? s->addr : 0;
#endif
	return DW_DLV_OK;
}

static byte_order little_endian(void *object)
{
	(void)object;
	return LITTLE_ENDIAN_OBJECT;
}

static Dwarf_Small eight(void *object)
{
	(void)object;
	return 8;
}

static Dwarf_Unsigned section_count(void *object)
{
	const struct gc_dwarf *d = object;

	return d->count + 1;
}

static int load_section(void *object, section_index index, Dwarf_Small **out, int *error)
{
	struct gc_dwarf *d = object;
	const uint8_t *bytes;
	uint64_t len;

	if (index == 0 || index > d->count)
		return DW_DLV_NO_ENTRY;
	if (gc_dwarf_section(d, d->list[index - 1].name, &bytes, &len, NULL) != GC_OK) {
		*error = DW_DLE_SECTION_DUPLICATION; /* any number of its own will do */
		return DW_DLV_ERROR;
	}
	*out = (Dwarf_Small *)(uintptr_t)bytes; /* it only reads */
	return DW_DLV_OK;
}

#ifdef DW_LIBDWARF_VERSION_MAJOR
/** It refuses sections larger than this; ours may be unpacked. */
static Dwarf_Unsigned file_size(void *object)
{
	const struct gc_dwarf *d = object;
	Dwarf_Unsigned size = d->file->input.size;

	for (size_t i = 0; i < d->count; i++)
		if (d->list[i].size > size)
			size = d->list[i].size;
	return size;
}

static const access_methods methods = {
	.om_get_section_info = section_info,
	.om_get_byte_order = little_endian,
	.om_get_length_size = eight,
	.om_get_pointer_size = eight,
	.om_get_filesize = file_size,
	.om_get_section_count = section_count,
	.om_load_section = load_section,
};

static void connect(struct gc_dwarf *d)
{
	d->access = (access_interface){ .ai_object = d, .ai_methods = &methods };
}

static void finish(Dwarf_Debug dbg)
{
	dwarf_object_finish(dbg);
}
#else
static const access_methods methods = {
	.get_section_info = section_info,
	.get_byte_order = little_endian,
	.get_length_size = eight,
	.get_pointer_size = eight,
	.get_section_count = section_count,
	.load_section = load_section,
};

static void connect(struct gc_dwarf *d)
{
	d->access = (access_interface){ .object = d, .methods = &methods };
}

static void finish(Dwarf_Debug dbg)
{
	Dwarf_Error error = NULL;

	dwarf_object_finish(dbg, &error);
}
#endif

void gc_dwarf_forget(Dwarf_Debug dbg, Dwarf_Error error)
{
	if (error)
		dwarf_dealloc(dbg, error, DW_DLA_ERROR);
}

enum gc_code gc_dwarf_failed(Dwarf_Debug dbg, Dwarf_Error error, const char *what, struct gc_error *err)
{
	enum gc_code code = gc_fail(err, GC_E_FORMAT, "%s: %s", what, error ? dwarf_errmsg(error) : "unreadable");

	gc_dwarf_forget(dbg, error);
	return code;
}

enum gc_code gc_dwarf_debug(struct gc_dwarf *d, Dwarf_Debug *out, struct gc_error *err)
{
	Dwarf_Error error = NULL;
	int result;

	if (!d->dbg) {
		connect(d);
		result = dwarf_object_init_b(&d->access, NULL, NULL, DW_GROUPNUMBER_ANY, &d->dbg, &error);
		if (result != DW_DLV_OK) {
			d->dbg = NULL;
			return gc_dwarf_failed(NULL, error, "debug information", err);
		}
	}
	*out = d->dbg;
	return GC_OK;
}

/* The whole. */

static bool is_debug_info(void *data, const char *name, const Elf64_Shdr *shdr)
{
	bool *found = data;

	*found = (strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0) &&
		 shdr->sh_type != SHT_NOBITS && shdr->sh_size > 0;
	return !*found;
}

bool gc_dwarf_is_in(struct gc_elf_file *file)
{
	bool found = false;

	gc_elf_sections(file, is_debug_info, &found);
	return found;
}

enum gc_code gc_dwarf_open(struct gc_dwarf **out, struct gc_elf_file *file, struct gc_error *err)
{
	struct gc_dwarf *d = calloc(1, sizeof(*d));

	if (!d)
		return gc_fail_memory(err);
	d->file = file;
	gc_elf_sections(file, add_section, d);
	if (d->count == 0) {
		gc_dwarf_close(d);
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	}
	*out = d;
	return GC_OK;
}

void gc_dwarf_close(struct gc_dwarf *d)
{
	if (!d)
		return;
	if (d->dbg)
		finish(d->dbg);
	for (size_t i = 0; i < d->count; i++) {
		free(d->list[i].name);
		free(d->list[i].unpacked);
	}
	free(d);
}
