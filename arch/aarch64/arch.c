#include "aarch64.h"

#include <elf.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"

#include "../rows.h"

#define X(n) GPR(ROW_X0 + n, "x" #n, 64, 8 * n, n, NULL, NULL)
#define ARG(n, arg) GPR(ROW_X0 + n, "x" #n, 64, 8 * n, n, NULL, arg)

#define GPR(num, reg_name, nbits, off, dw, reg_type, lldb) \
	[num] = { .name = reg_name, .number = num, .bits = nbits, .feature = FEATURE_CORE, .bank = BANK_GPR, \
		  .offset = off, .dwarf = dw, .type = reg_type, .generic = lldb },

#define FLOATING_POINT "Floating Point Registers"

#define V(n) \
	[ROW_V0 + n] = { .name = "v" #n, .number = ROW_V0 + n, .bits = 128, .feature = FEATURE_FPU, \
			 .bank = BANK_V, .offset = 16 * n, .dwarf = 64 + n, .type = "aarch64v", \
			 .part_of = ROW_Z0 + n },

#define FP_CONTROL(num, reg_name, which, off) \
	[num] = { .name = reg_name, .number = num, .bits = 32, .feature = which, .bank = BANK_FP_CONTROL, \
		  .offset = off, .dwarf = -1, .type = reg_name "_flags", \
		  .lldb_set = FLOATING_POINT },

#define Z(n) \
	[ROW_Z0 + n] = { .name = "z" #n, .number = ROW_Z0 + n, .feature = FEATURE_SVE, .scale = GC_SCALE_VL, \
			 .offset = n, .dwarf = 96 + n, .type = "svev" },

#define PREDICATE(num, reg_name, index, dw) \
	[num] = { .name = reg_name, .number = num, .feature = FEATURE_SVE, .scale = GC_SCALE_VL_8, \
		  .offset = index, .dwarf = dw, .type = "svep" },
#define P(n) PREDICATE(ROW_P0 + n, "p" #n, n, 48 + n)

#define OTHER(num, reg_name, which, which_bank, off, dw, reg_type) \
	[num] = { .name = reg_name, .number = num, .bits = 64, .feature = which, .bank = which_bank, \
		  .offset = off, .dwarf = dw, .type = reg_type },

/*
 * Order as in gdb/arch/aarch64.c. DWARF numbers: "DWARF for the Arm 64-bit
 * Architecture", table "Mapping from DWARF register numbers".
 */
