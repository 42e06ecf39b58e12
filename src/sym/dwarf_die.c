#include "sym/dwarf_die.h"

#include <string.h>

#include "gocore/bytes.h"
#include "gocore/cursor.h"

/* DWARF 5 section 7.5.6 and the extensions of GNU: forms that refer to another file */
enum {
	FORM_STRP_SUP = 0x1d, FORM_REF_SUP4 = 0x1c, FORM_REF_SUP8 = 0x24, FORM_RNGLISTX = 0x23,
	FORM_GNU_REF_ALT = 0x1f20, FORM_GNU_STRP_ALT = 0x1f21,

	/* DWARF 5 section 7.25 */
	RLE_END_OF_LIST = 0, RLE_BASE_ADDRESSX, RLE_STARTX_ENDX, RLE_STARTX_LENGTH, RLE_OFFSET_PAIR,
	RLE_BASE_ADDRESS, RLE_START_END, RLE_START_LENGTH,
};

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

bool gc_die_has(struct gc_dies *dies, Dwarf_Die die, unsigned attribute)
{
	Dwarf_Error error = NULL;
	Dwarf_Bool has = 0;

	if (dwarf_hasattr(die, (Dwarf_Half)attribute, &has, &error) != DW_DLV_OK)
		gc_dwarf_forget(dies->dbg, error);
	return has;
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

/** A cursor on a section from @offset on. @return false if there is nothing */
static bool section_from(struct gc_dies *dies, const char *name, uint64_t offset, struct gc_cursor *out)
{
	const uint8_t *bytes;
	uint64_t len;

	if (gc_dwarf_section(dies->dwarf, name, &bytes, &len, NULL) != GC_OK || offset >= len)
		return false;
	gc_cursor_init(out, bytes + offset, len - offset, offset);
	return true;
}

static bool read_address(struct gc_cursor *c, uint64_t *out)
{
	const uint8_t *bytes;

	if (gc_cursor_bytes(c, 8, &bytes, NULL) != GC_OK)
		return false;
	*out = gc_load_le64(bytes);
	return true;
}

/** .debug_ranges, DWARF 3 and 4: pairs, an empty one ends them, one that starts with -1 sets the base. */
static void old_ranges(const struct range_visit *v, const struct gc_die_unit *unit, uint64_t offset)
{
	uint64_t base = unit->low_pc, low, high;
	struct gc_cursor c;

	if (!section_from(v->dies, ".debug_ranges", offset, &c))
		return;
	while (read_address(&c, &low) && read_address(&c, &high) && (low || high)) {
		if (low == UINT64_MAX)
			base = high;
		else if (high > low && !v->fn(v->data, base + low, base + high))
			return;
	}
}

/** An address of .debug_addr, by its index. */
static bool read_indexed(struct gc_dies *dies, const struct gc_die_unit *unit, struct gc_cursor *c, uint64_t *out)
{
	struct gc_cursor addresses;
	uint64_t index;

	return gc_cursor_uleb(c, &index, NULL) == GC_OK && index <= UINT32_MAX &&
	       unit->addr_base <= UINT32_MAX * UINT64_C(16) &&
	       section_from(dies, ".debug_addr", unit->addr_base + 8 * index, &addresses) &&
	       read_address(&addresses, out);
}

/** The two values of an entry. @return false at the end and at damage */
static bool read_entry(struct gc_dies *dies, const struct gc_die_unit *unit, struct gc_cursor *c, uint8_t kind,
		       uint64_t *low, uint64_t *high)
{
	switch (kind) {
	case RLE_BASE_ADDRESSX:
		return read_indexed(dies, unit, c, low);
	case RLE_STARTX_ENDX:
		return read_indexed(dies, unit, c, low) && read_indexed(dies, unit, c, high);
	case RLE_STARTX_LENGTH:
		return read_indexed(dies, unit, c, low) && gc_cursor_uleb(c, high, NULL) == GC_OK;
	case RLE_OFFSET_PAIR:
		return gc_cursor_uleb(c, low, NULL) == GC_OK && gc_cursor_uleb(c, high, NULL) == GC_OK;
	case RLE_BASE_ADDRESS:
		return read_address(c, low);
	case RLE_START_END:
		return read_address(c, low) && read_address(c, high);
	case RLE_START_LENGTH:
		return read_address(c, low) && gc_cursor_uleb(c, high, NULL) == GC_OK;
	default:
		return false;
	}
}

/** .debug_rnglists, DWARF 5 */
static void new_ranges(const struct range_visit *v, const struct gc_die_unit *unit, uint64_t offset)
{
	uint64_t base = unit->low_pc, low, high;
	struct gc_cursor c;
	uint8_t kind;

	if (!section_from(v->dies, ".debug_rnglists", offset, &c))
		return;
	while (gc_cursor_u8(&c, &kind, NULL) == GC_OK && read_entry(v->dies, unit, &c, kind, &low, &high)) {
		if (kind == RLE_BASE_ADDRESSX || kind == RLE_BASE_ADDRESS) {
			base = low;
			continue;
		}
		if (kind == RLE_STARTX_LENGTH || kind == RLE_START_LENGTH)
			high += low;
		if (kind == RLE_OFFSET_PAIR) {
			low += base;
			high += base;
		}
		if (high > low && !v->fn(v->data, low, high))
			return;
	}
}

/** Where list number @index is: an offset from the base, at the base. */
static bool list_offset(struct gc_dies *dies, const struct gc_die_unit *unit, uint64_t index, uint64_t *out)
{
	const uint8_t *bytes;
	struct gc_cursor c;

	if (index > UINT32_MAX ||
	    !section_from(dies, ".debug_rnglists", unit->rnglists_base + index * (unit->is_64 ? 8 : 4), &c) ||
	    gc_cursor_bytes(&c, unit->is_64 ? 8 : 4, &bytes, NULL) != GC_OK)
		return false;
	*out = unit->rnglists_base + (unit->is_64 ? gc_load_le64(bytes) : gc_load_le32(bytes));
	return true;
}

bool gc_die_ranges(struct gc_dies *dies, Dwarf_Die die, const struct gc_die_unit *unit,
		   bool (*visit)(void *data, uint64_t low, uint64_t high), void *data)
{
	const struct range_visit v = { .dies = dies, .fn = visit, .data = data };
	Dwarf_Attribute attr;
	uint64_t value;
	Dwarf_Half form;
	bool found;

	if (single_range(&v, die))
		return true;
	attr = attribute_of(dies, die, GC_AT_RANGES, &form);
	if (!attr)
		return false;
	found = form == FORM_RNGLISTX ? number_in(dies, attr, &value) && list_offset(dies, unit, value, &value) :
					offset_in(dies, attr, &value) || number_in(dies, attr, &value);
	dwarf_dealloc(dies->dbg, attr, DW_DLA_ATTR);
	if (found && unit->version >= 5)
		new_ranges(&v, unit, value);
	else if (found)
		old_ranges(&v, unit, value);
	return true;
}

void gc_die_unit_read(struct gc_die_unit *out, struct gc_dies *dies, Dwarf_Die die)
{
	struct gc_die_unit unit = { .low_pc = 0 };
	Dwarf_Half version = 0, offset_size = 0;

	dwarf_get_version_of_die(die, &version, &offset_size);
	unit.version = version;
	unit.is_64 = offset_size == 8;
	gc_die_section_offset(dies, die, GC_AT_ADDR_BASE, &unit.addr_base);
	gc_die_section_offset(dies, die, GC_AT_RNGLISTS_BASE, &unit.rnglists_base);
	gc_die_address(dies, die, GC_AT_LOW_PC, &unit.low_pc);
	*out = unit;
}
