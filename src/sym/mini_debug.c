#include "sym/mini_debug.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The largest mini debug info seen is 20 MiB, of a browser. */
#define MAX_MINI ((size_t)256 << 20)
#define MINI_MEMORY ((uint64_t)128 << 20)

void gc_elf_free(struct gc_elf_file *file)
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

struct gc_elf_file *gc_elf_of_bytes(const char *name, const void *bytes, size_t len)
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

struct gc_elf_file *gc_mini_debug_open(struct gc_elf_file *file)
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
			mini = gc_elf_of_bytes(".gnu_debugdata", bytes, len);
		lzma_end(&stream);
	}
	free(bytes);
	return mini;
}
