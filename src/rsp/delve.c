/*
 * What Delve wants otherwise than gdb and lldb (pkg/proc/gdbserial of Delve
 * 1.20 to 1.27). It finds goroutines by itself, so that its threads are the
 * OS threads; it numbers registers as qRegisterInfo lists them; and a short
 * answer to m would shift what it reads.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "rsp/commands.h"

/* Delve's widest: zmm0. */
#define MAX_SIZE 64

void gc_rsp_is_delve(struct gc_rsp *rsp)
{
	const struct gc_tids *tids;

	rsp->client = GC_CLIENT_DELVE;
	if (rsp->target->os_threads)
		rsp->target = rsp->target->os_threads;
	tids = rsp->target->ops->threads(rsp->target);
	if (tids->count)
		rsp->thread = tids->list[0];
	rsp->have_regs = false;
}

/** The widest register that @row starts and whose parts are all there, or NULL. */
static const struct gc_reg_whole *whole_of(const struct gc_regmap *map, int row)
{
	const struct gc_reg_whole *found = NULL;

	for (size_t i = 0; i < map->arch->nwholes; i++) {
		const struct gc_reg_whole *whole = &map->arch->wholes[i];
		bool complete = whole->parts[0] == row;

		for (size_t j = 0; complete && j < whole->nparts; j++)
			complete = map->size[whole->parts[j]] != 0;
		if (complete)
			found = whole;
	}
	return found;
}

/** Is it the upper part of a register that is shown whole? */
static bool is_upper_part(const struct gc_regmap *map, int row)
{
	for (size_t i = 0; i < map->arch->nwholes; i++) {
		const struct gc_reg_whole *whole = &map->arch->wholes[i];

		for (size_t j = 1; j < whole->nparts; j++)
			if (whole->parts[j] == row)
				return true;
	}
	return false;
}

/**
 * Where a call leaves its return address in a register, Delve wants that
 * register and the frame pointer by their roles (pkg/dwarf/regnum/arm64.go);
 * and of a scalable vector its first 128 bits, by the name of those.
 */
static void name_register(const struct gc_arch *arch, int row, struct gc_delve_register *out)
{
	const struct gc_reg *reg = &arch->regs[row];

	if (arch->ret >= 0 && row == arch->fp)
		snprintf(out->name, sizeof(out->name), "fp");
	else if (arch->ret >= 0 && row == arch->ret)
		snprintf(out->name, sizeof(out->name), "lr");
	else
		snprintf(out->name, sizeof(out->name), "%s%s", reg->scale == GC_SCALE_VL ? "v" : "",
			 reg->name + (reg->scale == GC_SCALE_VL));
}

/** @return false for a register that Delve has no place for */
static bool describe_register(const struct gc_regmap *map, int row, struct gc_delve_register *out)
{
	const struct gc_reg_whole *whole = whole_of(map, row);

	if (!map->size[row] || (is_upper_part(map, row) && !whole))
		return false;
	*out = (struct gc_delve_register){ .nparts = 1, .parts = { (int16_t)row }, .size = map->size[row] };
	name_register(map->arch, row, out);
	if (map->arch->regs[row].scale == GC_SCALE_VL)
		out->size = 16;
	if (whole) {
		snprintf(out->name, sizeof(out->name), "%s", whole->name);
		out->nparts = whole->nparts;
		memcpy(out->parts, whole->parts, sizeof(out->parts));
		out->size = 0;
		for (size_t i = 0; i < whole->nparts; i++)
			out->size += map->size[whole->parts[i]];
	}
	return out->size <= MAX_SIZE;
}

static void list_registers(struct gc_rsp *rsp)
{
	const struct gc_regmap *map = &rsp->target->process->regmap;
	uint32_t offset = 0;

	for (size_t row = 0; row < map->arch->nregs; row++) {
		struct gc_delve_register *reg = &rsp->delve[rsp->ndelve];

		if (!describe_register(map, (int)row, reg))
			continue;
		reg->offset = offset;
		offset += reg->size;
		rsp->ndelve++;
	}
}

static const struct gc_delve_register *registers(struct gc_rsp *rsp, size_t *count)
{
	if (!rsp->ndelve)
		list_registers(rsp);
	*count = rsp->ndelve;
	return rsp->delve;
}

/** qRegisterInfoNUMBER: an error ends the list. */
enum gc_code gc_register_info(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply, struct gc_error *err)
{
	const struct gc_delve_register *regs;
	uint64_t number;
	size_t count;

	if (!gc_args_hex(args, &number) || !gc_args_end(args))
		return gc_bad_packet(err);
	regs = registers(rsp, &count);
	if (number >= count)
		return gc_fail(err, GC_E_NOT_FOUND, "no such register");
	gc_buf_printf(reply->out, "name:%s;bitsize:%" PRIu32 ";offset:%" PRIu32 ";encoding:%s;format:%s;"
		      "set:%s Registers;", regs[number].name, 8 * regs[number].size, regs[number].offset,
		      regs[number].size > 8 ? "vector" : "uint", regs[number].size > 8 ? "vector-uint8" : "hex",
		      regs[number].size > 8 ? "Floating Point" : "General Purpose");
	return GC_OK;
}

/** The bytes of one register, lowest part first. What is unknown is x, which Delve reads as zero. */
static void add_register(struct gc_buf *out, const struct gc_regs *regs, const struct gc_delve_register *reg)
{
	size_t start = out->len;

	for (size_t i = 0; i < reg->nparts; i++)
		gc_rsp_add_register(out, regs, (size_t)reg->parts[i]);
	if (!out->failed && out->len > start + 2 * (size_t)reg->size)
		out->len = start + 2 * (size_t)reg->size;
}

enum gc_code gc_delve_read_registers(struct gc_rsp *rsp, const struct gc_regs *regs, struct gc_reply *reply)
{
	size_t count;
	const struct gc_delve_register *list = registers(rsp, &count);

	for (size_t i = 0; i < count; i++)
		add_register(reply->out, regs, &list[i]);
	return GC_OK;
}

enum gc_code gc_delve_read_register(struct gc_rsp *rsp, const struct gc_regs *regs, uint64_t number,
				    struct gc_reply *reply, struct gc_error *err)
{
	size_t count;
	const struct gc_delve_register *list = registers(rsp, &count);

	if (number >= count)
		return gc_fail(err, GC_E_NOT_FOUND, "no such register");
	add_register(reply->out, regs, &list[number]);
	return GC_OK;
}
