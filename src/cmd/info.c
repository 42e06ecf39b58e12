#include "cmd/cmd.h"

#include <elf.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/document.h"

struct info_options {
	struct common_options common;
	const char *file, *program;
	bool json;
};

static const struct argp_option options[] = {
	{ "json", 'j', NULL, 0, "Print JSON (schema gocore-stub/info/1)", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct info_options *o = state->input;

	switch (key) {
	case 'j':
		o->json = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		take_file(state, arg, &o->file, &o->program);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which core or program?");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "CORE [PROGRAM]\nPROGRAM",
	.doc = "Say what a core or a program is, and whether the two belong together."
	       "\vOf a core: who wrote it, the crash, threads, notes, memory by class, the images and "
	       "whether each was found. Of a program: its ELF identity, libraries, what stripping left, "
	       "and Go's build information.\n\n"
	       "  gocore-stub info core.4711\n"
	       "  gocore-stub info core.4711 ./server --sysroot=/srv/arm64-root\n"
	       "  gocore-stub info --json ./server | jq .go\n",
	.children = common_children,
};

/** An ELF file that is no core: a program or library to be described by itself. */
static bool is_program(const struct gc_input *in)
{
	return in->size >= 20 && memcmp(in->bytes, ELFMAG, SELFMAG) == 0 &&
	       gc_load_le16(in->bytes + 16) != ET_CORE;
}

static int info_program(struct gc_input *in, const struct info_options *o)
{
	struct gc_elf_file file;
	struct gc_error err;
	int status;

	if (o->program) {
		gc_warn("%s: is a program, not a core: give the core first", o->file);
		gc_input_close(in);
		return EXIT_UNUSABLE;
	}
	if (gc_elf_file_take(&file, in, &err) != GC_OK) {
		print_error(o->file, &err);
		return EXIT_UNUSABLE;
	}
	status = print_document(gc_info_program(&file, NULL), o->json, gc_info_text);
	gc_elf_file_close(&file);
	return status;
}

int run_info(int argc, char **argv)
{
	struct info_options o = { .file = NULL };
	struct gc_process process;
	struct gc_input in;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!open_input(&in, o.file))
		return EXIT_UNUSABLE;
	if (is_program(&in))
		return info_program(&in, &o);
	if (!open_process_of(&process, &in, o.program, &o.common))
		return EXIT_UNUSABLE;
	status = print_document(gc_info_core(&process), o.json, gc_info_text);
	gc_process_close(&process);
	return status;
}
