/* Shared by the two files that read line tables. */
#ifndef SYM_LINE_READER_H
#define SYM_LINE_READER_H

#include "gocore/cursor.h"

#include "sym/line_table.h"

/** The header, and the place in the bytes. */
struct line_reader {
	struct gc_dwarf *dwarf, *supplement;
	struct gc_cursor c;
	bool is_64;              /* offsets of 8 bytes */
	uint16_t version;
	uint8_t address_size;
	uint8_t min_length, max_ops, line_range, opcode_base;
	int8_t line_base;
	bool default_is_stmt;
	const uint8_t *lengths;  /* of standard opcodes, from opcode 1 on */
	const char **dirs;
	size_t ndirs;
	size_t cap_dirs, cap_files, cap_rows, cap_sequences;
	struct gc_line_table table;
};

/** A number of 1, 2, 4 or 8 bytes. */
bool line_read_sized(struct gc_cursor *c, unsigned size, uint64_t *out);

/** The entry of a file behind its @name, as it was before DWARF 5. */
bool line_read_old_file(struct line_reader *r, const char *name);

/** @param program gets where the program begins. @return false if the header is damaged, or of an unknown version */
bool line_read_header(struct line_reader *r, const uint8_t **program);

#endif
