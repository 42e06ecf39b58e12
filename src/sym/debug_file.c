#include "sym/debug_file.h"

#include <limits.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "gocore/bytes.h"
#include "gocore/log.h"

#define DEFAULT_DEBUG_DIR "/usr/lib/debug"

/* The largest mini debug info seen is 20 MiB, of a browser. */
#define MAX_MINI ((size_t)256 << 20)
#define MINI_MEMORY ((uint64_t)128 << 20)

static enum gc_code copy_list(char ***out, size_t *count, const char *const *list, size_t n, struct gc_error *err)
{
	*count = 0;
	*out = calloc(n ? n : 1, sizeof(**out));
	if (!*out)
		return gc_fail_memory(err);
	for (; *count < n; ++*count) {
		(*out)[*count] = strdup(list[*count]);
		if (!(*out)[*count])
			return gc_fail_memory(err);
	}
	return GC_OK;
}

enum gc_code debug_places_init(struct debug_places *places, const struct gc_find_options *options,
			       struct gc_error *err)
{
	static const char *const defaults[] = { DEFAULT_DEBUG_DIR };
	const bool given = options && options->ndebug_dirs > 0;
	enum gc_code code;

	*places = (struct debug_places){ .sysroots = NULL };
	code = copy_list(&places->dirs, &places->ndirs, given ? options->debug_dirs : defaults,
			 given ? options->ndebug_dirs : GC_COUNT(defaults), err);
	if (code == GC_OK)
		code = copy_list(&places->sysroots, &places->nsysroots, options ? options->sysroots : NULL,
				 options ? options->nsysroots : 0, err);
	if (code != GC_OK)
		debug_places_deinit(places);
	return code;
}

static void free_list(char **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(list[i]);
	free(list);
}

void debug_places_deinit(struct debug_places *places)
{
	free_list(places->sysroots, places->nsysroots);
	free_list(places->dirs, places->ndirs);
	*places = (struct debug_places){ .sysroots = NULL };
}

void debug_file_free(struct gc_elf_file *file)
{
	if (!file)
		return;
	gc_elf_file_close(file);
	free(file);
}

/** Take over @in. */
static struct gc_elf_file *file_of_input(struct gc_input *in)
{
	struct gc_elf_file *file = malloc(sizeof(*file));

	if (!file) {
		gc_input_close(in);
		return NULL;
	}
	if (gc_elf_file_take(file, in, NULL) != GC_OK) {
		free(file);
		return NULL;
	}
	return file;
}

struct gc_elf_file *debug_file_of_bytes(const char *name, const void *bytes, size_t len)
{
	struct gc_input in = { .fd = -1 };
	void *copy = len ? mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;

	if (copy == MAP_FAILED)
		return NULL;
	memcpy(copy, bytes, len);
	in.bytes = copy;
	in.size = len;
	in.path = strdup(name);
	return file_of_input(&in);
}

/* Mini debug info. */

/** @return false when it is damaged or too large */
static bool unpack(lzma_stream *stream, uint8_t **out, size_t *len)
{
	size_t cap = 0;
	lzma_ret result = LZMA_OK;

	while (result == LZMA_OK) {
		uint8_t *more;

		if (cap == MAX_MINI)
			return false;
		cap = cap ? 2 * cap : (size_t)1 << 20;
		more = realloc(*out, cap);
		if (!more)
			return false;
		*out = more;
		stream->next_out = more + *len;
		stream->avail_out = cap - *len;
		while (result == LZMA_OK && stream->avail_out > 0)
			result = lzma_code(stream, LZMA_FINISH);
		*len = cap - stream->avail_out;
	}
	return result == LZMA_STREAM_END;
}

struct gc_elf_file *debug_file_mini(struct gc_elf_file *file)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	struct gc_elf_file *mini = NULL;
	const uint8_t *packed;
	uint8_t *bytes = NULL;
	uint64_t packed_len, addr;
	size_t len = 0;

	if (!gc_elf_section(file, ".gnu_debugdata", &packed, &packed_len, &addr))
		return NULL;
	if (lzma_stream_decoder(&stream, MINI_MEMORY, 0) == LZMA_OK) {
		stream.next_in = packed;
		stream.avail_in = packed_len;
		if (unpack(&stream, &bytes, &len))
			mini = debug_file_of_bytes(".gnu_debugdata", bytes, len);
		lzma_end(&stream);
	}
	free(bytes);
	return mini;
}

/* Separate files. */

struct search {
	const struct debug_places *places;
	const struct gc_image *image;
	struct gc_elf_file *file;
	struct gc_problems *problems;
	const char *link;        /* of .gnu_debuglink, or NULL */
	uint32_t crc;
	struct gc_elf_file *found;
};

