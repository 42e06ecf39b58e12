/*
 * The notes of the new core, in the order of write_note_info in
 * fs/binfmt_elf.c: NT_PRSTATUS of the crashed thread, the notes about the
 * process, the rest of that thread's, then thread by thread.
 */
#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gocore/bytes.h"

#include "normalize/normalize_private.h"

/* Delve, pkg/elfwriter/delve_core_notes.go */
#define DELVE_HEADER 0x444c5645
#define DELVE_THREAD 0x444c5654

/** One gc_new_notes call. */
struct notes {
	const struct gc_process *p;
	enum gc_reader reader;
	struct gc_buf *out;
	struct gc_problems *problems;
	size_t nunknown;                 /* threads with a register that had to be given as 0 */
	bool unknown[GC_MAX_REGS];       /* these registers, of any thread */
};

static void pad(struct gc_buf *out)
{
	while (out->len % 4 && !out->failed)
		gc_buf_char(out, '\0');
}

/** Every note is a multiple of 4 long, so the next one begins aligned. */
static void add_note(struct gc_buf *out, const char *owner, size_t owner_len, uint32_t type, const void *desc,
		     uint64_t desc_len)
{
	uint8_t header[12];

	gc_store_le32(header, (uint32_t)(owner_len ? owner_len + 1 : 0));
	gc_store_le32(header + 4, (uint32_t)desc_len);
	gc_store_le32(header + 8, type);
	gc_buf_add(out, header, sizeof(header));
	gc_buf_add(out, owner, owner_len);
	if (owner_len)
		gc_buf_char(out, '\0');
	pad(out);
	gc_buf_add(out, desc, desc_len);
	pad(out);
}

static const struct gc_regnote *regnote_of(const struct gc_core *core, const struct gc_note *note)
{
	for (size_t i = 0; i < core->arch->nnotes; i++) {
		const struct gc_regnote *row = &core->arch->notes[i];

		if (gc_note_is(core, note, row->owner, row->type))
			return row;
	}
	return NULL;
}

static bool is_core_note(const struct gc_core *core, const struct gc_note *note, uint32_t type)
{
	return gc_note_is(core, note, "CORE", type);
}

/** @note as it is; Delve's ones, which have no owner, get the kernel's. */
static void copy_note(struct notes *n, const struct gc_note *note)
{
	const struct gc_regnote *row = regnote_of(&n->p->core, note);
	const char *owner = note->owner;
	size_t owner_len = note->owner_len;

	if (!owner_len && n->p->core.has_delve) {
		owner = row ? row->owner : "CORE";
		owner_len = strlen(owner);
	}
	add_note(n->out, owner, owner_len, note->type, note->desc, note->desc_len);
}

/** About the whole process, and so written once, whatever thread it lies with. */
static bool is_about_process(const struct gc_core *core, const struct gc_note *note)
{
	return is_core_note(core, note, NT_PRPSINFO) || is_core_note(core, note, NT_AUXV) ||
	       is_core_note(core, note, NT_FILE) || (core->has_siginfo && note == core->siginfo.note) ||
	       (core->has_delve && (note->type == DELVE_HEADER || note->type == DELVE_THREAD));
}

static const struct gc_note *first_note(const struct gc_core *core, uint32_t type)
{
	for (size_t i = 0; i < core->nnotes; i++)
		if (is_core_note(core, &core->notes[i], type))
			return &core->notes[i];
	return NULL;
}

/* ---- Notes about the process ---- */

/** A whole one is copied; rows of a damaged one, or found without one, are written anew. */
static void add_files(struct notes *n)
{
	const struct gc_core *core = &n->p->core;
	const struct gc_note *note = first_note(core, NT_FILE);
	struct gc_buf desc = GC_BUF_INIT;

	if (n->reader == GC_READER_DELVE)
		return;
	if (note && note->desc_len >= 16 && gc_load_le64(note->desc) == core->nfiles) {
		copy_note(n, note);
		return;
	}
	if (core->has_files)
		gc_make_file(&desc, core->files, core->nfiles, core->page_size);
	else if (n->p->images.nrows)
		gc_make_file(&desc, n->p->images.rows, n->p->images.nrows, core->page_size);
	else
		return;
	add_note(n->out, "CORE", 4, NT_FILE, desc.data, desc.len);
	n->out->failed |= desc.failed;
	gc_buf_deinit(&desc);
}

