#include "sym/dwarf_die.h"

#include <string.h>

/* DWARF 5 section 7.5.6 and the extensions of GNU: forms that refer to another file */
enum {
	FORM_STRP_SUP = 0x1d, FORM_REF_SUP4 = 0x1c, FORM_REF_SUP8 = 0x24, FORM_RNGLISTX = 0x23,
	FORM_GNU_REF_ALT = 0x1f20, FORM_GNU_STRP_ALT = 0x1f21,

	RLE_END_OF_LIST = 0x00, RLE_BASE_ADDRESSX = 0x01, RLE_BASE_ADDRESS = 0x05,
};

#define MAX_RANGES 1000000

#ifdef DW_LIBDWARF_VERSION_MAJOR
#define free_ranges dwarf_dealloc_ranges
#else
#define free_ranges dwarf_ranges_dealloc
#endif

Dwarf_Die gc_die_at(struct gc_dies *dies, uint64_t offset)
{
	Dwarf_Error error = NULL;
	Dwarf_Die die = NULL;

	if (dwarf_offdie_b(dies->dbg, offset, 1, &die, &error) == DW_DLV_OK)
		return die;
	gc_dwarf_forget(dies->dbg, error);
	return NULL;
}

Dwarf_Die gc_die_child(struct gc_dies *dies, Dwarf_Die die)
{
	Dwarf_Error error = NULL;
	Dwarf_Die child = NULL;

	if (dwarf_child(die, &child, &error) == DW_DLV_OK)
		return child;
	gc_dwarf_forget(dies->dbg, error);
	return NULL;
}

Dwarf_Die gc_die_next(struct gc_dies *dies, Dwarf_Die die)
{
	const uint64_t offset = gc_die_offset(dies, die);
	Dwarf_Error error = NULL;
	Dwarf_Die next = NULL;

	if (dwarf_siblingof_b(dies->dbg, die, 1, &next, &error) != DW_DLV_OK)
		next = NULL;
	gc_dwarf_forget(dies->dbg, error);
	gc_die_free(dies, die);
	if (next && gc_die_offset(dies, next) <= offset) { /* DW_AT_sibling in a circle */
		gc_die_free(dies, next);
		next = NULL;
	}
	return next;
}

void gc_die_free(struct gc_dies *dies, Dwarf_Die die)
{
	if (die)
		dwarf_dealloc(dies->dbg, die, DW_DLA_DIE);
}

uint64_t gc_die_offset(struct gc_dies *dies, Dwarf_Die die)
{
	Dwarf_Error error = NULL;
	Dwarf_Off offset = 0;

	if (dwarf_dieoffset(die, &offset, &error) != DW_DLV_OK)
		gc_dwarf_forget(dies->dbg, error);
	return offset;
}

unsigned gc_die_tag(struct gc_dies *dies, Dwarf_Die die)
{
	Dwarf_Error error = NULL;
	Dwarf_Half tag = 0;

	if (dwarf_tag(die, &tag, &error) != DW_DLV_OK)
		gc_dwarf_forget(dies->dbg, error);
	return tag;
}

/* Attributes. */

/** @return NULL: it has none */
static Dwarf_Attribute attribute_of(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, Dwarf_Half *form)
{
	Dwarf_Error error = NULL;
	Dwarf_Attribute attr;

	if (dwarf_attr(die, (Dwarf_Half)attribute, &attr, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dies->dbg, error);
		return NULL;
	}
	if (dwarf_whatform(attr, form, &error) == DW_DLV_OK)
		return attr;
	gc_dwarf_forget(dies->dbg, error);
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return NULL;
}

static bool offset_in(struct gc_dies *dies, Dwarf_Attribute attr, uint64_t *out)
{
	Dwarf_Error error = NULL;
	Dwarf_Off offset;

	if (dwarf_global_formref(attr, &offset, &error) != DW_DLV_OK) {
		gc_dwarf_forget(dies->dbg, error);
		return false;
	}
	*out = offset;
	return true;
}

