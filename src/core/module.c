#include "core/module.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#define MAX_PHDRS 4096
#define PHDR_SIZE 56 /* Elf64_Phdr */

/* e_phoff as all linkers write it: right behind the ELF header. */
#define USUAL_PHOFF 64

static Elf64_Phdr load_phdr(const uint8_t *bytes)
{
	return (Elf64_Phdr){
		.p_type = gc_load_le32(bytes),
		.p_flags = gc_load_le32(bytes + 4),
		.p_offset = gc_load_le64(bytes + 8),
		.p_vaddr = gc_load_le64(bytes + 16),
		.p_paddr = gc_load_le64(bytes + 24),
		.p_filesz = gc_load_le64(bytes + 32),
		.p_memsz = gc_load_le64(bytes + 40),
		.p_align = gc_load_le64(bytes + 48),
	};
}

/** The table at @addr of the dumped memory. */
static enum gc_code read_table(struct gc_module *m, const struct gc_space *space, uint64_t addr, uint64_t count,
			       struct gc_error *err)
{
	enum gc_code code = GC_OK;
	Elf64_Phdr *list;

	if (count == 0 || count > MAX_PHDRS)
		return gc_fail(err, GC_E_LIMIT, "a program with %" PRIu64 " program headers", count);
	list = calloc(count, sizeof(*list));
	if (!list)
		return gc_fail_memory(err);
	for (size_t i = 0; i < count && code == GC_OK; i++) {
		uint8_t bytes[PHDR_SIZE];

		code = gc_space_read_all(space, addr + i * PHDR_SIZE, bytes, sizeof(bytes), err);
		if (code == GC_OK)
			list[i] = load_phdr(bytes);
	}
	if (code != GC_OK) {
		free(list);
		return code;
	}
	*m = (struct gc_module){ .phdrs = list, .count = count };
	return GC_OK;
}

/** The PT_LOAD that holds the ELF header, or NULL. */
static const Elf64_Phdr *first_load(const struct gc_module *m)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->phdrs[i].p_type == PT_LOAD && m->phdrs[i].p_offset == 0 &&
		    m->phdrs[i].p_filesz >= USUAL_PHOFF)
			return &m->phdrs[i];
	return NULL;
}

/** The bias that follows from where the table lies. */
static bool bias_of_table(struct gc_module *m, uint64_t at)
{
	const Elf64_Phdr *self = gc_module_phdr(m, PT_PHDR), *load = first_load(m);

	if (self)
		m->bias = at - self->p_vaddr;
	else if (load)
		m->bias = at - (load->p_vaddr + USUAL_PHOFF);
	return self || load;
}

enum gc_code gc_module_of_program(struct gc_module *m, const struct gc_core *core, const struct gc_space *space,
				  const struct gc_images *images, struct gc_error *err)
{
	const struct gc_image *program = images ? gc_images_program(images) : NULL;
	uint64_t at, count, size = PHDR_SIZE;

	gc_core_auxv(core, AT_PHENT, &size);
	if (size == PHDR_SIZE && gc_core_auxv(core, AT_PHDR, &at) && gc_core_auxv(core, AT_PHNUM, &count) &&
	    read_table(m, space, at, count, NULL) == GC_OK) {
		if (bias_of_table(m, at))
			return GC_OK;
		if (program && program->has_bias) {
			m->bias = program->bias;
			return GC_OK;
		}
		gc_module_deinit(m);
	}
	if (!program)
		return gc_fail(err, GC_E_NOT_FOUND, "the program's headers are not in the core");
	return gc_module_of_image(m, space, program, err);
}

/** For gc_phdrs_read: an image in memory. */
struct memory {
	const struct gc_space *space;
	uint64_t base;
};

static bool read_memory(void *data, uint64_t offset, void *buf, size_t len)
{
	const struct memory *m = data;

	return gc_space_read_all(m->space, m->base + offset, buf, len, NULL) == GC_OK;
}

/** Of the ELF header at @base. */
static enum gc_code of_memory(struct gc_module *m, const struct gc_space *space, uint64_t base,
			      struct gc_error *err)
{
	struct memory memory = { space, base };
	struct gc_phdrs phdrs;
	enum gc_code code = gc_phdrs_read(&phdrs, read_memory, &memory, err);
	const Elf64_Phdr *load;

	if (code != GC_OK)
		return code;
	*m = (struct gc_module){ .phdrs = phdrs.list, .count = phdrs.count, .bias = base };
	load = first_load(m);
	if (load)
		m->bias = base - load->p_vaddr;
	return GC_OK;
}

static enum gc_code of_file(struct gc_module *m, const struct gc_image *image, struct gc_error *err)
{
	const struct gc_phdrs *phdrs = &image->file->phdrs;
	Elf64_Phdr *list = calloc(phdrs->count ? phdrs->count : 1, sizeof(*list));

	if (!list)
		return gc_fail_memory(err);
	if (phdrs->count)
		memcpy(list, phdrs->list, phdrs->count * sizeof(*list));
	*m = (struct gc_module){ .phdrs = list, .count = phdrs->count, .bias = image->bias };
	return GC_OK;
}

enum gc_code gc_module_of_image(struct gc_module *m, const struct gc_space *space, const struct gc_image *image,
				struct gc_error *err)
{
	if (image->file && image->has_bias)
		return of_file(m, image, err);
	return of_memory(m, space, image->base, err);
}

enum gc_code gc_module_of_link(struct gc_module *m, const struct gc_space *space, const struct gc_link *link,
			       struct gc_error *err)
{
	if (link->image && link->image->has_bias && link->image->bias == link->l_addr)
		return gc_module_of_image(m, space, link->image, err);
	/* Libraries are linked at 0, so that l_addr is where the ELF header lies. */
	return of_memory(m, space, link->l_addr, err);
}

void gc_module_deinit(struct gc_module *m)
{
	free(m->phdrs);
	*m = (struct gc_module){ .phdrs = NULL };
}

const Elf64_Phdr *gc_module_phdr(const struct gc_module *m, uint32_t type)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->phdrs[i].p_type == type)
			return &m->phdrs[i];
	return NULL;
}
