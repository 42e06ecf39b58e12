/*
 * What lldb asks before anything else, and some of it Delve: which extensions
 * there are, and what machine and process this is (docs/resources/
 * lldbgdbremote.md of LLVM 21).
 */
#include <inttypes.h>
#include <string.h>

#include "rsp/commands.h"

static void ok(struct gc_reply *reply)
{
	gc_buf_str(reply->out, "OK");
}

/** Delve asks this before qSupported, lldb after it. */
enum gc_code gc_thread_suffix(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	(void)args;
	(void)err;
	if (rsp->client == GC_CLIENT_UNKNOWN) {
		if (rsp->asked_features)
			rsp->client = GC_CLIENT_LLDB;
		else
			gc_rsp_is_delve(rsp);
	}
	ok(reply);
	return GC_OK;
}

enum gc_code gc_list_threads(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	(void)args;
	(void)err;
	rsp->list_threads = true;
	ok(reply);
	return GC_OK;
}

enum gc_code gc_error_strings(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	(void)args;
	(void)err;
	rsp->error_strings = true;
	ok(reply);
	return GC_OK;
}

static void add_machine(const struct gc_arch *arch, struct gc_buf *out)
{
	gc_buf_str(out, "triple:");
	gc_packet_add_hex(out, arch->triple, strlen(arch->triple));
	gc_buf_str(out, ";ostype:linux;endian:little;ptrsize:8;");
}

/** Bits of an address below its signature, 0 if the core does not tell. */
static int addressing_bits(const struct gc_addr_masks *masks)
{
	uint64_t mask = masks->data | masks->code;

	return mask ? __builtin_ctzll(mask) : 0;
}

/** The machine that the process ran on. lldb reads the triple as that of what it debugs. */
enum gc_code gc_host_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	const struct gc_process *p = rsp->target->process;
	int bits = addressing_bits(&p->masks);

	(void)args;
	(void)err;
	add_machine(p->core.arch, reply->out);
	gc_buf_printf(reply->out, "vm-page-size:%" PRIu64 ";", p->core.page_size);
	if (bits)
		gc_buf_printf(reply->out, "addressing_bits:%d;low_mem_addressing_bits:%d;", bits, bits);
	return GC_OK;
}

/** Numbers in hex. */
enum gc_code gc_process_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	const struct gc_core *core = &rsp->target->process->core;
	const struct gc_prpsinfo *info = &core->prpsinfo;
	struct gc_buf *out = reply->out;

	(void)args;
	(void)err;
	gc_buf_printf(out, "pid:%" PRIx64 ";", core->pid);
	if (core->has_prpsinfo)
		gc_buf_printf(out, "parent-pid:%" PRIx64 ";real-uid:%" PRIx32 ";real-gid:%" PRIx32 ";",
			      info->ppid, info->uid, info->gid);
	add_machine(core->arch, out);
	return GC_OK;
}

/** Where the debugger finds the linker's list: the address of the pointer that DT_DEBUG holds. */
enum gc_code gc_shlib_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	uint64_t addr = rsp->target->process->links.dt_debug;

	(void)args;
	if (!addr)
		return gc_fail(err, GC_E_NOT_FOUND, "the program has no dynamic linker's list");
	gc_buf_printf(reply->out, "%" PRIx64, addr);
	return GC_OK;
}
