/* Shared by the files of src/normalize/ only. */
#ifndef NORMALIZE_NORMALIZE_PRIVATE_H
#define NORMALIZE_NORMALIZE_PRIVATE_H

#include "gocore/buf.h"
#include "gocore/normalize.h"

/** A program header of the new core, and what its bytes are. */
struct gc_new_segment {
	uint32_t type, flags;
	uint64_t addr, memsz, filesz;
	uint64_t offset;        /* in the new file */
	size_t first, nranges;  /* PT_LOAD: the ranges that supply filesz bytes, one behind the other */
	const uint8_t *bytes;   /* another type: the bytes themselves */
};

struct gc_new_segments {
	struct gc_new_segment *list;
	size_t count, cap;
};

/** Which segments there will be; offsets are not set. Counts into @out what becomes of memory. */
enum gc_code gc_new_segments_make(struct gc_new_segments *segments, const struct gc_process *p,
				  enum gc_reader reader, struct gc_normalized *out, struct gc_error *err);
void gc_new_segments_deinit(struct gc_new_segments *segments);

/** The content of the one PT_NOTE. */
enum gc_code gc_new_notes(struct gc_buf *out, const struct gc_process *p, enum gc_reader reader,
			  struct gc_problems *problems, struct gc_error *err);

/** A note about the process that the core lacks, made of what is known otherwise. */
void gc_make_prpsinfo(struct gc_buf *out, const struct gc_process *p);
void gc_make_auxv(struct gc_buf *out, const struct gc_process *p);
void gc_make_file(struct gc_buf *out, const struct gc_file_map *rows, size_t nrows, uint64_t page_size);

#define GC_PHDR_SIZE 56

/** ELF header, program headers and (from 65535 of them on) the section header that counts them. */
void gc_new_headers(struct gc_buf *out, const struct gc_core *core, const struct gc_new_segments *segments,
		    const struct gc_buf *notes, uint64_t notes_at, uint64_t align);

/** Their size. */
uint64_t gc_new_headers_size(const struct gc_new_segments *segments);

/** Write all of it. @param size of the file */
enum gc_code gc_new_write(int fd, const struct gc_process *p, const struct gc_new_segments *segments,
			  const struct gc_buf *headers, const struct gc_buf *notes, uint64_t size,
			  const struct gc_normalize_options *options, uint64_t memory, struct gc_error *err);

#endif
