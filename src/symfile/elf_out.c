/*
 * The ELF file: sections behind nothing, or behind a whole program.
 *
 * Headers and symbols are put into the file's form by libelf. Its own writer
 * is not used: that one needs a file to write to, which a process in the
 * sandbox cannot make, and where section headers are damaged it writes over
 * what is to be kept.
 */
#include <elf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>

#include "symfile/emit.h"
#include "symfile/symfile.h"

#define MAX_SECTIONS 65000 /* below SHN_LORESERVE, with room for ours */
#define ALIGN 8

struct elf_writer {
	struct symfile *s;
	struct gc_buf *out;
	size_t base;         /* of the file in out */
	Elf64_Ehdr ehdr;
	Elf64_Shdr *sections;
	size_t nsections, cap;
	struct gc_buf names; /* .shstrtab */
	uint16_t text;       /* index of the section that functions are in */
	bool failed;
};

static size_t position(const struct elf_writer *w)
{
	return w->out->len - w->base;
}

static void pad(struct elf_writer *w)
{
	while (position(w) % ALIGN)
		emit_u8(w->out, 0);
}

/** Put an ELF structure of @len bytes into the form of the file. */
static void to_file(struct elf_writer *w, Elf_Type type, const void *from, size_t len, void *out)
{
	Elf_Data in = { .d_buf = (void *)(uintptr_t)from, .d_size = len, .d_type = type, .d_version = EV_CURRENT };
	Elf_Data to = { .d_buf = out, .d_size = len, .d_version = EV_CURRENT };

	w->failed |= !elf64_xlatetof(&to, &in, ELFDATA2LSB);
}

/** Append one. */
static void add_struct(struct elf_writer *w, Elf_Type type, const void *from, size_t len)
{
	uint8_t bytes[sizeof(Elf64_Ehdr)] = { 0 }; /* the largest */

	to_file(w, type, from, len, bytes);
	gc_buf_add(w->out, bytes, len);
}

static uint32_t add_name(struct elf_writer *w, const char *name)
{
	uint32_t at = (uint32_t)w->names.len;

	gc_buf_add(&w->names, name, strlen(name) + 1);
	return at;
}

/** @return index of the new section; 0: out of memory */
static uint16_t add_header(struct elf_writer *w, const char *name, const Elf64_Shdr *header)
{
	if (w->nsections == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 64;
		Elf64_Shdr *sections = realloc(w->sections, cap * sizeof(*sections));

		if (!sections) {
			w->failed = true;
			return 0;
		}
		w->sections = sections;
		w->cap = cap;
	}
	w->sections[w->nsections] = *header;
	w->sections[w->nsections].sh_name = *name ? add_name(w, name) : 0;
	return (uint16_t)w->nsections++;
}

static uint16_t add_section(struct elf_writer *w, const char *name, Elf64_Shdr header, const void *bytes, size_t len)
{
	pad(w);
	header.sh_offset = position(w);
	header.sh_size = len;
	gc_buf_add(w->out, bytes, len);
	return add_header(w, name, &header);
}

static uint16_t add_part(struct elf_writer *w, const char *name, const struct gc_buf *part)
{
	const Elf64_Shdr header = { .sh_type = SHT_PROGBITS, .sh_addralign = ALIGN };

	w->failed |= part->failed;
	return add_section(w, name, header, part->data, part->len);
}

/* What there is of the program */

static bool is_named(void *data, const char *name, const Elf64_Shdr *header)
{
	const char **wanted = data;

	(void)header;
	if (strcmp(name, *wanted) != 0)
		return true;
	*wanted = NULL;
	return false;
}

bool symfile_has_section(const struct gc_symbol_source *src, const char *name)
{
	if (src->file)
		gc_elf_sections(src->file, is_named, &name);
	return src->file && !name;
}

struct section_search {
	const char *name;
	Elf64_Shdr header; /* sh_type SHT_NULL: not found */
};

static bool find_section(void *data, const char *name, const Elf64_Shdr *header)
{
	struct section_search *search = data;

	if (strcmp(name, search->name) == 0)
		search->header = *header;
	return search->header.sh_type == SHT_NULL;
}

/** Header of the program's section, of type SHT_NULL if there is none. */
static Elf64_Shdr section_named(const struct elf_writer *w, const char *name)
{
	struct section_search search = { .name = name };

	if (w->s->src->file)
		gc_elf_sections(w->s->src->file, find_section, &search);
	return search.header;
}

