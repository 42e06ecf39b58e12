/*
 * Allocation tags of memory (MTE) as the kernel dumps them
 * (Documentation/arch/arm64/memory-tagging-extension.rst, "Core dump support";
 * arch/arm64/kernel/elfcore.c): a segment for each tagged mapping with 4 bits
 * a granule, the first granule in the low half of a byte.
 */
#include <inttypes.h>

#include "gocore/buf.h"
#include "gocore/process.h"

/* Granules that one question may ask for: 16 MiB of memory. */
#define MAX_GRANULES (1U << 20)

static const struct gc_tag_segment *find_segment(const struct gc_core *core, uint64_t addr)
{
	for (size_t i = 0; i < core->ntags; i++)
		if (addr >= core->tags[i].addr && addr - core->tags[i].addr < core->tags[i].memsz)
			return &core->tags[i];
	return NULL;
}

/** The tag of the granule at @addr. @return false if the core has none */
static bool tag_at(const struct gc_core *core, uint64_t addr, uint8_t *out)
{
	const struct gc_tag_segment *s = find_segment(core, addr);
	uint64_t granule;
	uint8_t byte;

	if (!s)
		return false;
	granule = (addr - s->addr) / core->arch->tag_granule;
	if (granule / 2 >= s->have)
		return false;
	byte = core->input.bytes[s->offset + granule / 2];
	*out = granule % 2 ? byte >> 4 : byte & 15;
	return true;
}

static uint64_t clean(const struct gc_core *core, uint64_t addr)
{
	return core->arch->clean_data ? core->arch->clean_data(addr) : addr;
}

enum gc_code gc_process_tags(const struct gc_process *p, uint64_t addr, uint64_t len, struct gc_buf *out,
			     struct gc_error *err)
{
	const struct gc_core *core = &p->core;
	uint64_t granule = core->arch->tag_granule, first, count;
	size_t before = out->len;

	if (!granule)
		return gc_fail(err, GC_E_NOT_FOUND, "%s has no memory tags", core->arch->elf_name);
	if (!len)
		return GC_OK;
	addr = clean(core, addr);
	if (len - 1 > UINT64_MAX - addr)
		return gc_fail(err, GC_E_NOT_FOUND, "the range wraps around the end of memory");
	first = addr / granule;
	count = (addr + (len - 1)) / granule - first + 1;
	if (count > MAX_GRANULES)
		return gc_fail(err, GC_E_LIMIT, "more than %u tags at once", MAX_GRANULES);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t tag;

		if (!tag_at(core, (first + i) * granule, &tag)) {
			out->len = before;
			return gc_fail(err, GC_E_NOT_FOUND, "address 0x%" PRIx64 ": no memory tags in the core",
				       (first + i) * granule);
		}
		gc_buf_char(out, (char)tag);
	}
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

bool gc_process_is_tagged(const struct gc_process *p, uint64_t addr)
{
	return p->core.arch->tag_granule && find_segment(&p->core, clean(&p->core, addr));
}
