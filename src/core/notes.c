#include "gocore/core.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"
#include "gocore/signals.h"

#include "core/core_private.h"

#define MAX_NOTES (4U << 20) /* 20 for each of 200,000 threads */

#define GC_NT_GDB_TDESC 0xff000000

/* ---- Owners, types, names ---- */

static bool owner_is(const struct gc_note *note, const char *owner)
{
	return note->owner_len == strlen(owner) && memcmp(note->owner, owner, note->owner_len) == 0;
}

/*
 * Excused: Delve writes the kernel's notes with no owner name at all; a file
 * that has a "Delve Header" note may do so. An owner without its NUL needs no
 * excuse here, for gc_note.owner_len never counts it.
 */
bool gc_note_is(const struct gc_core *core, const struct gc_note *note, const char *owner, uint32_t type)
{
	if (note->type != type)
		return false;
	if (owner_is(note, owner))
		return true;
	return core->has_delve && note->owner_len == 0 &&
	       (strcmp(owner, "CORE") == 0 || strcmp(owner, "LINUX") == 0);
}

static const struct {
	const char *owner;
	uint32_t type;
	const char *name;
} names[] = {
	{ "CORE", GC_NT_PRSTATUS, "NT_PRSTATUS" },
	{ "CORE", GC_NT_FPREGSET, "NT_FPREGSET" },
	{ "CORE", GC_NT_PRPSINFO, "NT_PRPSINFO" },
	{ "CORE", 4, "NT_TASKSTRUCT" },
	{ "CORE", GC_NT_AUXV, "NT_AUXV" },
	{ "CORE", GC_NT_SIGINFO, "NT_SIGINFO" },
	{ "CORE", GC_NT_FILE, "NT_FILE" },
	{ "GDB", GC_NT_GDB_TDESC, "NT_GDB_TDESC" },
	{ "Delve Header", GC_NT_DELVE_HEADER, "NT_DELVE_HEADER" },
	{ "", GC_NT_DELVE_THREAD, "NT_DELVE_THREAD" },
};

const char *gc_note_name(const struct gc_core *core, const struct gc_note *note)
{
	for (size_t i = 0; i < GC_COUNT(names); i++)
		if (gc_note_is(core, note, names[i].owner, names[i].type))
			return names[i].name;
	for (size_t i = 0; i < core->arch->nnotes; i++)
		if (gc_note_is(core, note, core->arch->notes[i].owner, core->arch->notes[i].type))
			return core->arch->notes[i].name;
	return NULL;
}

const char *gc_core_maker_name(enum gc_core_maker maker)
{
	switch (maker) {
	case GC_MADE_BY_KERNEL:
		return "kernel";
	case GC_MADE_BY_GCORE:
		return "gcore";
	case GC_MADE_BY_QEMU_USER:
		return "qemu-user";
	case GC_MADE_BY_DELVE:
	case GC_MADE_BY_DELVE_PORTABLE:
		return "delve";
	default:
		return "other";
	}
}

const char *gc_note_where(const struct gc_core *core, const struct gc_note *note, char buf[64])
{
	const char *name = gc_note_name(core, note);
	size_t index = (size_t)(note - core->notes);

	if (name)
		snprintf(buf, 64, "note %zu (%s)", index, name);
	else
		snprintf(buf, 64, "note %zu", index);
	return buf;
}

/* ---- The list of notes ---- */

/** One gc_notes_read call. */
struct reading {
	struct gc_core *core;
	size_t cap;  /* of core->notes */
};

static enum gc_code append_note(struct reading *r, const struct gc_note *note, struct gc_error *err)
{
	struct gc_core *core = r->core;

	if (core->nnotes == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 64;
		struct gc_note *notes = realloc(core->notes, cap * sizeof(*notes));

		if (!notes)
			return gc_fail_memory(err);
		core->notes = notes;
		r->cap = cap;
	}
	core->notes[core->nnotes++] = *note;
	return GC_OK;
}

static enum gc_code read_note(struct gc_cursor *c, size_t align, struct gc_note *out, struct gc_error *err)
{
	uint32_t owner_len, desc_len, type;
	const uint8_t *owner, *desc;
	enum gc_code code = gc_cursor_u32(c, &owner_len, err);

