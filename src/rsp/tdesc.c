#include "tdesc.h"

#include <inttypes.h>
#include <string.h>

static void add_attribute(struct gc_buf *out, const char *name, const char *value)
{
	if (value)
		gc_buf_printf(out, " %s=\"%s\"", name, value);
}

static void add_reg(const struct gc_regmap *map, size_t row, struct gc_buf *out)
{
	const struct gc_reg *reg = &map->arch->regs[row];

	gc_buf_printf(out, "<reg name=\"%s\" bitsize=\"%" PRIu32 "\" type=\"%s\" regnum=\"%u\"", reg->name,
		      8 * map->size[row], reg->type ? reg->type : "int", reg->number);
	add_attribute(out, "group", reg->group);
	add_attribute(out, "generic", reg->generic);
	/* lldb before 21 takes types it does not know for integers, which end at 128 bits. */
	if (map->size[row] > 8)
		gc_buf_str(out, " encoding=\"vector\" format=\"vector-uint8\"");
	gc_buf_str(out, "/>\n");
}

/** Shown as hex: lldb writes a pointer's symbol behind it anyway, and twice for these types. */
static const char *lldb_type(const struct gc_reg *reg)
{
	if (!reg->type || strcmp(reg->type, "code_ptr") == 0 || strcmp(reg->type, "data_ptr") == 0)
		return "uint64";
	return reg->type;
}

/** lldb's names and groups are those of its own core reader, so that commands and output are the same. */
static void add_lldb_reg(const struct gc_regmap *map, size_t row, struct gc_buf *out)
{
	const struct gc_reg *reg = &map->arch->regs[row];
	const struct gc_feature *feature = &map->arch->features[reg->feature];
	uint32_t size = map->size[row] ? map->size[row] : reg->bits / 8U;

	gc_buf_printf(out, "<reg name=\"%s\" bitsize=\"%" PRIu32 "\" type=\"%s\" regnum=\"%u\"",
		      reg->lldb_name ? reg->lldb_name : reg->name, 8 * size, lldb_type(reg), reg->number);
	if (reg->lldb_name)
		add_attribute(out, "altname", reg->name);
	add_attribute(out, "group", reg->lldb_set ? reg->lldb_set : feature->lldb_set);
	add_attribute(out, "generic", reg->generic);
	if (!map->size[row])
		gc_buf_printf(out, " value_regnums=\"%u\"", map->arch->regs[reg->part_of].number);
	if (size > 8 || reg->scale != GC_SCALE_NONE)
		gc_buf_str(out, " encoding=\"vector\" format=\"vector-uint8\"");
	gc_buf_str(out, "/>\n");
}

/** Is it described to lldb as the beginning of a wider one? gdb makes such registers itself. */
static bool is_part(const struct gc_regmap *map, size_t row)
{
	uint16_t whole = map->arch->regs[row].part_of;

	return !map->size[row] && whole && map->size[whole];
}

static void add_types(const struct gc_regmap *map, const struct gc_feature *feature, struct gc_buf *out)
{
	if (feature->types_for_vl)
		feature->types_for_vl(out, map->vl, map->svl);
	else if (feature->types)
		gc_buf_str(out, feature->types);
}

void gc_tdesc_xml(const struct gc_regmap *map, bool for_lldb, struct gc_buf *out)
{
	const struct gc_arch *arch = map->arch;
	const char *open = NULL;

	gc_buf_printf(out,
		      "<?xml version=\"1.0\"?>\n"
		      "<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
		      "<target version=\"1.0\">\n"
		      "<architecture>%s</architecture>\n"
		      "<osabi>GNU/Linux</osabi>\n", arch->gdb_name);
	for (size_t i = 0; i < arch->nregs; i++) {
		const struct gc_feature *feature = &arch->features[arch->regs[i].feature];

		if (!map->size[i] && !(for_lldb && is_part(map, i)))
			continue;
		if (!open || strcmp(open, feature->name) != 0) {
			gc_buf_str(out, open ? "</feature>\n" : "");
			gc_buf_printf(out, "<feature name=\"%s\">\n", feature->name);
			add_types(map, feature, out);
			open = feature->name;
		}
		if (for_lldb)
			add_lldb_reg(map, i, out);
		else
			add_reg(map, i, out);
	}
	gc_buf_str(out, open ? "</feature>\n</target>\n" : "</target>\n");
}
