/* Lines of all images of a process, for its unwinder. */
#include <stdlib.h>

#include "gocore/file_cache.h"

#include "sym/lines_calls.h"
#include "sym/process_lines.h"
#include "sym/symbol_memory.h"

static bool recall(void *data, const struct gc_image *image, uint64_t pc, struct gc_table_symbol *out)
{
	struct gc_lines *lines = gc_process_lines_of(data, image)->lines;

	return lines && gc_lines_recall_symbol(lines, pc, out);
}

static void remember(void *data, const struct gc_image *image, uint64_t pc, const struct gc_table_symbol *symbol)
{
	struct gc_lines *lines = gc_process_lines_of(data, image)->lines;

	if (lines)
		gc_lines_remember_symbol(lines, pc, symbol);
}

static bool recall_named(void *data, const struct gc_image *image, bool exports, const char *name, uint64_t *value)
{
	struct gc_lines *lines = gc_process_lines_of(data, image)->lines;

	return lines && gc_lines_recall_named(lines, exports, name, value);
}

static void remember_named(void *data, const struct gc_image *image, bool exports, const char *name, uint64_t value)
{
	struct gc_lines *lines = gc_process_lines_of(data, image)->lines;

	if (lines)
		gc_lines_remember_named(lines, exports, name, value);
}

enum gc_code gc_process_lines_new(struct gc_process_lines **out, const struct gc_process *p,
				  struct gc_symbols *symbols, const struct gc_find_options *options,
				  struct gc_problems *problems, struct gc_error *err)
{
	struct gc_symbol_memory memory = {
		.recall = recall, .remember = remember, .recall_named = recall_named, .remember_named = remember_named,
	};
	struct gc_process_lines *l = calloc(1, sizeof(*l));

	if (l)
		l->images = calloc(p->images.count + 1, sizeof(*l->images));
	if (!l || !l->images) {
		free(l);
		return gc_fail_memory(err);
	}
	l->p = p;
	l->symbols = symbols;
	l->options = options;
	l->problems = problems;
	memory.data = l;
	gc_symbols_set_memory(symbols, &memory);
	*out = l;
	return GC_OK;
}

static struct gc_kept *kept_of(const struct gc_image *image)
{
	return image->file ? image->file->kept : NULL;
}

void gc_process_lines_free(struct gc_process_lines *l)
{
	if (!l)
		return;
	gc_symbols_set_memory(l->symbols, NULL);
	for (size_t i = 0; i < l->p->images.count; i++)
		if (!kept_of(&l->p->images.list[i]))
			gc_lines_free(l->images[i].lines);
	free(l->images);
	free(l);
}

static void free_kept(void *lines)
{
	gc_lines_free(lines);
}

/** What earlier processes read of a file that is kept. */
static void open_lines(struct gc_process_lines *l, struct image_lines *i, const struct gc_image *image)
{
	struct gc_kept *kept = kept_of(image);

	if (kept && kept->lines) {
		i->lines = kept->lines;
		return;
	}
	gc_lines_new(&i->lines, image->file, gc_symbols_debug_file(l->symbols, image), l->options, NULL);
	if (kept) {
		kept->lines = i->lines;
		kept->free_lines = free_kept;
	}
}

struct image_lines *gc_process_lines_of(struct gc_process_lines *l, const struct gc_image *image)
{
	struct image_lines *i = &l->images[image - l->p->images.list];

	if (!i->opened && image->file)
		open_lines(l, i, image);
	i->opened = true;
	return i;
}

void gc_process_lines_open_files(struct gc_process_lines *l)
{
	for (size_t i = 0; i < l->p->images.count; i++) {
		struct image_lines *lines = gc_process_lines_of(l, &l->p->images.list[i]);

		if (lines->lines)
			gc_lines_open_files(lines->lines);
	}
}

static void tell(struct gc_process_lines *l, struct image_lines *i, const struct gc_image *image)
{
	const char *damage = i->told ? NULL : gc_lines_damage(i->lines);

	if (!damage)
		return;
	i->told = true;
	gc_problem(l->problems, image->path, "debug information: %s", damage);
}

enum gc_code gc_process_lines_frames(void *lines, const struct gc_frame *frame, struct gc_frames *out,
				     struct gc_error *err)
{
	struct gc_process_lines *l = lines;
	const struct gc_image *image = frame->image;
	const struct gc_line_frame *list;
	struct image_lines *i;
	uint64_t pc = frame->pc - (frame->exact ? 0 : 1);
	enum gc_code code;
	size_t count;

	if (!image || !image->has_bias)
		return gc_fail(err, GC_E_NOT_FOUND, "no image");
	i = gc_process_lines_of(l, image);
	if (!i->lines)
		return gc_fail(err, GC_E_NOT_FOUND, "no file");
	code = gc_lines_at(i->lines, pc - image->bias, &list, &count, err);
	tell(l, i, image);
	for (size_t n = 0; code == GC_OK && n < count; n++) {
		struct gc_frame f = *frame;

		f.function = list[n].function ? list[n].function : frame->function;
		f.file = list[n].file;
		f.line = list[n].line;
		f.inlined = list[n].inlined;
		code = gc_frames_add(out, &f, err);
	}
	return code;
}
