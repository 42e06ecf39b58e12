#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int print_document(json_t *document, bool as_json, void (*text)(const json_t *, struct gc_buf *))
{
	struct gc_buf out = GC_BUF_INIT;
	int status;

	if (!document) {
		gc_warn("out of memory");
		return EXIT_UNUSABLE;
	}
	if (!as_json) {
		text(document, &out);
		status = print_result(&out);
	} else if (json_dumpf(document, stdout, JSON_INDENT(2)) != 0 || putchar('\n') == EOF ||
		   fflush(stdout) != 0) {
		status = write_failed();
	} else {
		status = EXIT_DONE;
	}
	json_decref(document);
	return status;
}
