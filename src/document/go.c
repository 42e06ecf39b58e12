/* Go's build information as JSON. */
#include <string.h>

#include "document/doc.h"
#include "gocore/buildinfo.h"

/** An empty string is what Go writes for "none". */
static void add(struct gc_doc *d, json_t *object, const char *key, const char *text)
{
	if (text && *text)
		gc_doc_str(d, object, key, text);
}

static json_t *modules(struct gc_doc *d, const struct gc_buildinfo *info)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < info->ndeps; i++) {
		const struct gc_go_module *from = &info->deps[i];
		json_t *module = gc_doc_object(d);

		add(d, module, "path", from->path);
		add(d, module, "version", from->version);
		add(d, module, "sum", from->sum);
		add(d, module, "replaced_by", from->replaced_by);
		add(d, module, "replaced_version", from->replaced_version);
		gc_doc_append(d, array, module);
	}
	return array;
}

static json_t *settings(struct gc_doc *d, const struct gc_buildinfo *info)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < info->nsettings; i++) {
		json_t *setting = gc_doc_object(d);

		gc_doc_str(d, setting, "key", info->settings[i].key);
		gc_doc_str(d, setting, "value", info->settings[i].value);
		gc_doc_append(d, array, setting);
	}
	return array;
}

static json_t *as_json(struct gc_doc *d, const struct gc_buildinfo *info)
{
	const char *cgo = gc_buildinfo_setting(info, "CGO_ENABLED");
	json_t *go = gc_doc_object(d);

	gc_doc_str(d, go, "version", info->version);
	add(d, go, "goos", gc_buildinfo_setting(info, "GOOS"));
	add(d, go, "goarch", gc_buildinfo_setting(info, "GOARCH"));
	if (cgo)
		gc_doc_bool(d, go, "cgo_enabled", strcmp(cgo, "1") == 0);
	add(d, go, "path", info->path);
	if (info->has_main) {
		add(d, go, "module", info->main.path);
		add(d, go, "module_version", info->main.version);
		add(d, go, "module_sum", info->main.sum);
	}
	gc_doc_set_filled(d, go, "settings", settings(d, info));
	gc_doc_set_filled(d, go, "modules", modules(d, info));
	return go;
}

json_t *gc_doc_go(struct gc_doc *d, struct gc_elf_file *file)
{
	struct gc_buildinfo info;
	struct gc_error err;
	enum gc_code code = file ? gc_buildinfo_of_file(&info, file, &err) : gc_buildinfo_of_memory(&info, d->p, &err);
	json_t *go;

	if (code != GC_OK) {
		if (code != GC_E_NOT_FOUND)
			gc_problem(&d->problems, file ? file->input.path : "memory", "%s", err.text);
		return NULL;
	}
	go = as_json(d, &info);
	gc_buildinfo_deinit(&info);
	return go;
}
