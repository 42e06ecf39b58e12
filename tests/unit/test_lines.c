/* Functions, inlined calls and lines out of DWARF that is written here byte by byte, and the files that hold it. */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "gocore/bytes.h"
#include "gocore/debug_file.h"
#include "gocore/lines.h"

#include "core_builder.h"

#include "sym/line_cache.h"
#include "sym/lines_calls.h"

/* An ELF file with the given sections. */

struct section {
	const char *name;
	uint32_t type;
	uint64_t flags;
	struct gc_buf bytes;
};

struct elf {
	struct section list[24];
	size_t count;
	uint16_t type;             /* ET_DYN, or ET_REL: dwz's files, without program headers */
	const uint8_t *build_id;   /* 20 bytes, or NULL */
};

static void put8(struct gc_buf *b, unsigned value)
{
	gc_buf_char(b, (char)value);
}

static void put(struct gc_buf *b, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		put8(b, (unsigned)(value >> 8 * i) & 0xff);
}

static void put_uleb(struct gc_buf *b, uint64_t value)
{
	do {
		put8(b, (unsigned)(value & 0x7f) | (value > 0x7f ? 0x80 : 0));
		value >>= 7;
	} while (value);
}

static void put_sleb(struct gc_buf *b, int64_t value)
{
	for (; value < -64 || value > 63; value >>= 7)
		put8(b, (unsigned)(value & 0x7f) | 0x80);
	put8(b, (unsigned)value & 0x7f);
}

static void put_str(struct gc_buf *b, const char *text)
{
	gc_buf_add(b, text, strlen(text) + 1);
}

static void set(struct gc_buf *b, size_t at, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		b->data[at + i] = (char)(value >> 8 * i);
}

static struct gc_buf *section(struct elf *e, const char *name)
{
	for (size_t i = 0; i < e->count; i++)
		if (strcmp(e->list[i].name, name) == 0)
			return &e->list[i].bytes;
	ck_assert_uint_lt(e->count, GC_COUNT(e->list));
	e->list[e->count].name = name;
	e->list[e->count].type = SHT_PROGBITS;
	return &e->list[e->count++].bytes;
}

static void add_build_id(struct elf *e)
{
	struct gc_buf *note = section(e, ".note.gnu.build-id");

	e->list[e->count - 1].type = SHT_NOTE;
	put(note, 4, 4);
	put(note, 20, 4);
	put(note, NT_GNU_BUILD_ID, 4);
	put_str(note, "GNU");
	gc_buf_add(note, e->build_id, 20);
}

static void put_section(struct gc_buf *out, uint32_t name, const struct section *s, uint64_t offset)
{
	put(out, name, 4);
	put(out, s->type, 4);
	put(out, s->flags, 8);
	put(out, 0, 8);
	put(out, offset, 8);
	put(out, s->bytes.len, 8);
	put(out, 0, 8);
	put(out, 1, 8);
	put(out, 0, 8);
}

/** One PT_LOAD of 16 KiB text from 0 on, and a PT_NOTE. */
static void write_elf(struct elf *e, struct gc_buf *out)
{
	uint64_t offsets[24] = { 0 }, phnum = e->type == ET_REL ? 0 : 2;
	struct section names = { .name = ".shstrtab", .type = SHT_STRTAB };
	size_t note = SIZE_MAX;

	if (e->build_id)
		add_build_id(e);
	gc_buf_add(out, ELFMAG "\2\1\1\0\0\0\0\0\0\0\0", 16);
	put(out, e->type, 2);
	put(out, EM_X86_64, 2);
	put(out, 1, 4);
	put(out, 0x1000, 8);
	put(out, phnum ? 64 : 0, 8);
	put(out, 0, 8);            /* e_shoff, below */
	put(out, 0, 4);
	put(out, 64, 2);
	put(out, 56, 2);
	put(out, phnum, 2);
	put(out, 64, 2);
	put(out, e->count + 2, 2);
	put(out, e->count + 1, 2);
	for (size_t i = 0; i < phnum * 56; i++)
		put8(out, 0);
	put8(&names.bytes, 0);
	for (size_t i = 0; i < e->count; i++) {
		offsets[i] = out->len;
		if (e->list[i].type == SHT_NOTE)
			note = i;
		gc_buf_add(out, e->list[i].bytes.data, e->list[i].bytes.len);
	}
	if (phnum) {
		set(out, 64, PT_LOAD, 4);
		set(out, 64 + 4, PF_R | PF_X, 4);
		set(out, 64 + 32, 64, 8);
		set(out, 64 + 40, 0x4000, 8);
		set(out, 64 + 48, 0x1000, 8);
		set(out, 120, note == SIZE_MAX ? PT_NULL : PT_NOTE, 4);
		set(out, 120 + 8, note == SIZE_MAX ? 0 : offsets[note], 8);
		set(out, 120 + 32, note == SIZE_MAX ? 0 : e->list[note].bytes.len, 8);
		set(out, 120 + 48, 4, 8);
	}
	offsets[e->count] = out->len;
	for (size_t i = 0; i < e->count; i++)
		put_str(&names.bytes, e->list[i].name);
	put_str(&names.bytes, names.name);
	gc_buf_add(out, names.bytes.data, names.bytes.len);
	set(out, 40, out->len, 8);
	put_section(out, 0, &(struct section){ .type = SHT_NULL }, 0);
	for (size_t i = 0, name = 1; i <= e->count; i++) {
		put_section(out, (uint32_t)name, i < e->count ? &e->list[i] : &names, offsets[i]);
		name += strlen(i < e->count ? e->list[i].name : names.name) + 1;
	}
	gc_buf_deinit(&names.bytes);
	for (size_t i = 0; i < e->count; i++)
		gc_buf_deinit(&e->list[i].bytes);
	e->count = 0;
}

/*
 * The debug information of
 *
 *	/src/app/inc/inl.h                       /src/app/main.c
 *	3  static inline int mid(int x)          10  int outer(int x)
 *	5          y = deep(x);                  11          y = mid(x);
 *	7  static inline int deep(int x)         20  int plain(int x)
 *
 * outer is at 0x1000 to 0x1040, and a cold part of it at 0x2000 to 0x2008.
 */

