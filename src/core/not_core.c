/* What a file is that is no core for us: said so that the remedy is plain. */
#include <elf.h>
#include <stdio.h>
#include <string.h>

#include "core/elf_identity.h"
#include "core/loading.h"

static const struct {
	const char *magic;
	size_t len;
	const char *what;
} others[] = {
	{ "!<arch>\n", 8, "an archive" },
	{ "MDMP", 4, "a minidump" },
	{ "\xcf\xfa\xed\xfe", 4, "a Mach-O file" },
	{ "\xce\xfa\xed\xfe", 4, "a Mach-O file" },
	{ "MZ", 2, "a Windows program" },
	{ "PK\3\4", 4, "a zip archive" },
	{ "BZh", 3, "compressed with bzip2, which cannot be unpacked here" },
	{ "KDUMP   ", 8, "a dump of a whole kernel (kdump)" },
	{ "\x25PDF-", 5, "a PDF document" },
};

/** No control characters but white space in its first bytes: text in any encoding that people use. */
static bool is_text(const uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len && i < 512; i++)
		if (bytes[i] < 0x20 ? !memchr("\t\n\v\f\r\033", bytes[i], 6) : bytes[i] == 0x7f)
			return false;
	return true;
}

enum gc_code core_not_elf(const struct gc_input *in, struct gc_error *err)
{
	for (size_t i = 0; i < GC_COUNT(others); i++)
		if (in->size >= others[i].len && memcmp(in->bytes, others[i].magic, others[i].len) == 0)
			return gc_fail(err, GC_E_FORMAT, "is %s, not a core", others[i].what);
	if (is_text(in->bytes, in->size))
		return gc_fail(err, GC_E_FORMAT, "is a text file, not a core");
	return gc_fail(err, GC_E_FORMAT, "is not an ELF file, so not a core");
}

enum gc_code core_check_ident(const uint8_t *ident, struct gc_error *err)
{
	if (ident[EI_CLASS] == ELFCLASS32)
		return gc_fail(err, GC_E_UNSUPPORTED,
			       "is a 32-bit ELF file; only 64-bit cores can be read");
	if (ident[EI_CLASS] != ELFCLASS64)
		return gc_fail(err, GC_E_FORMAT, "is an ELF file of unknown class %u", ident[EI_CLASS]);
	if (ident[EI_DATA] == ELFDATA2MSB)
		return gc_fail(err, GC_E_UNSUPPORTED,
			       "is a big-endian ELF file; only little-endian cores can be read");
	if (ident[EI_DATA] != ELFDATA2LSB)
		return gc_fail(err, GC_E_FORMAT, "is an ELF file of unknown byte order %u", ident[EI_DATA]);
	return GC_OK;
}

enum gc_code core_check_type(const struct elf_header *e, struct gc_error *err)
{
	switch (e->type) {
	case ET_CORE:
		return GC_OK;
	case ET_EXEC:
		return gc_fail(err, GC_E_FORMAT, "is a program, not a core (the core comes first)");
	case ET_DYN:
		return gc_fail(err, GC_E_FORMAT,
			       "is a program or shared library, not a core (the core comes first)");
	case ET_REL:
		return gc_fail(err, GC_E_FORMAT, "is an object file, not a core");
	default:
		return gc_fail(err, GC_E_FORMAT, "is an ELF file of type %u, not a core", e->type);
	}
}

enum gc_code core_wrong_machine(const struct elf_header *e, struct gc_error *err)
{
	char readable[128] = "", buf[GC_MACHINE_PHRASE];
	size_t len = 0;

	for (size_t i = 0; gc_arch_at(i) && len < sizeof(readable); i++)
		len += (size_t)snprintf(readable + len, sizeof(readable) - len, "%s%s", i ? " and " : "",
					gc_arch_at(i)->elf_name);
	return gc_fail(err, GC_E_UNSUPPORTED, "is a core of %s; only cores of %s can be read",
		       strchr(gc_machine_phrase(e->machine, buf), ' ') + 1, readable);
}
