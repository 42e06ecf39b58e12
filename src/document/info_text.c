/* The document "info" for people. A part of it (as `monitor images` shows) is printed as that part. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "document/text.h"
#include "gocore/document.h"

#define MAX_SHOWN_THREADS 100
#define SHORT_BUILD_ID    12
#define INDENT            "  "
#define ELLIPSIS          "\xe2\x80\xa6"

void gc_text_heading(struct gc_buf *out, const char *heading)
{
	if (out->len)
		gc_buf_char(out, '\n');
	gc_buf_printf(out, "%s\n", heading);
}

/** ", Go 1.24.4" */
static void add_go_version(struct gc_buf *line, const json_t *go)
{
	const char *version = gc_json_str(go, "version");

	if (version)
		gc_buf_printf(line, ", Go %s", strncmp(version, "go", 2) == 0 ? version + 2 : version);
}

static void add_short_id(struct gc_buf *line, const json_t *object)
{
	const char *id = gc_json_str(object, "build_id");

	if (id)
		gc_buf_printf(line, "build ID %.*s%s", SHORT_BUILD_ID, id,
			      strlen(id) > SHORT_BUILD_ID ? ELLIPSIS : "");
}

/* ---- The first lines of a core ---- */

static void put_core(struct gc_buf *out, const json_t *info)
{
	const json_t *thread = json_array_get(json_object_get(info, "threads"), 0);
	const char *core = gc_json_str(info, "core"), *name = gc_json_str(info, "name");
	const char *arch = gc_json_str(info, "arch"), *signal = gc_json_str(json_object_get(info, "signal"), "name");
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_printf(&line, "%s: ", core ? core : "");
	if (name)
		gc_buf_printf(&line, "%s ", name);
	if (json_object_get(info, "pid"))
		gc_buf_printf(&line, "(pid %" PRIu64 "), ", gc_json_uint(info, "pid"));
	gc_buf_printf(&line, "Linux %s, %s", arch ? arch : "", signal ? signal : "no signal");
	if (thread)
		gc_buf_printf(&line, ", thread %" PRIu64, gc_json_uint(thread, "tid"));
	gc_text_put_line(out, "core", &line);
}

static void put_core_file(struct gc_buf *out, const json_t *info)
{
	const json_t *file = json_object_get(info, "file");
	const char *compression = gc_json_str(file, "compression"), *made_by = gc_json_str(info, "made_by");
	struct gc_buf line = GC_BUF_INIT;

	gc_text_size(&line, gc_json_uint(file, "size"));
	if (compression)
		gc_buf_printf(&line, " (compressed with %s)", compression);
	if (made_by && strcmp(made_by, "other") != 0)
		gc_buf_printf(&line, ", written by %s%s", strcmp(made_by, "kernel") == 0 ? "the " : "", made_by);
	if (json_is_true(json_object_get(file, "cut"))) {
		gc_buf_str(&line, ", cut off");
		if (json_object_get(file, "expected_size")) {
			gc_buf_str(&line, ": it had ");
			gc_text_size(&line, gc_json_uint(file, "expected_size"));
		}
	}
	gc_text_put_line(out, "file", &line);
}

static void add_described(struct gc_buf *line, const char *name, const char *description)
{
	gc_buf_str(line, name);
	if (description)
		gc_buf_printf(line, " (%s)", description);
}

void gc_text_signal(struct gc_buf *out, const char *label, const json_t *signal)
{
	const char *name = gc_json_str(signal, "name"), *code = gc_json_str(signal, "code_name");
	const char *address = gc_json_str(signal, "address");
	struct gc_buf line = GC_BUF_INIT;

	if (!name)
		return;
	add_described(&line, name, gc_json_str(signal, "description"));
	if (code) {
		gc_buf_str(&line, ", ");
		add_described(&line, code, gc_json_str(signal, "code_description"));
	} else if (json_object_get(signal, "code")) {
		gc_buf_printf(&line, ", code %" JSON_INTEGER_FORMAT,
			      json_integer_value(json_object_get(signal, "code")));
	}
	if (address)
		gc_buf_printf(&line, ", address %s", address);
	if (json_object_get(signal, "sender_pid"))
		gc_buf_printf(&line, ", sent by pid %" PRIu64 ", uid %" PRIu64, gc_json_uint(signal, "sender_pid"),
			      gc_json_uint(signal, "sender_uid"));
	if (json_object_get(signal, "tid"))
		gc_buf_printf(&line, ", thread %" PRIu64, gc_json_uint(signal, "tid"));
	gc_text_put_line(out, label, &line);
}

