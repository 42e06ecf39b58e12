#include "gocore/buildinfo.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/* debug/buildinfo/buildinfo.go: magic, pointer size, flags; 32 bytes, aligned to 16 */
#define MAGIC           "\xff Go buildinf:"
#define MAGIC_LEN       14
#define HEADER_SIZE     32
#define HEADER_ALIGN    16
#define FLAG_BIG_ENDIAN 1
#define FLAG_INLINE     2

#define MAX_STRING  (16U << 20) /* the modules of the largest programs take some 100 KiB */
#define MAX_SEARCH  (64U << 20) /* bytes in all; the header is at the start of the data */
#define MAX_TRIES   16          /* headers that turn out to be none */
#define SENTINEL    16          /* cmd/go/internal/modload/build.go: infoStart, infoEnd */

/** Where bytes at an address of the program come from: its file or the dumped memory. */
struct source {
	bool (*read)(const void *data, uint64_t addr, void *buf, size_t len);
	const void *data;
	uint64_t budget; /* bytes that may still be searched */
	unsigned tries;
};

static bool read_file(const void *data, uint64_t addr, void *buf, size_t len)
{
	const uint8_t *bytes;
	uint64_t have;

	if (!gc_elf_at(data, addr, &bytes, &have) || len > have)
		return false;
	memcpy(buf, bytes, len);
	return true;
}

static bool read_memory(const void *data, uint64_t addr, void *buf, size_t len)
{
	return gc_space_read_all(data, addr, buf, len, NULL) == GC_OK;
}

static enum gc_code not_there(struct gc_error *err, uint64_t addr)
{
	return gc_fail(err, GC_E_TRUNCATED, "Go build information: the bytes at 0x%" PRIx64 " are not there", addr);
}

/** binary.Uvarint of Go. */
static enum gc_code read_varint(const struct source *s, uint64_t *addr, uint64_t *out, struct gc_error *err)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t byte;

		if (!s->read(s->data, *addr, &byte, 1))
			return not_there(err, *addr);
		++*addr;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*out = value;
			return GC_OK;
		}
	}
	return gc_fail(err, GC_E_FORMAT, "Go build information: a length without an end");
}

/** The go command's marks around the modules; they hold NULs, so they go before the text is one. */
static void strip_sentinels(char *text, uint64_t len)
{
	if (len < 2 * SENTINEL + 1 || text[len - SENTINEL - 1] != '\n')
		return;
	memmove(text, text + SENTINEL, len - 2 * SENTINEL);
	text[len - 2 * SENTINEL] = '\0';
}

static enum gc_code read_bytes(const struct source *s, uint64_t addr, uint64_t len, char **out,
			       struct gc_error *err)
{
	char *text;

	if (len > MAX_STRING)
		return gc_fail(err, GC_E_LIMIT, "Go build information: a string of %" PRIu64 " bytes", len);
	text = malloc(len + 1);
	if (!text)
		return gc_fail_memory(err);
	if (len && !s->read(s->data, addr, text, len)) {
		free(text);
		return not_there(err, addr);
	}
	text[len] = '\0';
	strip_sentinels(text, len); /* a version is shorter than they are */
	*out = text;
	return GC_OK;
}

static enum gc_code read_inline(const struct source *s, uint64_t *addr, char **out, struct gc_error *err)
{
	uint64_t len = 0;
	enum gc_code code = read_varint(s, addr, &len, err);

	if (code == GC_OK)
		code = read_bytes(s, *addr, len, out, err);
	if (code == GC_OK)
		*addr += len;
	return code;
}

/** A Go string by the address of its header (data pointer, length); address 0 is no string. */
static enum gc_code read_pointed(const struct source *s, uint64_t addr, char **out, struct gc_error *err)
{
	uint8_t header[16] = { 0 };

	if (addr && !s->read(s->data, addr, header, sizeof(header)))
		return not_there(err, addr);
	return read_bytes(s, gc_load_le64(header), gc_load_le64(header + 8), out, err);
}

static enum gc_code read_strings(const struct source *s, uint64_t addr, char **version, char **mod,
				 struct gc_error *err)
{
	uint8_t header[HEADER_SIZE];
	uint64_t at = addr + HEADER_SIZE;
	bool is_inline;
	enum gc_code code;

	if (!s->read(s->data, addr, header, sizeof(header)))
		return not_there(err, addr);
	is_inline = header[MAGIC_LEN + 1] & FLAG_INLINE;
	if (!is_inline && (header[MAGIC_LEN] != 8 || header[MAGIC_LEN + 1] & FLAG_BIG_ENDIAN))
		return gc_fail(err, GC_E_UNSUPPORTED, "Go build information of another architecture");
	code = is_inline ? read_inline(s, &at, version, err)
			 : read_pointed(s, gc_load_le64(header + 16), version, err);
	if (code == GC_OK)
		code = is_inline ? read_inline(s, &at, mod, err)
				 : read_pointed(s, gc_load_le64(header + 24), mod, err);
	return code;
}

