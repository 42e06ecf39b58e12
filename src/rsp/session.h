/* One client's session, as its packet handlers see it. */
#ifndef RSP_SESSION_H
#define RSP_SESSION_H

#include "gocore/rsp.h"
#include "rsp/args.h"
#include "rsp/packet.h"

/** Who is talking, told from its first packets. */
enum gc_client {
	GC_CLIENT_UNKNOWN,
	GC_CLIENT_GDB,
	GC_CLIENT_LLDB,
	GC_CLIENT_DELVE,
};

/** What qXfer reads slices of. Built when the first slice is asked for, and kept for the session. */
struct gc_document {
	bool built;
	char annex[80];
	struct gc_buf text;
};

enum gc_document_kind {
	GC_DOCUMENT_FEATURES,
	GC_DOCUMENT_THREADS,
	GC_DOCUMENT_LIBRARIES,
	GC_DOCUMENT_COUNT,
};

#define GC_MAX_FILES 64

#define GC_MAX_EXPEDITED 5

/** A register as Delve is told of it: a row, or several that are one register to it. */
struct gc_delve_register {
	char name[16];
	uint32_t offset, size; /* in the answer to g, in bytes */
	uint8_t nparts;
	int16_t parts[3];
};

/** A file that the client opened with vFile:open. */
struct gc_open_file {
	bool used;
	const uint8_t *bytes;   /* of an image, of what is served in its place, or of made */
	uint64_t size;
	const struct gc_input *input; /* the image's file, or NULL */
	struct gc_buf made;     /* content of a file under /proc */
};

struct gc_rsp {
	struct gc_target *target;
	struct gc_rsp_options options;
	struct gc_packet_reader reader;
	struct gc_buf unescaped;  /* the packet in work, if it had escapes */
	struct gc_buf last;       /* what to repeat when the client asks for it */
	unsigned repeats;         /* of last */
	bool over;

	enum gc_client client;
	bool no_ack;
	bool multiprocess;        /* thread ids are pPID.TID */
	bool error_message;       /* E.text is understood everywhere */
	bool asked_features;      /* qSupported came */
	bool list_threads;        /* stop replies name all threads (QListThreadsInStopReply) */
	bool error_strings;       /* E01;HEX is understood everywhere (QEnableErrorStrings) */
	bool bare_x;              /* x without the b in front */

	gc_tid thread;            /* selected by Hg; meaningless without threads */
	size_t next_thread;       /* where qsThreadInfo goes on */
	struct gc_regs regs;      /* of regs_thread */
	bool have_regs;
	gc_tid regs_thread;

	bool asked_auxv;
	bool named_program;       /* in a list of libraries, for lldb */
	bool named_libraries;     /* in one that came after it asked for the auxiliary vector */

	struct gc_delve_register delve[GC_MAX_REGS]; /* by the number in p, once qRegisterInfo or g made them */
	size_t ndelve;

	struct gc_document documents[GC_DOCUMENT_COUNT];
	struct gc_open_file files[GC_MAX_FILES];
};

/** A reply in the making. Handlers append its data to out. */
struct gc_reply {
	struct gc_rsp *rsp;
	struct gc_buf *out;
	size_t start;    /* of the packet in out */
	bool silent;     /* the packet gets no reply */
};

/** Text for the client's user, shown as it comes (O packets); the reply itself follows. */
void gc_reply_console(struct gc_reply *reply, const char *text, size_t len);

/** The packet is not as its name wants it. @return GC_E_USAGE */
enum gc_code gc_bad_packet(struct gc_error *err);

/* Threads, for handlers. */

#define GC_TID_ANY 0
#define GC_TID_ALL (-1)

/** Parse a thread-id: TID, pPID, pPID.TID. @return false if it is none or of another process */
bool gc_rsp_parse_tid(const struct gc_rsp *rsp, struct gc_args *args, gc_tid *out);
void gc_rsp_add_tid(const struct gc_rsp *rsp, struct gc_buf *out, gc_tid tid);
bool gc_rsp_has_thread(const struct gc_rsp *rsp, gc_tid tid);

/**
 * The thread of g and p: that of a ;thread:ID; behind them, else the selected one.
 *
 * @return false if what is left is something else, or there is no such thread
 */
bool gc_rsp_suffix(const struct gc_rsp *rsp, struct gc_args *args, gc_tid *out);

/** The number that this client reads for a Linux signal. */
int gc_rsp_signal(const struct gc_rsp *rsp, int linux_number);

/** Registers of a thread, valid until the next call. All unknown for a core without threads. */
enum gc_code gc_rsp_regs(struct gc_rsp *rsp, gc_tid tid, const struct gc_regs **out, struct gc_error *err);

/** One register in hex, or x for each digit that nobody knows. */
void gc_rsp_add_register(struct gc_buf *out, const struct gc_regs *regs, size_t row);

/**
 * Rows of the registers that a client is sent unasked, since it reads them of
 * every thread; those that are unknown are left out.
 *
 * @return how many
 */
size_t gc_rsp_expedited(const struct gc_regs *regs, size_t rows[GC_MAX_EXPEDITED]);

/** Why the process stopped, told of its crashed thread, as the client wants it ("Stop Reply Packets"). */
void gc_rsp_add_stop(struct gc_rsp *rsp, struct gc_buf *out);

/** The same after an attempt to run it: a signal with which each client says that it stopped. */
void gc_rsp_add_stop_again(struct gc_rsp *rsp, struct gc_buf *out);

/** "SIGSEGV: address not mapped to object (fault address=0x0)", or nothing for a thread without a signal. */
void gc_rsp_add_reason(struct gc_rsp *rsp, gc_tid tid, int number, struct gc_buf *out);

/** jstopinfo:HEX; the threads that have a reason, which is that one. lldb then asks none of the others for one. */
void gc_rsp_add_stop_info(struct gc_rsp *rsp, gc_tid tid, struct gc_buf *out);

/** The client is Delve: from now on its threads are the OS threads. */
void gc_rsp_is_delve(struct gc_rsp *rsp);

/** g and p for Delve. */
enum gc_code gc_delve_read_registers(struct gc_rsp *rsp, const struct gc_regs *regs, struct gc_reply *reply);
enum gc_code gc_delve_read_register(struct gc_rsp *rsp, const struct gc_regs *regs, uint64_t number,
				    struct gc_reply *reply, struct gc_error *err);

void gc_open_file_close(struct gc_open_file *file);

#endif
