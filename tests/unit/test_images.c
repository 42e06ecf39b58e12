/* Images: which there were, which copies are taken and which refused, and what memory they give. */
#include <check.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/finder.h"
#include "gocore/bytes.h"
#include "gocore/images.h"

#include "core_builder.h"
#include "elf_builder.h"

#define PAGE 0x1000ULL
#define PROG 0x555555554000ULL
#define LIB  0x7ffff7a00000ULL
#define LD   0x7ffff7fc0000ULL
#define VDSO 0x7ffff7fb0000ULL
#define STACK 0x7ffffffde000ULL

static const uint8_t prog_id[20] = { 0x11, 0x22, 0x33 };
static const uint8_t lib_id[20] = { 0x44, 0x55, 0x66 };
static const uint8_t other_id[20] = { 0x77 };
static const char go_id[] = "one/two/three/four";

static struct elf_builder prog, lib;
static struct core_builder b;
static struct gc_core core;
static struct gc_space space;
static struct gc_images images;
static struct gc_problems problems;
static struct gc_find_options options;
static struct gc_error err;
static bool is_open, has_images;
static char dir[64];            /* of this test */
static const char *dirs[1] = { dir };

static void setup(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_images.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	prog = (struct elf_builder){
		.machine = EM_X86_64, .type = ET_DYN, .build_id = prog_id, .build_id_len = 20,
		.interp = "/lib64/ld.so",
	};
	lib = (struct elf_builder){
		.machine = EM_X86_64, .type = ET_DYN, .build_id = lib_id, .build_id_len = 20, .seed = 9,
	};
	options = (struct gc_find_options){ .no_debuginfod = true };
	builder_init(&b, EM_X86_64);
	builder_prstatus(&b, 4711, 11, NULL, 0);
}

static void close_all(void)
{
	if (has_images)
		gc_images_deinit(&images);
	gc_problems_deinit(&problems);
	if (is_open) {
		gc_space_deinit(&space);
		gc_core_close(&core);
	}
	is_open = has_images = false;
}

static void teardown(void)
{
	char command[128];

	close_all();
	builder_deinit(&b);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
}

/* Files. */

/** Path of a file below the test's folder; the last few stay valid. */
static const char *in_dir(const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, 256, "%s/%s", dir, name);
	return path;
}

static void make_parents(const char *path)
{
	char parent[256];

	for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
		snprintf(parent, sizeof(parent), "%.*s", (int)(p - path), path);
		mkdir(parent, 0755);
	}
}

static const char *write_file(const char *name, const void *bytes, size_t len)
{
	const char *path = in_dir(name);
	FILE *f;

	make_parents(path);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
	return path;
}

static const char *write_elf(const char *name, const struct elf_builder *e)
{
	struct gc_buf bytes = GC_BUF_INIT;
	const char *path;

	elf_build(e, &bytes);
	path = write_file(name, bytes.data, bytes.len);
	gc_buf_deinit(&bytes);
	return path;
}

static void make_link(const char *target, const char *name)
{
	const char *path = in_dir(name);

	make_parents(path);
	ck_assert_int_eq(symlink(target, path), 0);
}

/* Cores. */

enum {
	DUMP_HEADER = 1,  /* the page of the ELF header */
	DUMP_RELRO = 2,
	DUMP_DATA = 4,
	DUMP_USUAL = 7,
	DUMP_TEXT = 8,
};

static void map_page(const struct elf_builder *e, uint64_t bias, uint64_t vaddr, uint32_t flags, bool dumped)
{
	uint8_t page[PAGE];

	elf_page(e, vaddr, bias, page);
	builder_load(&b, e->base + bias + vaddr, PAGE, page, dumped ? PAGE : 0, flags);
}

/** The mappings of an image, as the kernel leaves them after the dynamic linker's work. */
static void map_image(const struct elf_builder *e, uint64_t bias, unsigned dump)
{
	map_page(e, bias, 0, PF_R, dump & DUMP_HEADER);
	map_page(e, bias, ELF_TEXT, PF_R | PF_X, dump & DUMP_TEXT);
	map_page(e, bias, ELF_RELRO, PF_R, dump & DUMP_RELRO);
	map_page(e, bias, ELF_DATA, PF_R | PF_W, dump & DUMP_DATA);
}

