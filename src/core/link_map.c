#include "gocore/process.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "core/module.h"

/* Far above what a program has; a walk over a damaged list ends here. */
#define MAX_NAMESPACES 64
#define MAX_LINKS      8192
#define MAX_NAME       4096
#define MAX_DYNAMIC    4096

/* struct r_debug and r_debug_extended, glibc elf/link.h */
#define R_VERSION 0
#define R_MAP     8
#define R_NEXT    40 /* only if r_version is 2 or more (glibc 2.35) */

/* struct link_map, elf/link.h: the public part */
#define L_ADDR 0
#define L_NAME 8
#define L_LD   16
#define L_NEXT 24
#define L_PREV 32
#define L_SIZE 40

/** A walk, and what it needs. */
struct walk {
	struct gc_link_map *out;
	const struct gc_space *space;
	const struct gc_images *images;
	struct gc_problems *problems;
	size_t cap;
	bool is_static;       /* the program: what comes first is still not a dynamic linker's */
};

/** Address of the value of DT_DEBUG in the dynamic section at @addr, or 0. */
static uint64_t find_dt_debug(const struct gc_space *space, uint64_t addr, uint64_t size)
{
	for (uint64_t i = 0; i < size / 16 && i < MAX_DYNAMIC; i++) {
		uint64_t tag;

		if (gc_space_u64(space, addr + 16 * i, &tag, NULL) != GC_OK || tag == DT_NULL)
			return 0;
		if (tag == DT_DEBUG)
			return addr + 16 * i + 8;
	}
	return 0;
}

/**
 * The program's DT_DEBUG, which the dynamic linker points to its r_debug.
 *
 * @param is_static set for a program without a dynamic section
 */
static uint64_t program_dt_debug(const struct gc_core *core, const struct gc_space *space,
				 const struct gc_images *images, bool *is_static)
{
	const Elf64_Phdr *dynamic;
	struct gc_module m;
	uint64_t at = 0;

	*is_static = false;
	if (gc_module_of_program(&m, core, space, images, NULL) != GC_OK)
		return 0;
	dynamic = gc_module_phdr(&m, PT_DYNAMIC);
	*is_static = !dynamic;
	if (dynamic)
		at = find_dt_debug(space, m.bias + dynamic->p_vaddr, dynamic->p_memsz);
	gc_module_deinit(&m);
	return at;
}

/** _r_debug by its symbol: for a program that is static, or was run as ld.so PROGRAM. */
static uint64_t interp_r_debug(const struct gc_images *images)
{
	for (size_t i = 0; images && i < images->count; i++) {
		const struct gc_image *image = &images->list[i];
		struct gc_symbol sym;

		if ((image->is_interp || image->is_program) && image->file && image->has_bias &&
		    gc_elf_symbol_named(image->file, "_r_debug", &sym))
			return image->bias + sym.value;
	}
	return 0;
}

static bool is_listed(const struct gc_link_map *links, uint64_t lm)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->list[i].lm == lm)
			return true;
	return false;
}

static enum gc_code add_link(struct walk *w, const struct gc_link *link, struct gc_error *err)
{
	struct gc_link_map *out = w->out;

	if (out->count == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 16;
		struct gc_link *list = realloc(out->list, cap * sizeof(*list));

		if (!list)
			return gc_fail_memory(err);
		out->list = list;
		w->cap = cap;
	}
	out->list[out->count++] = *link;
	return GC_OK;
}

/** "./plugin.so", as dlopen was given it, means nothing outside that process: NT_FILE has the path. */
static const char *whole_path(const struct gc_space *space, const char *name, uint64_t l_ld)
{
	const struct gc_range *r = *name && *name != '/' ? gc_space_find(space, l_ld) : NULL;

	return r && r->file && r->file->path[0] == '/' ? r->file->path : name;
}

/** l_name, "" when it cannot be read. */
static char *read_name(struct walk *w, uint64_t lm, uint64_t addr, uint64_t l_ld)
{
	char name[MAX_NAME];
	struct gc_error err;

	if (!addr)
		return strdup("");
	if (gc_space_string(w->space, addr, name, sizeof(name), &err) == GC_OK)
		return strdup(whole_path(w->space, name, l_ld));
	gc_problem(w->problems, "link map", "the name of the module at 0x%" PRIx64 " cannot be read: %s", lm,
		   err.text);
	return strdup("");
}

