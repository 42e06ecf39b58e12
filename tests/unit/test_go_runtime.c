/*
 * The Go runtime of real cores against the tracebacks that the same processes
 * printed before they died (expect.txt), and of the same cores spoilt.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"
#include "gocore/go.h"

#include "core_builder.h"

static struct gc_process p;
static struct gc_problems problems;
static struct gc_go *go;
static struct gc_error err;

static const char *fixture(const char *dir, const char *name)
{
	const char *source = getenv("GOCORE_SOURCE");
	static char path[4096];

	snprintf(path, sizeof(path), "%s/cores/%s/%s", source ? source : ".", dir, name);
	return path;
}

static void open_process(const char *dir, struct gc_input *in, bool with_program)
{
	struct gc_find_options options = {
		.program = with_program ? fixture(dir, "bin.zst") : NULL, .no_host_paths = true, .no_debuginfod = true,
	};

	problems = (struct gc_problems){ .list = NULL };
	ck_assert_msg(gc_process_open(&p, in, &options, &err) == GC_OK, "%s", err.text);
}

static void open_go(const char *dir, bool with_program)
{
	struct gc_input in;

	ck_assert_int_eq(gc_input_open(&in, fixture(dir, "core.zst"), NULL, NULL, &err), GC_OK);
	open_process(dir, &in, with_program);
	ck_assert_msg(gc_go_open(&go, &p, &problems, &err) == GC_OK, "%s", err.text);
}

static void close_go(void)
{
	gc_go_close(go);
	gc_problems_deinit(&problems);
	gc_process_close(&p);
}

/* A printed traceback */

struct printed_frame {
	char function[512], place[512];
	unsigned long pc, sp, fp; /* pc 0: inlined */
};

struct printed {
	unsigned long goid, gp;
	char state[128];
	struct printed_frame frames[64];
	size_t nframes;
	char creator[512];
	unsigned long parent;
};

/** "name(args)" -> name; "file:line +0x.. fp=.. sp=.. pc=.." of the line below */
static void parse_frame(struct printed *g, char *line, const char *below)
{
	struct printed_frame *f = &g->frames[g->nframes++];
	const char *at = strstr(below, " fp=");

	*strrchr(line, '(') = '\0';
	ck_assert_int_eq(sscanf(line, "%511[^\n]", f->function), 1);
	ck_assert_int_eq(sscanf(below, " %511s", f->place), 1);
	f->pc = f->sp = f->fp = 0;
	if (at)
		ck_assert_int_eq(sscanf(at, " fp=%lx sp=%lx pc=%lx", &f->fp, &f->sp, &f->pc), 3);
}

/** The next goroutine with a number. @return false at the end */
static bool next_goroutine(FILE *in, struct printed *g)
{
	char line[8192], below[8192];

	*g = (struct printed){ .goid = 0 };
	while (fgets(line, sizeof(line), in)) {
		if (!g->goid) {
			const char *state = strchr(line, '[');

			if (sscanf(line, "goroutine %lu gp=%lx", &g->goid, &g->gp) == 2 && g->goid && state)
				ck_assert_int_eq(sscanf(state, "[%127[^]]", g->state), 1);
			else
				g->goid = 0;
			continue;
		}
		if (line[0] == '\n')
			return true;
		ck_assert_ptr_nonnull(fgets(below, sizeof(below), in));
		if (strncmp(line, "created by ", 11) == 0)
			ck_assert_int_eq(sscanf(line, "created by %511s in goroutine %lu", g->creator, &g->parent), 2);
		else
			parse_frame(g, line, below);
	}
	return false;
}

static void ck_frame(const struct gc_frame *ours, const struct printed_frame *f)
{
	char place[4096];

	snprintf(place, sizeof(place), "%s:%u", ours->file, ours->line);
	ck_assert_str_eq(ours->function, f->function);
	ck_assert_str_eq(place, f->place);
	ck_assert_int_eq(ours->inlined, f->pc == 0);
	if (f->pc) {
		ck_assert_uint_eq(ours->pc, f->pc);
		ck_assert_uint_eq(ours->sp, f->sp);
		ck_assert_uint_eq(ours->cfa, f->fp);
	}
}