static struct builder_file rows[32];
static size_t nrows;

static void add_row(uint64_t start, uint64_t end, uint64_t page_offset, const char *path)
{
	rows[nrows++] = (struct builder_file){ start, end, page_offset, path };
}

static void add_rows(const char *path, uint64_t at)
{
	add_row(at, at + PAGE, 0, path);
	add_row(at + ELF_TEXT, at + ELF_TEXT + PAGE, 1, path);
	add_row(at + ELF_RELRO, at + ELF_RELRO + PAGE, 2, path);
	add_row(at + ELF_DATA, at + ELF_DATA + PAGE, 3, path);
}

static void add_auxv(uint64_t bias)
{
	const uint64_t auxv[] = {
		AT_PAGESZ, PAGE, AT_PHDR, prog.base + bias + 64, AT_PHNUM, prog.interp ? 7 : 6,
		AT_ENTRY, prog.base + bias + ELF_ENTRY, AT_BASE, LD, AT_SYSINFO_EHDR, VDSO, AT_EXECFN, STACK,
	};

	builder_auxv(&b, auxv, GC_COUNT(auxv) / 2);
}

static void add_stack(bool dumped)
{
	static const uint8_t page[PAGE] = "/t/prog"; /* AT_EXECFN leads here */

	builder_load(&b, STACK, PAGE, page, dumped ? PAGE : 0, PF_R | PF_W);
}

static void open_core(void)
{
	close_all();
	if (nrows)
		builder_files(&b, PAGE, rows, nrows);
	nrows = 0;
	ck_assert_msg(builder_open_core(&b, &core, &err) == GC_OK, "%s", err.text);
	ck_assert_int_eq(gc_space_init(&space, &core, &err), GC_OK);
	is_open = true;
}

static enum gc_code try_images(void)
{
	enum gc_code code;

	if (!is_open || has_images || problems.count)
		open_core();
	code = gc_images_init(&images, &core, &space, &options, &problems, &err);
	has_images = code == GC_OK;
	return code;
}

static void open_images(void)
{
	ck_assert_msg(try_images() == GC_OK, "%s", err.text);
}

/** A kernel's core of the program alone. */
static void program_core(unsigned dump)
{
	map_image(&prog, PROG, dump);
	add_stack(true);
	add_rows("/t/prog", PROG);
	add_auxv(PROG);
}

static const struct gc_image *image_of(const char *path)
{
	for (size_t i = 0; i < images.count; i++)
		if (strcmp(images.list[i].path, path) == 0)
			return &images.list[i];
	ck_abort_msg("no image %s", path);
	return NULL;
}

static void ck_image(const char *path, enum gc_image_status status, enum gc_image_check check)
{
	const struct gc_image *image = image_of(path);

	ck_assert_msg(image->status == status, "%s is %s: %s", path, gc_image_status_name(image->status),
		      image->refused ? image->refused : "");
	ck_assert_str_eq(gc_image_check_name(image->check), gc_image_check_name(check));
}

/** Is the page served, as the process had it? */
static void ck_page(const struct elf_builder *e, uint64_t bias, uint64_t vaddr, enum gc_range_class what)
{
	const uint64_t addr = e->base + bias + vaddr;
	const struct gc_range *r = gc_space_find(&space, addr);
	uint8_t want[PAGE], have[PAGE];

	ck_assert_ptr_nonnull(r);
	ck_assert_str_eq(gc_range_class_name(r->what), gc_range_class_name(what));
	if (what == GC_RANGE_ABSENT || what == GC_RANGE_CUT)
		return;
	elf_page(e, vaddr, bias, want);
	ck_assert_int_eq(gc_space_read_all(&space, addr, have, PAGE, &err), GC_OK);
	ck_assert_mem_eq(want, have, PAGE);
}

/* The program. */

