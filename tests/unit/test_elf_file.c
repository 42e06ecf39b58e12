/* ELF programs: identity, addresses, sections, symbols; and files that are none or are damaged. */
#include <check.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "core/elf_identity.h"
#include "gocore/bytes.h"
#include "gocore/elf_file.h"

#include "core_builder.h"
#include "elf_builder.h"

static const uint8_t id_bytes[20] = {
	0xde, 0xad, 0xbe, 0xef, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 0xff,
};
static const char go_id[] = "aaaaaaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbbbbbb/cccccccccccccccccccc/dddddddddddddddddddd";

static struct elf_builder b;
static struct gc_buf bytes;
static struct gc_elf_file file;
static struct gc_error err;

static void setup(void)
{
	b = (struct elf_builder){
		.machine = EM_X86_64, .type = ET_DYN, .build_id = id_bytes, .build_id_len = sizeof(id_bytes),
		.interp = "/lib64/ld-linux-x86-64.so.2",
	};
}

static void teardown(void)
{
	gc_buf_deinit(&bytes);
}

static enum gc_code open_bytes(void)
{
	struct gc_input in;

	input_of_bytes(&in, bytes.data, bytes.len);
	return gc_elf_file_take(&file, &in, &err);
}

static void open_built(void)
{
	elf_build(&b, &bytes);
	ck_assert_msg(open_bytes() == GC_OK, "%s", err.text);
}

START_TEST(identity)
{
	char hex[2 * GC_BUILD_ID_MAX + 1];
	uint64_t low, high;

	open_built();
	ck_assert_uint_eq(file.phdrs.type, ET_DYN);
	ck_assert_uint_eq(file.phdrs.machine, EM_X86_64);
	ck_assert_uint_eq(file.phdrs.entry, ELF_ENTRY);
	ck_assert_uint_eq(file.phdrs.count, 7);
	ck_assert_uint_eq(file.phdrs.list[1].p_vaddr, 0x1000);
	ck_assert_uint_eq(file.phdrs.list[1].p_flags, PF_R | PF_X);
	ck_assert_uint_eq(file.osabi, ELFOSABI_NONE);
	gc_build_id_hex(&file.build_id, hex);
	ck_assert_str_eq(hex, "deadbeef05060708090a0b0c0d0e0f10111213ff");
	ck_assert_ptr_null(file.go_build_id);
	ck_assert(gc_phdrs_span(&file.phdrs, 0x1000, &low, &high));
	ck_assert_uint_eq(low, 0);
	ck_assert_uint_eq(high, 0x6000);
	ck_assert(gc_phdrs_span(&file.phdrs, 0x4000, &low, &high));
	ck_assert_uint_eq(high, 0x8000);
	gc_elf_file_close(&file);
}
END_TEST

START_TEST(go_build_id)
{
	b.go_build_id = go_id;
	b.gnu_behind_go = true;
	open_built();
	ck_assert_str_eq(file.go_build_id, go_id);
	ck_assert_uint_eq(file.build_id.len, 20);
	ck_assert_mem_eq(file.build_id.bytes, id_bytes, 20);
	gc_elf_file_close(&file);

	b.build_id = NULL;
	b.go_in_text = true;
	open_built();
	ck_assert_str_eq(file.go_build_id, go_id);
	ck_assert_uint_eq(file.build_id.len, 0);
	gc_elf_file_close(&file);

	b.go_build_id = "has a space";
	open_built();
	ck_assert_ptr_null(file.go_build_id);
	gc_elf_file_close(&file);
}
END_TEST

START_TEST(notes_of_either_alignment)
{
	/* .note.gnu.property aligned to 8, then a build ID of 4 bytes */
	static const uint8_t aligned_8[] = {
		4, 0, 0, 0, 12, 0, 0, 0, 5, 0, 0, 0, 'G', 'N', 'U', 0,
		1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0,
		4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0, 'G', 'N', 'U', 0, 0xca, 0xfe, 0xba, 0xbe,
	};
	struct gc_build_id id;

	ck_assert(gc_build_id_of_notes(aligned_8, sizeof(aligned_8), 8, &id));
	ck_assert_uint_eq(id.len, 4);
	ck_assert_uint_eq(id.bytes[0], 0xca);
	ck_assert(!gc_build_id_of_notes(aligned_8, sizeof(aligned_8), 4, &id));
	for (size_t len = 0; len < sizeof(aligned_8); len++)
		ck_assert(!gc_build_id_of_notes(aligned_8, len, 8, &id));
}
END_TEST

