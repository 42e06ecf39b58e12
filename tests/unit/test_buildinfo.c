/* Go's build information: both forms, out of files and out of dumped memory, and what is damaged. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/buildinfo.h"
#include "gocore/bytes.h"

#include "core_builder.h"

#define DATA_ADDR 0x500000ULL
#define HEADERS   0x100 /* bytes before the data in the file */

static const uint8_t magic[] = "\xff Go buildinf:";
static const char sentinel_start[16] = "\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
static const char sentinel_end[16] = "\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";

static struct gc_buf data; /* what the program has at DATA_ADDR */
static struct gc_elf_file file;
static struct gc_buildinfo info;
static struct gc_error err;

static void setup(void)
{
	data = (struct gc_buf)GC_BUF_INIT;
	file = (struct gc_elf_file){ .elf = NULL };
	info = (struct gc_buildinfo){ .version = NULL };
}

static void teardown(void)
{
	gc_buildinfo_deinit(&info);
	if (file.input.bytes)
		gc_elf_file_close(&file);
	gc_buf_deinit(&data);
}

static void add_u64(uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_buf_add(&data, bytes, 8);
}

static void add_zeros(size_t count)
{
	while (count--)
		gc_buf_char(&data, '\0');
}

static void add_header(uint8_t flags)
{
	gc_buf_add(&data, magic, 14);
	gc_buf_char(&data, 8);
	gc_buf_char(&data, (char)flags);
}

static void add_varint(uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		gc_buf_char(&data, (char)(value | 0x80));
	gc_buf_char(&data, (char)value);
}

static void add_inline(const char *version, const char *mod, size_t mod_len)
{
	add_header(2);
	add_zeros(16);
	add_varint(strlen(version));
	gc_buf_str(&data, version);
	add_varint(mod_len);
	gc_buf_add(&data, mod, mod_len);
}

/** The text between the sentinels that the go command puts around it. */
static void add_inline_text(const char *version, const char *text)
{
	struct gc_buf mod = GC_BUF_INIT;

	gc_buf_add(&mod, sentinel_start, 16);
	gc_buf_str(&mod, text);
	gc_buf_add(&mod, sentinel_end, 16);
	add_inline(version, mod.data, mod.len);
	gc_buf_deinit(&mod);
}

/** An ELF program with the data as its only segment and no section headers. */
static void open_program(uint32_t flags)
{
	uint8_t headers[HEADERS] = { 0 };
	struct gc_buf image = GC_BUF_INIT;
	struct gc_input in;
	uint8_t *ph = headers + 64;

	memcpy(headers, ELFMAG, SELFMAG);
	headers[EI_CLASS] = ELFCLASS64;
	headers[EI_DATA] = ELFDATA2LSB;
	headers[EI_VERSION] = EV_CURRENT;
	gc_store_le16(headers + 16, ET_EXEC);
	gc_store_le16(headers + 18, EM_AARCH64);
	gc_store_le32(headers + 20, EV_CURRENT);
	gc_store_le64(headers + 32, 64);       /* e_phoff */
	gc_store_le16(headers + 52, 64);
	gc_store_le16(headers + 54, 56);
	gc_store_le16(headers + 56, 1);        /* e_phnum */
	gc_store_le32(ph, PT_LOAD);
	gc_store_le32(ph + 4, flags);
	gc_store_le64(ph + 8, HEADERS);
	gc_store_le64(ph + 16, DATA_ADDR);
	gc_store_le64(ph + 32, data.len);
	gc_store_le64(ph + 40, data.len);
	gc_store_le64(ph + 48, 16);
	gc_buf_add(&image, headers, sizeof(headers));
	gc_buf_add(&image, gc_buf_text(&data), data.len);
	input_of_bytes(&in, image.data, image.len);
	gc_buf_deinit(&image);
	ck_assert_int_eq(gc_elf_file_take(&file, &in, &err), GC_OK);
}

static enum gc_code read_program(void)
{
	open_program(PF_R | PF_W);
	return gc_buildinfo_of_file(&info, &file, &err);
}

static const char modules[] =
	"path\texample.com/shop/cmd/server\n"
	"mod\texample.com/shop\tv1.2.3\th1:abc=\n"
	"dep\tgolang.org/x/sys\tv0.30.0\th1:QjkSwP/36a20jFYWkSue1YwXzLmsV5Gfq7Eiy72C1uc=\n"
	"dep\tgithub.com/lib/pq\tv1.10.9\n"
	"=>\t../pq\t(devel)\t\n"
	"build\t-compiler=gc\n"
	"build\tCGO_ENABLED=0\n"
	"build\tGOARCH=arm64\n"
	"build\tGOOS=linux\n"
	"build\t-ldflags=\"-X 'main.name=a \\\"b\\\" \\x41\\u00e9'\"\n"
	"build\t`odd key`=`raw \\n`\n"
	"build\tvcs.modified=\n";

