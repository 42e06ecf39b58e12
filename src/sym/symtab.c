#include "gocore/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/debug_file.h"
#include "gocore/file_cache.h"

#include "core/module.h"
#include "sym/mini_debug.h"
#include "sym/symbol_memory.h"
#include "sym/symbol_table.h"

/* A symbol table in memory without section headers. */
#define MAX_DYNSYM ((uint64_t)16 << 20)
#define MAX_DYNAMIC 4096

struct image_symbols {
	const struct gc_image *image;
	bool opened, looked_for_debug;
	struct gc_elf_file *own;     /* made of the core's bytes, for the vDSO */
	struct gc_elf_file *debug;
	uint8_t *copies[2];          /* of a table in memory, and its strings */
	struct gc_phdrs phdrs;       /* borrowed; of the image */
	struct gc_module module;     /* what phdrs borrows from when there is no file */
	struct gc_symbol_table *table; /* NULL: not made yet */
};

/** A name that was made printable. */
struct printed {
	const char *mangled;
	char *name;                  /* NULL: as it is */
};

struct gc_symbols {
	const struct gc_process *p;
	const struct gc_find_options *options;
	struct gc_problems *problems;
	struct image_symbols *images; /* as p->images.list */
	struct gc_symbol_memory memory; /* without functions: none */
	struct printed *printed;      /* hash table by the mangled name's address */
	size_t nprinted, printed_size;
};

/* Files. */

static struct image_symbols *of_image(struct gc_symbols *s, const struct gc_image *image)
{
	return &s->images[image - s->p->images.list];
}

/** The file of an image that lies whole in the core. */
static struct gc_elf_file *file_of_memory(const struct gc_process *p, const struct gc_image *image)
{
	uint64_t len = image->end - image->base;
	struct gc_elf_file *file = NULL;
	uint8_t *bytes;

	if (len == 0 || len > MAX_DYNSYM)
		return NULL;
	bytes = malloc(len);
	if (bytes && gc_space_read_all(&p->space, image->base, bytes, len, NULL) == GC_OK)
		file = gc_elf_of_bytes(image->path, bytes, len);
	free(bytes);
	return file;
}

static void open_image(struct gc_symbols *s, struct image_symbols *i)
{
	const struct gc_image *image = i->image;

	if (i->opened)
		return;
	i->opened = true;
	if (!image->file && image->status == GC_IMAGE_IN_CORE)
		i->own = file_of_memory(s->p, image);
	if (image->file || i->own)
		i->phdrs = image->file ? image->file->phdrs : i->own->phdrs;
	else if (gc_module_of_image(&i->module, &s->p->space, image, NULL) == GC_OK)
		i->phdrs = (struct gc_phdrs){ .list = i->module.phdrs, .count = i->module.count };
}

struct gc_elf_file *gc_symbols_file(struct gc_symbols *s, const struct gc_image *image)
{
	struct image_symbols *i = of_image(s, image);

	open_image(s, i);
	return image->file ? image->file : i->own;
}

const Elf64_Phdr *gc_symbols_phdr(struct gc_symbols *s, const struct gc_image *image, uint32_t type)
{
	struct image_symbols *i = of_image(s, image);

	open_image(s, i);
	for (size_t n = 0; n < i->phdrs.count; n++)
		if (i->phdrs.list[n].p_type == type)
			return &i->phdrs.list[n];
	return NULL;
}

static struct gc_elf_file *open_debug_file(struct gc_symbols *s, const struct gc_image *image)
{
	struct gc_elf_file *debug = calloc(1, sizeof(*debug));
	struct gc_error err;
	enum gc_code code;

	if (!debug)
		return NULL;
	code = gc_debug_file_find(s->options, image->file, image->found_path, debug, &err);
	if (code == GC_OK)
		return debug;
	if (code != GC_E_NOT_FOUND)
		gc_problem(s->problems, image->path, "debug file: %s", err.text);
	free(debug);
	return NULL;
}

struct gc_elf_file *gc_symbols_debug_file(struct gc_symbols *s, const struct gc_image *image)
{
	struct image_symbols *i = of_image(s, image);

	struct gc_kept *kept = image->file ? image->file->kept : NULL;

	if (kept && kept->looked_for_debug) {
		i->debug = kept->debug;
		i->looked_for_debug = true;
	}
	if (!i->looked_for_debug && image->file)
		i->debug = open_debug_file(s, image);
	i->looked_for_debug = true;
	if (kept) {
		kept->debug = i->debug;
		kept->looked_for_debug = true;
	}
	return i->debug;
}

void gc_symbols_open_files(struct gc_symbols *s)
{
	for (size_t i = 0; i < s->p->images.count; i++)
		gc_symbols_debug_file(s, &s->p->images.list[i]);
}

/* Tables. */

