#include "gocore/process.h"

#include <stdlib.h>
#include <string.h>

#include "core/module.h"

/*
 * The heap of brk starts at most this far behind the program
 * (arch_randomize_brk; SZ_1G on arm64 and, from Linux 6.9, on x86).
 */
#define MAX_BRK_GAP (1ULL << 30)

/** Give every range with a file row the image that the row belongs to. */
static void link_images(struct gc_space *space, const struct gc_images *images)
{
	const struct gc_file_map *file = NULL;
	const struct gc_image *image = NULL;

	for (size_t i = 0; i < space->count; i++) {
		struct gc_range *r = &space->ranges[i];

		if (!r->file)
			continue;
		if (r->file != file) {
			file = r->file;
			image = gc_images_at(images, r->start);
		}
		r->image = image;
	}
}

/** Flags of the PT_LOAD whose pages hold @addr, 0 if none does. */
static uint32_t flags_at(const struct gc_module *m, uint64_t page_size, uint64_t addr)
{
	uint64_t page = (addr - m->bias) & ~(page_size - 1);
	uint32_t flags = 0;

	for (size_t i = 0; i < m->count; i++) {
		const Elf64_Phdr *p = &m->phdrs[i];
		uint64_t first = p->p_vaddr & ~(page_size - 1);

		if (p->p_type == PT_LOAD && page >= first && page - first < p->p_vaddr - first + p->p_memsz)
			flags = p->p_flags; /* of two that share a page the later one is mapped over */
	}
	return flags & (PF_R | PF_W | PF_X);
}

/** What the program headers of the images tell of mappings that the core does not list. */
static void complete_flags(struct gc_space *space, uint64_t page_size)
{
	const struct gc_image *image = NULL;
	struct gc_module m = { .phdrs = NULL };

	for (size_t i = 0; i < space->count; i++) {
		struct gc_range *r = &space->ranges[i];

		if (!r->unlisted || !r->image)
			continue;
		if (r->image != image) {
			gc_module_deinit(&m);
			image = r->image;
			if (gc_module_of_image(&m, space, image, NULL) != GC_OK)
				m.count = 0;
		}
		r->flags = flags_at(&m, page_size, r->start);
	}
	gc_module_deinit(&m);
}

/** First range of the mapping that holds @addr, or space->count. */
static size_t mapping_at(const struct gc_space *space, uint64_t addr)
{
	size_t i = gc_space_index(space, addr);

	if (i == space->count || space->ranges[i].start > addr)
		return space->count;
	while (i > 0 && !space->ranges[i].starts_mapping)
		i--;
	return i;
}

static void label_mapping(struct gc_space *space, size_t first, const char *label)
{
	size_t end = first < space->count ? gc_space_mapping_end(space, first) : first;

	for (size_t i = first; i < end; i++)
		if (!space->ranges[i].file)
			space->ranges[i].label = label;
}

/** The mapping right before the one at @index if it looks like the vDSO's data pages, else count. */
static size_t vvar_before(const struct gc_space *space, size_t index)
{
	size_t before;

	if (index == 0 || index >= space->count || space->ranges[index - 1].end != space->ranges[index].start)
		return space->count;
	before = mapping_at(space, space->ranges[index - 1].start);
	if (before == space->count || space->ranges[before].file || space->ranges[before].flags != PF_R)
		return space->count;
	return before;
}

static void label_vdso(struct gc_space *space, const struct gc_core *core)
{
	size_t vdso, near, far;
	uint64_t addr;

	if (!gc_core_auxv(core, AT_SYSINFO_EHDR, &addr))
		return;
	vdso = mapping_at(space, addr);
	label_mapping(space, vdso, "[vdso]");
	near = vvar_before(space, vdso);
	far = vvar_before(space, near);
	/* Linux 6.13 split [vvar_vclock] off, which lies between the two */
	label_mapping(space, near, far < space->count ? "[vvar_vclock]" : "[vvar]");
	label_mapping(space, far, "[vvar]");
}

/** The strings and values that the kernel puts on the first stack say which it is; a stack pointer does not. */
static void label_stack(struct gc_space *space, const struct gc_core *core)
{
	uint64_t addr;

	if (gc_core_auxv(core, AT_RANDOM, &addr) || gc_core_auxv(core, AT_EXECFN, &addr))
		label_mapping(space, mapping_at(space, addr), "[stack]");
}

