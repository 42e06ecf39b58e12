/* One machine instruction as text, by capstone (4 and 5). */
#ifndef GOCORE_DISASM_H
#define GOCORE_DISASM_H

#include "gocore/arch.h"

#define GC_INSTRUCTION_MAX 16 /* bytes; x86_64 has the longest, 15 */

struct gc_instruction {
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t len;
	char text[192]; /* "mov    %rax,(%rdi)", as gdb writes it */
};

/**
 * The instruction at @addr out of its @len bytes (more may follow it).
 *
 * @return GC_E_FORMAT if the bytes are no instruction, GC_E_UNSUPPORTED if
 *         capstone was built without the architecture
 */
enum gc_code gc_disasm(const struct gc_arch *arch, uint64_t addr, const uint8_t *bytes, size_t len,
		       struct gc_instruction *out, struct gc_error *err);

#endif
