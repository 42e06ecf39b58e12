/* Memory that was not dumped, recovered from the copies of the images. */
#include "core/image_work.h"

/** Does the core hold private memory that was written to? Not with a coredump_filter without bits 0 and 2. */
bool gc_image_dumps_private(const struct gc_space *space)
{
	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];

		if (r->flags & PF_W && !r->file && (r->what == GC_RANGE_DUMPED || r->what == GC_RANGE_CUT))
			return true;
	}
	return false;
}

/** The PT_LOAD that has @addr, or NULL. */
const Elf64_Phdr *gc_image_load_at(const struct gc_image *image, uint64_t addr, uint64_t page_size)
{
	const struct gc_phdrs *p = &image->file->phdrs;
	uint64_t vaddr = addr - image->bias;

	for (size_t i = 0; image->has_bias && i < p->count; i++) {
		const Elf64_Phdr *ph = &p->list[i];

		if (ph->p_type == PT_LOAD && vaddr >= gc_page_floor(ph->p_vaddr, page_size) &&
		    vaddr < gc_page_ceil(ph->p_vaddr + ph->p_memsz, page_size))
			return ph;
	}
	return NULL;
}

/** Could the process have written here, now or before the dynamic linker took the right away (PT_GNU_RELRO)? */
static bool was_writable(const struct gc_image *image, const struct gc_range *r, uint64_t addr,
			 uint64_t page_size)
{
	const Elf64_Phdr *load = gc_image_load_at(image, addr, page_size);

	return r->flags & PF_W || (load && load->p_flags & PF_W);
}

/**
 * What of a row may be taken from the file. A page that was written to is the
 * process's own copy, which the kernel dumps (vma->anon_vma, vma_dump_size in
 * fs/coredump.c): so one that is absent was not written to, provided that
 * private memory is dumped at all. One that was cut off is not known.
 */
static bool may_recover(const struct gc_image *image, const struct gc_range *r, uint64_t addr,
			uint64_t page_size, bool private_dumped)
{
	if (gc_range_served(r))
		return false;
	return !was_writable(image, r, addr, page_size) || (r->what == GC_RANGE_ABSENT && private_dumped);
}

static enum gc_code recover_row(struct gc_image_set *set, const struct gc_image *image,
				const struct gc_file_map *row, bool private_dumped, struct gc_error *err)
{
	const struct gc_input *in = &image->file->input;
	const uint64_t page = set->core->page_size;
	uint64_t file_end = gc_page_ceil(in->size, page);
	enum gc_code code = GC_OK;
	uint64_t at = row->start, end;

	for (; code == GC_OK && at < row->end; at = end) {
		size_t i = gc_space_index(set->space, at);
		const struct gc_range *r = i < set->space->count ? &set->space->ranges[i] : NULL;
		uint64_t offset = row->offset + (at - row->start);

		if (!r || r->start >= row->end || offset >= in->size || offset < row->offset)
			break;
		end = r->end < row->end ? r->end : row->end;
		if (r->start > at)
			end = r->start; /* not mapped */
		else if (may_recover(image, r, at, page, private_dumped))
			code = gc_space_recover(set->space, at, end, in->bytes + offset, in->size - offset,
						at + (file_end - offset), NULL, err);
	}
	return code;
}

enum gc_code gc_image_recover(struct gc_image_set *set, const struct gc_image_work *w, bool private_dumped,
			    struct gc_error *err)
{
	enum gc_code code = GC_OK;

	for (size_t i = 0; w->image.file && code == GC_OK && i < w->nrows; i++)
		code = recover_row(set, &w->image, w->rows[i], private_dumped, err);
	return code;
}
