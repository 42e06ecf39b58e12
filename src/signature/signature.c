#include "gocore/signature.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/signals.h"

#include "signature/signature_private.h"

/* A fault so near the stack pointer is the stack's own; stack probes of compilers go by pages. */
#define NEAR_SP 65536

/* A stack with fewer frames did not overflow by recursion. */
#define MIN_DEEP 64

const char *gc_signature_kind_name(enum gc_signature_kind kind)
{
	static const char *const names[] = {
		[GC_SIGNATURE_STACK] = "stack",
		[GC_SIGNATURE_RECURSION] = "recursion",
		[GC_SIGNATURE_GOROUTINES] = "goroutines",
	};

	return (size_t)kind < GC_COUNT(names) ? names[kind] : "unknown";
}

/** While it is made. */
struct making {
	const struct gc_crash *crash;
	const struct gc_stack_tools *tools;
	struct sig_span span;
	struct gc_buf exact, top;   /* the texts that exact is the hash of, and top */
	size_t names;
	bool in_program;            /* a name of it is in top that is not Go's runtime's */
};

/* What goes in. */

static void add_name(struct making *m, const struct gc_frame *frame)
{
	struct gc_buf name = GC_BUF_INIT;
	const size_t before = m->top.len;

	if (m->names >= SIG_TOP)
		return;
	sig_frame_name(&name, m->tools->go, frame);
	m->top.failed |= name.failed;
	/* recursion, and a loop that was unrolled by inlining: its depth is no part of the fault */
	if (before >= name.len && strcmp(m->top.data + before - name.len, gc_buf_text(&name)) == 0 &&
	    (before == name.len || m->top.data[before - name.len - 1] == ' ')) {
		gc_buf_deinit(&name);
		return;
	}
	if (m->top.len)
		gc_buf_str(&m->top, " < ");
	gc_buf_str(&m->top, gc_buf_text(&name));
	gc_buf_deinit(&name);
	m->names++;
}

/** Of frames of the C library in a row: the outermost one that has a name, else the outermost. */
static bool is_called_by_program(const struct making *m, size_t i)
{
	const struct gc_frame *list = m->crash->frames.list;
	bool named = list[i].function != NULL, more = false;

	for (size_t next = i + 1; next < m->span.end && sig_is_libc(&list[next]); next++) {
		if (list[next].function)
			return false;
		more = true;
	}
	for (size_t k = i; !named && k > m->span.first && sig_is_libc(&list[k - 1]); k--)
		if (list[k - 1].function)
			return false;
	return named || !more;
}

/**
 * Has the frame a name in top? The insides of the C library depend on its version, and have none where it is stripped:
 * what counts is the function that the program called. The same goes for how Go's runtime gets from a panic to a
 * deferred call.
 */
static bool has_name(const struct making *m, size_t i)
{
	const struct gc_frame *list = m->crash->frames.list;

	if (sig_is_libc(&list[i]))
		return is_called_by_program(m, i);
	return !m->in_program || !sig_is_runtime(m->tools->go, &list[i]);
}

static void add_stack(struct making *m)
{
	for (size_t i = m->span.first; i < m->span.end; i++) {
		const struct gc_frame *frame = &m->crash->frames.list[i];

		if (has_name(m, i))
			add_name(m, frame);
		m->in_program |= frame->function && !sig_is_runtime(m->tools->go, frame);
		if (!frame->inlined) /* it has the pc of the function that holds it */
			sig_place(&m->exact, frame->image, frame->pc);
	}
}

static void add_cycle(struct making *m, const size_t *cycle, size_t count)
{
	gc_buf_str(&m->exact, "recursion\n");
	gc_buf_str(&m->top, "recursion");
	for (size_t i = 0; i < count; i++) {
		const struct gc_frame *frame = &m->crash->frames.list[cycle[i]];

		add_name(m, frame);
		if (!frame->inlined)
			sig_place(&m->exact, frame->image, frame->entry ? frame->entry : frame->pc);
	}
}

