/*
 * What was found out about the addresses of one image: the symbol and the
 * frames at each, and the calls of the function there.
 */
#ifndef SYM_ANSWERS_H
#define SYM_ANSWERS_H

#include "gocore/lines.h"

#include "sym/call_sites.h"
#include "sym/symbol_table.h"

#define GC_MAX_INLINED 256 /* frames of one address */

struct gc_answer {
	uint64_t pc;                       /* link-time */
	struct gc_line_frame *frames;
	size_t count;                      /* 0: nothing is known */
	const struct gc_call_sites *calls; /* NULL: not known */
	struct gc_table_symbol symbol;     /* its name is NULL: none is known */
	bool used;                         /* there is such an answer */
	bool has_frames, has_calls, has_symbol; /* this was asked for, and what is said above is true */
	bool is_old;                       /* of an earlier run */
};

/** What a symbol table has under a name. */
struct gc_named {
	char *name;
	uint64_t value;                    /* link-time; 0: no such symbol */
	bool exports;                      /* this is said of .dynsym, not of the best table */
};

struct gc_answers {
	struct gc_answer *list;            /* hash table by pc */
	size_t count, size;
	struct gc_call_sites **calls;      /* of the functions that were asked for, each once */
	size_t ncalls;
	struct gc_named *named;
	size_t nnamed;
	char *cached;                      /* strings of earlier runs */
	bool is_new;                       /* something was found out in this run */
};

void gc_answers_deinit(struct gc_answers *answers);

/** @return the one for @pc, which may be empty; lives until the next call. NULL: out of memory */
struct gc_answer *gc_answers_at(struct gc_answers *answers, uint64_t pc);

/** Remember @frames, a copy of them; none: that nothing is known. @return false: out of memory */
bool gc_answers_set_frames(struct gc_answers *answers, struct gc_answer *a, const struct gc_line_frame *frames,
			   size_t count);

/** @param symbol  NULL: there is none; its name is not copied */
void gc_answers_set_symbol(struct gc_answers *answers, struct gc_answer *a, const struct gc_table_symbol *symbol);

/** @param calls  those of gc_answers_add_calls, or NULL: nothing is known */
void gc_answers_set_calls(struct gc_answers *answers, struct gc_answer *a, const struct gc_call_sites *calls);

/** Those of the function whose DIE is at @die, if they were added; NULL: no. */
const struct gc_call_sites *gc_answers_calls(const struct gc_answers *answers, uint64_t die);

/** @param calls  taken over, on failure too. @return NULL: there is no room */
const struct gc_call_sites *gc_answers_add_calls(struct gc_answers *answers, struct gc_call_sites *calls);

/** @return false: this was not asked before */
bool gc_answers_named(const struct gc_answers *answers, bool exports, const char *name, uint64_t *value);

/** @return false: there is no room */
bool gc_answers_add_named(struct gc_answers *answers, bool exports, const char *name, uint64_t value);

struct gc_line_cache;

/**
 * Add what earlier runs found out.
 *
 * @param is_same  are answers good that were found with this supplementary file, in gc_line_cache_supplement's words?
 */
void gc_answers_load(struct gc_answers *answers, const struct gc_line_cache *cache,
		     bool (*is_same)(void *data, const char *supplement), void *data);

/** Keep all for others. */
void gc_answers_save(const struct gc_answers *answers, const struct gc_line_cache *cache, const char *supplement);

#endif
