/*
 * Is a file the image that the process had mapped? Build IDs decide where both
 * sides have one. Without, the file must be laid out as the mappings are, and
 * the dumped pages must be what the file has there, after relocation.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "core/elf_identity.h"
#include "core/image_work.h"

/* Fewer words that agree prove nothing. */
#define MIN_WORDS 16

/* Words to compare at most: enough to be sure, and quick where all text is dumped. */
#define MAX_WORDS 0x20000

/* Relocations that are looked at. */
#define MAX_FIXUPS 0x100000

/** Refuse it, for this reason. */
static void differs(struct gc_fit_result *r, const char *format, ...) GC_PRINTF(2, 3);

static void differs(struct gc_fit_result *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(r->why, sizeof(r->why), format, args);
	va_end(args);
	r->fit = GC_DIFFERS;
}

/* Where the image was moved to. */

/** The program, by what the kernel told it. @return false if that cannot be true of @p */
static bool bias_of_auxv(const struct gc_core *core, const struct gc_phdrs *p, struct gc_fit_result *out)
{
	uint64_t phdr, entry, phnum, vaddr;
	bool has_phdr = gc_core_auxv(core, AT_PHDR, &phdr) && gc_phdrs_vaddr(p, &vaddr);
	bool has_entry = gc_image_entry(core, &entry);

	out->has_bias = has_phdr || has_entry || p->type == ET_EXEC; /* the last is moved by nobody */
	out->bias = has_phdr ? phdr - vaddr : has_entry ? entry - p->entry : 0;
	if ((has_phdr && has_entry && phdr - vaddr != entry - p->entry) ||
	    (p->type == ET_EXEC && out->bias != 0))
		differs(out, "is another build: it starts at another address than the core's program");
	else if (gc_core_auxv(core, AT_PHNUM, &phnum) && phnum != p->count)
		differs(out, "is another build: it has %zu program headers, but the core's program has %" PRIu64,
			p->count, phnum);
	return out->fit == GC_FITS;
}

/** @return false if the file is seen to be another one on the way */
static bool find_bias(const struct gc_image_set *set, const struct gc_image_work *w, const struct gc_phdrs *p,
		      struct gc_fit_result *out)
{
	const uint64_t page = set->core->page_size;
	uint64_t at_base, low, high;

	out->has_bias = w->image.has_bias;
	out->bias = w->image.bias;
	if (out->has_bias)
		return true;
	if (w->image.is_program)
		return bias_of_auxv(set->core, p, out);
	if (w->image.is_interp && gc_core_auxv(set->core, AT_BASE, &at_base) &&
	    gc_phdrs_span(p, page, &low, &high)) {
		out->has_bias = true;
		out->bias = at_base - low;
		return true;
	}
	out->has_bias = gc_image_bias_of_rows(w, p, page, &out->bias);
	return true;
}

/* By name. */

/** @return true if build IDs decided */
static bool check_build_ids(const struct gc_image *image, const struct gc_elf_file *file,
			    struct gc_fit_result *out)
{
	char have[2 * GC_BUILD_ID_MAX + 1], want[2 * GC_BUILD_ID_MAX + 1];

	if (image->build_id.len == 0)
		return false;
	gc_build_id_hex(&image->build_id, want);
	gc_build_id_hex(&file->build_id, have);
	if (file->build_id.len == 0)
		differs(out, "is another build: it has no build ID, but the core has %s", want);
	else if (!gc_build_id_equal(&image->build_id, &file->build_id))
		differs(out, "is another build: it has build ID %s, but the core has %s", have, want);
	else
		out->check = GC_CHECK_BUILD_ID;
	return true;
}

static bool check_go_build_ids(const struct gc_image *image, const struct gc_elf_file *file,
			       struct gc_fit_result *out)
{
	if (!image->go_build_id)
		return false;
	if (!file->go_build_id)
		differs(out, "is another build: it has no Go build ID, but the core has %s",
			image->go_build_id);
	else if (strcmp(image->go_build_id, file->go_build_id) != 0)
		differs(out, "is another build: it has Go build ID %s, but the core has %s", file->go_build_id,
			image->go_build_id);
	else
		out->check = GC_CHECK_GO_BUILD_ID;
	return true;
}

