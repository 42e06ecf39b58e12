/* The document "snapshot" for people: a crash report. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "document/text.h"
#include "gocore/snapshot.h"

#define INDENT "  "
#define MAX_SENTENCE 97
#define REGISTER_COLUMNS 3
#define WIDE_DIGITS      18 /* "0x" and 16 digits: what fits into columns */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void add(struct gc_buf *out, const char *text)
{
	gc_text_str(out, text ? text : "");
}

/* Frames */

/** "c (threads.c:268)", "raise+12 (libc.so.6)", "0x7f…10 (libc.so.6+0x26d90)" */
static void put_frame(struct gc_buf *out, const json_t *frame, size_t number)
{
	const char *function = gc_json_str(frame, "function"), *file = gc_json_str(frame, "file");
	const char *module = gc_json_str(frame, "module"), *at = gc_json_str(frame, "module_offset");
	const char *how = gc_json_str(frame, "how");

	gc_buf_printf(out, "#%-3zu ", number);
	if (function)
		add(out, function);
	else
		gc_buf_printf(out, "0x%016" PRIx64, gc_json_hex(frame, "pc"));
	if (function && !file && json_object_get(frame, "offset"))
		gc_buf_printf(out, "+%" PRIu64, gc_json_uint(frame, "offset"));
	if (file) {
		gc_buf_str(out, " (");
		add(out, base_name(file));
		if (json_object_get(frame, "line"))
			gc_buf_printf(out, ":%" PRIu64, gc_json_uint(frame, "line"));
		gc_buf_char(out, ')');
	} else if (module) {
		gc_buf_str(out, " (");
		add(out, base_name(module));
		if (!function && at)
			gc_buf_printf(out, "+%s", at);
		gc_buf_char(out, ')');
	}
	if (json_is_true(json_object_get(frame, "inlined")))
		gc_buf_str(out, ", inlined");
	if (how && strcmp(how, "tail-call") == 0)
		gc_buf_str(out, ", tail call");
	gc_buf_char(out, '\n');
}

static bool same_place(const json_t *a, const json_t *b)
{
	return gc_json_hex(a, "pc") == gc_json_hex(b, "pc") && !json_object_get(a, "inlined") &&
	       !json_object_get(b, "inlined");
}

/** Recursion: how many frames behind @from stand at the same pc as it. */
static size_t repeats(const json_t *frames, size_t from)
{
	size_t i = from + 1;

	while (i < json_array_size(frames) && same_place(json_array_get(frames, from), json_array_get(frames, i)))
		i++;
	return i - from - 1;
}

static void put_frames(struct gc_buf *out, const json_t *thread)
{
	enum { MANY = 8 };
	const json_t *frames = json_object_get(thread, "frames"), *end = json_object_get(thread, "stack_end");

	for (size_t i = 0; i < json_array_size(frames); i++) {
		size_t more = repeats(frames, i);

		put_frame(out, json_array_get(frames, i), i);
		if (more < MANY)
			continue;
		gc_buf_printf(out, "     ... %zu more of the same\n", more - 1);
		i += more - 1;
	}
	if (!end)
		return;
	gc_buf_str(out, "     the stack ends here: ");
	add(out, gc_json_str(end, "text"));
	gc_buf_char(out, '\n');
}

/* Registers */

static void put_columns(struct gc_buf *out, const json_t *registers)
{
	struct gc_table t = { .indent = INDENT, .columns = 2 * REGISTER_COLUMNS };
	const char *name;
	json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)registers, name, value) {
		if (json_string_length(value) > WIDE_DIGITS)
			continue;
		gc_table_add(&t, name);
		gc_table_printf(&t, "0x%016" PRIx64, gc_json_hex(registers, name));
		n++;
	}
	for (; n % REGISTER_COLUMNS; n++) {
		gc_table_add(&t, NULL);
		gc_table_add(&t, NULL);
	}
	gc_table_end(&t, out);
}

/** Vectors, which may be longer than a line. */
static void put_vectors(struct gc_buf *out, const json_t *registers)
{
	enum { DIGITS = 64 };
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)registers, name, value) {
		const char *digits = json_string_value(value);
		size_t len = json_string_length(value);

		if (len <= WIDE_DIGITS)
			continue;
		gc_buf_printf(out, INDENT "%-6s ", name);
		for (size_t at = 2; at < len; at += DIGITS)
			gc_buf_printf(out, "%s%.*s\n", at > 2 ? INDENT "         " : "0x", DIGITS, digits + at);
	}
}

