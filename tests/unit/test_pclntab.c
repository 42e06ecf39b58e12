/* pclntab: small tables put together here, damaged ones, and two real programs against what their runtime printed. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/go.h"
#include "gocore/pclntab.h"

#define TEXT   0x401000ULL
#define GOFUNC 0x600000ULL

/* One table of each kind; offsets from the header. */
enum {
	NAMES = 96,
	CUS = 256,
	FILES = 288,
	VALUES = 352,
	FUNCS = 480,
	RECORDS = 64,    /* from FUNCS on; behind the functab of 3 functions */
	RECORD = 96,     /* room for each */
	SIZE = FUNCS + RECORDS + 3 * RECORD,
};

static uint8_t bytes[SIZE];
static uint8_t tree[64];
static struct gc_pclntab t;
static struct gc_error err;
static uint32_t names_len, values_len;

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

	strcpy((char *)bytes + NAMES + off, name);
	names_len += (uint32_t)strlen(name) + 1;
	return off;
}

/** A pc-value table out of {change of value, change of pc} pairs of less than 64. */
static uint32_t add_values(const int pairs[][2], size_t n)
{
	uint32_t off = values_len;

	for (size_t i = 0; i < n; i++) {
		int change = pairs[i][0];

		bytes[VALUES + values_len++] = (uint8_t)(change < 0 ? -2 * change - 1 : 2 * change);
		bytes[VALUES + values_len++] = (uint8_t)pairs[i][1];
	}
	bytes[VALUES + values_len++] = 0;
	return off;
}

static uint8_t *record(unsigned index)
{
	return bytes + FUNCS + RECORDS + index * RECORD;
}

static void add_func(unsigned index, uint32_t entry, uint32_t name)
{
	uint8_t *slot = bytes + FUNCS + 8 * index;

	gc_store_le32(slot, entry);
	gc_store_le32(slot + 4, RECORDS + index * RECORD);
	gc_store_le32(record(index), entry);
	gc_store_le32(record(index) + 4, name);
}

static void header(uint32_t magic, uint8_t quantum, uint64_t text)
{
	static const uint64_t parts[] = { NAMES, CUS, FILES, VALUES, FUNCS };

	memset(bytes, 0, sizeof(bytes));
	memset(tree, 0, sizeof(tree));
	names_len = values_len = 1; /* offset 0: the empty name, no table */
	gc_store_le32(bytes, magic);
	bytes[6] = quantum;
	bytes[7] = 8;
	gc_store_le64(bytes + 8, 3);
	gc_store_le64(bytes + 24, text);
	for (unsigned i = 0; i < GC_COUNT(parts); i++)
		gc_store_le64(bytes + 32 + 8 * i, parts[i]);
	strcpy((char *)bytes + FILES + 1, "/src/a.go");
	strcpy((char *)bytes + FILES + 11, "/src/b.go");
	gc_store_le32(bytes + CUS, 0xffffffff);
	gc_store_le32(bytes + CUS + 4, 1);
	gc_store_le32(bytes + CUS + 8, 11);
}

/**
 * f at [0, 0x20), main.(*T[go.shape.int]).g at [0x20, 0x40) with a call of h inlined at
 * [0x28, 0x30) whose own call of k is inlined at [0x2c, 0x30), and the last one up to 0x50.
 */
