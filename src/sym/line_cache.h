/*
 * What earlier runs found out about the addresses of one file, kept in a
 * folder of the user's. The debug information of a C library is 8 MiB that
 * Debian compresses, and to unpack it takes twenty times as long as all else
 * that a snapshot does; but most stacks of most cores go through the same few
 * of its functions. Where there is less of it, to open and search it, or a
 * table of 10,000 symbols, still takes a third of the time.
 *
 * A file BUILD-ID-SUM.lines holds a line of text that names the format, this
 * program, the image's file and its debug file, then a CRC-32 of what follows:
 * a string about the supplementary file, then records. It is replaced as a
 * whole, and one that is anybody else's, damaged, or of another program or
 * file is ignored.
 * What was not written to for 30 days is removed by the next to write.
 */
#ifndef SYM_LINE_CACHE_H
#define SYM_LINE_CACHE_H

#include "gocore/buf.h"
#include "gocore/cursor.h"
#include "gocore/lines.h"

#include "sym/call_sites.h"
#include "sym/symbol_table.h"

/** What the answers are about. */
struct gc_line_cache {
	const char *dir;                  /* made if need be */
	const struct gc_elf_file *image;  /* has a build ID */
	const struct gc_elf_file *debug;  /* its separate debug file, or NULL */
};

/** What the answers say of dwz's file; "" if none is needed, which the other two files alone decide. */
void gc_line_cache_supplement(struct gc_buf *out, bool needed, const struct gc_elf_file *supplement);

/**
 * The answers, to be taken by gc_line_cache_next from @answers.
 *
 * @param supplement  they are of this one, in gc_line_cache_supplement's words
 * @return what the strings of the answers lie in, to be freed; NULL: there are none
 */
char *gc_line_cache_read(const struct gc_line_cache *cache, struct gc_cursor *answers, const char **supplement);

/** The calls of one function, the value of one name, or what is known of one address. */
struct gc_line_record {
	bool is_named, exports;
	const char *name;
	uint64_t value;

	bool is_calls;
	struct gc_call_sites calls;    /* its list is the caller's to free */

	uint64_t pc;
	bool has_frames, has_calls, has_symbol; /* this was looked for */
	size_t count;                  /* frames */
	bool knows_calls;
	uint64_t die;                  /* of the function, whose calls came before */
	struct gc_table_symbol symbol; /* its name is NULL: none is known */
};

/** @param frames  room for @max; @return false at the end */
bool gc_line_cache_next(struct gc_cursor *answers, struct gc_line_record *out, struct gc_line_frame *frames,
			size_t max);

/** What comes first, in gc_line_cache_supplement's words. */
void gc_line_cache_add_supplement(struct gc_buf *answers, const char *supplement);

/** @return false if there is no room for more */
bool gc_line_cache_add(struct gc_buf *answers, const struct gc_line_record *record,
		       const struct gc_line_frame *frames);
bool gc_line_cache_add_named(struct gc_buf *answers, bool exports, const char *name, uint64_t value);
bool gc_line_cache_add_calls(struct gc_buf *answers, const struct gc_call_sites *calls);

/** Keep them in the place of those that were there. That it fails (no space, a sandbox) is of no importance. */
void gc_line_cache_write(const struct gc_line_cache *cache, const struct gc_buf *answers);

#endif
