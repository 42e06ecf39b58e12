#include "report/tables.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "gocore/error.h"

/*
 * Registers are most of a line. Of cores with the same exact signature these
 * many show how values differ; 100,000 would not fit a browser.
 */
#define MAX_WITH_REGISTERS 200

/* As much of each as triage writes; a line may come from elsewhere. */
#define MAX_FRAMES 256
#define MAX_GROUPS 64
#define MAX_REGISTERS 128
#define MAX_PROBLEMS 3

static int add_escaped(const char *bytes, size_t len, void *data)
{
	struct gc_buf *out = data;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] == '<')
			gc_buf_str(out, "\\u003c");
		else
			gc_buf_char(out, bytes[i]);
	}
	return 0;
}

void gc_report_json(struct gc_buf *out, const json_t *value)
{
	if (json_dump_callback(value, add_escaped, out, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY) != 0)
		out->failed = true;
}

static size_t intern(struct gc_report *r, struct gc_intern *set, const void *key, size_t len)
{
	struct gc_error err;
	size_t index = 0;

	if (gc_intern(set, key, len, &index, &err) != GC_OK)
		r->failed = true;
	return index;
}

/** @return its number, 0: it is no text, or empty */
static size_t text_number(struct gc_report *r, const json_t *text)
{
	if (r->texts.count == 0)
		intern(r, &r->texts, "", 0);
	return json_is_string(text) ? intern(r, &r->texts, json_string_value(text), json_string_length(text)) : 0;
}

static size_t plain_text_number(struct gc_report *r, struct gc_buf *text)
{
	json_t *value = json_stringn(gc_buf_text(text), text->len);
	size_t number = text_number(r, value);

	json_decref(value);
	r->failed |= text->failed;
	gc_buf_deinit(text);
	return number;
}

/** Of a table whose keys are JSON; releases @json. @return its number, -1: it is empty */
static int64_t list_number(struct gc_report *r, struct gc_intern *set, json_t *json)
{
	struct gc_buf text = GC_BUF_INIT;
	int64_t number = -1;

	if (json_array_size(json)) {
		gc_report_json(&text, json);
		r->failed |= text.failed;
		number = (int64_t)intern(r, set, gc_buf_text(&text), text.len);
	}
	gc_buf_deinit(&text);
	json_decref(json);
	return number;
}

static void append_number(struct gc_report *r, json_t *array, uint64_t number)
{
	if (json_array_append_new(array, json_integer((json_int_t)number)) != 0)
		r->failed = true;
}

/* Stacks and goroutines. */

static json_t *frame_numbers(struct gc_report *r, const json_t *frame)
{
	json_t *array = json_array();
	json_int_t line = json_integer_value(json_object_get(frame, "line"));

	/* stacks of goroutines are names alone */
	append_number(r, array, text_number(r, json_is_string(frame) ? frame : json_object_get(frame, "function")));
	append_number(r, array, text_number(r, json_object_get(frame, "file")));
	append_number(r, array, line > 0 ? (uint64_t)line : 0);
	append_number(r, array, text_number(r, json_object_get(frame, "module")));
	append_number(r, array, json_is_true(json_object_get(frame, "inlined")));
	return array;
}

static int64_t stack_number(struct gc_report *r, const json_t *frames)
{
	json_t *array = json_array();

	for (size_t i = 0; i < json_array_size(frames) && i < MAX_FRAMES; i++)
		json_array_append_new(array, frame_numbers(r, json_array_get(frames, i)));
	return list_number(r, &r->stacks, array);
}

static json_t *group_numbers(struct gc_report *r, const json_t *group)
{
	json_t *array = json_array();
	json_int_t count = json_integer_value(json_object_get(group, "count"));

	append_number(r, array, count > 0 ? (uint64_t)count : 0);
	append_number(r, array, text_number(r, json_object_get(group, "status")));
	append_number(r, array, text_number(r, json_object_get(group, "wait_reason")));
	json_array_append_new(array, json_integer(stack_number(r, json_object_get(group, "stack"))));
	return array;
}

