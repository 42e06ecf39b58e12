/*
 * Stop replies (GDB manual, "Stop Reply Packets"; for lldb's keys
 * docs/resources/lldbgdbremote.md of LLVM 21). gdb learns the signal and the
 * thread; lldb also why, and the registers that it would ask for next.
 */
#include <inttypes.h>
#include <string.h>

#include "gocore/signals.h"
#include "rsp/commands.h"

#define LINUX_SIGTRAP 5
#define LINUX_SIGSTOP 19

static void add_hex_text(struct gc_buf *out, const char *key, const char *text)
{
	if (!*text)
		return;
	gc_buf_printf(out, "%s:", key);
	gc_packet_add_hex(out, text, strlen(text));
	gc_buf_char(out, ';');
}

/* The codes that come with any signal, as lldb words them (LinuxSignals.cpp of LLVM 21). */
static const struct {
	int code;
	const char *text;
} any_signal[] = {
	{ 0, "sent by kill, sigsend or raise" },
	{ 0x80, "sent by kernel (SI_KERNEL)" },
	{ -1, "sent by sigqueue" },
	{ -2, "sent by timer expiration" },
	{ -3, "sent by real time mesq state change" },
	{ -4, "sent by AIO completion" },
	{ -5, "sent by queued SIGIO" },
	{ -6, "sent by tkill system call" },
	{ -7, "sent by execve() killing subsidiary threads" },
	{ -60, "sent by glibc async name lookup completion" },
};

static const char *code_text(const struct gc_siginfo *info)
{
	for (size_t i = 0; i < GC_COUNT(any_signal); i++)
		if (any_signal[i].code == info->code)
			return any_signal[i].text;
	return gc_signal_code_text(info->signo, info->code);
}

void gc_rsp_add_reason(struct gc_rsp *rsp, gc_tid tid, int number, struct gc_buf *out)
{
	const struct gc_note *note = rsp->target->ops->siginfo(rsp->target, tid);
	struct gc_siginfo info;
	const char *text;
	char buf[16];

	if (!number)
		return;
	gc_buf_str(out, gc_signal_name(number, buf));
	if (!note || !gc_siginfo_decode(note, &info) || info.signo != number)
		return;
	text = code_text(&info);
	if (text)
		gc_buf_printf(out, ": %s", text);
	if (info.has_addr)
		gc_buf_printf(out, " (fault address=0x%" PRIx64 ")", info.addr);
	else if (info.has_sender)
		gc_buf_printf(out, " (sender pid=%" PRId32 ", uid=%" PRIu32 ")", info.sender_pid, info.sender_uid);
}

static void add_expedited(struct gc_rsp *rsp, gc_tid tid, struct gc_buf *out)
{
	const struct gc_regs *regs;
	size_t rows[GC_MAX_EXPEDITED], n;

	if (gc_rsp_regs(rsp, tid, &regs, NULL) != GC_OK)
		return;
	n = gc_rsp_expedited(regs, rows);
	for (size_t i = 0; i < n; i++) {
		gc_buf_printf(out, "%02x:", regs->map->arch->regs[rows[i]].number);
		gc_rsp_add_register(out, regs, rows[i]);
		gc_buf_char(out, ';');
	}
}

/** lldb takes SIGTRAP for the end of a step and goes on with the next, and without a signal nothing stopped. */
static int stopping_signal(int number)
{
	return number == 0 || number == LINUX_SIGTRAP ? LINUX_SIGSTOP : number;
}

static int signal_of(const struct gc_rsp *rsp, gc_tid tid)
{
	return rsp->target->ops->signal(rsp->target, tid);
}

