/* Shared by the files of src/go that read the runtime. */
#ifndef GO_PRIVATE_H
#define GO_PRIVATE_H

#include "gocore/go.h"

#include "go/layout.h"

/** What a scan for the runtime's structures may look at; one limit for all scans of a core. */
#define GO_SCAN_BUDGET ((uint64_t)1 << 30)

/** Bytes at addresses, of a process or of a file. */
struct go_memory {
	gc_read_fn *read;
	void *data;
};

static inline bool go_read(const struct go_memory *mem, uint64_t addr, void *buf, size_t len)
{
	return mem->read(mem->data, addr, buf, len);
}

/** Words in a stretch of memory, with what follows them in sight. */
#define GO_SCAN_CHUNK 65536

struct go_scan {
	struct go_memory mem;
	uint64_t at, end;    /* not looked at yet */
	uint64_t *budget;
	size_t ahead;        /* bytes that visit wants to see from a word on */
	/* called with a word's address and @ahead bytes from it on; false ends the scan */
	bool (*visit)(void *data, uint64_t addr, const uint8_t *bytes);
	void *data;
	bool stopped;        /* set: by visit, or for lack of memory */
};

/** Visit the aligned words of [scan->at, scan->end) that can be read. */
void go_scan_run(struct go_scan *scan);

/** gc_read_fn of a struct gc_space. */
bool go_read_space(void *data, uint64_t addr, void *buf, size_t len);

/**
 * Is this a runtime.moduledata? Its tables follow each other behind the
 * pcHeader, and ftab and pclntable start together.
 */
bool go_is_moduledata(const uint8_t *md);
void go_parse_moduledata(struct gc_go_moduledata *m, uint64_t addr, const uint8_t *md,
			 const struct go_layout *layout);

/** runtime.textsect: vaddr, end, baseaddr. Only if there are several. @return how many */
size_t go_read_sections(struct gc_go_moduledata *m, const struct go_memory *mem, const uint8_t *md,
			const struct go_layout *layout);

/** @param bytes the table in one piece, or NULL */
enum gc_code go_open_table(struct gc_go_moduledata *m, const struct go_memory *mem, const uint8_t *bytes,
			   size_t nsections, uint8_t quantum, struct gc_error *err);

/** A file's moduledata at link-time addresses. @return its address, or 0 */
uint64_t go_file_moduledata(struct gc_elf_file *file, uint8_t md[MD_SIZE]);

/** The same if it is known where it is. @return false if there is none */
bool go_file_moduledata_at(struct gc_elf_file *file, uint64_t addr, uint8_t md[MD_SIZE]);

/** Has the image Go code, as far as its file or its notes in the core tell? */
bool go_image_is_go(const struct gc_image *image);

/** All that the image may write, with the memory behind its file; 0 and 0 if there is none. */
void go_image_data(const struct gc_process *p, const struct gc_image *image, uint64_t *start, uint64_t *end);

/** @param known  @layout is that of the program's version, and not the nearest one */
enum gc_code go_modules_of_process(struct gc_go_modules *out, const struct gc_process *p,
				   const struct go_layout *layout, bool known, struct gc_problems *problems,
				   struct gc_error *err);

/* A pc and all that is known of it, cached. */

enum go_kind {
	GO_KIND_PLAIN,
	GO_KIND_SIGTRAMP,
	GO_KIND_SYSTEMSTACK,
	GO_KIND_MORESTACK,
	GO_KIND_MCALL,
	GO_KIND_ASMCGOCALL,
	GO_KIND_CGOCALLBACK,
	GO_KIND_CROSSCALL,
	GO_KIND_SIGPANIC,   /* a signal handler faked the call of these two */
	GO_KIND_PREEMPT,
	GO_KIND_VDSO,       /* calls the vDSO on g0's stack */
};

struct go_pc {
	uint64_t key;       /* pc * 2 + exact; UINT64_MAX: free */
	uint64_t entry;
	int32_t delta;      /* frame size at pc; -1: unknown */
	uint32_t first, count; /* in go_pcs.lines */
	uint8_t kind;       /* enum go_kind */
	uint8_t flags;      /* enum gc_pcfunc_flag */
};

struct go_line {
	const char *function, *file;
	uint32_t line;
	bool inlined, wrapper;
};

struct go_pcs {
	struct go_pc *slots;
	size_t size, count; /* size is a power of two */
	struct go_line *lines;
	size_t nlines, lines_cap;
	bool told; /* a problem says that calls are missing */
};

/** @return what @pc is, or NULL if it is in no function of a module */
const struct go_pc *go_pc_lookup(struct gc_go *go, uint64_t pc, bool exact);
void go_pcs_deinit(struct go_pcs *pcs);

/** Of addresses to indexes. */
struct go_index {
	uint32_t *slots;    /* index + 1 */
	size_t size;
};

struct go_stray {
	uint64_t addr, goid;
};