enum {
	AT_NAME = 0x03, AT_STMT_LIST = 0x10, AT_LOW_PC = 0x11, AT_HIGH_PC = 0x12, AT_LANGUAGE = 0x13,
	AT_COMP_DIR = 0x1b, AT_INLINE = 0x20, AT_ABSTRACT_ORIGIN = 0x31, AT_RANGES = 0x55, AT_CALL_FILE = 0x58,
	AT_CALL_LINE = 0x59, AT_LINKAGE_NAME = 0x6e,
	FORM_ADDR = 0x01, FORM_DATA4 = 0x06, FORM_DATA8 = 0x07, FORM_STRING = 0x08, FORM_DATA1 = 0x0b, FORM_STRP = 0x0e,
	FORM_REF4 = 0x13, FORM_SEC_OFFSET = 0x17, FORM_LINE_STRP = 0x1f, FORM_GNU_REF_ALT = 0x1f20,
	FORM_GNU_STRP_ALT = 0x1f21,
	TAG_COMPILE_UNIT = 0x11, TAG_INLINED = 0x1d, TAG_SUBPROGRAM = 0x2e, TAG_NAMESPACE = 0x39,
	LANG_C99 = 0x0c, LANG_CPP14 = 0x21,
};

struct row {
	uint64_t addr;
	unsigned file, line;     /* line 0 and file 0: end_sequence */
	bool not_stmt;
	unsigned discriminator;
};

static const struct row usual_rows[] = {
	{ 0x1000, 1, 10, false, 0 }, { 0x1010, 2, 3, false, 0 }, { 0x1018, 2, 7, false, 0 }, { 0x1020, 2, 4, false, 0 },
	{ 0x1030, 1, 12, false, 0 }, { 0x1040, 1, 20, false, 0 }, { 0x1050, 0, 0, false, 0 },
	{ 0x2000, 1, 15, false, 0 }, { 0x2008, 0, 0, false, 0 },
};

struct dwarf {
	unsigned version;
	bool is_64;              /* 64-bit DWARF */
	unsigned language;
	const char *linkage;     /* of plain; NULL: none */
	bool in_namespace;       /* plain is in an unnamed namespace in namespace app */
	bool aranges, few_aranges; /* few: only for the cold part */
	bool supplement;         /* deep's DIE and plain's name are in dwz's file */
	const struct row *rows;
	size_t nrows;
};

static void put_offset(const struct dwarf *d, struct gc_buf *b, uint64_t value)
{
	put(b, value, d->is_64 ? 8 : 4);
}

/** @return where the length is */
static size_t begin(const struct dwarf *d, struct gc_buf *b)
{
	if (d->is_64)
		put(b, 0xffffffff, 4);
	put_offset(d, b, 0);
	return b->len;
}

static void end(const struct dwarf *d, struct gc_buf *b, size_t from)
{
	unsigned size = d->is_64 ? 8 : 4;

	set(b, from - size, b->len - from, size);
}

static void abbreviation(struct gc_buf *b, unsigned code, unsigned tag, int children, ...)
{
	va_list args;
	unsigned value;

	put_uleb(b, code);
	put_uleb(b, tag);
	put8(b, (unsigned)children);
	va_start(args, children);
	while ((value = va_arg(args, unsigned)))
		put_uleb(b, value);
	va_end(args);
	put(b, 0, 2);
}

static void write_abbrev(const struct dwarf *d, struct gc_buf *b)
{
	const unsigned offset = d->version >= 4 ? FORM_SEC_OFFSET : d->is_64 ? FORM_DATA8 : FORM_DATA4;
	const unsigned high = d->version >= 4 ? FORM_DATA4 : FORM_ADDR;

	if (d->version >= 3) {
		abbreviation(b, 1, TAG_COMPILE_UNIT, true, AT_NAME, FORM_STRING, AT_COMP_DIR, FORM_STRING, AT_LANGUAGE,
			     FORM_DATA1, AT_STMT_LIST, offset, AT_LOW_PC, FORM_ADDR, AT_RANGES, offset, 0);
		abbreviation(b, 3, TAG_SUBPROGRAM, true, AT_NAME, FORM_STRING, AT_RANGES, offset, 0);
	} else {
		abbreviation(b, 1, TAG_COMPILE_UNIT, true, AT_NAME, FORM_STRING, AT_COMP_DIR, FORM_STRING, AT_LANGUAGE,
			     FORM_DATA1, AT_STMT_LIST, offset, AT_LOW_PC, FORM_ADDR, AT_HIGH_PC, FORM_ADDR, 0);
		abbreviation(b, 3, TAG_SUBPROGRAM, true, AT_NAME, FORM_STRING, AT_LOW_PC, FORM_ADDR, AT_HIGH_PC,
			     FORM_ADDR, 0);
	}
	abbreviation(b, 2, TAG_SUBPROGRAM, false, AT_NAME, FORM_STRING, AT_INLINE, FORM_DATA1, 0);
	abbreviation(b, 4, TAG_INLINED, true, AT_ABSTRACT_ORIGIN, FORM_REF4, AT_LOW_PC, FORM_ADDR, AT_HIGH_PC, high,
		     AT_CALL_FILE, FORM_DATA1, AT_CALL_LINE, FORM_DATA1, 0);
	abbreviation(b, 5, TAG_INLINED, false, AT_ABSTRACT_ORIGIN, d->supplement ? FORM_GNU_REF_ALT : FORM_REF4,
		     AT_LOW_PC, FORM_ADDR, AT_HIGH_PC, high, AT_CALL_FILE, FORM_DATA1, AT_CALL_LINE, FORM_DATA1, 0);
	if (d->linkage)
		abbreviation(b, 6, TAG_SUBPROGRAM, false, AT_NAME, FORM_STRP, AT_LOW_PC, FORM_ADDR, AT_HIGH_PC, high,
			     AT_LINKAGE_NAME, FORM_STRING, 0);
	else
		abbreviation(b, 6, TAG_SUBPROGRAM, false, AT_NAME, d->supplement ? FORM_GNU_STRP_ALT : FORM_STRP,
			     AT_LOW_PC, FORM_ADDR, AT_HIGH_PC, high, 0);
	abbreviation(b, 7, TAG_NAMESPACE, true, AT_NAME, FORM_STRING, 0);
	abbreviation(b, 8, TAG_NAMESPACE, true, 0);
	put8(b, 0);
}

static void put_range(const struct dwarf *d, struct gc_buf *b, uint64_t low, uint64_t high)
{
	put(b, low, 8);
	if (d->version >= 4)
		put(b, high - low, 4);
	else
		put(b, high, 8);
}

/** Offsets in .debug_ranges or .debug_rnglists. */
struct ranges {
	uint64_t unit, outer;
};

