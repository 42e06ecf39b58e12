#include "x86_64.h"

#include <elf.h>

#include "../rows.h"

/* Row indexes, which are GDB's register numbers too (gdb/features/i386). */
enum row {
	ROW_RBP = 6,
	ROW_RSP = 7,
	ROW_RIP = 16,
	ROW_ST0 = 24,
	ROW_XMM0 = 40,
	ROW_MXCSR = 56,
	ROW_ORIG_RAX,
	ROW_FS_BASE,
	ROW_GS_BASE,
	ROW_YMM0H,
	ROW_XMM16 = ROW_YMM0H + 16,
	ROW_YMM16H = ROW_XMM16 + 16,
	ROW_K0 = ROW_YMM16H + 16,
	ROW_ZMM0H = ROW_K0 + 8,
	ROW_PKRU = ROW_ZMM0H + 32,
	ROW_PL3_SSP,
};

#define GPR(num, reg_name, nbits, off, dw, reg_type, lldb) \
	[num] = { .name = reg_name, .number = num, .bits = nbits, .feature = FEATURE_CORE, .bank = BANK_GPR, \
		  .offset = off, .dwarf = dw, .type = reg_type, .generic = lldb },

#define FLOATING_POINT "Floating Point Registers"

#define ST(n) \
	[ROW_ST0 + n] = { .name = "st" #n, .number = ROW_ST0 + n, .bits = 80, .feature = FEATURE_CORE, \
			  .bank = BANK_X87, .offset = FXSAVE_ST + 16 * n, .dwarf = 33 + n, .type = "i387_ext", \
			  .lldb_set = FLOATING_POINT },

#define X87(num, reg_name, index, dw) \
	[num] = { .name = reg_name, .number = num, .bits = 32, .feature = FEATURE_CORE, \
		  .bank = BANK_X87_CONTROL, .offset = 4 * index, .dwarf = dw, .group = "float", \
		  .lldb_set = FLOATING_POINT },

#define XMM(n) \
	[ROW_XMM0 + n] = { .name = "xmm" #n, .number = ROW_XMM0 + n, .bits = 128, .feature = FEATURE_SSE, \
			   .bank = BANK_SSE, .offset = FXSAVE_XMM + 16 * n, .dwarf = 17 + n, .type = "vec128" },

#define YMMH(n) \
	[ROW_YMM0H + n] = { .name = "ymm" #n "h", .number = ROW_YMM0H + n, .bits = 128, .feature = FEATURE_AVX, \
			    .bank = BANK_AVX, .offset = 16 * n, .dwarf = -1, .type = "uint128" },

/* Component Hi16_ZMM holds zmm16..zmm31 whole; GDB takes each in three parts. */
#define XMM_HI16(n) \
	[ROW_XMM16 + n - 16] = { .name = "xmm" #n, .number = ROW_XMM16 + n - 16, .bits = 128, \
				 .feature = FEATURE_AVX512, .bank = BANK_HI16_ZMM, .offset = 64 * (n - 16), \
				 .dwarf = 67 + n - 16, .type = "vec128" },
#define YMMH_HI16(n) \
	[ROW_YMM16H + n - 16] = { .name = "ymm" #n "h", .number = ROW_YMM16H + n - 16, .bits = 128, \
				  .feature = FEATURE_AVX512, .bank = BANK_HI16_ZMM, .offset = 64 * (n - 16) + 16, \
				  .dwarf = -1, .type = "uint128" },
#define ZMMH_HI16(n) \
	[ROW_ZMM0H + n] = { .name = "zmm" #n "h", .number = ROW_ZMM0H + n, .bits = 256, \
			    .feature = FEATURE_AVX512, .bank = BANK_HI16_ZMM, .offset = 64 * (n - 16) + 32, \
			    .dwarf = -1, .type = "v2ui128" },

#define ZMMH(n) \
	[ROW_ZMM0H + n] = { .name = "zmm" #n "h", .number = ROW_ZMM0H + n, .bits = 256, \
			    .feature = FEATURE_AVX512, .bank = BANK_ZMM_HI256, .offset = 32 * n, .dwarf = -1, \
			    .type = "v2ui128" },

#define K(n) \
	[ROW_K0 + n] = { .name = "k" #n, .number = ROW_K0 + n, .bits = 64, .feature = FEATURE_AVX512, \
			 .bank = BANK_OPMASK, .offset = 8 * n, .dwarf = 118 + n, .type = "uint64" },

