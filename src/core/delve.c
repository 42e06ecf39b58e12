/*
 * Delve's own notes, as written by pkg/proc/dump.go and pkg/elfwriter.
 *
 * On linux/amd64 its dumps have the header and ordinary notes; elsewhere the
 * header and one thread note each, whose registers go by Delve's names.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

#include "core/core_private.h"

#define MAX_REGISTERS 4096
#define MAX_NAME      20   /* what Delve itself accepts */
#define MAX_VALUE     2048

bool gc_note_is_delve_header(const struct gc_note *note)
{
	static const char owner[] = "Delve Header";

	return note->type == GC_NT_DELVE_HEADER && note->owner_len == sizeof(owner) - 1 &&
	       memcmp(note->owner, owner, sizeof(owner) - 1) == 0;
}

bool gc_note_is_delve_thread(const struct gc_core *core, const struct gc_note *note)
{
	return core->has_delve && note->type == GC_NT_DELVE_THREAD && note->owner_len == 0;
}

/** The value behind @prefix, NUL-terminated in @out; false if the line is another one. */
static bool value_of(const char *line, size_t len, const char *prefix, char out[32])
{
	size_t skip = strlen(prefix);

	if (len <= skip || len - skip >= 32 || memcmp(line, prefix, skip) != 0)
		return false;
	memcpy(out, line + skip, len - skip);
	out[len - skip] = '\0';
	return true;
}

static bool number(const char *text, int base, uint64_t *out)
{
	char *end;
	unsigned long long value;

	if (!isxdigit((unsigned char)*text)) /* strtoull takes a sign and spaces */
		return false;
	errno = 0;
	value = strtoull(text, &end, base);
	if (errno || *end)
		return false;
	*out = value;
	return true;
}

static void read_line(const char *line, size_t len, struct gc_delve_header *out)
{
	char text[32];
	uint64_t value;

	if (value_of(line, len, "Target Pid: ", text) && number(text, 10, &value) && value <= INT32_MAX) {
		out->pid = (int64_t)value;
		out->has_pid = true;
	} else if (value_of(line, len, "Entry Point: ", text) && number(text, 16, &value)) {
		out->entry = value;
		out->has_entry = true;
	}
}

void gc_delve_read_header(const struct gc_note *note, struct gc_delve_header *out)
{
	const char *at = (const char *)note->desc, *end = at + note->desc_len;
	bool first = true;

	*out = (struct gc_delve_header){ .has_pid = false };
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline ? newline : end) - at);

		if (first && len < sizeof(out->goos_goarch))
			snprintf(out->goos_goarch, sizeof(out->goos_goarch), "%.*s", (int)len, at);
		else
			read_line(at, len, out);
		first = false;
		at = newline ? newline + 1 : end;
	}
}

bool gc_delve_thread_id(const struct gc_note *note, gc_tid *out)
{
	if (note->desc_len < 8)
		return false;
	*out = (gc_tid)gc_load_le64(note->desc);
	return true;
}

/** Where Delve and GDB call a register by other names, both in small letters. */
static const struct {
	const char *delve, *gdb;
} renamed[] = {
	{ "rflags", "eflags" }, { "pstate", "cpsr" }, { "cw", "fctrl" }, { "sw", "fstat" },
};

/** @return row, or -1 for a register that GDB does not have */
static int row_of(const struct gc_arch *arch, const uint8_t *name, size_t len)
{
	char text[MAX_NAME + 1];
	size_t used = 0;

	for (size_t i = 0; i < len; i++) /* "ST(0)" is st0 */
		if (name[i] != '(' && name[i] != ')')
			text[used++] = (char)tolower(name[i]);
	text[used] = '\0';
	for (size_t i = 0; i < GC_COUNT(renamed); i++)
		if (strcmp(text, renamed[i].delve) == 0)
			return gc_arch_reg_named(arch, renamed[i].gdb);
	return gc_arch_reg_named(arch, text);
}