static void build(bool old, uint8_t quantum)
{
	uint32_t shift = old ? 0 : 4, f, g, h, k, last;
	int q = quantum;

	header(old ? 0xfffffff0 : 0xfffffff1, quantum, old ? TEXT : 0);
	f = add_name("main.f");
	g = add_name("main.(*T[go.shape.int]).g");
	h = add_name("main.h");
	k = add_name("main.k");
	last = add_name("runtime.gopanic");
	add_func(0, 0, f);
	add_func(1, 0x20, g);
	add_func(2, 0x40, last);
	gc_store_le32(bytes + FUNCS + 24, 0x50); /* end of the text */
	/* pcsp of g: 0, then 24, then 0 again */
	gc_store_le32(record(1) + 16, add_values((const int[][2]){ { 1, 4 / q }, { 24, 24 / q }, { -24, 4 / q } }, 3));
	/* pcfile: b.go inside h and k, else a.go */
	gc_store_le32(record(1) + 20, add_values((const int[][2]){ { 2, 8 / q }, { 1, 8 / q }, { -1, 16 / q } }, 3));
	/* pcln: 10; h at 21, k at 31; 12 */
	gc_store_le32(record(1) + 24, add_values((const int[][2]){ { 11, 8 / q }, { 11, 4 / q }, { 10, 4 / q },
								   { -19, 16 / q } }, 4));
	gc_store_le32(record(1) + 28, 3); /* npcdata */
	gc_store_le32(record(1) + 32, 0); /* cu */
	if (!old)
		gc_store_le32(record(1) + 36, 9);
	record(1)[36 + shift] = 22;
	record(1)[37 + shift] = GC_FUNC_SPWRITE;
	record(1)[39 + shift] = 4;       /* nfuncdata */
	gc_store_le32(record(1) + 40 + shift + 8,
		      add_values((const int[][2]){ { 0, 8 / q }, { 1, 4 / q }, { 1, 4 / q }, { -2, 16 / q } }, 4));
	for (unsigned i = 0; i < 4; i++)
		gc_store_le32(record(1) + 40 + shift + 12 + 4 * i, i == 3 ? 0 : 0xffffffff);
	if (old) {
		gc_store_le16(tree, 0xffff);
		gc_store_le32(tree + 4, 1);
		gc_store_le32(tree + 8, 11);
		gc_store_le32(tree + 12, h);
		gc_store_le16(tree + 20, 0);
		gc_store_le32(tree + 24, 2);
		gc_store_le32(tree + 28, 22);
		gc_store_le32(tree + 32, k);
	} else {
		gc_store_le32(tree + 4, h);
		gc_store_le32(tree + 8, 4);      /* the call of h: line 10 of a.go */
		gc_store_le32(tree + 16 + 4, k);
		gc_store_le32(tree + 16 + 8, 8); /* the call of k: in h, line 21 of b.go */
		gc_store_le32(tree + 16 + 12, 30);
	}
}

static enum gc_code open_with(uint8_t quantum, uint64_t len, const uint8_t *present)
{
	struct gc_pclntab_source src = {
		.bytes = bytes, .len = len, .present = present, .text = TEXT, .gofunc = GOFUNC,
		.read = read_tree, .quantum = quantum,
	};

	return gc_pclntab_init(&t, &src, &err);
}

static struct gc_pcfunc find(uint64_t pc)
{
	struct gc_pcfunc f = { .index = 99 };

	ck_assert(gc_pclntab_find(&t, pc, &f));
	return f;
}

static void ck_line(const struct gc_pcline *l, const char *name, const char *file, uint32_t line, bool inlined)
{
	ck_assert_str_eq(gc_pclntab_name(&t, l->name), name);
	ck_assert_str_eq(l->file, file);
	ck_assert_uint_eq(l->line, line);
	ck_assert_int_eq(l->inlined, inlined);
}

