/* Documents as text for people: sizes, lines, columns. Nothing out of a core reaches the terminal as it is. */
#ifndef DOCUMENT_TEXT_H
#define DOCUMENT_TEXT_H

#include <jansson.h>

#include "gocore/buf.h"

/** "16 bytes", "4.2 MiB" */
void gc_text_size(struct gc_buf *out, uint64_t bytes);

/** UTF-8 with control characters and those that change the direction of writing as \n, \x1b, \u202e. */
void gc_text_str(struct gc_buf *out, const char *text);

/** "label     text\n"; @label "" continues the line above. @text is escaped. */
void gc_text_line(struct gc_buf *out, const char *label, const char *text);

/** The items as one paragraph under a label, commas between them, broken before column 100. */
struct gc_paragraph {
	struct gc_buf *out;
	size_t column; /* 0: nothing written yet */
	const char *label;
};

void gc_paragraph_add(struct gc_paragraph *p, const char *item);
void gc_paragraph_end(struct gc_paragraph *p);

/** Rows of cells; columns become as wide as their widest cell. */
struct gc_table {
	unsigned columns;    /* at most 16 */
	unsigned right;      /* bit i: column i is aligned to the right */
	const char *indent;  /* before each row; NULL: nothing */
	struct gc_buf cells; /* each escaped, with a NUL after it */
};

void gc_table_add(struct gc_table *t, const char *cell); /* NULL: empty */
void gc_table_printf(struct gc_table *t, const char *format, ...) GC_PRINTF(2, 3);
void gc_table_end(struct gc_table *t, struct gc_buf *out); /* write it */

/* Parts that several documents of a core have. */

/** The lines from "core" to "program". */
void gc_text_core(struct gc_buf *out, const json_t *document);

/** A line of the heading for a signal as gc_doc_siginfo makes it; nothing for NULL. */
void gc_text_signal(struct gc_buf *out, const char *label, const json_t *signal);

/** "Problems" and a line for each; nothing if there are none. */
void gc_text_problems(struct gc_buf *out, const json_t *problems);

/** A line between sections. */
void gc_text_heading(struct gc_buf *out, const char *heading);

/* Values of a document; a text must also stand what is not there. */
const char *gc_json_str(const json_t *object, const char *key); /* or NULL */
uint64_t gc_json_uint(const json_t *object, const char *key);   /* or 0 */
uint64_t gc_json_hex(const json_t *object, const char *key);    /* of a string "0x..."; or 0 */

/** A line of @text, which is released. */
void gc_text_put_line(struct gc_buf *out, const char *label, struct gc_buf *text);

/** A line of the string @key of @object, if it has one. */
void gc_text_put_str(struct gc_buf *out, const char *label, const json_t *object, const char *key);

/** The first lines about a program, and its sections: info_program_text.c. */
void gc_text_facts(struct gc_buf *out, const json_t *facts);
void gc_text_fact_sections(struct gc_buf *out, const json_t *facts);
void gc_text_go_sections(struct gc_buf *out, const json_t *go);

#endif
