#include "gocore/symbols.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/debug_file.h"
#include "gocore/file_cache.h"

#include "core/module.h"
#include "sym/mini_debug.h"

#define SYM_SIZE 24 /* Elf64_Sym */

/* Look-ups that walk the whole table before an index is worth its making. */
#define WALKS 32

/* Sized symbols may lie in each other; look at so many before the nearest. */
#define MAX_NESTED 64

/* A symbol table in memory without section headers. */
#define MAX_DYNSYM ((uint64_t)16 << 20)
#define MAX_DYNAMIC 4096

struct table {
	const uint8_t *symbols;
	uint64_t count;
	const char *strings;    /* ends with a NUL inside strings_len */
	uint64_t strings_len;
};

struct symbol {
	uint64_t value, size;   /* link-time */
	const char *name;
	uint8_t type, binding;
};

struct image_symbols {
	const struct gc_image *image;
	bool opened, looked_for_debug, has_tables, indexed;
	struct gc_elf_file *own;     /* made of the core's bytes, for the vDSO */
	struct gc_elf_file *debug, *mini;
	uint8_t *copies[2];          /* of a table in memory, and its strings */
	struct gc_phdrs phdrs;       /* borrowed; of the image */
	struct gc_module module;     /* what phdrs borrows from when there is no file */
	struct table tables[2];
	size_t ntables;
	unsigned walks;
	struct answer {
		uint64_t value;
		bool found;
		struct symbol symbol;
	} answers[WALKS];            /* of the walks: the stacks of many threads begin alike */
	struct symbol *index;        /* one for each value, by value */
	size_t nindex;
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

static bool add_table(struct image_symbols *i, struct gc_elf_file *file, const char *symbols, const char *strings)
{
	struct table t = { .count = 0 };
	const uint8_t *text;
	uint64_t len, addr;

	if (!file || !gc_elf_section(file, symbols, &t.symbols, &len, &addr) ||
	    !gc_elf_section(file, strings, &text, &t.strings_len, &addr))
		return false;
	t.count = len / SYM_SIZE;
	t.strings = (const char *)text;
	i->tables[i->ntables++] = t;
	return true;
}

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
	i->tables[i->ntables++] = (struct table){
		.symbols = i->copies[0], .count = len / SYM_SIZE,
		.strings = (const char *)i->copies[1], .strings_len = at[2],
	};
}

static void find_tables(struct gc_symbols *s, struct image_symbols *i)
{
	struct gc_elf_file *file = gc_symbols_file(s, i->image);

	i->has_tables = true;
	if (!file) {
		add_table_of_memory(s, i);
		return;
	}
	if (add_table(i, file, ".symtab", ".strtab") ||
	    add_table(i, gc_symbols_debug_file(s, i->image), ".symtab", ".strtab"))
		return;
	add_table(i, file, ".dynsym", ".dynstr");
	i->mini = gc_mini_debug_open(file);
	add_table(i, i->mini, ".symtab", ".strtab");
}

/** @return true where the image has code */
static bool is_code(const struct image_symbols *i, uint64_t value)
{
	for (size_t n = 0; n < i->phdrs.count; n++) {
		const Elf64_Phdr *ph = &i->phdrs.list[n];

		if (ph->p_type == PT_LOAD && ph->p_flags & PF_X && value >= ph->p_vaddr &&
		    value - ph->p_vaddr < ph->p_memsz)
			return true;
	}
	return false;
}

/** Names that are none of functions: $x and $d mark code and data (ELF for the Arm 64-bit Architecture), .L labels. */
static bool is_mark(const char *name)
{
	return name[0] == '\0' || (name[0] == '$' && (name[2] == '\0' || name[2] == '.')) ||
	       strncmp(name, ".L", 2) == 0 || strncmp(name, ".annobin", 8) == 0;
}

/** The @n-th symbol but its name, if it may be code that starts at or before @limit. */
static bool read_value(const struct table *t, uint64_t n, uint64_t limit, struct symbol *out)
{
	const uint8_t *bytes = t->symbols + n * SYM_SIZE;
	const uint64_t value = gc_load_le64(bytes + 8);
	const uint16_t section = gc_load_le16(bytes + 6);
	const uint8_t type = ELF64_ST_TYPE(bytes[4]);

	if (value > limit || section == SHN_UNDEF || section == SHN_ABS ||
	    (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE))
		return false;
	*out = (struct symbol){
		.value = value, .size = gc_load_le64(bytes + 16), .type = type, .binding = ELF64_ST_BIND(bytes[4]),
	};
	return true;
}

