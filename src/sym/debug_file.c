#include "gocore/debug_file.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "gocore/bytes.h"
#include "gocore/log.h"

#include "core/finder.h"

#define DEFAULT_DEBUG_DIR "/usr/lib/debug"

static const struct gc_find_options usual_places = { .program = NULL };

/** One search. */
struct hunt {
	const struct gc_find_options *options;
	struct gc_elf_file *file;           /* that it belongs to */
	const struct gc_build_id *build_id; /* of the file that is looked for; len 0: unknown */
	uint16_t machine;
	bool no_program;                    /* it has no program headers: dwz's */
	bool has_crc;
	uint32_t crc;                       /* of the whole file, .gnu_debuglink */
	struct gc_elf_file *out;
	char refused[PATH_MAX];             /* a file of another build; "": none */
};

/* Is it the one? */

static uint32_t crc_of(const struct gc_input *in)
{
	uint64_t done = 0;
	uLong crc = crc32(0, NULL, 0);

	while (done < in->size) {
		const uint64_t left = in->size - done;
		const uInt n = left < (1U << 30) ? (uInt)left : 1U << 30;

		crc = crc32(crc, in->bytes + done, n);
		done += n;
	}
	return (uint32_t)crc;
}

/** dwz's files have no program headers, and those of other debug files need not fit any more. */
static struct gc_build_id build_id_of(struct gc_elf_file *file)
{
	struct gc_build_id id = file->build_id;
	const uint8_t *notes;
	uint64_t len, addr;

	if (gc_elf_section(file, ".note.gnu.build-id", &notes, &len, &addr))
		gc_build_id_of_notes(notes, len, 4, &id);
	return id;
}

/** Equal build IDs tell it without reading the file; the checksum is for files that have none. */
static bool is_wanted(const struct hunt *h, struct gc_elf_file *file)
{
	struct gc_build_id id;

	if (h->machine && file->phdrs.machine != h->machine)
		return false;
	if (file->input.ino && file->input.ino == h->file->input.ino && file->input.dev == h->file->input.dev)
		return false; /* a link to itself */
	if (h->build_id->len && gc_build_id_equal(h->build_id, &file->build_id))
		return true;
	id = build_id_of(file);
	if (h->build_id->len && id.len)
		return gc_build_id_equal(h->build_id, &id);
	return h->has_crc && crc_of(&file->input) == h->crc;
}

/** Only sections: gc_elf_file_open wants a program or a library. */
static bool open_sections(struct gc_elf_file *file, const char *path)
{
	struct gc_input in;

	if (gc_input_open(&in, path, NULL, NULL, NULL) != GC_OK)
		return false;
	if (in.size < sizeof(Elf64_Ehdr) || memcmp(in.bytes, ELFMAG, SELFMAG) != 0 ||
	    in.bytes[EI_CLASS] != ELFCLASS64 || in.bytes[EI_DATA] != ELFDATA2LSB) {
		gc_input_close(&in);
		return false;
	}
	*file = (struct gc_elf_file){ .input = in };
	file->phdrs.machine = gc_load_le16(in.bytes + offsetof(Elf64_Ehdr, e_machine));
	return true;
}

static bool try_path(struct hunt *h, const char *path)
{
	struct gc_elf_file file;

	if (gc_file_kind(path) != GC_FILE_ELF ||
	    !(h->no_program ? open_sections(&file, path) : gc_elf_file_open(&file, path, NULL) == GC_OK))
		return false;
	if (is_wanted(h, &file)) {
		if (file.input.fd >= 0) /* it is mapped, and there may be many */
			close(file.input.fd);
		file.input.fd = -1;
		*h->out = file;
		return true;
	}
	gc_elf_file_close(&file);
	snprintf(h->refused, sizeof(h->refused), "%s", path);
	return false;
}

static bool GC_PRINTF(2, 3) try_format(struct hunt *h, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(path, sizeof(path), format, args);
	va_end(args);
	return len > 0 && (size_t)len < sizeof(path) && try_path(h, path);
}

/* The debug directories, and those of the target under --sysroot. */

