/*
 * jThreadsInfo (docs/resources/lldbgdbremote.md of LLVM 21): all threads in
 * one reply, each with why it stopped, its name, the registers that every view
 * of it starts with, and of its stack what unwinding reads first. Without it
 * lldb asks four questions a thread.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "gocore/bytes.h"
#include "rsp/commands.h"

/*
 * It takes no less than all of them: lldb forgets the others. Above this it
 * asks for what it shows, of the threads in the stop reply.
 */
#define MAX_THREADS (1U << 15)

/* Of all threads together, so that thousands of them are still one quick reply. */
#define MAX_FRAMES (1U << 14)
#define MAX_STACK  (1U << 20)

#define MAX_THREAD_FRAMES 64
#define MAX_THREAD_STACK  1024

/* What is sent of each thread's stack. */
struct share {
	size_t frames; /* saved pairs of frame pointer and return address */
	size_t stack;  /* bytes from the stack pointer on */
};

static size_t at_most(size_t n, size_t max)
{
	return n < max ? n : max;
}

static struct share share_of(size_t nthreads)
{
	return (struct share){
		.frames = at_most(MAX_FRAMES / nthreads, MAX_THREAD_FRAMES),
		.stack = at_most(MAX_STACK / nthreads, MAX_THREAD_STACK) & ~(size_t)15,
	};
}

static json_t *hex_string(const void *bytes, size_t len)
{
	struct gc_buf hex = GC_BUF_INIT;
	json_t *text;

	gc_buf_hex(&hex, bytes, len);
	text = json_stringn(gc_buf_text(&hex), hex.len);
	gc_buf_deinit(&hex);
	return text;
}

static void add_bytes(json_t *memory, uint64_t addr, const void *bytes, size_t len)
{
	json_array_append_new(memory, json_pack("{s:I, s:o}", "address", (json_int_t)addr, "bytes",
						hex_string(bytes, len)));
}

/**
 * The frame pointers' chain: pairs of the caller's frame pointer and the return
 * address, on both architectures (psABI, "The Stack Frame"; AAPCS64, "The Frame
 * Pointer"). It goes up, so that it ends.
 */
static void add_frames(json_t *memory, const struct gc_space *space, uint64_t fp, size_t max)
{
	uint8_t pair[16];
	uint64_t next;

	for (size_t i = 0; i < max && fp <= INT64_MAX; i++) {
		if (gc_space_read_all(space, fp, pair, sizeof(pair), NULL) != GC_OK)
			break;
		add_bytes(memory, fp, pair, sizeof(pair));
		next = gc_load_le64(pair);
		if (next <= fp)
			break;
		fp = next;
	}
}

static void add_stack(json_t *memory, const struct gc_space *space, uint64_t sp, size_t max)
{
	uint8_t bytes[MAX_THREAD_STACK];
	size_t got;

	if (max && sp <= INT64_MAX && gc_space_read(space, sp, bytes, max, &got, NULL) == GC_OK)
		add_bytes(memory, sp, bytes, got);
}

static json_t *stack_memory(const struct gc_rsp *rsp, const struct gc_regs *regs, const struct share *share)
{
	const struct gc_process *p = rsp->target->process;
	json_t *memory = json_array();
	uint64_t value;

	if (gc_regs_u64(regs, p->core.arch->sp, &value))
		add_stack(memory, &p->space, value, share->stack);
	if (gc_regs_u64(regs, p->core.arch->fp, &value))
		add_frames(memory, &p->space, value, share->frames);
	return memory;
}

static json_t *registers(const struct gc_regs *regs)
{
	json_t *out = json_object();
	size_t rows[GC_MAX_EXPEDITED], n = gc_rsp_expedited(regs, rows);

	for (size_t i = 0; i < n; i++) {
		char key[8];

		snprintf(key, sizeof(key), "%u", regs->map->arch->regs[rows[i]].number);
		json_object_set_new(out, key, hex_string(regs->bytes + regs->map->offset[rows[i]],
							 regs->map->size[rows[i]]));
	}
	return out;
}

/** Name and description may be of bytes that are no UTF-8; then they are left out. */
static void set_text(json_t *object, const char *key, const char *text)
{
	if (*text)
		json_object_set_new(object, key, json_string(text));
}

static void set_reason(struct gc_rsp *rsp, gc_tid tid, json_t *thread)
{
	int number = rsp->target->ops->signal(rsp->target, tid);
	struct gc_buf reason = GC_BUF_INIT;

	if (!number)
		return;
	gc_rsp_add_reason(rsp, tid, number, &reason);
	json_object_set_new(thread, "signal", json_integer(number));
	json_object_set_new(thread, "reason", json_string("signal"));
	set_text(thread, "description", gc_buf_text(&reason));
	gc_buf_deinit(&reason);
}

static json_t *describe(struct gc_rsp *rsp, gc_tid tid, const struct share *share)
{
	json_t *thread = json_pack("{s:I}", "tid", (json_int_t)tid);
	const struct gc_regs *regs;
	struct gc_thread_text text;

	set_reason(rsp, tid, thread);
	if (rsp->target->ops->describe(rsp->target, tid, &text, NULL) == GC_OK)
		set_text(thread, "name", text.name);
	if (gc_rsp_regs(rsp, tid, &regs, NULL) != GC_OK)
		return thread;
	json_object_set_new(thread, "registers", registers(regs));
	json_object_set_new(thread, "memory", stack_memory(rsp, regs, share));
	return thread;
}

enum gc_code gc_threads_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	const struct gc_tids *tids = rsp->target->ops->threads(rsp->target);
	struct share share = share_of(tids->count ? tids->count : 1);
	json_t *threads;
	char *text;

	if (!gc_args_end(args))
		return gc_bad_packet(err);
	if (tids->count > MAX_THREADS)
		return gc_fail(err, GC_E_LIMIT, "%zu threads are too many for one reply", tids->count);
	threads = json_array();
	for (size_t i = 0; i < tids->count; i++)
		json_array_append_new(threads, describe(rsp, tids->list[i], &share));
	text = json_dumps(threads, JSON_COMPACT);
	json_decref(threads);
	if (!text)
		return gc_fail_memory(err);
	gc_packet_add_binary(reply->out, text, strlen(text), SIZE_MAX);
	free(text);
	return GC_OK;
}

void gc_rsp_add_stop_info(struct gc_rsp *rsp, gc_tid tid, struct gc_buf *out)
{
	json_t *thread = json_pack("{s:I}", "tid", (json_int_t)tid), *list = json_array();
	char *text;

	set_reason(rsp, tid, thread);
	json_array_append_new(list, thread);
	text = json_dumps(list, JSON_COMPACT);
	json_decref(list);
	if (!text)
		return;
	gc_buf_str(out, "jstopinfo:");
	gc_packet_add_hex(out, text, strlen(text));
	gc_buf_char(out, ';');
	free(text);
}
