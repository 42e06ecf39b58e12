#include "cmd/cmd.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/io.h"
#include "base/new_file.h"
#include "gocore/bytes.h"
#include "gocore/log.h"
#include "gocore/symbol_file.h"

struct symbols_options {
	struct common_options common;
	const char *file, *program, *output;
	bool combined;
};

enum {
	OPT_COMBINED = 0x200,
};

static const struct argp_option options[] = {
	{ "output", 'o', "FILE", 0, "Where to write the symbol file", 1 },
	{ "combined", OPT_COMBINED, NULL, 0, "Write the whole program with the symbols behind it", 1 },
	{ 0 },
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct symbols_options *o = state->input;

	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case OPT_COMBINED:
		o->combined = true;
		return 0;
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->common;
		return 0;
	case ARGP_KEY_ARG:
		take_file(state, arg, &o->file, &o->program);
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "of which program?");
		return 0;
	case ARGP_KEY_END:
		if (!o->output || !*o->output)
			argp_error(state, "where to? (-o FILE)");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse,
	.args_doc = "PROGRAM -o FILE\nCORE [PROGRAM] -o FILE",
	.doc = "Write a symbol file for a Go program, stripped or not: function names, files, lines, inlined calls "
	       "and how to unwind, out of the tables that every Go program carries for its own tracebacks."
	       "\vThe file is for debuggers: symbol-file in gdb, target symbols add in lldb. With --combined "
	       "it stands in for the program itself, and C code in it is unwound as before. Of a core the "
	       "program's file is taken if it is found, else what the core holds of it.\n\n"
	       "  gocore-stub symbols ./server -o server.debug\n"
	       "  gocore-stub symbols ./server -o server.full --combined\n"
	       "  gdb server.full core.4711\n"
	       "  gocore-stub symbols core.4711 -o server.debug\n",
	.children = common_children,
};

/** @return false after saying so if the output would replace @input (NULL: none) */
static bool may_write(const struct symbols_options *o, const char *input)
{
	if (!gc_is_same_file(input, o->output))
		return true;
	gc_warn("%s: is the input: it is not overwritten", o->output);
	return false;
}

static int save(const struct symbols_options *o, const struct gc_buf *bytes)
{
	struct gc_new_file file;
	struct gc_error err;
	enum gc_code code = gc_new_file_open(&file, o->output, &err);

	if (code == GC_OK && !gc_write_all(file.fd, bytes->data, bytes->len)) {
		code = gc_fail_errno(&err, errno, "cannot be written");
		gc_new_file_discard(&file);
	} else if (code == GC_OK) {
		code = gc_new_file_publish(&file, o->combined ? 0777 : 0666, &err);
	}
	if (code != GC_OK)
		print_error(o->output, &err);
	return code == GC_OK ? EXIT_DONE : EXIT_UNUSABLE;
}

/** Write what was made, or say why nothing was. Releases @bytes and @problems. */
static int finish(const struct symbols_options *o, enum gc_code code, struct gc_buf *bytes,
		  struct gc_problems *problems, const struct gc_error *err)
{
	int status = EXIT_UNUSABLE;

	for (size_t i = 0; code == GC_OK && i < problems->count; i++)
		gc_warn("%s: %s: %s", o->file, problems->list[i].where, problems->list[i].what);
	if (code == GC_OK)
		status = save(o, bytes);
	else
		print_error(o->file, err);
	gc_buf_deinit(bytes);
	gc_problems_deinit(problems);
	return status;
}

static int of_program(struct gc_input *in, const struct symbols_options *o)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_buf bytes = GC_BUF_INIT;
	struct gc_elf_file file;
	struct gc_error err;
	enum gc_code code;

	if (o->program) {
		gc_warn("%s: is a program, not a core: give the core first", o->file);
		gc_input_close(in);
		return EXIT_UNUSABLE;
	}
	if (gc_elf_file_take(&file, in, &err) != GC_OK) {
		print_error(o->file, &err);
		return EXIT_UNUSABLE;
	}
	code = gc_symbol_file_of_program(&file, o->combined, NULL, &bytes, &problems, &err);
	gc_elf_file_close(&file);
	return finish(o, code, &bytes, &problems, &err);
}

static int of_core(struct gc_input *in, const struct symbols_options *o)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_buf bytes = GC_BUF_INIT;
	const struct gc_image *program;
	struct gc_process process;
	struct gc_error err;
	enum gc_code code;

	if (!open_process_of(&process, in, o->program, &o->common))
		return EXIT_UNUSABLE;
	program = gc_images_program(&process.images);
	if (program && program->file && !may_write(o, program->found_path)) {
		gc_process_close(&process);
		return EXIT_UNUSABLE;
	}
	code = gc_symbol_file_of_process(&process, o->combined, &bytes, &problems, &err);
	gc_process_close(&process);
	return finish(o, code, &bytes, &problems, &err);
}

int run_symbols(int argc, char **argv)
{
	struct symbols_options o = { .file = NULL };
	struct gc_input in;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!may_write(&o, o.file) || !may_write(&o, o.program) || !open_input(&in, o.file))
		return EXIT_UNUSABLE;
	if (in.size >= 20 && memcmp(in.bytes, ELFMAG, SELFMAG) == 0 && gc_load_le16(in.bytes + 16) != ET_CORE)
		return of_program(&in, &o);
	return of_core(&in, &o);
}
