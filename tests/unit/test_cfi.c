/* Call frame information: rows by hand, what the system's own libraries have against libdwarf, and damage. */
#include <check.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libdwarf.h>

#include "gocore/cfi.h"
#include "gocore/elf_file.h"

static struct gc_error err;
static struct gc_cfi_row row;

/* .debug_frame by hand. */

#define CIE_BODY \
	0xff, 0xff, 0xff, 0xff, /* a CIE */ \
	4, 0, 8, 0,             /* version, augmentation, sizes of addresses and segments */ \
	4, 0x78, 30,            /* code alignment 4, data alignment -8, return column */ \
	0x0c, 31, 0             /* def_cfa r31 + 0 */

struct section {
	uint8_t bytes[512];
	size_t len;
	struct gc_cfi cfi;
};

static struct section s;

static void put(const void *bytes, size_t len)
{
	memcpy(s.bytes + s.len, bytes, len);
	s.len += len;
}

static void put32(uint32_t value)
{
	const uint8_t bytes[] = { (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24) };

	put(bytes, 4);
}

/** One CIE, and an FDE for [0x1000, 0x1100) with @program. */
static void make(const void *program, size_t len)
{
	static const uint8_t cie[] = { CIE_BODY };
	const struct gc_cfi_source src = { .debug_frame = s.bytes };

	s.len = 0;
	put32(sizeof(cie));
	put(cie, sizeof(cie));
	put32((uint32_t)(4 + 16 + len));
	put32(0);
	put32(0x1000);
	put32(0);
	put32(0x100);
	put32(0);
	put(program, len);
	gc_cfi_init(&s.cfi, &src);
	s.cfi.src.debug_frame_len = s.len;
}

static enum gc_code find(uint64_t pc)
{
	return gc_cfi_find(&s.cfi, pc, &row, &err);
}

static void ck_found(uint64_t pc)
{
	ck_assert_msg(find(pc) == GC_OK, "0x%x: %s", (unsigned)pc, err.text);
}

static void ck_cfa(uint32_t column, int64_t offset)
{
	ck_assert_int_eq(row.cfa.kind, GC_CFI_VAL_OFFSET);
	ck_assert_uint_eq(row.cfa_column, column);
	ck_assert_int_eq(row.cfa.number, offset);
}

static void ck_rule(unsigned column, enum gc_cfi_kind kind, int64_t number)
{
	ck_assert_int_eq(row.regs[column].kind, kind);
	if (kind == GC_CFI_OFFSET || kind == GC_CFI_VAL_OFFSET || kind == GC_CFI_REGISTER)
		ck_assert_int_eq(row.regs[column].number, number);
}

