/* One core as one line. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document/doc.h"
#include "document/signature.h"
#include "gocore/buildinfo.h"
#include "gocore/bytes.h"
#include "gocore/signature.h"
#include "gocore/triage.h"
#include "triage/collector.h"
#include "triage/timings.h"

/* What a line shows of a stack, and of the goroutines. All of them are in `snapshot` and `goroutines`. */
#define MAX_SHOWN_FRAMES 64
#define MAX_SHOWN_GROUPS 16
#define MAX_GROUP_FRAMES 16

/* Problems of a damaged core repeat themselves. */
#define MAX_SHOWN_PROBLEMS 20

struct gc_triage_reader {
	const struct gc_find_options *find;
	int scratch;
	bool timings;
};

/** A line while it is made. */
struct line {
	struct gc_doc d;
	struct gc_process p;
	struct gc_stack_tools tools;
	struct gc_crash crash;
	struct gc_signature signature;
	struct gc_wait_groups groups;
	struct triage_timings timings;
};

struct gc_triage_reader *gc_triage_reader_new(const struct gc_find_options *find, int scratch, bool timings)
{
	struct gc_triage_reader *reader = calloc(1, sizeof(*reader));

	if (reader)
		*reader = (struct gc_triage_reader){ .find = find, .scratch = scratch, .timings = timings };
	return reader;
}

void gc_triage_reader_free(struct gc_triage_reader *reader)
{
	free(reader);
}

/* Identity. */

static void format_mtime(const struct gc_core_identity *id, char out[40])
{
	snprintf(out, 40, "%" PRId64 ".%09" PRIu32, id->mtime_s, id->mtime_ns);
}

bool gc_triage_identity(const json_t *line, struct gc_buf *out)
{
	const json_t *size = json_object_get(line, "size"), *inode = json_object_get(line, "inode");
	const char *mtime = json_string_value(json_object_get(line, "mtime"));
	const char *core = json_string_value(json_object_get(line, "core"));

	if (!json_is_integer(size) || !json_is_integer(inode) || !mtime || !core)
		return false;
	gc_buf_printf(out, "%" JSON_INTEGER_FORMAT " %" JSON_INTEGER_FORMAT " %s %s", json_integer_value(size),
		      json_integer_value(inode), mtime, core);
	return true;
}

static void add_identity(struct gc_doc *d, json_t *root, const struct gc_core_identity *id)
{
	char mtime[40];

	format_mtime(id, mtime);
	gc_doc_size(d, root, "size", id->size);
	gc_doc_size(d, root, "inode", id->inode);
	gc_doc_str(d, root, "mtime", mtime);
}

/** By way of JSON, which cannot hold every path as it is. */
bool gc_triage_identity_of(const struct gc_core_identity *id, struct gc_buf *out)
{
	struct gc_doc d = { .p = NULL };
	json_t *line = gc_doc_object(&d);
	bool ok;

	gc_doc_str(&d, line, "core", id->path);
	add_identity(&d, line, id);
	ok = !d.failed && gc_triage_identity(line, out);
	json_decref(line);
	return ok;
}

/** When the process died: nothing in a core tells, but whoever collected it, or else the time of the file. */
static void add_time(struct gc_doc *d, json_t *root, const struct gc_core_identity *id)
{
	const bool is_there = id->inode || id->mtime_s || id->mtime_ns;

	if (!triage_add_collected(d, root, id->path) && is_there)
		triage_add_time(d, root, id->mtime_s);
}

void gc_triage_elapsed(json_t *line, double seconds)
{
	/* three digits behind the point: more would only be noise */
	json_object_set_new(line, "elapsed_ms", json_real((double)(int64_t)(seconds * 1e6 + 0.5) / 1e3));
}