static void add_prpsinfo(struct notes *n)
{
	const struct gc_core *core = &n->p->core;
	struct gc_buf desc = GC_BUF_INIT;

	if (core->has_prpsinfo) {
		copy_note(n, first_note(core, NT_PRPSINFO));
		return;
	}
	gc_make_prpsinfo(&desc, n->p);
	add_note(n->out, "CORE", 4, NT_PRPSINFO, desc.data, desc.len);
	n->out->failed |= desc.failed;
	gc_buf_deinit(&desc);
}

static void add_auxv(struct notes *n)
{
	struct gc_buf desc = GC_BUF_INIT;

	if (n->p->core.auxv) {
		copy_note(n, n->p->core.auxv);
		return;
	}
	gc_make_auxv(&desc, n->p);
	if (desc.len)
		add_note(n->out, "CORE", 4, NT_AUXV, desc.data, desc.len);
	n->out->failed |= desc.failed;
	gc_buf_deinit(&desc);
}

/** Those before the first thread that are nobody's registers, such as gdb's NT_GDB_TDESC. */
static void add_leading(struct notes *n)
{
	const struct gc_core *core = &n->p->core;

	for (size_t i = 0; i < core->threads[0].first_note; i++) {
		const struct gc_note *note = &core->notes[i];

		if (!is_about_process(core, note) && !is_core_note(core, note, NT_SIGINFO) && !regnote_of(core, note))
			copy_note(n, note);
	}
}

static void add_process_notes(struct notes *n)
{
	add_prpsinfo(n);
	if (n->p->core.has_siginfo)
		copy_note(n, n->p->core.siginfo.note);
	add_auxv(n);
	add_files(n);
	add_leading(n);
}

/* ---- A thread's notes ---- */

/** pr_reg has no way to say that a register is not known. */
static void note_unknown(struct notes *n, const struct gc_regs *regs, unsigned bank)
{
	const struct gc_arch *arch = n->p->core.arch;
	bool any = false;

	for (size_t i = 0; i < arch->nregs; i++) {
		if (arch->regs[i].bank == bank && regs->map->size[i] && !regs->valid[i]) {
			n->unknown[i] = true;
			any = true;
		}
	}
	n->nunknown += any;
}

/** struct elf_prstatus (linux/elfcore.h); pr_reg is filled by the rows that share the pc's bank. */
static void make_prstatus(struct notes *n, const struct gc_thread *t, const struct gc_regs *regs)
{
	const struct gc_arch *arch = n->p->core.arch;
	unsigned bank = arch->regs[arch->pc].bank;
	uint8_t desc[1024] = { 0 };

	if (arch->syscall_nr >= 0) /* in no system call, unless it is known better */
		memset(desc + arch->prstatus_regs + arch->regs[arch->syscall_nr].offset, 0xff, 8);
	gc_store_le32(desc, (uint32_t)t->cursig);
	gc_store_le16(desc + 12, (uint16_t)t->cursig);
	gc_store_le64(desc + 16, t->sigpend);
	gc_store_le64(desc + 24, t->sighold);
	gc_store_le32(desc + 32, (uint32_t)t->tid);
	gc_store_le32(desc + 36, (uint32_t)t->ppid);
	gc_store_le32(desc + 40, (uint32_t)t->pgrp);
	gc_store_le32(desc + 44, (uint32_t)t->sid);
	gc_regs_store(regs, bank, desc + arch->prstatus_regs, arch->prstatus_regs_size);
	note_unknown(n, regs, bank);
	add_note(n->out, "CORE", 4, NT_PRSTATUS, desc, arch->prstatus_size);
}

