#include <limits.h>
#include <string.h>

#include "rsp/commands.h"

enum gc_code gc_rsp_regs(struct gc_rsp *rsp, gc_tid tid, const struct gc_regs **out, struct gc_error *err)
{
	struct gc_target *t = rsp->target;
	struct gc_regs regs;
	enum gc_code code;

	*out = &rsp->regs;
	if (rsp->have_regs && rsp->regs_thread == tid)
		return GC_OK;
	code = t->ops->read_regs(t, tid, &regs, err);
	if (code != GC_OK)
		return code;
	gc_regs_deinit(&rsp->regs);
	rsp->regs = regs;
	rsp->have_regs = true;
	rsp->regs_thread = tid;
	return GC_OK;
}

void gc_rsp_add_register(struct gc_buf *out, const struct gc_regs *regs, size_t row)
{
	const struct gc_regmap *map = regs->map;
	char *to;

	if (regs->valid[row]) {
		gc_packet_add_hex(out, regs->bytes + map->offset[row], map->size[row]);
		return;
	}
	to = gc_buf_reserve(out, 2 * (size_t)map->size[row]);
	if (!to)
		return;
	memset(to, 'x', 2 * (size_t)map->size[row]);
	out->len += 2 * (size_t)map->size[row];
	out->data[out->len] = '\0';
}

size_t gc_rsp_expedited(const struct gc_regs *regs, size_t rows[GC_MAX_EXPEDITED])
{
	const struct gc_arch *arch = regs->map->arch;
	const int16_t wanted[GC_MAX_EXPEDITED] = {
		arch->pc, arch->sp, arch->fp, arch->ret, arch->width ? arch->width : -1,
	};
	size_t n = 0;

	for (size_t i = 0; i < GC_COUNT(wanted); i++)
		if (wanted[i] >= 0 && regs->valid[wanted[i]] && regs->map->size[wanted[i]])
			rows[n++] = (size_t)wanted[i];
	return n;
}

enum gc_code gc_read_registers(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	const struct gc_regs *regs;
	gc_tid tid;

	if (!gc_rsp_suffix(rsp, args, &tid))
		return gc_bad_packet(err);
	if (gc_rsp_regs(rsp, tid, &regs, err) != GC_OK)
		return err->code;
	if (rsp->client == GC_CLIENT_DELVE)
		return gc_delve_read_registers(rsp, regs, reply);
	for (size_t row = 0; row < regs->map->arch->nregs; row++)
		gc_rsp_add_register(reply->out, regs, row);
	return GC_OK;
}

enum gc_code gc_read_register(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	const struct gc_regs *regs;
	uint64_t number;
	gc_tid tid;
	int row;

	if (!gc_args_hex(args, &number) || !gc_rsp_suffix(rsp, args, &tid) || number > UINT_MAX)
		return gc_bad_packet(err);
	if (rsp->client == GC_CLIENT_DELVE) {
		if (gc_rsp_regs(rsp, tid, &regs, err) != GC_OK)
			return err->code;
		return gc_delve_read_register(rsp, regs, number, reply, err);
	}
	row = gc_regmap_row(&rsp->target->process->regmap, (unsigned)number);
	if (row < 0)
		return gc_fail(err, GC_E_NOT_FOUND, "no such register");
	if (gc_rsp_regs(rsp, tid, &regs, err) != GC_OK)
		return err->code;
	gc_rsp_add_register(reply->out, regs, (size_t)row);
	return GC_OK;
}

enum gc_code gc_write_registers(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
				struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)reply;
	return gc_fail(err, GC_E_UNSUPPORTED, "this is a core file, its registers cannot be changed");
}