/** Is it of the same build? The CRC counts only where there are no build IDs. */
static bool fits(const struct search *s, const struct gc_elf_file *debug, bool by_link)
{
	const struct gc_build_id *want = &s->file->build_id;

	if (debug->phdrs.machine != s->file->phdrs.machine)
		return false;
	if (want->len > 0 && debug->build_id.len > 0)
		return gc_build_id_equal(want, &debug->build_id);
	return by_link && crc32_z(0, debug->input.bytes, debug->input.size) == s->crc;
}

/** @return true when this is the one */
static bool try_path(struct search *s, const char *path, bool by_link)
{
	struct gc_elf_file *debug;
	struct gc_input in;

	if (access(path, R_OK) != 0 || gc_input_open(&in, path, NULL, NULL, NULL) != GC_OK)
		return false;
	if (in.dev == s->file->input.dev && in.ino == s->file->input.ino && in.ino != 0) {
		gc_input_close(&in);
		return false;
	}
	debug = file_of_input(&in);
	if (debug && fits(s, debug, by_link)) {
		if (debug->input.fd >= 0) /* it is mapped */
			close(debug->input.fd);
		debug->input.fd = -1;
		s->found = debug;
		return true;
	}
	if (debug)
		gc_problem(s->problems, path, "is the debug file of another build of %s", s->image->path);
	debug_file_free(debug);
	return false;
}

static bool by_build_id(struct search *s, const char *root, const char *dir)
{
	char id[2 * GC_BUILD_ID_MAX + 1], path[PATH_MAX];

	gc_build_id_hex(&s->file->build_id, id);
	return (size_t)snprintf(path, sizeof(path), "%s%s/.build-id/%.2s/%s.debug", root, dir, id, id + 2) <
		       sizeof(path) &&
	       try_path(s, path, false);
}

static bool by_build_ids(struct search *s)
{
	const struct debug_places *p = s->places;

	if (s->file->build_id.len < 2)
		return false;
	for (size_t i = 0; i < p->ndirs; i++)
		if (by_build_id(s, "", p->dirs[i]))
			return true;
	for (size_t i = 0; i < p->nsysroots; i++)
		if (by_build_id(s, p->sysroots[i], DEFAULT_DEBUG_DIR))
			return true;
	return false;
}

static bool by_link(struct search *s, const char *root, const char *dir, const char *below)
{
	char path[PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%s%s%s/%s", root, dir, below, s->link) < sizeof(path) &&
	       try_path(s, path, true);
}

/** The folder of @path; "" for the root. @return false if there is none */
static bool folder_of(const char *path, char out[PATH_MAX])
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || (size_t)(slash - path) >= PATH_MAX)
		return false;
	memcpy(out, path, (size_t)(slash - path));
	out[slash - path] = '\0';
	return true;
}

static bool by_links(struct search *s)
{
	const struct debug_places *p = s->places;
	char here[PATH_MAX], there[PATH_MAX];

	if (!s->link)
		return false;
	if (!folder_of(s->image->found_path, here))
		strcpy(here, ".");
	if (by_link(s, "", here, "") || by_link(s, "", here, "/.debug"))
		return true;
	if (!folder_of(s->image->path, there) || there[0] == '[')
		return false;
	for (size_t i = 0; i < p->ndirs; i++)
		if (by_link(s, p->dirs[i], there, ""))
			return true;
	for (size_t i = 0; i < p->nsysroots; i++)
		if (by_link(s, p->sysroots[i], DEFAULT_DEBUG_DIR, there))
			return true;
	return false;
}

/** .gnu_debuglink: a file name, padding to 4, its CRC-32. */
static void read_link(struct search *s)
{
	const uint8_t *bytes;
	uint64_t len, addr, crc_at;
	const char *name;

	if (!gc_elf_section(s->file, ".gnu_debuglink", &bytes, &len, &addr) || !memchr(bytes, 0, len))
		return;
	name = (const char *)bytes;
	crc_at = (strlen(name) + 4) / 4 * 4;
	if (name[0] == '\0' || strchr(name, '/') || crc_at > len || len - crc_at < 4)
		return;
	s->link = name;
	s->crc = gc_load_le32(bytes + crc_at);
}

struct gc_elf_file *debug_file_find(const struct debug_places *places, const struct gc_image *image,
				    struct gc_elf_file *file, struct gc_problems *problems)
{
	struct search s = { .places = places, .image = image, .file = file, .problems = problems };

	read_link(&s);
	if (!by_build_ids(&s))
		by_links(&s);
	return s.found;
}