/* DWARF numbers: x86-64 psABI, figure "DWARF Register Number Mapping". */
static const struct gc_reg regs[] = {
	/*  gdb name      bits  offset   dwarf  type          lldb */
	GPR(0,  "rax",    64,   10 * 8,  0,     "int64",      NULL)
	GPR(1,  "rbx",    64,    5 * 8,  3,     "int64",      NULL)
	GPR(2,  "rcx",    64,   11 * 8,  2,     "int64",      "arg4")
	GPR(3,  "rdx",    64,   12 * 8,  1,     "int64",      "arg3")
	GPR(4,  "rsi",    64,   13 * 8,  4,     "int64",      "arg2")
	GPR(5,  "rdi",    64,   14 * 8,  5,     "int64",      "arg1")
	GPR(6,  "rbp",    64,    4 * 8,  6,     "data_ptr",   "fp")
	GPR(7,  "rsp",    64,   19 * 8,  7,     "data_ptr",   "sp")
	GPR(8,  "r8",     64,    9 * 8,  8,     "int64",      "arg5")
	GPR(9,  "r9",     64,    8 * 8,  9,     "int64",      "arg6")
	GPR(10, "r10",    64,    7 * 8,  10,    "int64",      NULL)
	GPR(11, "r11",    64,    6 * 8,  11,    "int64",      NULL)
	GPR(12, "r12",    64,    3 * 8,  12,    "int64",      NULL)
	GPR(13, "r13",    64,    2 * 8,  13,    "int64",      NULL)
	GPR(14, "r14",    64,    1 * 8,  14,    "int64",      NULL)
	GPR(15, "r15",    64,    0 * 8,  15,    "int64",      NULL)
	GPR(16, "rip",    64,   16 * 8,  16,    "code_ptr",   "pc")
	GPR(17, "eflags", 32,   18 * 8,  49,    "i386_eflags", "flags")
	GPR(18, "cs",     32,   17 * 8,  51,    "int32",      NULL)
	GPR(19, "ss",     32,   20 * 8,  52,    "int32",      NULL)
	GPR(20, "ds",     32,   23 * 8,  53,    "int32",      NULL)
	GPR(21, "es",     32,   24 * 8,  50,    "int32",      NULL)
	GPR(22, "fs",     32,   25 * 8,  54,    "int32",      NULL)
	GPR(23, "gs",     32,   26 * 8,  55,    "int32",      NULL)
	GC_ROWS_8(ST)
	X87(32, "fctrl", 0, 65)
	X87(33, "fstat", 1, 66)
	X87(34, "ftag",  2, -1)
	X87(35, "fiseg", 3, -1)
	X87(36, "fioff", 4, -1)
	X87(37, "foseg", 5, -1)
	X87(38, "fooff", 6, -1)
	X87(39, "fop",   7, -1)
	GC_ROWS_16(XMM)
	[ROW_MXCSR] = { .name = "mxcsr", .number = ROW_MXCSR, .bits = 32, .feature = FEATURE_SSE,
			.bank = BANK_MXCSR, .offset = 24, .dwarf = 64, .type = "i386_mxcsr", .group = "vector" },
	[ROW_ORIG_RAX] = { .name = "orig_rax", .number = ROW_ORIG_RAX, .bits = 64, .feature = FEATURE_LINUX,
			   .bank = BANK_GPR, .offset = 15 * 8, .dwarf = -1 },
	[ROW_FS_BASE] = { .name = "fs_base", .number = ROW_FS_BASE, .bits = 64, .feature = FEATURE_SEGMENTS,
			  .bank = BANK_GPR, .offset = 21 * 8, .dwarf = 58, .generic = "tp" },
	[ROW_GS_BASE] = { .name = "gs_base", .number = ROW_GS_BASE, .bits = 64, .feature = FEATURE_SEGMENTS,
			  .bank = BANK_GPR, .offset = 22 * 8, .dwarf = 59 },
	GC_ROWS_16(YMMH)
	GC_ROWS_16_TO_31(XMM_HI16)
	GC_ROWS_16_TO_31(YMMH_HI16)
	GC_ROWS_8(K)
	GC_ROWS_16(ZMMH)
	GC_ROWS_16_TO_31(ZMMH_HI16)
	[ROW_PKRU] = { .name = "pkru", .number = ROW_PKRU, .bits = 32, .feature = FEATURE_PKEYS,
		       .bank = BANK_PKRU, .dwarf = -1, .type = "uint32" },
	[ROW_PL3_SSP] = { .name = "pl3_ssp", .number = ROW_PL3_SSP, .bits = 64, .feature = FEATURE_SHSTK,
			  .bank = BANK_SHSTK, .dwarf = -1, .type = "data_ptr" },
};

/* Types as in GDB's own descriptions, so that values print as they do there. */
static const char eflags_types[] =
	"<flags id=\"i386_eflags\" size=\"4\">\n"
	GC_FLAG("CF", 0) GC_FLAG("", 1) GC_FLAG("PF", 2) GC_FLAG("AF", 4) GC_FLAG("ZF", 6) GC_FLAG("SF", 7)
	GC_FLAG("TF", 8) GC_FLAG("IF", 9) GC_FLAG("DF", 10) GC_FLAG("OF", 11) GC_FLAG("NT", 14) GC_FLAG("RF", 16)
	GC_FLAG("VM", 17) GC_FLAG("AC", 18) GC_FLAG("VIF", 19) GC_FLAG("VIP", 20) GC_FLAG("ID", 21)
	"</flags>\n";

