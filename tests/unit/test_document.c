/* The documents info and maps: values in JSON, and what the text makes of them. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "document/text.h"
#include "gocore/bytes.h"
#include "gocore/document.h"

#include "core_builder.h"

#define PAGE 0x1000ULL
#define CODE 0x400000ULL
#define HEAP 0x600000ULL

static struct core_builder b;
static struct gc_process process;
static bool opened;
static json_t *doc;
static struct gc_buf text;
static struct gc_error err;
static uint8_t page[PAGE];

static void setup(void)
{
	memset(page, 0, sizeof(page));
	opened = false;
	doc = NULL;
	text = (struct gc_buf)GC_BUF_INIT;
}

static void teardown(void)
{
	json_decref(doc);
	gc_buf_deinit(&text);
	if (opened)
		gc_process_close(&process);
	builder_deinit(&b);
}

/** Open the first @size bytes of the core, 0: all, with no file of this host. */
static void open_process(size_t size)
{
	struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_input in;

	builder_finish(&b);
	input_of_bytes(&in, b.out.data, size ? size : b.out.len);
	ck_assert_msg(gc_process_open(&process, &in, &options, &err) == GC_OK, "%s", err.text);
	opened = true;
}

/** x86_64: two threads, the first at an instruction; pr_reg as struct user_regs_struct has it. */
static void make_x86_core(void)
{
	static const uint8_t mov[] = { 0x48, 0x89, 0x07 }; /* mov %rax,(%rdi) */
	uint8_t regs[27 * 8] = { 0 };

	builder_init(&b, EM_X86_64);
	gc_store_le64(regs + 16 * 8, CODE + 0x10);  /* rip */
	gc_store_le64(regs + 19 * 8, 0x7ffc00001230); /* rsp */
	builder_prstatus(&b, 4712, 11, regs, sizeof(regs));
	builder_prpsinfo(&b, 4711, "serv\x1b[31m\xffr", "./server \xe2\x82\xac --x\n ");
	builder_siginfo(&b, 11, 1, 0xdead0010);
	gc_store_le64(regs + 16 * 8, 0x123);
	builder_prstatus(&b, 4711, 11, regs, sizeof(regs));
	memcpy(page + 0x10, mov, sizeof(mov));
	builder_load(&b, CODE, PAGE, page, PAGE, PF_R | PF_X);
	builder_load(&b, HEAP, 2 * PAGE, page, PAGE, PF_R | PF_W);
	builder_load(&b, HEAP + 2 * PAGE, PAGE, NULL, 0, 0);
}

static const char *str(const json_t *object, const char *key)
{
	const char *value = gc_json_str(object, key);

	ck_assert_msg(value != NULL, "no %s", key);
	return value;
}

static void ck_int(const json_t *object, const char *key, long long want)
{
	ck_assert_msg(json_is_integer(json_object_get(object, key)), "no %s", key);
	ck_assert_int_eq(json_integer_value(json_object_get(object, key)), want);
}

static void ck_absent(const json_t *object, const char *key)
{
	ck_assert_msg(!json_object_get(object, key), "%s is there", key);
}

static json_t *at(const char *key, size_t index)
{
	return json_array_get(json_object_get(doc, key), index);
}

static bool has(const char *part)
{
	return strstr(gc_buf_text(&text), part) != NULL;
}

static void ck_has(const char *part)
{
	ck_assert_msg(has(part), "\"%s\" is not in:\n%s", part, gc_buf_text(&text));
}

/** No control characters but newlines. */
static void ck_harmless(void)
{
	for (size_t i = 0; i < text.len; i++)
		ck_assert(text.data[i] == '\n' || (unsigned char)text.data[i] >= ' ');
}

static void make_info(void)
{
	doc = gc_info_core(&process);
	ck_assert_ptr_nonnull(doc);
	gc_info_text(doc, &text);
	ck_assert(!text.failed);
}

