#include "document/doc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gocore/buf.h"

#define MAX_TEXT (64U << 20)

json_t *gc_doc_object(struct gc_doc *d)
{
	json_t *object = json_object();

	if (!object)
		d->failed = true;
	return object;
}

json_t *gc_doc_array(struct gc_doc *d)
{
	json_t *array = json_array();

	if (!array)
		d->failed = true;
	return array;
}

void gc_doc_set(struct gc_doc *d, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new_nocheck(object, key, value) != 0)
		d->failed = true;
}

void gc_doc_set_filled(struct gc_doc *d, json_t *object, const char *key, json_t *value)
{
	if (value && json_array_size(value) + json_object_size(value) == 0)
		json_decref(value);
	else
		gc_doc_set(d, object, key, value);
}

void gc_doc_append(struct gc_doc *d, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value) != 0)
		d->failed = true;
}

/** Length of the well-formed UTF-8 sequence at @p of @left bytes (Unicode 15, table 3-7), 0 if it is none. */
static size_t utf8_len(const uint8_t *p, size_t left)
{
	size_t len = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3
		   : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
	    (*p == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/** @return NULL: out of memory */
static json_t *repaired(const char *text, size_t len)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + len;
	struct gc_buf b = GC_BUF_INIT;
	json_t *value;

	while (p < end) {
		size_t step = utf8_len(p, (size_t)(end - p));

		if (step)
			gc_buf_add(&b, p, step);
		else
			gc_buf_str(&b, "\xef\xbf\xbd");
		p += step ? step : 1;
	}
	value = b.failed ? NULL : json_stringn_nocheck(gc_buf_text(&b), b.len);
	gc_buf_deinit(&b);
	return value;
}

/** Is there room for @len more bytes of text? Says so once if there is not. */
static bool has_room(struct gc_doc *d, size_t len)
{
	if (len <= MAX_TEXT - d->text) {
		d->text += len;
		return true;
	}
	if (d->text < MAX_TEXT)
		gc_problem(&d->problems, "document", "more than %u bytes of text: some of it is left out", MAX_TEXT);
	d->text = MAX_TEXT;
	return false;
}

static json_t *new_string(const char *text, size_t len)
{
	json_t *value = json_stringn(text, len); /* NULL also for what is no UTF-8 */

	return value ? value : repaired(text, len);
}

void gc_doc_strn(struct gc_doc *d, json_t *object, const char *key, const char *text, size_t len)
{
	if (has_room(d, len))
		gc_doc_set(d, object, key, new_string(text, len));
}

void gc_doc_str(struct gc_doc *d, json_t *object, const char *key, const char *text)
{
	if (text)
		gc_doc_strn(d, object, key, text, strlen(text));
}

void gc_doc_add_str(struct gc_doc *d, json_t *array, const char *text)
{
	size_t len = strlen(text);

	if (has_room(d, len))
		gc_doc_append(d, array, new_string(text, len));
}

void gc_doc_hex(struct gc_doc *d, json_t *object, const char *key, uint64_t value)
{
	char text[18], *p = text + sizeof(text);

	do /* there are thousands of these: snprintf would be half of their cost */
		*--p = "0123456789abcdef"[value & 15];
	while (value >>= 4);
	*--p = 'x';
	*--p = '0';
	gc_doc_set(d, object, key, json_stringn_nocheck(p, (size_t)(text + sizeof(text) - p)));
}

void gc_doc_int(struct gc_doc *d, json_t *object, const char *key, int64_t value)
{
	gc_doc_set(d, object, key, json_integer(value));
}

void gc_doc_size(struct gc_doc *d, json_t *object, const char *key, uint64_t value)
{
	if (value <= INT64_MAX)
		gc_doc_int(d, object, key, (int64_t)value);
}

void gc_doc_bool(struct gc_doc *d, json_t *object, const char *key, bool value)
{
	gc_doc_set(d, object, key, json_boolean(value));
}

void gc_doc_build_id(struct gc_doc *d, json_t *object, const struct gc_build_id *id)
{
	char hex[2 * GC_BUILD_ID_MAX + 1];

	if (!id->len)
		return;
	gc_build_id_hex(id, hex);
	gc_doc_str(d, object, "build_id", hex);
}

const char *gc_doc_program(const struct gc_process *p)
{
	const struct gc_image *image = gc_images_program(&p->images);

	return image && image->file ? image->found_path : gc_process_exe(p);
}

const char *gc_doc_class(enum gc_range_class what)
{
	switch (what) {
	case GC_RANGE_DUMPED:
		return "dumped";
	case GC_RANGE_RECOVERED:
		return "recovered";
	case GC_RANGE_ABSENT:
		return "missing";
	case GC_RANGE_CUT:
		return "truncated";
	}
	return NULL;
}

json_t *gc_doc_begin(struct gc_doc *d, const char *kind, const char *core, const char *program,
		     const struct gc_arch *arch)
{
	json_t *root = gc_doc_object(d);
	char schema[64];

	snprintf(schema, sizeof(schema), "gocore-stub/%s/1", kind);
	gc_doc_str(d, root, "schema", schema);
	gc_doc_str(d, root, "core", core);
	gc_doc_str(d, root, "program", program);
	gc_doc_str(d, root, "arch", arch ? arch->name : NULL);
	return root;
}

static void add_problems(struct gc_doc *d, json_t *array, const struct gc_problems *problems)
{
	for (size_t i = 0; i < problems->count; i++) {
		json_t *problem = gc_doc_object(d);

		gc_doc_str(d, problem, "where", problems->list[i].where);
		gc_doc_str(d, problem, "what", problems->list[i].what);
		gc_doc_append(d, array, problem);
	}
}

/** The lists of problems are capped; say so rather than seem complete. */
static void add_dropped(struct gc_doc *d, json_t *array, size_t dropped)
{
	struct gc_problems more = { .list = NULL };

	if (!dropped)
		return;
	gc_problem(&more, "problems", "%zu more are not listed", dropped);
	add_problems(d, array, &more);
	gc_problems_deinit(&more);
}

json_t *gc_doc_end(struct gc_doc *d, json_t *root)
{
	json_t *array = gc_doc_array(d);
	size_t dropped = d->problems.dropped;

	if (d->p) {
		add_problems(d, array, &d->p->core.problems);
		add_problems(d, array, &d->p->problems);
		dropped += d->p->core.problems.dropped + d->p->problems.dropped;
	}
	add_problems(d, array, &d->problems);
	add_dropped(d, array, dropped);
	gc_doc_set(d, root, "problems", array);
	gc_doc_names_free(d);
	gc_problems_deinit(&d->problems);
	if (!d->failed)
		return root;
	json_decref(root);
	return NULL;
}
