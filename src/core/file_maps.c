/* NT_FILE: which files were mapped where. */
#include "gocore/core.h"

#include <inttypes.h>
#include <stdlib.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

#include "core/core_private.h"

/** One row; false if it says what cannot be. */
static bool read_file_row(const uint8_t *row, uint64_t page_size, struct gc_file_map *out)
{
	*out = (struct gc_file_map){ .start = gc_load_le64(row), .end = gc_load_le64(row + 8) };
	return out->start < out->end &&
	       !__builtin_mul_overflow(gc_load_le64(row + 16), page_size, &out->offset);
}

/**
 * Count, page size, rows of three words, then as many paths
 * (fill_files_note in fs/binfmt_elf.c).
 */
static enum gc_code read_file_rows(struct gc_core *core, const struct gc_note *note, struct gc_error *err)
{
	struct gc_cursor c, paths;
	uint64_t count, page_size;
	const uint8_t *rows;
	enum gc_code code;

	gc_cursor_init(&c, note->desc, note->desc_len, note->file_off);
	code = gc_cursor_u64(&c, &count, err);
	if (code == GC_OK)
		code = gc_cursor_u64(&c, &page_size, err);
	if (code != GC_OK)
		return code;
	if (page_size == 0)
		return gc_fail(err, GC_E_FORMAT, "page size 0");
	if (count > gc_cursor_left(&c) / 24)
		return gc_fail(err, GC_E_TRUNCATED, "%" PRIu64 " rows do not fit into %zu bytes", count,
			       gc_cursor_left(&c));
	code = gc_cursor_bytes(&c, count * 24, &rows, err);
	if (code != GC_OK)
		return code;
	core->files = calloc(count ? count : 1, sizeof(*core->files));
	if (!core->files)
		return gc_fail_memory(err);
	for (paths = c; count; count--, rows += 24) {
		struct gc_file_map *f = &core->files[core->nfiles];
		const char *path;

		code = gc_cursor_string(&paths, &path, err);
		if (code != GC_OK)
			return code;
		if (!read_file_row(rows, page_size, f)) {
			gc_problem(&core->problems, "NT_FILE", "row 0x%" PRIx64 "-0x%" PRIx64
				   " makes no sense; left out", f->start, f->end);
			continue;
		}
		f->path = path;
		core->nfiles++;
	}
	return GC_OK;
}

static int by_start(const void *a, const void *b)
{
	const struct gc_file_map *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->path < y->path ? -1 : x->path > y->path;
}

static void sort_files(struct gc_core *core)
{
	size_t kept = 0;

	for (size_t i = 1; i < core->nfiles; i++) {
		if (core->files[i].start < core->files[i - 1].start) {
			qsort(core->files, core->nfiles, sizeof(*core->files), by_start);
			break;
		}
	}
	for (size_t i = 0; i < core->nfiles; i++) {
		if (kept && core->files[i].start < core->files[kept - 1].end) {
			gc_problem(&core->problems, "NT_FILE", "row 0x%" PRIx64 "-0x%" PRIx64
				   " overlaps the one before; left out", core->files[i].start,
				   core->files[i].end);
			continue;
		}
		core->files[kept++] = core->files[i];
	}
	core->nfiles = kept;
}

enum gc_code gc_notes_read_files(struct gc_core *core, struct gc_error *err)
{
	const struct gc_note *note = gc_notes_find(core, "CORE", GC_NT_FILE);
	struct gc_error why;
	enum gc_code code;
	char where[64];

	if (!note)
		return GC_OK;
	core->has_files = true;
	code = read_file_rows(core, note, &why);
	if (code == GC_E_MEMORY)
		return gc_fail_memory(err);
	if (code != GC_OK)
		gc_problem(&core->problems, gc_note_where(core, note, where), "%s", why.text);
	sort_files(core);
	return GC_OK;
}