START_TEST(core_identity)
{
	make_x86_core();
	open_process(0);
	make_info();
	ck_assert_str_eq(json_object_iter_key(json_object_iter(doc)), "schema");
	ck_assert_str_eq(str(doc, "schema"), "gocore-stub/info/1");
	ck_assert_str_eq(str(doc, "kind"), "core");
	ck_assert_str_eq(str(doc, "arch"), "x86_64");
	ck_assert_str_eq(str(doc, "made_by"), "kernel");
	ck_int(doc, "pid", 4711);
	ck_int(json_object_get(doc, "file"), "size", (long long)b.out.len);
	ck_assert(json_is_false(json_object_get(json_object_get(doc, "file"), "cut")));
	ck_absent(json_object_get(doc, "file"), "expected_size");
	ck_assert(json_is_array(json_object_get(doc, "problems")));
	ck_has("pid 4711");
	ck_has("Linux x86_64, SIGSEGV, thread 4712");
}
END_TEST

START_TEST(strings_of_strangers)
{
	make_x86_core();
	open_process(0);
	make_info();
	/* in JSON the control character stays, and what is no UTF-8 is replaced */
	ck_assert_str_eq(str(doc, "name"), "serv\x1b[31m\xef\xbf\xbdr");
	ck_assert_str_eq(str(doc, "command_line"), "./server \xe2\x82\xac --x\n");
	ck_harmless();
	ck_has("serv\\x1b[31m\xef\xbf\xbdr");
	ck_has("./server \xe2\x82\xac --x\\n\n");
}
END_TEST

START_TEST(signal_with_address)
{
	const json_t *signal;

	make_x86_core();
	open_process(0);
	make_info();
	signal = json_object_get(doc, "signal");
	ck_int(signal, "number", 11);
	ck_assert_str_eq(str(signal, "name"), "SIGSEGV");
	ck_int(signal, "code", 1);
	ck_assert_str_eq(str(signal, "code_name"), "SEGV_MAPERR");
	ck_assert_str_eq(str(signal, "address"), "0xdead0010");
	ck_absent(signal, "sender_pid");
	ck_absent(signal, "sender_uid");
	ck_has("address 0xdead0010");
}
END_TEST

START_TEST(signal_with_sender)
{
	uint8_t siginfo[128] = { 0 };
	const json_t *signal;

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 9, 6, NULL, 0);
	gc_store_le32(siginfo, 6);
	gc_store_le32(siginfo + 8, (uint32_t)-6); /* SI_TKILL */
	gc_store_le32(siginfo + 16, 77);
	gc_store_le32(siginfo + 20, 1000);
	builder_note(&b, "CORE", 0x53494749, siginfo, sizeof(siginfo));
	open_process(0);
	make_info();
	signal = json_object_get(doc, "signal");
	ck_int(signal, "code", -6);
	ck_assert_str_eq(str(signal, "code_name"), "SI_TKILL");
	ck_int(signal, "sender_pid", 77);
	ck_int(signal, "sender_uid", 1000);
	ck_absent(signal, "address");
	ck_has("sent by pid 77, uid 1000");
}
END_TEST

START_TEST(unknown_is_left_out)
{
	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 9, 0, NULL, 0);
	open_process(0);
	make_info();
	ck_absent(doc, "signal");
	ck_absent(doc, "name");
	ck_absent(doc, "command_line");
	ck_absent(doc, "executable");
	ck_absent(doc, "program");
	ck_absent(doc, "go");
	ck_absent(doc, "program_info");
	ck_absent(at("threads", 0), "signal");
	ck_absent(at("threads", 0), "name");
	ck_assert(json_is_false(json_object_get(at("threads", 0), "crashed")));
	ck_has("no signal");
}
END_TEST

START_TEST(threads)
{
	const json_t *frame, *insn;

	make_x86_core();
	open_process(0);
	make_info();
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "threads")), 2);
	ck_int(at("threads", 0), "tid", 4712);
	ck_assert(json_is_true(json_object_get(at("threads", 0), "crashed")));
	ck_absent(at("threads", 0), "name"); /* the name is that of the leader */
	ck_assert_str_eq(str(json_object_get(at("threads", 0), "signal"), "name"), "SIGSEGV");
	frame = json_array_get(json_object_get(at("threads", 0), "frames"), 0);
	ck_assert_str_eq(str(frame, "pc"), "0x400010");
	ck_assert_str_eq(str(frame, "sp"), "0x7ffc00001230");
	ck_assert_str_eq(str(frame, "how"), "registers");
	insn = json_array_get(json_object_get(at("threads", 0), "disassembly"), 0);
	ck_assert_str_eq(str(insn, "address"), "0x400010");
	ck_assert_str_eq(str(insn, "bytes"), "488907");
	ck_assert_str_eq(str(insn, "text"), "mov qword ptr [rdi], rax");
	ck_int(at("threads", 1), "tid", 4711);
	ck_assert_str_eq(str(at("threads", 1), "name"), str(doc, "name"));
	ck_assert(json_is_false(json_object_get(at("threads", 1), "crashed")));
	ck_absent(at("threads", 1), "signal"); /* although its note has the number */
	ck_absent(at("threads", 1), "disassembly");
	ck_has("=> 0x400010: mov qword ptr [rdi], rax");
}
END_TEST

