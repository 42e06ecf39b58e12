/*
 * What lldb asks of the files of modules, so that it takes no other build for
 * them: jModulesInfo for many, qModuleInfo for one (docs/resources/
 * lldbgdbremote.md of LLVM 21).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "rsp/commands.h"

/* More than a process has; each costs a look through the link map. */
#define MAX_MODULES 10000

/** The image of a file that a list of ours named: the program, a library, or a mapped file. */
static const struct gc_image *find_image(const struct gc_process *p, const char *path)
{
	const char *exe = gc_process_exe(p);

	if (exe && strcmp(exe, path) == 0)
		return gc_images_program(&p->images);
	for (size_t i = 0; i < p->links.count; i++)
		if (strcmp(p->links.list[i].name, path) == 0)
			return p->links.list[i].image;
	for (size_t i = 0; i < p->images.count; i++)
		if (p->images.list[i].path && strcmp(p->images.list[i].path, path) == 0)
			return &p->images.list[i];
	return NULL;
}

static void build_id_text(const struct gc_build_id *id, struct gc_buf *out)
{
	gc_buf_hex(out, id->bytes, id->len);
}

static uint64_t file_size(const struct gc_image *image)
{
	return image->file ? image->file->input.size : 0;
}

/** @return new reference; NULL if nothing is known of the file, or out of memory */
static json_t *describe(const struct gc_rsp *rsp, const char *path)
{
	const struct gc_process *p = rsp->target->process;
	const struct gc_image *image = find_image(p, path);
	struct gc_buf uuid = GC_BUF_INIT;
	json_t *module;

	if (!image || !image->build_id.len)
		return NULL;
	build_id_text(&image->build_id, &uuid);
	module = json_pack("{s:s, s:s, s:s, s:i, s:I}", "uuid", gc_buf_text(&uuid), "triple", p->core.arch->triple,
			   "file_path", path, "file_offset", 0, "file_size", (json_int_t)file_size(image));
	gc_buf_deinit(&uuid);
	return module;
}

static json_t *describe_all(const struct gc_rsp *rsp, const json_t *asked)
{
	json_t *out = json_array(), *row;
	size_t i;

	json_array_foreach(asked, i, row) {
		const char *path = json_string_value(json_object_get(row, "file"));

		if (i < MAX_MODULES && path)
			json_array_append_new(out, describe(rsp, path));
	}
	return out;
}

/** jModulesInfo:[{"file":PATH,"triple":TRIPLE},...]: an array of those that are known. */
enum gc_code gc_modules_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	json_t *asked = json_loadb(args->pos, gc_args_left(args), 0, NULL), *modules;
	char *text;

	if (!json_is_array(asked)) {
		json_decref(asked);
		return gc_bad_packet(err);
	}
	modules = describe_all(rsp, asked);
	text = json_dumps(modules, JSON_COMPACT);
	if (text)
		gc_packet_add_binary(reply->out, text, strlen(text), SIZE_MAX);
	json_decref(modules);
	json_decref(asked);
	free(text);
	return text ? GC_OK : gc_fail_memory(err);
}

static void add_hex_key(struct gc_buf *out, const char *key, const char *text)
{
	gc_buf_printf(out, "%s:", key);
	gc_packet_add_hex(out, text, strlen(text));
	gc_buf_char(out, ';');
}

/** qModuleInfo:HEX-PATH;HEX-TRIPLE */
enum gc_code gc_module_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	const struct gc_process *p = rsp->target->process;
	struct gc_args part = gc_args_until(args, ';');
	struct gc_buf uuid = GC_BUF_INIT;
	const struct gc_image *image;
	char path[4096];

	if (!gc_args_hex_text(&part, path, sizeof(path)))
		return gc_bad_packet(err);
	image = find_image(p, path);
	if (!image || !image->build_id.len)
		return gc_fail(err, GC_E_NOT_FOUND, "nothing is known of this file");
	build_id_text(&image->build_id, &uuid);
	add_hex_key(reply->out, "uuid", gc_buf_text(&uuid));
	add_hex_key(reply->out, "triple", p->core.arch->triple);
	add_hex_key(reply->out, "file_path", path);
	gc_buf_printf(reply->out, "file_offset:0;file_size:%" PRIx64 ";", file_size(image));
	gc_buf_deinit(&uuid);
	return GC_OK;
}
