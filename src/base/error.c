#include "gocore/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(struct gc_error *err, const char *format, va_list args)
{
	vsnprintf(err->text, sizeof(err->text), format, args);
}

enum gc_code gc_fail(struct gc_error *err, enum gc_code code, const char *format, ...)
{
	va_list args;

	if (!err)
		return code;
	err->code = code;
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	return code;
}

enum gc_code gc_fail_errno(struct gc_error *err, int errnum, const char *format, ...)
{
	va_list args;
	size_t used;

	if (!err)
		return GC_E_IO;
	err->code = GC_E_IO;
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerror(errnum));
	return GC_E_IO;
}

enum gc_code gc_fail_memory(struct gc_error *err)
{
	return gc_fail(err, GC_E_MEMORY, "out of memory");
}

enum gc_code gc_wrap(struct gc_error *err, const char *format, ...)
{
	char inner[sizeof(err->text)];
	va_list args;
	size_t used;

	if (!err)
		return GC_E_FORMAT;
	memcpy(inner, err->text, sizeof(inner));
	va_start(args, format);
	set_text(err, format, args);
	va_end(args);
	used = strlen(err->text);
	snprintf(err->text + used, sizeof(err->text) - used, ": %s", inner);
	return err->code;
}
