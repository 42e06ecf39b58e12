#include "code_builder.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

enum {
	HDR = CODE_TEXT + CODE_TEXT_LEN,
	EH_FRAME = HDR + 0x200,
	SYMTAB = EH_FRAME + 0x400,
	STRTAB = SYMTAB + 0x400,
	NAMES = STRTAB + 0x400,
	SECTIONS = NAMES + 0x80,
	IMAGE_LEN = 0x2000,
	MAX_FDES = 16,
};

static const char section_names[] = "\0.text\0.eh_frame\0.symtab\0.strtab\0.shstrtab";

struct image {
	uint8_t bytes[IMAGE_LEN];
	size_t nsections;
};

static void put_header(struct image *i, const struct code_builder *b)
{
	uint8_t *e = i->bytes;

	memcpy(e, ELFMAG "\2\1\1", 7);
	gc_store_le16(e + 16, ET_DYN);
	gc_store_le16(e + 18, b->machine);
	gc_store_le32(e + 20, 1);
	gc_store_le64(e + 32, 64);
	gc_store_le64(e + 40, SECTIONS);
	gc_store_le16(e + 52, 64);
	gc_store_le16(e + 54, 56);
	gc_store_le16(e + 56, b->no_hdr ? 1 : 2);
	gc_store_le16(e + 58, 64);
}

static void put_phdr(struct image *i, size_t n, uint32_t type, uint64_t addr, uint64_t len)
{
	uint8_t *p = i->bytes + 64 + 56 * n;

	gc_store_le32(p, type);
	gc_store_le32(p + 4, PF_R | PF_X);
	gc_store_le64(p + 8, addr);
	gc_store_le64(p + 16, addr);
	gc_store_le64(p + 24, addr);
	gc_store_le64(p + 32, len);
	gc_store_le64(p + 40, len);
	gc_store_le64(p + 48, 0x1000);
}

static void put_section(struct image *i, const char *name, uint32_t type, uint64_t at, uint64_t len, uint32_t link,
			uint64_t entry)
{
	const char *found = memmem(section_names, sizeof(section_names), name, strlen(name) + 1);
	uint8_t *s = i->bytes + SECTIONS + 64 * i->nsections++;

	gc_store_le32(s, (uint32_t)(found - section_names));
	gc_store_le32(s + 4, type);
	gc_store_le64(s + 8, type == SHT_PROGBITS ? SHF_ALLOC : 0);
	gc_store_le64(s + 16, type == SHT_PROGBITS ? at : 0);
	gc_store_le64(s + 24, at);
	gc_store_le64(s + 32, len);
	gc_store_le32(s + 40, link);
	gc_store_le64(s + 56, entry);
}

/** A CIE with pc-relative 4-byte addresses, code alignment 1 and data alignment -8. @return its length */
static size_t put_cie(const struct code_builder *b, uint8_t *at, bool signal)
{
	const bool x86 = b->machine == EM_X86_64;
	/* the CFA is sp (+ 8 with the return address below it) */
	const uint8_t body[] = { 1, 'z', 'R', signal ? 'S' : 'B', 0, 1, 0x78, x86 ? 16 : 30, 1, 0x1b,
				 0x0c, x86 ? 7 : 31, x86 ? 8 : 0, x86 ? 0x90 : 0, x86 ? 1 : 0, 0 };

	gc_store_le32(at, 4 + sizeof(body));
	gc_store_le32(at + 4, 0);
	memcpy(at + 8, body, sizeof(body));
	return 8 + sizeof(body);
}

static size_t put_fde(struct image *i, size_t at, size_t cie, const struct code_fde *fde)
{
	uint8_t *p = i->bytes + at;
	const size_t len = 4 + 8 + 1 + fde->program_len;

	gc_store_le32(p, (uint32_t)len);
	gc_store_le32(p + 4, (uint32_t)(at + 4 - cie));
	gc_store_le32(p + 8, (uint32_t)(CODE_TEXT + fde->offset - (at + 8)));
	gc_store_le32(p + 12, (uint32_t)fde->len);
	if (fde->program_len)
		memcpy(p + 17, fde->program, fde->program_len);
	return 4 + len;
}