json_t *gc_triage_failed(const struct gc_core_identity *id, enum gc_triage_failure why, const char *text)
{
	static const char *const kinds[] = {
		[GC_TRIAGE_UNUSABLE] = "unusable",
		[GC_TRIAGE_TIMEOUT] = "timeout",
		[GC_TRIAGE_MEMORY] = "memory",
		[GC_TRIAGE_DIED] = "died",
	};
	struct gc_doc d = { .p = NULL };
	json_t *root = gc_doc_begin(&d, "triage", id->path, NULL, NULL), *error = gc_doc_object(&d);

	add_identity(&d, root, id);
	add_time(&d, root, id);
	gc_doc_str(&d, error, "kind", kinds[why]);
	gc_doc_str(&d, error, "text", text);
	gc_doc_set(&d, root, "error", error);
	gc_problem(&d.problems, "core", "%s", text);
	return gc_doc_end(&d, root);
}

/* Stacks. */

static json_t *frame_of(struct gc_doc *d, const struct gc_frame *frame)
{
	json_t *object = gc_doc_object(d);

	gc_doc_str(d, object, "function", frame->function);
	gc_doc_str(d, object, "file", frame->file);
	if (frame->line)
		gc_doc_int(d, object, "line", frame->line);
	if (frame->inlined)
		gc_doc_bool(d, object, "inlined", true);
	if (frame->image) {
		gc_doc_str(d, object, "module", frame->image->path);
		if (frame->image->has_bias)
			gc_doc_hex(d, object, "module_offset", frame->pc - frame->image->bias);
	}
	return object;
}

static json_t *frames_of(struct gc_doc *d, const struct gc_frames *frames)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < frames->count && i < MAX_SHOWN_FRAMES; i++)
		gc_doc_append(d, array, frame_of(d, &frames->list[i]));
	return array;
}

/** The function that the fault is in: the first that is not skipped. A thread that was idle has none. */
static void add_place(struct line *l, json_t *object)
{
	const struct gc_frames *frames = &l->crash.frames;
	const struct gc_frame *frame = l->signature.first < frames->count ? &frames->list[l->signature.first] : NULL;

	if (!frame || l->signature.kind == GC_SIGNATURE_GOROUTINES)
		return;
	gc_doc_str(&l->d, object, "function", frame->function);
	gc_doc_str(&l->d, object, "file", frame->file);
	if (frame->line)
		gc_doc_int(&l->d, object, "line", frame->line);
	if (frame->image)
		gc_doc_str(&l->d, object, "module", frame->image->path);
}

/** Integers, pointers and flags. */
static void add_registers(struct line *l, json_t *object)
{
	const struct gc_regs *regs = &l->crash.regs;
	json_t *registers = gc_doc_object(&l->d);

	for (size_t i = 0; regs->map && regs->bytes && i < regs->map->arch->nregs; i++) {
		const struct gc_reg *reg = &regs->map->arch->regs[i];
		uint64_t value;

		if (regs->map->size[i] <= 8 && !reg->group && regs->map->arch->base_features & 1U << reg->feature &&
		    gc_regs_u64(regs, (int)i, &value))
			gc_doc_hex(&l->d, registers, reg->name, value);
	}
	gc_doc_set_filled(&l->d, object, "registers", registers);
}

static void add_end(struct line *l, json_t *object)
{
	json_t *end;

	if (l->crash.end.kind == GC_STACK_COMPLETE)
		return;
	end = gc_doc_object(&l->d);
	gc_doc_str(&l->d, end, "reason", gc_stack_end_name(l->crash.end.kind));
	gc_doc_str(&l->d, end, "text", l->crash.end.why.text);
	gc_doc_set(&l->d, object, "stack_end", end);
}