/** Was the crash a fault of the code itself, which the runtime then made an error of? */
static bool is_sigpanic(const struct making *m)
{
	for (size_t i = 0; i < m->span.first; i++)
		if (m->crash->frames.list[i].function &&
		    strncmp(m->crash->frames.list[i].function, "runtime.sigpanic", 16) == 0)
			return true;
	return false;
}

/** What the runtime printed, but numbers, which may be addresses. */
static void add_fatal(struct making *m)
{
	const char *text = m->crash->panics.fatal;

	if (!text || is_sigpanic(m))
		return;
	gc_buf_str(&m->top, "fatal error: ");
	for (; *text; text++) {
		if (!isdigit((unsigned char)*text))
			gc_buf_char(&m->top, *text == '\n' ? ' ' : *text);
		else if (!isxdigit((unsigned char)text[1]) && text[1] != 'x')
			gc_buf_char(&m->top, '0');
	}
	gc_buf_str(&m->exact, m->top.data ? m->top.data : "");
	gc_buf_char(&m->exact, '\n');
}

/* Which kind it is. */

/** The address of the fault, where the frames that count begin. @return false: unknown */
static bool fault_address(const struct making *m, uint64_t *addr)
{
	const struct gc_core *core = &m->tools->p->core;

	if (m->crash->frames.list[m->span.first].how == GC_HOW_SIGNAL_FRAME) /* a handler ended the process */
		return gc_frame_fault(m->tools->p, &m->crash->frames, m->span.first, addr);
	if ((core->signal != SIGSEGV && core->signal != SIGBUS) || !core->has_siginfo || !core->siginfo.has_addr)
		return false;
	*addr = core->siginfo.addr;
	return true;
}

/** The kernel's word for a stack overflow, and Go's. */
static bool is_overflow(const struct making *m)
{
	const struct gc_crash *c = m->crash;
	const struct gc_frame *frame = &c->frames.list[m->span.first];
	uint64_t addr;

	if (m->span.end - m->span.first < MIN_DEEP)
		return false;
	if (c->panics.fatal && strcmp(c->panics.fatal, "stack overflow") == 0)
		return true;
	if (fault_address(m, &addr))
		return addr - (frame->sp - NEAR_SP) < NEAR_SP + m->tools->p->core.page_size ||
		       (frame->cfa > frame->sp && addr - frame->sp < frame->cfa - frame->sp);
	/* who wrote the core did not write the address, as QEMU does not: nothing else is so deep */
	return !m->tools->p->core.has_siginfo && c->end.kind == GC_STACK_LIMIT &&
	       (c->signal == SIGSEGV || c->signal == SIGBUS);
}

/** Is nothing of the program itself on the stack? */
static bool is_idle(const struct making *m)
{
	for (size_t i = m->span.first; i < m->span.end; i++)
		if (m->crash->frames.list[i].function && !sig_is_runtime(m->tools->go, &m->crash->frames.list[i]))
			return false;
	return true;
}

/** Goroutines say more than a thread of the runtime that was idle, or that was only told to end. */
static bool by_goroutines(const struct making *m)
{
	const struct gc_crash *c = m->crash;

	if (!m->tools->go || c->panics.goroutine)
		return false;
	if (c->panics.fatal && strstr(c->panics.fatal, "deadlock"))
		return true;
	return c->signal != SIGSEGV && c->signal != SIGBUS && c->signal != SIGFPE && c->signal != SIGILL &&
	       (is_idle(m) || !c->goroutine);
}

/** Is it known of a single frame where it is? Without, all such cores would seem to be one. */
static bool has_place(const struct making *m)
{
	for (size_t i = m->span.first; i < m->span.end; i++)
		if (m->crash->frames.list[i].image || m->crash->frames.list[i].function)
			return true;
	return false;
}

static enum gc_code make(struct making *m, enum gc_signature_kind *kind, struct gc_error *err)
{
	size_t cycle[SIG_MAX_PERIOD], count = is_overflow(m) ? sig_cycle(&m->crash->frames, m->span, cycle) : 0;