static void ck_modules(void)
{
	ck_assert_str_eq(info.version, "go1.24.4");
	ck_assert_str_eq(info.path, "example.com/shop/cmd/server");
	ck_assert(info.has_main);
	ck_assert_str_eq(info.main.path, "example.com/shop");
	ck_assert_str_eq(info.main.version, "v1.2.3");
	ck_assert_str_eq(info.main.sum, "h1:abc=");
	ck_assert_ptr_null(info.main.replaced_by);
	ck_assert_uint_eq(info.ndeps, 2);
	ck_assert_str_eq(info.deps[0].path, "golang.org/x/sys");
	ck_assert_str_eq(info.deps[0].sum, "h1:QjkSwP/36a20jFYWkSue1YwXzLmsV5Gfq7Eiy72C1uc=");
	ck_assert_ptr_null(info.deps[0].replaced_by);
	ck_assert_str_eq(info.deps[1].version, "v1.10.9");
	ck_assert_str_eq(info.deps[1].sum, "");
	ck_assert_str_eq(info.deps[1].replaced_by, "../pq");
	ck_assert_str_eq(info.deps[1].replaced_version, "(devel)");
	ck_assert_uint_eq(info.nsettings, 7);
	ck_assert_str_eq(info.settings[0].key, "-compiler");
	ck_assert_str_eq(gc_buildinfo_setting(&info, "GOARCH"), "arm64");
	ck_assert_str_eq(gc_buildinfo_setting(&info, "CGO_ENABLED"), "0");
	ck_assert_str_eq(gc_buildinfo_setting(&info, "-ldflags"), "-X 'main.name=a \"b\" A\xc3\xa9'");
	ck_assert_str_eq(gc_buildinfo_setting(&info, "odd key"), "raw \\n");
	ck_assert_str_eq(gc_buildinfo_setting(&info, "vcs.modified"), "");
	ck_assert_ptr_null(gc_buildinfo_setting(&info, "GOAMD64"));
}

START_TEST(inline_strings)
{
	add_inline_text("go1.24.4", modules); /* longer than 127, so its length takes two bytes */
	ck_assert_int_eq(read_program(), GC_OK);
	ck_modules();
}
END_TEST

START_TEST(behind_other_data)
{
	add_zeros(4096 - 16);
	gc_buf_str(&data, "xxxxxxxx");
	gc_buf_add(&data, magic, 14); /* not aligned: no header */
	add_zeros(16 - 6);
	add_inline_text("go1.24.4", modules);
	ck_assert_int_eq(read_program(), GC_OK);
	ck_modules();
}
END_TEST

START_TEST(copy_of_the_magic)
{
	add_inline("banana", "", 0); /* not a Go version */
	add_zeros((16 - data.len % 16) % 16);
	add_inline("go1.26.10", "path\tx\n", 7);
	ck_assert_int_eq(read_program(), GC_OK);
	ck_assert_str_eq(info.version, "go1.26.10");
	ck_assert_str_eq(info.path, "x");
	ck_assert(!info.has_main);
	ck_assert_uint_eq(info.nsettings, 0);
}
END_TEST

/** Until Go 1.17: addresses of two Go strings. */
static void add_pointers(const char *version, const char *mod, uint8_t flags)
{
	add_header(flags);
	add_u64(DATA_ADDR + 32);
	add_u64(mod ? DATA_ADDR + 48 : 0);
	add_u64(DATA_ADDR + 64);
	add_u64(strlen(version));
	add_u64(DATA_ADDR + 64 + strlen(version));
	add_u64(mod ? strlen(mod) : 0);
	gc_buf_str(&data, version);
	gc_buf_str(&data, mod ? mod : "");
}

START_TEST(pointers)
{
	add_pointers("go1.16.15", "path\tcommand-line-arguments\nmod\tm\t(devel)\t\n", 0);
	ck_assert_int_eq(read_program(), GC_OK);
	ck_assert_str_eq(info.version, "go1.16.15");
	ck_assert_str_eq(info.path, "command-line-arguments");
	ck_assert_str_eq(info.main.version, "(devel)");
	ck_assert_str_eq(info.main.sum, "");
}
END_TEST

START_TEST(pointer_to_no_modules)
{
	add_pointers("devel +abc", NULL, 0);
	ck_assert_int_eq(read_program(), GC_OK);
	ck_assert_str_eq(info.version, "devel +abc");
	ck_assert_ptr_null(info.path);
}
END_TEST

START_TEST(big_endian)
{
	add_pointers("go1.16", NULL, 1);
	ck_assert_int_eq(read_program(), GC_E_UNSUPPORTED);
}
END_TEST

START_TEST(pointer_into_nowhere)
{
	add_header(0);
	add_u64(0x12345678);
	add_u64(0);
	ck_assert_int_eq(read_program(), GC_E_TRUNCATED);
}
END_TEST

