/* Document "goroutines": all but the list itself is made as JSON values, the list is written as it comes. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "document/doc.h"

#include "snapshot/go_facts.h"
#include "snapshot/goroutines_private.h"

/* Frames at one pc differ in their sp alone, so their JSON is made once. */
#define MAX_TAILS 262144

struct json_writer {
	struct gc_doc doc;
	struct gc_intern tails; /* struct tail_key */
	struct gc_buf text;     /* of all tails */
	size_t *ends, cap;      /* of tail i: text up to ends[i] */
	struct gc_buf scratch;
	struct goroutine_groups groups;
	bool more;              /* this is not the first element */
};

struct tail_key {
	uint64_t pc, entry;
	const char *function, *file;
	const struct gc_image *image;
	uint32_t line;
	uint8_t how, inlined, creator, zero; /* no padding: it is compared as bytes */
};

static int append(const char *bytes, size_t len, void *data)
{
	gc_buf_add(data, bytes, len);
	return 0;
}

/** Without the braces at its ends, and what stands between them and the first and last value. */
static enum gc_code dump_inner(json_t *object, size_t flags, struct gc_buf *scratch, struct gc_buf *out,
			       struct gc_error *err)
{
	size_t cut = flags & JSON_COMPACT ? 1 : 2; /* "}" or "\n}" */

	gc_buf_clear(scratch);
	if (!object || json_dump_callback(object, append, scratch, flags) != 0 || scratch->failed ||
	    scratch->len < 1 + cut)
		return gc_fail_memory(err);
	gc_buf_add(out, scratch->data + 1, scratch->len - 1 - cut);
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

/* Frames */

static void add_module(struct gc_doc *d, json_t *object, const struct gc_frame *frame)
{
	gc_doc_str(d, object, "module", frame->image->path);
	gc_doc_build_id(d, object, &frame->image->build_id);
	if (frame->image->has_bias)
		gc_doc_hex(d, object, "module_offset", frame->pc - frame->image->bias);
}

/** All of a frame but pc and sp; of a creator only where it is in the source. */
static json_t *tail_of(struct gc_doc *d, const struct gc_frame *frame, bool creator)
{
	json_t *object = gc_doc_object(d);

	gc_doc_str(d, object, "function", frame->function);
	if (!creator && frame->entry && !frame->inlined && frame->pc >= frame->entry)
		gc_doc_size(d, object, "offset", frame->pc - frame->entry);
	gc_doc_str(d, object, "file", frame->file);
	if (frame->line)
		gc_doc_int(d, object, "line", frame->line);
	if (creator)
		return object;
	if (frame->inlined)
		gc_doc_bool(d, object, "inlined", true);
	if (frame->image)
		add_module(d, object, frame);
	gc_doc_str(d, object, "how", gc_frame_how_name(frame->how));
	return object;
}

static enum gc_code new_tail(struct json_writer *w, const struct gc_frame *frame, bool creator, size_t index,
			     struct gc_error *err)
{
	json_t *object = tail_of(&w->doc, frame, creator);
	enum gc_code code = GC_OK;

	if (w->doc.failed || !gc_intern_room(&w->ends, &w->cap, index, sizeof(*w->ends)))
		code = gc_fail_memory(err);
	else if (json_object_size(object))
		code = dump_inner(object, JSON_COMPACT, &w->scratch, &w->text, err);
	json_decref(object);
	if (code == GC_OK)
		w->ends[index] = w->text.len;
	return code;
}

static enum gc_code put_tail(struct json_writer *w, struct gc_buf *out, const struct gc_frame *frame, bool creator,
			     struct gc_error *err)
{
	const struct tail_key key = {
		.pc = frame->pc, .entry = frame->entry, .function = frame->function, .file = frame->file,
		.image = frame->image, .line = frame->line, .how = (uint8_t)frame->how,
		.inlined = frame->inlined, .creator = creator,
	};
	size_t index, before, start;
	enum gc_code code;

