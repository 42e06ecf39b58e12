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

/** "note 3 (NT_PRSTATUS)" */
static const char *note_where(const struct gc_core *core, const struct gc_note *note, char buf[64])
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

/** The first note of the process with this type. */
static const struct gc_note *find_note(const struct gc_core *core, const char *owner, uint32_t type)
{
	for (size_t i = 0; i < core->nnotes; i++)
		if (gc_note_is(core, &core->notes[i], owner, type))
			return &core->notes[i];
	return NULL;
}

/* ---- Threads ---- */

static bool is_prstatus(const struct gc_core *core, const struct gc_note *note)
{
	return gc_note_is(core, note, "CORE", GC_NT_PRSTATUS);
}

/** struct elf_prstatus, linux/elfcore.h: its start is the same on all 64-bit architectures. */
static bool read_prstatus(const struct gc_note *note, struct gc_thread *out)
{
	const uint8_t *d = note->desc;

	if (note->desc_len < 48)
		return false;
	out->prstatus = note;
	out->cursig = gc_load_le16(d + 12);
	out->sigpend = gc_load_le64(d + 16);
	out->sighold = gc_load_le64(d + 24);
	out->tid = (int32_t)gc_load_le32(d + 32);
	out->ppid = (int32_t)gc_load_le32(d + 36);
	out->pgrp = (int32_t)gc_load_le32(d + 40);
	out->sid = (int32_t)gc_load_le32(d + 44);
	return true;
}

/** Does a thread's notes start here? In Delve's portable dumps each thread is one note. */
static bool starts_thread(const struct gc_core *core, const struct gc_note *note)
{
	return core->maker == GC_MADE_BY_DELVE_PORTABLE ? gc_note_is_delve_thread(core, note)
							: is_prstatus(core, note);
}

static bool read_thread(struct gc_core *core, const struct gc_note *note, struct gc_thread *out)
{
	bool good;
	char where[64];

	*out = (struct gc_thread){ .first_note = (size_t)(note - core->notes) };
	if (core->maker == GC_MADE_BY_DELVE_PORTABLE)
		good = gc_delve_thread_id(note, &out->tid);
	else
		good = read_prstatus(note, out);
	if (!good)
		gc_problem(&core->problems, note_where(core, note, where),
			   "%" PRIu64 " bytes are too few; its thread is left out", note->desc_len);
	else if (out->tid <= 0)
		gc_problem(&core->problems, note_where(core, note, where),
			   "thread number %" PRId64 " cannot be; its thread is left out", out->tid);
	return good && out->tid > 0;
}

static size_t count_threads(const struct gc_core *core)
{
	size_t n = 0;

	for (size_t i = 0; i < core->nnotes; i++)
		n += starts_thread(core, &core->notes[i]);
	return n;
}

static enum gc_code read_threads(struct gc_core *core, struct gc_error *err)
{
	size_t count = count_threads(core);
	struct gc_thread *open = NULL; /* whose notes we are among */

	core->threads = calloc(count ? count : 1, sizeof(*core->threads));
	if (!core->threads)
		return gc_fail_memory(err);
	for (size_t i = 0; i < core->nnotes; i++) {
		if (starts_thread(core, &core->notes[i])) {
			open = &core->threads[core->nthreads];
			if (read_thread(core, &core->notes[i], open))
				core->nthreads++;
			else
				open = NULL; /* the notes of a damaged one are nobody's */
		}
		if (open)
			open->nnotes++;
	}
	return GC_OK;
}

struct tid_at {
	gc_tid tid;
	size_t index;
};

