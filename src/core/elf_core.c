#include "gocore/core.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "core/loading.h"

#define EHDR_SIZE 64
#define PHDR_SIZE 56
#define SHDR_SIZE 64

#define MAX_PHDRS (4U << 20) /* vm.max_map_count is 65530 unless raised */

/* ---- ELF header ---- */

static void parse_ehdr(const uint8_t *bytes, struct elf_header *out)
{
	*out = (struct elf_header){
		.type = gc_load_le16(bytes + 16),
		.machine = gc_load_le16(bytes + 18),
		.phoff = gc_load_le64(bytes + 32),
		.shoff = gc_load_le64(bytes + 40),
		.phentsize = gc_load_le16(bytes + 54),
		.phnum = gc_load_le16(bytes + 56),
	};
}

static enum gc_code read_ehdr(struct core_loading *l, struct gc_error *err)
{
	const struct gc_input *in = &l->core->input;
	enum gc_code code;

	if (in->size == 0)
		return gc_fail(err, GC_E_FORMAT, "is empty");
	if (in->size < SELFMAG || memcmp(in->bytes, ELFMAG, SELFMAG) != 0)
		return core_not_elf(in, err);
	if (in->size > EI_DATA) {
		code = core_check_ident(in->bytes, err);
		if (code != GC_OK)
			return code;
	}
	if (in->size < EHDR_SIZE)
		return gc_fail(err, GC_E_TRUNCATED,
			       "was cut off in its ELF header: %" PRIu64 " of %d bytes are there",
			       in->size, EHDR_SIZE);
	parse_ehdr(in->bytes, &l->ehdr);
	code = core_check_type(&l->ehdr, err);
	if (code != GC_OK)
		return code;
	l->core->arch = gc_arch_by_machine(l->ehdr.machine);
	return l->core->arch ? GC_OK : core_wrong_machine(&l->ehdr, err);
}

/* ---- Which program headers are there ---- */

void core_expect(struct core_loading *l, uint64_t offset, uint64_t len)
{
	struct gc_core *core = l->core;
	uint64_t end;

	if (len == 0 || __builtin_add_overflow(offset, len, &end))
		return;
	if (end > core->expected_size)
		core->expected_size = end;
	if (end > core->input.size)
		core->cut = true;
}

uint64_t core_bytes_there(const struct core_loading *l, uint64_t offset, uint64_t len)
{
	uint64_t size = l->core->input.size;

	if (offset >= size)
		return 0;
	return len < size - offset ? len : size - offset;
}

/**
 * e_phnum does not suffice for 65535 headers: the count is in section header
 * 0, which the kernel puts at the end of the file (fs/binfmt_elf.c). When that
 * end is cut off, there is another witness: the kernel's notes, described by
 * the first program header, begin right behind the last one.
 */
static uint64_t count_of_extended(struct core_loading *l)
{
	const struct elf_header *e = &l->ehdr;
	const uint8_t *bytes = l->core->input.bytes;
	uint64_t notes;

	if (e->shoff == 0) /* exactly this many, by a writer that knows no other way */
		return PN_XNUM;
	core_expect(l, e->shoff, SHDR_SIZE);
	if (core_bytes_there(l, e->shoff, SHDR_SIZE) == SHDR_SIZE)
		return gc_load_le32(bytes + e->shoff + 44); /* sh_info */
	if (core_bytes_there(l, e->phoff, PHDR_SIZE) < PHDR_SIZE || gc_load_le32(bytes + e->phoff) != PT_NOTE)
		return PN_XNUM;
	notes = gc_load_le64(bytes + e->phoff + 8);
	return notes > e->phoff ? (notes - e->phoff) / e->phentsize : PN_XNUM;
}

static enum gc_code cut_before_phdrs(const struct core_loading *l, struct gc_error *err)
{
	return gc_fail(err, GC_E_TRUNCATED,
		       "was cut off before its program headers: it ends at 0x%" PRIx64
		       ", they begin at 0x%" PRIx64, l->core->input.size, l->ehdr.phoff);
}

static enum gc_code find_phdrs(struct core_loading *l, struct gc_error *err)
{
	const struct elf_header *e = &l->ehdr;
	uint64_t size = l->core->input.size, span;

	if (e->phentsize < PHDR_SIZE)
		return gc_fail(err, GC_E_FORMAT, "has program headers of %u bytes; %d are needed",
			       e->phentsize, PHDR_SIZE);
	l->phnum = e->phnum == PN_XNUM ? count_of_extended(l) : e->phnum;
	if (l->phnum == 0)
		return gc_fail(err, GC_E_FORMAT, "is an ELF core without program headers");
	if (l->phnum > MAX_PHDRS) {
		gc_problem(&l->core->problems, "program headers",
			   "there are %" PRIu64 " of them; those after the first %u are left out",
			   l->phnum, MAX_PHDRS);
		l->phnum = MAX_PHDRS;
	}
	if (e->phoff >= size || size - e->phoff < PHDR_SIZE)
		return cut_before_phdrs(l, err);
	span = (l->phnum - 1) * e->phentsize + PHDR_SIZE; /* at most 2^38 */
	core_expect(l, e->phoff, span);
	l->phdrs_there = (size - e->phoff - PHDR_SIZE) / e->phentsize + 1;
	if (l->phdrs_there >= l->phnum)
		l->phdrs_there = l->phnum;
	else
		gc_problem(&l->core->problems, "program headers",
			   "the file was cut off in its program headers: it ends at 0x%" PRIx64
			   ", %" PRIu64 " of %" PRIu64 " headers are there", size, l->phdrs_there,
			   l->phnum);
	return GC_OK;
}

