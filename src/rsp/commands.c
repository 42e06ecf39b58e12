#include "rsp/commands.h"

#include <string.h>

static gc_handler supported;

/* GDB manual, "Packets" and "General Query Packets". Of a packet's names the longest counts. */
static const struct gc_packet packets[] = {
	/* name                     handler             flags          qSupported */
	{ "qSupported",             supported,          0,             "PacketSize=20000;multiprocess+" },
	{ "QStartNoAckMode",        gc_start_no_ack,    0,             "QStartNoAckMode+" },
	{ "vMustReplyEmpty",        gc_reply_empty,     0,             NULL },
	{ "qSymbol",                gc_reply_ok,        0,             NULL },
	{ "qAttached",              gc_attached,        0,             NULL },
	{ "qGetTLSAddr",            gc_tls_address,     0,             NULL },
	{ "qRcmd",                  gc_monitor_command, 0,             NULL },

	{ "QThreadSuffixSupported", gc_thread_suffix,   0,             NULL },
	{ "QListThreadsInStopReply", gc_list_threads,   0,             NULL },
	{ "QEnableErrorStrings",    gc_error_strings,   0,             NULL },
	{ "qHostInfo",              gc_host_info,       0,             NULL },
	{ "qProcessInfo",           gc_process_info,    0,             NULL },
	{ "qShlibInfoAddr",         gc_shlib_info,      0,             NULL },
	{ "jThreadsInfo",           gc_threads_info,    GC_LLDB_ONLY,  NULL },
	{ "jModulesInfo",           gc_modules_info,    GC_LLDB_ONLY,  NULL },
	{ "qModuleInfo",            gc_module_info,     GC_LLDB_ONLY,  NULL },
	{ "qMemoryRegionInfo",      gc_memory_region,   0,             NULL },

	{ "qRegisterInfo",          gc_register_info,   GC_BARE_NAME | GC_DELVE_ONLY, NULL },

	{ "?",                      gc_stop_reason,     0,             NULL },
	{ "qThreadStopInfo",        gc_thread_stop,     GC_BARE_NAME | GC_NOT_DELVE, NULL },
	{ "H",                      gc_select_thread,   0,             NULL },
	{ "T",                      gc_thread_alive,    0,             NULL },
	{ "qC",                     gc_current_thread,  0,             NULL },
	{ "qfThreadInfo",           gc_first_threads,   0,             NULL },
	{ "qsThreadInfo",           gc_more_threads,    0,             NULL },
	{ "qThreadExtraInfo",       gc_thread_extra,    0,             NULL },

	{ "g",                      gc_read_registers,  0,             NULL },
	{ "p",                      gc_read_register,   0,             NULL },
	{ "G",                      gc_write_registers, GC_SAYS_WHY,   NULL },
	{ "P",                      gc_write_registers, GC_SAYS_WHY,   NULL },

	{ "m",                      gc_read_hex,        0,             NULL },
	{ "x",                      gc_read_binary,     GC_NOT_DELVE,           "binary-upload+" },
	{ "M",                      gc_write_memory,    0,             NULL },
	{ "X",                      gc_write_memory,    0,             NULL },
	{ "qSearch:memory",         gc_search_memory,   0,             NULL },
	{ "qCRC",                   gc_memory_crc,      0,             NULL },
	{ "qMemTags",               gc_memory_tags,     GC_NEEDS_TAGS, "memory-tagging+" },
	{ "qIsAddressTagged",       gc_address_tagged,  GC_NEEDS_TAGS, NULL },

	{ "qXfer:features:read",    gc_xfer_features,   0,             "qXfer:features:read+" },
	{ "qXfer:threads:read",     gc_xfer_threads,    0,             "qXfer:threads:read+" },
	{ "qXfer:libraries-svr4:read", gc_xfer_libraries, 0,           "qXfer:libraries-svr4:read+" },
	{ "qXfer:auxv:read",        gc_xfer_auxv,       0,             "qXfer:auxv:read+" },
	{ "qXfer:exec-file:read",   gc_xfer_exec_file,  0,             "qXfer:exec-file:read+" },
	{ "qXfer:siginfo:read",     gc_xfer_siginfo,    0,             "qXfer:siginfo:read+" },

	{ "vFile:setfs",            gc_vfile_setfs,     0,             NULL },
	{ "vFile:open",             gc_vfile_open,      0,             NULL },
	{ "vFile:close",            gc_vfile_close,     0,             NULL },
	{ "vFile:pread",            gc_vfile_pread,     0,             NULL },
	{ "vFile:fstat",            gc_vfile_fstat,     0,             NULL },
	{ "vFile:stat",             gc_vfile_stat,      0,             NULL },
	{ "vFile:lstat",            gc_vfile_stat,      0,             NULL },
	{ "vFile:readlink",         gc_vfile_readlink,  0,             NULL },
	{ "vFile:pwrite",           gc_vfile_pwrite,    0,             NULL },
	{ "vFile:unlink",           gc_vfile_unlink,    0,             NULL },

	{ "Z",                      gc_set_breakpoint,  GC_SAYS_WHY,           NULL },
	{ "z",                      gc_breakpoint,      0,             NULL },
	{ "vCont?",                 gc_resume_actions,  0,             "vContSupported+" },
	{ "vCont",                  gc_run,             GC_SAYS_WHY,   NULL },
	{ "c",                      gc_run,             GC_SAYS_WHY,   NULL },
	{ "C",                      gc_run,             GC_SAYS_WHY,   NULL },
	{ "s",                      gc_run,             GC_SAYS_WHY,   NULL },
	{ "S",                      gc_run,             GC_SAYS_WHY,   NULL },
	{ "bc",                     gc_run,             GC_SAYS_WHY | GC_DELVE_ONLY, NULL },
	{ "bs",                     gc_run,             GC_SAYS_WHY | GC_DELVE_ONLY, NULL },
	{ "k",                      gc_kill,            0,             NULL },
	{ "vKill",                  gc_kill_process,    0,             NULL },
	{ "D",                      gc_detach,          0,             NULL },
};