static int by_tid(const void *a, const void *b)
{
	const struct tid_at *x = a, *y = b;

	if (x->tid != y->tid)
		return x->tid < y->tid ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/** Take out threads marked by tid 0. */
static void drop_marked(struct gc_core *core)
{
	size_t kept = 0;

	for (size_t i = 0; i < core->nthreads; i++)
		if (core->threads[i].tid)
			core->threads[kept++] = core->threads[i];
	core->nthreads = kept;
}

/** Thread numbers are names to a debugger: one that comes again is left out. */
static enum gc_code drop_doubles(struct gc_core *core, struct gc_error *err)
{
	struct tid_at *order = malloc((core->nthreads + 1) * sizeof(*order));
	char where[64];

	if (!order)
		return gc_fail_memory(err);
	for (size_t i = 0; i < core->nthreads; i++)
		order[i] = (struct tid_at){ core->threads[i].tid, i };
	qsort(order, core->nthreads, sizeof(*order), by_tid);
	for (size_t i = 1; i < core->nthreads; i++) {
		struct gc_thread *t = &core->threads[order[i].index];

		if (order[i].tid != order[i - 1].tid)
			continue;
		gc_problem(&core->problems, note_where(core, &core->notes[t->first_note], where),
			   "thread %" PRId64 " comes a second time; left out", t->tid);
		t->tid = 0;
	}
	free(order);
	drop_marked(core);
	return GC_OK;
}

const struct gc_note *gc_thread_note(const struct gc_core *core, const struct gc_thread *thread,
				     const char *owner, uint32_t type)
{
	for (size_t i = 0; i < thread->nnotes; i++)
		if (gc_note_is(core, &core->notes[thread->first_note + i], owner, type))
			return &core->notes[thread->first_note + i];
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
	const struct gc_note *note = find_note(core, "CORE", GC_NT_PRPSINFO);
	struct gc_prpsinfo *p = &core->prpsinfo;
	const uint8_t *d;
	char where[64];

	if (!note)
		return;
	if (note->desc_len < 136) {
		gc_problem(&core->problems, note_where(core, note, where),
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
		note = find_note(core, "CORE", GC_NT_SIGINFO);
		if (note && core->nthreads && note > &core->notes[core->threads[0].first_note])
			note = NULL; /* another thread's */
	}
	if (!note)
		return;
	core->has_siginfo = gc_siginfo_decode(note, &core->siginfo);
	if (!core->has_siginfo)
		gc_problem(&core->problems, note_where(core, note, where),
			   "%" PRIu64 " bytes instead of 128; left out", note->desc_len);
}

/* ---- NT_FILE ---- */

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

static enum gc_code read_files(struct gc_core *core, struct gc_error *err)
{
	const struct gc_note *note = find_note(core, "CORE", GC_NT_FILE);
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
		gc_problem(&core->problems, note_where(core, note, where), "%s", why.text);
	sort_files(core);
	return GC_OK;
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
	if (core->nnotes && is_prstatus(core, &core->notes[0]) &&
	    (core->nnotes == 1 || gc_note_is(core, &core->notes[1], "CORE", GC_NT_PRPSINFO)))
		return GC_MADE_BY_KERNEL;
	return GC_MADE_BY_OTHER;
}

static enum gc_core_maker find_maker(const struct gc_core *core)
{
	if (core->has_delve)
		return find_note(core, "CORE", GC_NT_PRSTATUS) ? GC_MADE_BY_DELVE
							       : GC_MADE_BY_DELVE_PORTABLE;
	if (find_note(core, "GDB", GC_NT_GDB_TDESC)) /* gdb 12 and later */
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
	code = read_threads(core, err);
	if (code == GC_OK)
		code = drop_doubles(core, err);
	if (code == GC_OK)
		code = read_files(core, err);
	if (code != GC_OK)
		return code;
	core->auxv = find_note(core, "CORE", GC_NT_AUXV);
	read_prpsinfo(core);
	read_siginfo(core);
	core->pid = process_id(core);
	core->signal = core->nthreads ? core->threads[0].cursig : 0;
	return GC_OK;
}

/* ---- Registers ---- */

void gc_core_regmap(const struct gc_core *core, struct gc_regmap *out)
{
	const struct gc_arch *arch = core->arch;
	uint64_t hwcap = 0, hwcap2 = 0;

	gc_regmap_init(out, arch);
	for (size_t i = 0; i < core->nnotes; i++)
		for (size_t k = 0; k < arch->nnotes; k++)
			if (arch->notes[k].probe &&
			    gc_note_is(core, &core->notes[i], arch->notes[k].owner, arch->notes[k].type))
				arch->notes[k].probe(out, &core->notes[i]);
	gc_core_auxv(core, AT_HWCAP, &hwcap);
	gc_core_auxv(core, AT_HWCAP2, &hwcap2);
	if (arch->probe_hwcap)
		arch->probe_hwcap(out, hwcap, hwcap2);
	gc_regmap_seal(out);
}

static void report_regs(const struct gc_core *core, const struct gc_thread *thread,
			const struct gc_note *note, struct gc_problems *problems,
			const struct gc_error *why)
{
	char where[64], at[128];

	snprintf(at, sizeof(at), "thread %" PRId64 ", %s", thread->tid, note_where(core, note, where));
	gc_problem(problems, at, "%s", why->text);
}

static void load_notes(const struct gc_core *core, const struct gc_thread *thread, struct gc_regs *out,
		       struct gc_problems *problems)
{
	const struct gc_arch *arch = core->arch;

	for (size_t i = 0; i < arch->nnotes; i++) {
		const struct gc_note *note;
		struct gc_error why;

		if (!arch->notes[i].load)
			continue;
		note = gc_thread_note(core, thread, arch->notes[i].owner, arch->notes[i].type);
		if (note && arch->notes[i].load(note, out, &why) != GC_OK)
			report_regs(core, thread, note, problems, &why);
	}
}

enum gc_code gc_core_regs(const struct gc_core *core, const struct gc_thread *thread,
			  const struct gc_regmap *map, struct gc_regs *out,
			  struct gc_problems *problems, struct gc_error *err)
{
	enum gc_code code = gc_regs_init(out, map, err);
	struct gc_error why;

	if (code != GC_OK)
		return code;
	if (core->maker == GC_MADE_BY_DELVE_PORTABLE) {
		const struct gc_note *note = &core->notes[thread->first_note];

		if (gc_delve_load(core, note, out, &why) != GC_OK)
			report_regs(core, thread, note, problems, &why);
	} else {
		load_notes(core, thread, out, problems);
	}
	return GC_OK;
}