START_TEST(addresses)
{
	const uint8_t *at;
	uint64_t len, value;

	b.base = 0x400000;
	b.type = ET_EXEC;
	open_built();
	ck_assert(gc_elf_at(&file, 0x404008, &at, &len));
	ck_assert_ptr_eq(at, file.input.bytes + 0x3008);
	ck_assert_uint_eq(len, 0xff8);
	ck_assert(!gc_elf_at(&file, 0x405000, &at, &len)); /* bss */
	ck_assert(!gc_elf_at(&file, 0x3ff000, &at, &len));
	ck_assert(gc_elf_dynamic(&file, DT_NEEDED, 0, &value));
	ck_assert_uint_eq(value, 1);
	ck_assert(gc_elf_dynamic(&file, DT_NEEDED, 1, &value));
	ck_assert_uint_eq(value, 11);
	ck_assert(!gc_elf_dynamic(&file, DT_NEEDED, 2, &value));
	ck_assert(gc_elf_dynamic(&file, DT_STRTAB, 0, &value));
	ck_assert_uint_eq(value, 0x400900);
	ck_assert(!gc_elf_dynamic(&file, DT_TEXTREL, 0, &value));
	gc_elf_file_close(&file);
}
END_TEST

START_TEST(sections)
{
	const uint8_t *at;
	uint64_t len, addr;

	open_built();
	ck_assert(gc_elf_section(&file, ".text", &at, &len, &addr));
	ck_assert_ptr_eq(at, file.input.bytes + 0x1000);
	ck_assert_uint_eq(len, 0x1000);
	ck_assert_uint_eq(addr, 0x1000);
	ck_assert(!gc_elf_section(&file, ".bss", &at, &len, &addr));
	ck_assert(!gc_elf_section(&file, ".tex", &at, &len, &addr));
	ck_assert(gc_elf_has_content(&file));
	gc_elf_file_close(&file);
	b.debug_only = true;
	open_built();
	ck_assert(!gc_elf_has_content(&file));
	gc_elf_file_close(&file);
	elf_build(&b, &bytes);
	gc_store_le64(bytes.data + 40, 0); /* without section headers all is content */
	gc_store_le16(bytes.data + 60, 0);
	ck_assert_int_eq(open_bytes(), GC_OK);
	ck_assert(gc_elf_has_content(&file));
	ck_assert(!gc_elf_section(&file, ".text", &at, &len, &addr));
	ck_assert_int_eq(gc_elf_symbols(&file, true, NULL, NULL, &err), GC_E_NOT_FOUND);
	gc_elf_file_close(&file);
}
END_TEST

struct seen {
	struct gc_symbol list[8];
	size_t count, stop_after;
};

static bool see(void *data, const struct gc_symbol *sym)
{
	struct seen *s = data;

	s->list[s->count++] = *sym;
	return s->count != s->stop_after;
}

START_TEST(symbols)
{
	struct seen dyn = { .count = 0 }, all = { .count = 0 }, one = { .stop_after = 1 };
	struct gc_symbol sym;

	open_built();
	ck_assert_int_eq(gc_elf_symbols(&file, true, see, &dyn, &err), GC_OK);
	ck_assert_uint_eq(dyn.count, 2);
	ck_assert_str_eq(dyn.list[0].name, "puts");
	ck_assert_str_eq(dyn.list[0].version, "GLIBC_2.34");
	ck_assert_uint_eq(dyn.list[0].section, SHN_UNDEF);
	ck_assert_str_eq(dyn.list[1].name, "exported");
	ck_assert_ptr_null(dyn.list[1].version);
	ck_assert_int_eq(gc_elf_symbols(&file, false, see, &all, &err), GC_OK);
	ck_assert_uint_eq(all.count, 2);
	ck_assert_str_eq(all.list[0].name, "main");
	ck_assert_uint_eq(all.list[0].value, 0x1080);
	ck_assert_uint_eq(all.list[0].size, 64);
	ck_assert_uint_eq(all.list[0].info, STB_GLOBAL << 4 | STT_FUNC);
	ck_assert_str_eq(all.list[1].name, "counter");
	ck_assert_ptr_null(all.list[0].version);
	ck_assert_int_eq(gc_elf_symbols(&file, false, see, &one, &err), GC_OK);
	ck_assert_uint_eq(one.count, 1);
	ck_assert(gc_elf_symbol_named(&file, "counter", &sym));
	ck_assert_uint_eq(sym.value, 0x4008);
	ck_assert(gc_elf_symbol_named(&file, "exported", &sym));
	ck_assert(!gc_elf_symbol_named(&file, "puts", &sym)); /* not defined here */
	gc_elf_file_close(&file);
}
END_TEST

static void ck_refused(const void *content, size_t len, enum gc_code code, const char *text)
{
	gc_buf_clear(&bytes);
	gc_buf_add(&bytes, content, len);
	ck_assert_int_eq(open_bytes(), code);
	ck_assert_str_eq(err.text, text);
}

