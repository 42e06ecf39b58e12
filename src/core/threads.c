/* The threads that the notes tell of. */
#include "gocore/core.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gocore/bytes.h"

#include "core/core_private.h"

/** struct elf_prstatus, linux/elfcore.h: its start is the same on all 64-bit architectures. */
static bool read_prstatus(const struct gc_note *note, struct gc_thread *out)
{
	const uint8_t *d = note->desc;

	if (note->desc_len < 48)
		return false;
	out->prstatus = note;
	out->cursig = gc_load_le16(d + 12);
	out->sigpend = gc_load_le64(d + 16);
	out->sighold = gc_load_le64(d + 24);
	out->tid = (int32_t)gc_load_le32(d + 32);
	out->ppid = (int32_t)gc_load_le32(d + 36);
	out->pgrp = (int32_t)gc_load_le32(d + 40);
	out->sid = (int32_t)gc_load_le32(d + 44);
	return true;
}

/** Does a thread's notes start here? In Delve's portable dumps each thread is one note. */
static bool starts_thread(const struct gc_core *core, const struct gc_note *note)
{
	return core->maker == GC_MADE_BY_DELVE_PORTABLE ? gc_note_is_delve_thread(core, note)
							: gc_note_is_prstatus(core, note);
}

static bool read_thread(struct gc_core *core, const struct gc_note *note, struct gc_thread *out)
{
	bool good;
	char where[64];

	*out = (struct gc_thread){ .first_note = (size_t)(note - core->notes) };
	if (core->maker == GC_MADE_BY_DELVE_PORTABLE)
		good = gc_delve_thread_id(note, &out->tid);
	else
		good = read_prstatus(note, out);
	if (!good)
		gc_problem(&core->problems, gc_note_where(core, note, where),
			   "%" PRIu64 " bytes are too few; its thread is left out", note->desc_len);
	else if (out->tid <= 0)
		gc_problem(&core->problems, gc_note_where(core, note, where),
			   "thread number %" PRId64 " cannot be; its thread is left out", out->tid);
	return good && out->tid > 0;
}

static size_t count_threads(const struct gc_core *core)
{
	size_t n = 0;

	for (size_t i = 0; i < core->nnotes; i++)
		n += starts_thread(core, &core->notes[i]);
	return n;
}

static enum gc_code list_threads(struct gc_core *core, struct gc_error *err)
{
	size_t count = count_threads(core);
	struct gc_thread *open = NULL; /* whose notes we are among */

	core->threads = calloc(count ? count : 1, sizeof(*core->threads));
	if (!core->threads)
		return gc_fail_memory(err);
	for (size_t i = 0; i < core->nnotes; i++) {
		if (starts_thread(core, &core->notes[i])) {
			open = &core->threads[core->nthreads];
			if (read_thread(core, &core->notes[i], open))
				core->nthreads++;
			else
				open = NULL; /* the notes of a damaged one are nobody's */
		}
		if (open)
			open->nnotes++;
	}
	return GC_OK;
}

struct tid_at {
	gc_tid tid;
	size_t index;
};

static int by_tid(const void *a, const void *b)
{
	const struct tid_at *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/** Take out threads marked by tid 0. */
static void drop_marked(struct gc_core *core)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->nthreads; i++)
		if (core->threads[i].tid)
			core->threads[kept++] = core->threads[i];
	core->nthreads = kept;
}

/** Thread numbers are names to a debugger: one that comes again is left out. */
static enum gc_code drop_doubles(struct gc_core *core, struct gc_error *err)
{
	struct tid_at *order = malloc((core->nthreads + 1) * sizeof(*order));
	char where[64];

	if (!order)
		return gc_fail_memory(err);
	for (size_t i = 0; i < core->nthreads; i++)
		order[i] = (struct tid_at){ core->threads[i].tid, i };
	qsort(order, core->nthreads, sizeof(*order), by_tid);
	for (size_t i = 1; i < core->nthreads; i++) {
		struct gc_thread *t = &core->threads[order[i].index];

		if (order[i].tid != order[i - 1].tid)
			continue;
		gc_problem(&core->problems, gc_note_where(core, &core->notes[t->first_note], where),
			   "thread %" PRId64 " comes a second time; left out", t->tid);
		t->tid = 0;
	}
	free(order);
	drop_marked(core);
	return GC_OK;
}

enum gc_code gc_notes_read_threads(struct gc_core *core, struct gc_error *err)
{
	enum gc_code code = list_threads(core, err);

	return code == GC_OK ? drop_doubles(core, err) : code;
}

const struct gc_note *gc_thread_note(const struct gc_core *core, const struct gc_thread *thread,
				     const char *owner, uint32_t type)
{
	for (size_t i = 0; i < thread->nnotes; i++)
		if (gc_note_is(core, &core->notes[thread->first_note + i], owner, type))
			return &core->notes[thread->first_note + i];
	return NULL;
}
