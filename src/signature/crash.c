/* Which thread or goroutine the process died of. */
#include "gocore/crash.h"

#include <signal.h>
#include <string.h>

#include "gocore/bytes.h"

/* Threads that are looked at for the one that had the fault. */
#define MAX_THREADS 4096

/* siginfo_t of 64-bit systems, asm-generic/siginfo.h. */
#define SI_ERRNO 4
#define SI_CODE  8
#define SI_PID   16
#define SI_ADDR  16
#define SI_END   24

/* No pid is larger: PID_MAX_LIMIT, include/linux/threads.h. */
#define PID_MAX (4U << 20)

/** The siginfo that the kernel left for the handler before @index. Without SA_SIGINFO it writes none. */
static bool read_siginfo(const struct gc_process *p, const struct gc_frames *frames, size_t index, uint8_t info[SI_END])
{
	const struct gc_arch *arch = p->core.arch;
	const struct gc_frame *handler;
	uint64_t ucontext;
	bool in_go;

	if (index == 0 || index >= frames->count || frames->list[index].how != GC_HOW_SIGNAL_FRAME)
		return false;
	handler = &frames->list[index - 1];
	in_go = handler->how == GC_HOW_PCLNTAB; /* Go's sigtramp; else the code that calls sigreturn */
	if (in_go && !handler->cfa)
		return false;
	ucontext = in_go ? handler->cfa + arch->go_abi.ucontext : handler->sp + arch->unwind.ucontext;
	return gc_space_read_all(&p->space, ucontext + (uint64_t)arch->unwind.siginfo, info, SI_END, NULL) == GC_OK;
}

/** Can the kernel have written it? */
static bool is_siginfo(const uint8_t *info)
{
	const int32_t code = (int32_t)gc_load_le32(info + SI_CODE);
	const bool has_pid = code == SI_USER || code == SI_QUEUE || code == SI_TKILL;

	return gc_load_le32(info) <= 64 && gc_load_le32(info + SI_ERRNO) == 0 && code > -64 && code < 256 &&
	       (!has_pid || gc_load_le32(info + SI_PID) < PID_MAX);
}

int gc_frame_signal(const struct gc_process *p, const struct gc_frames *frames, size_t index, int *code)
{
	uint8_t info[SI_END];

	*code = 0;
	if (!read_siginfo(p, frames, index, info) || !is_siginfo(info))
		return 0;
	*code = (int32_t)gc_load_le32(info + SI_CODE);
	return (int)gc_load_le32(info);
}

bool gc_frame_fault(const struct gc_process *p, const struct gc_frames *frames, size_t index, uint64_t *addr)
{
	uint8_t info[SI_END];
	int signal;

	if (!read_siginfo(p, frames, index, info) || !is_siginfo(info))
		return false;
	signal = (int)gc_load_le32(info);
	if ((signal != SIGSEGV && signal != SIGBUS) || (int32_t)gc_load_le32(info + SI_CODE) <= 0)
		return false;
	*addr = gc_load_le64(info + SI_ADDR);
	return true;
}

/** Made by the kernel for what the thread itself did, and not sent by anyone. */
static bool is_fault(int signal, int code)
{
	return code > 0 && (signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL ||
			    signal == SIGTRAP || signal == SIGSYS);
}

/** The fault that a handler on this stack was called for; 0: none. */
static int handled_fault(const struct gc_process *p, const struct gc_frames *frames)
{
	for (size_t i = frames->count; i-- > 0;) {
		int code, signal = gc_frame_signal(p, frames, i, &code);

		if (is_fault(signal, code))
			return signal;
	}
	return 0;
}

/** The signal that Go made a panic of: sigpanic is on the stack as if the code had called it. */
static int panicked_signal(const struct gc_crash *c)
{
	for (size_t i = 0; c->goroutine && i < c->frames.count; i++) {
		const char *function = c->frames.list[i].function;

		if (function && strcmp(function, "runtime.sigpanic") == 0)
			return (int)c->goroutine->signal;
	}
	return 0;
}

static const struct gc_goroutine *running_on(const struct gc_go *go, const struct gc_thread *thread)
{
	const struct gc_go_m *m = go && thread ? gc_go_m_of_thread(go, thread->tid) : NULL;

	return m && m->curg ? gc_go_goroutine_at(go, m->curg) : NULL;
}

