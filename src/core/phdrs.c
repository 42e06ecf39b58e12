/* ELF headers and program headers, of files and of dumped memory alike (System V ABI, chapters 4 and 5). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/arch.h"
#include "gocore/bytes.h"

#include "core/elf_identity.h"

#define MAX_PHDRS 4096

enum { EHDR_SIZE = 64, PHDR_SIZE = 56 };

/** "a 32-bit ARM program": the article stands before the width. */
static enum gc_code unsupported(const uint8_t *ehdr, struct gc_error *err)
{
	bool big = ehdr[EI_DATA] == ELFDATA2MSB;
	uint16_t machine = (uint16_t)(big ? ehdr[18] << 8 | ehdr[19] : gc_load_le16(ehdr + 18));
	char buf[GC_MACHINE_PHRASE];
	const char *phrase = strchr(gc_machine_phrase(machine, buf), ' ') + 1;

	if (ehdr[EI_CLASS] != ELFCLASS32 && ehdr[EI_CLASS] != ELFCLASS64)
		return gc_fail(err, GC_E_FORMAT, "has a damaged ELF header (class %u)", ehdr[EI_CLASS]);
	return gc_fail(err, GC_E_UNSUPPORTED, "is a %s%s %s program",
		       ehdr[EI_CLASS] == ELFCLASS32 ? "32-bit" : "64-bit", big ? " big-endian" : "", phrase);
}

static enum gc_code check_ehdr(const uint8_t *ehdr, struct gc_error *err)
{
	uint16_t type = gc_load_le16(ehdr + 16);

	if (memcmp(ehdr, ELFMAG, SELFMAG) != 0)
		return gc_fail(err, GC_E_FORMAT, "is not an ELF file");
	if (ehdr[EI_CLASS] != ELFCLASS64 || ehdr[EI_DATA] != ELFDATA2LSB)
		return unsupported(ehdr, err);
	if (type == ET_CORE)
		return gc_fail(err, GC_E_FORMAT, "is a core file, not a program");
	if (type == ET_REL)
		return gc_fail(err, GC_E_FORMAT, "is an object file that was not linked yet, not a program");
	if (type != ET_EXEC && type != ET_DYN)
		return gc_fail(err, GC_E_FORMAT, "is an ELF file of type %u, not a program", type);
	return GC_OK;
}

static void load_phdr(Elf64_Phdr *out, const uint8_t *bytes)
{
	out->p_type = gc_load_le32(bytes);
	out->p_flags = gc_load_le32(bytes + 4);
	out->p_offset = gc_load_le64(bytes + 8);
	out->p_vaddr = gc_load_le64(bytes + 16);
	out->p_paddr = gc_load_le64(bytes + 24);
	out->p_filesz = gc_load_le64(bytes + 32);
	out->p_memsz = gc_load_le64(bytes + 40);
	out->p_align = gc_load_le64(bytes + 48);
}

/** What the kernel would not have loaded either (load_elf_binary, fs/binfmt_elf.c). */
static bool is_absurd(const Elf64_Phdr *p)
{
	return p->p_type == PT_LOAD && (p->p_filesz > p->p_memsz || p->p_memsz > UINT64_MAX - p->p_vaddr ||
					p->p_filesz > UINT64_MAX - p->p_offset);
}

static enum gc_code read_table(struct gc_phdrs *p, gc_read_fn *read, void *data, struct gc_error *err)
{
	uint8_t bytes[PHDR_SIZE];

	for (size_t i = 0; i < p->count; i++) {
		uint64_t offset = i * PHDR_SIZE;

		if (offset > UINT64_MAX - p->phoff || !read(data, p->phoff + offset, bytes, PHDR_SIZE))
			return gc_fail(err, GC_E_TRUNCATED, "ends before its program header %zu", i);
		load_phdr(&p->list[i], bytes);
		if (is_absurd(&p->list[i]))
			return gc_fail(err, GC_E_FORMAT, "has a damaged program header %zu", i);
	}
	return GC_OK;
}

enum gc_code gc_phdrs_read(struct gc_phdrs *out, gc_read_fn *read, void *data, struct gc_error *err)
{
	uint8_t ehdr[EHDR_SIZE];
	struct gc_phdrs p;
	enum gc_code code;
	uint16_t entsize;

	if (!read(data, 0, ehdr, sizeof(ehdr)))
		return gc_fail(err, GC_E_TRUNCATED, "ends before its ELF header does");
	code = check_ehdr(ehdr, err);
	if (code != GC_OK)
		return code;
	p = (struct gc_phdrs){
		.type = gc_load_le16(ehdr + 16),
		.machine = gc_load_le16(ehdr + 18),
		.entry = gc_load_le64(ehdr + 24),
		.phoff = gc_load_le64(ehdr + 32),
		.count = gc_load_le16(ehdr + 56),
	};
	entsize = gc_load_le16(ehdr + 54);
	if (p.count > 0 && entsize != PHDR_SIZE)
		return gc_fail(err, GC_E_FORMAT, "has program headers of %u bytes, not 56", entsize);
	if (p.count > MAX_PHDRS)
		return gc_fail(err, GC_E_LIMIT, "has %zu program headers, more than %d", p.count, MAX_PHDRS);
	p.list = calloc(p.count ? p.count : 1, sizeof(*p.list));
	if (!p.list)
		return gc_fail_memory(err);
	code = read_table(&p, read, data, err);
	if (code == GC_OK)
		*out = p;
	else
		gc_phdrs_deinit(&p);
	return code;
}

void gc_phdrs_deinit(struct gc_phdrs *p)
{
	free(p->list);
	*p = (struct gc_phdrs){ .list = NULL };
}

bool gc_phdrs_span(const struct gc_phdrs *p, uint64_t page_size, uint64_t *low, uint64_t *high)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (size_t i = 0; i < p->count; i++) {
		const Elf64_Phdr *ph = &p->list[i];

		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		first = ph->p_vaddr < first ? ph->p_vaddr : first;
		last = ph->p_vaddr + ph->p_memsz > last ? ph->p_vaddr + ph->p_memsz : last;
	}
	if (last == 0)
		return false;
	*low = first - first % page_size;
	*high = last % page_size && last <= UINT64_MAX - page_size ? last - last % page_size + page_size : last;
	return true;
}

const Elf64_Phdr *gc_phdrs_find(const struct gc_phdrs *p, uint32_t type)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].p_type == type)
			return &p->list[i];
	return NULL;
}

bool gc_phdrs_vaddr(const struct gc_phdrs *p, uint64_t *vaddr)
{
	const Elf64_Phdr *own = gc_phdrs_find(p, PT_PHDR);

	if (own) {
		*vaddr = own->p_vaddr;
		return true;
	}
	for (size_t i = 0; i < p->count; i++) {
		const Elf64_Phdr *ph = &p->list[i];

		if (ph->p_type == PT_LOAD && ph->p_offset <= p->phoff &&
		    p->phoff - ph->p_offset < ph->p_filesz) {
			*vaddr = ph->p_vaddr + (p->phoff - ph->p_offset);
			return true;
		}
	}
	return false;
}