START_TEST(instruction_of_aarch64)
{
	uint8_t regs[34 * 8] = { 0 };
	const json_t *insn;

	builder_init(&b, EM_AARCH64);
	gc_store_le64(regs + 32 * 8, CODE + PAGE - 4); /* pc: the last word that is there */
	builder_prstatus(&b, 9, 11, regs, sizeof(regs));
	gc_store_le32(page + PAGE - 4, 0xb9000001);
	builder_load(&b, CODE, 2 * PAGE, page, PAGE, PF_R | PF_X);
	open_process(0);
	make_info();
	insn = json_array_get(json_object_get(at("threads", 0), "disassembly"), 0);
	ck_assert_str_eq(str(insn, "bytes"), "010000b9");
	ck_assert_str_eq(str(insn, "text"), "str w1, [x0]");
}
END_TEST

START_TEST(notes)
{
	make_x86_core();
	builder_note(&b, "VENDOR\x01", 0x99, "abc", 3);
	open_process(0);
	make_info();
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "notes")), 5);
	ck_assert_str_eq(str(at("notes", 0), "owner"), "CORE");
	ck_assert_str_eq(str(at("notes", 0), "name"), "NT_PRSTATUS");
	ck_int(at("notes", 0), "size", 336);
	ck_int(at("notes", 0), "tid", 4712);
	ck_assert_str_eq(str(at("notes", 1), "name"), "NT_PRPSINFO");
	ck_absent(at("notes", 1), "tid"); /* of the process, although it lies among the thread's */
	ck_assert_str_eq(str(at("notes", 2), "name"), "NT_SIGINFO");
	ck_int(at("notes", 2), "type", 0x53494749);
	ck_int(at("notes", 3), "tid", 4711);
	ck_assert_str_eq(str(at("notes", 4), "owner"), "VENDOR\x01");
	ck_absent(at("notes", 4), "name");
	ck_has("VENDOR\\x01");
	ck_has("0x99");
	ck_has("\xc3\x97 2"); /* two NT_PRSTATUS in one line */
}
END_TEST

START_TEST(memory_by_class)
{
	const json_t *memory;

	make_x86_core();
	open_process(0);
	make_info();
	memory = json_object_get(doc, "memory");
	ck_int(memory, "ranges", 4);
	ck_int(memory, "size", 4 * PAGE);
	ck_int(memory, "dumped", 2 * PAGE);
	ck_int(memory, "recovered", 0);
	ck_int(memory, "missing", 2 * PAGE);
	ck_int(memory, "inaccessible", PAGE);
	ck_int(memory, "truncated", 0);
	ck_has("4 ranges, 16.0 KiB: 8.0 KiB dumped, 8.0 KiB missing (4.0 KiB of it inaccessible to the process, too)");
}
END_TEST

START_TEST(cut_off)
{
	make_x86_core();
	builder_finish(&b);
	open_process(b.out.len - 100);
	make_info();
	ck_assert(json_is_true(json_object_get(json_object_get(doc, "file"), "cut")));
	ck_int(json_object_get(doc, "file"), "expected_size", (long long)b.out.len);
	ck_int(json_object_get(doc, "memory"), "truncated", 100);
	ck_assert_uint_gt(json_array_size(json_object_get(doc, "problems")), 0);
	ck_has("cut off");
	ck_has("100 bytes truncated");
	ck_has("\nProblems\n");
}
END_TEST

START_TEST(images)
{
	const struct builder_file files[] = { { CODE, CODE + PAGE, 3, "/opt/no\x1bsuch/program" } };

	make_x86_core();
	builder_files(&b, PAGE, files, 1);
	open_process(0);
	make_info();
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "images")), 1);
	ck_assert_str_eq(str(at("images", 0), "path"), files[0].path);
	ck_assert_str_eq(str(at("images", 0), "base"), "0x400000");
	ck_absent(at("images", 0), "found_path");
	ck_absent(at("images", 0), "build_id");
	ck_has("/opt/no\\x1bsuch/program");
	ck_harmless();
}
END_TEST

