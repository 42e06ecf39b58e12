#include <inttypes.h>

#include "rsp/commands.h"

enum gc_code gc_start_no_ack(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	(void)args;
	(void)err;
	rsp->no_ack = true;
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}

/** vMustReplyEmpty: gdb makes sure that we know what we don't know. */
enum gc_code gc_reply_empty(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)reply;
	(void)err;
	return GC_OK;
}

enum gc_code gc_reply_ok(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			 struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	gc_buf_str(reply->out, "OK");
	return GC_OK;
}

/** "The process was there before": gdb then detaches when it quits, and does not kill. */
enum gc_code gc_attached(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			 struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	gc_buf_char(reply->out, '1');
	return GC_OK;
}

/** qGetTLSAddr:THREAD-ID,OFFSET,LINK-MAP */
enum gc_code gc_tls_address(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	uint64_t offset, lm, addr;
	const struct gc_regs *regs;
	gc_tid tid;

	if (!gc_rsp_parse_tid(rsp, args, &tid) || !gc_args_char(args, ',') || !gc_args_hex(args, &offset) ||
	    !gc_args_char(args, ',') || !gc_args_hex(args, &lm) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (gc_rsp_regs(rsp, tid, &regs, err) != GC_OK ||
	    gc_process_tls(rsp->target->process, regs, lm, offset, &addr, err) != GC_OK)
		return err->code;
	gc_buf_printf(reply->out, "%" PRIx64, addr);
	return GC_OK;
}