/**
 * A value of more bytes than the row has is the whole of what Delve calls XMM0
 * (YMM and ZMM parts behind it) or a segment register in 64 bits: its low
 * part is ours. Too short a value is not this register.
 */
static void set_row(struct gc_regs *out, int row, const uint8_t *value, size_t len)
{
	const struct gc_regmap *map = out->map;

	if (row < 0 || map->size[row] == 0 || len < map->size[row])
		return;
	memcpy(out->bytes + map->offset[row], value, map->size[row]);
	out->valid[row] = true;
}

static enum gc_code load_register(struct gc_cursor *c, struct gc_regs *out, struct gc_error *err)
{
	const uint8_t *name, *value;
	uint16_t name_len, value_len;
	enum gc_code code = gc_cursor_u16(c, &name_len, err);

	if (code == GC_OK && name_len > MAX_NAME)
		return gc_fail(err, GC_E_FORMAT, "a register name of %u bytes", name_len);
	if (code == GC_OK)
		code = gc_cursor_bytes(c, name_len, &name, err);
	if (code == GC_OK)
		code = gc_cursor_u16(c, &value_len, err);
	if (code == GC_OK && value_len > MAX_VALUE)
		return gc_fail(err, GC_E_FORMAT, "a register value of %u bytes", value_len);
	if (code == GC_OK)
		code = gc_cursor_bytes(c, value_len, &value, err);
	if (code == GC_OK)
		set_row(out, row_of(out->map->arch, name, name_len), value, value_len);
	return code;
}

/** The note's fixed part: thread id, pc, sp, bp, tls, has_g, g, count of registers. */
struct fixed {
	uint64_t id, pc, sp, bp, tls, g;
	uint8_t has_g;
	uint32_t nregs;
};

static enum gc_code read_fixed(struct gc_cursor *c, struct fixed *out, struct gc_error *err)
{
	enum gc_code code = gc_cursor_u64(c, &out->id, err);

	if (code == GC_OK)
		code = gc_cursor_u64(c, &out->pc, err);
	if (code == GC_OK)
		code = gc_cursor_u64(c, &out->sp, err);
	if (code == GC_OK)
		code = gc_cursor_u64(c, &out->bp, err);
	if (code == GC_OK)
		code = gc_cursor_u64(c, &out->tls, err);
	if (code == GC_OK)
		code = gc_cursor_u8(c, &out->has_g, err);
	if (code == GC_OK)
		code = gc_cursor_u64(c, &out->g, err);
	if (code == GC_OK)
		code = gc_cursor_u32(c, &out->nregs, err);
	return code;
}

static void set_if_unknown(struct gc_regs *out, int row, uint64_t value)
{
	if (row >= 0 && !out->valid[row])
		gc_regs_set_u64(out, (unsigned)row, value);
}

/** What the list of registers lacks. Without cgo Delve writes a thread pointer of 0: not known. */
static void set_from_fixed(const struct gc_core *core, const struct fixed *f, struct gc_regs *out)
{
	const struct gc_arch *arch = core->arch;

	set_if_unknown(out, arch->pc, f->pc);
	set_if_unknown(out, arch->sp, f->sp);
	set_if_unknown(out, arch->fp, f->bp);
	if (f->tls && strncmp(core->delve.goos_goarch, "linux/", 6) == 0)
		set_if_unknown(out, arch->tp, f->tls);
}

enum gc_code gc_delve_load(const struct gc_core *core, const struct gc_note *note, struct gc_regs *out,
			   struct gc_error *err)
{
	struct gc_cursor c;
	struct fixed f;
	enum gc_code code;

	gc_cursor_init(&c, note->desc, note->desc_len, note->file_off);
	code = read_fixed(&c, &f, err);
	if (code != GC_OK)
		return code;
	if (f.nregs > MAX_REGISTERS)
		code = gc_fail(err, GC_E_LIMIT, "%u registers", f.nregs);
	for (uint32_t i = 0; code == GC_OK && i < f.nregs; i++)
		code = load_register(&c, out, err);
	set_from_fixed(core, &f, out);
	return code;
}