static bool number_in(struct gc_dies *dies, Dwarf_Attribute attr, uint64_t *out)
{
	Dwarf_Error error = NULL;
	Dwarf_Unsigned value;
	Dwarf_Signed number;

	if (dwarf_formudata(attr, &value, &error) == DW_DLV_OK) {
		*out = value;
		return true;
	}
	gc_dwarf_forget(dies->dbg, error);
	error = NULL;
	if (dwarf_formsdata(attr, &number, &error) == DW_DLV_OK && number >= 0) { /* DW_FORM_implicit_const */
		*out = (uint64_t)number;
		return true;
	}
	gc_dwarf_forget(dies->dbg, error);
	return false;
}

static const char *string_of_supplement(struct gc_dies *dies, Dwarf_Attribute attr)
{
	const uint8_t *bytes;
	uint64_t offset, len;

	if (!dies->supplement || !offset_in(dies, attr, &offset) ||
	    gc_dwarf_section(dies->supplement->dwarf, ".debug_str", &bytes, &len, NULL) != GC_OK || offset >= len ||
	    !memchr(bytes + offset, 0, len - offset))
		return NULL;
	return (const char *)bytes + offset;
}

const char *gc_die_string(struct gc_dies *dies, Dwarf_Die die, unsigned attribute)
{
	Dwarf_Error error = NULL;
	char *text = NULL;
	const char *found;
	Dwarf_Half form;
	Dwarf_Attribute attr = attribute_of(dies, die, attribute, &form);

	if (!attr)
		return NULL;
	if (form == FORM_STRP_SUP || form == FORM_GNU_STRP_ALT) {
		found = string_of_supplement(dies, attr);
	} else {
		found = dwarf_formstring(attr, &text, &error) == DW_DLV_OK ? text : NULL;
		gc_dwarf_forget(dies->dbg, error);
	}
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return found;
}

bool gc_die_number(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out)
{
	Dwarf_Half form;
	Dwarf_Attribute attr = attribute_of(dies, die, attribute, &form);
	bool found = attr && number_in(dies, attr, out);

	if (attr)
		dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return found;
}

bool gc_die_address(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out)
{
	Dwarf_Half form;
	Dwarf_Attribute attr = attribute_of(dies, die, attribute, &form);
	Dwarf_Error error = NULL;
	Dwarf_Addr addr;
	bool found;

	if (!attr)
		return false;
	found = dwarf_formaddr(attr, &addr, &error) == DW_DLV_OK;
	gc_dwarf_forget(dies->dbg, error);
	if (found)
		*out = addr;
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return found;
}

bool gc_die_section_offset(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, uint64_t *out)
{
	Dwarf_Half form;
	Dwarf_Attribute attr = attribute_of(dies, die, attribute, &form);
	bool found = attr && (offset_in(dies, attr, out) || number_in(dies, attr, out));

	if (attr)
		dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return found;
}

bool gc_die_reference(struct gc_dies *dies, Dwarf_Die die, unsigned attribute, struct gc_dies **out_dies,
		      uint64_t *out)
{
	Dwarf_Half form;
	Dwarf_Attribute attr = attribute_of(dies, die, attribute, &form);
	bool elsewhere, found;

	if (!attr)
		return false;
	elsewhere = form == FORM_GNU_REF_ALT || form == FORM_REF_SUP4 || form == FORM_REF_SUP8;
	found = (!elsewhere || dies->supplement) && offset_in(dies, attr, out);
	if (found)
		*out_dies = elsewhere ? dies->supplement : dies;
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return found;
}

/* Ranges. */

struct range_visit {
	struct gc_dies *dies;
	bool (*fn)(void *data, uint64_t low, uint64_t high);
	void *data;
};

