#include "sym/symbol_table.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "sym/mini_debug.h"

/* Look-ups that walk the whole table before an index is worth its making. */
#define WALKS 32

/* Sized symbols may lie in each other; look at so many before the nearest. */
#define MAX_NESTED 64

struct table {
	const uint8_t *symbols;
	uint64_t count;
	const char *strings;    /* ends with a NUL inside strings_len */
	uint64_t strings_len;
};

struct symbol {
	uint64_t value, size;
	const char *name;
	uint8_t type, binding;
};

struct gc_symbol_table {
	const struct gc_phdrs *phdrs;
	struct gc_elf_file *mini;
	struct table tables[2];
	size_t ntables;
	unsigned walks;
	struct answer {
		uint64_t value;
		bool found;
		struct symbol symbol;
	} answers[WALKS];            /* of the walks: the stacks of many threads begin alike */
	bool indexed;
	struct symbol *index;        /* one for each value, by value */
	size_t nindex;
};

struct gc_symbol_table *gc_symbol_table_new(const struct gc_phdrs *phdrs)
{
	struct gc_symbol_table *st = calloc(1, sizeof(*st));

	if (st)
		st->phdrs = phdrs;
	return st;
}

void gc_symbol_table_free(struct gc_symbol_table *st)
{
	if (!st)
		return;
	gc_elf_free(st->mini);
	free(st->index);
	free(st);
}

void gc_symbol_table_add(struct gc_symbol_table *st, const uint8_t *symbols, uint64_t count, const char *strings,
			 uint64_t strings_len)
{
	if (st->ntables < GC_COUNT(st->tables))
		st->tables[st->ntables++] = (struct table){
			.symbols = symbols, .count = count, .strings = strings, .strings_len = strings_len,
		};
}

bool gc_symbol_table_add_sections(struct gc_symbol_table *st, struct gc_elf_file *file, const char *symbols,
				  const char *strings)
{
	const uint8_t *bytes, *text;
	uint64_t len, text_len, addr;

	if (!file || !gc_elf_section(file, symbols, &bytes, &len, &addr) ||
	    !gc_elf_section(file, strings, &text, &text_len, &addr))
		return false;
	gc_symbol_table_add(st, bytes, len / GC_SYM_SIZE, (const char *)text, text_len);
	return true;
}

void gc_symbol_table_add_mini(struct gc_symbol_table *st, struct gc_elf_file *file)
{
	st->mini = file;
	gc_symbol_table_add_sections(st, file, ".symtab", ".strtab");
}

