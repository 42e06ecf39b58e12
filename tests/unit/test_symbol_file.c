/*
 * Symbol files: made from small tables put together here and read back by
 * readers of our own, and from real programs and cores.
 */
#include <check.h>
#include <dwarf.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/symbol_file.h"

#include "core_builder.h"
#include "elf_builder.h"

#define TEXT   0x401000ULL
#define BIAS   0x10000000ULL
#define GOFUNC 0x600000ULL

/* Offsets in the pclntab */
enum {
	NAMES = 96,
	CUS = 512,
	FILES = 544,
	VALUES = 608,
	FUNCS = 1024,
	RECORDS = 128,   /* from FUNCS on */
	RECORD = 96,
	NFUNC = 12,
	SIZE = FUNCS + RECORDS + NFUNC * RECORD,
	FUNCTION = 0x40, /* bytes of each function */
};

static uint8_t table[SIZE], tree[64];
static uint32_t names_len, values_len;
static struct gc_go_moduledata module;
static struct gc_symbol_source src;
static struct gc_buf out;
static struct gc_problems problems;
static struct gc_error err;

static bool read_tree(void *data, uint64_t addr, void *buf, size_t len)
{
	(void)data;
	if (addr < GOFUNC || addr - GOFUNC > sizeof(tree) || len > sizeof(tree) - (addr - GOFUNC))
		return false;
	memcpy(buf, tree + (addr - GOFUNC), len);
	return true;
}

static uint32_t add_name(const char *name)
{
	uint32_t off = names_len;

	strcpy((char *)table + NAMES + off, name);
	names_len += (uint32_t)strlen(name) + 1;
	ck_assert_uint_le(NAMES + names_len, CUS);
	return off;
}

/** A pc-value table out of {change of value, bytes} pairs. */
static uint32_t add_values(const int pairs[][2], size_t n, int quantum)
{
	uint32_t off = values_len;

	for (size_t i = 0; i < n; i++) {
		unsigned change = pairs[i][0] < 0 ? (unsigned)(-2 * pairs[i][0] - 1) : (unsigned)(2 * pairs[i][0]);

		while (change >= 0x80) {
			table[VALUES + values_len++] = (uint8_t)(change | 0x80);
			change >>= 7;
		}
		table[VALUES + values_len++] = (uint8_t)change;
		table[VALUES + values_len++] = (uint8_t)(pairs[i][1] / quantum);
	}
	table[VALUES + values_len++] = 0;
	ck_assert_uint_le(VALUES + values_len, FUNCS);
	return off;
}

static uint8_t *record(unsigned index)
{
	return table + FUNCS + RECORDS + index * RECORD;
}

/** Functions follow each other; each has a frame of @frame bytes from 4 on, line 10 and from 0x20 on line 12. */
static void add_func(unsigned index, const char *name, uint8_t flags, int frame, int quantum)
{
	uint8_t *slot = table + FUNCS + 8 * index;

	gc_store_le32(slot, index * FUNCTION);
	gc_store_le32(slot + 4, RECORDS + index * RECORD);
	gc_store_le32(slot + 8, (index + 1) * FUNCTION);
	gc_store_le32(record(index), index * FUNCTION);
	gc_store_le32(record(index) + 4, add_name(name));
	gc_store_le32(record(index) + 16,
		      add_values((const int[][2]){ { 1, 4 }, { frame, 0x38 }, { -frame, 4 } }, 3, quantum));
	gc_store_le32(record(index) + 20, add_values((const int[][2]){ { 2, FUNCTION } }, 1, quantum));
	gc_store_le32(record(index) + 24, add_values((const int[][2]){ { 11, 0x20 }, { 2, 0x20 } }, 2, quantum));
	gc_store_le32(record(index) + 36, 9);
	record(index)[41] = flags;
}

/** main.g is inlined into function 0 at [0x10, 0x20), and main.h into that at [0x14, 0x18) and [0x1c, 0x20). */
static void add_inlines(int quantum)
{
	gc_store_le32(record(0) + 28, 3); /* npcdata */
	record(0)[43] = 4;                /* nfuncdata */
	gc_store_le32(record(0) + 44 + 8,
		      add_values((const int[][2]){ { 0, 0x10 }, { 1, 4 }, { 1, 4 }, { -1, 4 }, { 1, 4 }, { -2, 0x20 } },
				 6, quantum));
	for (unsigned i = 0; i < 4; i++)
		gc_store_le32(record(0) + 56 + 4 * i, i == 3 ? 0 : 0xffffffff);
	gc_store_le32(tree + 4, add_name("main.g"));
	gc_store_le32(tree + 8, 8);       /* called at line 10 of function 0 */
	gc_store_le32(tree + 12, 30);
	gc_store_le32(tree + 16 + 4, add_name("main.h"));
	gc_store_le32(tree + 16 + 8, 0x10); /* called in main.g */
	gc_store_le32(tree + 16 + 12, 40);
}