static void write_ranges(const struct dwarf *d, struct elf *e, struct ranges *out)
{
	struct gc_buf *b;
	size_t from;

	if (d->version < 3)
		return;
	if (d->version < 5) {
		b = section(e, ".debug_ranges");
		out->unit = b->len;
		put(b, 0x1000, 8), put(b, 0x1050, 8), put(b, 0x2000, 8), put(b, 0x2008, 8), put(b, 0, 8), put(b, 0, 8);
		out->outer = b->len;
		put(b, UINT64_MAX, 8), put(b, 0x0800, 8); /* a new base */
		put(b, 0x800, 8), put(b, 0x840, 8), put(b, 0x1800, 8), put(b, 0x1808, 8), put(b, 0, 8), put(b, 0, 8);
		return;
	}
	b = section(e, ".debug_rnglists");
	from = begin(d, b);
	put(b, 5, 2);
	put8(b, 8);
	put8(b, 0);
	put(b, 0, 4);
	out->unit = b->len;
	put8(b, 7), put(b, 0x1000, 8), put_uleb(b, 0x50);             /* DW_RLE_start_length */
	put8(b, 6), put(b, 0x2000, 8), put(b, 0x2008, 8), put8(b, 0); /* DW_RLE_start_end */
	out->outer = b->len;
	put8(b, 5), put(b, 0x0800, 8);                                /* DW_RLE_base_address */
	put8(b, 4), put_uleb(b, 0x800), put_uleb(b, 0x840);  /* DW_RLE_offset_pair */
	put8(b, 4), put_uleb(b, 0x1800), put_uleb(b, 0x1808), put8(b, 0);
	end(d, b, from);
}

/* Offsets in dwz's file, see write_supplement. */
#define SUPPLEMENT_DEEP 26
#define SUPPLEMENT_PLAIN 5

static void write_plain(const struct dwarf *d, struct gc_buf *b)
{
	if (d->in_namespace)
		put8(b, 7), put_str(b, "app"), put8(b, 8);
	put8(b, 6);
	put_offset(d, b, SUPPLEMENT_PLAIN); /* of .debug_str, too */
	put_range(d, b, 0x1040, 0x1050);
	if (d->linkage)
		put_str(b, d->linkage);
	if (d->in_namespace)
		put(b, 0, 2);
}

static void write_info(const struct dwarf *d, struct elf *e, const struct ranges *ranges)
{
	struct gc_buf *b = section(e, ".debug_info");
	size_t start = b->len, from = begin(d, b), mid, deep;

	put(b, d->version, 2);
	if (d->version >= 5)
		put8(b, 1), put8(b, 8), put_offset(d, b, 0);
	else
		put_offset(d, b, 0), put8(b, 8);
	put8(b, 1);
	put_str(b, "main.c");
	put_str(b, "/src/app");
	put8(b, d->language);
	put_offset(d, b, 0);
	if (d->version >= 3)
		put(b, 0, 8), put_offset(d, b, ranges->unit);
	else
		put(b, 0x1000, 8), put(b, 0x1050, 8);
	mid = b->len - start;
	put8(b, 2), put_str(b, "mid"), put8(b, 1);
	deep = b->len - start;
	put8(b, 2), put_str(b, "deep"), put8(b, 1);
	put8(b, 3), put_str(b, "outer");
	if (d->version >= 3)
		put_offset(d, b, ranges->outer);
	else
		put(b, 0x1000, 8), put(b, 0x1040, 8);
	put8(b, 4), put(b, mid, 4), put_range(d, b, 0x1010, 0x1030), put8(b, 1), put8(b, 11);
	put8(b, 5);
	if (d->supplement)
		put_offset(d, b, SUPPLEMENT_DEEP);
	else
		put(b, deep, 4);
	put_range(d, b, 0x1018, 0x1020), put8(b, 2), put8(b, 5);
	put(b, 0, 2);
	write_plain(d, b);
	put8(b, 0);
	end(d, b, from);
}

static void write_tables(const struct dwarf *d, struct gc_buf *b, struct elf *e)
{
	if (d->version >= 5) {
		struct gc_buf *strings = section(e, ".debug_line_str");

		put_str(strings, "/src/app");
		b = section(e, ".debug_line"); /* the list may have moved it */
		put8(b, 1), put_uleb(b, 1), put_uleb(b, FORM_LINE_STRP), put_uleb(b, 2);
		put_offset(d, b, 0);
		put_offset(d, b, strings->len);
		put_str(strings, "inc");
		put8(b, 2), put_uleb(b, 1), put_uleb(b, FORM_STRING), put_uleb(b, 2), put_uleb(b, FORM_DATA1);
		put_uleb(b, 3);
		put_str(b, "main.c"), put8(b, 0);
		put_str(b, "main.c"), put8(b, 0);
		put_str(b, "inl.h"), put8(b, 1);
		return;
	}
	put_str(b, "inc"), put8(b, 0);
	put_str(b, "main.c"), put(b, 0, 3);
	put_str(b, "inl.h"), put8(b, 1), put(b, 0, 2);
	put8(b, 0);
}

static void write_rows(const struct dwarf *d, struct gc_buf *b)
{
	uint64_t addr = 0;
	unsigned file = 1, line = 1;
	bool stmt = true, fresh = true;

	for (size_t i = 0; i < d->nrows; i++) {
		const struct row *r = &d->rows[i];

		if (fresh)
			put8(b, 0), put_uleb(b, 9), put8(b, 2), put(b, r->addr, 8);
		else if (r->addr != addr)
			put8(b, 2), put_uleb(b, r->addr - addr);
		addr = r->addr;
		fresh = r->file == 0;
		if (fresh) {
			put8(b, 0), put_uleb(b, 1), put8(b, 1);
			file = line = 1;
			stmt = true;
			continue;
		}
		if (r->file != file)
			put8(b, 4), put_uleb(b, file = r->file);
		if (r->discriminator)
			put8(b, 0), put_uleb(b, 2), put8(b, 4), put_uleb(b, r->discriminator);
		if (stmt == r->not_stmt)
			put8(b, 6), stmt = !stmt;
		if (r->line == line + 1) {
			put8(b, 13 + 5 + 1); /* special opcode: line_base is -5 */
		} else {
			put8(b, 3), put_sleb(b, (int64_t)r->line - line);
			put8(b, 1);
		}
		line = r->line;
	}
}

static void write_line(const struct dwarf *d, struct elf *e)
{
	static const uint8_t lengths[] = { 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1 };
	struct gc_buf *b = section(e, ".debug_line");
	size_t from = begin(d, b), header;

	put(b, d->version, 2);
	if (d->version >= 5)
		put8(b, 8), put8(b, 0);
	put_offset(d, b, 0);
	header = b->len;
	put8(b, 1);
	if (d->version >= 4)
		put8(b, 1);
	put8(b, 1), put8(b, 0xfb), put8(b, 14), put8(b, 13);
	gc_buf_add(b, lengths, sizeof(lengths));
	write_tables(d, b, e);
	set(b, header - (d->is_64 ? 8 : 4), b->len - header, d->is_64 ? 8 : 4);
	write_rows(d, b);
	end(d, b, from);
}