static bool is_status(const json_t *image, const char *status)
{
	const char *text = gc_json_str(image, "status");

	return text && strcmp(text, status) == 0;
}

/** Whether the program is here and belongs to the core. */
static void put_program(struct gc_buf *out, const json_t *info)
{
	const json_t *image = json_array_get(json_object_get(info, "images"), 0);
	const char *program = gc_json_str(info, "program"), *refused = gc_json_str(image, "refused");
	struct gc_buf line = GC_BUF_INIT;

	if (!program)
		return;
	gc_buf_printf(&line, "%s: ", program);
	if (!json_is_true(json_object_get(image, "program")))
		gc_buf_str(&line, "not known to be mapped");
	else if (is_status(image, "found"))
		gc_buf_str(&line, "belongs to this core");
	else if (is_status(image, "forced"))
		gc_buf_str(&line, "used because of --force: what is read from it may be wrong");
	else if (refused)
		gc_buf_printf(&line, "not found; %s was refused: %s", gc_json_str(image, "found_path"), refused);
	else
		gc_buf_str(&line, "not found");
	if (gc_json_str(image, "build_id")) {
		gc_buf_str(&line, " (");
		add_short_id(&line, image);
		gc_buf_char(&line, ')');
	}
	add_go_version(&line, json_object_get(info, "go"));
	gc_text_put_line(out, "program", &line);
}

static void put_image_count(struct gc_buf *out, const json_t *info)
{
	const json_t *images = json_object_get(info, "images"), *image;
	size_t found = 0, missing = 0, refused = 0, i;
	struct gc_buf line = GC_BUF_INIT;

	json_array_foreach(images, i, image) {
		found += is_status(image, "found") || is_status(image, "forced");
		missing += is_status(image, "missing");
		refused += is_status(image, "mismatch");
	}
	gc_buf_printf(&line, "%zu found, %zu missing", found, missing);
	if (refused)
		gc_buf_printf(&line, ", %zu refused", refused);
	if (json_object_get(info, "libraries"))
		gc_buf_printf(&line, "; %zu in the dynamic linker's list",
			      json_array_size(json_object_get(info, "libraries")));
	gc_text_put_line(out, "images", &line);
}

static void add_amount(struct gc_buf *line, const char *before, uint64_t bytes, const char *after)
{
	if (!bytes)
		return;
	gc_buf_str(line, before);
	gc_text_size(line, bytes);
	gc_buf_str(line, after);
}

static void put_memory(struct gc_buf *out, const json_t *memory)
{
	uint64_t missing = gc_json_uint(memory, "missing"), inaccessible = gc_json_uint(memory, "inaccessible");
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_printf(&line, "%" PRIu64 " ranges, ", gc_json_uint(memory, "ranges"));
	gc_text_size(&line, gc_json_uint(memory, "size"));
	gc_buf_str(&line, ": ");
	gc_text_size(&line, gc_json_uint(memory, "dumped"));
	gc_buf_str(&line, " dumped");
	add_amount(&line, ", ", gc_json_uint(memory, "recovered"), " recovered from files");
	add_amount(&line, ", ", missing, " missing");
	if (missing && missing == inaccessible)
		gc_buf_str(&line, " (inaccessible to the process, too)");
	else
		add_amount(&line, " (", inaccessible, " of it inaccessible to the process, too)");
	add_amount(&line, ", ", gc_json_uint(memory, "truncated"), " truncated");
	gc_text_put_line(out, "memory", &line);
}

static void put_thread_count(struct gc_buf *out, const json_t *info)
{
	size_t count = json_array_size(json_object_get(info, "threads"));
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_printf(&line, "%zu OS thread%s", count, count == 1 ? "" : "s");
	gc_text_put_line(out, "threads", &line);
}

static void put_go(struct gc_buf *out, const json_t *go)
{
	const char *version = gc_json_str(go, "version"), *os = gc_json_str(go, "goos");
	const char *arch = gc_json_str(go, "goarch"), *module = gc_json_str(go, "module");
	const char *module_version = gc_json_str(go, "module_version"), *path = gc_json_str(go, "path");
	const json_t *cgo = json_object_get(go, "cgo_enabled");
	struct gc_buf line = GC_BUF_INIT;

	if (!version)
		return;
	gc_buf_str(&line, version);
	if (os && arch)
		gc_buf_printf(&line, " %s/%s", os, arch);
	if (cgo)
		gc_buf_printf(&line, ", CGO_ENABLED=%d", json_is_true(cgo));
	if (module)
		gc_buf_printf(&line, ", module %s", module);
	else if (path)
		gc_buf_printf(&line, ", package %s", path);
	if (module && module_version)
		gc_buf_printf(&line, " %s", module_version);
	gc_text_put_line(out, "go", &line);
}