static void build_table(const struct gc_arch *arch)
{
	static const uint64_t parts[] = { NAMES, CUS, FILES, VALUES, FUNCS };
	int quantum = arch->go_abi.quantum;

	memset(table, 0, sizeof(table));
	memset(tree, 0, sizeof(tree));
	names_len = values_len = 1;
	gc_store_le32(table, 0xfffffff1);
	table[6] = arch->go_abi.quantum;
	table[7] = 8;
	gc_store_le64(table + 8, NFUNC);
	for (unsigned i = 0; i < GC_COUNT(parts); i++)
		gc_store_le64(table + 32 + 8 * i, parts[i]);
	strcpy((char *)table + FILES + 1, "/src/a.go");
	gc_store_le32(table + CUS, 0xffffffff);
	gc_store_le32(table + CUS + 4, 1);
	add_func(0, "main.(*T[go.shape.int]).f", 0, 32, quantum);
	add_inlines(quantum);
	add_func(1, "runtime.sigtramp", GC_FUNC_TOP, 32, quantum);
	add_func(2, "runtime.sigpanic", 0, 32, quantum);
	add_func(3, "runtime.systemstack", GC_FUNC_SPWRITE, 16, quantum);
	add_func(4, "runtime.morestack", GC_FUNC_SPWRITE, 16, quantum);
	add_func(5, "runtime.asmcgocall", GC_FUNC_SPWRITE, 16, quantum);
	add_func(6, "runtime.mcall", GC_FUNC_SPWRITE, 16, quantum);
	add_func(7, "runtime.nanotime1", GC_FUNC_SPWRITE, 16, quantum);
	add_func(8, "runtime.asmcgocall_landingpad", 0, 16, quantum);
	add_func(9, "runtime.cgocallback", GC_FUNC_SPWRITE, 16, quantum);
	add_func(10, "crosscall2", 0, 192, quantum);
	add_func(11, "runtime.cgoSigtramp", GC_FUNC_TOP, 16, quantum);
}

static void open_table(const struct gc_arch *arch, uint64_t bias)
{
	struct gc_pclntab_source source = {
		.bytes = table, .len = SIZE, .text = TEXT + bias, .gofunc = GOFUNC, .read = read_tree,
		.quantum = arch->go_abi.quantum,
	};

	module = (struct gc_go_moduledata){
		.pclntab_len = SIZE, .text = TEXT + bias, .etext = TEXT + bias + NFUNC * FUNCTION,
	};
	ck_assert_int_eq(gc_pclntab_init(&module.table, &source, &err), GC_OK);
	module.has_table = true;
	src = (struct gc_symbol_source){
		.arch = arch, .type = bias ? ET_DYN : ET_EXEC, .module = &module, .bias = bias, .minor = 24,
	};
}

static const struct gc_arch *arch_of(int i)
{
	return gc_arch_by_machine(i ? EM_AARCH64 : EM_X86_64);
}

static void teardown(void)
{
	gc_buf_deinit(&out);
	gc_problems_deinit(&problems);
}

/* Reading the file back */

static const uint8_t *header_of(const char *name)
{
	const uint8_t *file = (const uint8_t *)out.data, *headers = file + gc_load_le64(file + 40), *names;

	names = file + gc_load_le64(headers + 64 * gc_load_le16(file + 62) + 24);
	for (unsigned i = 0; i < gc_load_le16(file + 60); i++)
		if (strcmp((const char *)names + gc_load_le32(headers + 64 * i), name) == 0)
			return headers + 64 * i;
	return NULL;
}

static const uint8_t *section(const char *name, uint64_t *len)
{
	const uint8_t *header = header_of(name);

	ck_assert_msg(header, "no section %s", name);
	*len = gc_load_le64(header + 32);
	ck_assert_uint_le(gc_load_le64(header + 24) + *len, out.len);
	return (const uint8_t *)out.data + gc_load_le64(header + 24);
}

/** Is there a symbol of this name, address and size? */
static bool has_symbol(const char *name, uint64_t addr)
{
	uint64_t len, names_size;
	const uint8_t *symbols = section(".symtab", &len), *names = section(".strtab", &names_size);

	for (uint64_t off = 24; off < len; off += 24)
		if (gc_load_le64(symbols + off + 8) == addr && gc_load_le64(symbols + off + 16) == FUNCTION &&
		    strcmp((const char *)names + gc_load_le32(symbols + off), name) == 0)
			return true;
	return false;
}

struct cursor {
	const uint8_t *p, *end;
};

static uint64_t uleb(struct cursor *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		ck_assert(c->p < c->end);
		value |= (uint64_t)(*c->p & 0x7f) << shift;
		if (!(*c->p++ & 0x80))
			return value;
	}
}

static int64_t sleb(struct cursor *c)
{
	const uint8_t *first = c->p;
	uint64_t value = uleb(c);
	unsigned bits = 7 * (unsigned)(c->p - first);

	return bits < 64 && value >> (bits - 1) & 1 ? (int64_t)(value | ~(uint64_t)0 << bits) : (int64_t)value;
}

/** How the rule for a register was given. */
struct rule {
	uint8_t opcode;
	int64_t offset;
	const uint8_t *code;
	uint64_t code_len;
};

struct rules {
	bool signal;
	unsigned ra;
	unsigned cfa_reg;
	uint64_t cfa_offset;
	const uint8_t *cfa_code;
	uint64_t cfa_code_len;
	struct rule regs[64];
};

static void run_cfi(struct cursor c, uint64_t loc, uint64_t pc, unsigned align, struct rules *r)
{
	while (c.p < c.end) {
		uint8_t op = *c.p++;
		unsigned reg;

		switch (op >> 6 ? op & 0xc0 : op) {
		case DW_CFA_advance_loc:
			loc += (uint64_t)(op & 0x3f) * align;
			if (loc > pc)
				return;
			break;
		case DW_CFA_nop:
			break;
		case DW_CFA_def_cfa:
			r->cfa_reg = (unsigned)uleb(&c);
			r->cfa_offset = uleb(&c);
			break;
		case DW_CFA_def_cfa_offset:
			r->cfa_offset = uleb(&c);
			break;
		case DW_CFA_def_cfa_expression:
			r->cfa_code_len = uleb(&c);
			r->cfa_code = c.p;
			c.p += r->cfa_code_len;
			break;
		case DW_CFA_offset_extended_sf:
			reg = (unsigned)uleb(&c);
			r->regs[reg] = (struct rule){ .opcode = op, .offset = -8 * sleb(&c) };
			break;
		case DW_CFA_undefined:
		case DW_CFA_same_value:
			r->regs[uleb(&c)] = (struct rule){ .opcode = op };
			break;
		case DW_CFA_register:
			reg = (unsigned)uleb(&c);
			r->regs[reg] = (struct rule){ .opcode = op, .offset = (int64_t)uleb(&c) };
			break;
		case DW_CFA_expression:
		case DW_CFA_val_expression:
			reg = (unsigned)uleb(&c);
			r->regs[reg] = (struct rule){ .opcode = op, .code_len = uleb(&c) };
			r->regs[reg].code = c.p;
			c.p += r->regs[reg].code_len;
			break;
		default:
			ck_abort_msg("unknown instruction 0x%x", op);
		}
	}
}