static enum gc_code read_link(struct walk *w, uint64_t lmid, uint64_t lm, const uint8_t fields[L_SIZE],
			      struct gc_error *err)
{
	struct gc_link link = {
		.lmid = lmid, .lm = lm,
		.l_addr = gc_load_le64(fields + L_ADDR), .l_ld = gc_load_le64(fields + L_LD),
		.is_program = w->out->count == 0 && lmid == w->out->r_debug,
	};
	enum gc_code code;

	if (w->images)
		link.image = link.is_program ? gc_images_program(w->images)
					     : gc_images_at(w->images, link.l_ld);
	link.name = read_name(w, lm, gc_load_le64(fields + L_NAME), link.l_ld);
	if (!link.name)
		return gc_fail_memory(err);
	code = add_link(w, &link, err);
	if (code != GC_OK)
		free(link.name);
	else if (link.is_program && !w->is_static)
		w->out->main_lm = lm;
	return code;
}

/** Walk the list of one namespace; damage ends it, as in gdb (svr4_read_so_list, solib-svr4.c). */
static enum gc_code walk_namespace(struct walk *w, uint64_t lmid, uint64_t lm, struct gc_error *err)
{
	uint64_t prev = 0;

	while (lm) {
		uint8_t fields[L_SIZE];
		struct gc_error why;
		enum gc_code code;

		if (w->out->count == MAX_LINKS || is_listed(w->out, lm)) {
			gc_problem(w->problems, "link map", "the list of modules %s",
				   w->out->count == MAX_LINKS ? "is too long" : "runs in a circle");
			break;
		}
		if (gc_space_read_all(w->space, lm, fields, sizeof(fields), &why) != GC_OK) {
			gc_problem(w->problems, "link map", "the list of modules breaks off: %s", why.text);
			break;
		}
		if (gc_load_le64(fields + L_PREV) != prev) {
			gc_problem(w->problems, "link map", "the list of modules is damaged at 0x%" PRIx64
				   ": l_prev is not the module before", lm);
			break;
		}
		code = read_link(w, lmid, lm, fields, err);
		if (code != GC_OK)
			return code;
		prev = lm;
		lm = gc_load_le64(fields + L_NEXT);
	}
	return GC_OK;
}

/** Address of the next namespace's r_debug, 0 if there is none. */
static uint64_t next_namespace(const struct gc_space *space, uint64_t r_debug)
{
	uint32_t version;
	uint64_t next;

	if (gc_space_u32(space, r_debug + R_VERSION, &version, NULL) != GC_OK || (int32_t)version < 2 ||
	    gc_space_u64(space, r_debug + R_NEXT, &next, NULL) != GC_OK)
		return 0;
	return next;
}

static bool was_seen(const uint64_t *list, size_t count, uint64_t value)
{
	for (size_t i = 0; i < count; i++)
		if (list[i] == value)
			return true;
	return false;
}

static enum gc_code walk_all(struct walk *w, struct gc_error *err)
{
	uint64_t seen[MAX_NAMESPACES], at = w->out->r_debug;
	enum gc_code code = GC_OK;
	size_t count = 0;

	while (at && code == GC_OK) {
		struct gc_error why;
		uint64_t lm;

		if (count == MAX_NAMESPACES || was_seen(seen, count, at)) {
			gc_problem(w->problems, "link map", "the list of namespaces %s",
				   count == MAX_NAMESPACES ? "is too long" : "runs in a circle");
			break;
		}
		seen[count++] = at;
		if (gc_space_u64(w->space, at + R_MAP, &lm, &why) != GC_OK) {
			gc_problem(w->problems, "link map", "the dynamic linker's r_debug cannot be read: %s",
				   why.text);
			break;
		}
		code = walk_namespace(w, at, lm, err);
		at = next_namespace(w->space, at);
	}
	return code;
}

enum gc_code gc_link_map_read(struct gc_link_map *out, const struct gc_core *core, const struct gc_space *space,
			      const struct gc_images *images, struct gc_problems *problems, struct gc_error *err)
{
	struct walk w = { .out = out, .space = space, .images = images, .problems = problems };
	enum gc_code code;

	*out = (struct gc_link_map){ .dt_debug = program_dt_debug(core, space, images, &w.is_static) };
	if (out->dt_debug && gc_space_u64(space, out->dt_debug, &out->r_debug, NULL) != GC_OK)
		out->r_debug = 0;
	if (!out->r_debug)
		out->r_debug = interp_r_debug(images);
	code = walk_all(&w, err);
	if (code != GC_OK)
		gc_link_map_deinit(out);
	return code;
}

void gc_link_map_deinit(struct gc_link_map *links)
{
	for (size_t i = 0; i < links->count; i++)
		free(links->list[i].name);
	free(links->list);
	*links = (struct gc_link_map){ .list = NULL };
}
