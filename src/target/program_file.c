#include "gocore/program_file.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/buildinfo.h"
#include "gocore/shared.h"
#include "gocore/symbol_file.h"

/* The copy is held in memory, once for all clients. */
#define MAX_PROGRAM ((uint64_t)512 << 20)

#define CIES 128 /* bytes that the common entries have, at the beginning of .debug_frame */

struct gc_program_file {
	const struct gc_process *p;
	struct gc_shared *shared;
	bool stripped;
	struct gc_go *go;        /* whose goroutines wait; NULL: none */
};

static bool visit_section(void *data, const char *name, const Elf64_Shdr *shdr)
{
	bool *stripped = data;

	if (shdr->sh_type == SHT_SYMTAB || strcmp(name, ".debug_info") == 0 || strcmp(name, ".zdebug_info") == 0)
		*stripped = false;
	return *stripped;
}

/** Are neither symbols nor debug information left in it? */
static bool is_stripped(struct gc_elf_file *file)
{
	bool stripped = true;

	gc_elf_sections(file, visit_section, &stripped);
	return stripped;
}

/** Has it been through `symbols --combined`? Its signal frames tell; Go's linker writes none. */
static bool is_combined(struct gc_elf_file *file)
{
	const uint8_t *bytes;
	uint64_t len, addr;

	return gc_elf_section(file, ".debug_frame", &bytes, &len, &addr) &&
	       memmem(bytes, len < CIES ? len : CIES, "zS", sizeof("zS"));
}

static bool is_go(struct gc_elf_file *file)
{
	struct gc_buildinfo info;

	if (gc_buildinfo_of_file(&info, file, NULL) != GC_OK)
		return false;
	gc_buildinfo_deinit(&info);
	return true;
}

enum gc_code gc_program_file_new(struct gc_program_file **out, const struct gc_process *p, struct gc_error *err)
{
	const struct gc_image *program = gc_images_program(&p->images);
	struct gc_program_file *f;

	if (!program || !program->file || program->file->input.size > MAX_PROGRAM)
		return gc_fail(err, GC_E_NOT_FOUND, "there is no program");
	if (!is_go(program->file) || is_combined(program->file))
		return gc_fail(err, GC_E_NOT_FOUND, "it is no Go program, or has it all");
	f = calloc(1, sizeof(*f));
	if (!f)
		return gc_fail_memory(err);
	f->p = p;
	f->stripped = is_stripped(program->file);
	if (gc_shared_new(&f->shared, err) != GC_OK) {
		free(f);
		return err ? err->code : GC_E_IO;
	}
	*out = f;
	return GC_OK;
}

bool gc_program_file_is_stripped(const struct gc_program_file *f)
{
	return f->stripped;
}

void gc_program_file_free(struct gc_program_file *f)
{
	if (!f)
		return;
	gc_shared_free(f->shared);
	free(f);
}

void gc_program_file_show_waiting(struct gc_program_file *f, struct gc_go *go)
{
	f->go = go;
}

static int compare_pcs(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/** Where goroutines wait, by the addresses of the file. @return NULL: nowhere, or out of memory */
static uint64_t *waiting_pcs(const struct gc_program_file *f, uint64_t bias, size_t *count)
{
	size_t n, all = 0, distinct = 0;
	const struct gc_goroutine *list = gc_go_goroutines(f->go, &n);
	uint64_t *pcs = calloc(n + 1, sizeof(*pcs));
	struct gc_go_state state;

	for (size_t i = 0; pcs && i < n; i++)
		if (gc_go_from_goroutine(f->go, &list[i], &state) && state.pc >= bias)
			pcs[all++] = state.pc - bias;
	if (all)
		qsort(pcs, all, sizeof(*pcs), compare_pcs);
	for (size_t i = 0; i < all; i++)
		if (!distinct || pcs[distinct - 1] != pcs[i])
			pcs[distinct++] = pcs[i];
	*count = distinct;
	return pcs;
}

static enum gc_code make(void *data, struct gc_buf *out, struct gc_error *err)
{
	const struct gc_program_file *f = data;
	const struct gc_image *program = gc_images_program(&f->p->images);
	struct gc_return_pcs returns = { .count = 0 };
	uint64_t *pcs = NULL;
	enum gc_code code;

	if (f->go && program->has_bias)
		returns.list = pcs = waiting_pcs(f, program->bias, &returns.count);
	code = gc_symbol_file_of_program(program->file, true, &returns, out, NULL, err);
	free(pcs);
	return code;
}

enum gc_code gc_program_file_get(struct gc_program_file *f, const uint8_t **bytes, uint64_t *len,
				 struct gc_error *err)
{
	return gc_shared_get(f->shared, make, f, bytes, len, err);
}
