/* What in a core a reader trips over, and its normalised form does not have. */
#include <inttypes.h>
#include <string.h>

#include "gocore/normalize.h"

/** One gc_normalize_reasons call. */
struct reasons {
	const struct gc_process *p;
	struct gc_problems *out;
	size_t count;
};

#define ADD(r, where, ...) ((r)->count++, gc_problem((r)->out, where, __VA_ARGS__))

static void look_at_file(struct reasons *r)
{
	const struct gc_input *in = &r->p->core.input;

	if (in->compression)
		ADD(r, "file", "it is compressed with %s", in->compression);
	else if (strcmp(in->path, "-") == 0)
		ADD(r, "file", "it came through standard input");
}

/** Notes that have no owner are nobody's to gdb and lldb; Delve never looks at owners. */
static void look_at_owners(struct reasons *r)
{
	const struct gc_core *core = &r->p->core;

	if (core->maker == GC_MADE_BY_DELVE_PORTABLE)
		ADD(r, "notes", "it has Delve's thread notes and no NT_PRSTATUS");
	else if (core->maker == GC_MADE_BY_DELVE)
		ADD(r, "notes", "they have no owner names, as Delve writes them");
}

static void look_at_note_segments(struct reasons *r)
{
	if (r->p->core.nnote_segments > 1)
		ADD(r, "notes", "they are in %zu segments, of which the first alone would be read",
		    r->p->core.nnote_segments);
}

static void look_at_lengths(struct reasons *r)
{
	const struct gc_core *core = &r->p->core;
	size_t odd = 0;

	for (size_t i = 0; i < core->nthreads; i++) {
		const struct gc_note *note = core->threads[i].prstatus;

		odd += note && note->desc_len != core->arch->prstatus_size;
	}
	if (odd)
		ADD(r, "notes", "NT_PRSTATUS of %zu threads has not the %u bytes that it should have", odd,
		    core->arch->prstatus_size);
}

/** Memory that the core does not hold. Of NT_FILE's rows Delve takes those of other files for the program's. */
static void look_at_memory(struct reasons *r, enum gc_reader reader)
{
	const struct gc_process *p = r->p;
	uint64_t program = 0, others = 0, wrong = 0;

	for (size_t i = 0; i < p->space.count; i++) {
		const struct gc_range *g = &p->space.ranges[i];
		uint64_t len = g->end - g->start;
		bool is_program = g->image && g->image->is_program;

		if (g->what == GC_RANGE_RECOVERED)
			*(is_program ? &program : &others) += len;
		if (g->what != GC_RANGE_DUMPED && g->file && !is_program)
			wrong += len;
	}
	if (reader == GC_READER_DELVE && p->core.has_files && wrong)
		ADD(r, "memory", "%.1f MiB of other files would be read out of the program", (double)wrong / 0x1p20);
	else if (!p->core.has_files && program + others)
		ADD(r, "memory", "%.1f MiB of it are in files that no NT_FILE names",
		    (double)(program + others) / 0x1p20);
	else if (reader == GC_READER_ANY && program + others)
		ADD(r, "memory", "%.1f MiB of it are in files only", (double)(program + others) / 0x1p20);
}

size_t gc_normalize_reasons(const struct gc_process *p, enum gc_reader reader, struct gc_problems *out)
{
	struct reasons r = { .p = p, .out = out };

	look_at_file(&r);
	if (reader != GC_READER_DELVE)
		look_at_owners(&r);
	if (reader == GC_READER_DELVE || reader == GC_READER_ANY)
		look_at_note_segments(&r);
	look_at_lengths(&r);
	look_at_memory(&r, reader);
	return r.count;
}