START_TEST(not_a_program)
{
	uint8_t ehdr[64] = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 };

	ck_refused("hello, world\n", 13, GC_E_FORMAT, "is a text file, not an ELF program");
	ck_refused("#!/bin/sh\n", 10, GC_E_FORMAT, "is a script, not an ELF program");
	ck_refused("!<arch>\nfoo.o/", 14, GC_E_FORMAT, "is a static library (ar archive), not a program");
	ck_refused("\x89PNG\r\n\x1a\n", 8, GC_E_FORMAT, "is not an ELF file");
	ck_refused(ehdr, 40, GC_E_TRUNCATED, "ends before its ELF header does");
	gc_store_le16(ehdr + 16, ET_CORE);
	ck_refused(ehdr, 64, GC_E_FORMAT, "is a core file, not a program");
	gc_store_le16(ehdr + 16, ET_REL);
	ck_refused(ehdr, 64, GC_E_FORMAT, "is an object file that was not linked yet, not a program");
	gc_store_le16(ehdr + 16, ET_EXEC);
	ehdr[EI_CLASS] = ELFCLASS32;
	gc_store_le16(ehdr + 18, EM_ARM);
	ck_refused(ehdr, 64, GC_E_UNSUPPORTED, "is a 32-bit ARM program");
	ehdr[EI_CLASS] = ELFCLASS64;
	ehdr[EI_DATA] = ELFDATA2MSB;
	ehdr[18] = 0;
	ehdr[19] = EM_S390;
	ck_refused(ehdr, 64, GC_E_UNSUPPORTED, "is a 64-bit big-endian S/390 program");
}
END_TEST

START_TEST(other_machines_are_described)
{
	char buf[48];

	b.machine = EM_RISCV;
	open_built();
	ck_assert_uint_eq(file.phdrs.machine, EM_RISCV);
	ck_assert_str_eq(gc_machine_phrase(EM_RISCV, buf), "a RISC-V");
	ck_assert_str_eq(gc_machine_phrase(EM_X86_64, buf), "an x86-64");
	gc_elf_file_close(&file);
}
END_TEST

START_TEST(damaged_headers)
{
	elf_build(&b, &bytes);
	gc_store_le64(bytes.data + 64 + 32, 0xc01); /* p_filesz over p_memsz */
	ck_assert_int_eq(open_bytes(), GC_E_FORMAT);
	elf_build(&b, &bytes);
	gc_store_le64(bytes.data + 64 + 40, UINT64_MAX); /* runs over the top of memory */
	gc_store_le64(bytes.data + 64 + 16, 0x1000);
	ck_assert_int_eq(open_bytes(), GC_E_FORMAT);
	elf_build(&b, &bytes);
	gc_store_le16(bytes.data + 56, 0xffff);
	ck_assert_int_eq(open_bytes(), GC_E_LIMIT);
	elf_build(&b, &bytes);
	gc_store_le64(bytes.data + 32, UINT64_MAX - 8);
	ck_assert_int_eq(open_bytes(), GC_E_TRUNCATED);
	elf_build(&b, &bytes);
	gc_store_le16(bytes.data + 54, 32);
	ck_assert_int_eq(open_bytes(), GC_E_FORMAT);
}
END_TEST

/** Use all of an opened file; nothing is known of the results. */
static void use_all(void)
{
	struct gc_symbol sym;
	const uint8_t *at;
	uint64_t len, addr;

	gc_elf_section(&file, ".text", &at, &len, &addr);
	gc_elf_symbol_named(&file, "no such name", &sym);
	gc_elf_has_content(&file);
	gc_elf_dynamic(&file, DT_TEXTREL, 0, &addr);
	gc_elf_at(&file, 0x4008, &at, &len);
	gc_elf_file_close(&file);
}

START_TEST(cut_anywhere)
{
	struct gc_buf whole = GC_BUF_INIT;

	elf_build(&b, &whole);
	for (size_t len = 1; len < whole.len; len += len < 0x420 ? 1 : 97) {
		gc_buf_clear(&bytes);
		gc_buf_add(&bytes, whole.data, len);
		if (open_bytes() == GC_OK)
			use_all();
		else
			ck_assert_uint_lt(len, 64 + 7 * 56);
	}
	gc_buf_deinit(&whole);
}
END_TEST

START_TEST(damaged_anywhere)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint32_t random = 1;

	for (int i = 0; i < 4000; i++) {
		elf_build(&b, &bytes);
		for (int n = 0; n < 3; n++) {
			size_t at;

			random = random * 1103515245 + 12345;
			at = (random >> 8) % 0x720;
			/* headers, then dynamic symbols and versions, then section headers */
			at = at < 0x200 ? at : at < 0x460 ? at + 0x600 : 0x4800 + at - 0x460;
			bytes.data[at] = (char)values[(random >> 4) % sizeof(values)];
		}
		if (open_bytes() == GC_OK)
			use_all();
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("elf_file");
	TCase *tc = tcase_create("elf_file");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, identity);
	tcase_add_test(tc, go_build_id);
	tcase_add_test(tc, notes_of_either_alignment);
	tcase_add_test(tc, addresses);
	tcase_add_test(tc, sections);
	tcase_add_test(tc, symbols);
	tcase_add_test(tc, not_a_program);
	tcase_add_test(tc, other_machines_are_described);
	tcase_add_test(tc, damaged_headers);
	tcase_add_test(tc, cut_anywhere);
	tcase_add_test(tc, damaged_anywhere);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
