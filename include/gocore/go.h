/*
 * The Go runtime of the dumped process: its modules (code and names), its
 * goroutines and threads, their stacks, and why it died.
 *
 * Nothing of it needs symbols or debug information. Structure offsets come
 * from tables by Go version; for a newer Go than the tables know from the
 * program's debug information, else the rows are tried from the newest on until
 * the runtime's own invariants hold, and a problem says so. Where lists are
 * damaged the memory is searched for what they held. Every pointer is read
 * through the address space; counts and walks are capped.
 */
#ifndef GOCORE_GO_H
#define GOCORE_GO_H

#include "gocore/buildinfo.h"
#include "gocore/frame.h"
#include "gocore/pclntab.h"
#include "gocore/process.h"

#define GC_MAX_GOROUTINES (1U << 24)
#define GC_MAX_MS         (1U << 16)

/** A runtime.moduledata: the program, or a plugin or shared library in Go. */
struct gc_go_moduledata {
	uint64_t addr;            /* of the moduledata */
	uint64_t pclntab;         /* of the pcHeader */
	uint64_t pclntab_len;
	uint64_t text, etext;
	uint64_t minpc, maxpc;    /* of Go functions; maxpc is behind them */
	uint64_t noptrdata, enoptrdata, data, edata, bss, ebss, noptrbss, enoptrbss;
	uint64_t types, etypes, gofunc; /* 0: unknown */
	const struct gc_image *image;   /* or NULL */
	uint8_t header[GC_PCLNTAB_HEADER]; /* pcHeader as the moduledata has it; all 0: unknown */
	bool bad_header;          /* the table's own says otherwise, and is not used */
	bool has_table;           /* table is usable: the pclntab could be read */
	struct gc_pclntab table;
	uint8_t *copy;            /* of the pclntab if it does not lie in one piece, else NULL */
	uint8_t *present;
	struct gc_text_section *sections;
};

struct gc_go_modules {
	struct gc_go_moduledata *list;
	size_t count;
};

/**
 * The Go module of a program or library file, at its link-time addresses.
 *
 * @param file  must outlive the result
 * @param minor N of Go 1.N, 0: unknown
 * @return GC_E_NOT_FOUND if it holds no Go code
 */
enum gc_code gc_go_module_of_file(struct gc_go_modules *out, struct gc_elf_file *file, int minor,
				  struct gc_error *err);
void gc_go_modules_deinit(struct gc_go_modules *modules);

/** N of "go1.N...", also inside "devel go1.N-..."; 0: none there */
int gc_go_minor(const char *version);

/** Where the runtime keeps the stack that a thread left; for those who write code that walks there. */
struct gc_go_offsets {
	uint16_t g_stack_lo, g_stack_hi, g_m;
	uint16_t g_sched_sp, g_sched_pc;
	uint16_t g_sched_lr, g_sched_fp;
	uint16_t m_g0, m_curg;
	uint16_t m_vdso_sp, m_vdso_pc; /* 0: not known in this version */
};

/** The offsets of Go 1.@minor; the newest known for 0 and for newer ones. */
void gc_go_offsets(struct gc_go_offsets *out, int minor);

/** _Gidle.. of runtime/runtime2.go */
enum gc_go_status {
	GC_GO_IDLE = 0,
	GC_GO_RUNNABLE = 1,
	GC_GO_RUNNING = 2,
	GC_GO_SYSCALL = 3,
	GC_GO_WAITING = 4,
	GC_GO_DEAD = 6,
	GC_GO_COPYSTACK = 8,
	GC_GO_PREEMPTED = 9,
	GC_GO_LEAKED = 10,
	GC_GO_DEADEXTRA = 11,
	GC_GO_UNKNOWN = 0xff, /* none of these: damaged */
};

/** "waiting", as the runtime spells it. */
const char *gc_go_status_name(enum gc_go_status status);

/** A goroutine that is neither dead nor idle. */
struct gc_goroutine {
	uint64_t addr;            /* of its runtime.g */
	uint64_t goid;
	uint64_t stack_lo, stack_hi;
	uint64_t sched_pc, sched_sp, sched_lr, sched_fp;
	uint64_t syscall_pc, syscall_sp, syscall_fp; /* sp 0: not in a system call or C */
	uint64_t start_pc;
	uint64_t go_pc;           /* return address of the go statement; 0: none */
	uint64_t parent;          /* goid of the creator; 0: unknown (before Go 1.21) */
	uint64_t panics;          /* address of the innermost runtime._panic, or 0 */
	uint64_t labels;          /* see gc_go_labels; 0: none */
	const char *wait_reason;  /* while waiting or leaked, else NULL */
	uint32_t m;               /* index of its M + 1; 0: none */
	uint32_t locked_m;        /* index of the M that it is locked to + 1; 0: none */
	uint32_t wait_minutes;    /* 0: less than one, or unknown */
	uint32_t signal;          /* that it got as a panic (sigpanic); 0: none */
	uint64_t sig_code, sig_addr, sig_pc;
	uint8_t status;           /* enum gc_go_status */
	bool scanning;            /* the garbage collector was at it */
};

