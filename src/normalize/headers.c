/* The ELF header and the program headers of the new core (System V ABI, chapters 4 and 5; elf(5)). */
#include <elf.h>
#include <string.h>

#include "gocore/bytes.h"

#include "normalize/normalize_private.h"

enum { EHDR_SIZE = 64, SHDR_SIZE = 64 };

/** e_phnum cannot count as many: the kernel's way out is sh_info of section 0 (fill_extnum_info). */
static bool is_extended(const struct gc_new_segments *segments)
{
	return segments->count + 1 >= PN_XNUM;
}

uint64_t gc_new_headers_size(const struct gc_new_segments *segments)
{
	return EHDR_SIZE + (segments->count + 1) * GC_PHDR_SIZE + (is_extended(segments) ? SHDR_SIZE : 0);
}

/**
 * lldb refuses a core that does not say that it is one of Linux, by a note of
 * the owner LINUX or in the header (RefineModuleDetailsFromNote in
 * ObjectFileELF.cpp). The kernel's cores have the first, those of qemu neither.
 */
static bool has_linux_note(const struct gc_buf *notes)
{
	for (size_t at = 0; at < notes->len;) { /* our own: whole and aligned */
		uint32_t owner_len = gc_load_le32(notes->data + at), desc_len = gc_load_le32(notes->data + at + 4);

		if (owner_len == 6 && memcmp(notes->data + at + 12, "LINUX", 6) == 0)
			return true;
		at += 12 + (((size_t)owner_len + 3) & ~(size_t)3) + (((size_t)desc_len + 3) & ~(size_t)3);
	}
	return false;
}

static void add_ehdr(struct gc_buf *out, const struct gc_core *core, const struct gc_new_segments *segments,
		     const struct gc_buf *notes)
{
	uint8_t e[EHDR_SIZE] = { 0 };
	bool extended = is_extended(segments);

	memcpy(e, ELFMAG, SELFMAG);
	e[EI_CLASS] = ELFCLASS64;
	e[EI_DATA] = ELFDATA2LSB;
	e[EI_VERSION] = EV_CURRENT;
	e[EI_OSABI] = has_linux_note(notes) ? ELFOSABI_NONE : ELFOSABI_LINUX;
	gc_store_le16(e + 16, ET_CORE);
	gc_store_le16(e + 18, core->arch->elf_machine);
	gc_store_le32(e + 20, EV_CURRENT);
	gc_store_le64(e + 32, EHDR_SIZE); /* e_phoff */
	gc_store_le16(e + 52, EHDR_SIZE);
	gc_store_le16(e + 54, GC_PHDR_SIZE);
	gc_store_le16(e + 56, extended ? PN_XNUM : (uint16_t)(segments->count + 1));
	if (extended) {
		gc_store_le64(e + 40, EHDR_SIZE + (segments->count + 1) * GC_PHDR_SIZE); /* e_shoff */
		gc_store_le16(e + 58, SHDR_SIZE);
		gc_store_le16(e + 60, 1);
	}
	gc_buf_add(out, e, sizeof(e));
}

static void add_phdr(struct gc_buf *out, const struct gc_new_segment *s, uint64_t align)
{
	uint8_t p[GC_PHDR_SIZE] = { 0 };

	gc_store_le32(p, s->type);
	gc_store_le32(p + 4, s->flags);
	gc_store_le64(p + 8, s->offset);
	gc_store_le64(p + 16, s->addr);
	gc_store_le64(p + 32, s->filesz);
	gc_store_le64(p + 40, s->memsz);
	gc_store_le64(p + 48, align);
	gc_buf_add(out, p, sizeof(p));
}

static void add_shdr(struct gc_buf *out, size_t phnum)
{
	uint8_t s[SHDR_SIZE] = { 0 };

	gc_store_le64(s + 32, 1);                /* sh_size: e_shnum */
	gc_store_le32(s + 40, SHN_UNDEF);        /* sh_link: e_shstrndx */
	gc_store_le32(s + 44, (uint32_t)phnum);  /* sh_info */
	gc_buf_add(out, s, sizeof(s));
}

void gc_new_headers(struct gc_buf *out, const struct gc_core *core, const struct gc_new_segments *segments,
		    const struct gc_buf *notes, uint64_t notes_at, uint64_t align)
{
	const struct gc_new_segment note_segment = {
		.type = PT_NOTE, .offset = notes_at, .filesz = notes->len,
	};

	add_ehdr(out, core, segments, notes);
	add_phdr(out, &note_segment, 4);
	for (size_t i = 0; i < segments->count; i++) {
		const struct gc_new_segment *s = &segments->list[i];

		add_phdr(out, s, s->type == PT_LOAD ? align : 0);
	}
	if (is_extended(segments))
		add_shdr(out, segments->count + 1);
}
