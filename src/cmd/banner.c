/* What the server says before it listens: five lines, and what is wrong. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "gocore/buildinfo.h"
#include "gocore/go_target.h"
#include "gocore/program_file.h"
#include "gocore/signals.h"

#define MAX_SHOWN_PROBLEMS 8

static void add_size(struct gc_buf *out, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < GC_COUNT(units)) {
		value /= 1024;
		unit++;
	}
	gc_buf_printf(out, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void add_core(const struct gc_process *p, struct gc_buf *out)
{
	const struct gc_core *core = &p->core;
	char name[16];

	gc_buf_printf(out, "core      %s: ", core->input.path);
	if (core->has_prpsinfo)
		gc_buf_printf(out, "%s ", core->prpsinfo.fname);
	gc_buf_printf(out, "(pid %" PRId64 "), Linux %s, ", core->pid, core->arch->name);
	gc_buf_str(out, core->signal ? gc_signal_name(core->signal, name) : "no signal");
	if (core->nthreads)
		gc_buf_printf(out, ", thread %" PRId64, core->threads[0].tid);
	if (core->maker != GC_MADE_BY_KERNEL)
		gc_buf_printf(out, ", written by %s", gc_core_maker_name(core->maker));
	gc_buf_char(out, '\n');
}

static void add_identity(const struct gc_image *image, struct gc_buf *out)
{
	char hex[2 * GC_BUILD_ID_MAX + 1];

	switch (image->check) {
	case GC_CHECK_BUILD_ID:
		gc_build_id_hex(&image->file->build_id, hex);
		gc_buf_printf(out, " (build ID %.12s\xe2\x80\xa6)", hex);
		break;
	case GC_CHECK_GO_BUILD_ID:
		gc_buf_str(out, " (Go build ID)");
		break;
	case GC_CHECK_PAGES:
		gc_buf_str(out, " (no build ID in the core; the dumped pages agree)");
		break;
	default:
		break;
	}
}

static void add_missing_program(const struct gc_image *image, struct gc_buf *out)
{
	gc_buf_printf(out, "program   %s: not found", image->path);
	if (image->build_id.len) {
		char hex[2 * GC_BUILD_ID_MAX + 1];

		gc_build_id_hex(&image->build_id, hex);
		gc_buf_printf(out, " (build ID %s)", hex);
	}
	gc_buf_str(out, "; name it after the core, or use --sysroot, --bin-dir\n");
}

static void add_program(const struct gc_process *p, struct gc_buf *out)
{
	const struct gc_image *image = gc_images_program(&p->images);
	struct gc_buildinfo info;

	if (!image)
		return;
	if (!image->file) {
		add_missing_program(image, out);
		return;
	}
	gc_buf_printf(out, "program   %s: ", image->found_path);
	if (image->status == GC_IMAGE_FORCED)
		gc_buf_str(out, "used because of --force: what is read from it may be wrong");
	else
		gc_buf_str(out, "belongs to this core");
	add_identity(image, out);
	if (gc_buildinfo_of_file(&info, image->file, NULL) == GC_OK) {
		gc_buf_printf(out, ", Go %s", strncmp(info.version, "go", 2) == 0 ? info.version + 2 : info.version);
		gc_buildinfo_deinit(&info);
	}
	gc_buf_char(out, '\n');
}

static void add_images(const struct gc_process *p, struct gc_buf *out)
{
	size_t found = 0, missing = 0, refused = 0;

	for (size_t i = 0; i < p->images.count; i++) {
		const struct gc_image *image = &p->images.list[i];

		found += image->status == GC_IMAGE_FOUND || image->status == GC_IMAGE_FORCED;
		missing += image->status == GC_IMAGE_MISSING;
		refused += image->status == GC_IMAGE_MISMATCH;
	}
	gc_buf_printf(out, "images    %zu found, %zu missing", found, missing);
	if (refused)
		gc_buf_printf(out, ", %zu refused", refused);
	if (missing + refused)
		gc_buf_printf(out, " (monitor images lists them; --sysroot names the target's file tree)");
	gc_buf_char(out, '\n');
}

static void add_memory(const struct gc_process *p, struct gc_buf *out)
{
	uint64_t totals[4], not_dumped;

	gc_space_totals(&p->space, totals);
	not_dumped = totals[GC_RANGE_RECOVERED] + totals[GC_RANGE_ABSENT];
	gc_buf_printf(out, "memory    %zu ranges, ", p->space.count);
	add_size(out, totals[GC_RANGE_DUMPED]);
	if (not_dumped) {
		gc_buf_str(out, "; ");
		add_size(out, not_dumped);
		gc_buf_str(out, " not dumped, ");
		if (!totals[GC_RANGE_ABSENT]) {
			gc_buf_str(out, "all of it recovered from files");
		} else {
			if (totals[GC_RANGE_RECOVERED])
				add_size(out, totals[GC_RANGE_RECOVERED]);
			else
				gc_buf_str(out, "none");
			gc_buf_str(out, " of it recovered from files");
		}
	}
	if (totals[GC_RANGE_CUT]) {
		gc_buf_str(out, "; ");
		add_size(out, totals[GC_RANGE_CUT]);
		gc_buf_str(out, " cut off");
	}
	gc_buf_char(out, '\n');
}

static void add_threads(struct gc_target *t, const char *no_goroutines, struct gc_buf *out)
{
	struct gc_go *go = gc_go_target_go(t);
	size_t count;

	gc_buf_printf(out, "threads   %zu OS thread%s", t->process->core.nthreads,
		      t->process->core.nthreads == 1 ? "" : "s");
	if (go) {
		gc_go_goroutines(go, &count);
		gc_buf_printf(out, ", %zu goroutine%s", count, count == 1 ? "" : "s");
		if (gc_go_target_is_grouped(t))
			gc_buf_str(out, "; equal ones are one thread "
				   "(--goroutines=all; monitor goroutines lists them)");
	} else if (no_goroutines) {
		gc_buf_printf(out, "; goroutines cannot be shown: %s", no_goroutines);
	}
	gc_buf_char(out, '\n');
}

/** How names get from here into a debugger. */
static void add_symbols(const struct gc_target *t, struct gc_buf *out)
{
	const struct gc_image *program = gc_images_program(&t->process->images);
	const char *exe = gc_process_exe(t->process);

	if (!t->program_file || !gc_program_file_is_stripped(t->program_file) || !exe)
		return;
	gc_buf_printf(out,
		      "symbols   the program is stripped: start gdb without it, then it gets names, lines and stacks "
		      "from here\n"
		      "          (a gdb that has loaded the stripped program needs: symbol-file target:%s)\n",
		      exe);
	if (program && program->found_path)
		gc_buf_printf(out,
			      "          lldb fetches no files; for it: gocore-stub symbols %s -o go.sym\n"
			      "          and in it, first of all: target create --symfile go.sym %s\n",
			      program->found_path, program->found_path);
}