/** The part of the program that its functions are in, without its bytes. */
static void add_text(struct elf_writer *w)
{
	const struct gc_go_moduledata *m = w->s->src->module;
	uint64_t start = m->text - w->s->bias, end = m->etext - w->s->bias;
	Elf64_Shdr text = section_named(w, ".text");
	Elf64_Shdr header = {
		.sh_type = SHT_NOBITS, .sh_flags = SHF_ALLOC | SHF_EXECINSTR, .sh_addr = start,
		.sh_size = end - start, .sh_addralign = 16, .sh_offset = position(w),
	};

	if (text.sh_type != SHT_NULL && text.sh_addr <= start && end - text.sh_addr <= text.sh_size) {
		header.sh_addr = text.sh_addr;
		header.sh_size = text.sh_size;
	}
	while (header.sh_addr % header.sh_addralign)
		header.sh_addralign /= 2;
	w->text = add_header(w, ".text", &header);
}

/** A note section; it lies where the program has it, for debuggers compare that. */
static void add_note(struct elf_writer *w, const char *section, const char *owner, uint32_t type, const void *desc,
		     size_t len)
{
	Elf64_Shdr original = section_named(w, section);
	Elf64_Shdr header = { .sh_type = SHT_NOTE, .sh_addralign = 4 };
	struct gc_buf note = GC_BUF_INIT;

	if (original.sh_type == SHT_NOTE) {
		header.sh_flags = SHF_ALLOC;
		header.sh_addr = original.sh_addr;
	}
	emit_u32(&note, strlen(owner) + 1);
	emit_u32(&note, len);
	emit_u32(&note, type);
	gc_buf_add(&note, owner, strlen(owner) + 1);
	while (note.len % 4)
		emit_u8(&note, 0);
	gc_buf_add(&note, desc, len);
	while (note.len % 4)
		emit_u8(&note, 0);
	w->failed |= note.failed;
	add_section(w, section, header, note.data, note.len);
	gc_buf_deinit(&note);
}

static void add_notes(struct elf_writer *w)
{
	const struct gc_symbol_source *src = w->s->src;

	if (src->build_id && src->build_id->len)
		add_note(w, ".note.gnu.build-id", "GNU", NT_GNU_BUILD_ID, src->build_id->bytes, src->build_id->len);
	if (src->go_build_id) /* cmd/internal/buildid, ELF_NOTE_GOBUILDID_TAG */
		add_note(w, ".note.go.buildid", "Go", 4, src->go_build_id, strlen(src->go_build_id));
}

/** C code of the program can be unwound with the file alone. */
static void add_eh_frame(struct elf_writer *w)
{
	const struct gc_symbol_source *src = w->s->src;
	Elf64_Shdr header = section_named(w, ".eh_frame");
	const uint8_t *bytes;
	uint64_t len, addr;

	if (header.sh_type == SHT_NULL || header.sh_flags & SHF_COMPRESSED ||
	    !gc_elf_section(src->file, ".eh_frame", &bytes, &len, &addr))
		return;
	header = (Elf64_Shdr){ .sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = addr, .sh_addralign = ALIGN };
	add_section(w, ".eh_frame", header, bytes, len);
}

/** Where the program is loaded; the bytes are not here. */
static void add_phdrs(struct elf_writer *w)
{
	const struct gc_phdrs *phdrs = w->s->src->phdrs;

	for (size_t i = 0; i < phdrs->count; i++) {
		Elf64_Phdr ph = phdrs->list[i];

		if (ph.p_type != PT_LOAD)
			continue;
		ph.p_offset = ph.p_align > 1 ? ph.p_vaddr % ph.p_align : 0;
		ph.p_filesz = 0;
		add_struct(w, ELF_T_PHDR, &ph, sizeof(ph));
		w->ehdr.e_phnum++;
	}
	w->ehdr.e_phoff = w->ehdr.e_phnum ? sizeof(Elf64_Ehdr) : 0;
}

static void begin_new(struct elf_writer *w)
{
	const struct gc_symbol_source *src = w->s->src;
	const Elf64_Shdr null = { .sh_type = SHT_NULL };

	gc_buf_char(&w->names, '\0');
	w->ehdr = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = src->type, .e_machine = src->arch->elf_machine, .e_version = EV_CURRENT,
		.e_ehsize = sizeof(Elf64_Ehdr), .e_phentsize = sizeof(Elf64_Phdr),
		.e_shentsize = sizeof(Elf64_Shdr), .e_entry = src->phdrs ? src->phdrs->entry : 0,
	};
	for (size_t i = 0; i < sizeof(w->ehdr); i++)
		emit_u8(w->out, 0); /* written last */
	if (src->phdrs)
		add_phdrs(w);
	add_header(w, "", &null);
	add_text(w);
	add_notes(w);
	add_eh_frame(w);
}

/* Around a whole program */