static const struct gc_reg regs[] = {
	ARG(0, "arg1") ARG(1, "arg2") ARG(2, "arg3") ARG(3, "arg4")
	ARG(4, "arg5") ARG(5, "arg6") ARG(6, "arg7") ARG(7, "arg8")
	X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18)
	X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28)
	[29] = { .name = "x29", .number = 29, .bits = 64, .feature = FEATURE_CORE, .bank = BANK_GPR,
		 .offset = 8 * 29, .dwarf = 29, .generic = "fp", .lldb_name = "fp" },
	[30] = { .name = "x30", .number = 30, .bits = 64, .feature = FEATURE_CORE, .bank = BANK_GPR,
		 .offset = 8 * 30, .dwarf = 30, .generic = "ra", .lldb_name = "lr" },
	/*  row       gdb name bits  offset   dwarf  type        lldb */
	GPR(ROW_SP,   "sp",    64,   31 * 8,  31,    "data_ptr", "sp")
	GPR(ROW_PC,   "pc",    64,   32 * 8,  32,    "code_ptr", "pc")
	GPR(ROW_CPSR, "cpsr",  32,   33 * 8,  -1,    "cpsr_flags", "flags")
	GC_ROWS_32(V)
	FP_CONTROL(ROW_FPSR, "fpsr", FEATURE_FPU, FPSIMD_CONTROL)
	FP_CONTROL(ROW_FPCR, "fpcr", FEATURE_FPU, FPSIMD_CONTROL + 4)
	GC_ROWS_32(Z)
	FP_CONTROL(ROW_SVE_FPSR, "fpsr", FEATURE_SVE, FPSIMD_CONTROL)
	FP_CONTROL(ROW_SVE_FPCR, "fpcr", FEATURE_SVE, FPSIMD_CONTROL + 4)
	GC_ROWS_16(P)
	PREDICATE(ROW_FFR, "ffr", 16, 47)
	OTHER(ROW_VG,          "vg",          FEATURE_SVE,   BANK_NONE,    0, 46, NULL)
	[ROW_PAUTH_DMASK] = { .name = "pauth_dmask", .number = ROW_PAUTH_DMASK, .bits = 64, .feature = FEATURE_PAUTH,
			      .bank = BANK_PAC, .dwarf = -1, .lldb_name = "data_mask" },
	[ROW_PAUTH_CMASK] = { .name = "pauth_cmask", .number = ROW_PAUTH_CMASK, .bits = 64, .feature = FEATURE_PAUTH,
			      .bank = BANK_PAC, .offset = 8, .dwarf = -1, .lldb_name = "code_mask" },
	[ROW_TAG_CTL] = { .name = "tag_ctl", .number = ROW_TAG_CTL, .bits = 64, .feature = FEATURE_MTE,
			  .bank = BANK_TAG_CTL, .dwarf = -1, .type = "uint64", .group = "system",
			  .lldb_name = "mte_ctrl" },
	[ROW_TPIDR] = { .name = "tpidr", .number = ROW_TPIDR, .bits = 64, .feature = FEATURE_TLS,
			.bank = BANK_TLS, .dwarf = 36, .type = "data_ptr", .generic = "tp" },
	OTHER(ROW_TPIDR2,      "tpidr2",      FEATURE_TLS2,  BANK_TLS,     8, -1, "data_ptr")
	OTHER(ROW_SVG,         "svg",         FEATURE_SME,   BANK_NONE,    0, -1, NULL)
	OTHER(ROW_SVCR,        "svcr",        FEATURE_SME,   BANK_NONE,    0, -1, "svcr_flags")
	[ROW_ZA] = { .name = "za", .number = ROW_ZA, .feature = FEATURE_SME, .scale = GC_SCALE_SVL_SQ,
		     .dwarf = -1, .type = "sme_bvv" },
	[ROW_ZT0] = { .name = "zt0", .number = ROW_ZT0, .bits = 512, .feature = FEATURE_SME2, .bank = BANK_ZT,
		      .dwarf = -1, .type = "sme2_bv" },
};

/* Types as in GDB's own descriptions, so that values print as they do there. */
static const char core_types[] =
	"<flags id=\"cpsr_flags\" size=\"4\">\n"
	GC_FLAG("SP", 0) GC_BITS("EL", 2, 3) GC_FLAG("nRW", 4) GC_FLAG("F", 6) GC_FLAG("I", 7) GC_FLAG("A", 8)
	GC_FLAG("D", 9) GC_BITS("BTYPE", 10, 11) GC_FLAG("SSBS", 12) GC_FLAG("IL", 20) GC_FLAG("SS", 21)
	GC_FLAG("PAN", 22) GC_FLAG("UAO", 23) GC_FLAG("DIT", 24) GC_FLAG("TCO", 25) GC_FLAG("V", 28)
	GC_FLAG("C", 29) GC_FLAG("Z", 30) GC_FLAG("N", 31)
	"</flags>\n";