START_TEST(part_of_info)
{
	json_t *part = json_object();

	make_x86_core();
	open_process(0);
	make_info();
	gc_buf_clear(&text);
	json_object_set(part, "notes", json_object_get(doc, "notes"));
	gc_info_text(part, &text);
	ck_assert_int_eq(strncmp(text.data, "Notes\n", 6), 0);
	ck_has("NT_SIGINFO");
	ck_assert(!has("Threads"));
	json_decref(part);
}
END_TEST

/* ---- maps ---- */

static void make_maps(const uint64_t *addrs, size_t naddrs)
{
	doc = gc_maps(&process, addrs, naddrs);
	ck_assert_ptr_nonnull(doc);
	gc_maps_text(doc, &text);
	ck_assert(!text.failed);
}

START_TEST(ranges)
{
	const struct builder_file files[] = { { CODE, CODE + PAGE, 3, "/opt/program" } };

	make_x86_core();
	builder_files(&b, PAGE, files, 1);
	open_process(0);
	make_maps(NULL, 0);
	ck_assert_str_eq(str(doc, "schema"), "gocore-stub/maps/1");
	ck_absent(doc, "addresses");
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "ranges")), 4);
	ck_assert_str_eq(str(at("ranges", 0), "start"), "0x400000");
	ck_assert_str_eq(str(at("ranges", 0), "end"), "0x401000");
	ck_int(at("ranges", 0), "size", PAGE);
	ck_assert_str_eq(str(at("ranges", 0), "perms"), "r-x");
	ck_assert_str_eq(str(at("ranges", 0), "class"), "dumped");
	ck_assert_str_eq(str(at("ranges", 0), "path"), "/opt/program");
	ck_assert_str_eq(str(at("ranges", 0), "offset"), "0x3000");
	ck_absent(at("ranges", 1), "path");
	ck_absent(at("ranges", 1), "offset");
	ck_assert_str_eq(str(at("ranges", 2), "class"), "missing");
	ck_assert_str_eq(str(at("ranges", 3), "perms"), "---");
	ck_has("000000400000-000000401000  r-x  00003000  4.0 KiB  dumped   /opt/program\n");
	ck_has("000000600000-000000601000  rw-            4.0 KiB  dumped\n");
	ck_has("4 ranges, 16.0 KiB: 8.0 KiB dumped, 8.0 KiB missing\n");
}
END_TEST

START_TEST(truncated_range)
{
	make_x86_core();
	builder_finish(&b);
	open_process(b.out.len - 16);
	make_maps(NULL, 0);
	ck_assert_str_eq(str(at("ranges", 2), "class"), "truncated");
	ck_int(at("ranges", 2), "size", 16);
}
END_TEST

START_TEST(address_between)
{
	const uint64_t addrs[] = { CODE + PAGE + 16, CODE + PAGE, HEAP - 1, 0, UINT64_MAX };
	const json_t *found;

	make_x86_core();
	open_process(0);
	make_maps(addrs, GC_COUNT(addrs));
	found = at("addresses", 0);
	ck_assert_str_eq(str(found, "address"), "0x401010");
	ck_assert(json_is_false(json_object_get(found, "mapped")));
	ck_absent(found, "range");
	ck_int(json_object_get(found, "before"), "distance", 16);
	ck_assert_str_eq(str(json_object_get(found, "before"), "start"), "0x400000");
	ck_int(json_object_get(found, "after"), "distance", (long long)(HEAP - CODE - PAGE - 16));
	ck_assert_str_eq(str(found, "text"), "0x401010 is in no mapping: an anonymous mapping ends 16 bytes before it, "
					     "an anonymous mapping starts 2.0 MiB after it");
	ck_int(json_object_get(at("addresses", 1), "before"), "distance", 0);
	ck_has("0x401000 is in no mapping: an anonymous mapping ends right before it");
	ck_int(json_object_get(at("addresses", 2), "after"), "distance", 1);
	ck_has("starts 1 byte after it");
	ck_absent(at("addresses", 3), "before");
	ck_absent(at("addresses", 4), "after");
	ck_has("0x0 is in no mapping: an anonymous mapping starts 4.0 MiB after it");
	ck_assert(!has("ranges,")); /* the answers, without the whole map */
}
END_TEST

