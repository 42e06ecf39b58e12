#include <string.h>

#include "gocore/bytes.h"
#include "gocore/signals.h"

#include "go/go_private.h"

/* As many frames as the runtime may have on the signal stack until it dies. */
#define MAX_HANDLER 32
#define MAX_SIGNALS 4 /* one in the handler of another */

/** The first M to die; others follow, since GOTRACEBACK=crash tells them to (sighandler of runtime/signal_unix.go). */
const struct gc_go_m *gc_go_dying_m(const struct gc_go *go)
{
	for (size_t i = 0; i < go->nms; i++)
		if (go->ms[i].dying)
			return &go->ms[i];
	return NULL;
}

static const struct gc_thread *thread_of(const struct gc_core *core, gc_tid tid)
{
	for (size_t i = 0; tid && i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return NULL;
}

static bool has_function(const struct gc_frames *frames, const char *name)
{
	for (size_t i = 0; i < frames->count; i++)
		if (frames->list[i].function && strcmp(frames->list[i].function, name) == 0)
			return true;
	return false;
}

/** Walk to the next signal's frame. @return how that ended: GC_GO_SIGNAL if it is there */
static enum gc_go_step to_signal(struct gc_go *go, struct gc_go_state *state, struct gc_frames *frames)
{
	enum gc_go_step step = GC_GO_CALLER;

	gc_frames_clear(frames);
	while (step == GC_GO_CALLER && frames->count < MAX_HANDLER)
		step = gc_go_step(go, state, frames, NULL);
	return step;
}

/**
 * Go to the code that sighandler was called for. Above it the runtime may handle
 * the signals by which it then ended itself.
 */
static bool find_handled(struct gc_go *go, struct gc_go_state *state)
{
	struct gc_frames frames = { .list = NULL };
	bool found = false, more = true;

	for (int i = 0; i < MAX_SIGNALS && more && !found; i++) {
		more = to_signal(go, state, &frames) == GC_GO_SIGNAL && !has_function(&frames, "runtime.fatalthrow");
		found = more && has_function(&frames, "runtime.sighandler");
		if (more && !found)
			more = gc_go_from_ucontext(go, state, NULL) == GC_OK;
	}
	gc_frames_deinit(&frames);
	return found;
}

bool gc_go_caught_read(struct gc_go *go, struct gc_go_caught *out)
{
	const struct gc_go_m *m = gc_go_dying_m(go);
	const struct gc_thread *thread = m ? thread_of(&go->p->core, m->tid) : NULL;
	const struct gc_arch *arch = go->p->core.arch;
	struct gc_go_state state;
	uint8_t info[128];
	const struct gc_note note = { .desc = info, .desc_len = sizeof(info) };

	if (!thread || go_thread_state(go, thread, &state, NULL) != GC_OK || !find_handled(go, &state))
		return false;
	if (gc_space_read_all(&go->p->space, state.ucontext + (uint64_t)arch->unwind.siginfo, info, sizeof(info),
			      NULL) != GC_OK)
		return false;
	*out = (struct gc_go_caught){ .m = m, .addr = gc_load_le64(info + 16) };
	if (!gc_siginfo_decode(&note, &out->info) || out->info.signo <= 0 || out->info.signo > 64 ||
	    gc_go_from_ucontext(go, &state, NULL) != GC_OK)
		return false;
	out->info.note = NULL;
	out->pc = state.pc;
	return true;
}

void gc_go_g0_signal(struct gc_go *go, const struct gc_go_m *m, struct gc_goroutine *out)
{
	const struct go_layout *l = go->layout;
	uint64_t signal = 0;

	*out = (struct gc_goroutine){ .addr = m->g0 };
	if (l->g.sigpc != NO_FIELD && go_word(go, m->g0 + l->g.sig, &signal) &&
	    go_word(go, m->g0 + l->g.sigcode0, &out->sig_code) && go_word(go, m->g0 + l->g.sigcode1, &out->sig_addr) &&
	    go_word(go, m->g0 + l->g.sigpc, &out->sig_pc))
		out->signal = (uint32_t)signal; /* 32 bits; behind it is something else */
}