/** DW_AT_high_pc is an address, or since DWARF 4 mostly the length. */
static bool single_range(const struct range_visit *v, Dwarf_Die die)
{
	enum Dwarf_Form_Class form_class = DW_FORM_CLASS_UNKNOWN;
	Dwarf_Error error = NULL;
	Dwarf_Addr low, high;
	Dwarf_Half form;

	if (dwarf_lowpc(die, &low, &error) != DW_DLV_OK || /* reads DW_FORM_addrx too */
	    dwarf_highpc_b(die, &high, &form, &form_class, &error) != DW_DLV_OK) {
		gc_dwarf_forget(v->dies->dbg, error);
		return false;
	}
	if (form_class == DW_FORM_CLASS_CONSTANT)
		high += low;
	if (high > low)
		v->fn(v->data, low, high);
	return true;
}

/** .debug_ranges, DWARF 3 and 4 */
static void old_ranges(const struct range_visit *v, Dwarf_Die die, uint64_t offset, uint64_t base)
{
	Dwarf_Unsigned bytes;
	Dwarf_Signed count;
	Dwarf_Ranges *list;
	Dwarf_Error error = NULL;
	Dwarf_Off real;

	if (dwarf_get_ranges_b(v->dies->dbg, offset, die, &real, &list, &count, &bytes, &error) != DW_DLV_OK) {
		gc_dwarf_forget(v->dies->dbg, error);
		return;
	}
	for (Dwarf_Signed i = 0; i < count && i < MAX_RANGES; i++) {
		if (list[i].dwr_type == DW_RANGES_END)
			break;
		if (list[i].dwr_type == DW_RANGES_ADDRESS_SELECTION)
			base = list[i].dwr_addr2;
		else if (list[i].dwr_addr2 > list[i].dwr_addr1 &&
			 !v->fn(v->data, base + list[i].dwr_addr1, base + list[i].dwr_addr2))
			break;
	}
	free_ranges(v->dies->dbg, list, count);
}

/** One entry of .debug_rnglists. @return false to stop */
static bool visit_entry(const struct range_visit *v, Dwarf_Rnglists_Head head, Dwarf_Unsigned i)
{
	Dwarf_Unsigned raw1, raw2, low, high;
	Dwarf_Bool unavailable = 0;
	Dwarf_Error error = NULL;
	unsigned len, kind;

	if (dwarf_get_rnglists_entry_fields_a(head, i, &len, &kind, &raw1, &raw2, &unavailable, &low, &high,
					      &error) != DW_DLV_OK) {
		gc_dwarf_forget(v->dies->dbg, error);
		return false;
	}
	if (kind == RLE_END_OF_LIST)
		return false;
	if (kind == RLE_BASE_ADDRESSX || kind == RLE_BASE_ADDRESS || unavailable || high <= low)
		return true;
	return v->fn(v->data, low, high);
}

static void new_ranges(const struct range_visit *v, Dwarf_Attribute attr, Dwarf_Half form, uint64_t value)
{
	Dwarf_Unsigned count, offset;
	Dwarf_Rnglists_Head head;
	Dwarf_Error error = NULL;

	if (dwarf_rnglists_get_rle_head(attr, form, value, &head, &count, &offset, &error) != DW_DLV_OK) {
		gc_dwarf_forget(v->dies->dbg, error);
		return;
	}
	for (Dwarf_Unsigned i = 0; i < count && i < MAX_RANGES && visit_entry(v, head, i); i++)
		;
	dwarf_dealloc_rnglists_head(head);
}

bool gc_die_ranges(struct gc_dies *dies, Dwarf_Die die, uint64_t base,
		   bool (*visit)(void *data, uint64_t low, uint64_t high), void *data)
{
	const struct range_visit v = { .dies = dies, .fn = visit, .data = data };
	Dwarf_Half form, version = 0, offset_size;
	Dwarf_Attribute attr;
	uint64_t value;

	if (single_range(&v, die))
		return true;
	attr = attribute_of(dies, die, GC_AT_RANGES, &form);
	if (!attr)
		return false;
	dwarf_get_version_of_die(die, &version, &offset_size);
	if (form == FORM_RNGLISTX ? number_in(dies, attr, &value) :
				    offset_in(dies, attr, &value) || number_in(dies, attr, &value)) {
		if (version >= 5)
			new_ranges(&v, attr, form, value);
		else
			old_ranges(&v, die, value, base);
	}
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	return true;
}
