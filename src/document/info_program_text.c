/* What the document "info" says of a program, for people. */
#include <inttypes.h>

#include "document/text.h"
#include "gocore/document.h"

#define INDENT "  "

static void put_elf(struct gc_buf *out, const json_t *info)
{
	static const char *const keys[] = { "class", "data", "os_abi", "machine", "type", "form", "linkage" };
	const json_t *elf = json_object_get(info, "elf");
	const char *entry = gc_json_str(elf, "entry"), *symbol = gc_json_str(elf, "entry_symbol");
	struct gc_paragraph p = { .out = out, .label = "elf" };
	struct gc_buf line = GC_BUF_INIT;

	for (size_t i = 0; i < GC_COUNT(keys); i++)
		if (gc_json_str(elf, keys[i]))
			gc_paragraph_add(&p, gc_json_str(elf, keys[i]));
	gc_paragraph_end(&p);
	if (entry) {
		gc_buf_printf(&line, "%s%s%s", entry, symbol ? " " : "", symbol ? symbol : "");
		gc_text_put_line(out, "entry", &line);
	}
}

static void put_needed(struct gc_buf *out, const json_t *needed)
{
	const json_t *library, *version;
	size_t i, k;

	json_array_foreach(needed, i, library) {
		const char *name = gc_json_str(library, "name");
		struct gc_buf line = GC_BUF_INIT;

		gc_buf_str(&line, name ? name : "(name outside the string table)");
		json_array_foreach(json_object_get(library, "versions"), k, version)
			gc_buf_printf(&line, "%s%s", k ? " " : " (", json_string_value(version));
		if (k)
			gc_buf_char(&line, ')');
		gc_text_put_line(out, i ? "" : "needs", &line);
	}
}

static void put_list(struct gc_buf *out, const char *label, const json_t *list)
{
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		gc_text_line(out, i ? "" : label, json_string_value(item));
}

static void put_debug(struct gc_buf *out, const json_t *debug)
{
	struct gc_paragraph p = { .out = out, .label = "debug" };
	const json_t *item;
	struct gc_buf text = GC_BUF_INIT;
	size_t i;

	json_array_foreach(json_object_get(debug, "dwarf_versions"), i, item)
		gc_buf_printf(&text, "%s%" JSON_INTEGER_FORMAT, i ? "/" : "DWARF ", json_integer_value(item));
	if (text.len)
		gc_paragraph_add(&p, gc_buf_text(&text));
	gc_buf_clear(&text);
	if (json_object_get(debug, "units")) {
		gc_buf_printf(&text, "%s%" PRIu64 " compile unit%s",
			      json_is_true(json_object_get(debug, "more_units")) ? "more than " : "",
			      gc_json_uint(debug, "units"), gc_json_uint(debug, "units") == 1 ? "" : "s");
		gc_paragraph_add(&p, gc_buf_text(&text));
	}
	gc_buf_deinit(&text);
	json_array_foreach(json_object_get(debug, "languages"), i, item)
		gc_paragraph_add(&p, json_string_value(item));
	gc_paragraph_end(&p);
	put_list(out, "compiler", json_object_get(debug, "producers"));
	gc_text_put_str(out, "debuglink", debug, "link");
	gc_text_put_str(out, "dwz file", json_object_get(debug, "alt_link"), "path");
}

/** name+offset, or nothing */
static void add_named(struct gc_table *t, const json_t *object)
{
	const char *name = gc_json_str(object, "name");

	if (name && json_object_get(object, "offset"))
		gc_table_printf(t, "%.200s+%" PRIu64, name, gc_json_uint(object, "offset"));
	else
		gc_table_add(t, name);
}

static void put_startup(struct gc_buf *out, const json_t *startup)
{
	struct gc_table t = { .indent = INDENT, .columns = 5 };
	const json_t *entry;
	size_t i;

	if (!json_array_size(startup))
		return;
	gc_text_heading(out, "Run before and after main");
	json_array_foreach(startup, i, entry) {
		const char *section = gc_json_str(entry, "section"), *value = gc_json_str(entry, "function");
		const json_t *in_core = json_object_get(entry, "core");

		if (json_object_get(entry, "index"))
			gc_table_printf(&t, "%s[%" PRIu64 "]", section ? section : "", gc_json_uint(entry, "index"));
		else
			gc_table_add(&t, section);
		gc_table_add(&t, value);
		add_named(&t, entry);
		if (in_core)
			gc_table_printf(&t, "in the core %s", gc_json_str(in_core, "value"));
		else
			gc_table_add(&t, NULL);
		add_named(&t, in_core);
	}
	gc_table_end(&t, out);
}

