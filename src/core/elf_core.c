#include "gocore/core.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

#include "core/core_private.h"

#define EHDR_SIZE 64
#define PHDR_SIZE 56
#define SHDR_SIZE 64

#define MAX_PHDRS         (4U << 20) /* vm.max_map_count is 65530 unless raised */
#define MAX_NOTE_SEGMENTS 64         /* everybody writes one */

struct ehdr {
	uint16_t type, machine, phentsize, phnum;
	uint64_t phoff, shoff;
};

struct phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, filesz, memsz, align;
};

/** One gc_core_open call. */
struct loading {
	struct gc_core *core;
	struct ehdr ehdr;
	uint64_t phnum;        /* as the file says */
	uint64_t phdrs_there;  /* of these, whole in the file */
	struct gc_note_segment notes[MAX_NOTE_SEGMENTS];
	size_t nnotes;
	size_t nloads, ntags;
	uint64_t load_align;   /* of the first PT_LOAD that has a sensible one */
	uint64_t missing_memory, missing_notes;
};

/* ---- What a file is that is no core for us ---- */

struct name {
	uint16_t number;
	const char *text;
};

static const struct name machines[] = {
	{ EM_SPARC, "SPARC" },     { EM_386, "i386" },        { EM_68K, "m68k" },
	{ EM_MIPS, "MIPS" },       { EM_PARISC, "PA-RISC" },  { EM_PPC, "PowerPC" },
	{ EM_PPC64, "PowerPC64" }, { EM_S390, "S/390" },      { EM_ARM, "ARM" },
	{ EM_SH, "SuperH" },       { EM_SPARCV9, "SPARC64" }, { EM_IA_64, "Itanium" },
	{ EM_X86_64, "x86-64" },   { EM_AARCH64, "AArch64" }, { EM_RISCV, "RISC-V" },
	{ EM_BPF, "BPF" },         { 258, "LoongArch" },      { EM_ALPHA, "Alpha" },
};

static const char *machine_name(uint16_t machine, char buf[32])
{
	for (size_t i = 0; i < GC_COUNT(machines); i++)
		if (machines[i].number == machine)
			return machines[i].text;
	snprintf(buf, 32, "machine %u", machine);
	return buf;
}

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

static enum gc_code not_elf(const struct gc_input *in, struct gc_error *err)
{
	for (size_t i = 0; i < GC_COUNT(others); i++)
		if (in->size >= others[i].len && memcmp(in->bytes, others[i].magic, others[i].len) == 0)
			return gc_fail(err, GC_E_FORMAT, "is %s, not a core", others[i].what);
	if (is_text(in->bytes, in->size))
		return gc_fail(err, GC_E_FORMAT, "is a text file, not a core");
	return gc_fail(err, GC_E_FORMAT, "is not an ELF file, so not a core");
}

static enum gc_code wrong_ident(const uint8_t *ident, struct gc_error *err)
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

static enum gc_code wrong_type(const struct ehdr *e, struct gc_error *err)
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

static enum gc_code wrong_machine(const struct ehdr *e, struct gc_error *err)
{
	char readable[128] = "", buf[32];
	size_t len = 0;

	for (size_t i = 0; gc_arch_at(i) && len < sizeof(readable); i++)
		len += (size_t)snprintf(readable + len, sizeof(readable) - len, "%s%s", i ? " and " : "",
					gc_arch_at(i)->elf_name);
	return gc_fail(err, GC_E_UNSUPPORTED, "is a core of %s; only cores of %s can be read",
		       machine_name(e->machine, buf), readable);
}

/* ---- ELF header ---- */

static void parse_ehdr(const uint8_t *bytes, struct ehdr *out)
{
	*out = (struct ehdr){
		.type = gc_load_le16(bytes + 16),
		.machine = gc_load_le16(bytes + 18),
		.phoff = gc_load_le64(bytes + 32),
		.shoff = gc_load_le64(bytes + 40),
		.phentsize = gc_load_le16(bytes + 54),
		.phnum = gc_load_le16(bytes + 56),
	};
}

static enum gc_code read_ehdr(struct loading *l, struct gc_error *err)
{
	const struct gc_input *in = &l->core->input;
	enum gc_code code;

	if (in->size == 0)
		return gc_fail(err, GC_E_FORMAT, "is empty");
	if (in->size < SELFMAG || memcmp(in->bytes, ELFMAG, SELFMAG) != 0)
		return not_elf(in, err);
	if (in->size > EI_DATA) {
		code = wrong_ident(in->bytes, err);
		if (code != GC_OK)
			return code;
	}
	if (in->size < EHDR_SIZE)
		return gc_fail(err, GC_E_TRUNCATED,
			       "was cut off in its ELF header: %" PRIu64 " of %d bytes are there",
			       in->size, EHDR_SIZE);
	parse_ehdr(in->bytes, &l->ehdr);
	code = wrong_type(&l->ehdr, err);
	if (code != GC_OK)
		return code;
	l->core->arch = gc_arch_by_machine(l->ehdr.machine);
	return l->core->arch ? GC_OK : wrong_machine(&l->ehdr, err);
}