static void put_registers(struct gc_buf *out, const json_t *registers)
{
	if (!json_object_size(registers))
		return;
	gc_buf_char(out, '\n');
	put_columns(out, registers);
	put_vectors(out, registers);
}

/* Code */

/** "=> 0x401136 <main+4>: mov ..." with the function of the first frame whose code it is */
static void put_instruction(struct gc_buf *out, const json_t *insn, const json_t *frame)
{
	const char *text = gc_json_str(insn, "text"), *function = gc_json_str(frame, "function");
	uint64_t addr = gc_json_hex(insn, "address"), pc = gc_json_hex(frame, "pc");
	uint64_t offset = gc_json_uint(frame, "offset");

	gc_buf_printf(out, "%s 0x%016" PRIx64, json_is_true(json_object_get(insn, "current")) ? "=>" : "  ", addr);
	if (function && json_object_get(frame, "offset") && addr + offset >= pc) {
		gc_buf_str(out, " <");
		add(out, function);
		gc_buf_printf(out, "+%" PRIu64 ">", addr + offset - pc);
	}
	gc_buf_str(out, ": ");
	add(out, text);
	gc_buf_char(out, '\n');
}

/** The frame of the function that holds the code: the first that is not inlined. */
static const json_t *code_frame(const json_t *frames)
{
	const json_t *frame;
	size_t i;

	json_array_foreach(frames, i, frame)
		if (!json_is_true(json_object_get(frame, "inlined")))
			return frame;
	return NULL;
}

static void put_code(struct gc_buf *out, const json_t *thread)
{
	const json_t *list = json_object_get(thread, "disassembly"), *insn;
	const json_t *frame = code_frame(json_object_get(thread, "frames"));
	size_t i;

	if (json_array_size(list))
		gc_buf_char(out, '\n');
	json_array_foreach(list, i, insn)
		put_instruction(out, insn, frame);
}

/* Threads */

/** "crashed: SIGSEGV address not mapped to object, address 0x0" */
static void add_crash(struct gc_buf *line, const json_t *thread, const json_t *signal)
{
	const char *name = gc_json_str(json_object_get(thread, "signal"), "name");
	const char *why = gc_json_str(signal, "code_description"), *address = gc_json_str(signal, "address");

	gc_buf_printf(line, "crashed: %s", name ? name : "");
	if (why)
		gc_buf_printf(line, " %s", why);
	if (address)
		gc_buf_printf(line, ", address %s", address);
}

static void put_thread_heading(struct gc_buf *out, const json_t *thread, const json_t *signal)
{
	const char *name = gc_json_str(thread, "name");
	struct gc_buf line = GC_BUF_INIT;

	gc_buf_printf(&line, "Thread %" PRIu64, gc_json_uint(thread, "tid"));
	if (name)
		gc_buf_printf(&line, " %s", name);
	if (json_object_get(thread, "goid"))
		gc_buf_printf(&line, ", goroutine %" PRIu64, gc_json_uint(thread, "goid"));
	if (json_is_true(json_object_get(thread, "crashed"))) {
		gc_buf_str(&line, " (");
		add_crash(&line, thread, signal);
		gc_buf_char(&line, ')');
	}
	if (line.failed)
		out->failed = true;
	gc_buf_char(out, '\n');
	add(out, gc_buf_text(&line));
	gc_buf_char(out, '\n');
	gc_buf_deinit(&line);
}

/** A paragraph, broken between words before column 100. */
static void put_sentence(struct gc_buf *out, const char *text)
{
	struct gc_buf line = GC_BUF_INIT;
	const char *at;

	if (!text)
		return;
	add(&line, text);
	for (at = gc_buf_text(&line); *at;) {
		size_t len = strlen(at), fits = len < MAX_SENTENCE ? len : MAX_SENTENCE;

		while (fits && at[fits] && at[fits] != ' ')
			fits--;
		if (!fits) /* one long word */
			fits = strcspn(at, " ");
		gc_buf_printf(out, INDENT "%.*s\n", (int)fits, at);
		at += fits + (at[fits] == ' ');
	}
	gc_buf_deinit(&line);
}

/** What is around the address, where that says more than the address itself. */
static void put_nearby(struct gc_buf *out, const json_t *fault)
{
	static const char *const obvious[] = { "null-pointer", "non-canonical", "kernel" };
	const char *reason = gc_json_str(fault, "reason");

	for (size_t i = 0; reason && i < GC_COUNT(obvious); i++)
		if (strcmp(reason, obvious[i]) == 0)
			return;
	put_sentence(out, gc_json_str(json_object_get(fault, "nearby"), "text"));
}

