/* src/cmd/helper_args.c: which command lines are Delve's calls of a helper; delve.c: versions. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/delve.h"
#include "cmd/helper.h"

#define MAX_WORDS 24

/** Split at spaces and ask. The words live until the next call. */
static struct helper helper_of(const char *line)
{
	static char text[512];
	static char *words[MAX_WORDS + 1];
	int count = 0;

	ck_assert_uint_lt(strlen(line), sizeof(text));
	strcpy(text, line);
	for (char *word = strtok(text, " "); word && count < MAX_WORDS; word = strtok(NULL, " "))
		words[count++] = word;
	words[count] = NULL;
	return helper_of_args(count, words);
}

static void expect(const char *line, enum helper_kind kind, const char *address, const char *program, const char *core)
{
	struct helper h = helper_of(line);

	ck_assert_msg(h.kind == kind, "%s: %d", line, h.kind);
	ck_assert_pstr_eq(h.address, address);
	ck_assert_pstr_eq(h.program, program);
	ck_assert_pstr_eq(h.core, core);
}

static void expect_none(const char *line)
{
	ck_assert_msg(helper_of(line).kind == HELPER_NONE, "%s", line);
}

START_TEST(debugserver)
{
	const char *const where = "127.0.0.1:4040";

	expect("stub --unmask-signals", HELPER_PROBE, NULL, NULL, NULL);
	expect("stub --unmask-signals -F -R 127.0.0.1:4040 -- /bin core", HELPER_DIAL, where, "/bin", "core");
	expect("stub -e LD_A=-R -e LD_B=-- --stdio-path /dev/tty -g -l stdout -D -F -R 127.0.0.1:4040 -- /bin core x --",
	       HELPER_DIAL, where, "/bin", "core");
	expect("stub --stdin-path a --stdout-path b --stderr-path c -F -R 127.0.0.1:4040 -- /bin", HELPER_DIAL, where,
	       "/bin", NULL);
	expect("stub -R 127.0.0.1:4040 --attach=7 --unmask-signals", HELPER_DIAL, where, NULL, NULL);
	expect("stub -R 127.0.0.1:4040 --waitfor=a --waitfor-interval=1 --waitfor-duration=2", HELPER_DIAL, where, NULL,
	       NULL);
}
END_TEST

START_TEST(lldb_server)
{
	expect("lldb-server gdbserver :4040 -- /bin core", HELPER_LISTEN, ":4040", "/bin", "core");
	expect("stub gdbserver :4040 -- /bin core", HELPER_LISTEN, ":4040", "/bin", "core");
	expect("/x/lldb-server gdbserver --attach 7 :4040", HELPER_LISTEN, ":4040", NULL, NULL);
	expect("lldb-server", HELPER_WRONG, NULL, NULL, NULL);
	expect("lldb-server platform", HELPER_WRONG, NULL, NULL, NULL);
}
END_TEST

START_TEST(rr)
{
	expect("/x/rr --version", HELPER_PROBE, NULL, NULL, NULL);
	expect("rr replay --dbgport=0 core", HELPER_RR, ":0", NULL, "core");
	expect("rr replay --dbgport=0 --onprocess=7 -x y core", HELPER_RR, ":0", NULL, "core");
	expect("rr replay", HELPER_WRONG, NULL, NULL, NULL);
	expect("rr record /bin", HELPER_WRONG, NULL, NULL, NULL);
	expect("rr", HELPER_WRONG, NULL, NULL, NULL);
}
END_TEST

/** One word that Delve does not use, or one that is missing, and it is a usual command line. */
START_TEST(others)
{
	struct helper h = helper_of_args(0, NULL);

	ck_assert_int_eq(h.kind, HELPER_NONE);
	expect_none("stub");
	expect_none("stub core /bin");
	expect_none("stub --unmask-signals core");
	expect_none("stub -F");
	expect_none("stub -F -R");
	expect_none("stub -F -R nowhere");
	expect_none("stub -F -R 127.0.0.1:1 --");
	expect_none("stub -F -R 127.0.0.1:1 core");
	expect_none("stub -F -R 127.0.0.1:1 --listen=:1");
	expect_none("stub -R 127.0.0.1:1 --attach");
	expect_none("stub -e");
	expect_none("stub gdbserver");
	expect_none("stub gdbserver core");
	expect_none("stub gdbserver --attach");
	expect_none("stub gdbserver :1 /bin");
	expect_none("stub gdbserver :1 --");
	expect_none("stub replay core");
	expect_none("stub core --listen=:1 -v");
}
END_TEST

START_TEST(versions)
{
	struct delve_version v = delve_version_of_text("Delve Debugger\nVersion: 1.24.10\nBuild: $Id$\n");

	ck_assert_uint_eq(v.minor, 24);
	ck_assert_uint_eq(v.patch, 10);
	ck_assert_uint_eq(delve_version_of_text("Version: 1.25\n").minor, 25);
	ck_assert_uint_eq(delve_version_of_text("Version: 2.1.0\n").minor, 0);
	ck_assert_uint_eq(delve_version_of_text("Version: 1.x\n").minor, 0);
	ck_assert_uint_eq(delve_version_of_text("").minor, 0);
	ck_assert_uint_eq(go_minor("go1.24.4"), 24);
	ck_assert_uint_eq(go_minor("go1.27rc1"), 27);
	ck_assert_uint_eq(go_minor("devel go1.25-abc"), 0);
	ck_assert_uint_eq(go_minor(NULL), 0);
}
END_TEST

START_TEST(gate)
{
	static const struct { struct delve_version v; unsigned min, max; } known[] = {
		{ { 0, 0 }, 0, 0 }, { { 5, 1 }, 0, 0 }, { { 9, 0 }, 16, 19 }, { { 9, 1 }, 17, 19 }, { { 20, 2 }, 18, 20 },
		{ { 21, 0 }, 18, 21 }, { { 21, 2 }, 19, 21 }, { { 24, 0 }, 21, 24 }, { { 25, 0 }, 21, 24 },
		{ { 25, 2 }, 22, 25 }, { { 27, 1 }, 25, 27 }, { { 28, 0 }, 0, 0 }, { { 99, 9 }, 0, 0 },
	};

	for (size_t i = 0; i < GC_COUNT(known); i++) {
		struct go_range range = delve_takes(known[i].v);

		ck_assert_uint_eq(range.min, known[i].min);
		ck_assert_uint_eq(range.max, known[i].max);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("helper_args");
	TCase *tc = tcase_create("helper_args");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, debugserver);
	tcase_add_test(tc, lldb_server);
	tcase_add_test(tc, rr);
	tcase_add_test(tc, others);
	tcase_add_test(tc, versions);
	tcase_add_test(tc, gate);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
