/* What the files of arch/aarch64 share. */
#ifndef GOCORE_AARCH64_H
#define GOCORE_AARCH64_H

#include "gocore/arch.h"

enum feature {
	FEATURE_CORE,
	FEATURE_FPU,
	FEATURE_SVE,
	FEATURE_PAUTH,
	FEATURE_MTE,
	FEATURE_TLS,
	FEATURE_TLS2, /* tpidr2 */
	FEATURE_SME,
	FEATURE_SME2,
};

/* The bytes that hold a register; offsets in the rows are into these. */
enum bank {
	BANK_NONE,   /* set one by one, by sve.c */
	BANK_GPR,    /* struct user_pt_regs */
	BANK_V,      /* struct user_fpsimd_state: v0.. */
	BANK_FP_CONTROL, /* the same: fpsr, fpcr */
	BANK_PAC,    /* struct user_pac_mask */
	BANK_TAG_CTL,
	BANK_TLS,    /* tpidr, tpidr2 */
	BANK_ZT,
};

/* Row indexes, which are the register numbers too. */
enum row {
	ROW_X0,
	ROW_FP = 29,
	ROW_LR,
	ROW_SP,
	ROW_PC,
	ROW_CPSR,
	ROW_V0,
	ROW_FPSR = ROW_V0 + 32,
	ROW_FPCR,
	ROW_Z0,
	ROW_SVE_FPSR = ROW_Z0 + 32, /* of the sve feature, which stands instead of fpu */
	ROW_SVE_FPCR,
	ROW_P0,
	ROW_FFR = ROW_P0 + 16,
	ROW_VG,
	ROW_PAUTH_DMASK,
	ROW_PAUTH_CMASK,
	ROW_TAG_CTL,
	ROW_TPIDR,
	ROW_TPIDR2,
	ROW_SVG,
	ROW_SVCR,
	ROW_ZA,
	ROW_ZT0,
};

#define FPSIMD_CONTROL 512 /* fpsr and fpcr in struct user_fpsimd_state */
#define FPSIMD_SIZE    528

extern const char aarch64_fp_control_types[]; /* of fpsr and fpcr */

void aarch64_sve_types(struct gc_buf *out, unsigned vl, unsigned svl);
void aarch64_sme_types(struct gc_buf *out, unsigned vl, unsigned svl);

void aarch64_probe_sve(struct gc_regmap *map, const struct gc_note *note);
enum gc_code aarch64_load_sve(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
void aarch64_probe_ssve(struct gc_regmap *map, const struct gc_note *note);
enum gc_code aarch64_load_ssve(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
void aarch64_probe_za(struct gc_regmap *map, const struct gc_note *note);
enum gc_code aarch64_load_za(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);
void aarch64_probe_zt(struct gc_regmap *map, const struct gc_note *note);
enum gc_code aarch64_load_zt(const struct gc_note *note, struct gc_regs *out, struct gc_error *err);

extern const struct gc_syscall_abi aarch64_syscalls; /* syscalls.c */

/* accesses.c */
size_t aarch64_accesses(const struct gc_regs *regs, uint64_t pc, const uint8_t *code, size_t len,
			struct gc_access out[GC_MAX_ACCESSES]);

/* unwind.c */
#define AARCH64_NSIGRETURNS 1
extern const struct gc_sigreturn aarch64_sigreturns[AARCH64_NSIGRETURNS];
bool aarch64_flow(const uint8_t *code, size_t len, uint64_t pc, struct gc_flow *out);
bool aarch64_is_call(const uint8_t *code, size_t len, uint64_t ret, uint64_t *target);

#endif