static void put_thread(struct gc_buf *out, const json_t *thread, const json_t *signal)
{
	const json_t *fault = json_object_get(thread, "fault"), *syscall = json_object_get(thread, "syscall");

	put_thread_heading(out, thread, signal);
	put_sentence(out, gc_json_str(fault, "text"));
	put_nearby(out, fault);
	if (gc_json_str(syscall, "text")) {
		gc_buf_str(out, INDENT "in ");
		add(out, gc_json_str(syscall, "text"));
		gc_buf_char(out, '\n');
	}
	put_frames(out, thread);
	put_registers(out, json_object_get(thread, "registers"));
	put_code(out, thread);
}

/* The process */

static void put_auxv(struct gc_buf *out, const json_t *auxv)
{
	struct gc_table t = { .indent = INDENT, .columns = 3 };
	const json_t *entry;
	size_t i;

	if (!json_array_size(auxv))
		return;
	gc_text_heading(out, "Auxiliary vector");
	json_array_foreach(auxv, i, entry) {
		const char *name = gc_json_str(entry, "name"), *text = gc_json_str(entry, "text");

		if (name)
			gc_table_add(&t, name);
		else
			gc_table_printf(&t, "%" PRIu64, gc_json_uint(entry, "type"));
		gc_table_add(&t, gc_json_str(entry, "value"));
		if (json_object_get(entry, "number"))
			gc_table_printf(&t, "%" PRIu64, gc_json_uint(entry, "number"));
		else
			gc_table_add(&t, text);
	}
	gc_table_end(&t, out);
}

static void put_strings(struct gc_buf *out, const char *heading, const json_t *strings)
{
	const json_t *string;
	size_t i;

	if (!json_array_size(strings))
		return;
	gc_text_heading(out, heading);
	json_array_foreach(strings, i, string)
		put_sentence(out, json_is_null(string) ? "(not in the core)" : json_string_value(string));
}

/** The end of a Go program in its own words; the type stands for a value that only running code could tell. */
static void put_death(struct gc_buf *out, const json_t *snapshot)
{
	const char *fatal = gc_json_str(snapshot, "fatal_error");
	const json_t *panics = json_object_get(snapshot, "panics"), *panic;
	size_t i;

	json_array_foreach(panics, i, panic) {
		const char *text = gc_json_str(panic, "text"), *type = gc_json_str(panic, "type");
		struct gc_buf line = GC_BUF_INIT;

		gc_buf_str(&line, json_is_true(json_object_get(panic, "goexit")) ? "runtime.Goexit" : text ? text : "");
		if (line.len == 0 && type)
			gc_buf_printf(&line, "(%s)", type);
		if (json_is_true(json_object_get(panic, "repanicked")))
			gc_buf_str(&line, " [recovered, repanicked]");
		else if (json_is_true(json_object_get(panic, "recovered")))
			gc_buf_str(&line, " [recovered]");
		if (line.failed)
			out->failed = true;
		gc_text_line(out, "panic", gc_buf_text(&line));
		gc_buf_deinit(&line);
	}
	if (fatal)
		gc_text_line(out, "fatal", fatal);
}

/** Images whose file is not here: frames in them have no names. */
static void put_missing(struct gc_buf *out, const json_t *images)
{
	struct gc_paragraph p = { .out = out, .label = "missing" };
	const json_t *image;
	size_t i;

	json_array_foreach(images, i, image) {
		const char *status = gc_json_str(image, "status"), *path = gc_json_str(image, "path");

		if (status && path && (strcmp(status, "missing") == 0 || strcmp(status, "mismatch") == 0))
			gc_paragraph_add(&p, path);
	}
	gc_paragraph_end(&p);
}

void gc_snapshot_text(const json_t *snapshot, struct gc_buf *out)
{
	const json_t *threads = json_object_get(snapshot, "threads"), *thread;
	size_t i;

	gc_text_core(out, snapshot);
	gc_text_signal(out, "caught", json_object_get(snapshot, "caught_signal"));
	put_death(out, snapshot);
	put_missing(out, json_object_get(snapshot, "images"));
	json_array_foreach(threads, i, thread)
		put_thread(out, thread, json_object_get(snapshot, "signal"));
	put_auxv(out, json_object_get(snapshot, "auxv"));
	put_strings(out, "Arguments", json_object_get(snapshot, "arguments"));
	put_strings(out, "Environment", json_object_get(snapshot, "environment"));
	gc_text_problems(out, json_object_get(snapshot, "problems"));
}
