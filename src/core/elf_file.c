#include "gocore/elf_file.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>
#include <libelf.h>

#include "gocore/bytes.h"

#include "core/elf_identity.h"

static bool read_file(void *data, uint64_t offset, void *buf, size_t len)
{
	const struct gc_input *in = data;

	if (offset > in->size || len > in->size - offset)
		return false;
	memcpy(buf, in->bytes + offset, len);
	return true;
}

/** Says what a file is that is no ELF file. */
static enum gc_code not_elf(const struct gc_input *in, struct gc_error *err)
{
	size_t look = in->size < 512 ? (size_t)in->size : 512;
	bool text = true;

	if (in->size == 0)
		return gc_fail(err, GC_E_FORMAT, "is empty");
	if (look >= 2 && memcmp(in->bytes, "#!", 2) == 0)
		return gc_fail(err, GC_E_FORMAT, "is a script, not an ELF program");
	if (look >= 8 && memcmp(in->bytes, "!<arch>\n", 8) == 0)
		return gc_fail(err, GC_E_FORMAT, "is a static library (ar archive), not a program");
	for (size_t i = 0; i < look; i++)
		text &= in->bytes[i] >= ' ' || (in->bytes[i] >= '\t' && in->bytes[i] <= '\r');
	return gc_fail(err, GC_E_FORMAT, text ? "is a text file, not an ELF program" : "is not an ELF file");
}

enum gc_code gc_elf_file_take(struct gc_elf_file *file, struct gc_input *in, struct gc_error *err)
{
	struct gc_elf_file f = { .input = *in };
	enum gc_code code;

	if (in->size < SELFMAG || memcmp(in->bytes, ELFMAG, SELFMAG) != 0)
		code = not_elf(in, err);
	else
		code = gc_phdrs_read(&f.phdrs, read_file, in, err);
	if (code != GC_OK) {
		gc_input_close(in);
		return code;
	}
	f.osabi = in->bytes[EI_OSABI];
	gc_identity_read(&f.phdrs, read_file, in, &f.build_id, &f.go_build_id);
	*file = f;
	return GC_OK;
}

enum gc_code gc_elf_file_open(struct gc_elf_file *file, const char *path, struct gc_error *err)
{
	struct gc_input in;
	enum gc_code code = gc_input_open(&in, path, NULL, NULL, err);

	return code == GC_OK ? gc_elf_file_take(file, &in, err) : code;
}

void gc_elf_file_close(struct gc_elf_file *file)
{
	if (file->elf)
		elf_end(file->elf);
	gc_phdrs_deinit(&file->phdrs);
	free(file->go_build_id);
	gc_input_close(&file->input);
	*file = (struct gc_elf_file){ .elf = NULL };
}

bool gc_elf_at(const struct gc_elf_file *file, uint64_t vaddr, const uint8_t **bytes, uint64_t *len)
{
	for (size_t i = 0; i < file->phdrs.count; i++) {
		const Elf64_Phdr *ph = &file->phdrs.list[i];
		uint64_t offset, left;

		if (ph->p_type != PT_LOAD || vaddr < ph->p_vaddr || vaddr - ph->p_vaddr >= ph->p_filesz)
			continue;
		offset = ph->p_offset + (vaddr - ph->p_vaddr);
		if (offset >= file->input.size)
			return false;
		left = ph->p_filesz - (vaddr - ph->p_vaddr);
		*bytes = file->input.bytes + offset;
		*len = left < file->input.size - offset ? left : file->input.size - offset;
		return true;
	}
	return false;
}

bool gc_elf_dynamic(const struct gc_elf_file *file, int64_t tag, size_t n, uint64_t *value)
{
	const Elf64_Phdr *ph = gc_phdrs_find(&file->phdrs, PT_DYNAMIC);
	const uint8_t *at;
	uint64_t left;

	if (!ph || ph->p_offset > file->input.size)
		return false;
	at = file->input.bytes + ph->p_offset;
	left = file->input.size - ph->p_offset;
	left = ph->p_filesz < left ? ph->p_filesz : left;
	for (; left >= 16; left -= 16, at += 16) {
		int64_t this_tag = (int64_t)gc_load_le64(at);

		if (this_tag == tag && n-- == 0) {
			*value = gc_load_le64(at + 8);
			return true;
		}
		if (this_tag == DT_NULL)
			break;
	}
	return false;
}