/* ---- Which program headers are there ---- */

/** Note that the headers describe bytes up to @offset + @len. */
static void expect(struct loading *l, uint64_t offset, uint64_t len)
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

/** Of @len bytes at @offset, how many the file holds. */
static uint64_t bytes_there(const struct loading *l, uint64_t offset, uint64_t len)
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
static uint64_t count_of_extended(struct loading *l)
{
	const struct ehdr *e = &l->ehdr;
	const uint8_t *bytes = l->core->input.bytes;
	uint64_t notes;

	if (e->shoff == 0) /* exactly this many, by a writer that knows no other way */
		return PN_XNUM;
	expect(l, e->shoff, SHDR_SIZE);
	if (bytes_there(l, e->shoff, SHDR_SIZE) == SHDR_SIZE)
		return gc_load_le32(bytes + e->shoff + 44); /* sh_info */
	if (bytes_there(l, e->phoff, PHDR_SIZE) < PHDR_SIZE || gc_load_le32(bytes + e->phoff) != PT_NOTE)
		return PN_XNUM;
	notes = gc_load_le64(bytes + e->phoff + 8);
	return notes > e->phoff ? (notes - e->phoff) / e->phentsize : PN_XNUM;
}

static enum gc_code cut_before_phdrs(const struct loading *l, struct gc_error *err)
{
	return gc_fail(err, GC_E_TRUNCATED,
		       "was cut off before its program headers: it ends at 0x%" PRIx64
		       ", they begin at 0x%" PRIx64, l->core->input.size, l->ehdr.phoff);
}

static enum gc_code find_phdrs(struct loading *l, struct gc_error *err)
{
	const struct ehdr *e = &l->ehdr;
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
	expect(l, e->phoff, span);
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

/** Index below phdrs_there, so inside the file. */
static struct phdr phdr_at(const struct loading *l, uint64_t index)
{
	const uint8_t *p = l->core->input.bytes + l->ehdr.phoff + index * l->ehdr.phentsize;

	return (struct phdr){
		.type = gc_load_le32(p),
		.flags = gc_load_le32(p + 4),
		.offset = gc_load_le64(p + 8),
		.vaddr = gc_load_le64(p + 16),
		.filesz = gc_load_le64(p + 32),
		.memsz = gc_load_le64(p + 40),
		.align = gc_load_le64(p + 48),
	};
}

static bool is_tags(const struct loading *l, const struct phdr *p)
{
	uint32_t type = l->core->arch->memtag_segment;

	return type != 0 && p->type == type;
}

/* ---- Segments ---- */

/** Name for messages. */
static const char *segment_name(const struct phdr *p, char buf[64])
{
	snprintf(buf, 64, "segment 0x%" PRIx64, p->vaddr);
	return buf;
}

/** Put right or refuse what a segment's header says; true if it can be used. */
static bool check_segment(struct loading *l, struct phdr *p)
{
	struct gc_problems *problems = &l->core->problems;
	char where[64];
	uint64_t end;

	if (p->memsz == 0 && p->filesz == 0)
		return false;
	segment_name(p, where);
	if (__builtin_add_overflow(p->vaddr, p->memsz, &end)) {
		gc_problem(problems, where, "reaches over the end of the address space (0x%" PRIx64
			   " bytes); left out", p->memsz);
		return false;
	}
	if (__builtin_add_overflow(p->offset, p->filesz, &end)) {
		gc_problem(problems, where, "its content at file offset 0x%" PRIx64
			   " cannot be in any file; treated as not dumped", p->offset);
		p->filesz = 0;
		p->offset = 0;
	}
	return true;
}

static void add_load(struct loading *l, struct phdr p)
{
	struct gc_segment *s = &l->core->segments[l->core->nsegments];
	char where[64];

	if (!check_segment(l, &p))
		return;
	if (p.filesz > p.memsz) {
		gc_problem(&l->core->problems, segment_name(&p, where),
			   "holds 0x%" PRIx64 " bytes for 0x%" PRIx64
			   " bytes of memory; the rest is left out", p.filesz, p.memsz);
		p.filesz = p.memsz;
	}
	if (p.memsz == 0)
		return;
	expect(l, p.offset, p.filesz);
	*s = (struct gc_segment){
		.addr = p.vaddr,
		.memsz = p.memsz,
		.filesz = p.filesz,
		.have = bytes_there(l, p.offset, p.filesz),
		.offset = p.offset,
		.flags = p.flags & (PF_R | PF_W | PF_X),
	};
	l->core->nsegments++;
	if (!l->load_align && p.align >= 4096 && p.align <= 1 << 24 && (p.align & (p.align - 1)) == 0)
		l->load_align = p.align;
}

static void add_tags(struct loading *l, struct phdr p)
{
	uint32_t granule = l->core->arch->tag_granule;

	if (!check_segment(l, &p))
		return;
	/* Two tags a byte: "Core dump support" in the kernel's memory-tagging-extension.rst. */
	if (granule && p.filesz > p.memsz / granule / 2)
		p.filesz = p.memsz / granule / 2;
	expect(l, p.offset, p.filesz);
	l->core->tags[l->core->ntags++] = (struct gc_tag_segment){
		.addr = p.vaddr,
		.memsz = p.memsz,
		.offset = p.offset,
		.have = bytes_there(l, p.offset, p.filesz),
	};
	l->missing_memory += p.filesz - bytes_there(l, p.offset, p.filesz);
}

static void add_note_segment(struct loading *l, const struct phdr *p)
{
	uint64_t have = bytes_there(l, p->offset, p->filesz), end;

	if (p->filesz == 0)
		return;
	if (__builtin_add_overflow(p->offset, p->filesz, &end)) {
		gc_problem(&l->core->problems, "notes", "note segment at file offset 0x%" PRIx64
			   " cannot be in any file; left out", p->offset);
		return;
	}
	if (l->nnotes == MAX_NOTE_SEGMENTS) {
		gc_problem(&l->core->problems, "notes", "note segment at file offset 0x%" PRIx64
			   " is one too many; left out", p->offset);
		return;
	}
	expect(l, p->offset, p->filesz);
	l->missing_notes += p->filesz - have;
	l->notes[l->nnotes++] = (struct gc_note_segment){ p->offset, p->filesz, have, p->align };
}

static enum gc_code allocate_segments(struct loading *l, struct gc_error *err)
{
	struct gc_core *core = l->core;

