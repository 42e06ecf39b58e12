#include "gocore/target.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gocore/signals.h"

struct core_target {
	struct gc_target base;
	struct gc_tids tids;     /* in the core's order */
	struct by_tid *index;    /* sorted by id: there may be thousands */
};

struct by_tid {
	gc_tid tid;
	size_t thread;           /* index into core.threads */
};

static struct core_target *of(struct gc_target *t)
{
	return (struct core_target *)t; /* base comes first */
}

static int compare_tids(const void *a, const void *b)
{
	const struct by_tid *x = a, *y = b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/** @return the thread, or NULL */
static const struct gc_thread *find_thread(struct gc_target *t, gc_tid tid)
{
	struct by_tid key = { .tid = tid };
	const struct by_tid *found;
	struct core_target *ct = of(t);

	if (!ct->tids.count)
		return NULL;
	found = bsearch(&key, ct->index, ct->tids.count, sizeof(*ct->index), compare_tids);
	return found ? &t->process->core.threads[found->thread] : NULL;
}

static enum gc_code no_thread(gc_tid tid, struct gc_error *err)
{
	return gc_fail(err, GC_E_NOT_FOUND, "there is no thread %" PRId64, tid);
}

static const struct gc_tids *threads(struct gc_target *t)
{
	return &of(t)->tids;
}

static bool has_thread(struct gc_target *t, gc_tid tid)
{
	return find_thread(t, tid) != NULL;
}

static enum gc_code read_regs(struct gc_target *t, gc_tid tid, struct gc_regs *out, struct gc_error *err)
{
	const struct gc_thread *thread = find_thread(t, tid);

	if (!thread)
		return no_thread(tid, err);
	return gc_core_regs(&t->process->core, thread, &t->process->regmap, out, NULL, err);
}

/** Of the thread that crashed only: the kernel writes the fatal signal into every thread's note. */
static int signal_of(struct gc_target *t, gc_tid tid)
{
	const struct gc_core *core = &t->process->core;

	if (core->nthreads == 0 || tid != core->threads[0].tid)
		return 0;
	return core->threads[0].cursig ? core->threads[0].cursig : core->signal;
}

/** A core has one name, the main thread's; what other threads called themselves is not in it. */
static enum gc_code describe(struct gc_target *t, gc_tid tid, struct gc_thread_text *out, struct gc_error *err)
{
	const struct gc_core *core = &t->process->core;
	int number = signal_of(t, tid);
	char buf[16];

	if (!find_thread(t, tid))
		return no_thread(tid, err);
	*out = (struct gc_thread_text){ .name = "" };
	if (core->has_prpsinfo && tid == core->pid)
		snprintf(out->name, sizeof(out->name), "%s", core->prpsinfo.fname);
	if (number)
		snprintf(out->extra, sizeof(out->extra), "crashed: %s", gc_signal_name(number, buf));
	return GC_OK;
}

static const struct gc_note *siginfo_of(struct gc_target *t, gc_tid tid)
{
	const struct gc_thread *thread = find_thread(t, tid);

	return thread ? gc_thread_note(&t->process->core, thread, "CORE", 0x53494749 /* NT_SIGINFO */) : NULL;
}

static void destroy(struct gc_target *t)
{
	free(of(t)->tids.list);
	free(of(t)->index);
	free(t);
}

static const struct gc_target_ops core_ops = {
	.threads = threads,
	.has_thread = has_thread,
	.read_regs = read_regs,
	.describe = describe,
	.signal = signal_of,
	.siginfo = siginfo_of,
	.destroy = destroy,
};

static bool fill_tids(struct core_target *t, const struct gc_core *core)
{
	size_t n = core->nthreads;

	t->tids.list = calloc(n ? n : 1, sizeof(*t->tids.list));
	t->index = calloc(n ? n : 1, sizeof(*t->index));
	if (!t->tids.list || !t->index)
		return false;
	for (size_t i = 0; i < n; i++) {
		t->tids.list[i] = core->threads[i].tid;
		t->index[i] = (struct by_tid){ core->threads[i].tid, i };
	}
	t->tids.count = n;
	qsort(t->index, n, sizeof(*t->index), compare_tids);
	return true;
}

enum gc_code gc_core_target_new(struct gc_target **out, const struct gc_process *p, struct gc_error *err)
{
	struct core_target *t = calloc(1, sizeof(*t));

	if (!t)
		return gc_fail_memory(err);
	t->base = (struct gc_target){ .ops = &core_ops, .process = p };
	if (!fill_tids(t, &p->core)) {
		destroy(&t->base);
		return gc_fail_memory(err);
	}
	*out = &t->base;
	return GC_OK;
}

void gc_target_free(struct gc_target *t)
{
	if (t)
		t->ops->destroy(t);
}
