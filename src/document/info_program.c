/* What an ELF program or library is: the part of `info` that needs no core. */
#include <string.h>

#include "document/doc.h"
#include "gocore/bytes.h"
#include "gocore/document.h"

#define MAX_LIBRARIES 1000
#define MAX_VERSIONS  10000
#define MAX_UNDEFINED 100000

static const struct number_name {
	uint16_t number;
	const char *name;
} os_abis[] = {
	{ ELFOSABI_SYSV, "System V" }, { ELFOSABI_GNU, "GNU/Linux" }, { ELFOSABI_NETBSD, "NetBSD" },
	{ ELFOSABI_FREEBSD, "FreeBSD" }, { ELFOSABI_OPENBSD, "OpenBSD" }, { ELFOSABI_SOLARIS, "Solaris" },
	{ ELFOSABI_STANDALONE, "standalone" },
}, types[] = {
	{ ET_REL, "ET_REL" }, { ET_EXEC, "ET_EXEC" }, { ET_DYN, "ET_DYN" }, { ET_CORE, "ET_CORE" },
};

#define NAME_OF(table, number) name_of(table, GC_COUNT(table), number)

static const char *name_of(const struct number_name *table, size_t count, uint16_t number)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].number == number)
			return table[i].name;
	return NULL;
}

/** DT_STRTAB. */
struct strings {
	const char *bytes;
	uint64_t len;
};

static void strings_of(const struct gc_elf_file *file, struct strings *out)
{
	const uint8_t *bytes;
	uint64_t addr, size, have;

	*out = (struct strings){ .bytes = NULL };
	if (!gc_elf_dynamic(file, DT_STRTAB, 0, &addr) || !gc_elf_dynamic(file, DT_STRSZ, 0, &size) ||
	    !gc_elf_at(file, addr, &bytes, &have))
		return;
	*out = (struct strings){ (const char *)bytes, size < have ? size : have };
}

/** @return NULL if there is no such string */
static const char *string_at(const struct strings *s, uint64_t offset)
{
	if (offset >= s->len || !memchr(s->bytes + offset, 0, s->len - offset))
		return NULL;
	return s->bytes + offset;
}

static const char *dynamic_string(const struct gc_elf_file *file, const struct strings *s, int64_t tag, size_t n)
{
	uint64_t offset;

	return gc_elf_dynamic(file, tag, n, &offset) ? string_at(s, offset) : NULL;
}

static const Elf64_Phdr *segment_of(const struct gc_elf_file *file, uint32_t type)
{
	for (size_t i = 0; i < file->phdrs.count; i++)
		if (file->phdrs.list[i].p_type == type)
			return &file->phdrs.list[i];
	return NULL;
}

/** PT_INTERP, NULL: none. Not by gc_elf_at: in a file it is found by its offset. */
static const char *interpreter_of(const struct gc_elf_file *file)
{
	const Elf64_Phdr *ph = segment_of(file, PT_INTERP);
	const struct gc_input *in = &file->input;

	if (!ph || ph->p_offset >= in->size || ph->p_filesz > in->size - ph->p_offset || !ph->p_filesz ||
	    !memchr(in->bytes + ph->p_offset, 0, ph->p_filesz))
		return NULL;
	return (const char *)in->bytes + ph->p_offset;
}

static bool is_pie(const struct gc_elf_file *file)
{
	uint64_t flags, soname;

	if (file->phdrs.type != ET_DYN)
		return false;
	if (gc_elf_dynamic(file, DT_FLAGS_1, 0, &flags) && flags & DF_1_PIE)
		return true;
	/* of older linkers; libc.so.6 has an interpreter too, but also a soname */
	return segment_of(file, PT_INTERP) && !gc_elf_dynamic(file, DT_SONAME, 0, &soname);
}

static bool is_dynamic(const struct gc_elf_file *file)
{
	uint64_t needed;

	return segment_of(file, PT_INTERP) || gc_elf_dynamic(file, DT_NEEDED, 0, &needed) ||
	       (file->phdrs.type == ET_DYN && !is_pie(file));
}