	if (code == GC_OK)
		code = gc_cursor_u32(c, &desc_len, err);
	if (code == GC_OK)
		code = gc_cursor_u32(c, &type, err);
	if (code == GC_OK)
		code = gc_cursor_bytes(c, owner_len, &owner, err);
	if (code != GC_OK)
		return code;
	gc_cursor_align(c, align);
	code = gc_cursor_bytes(c, desc_len, &desc, err);
	if (code != GC_OK)
		return code;
	while (owner_len && owner[owner_len - 1] == '\0')
		owner_len--;
	*out = (struct gc_note){
		.owner = (const char *)owner,
		.owner_len = owner_len,
		.type = type,
		.desc = desc,
		.desc_len = desc_len,
		.file_off = c->file_off + (uint64_t)(desc - c->base),
	};
	gc_cursor_align(c, align);
	return GC_OK;
}

/** A note that does not fit ends its segment: where the next one starts is anybody's guess. */
static enum gc_code read_segment(struct reading *r, const struct gc_note_segment *s, struct gc_error *err)
{
	struct gc_core *core = r->core;
	struct gc_error why;
	struct gc_cursor c;
	struct gc_note note;
	enum gc_code code = GC_OK;
	char where[32];

	if (s->have == 0) /* cut off, and said so already */
		return GC_OK;
	gc_cursor_init(&c, core->input.bytes + s->offset, s->have, s->offset);
	while (code == GC_OK && gc_cursor_left(&c) && core->nnotes < MAX_NOTES) {
		if (read_note(&c, s->align == 8 ? 8 : 4, &note, &why) != GC_OK) {
			snprintf(where, sizeof(where), "note %zu", core->nnotes);
			gc_problem(&core->problems, where, "%s; this and what follows is left out",
				   why.text);
			break;
		}
		code = append_note(r, &note, err);
	}
	if (core->nnotes == MAX_NOTES)
		gc_problem(&core->problems, "notes", "over %u of them; the rest is left out", MAX_NOTES);
	return code;
}

bool gc_note_is_prstatus(const struct gc_core *core, const struct gc_note *note)
{
	return gc_note_is(core, note, "CORE", GC_NT_PRSTATUS);
}

const struct gc_note *gc_notes_find(const struct gc_core *core, const char *owner, uint32_t type)
{
	for (size_t i = 0; i < core->nnotes; i++)
		if (gc_note_is(core, &core->notes[i], owner, type))
			return &core->notes[i];
	return NULL;
}

/* ---- Notes about the process ---- */

/** Text of at most @size bytes, with or without a NUL. */
static void copy_text(char *to, const uint8_t *from, size_t size)
{
	memcpy(to, from, size);
	to[size] = '\0';
}

/** struct elf_prpsinfo of 64-bit architectures, linux/elfcore.h. */
static void read_prpsinfo(struct gc_core *core)
{
	const struct gc_note *note = gc_notes_find(core, "CORE", GC_NT_PRPSINFO);
	struct gc_prpsinfo *p = &core->prpsinfo;
	const uint8_t *d;
	char where[64];

	if (!note)
		return;
	if (note->desc_len < 136) {
		gc_problem(&core->problems, gc_note_where(core, note, where),
			   "%" PRIu64 " bytes instead of 136; left out", note->desc_len);
		return;
	}
	d = note->desc;
	p->state = d[1] >= ' ' && d[1] < 0x7f ? (char)d[1] : 0;
	p->nice = (int8_t)d[3];
	p->uid = gc_load_le32(d + 16);
	p->gid = gc_load_le32(d + 20);
	p->pid = (int32_t)gc_load_le32(d + 24);
	p->ppid = (int32_t)gc_load_le32(d + 28);
	p->pgrp = (int32_t)gc_load_le32(d + 32);
	p->sid = (int32_t)gc_load_le32(d + 36);
	copy_text(p->fname, d + 40, 16);
	copy_text(p->args, d + 56, 80);
	core->has_prpsinfo = true;
}

bool gc_core_auxv(const struct gc_core *core, uint64_t type, uint64_t *out)
{
	if (!core->auxv)
		return false;
	for (uint64_t at = 0; core->auxv->desc_len - at >= 16; at += 16) {
		uint64_t found = gc_load_le64(core->auxv->desc + at);

		if (found == AT_NULL)
			break;
		if (found == type) {
			*out = gc_load_le64(core->auxv->desc + at + 8);
			return true;
		}
	}
	return false;
}

