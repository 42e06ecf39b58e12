/*
 * Goroutines as threads, of real cores: numbers, states and addresses are
 * those that the programs printed before they died (expect.txt).
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"
#include "gocore/go_target.h"

#include "core_builder.h"

#define PANIC "aarch64/panic-go1.24"
#define SEGV  "x86_64/segv-go1.26"

static struct gc_process p;
static struct gc_target *t;
static struct gc_error err;

static const char *fixture(const char *dir, const char *name)
{
	const char *source = getenv("GOCORE_SOURCE");
	static char path[4096];

	snprintf(path, sizeof(path), "%s/cores/%s/%s", source ? source : ".", dir, name);
	return path;
}

static void open_input(struct gc_input *in, const char *dir)
{
	ck_assert_msg(gc_input_open(in, fixture(dir, "core.zst"), NULL, NULL, &err) == GC_OK, "%s", err.text);
}

static void open_process(const char *dir, struct gc_input *in)
{
	struct gc_find_options options = {
		.program = fixture(dir, "bin.zst"), .no_host_paths = true, .no_debuginfod = true,
	};

	ck_assert_msg(gc_process_open(&p, in, &options, &err) == GC_OK, "%s", err.text);
	ck_assert_int_eq(gc_core_target_new(&t, &p, &err), GC_OK);
}

static void show_goroutines(bool only, size_t beyond)
{
	const struct gc_go_target_options options = { .only_goroutines = only, .group_beyond = beyond };

	ck_assert_msg(gc_go_target_new(&t, t, &options, &err) == GC_OK, "%s", err.text);
}

static void open_target(const char *dir, bool only, size_t beyond)
{
	struct gc_input in;

	open_input(&in, dir);
	open_process(dir, &in);
	show_goroutines(only, beyond);
}

static void close_target(void)
{
	gc_target_free(t);
	t = NULL;
	gc_process_close(&p);
}

static gc_tid id_of(uint64_t goid)
{
	return GC_GO_TID_BASE + (gc_tid)goid;
}

static struct gc_thread_text text_of(gc_tid tid)
{
	struct gc_thread_text text;

	ck_assert_int_eq(t->ops->describe(t, tid, &text, &err), GC_OK);
	return text;
}

/** @return the value; UINT64_MAX if it is not known */
static uint64_t reg_of(gc_tid tid, const char *name)
{
	uint64_t value = UINT64_MAX;
	struct gc_regs regs;

	ck_assert_int_eq(t->ops->read_regs(t, tid, &regs, &err), GC_OK);
	gc_regs_u64(&regs, gc_regmap_reg_named(&p.regmap, name), &value);
	gc_regs_deinit(&regs);
	return value;
}

static size_t known_regs(gc_tid tid)
{
	struct gc_regs regs;
	size_t known = 0;

	ck_assert_int_eq(t->ops->read_regs(t, tid, &regs, &err), GC_OK);
	for (size_t i = 0; i < p.core.arch->nregs; i++)
		known += regs.valid[i];
	gc_regs_deinit(&regs);
	return known;
}

/* core_tids of expect.txt, then the goroutines that are on none of them. */
START_TEST(all)
{
	static const gc_tid tids[] = { 194, 187, 184, 188, 189, 192, 195, 193, 191, 190 };
	const struct gc_tids *list;

	open_target(PANIC, false, GC_GO_GROUP_BEYOND);
	list = t->ops->threads(t);
	ck_assert_uint_gt(list->count, GC_COUNT(tids));
	for (size_t i = 0; i < GC_COUNT(tids); i++)
		ck_assert_int_eq(list->list[i], tids[i]);
	for (size_t i = GC_COUNT(tids); i < list->count; i++) {
		ck_assert_int_gt(list->list[i], GC_GO_TID_BASE);
		ck_assert(i == GC_COUNT(tids) || list->list[i] > list->list[i - 1]);
		ck_assert(t->ops->has_thread(t, list->list[i]));
		ck_assert_int_eq(t->ops->signal(t, list->list[i]), 0);
		ck_assert_ptr_null(t->ops->siginfo(t, list->list[i]));
	}
	/* "goroutines now: 51", and those of the runtime: 57; the four in system calls are OS threads */
	ck_assert_uint_eq(list->count, GC_COUNT(tids) + 57 - 4);
	ck_assert_int_eq(t->ops->signal(t, list->list[0]), 6);
	ck_assert_ptr_nonnull(t->ops->siginfo(t, list->list[0]));
	close_target();
}
END_TEST

