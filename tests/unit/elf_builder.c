#include "elf_builder.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/* Offsets in the file; below 0x1000 they are addresses too. */
enum {
	NOTES = 0x300,
	NOTES_MAX = 0x100,
	INTERP = 0x400,
	RELA = 0x500,
	DYNSYM = 0x800,
	DYNSTR = 0x900,
	VERSYM = 0xa00,
	VERNEED = 0xa20,
	DYNAMIC_SIZE = 0x100,
	RELRO_FILE = 0x2000,
	DATA_FILE = 0x3000,
	SYMTAB = 0x4000,
	STRTAB = 0x4100,
	SHSTRTAB = 0x4200,
	SHDRS = 0x4800,
	NSECTIONS = 11,
};

static uint8_t file[ELF_FILE_SIZE];

static void put64(uint64_t offset, uint64_t value)
{
	gc_store_le64(file + offset, value);
}

static void put_phdr(unsigned i, uint32_t type, uint32_t flags, uint64_t offset, uint64_t vaddr, uint64_t filesz,
		     uint64_t memsz, uint64_t align)
{
	uint64_t at = 64 + 56 * (uint64_t)i;

	gc_store_le32(file + at, type);
	gc_store_le32(file + at + 4, flags);
	put64(at + 8, offset);
	put64(at + 16, vaddr);
	put64(at + 24, vaddr);
	put64(at + 32, filesz);
	put64(at + 40, memsz);
	put64(at + 48, align);
}

static uint64_t put_note(uint64_t at, const char *owner, uint32_t type, const void *desc, size_t len)
{
	uint32_t namesz = (uint32_t)strlen(owner) + 1;

	if (strcmp(owner, "Go") == 0)
		namesz = 4; /* "Go\0\0" */
	gc_store_le32(file + at, namesz);
	gc_store_le32(file + at + 4, (uint32_t)len);
	gc_store_le32(file + at + 8, type);
	memcpy(file + at + 12, owner, strlen(owner));
	at += 12 + (namesz + 3) / 4 * 4;
	memcpy(file + at, desc, len);
	return at + (len + 3) / 4 * 4;
}

/** @return bytes that PT_NOTE covers */
static uint64_t put_notes(const struct elf_builder *b)
{
	uint64_t at = NOTES, end;

	if (b->go_build_id && !b->go_in_text)
		at = put_note(at, "Go", 4, b->go_build_id, strlen(b->go_build_id));
	end = at;
	if (b->build_id)
		at = put_note(at, "GNU", NT_GNU_BUILD_ID, b->build_id, b->build_id_len);
	return (b->gnu_behind_go ? end : at) - NOTES;
}

static uint64_t pointer_of(const struct elf_builder *b, unsigned i)
{
	return b->base + ELF_TEXT + 16 * i + b->seed;
}

static void put_dyn(unsigned i, int64_t tag, uint64_t value)
{
	put64(RELRO_FILE + 16 * i, (uint64_t)tag);
	put64(RELRO_FILE + 16 * i + 8, value);
}

static void put_dynamic(const struct elf_builder *b)
{
	put_dyn(0, DT_NEEDED, 1);
	put_dyn(1, DT_NEEDED, 11);
	put_dyn(2, DT_INIT, b->base + ELF_TEXT + b->seed);
	put_dyn(3, DT_STRTAB, b->base + DYNSTR);
	put_dyn(4, DT_SYMTAB, b->base + DYNSYM);
	put_dyn(5, DT_RELA, b->base + RELA);
	put_dyn(6, DT_RELASZ, 24 * ELF_NPOINTERS);
	put_dyn(7, DT_RELACOUNT, ELF_NPOINTERS - 1);
	put_dyn(8, DT_DEBUG, 0);
	put_dyn(9, DT_NULL, 0);
	/* the last pointer is another image's: R_X86_64_GLOB_DAT or its like */
	for (unsigned i = 0; i < ELF_NPOINTERS; i++) {
		put64(RELA + 24 * i, b->base + ELF_POINTERS + 8 * i);
		put64(RELA + 24 * i + 8, 8);
		put64(RELA + 24 * i + 16, i < ELF_NPOINTERS - 1 ? pointer_of(b, i) : 0);
	}
}

