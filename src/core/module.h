/*
 * Program headers of a module as the process had them in memory: they are
 * there even where no copy of the file is, and they tell the bias.
 */
#ifndef CORE_MODULE_H
#define CORE_MODULE_H

#include "gocore/process.h"

struct gc_module {
	Elf64_Phdr *phdrs;  /* in host order */
	size_t count;
	uint64_t bias;      /* run-time address minus p_vaddr */
};

/** The program's: by AT_PHDR, else of its ELF header in memory or its copy. @images may be NULL. */
enum gc_code gc_module_of_program(struct gc_module *m, const struct gc_core *core, const struct gc_space *space,
				  const struct gc_images *images, struct gc_error *err);

/** An image's: of its copy, else of its ELF header in memory. */
enum gc_code gc_module_of_image(struct gc_module *m, const struct gc_space *space, const struct gc_image *image,
				struct gc_error *err);

/** Those of a module on the dynamic linker's list. */
enum gc_code gc_module_of_link(struct gc_module *m, const struct gc_space *space, const struct gc_link *link,
			       struct gc_error *err);

void gc_module_deinit(struct gc_module *m);

/** The first header of @type, or NULL. */
const Elf64_Phdr *gc_module_phdr(const struct gc_module *m, uint32_t type);

#endif