/* ---- Cut files ---- */

static const char *size_text(uint64_t bytes, char buf[32])
{
	if (bytes >= 1 << 20)
		snprintf(buf, 32, "%.1f MiB", (double)bytes / 0x1p20);
	else if (bytes >= 1 << 10)
		snprintf(buf, 32, "%.1f KiB", (double)bytes / 0x1p10);
	else
		snprintf(buf, 32, "%" PRIu64 " bytes", bytes);
	return buf;
}

/** Say once what the missing end costs. */
static void report_cut(struct core_loading *l)
{
	struct gc_core *core = l->core;
	char memory[32], notes[32], lost[128];

	if (!core->cut)
		return;
	for (size_t i = 0; i < core->nsegments; i++)
		l->missing_memory += core->segments[i].filesz - core->segments[i].have;
	size_text(l->missing_memory, memory);
	size_text(l->missing_notes, notes);
	if (l->missing_memory && l->missing_notes)
		snprintf(lost, sizeof(lost), "%s of notes and %s of memory are missing", notes, memory);
	else if (l->missing_notes)
		snprintf(lost, sizeof(lost), "%s of notes are missing", notes);
	else if (l->missing_memory)
		snprintf(lost, sizeof(lost), "%s of memory are missing", memory);
	else
		snprintf(lost, sizeof(lost), "headers are missing");
	gc_problem(&core->problems, "file",
		   "the file ends at 0x%" PRIx64 " but its headers describe 0x%" PRIx64 " bytes: %s",
		   core->input.size, core->expected_size, lost);
}

/** No thread was found: nothing that a debugger could show. */
static enum gc_code no_threads(const struct core_loading *l, struct gc_error *err)
{
	const struct gc_core *core = l->core;
	uint64_t size = core->input.size;

	if (l->phdrs_there < l->phnum)
		return gc_fail(err, GC_E_TRUNCATED,
			       "was cut off in its program headers: it ends at 0x%" PRIx64 ", %" PRIu64
			       " of %" PRIu64 " headers are there and no thread", size, l->phdrs_there,
			       l->phnum);
	if (l->missing_notes && core->nnotes)
		return gc_fail(err, GC_E_TRUNCATED,
			       "was cut off in its notes: it ends at 0x%" PRIx64
			       ", before the first thread", size);
	if (l->missing_notes)
		return gc_fail(err, GC_E_TRUNCATED,
			       "was cut off before its notes: it ends at 0x%" PRIx64 " of 0x%" PRIx64
			       " bytes, and no thread is left", size, core->expected_size);
	return gc_fail(err, GC_E_FORMAT, "is an ELF core without threads: %s", core->nnotes
		       ? "none of its notes is a usable NT_PRSTATUS" : "it has no notes");
}

/* ---- Opening ---- */

static uint64_t page_size_of(const struct core_loading *l)
{
	uint64_t size;

	if (gc_core_auxv(l->core, AT_PAGESZ, &size) && size >= 1024 && size <= 1 << 24 &&
	    (size & (size - 1)) == 0)
		return size;
	return l->load_align ? l->load_align : 4096;
}

static enum gc_code load(struct core_loading *l, struct gc_error *err)
{
	struct gc_core *core = l->core;
	enum gc_code code = read_ehdr(l, err);

	if (code == GC_OK)
		code = find_phdrs(l, err);
	if (code == GC_OK)
		code = core_read_segments(l, err);
	if (code != GC_OK)
		return code;
	report_cut(l);
	core->nnote_segments = l->nnotes;
	code = gc_notes_read(core, l->notes, l->nnotes, err);
	if (code != GC_OK)
		return code;
	if (core->nthreads == 0)
		return no_threads(l, err);
	core->page_size = page_size_of(l);
	if (!core->cut)
		core->expected_size = 0;
	return GC_OK;
}

enum gc_code gc_core_open(struct gc_core *core, struct gc_input *in, struct gc_error *err)
{
	struct core_loading l = { .core = core };
	enum gc_code code;

	*core = (struct gc_core){ .input = *in };
	*in = (struct gc_input){ .fd = -1 };
	code = load(&l, err);
	if (code != GC_OK)
		gc_core_close(core);
	return code;
}

void gc_core_close(struct gc_core *core)
{
	gc_input_close(&core->input);
	free(core->segments);
	free(core->tags);
	free(core->notes);
	free(core->threads);
	free(core->files);
	gc_problems_deinit(&core->problems);
	*core = (struct gc_core){ .input = { .fd = -1 } };
}