/* ---- Sections of a core ---- */

/** "name+0x10 (libc.so.6)" */
static void add_where(struct gc_table *t, const json_t *frame)
{
	const char *function = gc_json_str(frame, "function"), *module = gc_json_str(frame, "module");
	const char *slash = module ? strrchr(module, '/') : NULL;
	struct gc_buf cell = GC_BUF_INIT;

	if (function)
		gc_buf_printf(&cell, "%s+%" PRIu64, function, gc_json_uint(frame, "offset"));
	if (module)
		gc_buf_printf(&cell, "%s(%s", function ? " " : "", slash ? slash + 1 : module);
	if (module && !function)
		gc_buf_printf(&cell, ", offset %s", gc_json_str(frame, "module_offset"));
	if (module)
		gc_buf_char(&cell, ')');
	gc_table_add(t, gc_buf_text(&cell));
	gc_buf_deinit(&cell);
}

static void put_instruction(struct gc_buf *out, const json_t *thread)
{
	const json_t *insn = json_array_get(json_object_get(thread, "disassembly"), 0);
	const char *address = gc_json_str(insn, "address"), *text = gc_json_str(insn, "text");

	if (!address || !text)
		return;
	gc_buf_printf(out, INDENT "=> %s: ", address);
	gc_text_str(out, text);
	gc_buf_char(out, '\n');
}

static void put_threads(struct gc_buf *out, const json_t *threads)
{
	struct gc_table t = { .indent = INDENT, .columns = 6, .right = 1U << 1 };
	const json_t *thread;
	size_t i;

	if (!json_array_size(threads))
		return;
	gc_text_heading(out, "Threads");
	json_array_foreach(threads, i, thread) {
		const json_t *frame = json_array_get(json_object_get(thread, "frames"), 0);

		if (i == MAX_SHOWN_THREADS)
			break;
		gc_table_add(&t, json_is_true(json_object_get(thread, "crashed")) ? "*" : "");
		gc_table_printf(&t, "%" PRIu64, gc_json_uint(thread, "tid"));
		gc_table_add(&t, gc_json_str(thread, "name"));
		gc_table_add(&t, gc_json_str(json_object_get(thread, "signal"), "name"));
		gc_table_add(&t, gc_json_str(frame, "pc"));
		add_where(&t, frame);
	}
	gc_table_end(&t, out);
	if (json_array_size(threads) > MAX_SHOWN_THREADS)
		gc_buf_printf(out, INDENT "and %zu more (--json lists all)\n",
			      json_array_size(threads) - MAX_SHOWN_THREADS);
	put_instruction(out, json_array_get(threads, 0));
}

static void put_images(struct gc_buf *out, const json_t *images)
{
	struct gc_table t = { .indent = INDENT, .columns = 5 };
	const json_t *image;
	size_t i;

	if (!json_array_size(images))
		return;
	gc_text_heading(out, "Images");
	json_array_foreach(images, i, image) {
		const char *path = gc_json_str(image, "path"), *found = gc_json_str(image, "found_path");
		struct gc_buf id = GC_BUF_INIT, where = GC_BUF_INIT;

		gc_table_add(&t, gc_json_str(image, "base"));
		gc_table_add(&t, gc_json_str(image, "status"));
		add_short_id(&id, image);
		gc_table_add(&t, gc_buf_text(&id));
		gc_table_add(&t, path);
		if (gc_json_str(image, "refused") && !is_status(image, "found"))
			gc_buf_printf(&where, "%s refused: %s", found ? found : "", gc_json_str(image, "refused"));
		else if (found && (!path || strcmp(found, path) != 0))
			gc_buf_printf(&where, "= %s", found);
		gc_table_add(&t, gc_buf_text(&where));
		gc_buf_deinit(&id);
		gc_buf_deinit(&where);
	}
	gc_table_end(&t, out);
}

/** Notes of one owner and type, which each thread has. */
struct note_group {
	const json_t *note; /* the first one */
	uint64_t count, smallest, largest;
};

/** Count @note into the group that it belongs to. @numbers: {"owner/type": index of the group} */
static void group_note(struct note_group *groups, json_t *numbers, const json_t *note)
{
	const char *owner = gc_json_str(note, "owner");
	uint64_t size = gc_json_uint(note, "size");
	struct note_group *group;
	const json_t *number;
	char key[128];

	snprintf(key, sizeof(key), "%" PRIu64 "/%.99s", gc_json_uint(note, "type"), owner ? owner : "");
	number = json_object_get(numbers, key);
	group = &groups[number ? (size_t)json_integer_value(number) : json_object_size(numbers)];
	if (!number) {
		*group = (struct note_group){ note, 0, size, size };
		json_object_set_new_nocheck(numbers, key, json_integer((json_int_t)json_object_size(numbers)));
	}
	group->count++;
	group->smallest = size < group->smallest ? size : group->smallest;
	group->largest = size > group->largest ? size : group->largest;
}