/* _i: 0 and 1: Go 1.18 and 1.20 of amd64; 2, 3: of arm64 */
START_TEST(finds_and_decodes)
{
	uint8_t quantum = _i < 2 ? 1 : 4;
	struct gc_pcline lines[8];
	struct gc_pcfunc f;

	build(_i % 2 == 0, quantum);
	ck_assert_int_eq(open_with(quantum, SIZE, NULL), GC_OK);
	ck_assert(!gc_pclntab_find(&t, TEXT - 1, &f));
	ck_assert(!gc_pclntab_find(&t, TEXT + 0x50, &f));
	ck_assert_uint_eq(find(TEXT).index, 0);
	ck_assert_uint_eq(find(TEXT + 0x1f).index, 0);
	ck_assert_uint_eq(find(TEXT + 0x4f).index, 2);
	f = find(TEXT + 0x20);
	ck_assert_uint_eq(f.index, 1);
	ck_assert_uint_eq(f.entry, TEXT + 0x20);
	ck_assert_uint_eq(f.end, TEXT + 0x40);
	ck_assert_uint_eq(f.flags, GC_FUNC_SPWRITE);
	ck_assert_uint_eq(f.id, 22);
	ck_assert_uint_eq(f.start_line, _i % 2 ? 9 : 0);
	ck_assert_int_eq(gc_pclntab_value(&t, &f, f.pcsp, TEXT + 0x20), 0);
	ck_assert_int_eq(gc_pclntab_value(&t, &f, f.pcsp, TEXT + 0x24), 24);
	ck_assert_int_eq(gc_pclntab_value(&t, &f, f.pcsp, TEXT + 0x3b), 24);
	ck_assert_int_eq(gc_pclntab_value(&t, &f, f.pcsp, TEXT + 0x3c), 0);
	ck_assert_int_eq(gc_pclntab_value(&t, &f, 0, TEXT + 0x24), -1);

	ck_assert_uint_eq(gc_pclntab_lines(&t, &f, TEXT + 0x24, lines, 8), 1);
	ck_line(&lines[0], "main.(*T[go.shape.int]).g", "/src/a.go", 10, false);
	ck_assert_uint_eq(gc_pclntab_lines(&t, &f, TEXT + 0x28, lines, 8), 2);
	ck_line(&lines[0], "main.h", "/src/b.go", 21, true);
	ck_line(&lines[1], "main.(*T[go.shape.int]).g", "/src/a.go", _i % 2 ? 10 : 11, false);
	ck_assert_uint_eq(gc_pclntab_lines(&t, &f, TEXT + 0x2f, lines, 8), 3);
	ck_line(&lines[0], "main.k", "/src/b.go", 31, true);
	ck_line(&lines[1], "main.h", "/src/b.go", _i % 2 ? 21 : 22, true);
	ck_line(&lines[2], "main.(*T[go.shape.int]).g", "/src/a.go", _i % 2 ? 10 : 11, false);
	ck_assert_uint_eq(gc_pclntab_lines(&t, &f, TEXT + 0x2f, lines, 1), 1);
	ck_assert_str_eq(gc_pclntab_name(&t, lines[0].name), "main.(*T[go.shape.int]).g");
	gc_pclntab_deinit(&t);
}
END_TEST

START_TEST(names_as_the_runtime_prints_them)
{
	const char *first;

	build(false, 1);
	ck_assert_int_eq(open_with(1, SIZE, NULL), GC_OK);
	first = gc_pclntab_print_name(&t, find(TEXT + 0x20).name);
	ck_assert_str_eq(first, "main.(*T[...]).g");
	ck_assert_ptr_eq(gc_pclntab_print_name(&t, find(TEXT + 0x20).name), first);
	ck_assert_str_eq(gc_pclntab_print_name(&t, find(TEXT + 0x40).name), "panic");
	ck_assert_str_eq(gc_pclntab_print_name(&t, find(TEXT).name), "main.f");
	gc_pclntab_deinit(&t);
}
END_TEST

START_TEST(rows)
{
	struct gc_pcrows out;
	struct gc_pcfunc f;

	build(false, 4);
	ck_assert_int_eq(open_with(4, SIZE, NULL), GC_OK);
	f = find(TEXT + 0x20);
	ck_assert_int_eq(gc_pclntab_rows(&t, &f, f.pcsp, &out, &err), GC_OK);
	ck_assert_uint_eq(out.count, 3);
	ck_assert_uint_eq(out.list[1].start, TEXT + 0x24);
	ck_assert_uint_eq(out.list[1].end, TEXT + 0x3c);
	ck_assert_int_eq(out.list[1].value, 24);
	gc_pcrows_deinit(&out);
	ck_assert_int_eq(gc_pclntab_rows(&t, &f, 0, &out, &err), GC_OK);
	ck_assert_uint_eq(out.count, 0);
	gc_pcrows_deinit(&out);
	gc_pclntab_deinit(&t);
}
END_TEST

START_TEST(several_text_sections)
{
	struct gc_text_section sections[] = { { 0, 0x20, TEXT }, { 0x20, 0x50, 0x900000 } };
	struct gc_pclntab_source src = {
		.bytes = bytes, .len = SIZE, .text = TEXT, .sections = sections, .nsections = 2, .quantum = 1,
	};

	build(false, 1);
	ck_assert_int_eq(gc_pclntab_init(&t, &src, &err), GC_OK);
	ck_assert_uint_eq(find(TEXT + 0x1f).index, 0);
	ck_assert_uint_eq(find(0x900000).index, 1);
	ck_assert_uint_eq(find(0x900000).entry, 0x900000);
	ck_assert_uint_eq(find(0x90002f).index, 2);
	ck_assert(!gc_pclntab_find(&t, TEXT + 0x20, &(struct gc_pcfunc){ .index = 0 }));
	gc_pclntab_deinit(&t);
}
END_TEST

