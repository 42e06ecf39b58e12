/* Is it worth looking for the Go runtime in all of memory? Not in what is surely C. */
#include "gocore/buildinfo.h"
#include "gocore/go.h"

#include "go/go_private.h"

bool go_image_is_go(const struct gc_image *image)
{
	struct gc_buildinfo info;
	const uint8_t *bytes;
	uint64_t len, addr;

	if (image->go_build_id || !image->file)
		return image->go_build_id;
	if (image->file->go_build_id || gc_elf_section(image->file, ".gopclntab", &bytes, &len, &addr))
		return true;
	if (gc_buildinfo_of_file(&info, image->file, NULL) != GC_OK)
		return false;
	gc_buildinfo_deinit(&info);
	return true;
}

bool gc_go_is_likely(const struct gc_process *p)
{
	const struct gc_image *program = gc_images_program(&p->images);
	struct gc_buildinfo info;
	enum gc_code code;

	for (size_t i = 0; i < p->images.count; i++)
		if (go_image_is_go(&p->images.list[i]))
			return true;
	if (program && program->file)
		return false;
	code = gc_buildinfo_of_memory(&info, p, NULL);
	if (code == GC_OK)
		gc_buildinfo_deinit(&info);
	return code != GC_E_NOT_FOUND;
}
