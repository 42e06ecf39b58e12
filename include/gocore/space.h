/*
 * The address space of the dumped process: what each byte is.
 *
 * A byte is dumped (in the core), recovered (in an image whose identity was
 * checked, or the zero fill behind the end of its file in its last page),
 * absent (mapped, but not dumped), or cut (the core's file ends before it).
 * Only the first two are ever served. Ranges are sorted and do not overlap;
 * look-up is a binary search.
 */
#ifndef GOCORE_SPACE_H
#define GOCORE_SPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "gocore/core.h"

enum gc_range_class {
	GC_RANGE_DUMPED,
	GC_RANGE_RECOVERED,
	GC_RANGE_ABSENT,
	GC_RANGE_CUT,
};

const char *gc_range_class_name(enum gc_range_class what);

struct gc_image;

struct gc_range {
	uint64_t start, end;         /* never empty */
	enum gc_range_class what;
	uint32_t flags;              /* PF_R PF_W PF_X of the mapping */
	const uint8_t *bytes;        /* dumped, recovered: the content; NULL when recovered as zeros */
	const struct gc_file_map *file; /* the NT_FILE (or link map) row, or NULL */
	const struct gc_image *image;   /* that the row belongs to, or NULL */
	const char *label;           /* "[stack]", "[heap]", "[vdso]", ... or NULL */
	bool starts_mapping;         /* false: of the same PT_LOAD and row as the range before it */
	bool unlisted;               /* no PT_LOAD tells of it, only @file does: flags are the image's, or 0 */
};

/** What gc_space_recover was given and gc_space_seal has not put in place yet. */
struct gc_space_piece {
	uint64_t start, end;
	const uint8_t *bytes;
	uint64_t len;                /* of bytes; the rest of the piece reads as zeros */
	const struct gc_image *image;
};

struct gc_space {
	struct gc_range *ranges;
	size_t count;
	const struct gc_arch *arch;
	struct gc_space_piece *pieces;
	size_t npieces, pieces_cap;
};

/**
 * Build from the core's segments and NT_FILE rows; ranges are split where a
 * row starts or ends. A row that no segment covers (gdb's gcore leaves
 * unchanged file pages out altogether) becomes an absent, unlisted range.
 */
enum gc_code gc_space_init(struct gc_space *space, const struct gc_core *core, struct gc_error *err);
void gc_space_deinit(struct gc_space *space);

/**
 * Split by more rows, for cores without NT_FILE. Ranges that have a row keep
 * it. Ranges move: pointers to them and indexes from before are void.
 *
 * @param rows sorted by start; must outlive the space
 */
enum gc_code gc_space_add_rows(struct gc_space *space, const struct gc_file_map *rows, size_t nrows,
			       struct gc_error *err);

/**
 * Supply the absent and cut parts of [@start, @end) from @bytes (@len of them;
 * what lies behind reads as zeros up to @zero_end and stays absent after it).
 * Dumped bytes always win.
 *
 * Tens of thousands of rows may be recovered, so pieces are collected, and
 * look-ups see them only after gc_space_seal. (Up to 1024 ranges it is done at
 * once.) Ranges move: pointers to them and indexes from before are void.
 */
enum gc_code gc_space_recover(struct gc_space *space, uint64_t start, uint64_t end, const uint8_t *bytes,
			      uint64_t len, uint64_t zero_end, const struct gc_image *image,
			      struct gc_error *err);

/** Put in place what gc_space_recover collected. gc_process_open calls it too. */
enum gc_code gc_space_seal(struct gc_space *space, struct gc_error *err);

/** @return true for a class whose bytes are served */
static inline bool gc_range_served(const struct gc_range *r)
{
	return r->what == GC_RANGE_DUMPED || r->what == GC_RANGE_RECOVERED;
}

/** Index behind the last range of the mapping that range @first begins. */
size_t gc_space_mapping_end(const struct gc_space *space, size_t first);

/** @return the range that holds @addr, or NULL. Top-byte tags are ignored where the arch ignores them. */
const struct gc_range *gc_space_find(const struct gc_space *space, uint64_t addr);

/** Index of the first range that ends behind @addr; space->count if there is none. */
size_t gc_space_index(const struct gc_space *space, uint64_t addr);

/**
 * Where the bytes from @addr lie, as long as they lie together.
 *
 * @param out  set to the bytes; NULL means that they read as zeros
 * @return how many there are, 0 if @addr is in no served range
 */
uint64_t gc_space_peek(const struct gc_space *space, uint64_t addr, const uint8_t **out);

/**
 * Read memory of the dumped process.
 *
 * @param addr  virtual address
 * @param buf   caller's, at least @len bytes
 * @param got   bytes read; fewer than @len when a hole starts inside the range
 * @return GC_OK, or GC_E_FAULT if @addr itself is not served
 */
enum gc_code gc_space_read(const struct gc_space *space, uint64_t addr, void *buf, size_t len,
			   size_t *got, struct gc_error *err);

/** All @len bytes, or GC_E_FAULT. */
enum gc_code gc_space_read_all(const struct gc_space *space, uint64_t addr, void *buf, size_t len,
			       struct gc_error *err);

enum gc_code gc_space_u64(const struct gc_space *space, uint64_t addr, uint64_t *out, struct gc_error *err);
enum gc_code gc_space_u32(const struct gc_space *space, uint64_t addr, uint32_t *out, struct gc_error *err);

/** A NUL-terminated string of at most cap - 1 bytes. GC_E_LIMIT if it is longer. */
enum gc_code gc_space_string(const struct gc_space *space, uint64_t addr, char *buf, size_t cap,
			     struct gc_error *err);

/** Bytes by class over all ranges. */
void gc_space_totals(const struct gc_space *space, uint64_t totals[4]);

#endif