/** libelf's handle on the mapped bytes, or NULL. */
static Elf *elf_of(struct gc_elf_file *file)
{
	if (!file->elf && elf_version(EV_CURRENT) != EV_NONE)
		file->elf = elf_memory((char *)(uintptr_t)file->input.bytes, file->input.size);
	return file->elf;
}

/** The next section of @file behind @scn. @return NULL at the end, and where headers are damaged */
static Elf_Scn *next_section(struct gc_elf_file *file, Elf_Scn *scn, GElf_Shdr *shdr)
{
	Elf *elf = elf_of(file);

	if (!elf)
		return NULL;
	scn = elf_nextscn(elf, scn);
	return scn && gelf_getshdr(scn, shdr) ? scn : NULL;
}

bool gc_elf_section(struct gc_elf_file *file, const char *name, const uint8_t **bytes, uint64_t *len,
		    uint64_t *addr)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t names;

	if (!elf_of(file) || elf_getshdrstrndx(file->elf, &names) != 0)
		return false;
	while ((scn = next_section(file, scn, &shdr))) {
		const char *this_name = elf_strptr(file->elf, names, shdr.sh_name);

		if (!this_name || strcmp(this_name, name) != 0)
			continue;
		if (shdr.sh_type == SHT_NOBITS || shdr.sh_offset > file->input.size ||
		    shdr.sh_size > file->input.size - shdr.sh_offset)
			return false;
		*bytes = file->input.bytes + shdr.sh_offset;
		*len = shdr.sh_size;
		*addr = shdr.sh_addr;
		return true;
	}
	return false;
}

void gc_elf_sections(struct gc_elf_file *file, bool (*visit)(void *data, const char *name, const Elf64_Shdr *shdr),
		     void *data)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	size_t names;

	if (!elf_of(file) || elf_getshdrstrndx(file->elf, &names) != 0)
		return;
	while ((scn = next_section(file, scn, &shdr))) {
		const char *name = elf_strptr(file->elf, names, shdr.sh_name);

		if (name && !visit(data, name, &shdr))
			return;
	}
}

bool gc_elf_has_content(struct gc_elf_file *file)
{
	bool any = false;
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = next_section(file, scn, &shdr))) {
		if (!(shdr.sh_flags & SHF_ALLOC) || shdr.sh_type == SHT_NOTE)
			continue;
		if (shdr.sh_type != SHT_NOBITS)
			return true;
		any = true;
	}
	return !any; /* no section headers at all: stripped to the bone, but a program */
}

/* Symbols. */

/** Version names by index (GNU symbol versioning, LSB chapter "Symbol Versioning"). */
struct versions {
	Elf_Data *versym;
	const char **names;
	size_t count;
};

#define MAX_VERSIONS 0x8000 /* index 15 bits wide */

static void add_version(struct versions *v, Elf *elf, size_t strings, unsigned index, size_t name)
{
	index &= 0x7fff;
	if (index >= v->count) {
		const char **names = realloc(v->names, (index + 1) * sizeof(*names));

		if (!names)
			return;
		memset(names + v->count, 0, (index + 1 - v->count) * sizeof(*names));
		v->names = names;
		v->count = index + 1;
	}
	v->names[index] = elf_strptr(elf, strings, name);
}

/** .gnu.version_r: what is needed of other libraries. */
static void read_needed(struct versions *v, Elf *elf, Elf_Data *data, size_t strings)
{
	size_t left = data->d_size / sizeof(Elf64_Vernaux);
	GElf_Verneed need;
	GElf_Vernaux aux;

	for (size_t at = 0; at <= INT_MAX && gelf_getverneed(data, (int)at, &need); at += need.vn_next) {
		size_t aux_at = at + need.vn_aux;

		for (unsigned i = 0; i < need.vn_cnt && left > 0; i++, left--) {
			if (aux_at > INT_MAX || !gelf_getvernaux(data, (int)aux_at, &aux))
				break;
			add_version(v, elf, strings, aux.vna_other, aux.vna_name);
			aux_at += aux.vna_next;
		}
		if (need.vn_next == 0 || left == 0)
			break;
	}
}