#define VEC128_TYPES \
	GC_VECTOR("v8bf16", "bfloat16", 8) \
	GC_VECTOR("v8h", "ieee_half", 8) \
	GC_VECTOR("v4f", "ieee_single", 4) \
	GC_VECTOR("v2d", "ieee_double", 2) \
	GC_VECTOR("v16i8", "int8", 16) \
	GC_VECTOR("v8i16", "int16", 8) \
	GC_VECTOR("v4i32", "int32", 4) \
	GC_VECTOR("v2i64", "int64", 2) \
	"<union id=\"vec128\">\n" \
	GC_FIELD("v8_bfloat16", "v8bf16") \
	GC_FIELD("v8_half", "v8h") \
	GC_FIELD("v4_float", "v4f") \
	GC_FIELD("v2_double", "v2d") \
	GC_FIELD("v16_int8", "v16i8") \
	GC_FIELD("v8_int16", "v8i16") \
	GC_FIELD("v4_int32", "v4i32") \
	GC_FIELD("v2_int64", "v2i64") \
	GC_FIELD("uint128", "uint128") \
	"</union>\n"

static const char sse_types[] =
	VEC128_TYPES
	"<flags id=\"i386_mxcsr\" size=\"4\">\n"
	GC_FLAG("IE", 0) GC_FLAG("DE", 1) GC_FLAG("ZE", 2) GC_FLAG("OE", 3) GC_FLAG("UE", 4) GC_FLAG("PE", 5)
	GC_FLAG("DAZ", 6) GC_FLAG("IM", 7) GC_FLAG("DM", 8) GC_FLAG("ZM", 9) GC_FLAG("OM", 10) GC_FLAG("UM", 11)
	GC_FLAG("PM", 12) GC_FLAG("FZ", 15)
	"</flags>\n";

static const char avx512_types[] = VEC128_TYPES GC_VECTOR("v2ui128", "uint128", 2);

static const struct gc_feature features[] = {
	[FEATURE_CORE]     = { .name = "org.gnu.gdb.i386.core", .types = eflags_types,
			       .lldb_set = "General Purpose Registers" },
	[FEATURE_SSE]      = { .name = "org.gnu.gdb.i386.sse", .types = sse_types, .lldb_set = FLOATING_POINT },
	[FEATURE_LINUX]    = { .name = "org.gnu.gdb.i386.linux", .lldb_set = "Linux" },
	[FEATURE_SEGMENTS] = { .name = "org.gnu.gdb.i386.segments", .lldb_set = "Segment Bases" },
	[FEATURE_AVX]      = { .name = "org.gnu.gdb.i386.avx", .lldb_set = "Advanced Vector Extensions" },
	[FEATURE_AVX512]   = { .name = "org.gnu.gdb.i386.avx512", .types = avx512_types,
			       .lldb_set = "Advanced Vector Extensions" },
	[FEATURE_PKEYS]    = { .name = "org.gnu.gdb.i386.pkeys", .lldb_set = "Protection Keys" },
	[FEATURE_SHSTK]    = { .name = "org.gnu.gdb.i386.pl3_ssp", .lldb_set = "Shadow Stack" },
};

/* struct elf_prstatus of linux/elfcore.h; struct user_regs_struct of asm/user.h. */
#define PRSTATUS_SIZE 336
#define PRSTATUS_REGS 112
#define PRSTATUS_REGS_SIZE (27 * 8)

static enum gc_code load_prstatus(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_GPR, note, PRSTATUS_REGS, PRSTATUS_REGS_SIZE, err);
}

static void probe_shstk(struct gc_regmap *map, const struct gc_note *note)
{
	if (note->desc_len >= 8)
		map->features |= 1U << FEATURE_SHSTK;
}

static enum gc_code load_shstk(const struct gc_note *note, struct gc_regs *out, struct gc_error *err)
{
	return gc_regs_load_note(out, BANK_SHSTK, note, 0, 8, err);
}

/* linux/elf.h. XSTATE comes after FPREGSET, which knows nothing of initial states. */
static const struct gc_regnote notes[] = {
	{ "CORE",  0x001, "NT_PRSTATUS",         NULL,                      load_prstatus, NULL },
	{ "CORE",  0x002, "NT_FPREGSET",         NULL,                      x86_64_load_fpregset, x86_64_store_fpregset },
	{ "LINUX", 0x200, "NT_386_TLS",          NULL,                      NULL, NULL },
	{ "LINUX", 0x201, "NT_386_IOPERM",       NULL,                      NULL, NULL },
	{ "LINUX", 0x202, "NT_X86_XSTATE",       x86_64_probe_xstate,       x86_64_load_xstate, NULL },
	{ "LINUX", 0x204, "NT_X86_SHSTK",        probe_shstk,               load_shstk, NULL },
	{ "LINUX", 0x205, "NT_X86_XSAVE_LAYOUT", x86_64_probe_xsave_layout, NULL, NULL },
};

