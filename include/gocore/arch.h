/*
 * An architecture: one table that note decoding, the g and p packets and the
 * target description all read, so that they cannot disagree.
 *
 * Layouts are numbers from the kernel's headers and never the build machine's
 * own structs. Code outside arch/ asks this table and never tests for an
 * architecture. arch/ itself sees only base and this header.
 */
#ifndef GOCORE_ARCH_H
#define GOCORE_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/error.h"

/** One ELF note of a core, in place. */
struct gc_note {
	const char *owner;  /* not NUL-terminated: use owner_len; a final NUL is not counted */
	uint32_t owner_len;
	uint32_t type;
	const uint8_t *desc;
	uint64_t desc_len;
	uint64_t file_off;  /* of desc; for messages */
};

struct gc_buf;

#define GC_MAX_FEATURES 16
#define GC_MAX_REGS     256

/** Register width that depends on the core's vector length (SVE, SME). */
enum gc_reg_scale {
	GC_SCALE_NONE,
	GC_SCALE_VL,      /* z0..z31: one vector */
	GC_SCALE_VL_8,    /* p0..p15, ffr: a bit for each byte of a vector */
	GC_SCALE_SVL_SQ,  /* za: streaming vector length squared */
};

/** One register. Row order within a feature is the order of the target description. */
struct gc_reg {
	const char *name;   /* GDB's */
	uint16_t number;    /* GDB's, in p and in the order of g; ascending over the rows */
	uint16_t bits;      /* 0 if scale says */
	uint8_t feature;    /* index into gc_arch.features */
	uint8_t bank;       /* the arch's own name for the bytes that hold it, see gc_regs_load */
	uint32_t offset;    /* in these bytes; for scaled registers: index of the register */
	int16_t dwarf;      /* DWARF number of the psABI, or -1 */
	enum gc_reg_scale scale;
	const char *type;   /* of the target description; NULL: "int" */
	const char *group;  /* NULL: by gdb's own rules */
	const char *generic; /* lldb: pc sp fp ra flags tp arg1.. or NULL */
	const char *lldb_name; /* NULL: as GDB's */
	const char *lldb_set;  /* NULL: the feature's */
	uint16_t part_of;    /* lldb: row that begins with this one where this one is not described; 0: none */
};

/**
 * A feature of the target description. Neighbours with the same name are one
 * feature there: the later ones hold registers that not every core has.
 */
struct gc_feature {
	const char *name;   /* "org.gnu.gdb.i386.core" */
	/** Types used by the rows, as XML; NULL for none. vl: vector length in bytes. */
	const char *types;
	void (*types_for_vl)(struct gc_buf *out, unsigned vl, unsigned svl); /* instead of types */
	const char *lldb_set; /* what lldb's own core reader calls these registers */
};

/**
 * Which registers the threads of one core have, how wide they are and where
 * each lies in gc_regs.bytes. Filled by gc_regmap_init and gc_arch.probe_*,
 * sealed by gc_regmap_seal.
 */
struct gc_regmap {
	const struct gc_arch *arch;
	uint32_t features;          /* bit i: arch->features[i] is described */
	unsigned vl;                /* SVE vector length in bytes, the largest of all threads; 0: none */
	unsigned svl;               /* the same while streaming */
	uint64_t xcr0;              /* x86_64: components that the core's XSAVE areas can hold */
	/* x86_64: XSAVE layout, offset and size of component i; size 0: not known */
	struct { uint32_t offset, size; } xsave[64];
	bool has_xsave_layout;      /* from note 0x205, so no guessing */
	uint32_t offset[GC_MAX_REGS]; /* of row i in gc_regs.bytes */
	uint32_t size[GC_MAX_REGS];   /* bytes of row i; 0: not in this core */
	uint32_t total;             /* bytes of all rows, which is the length of a g reply */
};

/** The registers of one thread. A register that is not valid is unknown, never zero. */
struct gc_regs {
	const struct gc_regmap *map;
	uint8_t *bytes;             /* map->total, in the order of the rows */
	bool valid[GC_MAX_REGS];    /* by row */
};

/** Address masks of one process (aarch64): set bits are not part of an address. */
struct gc_addr_masks {
	uint64_t data;  /* PAC mask of data pointers, 0 if unknown */
	uint64_t code;  /* PAC mask of code pointers, 0 if unknown */
};