static int64_t groups_number(struct gc_report *r, const json_t *groups)
{
	json_t *array = json_array();

	for (size_t i = 0; i < json_array_size(groups) && i < MAX_GROUPS; i++)
		json_array_append_new(array, group_numbers(r, json_array_get(groups, i)));
	return list_number(r, &r->goroutine_groups, array);
}

static int64_t skipped_number(struct gc_report *r, const json_t *skipped)
{
	json_t *array = json_array();

	for (size_t i = 0; i < json_array_size(skipped) && i < MAX_FRAMES; i++)
		append_number(r, array, text_number(r, json_array_get(skipped, i)));
	return list_number(r, &r->skipped, array);
}

/* Registers. */

static void add_value(struct gc_report *r, json_t *names, json_t *numbers, const char *name, const json_t *value)
{
	json_t *text = json_string(name);

	if (json_is_string(value) && text) {
		append_number(r, names, text_number(r, text));
		append_number(r, numbers,
			      intern(r, &r->values, json_string_value(value), json_string_length(value)));
	}
	json_decref(text);
}

/** [number of their names, [number of each value, ...]], or null where there are enough of this kind. */
static void add_registers(struct gc_report *r, const json_t *line, size_t kind, struct gc_buf *row)
{
	json_t *registers = json_object_get(json_object_get(line, "crashed"), "registers"), *value;
	json_t *address = json_object_get(json_object_get(line, "signal"), "address");
	json_t *names, *numbers;
	const char *name;
	size_t left = MAX_REGISTERS;

	if (!gc_intern_room(&r->with_registers, &r->with_registers_cap, kind, sizeof(*r->with_registers))) {
		r->failed = true;
		return;
	}
	if ((!json_object_size(registers) && !address) || r->with_registers[kind] >= MAX_WITH_REGISTERS) {
		gc_buf_str(row, ",null");
		return;
	}
	r->with_registers[kind]++;
	names = json_array();
	numbers = json_array();
	add_value(r, names, numbers, "fault address", address);
	json_object_foreach(registers, name, value) {
		if (left-- == 0)
			break;
		add_value(r, names, numbers, name, value);
	}
	gc_buf_printf(row, ",[%" PRId64 ",", list_number(r, &r->register_names, names));
	gc_report_json(row, numbers);
	gc_buf_char(row, ']');
	json_decref(numbers);
}

/* Texts that are put together. */

static size_t place_number(struct gc_report *r, const json_t *line)
{
	const json_t *crashed = json_object_get(line, "crashed");
	const char *function = json_string_value(json_object_get(crashed, "function"));
	const char *file = json_string_value(json_object_get(crashed, "file"));
	json_int_t number = json_integer_value(json_object_get(crashed, "line"));
	struct gc_buf text = GC_BUF_INIT;

	gc_buf_str(&text, function ? function : "");
	if (file)
		gc_buf_printf(&text, "%s%s", function ? " at " : "", file);
	if (file && number > 0)
		gc_buf_printf(&text, ":%" JSON_INTEGER_FORMAT, number);
	return plain_text_number(r, &text);
}

static size_t panic_number(struct gc_report *r, const json_t *line)
{
	const json_t *go = json_object_get(line, "go"), *panic = json_object_get(go, "panic");
	const char *fatal = json_string_value(json_object_get(go, "fatal_error"));
	const char *type = json_string_value(json_object_get(panic, "type"));
	const char *what = json_string_value(json_object_get(panic, "text"));
	struct gc_buf text = GC_BUF_INIT;

	if (fatal)
		gc_buf_printf(&text, "fatal error: %s", fatal);
	else if (what || type)
		gc_buf_printf(&text, "panic: %s%s%s%s", what ? what : "", what && type ? " (" : "", type ? type : "",
			      what && type ? ")" : "");
	return plain_text_number(r, &text);
}

static size_t problems_number(struct gc_report *r, const json_t *line)
{
	const json_t *problems = json_object_get(line, "problems");
	struct gc_buf text = GC_BUF_INIT;

	for (size_t i = 0; i < json_array_size(problems) && i < MAX_PROBLEMS; i++) {
		const char *what = json_string_value(json_object_get(json_array_get(problems, i), "what"));

		if (what)
			gc_buf_printf(&text, "%s%s", text.len ? "; " : "", what);
	}
	if (json_array_size(problems) > MAX_PROBLEMS)
		gc_buf_printf(&text, "; and %zu more", json_array_size(problems) - MAX_PROBLEMS);
	return plain_text_number(r, &text);
}