/** DT_SYMTAB, DT_STRTAB and DT_STRSZ of the dynamic section in memory; the first two as addresses. */
static bool read_dynamic(const struct gc_symbols *s, const struct image_symbols *i, uint64_t values[3])
{
	static const int64_t tags[] = { DT_SYMTAB, DT_STRTAB, DT_STRSZ };
	const Elf64_Phdr *ph = i->module.count ? gc_module_phdr(&i->module, PT_DYNAMIC) : NULL;
	const uint64_t bias = i->module.bias;
	uint8_t bytes[16];

	memset(values, 0, 3 * sizeof(*values));
	for (uint64_t n = 0; ph && n < MAX_DYNAMIC && n < ph->p_memsz / 16; n++) {
		int64_t tag;

		if (gc_space_read_all(&s->p->space, bias + ph->p_vaddr + 16 * n, bytes, 16, NULL) != GC_OK)
			break;
		tag = (int64_t)gc_load_le64(bytes);
		for (size_t t = 0; t < GC_COUNT(tags); t++)
			if (tag == tags[t])
				values[t] = gc_load_le64(bytes + 8);
		if (tag == DT_NULL)
			break;
	}
	for (size_t t = 0; t < 2; t++) /* glibc's ld.so relocates them in place, others do not */
		if (values[t] < i->image->base)
			values[t] += bias;
	return values[0] && values[1] && values[2];
}

/**
 * .dynsym in the core's memory, for an image without a file. Nothing says how
 * long it is, but the strings follow it, as all linkers lay it out.
 */
static void add_table_of_memory(const struct gc_symbols *s, struct image_symbols *i)
{
	uint64_t at[3], len;

	if (!read_dynamic(s, i, at) || at[1] <= at[0] || at[1] - at[0] > MAX_DYNSYM || at[2] > MAX_DYNSYM)
		return;
	len = at[1] - at[0];
	i->copies[0] = malloc(len);
	i->copies[1] = malloc(at[2]);
	if (!i->copies[0] || !i->copies[1] ||
	    gc_space_read_all(&s->p->space, at[0], i->copies[0], len, NULL) != GC_OK ||
	    gc_space_read_all(&s->p->space, at[1], i->copies[1], at[2], NULL) != GC_OK)
		return;
	gc_symbol_table_add(i->table, i->copies[0], len / GC_SYM_SIZE, (const char *)i->copies[1], at[2]);
}

static void fill_table(struct gc_symbols *s, struct image_symbols *i)
{
	struct gc_elf_file *file = gc_symbols_file(s, i->image);

	if (!file) {
		add_table_of_memory(s, i);
		return;
	}
	if (gc_symbol_table_add_sections(i->table, file, ".symtab", ".strtab") ||
	    gc_symbol_table_add_sections(i->table, gc_symbols_debug_file(s, i->image), ".symtab", ".strtab"))
		return;
	gc_symbol_table_add_sections(i->table, file, ".dynsym", ".dynstr");
	gc_symbol_table_add_mini(i->table, gc_mini_debug_open(file));
}

static struct gc_kept *kept_of(const struct image_symbols *i)
{
	return i->image->file ? i->image->file->kept : NULL;
}

static void free_kept(void *table)
{
	gc_symbol_table_free(table);
}

/** @return NULL: out of memory */
static struct gc_symbol_table *table_of(struct gc_symbols *s, struct image_symbols *i)
{
	struct gc_kept *kept = kept_of(i);

	open_image(s, i);
	if (!i->table && kept)
		i->table = kept->symbols;
	if (i->table)
		return i->table;
	i->table = gc_symbol_table_new(kept ? &i->image->file->phdrs : &i->phdrs);
	if (i->table)
		fill_table(s, i);
	if (kept) {
		kept->symbols = i->table;
		kept->free_symbols = free_kept;
	}
	return i->table;
}

/* Names. */

static bool grow_printed(struct gc_symbols *s)
{
	size_t size = s->printed_size ? 2 * s->printed_size : 64;
	struct printed *list = calloc(size, sizeof(*list));

	if (!list)
		return false;
	for (size_t i = 0; i < s->printed_size; i++) {
		size_t at = (uintptr_t)s->printed[i].mangled * 0x9e3779b97f4a7c15 >> 20 & (size - 1);

		if (!s->printed[i].mangled)
			continue;
		while (list[at].mangled)
			at = (at + 1) & (size - 1);
		list[at] = s->printed[i];
	}
	free(s->printed);
	s->printed = list;
	s->printed_size = size;
	return true;
}

/** "memcpy" of "memcpy@@GLIBC_2.14", as .symtab has versioned names */
static char *print_name(const char *name)
{
	const char *at = strchr(name + 1, '@');

	return at ? strndup(name, (size_t)(at - name)) : gc_demangle(name);
}