static void put_note_group(struct gc_table *t, const struct note_group *group)
{
	const char *name = gc_json_str(group->note, "name");

	gc_table_add(t, gc_json_str(group->note, "owner"));
	if (name)
		gc_table_add(t, name);
	else
		gc_table_printf(t, "0x%" PRIx64, gc_json_uint(group->note, "type"));
	if (group->smallest == group->largest)
		gc_table_printf(t, "%" PRIu64 " bytes", group->largest);
	else
		gc_table_printf(t, "%" PRIu64 "-%" PRIu64 " bytes", group->smallest, group->largest);
	if (group->count > 1)
		gc_table_printf(t, "\xc3\x97 %" PRIu64, group->count);
	else
		gc_table_add(t, NULL);
}

static void put_notes(struct gc_buf *out, const json_t *notes)
{
	struct note_group *groups = calloc(json_array_size(notes) + 1, sizeof(*groups));
	struct gc_table t = { .indent = INDENT, .columns = 4, .right = 1U << 2 };
	json_t *numbers = json_object();
	const json_t *note;
	size_t i;

	if (groups && numbers && json_array_size(notes)) {
		gc_text_heading(out, "Notes");
		json_array_foreach(notes, i, note)
			group_note(groups, numbers, note);
		for (i = 0; i < json_object_size(numbers); i++)
			put_note_group(&t, &groups[i]);
		gc_table_end(&t, out);
	}
	if (!groups || !numbers)
		out->failed = true;
	json_decref(numbers);
	free(groups);
}

static void put_program_file(struct gc_buf *out, const json_t *info)
{
	const json_t *file = json_object_get(info, "file");
	const char *compression = gc_json_str(file, "compression");
	struct gc_buf line = GC_BUF_INIT;

	gc_text_size(&line, gc_json_uint(file, "size"));
	if (compression)
		gc_buf_printf(&line, " (compressed with %s)", compression);
	gc_text_put_line(out, "file", &line);
}

void gc_text_problems(struct gc_buf *out, const json_t *problems)
{
	const json_t *problem;
	size_t i;

	if (json_array_size(problems))
		gc_text_heading(out, "Problems");
	json_array_foreach(problems, i, problem) {
		const char *where = gc_json_str(problem, "where"), *what = gc_json_str(problem, "what");

		gc_buf_str(out, INDENT);
		gc_text_str(out, where ? where : "");
		gc_buf_str(out, ": ");
		gc_text_str(out, what ? what : "");
		gc_buf_char(out, '\n');
	}
}

void gc_text_core(struct gc_buf *out, const json_t *document)
{
	put_core(out, document);
	put_core_file(out, document);
	gc_text_put_str(out, "command", document, "command_line");
	gc_text_signal(out, "signal", json_object_get(document, "signal"));
	put_program(out, document);
}

static void put_core_summary(struct gc_buf *out, const json_t *info)
{
	gc_text_core(out, info);
	put_image_count(out, info);
	put_memory(out, json_object_get(info, "memory"));
	put_thread_count(out, info);
	put_go(out, json_object_get(info, "go"));
}

static void put_program_summary(struct gc_buf *out, const json_t *info)
{
	gc_text_put_str(out, "program", info, "program");
	put_program_file(out, info);
	gc_text_facts(out, info);
	put_go(out, json_object_get(info, "go"));
}

void gc_info_text(const json_t *info, struct gc_buf *out)
{
	const char *kind = gc_json_str(info, "kind");
	const json_t *program = json_object_get(info, "program_info");

	if (kind && strcmp(kind, "core") == 0)
		put_core_summary(out, info);
	else if (kind)
		put_program_summary(out, info);
	put_threads(out, json_object_get(info, "threads"));
	put_images(out, json_object_get(info, "images"));
	put_notes(out, json_object_get(info, "notes"));
	if (program) {
		gc_text_heading(out, "Program");
		gc_text_facts(out, program);
		gc_text_fact_sections(out, program);
	}
	gc_text_fact_sections(out, info);
	gc_text_go_sections(out, json_object_get(info, "go"));
	gc_text_problems(out, json_object_get(info, "problems"));
}