START_TEST(rows)
{
	static const uint8_t program[] = {
		0x41,             /* advance 4: 0x1004 */
		0x0e, 0xc0, 0x00, /* def_cfa_offset 64 */
		0x9e, 0x02,       /* offset r30 at cfa-16 */
		0x2d,             /* negate_ra_state */
		0x0a,             /* remember */
		0x02, 0x02,       /* advance1 8: 0x100c */
		0x0d, 29,         /* def_cfa_register r29 */
		0x14, 19, 0x03,   /* val_offset r19 is cfa-24 */
		0x09, 20, 21,     /* register r20 in r21 */
		0x07, 22,         /* undefined r22 */
		0x08, 23,         /* same_value r23 */
		0x05, 0xc8, 0x00, 4, /* offset_extended r72 at cfa-32 */
		0x11, 24, 0x7f,   /* offset_extended_sf r24 at cfa+8 */
		0x2f, 25, 2,      /* GNU_negative_offset_extended r25 at cfa+16 */
		0x03, 1, 0,       /* advance2 4: 0x1010 */
		0xde,             /* restore r30 */
		0x06, 19,         /* restore_extended r19 */
		0x13, 0x7e,       /* def_cfa_offset_sf 16 */
		0x04, 1, 0, 0, 0, /* advance4 4: 0x1014 */
		0x0b,             /* restore_state */
		0x2e, 16,         /* GNU_args_size */
		0x01, 0x20, 0x10, 0, 0, 0, 0, 0, 0, /* set_loc 0x1020 */
		0x12, 29, 0x7c,   /* def_cfa_sf r29 + 32 */
	};

	make(program, sizeof(program));
	ck_found(0x1003);
	ck_cfa(31, 0);
	ck_assert_uint_eq(row.return_column, 30);
	ck_assert_uint_eq(row.start, 0x1000);
	ck_assert_uint_eq(row.end, 0x1100);
	ck_rule(30, GC_CFI_UNSPECIFIED, 0);
	ck_assert(!row.return_signed && !row.signal);
	ck_found(0x1004);
	ck_cfa(31, 64);
	ck_rule(30, GC_CFI_OFFSET, -16);
	ck_assert(row.return_signed);
	ck_found(0x100c);
	ck_cfa(29, 64);
	ck_rule(19, GC_CFI_VAL_OFFSET, -24);
	ck_rule(20, GC_CFI_REGISTER, 21);
	ck_rule(22, GC_CFI_UNDEFINED, 0);
	ck_rule(23, GC_CFI_SAME, 0);
	ck_rule(24, GC_CFI_OFFSET, 8);
	ck_rule(25, GC_CFI_OFFSET, 16);
	ck_rule(72, GC_CFI_OFFSET, -32);
	ck_found(0x1010);
	ck_cfa(29, 16);
	ck_rule(30, GC_CFI_UNSPECIFIED, 0);
	ck_rule(19, GC_CFI_UNSPECIFIED, 0);
	ck_found(0x101f);
	ck_cfa(31, 64);
	ck_rule(30, GC_CFI_OFFSET, -16);
	ck_rule(20, GC_CFI_UNSPECIFIED, 0);
	ck_assert(row.return_signed);
	ck_found(0x10ff);
	ck_cfa(29, 32);
	ck_assert_int_eq(find(0x1100), GC_E_NOT_FOUND);
	ck_assert_int_eq(find(0xfff), GC_E_NOT_FOUND);
	gc_cfi_deinit(&s.cfi);
}
END_TEST

START_TEST(expressions_are_in_place)
{
	static const uint8_t program[] = {
		0x0f, 2, 0x8f, 0x08,       /* def_cfa_expression breg31 8 */
		0x10, 30, 1, 0x9c,         /* expression r30 */
		0x16, 29, 2, 0x23, 0x08,   /* val_expression r29 plus_uconst 8 */
	};

	make(program, sizeof(program));
	ck_found(0x1000);
	ck_assert_int_eq(row.cfa.kind, GC_CFI_VAL_EXPRESSION);
	ck_assert_uint_eq(row.cfa.len, 2);
	ck_assert_mem_eq(row.cfa.expression, "\x8f\x08", 2);
	ck_assert_int_eq(row.regs[30].kind, GC_CFI_EXPRESSION);
	ck_assert_int_eq(row.regs[29].kind, GC_CFI_VAL_EXPRESSION);
	ck_assert_mem_eq(row.regs[29].expression, "\x23\x08", 2);
	gc_cfi_deinit(&s.cfi);
}
END_TEST

static void ck_refused(const void *program, size_t len, enum gc_code code, const char *text)
{
	make(program, len);
	ck_assert_int_eq(find(0x1010), code);
	ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
	gc_cfi_deinit(&s.cfi);
}

START_TEST(damaged_programs)
{
	static const uint8_t many[] = { 10, 10, 10, 10, 10, 10, 10, 10, 10 };

	ck_refused("\x0b", 1, GC_E_FORMAT, "not remembered");
	ck_refused(many, sizeof(many), GC_E_LIMIT, "remembered states");
	ck_refused("\x3f", 1, GC_E_UNSUPPORTED, "0x3f");
	ck_refused("\x0c\x1f", 2, GC_E_TRUNCATED, "number without an end");
	ck_refused("\x0f\x7f\x01", 3, GC_E_TRUNCATED, "need 127");
	ck_refused("\x1d\xff\xff\xff\xff\xff\xff\xff\xff", 9, GC_E_FORMAT, "address space");
}
END_TEST

/* Expressions. */