static void put_sym(uint64_t at, uint32_t name, uint8_t info, uint16_t section, uint64_t value, uint64_t size)
{
	gc_store_le32(file + at, name);
	file[at + 4] = info;
	gc_store_le16(file + at + 6, section);
	put64(at + 8, value);
	put64(at + 16, size);
}

static void put_symbols(const struct elf_builder *b)
{
	static const char dynstr[] = "\0libc.so.6\0libm.so.6\0puts\0exported\0GLIBC_2.34";
	static const char strtab[] = "\0main\0counter";

	memcpy(file + DYNSTR, dynstr, sizeof(dynstr));
	put_sym(DYNSYM + 24, 21, STB_GLOBAL << 4 | STT_FUNC, SHN_UNDEF, 0, 0);
	put_sym(DYNSYM + 48, 26, STB_GLOBAL << 4 | STT_FUNC, 1, b->base + ELF_TEXT + 0x40, 32);
	gc_store_le16(file + VERSYM + 2, 2);
	gc_store_le16(file + VERSYM + 4, 1);
	/* Verneed: version 1, one entry, file libc.so.6; its Vernaux behind it */
	gc_store_le16(file + VERNEED, 1);
	gc_store_le16(file + VERNEED + 2, 1);
	gc_store_le32(file + VERNEED + 4, 1);
	gc_store_le32(file + VERNEED + 8, 16);
	gc_store_le16(file + VERNEED + 16 + 6, 2);
	gc_store_le32(file + VERNEED + 16 + 8, 35);
	memcpy(file + STRTAB, strtab, sizeof(strtab));
	put_sym(SYMTAB + 24, 1, STB_GLOBAL << 4 | STT_FUNC, 1, b->base + ELF_TEXT + 0x80, 64);
	put_sym(SYMTAB + 48, 6, STB_LOCAL << 4 | STT_OBJECT, 9, b->base + ELF_DATA + 8, 4);
}

static void put_section(const struct elf_builder *b, unsigned i, const char *name, uint32_t type, uint64_t flags,
			uint64_t addr, uint64_t offset, uint64_t size, uint32_t link, uint64_t entsize)
{
	static uint32_t names;
	uint64_t at = SHDRS + 64 * (uint64_t)i;

	if (i == 1)
		names = 1;
	if (b->debug_only && (flags & SHF_ALLOC) && type != SHT_NOTE)
		type = SHT_NOBITS;
	memcpy(file + SHSTRTAB + names, name, strlen(name));
	gc_store_le32(file + at, names);
	names += (uint32_t)strlen(name) + 1;
	gc_store_le32(file + at + 4, type);
	put64(at + 8, flags);
	put64(at + 16, flags & SHF_ALLOC ? b->base + addr : 0);
	put64(at + 24, offset);
	put64(at + 32, size);
	gc_store_le32(file + at + 40, link);
	put64(at + 48, 8);
	put64(at + 56, entsize);
}