/**
 * The same build, but are its bytes where they were? Tools that rewrite a file
 * (patchelf, prelink) leave its build ID alone.
 */
static void check_mapping(const struct gc_image_set *set, const struct gc_image_work *w,
			  const struct gc_elf_file *file, struct gc_fit_result *out)
{
	const uint64_t page = set->core->page_size;
	const struct gc_file_map *last = w->nrows ? w->rows[w->nrows - 1] : NULL;

	if (!last || w->made || (out->has_bias && gc_image_rows_fit(w, &file->phdrs, out->bias, page, false)))
		return;
	out->has_bias = false;
	/* mapped in one piece, as data: all of the file counts, so a stripped copy will not do */
	if (!gc_image_is_flat(w) ||
	    gc_page_ceil(file->input.size, page) != last->offset + (last->end - last->start))
		differs(out, "has the build ID of the core's image, but is laid out in another way");
}

/* By content. */

/** A word that the dynamic linker changed. */
struct fixup {
	uint64_t vaddr;
	uint64_t value;  /* before the image is moved */
	bool known;      /* false: depends on other images */
};

struct fixups {
	struct fixup *list;
	size_t count;
	bool failed;
};

static void add_fixup(struct fixups *f, uint64_t vaddr, uint64_t value, bool known)
{
	if (f->failed || f->count == MAX_FIXUPS)
		return;
	if ((f->count & (f->count - 1)) == 0) {
		struct fixup *list = realloc(f->list, (f->count ? 2 * f->count : 1) * sizeof(*list));

		if (!list) {
			f->failed = true;
			return;
		}
		f->list = list;
	}
	f->list[f->count++] = (struct fixup){ vaddr, value, known };
}

/** The first @relative entries are R_*_RELATIVE (DT_RELACOUNT), whose number depends on the machine. */
static void add_rela(struct fixups *f, const struct gc_elf_file *file, int64_t table, int64_t size,
		     uint64_t relative)
{
	uint64_t vaddr, len, left;
	const uint8_t *at;

	if (!gc_elf_dynamic(file, table, 0, &vaddr) || !gc_elf_dynamic(file, size, 0, &len) ||
	    !gc_elf_at(file, vaddr, &at, &left))
		return;
	left = len < left ? len : left;
	for (uint64_t i = 0; i < left / 24; i++, at += 24)
		add_fixup(f, gc_load_le64(at), gc_load_le64(at + 16), i < relative);
}

static void add_relr_word(struct fixups *f, const struct gc_elf_file *file, uint64_t vaddr)
{
	const uint8_t *word;
	uint64_t left;

	if (gc_elf_at(file, vaddr, &word, &left) && left >= 8)
		add_fixup(f, vaddr, gc_load_le64(word), true);
}

/** An address, then bitmaps of the 63 words behind it (generic ABI, "Relative Relocation Table"). */
static void add_relr(struct fixups *f, const struct gc_elf_file *file)
{
	enum { TAG_RELRSZ = 35, TAG_RELR = 36 };
	uint64_t vaddr, len, left, where = 0;
	const uint8_t *at;

	if (!gc_elf_dynamic(file, TAG_RELR, 0, &vaddr) || !gc_elf_dynamic(file, TAG_RELRSZ, 0, &len) ||
	    !gc_elf_at(file, vaddr, &at, &left))
		return;
	left = len < left ? len : left;
	for (; left >= 8 && f->count < MAX_FIXUPS; left -= 8, at += 8) {
		uint64_t entry = gc_load_le64(at);

		if (!(entry & 1)) {
			add_relr_word(f, file, entry);
			where = entry + 8;
			continue;
		}
		for (unsigned bit = 1; bit < 64; bit++)
			if (entry >> bit & 1)
				add_relr_word(f, file, where + 8 * (bit - 1));
		where += 8 * 63;
	}
}