START_TEST(address_within)
{
	const uint64_t addrs[] = { HEAP + PAGE + 5, HEAP + 2 * PAGE + 7, CODE };
	const struct builder_file files[] = { { CODE, CODE + PAGE, 0, "/opt/program" } };
	const json_t *found;

	make_x86_core();
	builder_files(&b, PAGE, files, 1);
	open_process(0);
	make_maps(addrs, GC_COUNT(addrs));
	found = at("addresses", 0);
	ck_assert(json_is_true(json_object_get(found, "mapped")));
	ck_assert_str_eq(str(found, "class"), "missing");
	ck_assert_str_eq(str(json_object_get(found, "range"), "start"), "0x601000");
	ck_absent(found, "before");
	/* behind the end of the buffer, in its guard page */
	found = at("addresses", 1);
	ck_int(json_object_get(found, "before"), "distance", 7);
	ck_absent(found, "after");
	ck_has("0x602007 is in an inaccessible mapping (---, missing); an anonymous mapping ends 7 bytes before it");
	ck_has("0x400000 is in /opt/program (r-x, dumped)");
}
END_TEST

START_TEST(address_with_tag)
{
	const uint64_t addrs[] = { 0x0300000000600010 };

	builder_init(&b, EM_AARCH64);
	builder_prstatus(&b, 9, 11, NULL, 0);
	builder_load(&b, HEAP, PAGE, page, PAGE, PF_R | PF_W);
	open_process(0);
	make_maps(addrs, 1);
	ck_assert_str_eq(str(at("addresses", 0), "without_tag"), "0x600010");
	ck_assert(json_is_true(json_object_get(at("addresses", 0), "mapped")));
	ck_has("0x300000000600010 without its tag: 0x600010 is in");
}
END_TEST

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

START_TEST(many_ranges)
{
	enum { N = 70000 };
	struct gc_range *made = calloc(N, sizeof(*made));
	struct gc_process p = { .exe = NULL };
	double start = now();

	builder_init(&b, EM_X86_64);
	p.core.arch = p.space.arch = gc_arch_by_machine(EM_X86_64);
	p.space.ranges = made;
	p.space.count = N;
	for (size_t i = 0; i < N; i++)
		made[i] = (struct gc_range){
			.start = i * 2 * PAGE, .end = i * 2 * PAGE + PAGE, .what = GC_RANGE_ABSENT, .flags = i % 8,
		};
	doc = gc_maps(&p, NULL, 0);
	ck_assert_uint_eq(json_array_size(json_object_get(doc, "ranges")), N);
	gc_maps_text(doc, &text);
	ck_has("70000 ranges, 273.4 MiB: 273.4 MiB missing\n");
	ck_assert(now() - start < 10); /* some 0.3 s; minutes if anything were quadratic */
	free(made);
}
END_TEST

/* ---- programs ---- */

/* Its name and address are known to .symtab and .init_array of this program. */
static int constructed;

__attribute__((constructor)) static void runs_before_main(void)
{
	constructed++;
}

static bool any(const char *key, const char *name, const char *value)
{
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(doc, key), i, item) {
		const char *found = gc_json_str(item, name);

		if (found && strcmp(found, value) == 0)
			return true;
	}
	return false;
}

START_TEST(this_program)
{
	const struct gc_arch *arch;
	struct gc_elf_file file;
	const json_t *elf;

	builder_init(&b, EM_X86_64);
	ck_assert_int_eq(gc_elf_file_open(&file, "/proc/self/exe", &err), GC_OK);
	arch = gc_arch_by_machine(file.phdrs.machine);
	doc = gc_info_program(&file, NULL);
	gc_elf_file_close(&file); /* the document stands by itself */
	ck_assert_ptr_nonnull(doc);
	gc_info_text(doc, &text);
	ck_assert_int_eq(constructed, 1);
	ck_assert_str_eq(str(doc, "kind"), "program");
	ck_assert_str_eq(str(doc, "program"), "/proc/self/exe");
	if (arch)
		ck_assert_str_eq(str(doc, "arch"), arch->name);
	ck_absent(doc, "core");
	elf = json_object_get(doc, "elf");
	ck_assert_str_eq(str(elf, "class"), "ELF64");
	ck_assert_str_eq(str(elf, "linkage"), "dynamic");
	ck_assert_str_eq(str(elf, "entry_symbol"), "_start");
	ck_assert(any("needed", "name", "libc.so.6"));
	ck_assert(any("undefined", "name", "strlen") || any("undefined", "name", "malloc"));
	ck_assert(any("startup", "name", "runs_before_main"));
	ck_assert(any("sections", "name", ".symtab"));
	ck_assert(strncmp(str(doc, "interpreter"), "/lib", 4) == 0);
	ck_absent(doc, "go");
	ck_has("runs_before_main");
	ck_has("names of all functions and variables (.symtab)");
}
END_TEST