static bool reg(void *data, uint64_t column, uint64_t *out)
{
	(void)data;
	if (column > 9)
		return false;
	*out = 0x1000 * column;
	return true;
}

static enum gc_code read_memory(void *data, uint64_t addr, void *buf, size_t len, struct gc_error *e)
{
	(void)data;
	if (addr < 0x2000 || addr > 0x3000)
		return gc_fail(e, GC_E_FAULT, "not there");
	memset(buf, 0, len);
	*(uint8_t *)buf = (uint8_t)(addr & 0xff);
	return GC_OK;
}

static const struct gc_cfi_machine machine = { .reg = reg, .read = read_memory, .bias = 0x10000 };

static enum gc_code eval(const char *bytes, size_t len, uint64_t *out)
{
	const uint64_t initial = 0x55;

	return gc_cfi_eval((const uint8_t *)bytes, len, &machine, &initial, out, &err);
}

#define EVAL(bytes, result) \
	do { \
		uint64_t value_ = 0; \
		ck_assert_msg(eval(bytes, sizeof(bytes) - 1, &value_) == GC_OK, "%s", err.text); \
		ck_assert_uint_eq(value_, (uint64_t)(result)); \
	} while (0)

#define REFUSED(bytes, expected) \
	do { \
		uint64_t value_; \
		ck_assert_int_eq(eval(bytes, sizeof(bytes) - 1, &value_), expected); \
	} while (0)

START_TEST(operations)
{
	EVAL("", 0x55);
	EVAL("\x03\x08\0\0\0\0\0\0\0", 0x10008);                 /* addr */
	EVAL("\x72\x02\x06", 0x02);                              /* breg2 2, deref */
	EVAL("\x92\x02\x7e\x23\x10\x94\x02", 0x0e);              /* bregx 2 -2, plus_uconst 16, deref_size 2 */
	EVAL("\x08\xff", 0xff);                                  /* const1u */
	EVAL("\x09\xff", -1);                                    /* const1s */
	EVAL("\x0a\xfe\xff", 0xfffe);
	EVAL("\x0b\xfe\xff", -2);
	EVAL("\x0c\xfd\xff\xff\xff", 0xfffffffd);
	EVAL("\x0d\xfd\xff\xff\xff", -3);
	EVAL("\x0e\1\2\3\4\5\6\7\x80", 0x8007060504030201);
	EVAL("\x10\x80\x01", 128);                               /* constu */
	EVAL("\x11\x80\x7f", -128);                              /* consts */
	EVAL("\x33\x12\x22", 6);                                 /* lit3, dup, plus */
	EVAL("\x33\x34\x13", 3);                                 /* drop */
	EVAL("\x33\x34\x14", 3);                                 /* over */
	EVAL("\x33\x34\x15\x02", 0x55);                          /* pick 2 */
	EVAL("\x33\x34\x16\x1c", 1);                             /* swap, minus: 4 - 3 */
	EVAL("\x31\x32\x33\x17\x13", 1);                         /* rot, drop: 3 1 2 */
	EVAL("\x09\xf9\x19", 7);                                 /* abs */
	EVAL("\x3c\x3a\x1a", 8);                                 /* and */
	EVAL("\x09\xf9\x32\x1b", -3);                            /* div */
	EVAL("\x3b\x34\x1d", 3);                                 /* mod */
	EVAL("\x33\x35\x1e", 15);                                /* mul */
	EVAL("\x33\x1f", -3);                                    /* neg */
	EVAL("\x33\x20", ~3ULL);                                 /* not */
	EVAL("\x33\x34\x21", 7);                                 /* or */
	EVAL("\x33\x34\x24", 48);                                /* shl */
	EVAL("\x09\xf0\x32\x25", 0x3ffffffffffffffc);            /* shr */
	EVAL("\x09\xf0\x32\x26", -4);                            /* shra */
	EVAL("\x09\xf0\x08\x40\x26", -1);                        /* shra by 64 */
	EVAL("\x33\x08\x40\x24", 0);                             /* shl by 64 */
	EVAL("\x33\x35\x27", 6);                                 /* xor */
	EVAL("\x33\x33\x29", 1);                                 /* eq */
	EVAL("\x09\xff\x30\x2d", 1);                             /* lt is signed */
	EVAL("\x31\x28\x01\x00\x39\x34", 4);                     /* bra over a lit9 */
	EVAL("\x30\x28\x01\x00\x39\x96", 9);                     /* not taken; nop */
	EVAL("\x33\x2f\x01\x00\x39", 3);                         /* skip */
}
END_TEST

