/* Requests to run, stop or end the process: there is none. */
#include "rsp/commands.h"

/**
 * "E.text" is shown as a warning by gdb, which then says that the thread
 * stopped where it was; an empty reply would make it wait for ever. Any error
 * ends lldb's session, so that it gets the text as output of the process, and
 * the stop once more.
 */
enum gc_code gc_run(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	static const char why[] = "this is a core file, it cannot be run";
	static const char for_lldb[] = "gocore-stub: this is a core file, it cannot be run\r\n";

	(void)args;
	if (rsp->client != GC_CLIENT_LLDB)
		return gc_fail(err, GC_E_UNSUPPORTED, "%s", why);
	gc_reply_console(reply, for_lldb, sizeof(for_lldb) - 1);
	gc_rsp_add_stop_again(rsp, reply->out);
	return GC_OK;
}

/** Without this list gdb resumes by c and s, which we would have to refuse in the same way. */
enum gc_code gc_resume_actions(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	gc_buf_str(reply->out, "vCont;c;C;s;S");
	return GC_OK;
}

/**
 * Z and z, types 0 to 4: accepted, so that only the next resume says that
 * nothing can run. Refused, gdb and lldb would try to write breakpoints.
 */
enum gc_code gc_breakpoint(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			   struct gc_error *err)
{
	(void)rsp;
	(void)err;
	if (!gc_args_end(args) && *args->pos >= '0' && *args->pos <= '4')
		gc_buf_str(reply->out, "OK");
	return GC_OK;
}

/** With a breakpoint that it takes for set, Delve's next would leave others behind. */
enum gc_code gc_set_breakpoint(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	if (rsp->client == GC_CLIENT_DELVE)
		return gc_fail(err, GC_E_UNSUPPORTED, "this is a core file, nothing in it can stop at a breakpoint");
	return gc_breakpoint(rsp, args, reply, err);
}

/** k has no reply for gdb; lldb and Delve wait for one. */
enum gc_code gc_kill(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	if (!gc_args_end(args))
		return gc_bad_packet(err);
	rsp->over = true;
	if (rsp->client == GC_CLIENT_LLDB || rsp->client == GC_CLIENT_DELVE)
		gc_buf_str(reply->out, "X09");
	else
		reply->silent = true;
	return GC_OK;
}

static bool is_our_pid(const struct gc_rsp *rsp, struct gc_args *args)
{
	uint64_t pid;

	return gc_args_hex(args, &pid) && gc_args_end(args) &&
	       pid == (uint64_t)rsp->target->process->core.pid;
}

enum gc_code gc_kill_process(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	if (!is_our_pid(rsp, args))
		return gc_fail(err, GC_E_NOT_FOUND, "no such process");
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}

/** D or D;PID: the client closes the connection, or connects to the same process again. */
enum gc_code gc_detach(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	if (!gc_args_end(args) && (!gc_args_char(args, ';') || !is_our_pid(rsp, args)))
		return gc_bad_packet(err);
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}