/* ---- text ---- */

START_TEST(sizes)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 bytes" }, { 1, "1 byte" }, { 1023, "1023 bytes" }, { 1024, "1.0 KiB" },
		{ (1 << 20) - 1, "1.0 MiB" }, { 4404019, "4.2 MiB" }, { 3ULL << 40, "3.0 TiB" }, { UINT64_MAX, "16.0 EiB" },
	};

	builder_init(&b, EM_X86_64);
	for (size_t i = 0; i < GC_COUNT(rows); i++) {
		gc_buf_clear(&text);
		gc_text_size(&text, rows[i].bytes);
		ck_assert_str_eq(gc_buf_text(&text), rows[i].text);
	}
}
END_TEST

START_TEST(escapes)
{
	static const struct {
		const char *raw, *shown;
	} rows[] = {
		{ "", "" }, { "plain \xc3\xa4 \xe4\xb8\xad \xf0\x9f\x98\x80", "plain \xc3\xa4 \xe4\xb8\xad \xf0\x9f\x98\x80" },
		{ "\x1b]0;x\x07", "\\x1b]0;x\\x07" }, { "a\nb\tc\rd\x7f", "a\\nb\\tc\\x0dd\\x7f" },
		{ "\xc2\x9b" "31m", "\\x9b31m" },               /* C1: CSI in one character */
		{ "\xe2\x80\xae" "evil", "\\u202eevil" },       /* right-to-left override */
		{ "\xe2\x81\xa6\xe2\x80\xa8", "\\u2066\\u2028" },
	};

	builder_init(&b, EM_X86_64);
	for (size_t i = 0; i < GC_COUNT(rows); i++) {
		gc_buf_clear(&text);
		gc_text_str(&text, rows[i].raw);
		ck_assert_str_eq(gc_buf_text(&text), rows[i].shown);
	}
}
END_TEST

START_TEST(columns)
{
	struct gc_table t = { .columns = 3, .right = 1U << 1 };

	builder_init(&b, EM_X86_64);
	gc_table_add(&t, "a");
	gc_table_add(&t, "1");
	gc_table_add(&t, NULL);
	gc_table_add(&t, "\xc3\xa4\xc3\xb6");
	gc_table_printf(&t, "%d", 234);
	gc_table_add(&t, "x\n");
	gc_table_end(&t, &text);
	ck_assert_str_eq(gc_buf_text(&text), "a     1\n\xc3\xa4\xc3\xb6  234  x\\n\n");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("document");
	TCase *tc = tcase_create("document");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, core_identity);
	tcase_add_test(tc, strings_of_strangers);
	tcase_add_test(tc, signal_with_address);
	tcase_add_test(tc, signal_with_sender);
	tcase_add_test(tc, unknown_is_left_out);
	tcase_add_test(tc, threads);
	tcase_add_test(tc, instruction_of_aarch64);
	tcase_add_test(tc, notes);
	tcase_add_test(tc, memory_by_class);
	tcase_add_test(tc, cut_off);
	tcase_add_test(tc, images);
	tcase_add_test(tc, part_of_info);
	tcase_add_test(tc, ranges);
	tcase_add_test(tc, truncated_range);
	tcase_add_test(tc, address_between);
	tcase_add_test(tc, address_within);
	tcase_add_test(tc, address_with_tag);
	tcase_add_test(tc, many_ranges);
	tcase_add_test(tc, this_program);
	tcase_add_test(tc, sizes);
	tcase_add_test(tc, escapes);
	tcase_add_test(tc, columns);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