/** The rules at an address. */
static struct rules rules_at(uint64_t pc)
{
	struct rules r = { .signal = false };
	uint64_t len;
	const uint8_t *frames = section(".debug_frame", &len);
	unsigned align = 0;

	for (uint64_t off = 0, size; off < len; off += 4 + size) {
		const uint8_t *entry = frames + off;
		struct cursor c, cie;
		uint64_t start;

		size = gc_load_le32(entry);
		ck_assert_uint_eq((size + 4) % 8, 0);
		c = (struct cursor){ entry + 24, entry + 4 + size };
		if (gc_load_le32(entry + 4) == 0xffffffff)
			continue;
		start = gc_load_le64(entry + 8);
		if (pc < start || pc - start >= gc_load_le64(entry + 16))
			continue;
		entry = frames + gc_load_le32(entry + 4);
		cie = (struct cursor){ entry + 9, entry + 4 + gc_load_le32(entry) };
		ck_assert_uint_eq(gc_load_le32(entry + 4), 0xffffffff);
		ck_assert_uint_eq(entry[8], 3);
		r.signal = strcmp((const char *)cie.p, "zS") == 0;
		cie.p += strlen((const char *)cie.p) + 1;
		align = (unsigned)uleb(&cie);
		ck_assert_int_eq(sleb(&cie), -8);
		r.ra = (unsigned)uleb(&cie);
		if (r.signal) {
			ck_assert_uint_eq(uleb(&cie), 0);
			ck_assert_uint_eq(uleb(&c), 0);
		}
		run_cfi(cie, 0, 0, align, &r);
		run_cfi(c, start, pc, align, &r);
		return r;
	}
	ck_abort_msg("no rules for 0x%llx", (unsigned long long)pc);
}

static void ck_saved(const struct rules *r, unsigned reg, int64_t offset)
{
	ck_assert_uint_eq(r->regs[reg].opcode, DW_CFA_offset_extended_sf);
	ck_assert_int_eq(r->regs[reg].offset, offset);
}

/* The tests */

static void build(void)
{
	enum gc_code code = gc_symbol_file_build(&src, &out, &problems, &err);

	ck_assert_msg(code == GC_OK, "%s", err.text);
	ck_assert_uint_eq(problems.count, 0);
}

static uint64_t function(unsigned index)
{
	return TEXT + index * FUNCTION;
}

START_TEST(headers_and_symbols)
{
	const uint8_t *file, *text, *note;
	struct gc_build_id id = { .bytes = { 0xde, 0xad }, .len = 20 };
	uint64_t len;

	build_table(arch_of(_i));
	open_table(arch_of(_i), BIAS);
	src.build_id = &id;
	src.go_build_id = "a/b/c";
	build();
	file = (const uint8_t *)out.data;
	ck_assert_mem_eq(file, ELFMAG, SELFMAG);
	ck_assert_uint_eq(gc_load_le16(file + 16), ET_DYN);
	ck_assert_uint_eq(gc_load_le16(file + 18), arch_of(_i)->elf_machine);
	text = header_of(".text");
	ck_assert_uint_eq(gc_load_le32(text + 4), SHT_NOBITS);
	ck_assert_uint_eq(gc_load_le64(text + 16), TEXT);
	ck_assert_uint_eq(gc_load_le64(text + 32), NFUNC * FUNCTION);
	ck_assert(has_symbol("main.(*T[go.shape.int]).f", function(0)));
	ck_assert(has_symbol("runtime.nanotime1", function(7)));
	note = section(".note.gnu.build-id", &len);
	ck_assert_uint_eq(len, 16 + 20);
	ck_assert_uint_eq(gc_load_le32(note + 8), NT_GNU_BUILD_ID);
	ck_assert_mem_eq(note + 16, id.bytes, 20);
	note = section(".note.go.buildid", &len);
	ck_assert_mem_eq(note + 12, "Go\0", 4);
	ck_assert_mem_eq(note + 16, "a/b/c", 5);
}
END_TEST

START_TEST(plain_frames_x86_64)
{
	struct rules r;

	build_table(arch_of(0));
	open_table(arch_of(0), 0);
	build();
	r = rules_at(function(0));
	ck_assert(!r.signal);
	ck_assert_uint_eq(r.ra, 16);
	ck_assert_uint_eq(r.cfa_reg, 7);
	ck_assert_uint_eq(r.cfa_offset, 8);
	ck_saved(&r, 16, -8);
	ck_assert_uint_eq(r.regs[6].opcode, 0);
	r = rules_at(function(0) + 4);
	ck_assert_uint_eq(r.cfa_offset, 40);
	ck_saved(&r, 6, -16);
	r = rules_at(function(0) + 0x3c);
	ck_assert_uint_eq(r.cfa_offset, 8);
	ck_assert_uint_eq(r.regs[6].opcode, DW_CFA_same_value);
	r = rules_at(function(6)); /* mcall */
	ck_assert_uint_eq(r.regs[16].opcode, DW_CFA_undefined);
}
END_TEST