#define FP_CONTROL_TYPES \
	"<flags id=\"fpsr_flags\" size=\"4\">\n" \
	GC_FLAG("IOC", 0) GC_FLAG("DZC", 1) GC_FLAG("OFC", 2) GC_FLAG("UFC", 3) GC_FLAG("IXC", 4) \
	GC_FLAG("IDC", 7) GC_FLAG("QC", 27) GC_FLAG("V", 28) GC_FLAG("C", 29) GC_FLAG("Z", 30) GC_FLAG("N", 31) \
	"</flags>\n" \
	"<flags id=\"fpcr_flags\" size=\"4\">\n" \
	GC_FLAG("FIZ", 0) GC_FLAG("AH", 1) GC_FLAG("NEP", 2) GC_FLAG("IOE", 8) GC_FLAG("DZE", 9) \
	GC_FLAG("OFE", 10) GC_FLAG("UFE", 11) GC_FLAG("IXE", 12) GC_FLAG("EBF", 13) GC_FLAG("IDE", 15) \
	GC_BITS("Len", 16, 18) GC_FLAG("FZ16", 19) GC_BITS("Stride", 20, 21) GC_BITS("RMode", 22, 23) \
	GC_FLAG("FZ", 24) GC_FLAG("DN", 25) GC_FLAG("AHP", 26) \
	"</flags>\n"

const char aarch64_fp_control_types[] = FP_CONTROL_TYPES;

static const char fpu_types[] =
	GC_VECTOR("v2d", "ieee_double", 2) GC_VECTOR("v2u", "uint64", 2) GC_VECTOR("v2i", "int64", 2)
	GC_VECTOR("v4f", "ieee_single", 4) GC_VECTOR("v4u", "uint32", 4) GC_VECTOR("v4i", "int32", 4)
	GC_VECTOR("v8f", "ieee_half", 8) GC_VECTOR("v8u", "uint16", 8) GC_VECTOR("v8i", "int16", 8)
	GC_VECTOR("v8bf16", "bfloat16", 8)
	GC_VECTOR("v16u", "uint8", 16) GC_VECTOR("v16i", "int8", 16)
	GC_VECTOR("v1u", "uint128", 1) GC_VECTOR("v1i", "int128", 1)
	"<union id=\"vnd\">\n" GC_FIELD("f", "v2d") GC_FIELD("u", "v2u") GC_FIELD("s", "v2i") "</union>\n"
	"<union id=\"vns\">\n" GC_FIELD("f", "v4f") GC_FIELD("u", "v4u") GC_FIELD("s", "v4i") "</union>\n"
	"<union id=\"vnh\">\n" GC_FIELD("bf", "v8bf16") GC_FIELD("f", "v8f") GC_FIELD("u", "v8u")
	GC_FIELD("s", "v8i") "</union>\n"
	"<union id=\"vnb\">\n" GC_FIELD("u", "v16u") GC_FIELD("s", "v16i") "</union>\n"
	"<union id=\"vnq\">\n" GC_FIELD("u", "v1u") GC_FIELD("s", "v1i") "</union>\n"
	"<union id=\"aarch64v\">\n" GC_FIELD("d", "vnd") GC_FIELD("s", "vns") GC_FIELD("h", "vnh")
	GC_FIELD("b", "vnb") GC_FIELD("q", "vnq") "</union>\n"
	FP_CONTROL_TYPES;

static const char sme2_types[] = GC_VECTOR("sme2_bv", "uint8", 64);

static const struct gc_feature features[] = {
	[FEATURE_CORE]  = { .name = "org.gnu.gdb.aarch64.core", .types = core_types,
			    .lldb_set = "General Purpose Registers" },
	[FEATURE_FPU]   = { .name = "org.gnu.gdb.aarch64.fpu", .types = fpu_types,
			    .lldb_set = FLOATING_POINT },
	[FEATURE_SVE]   = { .name = "org.gnu.gdb.aarch64.sve", .types_for_vl = aarch64_sve_types,
			    .lldb_set = "Scalable Vector Extension Registers" },
	[FEATURE_PAUTH] = { .name = "org.gnu.gdb.aarch64.pauth",
			    .lldb_set = "Pointer Authentication Registers" },
	[FEATURE_MTE]   = { .name = "org.gnu.gdb.aarch64.mte",
			    .lldb_set = "MTE Control Register" },
	[FEATURE_TLS]   = { .name = "org.gnu.gdb.aarch64.tls",
			    .lldb_set = "Thread Local Storage Registers" },
	[FEATURE_TLS2]  = { .name = "org.gnu.gdb.aarch64.tls",
			    .lldb_set = "Thread Local Storage Registers" },
	[FEATURE_SME]   = { .name = "org.gnu.gdb.aarch64.sme", .types_for_vl = aarch64_sme_types,
			    .lldb_set = "Scalable Matrix Extension Registers" },
	[FEATURE_SME2]  = { .name = "org.gnu.gdb.aarch64.sme2", .types = sme2_types,
			    .lldb_set = "Scalable Matrix Extension Registers" },
};