START_TEST(refused_expressions)
{
	REFUSED("\x22", GC_E_FORMAT);                            /* plus on one value */
	REFUSED("\x13", GC_E_FORMAT);                            /* nothing left */
	REFUSED("\x33\x30\x1b", GC_E_FORMAT);                    /* 3 / 0 */
	REFUSED("\x8f\x00", GC_E_NOT_FOUND);                     /* breg31 */
	REFUSED("\x30\x06", GC_E_FAULT);
	REFUSED("\x30\x94\x09", GC_E_FORMAT);
	REFUSED("\x2f\x10\x00", GC_E_FORMAT);                    /* out of it */
	REFUSED("\x2f\xf0\xff", GC_E_FORMAT);
	REFUSED("\x2f\xfd\xff", GC_E_LIMIT);                     /* for ever */
	REFUSED("\x12\x2f\xfc\xff", GC_E_LIMIT);                 /* growing for ever */
	REFUSED("\x0e\x01", GC_E_TRUNCATED);
	REFUSED("\xf0", GC_E_UNSUPPORTED);
}
END_TEST

/* What libraries have, against libdwarf. */

/* libdwarf 0.1 (2021) changed types; versions before it are dates and have no macro for them */
#ifdef DW_LIBDWARF_VERSION_MAJOR
typedef Dwarf_Unsigned dwarf_number;
typedef Dwarf_Block dwarf_block;
typedef Dwarf_Small *dwarf_bytes;
#define BLOCK(block, number) (block).bl_data
#define BLOCK_LEN(block, number) (block).bl_len
#define OPEN_DWARF(fd, dbg, error) dwarf_init_b(fd, DW_GROUPNUMBER_ANY, NULL, NULL, dbg, error)
#define CLOSE_DWARF(dbg) dwarf_finish(dbg)
#define FREE_LISTS dwarf_dealloc_fde_cie_list
#else
typedef Dwarf_Signed dwarf_number;
typedef Dwarf_Ptr dwarf_block;
typedef Dwarf_Ptr dwarf_bytes;
#define BLOCK(block, number) (block)
#define BLOCK_LEN(block, number) (number)
#define OPEN_DWARF(fd, dbg, error) dwarf_init_b(fd, DW_DLC_READ, DW_GROUPNUMBER_ANY, NULL, NULL, dbg, error)
#define CLOSE_DWARF(dbg) dwarf_finish(dbg, NULL)
#define FREE_LISTS dwarf_fde_cie_list_dealloc
#endif

#define UNSPECIFIED 2000 /* what libdwarf is told to say of columns without a rule */

/** A rule as libdwarf has it. */
struct rule {
	Dwarf_Small type;
	dwarf_number is_offset, column, number;
	dwarf_block block;
};

static void ck_same_rule(const struct gc_cfi_rule *ours, const struct rule *theirs, uint64_t pc, unsigned column)
{
	static const enum gc_cfi_kind kinds[] = {
		GC_CFI_OFFSET, GC_CFI_VAL_OFFSET, GC_CFI_EXPRESSION, GC_CFI_VAL_EXPRESSION,
	};
	enum gc_cfi_kind kind = kinds[theirs->type & 3];

	if (kind == GC_CFI_OFFSET && !theirs->is_offset)
		kind = theirs->column == UNSPECIFIED ? GC_CFI_UNSPECIFIED
		     : theirs->column == DW_FRAME_UNDEFINED_VAL ? GC_CFI_UNDEFINED
		     : theirs->column == DW_FRAME_SAME_VAL ? GC_CFI_SAME : GC_CFI_REGISTER;
	ck_assert_msg(ours->kind == kind, "pc 0x%lx column %u: kind %u, libdwarf %u", (unsigned long)pc, column,
		      ours->kind, kind);
	if (kind == GC_CFI_OFFSET || kind == GC_CFI_VAL_OFFSET) {
		ck_assert_int_eq(ours->number, (int64_t)theirs->number);
	} else if (kind == GC_CFI_EXPRESSION || kind == GC_CFI_VAL_EXPRESSION) {
		ck_assert_uint_eq(ours->len, (uint64_t)BLOCK_LEN(theirs->block, theirs->number));
		ck_assert_mem_eq(ours->expression, BLOCK(theirs->block, theirs->number), ours->len);
	}
}