/** Cut @*rest at @separator. @return the part before it, NULL when nothing is left */
static char *cut(char **rest, char separator)
{
	char *part = *rest, *end;

	if (!part)
		return NULL;
	end = strchr(part, separator);
	*rest = end ? end + 1 : NULL;
	if (end)
		*end = '\0';
	return part;
}

/** path \t version \t sum; empty strings for what is missing */
static struct gc_go_module parse_module(char *fields)
{
	char *path = cut(&fields, '\t'), *version = cut(&fields, '\t'), *sum = cut(&fields, '\t');

	return (struct gc_go_module){
		.path = path ? path : "", .version = version ? version : "", .sum = sum ? sum : "",
	};
}

/** Append code point @c as UTF-8. */
static char *put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
	} else if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
		*to++ = (char)(0x80 | (c & 0x3f));
	} else if (c < 0x10000) {
		*to++ = (char)(0xe0 | c >> 12);
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	} else {
		*to++ = (char)(0xf0 | (c >> 18 & 7));
		*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
		*to++ = (char)(0x80 | (c & 0x3f));
	}
	return to;
}

/** @digits hex digits at @from. @return false if they are not there */
static bool hex_digits(const char *from, unsigned digits, uint32_t *out)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < digits; i++) {
		char c = from[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

/**
 * One escape of strconv.Quote behind its backslash; what comes out is never longer.
 * @return characters taken, 0 if it is none
 */
static size_t unescape(const char *from, char **to)
{
	static const char names[] = "abfnrtv\\\"'", values[] = "\a\b\f\n\r\t\v\\\"'";
	const char *simple = *from ? strchr(names, *from) : NULL;
	unsigned digits = *from == 'x' ? 2 : *from == 'u' ? 4 : *from == 'U' ? 8 : 0;
	uint32_t c;

	if (simple) {
		*(*to)++ = values[simple - names];
		return 1;
	}
	if (!digits || !hex_digits(from + 1, digits, &c) || c == 0)
		return 0;
	if (*from == 'x')
		*(*to)++ = (char)c;
	else
		*to = put_utf8(*to, c);
	return 1 + digits;
}

/** strconv.Unquote in place for text that begins with " or `. @return what follows the end, NULL if it has none */
static char *unquote(char *text)
{
	char quote = *text, *from = text + 1, *to = text;

	while (*from && *from != quote) {
		if (quote == '"' && *from == '\\') {
			size_t taken = unescape(from + 1, &to);

			if (!taken)
				return NULL;
			from += 1 + taken;
		} else {
			*to++ = *from++;
		}
	}
	if (!*from)
		return NULL;
	*to = '\0';
	return from + 1;
}

static bool is_quoted(const char *text)
{
	return *text == '"' || *text == '`';
}

/** key=value, each quoted where it must be. @return false if it is not like that */
static bool parse_setting(char *text, struct gc_go_setting *out)
{
	char *key = text, *value;

	if (is_quoted(key)) {
		value = unquote(key);
		if (!value || *value != '=')
			return false;
		value++;
	} else {
		value = strchr(key, '=');
		if (!value || value == key)
			return false;
		*value++ = '\0';
	}
	if (is_quoted(value) && !unquote(value))
		return false;
	*out = (struct gc_go_setting){ key, value };
	return true;
}

/** One line of runtime/debug.ParseBuildInfo. @last is the module that a "=>" line replaces. */
static void parse_line(struct gc_buildinfo *info, char *line, struct gc_go_module **last)
{
	char *rest = line;
	const char *word = cut(&rest, '\t');

	if (!rest)
		return;
	if (strcmp(word, "path") == 0) {
		info->path = rest;
	} else if (strcmp(word, "mod") == 0) {
		info->main = parse_module(rest);
		info->has_main = true;
		*last = &info->main;
	} else if (strcmp(word, "dep") == 0) {
		info->deps[info->ndeps] = parse_module(rest);
		*last = &info->deps[info->ndeps++];
	} else if (strcmp(word, "=>") == 0 && *last) {
		struct gc_go_module by = parse_module(rest);

		(*last)->replaced_by = by.path;
		(*last)->replaced_version = by.version;
	} else if (strcmp(word, "build") == 0) {
		if (parse_setting(rest, &info->settings[info->nsettings]))
			info->nsettings++;
	}
}

/** How many lines of @text begin with @word. */
static size_t count_lines(const char *text, const char *word)
{
	size_t count = 0, len = strlen(word);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		count += strncmp(line, word, len) == 0;
	}
	return count;
}

static enum gc_code parse_text(struct gc_buildinfo *info, struct gc_error *err)
{
	char *rest = info->text;
	struct gc_go_module *last = NULL;

	info->deps = calloc(count_lines(rest, "dep\t") + 1, sizeof(*info->deps));
	info->settings = calloc(count_lines(rest, "build\t") + 1, sizeof(*info->settings));
	if (!info->deps || !info->settings)
		return gc_fail_memory(err);
	for (char *line = cut(&rest, '\n'); line; line = cut(&rest, '\n'))
		parse_line(info, line, &last);
	return GC_OK;
}

void gc_buildinfo_deinit(struct gc_buildinfo *info)
{
	free(info->version);
	free(info->text);
	free(info->deps);
	free(info->settings);
	*info = (struct gc_buildinfo){ .version = NULL };
}

/** Something that only looks like the header (a copy of the magic) has no Go version behind it. */
static bool is_version(const char *version)
{
	return strncmp(version, "go", 2) == 0 || strncmp(version, "devel", 5) == 0;
}

static enum gc_code parse_at(struct gc_buildinfo *out, const struct source *s, uint64_t addr, struct gc_error *err)
{
	struct gc_buildinfo info = { .version = NULL };
	enum gc_code code = read_strings(s, addr, &info.version, &info.text, err);

	if (code == GC_OK && !is_version(info.version))
		code = gc_fail(err, GC_E_FORMAT, "Go build information without a version");
	if (code == GC_OK)
		code = parse_text(&info, err);
	if (code == GC_OK)
		*out = info;
	else
		gc_buildinfo_deinit(&info);
	return code;
}

/** Look for the header in bytes that lie at @addr, and parse it. */
static enum gc_code search(struct gc_buildinfo *out, struct source *s, uint64_t addr, const uint8_t *bytes,
			   uint64_t len, struct gc_error *err)
{
	enum gc_code code = gc_fail(err, GC_E_NOT_FOUND, "no Go build information");
	const uint8_t *at = bytes, *end;

	if (len > s->budget)
		len = s->budget;
	s->budget -= len;
	end = bytes + len;
	while (code != GC_OK && s->tries && (at = memmem(at, (size_t)(end - at), MAGIC, MAGIC_LEN)) != NULL) {
		uint64_t where = addr + (uint64_t)(at - bytes);

		if (where % HEADER_ALIGN == 0) {
			code = parse_at(out, s, where, err);
			s->tries--;
		}
		at++;
	}
	return code;
}

enum gc_code gc_buildinfo_of_file(struct gc_buildinfo *out, struct gc_elf_file *file, struct gc_error *err)
{
	struct source s = { read_file, file, MAX_SEARCH, MAX_TRIES };
	const uint8_t *bytes;
	uint64_t len, addr;
	enum gc_code code;

	if (gc_elf_section(file, ".go.buildinfo", &bytes, &len, &addr))
		return search(out, &s, addr, bytes, len, err);
	code = gc_fail(err, GC_E_NOT_FOUND, "no Go build information");
	for (size_t i = 0; i < file->phdrs.count && code != GC_OK; i++) {
		const Elf64_Phdr *ph = &file->phdrs.list[i];

		/* the linker's data segment: writable, not executable */
		if (ph->p_type == PT_LOAD && (ph->p_flags & (PF_W | PF_X)) == PF_W &&
		    gc_elf_at(file, ph->p_vaddr, &bytes, &len))
			code = search(out, &s, ph->p_vaddr, bytes, len, err);
	}
	return code;
}

/** The program if it is known which ranges are its; cores without NT_FILE need not say. */
static const struct gc_image *mapped_program(const struct gc_process *p)
{
	const struct gc_image *program = gc_images_program(&p->images);

	for (size_t i = 0; program && i < p->space.count; i++)
		if (p->space.ranges[i].image == program)
			return program;
	return NULL;
}

/**
 * May the header lie in @range? Its segment is writable at link time, but the
 * dynamic linker may have protected it since. If nothing says which ranges are
 * the program's, the guess is left that it is data.
 */
static bool may_hold(const struct gc_range *range, const struct gc_image *program)
{
	if (!range->bytes || range->flags & PF_X)
		return false;
	return program ? range->image == program : (range->flags & PF_W) != 0;
}

enum gc_code gc_buildinfo_of_memory(struct gc_buildinfo *out, const struct gc_process *p, struct gc_error *err)
{
	struct source s = { read_memory, &p->space, MAX_SEARCH, MAX_TRIES };
	const struct gc_image *program = mapped_program(p);
	enum gc_code code = gc_fail(err, GC_E_NOT_FOUND, "no Go build information");

	for (size_t i = 0; i < p->space.count && code != GC_OK; i++) {
		const struct gc_range *range = &p->space.ranges[i];

		if (may_hold(range, program))
			code = search(out, &s, range->start, range->bytes, range->end - range->start, err);
	}
	return code;
}

const char *gc_buildinfo_setting(const struct gc_buildinfo *info, const char *key)
{
	for (size_t i = 0; i < info->nsettings; i++)
		if (strcmp(info->settings[i].key, key) == 0)
			return info->settings[i].value;
	return NULL;
}