START_TEST(plain_frames_aarch64)
{
	struct rules r;

	build_table(arch_of(1));
	open_table(arch_of(1), 0);
	build();
	r = rules_at(function(0));
	ck_assert(!r.signal);
	ck_assert_uint_eq(r.ra, 30);
	ck_assert_uint_eq(r.cfa_reg, 31);
	ck_assert_uint_eq(r.cfa_offset, 0);
	ck_assert_uint_eq(r.regs[30].opcode, 0);
	r = rules_at(function(0) + 4);
	ck_assert_uint_eq(r.cfa_offset, 32);
	ck_saved(&r, 30, -32);
	ck_saved(&r, 29, -40);
	r = rules_at(function(6));
	ck_assert_uint_eq(r.regs[30].opcode, DW_CFA_undefined);
}
END_TEST

/* A small machine for the expressions: memory is words at addresses below 0x1000. */
static uint64_t memory[0x200];

static uint64_t word(uint64_t addr)
{
	ck_assert_msg(addr < sizeof(memory) && addr % 8 == 0, "reads 0x%llx", (unsigned long long)addr);
	return memory[addr / 8];
}

static uint64_t evaluate(const uint8_t *code, uint64_t len, const uint64_t *regs)
{
	struct cursor c = { code, code + len };
	uint64_t stack[16];
	size_t n = 0;

	while (c.p < c.end) {
		uint8_t op = *c.p++;
		int16_t jump;

		if (op >= DW_OP_breg0 && op <= DW_OP_breg31) {
			ck_assert_uint_lt(n, 16);
			stack[n++] = regs[op - DW_OP_breg0] + (uint64_t)sleb(&c);
			continue;
		}
		ck_assert_uint_lt(n, 15);
		if (op == DW_OP_lit0 || op == DW_OP_const1u || op == DW_OP_const1s || op == DW_OP_addr) {
			stack[n++] = op == DW_OP_lit0 ? 0 : op == DW_OP_const1u ? *c.p : op == DW_OP_const1s ?
				     (uint64_t)(int8_t)*c.p : gc_load_le64(c.p);
			c.p += op == DW_OP_lit0 ? 0 : op == DW_OP_addr ? 8 : 1;
			continue;
		}
		ck_assert_uint_gt(n, 0);
		switch (op) {
		case DW_OP_over:
		case DW_OP_pick:
			jump = op == DW_OP_over ? 1 : *c.p++;
			ck_assert_uint_gt(n, jump);
			stack[n] = stack[n - 1 - jump];
			n++;
			break;
		case DW_OP_swap:
			ck_assert_uint_ge(n, 2);
			stack[n] = stack[n - 1];
			stack[n - 1] = stack[n - 2];
			stack[n - 2] = stack[n];
			break;
		case DW_OP_lt:
		case DW_OP_le:
		case DW_OP_ge:
		case DW_OP_and:
			ck_assert_uint_ge(n, 2);
			n--;
			stack[n - 1] = op == DW_OP_and ? stack[n - 1] & stack[n] :
				       op == DW_OP_lt ? (int64_t)stack[n - 1] < (int64_t)stack[n] :
				       op == DW_OP_le ? (int64_t)stack[n - 1] <= (int64_t)stack[n] :
							(int64_t)stack[n - 1] >= (int64_t)stack[n];
			break;
		case DW_OP_deref:
			stack[n - 1] = word(stack[n - 1]);
			break;
		case DW_OP_plus_uconst:
			stack[n - 1] += uleb(&c);
			break;
		case DW_OP_dup:
			stack[n] = stack[n - 1];
			n++;
			break;
		case DW_OP_drop:
			n--;
			break;
		case DW_OP_minus:
		case DW_OP_eq:
			ck_assert_uint_ge(n, 2);
			n--;
			stack[n - 1] = op == DW_OP_eq ? stack[n - 1] == stack[n] : stack[n - 1] - stack[n];
			break;
		case DW_OP_bra:
		case DW_OP_skip:
			jump = (int16_t)gc_load_le16(c.p);
			c.p += 2;
			if (op == DW_OP_skip || stack[--n])
				c.p += jump;
			break;
		default:
			ck_abort_msg("unknown operation 0x%x", op);
		}
	}
	ck_assert(c.p == c.end);
	ck_assert_uint_eq(n, 1);
	return stack[0];
}

START_TEST(signal_frames_x86_64)
{
	struct rules r;

	build_table(arch_of(0));
	open_table(arch_of(0), 0);
	build();
	r = rules_at(function(1) + 8); /* sigtramp: struct ucontext of asm/ucontext.h is at the frame address */
	ck_assert(r.signal);
	ck_assert_uint_eq(r.cfa_offset, 40);
	ck_saved(&r, 16, 168);
	ck_saved(&r, 7, 160);
	ck_saved(&r, 6, 120);
	ck_saved(&r, 8, 40);
	r = rules_at(function(2) + 8); /* sigpanic: the signal is between it and its caller */
	ck_assert(!r.signal);
	ck_assert_uint_eq(r.regs[16].opcode, DW_CFA_val_expression);
	ck_assert_uint_eq(evaluate(r.regs[16].code, r.regs[16].code_len, NULL), function(12) - 1);
	ck_saved(&r, 6, -16);
	ck_assert(!rules_at(function(11)).signal);
	for (unsigned i = 1; i <= 2; i++) { /* debuggers look one byte before it to begin with */
		r = rules_at(function(12) - i);
		ck_assert(r.signal);
		ck_assert_uint_eq(r.cfa_reg, 7);
		ck_assert_uint_eq(r.cfa_offset, 0);
		ck_saved(&r, 16, -8);
	}
}
END_TEST