/** gdb's gcore writes a siginfo for each thread; a note before all threads is the crashed one's, too. */
static void read_siginfo(struct gc_core *core)
{
	const struct gc_note *note = NULL;
	char where[64];

	if (core->nthreads)
		note = gc_thread_note(core, &core->threads[0], "CORE", GC_NT_SIGINFO);
	if (!note) {
		note = gc_notes_find(core, "CORE", GC_NT_SIGINFO);
		if (note && core->nthreads && note > &core->notes[core->threads[0].first_note])
			note = NULL; /* another thread's */
	}
	if (!note)
		return;
	core->has_siginfo = gc_siginfo_decode(note, &core->siginfo);
	if (!core->has_siginfo)
		gc_problem(&core->problems, gc_note_where(core, note, where),
			   "%" PRIu64 " bytes instead of 128; left out", note->desc_len);
}

/* ---- Who wrote the core ---- */

/**
 * qemu's linux-user/elfload.c writes three types of notes only. The kernel
 * writes NT_SIGINFO before NT_AUXV (since 3.7), so that the same three with
 * NT_AUXV among them are no kernel core that was cut off in its notes.
 */
static bool is_qemu_user(const struct gc_core *core)
{
	bool auxv = false;

	for (size_t i = 0; i < core->nnotes; i++) {
		const struct gc_note *n = &core->notes[i];

		if (!owner_is(n, "CORE") ||
		    (n->type != GC_NT_PRSTATUS && n->type != GC_NT_PRPSINFO && n->type != GC_NT_AUXV))
			return false;
		auxv |= n->type == GC_NT_AUXV;
	}
	return auxv;
}

/** The kernel begins with NT_PRSTATUS and NT_PRPSINFO (write_note_info); others have another order. */
static enum gc_core_maker maker_by_order(const struct gc_core *core)
{
	if (core->nnotes && gc_note_is_prstatus(core, &core->notes[0]) &&
	    (core->nnotes == 1 || gc_note_is(core, &core->notes[1], "CORE", GC_NT_PRPSINFO)))
		return GC_MADE_BY_KERNEL;
	return GC_MADE_BY_OTHER;
}

static enum gc_core_maker find_maker(const struct gc_core *core)
{
	if (core->has_delve)
		return gc_notes_find(core, "CORE", GC_NT_PRSTATUS) ? GC_MADE_BY_DELVE
							       : GC_MADE_BY_DELVE_PORTABLE;
	if (gc_notes_find(core, "GDB", GC_NT_GDB_TDESC)) /* gdb 12 and later */
		return GC_MADE_BY_GCORE;
	return is_qemu_user(core) ? GC_MADE_BY_QEMU_USER : maker_by_order(core);
}

static void read_delve_header(struct gc_core *core)
{
	for (size_t i = 0; i < core->nnotes && !core->has_delve; i++) {
		core->has_delve = gc_note_is_delve_header(&core->notes[i]);
		if (core->has_delve)
			gc_delve_read_header(&core->notes[i], &core->delve);
	}
}

static gc_tid process_id(const struct gc_core *core)
{
	if (core->has_prpsinfo && core->prpsinfo.pid > 0)
		return core->prpsinfo.pid;
	if (core->delve.has_pid && core->delve.pid > 0)
		return core->delve.pid;
	return core->nthreads ? core->threads[0].tid : 0;
}

enum gc_code gc_notes_read(struct gc_core *core, const struct gc_note_segment *segments, size_t n,
			   struct gc_error *err)
{
	struct reading r = { .core = core };
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < n && code == GC_OK; i++)
		code = read_segment(&r, &segments[i], err);
	if (code != GC_OK)
		return code;
	read_delve_header(core);
	core->maker = find_maker(core);
	code = gc_notes_read_threads(core, err);
	if (code == GC_OK)
		code = gc_notes_read_files(core, err);
	if (code != GC_OK)
		return code;
	core->auxv = gc_notes_find(core, "CORE", GC_NT_AUXV);
	read_prpsinfo(core);
	read_siginfo(core);
	core->pid = process_id(core);
	core->signal = core->nthreads ? core->threads[0].cursig : 0;
	return GC_OK;
}