START_TEST(no_headers)
{
	build(false, 1);
	ck_assert_int_eq(open_with(4, SIZE, NULL), GC_E_FORMAT);
	ck_assert_int_eq(open_with(1, 71, NULL), GC_E_TRUNCATED);
	ck_assert_int_eq(open_with(1, FUNCS, NULL), GC_E_TRUNCATED);
	gc_store_le32(bytes, 0xfffffffa);
	ck_assert_int_eq(open_with(1, SIZE, NULL), GC_E_UNSUPPORTED);
	build(false, 1);
	gc_store_le64(bytes + 40, NAMES - 1); /* parts out of order */
	ck_assert_int_eq(open_with(1, SIZE, NULL), GC_E_FORMAT);
	build(false, 1);
	gc_store_le64(bytes + 8, UINT64_MAX);
	ck_assert_int_eq(open_with(1, SIZE, NULL), GC_E_FORMAT);
}
END_TEST

/* Cut at every length and with every byte spoilt: no read outside (ASan) and no endless loop. */
START_TEST(damaged)
{
	uint8_t *copy = malloc(SIZE);
	struct gc_pcline lines[8];
	struct gc_pcfunc f;
	size_t found = 0;

	for (size_t i = 0; i < 2 * SIZE; i++) {
		struct gc_pclntab_source src = {
			.bytes = copy, .len = i < SIZE ? i : SIZE, .text = TEXT, .gofunc = GOFUNC,
			.read = read_tree, .quantum = 1,
		};

		build(i % 2, 1);
		if (i >= SIZE)
			bytes[i - SIZE] = 0xff;
		memcpy(copy, bytes, SIZE);
		src.bytes = copy + SIZE - src.len; /* nothing behind it */
		memmove(copy + SIZE - src.len, bytes, src.len);
		if (gc_pclntab_init(&t, &src, &err) != GC_OK)
			continue;
		for (uint64_t pc = TEXT; pc < TEXT + 0x50; pc++)
			if (gc_pclntab_find(&t, pc, &f)) {
				found++;
				gc_pclntab_lines(&t, &f, pc, lines, 8);
				gc_pclntab_value(&t, &f, f.pcsp, pc);
				gc_pclntab_print_name(&t, f.name);
			}
		gc_pclntab_deinit(&t);
	}
	ck_assert_uint_gt(found, 1000);
	free(copy);
}
END_TEST

/* Pages that are not there give no names made of zeros. */
START_TEST(missing_pages)
{
	static uint8_t big[3 * GC_PCLNTAB_PAGE];
	const uint8_t present = 0x5; /* not the second page */
	struct gc_pclntab_source src = { .bytes = big, .len = sizeof(big), .present = &present, .quantum = 1 };

	build(false, 1);
	memcpy(big, bytes, SIZE);
	for (unsigned i = 1; i < 5; i++) /* names up to the third page, the rest behind them */
		gc_store_le64(big + 32 + 8 * i, 2 * GC_PCLNTAB_PAGE + 16 * i);
	memset(big + NAMES, 'x', 2 * GC_PCLNTAB_PAGE);
	strcpy((char *)big + NAMES + 1, "here");
	ck_assert_int_eq(gc_pclntab_init(&t, &src, &err), GC_OK);
	ck_assert_str_eq(gc_pclntab_name(&t, 1), "here");
	ck_assert_ptr_null(gc_pclntab_name(&t, GC_PCLNTAB_PAGE));
	ck_assert_ptr_null(gc_pclntab_name(&t, GC_PCLNTAB_PAGE - NAMES - 4));
	gc_pclntab_deinit(&t);
}
END_TEST

/* Inline trees whose elements name each other. */
START_TEST(cycle)
{
	struct gc_pcline lines[300];

	build(true, 1);
	gc_store_le16(tree + 20, 1); /* the parent of k is k */
	ck_assert_int_eq(open_with(1, SIZE, NULL), GC_OK);
	struct gc_pcfunc f = find(TEXT + 0x2f);

	ck_assert_uint_le(gc_pclntab_lines(&t, &f, TEXT + 0x2f, lines, 300), 257);
	gc_pclntab_deinit(&t);
}
END_TEST