START_TEST(signal_frames_aarch64)
{
	struct rules r;

	build_table(arch_of(1));
	open_table(arch_of(1), 0);
	build();
	r = rules_at(function(1) + 8); /* behind 128 bytes of siginfo */
	ck_assert(r.signal);
	ck_assert_uint_eq(r.ra, 32);
	ck_saved(&r, 0, 128 + 184);
	ck_saved(&r, 30, 128 + 184 + 240);
	ck_saved(&r, 31, 128 + 432);
	ck_saved(&r, 32, 128 + 440);
	r = rules_at(function(2) + 8); /* sigpanic: the signal is between it and its caller */
	ck_assert(!r.signal);
	ck_assert_uint_eq(r.ra, 32);
	ck_assert_uint_eq(r.cfa_offset, 32);
	ck_assert_uint_eq(r.regs[32].opcode, DW_CFA_val_expression);
	ck_assert_uint_eq(evaluate(r.regs[32].code, r.regs[32].code_len, NULL), function(12) - 4);
	ck_saved(&r, 30, -32);
	ck_saved(&r, 29, -40);
	ck_assert_uint_eq(rules_at(function(2)).regs[30].opcode, 0); /* its first instruction */
	r = rules_at(function(12) - 4); /* preparePanic pushed lr, and linked to what it interrupted */
	ck_assert(r.signal);
	ck_assert_uint_eq(r.ra, 32);
	ck_assert_uint_eq(r.cfa_offset, 0);
	ck_assert_uint_eq(r.regs[32].opcode, DW_CFA_register);
	ck_assert_int_eq(r.regs[32].offset, 30);
	ck_saved(&r, 30, 0);
	ck_assert_uint_eq(r.regs[31].opcode, DW_CFA_val_expression);
	ck_assert_uint_eq(r.regs[31].code_len, 2);
	ck_assert_mem_eq(r.regs[31].code, ((uint8_t[]){ DW_OP_plus_uconst, 16 }), 2);
}
END_TEST

/* Offsets of Go 1.24: runtime/runtime2.go */
enum {
	G0 = 0x100, CURG = 0x300, M = 0x500, STACK = 0x40, /* addresses */
	G_M = 48, G_SP = 56, G_PC = 64, G_STACK_HI = 8, G_LR = 96, G_FP = 104,
	M_CURG = 192, M_VDSO_SP = 880, M_VDSO_PC = 888,
};

static void put(uint64_t addr, uint64_t value)
{
	ck_assert(addr < sizeof(memory));
	memory[addr / 8] = value;
}

/** An M on g0's stack that works for CURG. */
static void build_runtime(void)
{
	memset(memory, 0, sizeof(memory));
	put(G0 + G_M, M);
	put(CURG + G_M, M);
	put(M, G0);
	put(M + M_CURG, CURG);
	put(CURG + G_SP, 0xc000);
	put(CURG + G_PC, 0x4444);
	put(CURG + G_STACK_HI, 0xd000);
	put(G0 + G_SP, 0x7000);
	put(G0 + G_PC, 0x5555);
}

struct machine {
	unsigned sp, g, pc, fp;
	uint64_t push;
};

static const struct machine machines[] = {
	{ .sp = 7, .g = 14, .pc = 16, .fp = 6, .push = 8 },
	{ .sp = 31, .g = 28, .pc = 32, .fp = 29, .push = 0 },
};

START_TEST(stack_switches)
{
	const struct machine *mc = &machines[_i];
	uint64_t regs[32] = { 0 }, old = _i ? 0 : 8;
	struct rules r;

	build_table(arch_of(_i));
	open_table(arch_of(_i), 0);
	build();
	build_runtime();
	regs[mc->sp] = STACK;
	regs[mc->g] = G0;
	r = rules_at(function(3) + 8); /* systemstack */
	ck_assert(!r.signal);
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xc000 + 16 + mc->push);
	regs[mc->g] = CURG;            /* it has not left yet */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), STACK + 16 + mc->push);
	regs[mc->g] = G0;
	r = rules_at(function(4) + 8); /* morestack */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xc000);
	ck_assert_uint_eq(r.ra, mc->pc);
	ck_assert_uint_eq(r.regs[mc->pc].opcode, DW_CFA_expression);
	ck_assert_uint_eq(evaluate(r.regs[mc->pc].code, r.regs[mc->pc].code_len, regs), CURG + G_PC);
	ck_assert_uint_eq(evaluate(r.regs[mc->fp].code, r.regs[mc->fp].code_len, regs), CURG + G_FP);
	put(M + M_CURG, 0);            /* the goroutine went on elsewhere */
	ck_assert_uint_eq(evaluate(r.regs[mc->pc].code, r.regs[mc->pc].code_len, regs), G0 + G_PC);
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0x7000);
	if (_i)
		ck_assert_uint_eq(evaluate(r.regs[30].code, r.regs[30].code_len, regs), G0 + G_LR);
	r = rules_at(function(5) + 8); /* asmcgocall: g and the depth of its stack (asm_*.s) */
	put(STACK + old, CURG);
	put(STACK + 8 - old, 0x900);
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xd000 - 0x900 + 16 + mc->push);
	put(STACK + old, 0);           /* it was on g0 already */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0x900 + 16 + mc->push);
	r = rules_at(function(7) + 8); /* nanotime1 */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), STACK + 16 + mc->push);
	put(M + M_VDSO_SP, 0xcc00);
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xcc00);
	ck_assert_uint_eq(evaluate(r.regs[mc->pc].code, r.regs[mc->pc].code_len, regs), M + M_VDSO_PC);
}
END_TEST

