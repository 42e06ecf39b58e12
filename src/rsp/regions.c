/* qMemoryRegionInfo (docs/resources/lldbgdbremote.md of LLVM 21): the mapping, or the hole, at an address. */
#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "rsp/commands.h"

static void add_bounds(struct gc_buf *out, uint64_t start, uint64_t end)
{
	gc_buf_printf(out, "start:%" PRIx64 ";size:%" PRIx64 ";", start, end - start);
}

/** Not mapped: without permissions. The last one ends where lldb's numbers do. */
static void add_hole(const struct gc_space *space, size_t next, struct gc_buf *out)
{
	add_bounds(out, next ? space->ranges[next - 1].end : 0,
		   next < space->count ? space->ranges[next].start : UINT64_MAX);
}

static void add_name(const struct gc_range *r, struct gc_buf *out)
{
	const char *name = r->file ? r->file->path : r->label;

	if (!name)
		return;
	gc_buf_str(out, "name:");
	gc_packet_add_hex(out, name, strlen(name));
	gc_buf_char(out, ';');
}

static void add_mapping(const struct gc_process *p, size_t at, struct gc_buf *out)
{
	const struct gc_space *space = &p->space;
	const struct gc_range *r;
	size_t first = at;

	while (first && !space->ranges[first].starts_mapping)
		first--;
	r = &space->ranges[first];
	add_bounds(out, r->start, space->ranges[gc_space_mapping_end(space, first) - 1].end);
	gc_buf_printf(out, "permissions:%s%s%s;", r->flags & PF_R ? "r" : "", r->flags & PF_W ? "w" : "",
		      r->flags & PF_X ? "x" : "");
	if (gc_process_is_tagged(p, r->start))
		gc_buf_str(out, "flags:mt;");
	add_name(r, out);
}

enum gc_code gc_memory_region(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	const struct gc_process *p = rsp->target->process;
	uint64_t addr;
	size_t at;

	if (!gc_args_hex(args, &addr) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (p->core.arch->clean_data)
		addr = p->core.arch->clean_data(addr);
	at = gc_space_index(&p->space, addr);
	if (at < p->space.count && p->space.ranges[at].start <= addr)
		add_mapping(p, at, reply->out);
	else
		add_hole(&p->space, at, reply->out);
	return GC_OK;
}