static void write_aranges(const struct dwarf *d, struct elf *e)
{
	struct gc_buf *b = section(e, ".debug_aranges");
	size_t start = b->len, from = begin(d, b);

	put(b, 2, 2);
	put_offset(d, b, 0);
	put8(b, 8), put8(b, 0);
	while ((b->len - start) % 16)
		put8(b, 0);
	if (!d->few_aranges)
		put(b, 0x1000, 8), put(b, 0x50, 8);
	put(b, 0x2000, 8), put(b, 8, 8), put(b, 0, 8), put(b, 0, 8);
	end(d, b, from);
}

static void write_dwarf(const struct dwarf *d, struct elf *e)
{
	struct ranges ranges = { 0, 0 };

	put_str(section(e, ".debug_str"), "some");
	put_str(section(e, ".debug_str"), "plain");
	write_abbrev(d, section(e, ".debug_abbrev"));
	write_ranges(d, e, &ranges);
	write_info(d, e, &ranges);
	write_line(d, e);
	if (d->aranges)
		write_aranges(d, e);
}

/** dwz's file: deep, and the string "plain". */
static void write_supplement(struct elf *e)
{
	const struct dwarf d = { .version = 4 };
	struct gc_buf *abbrev = section(e, ".debug_abbrev"), *info;
	size_t from;

	abbreviation(abbrev, 1, TAG_COMPILE_UNIT, true, AT_NAME, FORM_STRING, 0);
	abbreviation(abbrev, 2, TAG_SUBPROGRAM, false, AT_NAME, FORM_STRP, AT_INLINE, FORM_DATA1, 0);
	put8(abbrev, 0);
	put_str(section(e, ".debug_str"), "any.");
	put_str(section(e, ".debug_str"), "plain");
	put_str(section(e, ".debug_str"), "deep");
	info = section(e, ".debug_info");
	from = begin(&d, info);
	put(info, 4, 2), put(info, 0, 4), put8(info, 8);
	put8(info, 1), put_str(info, "common of dwz");
	ck_assert_uint_eq(info->len, SUPPLEMENT_DEEP);
	put8(info, 2), put(info, SUPPLEMENT_PLAIN + sizeof("plain"), 4), put8(info, 1);
	put8(info, 0);
	end(&d, info, from);
}

/* What is tested. */

static const uint8_t id[20] = { 0xab, 0xcd, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20 };
static const uint8_t other_id[20] = { 0xab, 0xcd, 9 };

static struct dwarf dwarf;
static struct elf elf;
static struct gc_buf bytes, answer;
static struct gc_elf_file image, debug;
static struct gc_lines *lines;
static struct gc_error err;
static char dir[] = "/tmp/gocore-lines-XXXXXX", path[PATH_MAX];

static void setup(void)
{
	dwarf = (struct dwarf){
		.version = 4, .language = LANG_C99, .aranges = true, .rows = usual_rows, .nrows = GC_COUNT(usual_rows),
	};
	elf = (struct elf){ .type = ET_DYN };
	bytes = answer = (struct gc_buf)GC_BUF_INIT;
	lines = NULL;
}

static void teardown(void)
{
	gc_buf_deinit(&bytes);
	gc_buf_deinit(&answer);
}

static void open_image(void)
{
	struct gc_input in;

	write_elf(&elf, &bytes);
	input_of_bytes(&in, bytes.data, bytes.len);
	ck_assert_msg(gc_elf_file_take(&image, &in, &err) == GC_OK, "%s", err.text);
	ck_assert(gc_lines_new(&lines, &image, NULL, NULL, &err) == GC_OK);
}

static void close_image(void)
{
	gc_lines_free(lines);
	gc_elf_file_close(&image);
	gc_buf_deinit(&bytes);
}

static void build(void)
{
	write_dwarf(&dwarf, &elf);
	open_image();
}

/** "deep inc/inl.h:7, mid ..." */
static const char *at(uint64_t pc)
{
	const struct gc_line_frame *frames;
	size_t count;
	enum gc_code code = gc_lines_at(lines, pc, &frames, &count, &err);

	gc_buf_clear(&answer);
	if (code == GC_E_NOT_FOUND)
		return "-";
	ck_assert_msg(code == GC_OK, "%s", err.text);
	for (size_t i = 0; i < count; i++) {
		ck_assert_int_eq(frames[i].inlined, i + 1 < count);
		gc_buf_printf(&answer, "%s%s %s:%u", i ? ", " : "", frames[i].function ? frames[i].function : "?",
			      frames[i].file ? frames[i].file : "?", frames[i].line);
	}
	return gc_buf_text(&answer);
}

static void check_usual(void)
{
	ck_assert_str_eq(at(0x0fff), "-");
	ck_assert_str_eq(at(0x1000), "outer main.c:10");
	ck_assert_str_eq(at(0x100f), "outer main.c:10");
	ck_assert_str_eq(at(0x1010), "mid inc/inl.h:3, outer main.c:11");
	ck_assert_str_eq(at(0x1018), "deep inc/inl.h:7, mid inc/inl.h:5, outer main.c:11");
	ck_assert_str_eq(at(0x101f), "deep inc/inl.h:7, mid inc/inl.h:5, outer main.c:11");
	ck_assert_str_eq(at(0x1020), "mid inc/inl.h:4, outer main.c:11");
	ck_assert_str_eq(at(0x1030), "outer main.c:12");
	ck_assert_str_eq(at(0x104f), "plain main.c:20");
	ck_assert_str_eq(at(0x1050), "-");
	ck_assert_str_eq(at(0x1018), "deep inc/inl.h:7, mid inc/inl.h:5, outer main.c:11"); /* again */
	if (dwarf.version >= 3) {
		ck_assert_str_eq(at(0x2000), "outer main.c:15");
		ck_assert_str_eq(at(0x2007), "outer main.c:15");
	}
	ck_assert_str_eq(at(0x2008), "-");
	ck_assert_str_eq(at(UINT64_MAX), "-");
	ck_assert_ptr_null(gc_lines_damage(lines));
}