static const char *fixture(const char *name)
{
	const char *source = getenv("GOCORE_SOURCE");
	static char path[4096];

	snprintf(path, sizeof(path), "%s/cores/%s", source ? source : ".", name);
	return path;
}

static const struct {
	const char *dir;
	int minor;
} programs[] = {
	{ "aarch64/panic-go1.24", 24 },
	{ "aarch64/segv-go1.22-filter21", 22 },
	{ "x86_64/segv-go1.26", 26 },
};

/** Is the frame that the runtime printed as @function, @place "file:line" with @pc what the table says? */
static bool agrees(struct gc_pclntab *table, const char *function, const char *place, uint64_t pc, uint64_t back)
{
	struct gc_pcline lines[64];
	struct gc_pcfunc f;
	char ours[4096];
	size_t n;

	if (!gc_pclntab_find(table, pc, &f))
		return false;
	n = gc_pclntab_lines(table, &f, pc - back, lines, GC_COUNT(lines));
	snprintf(ours, sizeof(ours), "%s:%u", lines[n - 1].file, lines[n - 1].line);
	return strcmp(ours, place) == 0 &&
	       strcmp(gc_pclntab_print_name(table, lines[n - 1].name), function) == 0;
}

/* All frames with a pc that a real traceback printed; those below sigpanic are interrupted. */
START_TEST(real_program)
{
	char line[8192], function[8192] = "", before[8192] = "", place[4096], path[256];
	struct gc_go_modules modules;
	struct gc_elf_file file;
	unsigned frames = 0;
	uint64_t pc;
	FILE *in;

	snprintf(path, sizeof(path), "%s/bin.zst", programs[_i].dir);
	ck_assert_int_eq(gc_elf_file_open(&file, fixture(path), &err), GC_OK);
	ck_assert_int_eq(gc_go_module_of_file(&modules, &file, programs[_i].minor, &err), GC_OK);
	ck_assert_uint_eq(modules.count, 1);
	ck_assert(modules.list[0].has_table);
	snprintf(path, sizeof(path), "%s/expect.txt", programs[_i].dir);
	in = fopen(fixture(path), "r");
	ck_assert_ptr_nonnull(in);
	while (fgets(line, sizeof(line), in)) {
		char *args = strrchr(line, '('), *at = strstr(line, " pc=0x");

		if (line[0] != '\t' && args) {
			strcpy(before, function);
			*args = '\0';
			strcpy(function, line);
		} else if (line[0] == '\t' && at && sscanf(line, " %4095s", place) == 1 &&
			   sscanf(at, " pc=%lx", &pc) == 1) {
			uint64_t back = strcmp(before, "runtime.sigpanic") != 0;

			ck_assert_msg(agrees(&modules.list[0].table, function, place, pc, back),
				      "%s %s pc 0x%lx", function, place, pc);
			frames++;
		}
	}
	fclose(in);
	ck_assert_uint_gt(frames, 20);
	gc_go_modules_deinit(&modules);
	gc_elf_file_close(&file);
}
END_TEST

START_TEST(no_go_program)
{
	struct gc_go_modules modules;
	struct gc_elf_file file;

	ck_assert_int_eq(gc_elf_file_open(&file, fixture("x86_64/threads/bin.zst"), &err), GC_OK);
	ck_assert_int_eq(gc_go_module_of_file(&modules, &file, 0, &err), GC_E_NOT_FOUND);
	gc_elf_file_close(&file);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pclntab");
	TCase *tc = tcase_create("pclntab");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, finds_and_decodes, 0, 4);
	tcase_add_test(tc, names_as_the_runtime_prints_them);
	tcase_add_test(tc, rows);
	tcase_add_test(tc, several_text_sections);
	tcase_add_test(tc, no_headers);
	tcase_add_test(tc, damaged);
	tcase_add_test(tc, missing_pages);
	tcase_add_test(tc, cycle);
	tcase_add_loop_test(tc, real_program, 0, GC_COUNT(programs));
	tcase_add_test(tc, no_go_program);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
