/* Notes about the process that the core lacks. What is not known of it is 0 or left out. */
#include <elf.h>
#include <string.h>

#include "gocore/bytes.h"

#include "normalize/normalize_private.h"

/** struct elf_prpsinfo of 64-bit architectures, linux/elfcore.h. libdwfl knows no process without it. */
void gc_make_prpsinfo(struct gc_buf *out, const struct gc_process *p)
{
	const char *exe = gc_process_exe(p), *slash = exe ? strrchr(exe, '/') : NULL;
	const char *name = slash ? slash + 1 : exe ? exe : "";
	uint8_t desc[136] = { 0 };

	gc_store_le32(desc + 24, (uint32_t)p->core.pid);
	memcpy(desc + 40, name, strnlen(name, 15)); /* TASK_COMM_LEN counts the NUL */
	gc_buf_add(out, desc, sizeof(desc));
}

static void add_pair(struct gc_buf *out, uint64_t type, uint64_t value)
{
	uint8_t pair[16];

	gc_store_le64(pair, type);
	gc_store_le64(pair + 8, value);
	gc_buf_add(out, pair, sizeof(pair));
}

/** Delve's header names the entry point; debuggers find from it where a PIE was loaded. */
void gc_make_auxv(struct gc_buf *out, const struct gc_process *p)
{
	if (!p->core.delve.has_entry)
		return;
	add_pair(out, AT_ENTRY, p->core.delve.entry);
	add_pair(out, AT_NULL, 0);
}

static bool are_whole_pages(const struct gc_file_map *rows, size_t nrows, uint64_t page_size)
{
	for (size_t i = 0; i < nrows; i++)
		if (rows[i].offset % page_size)
			return false;
	return true;
}

static void add_word(struct gc_buf *out, uint64_t value)
{
	uint8_t word[8];

	gc_store_le64(word, value);
	gc_buf_add(out, word, sizeof(word));
}

/** fill_files_note in fs/binfmt_elf.c: count, unit of the offsets, three words a row, the paths. */
void gc_make_file(struct gc_buf *out, const struct gc_file_map *rows, size_t nrows, uint64_t page_size)
{
	uint64_t unit = are_whole_pages(rows, nrows, page_size) ? page_size : 1;

	add_word(out, nrows);
	add_word(out, unit);
	for (size_t i = 0; i < nrows; i++) {
		add_word(out, rows[i].start);
		add_word(out, rows[i].end);
		add_word(out, rows[i].offset / unit);
	}
	for (size_t i = 0; i < nrows; i++)
		gc_buf_add(out, rows[i].path, strlen(rows[i].path) + 1);
}
