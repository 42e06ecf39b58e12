#include "gocore/lines.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/debug_file.h"

#include "sym/answers.h"
#include "sym/line_cache.h"
#include "sym/lines_calls.h"
#include "sym/unit_index.h"

#define MAX_OVERLAPS  8           /* units that claim the same address */
#define MAX_LOADED    (4U << 20)  /* rows and functions of all units that are kept */

struct gc_lines {
	struct gc_elf_file *image, *debug;
	const struct gc_find_options *options;
	struct gc_elf_file supplement_file;
	bool looked_for_supplement, needs_supplement, has_supplement;
	bool opened;
	enum gc_code state;         /* of opening */
	struct gc_error why;
	struct gc_dies dies, supplement;
	struct gc_unit_index index;
	bool walked;                /* the index is of all units */
	struct gc_unit **units;     /* those that were looked into */
	size_t nunits;
	uint64_t clock;
	struct gc_function_names names;
	bool cache_read;            /* answers of earlier runs were added */
	struct gc_answers answers;
	struct gc_error damage;
};

/* Opening. */

enum gc_code gc_lines_new(struct gc_lines **out, struct gc_elf_file *image, struct gc_elf_file *debug,
			  const struct gc_find_options *options, struct gc_error *err)
{
	struct gc_lines *l = calloc(1, sizeof(*l));

	if (!l)
		return gc_fail_memory(err);
	l->image = image;
	l->debug = debug;
	l->options = options;
	*out = l;
	return GC_OK;
}

/** The file that has the debug information; NULL: none. */
static struct gc_elf_file *source_of(struct gc_lines *l)
{
	if (gc_dwarf_is_in(l->image))
		return l->image;
	return l->debug && gc_dwarf_is_in(l->debug) ? l->debug : NULL;
}

void gc_lines_open_files(struct gc_lines *l)
{
	struct gc_elf_file *source;

	if (l->looked_for_supplement)
		return;
	l->looked_for_supplement = true;
	source = source_of(l);
	l->needs_supplement = source && gc_debug_file_needs_supplement(source);
	l->has_supplement = l->needs_supplement &&
			    gc_debug_file_find_supplement(l->options, source, source->input.path,
							  &l->supplement_file, NULL) == GC_OK;
}

static void open_supplement(struct gc_lines *l)
{
	gc_lines_open_files(l);
	if (!l->has_supplement || gc_dwarf_open(&l->supplement.dwarf, &l->supplement_file, NULL) != GC_OK ||
	    gc_dwarf_debug(l->supplement.dwarf, &l->supplement.dbg, NULL) != GC_OK)
		return;
	l->dies.supplement = &l->supplement;
}

static enum gc_code open_dwarf(struct gc_lines *l, struct gc_error *err)
{
	struct gc_elf_file *source = source_of(l);
	enum gc_code code;

	if (!source)
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information");
	code = gc_dwarf_open(&l->dies.dwarf, source, err);
	if (code == GC_OK)
		code = gc_dwarf_debug(l->dies.dwarf, &l->dies.dbg, err);
	if (code != GC_OK)
		return code;
	open_supplement(l);
	code = gc_unit_index_of_aranges(&l->index, l->dies.dwarf, err);
	return code == GC_E_NOT_FOUND || code == GC_E_FORMAT ? GC_OK : code;
}

static enum gc_code make_ready(struct gc_lines *l, struct gc_error *err)
{
	if (!l->opened) {
		l->opened = true;
		l->state = open_dwarf(l, &l->why);
	}
	return l->state == GC_OK ? GC_OK : gc_fail(err, l->state, "%s", l->why.text);
}

const char *gc_lines_damage(const struct gc_lines *l)
{
	return l->damage.code != GC_OK ? l->damage.text : NULL;
}

static void note_damage(struct gc_lines *l, const struct gc_error *err)
{
	if (l->damage.code == GC_OK && err->code != GC_OK)
		l->damage = *err;
}

/* Units. */

static size_t loaded(const struct gc_unit *u)
{
	return u->lines.nrows + u->nfunctions;
}

/** Keep the units within bounds: let go of those that were used longest ago. */
static void shrink_others(struct gc_lines *l, const struct gc_unit *keep)
{
	size_t total = 0;

	for (size_t i = 0; i < l->nunits; i++)
		total += loaded(l->units[i]);
	while (total > MAX_LOADED) {
		struct gc_unit *oldest = NULL;

		for (size_t i = 0; i < l->nunits; i++)
			if (l->units[i] != keep && loaded(l->units[i]) &&
			    (!oldest || l->units[i]->used < oldest->used))
				oldest = l->units[i];
		if (!oldest)
			return;
		total -= loaded(oldest);
		gc_unit_shrink(oldest);
	}
}

