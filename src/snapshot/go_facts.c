/* What documents say of a Go program as a whole: what it is and what it died of. */
#include "snapshot/go_facts.h"

void gc_snap_go(struct gc_doc *d, json_t *root, const struct gc_buildinfo *info)
{
	json_t *go = gc_doc_object(d);

	if (info) {
		gc_doc_str(d, go, "version", info->version);
		if (info->has_main && info->main.path && *info->main.path)
			gc_doc_str(d, go, "module", info->main.path);
		else if (info->path && *info->path)
			gc_doc_str(d, go, "path", info->path);
	}
	gc_doc_set_filled(d, root, "go", go);
}

void gc_snap_panics(struct gc_doc *d, json_t *root, const struct gc_go_panics *panics)
{
	json_t *array = gc_doc_array(d);

	gc_doc_str(d, root, "fatal_error", panics->fatal);
	for (size_t i = 0; i < panics->count; i++) {
		const struct gc_go_panic *panic = &panics->list[i];
		json_t *object = gc_doc_object(d);

		gc_doc_str(d, object, "type", panic->type);
		gc_doc_str(d, object, "text", panic->text);
		gc_doc_bool(d, object, "recovered", panic->recovered);
		gc_doc_bool(d, object, "goexit", panic->goexit);
		if (panic->repanicked)
			gc_doc_bool(d, object, "repanicked", true);
		gc_doc_append(d, array, object);
	}
	gc_doc_set_filled(d, root, "panics", array);
}

void gc_snap_caught(struct gc_doc *d, json_t *root, struct gc_go *go)
{
	struct gc_go_caught caught;
	json_t *signal;

	if (!gc_go_caught_read(go, &caught))
		return;
	signal = gc_doc_siginfo(d, &caught.info);
	gc_doc_hex(d, signal, "pc", caught.pc);
	gc_doc_int(d, signal, "tid", caught.m->tid);
	gc_doc_set(d, root, "caught_signal", signal);
}
