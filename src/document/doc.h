/* What the documents share: values into JSON, and names of addresses. */
#ifndef DOCUMENT_DOC_H
#define DOCUMENT_DOC_H

#include <jansson.h>

#include "gocore/process.h"

/** A document while it is made. */
struct gc_doc {
	const struct gc_process *p;  /* NULL: about a program alone */
	struct gc_names *names;      /* symbols of the files that were asked for */
	size_t nnames;
	struct gc_problems problems; /* met while the document is made */
	size_t text;                 /* bytes of all strings; damaged tables can name one long string often */
	bool failed;                 /* memory ran out: there will be no document */
};

/** What an address of the process is. */
struct gc_place {
	const struct gc_image *image; /* NULL: none */
	uint64_t offset;              /* in the image, as its file counts addresses (what addr2line wants) */
	const char *symbol;           /* the nearest, or NULL */
	uint64_t symbol_offset;
};

/** Start "gocore-stub/@kind/1" with its first keys; @program and @arch may be NULL. */
json_t *gc_doc_begin(struct gc_doc *d, const char *kind, const char *core, const char *program,
		     const struct gc_arch *arch);

/** End it: problems last. @return @root, or NULL if memory ran out */
json_t *gc_doc_end(struct gc_doc *d, json_t *root);

/*
 * Lack of memory only sets d->failed, so that callers need not look. Values are
 * taken over. Invalid UTF-8 becomes U+FFFD; what is NULL or does not fit is left out.
 */
json_t *gc_doc_object(struct gc_doc *d);
json_t *gc_doc_array(struct gc_doc *d);
void gc_doc_set(struct gc_doc *d, json_t *object, const char *key, json_t *value);
void gc_doc_append(struct gc_doc *d, json_t *array, json_t *value);
void gc_doc_str(struct gc_doc *d, json_t *object, const char *key, const char *text);
void gc_doc_strn(struct gc_doc *d, json_t *object, const char *key, const char *text, size_t len);
void gc_doc_add_str(struct gc_doc *d, json_t *array, const char *text);
void gc_doc_hex(struct gc_doc *d, json_t *object, const char *key, uint64_t value);
void gc_doc_int(struct gc_doc *d, json_t *object, const char *key, int64_t value);
void gc_doc_size(struct gc_doc *d, json_t *object, const char *key, uint64_t value);
void gc_doc_bool(struct gc_doc *d, json_t *object, const char *key, bool value);
void gc_doc_build_id(struct gc_doc *d, json_t *object, const struct gc_build_id *id);

/** As gc_doc_set, but an empty array or object is left out. */
void gc_doc_set_filled(struct gc_doc *d, json_t *object, const char *key, json_t *value);

/** The path of the program's copy here, else as the core names it; NULL: not known. */
const char *gc_doc_program(const struct gc_process *p);

/** Symbol that holds address @vaddr of @file. */
bool gc_doc_symbol(struct gc_doc *d, struct gc_elf_file *file, uint64_t vaddr, const char **name,
		   uint64_t *offset);

/** Image and symbol at an address of the process. */
void gc_doc_place(struct gc_doc *d, uint64_t addr, struct gc_place *out);

/** Forget the symbols. */
void gc_doc_names_free(struct gc_doc *d);

/* Parts that several documents of a core have. */

/** From "kind" to "command_line". */
void gc_doc_process(struct gc_doc *d, json_t *root);

/** The signal that ended the process, NULL: none; and a signal by its number alone. */
json_t *gc_doc_signal(struct gc_doc *d);
json_t *gc_doc_siginfo(struct gc_doc *d, const struct gc_siginfo *info);
json_t *gc_doc_signal_named(struct gc_doc *d, int number);

json_t *gc_doc_images(struct gc_doc *d);

/** What is at or near @asked, with a sentence as "text". */
json_t *gc_doc_address(struct gc_doc *d, uint64_t asked);

/** "dumped", "recovered", "missing", "truncated" */
const char *gc_doc_class(enum gc_range_class what);

/** What stands in a document about @file, from "file" to "go". */
void gc_doc_program_facts(struct gc_doc *d, json_t *root, struct gc_elf_file *file);

/** "startup": the entries of .init_array and its kin, and what the core holds there. */
json_t *gc_doc_startup(struct gc_doc *d, struct gc_elf_file *file);

/** "go": build information, or NULL if it is no Go program. @file NULL: from the core's memory */
json_t *gc_doc_go(struct gc_doc *d, struct gc_elf_file *file);

/** "debug", "sections", "stripped", "recoverable": what is left for a debugger. */
void gc_doc_remains(struct gc_doc *d, json_t *root, struct gc_elf_file *file);

#endif