static const char *form_of(const struct gc_elf_file *file)
{
	if (file->phdrs.type == ET_EXEC)
		return "executable";
	if (file->phdrs.type != ET_DYN)
		return NULL;
	return is_pie(file) ? "position-independent executable" : "shared library";
}

static json_t *elf_header(struct gc_doc *d, struct gc_elf_file *file)
{
	static const char *const classes[] = { NULL, "ELF32", "ELF64" };
	static const char *const orders[] = { NULL, "little-endian", "big-endian" };
	const uint8_t *ident = file->input.bytes; /* opened, so the header is whole */
	json_t *elf = gc_doc_object(d);
	const char *entry;
	uint64_t offset;

	gc_doc_str(d, elf, "class", ident[EI_CLASS] < 3 ? classes[ident[EI_CLASS]] : NULL);
	gc_doc_str(d, elf, "data", ident[EI_DATA] < 3 ? orders[ident[EI_DATA]] : NULL);
	gc_doc_str(d, elf, "os_abi", NAME_OF(os_abis, file->osabi));
	gc_doc_int(d, elf, "os_abi_number", file->osabi);
	gc_doc_str(d, elf, "machine", gc_machine_name(file->phdrs.machine));
	gc_doc_int(d, elf, "machine_number", file->phdrs.machine);
	gc_doc_str(d, elf, "type", NAME_OF(types, file->phdrs.type));
	gc_doc_str(d, elf, "form", form_of(file));
	gc_doc_str(d, elf, "linkage", is_dynamic(file) ? "dynamic" : "static");
	if (!file->phdrs.entry)
		return elf;
	gc_doc_hex(d, elf, "entry", file->phdrs.entry);
	if (gc_doc_symbol(d, file, file->phdrs.entry, &entry, &offset) && offset == 0)
		gc_doc_str(d, elf, "entry_symbol", entry);
	return elf;
}

/** Versions that one Verneed asks of its library. @left caps those of all libraries. */
static void add_versions(struct gc_doc *d, json_t *array, const uint8_t *aux, uint64_t len, const struct strings *s,
			 size_t *left)
{
	while (len >= sizeof(Elf64_Vernaux) && *left) {
		const char *name = string_at(s, gc_load_le32(aux + 8));
		uint32_t next = gc_load_le32(aux + 12);

		--*left;
		if (name)
			gc_doc_add_str(d, array, name);
		if (next < sizeof(Elf64_Vernaux) || next > len)
			return;
		aux += next;
		len -= next;
	}
}

/** {library: [version...]} of DT_VERNEED: Elf64_Verneed with a list of Elf64_Vernaux each. */
static json_t *versions_by_library(struct gc_doc *d, const struct gc_elf_file *file, const struct strings *s)
{
	json_t *by = gc_doc_object(d);
	size_t left = MAX_VERSIONS;
	const uint8_t *need;
	uint64_t addr, len;

	if (!gc_elf_dynamic(file, DT_VERNEED, 0, &addr) || !gc_elf_at(file, addr, &need, &len))
		return by;
	while (len >= sizeof(Elf64_Verneed) && left) {
		const char *library = string_at(s, gc_load_le32(need + 4));
		uint32_t aux = gc_load_le32(need + 8), next = gc_load_le32(need + 12);

		left--;
		if (library && aux <= len) {
			json_t *array = gc_doc_array(d);

			add_versions(d, array, need + aux, len - aux, s, &left);
			if (json_object_set_new(by, library, array) != 0) /* no UTF-8 either: then nothing */
				return by;
		}
		if (next < sizeof(Elf64_Verneed) || next > len)
			return by;
		need += next;
		len -= next;
	}
	return by;
}

static json_t *needed_libraries(struct gc_doc *d, const struct gc_elf_file *file, const struct strings *s)
{
	json_t *versions = versions_by_library(d, file, s);
	json_t *array = gc_doc_array(d);
	uint64_t offset;

	for (size_t i = 0; i < MAX_LIBRARIES && gc_elf_dynamic(file, DT_NEEDED, i, &offset); i++) {
		const char *name = string_at(s, offset);
		json_t *library = gc_doc_object(d), *wants = name ? json_object_get(versions, name) : NULL;

		gc_doc_str(d, library, "name", name);
		if (wants)
			gc_doc_set_filled(d, library, "versions", json_incref(wants));
		gc_doc_append(d, array, library);
	}
	json_decref(versions);
	return array;
}