/** How to find a thread's TLS blocks (ELF TLS ABI of the architecture). */
struct gc_tls_abi {
	bool below_tp;           /* variant II (x86_64): the program's block ends at the thread pointer */
	uint32_t tcb_size;       /* variant I: bytes between the thread pointer and the first block */
	int32_t dtv_offset;      /* of the DTV pointer from the thread pointer (glibc) */
	bool pthread_below_tp;   /* struct pthread ends where the thread pointer points (aarch64) */
};

/** A note type that the arch's threads carry. The table also names notes for `info`. */
struct gc_regnote {
	const char *owner;       /* "CORE", "LINUX" */
	uint32_t type;
	const char *name;        /* "NT_ARM_SVE" */
	/**
	 * Learn from one thread's note which features and widths there are
	 * (called for each note of each thread before gc_regmap_seal).
	 * NULL: nothing to learn.
	 */
	void (*probe)(struct gc_regmap *map, const struct gc_note *note);
	/**
	 * Decode the note's registers into @out. The notes of one thread are
	 * decoded in the order of this table, so that a later row overrides
	 * (NT_X86_XSTATE after NT_FPREGSET). NULL: holds no registers.
	 */
	enum gc_code (*load)(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
	/**
	 * The reverse, for registers that came otherwise than in notes: append
	 * the note's desc; what is unknown in it is 0.
	 *
	 * @return false if none of its registers is known; NULL: is never made
	 */
	bool (*store)(const struct gc_regs *regs, struct gc_buf *out);
};

/** A register in the ucontext of a signal frame. */
struct gc_ucontext_reg {
	int16_t row;
	uint16_t offset;         /* from the start of the ucontext, asm/ucontext.h and asm/sigcontext.h */
};

/** A register that a function has saved before it makes calls. */
struct gc_saved_reg {
	int16_t row;
	uint16_t offset;         /* from the stack pointer then */
};

/** What of the Go runtime's conventions depends on the architecture (runtime/asm_*.s, stkframe.go, traceback.go). */
struct gc_go_abi {
	uint8_t quantum;         /* smallest instruction; PCQuantum */
	int16_t g;               /* row of the register that holds g in Go code */
	bool link_register;      /* a frame keeps its return address at its sp, a leaf in gc_arch.ret */
	uint8_t call_push;       /* bytes of stack that a call itself takes */
	/* where a function with a frame of at least 8 bytes saved the caller's frame pointer */
	bool fp_below_sp;        /* 8 below its sp; else 16 below the caller's sp */
	uint8_t injected_push;   /* stack taken by a call that a signal handler faked (preparePanic, pushCall) */
	uint8_t linker_signals;  /* from Go 1.N on GDB gets over signals with what Go's linker wrote; 0: never */
	uint16_t ucontext;       /* behind the stack pointer that sigtramp was entered with */
	uint16_t callback_sp;    /* cgocallback keeps the older m.g0.sched.sp so far above its sp (unwindm) */
	/*
	 * asmcgocall measures the stack that it leaves. It takes size bytes of
	 * the other one, at a multiple of 16; while C runs, g is at sp + g and the
	 * depth at sp + depth. The second row is for programs without an
	 * asmcgocall_landingpad (of Go 1.19, and not of 1.22 any more); if it is 0
	 * there was never another.
	 */
	struct { uint8_t g, depth, size; } asmcgocall[2];
	const struct gc_saved_reg *crosscall; /* crosscall2 is entered from C: what C wants back, saved above its sp */
	size_t ncrosscall;
	const struct gc_ucontext_reg *ucontext_regs;
	size_t nucontext_regs;
};

/** Code that a signal handler returns to and that calls rt_sigreturn. */
struct gc_sigreturn {
	uint8_t len;
	uint8_t call;            /* offset of the system call in it */
	uint8_t code[14];
};

/** Where an instruction goes on. */
enum gc_flow_next {
	GC_FLOW_ON,
	GC_FLOW_CALL,            /* behind it, if what it calls comes back */
	GC_FLOW_BRANCH,          /* behind it, or at its target */
	GC_FLOW_JUMP,            /* at its target alone */
	GC_FLOW_END,             /* a return, or nowhere */
};

enum gc_flow_sp { GC_FLOW_SP_BY, GC_FLOW_SP_FROM_FP, GC_FLOW_SP_LOST };
enum gc_flow_fp { GC_FLOW_FP_KEPT, GC_FLOW_FP_FROM_SP, GC_FLOW_FP_LOADED, GC_FLOW_FP_LOST };

/** What an instruction does to the stack, and where it goes on. */
struct gc_flow {
	size_t len;
	enum gc_flow_next next;
	bool has_target;         /* of a branch or jump: it is not computed */
	uint64_t target;
	enum gc_flow_sp sp;      /* moved by sp_by, or sp_by above the frame pointer */
	int64_t sp_by;
	/* the others are relative to the sp that it leaves */
	enum gc_flow_fp fp;      /* is now fp_by above, or comes from memory there */
	int64_t fp_by;
	bool saves_fp, saves_ret;
	int64_t fp_at, ret_at;
	bool loads_ret;          /* back into gc_arch.ret */
};

/** What unwinding needs to know where tables do not tell it. */
struct gc_unwind_abi {
	uint64_t preserved[2];   /* DWARF registers that a call leaves as they were, a bit each (psABI) */
	const struct gc_sigreturn *sigreturns;
	size_t nsigreturns;
	uint16_t ucontext;       /* of struct rt_sigframe, from the sp that sigreturn is entered with */
	int16_t siginfo;         /* of struct rt_sigframe, from its ucontext */
	struct gc_addr_masks likely_masks; /* where the core tells none */
	/**
	 * The instruction at @pc, of which at least @len bytes are there. @return false if it is none
	 *
	 * NULL: it takes a disassembler (gc_disasm_flow).
	 */
	bool (*flow)(const uint8_t *code, size_t len, uint64_t pc, struct gc_flow *out);
	/** Does a call end right before @ret? @code are the @len bytes before it. @param target 0: not known */
	bool (*is_call)(const uint8_t *code, size_t len, uint64_t ret, uint64_t *target);
};

/** A Linux system call; name NULL: no call has this number. */
struct gc_syscall {
	const char *name;
	uint8_t args;
};

/** How a thread that is in a system call looks (syscall(2), "Architecture calling conventions"). */
struct gc_syscall_abi {
	const struct gc_syscall *table; /* by number */
	size_t count;
	int16_t number;          /* row of the number at the instruction */
	uint32_t note;           /* of LINUX: an int with the number, -1 in no call; 0: gc_arch.syscall_nr tells */
	int16_t args[6];         /* rows */
	int16_t result;          /* row; on some it is that of the first argument */
	bool rewinds;            /* one that was interrupted is at the instruction again, ready to be repeated */
	uint8_t len;
	uint8_t code[4];         /* the instruction */
};

/** A register whose parts are rows, lowest first: ymm0 of xmm0 and ymm0h. */
struct gc_reg_whole {
	const char *name;
	uint8_t nparts;
	int16_t parts[3];
};

/** An access to memory that an instruction makes. */
struct gc_access {
	uint64_t addr;           /* as the processor gets it; a tag is still in it */
	uint64_t size;           /* bytes, 0: unknown */
	bool read, write;        /* both may be false: unknown */
	uint8_t nrows;
	int16_t rows[3];         /* the registers that it was worked out from, but for the pc */
};

#define GC_MAX_ACCESSES 4

struct gc_arch {
	const char *name;            /* "x86_64": JSON, banner */
	const char *elf_name;        /* "x86-64": as people say it in sentences */
	const char *triple;          /* "x86_64-unknown-linux-gnu" (lldb) */
	const char *go_arch;         /* "amd64" */
	uint16_t elf_machine;        /* EM_* */
	uint32_t reloc_relative;     /* R_*_RELATIVE: a slot is base plus addend */
	uint32_t reloc_absolute;     /* R_*_64, R_*_ABS64: symbol plus addend */
	const char *gdb_name;        /* <architecture> */
	uint8_t breakpoint_len;