/** Section headers for a program without any: what is loaded. */
static void add_loaded(struct elf_writer *w)
{
	const struct gc_phdrs *phdrs = w->s->src->phdrs;
	const Elf64_Shdr null = { .sh_type = SHT_NULL };

	add_header(w, "", &null);
	for (size_t i = 0; i < phdrs->count; i++) {
		const Elf64_Phdr *ph = &phdrs->list[i];
		Elf64_Shdr header = {
			.sh_type = SHT_PROGBITS, .sh_flags = SHF_ALLOC, .sh_addr = ph->p_vaddr,
			.sh_offset = ph->p_offset, .sh_size = ph->p_filesz, .sh_addralign = 1,
		};

		if (ph->p_type != PT_LOAD || !ph->p_filesz)
			continue;
		header.sh_flags |= (ph->p_flags & PF_W ? SHF_WRITE : 0) | (ph->p_flags & PF_X ? SHF_EXECINSTR : 0);
		add_header(w, ph->p_flags & PF_X ? ".text" : ph->p_flags & PF_W ? ".data" : ".rodata", &header);
	}
}

/** Content of the section that holds the names, or NULL. */
static const uint8_t *section_names(const struct elf_writer *w, const Elf64_Shdr *headers, size_t n, size_t *len)
{
	const struct gc_input *in = &w->s->src->file->input;
	const Elf64_Shdr *names = w->ehdr.e_shstrndx < n ? &headers[w->ehdr.e_shstrndx] : NULL;

	if (!names || names->sh_type != SHT_STRTAB || names->sh_size == 0 || names->sh_offset > in->size ||
	    names->sh_size > in->size - names->sh_offset || in->bytes[names->sh_offset + names->sh_size - 1])
		return NULL;
	*len = (size_t)names->sh_size;
	return in->bytes + names->sh_offset;
}

/** Does our file have a better one of these? Then the program's is dropped from the list. */
static bool is_replaced(const char *name)
{
	return strcmp(name, ".debug_frame") == 0 || strcmp(name, ".zdebug_frame") == 0 ||
	       strcmp(name, ".shstrtab") == 0;
}

/** Take over the program's section headers. @return false if it has none that can be used */
static bool take_sections(struct elf_writer *w)
{
	const struct gc_input *in = &w->s->src->file->input;
	size_t n = w->ehdr.e_shnum, names_len;
	const uint8_t *names;
	Elf64_Shdr *headers;
	Elf_Data from, to;

	if (w->ehdr.e_shentsize != sizeof(Elf64_Shdr) || n < 2 || n > MAX_SECTIONS || w->ehdr.e_shoff > in->size ||
	    n * sizeof(Elf64_Shdr) > in->size - w->ehdr.e_shoff)
		return false;
	headers = calloc(n, sizeof(*headers));
	if (!headers) {
		w->failed = true;
		return false;
	}
	from = (Elf_Data){ .d_buf = (void *)(uintptr_t)(in->bytes + w->ehdr.e_shoff), .d_size = n * sizeof(*headers),
			   .d_type = ELF_T_SHDR, .d_version = EV_CURRENT };
	to = (Elf_Data){ .d_buf = headers, .d_size = n * sizeof(*headers), .d_version = EV_CURRENT };
	names = elf64_xlatetom(&to, &from, ELFDATA2LSB) ? section_names(w, headers, n, &names_len) : NULL;
	for (size_t i = 0; names && i < n; i++) {
		const char *name = headers[i].sh_name < names_len ? (const char *)names + headers[i].sh_name : "";

		if (is_replaced(name)) /* the numbers of the others stay */
			headers[i] = (Elf64_Shdr){ .sh_type = SHT_NULL };
		add_header(w, headers[i].sh_type == SHT_NULL ? "" : name, &headers[i]);
	}
	free(headers);
	return names != NULL;
}

/** The section that holds the functions, for their symbols. */
static uint16_t text_index(const struct elf_writer *w)
{
	uint64_t text = w->s->src->module->text - w->s->bias;

	for (size_t i = 1; i < w->nsections; i++) {
		const Elf64_Shdr *header = &w->sections[i];

		if (header->sh_flags & SHF_EXECINSTR && text >= header->sh_addr &&
		    text - header->sh_addr < header->sh_size)
			return (uint16_t)i;
	}
	return SHN_ABS;
}

static enum gc_code begin_combined(struct elf_writer *w, struct gc_error *err)
{
	const struct gc_input *in = &w->s->src->file->input;
	Elf_Data from = { .d_buf = (void *)(uintptr_t)in->bytes, .d_size = sizeof(w->ehdr), .d_type = ELF_T_EHDR,
			  .d_version = EV_CURRENT };
	Elf_Data to = { .d_buf = &w->ehdr, .d_size = sizeof(w->ehdr), .d_version = EV_CURRENT };