START_TEST(names)
{
	struct gc_thread_text text;

	open_target(PANIC, false, GC_GO_GROUP_BEYOND);
	text = text_of(id_of(1));
	ck_assert_str_eq(text.name, "G1 chan receive main.main");
	ck_assert_str_eq(text.extra, "");
	ck_assert_str_eq(text_of(id_of(20)).name, "G20 finalizer wait runtime.runfinq");
	ck_assert_str_eq(text_of(id_of(50)).name, "G50 sleep main.parkSleep");
	text = text_of(id_of(67));
	ck_assert_str_eq(text.name, "G67 chan receive main.parkLocked");
	ck_assert_str_eq(text.extra, "locked to thread 189"); /* "locked goroutine 48 on tid 189" */
	/* the one that panics, and its thread, which is in a signal handler */
	text = text_of(id_of(69));
	ck_assert_str_eq(text.name, "G69 running main.main.func1");
	ck_assert_str_eq(text.extra, "thread 194");
	text = text_of(194);
	ck_assert_ptr_nonnull(strstr(text.name, " (signal handler of G69) runtime.raise"));
	ck_assert_str_eq(text.extra, "crashed: SIGABRT");
	close_target();
}
END_TEST

/* "goroutine 1 gp=0x40000021c0 m=nil [chan receive]: runtime.gopark ... sp=0x4000092c90 pc=0x7a348" */
START_TEST(parked)
{
	open_target(PANIC, false, GC_GO_GROUP_BEYOND);
	ck_assert_uint_eq(reg_of(id_of(1), "pc"), 0x7a348);
	ck_assert_uint_eq(reg_of(id_of(1), "sp"), 0x4000092c90);
	ck_assert_uint_eq(reg_of(id_of(1), "x28"), 0x40000021c0);
	ck_assert_uint_eq(reg_of(id_of(1), "x0"), UINT64_MAX);
	ck_assert_uint_eq(reg_of(id_of(1), "cpsr"), UINT64_MAX);
	ck_assert_uint_eq(known_regs(id_of(1)), 4); /* and the frame pointer */
	close_target();
}
END_TEST

/** On the stack of @goid, with all registers that the signal frame of its thread has. */
static void ck_interrupted(uint64_t goid, const char *sp)
{
	const struct gc_goroutine *g = gc_go_goroutine_by_id(gc_go_target_go(t), goid);

	ck_assert_ptr_nonnull(g);
	ck_assert_uint_ge(reg_of(id_of(goid), sp), g->stack_lo);
	ck_assert_uint_lt(reg_of(id_of(goid), sp), g->stack_hi);
	ck_assert_uint_gt(known_regs(id_of(goid)), 15);
}

START_TEST(interrupted)
{
	open_target(PANIC, false, GC_GO_GROUP_BEYOND);
	ck_interrupted(69, "sp");
	ck_assert_uint_ne(reg_of(194, "sp"), reg_of(id_of(69), "sp"));
	close_target();
	open_target(SEGV, false, GC_GO_GROUP_BEYOND);
	ck_interrupted(1, "rsp");
	close_target();
}
END_TEST

/* The goroutine of the crashed thread is the first, and speaks for it. */
START_TEST(only_goroutines)
{
	const struct gc_tids *list;
	struct gc_thread_text text;

	open_target(PANIC, true, GC_GO_GROUP_BEYOND);
	list = t->ops->threads(t);
	ck_assert_uint_eq(list->count, 57);
	ck_assert_int_eq(list->list[0], id_of(69));
	for (size_t i = 1; i < list->count; i++)
		ck_assert(list->list[i] > GC_GO_TID_BASE && (i == 1 || list->list[i] > list->list[i - 1]));
	ck_assert_int_eq(t->ops->signal(t, id_of(69)), 6);
	ck_assert_int_eq(t->ops->signal(t, id_of(1)), 0);
	ck_assert_ptr_nonnull(t->ops->siginfo(t, id_of(69)));
	text = text_of(id_of(69));
	ck_assert_str_eq(text.extra, "crashed: SIGABRT, thread 194");
	close_target();
}
END_TEST

/** Goroutines that the list stands for, by the counts in its names. */
static size_t count_all(void)
{
	const struct gc_tids *list = t->ops->threads(t);
	size_t n = 0;

	for (size_t i = 0; i < list->count; i++) {
		struct gc_thread_text text = text_of(list->list[i]);
		unsigned long goid, count;

		if (sscanf(text.name, "G%lu x%lu ", &goid, &count) == 2)
			n += count;
		else
			n += list->list[i] > GC_GO_TID_BASE;
	}
	return n;
}

