/* What the parts of "fault" share: what the process died of. */
#ifndef SNAPSHOT_FAULT_H
#define SNAPSHOT_FAULT_H

#include "snapshot/snap.h"

/* asm-generic/signal.h, asm-generic/siginfo.h */
enum {
	FAULT_ILL = 4,
	FAULT_TRAP = 5,
	FAULT_BUS = 7,
	FAULT_FPE = 8,
	FAULT_SEGV = 11,
	FAULT_SYS = 31,
	FAULT_BUS_ADRALN = 1,
	FAULT_BUS_ADRERR = 2,
	FAULT_SEGV_ACCERR = 2,
	FAULT_SEGV_PKUERR = 4,
	FAULT_SEGV_MTESERR = 9,
	FAULT_SI_KERNEL = 0x80,
};

struct gc_snap_fault {
	int signo, code;        /* code 0: not known */
	uint64_t pc;
	bool has_address;       /* as siginfo tells it */
	uint64_t address;       /* as siginfo tells it, else as the instruction does */
	bool by_access;         /* access is what faulted */
	struct gc_access access;
	bool execute;           /* there is no instruction: the pc itself cannot be executed */
	bool has_insn;
	struct gc_instruction insn;
	struct gc_instruction_facts facts;
};

/** What is known of the place, or of what the instruction did. */
struct gc_snap_verdict {
	struct gc_snap *s;
	json_t *object;
	const char *reason;     /* NULL: nothing */
	struct gc_buf text;
};

static inline uint64_t gc_fault_clean(const struct gc_snap *s, uint64_t addr)
{
	return s->p->core.arch->clean_data ? s->p->core.arch->clean_data(addr) : addr;
}

static inline bool gc_fault_is_canonical(const struct gc_snap *s, uint64_t addr)
{
	const uint64_t end = s->p->core.arch->user_end;

	return addr < end || addr >= 0 - end;
}

/** @return false where the core does not tell permissions */
static inline bool gc_fault_knows_flags(const struct gc_range *r)
{
	return !r->unlisted || r->flags;
}

/** Do the permissions of @r allow it? */
bool gc_fault_allows(const struct gc_range *r, const struct gc_snap_fault *f);

/** What is at f->address. The text follows "address 0x10 ". */
void gc_fault_judge_place(struct gc_snap_verdict *v, const struct gc_snap_thread *t, const struct gc_snap_fault *f);

/** What the number alone says. @return false: nothing */
bool gc_fault_judge_number(struct gc_snap_verdict *v, uint64_t addr);

/**
 * What the instruction did, where no access to memory explains the signal:
 * division, traps, branches to what is no address. The text is a sentence.
 *
 * @return false if it explains nothing; else f->address is what it is about
 */
bool gc_fault_judge_instruction(struct gc_snap_verdict *v, const struct gc_regs *regs, struct gc_snap_fault *f);

/** How the thread came to a pc where no code is: "a call: ". */
void gc_fault_describe_branch(struct gc_snap *s, const struct gc_regs *regs, uint64_t pc, struct gc_buf *text);

#endif