static void put_frames(struct image *i, const struct code_builder *b)
{
	size_t plain = EH_FRAME, signal = plain + put_cie(b, i->bytes + plain, false);
	size_t at = signal + put_cie(b, i->bytes + signal, true), places[MAX_FDES + 1];
	uint8_t *hdr = i->bytes + HDR;

	if (b->nfdes > MAX_FDES)
		abort();
	for (size_t n = 0; n < b->nfdes; n++) {
		places[n] = at;
		at += put_fde(i, at, b->fdes[n].signal ? signal : plain, &b->fdes[n]);
	}
	places[b->nfdes] = places[0];
	if (at + 4 > SYMTAB)
		abort();
	put_section(i, ".eh_frame", SHT_PROGBITS, EH_FRAME, at + 4 - EH_FRAME, 0, 0);
	if (b->no_hdr)
		return;
	memcpy(hdr, "\1\x1b\3\x3b", 4);
	gc_store_le32(hdr + 4, EH_FRAME - (HDR + 4));
	gc_store_le32(hdr + 8, (uint32_t)b->nfdes);
	for (size_t n = 0; n < b->nfdes; n++) {
		gc_store_le32(hdr + 12 + 8 * n, (uint32_t)(CODE_TEXT + b->fdes[n].offset - HDR));
		gc_store_le32(hdr + 16 + 8 * n, (uint32_t)(places[n + b->damaged_hdr] - HDR));
	}
}

static void put_symbols(struct image *i, const struct code_builder *b)
{
	size_t name = 1;

	for (size_t n = 0; n < b->nsymbols; n++) {
		const struct code_symbol *s = &b->symbols[n];
		uint8_t *p = i->bytes + SYMTAB + 24 * (n + 1);

		if (24 * (n + 2) > STRTAB - SYMTAB || name + strlen(s->name) >= NAMES - STRTAB)
			abort();
		strcpy((char *)i->bytes + STRTAB + name, s->name);
		gc_store_le32(p, (uint32_t)name);
		p[4] = s->info;
		gc_store_le16(p + 6, 1);
		gc_store_le64(p + 8, CODE_TEXT + s->offset);
		gc_store_le64(p + 16, s->size);
		name += strlen(s->name) + 1;
	}
	put_section(i, ".symtab", SHT_SYMTAB, SYMTAB, 24 * (b->nsymbols + 1), (uint32_t)i->nsections + 1, 24);
	put_section(i, ".strtab", SHT_STRTAB, STRTAB, name, 0, 0);
}

void code_image(const struct code_builder *b, struct gc_buf *out)
{
	struct image *i = calloc(1, sizeof(*i));

	if (!i)
		abort();
	put_header(i, b);
	put_phdr(i, 0, PT_LOAD, 0, IMAGE_LEN);
	put_phdr(i, 1, PT_GNU_EH_FRAME, HDR, 12 + 8 * b->nfdes);
	memcpy(i->bytes + CODE_TEXT, b->text, CODE_TEXT_LEN);
	memcpy(i->bytes + NAMES, section_names, sizeof(section_names));
	i->nsections = 1;
	put_section(i, ".text", SHT_PROGBITS, CODE_TEXT, CODE_TEXT_LEN, 0, 0);
	put_frames(i, b);
	put_symbols(i, b);
	put_section(i, ".shstrtab", SHT_STRTAB, NAMES, sizeof(section_names), 0, 0);
	gc_store_le16(i->bytes + 60, (uint16_t)i->nsections);
	gc_store_le16(i->bytes + 62, (uint16_t)(i->nsections - 1));
	gc_buf_add(out, i->bytes, sizeof(i->bytes));
	free(i);
}

void code_push(struct code_builder *b, uint64_t addr, uint64_t value)
{
	if (addr < CODE_STACK || addr - CODE_STACK > CODE_STACK_LEN - 8)
		abort();
	gc_store_le64(b->stack + (addr - CODE_STACK), value);
}

void code_process(struct code_builder *b, struct gc_process *p)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	const uint64_t auxv[] = { AT_SYSINFO_EHDR, CODE_BASE, AT_PAGESZ, 0x1000 };
	struct gc_buf image = GC_BUF_INIT;
	struct core_builder core;
	struct gc_input in;
	struct gc_error err;
	uint8_t regs[sizeof(b->regs)];

	for (size_t i = 0; i < GC_COUNT(b->regs); i++)
		gc_store_le64(regs + 8 * i, b->regs[i]);
	code_image(b, &image);
	builder_init(&core, b->machine);
	builder_prstatus(&core, 1, 11, regs, b->machine == EM_X86_64 ? 27 * 8 : 34 * 8);
	builder_auxv(&core, auxv, 2);
	builder_load(&core, CODE_JIT, CODE_TEXT_LEN, b->text, CODE_TEXT_LEN, PF_R | PF_X);
	builder_load(&core, CODE_STACK, CODE_STACK_LEN, b->stack, CODE_STACK_LEN, PF_R | PF_W);
	builder_load(&core, CODE_BASE, image.len, image.data, image.len, PF_R | PF_X);
	builder_finish(&core);
	input_of_bytes(&in, core.out.data, core.out.len);
	if (gc_process_open(p, &in, &options, &err) != GC_OK)
		abort();
	builder_deinit(&core);
	gc_buf_deinit(&image);
}
