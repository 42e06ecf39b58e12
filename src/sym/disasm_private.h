/* What the files that use capstone share. */
#ifndef SYM_DISASM_PRIVATE_H
#define SYM_DISASM_PRIVATE_H

#include <capstone/capstone.h>

#include "gocore/disasm.h"

/** What capstone tells of the operands of one architecture. */
typedef size_t gc_operands_fn(const struct gc_regs *regs, const cs_insn *insn,
			      struct gc_access out[GC_MAX_ACCESSES]);

gc_operands_fn gc_operands_x86; /* with Intel's order of operands */

#endif
