/* Machine instructions as text, and what they access, by capstone (4 and 5). */
#ifndef GOCORE_DISASM_H
#define GOCORE_DISASM_H

#include "gocore/arch.h"

#define GC_INSTRUCTION_MAX 16 /* bytes; x86_64 has the longest, 15 */

struct gc_instruction {
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t len;
	char text[192]; /* "mov    %rax,(%rdi)", as gdb writes it */
};

struct gc_disasm;

/** @return GC_E_UNSUPPORTED if capstone was built without the architecture */
enum gc_code gc_disasm_open(struct gc_disasm **out, const struct gc_arch *arch, struct gc_error *err);
void gc_disasm_close(struct gc_disasm *d);

/**
 * The instruction at @addr out of its @len bytes (more may follow it).
 *
 * @return GC_E_FORMAT if the bytes are no instruction that capstone knows
 */
enum gc_code gc_disasm_one(struct gc_disasm *d, uint64_t addr, const uint8_t *bytes, size_t len,
			   struct gc_instruction *out, struct gc_error *err);

/** Its length alone. @return 0 if the bytes are no instruction */
size_t gc_disasm_len(struct gc_disasm *d, uint64_t addr, const uint8_t *bytes, size_t len);

/**
 * The memory that the instruction at @pc reads and writes when the registers
 * are @regs, those of its operands first. Of vectors of addresses nothing is said.
 *
 * @return how many are known
 */
size_t gc_disasm_accesses(struct gc_disasm *d, const struct gc_regs *regs, uint64_t pc, const uint8_t *bytes,
			  size_t len, struct gc_access out[GC_MAX_ACCESSES]);

/** gc_disasm_one for those who need a single one. */
enum gc_code gc_disasm(const struct gc_arch *arch, uint64_t addr, const uint8_t *bytes, size_t len,
		       struct gc_instruction *out, struct gc_error *err);

#endif