START_TEST(cut_anywhere)
{
	struct gc_buf whole;

	add_inline_text("go1.24.4", modules);
	whole = data;
	for (size_t len = 0; len < whole.len; len++) {
		data = (struct gc_buf){ .data = whole.data, .len = len };
		open_program(PF_R | PF_W);
		ck_assert_int_ne(gc_buildinfo_of_file(&info, &file, &err), GC_OK);
		ck_assert_ptr_null(info.version);
		gc_elf_file_close(&file);
	}
	data = whole;
	file.input.bytes = NULL;
}
END_TEST

START_TEST(length_without_end)
{
	add_header(2);
	add_zeros(16);
	for (int i = 0; i < 20; i++)
		gc_buf_char(&data, (char)0xff);
	ck_assert_int_eq(read_program(), GC_E_FORMAT);
}
END_TEST

START_TEST(length_of_everything)
{
	add_header(2);
	add_zeros(16);
	add_varint(UINT64_MAX);
	ck_assert_int_eq(read_program(), GC_E_LIMIT);
}
END_TEST

START_TEST(odd_lines)
{
	/* lines that say nothing are left out; the others count */
	static const char text[] = "path\tp\n=>\tnothing before\nbuild\t=x\nbuild\tnoequals\nbuild\t\"open=1\nbuild\t\"a\\q\"=1\n"
				   "build\tk=\"\\x00\"\ndep\nmod\n\n\n\tbuild\nbuild\tGOOS=linux\nbuild";

	add_inline("go1.20", text, sizeof(text) - 1);
	ck_assert_int_eq(read_program(), GC_OK);
	ck_assert_uint_eq(info.nsettings, 1);
	ck_assert_str_eq(gc_buildinfo_setting(&info, "GOOS"), "linux");
	ck_assert_uint_eq(info.ndeps, 0);
}
END_TEST

START_TEST(no_go_program)
{
	add_zeros(5000);
	ck_assert_int_eq(read_program(), GC_E_NOT_FOUND);
}
END_TEST

START_TEST(not_in_text)
{
	add_inline("go1.20", "", 0); /* as a tool has it that looks for the magic itself */
	open_program(PF_R | PF_X);
	ck_assert_int_eq(gc_buildinfo_of_file(&info, &file, &err), GC_E_NOT_FOUND);
}
END_TEST

/** A core of @data at DATA_ADDR. */
static enum gc_code read_core(struct gc_process *p, struct core_builder *b, size_t dumped)
{
	builder_init(b, EM_AARCH64);
	builder_prstatus(b, 1, 6, NULL, 0);
	builder_load(b, DATA_ADDR, data.len + 0x1000, data.data, dumped, PF_R | PF_W);
	*p = (struct gc_process){ .exe = NULL };
	ck_assert_int_eq(builder_open_core(b, &p->core, &err), GC_OK);
	ck_assert_int_eq(gc_space_init(&p->space, &p->core, &err), GC_OK);
	return gc_buildinfo_of_memory(&info, p, &err);
}

static void close_core(struct gc_process *p, struct core_builder *b)
{
	gc_space_deinit(&p->space);
	gc_core_close(&p->core);
	builder_deinit(b);
}

START_TEST(out_of_memory_image)
{
	struct core_builder b;
	struct gc_process p;

	add_zeros(160);
	add_inline_text("go1.24.4", modules);
	ck_assert_int_eq(read_core(&p, &b, data.len), GC_OK);
	ck_modules();
	close_core(&p, &b);
}
END_TEST

START_TEST(pointers_in_memory)
{
	struct core_builder b;
	struct gc_process p;

	add_pointers("go1.17.13", "path\tx\n", 0);
	ck_assert_int_eq(read_core(&p, &b, data.len), GC_OK);
	ck_assert_str_eq(info.version, "go1.17.13");
	ck_assert_str_eq(info.path, "x");
	close_core(&p, &b);
}
END_TEST

START_TEST(half_dumped)
{
	struct core_builder b;
	struct gc_process p;

	add_inline_text("go1.24.4", modules);
	ck_assert_int_eq(read_core(&p, &b, data.len - 100), GC_E_TRUNCATED);
	close_core(&p, &b);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("buildinfo");
	TCase *tc = tcase_create("buildinfo");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, inline_strings);
	tcase_add_test(tc, behind_other_data);
	tcase_add_test(tc, copy_of_the_magic);
	tcase_add_test(tc, pointers);
	tcase_add_test(tc, pointer_to_no_modules);
	tcase_add_test(tc, big_endian);
	tcase_add_test(tc, pointer_into_nowhere);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, length_without_end);
	tcase_add_test(tc, length_of_everything);
	tcase_add_test(tc, odd_lines);
	tcase_add_test(tc, no_go_program);
	tcase_add_test(tc, not_in_text);
	tcase_add_test(tc, out_of_memory_image);
	tcase_add_test(tc, pointers_in_memory);
	tcase_add_test(tc, half_dumped);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
