/* The packet table, and the handlers that its rows name. */
#ifndef RSP_COMMANDS_H
#define RSP_COMMANDS_H

#include "rsp/session.h"

/**
 * Answer one packet.
 *
 * @param args   what follows the name (and the : ; or , behind a name of several letters)
 * @param reply  starts empty, and an empty reply means that the packet is not known
 * @return what is not GC_OK becomes an error reply, whatever was appended
 */
typedef enum gc_code gc_handler(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
				struct gc_error *err);

enum gc_packet_flags {
	GC_NEEDS_TAGS = 1, /* unknown in a core without memory tags */
	GC_SAYS_WHY = 2,   /* the error's text is for the client's user */
	GC_LLDB_ONLY = 4,  /* unknown to all others */
	GC_DELVE_ONLY = 16,
	GC_NOT_DELVE = 32,
	GC_BARE_NAME = 8,  /* what follows the name follows it without a delimiter */
};

struct gc_packet {
	const char *name;
	gc_handler *handler;
	unsigned flags;
	const char *offer; /* what qSupported says of it, or NULL */
};

/** Find the row of a packet and append its answer to @reply. */
void gc_rsp_dispatch(struct gc_rsp *rsp, const char *data, size_t len, struct gc_reply *reply);

/* query.c */
gc_handler gc_start_no_ack, gc_reply_empty, gc_reply_ok, gc_attached, gc_tls_address;
/* lldb.c */
gc_handler gc_thread_suffix, gc_list_threads, gc_error_strings, gc_host_info, gc_process_info, gc_shlib_info;
/* modules.c */
gc_handler gc_modules_info, gc_module_info;
/* regions.c */
gc_handler gc_memory_region;
/* threads_info.c */
gc_handler gc_threads_info;
/* delve.c */
gc_handler gc_register_info;
/* stop.c */
gc_handler gc_stop_reason, gc_thread_stop;
/* threads.c */
gc_handler gc_select_thread, gc_thread_alive, gc_current_thread, gc_first_threads,
	   gc_more_threads, gc_thread_extra;
/* regs.c */
gc_handler gc_read_registers, gc_read_register, gc_write_registers;
/* memory.c */
gc_handler gc_read_hex, gc_read_binary, gc_write_memory, gc_search_memory, gc_memory_crc,
	   gc_memory_tags, gc_address_tagged;
/* xfer.c */
gc_handler gc_xfer_features, gc_xfer_threads, gc_xfer_libraries, gc_xfer_auxv, gc_xfer_exec_file,
	   gc_xfer_siginfo;
/* vfile.c */
gc_handler gc_vfile_setfs, gc_vfile_open, gc_vfile_close, gc_vfile_pread, gc_vfile_fstat, gc_vfile_stat,
	   gc_vfile_readlink, gc_vfile_pwrite, gc_vfile_unlink;
/* run.c */
gc_handler gc_run, gc_resume_actions, gc_breakpoint, gc_set_breakpoint, gc_kill, gc_kill_process, gc_detach;
/* monitor.c */
gc_handler gc_monitor_command;

#endif