/** @return NULL: damaged */
static struct gc_unit *unit_at(struct gc_lines *l, uint64_t offset, struct gc_error *err)
{
	struct gc_unit **list, *u;

	for (size_t i = l->nunits; i > 0; i--)
		if (l->units[i - 1]->offset == offset)
			return l->units[i - 1];
	list = realloc(l->units, (l->nunits + 1) * sizeof(*list));
	if (list)
		l->units = list;
	u = list ? malloc(sizeof(*u)) : NULL;
	if (!u) {
		gc_fail_memory(err);
		return NULL;
	}
	if (gc_unit_open(u, &l->dies, offset, err) != GC_OK) {
		free(u);
		return NULL;
	}
	l->units[l->nunits++] = u;
	return u;
}

/** @param frames  room for GC_MAX_INLINED */
static enum gc_code ask_unit(struct gc_lines *l, uint64_t offset, uint64_t pc, struct gc_line_frame *frames,
			     size_t *count, struct gc_error *err)
{
	struct gc_unit *u = unit_at(l, offset, err);
	enum gc_code code;

	if (!u)
		return err->code;
	u->used = ++l->clock;
	code = gc_unit_frames(u, &l->dies, &l->names, pc, frames, GC_MAX_INLINED, count, err);
	note_damage(l, &u->damage);
	shrink_others(l, u);
	return code;
}

/** All units that the index has for @pc, the nearest first. A frame with a function is better than one without. */
static enum gc_code ask_units(struct gc_lines *l, uint64_t pc, struct gc_line_frame *frames, size_t *count,
			      struct gc_error *err)
{
	uint64_t units[MAX_OVERLAPS];
	const size_t nunits = gc_unit_index_find(&l->index, pc, units, MAX_OVERLAPS);
	enum gc_code code = gc_fail(err, GC_E_NOT_FOUND, "no debug information for 0x%" PRIx64, pc);

	for (size_t i = 0; i < nunits; i++) {
		struct gc_error this_err = { .code = GC_OK };
		enum gc_code this_code = ask_unit(l, units[i], pc, frames, count, &this_err);

		if (this_code == GC_OK)
			return GC_OK;
		if (this_code == GC_E_NOT_FOUND)
			continue;
		note_damage(l, &this_err);
		code = this_code;
		if (err)
			*err = this_err;
	}
	return code;
}

/** .debug_aranges need not have all. @return false: this was done before */
static bool walk_units(struct gc_lines *l)
{
	struct gc_error why = { .code = GC_OK };

	if (l->walked)
		return false;
	l->walked = true;
	gc_unit_index_add_units(&l->index, &l->dies, &why);
	note_damage(l, &why);
	return true;
}

static enum gc_code ask(struct gc_lines *l, uint64_t pc, struct gc_line_frame *frames, size_t *count,
			struct gc_error *err)
{
	enum gc_code code = ask_units(l, pc, frames, count, err);

	return code != GC_OK && walk_units(l) ? ask_units(l, pc, frames, count, err) : code;
}

/* Answers of earlier runs. */

static bool cache_of(const struct gc_lines *l, struct gc_line_cache *out)
{
	if (!l->options || !l->options->cache_dir || l->image->build_id.len == 0)
		return false;
	*out = (struct gc_line_cache){ .dir = l->options->cache_dir, .image = l->image, .debug = l->debug };
	return true;
}

static void describe_supplement(struct gc_lines *l, struct gc_buf *out)
{
	gc_lines_open_files(l);
	gc_line_cache_supplement(out, l->needs_supplement, l->has_supplement ? &l->supplement_file : NULL);
}

/** Most need none. Then none of the sections is looked at to find that out again. */
static bool is_same_supplement(void *data, const char *supplement)
{
	struct gc_buf own = GC_BUF_INIT;
	bool same;

	if (supplement[0] == '\0')
		return true;
	describe_supplement(data, &own);
	same = !own.failed && strcmp(gc_buf_text(&own), supplement) == 0;
	gc_buf_deinit(&own);
	return same;
}

/** All answers, also those of earlier runs. */
static struct gc_answers *answers_of(struct gc_lines *l)
{
	struct gc_line_cache cache;

	if (!l->cache_read && cache_of(l, &cache))
		gc_answers_load(&l->answers, &cache, is_same_supplement, l);
	l->cache_read = true;
	return &l->answers;
}

/** @return NULL: out of memory */
static struct gc_answer *answer_at(struct gc_lines *l, uint64_t pc)
{
	return gc_answers_at(answers_of(l), pc);
}

/** That there is no debug information is an answer, too. */
static bool is_readable(const struct gc_lines *l)
{
	return (!l->opened || l->state == GC_OK || l->state == GC_E_NOT_FOUND) && l->damage.code == GC_OK;
}