	const struct gc_reg *regs;
	size_t nregs;
	const struct gc_feature *features;
	size_t nfeatures;
	uint32_t base_features;      /* always described, even with no data (xx) */

	const struct gc_regnote *notes;
	size_t nnotes;

	/* row indexes; ret -1 where the return address is on the stack */
	int16_t pc, sp, fp, ret, tp, syscall_nr;
	int16_t width;               /* the register that tells how wide others are (vg); 0: none */

	/* struct elf_prstatus, linux/elfcore.h */
	uint32_t prstatus_size;
	uint32_t prstatus_regs;      /* offset of pr_reg */
	uint32_t prstatus_regs_size;

	struct gc_tls_abi tls;

	/** Features that the auxiliary vector tells (MTE); NULL: none. */
	void (*probe_hwcap)(struct gc_regmap *map, uint64_t hwcap, uint64_t hwcap2);

	/** What a load or store ignores of a data address (TBI); NULL: nothing. */
	uint64_t (*clean_data)(uint64_t addr);

	/** A return or branch address without its signature; NULL: as it is. */
	uint64_t (*clean_code)(const struct gc_addr_masks *masks, uint64_t addr);

	/** The masks of a thread's note (NT_ARM_PAC_MASK). @return false if it is another note; NULL: none */
	bool (*masks_of_note)(const struct gc_note *note, struct gc_addr_masks *out);

