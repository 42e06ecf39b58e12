/* Function names by address: which symbol, and how it is printed. */
#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/symbols.h"

#include "code_builder.h"

#define GLOBAL_FUNC ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)
#define WEAK_FUNC   ELF64_ST_INFO(STB_WEAK, STT_FUNC)
#define LOCAL_FUNC  ELF64_ST_INFO(STB_LOCAL, STT_FUNC)
#define LABEL       ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE)

static struct code_builder b;
static struct gc_process process;
static struct gc_symbols *symbols;
static struct gc_error err;

static void open_symbols(const struct code_symbol *list, size_t n)
{
	b = (struct code_builder){ .machine = EM_AARCH64, .symbols = list, .nsymbols = n };
	code_process(&b, &process);
	ck_assert_int_eq(gc_symbols_new(&symbols, &process, NULL, NULL, &err), GC_OK);
}

static void teardown(void)
{
	gc_symbols_free(symbols);
	gc_process_close(&process);
}

/** @param name NULL: none is expected */
static void ck_name(uint64_t offset, const char *name, uint64_t entry)
{
	struct gc_symbol_at at;

	if (!gc_symbols_at(symbols, CODE_AT(offset), &at)) {
		ck_assert_msg(!name, "0x%x has no name", (unsigned)offset);
		return;
	}
	ck_assert_msg(name != NULL, "0x%x is %s", (unsigned)offset, at.name);
	ck_assert_str_eq(at.name, name);
	ck_assert_uint_eq(at.entry, CODE_AT(entry));
	ck_assert_str_eq(at.image->path, "[vdso]");
}

static const struct code_symbol some[] = {
	{ "$x", 0x000, 0, LABEL },
	{ "__nanosleep", 0x010, 0x20, GLOBAL_FUNC },
	{ "nanosleep", 0x010, 0x20, WEAK_FUNC },
	{ "internal_nanosleep", 0x010, 0x20, LOCAL_FUNC },
	{ "gsignal", 0x040, 0x10, WEAK_FUNC },
	{ "raise", 0x040, 0x10, GLOBAL_FUNC },
	{ "$d", 0x048, 0, LABEL },
	{ "work.cold", 0x050, 0x08, LOCAL_FUNC },
	{ "no_size", 0x060, 0, LABEL },
	{ "$x.7", 0x064, 0, LABEL },
	{ "outer", 0x080, 0x40, GLOBAL_FUNC },
	{ "inner", 0x090, 0x08, LOCAL_FUNC },
	{ "a_variable", 0x0d0, 0x10, ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT) },
	{ "memcpy@@GLIBC_2.14", 0x100, 0x10, GLOBAL_FUNC },
	{ "_ZN3foo3barERKSs", 0x110, 0x10, GLOBAL_FUNC },
	{ "_RNvC6_123foo3bar", 0x120, 0x10, GLOBAL_FUNC },
	{ "_Znonsense", 0x130, 0x10, GLOBAL_FUNC },
};

static void ck_all(void)
{
	ck_name(0x00f, NULL, 0);
	ck_name(0x010, "nanosleep", 0x010);
	ck_name(0x02f, "nanosleep", 0x010);
	ck_name(0x030, NULL, 0); /* behind its end */
	ck_name(0x04a, "raise", 0x040);
	ck_name(0x050, "work.cold", 0x050);
	ck_name(0x058, NULL, 0);
	ck_name(0x06f, "no_size", 0x060);
	ck_name(0x08f, "outer", 0x080);
	ck_name(0x090, "inner", 0x090);
	ck_name(0x098, "outer", 0x080); /* behind inner, which lies in it */
	ck_name(0x0d4, NULL, 0);
	ck_name(0x100, "memcpy", 0x100);
	ck_name(0x112, "foo::bar(std::string const&)", 0x110);
	ck_name(0x120, "123foo::bar", 0x120);
	ck_name(0x130, "_Znonsense", 0x130);
}

/** By walking the table, again, and by the index that many look-ups bring about. */
START_TEST(choice)
{
	open_symbols(some, GC_COUNT(some));
	ck_all();
	ck_all();
	for (uint64_t i = 0; i < CODE_TEXT_LEN; i++) {
		struct gc_symbol_at at;

		gc_symbols_at(symbols, CODE_AT(i), &at);
	}
	ck_all();
}
END_TEST

START_TEST(outside)
{
	struct gc_symbol_at at;

	open_symbols(some, GC_COUNT(some));
	ck_assert(!gc_symbols_at(symbols, 0, &at));
	ck_assert(!gc_symbols_at(symbols, CODE_JIT, &at));
	ck_assert(!gc_symbols_at(symbols, UINT64_MAX, &at));
}
END_TEST

START_TEST(no_symbols)
{
	open_symbols(NULL, 0);
	ck_name(0x10, NULL, 0);
}
END_TEST

static void ck_demangled(const char *mangled, const char *name)
{
	char *text = gc_demangle(mangled);

	if (name)
		ck_assert_str_eq(text, name);
	else
		ck_assert_ptr_null(text);
	free(text);
}

START_TEST(demangling)
{
	char *long_name = malloc(20000);

	ck_demangled("_ZNSt6vectorIiSaIiEE9push_backERKi",
		     "std::vector<int, std::allocator<int> >::push_back(int const&)");
	ck_demangled("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad");
	ck_demangled("_RNvMs_NtCs1234_7mycrate3fooNtB4_3Bar3baz", "<mycrate::foo::Bar>::baz");
	ck_demangled("main", NULL);
	ck_demangled("_Z", NULL);
	ck_demangled("", NULL);
	memset(long_name, 'Z', 20000);
	memcpy(long_name, "_Z", 2);
	long_name[19999] = '\0';
	ck_demangled(long_name, NULL);
	free(long_name);
}
END_TEST

/** Each parameter is a template of two of the one before: a name of 300 bytes that stands for 2^30. */
START_TEST(demangling_is_bounded)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	char name[512] = "_Z1f1AIiiE", parameter[32];

	for (size_t i = 0; i < 30; i++) {
		snprintf(parameter, sizeof(parameter), "S_IS%c_S%c_E", digits[i], digits[i]);
		strcat(name, parameter);
		if (i == 0)
			ck_demangled(name, "f(A<int, int>, A<A<int, int>, A<int, int> >)");
	}
	ck_demangled(name, NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("symtab");
	TCase *tc = tcase_create("symtab"), *names = tcase_create("names");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, NULL, teardown);
	tcase_add_test(tc, choice);
	tcase_add_test(tc, outside);
	tcase_add_test(tc, no_symbols);
	suite_add_tcase(suite, tc);
	tcase_add_test(names, demangling);
	tcase_add_test(names, demangling_is_bounded);
	suite_add_tcase(suite, names);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