START_TEST(every_version)
{
	for (dwarf.version = 2; dwarf.version <= 5; dwarf.version++) {
		for (int variant = 0; variant < 8; variant++) {
			if (dwarf.version == 2 && (variant & 1))
				continue; /* 64 bits came with DWARF 3 */
			dwarf.is_64 = variant & 1;
			dwarf.aranges = variant & 2;
			dwarf.few_aranges = variant & 4;
			build();
			check_usual();
			close_image();
		}
	}
}
END_TEST

START_TEST(paths_and_entries)
{
	const struct gc_line_frame *frames;
	size_t count;

	for (dwarf.version = 3; dwarf.version <= 5; dwarf.version++) {
		build();
		ck_assert(gc_lines_at(lines, 0x1018, &frames, &count, &err) == GC_OK);
		ck_assert_uint_eq(count, 3);
		ck_assert_str_eq(frames[0].path, "/src/app/inc/inl.h");
		ck_assert_str_eq(frames[2].path, "/src/app/main.c");
		ck_assert_uint_eq(frames[0].entry, 0x1000);
		ck_assert(gc_lines_at(lines, 0x2004, &frames, &count, &err) == GC_OK);
		ck_assert_uint_eq(frames[0].entry, 0x1000);
		ck_assert(gc_lines_at(lines, 0x1040, &frames, &count, &err) == GC_OK);
		ck_assert_uint_eq(frames[0].entry, 0x1040);
		close_image();
	}
}
END_TEST

START_TEST(nothing_there)
{
	put_str(section(&elf, ".comment"), "no debug information");
	open_image();
	ck_assert_str_eq(at(0x1000), "-");
	close_image();
}
END_TEST

/* Names. */

START_TEST(names_of_cpp)
{
	dwarf.language = LANG_CPP14;
	dwarf.linkage = "_ZN3app5plainIiEEvT_";
	build();
	ck_assert_str_eq(at(0x1040), "app::plain<int> main.c:20");
	ck_assert_str_eq(at(0x1000), "outer main.c:10");
	close_image();
	dwarf.linkage = NULL;
	dwarf.in_namespace = true;
	build();
	ck_assert_str_eq(at(0x1040), "app::(anonymous namespace)::plain main.c:20");
	close_image();
}
END_TEST

START_TEST(names_of_assembler)
{
	dwarf.linkage = "__GI_plain";
	build();
	ck_assert_str_eq(at(0x1040), "__GI_plain main.c:20");
	close_image();
}
END_TEST

/* Rows. */

START_TEST(rows_as_gdb_takes_them)
{
	static const struct row rows[] = {
		{ 0x1000, 1, 10, false, 0 }, { 0x1000, 1, 11, true, 0 },  /* the last that starts a statement */
		{ 0x1004, 1, 12, true, 0 }, { 0x1004, 1, 13, true, 0 },   /* none starts one: the last */
		{ 0x1008, 1, 14, false, 0 }, { 0x1008, 2, 99, true, 0 },  /* no statement of another file */
		{ 0x100a, 1, 0, false, 0 },                               /* line 0 */
		{ 0x1040, 1, 20, false, 0 }, { 0x1040, 1, 21, true, 1 }, { 0x1044, 1, 21, true, 2 },
		{ 0x1048, 9, 30, false, 0 },                              /* no such file */
		{ 0x1050, 0, 0, false, 0 },
		{ 0, 1, 66, false, 0 }, { 0x4000, 0, 0, false, 0 },       /* left out by the linker */
	};

	dwarf.rows = rows;
	dwarf.nrows = GC_COUNT(rows);
	build();
	ck_assert_str_eq(at(0x1000), "outer main.c:10");
	ck_assert_str_eq(at(0x1004), "outer main.c:13");
	ck_assert_str_eq(at(0x1008), "outer main.c:14");
	ck_assert_str_eq(at(0x100c), "outer main.c:14");
	ck_assert_str_eq(at(0x1044), "plain main.c:20");
	ck_assert_str_eq(at(0x104c), "plain main.c:20");
	ck_assert_str_eq(at(0x2000), "outer ?:0");
	close_image();
}
END_TEST

/* Compressed sections. */

static void pack(struct section *s, uint32_t type)
{
	struct gc_buf packed = GC_BUF_INIT;
	uLongf len = compressBound(s->bytes.len) + 1000;
	char *out;

	if (type == 0) {
		gc_buf_str(&packed, "ZLIB");
		for (int i = 7; i >= 0; i--)
			put8(&packed, (unsigned)(s->bytes.len >> 8 * i) & 0xff);
	} else {
		put(&packed, type, 8);
		put(&packed, s->bytes.len, 8);
		put(&packed, 1, 8);
	}
	out = gc_buf_reserve(&packed, len);
	if (type == 2)
		len = ZSTD_compress(out, len, s->bytes.data, s->bytes.len, 3);
	else
		ck_assert_int_eq(compress((Bytef *)out, &len, (const Bytef *)s->bytes.data, s->bytes.len), Z_OK);
	packed.len += len;
	gc_buf_deinit(&s->bytes);
	s->bytes = packed;
	s->flags = type ? SHF_COMPRESSED : 0;
}

static void build_packed(uint32_t type)
{
	static char names[24][32];

	write_dwarf(&dwarf, &elf);
	for (size_t i = 0; i < elf.count; i++) {
		pack(&elf.list[i], type);
		if (type == 0) {
			snprintf(names[i], sizeof(names[i]), ".z%s", elf.list[i].name + 1);
			elf.list[i].name = names[i];
		}
	}
}

START_TEST(compressed)
{
	for (uint32_t type = 0; type <= 2; type++) { /* .zdebug_, ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD */
		build_packed(type);
		open_image();
		check_usual();
		close_image();
	}
}
END_TEST

START_TEST(compressed_and_lying)
{
	static const uint64_t sizes[] = { 0, 1, 300, 1ULL << 20, 1ULL << 31, 1ULL << 63, UINT64_MAX };
	const struct gc_line_frame *frames;
	size_t count;

	for (size_t i = 0; i < GC_COUNT(sizes); i++) {
		for (size_t s = 0; s < elf.count || s == 0; s++) {
			build_packed(ELFCOMPRESS_ZLIB);
			set(&elf.list[s].bytes, 8, sizes[i], 8);
			open_image();
			gc_lines_at(lines, 0x1018, &frames, &count, &err);
			close_image();
		}
	}
}
END_TEST

/* Files. */