START_TEST(same_build_id)
{
	const struct gc_image *image;

	program_core(DUMP_USUAL);
	options.program = write_elf("any name", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	image = gc_images_program(&images);
	ck_assert_ptr_eq(image, &images.list[0]);
	ck_assert_uint_eq(image->bias, PROG);
	ck_assert_uint_eq(image->base, PROG);
	ck_assert_uint_eq(image->end, PROG + ELF_SPAN);
	ck_assert_mem_eq(image->build_id.bytes, prog_id, 20);
	ck_assert_str_eq(image->found_by, "program");
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&prog, PROG, ELF_DATA, GC_RANGE_DUMPED);
	ck_assert_ptr_eq(gc_space_find(&space, PROG + ELF_TEXT)->image, image);
	ck_assert_ptr_eq(gc_images_at(&images, PROG + ELF_TEXT), image);
	ck_assert_ptr_eq(gc_images_at(&images, PROG + 0x5800), image); /* bss is no row */
	ck_assert_ptr_null(gc_images_at(&images, PROG + ELF_SPAN));
	ck_assert_ptr_null(gc_images_at(&images, PROG - 1));
}
END_TEST

START_TEST(other_build_id)
{
	program_core(DUMP_USUAL);
	prog.build_id = other_id;
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "7700000000000000000000000000000000000000"));
	ck_assert_ptr_nonnull(strstr(err.text, "1122330000000000000000000000000000000000"));
	ck_assert_ptr_nonnull(strstr(err.text, "--force"));
	options.force = true;
	open_images();
	ck_image("/t/prog", GC_IMAGE_FORCED, GC_CHECK_NONE);
	ck_assert(has_problem(&problems, "may be wrong"));
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
}
END_TEST

START_TEST(other_machine)
{
	program_core(DUMP_USUAL);
	prog.machine = EM_AARCH64;
	options.program = write_elf("prog", &prog);
	options.force = true;
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "is x86-64, but "));
	ck_assert_ptr_nonnull(strstr(err.text, "/prog is an "));
	ck_assert_ptr_null(strstr(err.text, "--force"));
}
END_TEST

START_TEST(no_program_at_all)
{
	program_core(DUMP_USUAL);
	options.program = write_file("text", "hello\n", 6);
	ck_assert_int_eq(try_images(), GC_E_FORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "/text is a text file"));
	options.program = "/no/such/file";
	ck_assert_int_eq(try_images(), GC_E_IO);
	prog.debug_only = true;
	options.program = write_elf("prog.debug", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "is a debug file"));
}
END_TEST

START_TEST(go_build_ids)
{
	prog.build_id = NULL;
	prog.go_build_id = go_id;
	program_core(DUMP_USUAL);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_GO_BUILD_ID);
	ck_assert_str_eq(images.list[0].go_build_id, go_id);
	prog.go_build_id = "one/two/three/FOUR";
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "three/FOUR"));
	prog.go_build_id = NULL;
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
}
END_TEST

/* coredump_filter 0x21 leaves the ELF header out; the dynamic linker's work remains. */
START_TEST(pages_decide)
{
	program_core(DUMP_RELRO | DUMP_DATA);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_PAGES);
	ck_assert_uint_eq(images.list[0].bias, PROG);
	ck_assert_uint_eq(images.list[0].build_id.len, 0);
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&prog, PROG, 0, GC_RANGE_RECOVERED);
	prog.seed = 1;
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
}
END_TEST

START_TEST(data_decides_when_nothing_else_is_there)
{
	program_core(DUMP_DATA);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_PAGES);
	prog.seed = 1;
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "words"));
}
END_TEST

START_TEST(nothing_to_compare)
{
	program_core(0);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_MISMATCH, GC_CHECK_NONE);
	ck_assert(has_problem(&problems, "cannot be checked"));
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_ABSENT);
	options.force = true;
	open_images();
	ck_image("/t/prog", GC_IMAGE_FORCED, GC_CHECK_NONE);
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
}
END_TEST

/** A word at @offset of the file, changed. */
static const char *write_changed(size_t offset, uint64_t value)
{
	struct gc_buf bytes = GC_BUF_INIT;
	const char *path;

	elf_build(&prog, &bytes);
	gc_store_le64(bytes.data + offset, value);
	path = write_file("changed", bytes.data, bytes.len);
	gc_buf_deinit(&bytes);
	return path;
}

START_TEST(layout_decides_without_build_id)
{
	program_core(DUMP_RELRO | DUMP_DATA);
	options.program = write_changed(24, ELF_ENTRY + 16); /* e_entry */
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "starts at another address"));
	options.program = write_changed(64 + 56 + 32, 0x800); /* p_filesz of the text: still one page */
	open_images();
	options.program = write_changed(64 + 40, 0x1000); /* p_memsz, which is not mapped: no matter */
	open_images();
	prog.interp = NULL; /* one program header less than AT_PHNUM says */
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "program headers"));
}
END_TEST