static json_t *crashed_of(struct line *l)
{
	const struct gc_core *core = &l->p.core;
	const struct gc_crash *c = &l->crash;
	json_t *object = gc_doc_object(&l->d);

	if (c->thread) {
		gc_doc_int(&l->d, object, "tid", c->thread->tid);
		if (core->has_prpsinfo && c->thread->tid == core->prpsinfo.pid)
			gc_doc_str(&l->d, object, "name", core->prpsinfo.fname);
	}
	if (c->goroutine)
		gc_doc_size(&l->d, object, "goid", c->goroutine->goid);
	if (c->signal)
		gc_doc_set(&l->d, object, "signal", gc_doc_signal_named(&l->d, c->signal));
	add_place(l, object);
	gc_doc_size(&l->d, object, "depth", c->frames.count);
	gc_doc_set(&l->d, object, "frames", frames_of(&l->d, &c->frames));
	add_end(l, object);
	add_registers(l, object);
	return object;
}

/* Go. */

static json_t *group_of(struct line *l, const struct gc_wait_group *group)
{
	json_t *object = gc_doc_object(&l->d), *stack = gc_doc_array(&l->d);

	gc_doc_size(&l->d, object, "count", group->count);
	gc_doc_str(&l->d, object, "status", group->status);
	gc_doc_str(&l->d, object, "wait_reason", group->wait_reason);
	gc_doc_size(&l->d, object, "goid", group->first->goid);
	for (size_t i = 0; i < group->frames.count && i < MAX_GROUP_FRAMES; i++)
		gc_doc_add_str(&l->d, stack, group->frames.list[i].function ? group->frames.list[i].function : "?");
	gc_doc_set(&l->d, object, "stack", stack);
	return object;
}

static void add_goroutines(struct line *l, json_t *root)
{
	json_t *array = gc_doc_array(&l->d);
	size_t count;

	gc_go_goroutines(l->tools.go, &count);
	gc_doc_size(&l->d, root, "goroutines", count);
	for (size_t i = 0; i < l->groups.count && i < MAX_SHOWN_GROUPS; i++)
		gc_doc_append(&l->d, array, group_of(l, &l->groups.list[i]));
	gc_doc_set_filled(&l->d, root, "goroutine_groups", array);
}

static void add_panic(struct line *l, json_t *go)
{
	const struct gc_go_panics *panics = &l->crash.panics;
	const struct gc_go_panic *last = panics->count ? &panics->list[panics->count - 1] : NULL;
	json_t *panic;

	gc_doc_str(&l->d, go, "fatal_error", panics->fatal);
	if (!last)
		return;
	panic = gc_doc_object(&l->d);
	gc_doc_str(&l->d, panic, "type", last->type);
	gc_doc_str(&l->d, panic, "text", last->text);
	gc_doc_set(&l->d, go, "panic", panic);
}

static void add_go(struct line *l, json_t *root)
{
	const struct gc_buildinfo *info = gc_go_buildinfo(l->tools.go);
	json_t *go = gc_doc_object(&l->d);

	if (info) {
		gc_doc_str(&l->d, go, "version", info->version);
		if (info->has_main && info->main.path && *info->main.path) {
			gc_doc_str(&l->d, go, "module", info->main.path);
			if (info->main.version && *info->main.version)
				gc_doc_str(&l->d, go, "module_version", info->main.version);
		} else if (info->path && *info->path) {
			gc_doc_str(&l->d, go, "module", info->path);
		}
		gc_doc_str(&l->d, go, "revision", gc_buildinfo_setting(info, "vcs.revision"));
	}
	add_panic(l, go);
	gc_doc_set(&l->d, root, "go", go);
}

/* All of it. */

static void add_program(struct line *l, json_t *root)
{
	const struct gc_image *program = gc_images_program(&l->p.images);

	gc_doc_str(&l->d, root, "program", gc_process_exe(&l->p));
	if (program && program->build_id.len)
		gc_doc_build_id(&l->d, root, &program->build_id);
	else if (program && program->file)
		gc_doc_build_id(&l->d, root, &program->file->build_id);
	gc_doc_str(&l->d, root, "arch", l->p.core.arch->name);
	if (l->p.core.pid > 0)
		gc_doc_int(&l->d, root, "pid", l->p.core.pid);
}

