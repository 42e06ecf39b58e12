/* The segments that the program headers tell of. */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gocore/bytes.h"

#include "core/loading.h"

/** Index below phdrs_there, so inside the file. */
static struct elf_segment phdr_at(const struct core_loading *l, uint64_t index)
{
	const uint8_t *p = l->core->input.bytes + l->ehdr.phoff + index * l->ehdr.phentsize;

	return (struct elf_segment){
		.type = gc_load_le32(p),
		.flags = gc_load_le32(p + 4),
		.offset = gc_load_le64(p + 8),
		.vaddr = gc_load_le64(p + 16),
		.filesz = gc_load_le64(p + 32),
		.memsz = gc_load_le64(p + 40),
		.align = gc_load_le64(p + 48),
	};
}

static bool is_tags(const struct core_loading *l, const struct elf_segment *p)
{
	uint32_t type = l->core->arch->memtag_segment;

	return type != 0 && p->type == type;
}

/** Name for messages. */
static const char *segment_name(const struct elf_segment *p, char buf[64])
{
	snprintf(buf, 64, "segment 0x%" PRIx64, p->vaddr);
	return buf;
}

/** Put right or refuse what a segment's header says; true if it can be used. */
static bool check_segment(struct core_loading *l, struct elf_segment *p)
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

static void add_load(struct core_loading *l, struct elf_segment p)
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
	core_expect(l, p.offset, p.filesz);
	*s = (struct gc_segment){
		.addr = p.vaddr,
		.memsz = p.memsz,
		.filesz = p.filesz,
		.have = core_bytes_there(l, p.offset, p.filesz),
		.offset = p.offset,
		.flags = p.flags & (PF_R | PF_W | PF_X),
	};
	l->core->nsegments++;
	if (!l->load_align && p.align >= 4096 && p.align <= 1 << 24 && (p.align & (p.align - 1)) == 0)
		l->load_align = p.align;
}

static void add_tags(struct core_loading *l, struct elf_segment p)
{
	uint32_t granule = l->core->arch->tag_granule;

	if (!check_segment(l, &p))
		return;
	/* Two tags a byte: "Core dump support" in the kernel's memory-tagging-extension.rst. */
	if (granule && p.filesz > p.memsz / granule / 2)
		p.filesz = p.memsz / granule / 2;
	core_expect(l, p.offset, p.filesz);
	l->core->tags[l->core->ntags++] = (struct gc_tag_segment){
		.addr = p.vaddr,
		.memsz = p.memsz,
		.offset = p.offset,
		.have = core_bytes_there(l, p.offset, p.filesz),
	};
	l->missing_memory += p.filesz - core_bytes_there(l, p.offset, p.filesz);
}

static void add_note_segment(struct core_loading *l, const struct elf_segment *p)
{
	uint64_t have = core_bytes_there(l, p->offset, p->filesz), end;

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
	core_expect(l, p->offset, p->filesz);
	l->missing_notes += p->filesz - have;
	l->notes[l->nnotes++] = (struct gc_note_segment){ p->offset, p->filesz, have, p->align };
}

static enum gc_code allocate_segments(struct core_loading *l, struct gc_error *err)
{
	struct gc_core *core = l->core;

	for (uint64_t i = 0; i < l->phdrs_there; i++) {
		struct elf_segment p = phdr_at(l, i);

		l->nloads += p.type == PT_LOAD;
		l->ntags += is_tags(l, &p);
	}
	core->segments = calloc(l->nloads ? l->nloads : 1, sizeof(*core->segments));
	core->tags = calloc(l->ntags ? l->ntags : 1, sizeof(*core->tags));
	return core->segments && core->tags ? GC_OK : gc_fail_memory(err);
}

static enum gc_code add_all(struct core_loading *l, struct gc_error *err)
{
	enum gc_code code = allocate_segments(l, err);

	if (code != GC_OK)
		return code;
	for (uint64_t i = 0; i < l->phdrs_there; i++) {
		struct elf_segment p = phdr_at(l, i);

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

enum gc_code core_read_segments(struct core_loading *l, struct gc_error *err)
{
	enum gc_code code = add_all(l, err);

	if (code != GC_OK)
		return code;
	sort_segments(l->core);
	drop_overlaps(l->core);
	return GC_OK;
}
