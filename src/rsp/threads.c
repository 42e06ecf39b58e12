#include <inttypes.h>
#include <string.h>

#include "rsp/commands.h"
#include "rsp/gdb_signals.h"

static const struct gc_tids *all_threads(const struct gc_rsp *rsp)
{
	return rsp->target->ops->threads(rsp->target);
}

bool gc_rsp_has_thread(const struct gc_rsp *rsp, gc_tid tid)
{
	return rsp->target->ops->has_thread(rsp->target, tid);
}

/** One id: hex, or -1 for all. */
static bool parse_id(struct gc_args *args, int64_t *out)
{
	uint64_t value;

	if (gc_args_text(args, "-1")) {
		*out = GC_TID_ALL;
		return true;
	}
	if (!gc_args_hex(args, &value) || value > INT64_MAX)
		return false;
	*out = (int64_t)value;
	return true;
}

/* GDB manual, "Packets", thread-id syntax. */
bool gc_rsp_parse_tid(const struct gc_rsp *rsp, struct gc_args *args, gc_tid *out)
{
	int64_t pid;

	if (!gc_args_char(args, 'p'))
		return parse_id(args, out);
	if (!parse_id(args, &pid))
		return false;
	if (pid != GC_TID_ANY && pid != GC_TID_ALL && pid != rsp->target->process->core.pid)
		return false;
	if (gc_args_char(args, '.'))
		return parse_id(args, out);
	*out = GC_TID_ALL;
	return true;
}

void gc_rsp_add_tid(const struct gc_rsp *rsp, struct gc_buf *out, gc_tid tid)
{
	if (rsp->multiprocess)
		gc_buf_printf(out, "p%" PRIx64 ".", rsp->target->process->core.pid);
	gc_buf_printf(out, "%" PRIx64, tid);
}

bool gc_rsp_suffix(const struct gc_rsp *rsp, struct gc_args *args, gc_tid *out)
{
	gc_tid tid;

	if (gc_args_end(args)) {
		*out = rsp->thread;
		return true;
	}
	if (!gc_args_text(args, ";thread:") || !gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_char(args, ';') ||
	    !gc_args_end(args) || !gc_rsp_has_thread(rsp, tid))
		return false;
	*out = tid;
	return true;
}

int gc_rsp_signal(const struct gc_rsp *rsp, int linux_number)
{
	return rsp->client == GC_CLIENT_LLDB || rsp->client == GC_CLIENT_DELVE ? linux_number :
	       gc_gdb_signal(linux_number);
}

/** H op thread-id: only the thread of g, p and siginfo is worth remembering. */
enum gc_code gc_select_thread(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	bool general = gc_args_char(args, 'g');
	gc_tid tid;

	if (!general && !gc_args_char(args, 'c') && !gc_args_char(args, 's'))
		return gc_bad_packet(err);
	if (!gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (tid != GC_TID_ANY && tid != GC_TID_ALL) {
		if (!gc_rsp_has_thread(rsp, tid))
			return gc_fail(err, GC_E_NOT_FOUND, "no such thread");
		if (general)
			rsp->thread = tid;
	}
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}

enum gc_code gc_thread_alive(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	gc_tid tid;

	if (!gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (!gc_rsp_has_thread(rsp, tid))
		return gc_fail(err, GC_E_NOT_FOUND, "no such thread");
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}

enum gc_code gc_current_thread(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	if (!gc_args_end(args))
		return gc_bad_packet(err);
	if (!all_threads(rsp)->count)
		return gc_fail(err, GC_E_NOT_FOUND, "the core has no threads");
	gc_buf_str(reply->out, "QC");
	gc_rsp_add_tid(rsp, reply->out, rsp->thread);
	return GC_OK;
}

enum gc_code gc_more_threads(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	const struct gc_tids *tids = all_threads(rsp);
	struct gc_buf *out = reply->out;

	(void)args;
	(void)err;
	if (rsp->next_thread >= tids->count) {
		gc_buf_char(out, 'l');
		return GC_OK;
	}
	gc_buf_char(out, 'm');
	while (rsp->next_thread < tids->count && out->len - reply->start < GC_PACKET_SIZE - 64) {
		if (out->data[out->len - 1] != 'm')
			gc_buf_char(out, ',');
		gc_rsp_add_tid(rsp, out, tids->list[rsp->next_thread++]);
		if (out->failed)
			break;
	}
	return GC_OK;
}

enum gc_code gc_first_threads(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	rsp->next_thread = 0;
	return gc_more_threads(rsp, args, reply, err);
}

enum gc_code gc_thread_extra(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	struct gc_thread_text text;
	gc_tid tid;

	if (!gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (rsp->target->ops->describe(rsp->target, tid, &text, err) != GC_OK)
		return err->code;
	gc_packet_add_hex(reply->out, text.name, strlen(text.name));
	if (*text.name && *text.extra)
		gc_packet_add_hex(reply->out, ", ", 2);
	gc_packet_add_hex(reply->out, text.extra, strlen(text.extra));
	return GC_OK;
}