/** A few problems of many, so that one damaged core does not fill the file. */
static void cap_problems(json_t *root)
{
	json_t *list = json_object_get(root, "problems");
	size_t count = json_array_size(list);
	char text[64];

	if (count <= MAX_SHOWN_PROBLEMS)
		return;
	snprintf(text, sizeof(text), "%zu more are not listed", count - MAX_SHOWN_PROBLEMS);
	while (json_array_size(list) > MAX_SHOWN_PROBLEMS)
		json_array_remove(list, json_array_size(list) - 1);
	json_array_append_new(list, json_pack("{s:s, s:s}", "where", "problems", "what", text));
}

static enum gc_code look(struct line *l, const struct gc_find_options *find, struct gc_error *err)
{
	struct gc_problems *problems = &l->d.problems;
	enum gc_code code = gc_stack_tools_open(&l->tools, &l->p, find, problems, err);

	if (code != GC_OK)
		return code;
	triage_timings_watch(&l->timings, &l->tools);
	triage_timings_step(&l->timings, "tables");
	code = gc_crash_find(&l->crash, &l->tools, problems, err);
	triage_timings_step(&l->timings, "unwind");
	if (code == GC_OK)
		code = gc_signature_of(&l->signature, &l->crash, &l->tools, err);
	triage_timings_step(&l->timings, "signature");
	if (code == GC_OK && l->tools.go)
		code = gc_wait_groups_of(&l->groups, l->tools.go, err);
	triage_timings_step(&l->timings, "goroutines");
	return code;
}

static json_t *document(struct line *l, const struct gc_core_identity *id)
{
	json_t *root = gc_doc_begin(&l->d, "triage", id->path, NULL, NULL), *signal;

	add_identity(&l->d, root, id);
	add_program(l, root);
	signal = gc_doc_signal(&l->d);
	if (signal)
		gc_doc_set(&l->d, root, "signal", signal);
	add_time(&l->d, root, id);
	gc_doc_set(&l->d, root, "crashed", crashed_of(l));
	gc_doc_size(&l->d, root, "threads", l->p.core.nthreads);
	if (l->tools.go)
		add_goroutines(l, root);
	gc_doc_signature(&l->d, root, &l->signature);
	if (l->tools.go)
		add_go(l, root);
	return gc_doc_end(&l->d, root);
}

/** Does it begin like an ELF core? Whether it is one that can be read is another question. */
static bool is_core(const struct gc_input *in)
{
	return in->size >= 18 && memcmp(in->bytes, ELFMAG, SELFMAG) == 0 &&
	       (gc_load_le16(in->bytes + 16) == ET_CORE || gc_load_le16(in->bytes + 16) == ET_CORE << 8);
}

json_t *gc_triage_line(struct gc_triage_reader *reader, const struct gc_core_identity *id, struct gc_error *err)
{
	struct line l = { .tools = { .p = NULL } };
	struct gc_input in;
	json_t *root = NULL;
	bool core;

	triage_timings_begin(&l.timings, reader->timings);
	if (gc_input_open_with(&in, id->path, reader->scratch, err) != GC_OK)
		return NULL;
	core = is_core(&in);
	triage_timings_step(&l.timings, "open");
	if (gc_process_open(&l.p, &in, reader->find, err) != GC_OK) {
		if (!core)
			err->code = GC_E_NOT_FOUND;
		return NULL;
	}
	l.d.p = &l.p;
	triage_timings_step(&l.timings, "notes");
	if (look(&l, reader->find, err) == GC_OK) {
		root = document(&l, id);
		if (!root)
			gc_fail_memory(err);
		else
			cap_problems(root);
		triage_timings_step(&l.timings, "output");
		triage_timings_add(&l.timings, root);
	} else {
		gc_problems_deinit(&l.d.problems);
	}
	gc_wait_groups_deinit(&l.groups);
	gc_signature_deinit(&l.signature);
	gc_crash_deinit(&l.crash);
	gc_stack_tools_close(&l.tools);
	gc_process_close(&l.p);
	return root;
}
