/*
 * What earlier runs found out about the addresses of one file, kept in a
 * folder of the user's. The debug information of a C library is 8 MiB that
 * Debian compresses, and to unpack it takes twenty times as long as all else
 * that a snapshot does; but most stacks of most cores go through the same few
 * of its functions.
 *
 * A file BUILD-ID.lines holds a line of text that names the format, this
 * program, the file with the debug information and its supplement, then a
 * CRC-32 of what follows, then the answers. It is replaced as a whole, and one
 * that is anybody else's, damaged, or of another program or file is ignored.
 */
#ifndef SYM_LINE_CACHE_H
#define SYM_LINE_CACHE_H

#include "gocore/buf.h"
#include "gocore/cursor.h"
#include "gocore/lines.h"

/** What the answers are about. */
struct gc_line_cache {
	const char *dir;                         /* made if need be */
	const struct gc_elf_file *source;        /* has the debug information, and a build ID */
	const struct gc_elf_file *supplement;    /* or NULL */
};

/**
 * The answers, to be taken by gc_line_cache_next from @answers.
 *
 * @return what the strings of the answers lie in, to be freed; NULL: there are none
 */
char *gc_line_cache_read(const struct gc_line_cache *cache, struct gc_cursor *answers);

/** @param frames  room for @max; @return false at the end */
bool gc_line_cache_next(struct gc_cursor *answers, uint64_t *pc, struct gc_line_frame *frames, size_t max,
			size_t *count);

/** @return false if there is no room for more */
bool gc_line_cache_add(struct gc_buf *answers, uint64_t pc, const struct gc_line_frame *frames, size_t count);

/** Keep them in the place of those that were there. That it fails (no space, a sandbox) is of no importance. */
void gc_line_cache_write(const struct gc_line_cache *cache, const struct gc_buf *answers);

#endif
