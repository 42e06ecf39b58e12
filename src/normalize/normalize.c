#include "gocore/normalize.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gocore/bytes.h"

#include "normalize/normalize_private.h"

/* Offsets and addresses agree in their low bits, as in what linkers write; larger pages gain nothing. */
#define MAX_ALIGN 0x10000

/* How much more memory than file a core may be said to hold: segments that share bytes are not heard of. */
#define MAX_SHARING 16

static const char *const readers[] = {
	[GC_READER_ANY] = "any", [GC_READER_GDB] = "gdb", [GC_READER_LLDB] = "lldb", [GC_READER_DELVE] = "dlv",
};

const char *gc_reader_name(enum gc_reader reader)
{
	return readers[reader];
}

bool gc_reader_named(const char *name, enum gc_reader *out)
{
	for (size_t i = 0; i < GC_COUNT(readers); i++) {
		if (strcmp(name, readers[i]) == 0) {
			*out = (enum gc_reader)i;
			return true;
		}
	}
	return false;
}

static uint64_t alignment(const struct gc_core *core)
{
	return core->page_size < MAX_ALIGN ? core->page_size : MAX_ALIGN;
}

/**
 * Go's linker puts the section headers right behind the program headers, so
 * that they are in memory, and the symbols that they name are not.
 */
static bool maps_section_headers(const struct gc_space *space, const struct gc_image *image)
{
	uint8_t ehdr[64];
	uint64_t offset;

	if (gc_space_read_all(space, image->base, ehdr, sizeof(ehdr), NULL) != GC_OK ||
	    memcmp(ehdr, ELFMAG, SELFMAG) != 0)
		return false;
	offset = gc_load_le64(ehdr + 40); /* e_shoff; other linkers put it at the end of the file */
	return offset && offset < 4096;
}

/**
 * Images of which libdwfl is to use the file: if the segments of an image
 * follow each other in a core up to the section headers, then it takes these
 * for the whole file and finds no symbols (core_file_read_eagerly,
 * libdwfl/core-file.c). Some pages of nothing between them help.
 */
struct spacing {
	const struct gc_space *space;
	const struct gc_image *image;  /* that was looked at last */
	bool apart;
};

static bool is_set_apart(struct spacing *s, const struct gc_new_segment *segment)
{
	const struct gc_image *image = segment->nranges ? s->space->ranges[segment->first].image : NULL;

	if (image != s->image)
		s->apart = image && maps_section_headers(s->space, image);
	s->image = image;
	return s->apart && segment->addr != image->base;
}

/** Give every segment its place. @return size of the file, 0 if there is no such size */
static uint64_t place(struct gc_new_segments *segments, const struct gc_space *space, uint64_t from, uint64_t align)
{
	struct spacing spacing = { .space = space };
	uint64_t at = from;

	for (size_t i = 0; i < segments->count; i++) {
		struct gc_new_segment *s = &segments->list[i];

		if (s->type == PT_LOAD)
			at += (s->addr - at) % align + (is_set_apart(&spacing, s) ? align : 0);
		s->offset = at;
		if (s->filesz > INT64_MAX - 2 * align - at)
			return 0;
		at += s->filesz;
	}
	return at;
}

static enum gc_code check_size(const struct gc_process *p, uint64_t size, const struct gc_normalized *n,
			       struct gc_error *err)
{
	uint64_t dumped = n->memory - n->recovered;

	if (size && dumped / MAX_SHARING <= p->core.input.size)
		return GC_OK;
	return gc_fail(err, GC_E_LIMIT,
		       "says that it holds %" PRIu64 " bytes of memory in a file of %" PRIu64
		       " bytes: not written again", dumped, p->core.input.size);
}

/** Say what stays a hole because a file is missing. */
static void report_images(const struct gc_process *p, struct gc_problems *problems)
{
	const struct gc_space *space = &p->space;

	for (size_t k = 0; k < p->images.count; k++) {
		const struct gc_image *image = &p->images.list[k];
		uint64_t lost = 0;
		char where[4096];

		if (image->status != GC_IMAGE_MISSING && image->status != GC_IMAGE_MISMATCH)
			continue;
		for (size_t i = gc_space_index(space, image->base);
		     i < space->count && space->ranges[i].start < image->end; i++)
			if (space->ranges[i].image == image && !gc_range_served(&space->ranges[i]))
				lost += space->ranges[i].end - space->ranges[i].start;
		snprintf(where, sizeof(where), "image %s", image->path);
		if (lost)
			gc_problem(problems, where, "%" PRIu64 " KiB of its memory stay holes%s", (lost + 1023) / 1024,
				   image->status == GC_IMAGE_MISSING ? ", for no copy was found (--sysroot, --bin-dir)"
								     : "");
	}
}

static enum gc_code write_all(const struct gc_process *p, const struct gc_normalize_options *options, int fd,
			      struct gc_new_segments *segments, const struct gc_buf *notes,
			      struct gc_normalized *n, struct gc_error *err)
{
	uint64_t align = alignment(&p->core), headers_size = gc_new_headers_size(segments);
	struct gc_buf headers = GC_BUF_INIT;
	enum gc_code code;

	n->size = place(segments, &p->space, headers_size + notes->len, align);
	code = check_size(p, n->size, n, err);
	if (code != GC_OK)
		return code;
	gc_new_headers(&headers, &p->core, segments, notes, headers_size, align);
	if (headers.failed)
		code = gc_fail_memory(err);
	else
		code = gc_new_write(fd, p, segments, &headers, notes, n->size, options, n->memory, err);
	gc_buf_deinit(&headers);
	return code;
}

enum gc_code gc_normalize(const struct gc_process *p, const struct gc_normalize_options *options, int fd,
			  struct gc_normalized *out, struct gc_problems *problems, struct gc_error *err)
{
	struct gc_normalized n = { .threads = p->core.nthreads };
	struct gc_new_segments segments;
	struct gc_buf notes = GC_BUF_INIT;
	enum gc_code code = gc_new_segments_make(&segments, p, options->reader, &n, err);

	if (code != GC_OK)
		return code;
	code = gc_new_notes(&notes, p, options->reader, problems, err);
	if (code == GC_OK)
		code = write_all(p, options, fd, &segments, &notes, &n, err);
	gc_buf_deinit(&notes);
	gc_new_segments_deinit(&segments);
	if (code != GC_OK)
		return code;
	if (problems)
		report_images(p, problems);
	*out = n;
	return GC_OK;
}
