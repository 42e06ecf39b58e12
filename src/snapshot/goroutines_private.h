/* Shared by the writers of goroutines, one for each format. */
#ifndef SNAPSHOT_GOROUTINES_PRIVATE_H
#define SNAPSHOT_GOROUTINES_PRIVATE_H

#include "gocore/buf.h"
#include "gocore/go.h"
#include "gocore/goroutines.h"

#include "base/intern.h"

/** What all formats know while they are written. */
struct goroutines {
	const struct gc_process *p;
	struct gc_go *go;
	const struct gc_goroutines_options *options;
	struct gc_problems *problems;
	const struct gc_goroutine *crashed; /* the one that ended the process; NULL: none */
	struct gc_go_panics panics;

	struct gc_buf out;                  /* not passed on yet */
	gc_write_fn *write;
	void *data;

	struct c_frames *c;                 /* made when the first goroutine in C is met */
	struct gc_intern matched;           /* addresses of function names, */
	struct gc_buf matches;              /* and for each whether it matches options->function */
	size_t nframes;                     /* of all goroutines so far */
	bool full;                          /* that were too many */
};

/** One goroutine and its frames. */
struct goroutine_view {
	const struct gc_goroutine *g;
	const struct gc_frame *frames;
	size_t nframes;
};

/** A format. Appends to g->out, which is passed on between the calls. */
struct goroutines_writer {
	enum gc_code (*begin)(void *writer, struct goroutines *g, struct gc_error *err);
	enum gc_code (*add)(void *writer, struct goroutines *g, const struct goroutine_view *view,
			    struct gc_error *err);
	enum gc_code (*end)(void *writer, struct goroutines *g, struct gc_error *err);
	void (*deinit)(void *writer);
	size_t size;
};

extern const struct goroutines_writer goroutines_text, goroutines_text_groups;
extern const struct goroutines_writer goroutines_json, goroutines_json_groups;
extern const struct goroutines_writer goroutines_folded, goroutines_pprof;

/** Pass g->out on. @return GC_E_MEMORY or GC_E_IO */
enum gc_code goroutines_flush(struct goroutines *g, struct gc_error *err);

/**
 * Append the frames of the C code that a goroutine has called and is in, down to
 * where its own stack begins. None for one that is not in C; what cannot be
 * unwound is left out.
 *
 * C frames further down, between a callback and the call that led to it, are not
 * shown: like the runtime's traceback this is the goroutine's own stack.
 */
enum gc_code goroutine_c_frames(struct goroutines *g, const struct gc_goroutine *goroutine, struct gc_frames *out,
				struct gc_error *err);
void goroutine_c_close(struct goroutines *g);

/* Goroutines with the same frames, state and creator as one. */

struct goroutine_group {
	struct goroutine_view first; /* its frames are the group's own */
	size_t count;
	uint32_t min_minutes, max_minutes;
	struct gc_buf goids;         /* uint64_t each, in host order */
	size_t order;                /* in which they came */
};

struct goroutine_groups {
	struct gc_intern keys;       /* a group's index is its key's */
	struct goroutine_group *list;
	size_t count, cap;
	size_t nframes;              /* of all groups */
	struct gc_buf key;
};

/** Add to its group. @param by_state goroutines of different states or creators are never joined */
enum gc_code goroutine_groups_add(struct goroutine_groups *groups, const struct goroutine_view *view,
				  bool by_state, struct gc_error *err);
/** Largest first, equal ones as they came. Nothing can be added any more. */
void goroutine_groups_sort(struct goroutine_groups *groups);
void goroutine_groups_deinit(struct goroutine_groups *groups);

/** "waiting", or the wait reason if there is one. */
const char *goroutine_state(const struct gc_goroutine *g);

/* Folded lines. */

struct folded {
	struct gc_intern lines;
	size_t *counts;
	size_t cap;
};

/** Count @count more stacks. @param state to be the root; NULL: none */
enum gc_code folded_add(struct folded *folded, const char *state, const struct gc_frame *frames, size_t nframes,
			size_t count, struct gc_error *err);
/** Write the lines; by text, or @largest first. */
enum gc_code folded_write(const struct folded *folded, bool largest, struct gc_buf *out, struct gc_error *err);
void folded_deinit(struct folded *folded);

/* A profile.proto (github.com/google/pprof) of stacks. */

struct profile_label {
	const char *key;
	const char *text;   /* NULL: it is a number */
	int64_t number;
	const char *unit;   /* of the number */
};

struct profile {
	struct gc_intern strings;   /* [0] is "" */
	struct gc_intern functions; /* (name, file) as string indexes */
	struct gc_intern locations; /* pc and exact */
	struct gc_intern mappings;  /* addresses of gc_image */
	struct gc_intern samples;   /* encoded locations and labels */
	struct gc_buf function_bytes, location_bytes, mapping_bytes;
	int64_t *counts;            /* of samples */
	size_t cap;
	struct gc_buf scratch, message, text;
};

enum gc_code profile_init(struct profile *profile, struct gc_error *err);
enum gc_code profile_add(struct profile *profile, const struct gc_frame *frames, size_t nframes,
			 const struct profile_label *labels, size_t nlabels, struct gc_error *err);
/** Encode as one message, not compressed. */
enum gc_code profile_encode(struct profile *profile, struct gc_buf *out, struct gc_error *err);
void profile_deinit(struct profile *profile);

/* Numbers without the cost of printf. */
void put_hex(struct gc_buf *b, uint64_t value); /* "0x1f" */
void put_uint(struct gc_buf *b, uint64_t value);

#endif
