/* What the files that use capstone share. */
#ifndef SYM_DISASM_PRIVATE_H
#define SYM_DISASM_PRIVATE_H

#include <capstone/capstone.h>

#include "gocore/disasm.h"

/** What capstone tells of the operands of one architecture. */
typedef size_t gc_operands_fn(const struct gc_regs *regs, const cs_insn *insn,
			      struct gc_access out[GC_MAX_ACCESSES]);

/* With Intel's order of operands. */
gc_operands_fn gc_operands_x86;

/** gc_disasm_facts of one architecture; @out is that of an instruction of which nothing is known. */
typedef void gc_facts_fn(const struct gc_regs *regs, const cs_insn *insn, struct gc_instruction_facts *out);

gc_facts_fn gc_facts_x86, gc_facts_arm64;

/** gc_disasm_flow of one architecture; @out is that of an instruction that does nothing to the stack. */
typedef void gc_flow_fn(csh handle, const cs_insn *insn, struct gc_flow *out);

gc_flow_fn gc_flow_x86;

/** Row and value of an x86_64 register, of which narrow names use a part. @return -1: it is none that is known */
int gc_x86_register(const struct gc_regs *regs, x86_reg reg, uint64_t *value);

#endif
