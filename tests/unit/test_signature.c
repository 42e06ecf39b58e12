/* Names and rules of signatures. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signature/signature_private.h"

static const struct {
	const char *function, *name;
	bool go;
} names[] = {
	{ "main", "main", false },
	{ "check.constprop.0", "check", false },
	{ "work.constprop.0.isra.0", "work", false },
	{ "work.part.12.cold", "work", false },
	{ "fill.llvm.1234567890", "fill", false },
	{ "memcpy@plt", "memcpy", false },
	{ "memcpy@@GLIBC_2.14", "memcpy", false },
	{ "my.own.name", "my.own.name", false },
	{ "app::Server::run(int, std::string const&)", "app::Server::run", false },
	{ "std::vector<int, std::allocator<int> >::at(unsigned long) const", "std::vector<int, std::allocator<int> >::at",
	  false },
	{ "int max<int>(int, int)", "max<int>", false },
	{ "(anonymous namespace)::helper(int)", "(anonymous namespace)::helper", false },
	{ "app::Functor::operator()(int) const", "app::Functor::operator()", false },
	{ "main::{lambda(int*)#1}::operator()(int*) const", "main::{lambda(int*)#1}::operator()", false },
	{ "make[abi:cxx11](int)", "make", false },
	{ "core::run::h0123456789abcdef", "core::run", false },
	{ "_cgo_14b577a6476c_Cfunc_c_inner", "_cgo_Cfunc_c_inner", false },
	{ "_cgoexp_14b577a6476c_goCallback", "_cgoexp_goCallback", true },
	{ "main.(*Server).handle.func2.1", "main.(*Server).handle.func2.1", true },
	{ "main.Map[...]", "main.Map[...]", true },
	{ "main.part.1", "main.part.1", true }, /* a package's own names are nobody's clones */
	{ "", "", false },
};

START_TEST(test_names)
{
	struct gc_buf name = GC_BUF_INIT;

	gc_signature_name(&name, names[_i].function, names[_i].go);
	ck_assert_str_eq(gc_buf_text(&name), names[_i].name);
	gc_buf_deinit(&name);
}
END_TEST

/** The name of a function of the C library. */
static void check_libc_name(const char *function, const char *expected)
{
	const struct gc_image image = { .path = "/usr/lib/x86_64-linux-gnu/libc.so.6", .base = 0x1000 };
	const struct gc_frame frame = { .pc = 0x2000, .function = function, .image = &image };
	struct gc_buf name = GC_BUF_INIT;

	sig_frame_name(&name, NULL, &frame);
	ck_assert_str_eq(gc_buf_text(&name), expected);
	gc_buf_deinit(&name);
}

START_TEST(test_libc_names)
{
	check_libc_name("__memcpy_avx_unaligned_erms", "memcpy");
	check_libc_name("__strlen_asimd", "strlen");
	check_libc_name("__GI_raise", "raise");
	check_libc_name("__libc_free", "free");
	check_libc_name("free", "free");
	check_libc_name("cfree", "free");
}
END_TEST

START_TEST(test_nameless)
{
	const struct gc_image image = { .path = "/opt/libfoo.so", .base = 0x10000, .has_bias = true, .bias = 0xf000 };
	const struct gc_frame known = { .pc = 0x12345, .image = &image }, nowhere = { .pc = 0x7fffdeadbeef };
	struct gc_buf name = GC_BUF_INIT;

	sig_frame_name(&name, NULL, &known);
	ck_assert_str_eq(gc_buf_text(&name), "libfoo.so+0x3345");
	gc_buf_clear(&name);
	sig_frame_name(&name, NULL, &nowhere); /* an absolute address must not get in */
	ck_assert_str_eq(gc_buf_text(&name), "?");
	gc_buf_deinit(&name);
}
END_TEST

START_TEST(test_skipped)
{
	static const char *const skipped[] = {
		"abort", "raise", "__GI_raise", "__pthread_kill_implementation.constprop.0", "std::terminate()",
		"__assert_fail", "__memcpy_chk_fail", "panic", "runtime.panicmem", "runtime.sigpanic",
		"__GI___assert_fail", "__rustc::__rust_abort", "core::cell::panic_already_borrowed",
		"std::sys::backtrace::__rust_end_short_backtrace::<std::panicking::panic_handler::{closure#0}, !>",
		"core::panicking::panic_fmt", "core::panicking::panic::h0123456789abcdef",
	};
	static const char *const kept[] = { "main", "abort_transaction", "main.panic", "app::raise", "runtime.mapassign" };

	for (size_t i = 0; i < GC_COUNT(skipped); i++)
		ck_assert_msg(sig_is_skipped(skipped[i]), "%s", skipped[i]);
	for (size_t i = 0; i < GC_COUNT(kept); i++)
		ck_assert_msg(!sig_is_skipped(kept[i]), "%s", kept[i]);
}
END_TEST

/** The span of a stack; "-" is a frame of the C library that has no name, "@f" one that has. */
static struct sig_span span_of(const char *const *functions, size_t count)
{
	static const struct gc_image libc = { .path = "/lib/libc.so.6", .base = 0x1000 }, own = { .path = "/t/x" };
	struct gc_crash crash = { .thread = NULL };
	const struct gc_stack_tools tools = { .p = NULL };
	struct sig_span span;

