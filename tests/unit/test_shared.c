/* Bytes made once for several processes: by the first that asks, or by the next if that one dies. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gocore/sandbox.h"
#include "gocore/shared.h"

#define SIZE 300000

static struct gc_shared *s;
static struct gc_error err;
static volatile int *made;        /* how often, by all processes */

static void setup(void)
{
	void *map = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(map, MAP_FAILED);
	made = map;
	ck_assert_int_eq(gc_shared_new(&s, &err), GC_OK);
}

static void teardown(void)
{
	gc_shared_free(s);
	munmap((void *)made, sizeof(*made));
}

static enum gc_code make(void *data, struct gc_buf *out, struct gc_error *e)
{
	(void)data;
	(void)e;
	++*made;
	memset(gc_buf_reserve(out, SIZE), 'x', SIZE);
	out->len = SIZE;
	return GC_OK;
}

static enum gc_code make_and_die(void *data, struct gc_buf *out, struct gc_error *e)
{
	make(data, out, e);
	raise(SIGKILL);
	return GC_OK;
}

static enum gc_code make_nothing(void *data, struct gc_buf *out, struct gc_error *e)
{
	(void)data;
	gc_buf_str(out, "half");
	++*made;
	return gc_fail(e, GC_E_FORMAT, "no such thing");
}

/** @return true if all bytes are there */
static bool get(gc_make_fn *fn)
{
	const uint8_t *bytes;
	uint64_t len;

	if (gc_shared_get(s, fn, NULL, &bytes, &len, &err) != GC_OK || len != SIZE)
		return false;
	for (uint64_t i = 0; i < len; i++)
		if (bytes[i] != 'x')
			return false;
	return true;
}

/** In a process of its own. @return its wait status */
static int get_in_child(gc_make_fn *fn, bool sandbox)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (sandbox)
			gc_sandbox_enter(NULL);
		_exit(get(fn) ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return status;
}

START_TEST(once_for_all)
{
	ck_assert_int_eq(get_in_child(make, false), 0);
	ck_assert_int_eq(get_in_child(make, false), 0);
	ck_assert(get(make));
	ck_assert(get(make));
	ck_assert_int_eq(*made, 1);
}
END_TEST

/* As clients do it. */
START_TEST(from_the_sandbox)
{
	ck_assert_int_eq(get_in_child(make, true), 0);
	ck_assert_int_eq(get_in_child(make, true), 0);
	ck_assert_int_eq(*made, 1);
}
END_TEST

START_TEST(maker_dies)
{
	int status = get_in_child(make_and_die, false);

	ck_assert(WIFSIGNALED(status));
	ck_assert_int_eq(get_in_child(make, false), 0);
	ck_assert_int_eq(*made, 2);
	ck_assert(get(make));
	ck_assert_int_eq(*made, 2);
}
END_TEST

/* Each process tries once for itself. */
START_TEST(failure)
{
	const uint8_t *bytes;
	uint64_t len;

	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(gc_shared_get(s, make_nothing, NULL, &bytes, &len, &err), GC_E_FORMAT);
		ck_assert_str_eq(err.text, "no such thing");
	}
	ck_assert_int_eq(*made, 1);
	ck_assert_int_eq(get_in_child(make, false), 256);
}
END_TEST

/** The descriptor that processes share. */
static int find_memfd(void)
{
	for (int fd = 3; fd < 256; fd++) {
		char path[32], target[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) > 0 && strncmp(target, "/memfd:gocore", 13) == 0)
			return fd;
	}
	return -1;
}

/* Nobody can change what another one reads. */
START_TEST(sealed)
{
	int fd = find_memfd();

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(get_in_child(make, false), 0);
	ck_assert_int_eq(pwrite(fd, "y", 1, 0), -1);
	ck_assert_int_eq(ftruncate(fd, 0), -1);
	ck_assert_ptr_eq(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	ck_assert(get(make));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shared");
	TCase *tc = tcase_create("shared");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, once_for_all);
	tcase_add_test(tc, from_the_sandbox);
	tcase_add_test(tc, maker_dies);
	tcase_add_test(tc, failure);
	tcase_add_test(tc, sealed);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