/** Its name. @return false if it is no function after all */
static bool read_name(const struct image_symbols *i, const struct table *t, uint64_t n, struct symbol *out)
{
	const uint32_t name = gc_load_le32(t->symbols + n * SYM_SIZE);

	if (name >= t->strings_len || !memchr(t->strings + name, 0, t->strings_len - name) ||
	    is_mark(t->strings + name) || !is_code(i, out->value))
		return false;
	out->name = t->strings + name;
	return true;
}

/* Choosing. */

static size_t underscores(const char *name)
{
	return strspn(name, "_");
}

/** GLOBAL, WEAK, LOCAL and what else there may be, best first. */
static int rank(uint8_t binding)
{
	return binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
}

/**
 * Which of two names of one address do people know it by? One with a size, of
 * a function, that others can link to, without underscores: "nanosleep"
 * (weak) and not "__nanosleep" (global). @return < 0: @a
 */
static int compare_names(const struct symbol *a, const struct symbol *b)
{
	const bool local_a = a->binding == STB_LOCAL, local_b = b->binding == STB_LOCAL;

	if (!a->size != !b->size)
		return a->size ? -1 : 1;
	if ((a->type == STT_NOTYPE) != (b->type == STT_NOTYPE))
		return a->type == STT_NOTYPE ? 1 : -1;
	if (local_a != local_b)
		return local_a ? 1 : -1;
	if (underscores(a->name) != underscores(b->name))
		return underscores(a->name) < underscores(b->name) ? -1 : 1;
	if (rank(a->binding) != rank(b->binding))
		return rank(a->binding) - rank(b->binding);
	return strcmp(a->name, b->name);
}

static bool holds(const struct symbol *s, uint64_t value)
{
	return value >= s->value && value - s->value < s->size;
}

/** Is @a a better answer for @value than @b, names apart? Both start at or before it. @return < 0: @a */
static int compare_places(const struct symbol *a, const struct symbol *b, uint64_t value)
{
	if (holds(a, value) != holds(b, value))
		return holds(a, value) ? -1 : 1;
	if (a->value != b->value)
		return a->value > b->value ? -1 : 1;
	return 0;
}

/** One without a size may reach as far as the next symbol; one with a size has an end. */
static bool is_answer(const struct symbol *s, uint64_t value)
{
	return s->size == 0 || holds(s, value);
}

/** Does it start no farther before @value than @distance, or hold it? Of those behind it the distance is huge. */
static bool is_candidate(const uint8_t *symbol, uint64_t value, uint64_t distance)
{
	const uint64_t this_distance = value - gc_load_le64(symbol + 8);

	return (this_distance <= distance) | (this_distance < gc_load_le64(symbol + 16));
}

/**
 * The next symbol from number @n on that may be a better answer than @best by its place, which few are: it starts
 * behind @best or where that does, or it holds @value. Four at once without a branch between them: this is where
 * the time goes.
 */
static uint64_t next_candidate(const struct table *t, uint64_t n, uint64_t value, const struct symbol *best)
{
	const uint64_t distance = best->name ? value - best->value : value;
	const uint8_t *bytes = t->symbols + n * SYM_SIZE;

	for (; t->count - n >= 4; n += 4, bytes += 4 * SYM_SIZE)
		if (is_candidate(bytes, value, distance) | is_candidate(bytes + SYM_SIZE, value, distance) |
		    is_candidate(bytes + 2 * SYM_SIZE, value, distance) |
		    is_candidate(bytes + 3 * SYM_SIZE, value, distance))
			break;
	while (n < t->count && !is_candidate(t->symbols + n * SYM_SIZE, value, distance))
		n++;
	return n;
}

static void walk_table(const struct image_symbols *i, const struct table *t, uint64_t value, struct symbol *best)
{
	for (uint64_t n = 1; (n = next_candidate(t, n, value, best)) < t->count; n++) {
		struct symbol s;
		int order = -1;

		if (!read_value(t, n, value, &s))
			continue;
		if (best->name)
			order = compare_places(&s, best, value);
		if (order <= 0 && read_name(i, t, n, &s) && (order < 0 || compare_names(&s, best) < 0))
			*best = s;
	}
}

static void walk(const struct image_symbols *i, struct answer *answer)
{
	answer->symbol.name = NULL;
	for (size_t t = 0; t < i->ntables; t++)
		walk_table(i, &i->tables[t], answer->value, &answer->symbol);
	answer->found = answer->symbol.name && is_answer(&answer->symbol, answer->value);
}

/** By walking, or as it was found before. @return NULL: that was done often enough */
static const struct answer *answer_of(struct image_symbols *i, uint64_t value)
{
	for (unsigned n = 0; n < i->walks; n++)
		if (i->answers[n].value == value)
			return &i->answers[n];
	if (i->walks == WALKS)
		return NULL;
	i->answers[i->walks].value = value;
	walk(i, &i->answers[i->walks]);
	return &i->answers[i->walks++];
}