	if (w->tails.count >= MAX_TAILS) {
		gc_intern_clear(&w->tails);
		gc_buf_clear(&w->text);
	}
	before = w->tails.count;
	code = gc_intern(&w->tails, &key, sizeof(key), &index, err);
	if (code == GC_OK && index == before)
		code = new_tail(w, frame, creator, index, err);
	if (code != GC_OK)
		return code;
	start = index ? w->ends[index - 1] : 0;
	gc_buf_add(out, w->text.data + start, w->ends[index] - start);
	return GC_OK;
}

/** @param same the frames are those of many goroutines, which differ in sp */
static enum gc_code put_frames(struct json_writer *w, struct gc_buf *out, const struct goroutine_view *view,
			       bool same, struct gc_error *err)
{
	gc_buf_str(out, ",\"frames\":[");
	for (size_t i = 0; i < view->nframes; i++) {
		const struct gc_frame *frame = &view->frames[i];
		enum gc_code code;

		gc_buf_str(out, i ? ",{\"pc\":\"" : "{\"pc\":\"");
		put_hex(out, frame->pc);
		if (!same) {
			gc_buf_str(out, "\",\"sp\":\"");
			put_hex(out, frame->sp);
		}
		gc_buf_str(out, "\",");
		code = put_tail(w, out, frame, false, err);
		if (code != GC_OK)
			return code;
		gc_buf_char(out, '}');
	}
	gc_buf_char(out, ']');
	return GC_OK;
}

/* Goroutines */

static void put_number(struct gc_buf *out, const char *key, uint64_t value)
{
	if (!value || value > INT64_MAX)
		return;
	gc_buf_str(out, ",\"");
	gc_buf_str(out, key);
	gc_buf_str(out, "\":");
	put_uint(out, value);
}

/** Status names and wait reasons are the runtime's; neither needs escapes, since unknown ones are not served. */
static void put_state(struct gc_buf *out, const struct gc_goroutine *g)
{
	gc_buf_str(out, "\"status\":\"");
	gc_buf_str(out, gc_go_status_name(g->status));
	gc_buf_char(out, '"');
	if (!g->wait_reason)
		return;
	gc_buf_str(out, ",\"wait_reason\":\"");
	gc_buf_str(out, g->wait_reason);
	gc_buf_char(out, '"');
}

static enum gc_code put_creator(struct json_writer *w, struct goroutines *g, const struct gc_goroutine *goroutine,
				bool same, struct gc_error *err)
{
	struct gc_frame creator;
	size_t before;
	enum gc_code code;

	if (!gc_go_created_by(g->go, goroutine, &creator))
		return GC_OK;
	gc_buf_str(&g->out, ",\"created_by\":{");
	before = g->out.len;
	code = put_tail(w, &g->out, &creator, true, err);
	if (code == GC_OK && goroutine->parent && goroutine->parent <= INT64_MAX && !same) {
		gc_buf_str(&g->out, before < g->out.len ? ",\"goid\":" : "\"goid\":");
		put_uint(&g->out, goroutine->parent);
	}
	gc_buf_char(&g->out, '}');
	return code;
}

/** Keys are as little to be trusted as values. */
static void add_label(struct gc_doc *d, json_t *object, const struct gc_go_label *label)
{
	json_t *repaired = gc_doc_object(d);
	const char *key;

	gc_doc_str(d, repaired, "key", label->key);
	key = json_string_value(json_object_get(repaired, "key"));
	if (key)
		gc_doc_str(d, object, key, label->value);
	json_decref(repaired);
}

static enum gc_code put_labels(struct json_writer *w, struct goroutines *g, const struct gc_goroutine *goroutine,
			       struct gc_error *err)
{
	struct gc_go_labels labels;
	struct gc_error why;
	json_t *object;
	enum gc_code code = goroutine->labels ? gc_go_labels(g->go, goroutine, &labels, &why) : GC_E_NOT_FOUND;

	if (code != GC_OK)
		return code == GC_E_MEMORY ? gc_fail_memory(err) : GC_OK;
	w->doc.text = 0; /* it limits what is in memory at once */
	object = gc_doc_object(&w->doc);
	for (size_t i = 0; i < labels.count; i++)
		add_label(&w->doc, object, &labels.list[i]);
	gc_go_labels_deinit(&labels);
	if (json_object_size(object)) {
		gc_buf_str(&g->out, ",\"labels\":{");
		code = dump_inner(object, JSON_COMPACT, &w->scratch, &g->out, err);
		gc_buf_char(&g->out, '}');
	}
	json_decref(object);
	return code;
}

static void next_element(struct json_writer *w, struct gc_buf *out)
{
	gc_buf_str(out, w->more ? ",\n    {" : "\n    {");
	w->more = true;
}

static enum gc_code add_json(void *writer, struct goroutines *g, const struct goroutine_view *view,
			     struct gc_error *err)
{
	const struct gc_goroutine *goroutine = view->g;
	struct json_writer *w = writer;
	enum gc_code code;

	next_element(w, &g->out);
	gc_buf_str(&g->out, "\"goid\":");
	put_uint(&g->out, goroutine->goid);
	gc_buf_char(&g->out, ',');
	put_state(&g->out, goroutine);
	put_number(&g->out, "wait_minutes", goroutine->wait_minutes);
	put_number(&g->out, "locked_tid", (uint64_t)gc_go_locked_tid(g->go, goroutine));
	put_number(&g->out, "tid", (uint64_t)gc_go_tid(g->go, goroutine));
	if (goroutine == g->crashed)
		gc_buf_str(&g->out, ",\"crashed\":true");
	code = put_creator(w, g, goroutine, false, err);
	if (code == GC_OK)
		code = put_labels(w, g, goroutine, err);
	if (code == GC_OK)
		code = put_frames(w, &g->out, view, false, err);
	gc_buf_char(&g->out, '}');
	return code;
}

/* Groups */

static enum gc_code add_to_group(void *writer, struct goroutines *g, const struct goroutine_view *view,
				 struct gc_error *err)
{
	struct json_writer *w = writer;

