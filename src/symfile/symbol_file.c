#include "gocore/symbol_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "symfile/symfile.h"

#define ROWS_A_BYTE 16  /* no table of the linker has so many rows for its size, however much is shared */
#define MAX_STRINGS ((uint64_t)1 << 30)

/** The names of the pclntab as they are, so that their offsets stay. */
static enum gc_code copy_names(struct symfile *s, struct gc_error *err)
{
	uint64_t end = s->table->names_end < s->table->src.len ? s->table->names_end : s->table->src.len;
	uint64_t len = s->table->names < end ? end - s->table->names : 0;

	if (len > MAX_STRINGS)
		return gc_fail(err, GC_E_LIMIT, "the names of the pclntab have %" PRIu64 " bytes", len);
	gc_buf_char(&s->strings, '\0');
	gc_buf_add(&s->strings, s->table->src.bytes + s->table->names, len);
	gc_buf_char(&s->strings, '\0');
	return GC_OK;
}

static void deinit(struct symfile *s)
{
	struct gc_buf *parts[] = { &s->strings, &s->symbols, &s->frame, &s->info, &s->abbrev, &s->line, &s->ranges };

	for (size_t i = 0; i < GC_COUNT(parts); i++)
		gc_buf_deinit(parts[i]);
	free(s->functions);
	free(s->by_unit);
}

static enum gc_code build(struct symfile *s, struct gc_buf *out, struct gc_problems *problems, struct gc_error *err)
{
	enum gc_code code = symfile_read_functions(s, problems, err);

	if (code == GC_OK)
		code = copy_names(s, err);
	if (code == GC_OK)
		code = symfile_frame(s, err);
	if (code == GC_OK && s->own_info)
		code = symfile_info(s, err);
	if (s->lost_trees)
		gc_problem(problems, "pclntab", "the calls inlined into %" PRIu32 " functions are not in the core or "
			   "damaged: their lines are shown as the function's own", s->lost_trees);
	return code == GC_OK ? symfile_elf(s, out, err) : code;
}

enum gc_code gc_symbol_file_build(const struct gc_symbol_source *src, struct gc_buf *out,
				  struct gc_problems *problems, struct gc_error *err)
{
	struct symfile s = {
		.src = src, .arch = src->arch, .abi = &src->arch->go_abi, .table = &src->module->table,
		.bias = src->bias, .budget = ROWS_A_BYTE * src->module->pclntab_len,
		.own_info = !src->combined || !symfile_has_section(src, ".debug_info"),
	};
	enum gc_code code;

	gc_go_offsets(&s.offsets, src->minor);
	code = build(&s, out, problems, err);
	deinit(&s);
	return code;
}

static int minor_of(const struct gc_buildinfo *info)
{
	return info ? gc_go_minor(info->version) : 0;
}

enum gc_code gc_symbol_file_of_program(struct gc_elf_file *file, bool combined,
				       const struct gc_return_pcs *returns, struct gc_buf *out,
				       struct gc_problems *problems, struct gc_error *err)
{
	struct gc_symbol_source src = {
		.arch = gc_arch_by_machine(file->phdrs.machine), .type = file->phdrs.type, .phdrs = &file->phdrs,
		.build_id = &file->build_id, .go_build_id = file->go_build_id, .file = file, .combined = combined,
	};
	struct gc_go_modules modules;
	struct gc_buildinfo info;
	enum gc_code code;

	if (returns)
		src.returns = *returns;
	if (gc_buildinfo_of_file(&info, file, NULL) == GC_OK) {
		src.minor = minor_of(&info);
		gc_buildinfo_deinit(&info);
	}
	code = gc_go_module_of_file(&modules, file, src.minor, err);
	if (code != GC_OK)
		return code;
	src.module = &modules.list[0];
	code = gc_symbol_file_build(&src, out, problems, err);
	gc_go_modules_deinit(&modules);
	return code;
}

/** Reads at offsets from an image's base. */
struct image_reader {
	const struct gc_space *space;
	uint64_t base;
};

static bool read_image(void *data, uint64_t offset, void *buf, size_t len)
{
	const struct image_reader *r = data;

	return offset <= UINT64_MAX - r->base &&
	       gc_space_read_all(r->space, r->base + offset, buf, len, NULL) == GC_OK;
}

/** Out of the memory of a process whose program is not at hand. */
static enum gc_code build_of_memory(struct gc_symbol_source *src, const struct gc_process *p, struct gc_buf *out,
				    struct gc_problems *problems, struct gc_error *err)
{
	const struct gc_image *image = src->module->image;
	struct image_reader reader = { &p->space, image ? image->base : 0 };
	struct gc_phdrs phdrs;
	enum gc_code code;

	src->type = ET_EXEC;
	if (image && image->has_bias) {
		src->bias = image->bias;
		src->type = image->bias ? ET_DYN : ET_EXEC;
	}
	if (image) {
		src->build_id = &image->build_id;
		src->go_build_id = image->go_build_id;
	}
	if (!image || !image->has_bias || gc_phdrs_read(&phdrs, read_image, &reader, NULL) != GC_OK)
		return gc_symbol_file_build(src, out, problems, err);
	src->phdrs = &phdrs;
	src->type = phdrs.type;
	code = gc_symbol_file_build(src, out, problems, err);
	gc_phdrs_deinit(&phdrs);
	return code;
}

/** The program's own module before those of plugins. */
static const struct gc_go_moduledata *main_module(const struct gc_go_modules *modules)
{
	for (size_t i = 0; i < modules->count; i++)
		if (modules->list[i].image && modules->list[i].image->is_program)
			return &modules->list[i];
	return modules->count ? &modules->list[0] : NULL;
}

/** Says what is missing, and how to know it. */
static enum gc_code no_table(const struct gc_image *image, struct gc_error *err)
{
	char id[2 * GC_BUILD_ID_MAX + 1];

	if (image && image->build_id.len) {
		gc_build_id_hex(&image->build_id, id);
		return gc_fail(err, GC_E_FAULT, "the core does not hold the names of its Go program: "
			       "give the program (build ID %s)", id);
	}
	return gc_fail(err, GC_E_FAULT, "the core does not hold the names of its Go program: give the program%s%s%s",
		       image && image->go_build_id ? " (Go build ID " : "",
		       image && image->go_build_id ? image->go_build_id : "",
		       image && image->go_build_id ? ")" : "");
}

static enum gc_code of_memory(const struct gc_process *p, struct gc_buf *out, struct gc_problems *problems,
			      struct gc_error *err)
{
	struct gc_symbol_source src = { .arch = p->core.arch };
	struct gc_go *go;
	enum gc_code code = gc_go_open(&go, p, problems, err);

	if (code != GC_OK)
		return code;
	src.module = main_module(gc_go_get_modules(go));
	src.minor = minor_of(gc_go_buildinfo(go));
	if (!src.module || !src.module->has_table)
		code = no_table(src.module ? src.module->image : NULL, err);
	else
		code = build_of_memory(&src, p, out, problems, err);
	gc_go_close(go);
	return code;
}

enum gc_code gc_symbol_file_of_process(const struct gc_process *p, bool combined, struct gc_buf *out,
				       struct gc_problems *problems, struct gc_error *err)
{
	const struct gc_image *program = gc_images_program(&p->images);

	if (program && program->file)
		return gc_symbol_file_of_program(program->file, combined, NULL, out, problems, err);
	if (combined)
		return gc_fail(err, GC_E_NOT_FOUND, "the program is not at hand, and a core holds only parts of it");
	return of_memory(p, out, problems, err);
}