/* struct elf_prstatus of linux/elfcore.h; struct user_pt_regs of asm/ptrace.h. */
#define PRSTATUS_SIZE 392
#define PRSTATUS_REGS 112
#define PRSTATUS_REGS_SIZE (34 * 8)

#define HWCAP2_MTE (1U << 18) /* asm/hwcap.h */

static enum gc_code load_prstatus(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_GPR, note, PRSTATUS_REGS, PRSTATUS_REGS_SIZE, err);
}

static enum gc_code load_fpregset(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	gc_regs_load_note(out, BANK_FP_CONTROL, note, 0, FPSIMD_SIZE, NULL);
	return gc_regs_load_note(out, BANK_V, note, 0, FPSIMD_SIZE, err);
}

static bool store_fpregset(const struct gc_regs *from, struct gc_buf *out)
{
	uint8_t desc[FPSIMD_SIZE] = { 0 };
	size_t known = gc_regs_store(from, BANK_V, desc, sizeof(desc)) +
		       gc_regs_store(from, BANK_FP_CONTROL, desc, sizeof(desc));

	gc_buf_add(out, desc, known ? sizeof(desc) : 0);
	return known;
}

static bool store_tls(const struct gc_regs *from, struct gc_buf *out)
{
	uint8_t desc[8];
	size_t known = gc_regs_store(from, BANK_TLS, desc, sizeof(desc));

	gc_buf_add(out, desc, known ? sizeof(desc) : 0);
	return known;
}

/* The kernel gives two words if it knows of TPIDR2, whether the CPU has it or not. */
static void probe_tls(struct gc_regmap *map, const struct gc_note *note)
{
	if (note->desc_len >= 16)
		map->features |= 1U << FEATURE_TLS2;
}

static enum gc_code load_tls(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_TLS, note, 0, note->desc_len >= 16 ? 16 : 8, err);
}

static void probe_pac_mask(struct gc_regmap *map, const struct gc_note *note)
{
	if (note->desc_len >= 16)
		map->features |= 1U << FEATURE_PAUTH;
}

static enum gc_code load_pac_mask(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_PAC, note, 0, 16, err);
}

static enum gc_code load_tag_ctl(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_TAG_CTL, note, 0, 8, err);
}

/*
 * linux/elf.h. SVE comes after FPREGSET, which lacks most of it; streaming SVE
 * after SVE, whose registers it replaces in streaming mode; ZA after it, whose
 * SVCR it completes.
 */