/** Frames of the dying itself may lie above those that were printed. */
static void ck_goroutine(const struct printed *printed)
{
	const struct gc_goroutine *g = gc_go_goroutine_by_id(go, printed->goid);
	struct gc_frames frames = { .list = NULL };
	struct gc_go_stack_end end;
	struct gc_frame creator;
	struct gc_buf state = GC_BUF_INIT;

	ck_assert_msg(g != NULL, "goroutine %lu", printed->goid);
	ck_assert_uint_eq(g->addr, printed->gp);
	gc_go_describe(go, g, &state);
	ck_assert_str_eq(gc_buf_text(&state), printed->state);
	gc_buf_deinit(&state);
	ck_assert_int_eq(gc_go_goroutine_stack(go, g, &frames, &end, &err), GC_OK);
	ck_assert_int_eq(end.how, GC_GO_END);
	ck_assert_uint_ge(frames.count, printed->nframes);
	for (size_t i = 0; i < printed->nframes; i++)
		ck_frame(&frames.list[frames.count - printed->nframes + i], &printed->frames[i]);
	gc_frames_deinit(&frames);
	ck_assert_int_eq(gc_go_created_by(go, g, &creator), printed->creator[0] != '\0');
	if (printed->creator[0]) {
		ck_assert_str_eq(creator.function, printed->creator);
		ck_assert_uint_eq(g->parent, printed->parent);
	}
}

static const struct {
	const char *dir, *type, *text;
	uint64_t goid;
	size_t goroutines;
} cores[] = {
	{ "aarch64/panic-go1.24", "*main.RequestError", "handle /fail: code 503: backend is gone", 69, 57 },
	{ "aarch64/segv-go1.22-filter21", "runtime.errorString",
	  "runtime error: invalid memory address or nil pointer dereference", 1, 8 },
	{ "x86_64/segv-go1.26", "runtime.errorString",
	  "runtime error: invalid memory address or nil pointer dereference", 1, 8 },
};

START_TEST(as_printed)
{
	static struct printed printed;
	size_t n, seen = 0;
	FILE *in = fopen(fixture(cores[_i].dir, "expect.txt"), "r");

	ck_assert_ptr_nonnull(in);
	open_go(cores[_i].dir, true);
	while (next_goroutine(in, &printed)) {
		ck_goroutine(&printed);
		seen++;
	}
	fclose(in);
	gc_go_goroutines(go, &n);
	ck_assert_uint_eq(n, cores[_i].goroutines);
	ck_assert_uint_eq(seen, n);
	ck_assert_uint_eq(problems.count, 0);
	close_go();
}
END_TEST

START_TEST(panic_value)
{
	struct gc_go_panics panics;

	open_go(cores[_i].dir, true);
	ck_assert_int_eq(gc_go_panics_read(go, &panics, &err), GC_OK);
	ck_assert_uint_eq(panics.goroutine->goid, cores[_i].goid);
	ck_assert_uint_eq(panics.count, 1);
	ck_assert_str_eq(panics.list[0].type, cores[_i].type);
	ck_assert_str_eq(panics.list[0].text, cores[_i].text);
	ck_assert_ptr_null(panics.fatal);
	gc_go_panics_deinit(&panics);
	close_go();
}
END_TEST

/* gdb's "info goroutines" and the printed "created by" tell the same; here what they were started with. */
START_TEST(entry_functions)
{
	size_t n, workers = 0;
	const struct gc_goroutine *list;

	open_go("aarch64/panic-go1.24", true);
	list = gc_go_goroutines(go, &n);
	for (size_t i = 0; i < n; i++) {
		const char *name = gc_go_entry_function(go, &list[i]);

		ck_assert_ptr_nonnull(name);
		ck_assert_ptr_null(strstr(name, ".gowrap"));
		workers += strcmp(name, "main.parkReceive") == 0;
		if (list[i].goid == 1)
			ck_assert_str_eq(name, "runtime.main");
		ck_assert_int_eq(gc_go_is_system(go, &list[i]),
				 strncmp(name, "runtime.", 8) == 0 && list[i].goid != 1);
	}
	ck_assert_uint_eq(workers, 10); /* "goroutines  0.. 9: chan receive in parkReceive" */
	close_go();
}
END_TEST