static bool is_offered(const struct gc_rsp *rsp, const struct gc_packet *packet)
{
	const struct gc_process *p = rsp->target->process;

	if (packet->flags & GC_LLDB_ONLY && rsp->client != GC_CLIENT_LLDB)
		return false;
	if (packet->flags & (rsp->client == GC_CLIENT_DELVE ? GC_NOT_DELVE : GC_DELVE_ONLY))
		return false;
	return !(packet->flags & GC_NEEDS_TAGS) || (p->core.ntags && p->core.arch->tag_granule);
}

static bool is_delimiter(char c)
{
	return c == ':' || c == ';' || c == ',';
}

/** Is the name complete without a delimiter? One letter, or a name that an id follows directly. */
static bool is_bare(const struct gc_packet *packet, size_t len)
{
	return len == 1 || packet->flags & GC_BARE_NAME;
}

/** @return length of the packet's name in @data, else 0 */
static size_t match(const struct gc_packet *packet, const char *data, size_t len)
{
	size_t n = strlen(packet->name);

	if (n > len || memcmp(packet->name, data, n) != 0)
		return 0;
	return is_bare(packet, n) || n == len || is_delimiter(data[n]) ? n : 0;
}

static const struct gc_packet *find(const struct gc_rsp *rsp, const char *data, size_t len, size_t *name_len)
{
	const struct gc_packet *found = NULL;

	*name_len = 0;
	for (size_t i = 0; i < GC_COUNT(packets); i++) {
		size_t n = match(&packets[i], data, len);

		if (n > *name_len && is_offered(rsp, &packets[i])) {
			found = &packets[i];
			*name_len = n;
		}
	}
	return found;
}

/** E.text is read as it is, so that bytes with a meaning in a packet have to go. */
static void add_error_text(struct gc_buf *out, const char *text)
{
	gc_buf_str(out, "E.gocore-stub: ");
	for (; *text; text++)
		gc_buf_char(out, *text < ' ' || *text > '~' || strchr("#$}*{", *text) ? '?' : *text);
}