/** A runtime.m: an OS thread as Go sees it. */
struct gc_go_m {
	uint64_t addr;
	int64_t id;
	gc_tid tid;               /* 0: no thread yet */
	uint64_t g0, gsignal;     /* addresses of their runtime.g */
	uint64_t g0_lo, g0_hi;    /* for threads made by C these are guesses of the runtime */
	uint64_t gsignal_lo, gsignal_hi;
	uint64_t curg;            /* address of the goroutine that it runs, or 0 */
	uint64_t vdso_pc, vdso_sp; /* caller of the vDSO function that it is in; 0: none */
	bool in_cgo;
	bool throwing;
	bool dying;               /* of a panic, a fatal error or a signal, as the first one */
};

struct gc_go;

/**
 * Is there Go code in the process, by what its files, their notes and the
 * build information say? Costs next to nothing, unlike gc_go_open, which
 * looks through the memory of a process without any; but that finds Go
 * code that was robbed of all of these.
 */
bool gc_go_is_likely(const struct gc_process *p);

/**
 * Read the runtime.
 *
 * @param problems collects what is damaged; may be NULL, else must outlive @out
 * @return GC_E_NOT_FOUND if there is no Go code in the process. Where only
 *         a part could be read the rest is empty and a problem says why.
 */
enum gc_code gc_go_open(struct gc_go **out, const struct gc_process *p, struct gc_problems *problems,
			struct gc_error *err);
void gc_go_close(struct gc_go *go);

/** Build information, or NULL. */
const struct gc_buildinfo *gc_go_buildinfo(const struct gc_go *go);
const struct gc_go_modules *gc_go_get_modules(const struct gc_go *go);

/** In the order of runtime.allgs, which is that of their creation. */
const struct gc_goroutine *gc_go_goroutines(const struct gc_go *go, size_t *count);

/** The first one first. */
const struct gc_go_m *gc_go_ms(const struct gc_go *go, size_t *count);

/** @return the M of an OS thread, or NULL */
const struct gc_go_m *gc_go_m_of_thread(const struct gc_go *go, gc_tid tid);

/** @return the goroutine whose runtime.g is at @addr, or NULL */
const struct gc_goroutine *gc_go_goroutine_at(const struct gc_go *go, uint64_t addr);
const struct gc_goroutine *gc_go_goroutine_by_id(const struct gc_go *go, uint64_t goid);

/** The OS thread that runs it; 0: none */
gc_tid gc_go_tid(const struct gc_go *go, const struct gc_goroutine *g);

/** The OS thread that it is locked to; 0: none */
gc_tid gc_go_locked_tid(const struct gc_go *go, const struct gc_goroutine *g);

/** What stands in brackets behind "goroutine 7": "chan receive, 3 minutes, locked to thread". */
void gc_go_describe(const struct gc_go *go, const struct gc_goroutine *g, struct gc_buf *out);

/** Made by the runtime for itself (isSystemGoroutine of runtime/traceback.go). */
bool gc_go_is_system(struct gc_go *go, const struct gc_goroutine *g);

/** The go statement that made it. @return false if unknown, and for goroutine 1 */
bool gc_go_created_by(struct gc_go *go, const struct gc_goroutine *g, struct gc_frame *out);

/** Its function: that of the go statement, and not the wrapper that the compiler made for it. NULL: unknown */
const char *gc_go_entry_function(struct gc_go *go, const struct gc_goroutine *g);

struct gc_go_label {
	char *key, *value;
};

struct gc_go_labels {
	struct gc_go_label *list;
	size_t count;
};

/** Its pprof labels, sorted by key; at most 1024, and none once those of all goroutines came to 64 MiB. */
enum gc_code gc_go_labels(struct gc_go *go, const struct gc_goroutine *g, struct gc_go_labels *out,
			  struct gc_error *err);
void gc_go_labels_deinit(struct gc_go_labels *labels);

/** Does @pc lie in the Go code of a module whose tables could be read? */
bool gc_go_is_text(const struct gc_go *go, uint64_t pc);

/** Append the frames of @pc alone (inlined ones first); sp and cfa are 0. @param exact as in gc_frame */
enum gc_code gc_go_symbolize(struct gc_go *go, uint64_t pc, bool exact, struct gc_frames *out, struct gc_error *err);

/* Unwinding */

/** The registers of one physical frame, and where it is. */
struct gc_go_state {
	uint64_t pc, sp;
	uint64_t fp, lr;
	bool has_fp, has_lr;      /* has_lr: lr is the return address while the frame has none on the stack */
	bool exact;               /* pc was interrupted: innermost, or below a signal or an injected call */
	bool as_call;             /* symbols as if pc were a return address, as old versions print them */
	bool cross_to_c;          /* at a callback from C go on with C's frames (below), not with Go's behind */
	enum gc_frame_how how;    /* for the next frame */
	uint32_t m;               /* index + 1 of the M whose stacks these are; 0: none */
	uint64_t callback_sp;     /* m.g0.sched.sp at the next callback from C; 0: as the runtime has it now */
	uint64_t ucontext;        /* set by GC_GO_SIGNAL */
	uint32_t switches;        /* how often the stack was changed; capped */
};