/** Visit them. @return true as soon as @visit does */
static bool each_debug_dir(struct hunt *h, bool (*visit)(struct hunt *h, const char *dir, const char *data),
			   const char *data)
{
	const struct gc_find_options *o = h->options;
	char path[PATH_MAX];

	for (size_t i = 0; i < o->ndebug_dirs; i++)
		if (visit(h, o->debug_dirs[i], data))
			return true;
	if (o->ndebug_dirs == 0 && visit(h, DEFAULT_DEBUG_DIR, data))
		return true;
	for (size_t i = 0; i < o->nsysroots; i++)
		if ((size_t)snprintf(path, sizeof(path), "%s" DEFAULT_DEBUG_DIR, o->sysroots[i]) < sizeof(path) &&
		    visit(h, path, data))
			return true;
	return false;
}

static bool in_build_id_tree(struct hunt *h, const char *dir, const char *hex)
{
	return try_format(h, "%s/.build-id/%.2s/%s.debug", dir, hex, hex + 2);
}

static bool by_build_id(struct hunt *h)
{
	char hex[2 * GC_BUILD_ID_MAX + 1];

	if (h->build_id->len < 2)
		return false;
	gc_build_id_hex(h->build_id, hex);
	return each_debug_dir(h, in_build_id_tree, hex);
}

/* .gnu_debuglink: a file name, padding to four bytes, a CRC32 (GDB manual, "Separate Debug Files"). */

static const char *read_link(struct gc_elf_file *image, uint32_t *crc)
{
	const uint8_t *bytes, *end;
	uint64_t len, addr;
	size_t name_len;

	if (!gc_elf_section(image, ".gnu_debuglink", &bytes, &len, &addr) || len > PATH_MAX)
		return NULL;
	end = memchr(bytes, 0, len);
	if (!end)
		return NULL;
	name_len = (size_t)(end - bytes);
	if (name_len == 0 || memchr(bytes, '/', name_len) || (name_len | 3) + 1 > len || len - (name_len | 3) - 1 < 4)
		return NULL;
	*crc = gc_load_le32(bytes + (name_len | 3) + 1);
	return (const char *)bytes;
}

/** "DIR/NAME": DIR is absolute, and as the target knows it. */
static bool in_tree(struct hunt *h, const char *debug_dir, const char *file)
{
	return try_format(h, "%s%s%s", debug_dir, file[0] == '/' ? "" : "/", file);
}

/** @return @dir without the sysroot that it lies in */
static const char *target_dir(const struct gc_find_options *o, const char *dir)
{
	for (size_t i = 0; i < o->nsysroots; i++) {
		size_t len = strlen(o->sysroots[i]);

		while (len > 0 && o->sysroots[i][len - 1] == '/')
			len--;
		if (len > 0 && strncmp(dir, o->sysroots[i], len) == 0 && dir[len] == '/')
			return dir + len;
	}
	return dir;
}

static bool beside(struct hunt *h, const char *image_path, const char *name)
{
	const char *slash = strrchr(image_path, '/');
	char dir[PATH_MAX], file[PATH_MAX];

	if (!slash)
		return try_format(h, "%s", name) || try_format(h, ".debug/%s", name);
	if ((size_t)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - image_path), image_path) >= sizeof(dir))
		return false;
	if (try_format(h, "%s/%s", dir, name) || try_format(h, "%s/.debug/%s", dir, name))
		return true;
	return image_path[0] == '/' &&
	       (size_t)snprintf(file, sizeof(file), "%s/%s", target_dir(h->options, dir), name) < sizeof(file) &&
	       each_debug_dir(h, in_tree, file);
}

/** Beside the path that was given, then beside the file that it leads to. */
static bool by_link(struct hunt *h, struct gc_elf_file *image, const char *image_path)
{
	const char *name = read_link(image, &h->crc);
	char *real;
	bool found;

	if (!name)
		return false;
	h->has_crc = true;
	found = beside(h, image_path, name);
	real = found ? NULL : realpath(image_path, NULL);
	if (real && strcmp(real, image_path) != 0)
		found = beside(h, real, name);
	free(real);
	h->has_crc = false;
	return found;
}

/** @param why  what debuginfod had to say; untouched if nothing */
static bool by_debuginfod(struct hunt *h, struct gc_error *why)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_finder finder;
	bool found;
	char *path;

	gc_finder_init(&finder, h->options, h->machine, &problems);
	path = gc_debuginfod_find_debug(&finder, h->build_id);
	found = path && try_path(h, path);
	if (problems.count)
		gc_fail(why, GC_E_NOT_FOUND, "%s", problems.list[0].what);
	free(path);
	gc_finder_deinit(&finder);
	gc_problems_deinit(&problems);
	return found;
}