static const struct gc_regnote notes[] = {
	{ "CORE",  0x001, "NT_PRSTATUS",             NULL,               load_prstatus, NULL },
	{ "CORE",  0x002, "NT_FPREGSET",             NULL,               load_fpregset, store_fpregset },
	{ "LINUX", 0x401, "NT_ARM_TLS",              probe_tls,          load_tls, store_tls },
	{ "LINUX", 0x402, "NT_ARM_HW_BREAK",         NULL,               NULL, NULL },
	{ "LINUX", 0x403, "NT_ARM_HW_WATCH",         NULL,               NULL, NULL },
	{ "LINUX", 0x404, "NT_ARM_SYSTEM_CALL",      NULL,               NULL, NULL },
	{ "LINUX", 0x405, "NT_ARM_SVE",              aarch64_probe_sve,  aarch64_load_sve, NULL },
	{ "LINUX", 0x406, "NT_ARM_PAC_MASK",         probe_pac_mask,     load_pac_mask, NULL },
	{ "LINUX", 0x407, "NT_ARM_PACA_KEYS",        NULL,               NULL, NULL },
	{ "LINUX", 0x408, "NT_ARM_PACG_KEYS",        NULL,               NULL, NULL },
	{ "LINUX", 0x409, "NT_ARM_TAGGED_ADDR_CTRL", NULL,               load_tag_ctl, NULL },
	{ "LINUX", 0x40a, "NT_ARM_PAC_ENABLED_KEYS", NULL,               NULL, NULL },
	{ "LINUX", 0x40b, "NT_ARM_SSVE",             aarch64_probe_ssve, aarch64_load_ssve, NULL },
	{ "LINUX", 0x40c, "NT_ARM_ZA",               aarch64_probe_za,   aarch64_load_za, NULL },
	{ "LINUX", 0x40d, "NT_ARM_ZT",               aarch64_probe_zt,   aarch64_load_zt, NULL },
	{ "LINUX", 0x40e, "NT_ARM_FPMR",             NULL,               NULL, NULL },
	{ "LINUX", 0x40f, "NT_ARM_POE",              NULL,               NULL, NULL },
	{ "LINUX", 0x410, "NT_ARM_GCS",              NULL,               NULL, NULL },
};

static void probe_hwcap(struct gc_regmap *map, uint64_t hwcap, uint64_t hwcap2)
{
	(void)hwcap;
	if (hwcap2 & HWCAP2_MTE)
		map->features |= 1U << FEATURE_MTE;
}

/* Bit 55 selects the translation table, so it says what the bits above it would be without a tag. */
#define SELECT_BIT ((uint64_t)1 << 55)
#define TOP_BYTE   ((uint64_t)0xff << 56)

/** @addr without the bits of @mask, which are not part of it. */
static uint64_t without(uint64_t addr, uint64_t mask)
{
	return addr & SELECT_BIT ? addr | mask : addr & ~mask;
}

/* Linux has top-byte-ignore always on for user space (Documentation/arch/arm64/tagged-pointers.rst). */
static uint64_t clean_data(uint64_t addr)
{
	return without(addr, TOP_BYTE);
}

static uint64_t clean_code(const struct gc_addr_masks *masks, uint64_t addr)
{
	return without(addr, TOP_BYTE | masks->code);
}

/* Signatures lie between the largest virtual address, of at least 36 bits, and bit 55. */
#define PAC_BITS (SELECT_BIT - ((uint64_t)1 << 36))

static bool masks_of_note(const struct gc_note *note, struct gc_addr_masks *out)
{
	struct gc_addr_masks masks;

	if (note->type != NT_ARM_PAC_MASK || note->owner_len != 5 || memcmp(note->owner, "LINUX", 5) != 0 ||
	    note->desc_len < 16)
		return false;
	masks.data = gc_load_le64(note->desc);
	masks.code = gc_load_le64(note->desc + 8);
	if ((masks.data | masks.code) & ~PAC_BITS)
		return false;
	*out = masks;
	return true;
}

#define SAVED_X(n) { ROW_X0 + n, 184 + 8 * n },

/* struct ucontext: uc_mcontext at 176, a struct sigcontext (asm/sigcontext.h). */
static const struct gc_ucontext_reg ucontext_regs[] = {
	GC_ROWS_16(SAVED_X)
	SAVED_X(16) SAVED_X(17) SAVED_X(18) SAVED_X(19) SAVED_X(20) SAVED_X(21) SAVED_X(22) SAVED_X(23)
	SAVED_X(24) SAVED_X(25) SAVED_X(26) SAVED_X(27) SAVED_X(28) SAVED_X(29) SAVED_X(30)
	{ ROW_SP, 432 }, { ROW_PC, 440 }, { ROW_CPSR, 448 },
};

#define CROSSCALL_X(n) { ROW_X0 + n, 8 * (n - 15) },

