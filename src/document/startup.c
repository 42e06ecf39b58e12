/* The functions that run before and after main, by the arrays that list them. */
#include <stdlib.h>
#include <string.h>

#include "document/doc.h"
#include "gocore/bytes.h"

#define MAX_ENTRIES 10000
#define RELA_SIZE   24 /* Elf64_Rela */
#define SYM_SIZE    24 /* Elf64_Sym */

static const struct array_kind {
	const char *section;
	int64_t addr, size;
} arrays[] = {
	{ ".preinit_array", DT_PREINIT_ARRAY, DT_PREINIT_ARRAYSZ },
	{ ".init_array", DT_INIT_ARRAY, DT_INIT_ARRAYSZ },
	{ ".fini_array", DT_FINI_ARRAY, DT_FINI_ARRAYSZ },
};

/** What the linker will put into a slot. */
struct slot {
	bool known;
	uint64_t value;     /* as the file counts addresses */
	const char *symbol; /* of a relocation against a name, or NULL */
};

struct array {
	uint64_t addr;
	size_t count;
	struct slot *slots;
};

/** Name and value of dynamic symbol @index. */
static bool dynamic_symbol(const struct gc_elf_file *file, uint32_t index, struct slot *out)
{
	uint64_t symtab, strtab, have, name;
	const uint8_t *sym, *text;

	if (!gc_elf_dynamic(file, DT_SYMTAB, 0, &symtab) || !gc_elf_dynamic(file, DT_STRTAB, 0, &strtab) ||
	    !gc_elf_at(file, symtab + (uint64_t)index * SYM_SIZE, &sym, &have) || have < SYM_SIZE)
		return false;
	out->known = gc_load_le16(sym + 6) != SHN_UNDEF;
	out->value = gc_load_le64(sym + 8);
	name = strtab + gc_load_le32(sym);
	if (gc_elf_at(file, name, &text, &have) && memchr(text, 0, have))
		out->symbol = (const char *)text;
	return true;
}

/** Let one Elf64_Rela fill its slot, if it is one of the array's. */
static void relocate(const struct gc_elf_file *file, struct array *a, const uint8_t *rela,
		     const struct gc_arch *arch)
{
	uint64_t at = gc_load_le64(rela) - a->addr, info = gc_load_le64(rela + 8);
	uint64_t addend = gc_load_le64(rela + 16);
	uint32_t type = (uint32_t)info;
	struct slot slot = { .known = true };

	if (at % 8 || at / 8 >= a->count)
		return;
	if (type == arch->reloc_relative)
		slot.value = addend;
	else if (type != arch->reloc_absolute || !dynamic_symbol(file, (uint32_t)(info >> 32), &slot))
		return;
	else
		slot.value += addend;
	a->slots[at / 8] = slot;
}

/** DT_RELA. (Slots that DT_RELR relocates hold the addend themselves.) */
static void relocate_all(const struct gc_elf_file *file, struct array *a)
{
	const struct gc_arch *arch = gc_arch_by_machine(file->phdrs.machine);
	uint64_t addr, size, have;
	const uint8_t *rela;

	if (!arch || !gc_elf_dynamic(file, DT_RELA, 0, &addr) || !gc_elf_dynamic(file, DT_RELASZ, 0, &size) ||
	    !gc_elf_at(file, addr, &rela, &have))
		return;
	if (size > have)
		size = have;
	for (; size >= RELA_SIZE; size -= RELA_SIZE, rela += RELA_SIZE)
		relocate(file, a, rela, arch);
}

static void load_slots(const struct gc_elf_file *file, struct array *a)
{
	const uint8_t *bytes;
	uint64_t have;

	if (gc_elf_at(file, a->addr, &bytes, &have))
		for (size_t i = 0; i < a->count && i < have / 8; i++)
			a->slots[i] = (struct slot){ true, gc_load_le64(bytes + 8 * i), NULL };
	relocate_all(file, a);
}

/** Where the array lies: by PT_DYNAMIC, else (static programs) by its section. */
static bool find_array(struct gc_elf_file *file, const struct array_kind *kind, uint64_t *addr, uint64_t *size)
{
	const uint8_t *bytes;

	if (gc_elf_dynamic(file, kind->addr, 0, addr) && gc_elf_dynamic(file, kind->size, 0, size))
		return true;
	return gc_elf_section(file, kind->section, &bytes, size, addr);
}