static void put_sections(const struct elf_builder *b)
{
	put_section(b, 1, ".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, ELF_TEXT, 0x1000, 0x1000, 0, 0);
	put_section(b, 2, ".note.test", SHT_NOTE, SHF_ALLOC, NOTES, NOTES, NOTES_MAX, 0, 0);
	put_section(b, 3, ".dynsym", SHT_DYNSYM, SHF_ALLOC, DYNSYM, DYNSYM, 72, 4, 24);
	put_section(b, 4, ".dynstr", SHT_STRTAB, SHF_ALLOC, DYNSTR, DYNSTR, 0x100, 0, 0);
	put_section(b, 5, ".gnu.version", SHT_GNU_versym, SHF_ALLOC, VERSYM, VERSYM, 6, 3, 2);
	put_section(b, 6, ".gnu.version_r", SHT_GNU_verneed, SHF_ALLOC, VERNEED, VERNEED, 32, 4, 0);
	put_section(b, 7, ".symtab", SHT_SYMTAB, 0, 0, SYMTAB, 72, 8, 24);
	put_section(b, 8, ".strtab", SHT_STRTAB, 0, 0, STRTAB, 0x100, 0, 0);
	put_section(b, 9, ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 0x5000, 0x4000, 0x800, 0, 0);
	put_section(b, 10, ".shstrtab", SHT_STRTAB, 0, 0, SHSTRTAB, 0x200, 0, 0);
	gc_store_le32(file + SHDRS + 64 * 6 + 44, 1); /* one Verneed */
}

static void fill(uint64_t offset, uint8_t seed)
{
	for (unsigned i = 0; i < 0x1000; i++)
		file[offset + i] = (uint8_t)(1 + (i * 13 + (i >> 8) + seed * 37) % 255);
}

static void put_header(const struct elf_builder *b, uint16_t nphdrs)
{
	memcpy(file, ELFMAG, SELFMAG);
	file[EI_CLASS] = ELFCLASS64;
	file[EI_DATA] = ELFDATA2LSB;
	file[EI_VERSION] = EV_CURRENT;
	gc_store_le16(file + 16, b->type);
	gc_store_le16(file + 18, b->machine);
	gc_store_le32(file + 20, EV_CURRENT);
	put64(24, b->base + ELF_ENTRY);
	put64(32, 64);
	put64(40, SHDRS);
	gc_store_le16(file + 52, 64);
	gc_store_le16(file + 54, 56);
	gc_store_le16(file + 56, nphdrs);
	gc_store_le16(file + 58, 64);
	gc_store_le16(file + 60, NSECTIONS);
	gc_store_le16(file + 62, 10);
}

static void make(const struct elf_builder *b)
{
	uint64_t notes;
	uint16_t n = 0;

	memset(file, 0, sizeof(file));
	notes = put_notes(b);
	put_phdr(n++, PT_LOAD, PF_R, 0, b->base, 0xc00, 0xc00, 0x1000);
	put_phdr(n++, PT_LOAD, PF_R | PF_X, 0x1000, b->base + ELF_TEXT, 0x1000, 0x1000, 0x1000);
	put_phdr(n++, PT_LOAD, PF_R | PF_W, RELRO_FILE, b->base + ELF_RELRO, 0x2000, 0x2800, 0x1000);
	put_phdr(n++, PT_DYNAMIC, PF_R | PF_W, RELRO_FILE, b->base + ELF_RELRO, DYNAMIC_SIZE, DYNAMIC_SIZE, 8);
	put_phdr(n++, PT_GNU_RELRO, PF_R, RELRO_FILE, b->base + ELF_RELRO, 0x1000, 0x1000, 1);
	put_phdr(n++, PT_NOTE, PF_R, NOTES, b->base + NOTES, notes, notes, 4);
	if (b->interp) {
		size_t len = strlen(b->interp) + 1;

		put_phdr(n++, PT_INTERP, PF_R, INTERP, b->base + INTERP, len, len, 1);
		memcpy(file + INTERP, b->interp, len);
	}
	put_header(b, n);
	fill(0x1000, b->seed);
	if (b->go_in_text)
		snprintf((char *)file + 0x1000, 0x1000, "\xff Go build ID: \"%s\"\n \xff", b->go_build_id);
	fill(DATA_FILE, (uint8_t)(b->seed + 1));
	put_dynamic(b);
	put_symbols(b);
	put_sections(b);
}

void elf_build(const struct elf_builder *b, struct gc_buf *out)
{
	make(b);
	if (b->debug_only)
		memset(file + 0x1000, 0, SYMTAB - 0x1000);
	gc_buf_clear(out);
	gc_buf_add(out, file, sizeof(file));
}

static void relocate(const struct elf_builder *b, uint64_t bias, uint8_t page[0x1000])
{
	static const unsigned moved[] = { 2, 3, 4, 5 }; /* glibc relocates these tags where they are */

	for (unsigned i = 0; i < GC_COUNT(moved); i++) {
		uint8_t *value = page + 16 * moved[i] + 8;

		gc_store_le64(value, gc_load_le64(value) + bias);
	}
	for (unsigned i = 0; i < ELF_NPOINTERS; i++)
		gc_store_le64(page + (ELF_POINTERS - ELF_RELRO) + 8 * i,
			      i < ELF_NPOINTERS - 1 ? pointer_of(b, i) + bias : 0x7f0012345678);
}

void elf_page(const struct elf_builder *b, uint64_t vaddr, uint64_t bias, uint8_t page[0x1000])
{
	make(b);
	memset(page, 0, 0x1000);
	if (vaddr < ELF_RELRO)
		memcpy(page, file + vaddr, 0x1000);
	else if (vaddr < 0x5000)
		memcpy(page, file + vaddr - 0x1000, 0x1000);
	if (vaddr == ELF_RELRO)
		relocate(b, bias, page);
}