	for (uint64_t i = 0; i < l->phdrs_there; i++) {
		struct phdr p = phdr_at(l, i);

		l->nloads += p.type == PT_LOAD;
		l->ntags += is_tags(l, &p);
	}
	core->segments = calloc(l->nloads ? l->nloads : 1, sizeof(*core->segments));
	core->tags = calloc(l->ntags ? l->ntags : 1, sizeof(*core->tags));
	return core->segments && core->tags ? GC_OK : gc_fail_memory(err);
}

static enum gc_code read_phdrs(struct loading *l, struct gc_error *err)
{
	enum gc_code code = allocate_segments(l, err);

	if (code != GC_OK)
		return code;
	for (uint64_t i = 0; i < l->phdrs_there; i++) {
		struct phdr p = phdr_at(l, i);

		if (p.type == PT_LOAD)
			add_load(l, p);
		else if (p.type == PT_NOTE)
			add_note_segment(l, &p);
		else if (is_tags(l, &p))
			add_tags(l, p);
	}
	return GC_OK;
}

static int by_address(const void *a, const void *b)
{
	const struct gc_segment *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static void sort_segments(struct gc_core *core)
{
	for (size_t i = 1; i < core->nsegments; i++) {
		if (core->segments[i].addr < core->segments[i - 1].addr) {
			qsort(core->segments, core->nsegments, sizeof(*core->segments), by_address);
			return;
		}
	}
}

static uint64_t at_most(uint64_t n, uint64_t limit)
{
	return n < limit ? n : limit;
}

/** Take @n bytes (fewer than memsz) off the front. */
static void cut_front(struct gc_segment *s, uint64_t n)
{
	s->addr += n;
	s->memsz -= n;
	s->offset += at_most(n, s->filesz);
	s->filesz -= at_most(n, s->filesz);
	s->have -= at_most(n, s->have);
}

/** No address twice: what comes first by address keeps it. */
static void drop_overlaps(struct gc_core *core)
{
	uint64_t end = 0;
	size_t kept = 0;

	for (size_t i = 0; i < core->nsegments; i++) {
		struct gc_segment s = core->segments[i];
		uint64_t s_end = s.addr + s.memsz;
		char where[64];

		if (s.addr < end) {
			snprintf(where, sizeof(where), "segment 0x%" PRIx64, s.addr);
			gc_problem(&core->problems, where, "overlaps the segment before it; %s left out",
				   s_end <= end ? "it is" : "its first part is");
			if (s_end <= end)
				continue;
			cut_front(&s, end - s.addr);
		}
		core->segments[kept++] = s;
		end = s_end;
	}
	core->nsegments = kept;
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
static void report_cut(struct loading *l)
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
static enum gc_code no_threads(const struct loading *l, struct gc_error *err)
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

static uint64_t page_size_of(const struct loading *l)
{
	uint64_t size;

	if (gc_core_auxv(l->core, AT_PAGESZ, &size) && size >= 1024 && size <= 1 << 24 &&
	    (size & (size - 1)) == 0)
		return size;
	return l->load_align ? l->load_align : 4096;
}

static enum gc_code load(struct loading *l, struct gc_error *err)
{
	struct gc_core *core = l->core;
	enum gc_code code = read_ehdr(l, err);

	if (code == GC_OK)
		code = find_phdrs(l, err);
	if (code == GC_OK)
		code = read_phdrs(l, err);
	if (code != GC_OK)
		return code;
	sort_segments(core);
	drop_overlaps(core);
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
	struct loading l = { .core = core };
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