/* "goroutines  0.. 9: chan receive in parkReceive" */
START_TEST(groups)
{
	struct gc_thread_text text;
	const struct gc_tids *list;

	open_target(PANIC, true, 56);
	list = t->ops->threads(t);
	ck_assert_uint_lt(list->count, 30);
	ck_assert_int_eq(list->list[0], id_of(69));
	ck_assert_uint_eq(count_all(), 57);
	text = text_of(id_of(3));
	ck_assert_str_eq(text.name, "G3 x10 chan receive main.parkReceive");
	/* the others are not listed, but there */
	for (size_t i = 0; i < list->count; i++)
		ck_assert_int_ne(list->list[i], id_of(4));
	ck_assert(t->ops->has_thread(t, id_of(4)));
	ck_assert_str_eq(text_of(id_of(4)).name, "G4 chan receive main.parkReceive");
	ck_assert_uint_eq(reg_of(id_of(4), "x28"), 0x4000003180);
	close_target();
	open_target(PANIC, true, 57);
	ck_assert_uint_eq(t->ops->threads(t)->count, 57);
	close_target();
}
END_TEST

/* So many different stacks that a debugger would choke on a thread for each. */
START_TEST(groups_are_few)
{
	const struct gc_go_target_options options = { .only_goroutines = true, .group_beyond = 10, .max_groups = 15 };
	const struct gc_problems *problems;
	const struct gc_tids *list;
	struct gc_input in;
	size_t before, running = 0;

	open_input(&in, PANIC);
	open_process(PANIC, &in);
	ck_assert_int_eq(gc_go_target_new(&t, t, &options, &err), GC_OK);
	ck_assert(gc_go_target_is_grouped(t));
	problems = gc_go_target_problems(t);
	before = problems->count;
	list = t->ops->threads(t);
	for (size_t i = 0; i < list->count; i++) {
		struct gc_thread_text text = text_of(list->list[i]);

		running += strstr(text.extra, "thread ") && !strstr(text.extra, "locked to ");
	}
	ck_assert_uint_eq(list->count, 15 + running);
	ck_assert_uint_eq(problems->count, before + 2);
	ck_assert_ptr_nonnull(strstr(problems->list[before + 1].what, "goroutines are no threads"));
	ck_assert(t->ops->has_thread(t, id_of(4)));
	ck_assert_str_eq(text_of(id_of(3)).name, "G3 x10 chan receive main.parkReceive");
	close_target();
}
END_TEST

