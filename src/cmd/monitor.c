#include "cmd/monitor.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "document/doc.h"
#include "gocore/document.h"
#include "gocore/go_target.h"
#include "gocore/signature.h"

static enum gc_code add_document(json_t *document, void (*text)(const json_t *, struct gc_buf *),
				 struct gc_buf *out, struct gc_error *err)
{
	if (!document)
		return gc_fail_memory(err);
	text(document, out);
	json_decref(document);
	return GC_OK;
}

static enum gc_code monitor_info(struct gc_target *t, const char *args, struct gc_buf *out,
				 struct gc_error *err)
{
	(void)args;
	return add_document(gc_info_core(t->process), gc_info_text, out, err);
}

static enum gc_code monitor_maps(struct gc_target *t, const char *args, struct gc_buf *out,
				 struct gc_error *err)
{
	uint64_t addr;
	char *end;

	if (!*args)
		return add_document(gc_maps(t->process, NULL, 0), gc_maps_text, out, err);
	errno = 0;
	addr = strtoull(args, &end, 16);
	if (errno || end == args || *end || !isxdigit((unsigned char)*args))
		return gc_fail(err, GC_E_USAGE, "%s: not an address", args);
	return add_document(gc_maps(t->process, &addr, 1), gc_maps_text, out, err);
}

/** A document with only some keys of `info`, rendered by the same text. */
static enum gc_code monitor_part(struct gc_target *t, const char *key, struct gc_buf *out, struct gc_error *err)
{
	json_t *info = gc_info_core(t->process);
	json_t *part = json_object();

	if (!info || !part || json_object_set(part, key, json_object_get(info, key)) != 0) {
		json_decref(info);
		json_decref(part);
		return gc_fail_memory(err);
	}
	json_decref(info);
	return add_document(part, gc_info_text, out, err);
}

static enum gc_code monitor_images(struct gc_target *t, const char *args, struct gc_buf *out,
				   struct gc_error *err)
{
	(void)args;
	return monitor_part(t, "images", out, err);
}

static enum gc_code monitor_notes(struct gc_target *t, const char *args, struct gc_buf *out,
				  struct gc_error *err)
{
	(void)args;
	return monitor_part(t, "notes", out, err);
}

static void add_go_problems(struct gc_doc *d, const struct gc_problems *go, json_t *list)
{
	for (size_t i = 0; go && i < go->count; i++) {
		json_t *problem = gc_doc_object(d);

		gc_doc_str(d, problem, "where", go->list[i].where);
		gc_doc_str(d, problem, "what", go->list[i].what);
		gc_doc_append(d, list, problem);
	}
}

/** Those of the process and those of its Go runtime. */
static enum gc_code monitor_problems(struct gc_target *t, const char *args, struct gc_buf *out,
				     struct gc_error *err)
{
	json_t *info = gc_info_core(t->process), *part, *list;
	struct gc_doc d = { .p = NULL };

	(void)args;
	part = gc_doc_object(&d);
	list = gc_doc_array(&d);
	d.failed |= !info || json_array_extend(list, json_object_get(info, "problems")) != 0;
	json_decref(info);
	add_go_problems(&d, gc_go_target_problems(t), list);
	if (!d.failed && json_array_size(list) == 0)
		gc_buf_str(out, "no problems\n");
	gc_doc_set(&d, part, "problems", list);
	if (!d.failed)
		return add_document(part, gc_info_text, out, err);
	json_decref(part);
	return gc_fail_memory(err);
}

static void add_text(struct gc_buf *out, const char *label, const char *text)
{
	if (text)
		gc_buf_printf(out, "%-8s %s\n", label, text);
}

static void signature_text(const struct gc_signature *s, struct gc_buf *out)
{
	add_text(out, "exact", s->exact);
	add_text(out, "top", s->top);
	add_text(out, "site", s->site);
	for (size_t i = 0; i < s->nskipped; i++)
		add_text(out, i ? "" : "skipped", s->skipped[i]);
	if (out->data)
		gc_defuse(out->data);
}

static enum gc_code monitor_signature(struct gc_target *t, const char *args, struct gc_buf *out,
				      struct gc_error *err)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_stack_tools tools;
	struct gc_signature signature;
	struct gc_crash crash;
	enum gc_code code = gc_stack_tools_open(&tools, t->process, NULL, &problems, err);

	(void)args;
	if (code != GC_OK)
		return code;
	code = gc_crash_find(&crash, &tools, &problems, err);
	if (code == GC_OK) {
		code = gc_signature_of(&signature, &crash, &tools, err);
		if (code == GC_OK) {
			signature_text(&signature, out);
			gc_signature_deinit(&signature);
		}
		gc_crash_deinit(&crash);
	}
	gc_stack_tools_close(&tools);
	gc_problems_deinit(&problems);
	return code;
}

const struct gc_monitor monitor_commands[] = {
	{ "info", NULL, "what the core is: crash, threads, memory, images", monitor_info },
	{ "goroutines", "[GOID|-group]", "all goroutines; the stack of one; equal ones joined", monitor_goroutines },
	{ "maps", "[ADDR]", "the memory map; what is at or near ADDR", monitor_maps },
	{ "images", NULL, "the program and libraries, and whether each was found", monitor_images },
	{ "notes", NULL, "the notes of the core", monitor_notes },
	{ "signature", NULL, "what tells this crash from others, to find it among many", monitor_signature },
	{ "problems", NULL, "what is damaged, missing or doubtful", monitor_problems },
};

const size_t monitor_command_count = GC_COUNT(monitor_commands);
