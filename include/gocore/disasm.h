/* Machine instructions as text, and what they access, by capstone (4 and 5). */
#ifndef GOCORE_DISASM_H
#define GOCORE_DISASM_H

#include "gocore/arch.h"

#define GC_INSTRUCTION_MAX 16 /* bytes; x86_64 has the longest, 15 */

struct gc_instruction {
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t len;
	char text[192]; /* x86_64 in Intel's syntax: "mov eax, dword ptr [rax + 0x10]" */
};

/** What an instruction is, as far as that tells why it failed. */
enum gc_instruction_kind {
	GC_INSTRUCTION_OTHER,
	GC_INSTRUCTION_CALL,       /* to the value of a register, or of the memory that it reads */
	GC_INSTRUCTION_JUMP,
	GC_INSTRUCTION_RETURN,     /* to what it reads from the stack */
	GC_INSTRUCTION_DIVIDE,     /* by a register, or by the memory that it reads */
	GC_INSTRUCTION_TRAP,       /* made to stop the program */
	GC_INSTRUCTION_PRIVILEGED, /* only for the kernel */
};

struct gc_instruction_facts {
	enum gc_instruction_kind kind;
	unsigned size;             /* bytes of the target or divisor; 0: unknown */
	bool is_signed;            /* division */
	int16_t row;               /* register that holds target or divisor; -1: memory does */
	uint64_t value;            /* of that register, as far as the instruction uses it */
	int16_t dividend[2];       /* rows, the upper half first; -1: none */
};

struct gc_disasm;

/** @return GC_E_UNSUPPORTED if capstone was built without the architecture */
enum gc_code gc_disasm_open(struct gc_disasm **out, const struct gc_arch *arch, struct gc_error *err);
void gc_disasm_close(struct gc_disasm *d);

/** Write x86_64 as AT&T does, "movl 0x10(%rax), %eax", from now on. */
void gc_disasm_set_att(struct gc_disasm *d);

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

/** What the instruction at @pc is. GC_INSTRUCTION_OTHER where nothing more is known. */
void gc_disasm_facts(struct gc_disasm *d, const struct gc_regs *regs, uint64_t pc, const uint8_t *bytes, size_t len,
		     struct gc_instruction_facts *out);

/** What the instruction at @pc does to the stack. @return false if the bytes are none */
bool gc_disasm_flow(struct gc_disasm *d, uint64_t pc, const uint8_t *bytes, size_t len, struct gc_flow *out);

/** gc_disasm_one for those who need a single one. */
enum gc_code gc_disasm(const struct gc_arch *arch, uint64_t addr, const uint8_t *bytes, size_t len,
		       struct gc_instruction *out, struct gc_error *err);

#endif