	if (in->size < sizeof(w->ehdr) || !elf64_xlatetom(&to, &from, ELFDATA2LSB))
		return gc_fail(err, GC_E_FORMAT, "damaged ELF header");
	if (w->ehdr.e_shnum > MAX_SECTIONS || (w->ehdr.e_shnum == 0 && w->ehdr.e_shoff))
		return gc_fail(err, GC_E_UNSUPPORTED, "has too many sections for more");
	gc_buf_char(&w->names, '\0');
	gc_buf_add(w->out, in->bytes, in->size);
	if (!take_sections(w)) {
		w->nsections = 0;
		add_loaded(w);
		w->ehdr.e_shentsize = sizeof(Elf64_Shdr);
	}
	w->text = text_index(w);
	return GC_OK;
}

/* What is new */

static void add_symbols(struct elf_writer *w)
{
	struct symfile *s = w->s;
	const Elf64_Sym null = { .st_name = 0 };
	size_t begin;
	Elf64_Shdr header = {
		.sh_type = SHT_SYMTAB, .sh_info = 1, .sh_addralign = ALIGN, .sh_entsize = sizeof(Elf64_Sym),
	};

	header.sh_link = add_section(w, ".strtab", (Elf64_Shdr){ .sh_type = SHT_STRTAB, .sh_addralign = 1 },
				     s->strings.data, s->strings.len);
	pad(w);
	begin = position(w);
	add_struct(w, ELF_T_SYM, &null, sizeof(null));
	for (size_t i = 0; i < s->count; i++) {
		const struct gc_pcfunc *f = &s->functions[i].f;
		const Elf64_Sym symbol = {
			.st_name = f->name + 1, .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), .st_shndx = w->text,
			.st_value = f->entry - s->bias, .st_size = f->end - f->entry,
		};

		add_struct(w, ELF_T_SYM, &symbol, sizeof(symbol));
	}
	header.sh_offset = begin;
	header.sh_size = position(w) - begin;
	add_header(w, ".symtab", &header);
}

static void add_parts(struct elf_writer *w)
{
	struct symfile *s = w->s;
	Elf64_Shdr strings = { .sh_type = SHT_PROGBITS, .sh_flags = SHF_MERGE | SHF_STRINGS, .sh_addralign = 1,
			       .sh_entsize = 1 };

	if (!s->src->combined || !symfile_has_section(s->src, ".symtab"))
		add_symbols(w);
	add_part(w, ".debug_frame", &s->frame);
	if (!s->own_info)
		return;
	add_part(w, ".debug_info", &s->info);
	add_part(w, ".debug_abbrev", &s->abbrev);
	add_part(w, ".debug_line", &s->line);
	add_part(w, ".debug_ranges", &s->ranges);
	add_section(w, ".debug_str", strings, s->strings.data, s->strings.len);
}

/** Section names and headers, and the file header that leads to them. */
static void finish(struct elf_writer *w)
{
	Elf64_Shdr header = { .sh_type = SHT_STRTAB, .sh_addralign = 1 };
	struct gc_buf *out = w->out;

	header.sh_name = add_name(w, ".shstrtab");
	header.sh_offset = position(w);
	header.sh_size = w->names.len;
	gc_buf_add(out, w->names.data, w->names.len);
	pad(w);
	w->ehdr.e_shoff = position(w);
	w->ehdr.e_shstrndx = add_header(w, "", &header);
	w->sections[w->ehdr.e_shstrndx].sh_name = header.sh_name;
	w->ehdr.e_shnum = (uint16_t)w->nsections;
	for (size_t i = 0; i < w->nsections; i++)
		add_struct(w, ELF_T_SHDR, &w->sections[i], sizeof(w->sections[i]));
	if (!out->failed) /* the file header goes where room was left for it */
		to_file(w, ELF_T_EHDR, &w->ehdr, sizeof(w->ehdr), out->data + w->base);
}

enum gc_code symfile_elf(struct symfile *s, struct gc_buf *out, struct gc_error *err)
{
	struct elf_writer w = { .s = s, .out = out, .base = out->len };
	enum gc_code code = GC_OK;

	if (elf_version(EV_CURRENT) == EV_NONE)
		return gc_fail(err, GC_E_UNSUPPORTED, "libelf is of another version");
	if (s->src->combined)
		code = begin_combined(&w, err);
	else
		begin_new(&w);
	if (code == GC_OK) {
		add_parts(&w);
		finish(&w);
		if (w.failed || w.names.failed || out->failed || s->strings.failed)
			code = gc_fail_memory(err);
	}
	free(w.sections);
	gc_buf_deinit(&w.names);
	return code;
}