/* struct ucontext: uc_mcontext at 40, a struct sigcontext_64 (asm/sigcontext.h). */
static const struct gc_ucontext_reg ucontext_regs[] = {
	{ 8, 40 }, { 9, 48 }, { 10, 56 }, { 11, 64 }, { 12, 72 }, { 13, 80 }, { 14, 88 }, { 15, 96 },
	{ 5, 104 }, { 4, 112 }, { ROW_RBP, 120 }, { 1, 128 }, { 3, 136 }, { 0, 144 }, { 2, 152 },
	{ ROW_RSP, 160 }, { ROW_RIP, 168 }, { 17, 176 },
};

/* PUSH_REGS_HOST_TO_ABI0 of runtime/cgo/abi_amd64.h, and the arguments below; rbp is where all functions have it */
static const struct gc_saved_reg crosscall[] = {
	{ 1, 3 * 8 }, { 12, 4 * 8 }, { 13, 5 * 8 }, { 14, 6 * 8 }, { 15, 7 * 8 },
};

#define YMM(n) { "ymm" #n, 2, { ROW_XMM0 + n, ROW_YMM0H + n } },
#define ZMM(n) { "zmm" #n, 3, { ROW_XMM0 + n, ROW_YMM0H + n, ROW_ZMM0H + n } },
#define ZMM_HI16(n) { "zmm" #n, 3, { ROW_XMM16 + n - 16, ROW_YMM16H + n - 16, ROW_ZMM0H + n } },

static const struct gc_reg_whole wholes[] = {
	GC_ROWS_16(YMM)
	GC_ROWS_16(ZMM)
	GC_ROWS_16_TO_31(ZMM_HI16)
};

extern const struct gc_arch gc_arch_x86_64;

const struct gc_arch gc_arch_x86_64 = {
	.name = "x86_64",
	.elf_name = "x86-64",
	.triple = "x86_64-unknown-linux-gnu",
	.go_arch = "amd64",
	.elf_machine = EM_X86_64,
	.reloc_relative = R_X86_64_RELATIVE,
	.reloc_absolute = R_X86_64_64,
	.gdb_name = "i386:x86-64",
	.breakpoint_len = 1,
	.regs = regs,
	.nregs = GC_COUNT(regs),
	.features = features,
	.nfeatures = GC_COUNT(features),
	.base_features = 1U << FEATURE_CORE | 1U << FEATURE_SSE | 1U << FEATURE_LINUX | 1U << FEATURE_SEGMENTS,
	.notes = notes,
	.nnotes = GC_COUNT(notes),
	.pc = ROW_RIP,
	.sp = ROW_RSP,
	.fp = ROW_RBP,
	.ret = -1,
	.tp = ROW_FS_BASE,
	.syscall_nr = ROW_ORIG_RAX,
	.prstatus_size = PRSTATUS_SIZE,
	.prstatus_regs = PRSTATUS_REGS,
	.prstatus_regs_size = PRSTATUS_REGS_SIZE,
	/* tcbhead_t of glibc's sysdeps/x86_64/nptl/tls.h; the psABI's variant II */
	.tls = { .below_tp = true, .dtv_offset = 8 },
	.go_abi = {
		.quantum = 1,
		.g = 14,
		.call_push = 8,
		.linker_signals = 21, /* sigreturn__sigaction has the name that amd64_sigtramp_p looks for */
		.asmcgocall = { { 8, 0, 16 }, { 48, 40, 64 } },
		.crosscall = crosscall,
		.ncrosscall = GC_COUNT(crosscall),
		.ucontext_regs = ucontext_regs,
		.nucontext_regs = GC_COUNT(ucontext_regs),
	},
	.unwind = {
		/* rbx, rbp, rsp, r12..r15 */
		.preserved = { 1 << 3 | 1 << 6 | 1 << 7 | 0xf << 12 },
		.sigreturns = x86_64_sigreturns,
		.nsigreturns = X86_64_NSIGRETURNS,
		.siginfo = 304, /* behind struct ucontext of the kernel, whose signal mask has 8 bytes */
		.is_call = x86_64_is_call,
	},
	.syscalls = &x86_64_syscalls,
	.wholes = wholes,
	.nwholes = GC_COUNT(wholes),
	.user_end = (uint64_t)1 << 47, /* with four levels of page tables */
};