static void write_cache(struct gc_lines *l)
{
	struct gc_buf supplement = GC_BUF_INIT;
	struct gc_line_cache cache;

	if (!l->answers.is_new || !is_readable(l) || !cache_of(l, &cache))
		return;
	describe_supplement(l, &supplement);
	if (!supplement.failed)
		gc_answers_save(&l->answers, &cache, gc_buf_text(&supplement));
	gc_buf_deinit(&supplement);
}

/* Symbols. */

bool gc_lines_recall_symbol(struct gc_lines *l, uint64_t pc, struct gc_table_symbol *out)
{
	const struct gc_answer *a = answer_at(l, pc);

	if (!a || !a->has_symbol)
		return false;
	*out = a->symbol;
	return true;
}

void gc_lines_remember_symbol(struct gc_lines *l, uint64_t pc, const struct gc_table_symbol *symbol)
{
	struct gc_answer *a = answer_at(l, pc);

	if (a)
		gc_answers_set_symbol(&l->answers, a, symbol);
}

bool gc_lines_recall_named(struct gc_lines *l, bool exports, const char *name, uint64_t *value)
{
	return gc_answers_named(answers_of(l), exports, name, value);
}

void gc_lines_remember_named(struct gc_lines *l, bool exports, const char *name, uint64_t value)
{
	gc_answers_add_named(answers_of(l), exports, name, value);
}

/* Frames. */

static enum gc_code find_frames(struct gc_lines *l, struct gc_answer *a, struct gc_error *err)
{
	struct gc_line_frame frames[GC_MAX_INLINED];
	size_t count = 0;
	enum gc_code code = make_ready(l, err);

	if (code == GC_OK)
		code = ask(l, a->pc, frames, &count, err);
	if (code == GC_E_MEMORY || (l->state != GC_OK && l->state != GC_E_NOT_FOUND))
		return code;
	if (!gc_answers_set_frames(&l->answers, a, frames, code == GC_OK ? count : 0))
		return gc_fail_memory(err);
	return code;
}

enum gc_code gc_lines_at(struct gc_lines *l, uint64_t pc, const struct gc_line_frame **frames, size_t *count,
			 struct gc_error *err)
{
	struct gc_answer *a = answer_at(l, pc);

	if (!a)
		return gc_fail_memory(err);
	if (!a->has_frames) {
		enum gc_code code = find_frames(l, a, err);

		if (code != GC_OK)
			return code;
	}
	if (a->count == 0)
		return gc_fail(err, GC_E_NOT_FOUND, "no debug information for 0x%" PRIx64, pc);
	*frames = a->frames;
	*count = a->count;
	return GC_OK;
}

/* Calls. */

/** A function that holds @pc, and its unit. @return false: none is known */
static bool find_function(struct gc_lines *l, uint64_t pc, struct gc_unit **unit, const struct gc_unit_function **out)
{
	uint64_t units[MAX_OVERLAPS];
	const size_t nunits = gc_unit_index_find(&l->index, pc, units, MAX_OVERLAPS);

	for (size_t i = 0; i < nunits; i++) {
		*unit = unit_at(l, units[i], NULL);
		if (*unit && gc_unit_function_at(*unit, &l->dies, pc, out, NULL) == GC_OK && *out)
			return true;
	}
	return false;
}

static const struct gc_call_sites *find_calls(struct gc_lines *l, uint64_t pc)
{
	const struct gc_unit_function *function;
	const struct gc_call_sites *known;
	struct gc_call_sites sites;
	struct gc_unit *unit;

	if (!find_function(l, pc, &unit, &function) && (!walk_units(l) || !find_function(l, pc, &unit, &function)))
		return NULL;
	known = gc_answers_calls(&l->answers, function->die);
	if (known || gc_call_sites_read(&sites, &l->dies, unit, function, NULL) != GC_OK)
		return known;
	return gc_answers_add_calls(&l->answers, &sites);
}

const struct gc_call_sites *gc_lines_calls(struct gc_lines *l, uint64_t pc)
{
	struct gc_answer *a = answer_at(l, pc);

	if (!a)
		return NULL;
	if (!a->has_calls && make_ready(l, NULL) == GC_OK)
		gc_answers_set_calls(&l->answers, a, find_calls(l, pc));
	return a->calls;
}

void gc_lines_free(struct gc_lines *l)
{
	if (!l)
		return;
	write_cache(l);
	gc_answers_deinit(&l->answers);
	for (size_t i = 0; i < l->nunits; i++) {
		gc_unit_close(l->units[i]);
		free(l->units[i]);
	}
	free(l->units);
	gc_function_names_deinit(&l->names);
	gc_unit_index_deinit(&l->index);
	gc_dwarf_close(l->dies.dwarf);
	gc_dwarf_close(l->supplement.dwarf);
	if (l->has_supplement)
		gc_elf_file_close(&l->supplement_file);
	free(l);
}