	for (size_t i = 0; i < count; i++) {
		const bool in_libc = functions[i][0] == '-' || functions[i][0] == '@';
		const struct gc_frame frame = {
			.pc = 0x1005, .image = in_libc ? &libc : &own,
			.function = functions[i][0] == '-' ? NULL : functions[i] + in_libc,
		};

		ck_assert_int_eq(gc_frames_add(&crash.frames, &frame, NULL), GC_OK);
	}
	span = sig_span_of(&crash, &tools);
	gc_frames_deinit(&crash.frames);
	return span;
}

#define CHECK_SPAN(begin, behind, ...) do { \
	static const char *const functions_[] = { __VA_ARGS__ }; \
	const struct sig_span span_ = span_of(functions_, GC_COUNT(functions_)); \
	ck_assert_uint_eq(span_.first, begin); \
	ck_assert_uint_eq(span_.end, behind); \
} while (0)

START_TEST(test_span)
{
	CHECK_SPAN(0, 2, "f", "main", "@__libc_start_call_main", "_start");
	CHECK_SPAN(0, 2, "f", "main", "-", "@__libc_start_main", "_start");
	CHECK_SPAN(5, 7, "-", "@raise", "@abort", "-", "@__assert_fail", "f", "main", "-"); /* no symbols */
	CHECK_SPAN(0, 3, "-", "@qsort", "main", "-"); /* nameless, but no way to end a process */
	CHECK_SPAN(2, 3, "std::sys::pal::unix::abort_internal", "std::process::abort", "r::main",
		   "core::ops::function::FnOnce::call_once", "std::sys::backtrace::__rust_begin_short_backtrace",
		   "std::rt::lang_start::{{closure}}", "std::rt::lang_start", "main", "-");
}
END_TEST

/** doc/signatures.md shows each rule in the row of its group, and no other. */
START_TEST(test_documented)
{
	const char *source = getenv("GOCORE_SOURCE");
	char path[4096], line[16384], pattern[256];
	size_t rules = 0, shown = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/doc/signatures.md", source ? source : ".");
	f = fopen(path, "re");
	ck_assert_msg(f != NULL, "%s", path);
	while (fgets(line, sizeof(line), f)) {
		for (const struct gc_skip_rule *rule = gc_skip_rules; rule->pattern; rule++) {
			snprintf(pattern, sizeof(pattern), "| %s |", rule->group);
			if (strncmp(line, pattern, strlen(pattern)) != 0)
				continue;
			snprintf(pattern, sizeof(pattern), "`%s`", rule->pattern);
			rules++;
			ck_assert_msg(strstr(line, pattern) != NULL, "%s is not documented", rule->pattern);
		}
		for (const char *p = line; strncmp(line, "| ", 2) == 0 && strstr(line, "` `") && (p = strchr(p, '`')); p++)
			shown++;
	}
	fclose(f);
	ck_assert_uint_gt(rules, 50);
	ck_assert_uint_eq(shown, 2 * rules);
}
END_TEST

/** A stack of functions "a".."z", one frame each; what is in the cycle is the same wherever the stack was full. */
static size_t cycle_of(const char *functions, size_t times, const char *leaf, char out[SIG_MAX_PERIOD + 1])
{
	static const char *const letters[] = { "a", "b", "c", "d", "e", "f", "g" };
	static const struct gc_image image = { .path = "/t/x", .base = 0x1000 };
	struct gc_frames frames = { .list = NULL };
	size_t cycle[SIG_MAX_PERIOD], count, len = strlen(leaf) + strlen(functions) * times;

	for (size_t i = 0; i < len; i++) {
		char c = i < strlen(leaf) ? leaf[i] : functions[(i - strlen(leaf)) % strlen(functions)];
		const struct gc_frame frame = {
			.pc = 0x1005 + 16 * (uint64_t)(c - 'a'), .entry = 0x1000 + 16 * (uint64_t)(c - 'a'),
			.function = letters[c - 'a'], .image = &image,
		};

		ck_assert_int_eq(gc_frames_add(&frames, &frame, NULL), GC_OK);
	}
	count = sig_cycle(&frames, (struct sig_span){ 0, frames.count }, cycle);
	for (size_t i = 0; i < count; i++)
		out[i] = frames.list[cycle[i]].function[0];
	out[count] = '\0';
	gc_frames_deinit(&frames);
	return count;
}

START_TEST(test_recursion)
{
	char out[SIG_MAX_PERIOD + 1];

	cycle_of("a", 100, "", out);
	ck_assert_str_eq(out, "a");
	cycle_of("ab", 100, "", out);
	ck_assert_str_eq(out, "ab");
	cycle_of("ba", 100, "", out);
	ck_assert_str_eq(out, "ab");
	cycle_of("cab", 100, "gf", out); /* called when the stack was full */
	ck_assert_str_eq(out, "abc");
	cycle_of("bcaab", 100, "a", out);
	ck_assert_str_eq(out, "aabbc");
	ck_assert_uint_eq(cycle_of("abcdefg", 1, "", out), 0);
	cycle_of("bbabaabbabbbaababaaabbbabaabab", 1, "", out); /* no period */
	ck_assert_str_eq(out, "ab");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("signature");
	TCase *t = tcase_create("signature");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(t, test_names, 0, GC_COUNT(names));
	tcase_add_test(t, test_libc_names);
	tcase_add_test(t, test_nameless);
	tcase_add_test(t, test_skipped);
	tcase_add_test(t, test_span);
	tcase_add_test(t, test_documented);
	tcase_add_test(t, test_recursion);
	suite_add_tcase(s, t);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