static void add_prstatus(struct notes *n, const struct gc_thread *t, const struct gc_regs *regs)
{
	if (t->prstatus && t->prstatus->desc_len == n->p->core.arch->prstatus_size)
		copy_note(n, t->prstatus);
	else
		make_prstatus(n, t, regs);
}

static void add_made(struct notes *n, const struct gc_regnote *row, const struct gc_regs *regs)
{
	struct gc_buf desc = GC_BUF_INIT;

	if (row->store(regs, &desc))
		add_note(n->out, row->owner, strlen(row->owner), row->type, desc.data, desc.len);
	n->out->failed |= desc.failed;
	gc_buf_deinit(&desc);
}

/** Readers trust the length of these, and some crash: what we cannot decode is made anew or left out. */
static void add_register_note(struct notes *n, const struct gc_thread *t, const struct gc_note *note,
			      const struct gc_regnote *row, struct gc_regs *regs)
{
	char where[96];
	struct gc_error why;

	if (!row->load || row->load(note, regs, &why) == GC_OK) {
		copy_note(n, note);
		return;
	}
	snprintf(where, sizeof(where), "thread %" PRId64 ", %s", t->tid, row->name);
	gc_problem(n->problems, where, "%s; %s", why.text,
		   row->store ? "made of what is known" : "left out of the new core");
	if (row->store)
		add_made(n, row, regs);
}

/** A Delve thread note has all registers; those that are not in NT_PRSTATUS get notes of their own. */
static void add_made_notes(struct notes *n, const struct gc_regs *regs)
{
	const struct gc_arch *arch = n->p->core.arch;

	for (size_t i = 0; i < arch->nnotes; i++)
		if (arch->notes[i].store)
			add_made(n, &arch->notes[i], regs);
}

static void add_rest(struct notes *n, const struct gc_thread *t, struct gc_regs *regs)
{
	const struct gc_core *core = &n->p->core;

	if (!t->prstatus) {
		add_made_notes(n, regs);
		return;
	}
	for (size_t i = 1; i < t->nnotes; i++) {
		const struct gc_note *note = &core->notes[t->first_note + i];
		const struct gc_regnote *row = regnote_of(core, note);

		if (is_about_process(core, note))
			continue;
		if (row)
			add_register_note(n, t, note, row, regs);
		else
			copy_note(n, note);
	}
}

static enum gc_code add_thread(struct notes *n, const struct gc_thread *t, struct gc_error *err)
{
	const struct gc_core *core = &n->p->core;
	struct gc_regs regs;
	enum gc_code code = gc_core_regs(core, t, &n->p->regmap, &regs, NULL, err);

	if (code != GC_OK)
		return code;
	add_prstatus(n, t, &regs);
	if (t == core->threads)
		add_process_notes(n);
	add_rest(n, t, &regs);
	gc_regs_deinit(&regs);
	return GC_OK;
}

static void report_unknown(struct notes *n)
{
	const struct gc_arch *arch = n->p->core.arch;
	struct gc_buf names = GC_BUF_INIT;

	for (size_t i = 0; i < arch->nregs; i++)
		if (n->unknown[i])
			gc_buf_printf(&names, "%s%s", names.len ? ", " : "", arch->regs[i].name);
	if (n->nunknown)
		gc_problem(n->problems, "registers", "%s of %zu threads %s not known, and NT_PRSTATUS cannot say so: "
			   "their values in the new core mean nothing", gc_buf_text(&names), n->nunknown,
			   strchr(gc_buf_text(&names), ',') ? "are" : "is");
	gc_buf_deinit(&names);
}

enum gc_code gc_new_notes(struct gc_buf *out, const struct gc_process *p, enum gc_reader reader,
			  struct gc_problems *problems, struct gc_error *err)
{
	struct notes n = { .p = p, .reader = reader, .out = out, .problems = problems };
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < p->core.nthreads && code == GC_OK; i++)
		code = add_thread(&n, &p->core.threads[i], err);
	if (code == GC_OK && out->failed)
		code = gc_fail_memory(err);
	if (code == GC_OK)
		report_unknown(&n);
	return code;
}