static const char *printed_name(struct gc_symbols *s, const char *name)
{
	size_t at;

	if (name[0] != '_' && !strchr(name, '@'))
		return name;
	if (s->nprinted >= s->printed_size / 2 && !grow_printed(s))
		return name;
	at = (uintptr_t)name * 0x9e3779b97f4a7c15 >> 20 & (s->printed_size - 1);
	while (s->printed[at].mangled && s->printed[at].mangled != name)
		at = (at + 1) & (s->printed_size - 1);
	if (!s->printed[at].mangled) {
		s->printed[at] = (struct printed){ .mangled = name, .name = print_name(name) };
		s->nprinted++;
	}
	return s->printed[at].name ? s->printed[at].name : name;
}

void gc_symbols_set_memory(struct gc_symbols *s, const struct gc_symbol_memory *memory)
{
	s->memory = memory ? *memory : (struct gc_symbol_memory){ .data = NULL };
}

/** @param pc  link-time */
static bool find(struct gc_symbols *s, const struct gc_image *image, uint64_t pc, struct gc_table_symbol *out)
{
	struct gc_symbol_table *table;
	bool found;

	if (s->memory.recall && s->memory.recall(s->memory.data, image, pc, out))
		return out->name != NULL;
	table = table_of(s, of_image(s, image));
	if (!table)
		return false;
	found = gc_symbol_table_find(table, pc, out);
	if (s->memory.remember)
		s->memory.remember(s->memory.data, image, pc, found ? out : NULL);
	return found;
}

bool gc_symbols_at(struct gc_symbols *s, uint64_t addr, struct gc_symbol_at *out)
{
	const struct gc_image *image = gc_images_at(&s->p->images, addr);
	struct gc_table_symbol symbol;

	if (!image || !image->has_bias || !find(s, image, addr - image->bias, &symbol))
		return false;
	*out = (struct gc_symbol_at){
		.name = printed_name(s, symbol.name), .entry = symbol.value + image->bias, .size = symbol.size,
		.image = image,
	};
	return true;
}

/* By name. */

/** @return link-time, 0: none */
static uint64_t find_exported(const struct gc_image *image, const char *name)
{
	struct gc_symbol_table *table = gc_symbol_table_new(&image->file->phdrs);
	uint64_t value = 0;

	if (!table || !gc_symbol_table_add_sections(table, image->file, ".dynsym", ".dynstr") ||
	    !gc_symbol_table_named(table, name, &value))
		value = 0;
	gc_symbol_table_free(table);
	return value;
}

/** @return link-time, 0: none */
static uint64_t find_own(struct gc_symbols *s, const struct gc_image *image, const char *name)
{
	struct gc_symbol_table *table = table_of(s, of_image(s, image));
	uint64_t value;

	return table && gc_symbol_table_named(table, name, &value) ? value : 0;
}

static bool find_named(struct gc_symbols *s, const struct gc_image *image, bool exports, const char *name,
		       uint64_t *out)
{
	uint64_t value;

	if (!image->has_bias || (exports && !image->file))
		return false;
	if (!s->memory.recall_named || !s->memory.recall_named(s->memory.data, image, exports, name, &value)) {
		value = exports ? find_exported(image, name) : find_own(s, image, name);
		if (s->memory.remember_named)
			s->memory.remember_named(s->memory.data, image, exports, name, value);
	}
	*out = value + image->bias;
	return value != 0;
}

bool gc_symbols_named(struct gc_symbols *s, const struct gc_image *from, const char *name, uint64_t *out)
{
	if (find_named(s, from, false, name, out))
		return true;
	for (size_t i = 0; i < s->p->images.count; i++)
		if (&s->p->images.list[i] != from && find_named(s, &s->p->images.list[i], true, name, out))
			return true;
	return false;
}

enum gc_code gc_symbols_new(struct gc_symbols **out, const struct gc_process *p,
			    const struct gc_find_options *options, struct gc_problems *problems,
			    struct gc_error *err)
{
	static const struct gc_find_options no_options;
	struct gc_symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return gc_fail_memory(err);
	s->p = p;
	s->options = options ? options : &no_options;
	s->problems = problems;
	s->images = calloc(p->images.count ? p->images.count : 1, sizeof(*s->images));
	if (!s->images) {
		free(s);
		return gc_fail_memory(err);
	}
	for (size_t i = 0; i < p->images.count; i++)
		s->images[i].image = &p->images.list[i];
	*out = s;
	return GC_OK;
}

static void close_image(struct image_symbols *i)
{
	gc_elf_free(i->own);
	if (!kept_of(i))
		gc_elf_free(i->debug);
	if (!kept_of(i))
		gc_symbol_table_free(i->table);
	gc_module_deinit(&i->module);
	free(i->copies[0]);
	free(i->copies[1]);
}

void gc_symbols_free(struct gc_symbols *s)
{
	if (!s)
		return;
	for (size_t i = 0; s->images && i < s->p->images.count; i++)
		close_image(&s->images[i]);
	for (size_t i = 0; i < s->printed_size; i++)
		free(s->printed[i].name);
	free(s->printed);
	free(s->images);
	free(s);
}
