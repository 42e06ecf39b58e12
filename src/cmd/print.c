#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/instrumented.h"
#include "cmd/cmd.h"

static int write_failed(void)
{
	gc_warn("standard output: %s", strerror(errno));
	return EXIT_UNUSABLE;
}

int print_result(struct gc_buf *text)
{
	bool failed = text->failed;

	if (!failed && (fwrite(gc_buf_text(text), 1, text->len, stdout) != text->len || fflush(stdout) != 0)) {
		gc_buf_deinit(text);
		return write_failed();
	}
	gc_buf_deinit(text);
	if (failed)
		gc_warn("out of memory");
	return failed ? EXIT_UNUSABLE : EXIT_DONE;
}

/** What jansson writes a few bytes at a time, on its way to standard output. */
struct writer {
	size_t len;
	char bytes[16384];
};

static bool write_out(const char *bytes, size_t len)
{
	return fwrite(bytes, 1, len, stdout) == len;
}

static int add_bytes(const char *bytes, size_t len, void *data)
{
	struct writer *w = data;

	if (len > sizeof(w->bytes) - w->len) {
		if (!write_out(w->bytes, w->len))
			return -1;
		w->len = 0;
	}
	if (len > sizeof(w->bytes))
		return write_out(bytes, len) ? 0 : -1;
	memcpy(w->bytes + w->len, bytes, len);
	w->len += len;
	return 0;
}

static bool write_json(const json_t *document)
{
	struct writer w;

	w.len = 0; /* the rest is filled as it comes */
	return json_dump_callback(document, add_bytes, &w, JSON_INDENT(2)) == 0 && add_bytes("\n", 1, &w) == 0 &&
	       write_out(w.bytes, w.len) && fflush(stdout) == 0;
}

static int print_either(const json_t *document, bool as_json, void (*text)(const json_t *, struct gc_buf *))
{
	struct gc_buf out = GC_BUF_INIT;

	if (!document) {
		gc_warn("out of memory");
		return EXIT_UNUSABLE;
	}
	if (as_json)
		return write_json(document) ? EXIT_DONE : write_failed();
	text(document, &out);
	return print_result(&out);
}

int print_document(json_t *document, bool as_json, void (*text)(const json_t *, struct gc_buf *))
{
	int status = print_either(document, as_json, text);

	json_decref(document);
	return status;
}

int print_last_document(json_t *document, bool as_json, void (*text)(const json_t *, struct gc_buf *))
{
	int status = print_either(document, as_json, text);

	/*
	 * All is written, and the kernel takes memory back at once: to free a large document piece by
	 * piece and to unmap all files takes a tenth of what a snapshot does.
	 */
	if (!GC_INSTRUMENTED)
		_exit(status);
	json_decref(document);
	return status;
}
