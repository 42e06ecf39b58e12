#include "gocore/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gc_buf_deinit(struct gc_buf *b)
{
	free(b->data);
	*b = (struct gc_buf)GC_BUF_INIT;
}

void gc_buf_clear(struct gc_buf *b)
{
	b->len = 0;
	b->failed = false;
	if (b->data)
		b->data[0] = '\0';
}

/** Make room for @len bytes and the NUL. */
static bool grow(struct gc_buf *b, size_t len)
{
	size_t cap = b->cap ? b->cap : 256;
	char *data;

	if (b->failed)
		return false;
	if (len < b->cap - b->len) /* cap > len once there is storage, both 0 before */
		return true;
	if (len >= SIZE_MAX / 2 - b->len)
		goto fail;
	while (cap - b->len <= len)
		cap *= 2;
	data = realloc(b->data, cap);
	if (!data)
		goto fail;
	b->data = data;
	b->cap = cap;
	return true;
fail:
	b->failed = true;
	return false;
}

char *gc_buf_reserve(struct gc_buf *b, size_t len)
{
	return grow(b, len) ? b->data + b->len : NULL;
}

void gc_buf_add(struct gc_buf *b, const void *bytes, size_t len)
{
	if (!grow(b, len))
		return;
	if (len)
		memcpy(b->data + b->len, bytes, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void gc_buf_str(struct gc_buf *b, const char *text)
{
	gc_buf_add(b, text, strlen(text));
}

void gc_buf_char(struct gc_buf *b, char c)
{
	gc_buf_add(b, &c, 1);
}

void gc_buf_printf(struct gc_buf *b, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len < 0 || !grow(b, (size_t)len))
		return;
	va_start(args, format);
	vsnprintf(b->data + b->len, (size_t)len + 1, format, args);
	va_end(args);
	b->len += (size_t)len;
}

void gc_buf_hex(struct gc_buf *b, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = bytes;
	char *to;

	if (len > SIZE_MAX / 4 || !grow(b, 2 * len))
		return;
	to = b->data + b->len;
	for (size_t i = 0; i < len; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	*to = '\0';
	b->len += 2 * len;
}

/** Length of the well-formed UTF-8 sequence at @p that XML 1.0 allows, 0 if it is none. */
static size_t xml_char(const uint8_t *p)
{
	uint32_t c;
	size_t len = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : *p >= 0xe0 && *p < 0xf0 ? 3
		   : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
	static const uint8_t lead_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (len == 0)
		return 0;
	c = *p & lead_bits[len];
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80) /* the NUL at the end is caught here too */
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || (c >= 0xd800 && c < 0xe000) || c == 0xfffe || c == 0xffff || c > 0x10ffff)
		return 0;
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' ? 0 : len;
}

void gc_buf_xml(struct gc_buf *b, const char *text)
{
	const uint8_t *p = (const uint8_t *)text;

	while (*p) {
		size_t len = xml_char(p);

		switch (*p) {
		case '&': gc_buf_str(b, "&amp;"); break;
		case '<': gc_buf_str(b, "&lt;"); break;
		case '>': gc_buf_str(b, "&gt;"); break;
		case '"': gc_buf_str(b, "&quot;"); break;
		case '\'': gc_buf_str(b, "&apos;"); break;
		default:
			if (len)
				gc_buf_add(b, p, len);
			else
				gc_buf_str(b, "\xef\xbf\xbd");
		}
		p += len ? len : 1;
	}
}

const char *gc_buf_text(const struct gc_buf *b)
{
	return b->data ? b->data : "";
}