/** C calls Go: from the goroutine's stack back to where C called. Frames by asm_*.s and unwindm of cgocall.go. */
START_TEST(callbacks)
{
	const struct machine *mc = &machines[_i];
	uint64_t regs[32] = { 0 }, size = 16 + mc->push, kept = _i ? 16 : 0, depth = _i ? 8 : 0;
	struct rules r;

	build_table(arch_of(_i));
	open_table(arch_of(_i), 0);
	build();
	build_runtime();
	r = rules_at(function(9) + 8);
	ck_assert(!r.signal);
	put(CURG, 0xc000);             /* stack.lo */
	put(G0 + G_SP, 0x800);         /* the newest callback, */
	put(0x800 + kept, 0xa00);      /* the one before it, which is the first */
	put(0xa00 + kept, 0xb00);
	put(0xa00 - 16 + depth, 0x700);
	put(0xb00 - 16 + depth, 0x300);
	regs[mc->g] = CURG;
	regs[mc->sp] = 0xd000 - 0x700 - size;
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0x800 + size);
	regs[mc->sp] = 0xd000 - 0x300 - size;
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xa00 + size);
	put(0xa00 + kept, 0xa00);      /* on a thread of C's own there is none before it */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xa00 + size);
	regs[mc->sp] = STACK;          /* on g0's stack still */
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), STACK + size);
	put(CURG + G_M, 0);            /* parked meanwhile: there is no M to ask */
	regs[mc->sp] = 0xc800;
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xc800 + size);
	r = rules_at(function(10) + 8); /* crosscall2: what C wants back */
	ck_saved(&r, _i ? 19 : 3, _i ? 32 - 192 : 24 - 200); /* x19, rbx */
	ck_saved(&r, mc->fp, -16);
	if (_i)
		ck_saved(&r, 30, -8);
}
END_TEST

/** Go 1.19 of x86_64 had no landing pad, and asmcgocall kept both elsewhere. */
START_TEST(older_asmcgocall)
{
	uint64_t regs[32] = { [7] = STACK };
	struct rules r;

	build_table(arch_of(0));
	gc_store_le32(record(8) + 4, gc_load_le32(record(0) + 4));
	open_table(arch_of(0), 0);
	build();
	build_runtime();
	put(STACK + 48, CURG);
	put(STACK + 40, 0x900);
	r = rules_at(function(5) + 8);
	ck_assert_uint_eq(evaluate(r.cfa_code, r.cfa_code_len, regs), 0xd000 - 0x900 + 16 + 8);
}
END_TEST

/** Until Go 1.20 its first address is a return address, which debuggers look up one byte before it. */
START_TEST(systemstack_switch)
{
	build_table(arch_of(0));
	gc_store_le32(record(7) + 4, add_name("runtime.systemstack_switch"));
	record(7)[41] = 0;
	open_table(arch_of(0), 0);
	build();
	ck_assert_uint_eq(rules_at(function(7) - 1).regs[16].opcode, DW_CFA_offset_extended_sf);
	ck_assert_uint_eq(rules_at(function(7) - 1).cfa_offset, 8);
	ck_assert_uint_eq(rules_at(function(7) + 4).cfa_offset, 16 + 8);
	ck_assert_uint_eq(rules_at(function(7) - 2).regs[16].opcode, DW_CFA_undefined); /* mcall */
	ck_assert(has_symbol("runtime.systemstack_switch", function(7)));
}
END_TEST

/* .debug_info, by our own abbreviations */

static uint64_t abbrev_attribute(struct cursor *c, uint64_t form)
{
	uint64_t value = 0;

	switch (form) {
	case DW_FORM_addr:
		value = gc_load_le64(c->p);
		c->p += 8;
		return value;
	case DW_FORM_strp:
	case DW_FORM_data4:
	case DW_FORM_sec_offset:
	case DW_FORM_ref4:
		value = gc_load_le32(c->p);
		c->p += 4;
		return value;
	case DW_FORM_data1:
		return *c->p++;
	case DW_FORM_udata:
		return uleb(c);
	case DW_FORM_flag_present:
		return 1;
	default:
		ck_abort_msg("unknown form 0x%llx", (unsigned long long)form);
	}
}

/** Where an abbreviation's attributes begin; *tag and *children are set. */
static struct cursor abbrev(uint64_t wanted, uint64_t *tag, bool *children)
{
	struct cursor c;
	uint64_t len;

	c.p = section(".debug_abbrev", &len);
	c.end = c.p + len;
	for (;;) {
		uint64_t code = uleb(&c), name;

		ck_assert_uint_ne(code, 0);
		*tag = uleb(&c);
		*children = *c.p++;
		if (code == wanted)
			return c;
		do {
			name = uleb(&c);
			uleb(&c);
		} while (name);
	}
}

/** One attribute of the entry at @at, as text. */
static void print_attribute(struct gc_buf *to, uint64_t tag, uint64_t name, uint64_t value,
			    const uint8_t *const *names)
{
	uint64_t len;
	const uint8_t *ranges = section(".debug_ranges", &len);

	if (name == DW_AT_name)
		gc_buf_printf(to, " %s", section(".debug_str", &len) + value);
	else if (name == DW_AT_abstract_origin)
		gc_buf_printf(to, " %s", names[value]);
	else if (name == DW_AT_low_pc && tag != DW_TAG_compile_unit)
		gc_buf_printf(to, " %llx", (unsigned long long)value);
	else if (name == DW_AT_high_pc)
		gc_buf_printf(to, "+%llx", (unsigned long long)value);
	else if (name == DW_AT_decl_line || name == DW_AT_call_line)
		gc_buf_printf(to, " :%llu", (unsigned long long)value);
	else if (name == DW_AT_inline)
		gc_buf_str(to, " inline");
	for (uint64_t r = value; name == DW_AT_ranges && gc_load_le64(ranges + r + 8); r += 16)
		gc_buf_printf(to, " %llx-%llx", (unsigned long long)gc_load_le64(ranges + r),
			      (unsigned long long)gc_load_le64(ranges + r + 8));
}