	*kind = GC_SIGNATURE_STACK;
	if (count) {
		*kind = GC_SIGNATURE_RECURSION;
		add_cycle(m, cycle, count);
		return GC_OK;
	}
	add_fatal(m);
	if (by_goroutines(m)) {
		*kind = GC_SIGNATURE_GOROUTINES;
		return sig_goroutines(m->tools->go, &m->exact, &m->top, err);
	}
	if (has_place(m))
		add_stack(m);
	return GC_OK;
}

/* What comes out. */

/** FNV-1a of 128 bits: nobody has to be kept from making two that are equal, they would only share a group. */
static char *hash(const struct gc_buf *text)
{
	const unsigned __int128 prime = ((unsigned __int128)1 << 88) + 0x13b;
	unsigned __int128 h = ((unsigned __int128)0x6c62272e07bb0142 << 64) + 0x62b821756295c58d;
	char *out = malloc(33);

	for (size_t i = 0; i < text->len; i++)
		h = (h ^ (uint8_t)text->data[i]) * prime;
	if (out)
		snprintf(out, 33, "%016" PRIx64 "%016" PRIx64, (uint64_t)(h >> 64), (uint64_t)h);
	return out;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/** "server SIGSEGV libfoo.so+0x1234" */
static void write_site(const struct gc_stack_tools *tools, struct gc_buf *out)
{
	const struct gc_core *core = &tools->p->core;
	const char *exe = gc_process_exe(tools->p);
	struct gc_frame frame = { .pc = 0 };
	struct gc_regs regs;
	char name[16];

	if (exe)
		gc_buf_printf(out, "%s ", base_name(exe));
	else if (core->has_prpsinfo && core->prpsinfo.fname[0])
		gc_buf_printf(out, "%s ", core->prpsinfo.fname);
	gc_buf_printf(out, "%s ", core->signal ? gc_signal_name(core->signal, name) : "no signal");
	if (gc_core_regs(core, &core->threads[0], &tools->p->regmap, &regs, NULL, NULL) == GC_OK) {
		if (gc_regs_u64(&regs, core->arch->pc, &frame.pc))
			frame.image = gc_images_at(&tools->p->images, frame.pc);
		gc_regs_deinit(&regs);
	}
	sig_frame_name(out, tools->go, &frame);
}

static enum gc_code set_skipped(struct gc_signature *s, const struct making *m, struct gc_error *err)
{
	s->skipped = calloc(m->span.first + 1, sizeof(*s->skipped));
	if (!s->skipped)
		return gc_fail_memory(err);
	for (size_t i = 0; i < m->span.first; i++)
		if (m->crash->frames.list[i].function)
			s->skipped[s->nskipped++] = m->crash->frames.list[i].function;
	s->first = m->span.first;
	return GC_OK;
}

static enum gc_code set_texts(struct gc_signature *s, const struct making *m, struct gc_error *err)
{
	struct gc_buf site = GC_BUF_INIT;

	write_site(m->tools, &site);
	if (!site.failed)
		s->site = strdup(gc_buf_text(&site));
	gc_buf_deinit(&site);
	if (m->exact.len && !m->exact.failed)
		s->exact = hash(&m->exact);
	if (m->top.len && !m->top.failed)
		s->top = strdup(m->top.data);
	if (!s->site || (m->exact.len && !s->exact) || (m->top.len && !s->top))
		return gc_fail_memory(err);
	return GC_OK;
}

enum gc_code gc_signature_of(struct gc_signature *out, const struct gc_crash *crash,
			     const struct gc_stack_tools *tools, struct gc_error *err)
{
	struct making m = { .crash = crash, .tools = tools, .span = sig_span_of(crash, tools) };
	struct gc_signature s = { .exact = NULL };
	enum gc_code code = make(&m, &s.kind, err);

	if (code == GC_OK)
		code = set_skipped(&s, &m, err);
	if (code == GC_OK)
		code = set_texts(&s, &m, err);
	gc_buf_deinit(&m.exact);
	gc_buf_deinit(&m.top);
	if (code == GC_OK)
		*out = s;
	else
		gc_signature_deinit(&s);
	return code;
}

void gc_signature_deinit(struct gc_signature *s)
{
	free(s->exact);
	free(s->top);
	free(s->site);
	free(s->skipped);
	*s = (struct gc_signature){ .exact = NULL };
}