/* Of all words the dynamic section's are the ones that another build cannot share. */
START_TEST(dynamic_section_decides)
{
	program_core(DUMP_RELRO | DUMP_DATA);
	options.program = write_changed(0x2000 + 16 * 2 + 8, ELF_TEXT + 0x10); /* DT_INIT */
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "words"));
}
END_TEST

START_TEST(few_words_prove_nothing)
{
	uint8_t page[PAGE];

	elf_page(&prog, ELF_DATA, PROG, page);
	builder_load(&b, PROG + ELF_DATA, PAGE, page, 15 * 8, PF_R | PF_W);
	add_stack(true);
	add_rows("/t/prog", PROG);
	add_auxv(PROG);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_MISMATCH, GC_CHECK_NONE);
	ck_assert(has_problem(&problems, "cannot be checked"));
}
END_TEST

START_TEST(rows_must_be_the_segments)
{
	map_image(&prog, PROG, DUMP_RELRO | DUMP_DATA);
	add_stack(true);
	add_rows("/t/prog", PROG);
	rows[1].end += PAGE; /* more text than the file has */
	add_auxv(PROG);
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "segments"));
}
END_TEST

/* patchelf and its like keep the build ID and move the bytes */
START_TEST(same_build_id_but_moved)
{
	program_core(DUMP_USUAL);
	options.program = write_changed(64 + 56 + 8, 0); /* p_offset of the text */
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
	ck_assert_ptr_nonnull(strstr(err.text, "laid out"));
}
END_TEST

/* Memory. */

START_TEST(untouched_data_is_recovered)
{
	program_core(DUMP_HEADER);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_page(&prog, PROG, ELF_DATA, GC_RANGE_RECOVERED);
	ck_assert_int_eq(gc_space_find(&space, PROG + ELF_RELRO)->what, GC_RANGE_RECOVERED);
}
END_TEST

/* A filter without private memory: what was written to is missing too, so nobody knows what it was. */
START_TEST(touched_data_is_not_invented)
{
	map_image(&prog, PROG, DUMP_HEADER);
	add_stack(false);
	add_rows("/t/prog", PROG);
	add_auxv(PROG);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&prog, PROG, ELF_RELRO, GC_RANGE_ABSENT);
	ck_page(&prog, PROG, ELF_DATA, GC_RANGE_ABSENT);
}
END_TEST

START_TEST(cut_data_is_not_invented)
{
	struct gc_buf whole = GC_BUF_INIT;

	program_core(DUMP_USUAL | DUMP_TEXT);
	builder_files(&b, PAGE, rows, nrows);
	nrows = 0;
	builder_finish(&b);
	/* the header page is there, and no more */
	gc_buf_add(&whole, b.out.data, b.segments[1].offset + PAGE);
	ck_assert_msg(core_of_bytes(&core, whole.data, whole.len, &err) == GC_OK, "%s", err.text);
	gc_buf_deinit(&whole);
	ck_assert_int_eq(gc_space_init(&space, &core, &err), GC_OK);
	is_open = true;
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&prog, PROG, ELF_RELRO, GC_RANGE_CUT);
	ck_page(&prog, PROG, ELF_DATA, GC_RANGE_CUT);
}
END_TEST

/* gdb's gcore has no PT_LOAD for pages that nobody changed. */
START_TEST(unlisted_rows)
{
	map_page(&prog, PROG, 0, PF_R, true);
	map_page(&prog, PROG, ELF_RELRO, PF_R, true);
	add_stack(true);
	add_rows("/t/prog", PROG);
	add_auxv(PROG);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_assert_uint_eq(gc_space_find(&space, PROG + ELF_TEXT)->flags, PF_R | PF_X);
	ck_page(&prog, PROG, ELF_DATA, GC_RANGE_RECOVERED);
}
END_TEST

/* Which images there were. */

static void core_with_lib(void)
{
	program_core(DUMP_USUAL);
	map_image(&lib, LIB, DUMP_USUAL);
	add_rows("/usr/lib/liba.so", LIB);
}