enum gc_go_step {
	GC_GO_CALLER,   /* state is the caller's, in Go code */
	GC_GO_C,        /* state is the caller's, and its pc is not in Go code */
	GC_GO_SIGNAL,   /* a signal interrupted the caller: all its registers are at state.ucontext */
	GC_GO_END,      /* that was the outermost frame of the stack */
	GC_GO_DAMAGED,  /* the caller cannot be found; @err says why */
};

/**
 * Append the frames of @state, and go to its caller.
 *
 * If state.pc is not in Go code nothing is appended and the result is GC_GO_C.
 * Where Go changes stacks (systemstack, morestack, cgo) the caller is the one
 * on the other stack, which need not be higher. A frame of asmcgocall, reached
 * from C, leads to its Go caller; C frames between cgocallback and asmcgocall
 * are left out unless cross_to_c is set.
 */
enum gc_go_step gc_go_step(struct gc_go *go, struct gc_go_state *state, struct gc_frames *out, struct gc_error *err);

/** Take pc, sp, fp and lr of the code that a signal interrupted. */
enum gc_code gc_go_from_ucontext(const struct gc_go *go, struct gc_go_state *state, struct gc_error *err);

/** All registers at a ucontext. What it does not hold stays as it is in @regs. */
enum gc_code gc_ucontext_regs(const struct gc_process *p, uint64_t ucontext, struct gc_regs *regs,
			      struct gc_error *err);

/** Where an OS thread is. @return false if it has no pc or sp */
bool gc_go_from_regs(const struct gc_go *go, gc_tid tid, const struct gc_regs *regs, struct gc_go_state *out);

/**
 * Where the stack of a goroutine starts that is on no thread, or whose thread is
 * in a system call or in C: the frame that made the call.
 *
 * @return false if it is running and only its thread's registers tell
 */
bool gc_go_from_goroutine(const struct gc_go *go, const struct gc_goroutine *g, struct gc_go_state *out);

/**
 * Why a stack ends where it does.
 */
struct gc_go_stack_end {
	enum gc_go_step how;      /* GC_GO_END, GC_GO_C or GC_GO_DAMAGED */
	struct gc_go_state state; /* GC_GO_C: of the first frame that is not Go */
	struct gc_error why;      /* GC_GO_DAMAGED */
};

/** Append all Go frames from @state on, through signals and changes of stack. */
enum gc_code gc_go_unwind(struct gc_go *go, const struct gc_go_state *state, struct gc_frames *out,
			  struct gc_go_stack_end *end, struct gc_error *err);

/** Append the Go frames of a goroutine; one that runs begins with its thread's registers. */
enum gc_code gc_go_goroutine_stack(struct gc_go *go, const struct gc_goroutine *g, struct gc_frames *out,
				   struct gc_go_stack_end *end, struct gc_error *err);

/** Append the Go frames of an OS thread, from its registers on. */
enum gc_code gc_go_thread_stack(struct gc_go *go, gc_tid tid, struct gc_frames *out, struct gc_error *err);

/* Why it died */

/** One link of the chain of panics, the oldest first. */
struct gc_go_panic {
	char *type;               /* "*main.RequestError", "runtime.boundsError"; NULL: unknown */
	char *text;               /* as the runtime prints it; NULL: it cannot be told without running code */
	bool recovered, goexit;
	bool repanicked;          /* the next is the same again: panic(recover()), since Go 1.25 */
};

struct gc_go_panics {
	const struct gc_goroutine *goroutine; /* whose they are; NULL: none panics */
	struct gc_go_panic *list;
	size_t count;
	char *fatal;              /* text behind "fatal error: "; NULL: none */
	gc_tid fatal_tid;         /* the thread that said so */
	bool unsaid;              /* the runtime gave up before it printed the chain */
	uint64_t stack_limit;     /* that a goroutine's stack went beyond; 0: none did, or the program has no symbols */
	uint64_t stack_sp;        /* how far it had come */
};

/** A signal that the runtime got and that is no panic: it prints the stacks and dies. */
struct gc_go_caught {
	struct gc_siginfo info;   /* without a note */
	uint64_t addr;            /* what si_addr has; that of no fault has who sent it there */
	uint64_t pc;              /* that it interrupted */
	const struct gc_go_m *m;  /* that got it */
};

/** The M that brought the process down, or NULL. */
const struct gc_go_m *gc_go_dying_m(const struct gc_go *go);

/** The signal that sigpanic got on the M's own stack, where it throws: until Go 1.20 that of C code; 0: none */
void gc_go_g0_signal(struct gc_go *go, const struct gc_go_m *m, struct gc_goroutine *out);

/** @return false if the process did not die of one, or what the handler was told cannot be read */
bool gc_go_caught_read(struct gc_go *go, struct gc_go_caught *out);

enum gc_code gc_go_panics_read(struct gc_go *go, struct gc_go_panics *out, struct gc_error *err);
void gc_go_panics_deinit(struct gc_go_panics *panics);

#endif