/* No program at hand: the core still has the goroutines, their states and, by frame pointers, addresses. */
START_TEST(without_program)
{
	static struct printed printed;
	struct gc_frames frames = { .list = NULL };
	FILE *in = fopen(fixture("aarch64/panic-go1.24", "expect.txt"), "r");
	size_t checked = 0;

	ck_assert_ptr_nonnull(in);
	open_go("aarch64/panic-go1.24", false);
	ck_assert(has_problem(&problems, "no function names"));
	while (next_goroutine(in, &printed)) {
		const struct gc_goroutine *g = gc_go_goroutine_by_id(go, printed.goid);
		size_t k = 0;

		ck_assert_ptr_nonnull(g);
		if (g->status != GC_GO_WAITING)
			continue;
		gc_frames_clear(&frames);
		ck_assert_int_eq(gc_go_goroutine_stack(go, g, &frames, NULL, &err), GC_OK);
		for (size_t i = 0; i < printed.nframes; i++)
			if (printed.frames[i].pc) {
				ck_assert_uint_lt(k, frames.count);
				ck_assert_ptr_null(frames.list[k].function);
				ck_assert_uint_eq(frames.list[k++].pc, printed.frames[i].pc);
			}
		ck_assert_uint_eq(k, frames.count);
		checked++;
	}
	ck_assert_uint_gt(checked, 40);
	gc_frames_deinit(&frames);
	fclose(in);
	close_go();
}
END_TEST

/* Delve's core: threads by notes of its own, and a copy of everything. Its own stack of goroutine 1 is the truth. */
START_TEST(delve)
{
	static const char *const functions[] = {
		"runtime.fatalpanic", "panic", "runtime.panicmem", "runtime.sigpanic", "main.(*summer).Walk",
	};
	static const unsigned lines[] = { 1143, 987, 260, 835, 38 };
	struct gc_frames frames = { .list = NULL };

	open_go("x86_64/segv-go1.19-delve", true);
	ck_assert_int_eq(gc_go_goroutine_stack(go, gc_go_goroutine_by_id(go, 1), &frames, NULL, &err), GC_OK);
	ck_assert_uint_gt(frames.count, GC_COUNT(functions));
	for (size_t i = 0; i < GC_COUNT(functions); i++) {
		ck_assert_str_eq(frames.list[i].function, functions[i]);
		ck_assert_uint_eq(frames.list[i].line, lines[i]);
	}
	ck_assert_str_eq(frames.list[frames.count - 1].function, "runtime.goexit");
	gc_frames_deinit(&frames);
	close_go();
}
END_TEST

START_TEST(no_go)
{
	struct gc_input in;

	ck_assert_int_eq(gc_input_open(&in, fixture("x86_64/threads", "core.zst"), NULL, NULL, &err), GC_OK);
	open_process("x86_64/threads", &in, true);
	ck_assert_int_eq(gc_go_open(&go, &p, &problems, &err), GC_E_NOT_FOUND);
	gc_problems_deinit(&problems);
	gc_process_close(&p);
}
END_TEST

/* Spoilt cores: a copy of the core's bytes is changed at a memory address. */

#define SPOILT "aarch64/panic-go1.24"

static uint8_t *copy;
static size_t copy_len;

/** Start from the sound core: leaves it open, for addresses. */
static void begin_spoiling(void)
{
	open_go(SPOILT, true);
	copy_len = p.core.input.size;
	copy = malloc(copy_len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p.core.input.bytes, copy_len);
}

static void poke(uint64_t addr, uint64_t value)
{
	const uint8_t *bytes = NULL;

	ck_assert_uint_ge(gc_space_peek(&p.space, addr, &bytes), 8);
	ck_assert_ptr_nonnull(bytes);
	gc_store_le64(copy + (bytes - p.core.input.bytes), value);
}

static uint64_t peek(uint64_t addr)
{
	uint64_t value = 0;

	ck_assert_int_eq(gc_space_u64(&p.space, addr, &value, &err), GC_OK);
	return value;
}

static void reopen(void)
{
	struct gc_input in;

	close_go();
	input_of_bytes(&in, copy, copy_len);
	free(copy);
	open_process(SPOILT, &in, true);
	ck_assert_msg(gc_go_open(&go, &p, &problems, &err) == GC_OK, "%s", err.text);
}

/** Address of the array that lists all goroutines, by the program's symbols. */
static uint64_t find_allgs(void)
{
	struct gc_symbol sym;

	ck_assert(gc_elf_symbol_named(gc_images_program(&p.images)->file, "runtime.allgs", &sym));
	return peek(sym.value);
}