/** @return true where the image has code */
static bool is_code(const struct gc_symbol_table *st, uint64_t value)
{
	for (size_t n = 0; n < st->phdrs->count; n++) {
		const Elf64_Phdr *ph = &st->phdrs->list[n];

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
	const uint8_t *bytes = t->symbols + n * GC_SYM_SIZE;
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
static bool read_name(const struct gc_symbol_table *st, const struct table *t, uint64_t n, struct symbol *out)
{
	const uint32_t name = gc_load_le32(t->symbols + n * GC_SYM_SIZE);

	if (name >= t->strings_len || !memchr(t->strings + name, 0, t->strings_len - name) ||
	    is_mark(t->strings + name) || !is_code(st, out->value))
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
	const uint8_t *bytes = t->symbols + n * GC_SYM_SIZE;

	for (; t->count - n >= 4; n += 4, bytes += 4 * GC_SYM_SIZE)
		if (is_candidate(bytes, value, distance) + is_candidate(bytes + GC_SYM_SIZE, value, distance) +
		    is_candidate(bytes + 2 * GC_SYM_SIZE, value, distance) +
		    is_candidate(bytes + 3 * GC_SYM_SIZE, value, distance))
			break;
	while (n < t->count && !is_candidate(t->symbols + n * GC_SYM_SIZE, value, distance))
		n++;
	return n;
}

static void walk_table(const struct gc_symbol_table *st, const struct table *t, uint64_t value, struct symbol *best)
{
	for (uint64_t n = 1; (n = next_candidate(t, n, value, best)) < t->count; n++) {
		struct symbol s;
		int order = -1;

		if (!read_value(t, n, value, &s))
			continue;
		if (best->name)
			order = compare_places(&s, best, value);
		if (order <= 0 && read_name(st, t, n, &s) && (order < 0 || compare_names(&s, best) < 0))
			*best = s;
	}
}

static void walk(const struct gc_symbol_table *st, struct answer *answer)
{
	answer->symbol.name = NULL;
	for (size_t t = 0; t < st->ntables; t++)
		walk_table(st, &st->tables[t], answer->value, &answer->symbol);
	answer->found = answer->symbol.name && is_answer(&answer->symbol, answer->value);
}

/** By walking, or as it was found before. @return NULL: that was done often enough */
static const struct answer *answer_of(struct gc_symbol_table *st, uint64_t value)
{
	for (unsigned n = 0; n < st->walks; n++)
		if (st->answers[n].value == value)
			return &st->answers[n];
	if (st->walks == WALKS)
		return NULL;
	st->answers[st->walks].value = value;
	walk(st, &st->answers[st->walks]);
	return &st->answers[st->walks++];
}

static int compare_symbols(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return compare_names(x, y);
}

static void make_index(struct gc_symbol_table *st)
{
	uint64_t cap = 0;
	size_t kept = 0;

	st->indexed = true;
	for (size_t t = 0; t < st->ntables; t++)
		cap += st->tables[t].count;
	st->index = cap ? calloc(cap, sizeof(*st->index)) : NULL;
	if (!st->index)
		return;
	for (size_t t = 0; t < st->ntables; t++)
		for (uint64_t n = 1; n < st->tables[t].count; n++)
			st->nindex += read_value(&st->tables[t], n, UINT64_MAX, &st->index[st->nindex]) &&
				     read_name(st, &st->tables[t], n, &st->index[st->nindex]);
	qsort(st->index, st->nindex, sizeof(*st->index), compare_symbols);
	for (size_t n = 0; n < st->nindex; n++)
		if (kept == 0 || st->index[kept - 1].value != st->index[n].value)
			st->index[kept++] = st->index[n];
	st->nindex = kept;
}

static bool search(const struct gc_symbol_table *st, uint64_t value, struct symbol *out)
{
	size_t low = 0, high = st->nindex;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (st->index[mid].value <= value)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return false;
	*out = st->index[low - 1];
	for (size_t n = 0; n < MAX_NESTED && n < low; n++) {
		if (holds(&st->index[low - 1 - n], value)) {
			*out = st->index[low - 1 - n];
			break;
		}
	}
	return is_answer(out, value);
}

bool gc_symbol_table_find(struct gc_symbol_table *st, uint64_t value, struct gc_table_symbol *out)
{
	const struct answer *answer;
	struct symbol found;

	if (!is_code(st, value))
		return false;
	answer = answer_of(st, value);
	if (!answer && !st->indexed)
		make_index(st);
	if (answer ? !answer->found : !search(st, value, &found))
		return false;
	if (answer)
		found = answer->symbol;
	*out = (struct gc_table_symbol){ .value = found.value, .size = found.size, .name = found.name };
	return true;
}

/* By name. */

static bool is_named(const struct table *t, uint64_t n, const char *name, size_t len)
{
	const uint32_t at = gc_load_le32(t->symbols + n * GC_SYM_SIZE);
	const char *text = t->strings + at;

	return at < t->strings_len && t->strings_len - at > len && memcmp(text, name, len) == 0 &&
	       (text[len] == '\0' || text[len] == '@');
}

static bool find_named(const struct table *t, const char *name, uint64_t *out)
{
	const size_t len = strlen(name);
	struct symbol symbol;

	for (uint64_t n = 1; n < t->count; n++)
		if (is_named(t, n, name, len) && read_value(t, n, UINT64_MAX, &symbol) && symbol.type == STT_FUNC) {
			*out = symbol.value;
			return true;
		}
	return false;
}

bool gc_symbol_table_named(const struct gc_symbol_table *st, const char *name, uint64_t *out)
{
	for (size_t t = 0; t < st->ntables; t++)
		if (find_named(&st->tables[t], name, out))
			return true;
	return false;
}