#define MAX_INFO 4096

/** The entries of the first unit, one a line; @names are those of functions by offset, and are filled. */
static void walk_info(struct gc_buf *to, const uint8_t **names)
{
	uint64_t len, tag, name, form;
	const uint8_t *unit = section(".debug_info", &len);
	struct cursor c = { unit + 11, unit + 4 + gc_load_le32(unit) };
	int depth = 0;

	ck_assert_uint_eq(gc_load_le16(unit + 4), 4);
	ck_assert_uint_le(gc_load_le32(unit), MAX_INFO);
	do {
		uint64_t at = (uint64_t)(c.p - unit), code = uleb(&c);
		bool children;
		struct cursor a;

		if (!code) {
			depth--;
			continue;
		}
		a = abbrev(code, &tag, &children);
		gc_buf_printf(to, "%*s%s", depth, "",
			      tag == DW_TAG_compile_unit ? "unit" : tag == DW_TAG_subprogram ? "function" : "inlined");
		for (name = uleb(&a), form = uleb(&a); name; name = uleb(&a), form = uleb(&a)) {
			uint64_t value = abbrev_attribute(&c, form);

			if (name == DW_AT_name)
				names[at] = section(".debug_str", &len) + value;
			print_attribute(to, tag, name, value, names);
		}
		gc_buf_char(to, '\n');
		depth += children;
	} while (depth > 0 && c.p < c.end);
}

static void print_info(struct gc_buf *to)
{
	const uint8_t *names[MAX_INFO];

	for (unsigned i = 0; i < MAX_INFO; i++)
		names[i] = (const uint8_t *)"?";
	walk_info(to, names); /* abstract functions stand behind those that refer to them */
	gc_buf_clear(to);
	walk_info(to, names);
}

START_TEST(info)
{
	struct gc_buf text = GC_BUF_INIT;

	build_table(arch_of(_i));
	open_table(arch_of(_i), BIAS);
	build();
	print_info(&text);
	ck_assert_msg(strstr(gc_buf_text(&text),
			     "unit main 401000-401300\n"
			     " function main.(*T[go.shape.int]).f 401000+40 :9\n"
			     "  inlined main.g 401010+10 :10\n"
			     "   inlined main.h 401014-401018 40101c-401020 :10\n"),
		      "%s", gc_buf_text(&text));
	/* what gdb has to be told in a way of its own */
	ck_assert_msg(strstr(gc_buf_text(&text), " function runtime.sigtramp 401040+40 :9\n"
						 "  inlined runtime.sigtramp 401040+40 :9\n"),
		      "%s", gc_buf_text(&text));
	ck_assert_msg(strstr(gc_buf_text(&text), " function runtime.systemstack 4010c0+40 :9\n"
						 "  inlined <stack switch> 4010c0+20 :10\n"
						 "  inlined <stack switch> 4010e0+20 :12\n"),
		      "%s", gc_buf_text(&text));
	ck_assert_msg(strstr(gc_buf_text(&text), " function main.g inline :30\n"), "%s", gc_buf_text(&text));
	gc_buf_deinit(&text);
}
END_TEST

/** The line of an address by .debug_line. */
static uint64_t line_of(uint64_t wanted)
{
	uint64_t len, addr = 0, line = 1, before = 0, quantum;
	const uint8_t *unit = section(".debug_line", &len);
	struct cursor c = { unit + 10 + gc_load_le32(unit + 6), unit + 4 + gc_load_le32(unit) };
	int base = (int8_t)unit[13];

	quantum = unit[10];
	ck_assert_str_eq((const char *)unit + 16 + 12 + 1, "/src/a.go"); /* behind the operands and no directories */
	while (c.p < c.end) {
		uint8_t op = *c.p++;
		bool row = false, end = false;

		if (op >= unit[15]) {
			addr += (uint64_t)((op - unit[15]) / unit[14]) * quantum;
			line += (uint64_t)(base + (op - unit[15]) % unit[14]);
			row = true;
		} else if (op == DW_LNS_advance_pc) {
			addr += uleb(&c) * quantum;
		} else if (op == DW_LNS_advance_line) {
			line += (uint64_t)sleb(&c);
		} else if (op == DW_LNS_set_file) {
			uleb(&c);
		} else {
			ck_assert_uint_eq(op, 0);
			uleb(&c);
			if (*c.p++ == DW_LNE_set_address) {
				addr = gc_load_le64(c.p);
				c.p += 8;
				before = 0;
			} else {
				end = true;
			}
		}
		if ((row || end) && addr > wanted && before)
			return before;
		if (row)
			before = line;
		if (end) {
			before = 0;
			line = 1;
		}
	}
	return 0;
}

START_TEST(lines)
{
	build_table(arch_of(_i));
	open_table(arch_of(_i), BIAS);
	build();
	for (unsigned i = 0; i < NFUNC; i++) {
		ck_assert_uint_eq(line_of(function(i)), 10);
		ck_assert_uint_eq(line_of(function(i) + 0x1c), 10);
		ck_assert_uint_eq(line_of(function(i) + 0x20), 12);
		ck_assert_uint_eq(line_of(function(i) + 0x3c), 12);
	}
	ck_assert_uint_eq(line_of(function(NFUNC)), 0);
}
END_TEST