/** The row at @pc. @return where the next one starts, 0: there is none */
static uint64_t ck_same_row(Dwarf_Fde fde, struct gc_cfi *cfi, uint64_t pc, unsigned columns)
{
	Dwarf_Addr start, next = 0;
	Dwarf_Bool more = 0;
	struct rule rule;

	ck_assert_msg(gc_cfi_find(cfi, pc, &row, &err) == GC_OK, "0x%lx: %s", (unsigned long)pc, err.text);
	ck_assert_int_eq(dwarf_get_fde_info_for_cfa_reg3_b(fde, pc, &rule.type, &rule.is_offset, &rule.column,
							   &rule.number, &rule.block, &start, &more, &next, NULL),
			 DW_DLV_OK);
	if (rule.type == 0 || rule.type == 1) {
		ck_cfa((uint32_t)rule.column, (int64_t)rule.number);
	} else {
		ck_assert_int_eq(row.cfa.kind, GC_CFI_VAL_EXPRESSION);
		ck_assert_mem_eq(row.cfa.expression, BLOCK(rule.block, rule.number), row.cfa.len);
	}
	for (unsigned i = 0; i < columns; i++) {
		Dwarf_Bool ignored;
		Dwarf_Addr also;

		ck_assert_int_eq(dwarf_get_fde_info_for_reg3_b(fde, (Dwarf_Half)i, pc, &rule.type, &rule.is_offset,
							       &rule.column, &rule.number, &rule.block, &start,
							       &ignored, &also, NULL), DW_DLV_OK);
		ck_same_rule(&row.regs[i], &rule, pc, i);
	}
	return more ? next : 0;
}

static uint64_t file_at(void *data, uint64_t addr, const uint8_t **bytes)
{
	uint64_t len;

	return gc_elf_at(data, addr, bytes, &len) ? len : 0;
}

static void source_of(struct gc_elf_file *file, struct gc_cfi_source *src)
{
	const uint8_t *bytes;
	uint64_t len;

	*src = (struct gc_cfi_source){ .at = file_at, .data = file };
	gc_elf_section(file, ".eh_frame_hdr", &bytes, &len, &src->hdr_addr);
	gc_elf_section(file, ".eh_frame", &bytes, &src->eh_len, &src->eh_addr);
}

/** Each @step-th FDE, all of its rows. @return how many rows */
static size_t compare(struct gc_elf_file *file, Dwarf_Fde *fdes, Dwarf_Signed count, unsigned step, bool indexed)
{
	struct gc_cfi_source src;
	struct gc_cfi cfi;
	size_t rows_seen = 0;

	source_of(file, &src);
	ck_assert_uint_ne(src.hdr_addr, 0);
	if (indexed)
		src.hdr_addr = 0;
	gc_cfi_init(&cfi, &src);
	for (Dwarf_Signed i = 0; i < count; i += step) {
		Dwarf_Addr low;
		Dwarf_Unsigned len, bytes_len;
		Dwarf_Off cie, at;
		Dwarf_Signed cie_index;
		dwarf_bytes bytes;

		ck_assert_int_eq(dwarf_get_fde_range(fdes[i], &low, &len, &bytes, &bytes_len, &cie, &cie_index, &at,
						     NULL), DW_DLV_OK);
		for (uint64_t pc = low; pc && pc < low + len; rows_seen++)
			pc = ck_same_row(fdes[i], &cfi, pc, 34);
	}
	gc_cfi_deinit(&cfi);
	return rows_seen;
}