static void make_dir(void)
{
	strcpy(dir, "/tmp/gocore-lines-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static const char *in_dir(const char *name)
{
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/** Write the elf. @return its CRC */
static uint32_t write_file(const char *name)
{
	struct gc_buf out = GC_BUF_INIT;
	uint32_t crc;
	FILE *f;

	write_elf(&elf, &out);
	f = fopen(in_dir(name), "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(out.data, 1, out.len, f), out.len);
	fclose(f);
	crc = (uint32_t)crc32(0, (const Bytef *)out.data, (uInt)out.len);
	gc_buf_deinit(&out);
	return crc;
}

static void write_stripped(const char *debug_link, uint32_t crc)
{
	struct gc_buf *link;

	put_str(section(&elf, ".comment"), "stripped");
	if (debug_link) {
		link = section(&elf, ".gnu_debuglink");
		put_str(link, debug_link);
		while (link->len % 4)
			put8(link, 0);
		put(link, crc, 4);
	}
	write_file("program");
}

static enum gc_code find(const struct gc_find_options *options)
{
	enum gc_code code;

	ck_assert(gc_elf_file_open(&image, in_dir("program"), &err) == GC_OK);
	code = gc_debug_file_find(options, &image, in_dir("program"), &debug, &err);
	if (code != GC_OK) {
		gc_elf_file_close(&image);
		return code;
	}
	ck_assert(gc_lines_new(&lines, &image, &debug, options, &err) == GC_OK);
	check_usual();
	gc_lines_free(lines);
	lines = NULL;
	gc_elf_file_close(&debug);
	gc_elf_file_close(&image);
	return GC_OK;
}

START_TEST(debug_file_by_build_id)
{
	const char *const dirs[] = { "/nowhere", dir };
	const struct gc_find_options options = { .debug_dirs = dirs, .ndebug_dirs = 2, .no_debuginfod = true };
	const struct gc_find_options elsewhere = { .debug_dirs = dirs, .ndebug_dirs = 1, .no_debuginfod = true };

	make_dir();
	ck_assert_int_eq(mkdir(in_dir(".build-id"), 0700), 0);
	ck_assert_int_eq(mkdir(in_dir(".build-id/ab"), 0700), 0);
	elf.build_id = id;
	write_dwarf(&dwarf, &elf);
	write_file(".build-id/ab/cd030405060708090a0b0c0d0e0f1011121314.debug");
	write_stripped(NULL, 0);
	ck_assert_int_eq(find(&options), GC_OK);
	ck_assert_int_eq(find(&elsewhere), GC_E_NOT_FOUND);
	elf.build_id = other_id; /* a file in the wrong place */
	write_dwarf(&dwarf, &elf);
	write_file(".build-id/ab/cd030405060708090a0b0c0d0e0f1011121314.debug");
	ck_assert_int_eq(find(&options), GC_E_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "another build"));
	remove_dir();
}
END_TEST

START_TEST(debug_file_by_link)
{
	static const char *const places[] = { "program.debug", ".debug/program.debug", "tree%s/program.debug" };
	const char *const dirs[] = { "/nowhere", "" };
	struct gc_find_options options = { .debug_dirs = dirs, .ndebug_dirs = 1, .no_debuginfod = true };
	char tree[PATH_MAX], command[2 * PATH_MAX], name[PATH_MAX + 32];
	const char *const tree_dirs[] = { tree };
	uint32_t crc;

	for (size_t i = 0; i < GC_COUNT(places); i++) {
		make_dir();
		ck_assert_int_eq(mkdir(in_dir(".debug"), 0700), 0);
		snprintf(tree, sizeof(tree), "%s/tree", dir);
		snprintf(command, sizeof(command), "mkdir -p '%s%s'", tree, dir);
		ck_assert_int_eq(system(command), 0);
		if (i == 2)
			options.debug_dirs = tree_dirs;
		snprintf(name, sizeof(name), places[i], dir);
		write_dwarf(&dwarf, &elf);
		crc = write_file(name);
		write_stripped("program.debug", crc);
		ck_assert_msg(find(&options) == GC_OK, "%s", name);
		write_stripped("program.debug", crc ^ 1);
		ck_assert_int_eq(find(&options), GC_E_NOT_FOUND);
		write_stripped("../program.debug", crc); /* names only */
		ck_assert_int_eq(find(&options), GC_E_NOT_FOUND);
		remove_dir();
	}
}
END_TEST

START_TEST(supplement)
{
	const struct gc_find_options options = { .no_debuginfod = true };
	struct gc_buf *link;

	make_dir();
	elf = (struct elf){ .type = ET_REL, .build_id = id };
	write_supplement(&elf);
	write_file("common.debug");
	for (int found = 1; found >= 0; found--) {
		elf = (struct elf){ .type = ET_DYN };
		dwarf.supplement = true;
		write_dwarf(&dwarf, &elf);
		link = section(&elf, ".gnu_debugaltlink");
		put_str(link, "common.debug");
		gc_buf_add(link, found ? id : other_id, 20);
		write_file("program");
		ck_assert(gc_elf_file_open(&image, in_dir("program"), &err) == GC_OK);
		ck_assert(gc_lines_new(&lines, &image, NULL, &options, &err) == GC_OK);
		if (found) {
			check_usual();
		} else {
			ck_assert_str_eq(at(0x1018), "? inc/inl.h:7, mid inc/inl.h:5, outer main.c:11");
			ck_assert_str_eq(at(0x1040), "? main.c:20");
		}
		gc_lines_free(lines);
		gc_elf_file_close(&image);
	}
	remove_dir();
}
END_TEST

/* Damage. */

/* Answers that are kept for other runs. */

/** Open the packed file, its content destroyed if @ruined, and ask. @return what is at 0x1018, or the kind of error */
static const char *ask_kept(const char *cache_dir, bool ruined)
{
	const struct gc_find_options options = { .cache_dir = cache_dir, .no_debuginfod = true };
	const struct gc_line_frame *frames;
	const char *said;
	size_t count;

	elf = (struct elf){ .type = ET_DYN, .build_id = elf.build_id };
	build_packed(ELFCOMPRESS_ZLIB);
	for (size_t i = 0; ruined && i < elf.count; i++)
		memset(elf.list[i].bytes.data + 24, 0xff, elf.list[i].bytes.len - 24);
	open_image();
	image.input.mtime = 1; /* the same file every time */
	gc_lines_free(lines);
	ck_assert(gc_lines_new(&lines, &image, NULL, &options, &err) == GC_OK);
	if (gc_lines_at(lines, 0x1018, &frames, &count, &err) == GC_OK) {
		ck_assert_str_eq(at(0x0fff), "-");
		ck_assert_ptr_nonnull(gc_lines_calls(lines, 0x1018));
		ck_assert_uint_eq(gc_lines_calls(lines, 0x1018)->entry, 0x1000);
		ck_assert_ptr_null(gc_lines_calls(lines, 0x0fff));
		said = at(0x1018);
	} else {
		said = "error";
	}
	close_image();
	return said;
}

/** @return "" if there is none */
static const char *cache_file(void)
{
	static char name[PATH_MAX];
	glob_t found;

	name[0] = '\0';
	if (glob(in_dir("a/b/abcd030405060708090a0b0c0d0e0f1011121314-*.lines"), 0, NULL, &found) == 0) {
		ck_assert_uint_eq(found.gl_pathc, 1);
		strcpy(name, found.gl_pathv[0]);
	}
	globfree(&found);
	return name;
}

static const char usual[] = "deep inc/inl.h:7, mid inc/inl.h:5, outer main.c:11";

START_TEST(kept_for_other_runs)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	char cache_dir[PATH_MAX];
	struct stat st;

	make_dir();
	strcpy(cache_dir, in_dir("a/b"));
	elf.build_id = id;
	ck_assert_str_eq(ask_kept(cache_dir, true), "error");
	ck_assert_int_ne(stat(cache_file(), &st), 0); /* an error is no answer */
	ck_assert_str_eq(ask_kept(cache_dir, false), usual);
	ck_assert_int_eq(stat(cache_file(), &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_str_eq(ask_kept(cache_dir, true), usual);
	ck_assert_str_eq(ask_kept(NULL, true), "error");
	ck_assert_str_eq(ask_kept("/nowhere", false), usual);
	elf.build_id = other_id;
	ck_assert_str_eq(ask_kept(cache_dir, true), "error");
	fclose(fopen(in_dir("a/b/old.lines"), "w"));
	fclose(fopen(in_dir("a/b/old.others"), "w"));
	ck_assert_int_eq(utimensat(AT_FDCWD, in_dir("a/b/old.lines"), long_ago, 0), 0);
	ck_assert_int_eq(utimensat(AT_FDCWD, in_dir("a/b/old.others"), long_ago, 0), 0);
	ck_assert_str_eq(ask_kept(cache_dir, false), usual);
	ck_assert_int_ne(access(in_dir("a/b/old.lines"), F_OK), 0);
	ck_assert_int_eq(access(in_dir("a/b/old.others"), F_OK), 0);
	ck_assert_int_eq(chmod(cache_file(), 0620), 0); /* others may have written to it */
	elf.build_id = id;
	ck_assert_str_eq(ask_kept(cache_dir, true), "error");
	remove_dir();
}
END_TEST

START_TEST(kept_and_damaged)
{
	char cache_dir[PATH_MAX];
	struct stat st;

	make_dir();
	strcpy(cache_dir, in_dir("a/b"));
	elf.build_id = id;
	ck_assert_str_eq(ask_kept(cache_dir, false), usual);
	ck_assert_int_eq(stat(cache_file(), &st), 0);
	for (off_t i = 0; i < st.st_size; i++) {
		FILE *f = fopen(cache_file(), "r+");
		int byte;

		ck_assert_ptr_nonnull(f);
		fseek(f, i, SEEK_SET);
		byte = fgetc(f);
		fseek(f, i, SEEK_SET);
		fputc(byte ^ 0x20, f);
		fclose(f);
		ck_assert_msg(strcmp(ask_kept(cache_dir, true), "error") == 0, "byte %jd", (intmax_t)i);
		f = fopen(cache_file(), "r+");
		fseek(f, i, SEEK_SET);
		fputc(byte, f);
		fclose(f);
	}
	ck_assert_str_eq(ask_kept(cache_dir, true), usual);
	for (off_t i = st.st_size - 1; i >= 0; i--) { /* cut */
		ck_assert_int_eq(truncate(cache_file(), i), 0);
		ck_assert_str_eq(ask_kept(cache_dir, true), "error");
	}
	ck_assert_str_eq(ask_kept(cache_dir, false), usual); /* written anew */
	ck_assert_str_eq(ask_kept(cache_dir, true), usual);
	remove_dir();
}
END_TEST

/** Another run over the packed file. */
static void open_again(const struct gc_find_options *options)
{
	elf = (struct elf){ .type = ET_DYN, .build_id = id };
	build_packed(ELFCOMPRESS_ZLIB);
	open_image();
	image.input.mtime = 1;
	gc_lines_free(lines);
	ck_assert(gc_lines_new(&lines, &image, NULL, options, &err) == GC_OK);
}

START_TEST(symbols_are_kept)
{
	const struct gc_table_symbol f = { .value = 0x1000, .size = 64, .name = "f" };
	char cache_dir[PATH_MAX];
	const struct gc_find_options options = { .cache_dir = cache_dir, .no_debuginfod = true };
	struct gc_table_symbol symbol;
	uint64_t value;

	make_dir();
	strcpy(cache_dir, in_dir("a/b"));
	for (int run = 0; run < 2; run++) {
		open_again(&options);
		ck_assert_int_eq(gc_lines_recall_symbol(lines, 0x1010, &symbol), run);
		if (run) {
			ck_assert_str_eq(symbol.name, "f");
			ck_assert_uint_eq(symbol.value, 0x1000);
			ck_assert_uint_eq(symbol.size, 64);
			ck_assert(gc_lines_recall_symbol(lines, 0x2010, &symbol) && !symbol.name);
			ck_assert(gc_lines_recall_named(lines, true, "f", &value) && value == 0x1000);
			ck_assert(gc_lines_recall_named(lines, false, "f", &value) && value == 0);
		}
		ck_assert(!gc_lines_recall_symbol(lines, 0x3010, &symbol));
		ck_assert(!gc_lines_recall_named(lines, true, "g", &value));
		gc_lines_remember_symbol(lines, 0x1010, &f);
		gc_lines_remember_symbol(lines, 0x2010, NULL);
		if (!run) {
			gc_lines_remember_named(lines, true, "f", 0x1000);
			gc_lines_remember_named(lines, false, "f", 0);
		}
		close_image();
	}
	remove_dir();
}
END_TEST

/** Calls and frames in @out as they were in @in. */
static void ck_same_calls(const struct gc_call_sites *in, const struct gc_call_sites *out)
{
	ck_assert_uint_eq(in->die, out->die);
	ck_assert_uint_eq(in->entry, out->entry);
	ck_assert_uint_eq(in->count, out->count);
	for (size_t i = 0; i < in->count; i++) {
		ck_assert_uint_eq(in->list[i].ret, out->list[i].ret);
		ck_assert_uint_eq(in->list[i].target, out->list[i].target);
		ck_assert_int_eq(in->list[i].tail, out->list[i].tail);
		ck_assert_pstr_eq(in->list[i].name, out->list[i].name);
	}
}

START_TEST(calls_are_kept)
{
	struct gc_call_site sites[] = {
		{ .ret = 0x1018, .target = 0x2000 }, { .ret = UINT64_MAX, .name = "abort", .tail = true },
	};
	const struct gc_call_sites calls = { .die = 77, .entry = 0x1000, .list = sites, .count = 2 };
	const struct gc_line_record answers[] = {
		{ .pc = 0x1020, .has_calls = true, .knows_calls = true, .die = 77 },
		{ .pc = 0x1fff, .has_calls = true },
		{ .pc = 0x2fff, .has_symbol = true },
		{ .pc = 0x3fff, .has_symbol = true, .symbol = { .value = 0x3000, .size = 0x1000, .name = "_Z1fv" } },
	};
	struct gc_buf content = GC_BUF_INIT;
	struct gc_line_record record;
	struct gc_cursor c;

	ck_assert(gc_line_cache_add_calls(&content, &calls));
	ck_assert(gc_line_cache_add_named(&content, true, "abort", 0x5000));
	ck_assert(gc_line_cache_add_named(&content, false, "nothing", 0));
	for (size_t i = 0; i < GC_COUNT(answers); i++)
		ck_assert(gc_line_cache_add(&content, &answers[i], NULL));
	gc_cursor_init(&c, content.data, content.len, 0);
	ck_assert(gc_line_cache_next(&c, &record, NULL, 0) && record.is_calls);
	ck_same_calls(&calls, &record.calls);
	gc_call_sites_deinit(&record.calls);
	ck_assert(gc_line_cache_next(&c, &record, NULL, 0) && record.is_named && record.exports);
	ck_assert_str_eq(record.name, "abort");
	ck_assert_uint_eq(record.value, 0x5000);
	ck_assert(gc_line_cache_next(&c, &record, NULL, 0) && record.is_named && !record.exports);
	ck_assert_str_eq(record.name, "nothing");
	ck_assert_uint_eq(record.value, 0);
	for (size_t i = 0; i < GC_COUNT(answers); i++) {
		ck_assert(gc_line_cache_next(&c, &record, NULL, 0) && !record.is_calls && !record.is_named);
		ck_assert_uint_eq(record.pc, answers[i].pc);
		ck_assert(!record.has_frames);
		ck_assert_int_eq(record.has_calls, answers[i].has_calls);
		ck_assert_int_eq(record.has_symbol, answers[i].has_symbol);
		ck_assert_pstr_eq(record.symbol.name, answers[i].symbol.name);
		ck_assert_uint_eq(record.symbol.value, answers[i].symbol.value);
		ck_assert_uint_eq(record.symbol.size, answers[i].symbol.size);
		ck_assert_int_eq(record.knows_calls, answers[i].knows_calls);
		ck_assert_uint_eq(record.die, answers[i].die);
	}
	ck_assert(!gc_line_cache_next(&c, &record, NULL, 0));
	for (size_t len = 0; len < content.len; len++) { /* cut: what is whole is taken, and no more */
		gc_cursor_init(&c, content.data, len, 0);
		while (gc_line_cache_next(&c, &record, NULL, 0))
			gc_call_sites_deinit(&record.calls);
	}
	gc_buf_deinit(&content);
}
END_TEST

static void ask_all(void)
{
	const struct gc_line_frame *frames;
	size_t count;

	for (uint64_t pc = 0x0ff8; pc < 0x1060; pc += 8)
		gc_lines_at(lines, pc, &frames, &count, NULL);
	gc_lines_at(lines, 0x2000, &frames, &count, &err);
}

/** Open what is in bytes now, on a copy, as libelf may hold on to it. */
static void ask_bytes(void)
{
	struct gc_input in;

	input_of_bytes(&in, bytes.data, bytes.len);
	if (gc_elf_file_take(&image, &in, &err) != GC_OK)
		return;
	ck_assert(gc_lines_new(&lines, &image, NULL, NULL, &err) == GC_OK);
	ask_all();
	gc_lines_free(lines);
	gc_elf_file_close(&image);
}

START_TEST(damaged_anywhere)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };

	for (dwarf.version = 2; dwarf.version <= 5; dwarf.version++) {
		write_dwarf(&dwarf, &elf);
		write_elf(&elf, &bytes);
		for (size_t i = 176; i < bytes.len; i++) { /* behind the ELF header and program headers */
			char saved = bytes.data[i];

			for (size_t v = 0; v < GC_COUNT(values); v++) {
				bytes.data[i] = (char)values[v];
				ask_bytes();
			}
			bytes.data[i] = saved;
		}
		gc_buf_deinit(&bytes);
	}
}
END_TEST

START_TEST(a_damaged_line_table_costs_lines_only)
{
	struct gc_buf *line;

	write_dwarf(&dwarf, &elf);
	line = section(&elf, ".debug_line");
	set(line, 4, 77, 2); /* version */
	open_image();
	ck_assert_str_eq(at(0x1018), "deep ?:0, mid ?:5, outer ?:11");
	ck_assert_ptr_nonnull(gc_lines_damage(lines));
	close_image();
}
END_TEST

START_TEST(damage_in_the_rows_keeps_those_before)
{
	struct gc_buf *line;

	write_dwarf(&dwarf, &elf);
	line = section(&elf, ".debug_line");
	line->len -= 12; /* in the second sequence */
	open_image();
	ck_assert_str_eq(at(0x1018), "deep inc/inl.h:7, mid inc/inl.h:5, outer main.c:11");
	ck_assert_ptr_nonnull(gc_lines_damage(lines));
	close_image();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lines");
	TCase *tc = tcase_create("lines");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 300);
	tcase_add_test(tc, every_version);
	tcase_add_test(tc, paths_and_entries);
	tcase_add_test(tc, nothing_there);
	tcase_add_test(tc, names_of_cpp);
	tcase_add_test(tc, names_of_assembler);
	tcase_add_test(tc, rows_as_gdb_takes_them);
	tcase_add_test(tc, compressed);
	tcase_add_test(tc, compressed_and_lying);
	tcase_add_test(tc, debug_file_by_build_id);
	tcase_add_test(tc, debug_file_by_link);
	tcase_add_test(tc, supplement);
	tcase_add_test(tc, kept_for_other_runs);
	tcase_add_test(tc, kept_and_damaged);
	tcase_add_test(tc, symbols_are_kept);
	tcase_add_test(tc, calls_are_kept);
	tcase_add_test(tc, damaged_anywhere);
	tcase_add_test(tc, a_damaged_line_table_costs_lines_only);
	tcase_add_test(tc, damage_in_the_rows_keeps_those_before);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
