/*
 * Names of C++ and Rust functions, by libiberty.
 *
 * Of the libraries that can do it, libstdc++ knows no Rust names of today (v0)
 * and brings a C++ run time along, a millisecond at each start, or a dlopen
 * that the sandbox would not let through. libiberty is the one that gdb and
 * binutils use, so names look the same there, and it is linked statically.
 */
#include "gocore/symbols.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <libiberty/demangle.h>

#include "gocore/buf.h"

/* The demangler keeps some 100 bytes of stack for each byte of a name. */
#define MAX_MANGLED 8192

/* A name of a few bytes can stand for gigabytes: each substitution may hold two of the one before. */
#define MAX_DEMANGLED 65536

struct output {
	struct gc_buf text;
	jmp_buf enough;
};

static void add(const char *text, size_t len, void *data)
{
	struct output *out = data;

	gc_buf_add(&out->text, text, len);
	/* the only way out; the callback interface allocates nothing that could leak */
	if (out->text.failed || out->text.len > MAX_DEMANGLED)
		longjmp(out->enough, 1);
}

/** @return allocated output, or NULL */
static struct output *demangle(const char *mangled, int options)
{
	struct output *volatile out = calloc(1, sizeof(*out));

	if (!out)
		return NULL;
	if (setjmp(out->enough) == 0 &&
	    (rust_demangle_callback(mangled, 0, add, out) ||
	     cplus_demangle_v3_callback(mangled, options, add, out)))
		return out;
	gc_buf_deinit(&out->text);
	free(out);
	return NULL;
}

static char *name_of(const char *mangled, int options)
{
	struct output *out;
	char *name;

	if (mangled[0] != '_' || (mangled[1] != 'Z' && mangled[1] != 'R') ||
	    strnlen(mangled, MAX_MANGLED) == MAX_MANGLED)
		return NULL;
	out = demangle(mangled, options);
	if (!out)
		return NULL;
	name = out->text.data;
	free(out);
	return name;
}

char *gc_demangle(const char *mangled)
{
	return name_of(mangled, DMGL_PARAMS | DMGL_ANSI);
}

char *gc_demangle_function(const char *mangled)
{
	return name_of(mangled, DMGL_ANSI);
}