/* Columns. */

enum kind {
	TEXT,    /* number of a text */
	INTEGER, /* itself, or null */
};

/** A cell that stands in the line as it is. */
static const struct column {
	const char *name;
	enum kind kind;
	const char *key, *inner; /* @inner: of the object that is there */
} columns[] = {
	{ "size", INTEGER, "size", NULL },
	{ "pid", INTEGER, "pid", NULL },
	{ "threads", INTEGER, "threads", NULL },
	{ "goroutines", INTEGER, "goroutines", NULL },
	{ "program", TEXT, "program", NULL },
	{ "build_id", TEXT, "build_id", NULL },
	{ "arch", TEXT, "arch", NULL },
	{ "host", TEXT, "host", NULL },
	{ "signal", TEXT, "signal", "name" },
	{ "code", TEXT, "signal", "code_name" },
	{ "exact", TEXT, "signature", "exact" },
	{ "top", TEXT, "signature", "top" },
	{ "site", TEXT, "signature", "site" },
	{ "kind", TEXT, "signature", "kind" },
	{ "go", TEXT, "go", "version" },
	{ "module", TEXT, "go", "module" },
	{ "error", TEXT, "error", "text" },
	{ "error_kind", TEXT, "error", "kind" },
};

/** The others, in the order in which gc_report_add_row writes them. */
static const char *const made_columns[] = {
	"core", "time", "place", "panic", "problems", "stack", "skipped", "goroutine_groups", "registers",
};

void gc_report_columns(struct gc_buf *out)
{
	gc_buf_char(out, '[');
	for (size_t i = 0; i < GC_COUNT(columns); i++)
		gc_buf_printf(out, "\"%s\",", columns[i].name);
	for (size_t i = 0; i < GC_COUNT(made_columns); i++)
		gc_buf_printf(out, "%s\"%s\"", i ? "," : "", made_columns[i]);
	gc_buf_char(out, ']');
}

static void add_cell(struct gc_report *r, const struct column *c, const json_t *line, struct gc_buf *row)
{
	const json_t *value = json_object_get(line, c->key);

	if (c->inner)
		value = json_object_get(value, c->inner);
	if (c->kind == TEXT)
		gc_buf_printf(row, "%zu,", text_number(r, value));
	else if (json_is_integer(value))
		gc_buf_printf(row, "%" JSON_INTEGER_FORMAT ",", json_integer_value(value));
	else
		gc_buf_str(row, "null,");
}

static void add_time(const json_t *line, struct gc_buf *row)
{
	const char *text = json_string_value(json_object_get(line, "time"));
	struct tm tm = { .tm_sec = 0 };

	if (text && strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		gc_buf_printf(row, ",%" PRId64, (int64_t)timegm(&tm));
	else
		gc_buf_str(row, ",null");
}

void gc_report_add_row(struct gc_report *r, const json_t *line)
{
	const json_t *crashed = json_object_get(line, "crashed"), *signature = json_object_get(line, "signature");
	struct gc_buf *row = &r->rows;
	size_t exact = text_number(r, json_object_get(signature, "exact"));

	gc_buf_str(row, row->len ? ",\n[" : "[");
	for (size_t i = 0; i < GC_COUNT(columns); i++)
		add_cell(r, &columns[i], line, row);
	gc_report_json(row, json_object_get(line, "core"));
	add_time(line, row);
	gc_buf_printf(row, ",%zu,%zu,%zu", place_number(r, line), panic_number(r, line), problems_number(r, line));
	gc_buf_printf(row, ",%" PRId64, stack_number(r, json_object_get(crashed, "frames")));
	gc_buf_printf(row, ",%" PRId64, skipped_number(r, json_object_get(signature, "skipped")));
	gc_buf_printf(row, ",%" PRId64, groups_number(r, json_object_get(line, "goroutine_groups")));
	add_registers(r, line, exact, row);
	gc_buf_char(row, ']');
	r->failed |= row->failed;
	r->cores++;
}