/* What a client's process made serves the others. */
START_TEST(groups_of_another_process)
{
	struct gc_tids first;
	const struct gc_tids *list;
	gc_tid ids[64];
	int fds[2], status;
	pid_t pid;

	open_target(PANIC, false, 10);
	ck_assert_int_eq(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		list = t->ops->threads(t);
		_exit(write(fds[1], list->list, list->count * sizeof(gc_tid)) < 0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	first = (struct gc_tids){ .list = ids };
	first.count = (size_t)read(fds[0], ids, sizeof(ids)) / sizeof(gc_tid);
	list = t->ops->threads(t);
	ck_assert_uint_eq(list->count, first.count);
	ck_assert_int_eq(memcmp(list->list, first.list, first.count * sizeof(gc_tid)), 0);
	close(fds[0]);
	close(fds[1]);
	close_target();
}
END_TEST

START_TEST(no_thread)
{
	struct gc_thread_text text;
	struct gc_regs regs;

	open_target(SEGV, false, GC_GO_GROUP_BEYOND);
	ck_assert(!t->ops->has_thread(t, 1));
	ck_assert(!t->ops->has_thread(t, GC_GO_TID_BASE));
	ck_assert(!t->ops->has_thread(t, id_of(4711)));
	ck_assert(!t->ops->has_thread(t, INT64_MAX));
	ck_assert_int_eq(t->ops->read_regs(t, id_of(4711), &regs, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(t->ops->describe(t, id_of(4711), &text, &err), GC_E_NOT_FOUND);
	ck_assert_int_eq(t->ops->describe(t, -5, &text, &err), GC_E_NOT_FOUND);
	close_target();
}
END_TEST

START_TEST(no_go)
{
	const struct gc_go_target_options options = { .group_beyond = 1 };
	struct gc_target *other;
	struct gc_input in;

	open_input(&in, "x86_64/threads");
	open_process("x86_64/threads", &in);
	ck_assert_int_eq(gc_go_target_new(&other, t, &options, &err), GC_E_NOT_FOUND);
	ck_assert_ptr_null(gc_go_target_go(t));
	ck_assert_ptr_null(gc_go_target_problems(t));
	close_target();
}
END_TEST

/* Spoilt: the list of goroutines is not in the core any more, or names one twice. */

static uint8_t *copy;

/** A copy of the core's bytes, and where in it the word at @addr is. */
static size_t copy_core(struct gc_input *in, uint64_t addr)
{
	const uint8_t *bytes = NULL;
	size_t off;

	ck_assert_uint_ge(gc_space_peek(&p.space, addr, &bytes), 8);
	copy = malloc(p.core.input.size);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p.core.input.bytes, p.core.input.size);
	off = (size_t)(bytes - p.core.input.bytes);
	*in = p.core.input;
	return off;
}

static void reopen(const char *dir, size_t len)
{
	struct gc_input in;

	close_target();
	input_of_bytes(&in, copy, len);
	free(copy);
	open_process(dir, &in);
}

/* All goroutines are overwritten: there is nothing left to show. */
START_TEST(no_goroutines)
{
	const struct gc_go_target_options options = { .group_beyond = 1000 };
	struct gc_target *other;
	struct gc_symbol sym;
	struct gc_input in;
	uint64_t list, n, g;

	open_target(PANIC, false, 1000);
	ck_assert(gc_elf_symbol_named(gc_images_program(&p.images)->file, "runtime.allgs", &sym));
	ck_assert_int_eq(gc_space_u64(&p.space, sym.value, &list, &err), GC_OK);
	ck_assert_int_eq(gc_space_u64(&p.space, sym.value + 8, &n, &err), GC_OK);
	copy_core(&in, sym.value);
	for (uint64_t i = 0; i < n; i++) {
		const uint8_t *bytes;

		ck_assert_int_eq(gc_space_u64(&p.space, list + 8 * i, &g, &err), GC_OK);
		ck_assert_uint_ge(gc_space_peek(&p.space, g, &bytes), 400);
		memset(copy + (bytes - p.core.input.bytes), 0xff, 400);
	}
	reopen(PANIC, in.size);
	ck_assert_int_ne(gc_go_target_new(&other, t, &options, &err), GC_OK);
	ck_assert_int_ne(err.code, GC_E_NOT_FOUND);
	ck_assert_msg(strstr(err.text, "goroutines") != NULL, "%s", err.text);
	ck_assert_uint_eq(t->ops->threads(t)->count, 10);
	close_target();
}
END_TEST

/* Without the list of goroutines they are found all the same. */
START_TEST(no_list)
{
	struct gc_symbol sym;
	struct gc_input in;
	size_t off;

	open_target(PANIC, false, 1000);
	ck_assert(gc_elf_symbol_named(gc_images_program(&p.images)->file, "runtime.allgs", &sym));
	off = copy_core(&in, sym.value);
	memset(copy + off, 0, 24);
	reopen(PANIC, in.size);
	show_goroutines(true, 1000);
	ck_assert_uint_eq(t->ops->threads(t)->count, 57);
	close_target();
}
END_TEST

START_TEST(doubles)
{
	uint64_t addr;
	struct gc_input in;
	size_t off;

	open_target(PANIC, true, 1000);
	addr = gc_go_goroutine_by_id(gc_go_target_go(t), 50)->addr;
	off = copy_core(&in, addr + 160); /* goid of Go 1.24 */
	ck_assert_uint_eq(gc_load_le64(copy + off), 50);
	gc_store_le64(copy + off, 51);
	reopen(PANIC, in.size);
	show_goroutines(true, 1000);
	ck_assert_uint_eq(t->ops->threads(t)->count, 56);
	ck_assert(!t->ops->has_thread(t, id_of(50)));
	ck_assert(t->ops->has_thread(t, id_of(51)));
	close_target();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("go target");
	TCase *tc = tcase_create("go target");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, all);
	tcase_add_test(tc, names);
	tcase_add_test(tc, parked);
	tcase_add_test(tc, interrupted);
	tcase_add_test(tc, only_goroutines);
	tcase_add_test(tc, groups);
	tcase_add_test(tc, groups_are_few);
	tcase_add_test(tc, groups_of_another_process);
	tcase_add_test(tc, no_thread);
	tcase_add_test(tc, no_go);
	tcase_add_test(tc, no_list);
	tcase_add_test(tc, no_goroutines);
	tcase_add_test(tc, doubles);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