static void add_problems(const struct gc_problems *problems, size_t *shown, struct gc_buf *out)
{
	for (size_t i = 0; i < problems->count; i++)
		if ((*shown)++ < MAX_SHOWN_PROBLEMS)
			gc_buf_printf(out, "problem   %s: %s\n", problems->list[i].where, problems->list[i].what);
}

/** @param go NULL: none */
static void add_all_problems(const struct gc_process *p, const struct gc_problems *go, struct gc_buf *out)
{
	size_t shown = 0;

	add_problems(&p->core.problems, &shown, out);
	add_problems(&p->problems, &shown, out);
	if (go)
		add_problems(go, &shown, out);
	if (shown > MAX_SHOWN_PROBLEMS)
		gc_buf_printf(out, "          and %zu more: monitor problems\n", shown - MAX_SHOWN_PROBLEMS);
}

void banner_text(struct gc_target *t, const char *no_goroutines, struct gc_buf *out)
{
	const struct gc_process *p = t->process;

	add_core(p, out);
	add_program(p, out);
	add_images(p, out);
	add_memory(p, out);
	add_threads(t, no_goroutines, out);
	add_symbols(t, out);
	add_all_problems(p, gc_go_target_problems(t), out);
	if (out->data)
		gc_defuse(out->data);
}

void banner_problems(const struct gc_process *p, struct gc_buf *out)
{
	add_all_problems(p, NULL, out);
	if (out->data)
		gc_defuse(out->data);
}
