/*
 * A growing byte buffer: replies, documents, text.
 *
 * Appending never fails in the caller's face: when memory runs out the buffer
 * is marked failed and ignores what follows, and whoever sends or writes it
 * checks once.
 */
#ifndef GOCORE_BUF_H
#define GOCORE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/error.h"

struct gc_buf {
	char *data; /* NUL-terminated whenever it is not NULL; the NUL is not counted */
	size_t len;
	size_t cap;
	bool failed;
};

#define GC_BUF_INIT { .data = NULL }

void gc_buf_deinit(struct gc_buf *b);

/** Empty it, keep its storage, forget a failure. */
void gc_buf_clear(struct gc_buf *b);

/** Room for @len more bytes, not counted yet. @return where to write, or NULL when failed */
char *gc_buf_reserve(struct gc_buf *b, size_t len);

void gc_buf_add(struct gc_buf *b, const void *bytes, size_t len);
void gc_buf_str(struct gc_buf *b, const char *text);
void gc_buf_char(struct gc_buf *b, char c);
void gc_buf_printf(struct gc_buf *b, const char *format, ...) GC_PRINTF(2, 3);

/** Two lower-case digits a byte. */
void gc_buf_hex(struct gc_buf *b, const void *bytes, size_t len);

/** Text with & < > " ' and control characters escaped for XML 1.0; invalid UTF-8 becomes U+FFFD. */
void gc_buf_xml(struct gc_buf *b, const char *text);

/** The content as a C string, never NULL. */
const char *gc_buf_text(const struct gc_buf *b);

#endif
