/* The nearest symbol of an address: each file's table is sorted once, when it is first asked. */
#include <stdlib.h>
#include <string.h>

#include "document/doc.h"

#define MAX_SYMBOLS (16U << 20)
#define MAX_BACK    64         /* symbols looked at for one that reaches over its successors */
#define MAX_COMPARED 256       /* of two names of one address; only the order of output hangs on it */
#define MAX_UNSIZED 0x10000    /* an address this far behind a label is not called by it */

struct name {
	uint64_t value, size;
	const char *text;
	unsigned rank; /* of several at one address the highest is shown */
};

struct gc_names {
	struct gc_elf_file *file;
	struct name *list;
	size_t count, cap;
	bool has_symtab; /* else labels without a size say little: most are stripped */
	bool failed;
};

static bool is_address(const struct gc_symbol *sym)
{
	switch (ELF64_ST_TYPE(sym->info)) {
	case STT_NOTYPE:
	case STT_OBJECT:
	case STT_FUNC:
	case STT_GNU_IFUNC:
		break;
	default:
		return false;
	}
	/* "$x", "$d": mapping symbols (ELF for the Arm 64-bit Architecture, 5.5.4) */
	return sym->section != SHN_UNDEF && sym->section != SHN_ABS && sym->section != SHN_COMMON &&
	       sym->name && sym->name[0] && sym->name[0] != '$';
}

static unsigned rank_of(const struct gc_symbol *sym)
{
	unsigned bind = ELF64_ST_BIND(sym->info);

	return (sym->size ? 8U : 0U) + (ELF64_ST_TYPE(sym->info) != STT_NOTYPE ? 4U : 0U) +
	       (bind == STB_GLOBAL ? 2U : bind == STB_WEAK ? 1U : 0U);
}

static bool add(void *data, const struct gc_symbol *sym)
{
	struct gc_names *names = data;

	if (!is_address(sym))
		return true;
	if (names->count == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 256;
		struct name *list = cap <= MAX_SYMBOLS ? realloc(names->list, cap * sizeof(*list)) : NULL;

		if (!list) {
			names->failed = cap <= MAX_SYMBOLS;
			return false;
		}
		names->list = list;
		names->cap = cap;
	}
	names->list[names->count++] = (struct name){ sym->value, sym->size, sym->name, rank_of(sym) };
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	return strncmp(y->text, x->text, MAX_COMPARED); /* the first name is last, so it is the one found */
}

static void load(struct gc_doc *d, struct gc_names *names)
{
	names->has_symtab = gc_elf_symbols(names->file, false, add, names, NULL) == GC_OK && names->count;
	gc_elf_symbols(names->file, true, add, names, NULL);
	if (names->count)
		qsort(names->list, names->count, sizeof(*names->list), compare);
	d->failed |= names->failed;
}

static struct gc_names *names_of(struct gc_doc *d, struct gc_elf_file *file)
{
	struct gc_names *list;

	for (size_t i = 0; i < d->nnames; i++)
		if (d->names[i].file == file)
			return &d->names[i];
	list = realloc(d->names, (d->nnames + 1) * sizeof(*list));
	if (!list) {
		d->failed = true;
		return NULL;
	}
	d->names = list;
	list[d->nnames] = (struct gc_names){ .file = file };
	load(d, &list[d->nnames]);
	return &list[d->nnames++];
}

void gc_doc_names_free(struct gc_doc *d)
{
	for (size_t i = 0; i < d->nnames; i++)
		free(d->names[i].list);
	free(d->names);
	d->names = NULL;
	d->nnames = 0;
}

/** Index behind the last symbol at or before @vaddr. */
static size_t upper_bound(const struct gc_names *names, uint64_t vaddr)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (names->list[mid].value <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const struct name *find(const struct gc_names *names, uint64_t vaddr)
{
	size_t end = upper_bound(names, vaddr);
	const struct name *nearest;

	for (size_t i = end; i > 0 && end - i < MAX_BACK; i--) {
		const struct name *name = &names->list[i - 1];

		if (vaddr - name->value < name->size)
			return name;
	}
	nearest = end ? &names->list[end - 1] : NULL;
	if (!nearest || nearest->size || !names->has_symtab || vaddr - nearest->value >= MAX_UNSIZED)
		return NULL;
	return nearest;
}

bool gc_doc_symbol(struct gc_doc *d, struct gc_elf_file *file, uint64_t vaddr, const char **name,
		   uint64_t *offset)
{
	const struct gc_names *names = names_of(d, file);
	const struct name *found = names ? find(names, vaddr) : NULL;

	if (!found)
		return false;
	*name = found->text;
	*offset = vaddr - found->value;
	return true;
}

void gc_doc_place(struct gc_doc *d, uint64_t addr, struct gc_place *out)
{
	const struct gc_image *image = gc_images_at(&d->p->images, addr);

	*out = (struct gc_place){ .image = image };
	if (!image)
		return;
	out->offset = addr - (image->has_bias ? image->bias : image->base);
	if (image->file && image->has_bias)
		gc_doc_symbol(d, image->file, out->offset, &out->symbol, &out->symbol_offset);
}
