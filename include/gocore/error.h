/*
 * Errors: a code for decisions, a sentence for people.
 *
 * A function that can fail returns enum gc_code and takes a struct gc_error *
 * as its last parameter. The caller owns it; nothing is allocated. A NULL
 * gc_error is allowed where only the code matters.
 */
#ifndef GOCORE_ERROR_H
#define GOCORE_ERROR_H

#include <stddef.h>

#define GC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define GC_PRINTF(index, first) __attribute__((format(printf, index, first)))

enum gc_code {
	GC_OK = 0,
	GC_E_IO,          /* the operating system refused: open, read, no room */
	GC_E_FORMAT,      /* the bytes contradict their format */
	GC_E_TRUNCATED,   /* the bytes end too early */
	GC_E_UNSUPPORTED, /* well formed, but not for us: 32 bits, big endian */
	GC_E_MISMATCH,    /* core and program do not belong together */
	GC_E_NOT_FOUND,   /* there is no such thing here */
	GC_E_FAULT,       /* the address is not in the dump */
	GC_E_LIMIT,       /* a count or walk went over its cap */
	GC_E_MEMORY,      /* our own memory ran out */
	GC_E_USAGE,       /* the caller's words are wrong */
};

struct gc_error {
	enum gc_code code;
	char text[512];
};

/** Set @err to @code and the formatted text. @return code */
enum gc_code gc_fail(struct gc_error *err, enum gc_code code, const char *format, ...)
	GC_PRINTF(3, 4);

/** As gc_fail with GC_E_IO; ": " and strerror(@errnum) are appended. */
enum gc_code gc_fail_errno(struct gc_error *err, int errnum, const char *format, ...)
	GC_PRINTF(3, 4);

/** Set GC_E_MEMORY. @return GC_E_MEMORY */
enum gc_code gc_fail_memory(struct gc_error *err);

/**
 * Put "formatted text: " before the text of @err.
 *
 * @return err->code, which must be set; GC_E_FORMAT when @err is NULL, since
 *         a caller that wants no text only asks whether it went well
 */
enum gc_code gc_wrap(struct gc_error *err, const char *format, ...) GC_PRINTF(2, 3);

#endif