static const struct gc_thread *thread_of(const struct gc_core *core, gc_tid tid)
{
	for (size_t i = 0; tid && i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return NULL;
}

static enum gc_code unwind_thread(struct gc_crash *c, const struct gc_stack_tools *tools,
				  const struct gc_thread *thread, struct gc_problems *problems, struct gc_error *err)
{
	enum gc_code code;

	gc_regs_deinit(&c->regs);
	gc_frames_clear(&c->frames);
	c->thread = thread;
	c->goroutine = running_on(tools->go, thread);
	c->end = (struct gc_stack_end){ .kind = GC_STACK_COMPLETE };
	code = gc_core_regs(&tools->p->core, thread, &tools->p->regmap, &c->regs, problems, err);
	if (code == GC_OK)
		code = gc_unwind_thread(tools->unwinder, &c->regs, thread->tid, &c->frames, &c->end, err);
	return code == GC_E_MEMORY ? code : GC_OK;
}

/** A goroutine that panics and is on no thread: Delve writes such cores. */
static enum gc_code unwind_goroutine(struct gc_crash *c, const struct gc_stack_tools *tools,
				     const struct gc_goroutine *g, struct gc_error *err)
{
	struct gc_go_state state;
	enum gc_code code = GC_OK;

	gc_regs_deinit(&c->regs);
	gc_frames_clear(&c->frames);
	c->thread = NULL;
	c->goroutine = g;
	if (gc_go_from_goroutine(tools->go, g, &state))
		code = gc_unwind_go(tools->unwinder, &state, &c->frames, &c->end, err);
	return code == GC_E_MEMORY ? code : GC_OK;
}

/** The one whose own doing the crash was, where the first thread was only told of it. */
static enum gc_code find_fault(struct gc_crash *c, const struct gc_stack_tools *tools, struct gc_problems *problems,
			       struct gc_error *err)
{
	const struct gc_core *core = &tools->p->core;
	enum gc_code code = GC_OK;

	for (size_t i = 1; i < core->nthreads && i < MAX_THREADS && code == GC_OK; i++) {
		const struct gc_go_m *m = gc_go_m_of_thread(tools->go, core->threads[i].tid);

		if (!m || !m->throwing)
			continue;
		code = unwind_thread(c, tools, &core->threads[i], problems, err);
		if (code == GC_OK)
			c->signal = handled_fault(tools->p, &c->frames);
		if (c->signal)
			return code;
	}
	c->signal = core->signal;
	return code == GC_OK ? unwind_thread(c, tools, &core->threads[0], problems, err) : code;
}

/**
 * Did the first thread get its signal from the Go runtime of another one? With
 * GOTRACEBACK=crash the thread that has the fault sends SIGQUIT to the others,
 * and the last of them aborts (sighandler in runtime/signal_unix.go).
 */
static bool is_relayed(const struct gc_stack_tools *tools, const struct gc_crash *c)
{
	for (size_t i = 0; tools->go && i < c->frames.count; i++) {
		int code, signal = gc_frame_signal(tools->p, &c->frames, i, &code);

		if (signal == SIGQUIT)
			return true;
	}
	return false;
}

static enum gc_code find(struct gc_crash *c, const struct gc_stack_tools *tools, struct gc_problems *problems,
			 struct gc_error *err)
{
	const struct gc_core *core = &tools->p->core;
	const struct gc_goroutine *panicking = c->panics.goroutine;
	const struct gc_thread *thread = panicking ? thread_of(core, gc_go_tid(tools->go, panicking)) : NULL;
	enum gc_code code;
	int fault;

	if (panicking && !thread)
		return unwind_goroutine(c, tools, panicking, err);
	code = unwind_thread(c, tools, thread ? thread : &core->threads[0], problems, err);
	if (code != GC_OK)
		return code;
	fault = panicked_signal(c);
	if (!fault)
		fault = handled_fault(tools->p, &c->frames);
	if (fault)
		c->signal = fault;
	else if (!panicking && is_relayed(tools, c))
		code = find_fault(c, tools, problems, err);
	return code;
}

enum gc_code gc_crash_find(struct gc_crash *out, const struct gc_stack_tools *tools, struct gc_problems *problems,
			   struct gc_error *err)
{
	struct gc_crash c = { .signal = tools->p->core.signal, .frames = { .most = GC_CRASH_FRAMES } };
	struct gc_error why;
	enum gc_code code;

	if (tools->go && gc_go_panics_read(tools->go, &c.panics, &why) != GC_OK) {
		c.panics = (struct gc_go_panics){ .list = NULL };
		gc_problem(problems, "panics", "%s", why.text);
	}
	code = find(&c, tools, problems, err);
	if (code != GC_OK)
		gc_crash_deinit(&c);
	else
		*out = c;
	return code;
}

void gc_crash_deinit(struct gc_crash *crash)
{
	gc_regs_deinit(&crash->regs);
	gc_frames_deinit(&crash->frames);
	gc_go_panics_deinit(&crash->panics);
}
