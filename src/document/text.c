#include "document/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_WIDTH 10
#define MAX_COLUMN  100
#define MAX_COLUMNS 16

void gc_text_size(struct gc_buf *out, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		gc_buf_printf(out, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
		return;
	}
	for (; value >= 1023.95 && unit + 1 < GC_COUNT(units); unit++)
		value /= 1024;
	gc_buf_printf(out, "%.1f %s", value, units[unit]);
}

/** Does @c act on a terminal instead of being shown? C0, DEL, C1, and the Unicode controls of direction. */
static bool is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x200e || c == 0x200f || c == 0x2028 || c == 0x2029 ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static void add_escape(struct gc_buf *out, uint32_t c)
{
	switch (c) {
	case '\n':
		gc_buf_str(out, "\\n");
		break;
	case '\t':
		gc_buf_str(out, "\\t");
		break;
	default:
		gc_buf_printf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", (unsigned)c);
	}
}

/** Code point at @p, which jansson vouches to be UTF-8; what is none counts as one byte. */
static size_t decode(const uint8_t *p, uint32_t *c)
{
	if (*p >= 0xc0 && *p < 0xe0 && p[1]) {
		*c = (uint32_t)(*p & 0x1f) << 6 | (p[1] & 0x3f);
		return 2;
	}
	if (*p >= 0xe0 && *p < 0xf0 && p[1] && p[2]) {
		*c = (uint32_t)(*p & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
		return 3;
	}
	*c = *p < 0x80 ? *p : 0xfffd; /* bytes of longer ones pass as they are: none is a control */
	return 1;
}

void gc_text_str(struct gc_buf *out, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;

	while (*p) {
		size_t plain = 0, len = 0;
		uint32_t c = 0;

		while (p[plain] && (len = decode(p + plain, &c), !is_control(c)))
			plain += len;
		gc_buf_add(out, p, plain);
		p += plain;
		if (*p) {
			add_escape(out, c);
			p += len;
		}
	}
}

/** Columns that text takes: characters, not bytes. */
static size_t width_of(const char *text, size_t len)
{
	size_t width = 0;

	for (size_t i = 0; i < len; i++)
		width += ((unsigned char)text[i] & 0xc0) != 0x80;
	return width;
}

static void add_spaces(struct gc_buf *out, size_t count)
{
	static const char spaces[] = "                                ";

	for (; count; count -= count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1)
		gc_buf_add(out, spaces, count < sizeof(spaces) - 1 ? count : sizeof(spaces) - 1);
}

void gc_text_line(struct gc_buf *out, const char *label, const char *text)
{
	gc_buf_printf(out, "%-*s", LABEL_WIDTH, label);
	gc_text_str(out, text);
	gc_buf_char(out, '\n');
}

void gc_paragraph_add(struct gc_paragraph *p, const char *item)
{
	struct gc_buf text = GC_BUF_INIT;
	size_t width;

	gc_text_str(&text, item);
	width = width_of(gc_buf_text(&text), text.len);
	if (!p->column) {
		gc_buf_printf(p->out, "%-*s", LABEL_WIDTH, p->label);
		p->column = LABEL_WIDTH;
	} else if (p->column + 2 + width > MAX_COLUMN) {
		gc_buf_str(p->out, ",\n");
		add_spaces(p->out, LABEL_WIDTH);
		p->column = LABEL_WIDTH;
	} else {
		gc_buf_str(p->out, ", ");
		p->column += 2;
	}
	gc_buf_add(p->out, gc_buf_text(&text), text.len);
	p->column += width;
	gc_buf_deinit(&text);
}

void gc_paragraph_end(struct gc_paragraph *p)
{
	if (p->column)
		gc_buf_char(p->out, '\n');
}

void gc_table_add(struct gc_table *t, const char *cell)
{
	gc_text_str(&t->cells, cell ? cell : "");
	gc_buf_char(&t->cells, '\0');
}

void gc_table_printf(struct gc_table *t, const char *format, ...)
{
	char cell[256];
	va_list args;

	va_start(args, format);
	vsnprintf(cell, sizeof(cell), format, args);
	va_end(args);
	gc_table_add(t, cell);
}

/** Walk over all cells. @return the one at @at, whose length goes to *len; NULL at the end */
static const char *next_cell(const struct gc_table *t, size_t *at, size_t *len)
{
	const char *cell = gc_buf_text(&t->cells) + *at;

	if (*at >= t->cells.len)
		return NULL;
	*len = strlen(cell);
	*at += *len + 1;
	return cell;
}

static void measure(const struct gc_table *t, size_t widths[MAX_COLUMNS])
{
	size_t at = 0, len, i = 0;

	for (const char *cell; (cell = next_cell(t, &at, &len)) != NULL; i++) {
		size_t width = width_of(cell, len);

		if (width > widths[i % t->columns])
			widths[i % t->columns] = width;
	}
}

void gc_table_end(struct gc_table *t, struct gc_buf *out)
{
	size_t widths[MAX_COLUMNS] = { 0 }, at = 0, len, i = 0, pending = 0;

	measure(t, widths);
	for (const char *cell; (cell = next_cell(t, &at, &len)) != NULL; i++) {
		unsigned column = (unsigned)(i % t->columns);
		size_t pad = widths[column] - width_of(cell, len);

		if (column == 0 && t->indent)
			gc_buf_str(out, t->indent);
		if (t->right & 1U << column)
			pending += pad;
		if (len) { /* spaces wait until something follows them */
			add_spaces(out, pending);
			gc_buf_add(out, cell, len);
			pending = 0;
		}
		if (!(t->right & 1U << column))
			pending += pad;
		pending += widths[column] ? 2 : 0;
		if (column == t->columns - 1) {
			gc_buf_char(out, '\n');
			pending = 0;
		}
	}
	if (t->cells.failed)
		out->failed = true;
	gc_buf_deinit(&t->cells);
}

const char *gc_json_str(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

uint64_t gc_json_uint(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));

	return value > 0 ? (uint64_t)value : 0;
}

uint64_t gc_json_hex(const json_t *object, const char *key)
{
	const char *text = gc_json_str(object, key);

	return text ? strtoull(text, NULL, 16) : 0;
}

void gc_text_put_line(struct gc_buf *out, const char *label, struct gc_buf *text)
{
	gc_text_line(out, label, gc_buf_text(text));
	if (text->failed)
		out->failed = true;
	gc_buf_deinit(text);
}

void gc_text_put_str(struct gc_buf *out, const char *label, const json_t *object, const char *key)
{
	const char *text = gc_json_str(object, key);

	if (text)
		gc_text_line(out, label, text);
}
