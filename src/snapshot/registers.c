/* Registers: up to 64 bits as numbers, wider ones with all their digits. */
#include <stdlib.h>

#include "snapshot/snap.h"

/** Of the general set: integers, pointers and flags that every thread of the architecture has. */
static bool is_general(const struct gc_regmap *map, size_t row)
{
	const struct gc_reg *reg = &map->arch->regs[row];

	return map->size[row] <= 8 && !reg->group && map->arch->base_features & 1U << reg->feature;
}

/** Bytes of a little-endian number, the highest first. */
static void add_digits(struct gc_buf *out, const uint8_t *bytes, size_t len)
{
	for (size_t i = len; i > 0; i--)
		gc_buf_hex(out, &bytes[i - 1], 1);
}

static void set_digits(struct gc_snap *s, json_t *object, const char *name, struct gc_buf *digits)
{
	if (digits->failed)
		s->d.failed = true;
	gc_doc_strn(&s->d, object, name, gc_buf_text(digits), digits->len);
	gc_buf_deinit(digits);
}

static void add_row(struct gc_snap *s, json_t *object, const struct gc_regs *regs, size_t row)
{
	const char *name = regs->map->arch->regs[row].name;
	struct gc_buf digits = GC_BUF_INIT;
	uint64_t value = 0;

	if (regs->map->size[row] <= 8) {
		gc_regs_u64(regs, (int)row, &value);
		gc_doc_hex(&s->d, object, name, value);
		return;
	}
	gc_buf_str(&digits, "0x");
	add_digits(&digits, regs->bytes + regs->map->offset[row], regs->map->size[row]);
	set_digits(s, object, name, &digits);
}

static bool is_known(const struct gc_regs *regs, const struct gc_reg_whole *whole)
{
	for (size_t i = 0; i < whole->nparts; i++)
		if (!regs->map->size[whole->parts[i]] || !regs->valid[whole->parts[i]])
			return false;
	return true;
}

static void add_whole(struct gc_snap *s, json_t *object, const struct gc_regs *regs, const struct gc_reg_whole *whole)
{
	struct gc_buf digits = GC_BUF_INIT;

	gc_buf_str(&digits, "0x");
	for (size_t i = whole->nparts; i > 0; i--)
		add_digits(&digits, regs->bytes + regs->map->offset[whole->parts[i - 1]],
			   regs->map->size[whole->parts[i - 1]]);
	set_digits(s, object, whole->name, &digits);
}

/** Is @row an upper part, which has no name of its own for people? */
static bool is_upper_part(const struct gc_arch *arch, size_t row)
{
	for (size_t i = 0; i < arch->nwholes; i++)
		for (size_t k = 1; k < arch->wholes[i].nparts; k++)
			if (arch->wholes[i].parts[k] == (int)row)
				return true;
	return false;
}

void gc_snap_registers(struct gc_snap *s, json_t *object, const struct gc_regs *regs)
{
	const struct gc_arch *arch = regs->map->arch;
	bool all = s->options->registers == GC_REGISTERS_ALL;
	json_t *registers;

	if (s->options->registers == GC_REGISTERS_NONE)
		return;
	registers = gc_doc_object(&s->d);
	for (size_t row = 0; row < arch->nregs; row++)
		if (regs->map->size[row] && regs->valid[row] &&
		    (is_general(regs->map, row) || (all && !is_upper_part(arch, row))))
			add_row(s, registers, regs, row);
	for (size_t i = 0; all && i < arch->nwholes; i++)
		if (is_known(regs, &arch->wholes[i]))
			add_whole(s, registers, regs, &arch->wholes[i]);
	gc_doc_set(&s->d, object, "registers", registers);
}