	(void)g;
	return goroutine_groups_add(&w->groups, view, true, err);
}

static void put_goids(struct gc_buf *out, const struct gc_buf *goids)
{
	gc_buf_str(out, ",\"goids\":[");
	for (size_t at = 0; at < goids->len; at += sizeof(uint64_t)) {
		uint64_t goid;

		memcpy(&goid, goids->data + at, sizeof(goid));
		if (at)
			gc_buf_char(out, ',');
		put_uint(out, goid);
	}
	gc_buf_char(out, ']');
}

static enum gc_code put_group(struct json_writer *w, struct goroutines *g, const struct goroutine_group *group,
			      struct gc_error *err)
{
	enum gc_code code;

	next_element(w, &g->out);
	gc_buf_str(&g->out, "\"count\":");
	put_uint(&g->out, group->count);
	gc_buf_char(&g->out, ',');
	put_state(&g->out, group->first.g);
	put_number(&g->out, "min_wait_minutes", group->max_minutes ? group->min_minutes : 0);
	put_number(&g->out, "max_wait_minutes", group->max_minutes);
	code = put_creator(w, g, group->first.g, true, err);
	if (code == GC_OK)
		code = put_frames(w, &g->out, &group->first, true, err);
	put_goids(&g->out, &group->goids);
	gc_buf_char(&g->out, '}');
	return code == GC_OK ? goroutines_flush(g, err) : code;
}

/* The document */

static enum gc_code begin(struct json_writer *w, struct goroutines *g, const char *list, struct gc_error *err)
{
	struct gc_doc *d = &w->doc;
	enum gc_code code;
	json_t *root;

	d->p = g->p;
	root = gc_doc_begin(d, "goroutines", g->p->core.input.path, gc_doc_program(g->p), g->p->core.arch);
	gc_snap_go(d, root, gc_go_buildinfo(g->go));
	if (g->crashed)
		gc_doc_size(d, root, "crashed_goid", g->crashed->goid);
	gc_snap_panics(d, root, &g->panics);
	gc_snap_caught(d, root, g->go);
	gc_buf_char(&g->out, '{');
	code = d->failed ? gc_fail_memory(err) : dump_inner(root, JSON_INDENT(2), &w->scratch, &g->out, err);
	json_decref(root);
	gc_buf_printf(&g->out, ",\n  \"%s\": [", list);
	return code;
}

static enum gc_code begin_list(void *writer, struct goroutines *g, struct gc_error *err)
{
	return begin(writer, g, "goroutines", err);
}

static enum gc_code begin_groups(void *writer, struct goroutines *g, struct gc_error *err)
{
	return begin(writer, g, "groups", err);
}

static enum gc_code end_list(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct json_writer *w = writer;
	enum gc_code code;
	json_t *root;

	for (size_t i = 0; i < g->problems->count; i++)
		gc_problem(&w->doc.problems, g->problems->list[i].where, "%s", g->problems->list[i].what);
	w->doc.problems.dropped += g->problems->dropped;
	root = gc_doc_end(&w->doc, gc_doc_object(&w->doc));
	gc_buf_str(&g->out, w->more ? "\n  ]," : "],");
	code = dump_inner(root, JSON_INDENT(2), &w->scratch, &g->out, err);
	json_decref(root);
	gc_buf_str(&g->out, "\n}\n");
	return code;
}

static enum gc_code end_groups(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct json_writer *w = writer;
	enum gc_code code = GC_OK;

	goroutine_groups_sort(&w->groups);
	for (size_t i = 0; i < w->groups.count && code == GC_OK; i++)
		code = put_group(w, g, &w->groups.list[i], err);
	return code == GC_OK ? end_list(w, g, err) : code;
}

static void deinit(void *writer)
{
	struct json_writer *w = writer;

	gc_problems_deinit(&w->doc.problems);
	gc_doc_names_free(&w->doc);
	gc_intern_deinit(&w->tails);
	gc_buf_deinit(&w->text);
	gc_buf_deinit(&w->scratch);
	goroutine_groups_deinit(&w->groups);
	free(w->ends);
}

const struct goroutines_writer goroutines_json = {
	begin_list, add_json, end_list, deinit, sizeof(struct json_writer),
};
const struct goroutines_writer goroutines_json_groups = {
	begin_groups, add_to_group, end_groups, deinit, sizeof(struct json_writer),
};