/** Where the program's memory ends. @return false if that is not known, or the heap is not behind it */
static bool program_end(const struct gc_process *p, uint64_t *out)
{
	struct gc_phdrs phdrs = { .list = NULL };
	uint64_t interp = 0, low, high;
	struct gc_module m;
	bool found;

	if (gc_module_of_program(&m, &p->core, &p->space, &p->images, NULL) != GC_OK)
		return false;
	phdrs.list = m.phdrs;
	phdrs.count = m.count;
	gc_core_auxv(&p->core, AT_BASE, &interp);
	found = gc_phdrs_span(&phdrs, p->core.page_size, &low, &high);
	*out = high + m.bias;
	/*
	 * Without an interpreter ET_DYN is a static PIE or the loader itself, and
	 * those get their heap elsewhere (load_elf_binary, fs/binfmt_elf.c).
	 */
	found = found && (interp || m.bias == 0);
	gc_module_deinit(&m);
	return found;
}

/**
 * The heap of brk: anonymous writable memory that follows the program. The
 * kernel puts nothing else there, but the program may have.
 */
static void label_heap(struct gc_process *p)
{
	const struct gc_range *r;
	uint64_t end;
	size_t i;

	if (!program_end(p, &end))
		return;
	i = gc_space_index(&p->space, end);
	if (i < p->space.count && p->space.ranges[i].start <= end) /* bss and heap may be one mapping */
		i = mapping_at(&p->space, end);
	if (i == p->space.count)
		return;
	r = &p->space.ranges[i];
	if (r->file || r->label || r->flags != (PF_R | PF_W))
		return;
	if (r->start > end && r->start - end > MAX_BRK_GAP)
		return;
	label_mapping(&p->space, i, "[heap]");
}

/** Only names that are certain. */
static void label_ranges(struct gc_process *p)
{
	label_vdso(&p->space, &p->core);
	label_stack(&p->space, &p->core);
	/* VSYSCALL_ADDR, arch/x86/include/uapi/asm/vsyscall.h; no other kernel maps anything so high */
	label_mapping(&p->space, mapping_at(&p->space, 0xffffffffff600000), "[vsyscall]");
	label_heap(p);
}

static void find_masks(struct gc_process *p)
{
	const struct gc_core *core = &p->core;

	for (size_t i = 0; core->arch->masks_of_note && i < core->nnotes; i++)
		if (core->arch->masks_of_note(&core->notes[i], &p->masks))
			return;
}

/** AT_EXECFN, as execve(2) was given it. */
static char *execfn(const struct gc_process *p)
{
	char path[4096];
	uint64_t addr;

	if (!gc_core_auxv(&p->core, AT_EXECFN, &addr) ||
	    gc_space_string(&p->space, addr, path, sizeof(path), NULL) != GC_OK || path[0] != '/')
		return NULL;
	return strdup(path);
}

static char *find_exe(const struct gc_process *p)
{
	const struct gc_image *program = gc_images_program(&p->images);
	char *path;

	if (program && program->path && program->path[0] == '/')
		return strdup(program->path);
	path = execfn(p);
	for (size_t i = 0; !path && i < p->links.count; i++)
		if (p->links.list[i].is_program && p->links.list[i].name[0] == '/')
			return strdup(p->links.list[i].name);
	if (!path && program && program->file && program->found_path)
		path = realpath(program->found_path, NULL);
	return path;
}

const char *gc_process_exe(const struct gc_process *p)
{
	return p->exe;
}

enum gc_code gc_process_open(struct gc_process *p, struct gc_input *in, const struct gc_find_options *options,
			     struct gc_error *err)
{
	enum gc_code code;

	*p = (struct gc_process){ .exe = NULL };
	code = gc_core_open(&p->core, in, err);
	if (code != GC_OK)
		return code;
	gc_core_regmap(&p->core, &p->regmap);
	find_masks(p);
	code = gc_space_init(&p->space, &p->core, err);
	if (code != GC_OK)
		goto out_core;
	code = gc_images_init(&p->images, &p->core, &p->space, options, &p->problems, err);
	if (code != GC_OK)
		goto out_space;
	code = gc_space_seal(&p->space, err);
	if (code == GC_OK)
		code = gc_space_add_rows(&p->space, p->images.rows, p->images.nrows, err);
	if (code != GC_OK)
		goto out_images;
	link_images(&p->space, &p->images);
	complete_flags(&p->space, p->core.page_size);
	code = gc_link_map_read(&p->links, &p->core, &p->space, &p->images, &p->problems, err);
	if (code != GC_OK)
		goto out_images;
	label_ranges(p);
	p->exe = find_exe(p);
	return GC_OK;

out_images:
	gc_images_deinit(&p->images);
out_space:
	gc_space_deinit(&p->space);
out_core:
	gc_core_close(&p->core);
	gc_problems_deinit(&p->problems);
	return code;
}

void gc_process_close(struct gc_process *p)
{
	free(p->exe);
	gc_link_map_deinit(&p->links);
	gc_images_deinit(&p->images);
	gc_space_deinit(&p->space);
	gc_core_close(&p->core);
	gc_problems_deinit(&p->problems);
	*p = (struct gc_process){ .exe = NULL };
}