/** The symbols of one version, as a paragraph. */
static void put_names(struct gc_buf *out, const char *version, const json_t *names)
{
	struct gc_paragraph p = { .out = out, .label = "" };
	const json_t *name;
	size_t i;

	gc_buf_str(out, INDENT);
	gc_text_str(out, *version ? version : "(without a version)");
	gc_buf_char(out, '\n');
	json_array_foreach(names, i, name)
		gc_paragraph_add(&p, json_string_value(name));
	gc_paragraph_end(&p);
}

/** {version: [name...]}, "" for those that have none. */
static json_t *names_by_version(const json_t *undefined)
{
	json_t *by = json_object();
	const json_t *symbol;
	size_t i;

	json_array_foreach(undefined, i, symbol) {
		const char *version = gc_json_str(symbol, "version");
		json_t *names = json_object_get(by, version ? version : "");

		if (!names) {
			names = json_array();
			json_object_set_new(by, version ? version : "", names);
		}
		json_array_append(names, json_object_get(symbol, "name"));
	}
	return by;
}

static void put_undefined(struct gc_buf *out, const json_t *undefined)
{
	json_t *by, *names;
	const char *version;

	if (!json_array_size(undefined))
		return;
	gc_text_heading(out, "Undefined symbols");
	by = names_by_version(undefined);
	if (!by)
		out->failed = true;
	json_object_foreach(by, version, names)
		put_names(out, version, names);
	json_decref(by);
}

static void put_sections(struct gc_buf *out, const json_t *sections)
{
	struct gc_table t = { .indent = INDENT, .columns = 2, .right = 1U << 1 };
	const json_t *section;
	size_t i;

	if (!json_array_size(sections))
		return;
	gc_text_heading(out, "Sections for debuggers");
	json_array_foreach(sections, i, section) {
		struct gc_buf size = GC_BUF_INIT;

		gc_text_size(&size, gc_json_uint(section, "size"));
		gc_table_add(&t, gc_json_str(section, "name"));
		gc_table_add(&t, gc_buf_text(&size));
		gc_buf_deinit(&size);
	}
	gc_table_end(&t, out);
}

static void put_go_settings(struct gc_buf *out, const json_t *settings)
{
	const json_t *setting;
	size_t i;

	if (json_array_size(settings))
		gc_text_heading(out, "Go build settings");
	json_array_foreach(settings, i, setting) {
		const char *key = gc_json_str(setting, "key"), *value = gc_json_str(setting, "value");

		gc_buf_str(out, INDENT);
		gc_text_str(out, key ? key : "");
		gc_buf_char(out, '=');
		gc_text_str(out, value ? value : "");
		gc_buf_char(out, '\n');
	}
}

static void put_go_modules(struct gc_buf *out, const json_t *modules)
{
	struct gc_table t = { .indent = INDENT, .columns = 3 };
	const json_t *module;
	size_t i;

	if (!json_array_size(modules))
		return;
	gc_text_heading(out, "Go modules");
	json_array_foreach(modules, i, module) {
		const char *by = gc_json_str(module, "replaced_by"), *version = gc_json_str(module, "replaced_version");

		gc_table_add(&t, gc_json_str(module, "path"));
		gc_table_add(&t, gc_json_str(module, "version"));
		if (by)
			gc_table_printf(&t, "=> %.180s %.60s", by, version ? version : "");
		else
			gc_table_add(&t, NULL);
	}
	gc_table_end(&t, out);
}

/** What gc_doc_program_facts made, from "elf" on. */
void gc_text_facts(struct gc_buf *out, const json_t *facts)
{
	put_elf(out, facts);
	gc_text_put_str(out, "build ID", facts, "build_id");
	gc_text_put_str(out, "Go ID", facts, "go_build_id");
	gc_text_put_str(out, "loader", facts, "interpreter");
	gc_text_put_str(out, "soname", facts, "soname");
	gc_text_put_str(out, "rpath", facts, "rpath");
	gc_text_put_str(out, "runpath", facts, "runpath");
	put_needed(out, json_object_get(facts, "needed"));
	put_debug(out, json_object_get(facts, "debug"));
	put_list(out, "left", json_object_get(facts, "recoverable"));
	put_list(out, "stripped", json_object_get(facts, "stripped"));
}

void gc_text_fact_sections(struct gc_buf *out, const json_t *facts)
{
	put_startup(out, json_object_get(facts, "startup"));
	put_undefined(out, json_object_get(facts, "undefined"));
	put_sections(out, json_object_get(facts, "sections"));
}

void gc_text_go_sections(struct gc_buf *out, const json_t *go)
{
	put_go_settings(out, json_object_get(go, "settings"));
	put_go_modules(out, json_object_get(go, "modules"));
}