struct gc_go {
	const struct gc_process *p;
	const struct gc_go_abi *abi;
	struct gc_problems *problems;
	uint64_t budget;
	struct gc_buildinfo info;
	bool has_info;
	int minor;
	const struct go_layout *layout;  /* of a version, or &own */
	struct go_layout own;
	bool by_dwarf;                   /* own is by the program's debug information */
	const char *const *reasons;
	size_t nreasons;
	char **own_reasons;          /* of a version newer than our tables */
	struct gc_go_modules modules;
	const struct gc_go_moduledata *runtime; /* whose data holds the runtime's variables, or NULL */
	uint64_t m0, allm, allgs, nallgs;
	bool sure_allgs;             /* two places in the data say that allgs is it */
	struct go_stray *strays;     /* goroutines found without allgs, which is damaged */
	size_t nstrays, strays_cap;
	bool sought_strays;
	uint64_t *stray_ms;          /* the same of Ms */
	size_t nstray_ms;
	bool torn_ms;                /* the list of Ms leads out of the core */
	struct gc_goroutine *list;
	size_t count;
	struct go_index index;       /* of list by addr */
	struct gc_go_m *ms;
	size_t nms;
	struct go_pcs pcs;
	size_t label_bytes;          /* that were read so far */
	/* the range that was read last: stacks are read word by word */
	uint64_t window, window_len;
	const uint8_t *window_bytes;
};

/** Changes of stack in one walk. */
#define GO_MAX_SWITCHES 64

/** The image whose Go code @pc is in, or NULL. */
const struct gc_image *go_image_at(const struct gc_go *go, uint64_t pc);

bool go_is_executable(const struct gc_go *go, uint64_t pc);

/** A word of the process's memory, quick for neighbours of the last one. */
bool go_word(struct gc_go *go, uint64_t addr, uint64_t *out);

/** A word at @off in what the program's symbols call @name. @return false if they do not */
bool go_symbol_word(struct gc_go *go, const char *name, uint64_t off, uint64_t *out);

/** Where an OS thread of the core is. */
enum gc_code go_thread_state(struct gc_go *go, const struct gc_thread *thread, struct gc_go_state *out,
			     struct gc_error *err);

/** Find m0 and allgs. What is not found is 0. */
void go_find_runtime(struct gc_go *go);

/** Find allm by the layout that is set; m0 if there is no longer list. */
void go_find_allm(struct gc_go *go);

/** Largest g or m that a layout describes. */
#define GO_MAX_RECORD 2048

/** Bytes of a g that are looked at without knowing the layout. */
#define GO_MAX_G 512

bool go_is_hidden(uint32_t status);   /* not a goroutine for anybody but the runtime */
uint32_t go_g_status(const struct go_layout *layout, const uint8_t *g);
bool go_in_text(const struct gc_go *go, uint64_t pc);

/* What of a g looks as it should. */
enum go_sign {
	GO_SIGN_STATUS = 1,
	GO_SIGN_ID = 2,
	GO_SIGN_STACK = 4,
	GO_SIGN_SP = 8,     /* the saved one lies in the stack */
	GO_SIGN_SELF = 16,  /* g.sched.g */
	GO_SIGN_CODE = 32,  /* gopc and startpc */
};

/** @param g layout->g.size bytes from @addr on */
unsigned go_g_signs(const struct gc_go *go, const struct go_layout *layout, uint64_t addr, const uint8_t *g);

/** Are these enough to show it? Its saved registers, its stack or its status may be damaged. */
bool go_g_is_sound(unsigned signs);

/** Is there a stack that a g can have? */
bool go_g_has_stack(const uint8_t *g);

/** What of a g's first bytes holds in all versions: it points at itself, or its guard is at the end of its stack. */
bool go_g_seems(const uint8_t *g, uint64_t addr, uint16_t sched);

/** Fill go->strays with what seems a g, once. */
void go_find_strays(struct gc_go *go);

bool go_has_thread(const struct gc_go *go, uint64_t tid);

/** Fill go->stray_ms with Ms of threads of the core. */
void go_find_stray_ms(struct gc_go *go);

/** Is it an m whose g0 points back? */
bool go_is_m(struct gc_go *go, uint64_t m);

/** Keep of them what the layout that is set finds sound, by goid. */
void go_sort_strays(struct gc_go *go);

/** Fill ms, list and index; fix layout. */
enum gc_code go_read_ms(struct gc_go *go, struct gc_error *err);
enum gc_code go_read_goroutines(struct gc_go *go, struct gc_error *err);

/** Do the first goroutines look like ones in this layout? @param sample how many were looked at; may be NULL */
bool go_layout_fits(struct gc_go *go, const struct go_layout *layout, size_t *sample);

/** The layout by a program's debug information. @return false if that does not tell all that is needed */
bool go_layout_by_dwarf(struct go_layout *out, struct gc_elf_file *file);

/** In all versions wrappers come right behind systemstack_switch (internal/abi/funcid.go). 0: unknown */
uint8_t go_wrapper_id(const struct gc_go *go);

/** Put together go->own out of what fits, and use it. @return false if nothing fits the goroutines */
bool go_fit_layout(struct gc_go *go);

/** The texts of wait reasons out of the program itself. */
enum gc_code go_find_reasons(struct gc_go *go, struct gc_error *err);

#endif