static int compare_fixups(const void *a, const void *b)
{
	const struct fixup *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

static void read_fixups(struct fixups *f, const struct gc_elf_file *file)
{
	uint64_t relative = 0;

	gc_elf_dynamic(file, DT_RELACOUNT, 0, &relative);
	add_rela(f, file, DT_RELA, DT_RELASZ, relative);
	add_rela(f, file, DT_JMPREL, DT_PLTRELSZ, 0);
	add_relr(f, file);
	if (f->count > 0)
		qsort(f->list, f->count, sizeof(*f->list), compare_fixups);
}

/** Index of the first fixup at or behind @vaddr. */
static size_t fixup_at(const struct fixups *f, uint64_t vaddr)
{
	size_t low = 0, high = f->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->list[mid].vaddr < vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct comparison {
	const struct gc_elf_file *file;
	const struct gc_space *space;
	const struct fixups *fixups;
	uint64_t bias;
	uint64_t dynamic_start, dynamic_end; /* addresses before the image is moved */
	bool writable;                       /* compare what can be written to, else what cannot */
	uint64_t words, agreed;
	uint64_t dynamic_words, dynamic_agreed;
};

static void count_word(struct comparison *c, uint64_t vaddr, uint64_t in_file, uint64_t in_core, size_t *fixup)
{
	const struct fixups *f = c->fixups;
	bool agrees = in_core == in_file || in_core == in_file + c->bias;

	while (*fixup < f->count && f->list[*fixup].vaddr < vaddr)
		++*fixup;
	if (*fixup < f->count && f->list[*fixup].vaddr == vaddr) {
		if (!f->list[*fixup].known)
			return;
		agrees = in_core == f->list[*fixup].value + c->bias;
	} else if (in_file == 0) {
		return; /* most are, so that it would say little; and what fills them later is lawful */
	}
	c->words++;
	c->agreed += agrees;
	if (vaddr >= c->dynamic_start && vaddr < c->dynamic_end) {
		c->dynamic_words++;
		c->dynamic_agreed += agrees;
	}
}

/** Compare the part of a PT_LOAD that lies in one dumped range. @return false when enough was seen */
static bool compare_range(struct comparison *c, const struct gc_range *r, const uint8_t *bytes, uint64_t vaddr,
			  uint64_t end)
{
	uint64_t start = (vaddr + 7) & ~(uint64_t)7;
	size_t fixup = fixup_at(c->fixups, start);

	for (uint64_t at = start; at < end && end - at >= 8; at += 8) {
		if (c->words >= MAX_WORDS)
			return false;
		count_word(c, at, gc_load_le64(bytes + (at - vaddr)),
			   gc_load_le64(r->bytes + (at + c->bias - r->start)), &fixup);
	}
	return true;
}

static bool compare_load(struct comparison *c, const Elf64_Phdr *ph)
{
	const uint64_t start = ph->p_vaddr + c->bias;
	const uint8_t *bytes;
	uint64_t len;

	if (ph->p_type != PT_LOAD || !gc_elf_at(c->file, ph->p_vaddr, &bytes, &len) || len > UINT64_MAX - start)
		return true;
	for (size_t i = gc_space_index(c->space, start); i < c->space->count; i++) {
		const struct gc_range *r = &c->space->ranges[i];
		uint64_t from = r->start > start ? r->start : start;
		uint64_t to = r->end < start + len ? r->end : start + len;

		if (from >= to)
			break;
		if (r->what == GC_RANGE_DUMPED && !(r->flags & PF_W) != c->writable &&
		    !compare_range(c, r, bytes + (from - start), from - c->bias, to - c->bias))
			return false;
	}
	return true;
}

static void compare_all(struct comparison *c)
{
	for (size_t i = 0; i < c->file->phdrs.count; i++)
		if (!compare_load(c, &c->file->phdrs.list[i]))
			return;
}

/**
 * The verdict on @c, if it saw enough. Of what nobody writes to after start-up
 * nearly all stays as it was (99 of 100 words of ld.so itself, which writes to
 * its own before it protects them); of data that is written to, most does.
 */
static bool judge(const struct comparison *c, struct gc_fit_result *out)
{
	uint64_t may_differ = c->words / (c->writable ? 4 : 16);

	if (c->words < MIN_WORDS)
		return false;
	if (c->words - c->agreed > may_differ || c->dynamic_agreed < c->dynamic_words)
		differs(out, "is another build: of %" PRIu64 " words that the core has of it only %" PRIu64
			" are the same", c->words, c->agreed);
	else
		out->check = GC_CHECK_PAGES;
	return true;
}

static void check_pages(const struct gc_image_set *set, struct gc_elf_file *file, struct gc_fit_result *out)
{
	const Elf64_Phdr *dynamic = gc_phdrs_find(&file->phdrs, PT_DYNAMIC);
	struct fixups fixups = { .list = NULL };
	struct comparison c = {
		.file = file, .space = set->space, .fixups = &fixups, .bias = out->bias,
		.dynamic_start = dynamic ? dynamic->p_vaddr : 0,
		.dynamic_end = dynamic ? dynamic->p_vaddr + dynamic->p_filesz : 0,
	};
	bool decided;

	read_fixups(&fixups, file);
	compare_all(&c);
	decided = judge(&c, out);
	if (!decided) {
		c.writable = true;
		compare_all(&c);
		decided = judge(&c, out);
	}
	if (!decided) {
		differs(out, "cannot be checked: the core holds neither its build ID nor enough of its pages");
		out->fit = GC_UNCHECKED;
	}
	free(fixups.list);
}

/** Program headers in the core must be those of the file. */
static bool same_headers(const struct gc_phdrs *a, const struct gc_phdrs *b)
{
	if (a->type != b->type || a->entry != b->entry || a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const Elf64_Phdr *x = &a->list[i], *y = &b->list[i];

		if (x->p_type != y->p_type || x->p_vaddr != y->p_vaddr || x->p_filesz != y->p_filesz ||
		    x->p_memsz != y->p_memsz || (x->p_type == PT_LOAD && x->p_offset != y->p_offset))
			return false;
	}
	return true;
}

/** @return false if the file cannot be it, by its headers alone */
static bool check_layout(const struct gc_image_set *set, const struct gc_image_work *w,
			 const struct gc_elf_file *file, struct gc_fit_result *out)
{
	const Elf64_Phdr *dynamic = gc_phdrs_find(&file->phdrs, PT_DYNAMIC);
	struct gc_fit_result by_auxv = { .fit = GC_FITS };

	if (w->image.is_program && !bias_of_auxv(set->core, &file->phdrs, &by_auxv)) {
		*out = by_auxv;
		return false;
	}
	if ((w->phdrs.list && !same_headers(&w->phdrs, &file->phdrs)) ||
	    (w->has_l_ld && out->has_bias && (!dynamic || dynamic->p_vaddr + out->bias != w->l_ld)) ||
	    (w->nrows > 0 && !w->made &&
	     (!out->has_bias || !gc_image_rows_fit(w, &file->phdrs, out->bias, set->core->page_size, true)))) {
		differs(out, "is another build: its segments are not those that the core has mapped");
		return false;
	}
	return true;
}

/** By layout and content, where no build ID decides. */
static void check_without_id(const struct gc_image_set *set, const struct gc_image_work *w,
			     struct gc_elf_file *file, struct gc_fit_result *out)
{
	if (!check_layout(set, w, file, out))
		return;
	if (out->has_bias) {
		check_pages(set, file, out);
		return;
	}
	differs(out, "cannot be checked: the core does not tell where it was loaded");
	out->fit = GC_UNCHECKED;
}

void gc_image_check_file(const struct gc_image_set *set, const struct gc_image_work *w,
			 struct gc_elf_file *file, struct gc_fit_result *out)
{
	char buf[48];

	*out = (struct gc_fit_result){ .fit = GC_FITS };
	if (file->phdrs.machine != set->core->arch->elf_machine) {
		differs(out, "is %s program", gc_machine_phrase(file->phdrs.machine, buf));
	} else if (!gc_elf_has_content(file)) {
		differs(out, "is a debug file without the program's bytes");
		out->fit = GC_NO_BYTES;
	} else if (find_bias(set, w, &file->phdrs, out)) {
		if (!check_build_ids(&w->image, file, out) && !check_go_build_ids(&w->image, file, out))
			check_without_id(set, w, file, out);
		else if (out->fit == GC_FITS)
			check_mapping(set, w, file, out);
	}
}