	/** Memory tags (MTE): bytes of memory per tag, 0: none; and a tag's shift in a pointer. */
	uint32_t tag_granule;
	uint32_t tag_shift;
	uint32_t memtag_segment;     /* p_type of the segments that hold packed tags */
	uint64_t memtag_prot;        /* unused bits are 0 */

	struct gc_go_abi go_abi;
	struct gc_unwind_abi unwind;

	const struct gc_syscall_abi *syscalls;
	const struct gc_reg_whole *wholes; /* a later one of the same first part is wider */
	size_t nwholes;

	uint8_t insn_len;            /* of every instruction; 0: they differ */
	uint8_t sp_align;            /* accesses by sp fail where it is no multiple of this; 0: they work */
	int16_t landing_row;         /* flags that say that a branch was made that needs a place marked for it... */
	uint64_t landing_mask;       /* ...when any of these is set; 0: branches may go anywhere */
	uint64_t user_end;           /* above user memory; with the sign bit set an address is the kernel's */

	/**
	 * What the instruction at @pc loads and stores; NULL: ask the disassembler (gocore/disasm.h).
	 *
	 * @return how many accesses are known of, at most GC_MAX_ACCESSES
	 */
	size_t (*accesses)(const struct gc_regs *regs, uint64_t pc, const uint8_t *code, size_t len,
			   struct gc_access out[GC_MAX_ACCESSES]);
};

/** @return the architecture, or NULL. src/arch.c has the one list. */
const struct gc_arch *gc_arch_by_machine(uint16_t elf_machine);
const struct gc_arch *gc_arch_at(size_t index); /* NULL behind the last */

/** Start a map with the arch's base features. */
void gc_regmap_init(struct gc_regmap *map, const struct gc_arch *arch);

/** Fix the layout once all notes were probed. */
void gc_regmap_seal(struct gc_regmap *map);

/** @return row index of a GDB register number, or -1 if this core has no such register */
int gc_regmap_row(const struct gc_regmap *map, unsigned number);

enum gc_code gc_regs_init(struct gc_regs *regs, const struct gc_regmap *map, struct gc_error *err);
void gc_regs_deinit(struct gc_regs *regs);

/** Copy all rows of @bank from @bytes at their offsets; rows that do not fit stay as they are. */
void gc_regs_load(struct gc_regs *regs, unsigned bank, const uint8_t *bytes, size_t len);

/**
 * gc_regs_load of the part of a note that starts at @skip and is @want bytes
 * long. What is there of a shorter note is loaded.
 *
 * @return GC_E_TRUNCATED if the note is shorter
 */
enum gc_code gc_regs_load_note(struct gc_regs *regs, unsigned bank, const struct gc_note *note, uint32_t skip,
			       uint32_t want, struct gc_error *err);

/**
 * The reverse of gc_regs_load: put the known rows of @bank at their offsets into @bytes.
 *
 * @return how many rows were put
 */
size_t gc_regs_store(const struct gc_regs *regs, unsigned bank, uint8_t *bytes, size_t len);

/** Set row @row from @len bytes, zero-extended; if the row is narrower it stays as it is. */
void gc_regs_set_bytes(struct gc_regs *regs, unsigned row, const uint8_t *bytes, size_t len);

/** Set row @row from a value; wider registers are zero-extended. */
void gc_regs_set_u64(struct gc_regs *regs, unsigned row, uint64_t value);

/** @return false if unknown or row < 0; the low 64 bits of the register otherwise */
bool gc_regs_u64(const struct gc_regs *regs, int row, uint64_t *out);

/** @return row of a register by GDB's name, or -1. Of two with one name (fpsr of fpu and of sve) the first. */
int gc_arch_reg_named(const struct gc_arch *arch, const char *name);

/** @return row of a register that this core has by GDB's name, or -1 */
int gc_regmap_reg_named(const struct gc_regmap *map, const char *name);

#endif
