/* What was found out about the addresses of one image: the frames at each, and the calls of the function there. */
#ifndef SYM_ANSWERS_H
#define SYM_ANSWERS_H

#include "gocore/lines.h"

#include "sym/call_sites.h"

#define GC_MAX_INLINED 256 /* frames of one address */

struct gc_answer {
	uint64_t pc;                       /* link-time */
	struct gc_line_frame *frames;
	size_t count;                      /* 0: nothing is known */
	const struct gc_call_sites *calls; /* NULL: not known */
	bool used;                         /* there is such an answer */
	bool has_frames, has_calls;        /* this was asked for, and what is said above is true */
	bool is_old;                       /* of an earlier run */
};

struct gc_answers {
	struct gc_answer *list;            /* hash table by pc */
	size_t count, size;
	struct gc_call_sites **calls;      /* of the functions that were asked for, each once */
	size_t ncalls;
	char *cached;                      /* strings of earlier runs */
	bool is_new;                       /* something was found out in this run */
};

void gc_answers_deinit(struct gc_answers *answers);

/** @return the one for @pc, which may be empty; lives until the next call. NULL: out of memory */
struct gc_answer *gc_answers_at(struct gc_answers *answers, uint64_t pc);

/** Remember @frames, a copy of them; none: that nothing is known. @return false: out of memory */
bool gc_answers_set_frames(struct gc_answers *answers, struct gc_answer *a, const struct gc_line_frame *frames,
			   size_t count);

/** @param calls  those of gc_answers_add_calls, or NULL: nothing is known */
void gc_answers_set_calls(struct gc_answers *answers, struct gc_answer *a, const struct gc_call_sites *calls);

/** Those of the function whose DIE is at @die, if they were added; NULL: no. */
const struct gc_call_sites *gc_answers_calls(const struct gc_answers *answers, uint64_t die);

/** @param calls  taken over, on failure too. @return NULL: there is no room */
const struct gc_call_sites *gc_answers_add_calls(struct gc_answers *answers, struct gc_call_sites *calls);

struct gc_line_cache;

/** Add what earlier runs found out, and keep all for others. */
void gc_answers_load(struct gc_answers *answers, const struct gc_line_cache *cache);
void gc_answers_save(const struct gc_answers *answers, const struct gc_line_cache *cache);

#endif
