/* Reading the lines of former runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/triage.h"

static bool is_triage(const json_t *line)
{
	const char *schema = json_string_value(json_object_get(line, "schema"));

	return schema && strcmp(schema, "gocore-stub/triage/1") == 0;
}

enum gc_code gc_triage_read(const char *path, bool (*visit)(void *data, json_t *line), void *data, uint64_t *good,
			    struct gc_problems *problems, struct gc_error *err)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	enum gc_code code = GC_OK;
	char *text = NULL;
	size_t cap = 0, number = 0;
	ssize_t len;
	bool more = true;

	*good = 0;
	if (!in)
		return gc_fail_errno(err, errno, "cannot be opened");
	while (more && (len = getline(&text, &cap, in)) > 0) {
		json_t *line;

		number++;
		if (text[len - 1] != '\n') {
			gc_problem(problems, path, "line %zu is only half there, so it does not count", number);
			break;
		}
		*good += (uint64_t)len;
		line = json_loadb(text, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
		if (is_triage(line))
			more = visit(data, line);
		else
			gc_problem(problems, path, "line %zu is no line of triage, so it does not count", number);
		json_decref(line);
	}
	if (ferror(in))
		code = gc_fail_errno(err, errno, "cannot be read");
	free(text);
	if (in != stdin)
		fclose(in);
	return code;
}