static enum gc_code not_found(const struct hunt *h, const struct gc_error *why, struct gc_error *err)
{
	if (h->refused[0])
		return gc_fail(err, GC_E_NOT_FOUND, "%s is of another build", h->refused);
	if (why->code != GC_OK)
		return gc_fail(err, GC_E_NOT_FOUND, "no debug file: %s", why->text);
	return gc_fail(err, GC_E_NOT_FOUND, "no debug file");
}

enum gc_code gc_debug_file_find(const struct gc_find_options *options, struct gc_elf_file *image,
				const char *image_path, struct gc_elf_file *out, struct gc_error *err)
{
	struct hunt h = {
		.options = options ? options : &usual_places, .file = image, .build_id = &image->build_id,
		.machine = image->phdrs.machine, .out = out,
	};
	struct gc_error why = { .code = GC_OK };

	if (by_build_id(&h) || by_link(&h, image, image_path) || by_debuginfod(&h, &why))
		return GC_OK;
	return not_found(&h, &why, err);
}

/* dwz */

/**
 * .gnu_debugaltlink: a path and the build ID. .debug_sup: version,
 * is_supplementary, path, length of the ID, ID (DWARF 5 section 7.3.6).
 */
static const char *read_alt_link(struct gc_elf_file *file, struct gc_build_id *id)
{
	const uint8_t *bytes, *end;
	uint64_t len, addr, id_len;
	const char *name;

	if (gc_elf_section(file, ".gnu_debugaltlink", &bytes, &len, &addr)) {
		end = memchr(bytes, 0, len);
		if (!end)
			return NULL;
		name = (const char *)bytes;
		id_len = len - (uint64_t)(end + 1 - bytes);
		end++;
	} else if (gc_elf_section(file, ".debug_sup", &bytes, &len, &addr)) {
		if (len < 4 || bytes[2] != 0) /* 1: this is the supplementary file */
			return NULL;
		name = (const char *)bytes + 3;
		end = memchr(name, 0, len - 3);
		if (!end || (uint64_t)(end - bytes) + 2 > len || end[1] >= 0x80)
			return NULL;
		id_len = end[1];
		end += 2;
		if (id_len > len - (uint64_t)(end - bytes))
			return NULL;
	} else {
		return NULL;
	}
	if (id_len == 0 || id_len > GC_BUILD_ID_MAX || name[0] == '\0')
		return NULL;
	memcpy(id->bytes, end, id_len);
	id->len = id_len;
	return name;
}

bool gc_debug_file_needs_supplement(struct gc_elf_file *file)
{
	struct gc_build_id id;

	return read_alt_link(file, &id) != NULL;
}

/** A relative path starts where the file lies that names it. */
static bool at_alt_path(struct hunt *h, const char *file_path, const char *name)
{
	char *real = realpath(file_path, NULL);
	const char *slash = real ? strrchr(real, '/') : NULL;
	bool found = name[0] == '/' ? !h->options->no_host_paths && try_path(h, name) :
		     slash && try_format(h, "%.*s/%s", (int)(slash - real), real, name);

	free(real);
	for (size_t i = 0; i < h->options->nsysroots && !found && name[0] == '/'; i++)
		found = try_format(h, "%s%s", h->options->sysroots[i], name);
	return found;
}

static bool in_dwz_folder(struct hunt *h, const char *dir, const char *base)
{
	return try_format(h, "%s/.dwz/%s", dir, base);
}

enum gc_code gc_debug_file_find_supplement(const struct gc_find_options *options, struct gc_elf_file *file,
					   const char *file_path, struct gc_elf_file *out, struct gc_error *err)
{
	struct gc_error why = { .code = GC_OK };
	struct gc_build_id id = { .len = 0 };
	struct hunt h = {
		.options = options ? options : &usual_places, .file = file, .build_id = &id, .no_program = true,
		.machine = file->phdrs.machine, .out = out,
	};
	const char *name = read_alt_link(file, &id), *base;

	if (!name)
		return gc_fail(err, GC_E_NOT_FOUND, "needs no supplementary debug file");
	base = strrchr(name, '/');
	base = base ? base + 1 : name;
	if (at_alt_path(&h, file_path, name) || by_build_id(&h) || each_debug_dir(&h, in_dwz_folder, base) ||
	    by_debuginfod(&h, &why))
		return GC_OK;
	not_found(&h, &why, err);
	return gc_wrap(err, "supplementary debug file %s", name);
}