START_TEST(allgs_with_doubles)
{
	size_t before, after;
	uint64_t allgs;

	begin_spoiling();
	gc_go_goroutines(go, &before);
	allgs = find_allgs();
	poke(allgs + 8 * 5, peek(allgs + 8 * 6));
	poke(allgs + 8 * 7, 0xdeadbeef000);
	reopen();
	gc_go_goroutines(go, &after);
	ck_assert_uint_eq(after, before);
	ck_assert(has_problem(&problems, "1 of 57 in the runtime's list are damaged"));
	ck_assert(has_problem(&problems, "1 of 57 in the runtime's list are not in the core"));
	ck_assert(has_problem(&problems, "2 that the runtime's list does not lead to"));
	close_go();
}
END_TEST

START_TEST(wild_goroutine)
{
	const struct gc_goroutine *g;
	size_t before, after;

	begin_spoiling();
	gc_go_goroutines(go, &before);
	g = gc_go_goroutine_by_id(go, 17);
	poke(g->addr, UINT64_MAX); /* stack.lo above stack.hi */
	reopen();
	gc_go_goroutines(go, &after);
	ck_assert_uint_eq(after, before);
	ck_assert(has_problem(&problems, "1 of 57 are shown though they are partly damaged"));
	close_go();
}
END_TEST

/* A stack whose return address leads back to its own frame, and one that leads nowhere. */
START_TEST(damaged_stacks)
{
	struct gc_frames frames = { .list = NULL };
	struct gc_go_stack_end end;
	const struct gc_goroutine *g;

	begin_spoiling();
	g = gc_go_goroutine_by_id(go, 17);
	poke(g->sched_sp, g->sched_pc); /* lr is kept at sp */
	g = gc_go_goroutine_by_id(go, 18);
	poke(g->sched_sp, 0x4141414141414141);
	reopen();
	ck_assert_int_eq(gc_go_goroutine_stack(go, gc_go_goroutine_by_id(go, 17), &frames, &end, &err), GC_OK);
	ck_assert_uint_lt(frames.count, GC_MAX_FRAMES);
	ck_assert_str_eq(frames.list[0].function, "runtime.gopark");
	gc_frames_clear(&frames);
	ck_assert_int_eq(gc_go_goroutine_stack(go, gc_go_goroutine_by_id(go, 18), &frames, &end, &err), GC_OK);
	ck_assert_uint_eq(frames.count, 1);
	ck_assert_int_eq(end.how, GC_GO_C);
	ck_assert_uint_eq(end.state.pc, 0x4141414141414141);
	gc_frames_deinit(&frames);
	close_go();
}
END_TEST

/* The list of Ms bites its tail: m0 goes on with the newest. */
START_TEST(cycle_of_ms)
{
	const struct gc_go_m *ms;
	uint64_t allm, m0;
	size_t before, after;

	begin_spoiling();
	ms = gc_go_ms(go, &before);
	m0 = ms[0].addr;
	allm = ms[before - 1].addr;
	poke(m0 + 328, allm); /* alllink of Go 1.24 */
	reopen();
	gc_go_ms(go, &after);
	ck_assert_uint_le(after, before);
	close_go();
}
END_TEST

START_TEST(minor_versions)
{
	ck_assert_int_eq(gc_go_minor("go1.24.4"), 24);
	ck_assert_int_eq(gc_go_minor("go1.27rc1"), 27);
	ck_assert_int_eq(gc_go_minor("devel go1.26-abcdef Mon"), 26);
	ck_assert_int_eq(gc_go_minor("devel +abcdef"), 0);
	ck_assert_int_eq(gc_go_minor(NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("go runtime");
	TCase *tc = tcase_create("go runtime");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, as_printed, 0, GC_COUNT(cores));
	tcase_add_loop_test(tc, panic_value, 0, GC_COUNT(cores));
	tcase_add_test(tc, entry_functions);
	tcase_add_test(tc, without_program);
	tcase_add_test(tc, delve);
	tcase_add_test(tc, no_go);
	tcase_add_test(tc, allgs_with_doubles);
	tcase_add_test(tc, wild_goroutine);
	tcase_add_test(tc, damaged_stacks);
	tcase_add_test(tc, cycle_of_ms);
	tcase_add_test(tc, minor_versions);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