/**
 * Only where gdb shows it: 13 takes the E. of any other answer for hex digits.
 * lldb has a form of its own; Delve takes whatever starts with E for an error,
 * and shows it.
 */
static bool wants_text(const struct gc_rsp *rsp, const struct gc_packet *packet)
{
	return rsp->client == GC_CLIENT_DELVE || (packet->flags & GC_SAYS_WHY && rsp->client != GC_CLIENT_LLDB);
}

static void reply_error(const struct gc_rsp *rsp, const struct gc_packet *packet, struct gc_reply *reply,
			const struct gc_error *err)
{
	if (reply->out->len > reply->start + 1)
		reply->out->len = reply->start + 1;
	if (wants_text(rsp, packet)) {
		add_error_text(reply->out, err->text);
		return;
	}
	gc_buf_str(reply->out, "E01");
	if (!rsp->error_strings)
		return;
	gc_buf_char(reply->out, ';');
	gc_packet_add_hex(reply->out, err->text, strlen(err->text));
}

void gc_rsp_dispatch(struct gc_rsp *rsp, const char *data, size_t len, struct gc_reply *reply)
{
	struct gc_args args = { data, data + len };
	const struct gc_packet *packet;
	struct gc_error err = { GC_OK, "" };
	size_t name_len;

	packet = find(rsp, data, len, &name_len);
	if (!packet)
		return;
	args.pos += name_len;
	if (!is_bare(packet, name_len) && !gc_args_end(&args))
		args.pos++;
	if (packet->handler(rsp, &args, reply, &err) != GC_OK)
		reply_error(rsp, packet, reply, &err);
}

/** What the client can do. lldb 21 asks twice, so everything is set anew. */
static void read_features(struct gc_rsp *rsp, struct gc_args *args)
{
	enum gc_client client = GC_CLIENT_UNKNOWN;
	bool plain_registers = false;

	rsp->multiprocess = false;
	rsp->error_message = false;
	rsp->documents[GC_DOCUMENT_THREADS].built = false; /* its ids may be the other form now */
	while (!gc_args_end(args)) {
		struct gc_args feature = gc_args_until(args, ';');

		if (gc_args_text(&feature, "multiprocess+"))
			rsp->multiprocess = true;
		else if (gc_args_text(&feature, "error-message+"))
			rsp->error_message = true;
		else if (gc_args_text(&feature, "vContSupported+"))
			client = GC_CLIENT_GDB;
		else if (gc_args_text(&feature, "xmlRegisters=i386,arm,mips"))
			client = GC_CLIENT_LLDB;
		else if (gc_args_text(&feature, "xmlRegisters=i386"))
			plain_registers = true;
	}
	if (rsp->client != GC_CLIENT_UNKNOWN)
		return;
	rsp->client = client;
	if (client == GC_CLIENT_UNKNOWN && plain_registers)
		gc_rsp_is_delve(rsp); /* one that did not ask, or get, QThreadSuffixSupported */
}

static enum gc_code supported(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	bool first = true;

	(void)err;
	read_features(rsp, args);
	rsp->asked_features = true;
	if (rsp->client == GC_CLIENT_DELVE) {
		/* it looks at nothing else, and reads the process in pPID.TID as decimal */
		gc_buf_printf(reply->out, "PacketSize=%x", GC_PACKET_SIZE);
		rsp->multiprocess = false;
		return GC_OK;
	}
	for (size_t i = 0; i < GC_COUNT(packets); i++) {
		if (!packets[i].offer || !is_offered(rsp, &packets[i]))
			continue;
		if (!first)
			gc_buf_char(reply->out, ';');
		first = false;
		gc_buf_str(reply->out, packets[i].offer);
	}
	if (rsp->error_message)
		gc_buf_str(reply->out, ";error-message+");
	return GC_OK;
}