static const struct gc_image *image_of(const struct gc_doc *d, const struct gc_elf_file *file)
{
	for (size_t i = 0; d->p && i < d->p->images.count; i++)
		if (d->p->images.list[i].file == file && d->p->images.list[i].has_bias)
			return &d->p->images.list[i];
	return NULL;
}

/** name, and offset behind it if it is not 0 */
static void add_name(struct gc_doc *d, json_t *object, const char *name, uint64_t offset)
{
	gc_doc_str(d, object, "name", name);
	if (offset)
		gc_doc_size(d, object, "offset", offset);
}

/** What the process had in a slot when it died. */
static void add_in_core(struct gc_doc *d, json_t *entry, uint64_t addr)
{
	struct gc_place place;
	json_t *in_core;
	uint64_t value;

	if (gc_space_u64(&d->p->space, addr, &value, NULL) != GC_OK)
		return;
	in_core = gc_doc_object(d);
	gc_doc_hex(d, in_core, "address", addr);
	gc_doc_hex(d, in_core, "value", value);
	gc_doc_place(d, value, &place);
	if (place.symbol)
		add_name(d, in_core, place.symbol, place.symbol_offset);
	if (place.image)
		gc_doc_str(d, in_core, "module", place.image->path);
	gc_doc_set(d, entry, "core", in_core);
}

static void add_function(struct gc_doc *d, json_t *entry, struct gc_elf_file *file, const struct slot *slot)
{
	const char *name = slot->symbol;
	uint64_t offset = 0;

	if (slot->known)
		gc_doc_hex(d, entry, "function", slot->value);
	if (!name && (!slot->known || !gc_doc_symbol(d, file, slot->value, &name, &offset)))
		return;
	add_name(d, entry, name, offset);
}

static void add_array(struct gc_doc *d, json_t *out, struct gc_elf_file *file, const char *section,
		      const struct array *a)
{
	const struct gc_image *image = image_of(d, file);

	for (size_t i = 0; i < a->count; i++) {
		json_t *entry = gc_doc_object(d);

		gc_doc_str(d, entry, "section", section);
		gc_doc_size(d, entry, "index", i);
		gc_doc_hex(d, entry, "slot", a->addr + 8 * i);
		add_function(d, entry, file, &a->slots[i]);
		if (image)
			add_in_core(d, entry, image->bias + a->addr + 8 * i);
		gc_doc_append(d, out, entry);
	}
}

static void add_kind(struct gc_doc *d, json_t *out, struct gc_elf_file *file, const struct array_kind *kind)
{
	struct array a;
	uint64_t size;

	if (!find_array(file, kind, &a.addr, &size))
		return;
	if (size / 8 > MAX_ENTRIES)
		gc_problem(&d->problems, kind->section, "says it has more than %d entries", MAX_ENTRIES);
	a.count = size / 8 > MAX_ENTRIES ? MAX_ENTRIES : (size_t)(size / 8);
	a.slots = calloc(a.count + 1, sizeof(*a.slots));
	if (!a.slots) {
		d->failed = true;
		return;
	}
	load_slots(file, &a);
	add_array(d, out, file, kind->section, &a);
	free(a.slots);
}

/** DT_INIT and DT_FINI: a function each, no array. */
static void add_single(struct gc_doc *d, json_t *out, struct gc_elf_file *file, int64_t tag, const char *section)
{
	struct slot slot = { .known = true };
	json_t *entry;

	if (!gc_elf_dynamic(file, tag, 0, &slot.value))
		return;
	entry = gc_doc_object(d);
	gc_doc_str(d, entry, "section", section);
	add_function(d, entry, file, &slot);
	gc_doc_append(d, out, entry);
}

json_t *gc_doc_startup(struct gc_doc *d, struct gc_elf_file *file)
{
	json_t *out = gc_doc_array(d);

	add_kind(d, out, file, &arrays[0]);
	add_single(d, out, file, DT_INIT, ".init");
	add_kind(d, out, file, &arrays[1]);
	add_kind(d, out, file, &arrays[2]);
	add_single(d, out, file, DT_FINI, ".fini");
	return out;
}
