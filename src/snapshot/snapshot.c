#include "gocore/snapshot.h"

#include <inttypes.h>
#include <stdio.h>

#include "document/signature.h"
#include "snapshot/go_facts.h"
#include "snapshot/snap.h"

const char *gc_snap_value(uint64_t value, char buf[24])
{
	snprintf(buf, 24, value ? "0x%" PRIx64 : "%" PRIu64, value);
	return buf;
}

/** The goroutine that the thread runs. */
static void add_goid(struct gc_snap *s, json_t *object, gc_tid tid)
{
	const struct gc_go_m *m = s->go ? gc_go_m_of_thread(s->go, tid) : NULL;
	const struct gc_goroutine *g = m && m->curg ? gc_go_goroutine_at(s->go, m->curg) : NULL;

	if (g)
		gc_doc_size(&s->d, object, "goid", g->goid);
}

static void add_state(struct gc_snap *s, json_t *object, struct gc_snap_thread *t)
{
	struct gc_regs regs;

	if (gc_core_regs(&s->p->core, t->thread, &s->p->regmap, &regs, &s->d.problems, NULL) != GC_OK) {
		s->d.failed = true;
		return;
	}
	t->regs = &regs;
	if (t->crashed)
		gc_snap_fault(s, object, t);
	gc_snap_syscall(s, object, t);
	gc_snap_registers(s, object, &regs);
	gc_snap_frames(s, object, t);
	gc_snap_code(s, object, t);
	gc_regs_deinit(&regs);
}

static json_t *thread_of(struct gc_snap *s, size_t index)
{
	const struct gc_core *core = &s->p->core;
	struct gc_snap_thread t = { .thread = &core->threads[index], .crashed = index == 0 && core->signal };
	json_t *object = gc_doc_object(&s->d);

	gc_doc_int(&s->d, object, "tid", t.thread->tid);
	/* pr_fname is the name of the thread group's leader (fill_psinfo in fs/binfmt_elf.c) */
	if (core->has_prpsinfo && t.thread->tid == core->prpsinfo.pid)
		gc_doc_str(&s->d, object, "name", core->prpsinfo.fname);
	gc_doc_bool(&s->d, object, "crashed", t.crashed);
	add_goid(s, object, t.thread->tid);
	/* the kernel writes the fatal signal into every thread's note */
	if (t.crashed)
		gc_doc_set(&s->d, object, "signal", gc_doc_signal_named(&s->d, t.thread->cursig));
	add_state(s, object, &t);
	return object;
}

static json_t *threads_of(struct gc_snap *s)
{
	json_t *array = gc_doc_array(&s->d);

	for (size_t i = 0; i < s->p->core.nthreads; i++)
		gc_doc_append(&s->d, array, thread_of(s, i));
	return array;
}

static void add_go(struct gc_snap *s, json_t *root)
{
	struct gc_go_panics panics;
	struct gc_error why;

	gc_snap_go(&s->d, root, gc_go_buildinfo(s->go));
	if (gc_go_panics_read(s->go, &panics, &why) != GC_OK) {
		gc_problem(&s->d.problems, "panics", "%s", why.text);
		return;
	}
	gc_snap_panics(&s->d, root, &panics);
	gc_go_panics_deinit(&panics);
	gc_snap_caught(&s->d, root, s->go);
}

/** What of the crash is the same when it happens again. */
static void add_signature(struct gc_snap *s, json_t *root)
{
	const struct gc_stack_tools tools = {
		.p = s->p, .symbols = s->symbols, .go = s->go, .lines = s->lines, .unwinder = s->unwinder,
	};
	struct gc_signature signature;
	struct gc_crash crash;

	if (!s->unwinder || gc_crash_find(&crash, &tools, NULL, NULL) != GC_OK)
		return;
	if (gc_signature_of(&signature, &crash, &tools, NULL) == GC_OK) {
		gc_doc_signature(&s->d, root, &signature);
		gc_signature_deinit(&signature);
	}
	gc_crash_deinit(&crash);
}

json_t *gc_snapshot(const struct gc_process *p, const struct gc_snapshot_options *options)
{
	struct gc_snap s = { .d = { .p = p }, .p = p, .options = options };
	json_t *root = gc_doc_begin(&s.d, "snapshot", p->core.input.path, gc_doc_program(p), p->core.arch);
	json_t *signal = gc_doc_signal(&s.d);

	if (gc_disasm_open(&s.disasm, p->core.arch, NULL) != GC_OK)
		s.disasm = NULL;
	if (s.disasm && options->att)
		gc_disasm_set_att(s.disasm);
	gc_snap_unwind_begin(&s);
	gc_doc_process(&s.d, root);
	if (signal)
		gc_doc_set(&s.d, root, "signal", signal);
	if (s.go)
		add_go(&s, root);
	gc_doc_set(&s.d, root, "threads", threads_of(&s));
	add_signature(&s, root);
	gc_doc_set(&s.d, root, "images", gc_doc_images(&s.d));
	if (options->auxv)
		gc_snap_auxv(&s, root);
	if (options->env)
		gc_snap_strings(&s, root);
	gc_snap_code_end(&s);
	gc_snap_unwind_end(&s);
	gc_disasm_close(s.disasm);
	return gc_doc_end(&s.d, root);
}