/* SAVE_R19_TO_R28(8*4) of runtime/cgo/asm_arm64.s and runtime/cgo/abi_arm64.h */
static const struct gc_saved_reg crosscall[] = {
	CROSSCALL_X(19) CROSSCALL_X(20) CROSSCALL_X(21) CROSSCALL_X(22) CROSSCALL_X(23) CROSSCALL_X(24)
	CROSSCALL_X(25) CROSSCALL_X(26) CROSSCALL_X(27) CROSSCALL_X(28)
	{ ROW_X0 + 29, 22 * 8 }, { ROW_X0 + 30, 23 * 8 },
};

extern const struct gc_arch gc_arch_aarch64;

const struct gc_arch gc_arch_aarch64 = {
	.name = "aarch64",
	.elf_name = "AArch64",
	.triple = "aarch64-unknown-linux-gnu",
	.go_arch = "arm64",
	.elf_machine = EM_AARCH64,
	.reloc_relative = R_AARCH64_RELATIVE,
	.reloc_absolute = R_AARCH64_ABS64,
	.gdb_name = "aarch64",
	.breakpoint_len = 4,
	.regs = regs,
	.nregs = GC_COUNT(regs),
	.features = features,
	.nfeatures = GC_COUNT(features),
	/* Without tpidr GDB 18 fails an assertion on `p tls_variable`. */
	.base_features = 1U << FEATURE_CORE | 1U << FEATURE_FPU | 1U << FEATURE_TLS,
	.notes = notes,
	.nnotes = GC_COUNT(notes),
	.pc = ROW_PC,
	.sp = ROW_SP,
	.fp = ROW_FP,
	.ret = ROW_LR,
	.tp = ROW_TPIDR,
	.width = ROW_VG,
	.syscall_nr = -1,
	.prstatus_size = PRSTATUS_SIZE,
	.prstatus_regs = PRSTATUS_REGS,
	.prstatus_regs_size = PRSTATUS_REGS_SIZE,
	/* tcbhead_t of glibc's sysdeps/aarch64/nptl/tls.h; variant I of the ELF TLS ABI */
	.tls = { .tcb_size = 16, .dtv_offset = 0, .pthread_below_tp = true },
	.probe_hwcap = probe_hwcap,
	.clean_data = clean_data,
	.clean_code = clean_code,
	.masks_of_note = masks_of_note,
	/* arch/arm64/include/asm/mte-def.h; PT_AARCH64_MEMTAG_MTE of linux/elf.h */
	.tag_granule = 16,
	.tag_shift = 56,
	.memtag_segment = 0x70000002,
	.go_abi = {
		.quantum = 4,
		.g = ROW_X0 + 28,
		.link_register = true,
		.fp_below_sp = true,
		.injected_push = 16,
		.ucontext = 128, /* struct rt_sigframe begins with a siginfo */
		.callback_sp = 16,
		.asmcgocall = { { 0, 8, 16 } },
		.crosscall = crosscall,
		.ncrosscall = GC_COUNT(crosscall),
		.ucontext_regs = ucontext_regs,
		.nucontext_regs = GC_COUNT(ucontext_regs),
	},
	.unwind = {
		/* x19..x29, sp; d8..d15 */
		.preserved = { 0x7ffULL << 19 | 1ULL << 31, 0xffULL << 8 },
		.sigreturns = aarch64_sigreturns,
		.nsigreturns = AARCH64_NSIGRETURNS,
		.ucontext = 128, /* behind a siginfo */
		.siginfo = -128,
		/* VA_BITS 48, as all distributions have it */
		.likely_masks = { .data = 0x7fULL << 48, .code = 0x7fULL << 48 },
		.flow = aarch64_flow,
		.is_call = aarch64_is_call,
	},
	.syscalls = &aarch64_syscalls,
	.insn_len = 4,
	.sp_align = 16, /* SCTLR_EL1.SA0, which Linux sets */
	.landing_row = ROW_CPSR,
	.landing_mask = 3 << 10, /* PSTATE.BTYPE, which the landing instruction would have cleared */
	.user_end = (uint64_t)1 << 52, /* with the largest virtual addresses (FEAT_LVA) */
	.accesses = aarch64_accesses,
};
