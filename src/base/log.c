#include "gocore/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PROBLEMS 1000

/* The one process-wide setting: -v is about the terminal, not about a core. */
static bool verbose;

void gc_defuse(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++) {
		if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
			p[0] = p[1] = '?';
		else if ((*p < 0x20 && *p != '\n') || *p == 0x7f)
			*p = '?';
	}
}

static void print(const char *format, va_list args)
{
	char line[2048];
	int len = snprintf(line, sizeof(line), "gocore-stub: ");

	vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
	gc_defuse(line);
	for (char *p = line; (p = strchr(p, '\n'));)
		*p = '?'; /* one message is one line */
	fprintf(stderr, "%s\n", line); /* one write: lines of several processes do not mix */
}

void gc_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print(format, args);
	va_end(args);
}

void gc_debug(const char *format, ...)
{
	va_list args;

	if (!verbose)
		return;
	va_start(args, format);
	print(format, args);
	va_end(args);
}

void gc_log_verbose(bool on)
{
	verbose = on;
}

bool gc_log_is_verbose(void)
{
	return verbose;
}

void gc_problems_deinit(struct gc_problems *p)
{
	for (size_t i = 0; i < p->count; i++) {
		free(p->list[i].where);
		free(p->list[i].what);
	}
	free(p->list);
	*p = (struct gc_problems){ .list = NULL };
}

void gc_problem(struct gc_problems *p, const char *where, const char *format, ...)
{
	char what[1024];
	struct gc_problem *list;
	va_list args;

	if (!p)
		return;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	list = p->count < MAX_PROBLEMS ? realloc(p->list, (p->count + 1) * sizeof(*list)) : NULL;
	if (!list) {
		p->dropped++;
		return;
	}
	p->list = list;
	list[p->count] = (struct gc_problem){ strdup(where), strdup(what) };
	if (list[p->count].where && list[p->count].what) {
		p->count++;
		return;
	}
	free(list[p->count].where);
	free(list[p->count].what);
	p->dropped++;
}
