#include "gocore/go_target.h"

#include <inttypes.h>
#include <stdlib.h>

#include "target/go_threads.h"

static enum gc_code no_thread(gc_tid tid, struct gc_error *err)
{
	return gc_fail(err, GC_E_NOT_FOUND, "there is no thread %" PRId64, tid);
}

static const struct gc_tids *threads(struct gc_target *base)
{
	struct go_target *t = go_target_of(base);

	go_threads_build(t);
	return t->tids.count ? &t->tids : t->inner->ops->threads(t->inner);
}

static bool has_thread(struct gc_target *base, gc_tid tid)
{
	struct go_target *t = go_target_of(base);

	return t->inner->ops->has_thread(t->inner, tid) || go_threads_goroutine(t, tid);
}

/** The OS thread that speaks for an id: its own, or with goroutines alone that of the one that it runs. */
static gc_tid thread_behind(struct go_target *t, gc_tid tid)
{
	const struct gc_goroutine *g;
	const struct go_os_thread *os;

	if (!t->options.only_goroutines || t->inner->ops->has_thread(t->inner, tid))
		return tid;
	g = go_threads_goroutine(t, tid);
	os = g ? go_threads_running(t, g) : NULL;
	return os ? os->tid : tid;
}

static enum gc_code read_regs(struct gc_target *base, gc_tid tid, struct gc_regs *out, struct gc_error *err)
{
	struct go_target *t = go_target_of(base);
	const struct gc_goroutine *g;

	if (t->inner->ops->has_thread(t->inner, tid))
		return t->inner->ops->read_regs(t->inner, tid, out, err);
	g = go_threads_goroutine(t, tid);
	return g ? go_regs_read(t, g, out, err) : no_thread(tid, err);
}

static enum gc_code describe(struct gc_target *base, gc_tid tid, struct gc_thread_text *out, struct gc_error *err)
{
	struct go_target *t = go_target_of(base);
	const struct go_os_thread *os;
	const struct gc_goroutine *g;

	if (t->inner->ops->has_thread(t->inner, tid)) {
		if (t->inner->ops->describe(t->inner, tid, out, err) != GC_OK)
			return err ? err->code : GC_E_NOT_FOUND;
		os = go_threads_os(t, tid);
		if (os)
			go_names_os(t, os, out);
		return GC_OK;
	}
	g = go_threads_goroutine(t, tid);
	if (!g)
		return no_thread(tid, err);
	*out = (struct gc_thread_text){ .name = "" };
	go_names_goroutine(t, g, out);
	return GC_OK;
}

static int signal_of(struct gc_target *base, gc_tid tid)
{
	struct go_target *t = go_target_of(base);

	return t->inner->ops->signal(t->inner, thread_behind(t, tid));
}

static const struct gc_note *siginfo_of(struct gc_target *base, gc_tid tid)
{
	struct go_target *t = go_target_of(base);

	return t->inner->ops->siginfo(t->inner, thread_behind(t, tid));
}

/** All but the inner target. */
static void release(struct go_target *t)
{
	gc_go_close(t->go);
	gc_problems_deinit(&t->problems);
	gc_shared_free(t->groups);
	free(t->by_goid);
	free(t->os);
	free(t->list);
	free(t->tids.list);
	free(t);
}

static void destroy(struct gc_target *base)
{
	struct go_target *t = go_target_of(base);

	gc_target_free(t->inner);
	release(t);
}

static const struct gc_target_ops go_ops = {
	.threads = threads,
	.has_thread = has_thread,
	.read_regs = read_regs,
	.describe = describe,
	.signal = signal_of,
	.siginfo = siginfo_of,
	.destroy = destroy,
};

static int compare_goids(const void *a, const void *b)
{
	const struct by_goid *x = a, *y = b;

	if (x->goid != y->goid)
		return x->goid < y->goid ? -1 : 1;
	return x->g < y->g ? -1 : x->g > y->g;
}

/** Of two with one number, which only damage makes, the first. */
static enum gc_code sort_goids(struct go_target *t, struct gc_error *err)
{
	t->by_goid = calloc(t->ngoroutines + 1, sizeof(*t->by_goid));
	if (!t->by_goid)
		return gc_fail_memory(err);
	for (size_t i = 0; i < t->ngoroutines; i++)
		t->by_goid[i] = (struct by_goid){ t->goroutines[i].goid, (uint32_t)i };
	qsort(t->by_goid, t->ngoroutines, sizeof(*t->by_goid), compare_goids);
	for (size_t i = 0; i < t->ngoroutines; i++)
		if (t->nby_goid == 0 || t->by_goid[t->nby_goid - 1].goid != t->by_goid[i].goid)
			t->by_goid[t->nby_goid++] = t->by_goid[i];
	return GC_OK;
}

/** Without goroutines the first problem says why. */
static enum gc_code no_goroutines(const struct go_target *t, struct gc_error *err)
{
	const struct gc_problems *p = &t->problems;

	if (!p->count)
		return gc_fail(err, GC_E_FORMAT, "the Go runtime has no goroutines");
	return gc_fail(err, GC_E_FORMAT, "%s: %s", p->list[p->count - 1].where, p->list[p->count - 1].what);
}

static enum gc_code open_runtime(struct go_target *t, struct gc_error *err)
{
	enum gc_code code = gc_go_open(&t->go, t->base.process, &t->problems, err);

	if (code != GC_OK)
		return code;
	t->goroutines = gc_go_goroutines(t->go, &t->ngoroutines);
	if (!t->ngoroutines)
		return no_goroutines(t, err);
	code = sort_goids(t, err);
	if (code == GC_OK && t->nby_goid > t->options.group_beyond)
		code = gc_shared_new(&t->groups, err);
	return code;
}

enum gc_code gc_go_target_new(struct gc_target **out, struct gc_target *inner,
			      const struct gc_go_target_options *options, struct gc_error *err)
{
	struct go_target *t = calloc(1, sizeof(*t));
	enum gc_code code;

	if (!t)
		return gc_fail_memory(err);
	t->base = *inner;
	t->base.ops = &go_ops;
	t->options = *options;
	t->base.os_threads = inner;
	t->inner = inner;
	code = open_runtime(t, err);
	if (code != GC_OK) {
		release(t);
		return code;
	}
	*out = &t->base;
	return GC_OK;
}

struct gc_go *gc_go_target_go(struct gc_target *t)
{
	return t->ops == &go_ops ? go_target_of(t)->go : NULL;
}

bool gc_go_target_is_grouped(struct gc_target *t)
{
	return t->ops == &go_ops && go_target_of(t)->groups;
}

const struct gc_problems *gc_go_target_problems(struct gc_target *t)
{
	return t->ops == &go_ops ? &go_target_of(t)->problems : NULL;
}