struct undefined {
	struct gc_doc *d;
	json_t *array;
};

static const char *symbol_type(const struct gc_symbol *sym)
{
	switch (ELF64_ST_TYPE(sym->info)) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
		return "function";
	case STT_OBJECT:
		return "object";
	case STT_TLS:
		return "tls";
	default:
		return NULL;
	}
}

static bool add_undefined(void *data, const struct gc_symbol *sym)
{
	struct undefined *u = data;
	json_t *symbol;

	if (sym->section != SHN_UNDEF || !sym->name || !sym->name[0])
		return true;
	if (json_array_size(u->array) == MAX_UNDEFINED) {
		gc_problem(&u->d->problems, "undefined symbols", "more than %d; the rest is not listed", MAX_UNDEFINED);
		return false;
	}
	symbol = gc_doc_object(u->d);
	gc_doc_str(u->d, symbol, "name", sym->name);
	gc_doc_str(u->d, symbol, "version", sym->version);
	gc_doc_str(u->d, symbol, "type", symbol_type(sym));
	if (ELF64_ST_BIND(sym->info) == STB_WEAK)
		gc_doc_bool(u->d, symbol, "weak", true);
	gc_doc_append(u->d, u->array, symbol);
	return true;
}

static json_t *undefined_symbols(struct gc_doc *d, struct gc_elf_file *file)
{
	struct undefined u = { d, gc_doc_array(d) };

	gc_elf_symbols(file, true, add_undefined, &u, NULL);
	return u.array;
}

static void add_linking(struct gc_doc *d, json_t *root, struct gc_elf_file *file)
{
	struct strings s;

	strings_of(file, &s);
	gc_doc_str(d, root, "interpreter", interpreter_of(file));
	gc_doc_str(d, root, "soname", dynamic_string(file, &s, DT_SONAME, 0));
	gc_doc_str(d, root, "rpath", dynamic_string(file, &s, DT_RPATH, 0));
	gc_doc_str(d, root, "runpath", dynamic_string(file, &s, DT_RUNPATH, 0));
	gc_doc_set_filled(d, root, "needed", needed_libraries(d, file, &s));
	gc_doc_set_filled(d, root, "undefined", undefined_symbols(d, file));
}

/** Go's linker writes a GNU build ID that no PT_NOTE covers: then the section has it. */
static void add_build_id(struct gc_doc *d, json_t *root, struct gc_elf_file *file)
{
	struct gc_build_id id = file->build_id;
	const uint8_t *notes;
	uint64_t len, addr;

	if (id.len || (gc_elf_section(file, ".note.gnu.build-id", &notes, &len, &addr) &&
		       gc_build_id_of_notes(notes, len, 4, &id)))
		gc_doc_build_id(d, root, &id);
}

void gc_doc_program_facts(struct gc_doc *d, json_t *root, struct gc_elf_file *file)
{
	json_t *on_disk = gc_doc_object(d), *go;

	gc_doc_size(d, on_disk, "size", file->input.size);
	gc_doc_str(d, on_disk, "compression", file->input.compression);
	gc_doc_set(d, root, "file", on_disk);
	gc_doc_set(d, root, "elf", elf_header(d, file));
	add_build_id(d, root, file);
	gc_doc_str(d, root, "go_build_id", file->go_build_id);
	add_linking(d, root, file);
	gc_doc_set_filled(d, root, "startup", gc_doc_startup(d, file));
	gc_doc_remains(d, root, file);
	go = gc_doc_go(d, file);
	if (go)
		gc_doc_set(d, root, "go", go);
}

json_t *gc_info_program(struct gc_elf_file *file, const struct gc_process *p)
{
	struct gc_doc d = { .p = p };
	json_t *root = gc_doc_begin(&d, "info", p ? p->core.input.path : NULL, file->input.path,
				    gc_arch_by_machine(file->phdrs.machine));

	gc_doc_str(&d, root, "kind", "program");
	gc_doc_program_facts(&d, root, file);
	return gc_doc_end(&d, root);
}