/** What lldb and Delve read of one thread: T, signal, thread, and for lldb all that spares it questions. */
static void add_thread_stop(struct gc_rsp *rsp, gc_tid tid, int number, struct gc_buf *out)
{
	struct gc_buf reason = GC_BUF_INIT;
	struct gc_thread_text text;

	gc_buf_printf(out, "T%02xthread:", (unsigned)gc_rsp_signal(rsp, number) & 0xff);
	gc_rsp_add_tid(rsp, out, tid);
	gc_buf_char(out, ';');
	if (rsp->target->ops->describe(rsp->target, tid, &text, NULL) == GC_OK)
		add_hex_text(out, "hexname", text.name);
	add_expedited(rsp, tid, out);
	gc_rsp_add_reason(rsp, tid, number, &reason);
	if (reason.len && !reason.failed) {
		gc_buf_str(out, "reason:signal;");
		add_hex_text(out, "description", reason.data);
	}
	gc_buf_deinit(&reason);
}

/** threads:ID,ID...; and thread-pcs: of the same. */
static void add_thread_list(struct gc_rsp *rsp, struct gc_buf *out)
{
	const struct gc_tids *tids = rsp->target->ops->threads(rsp->target);
	int row = rsp->target->process->core.arch->pc;

	for (size_t i = 0; i < tids->count; i++) {
		gc_buf_str(out, i ? "," : "threads:");
		gc_buf_printf(out, "%" PRIx64, tids->list[i]);
	}
	for (size_t i = 0; i < tids->count; i++) {
		const struct gc_regs *regs;
		uint64_t pc = 0;

		if (gc_rsp_regs(rsp, tids->list[i], &regs, NULL) == GC_OK)
			gc_regs_u64(regs, row, &pc);
		gc_buf_str(out, i ? "," : ";thread-pcs:");
		gc_buf_printf(out, "%" PRIx64, pc);
	}
	gc_buf_char(out, ';');
}

/** For lldb: with library:; it asks for the list of libraries, and finds a program that it was not told of. */
static void add_lldb_stop(struct gc_rsp *rsp, gc_tid tid, bool again, struct gc_buf *out)
{
	int number = signal_of(rsp, tid);

	if (again) {
		add_thread_stop(rsp, tid, stopping_signal(number), out);
	} else {
		add_thread_stop(rsp, tid, number, out);
		gc_buf_str(out, "library:;");
	}
	if (number)
		gc_rsp_add_stop_info(rsp, tid, out);
	if (rsp->list_threads)
		add_thread_list(rsp, out);
}

static void add_stop(struct gc_rsp *rsp, bool again, struct gc_buf *out)
{
	const struct gc_tids *tids = rsp->target->ops->threads(rsp->target);
	int number = tids->count ? signal_of(rsp, tids->list[0]) : rsp->target->process->core.signal;

	if (rsp->client == GC_CLIENT_LLDB && tids->count) {
		add_lldb_stop(rsp, tids->list[0], again, out);
		return;
	}
	gc_buf_printf(out, "T%02x", (unsigned)gc_rsp_signal(rsp, number) & 0xff);
	if (!tids->count)
		return;
	gc_buf_str(out, "thread:");
	gc_rsp_add_tid(rsp, out, tids->list[0]);
	gc_buf_char(out, ';');
}

void gc_rsp_add_stop(struct gc_rsp *rsp, struct gc_buf *out)
{
	add_stop(rsp, false, out);
}

void gc_rsp_add_stop_again(struct gc_rsp *rsp, struct gc_buf *out)
{
	add_stop(rsp, true, out);
}

/** The crashed thread is the one that stopped. */
enum gc_code gc_stop_reason(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	if (!gc_args_end(args))
		return gc_bad_packet(err);
	gc_rsp_add_stop(rsp, reply->out);
	return GC_OK;
}

/** qThreadStopInfoTHREAD-ID. The kernel wrote the fatal signal into every thread's note; one thread got it. */
enum gc_code gc_thread_stop(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	gc_tid tid;

	if (!gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (!gc_rsp_has_thread(rsp, tid))
		return gc_fail(err, GC_E_NOT_FOUND, "no such thread");
	add_thread_stop(rsp, tid, signal_of(rsp, tid), reply->out);
	return GC_OK;
}