static int compare_symbols(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return compare_names(x, y);
}

static void make_index(struct image_symbols *i)
{
	uint64_t cap = 0;
	size_t kept = 0;

	i->indexed = true;
	for (size_t t = 0; t < i->ntables; t++)
		cap += i->tables[t].count;
	i->index = cap ? calloc(cap, sizeof(*i->index)) : NULL;
	if (!i->index)
		return;
	for (size_t t = 0; t < i->ntables; t++)
		for (uint64_t n = 1; n < i->tables[t].count; n++)
			i->nindex += read_value(&i->tables[t], n, UINT64_MAX, &i->index[i->nindex]) &&
				     read_name(i, &i->tables[t], n, &i->index[i->nindex]);
	qsort(i->index, i->nindex, sizeof(*i->index), compare_symbols);
	for (size_t n = 0; n < i->nindex; n++)
		if (kept == 0 || i->index[kept - 1].value != i->index[n].value)
			i->index[kept++] = i->index[n];
	i->nindex = kept;
}

static bool search(const struct image_symbols *i, uint64_t value, struct symbol *out)
{
	size_t low = 0, high = i->nindex;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (i->index[mid].value <= value)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return false;
	*out = i->index[low - 1];
	for (size_t n = 0; n < MAX_NESTED && n < low; n++) {
		if (holds(&i->index[low - 1 - n], value)) {
			*out = i->index[low - 1 - n];
			break;
		}
	}
	return is_answer(out, value);
}

static bool find_symbol(struct gc_symbols *s, struct image_symbols *i, uint64_t value, struct symbol *out)
{
	const struct answer *answer;

	open_image(s, i);
	if (!is_code(i, value))
		return false;
	if (!i->has_tables)
		find_tables(s, i);
	answer = answer_of(i, value);
	if (answer) {
		*out = answer->symbol;
		return answer->found;
	}
	if (!i->indexed)
		make_index(i);
	return search(i, value, out);
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

bool gc_symbols_at(struct gc_symbols *s, uint64_t addr, struct gc_symbol_at *out)
{
	const struct gc_image *image = gc_images_at(&s->p->images, addr);
	struct symbol symbol;

	if (!image || !image->has_bias || !find_symbol(s, of_image(s, image), addr - image->bias, &symbol))
		return false;
	*out = (struct gc_symbol_at){
		.name = printed_name(s, symbol.name), .entry = symbol.value + image->bias, .size = symbol.size,
		.image = image,
	};
	return true;
}

/* By name. */

static bool is_named(const struct table *t, uint64_t n, const char *name, size_t len)
{
	const uint32_t at = gc_load_le32(t->symbols + n * SYM_SIZE);
	const char *text = t->strings + at;

	return at < t->strings_len && t->strings_len - at > len && memcmp(text, name, len) == 0 &&
	       (text[len] == '\0' || text[len] == '@');
}

/** A function that is defined there; where code picks one of several at run time it is not known which. */
static bool find_named(const struct image_symbols *i, const struct table *t, const char *name, uint64_t *out)
{
	const size_t len = strlen(name);
	struct symbol symbol;

	for (uint64_t n = 1; n < t->count; n++)
		if (is_named(t, n, name, len) && read_value(t, n, UINT64_MAX, &symbol) && symbol.type == STT_FUNC) {
			*out = symbol.value + i->image->bias;
			return true;
		}
	return false;
}

static bool find_exported(const struct image_symbols *i, const char *name, uint64_t *out)
{
	struct image_symbols dynamic = { .image = i->image };

	return i->image->has_bias && i->image->file && add_table(&dynamic, i->image->file, ".dynsym", ".dynstr") &&
	       find_named(&dynamic, &dynamic.tables[0], name, out);
}

bool gc_symbols_named(struct gc_symbols *s, const struct gc_image *from, const char *name, uint64_t *out)
{
	struct image_symbols *own = of_image(s, from);

	open_image(s, own);
	if (!own->has_tables)
		find_tables(s, own);
	for (size_t t = 0; t < own->ntables; t++)
		if (find_named(own, &own->tables[t], name, out))
			return true;
	for (size_t i = 0; i < s->p->images.count; i++)
		if (&s->images[i] != own && find_exported(&s->images[i], name, out))
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
	if (!i->image->file || !i->image->file->kept)
		gc_elf_free(i->debug);
	gc_elf_free(i->mini);
	gc_module_deinit(&i->module);
	free(i->copies[0]);
	free(i->copies[1]);
	free(i->index);
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
