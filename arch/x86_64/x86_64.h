/* What the files of arch/x86_64 share. */
#ifndef GOCORE_X86_64_H
#define GOCORE_X86_64_H

#include "gocore/arch.h"

enum feature {
	FEATURE_CORE,
	FEATURE_SSE,
	FEATURE_LINUX,
	FEATURE_SEGMENTS,
	FEATURE_AVX,
	FEATURE_AVX512,
	FEATURE_PKEYS,
	FEATURE_SHSTK,
};

/* The bytes that hold a register; offsets in the rows are into these. */
enum bank {
	BANK_GPR,         /* struct user_regs_struct */
	BANK_X87,         /* FXSAVE area: st */
	BANK_X87_CONTROL, /* eight 32-bit values in GDB's order, see load_x87 */
	BANK_SSE,         /* FXSAVE area: xmm */
	BANK_MXCSR,       /* FXSAVE area: mxcsr */
	BANK_AVX,         /* XSAVE component 2: ymm0h.. */
	BANK_OPMASK,      /* 5: k0.. */
	BANK_ZMM_HI256,   /* 6: zmm0h.. */
	BANK_HI16_ZMM,    /* 7: xmm16, ymm16h, zmm16h, xmm17, ... */
	BANK_PKRU,        /* 9 */
	BANK_SHSTK,       /* note NT_X86_SHSTK */
};

#define FXSAVE_SIZE 512
#define FXSAVE_ST   32  /* eight of 16 bytes, 10 used */
#define FXSAVE_XMM  160

enum gc_code x86_64_load_fpregset(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
bool x86_64_store_fpregset(const struct gc_regs *regs, struct gc_buf *out);
void x86_64_probe_xstate(struct gc_regmap *map, const struct gc_note *note);
enum gc_code x86_64_load_xstate(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
void x86_64_probe_xsave_layout(struct gc_regmap *map, const struct gc_note *note);

extern const struct gc_syscall_abi x86_64_syscalls; /* syscalls.c */

/* unwind.c */
#define X86_64_NSIGRETURNS 2
extern const struct gc_sigreturn x86_64_sigreturns[X86_64_NSIGRETURNS];
bool x86_64_is_call(const uint8_t *code, size_t len, uint64_t ret, uint64_t *target);

#endif