START_TEST(found_under_sysroot)
{
	const char *root[] = { in_dir("root") };

	core_with_lib();
	options.sysroots = root;
	options.nsysroots = 1;
	write_elf("root/t/prog", &prog);
	write_elf("root/lib/liba.so", &lib); /* /usr is merged */
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_image("/usr/lib/liba.so", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_assert_str_eq(image_of("/usr/lib/liba.so")->found_by, "sysroot");
	ck_assert_uint_eq(image_of("/usr/lib/liba.so")->bias, LIB);
	ck_assert(!image_of("/usr/lib/liba.so")->is_program);
	ck_page(&lib, LIB, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_assert_uint_eq(images.count, 3); /* with the vDSO, which was not dumped */
	ck_image("[vdso]", GC_IMAGE_MISSING, GC_CHECK_NONE);
}
END_TEST

START_TEST(mapped_twice)
{
	program_core(DUMP_USUAL);
	map_image(&lib, LIB, DUMP_USUAL);
	map_image(&lib, LIB + 0x100000, DUMP_USUAL);
	add_rows("/lib/liba.so", LIB);
	add_rows("/lib/liba.so", LIB + 0x100000);
	options.bin_dirs = dirs;
	options.nbin_dirs = 1;
	write_elf("a", &lib);
	open_images();
	ck_assert_uint_eq(images.count, 4);
	ck_assert_uint_eq(images.list[1].bias, LIB);
	ck_assert_uint_eq(images.list[2].bias, LIB + 0x100000);
	ck_page(&lib, LIB, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&lib, LIB + 0x100000, ELF_TEXT, GC_RANGE_RECOVERED);
}
END_TEST

START_TEST(vdso_is_in_the_core)
{
	struct elf_builder vdso = {
		.machine = EM_X86_64, .type = ET_DYN, .build_id = other_id, .build_id_len = 20,
	};

	program_core(DUMP_USUAL);
	map_image(&vdso, VDSO, DUMP_USUAL | DUMP_TEXT);
	open_images();
	ck_image("[vdso]", GC_IMAGE_IN_CORE, GC_CHECK_NONE);
	ck_assert_mem_eq(image_of("[vdso]")->build_id.bytes, other_id, 20);
	ck_assert_ptr_eq(gc_images_at(&images, VDSO + ELF_TEXT), image_of("[vdso]"));
}
END_TEST

START_TEST(what_is_no_program)
{
	static const uint8_t text[PAGE] = "not an ELF header";
	char fifo[256];

	program_core(DUMP_USUAL);
	snprintf(fifo, sizeof(fifo), "%s", in_dir("fifo"));
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	builder_load(&b, LIB, PAGE, text, PAGE, PF_R);
	builder_load(&b, LIB + 0x10000, PAGE, NULL, 0, PF_R);
	builder_load(&b, LIB + 0x20000, PAGE, NULL, 0, PF_R);
	builder_load(&b, LIB + 0x30000, PAGE, NULL, 0, PF_R | PF_W);
	builder_load(&b, LIB + 0x40000, PAGE, NULL, 0, PF_R);
	add_row(LIB, LIB + PAGE, 0, "/t/data");
	add_row(LIB + 0x10000, LIB + 0x11000, 0, in_dir("archive"));
	add_row(LIB + 0x20000, LIB + 0x21000, 0, fifo);
	add_row(LIB + 0x30000, LIB + 0x31000, 0, "/dev/zero (deleted)");
	add_row(LIB + 0x40000, LIB + 0x41000, 0, "anon_inode:[perf_event]");
	write_file("archive", "locales", 7);
	open_images();
	ck_image("/t/data", GC_IMAGE_NOT_ELF, GC_CHECK_NONE);
	ck_image(in_dir("archive"), GC_IMAGE_NOT_ELF, GC_CHECK_NONE);
	ck_image(fifo, GC_IMAGE_MISSING, GC_CHECK_NONE);
	ck_image("/dev/zero (deleted)", GC_IMAGE_NOT_ELF, GC_CHECK_NONE);
	ck_image("anon_inode:[perf_event]", GC_IMAGE_NOT_ELF, GC_CHECK_NONE);
	ck_assert_int_eq(gc_space_find(&space, LIB + 0x10000)->what, GC_RANGE_ABSENT);
}
END_TEST

START_TEST(own_path)
{
	char path[256], deleted[300];

	snprintf(path, sizeof(path), "%s", write_elf("liba.so", &lib));
	snprintf(deleted, sizeof(deleted), "%s (deleted)", path);
	program_core(DUMP_USUAL);
	map_image(&lib, LIB, DUMP_USUAL);
	map_image(&lib, LIB + 0x100000, DUMP_USUAL);
	add_rows(path, LIB);
	add_rows(deleted, LIB + 0x100000);
	open_images();
	ck_image(path, GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_assert_str_eq(image_of(path)->found_by, "path");
	ck_image(deleted, GC_IMAGE_MISSING, GC_CHECK_NONE);
	options.no_host_paths = true;
	open_images();
	ck_image(path, GC_IMAGE_MISSING, GC_CHECK_NONE);
	options.no_host_paths = false;
	lib.build_id = other_id;
	write_elf("liba.so", &lib);
	open_images();
	ck_image(path, GC_IMAGE_MISMATCH, GC_CHECK_NONE);
	ck_assert_str_eq(image_of(path)->found_path, path);
	ck_assert_ptr_nonnull(strstr(image_of(path)->refused, "build ID"));
	ck_assert(has_problem(&problems, path));
	ck_page(&lib, LIB, ELF_TEXT, GC_RANGE_ABSENT);
}
END_TEST

START_TEST(bin_dir)
{
	char loop[256];

	core_with_lib();
	options.bin_dirs = dirs;
	options.nbin_dirs = 1;
	write_elf("x/y/z/some program", &prog);
	write_elf("x/some lib", &lib);
	lib.debug_only = true;
	write_elf("a.debug", &lib); /* the same build ID, but no bytes */
	lib.debug_only = false;
	write_file("x/text", "text", 4);
	snprintf(loop, sizeof(loop), "%s/x", dir);
	make_link(loop, "x/y/loop");
	make_link("nowhere", "x/dangling");
	ck_assert_int_eq(mkfifo(in_dir("x/fifo"), 0600), 0);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_image("/usr/lib/liba.so", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_assert_str_eq(image_of("/usr/lib/liba.so")->found_by, "bin-dir");
	ck_assert_ptr_nonnull(strstr(image_of("/usr/lib/liba.so")->found_path, "/x/some lib"));
}
END_TEST

START_TEST(debug_dir)
{
	core_with_lib();
	options.debug_dirs = dirs;
	options.ndebug_dirs = 1;
	write_elf(".build-id/44/5566" "0000000000000000000000000000000000", &lib);
	prog.debug_only = true;
	write_elf(".build-id/11/2233" "0000000000000000000000000000000000" ".debug", &prog);
	open_images();
	ck_image("/usr/lib/liba.so", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
	ck_assert_str_eq(image_of("/usr/lib/liba.so")->found_by, "debug-dir");
	ck_image("/t/prog", GC_IMAGE_MISSING, GC_CHECK_NONE); /* its debug file is no wrong copy */
}
END_TEST

/* Cores without NT_FILE. */

static void link_map(uint64_t at, uint8_t *page, uint64_t offset, uint64_t addr, uint64_t name, uint64_t ld,
		     uint64_t next, uint64_t prev)
{
	gc_store_le64(page + offset, addr);
	gc_store_le64(page + offset + 8, at + name);
	gc_store_le64(page + offset + 16, ld);
	gc_store_le64(page + offset + 24, next ? at + next : 0);
	gc_store_le64(page + offset + 32, prev ? at + prev : 0);
}

/** The heap page with r_debug and link maps of the program and a library, and DT_DEBUG that leads to it. */
static void core_without_rows(unsigned dump)
{
	const uint64_t heap = PROG + 0x10000;
	uint8_t page[PAGE] = { 1 }, relro[PAGE];

	gc_store_le64(page + 8, heap + 0x100);
	link_map(heap, page, 0x100, PROG, 0x300, PROG + ELF_RELRO, 0x200, 0);
	link_map(heap, page, 0x200, LIB, 0x310, LIB + ELF_RELRO, 0, 0x100);
	strcpy((char *)page + 0x310, "/usr/lib/liba.so");
	map_page(&prog, PROG, 0, PF_R, dump & DUMP_HEADER);
	map_page(&prog, PROG, ELF_TEXT, PF_R | PF_X, false);
	elf_page(&prog, ELF_RELRO, PROG, relro);
	gc_store_le64(relro + 16 * 8 + 8, heap); /* DT_DEBUG */
	builder_load(&b, PROG + ELF_RELRO, PAGE, relro, PAGE, PF_R);
	map_page(&prog, PROG, ELF_DATA, PF_R | PF_W, true);
	builder_load(&b, heap, PAGE, page, PAGE, PF_R | PF_W);
	map_image(&lib, LIB, DUMP_RELRO | DUMP_DATA);
	map_image(&lib, LD, DUMP_RELRO | DUMP_DATA);
	add_stack(true);
	add_auxv(PROG);
}

START_TEST(no_file_note)
{
	const char *root[] = { in_dir("root") };

	core_without_rows(0);
	options.sysroots = root;
	options.nsysroots = 1;
	write_elf("root/usr/lib/liba.so", &lib);
	write_elf("root/lib64/ld.so", &lib);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_PAGES);
	ck_image("/lib64/ld.so", GC_IMAGE_FOUND, GC_CHECK_PAGES);
	ck_assert(image_of("/lib64/ld.so")->is_interp);
	ck_image("/usr/lib/liba.so", GC_IMAGE_FOUND, GC_CHECK_PAGES);
	ck_assert_uint_eq(image_of("/usr/lib/liba.so")->bias, LIB);
	ck_page(&prog, PROG, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_page(&lib, LIB, ELF_TEXT, GC_RANGE_RECOVERED);
	ck_assert_uint_eq(images.nrows, 9);
	ck_assert_uint_eq(images.rows[0].start, PROG);
	ck_assert_uint_eq(images.rows[2].start, PROG + ELF_RELRO);
	ck_assert_uint_eq(images.rows[2].end, PROG + 0x5000);
	ck_assert_uint_eq(images.rows[2].offset, 0x2000);
	ck_assert_str_eq(images.rows[0].path, "/t/prog");
	ck_assert_ptr_eq(gc_space_find(&space, LIB + ELF_DATA)->file, &images.rows[5]);
	ck_assert_ptr_eq(gc_space_find(&space, LIB + ELF_DATA)->image, image_of("/usr/lib/liba.so"));
	ck_assert_ptr_null(gc_space_find(&space, STACK)->file);
	prog.seed = 1;
	options.program = write_elf("prog", &prog);
	ck_assert_int_eq(try_images(), GC_E_MISMATCH);
}
END_TEST

START_TEST(no_file_note_but_headers)
{
	core_without_rows(DUMP_HEADER);
	open_images();
	ck_image("/t/prog", GC_IMAGE_MISSING, GC_CHECK_NONE);
	ck_assert_uint_eq(images.list[0].bias, PROG);
	ck_assert_mem_eq(images.list[0].build_id.bytes, prog_id, 20);
	ck_image("/lib64/ld.so", GC_IMAGE_MISSING, GC_CHECK_NONE);
	ck_image("/usr/lib/liba.so", GC_IMAGE_MISSING, GC_CHECK_NONE);
	ck_assert_uint_eq(images.nrows, 3);
	options.bin_dirs = dirs;
	options.nbin_dirs = 1;
	write_elf("other name", &prog);
	open_images();
	ck_image("/t/prog", GC_IMAGE_FOUND, GC_CHECK_BUILD_ID);
}
END_TEST

START_TEST(delve_tells_the_entry_point)
{
	const char header[] = "linux/amd64\nVersion: 1\nBuild: 1\nTarget Pid: 4711\nEntry Point: 0x401010\n";

	prog.type = ET_EXEC;
	prog.base = 0x400000;
	prog.build_id = NULL;
	prog.go_build_id = go_id;
	map_image(&prog, 0, DUMP_USUAL);
	builder_note_named(&b, "Delve Header", 12, BUILDER_DELVE_HEADER, header, sizeof(header) - 1);
	options.program = write_elf("prog", &prog);
	open_images();
	ck_assert_uint_eq(images.count, 1);
	ck_assert_int_eq(images.list[0].status, GC_IMAGE_FOUND);
	ck_assert(images.list[0].has_bias);
	ck_assert_uint_eq(images.list[0].bias, 0);
	ck_page(&prog, 0, ELF_TEXT, GC_RANGE_RECOVERED);
}
END_TEST

/* Paths. */

static void ck_resolves(const char *path, const char *want)
{
	char *have = gc_resolve_in_root(in_dir("root"), path);

	if (want) {
		ck_assert_ptr_nonnull(have);
		ck_assert_str_eq(have, in_dir(want));
	} else {
		ck_assert_ptr_null(have);
	}
	free(have);
}

START_TEST(links_stay_in_the_sysroot)
{
	write_file("outside", "x", 1);
	write_file("root/usr/lib/real.so", "x", 1);
	write_file("root/outside", "x", 1);
	make_link("usr/lib", "root/lib");
	make_link("/usr/lib/real.so", "root/a/b/absolute");
	make_link("../../../../../../outside", "root/usr/up");
	make_link("loop", "root/loop");
	make_link("/lib/real.so", "root/usr/chain");
	ck_resolves("/usr/lib/real.so", "root/usr/lib/real.so");
	ck_resolves("/lib/real.so", "root/usr/lib/real.so");
	ck_resolves("/a/b/absolute", "root/usr/lib/real.so");
	ck_resolves("/usr/up", "root/outside");
	ck_resolves("/usr/chain", "root/usr/lib/real.so");
	ck_resolves("/../../outside", "root/outside");
	ck_resolves("//usr/./lib/../lib//real.so", "root/usr/lib/real.so");
	ck_resolves("/loop", NULL);
	ck_resolves("/none", NULL);
	ck_resolves("/usr/lib/real.so/more", NULL);
}
END_TEST

/* Tens of thousands of mappings. */

static void many(bool one_path)
{
	enum { N = 70000 };
	struct builder_file *list = calloc(N, sizeof(*list));
	char (*paths)[32] = calloc(N, sizeof(*paths));

	ck_assert(list && paths);
	for (unsigned i = 0; i < N; i++) {
		uint64_t start = 0x10000000 + i * 2 * PAGE;

		snprintf(paths[i], sizeof(paths[i]), "/t/none/%u", one_path ? 0 : i);
		list[i] = (struct builder_file){ start, start + PAGE, N - i, paths[i] };
	}
	builder_files(&b, PAGE, list, N);
	open_images();
	ck_assert_uint_eq(images.count, one_path ? 1 : N);
	ck_assert_ptr_eq(gc_images_at(&images, 0x10000000 + 10000 * PAGE), &images.list[one_path ? 0 : 5000]);
	free(list);
	free(paths);
}

START_TEST(many_rows_of_one_path)
{
	many(true);
}
END_TEST

START_TEST(many_paths)
{
	many(false);
	ck_assert(has_problem(&problems, "more than"));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("images");
	TCase *tc = tcase_create("images");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, same_build_id);
	tcase_add_test(tc, other_build_id);
	tcase_add_test(tc, other_machine);
	tcase_add_test(tc, no_program_at_all);
	tcase_add_test(tc, go_build_ids);
	tcase_add_test(tc, pages_decide);
	tcase_add_test(tc, data_decides_when_nothing_else_is_there);
	tcase_add_test(tc, nothing_to_compare);
	tcase_add_test(tc, layout_decides_without_build_id);
	tcase_add_test(tc, dynamic_section_decides);
	tcase_add_test(tc, few_words_prove_nothing);
	tcase_add_test(tc, rows_must_be_the_segments);
	tcase_add_test(tc, same_build_id_but_moved);
	tcase_add_test(tc, untouched_data_is_recovered);
	tcase_add_test(tc, touched_data_is_not_invented);
	tcase_add_test(tc, cut_data_is_not_invented);
	tcase_add_test(tc, unlisted_rows);
	tcase_add_test(tc, found_under_sysroot);
	tcase_add_test(tc, mapped_twice);
	tcase_add_test(tc, vdso_is_in_the_core);
	tcase_add_test(tc, what_is_no_program);
	tcase_add_test(tc, own_path);
	tcase_add_test(tc, bin_dir);
	tcase_add_test(tc, debug_dir);
	tcase_add_test(tc, no_file_note);
	tcase_add_test(tc, no_file_note_but_headers);
	tcase_add_test(tc, delve_tells_the_entry_point);
	tcase_add_test(tc, links_stay_in_the_sysroot);
	tcase_add_test(tc, many_rows_of_one_path);
	tcase_add_test(tc, many_paths);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