static void compare_file(const char *path, unsigned step, size_t at_least)
{
	struct gc_elf_file file;
	Dwarf_Debug dbg = NULL;
	Dwarf_Signed ncies, nfdes;
	Dwarf_Cie *cies;
	Dwarf_Fde *fdes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_msg(gc_elf_file_open(&file, path, &err) == GC_OK, "%s: %s", path, err.text);
	ck_assert_int_eq(OPEN_DWARF(fd, &dbg, NULL), DW_DLV_OK);
	dwarf_set_frame_rule_initial_value(dbg, UNSPECIFIED);
	dwarf_set_frame_rule_table_size(dbg, 100);
	ck_assert_int_eq(dwarf_get_fde_list_eh(dbg, &cies, &ncies, &fdes, &nfdes, NULL), DW_DLV_OK);
	ck_assert_uint_ge(compare(&file, fdes, nfdes, step, false), at_least);
	ck_assert_uint_ge(compare(&file, fdes, nfdes, step, true), at_least);
	FREE_LISTS(dbg, cies, ncies, fdes, nfdes);
	CLOSE_DWARF(dbg);
	close(fd);
	gc_elf_file_close(&file);
}

static int find_libc(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	if (!strstr(info->dlpi_name, "/libc.so"))
		return 0;
	snprintf(data, 4096, "%s", info->dlpi_name);
	return 1;
}

START_TEST(as_libdwarf_has_them)
{
	char libc[4096] = "";

	compare_file("/proc/self/exe", 1, 50);
	if (dl_iterate_phdr(find_libc, libc))
		compare_file(libc, 23, 500);
}
END_TEST

/* Damage. */

struct copy {
	const struct gc_elf_file *file;
	uint8_t *bytes;
};

static uint64_t copy_at(void *data, uint64_t addr, const uint8_t **bytes)
{
	const struct copy *c = data;
	uint64_t len;

	if (!gc_elf_at(c->file, addr, bytes, &len))
		return 0;
	*bytes = c->bytes + (*bytes - c->file->input.bytes);
	return len;
}

/** Whatever is changed, an answer comes soon and from inside the tables. */
START_TEST(damaged_tables)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff, 0x0f, 0x10, 0x16 };
	struct gc_cfi_source src;
	struct gc_elf_file file;
	struct copy copy;
	uint32_t random = 4711;

	ck_assert_int_eq(gc_elf_file_open(&file, "/proc/self/exe", &err), GC_OK);
	source_of(&file, &src);
	copy = (struct copy){ .file = &file, .bytes = malloc(file.input.size) };
	src.at = copy_at;
	src.data = &copy;
	for (int round = 0; round < 300; round++) {
		const uint8_t *bytes;
		uint64_t len = file_at(&file, src.hdr_addr, &bytes);
		struct gc_cfi cfi;

		memcpy(copy.bytes, file.input.bytes, file.input.size);
		for (int i = 0; i < 20; i++) {
			random = random * 1103515245 + 12345;
			copy.bytes[(size_t)(bytes - file.input.bytes) + (random >> 8) % len] =
				values[(random >> 4) % sizeof(values)];
		}
		gc_cfi_init(&cfi, &src);
		for (int i = 0; i < 50; i++) {
			random = random * 1103515245 + 12345;
			if (gc_cfi_find(&cfi, file.phdrs.entry + (random >> 8) % 0x10000, &row, &err) == GC_OK &&
			    row.cfa.kind == GC_CFI_VAL_EXPRESSION) {
				uint64_t value;

				gc_cfi_eval(row.cfa.expression, row.cfa.len, &machine, NULL, &value, &err);
			}
		}
		gc_cfi_deinit(&cfi);
	}
	free(copy.bytes);
	gc_elf_file_close(&file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cfi");
	TCase *tc = tcase_create("cfi");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, rows);
	tcase_add_test(tc, expressions_are_in_place);
	tcase_add_test(tc, damaged_programs);
	tcase_add_test(tc, operations);
	tcase_add_test(tc, refused_expressions);
	tcase_add_test(tc, as_libdwarf_has_them);
	tcase_add_test(tc, damaged_tables);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