/** A goroutine that waits there has called on the line before. */
START_TEST(return_addresses)
{
	int quantum = arch_of(_i)->go_abi.quantum;
	uint64_t pcs[] = { function(2) + 0x20, function(4) + 0x10 };

	build_table(arch_of(_i));
	open_table(arch_of(_i), 0);
	src.returns = (struct gc_return_pcs){ pcs, GC_COUNT(pcs) };
	build();
	ck_assert_uint_eq(line_of(function(2) + 0x20), 10);
	ck_assert_uint_eq(line_of(function(2) + 0x20 + quantum), 12);
	ck_assert_uint_eq(line_of(function(4) + 0x10), 10);
	ck_assert_uint_eq(line_of(function(4) + 0x1c), 10);
	ck_assert_uint_eq(line_of(function(4) + 0x20), 12);
}
END_TEST

START_TEST(damaged_functions_are_left_out)
{
	build_table(arch_of(0));
	gc_store_le32(record(2) + 4, 0x7fffffff); /* no name */
	gc_store_le32(table + FUNCS + 8 * 5, 0x80000000); /* out of order */
	open_table(arch_of(0), 0);
	ck_assert_int_eq(gc_symbol_file_build(&src, &out, &problems, &err), GC_OK);
	ck_assert_uint_eq(problems.count, 1);
	ck_assert(has_symbol("runtime.sigtramp", function(1)));
	ck_assert(!has_symbol("runtime.sigpanic", function(2)));
}
END_TEST

START_TEST(circles_of_inlined_calls_end)
{
	build_table(arch_of(0));
	gc_store_le32(tree + 8, 0x14); /* main.g is called in main.h, which is called in main.g */
	open_table(arch_of(0), 0);
	build();
}
END_TEST

START_TEST(missing_inline_tree)
{
	build_table(arch_of(0));
	open_table(arch_of(0), 0);
	module.table.src.read = NULL;
	ck_assert_int_eq(gc_symbol_file_build(&src, &out, &problems, &err), GC_OK);
	ck_assert_uint_eq(problems.count, 1);
	ck_assert_ptr_nonnull(strstr(problems.list[0].what, "inlined"));
}
END_TEST

START_TEST(tables_without_end)
{
	build_table(arch_of(0));
	open_table(arch_of(0), 0);
	module.pclntab_len = 1; /* what may be decoded is measured by it */
	ck_assert_int_eq(gc_symbol_file_build(&src, &out, &problems, &err), GC_E_LIMIT);
}
END_TEST

/* Around a whole program */

START_TEST(combined)
{
	static const uint8_t id[20] = { 1 };
	const struct elf_builder b = {
		.machine = EM_X86_64, .type = ET_DYN, .build_id = id, .build_id_len = sizeof(id),
	};
	struct gc_buf program = GC_BUF_INIT;
	struct gc_elf_file file;
	struct gc_input in;
	uint64_t len;

	elf_build(&b, &program);
	input_of_bytes(&in, program.data, program.len);
	ck_assert_int_eq(gc_elf_file_take(&file, &in, &err), GC_OK);
	build_table(arch_of(0));
	open_table(arch_of(0), 0);
	src.file = &file;
	src.phdrs = &file.phdrs;
	src.combined = true;
	build();
	ck_assert_uint_gt(out.len, program.len);
	/* all but the place, number and names of the section headers */
	ck_assert_mem_eq(out.data, program.data, 40);
	ck_assert_mem_eq(out.data + 48, program.data + 48, 60 - 48);
	ck_assert_mem_eq(out.data + 64, program.data + 64, program.len - 64);
	ck_assert_ptr_nonnull(header_of(".gnu.version_r"));
	section(".debug_frame", &len);
	gc_elf_file_close(&file);
	gc_buf_deinit(&program);
}
END_TEST

START_TEST(no_go_program)
{
	const struct elf_builder b = { .machine = EM_X86_64, .type = ET_DYN };
	struct gc_buf program = GC_BUF_INIT;
	struct gc_elf_file file;
	struct gc_input in;

	elf_build(&b, &program);
	input_of_bytes(&in, program.data, program.len);
	ck_assert_int_eq(gc_elf_file_take(&file, &in, &err), GC_OK);
	ck_assert_int_eq(gc_symbol_file_of_program(&file, false, NULL, &out, &problems, &err), GC_E_NOT_FOUND);
	ck_assert_uint_eq(out.len, 0);
	gc_elf_file_close(&file);
	gc_buf_deinit(&program);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("symbol_file");
	TCase *tc = tcase_create("symbol_file");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_loop_test(tc, headers_and_symbols, 0, 2);
	tcase_add_test(tc, plain_frames_x86_64);
	tcase_add_test(tc, plain_frames_aarch64);
	tcase_add_test(tc, signal_frames_x86_64);
	tcase_add_test(tc, signal_frames_aarch64);
	tcase_add_loop_test(tc, stack_switches, 0, 2);
	tcase_add_loop_test(tc, callbacks, 0, 2);
	tcase_add_test(tc, older_asmcgocall);
	tcase_add_test(tc, systemstack_switch);
	tcase_add_loop_test(tc, info, 0, 2);
	tcase_add_loop_test(tc, lines, 0, 2);
	tcase_add_loop_test(tc, return_addresses, 0, 2);
	tcase_add_test(tc, damaged_functions_are_left_out);
	tcase_add_test(tc, circles_of_inlined_calls_end);
	tcase_add_test(tc, missing_inline_tree);
	tcase_add_test(tc, tables_without_end);
	tcase_add_test(tc, combined);
	tcase_add_test(tc, no_go_program);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