/** .gnu.version_d: what this library defines; the first Verdaux of each is its name. */
static void read_defined(struct versions *v, Elf *elf, Elf_Data *data, size_t strings)
{
	size_t left = data->d_size / sizeof(Elf64_Verdef);
	GElf_Verdef def;
	GElf_Verdaux aux;

	for (size_t at = 0; left-- > 0 && at <= INT_MAX; at += def.vd_next) {
		size_t aux_at;

		if (!gelf_getverdef(data, (int)at, &def))
			break;
		aux_at = at + def.vd_aux;
		if (!(def.vd_flags & VER_FLG_BASE) && aux_at <= INT_MAX &&
		    gelf_getverdaux(data, (int)aux_at, &aux))
			add_version(v, elf, strings, def.vd_ndx, aux.vda_name);
		if (def.vd_next == 0)
			break;
	}
}

static void read_versions(struct gc_elf_file *file, struct versions *v)
{
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;

	while ((scn = next_section(file, scn, &shdr))) {
		Elf_Data *data;

		if (shdr.sh_type != SHT_GNU_versym && shdr.sh_type != SHT_GNU_verneed &&
		    shdr.sh_type != SHT_GNU_verdef)
			continue;
		data = elf_getdata(scn, NULL);
		if (!data || !data->d_buf)
			continue;
		if (shdr.sh_type == SHT_GNU_versym)
			v->versym = data;
		else if (shdr.sh_type == SHT_GNU_verneed)
			read_needed(v, file->elf, data, shdr.sh_link);
		else
			read_defined(v, file->elf, data, shdr.sh_link);
	}
}

static const char *version_of(const struct versions *v, int index)
{
	GElf_Versym versym;

	if (!v->versym || !gelf_getversym(v->versym, index, &versym))
		return NULL;
	versym &= 0x7fff; /* the top bit is "hidden" */
	return versym > VER_NDX_GLOBAL && versym < v->count ? v->names[versym] : NULL;
}

static void visit_all(struct gc_elf_file *file, Elf_Data *data, size_t strings, const struct versions *v,
		      bool (*visit)(void *data, const struct gc_symbol *sym), void *visit_data)
{
	size_t count = data->d_size / sizeof(Elf64_Sym);

	for (int i = 1; (size_t)i < count && i < INT_MAX; i++) {
		struct gc_symbol out;
		GElf_Sym sym;
		const char *name;

		if (!gelf_getsym(data, i, &sym))
			return;
		name = elf_strptr(file->elf, strings, sym.st_name);
		out = (struct gc_symbol){
			.name = name ? name : "",
			.version = version_of(v, i),
			.value = sym.st_value,
			.size = sym.st_size,
			.info = sym.st_info,
			.other = sym.st_other,
			.section = sym.st_shndx,
		};
		if (!visit(visit_data, &out))
			return;
	}
}

enum gc_code gc_elf_symbols(struct gc_elf_file *file, bool dynamic,
			    bool (*visit)(void *data, const struct gc_symbol *sym), void *data,
			    struct gc_error *err)
{
	const uint32_t type = dynamic ? SHT_DYNSYM : SHT_SYMTAB;
	struct versions versions = { .versym = NULL };
	Elf_Scn *scn = NULL;
	GElf_Shdr shdr;
	Elf_Data *symbols;

	do
		scn = next_section(file, scn, &shdr);
	while (scn && shdr.sh_type != type);
	if (!scn)
		return gc_fail(err, GC_E_NOT_FOUND, "has no %s", dynamic ? ".dynsym" : ".symtab");
	symbols = elf_getdata(scn, NULL);
	if (!symbols || !symbols->d_buf || symbols->d_type != ELF_T_SYM)
		return gc_fail(err, GC_E_FORMAT, "has a damaged %s", dynamic ? ".dynsym" : ".symtab");
	if (dynamic)
		read_versions(file, &versions);
	visit_all(file, symbols, shdr.sh_link, &versions, visit, data);
	free(versions.names);
	return GC_OK;
}

struct by_name {
	const char *name;
	struct gc_symbol *out;
	bool found;
};

static bool is_named(void *data, const struct gc_symbol *sym)
{
	struct by_name *want = data;

	if (sym->section == SHN_UNDEF || strcmp(sym->name, want->name) != 0)
		return true;
	*want->out = *sym;
	want->found = true;
	return false;
}

bool gc_elf_symbol_named(struct gc_elf_file *file, const char *name, struct gc_symbol *out)
{
	struct by_name want = { .name = name, .out = out };

	gc_elf_symbols(file, true, is_named, &want, NULL);
	if (!want.found)
		gc_elf_symbols(file, false, is_named, &want, NULL);
	return want.found;
}
