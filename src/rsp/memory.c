#include <inttypes.h>
#include <string.h>

#include "rsp/commands.h"

static const uint8_t zeros[4096];

/** Bytes at @addr that lie together, at most @len. 0: nothing is served there. */
static size_t peek(const struct gc_rsp *rsp, uint64_t addr, uint64_t len, const uint8_t **out)
{
	uint64_t n = gc_space_peek(&rsp->target->process->space, addr, out);

	if (n > len)
		n = len;
	if (n && !*out) {
		*out = zeros;
		n = n < sizeof(zeros) ? n : sizeof(zeros);
	}
	return (size_t)n;
}

static enum gc_code absent(uint64_t addr, struct gc_error *err)
{
	return gc_fail(err, GC_E_FAULT, "0x%" PRIx64 " is not in the core", addr);
}

/** m: what is there from the first byte on, up to the first hole. Delve does not look how much it got. */
enum gc_code gc_read_hex(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			 struct gc_error *err)
{
	uint64_t addr, len, got = 0;
	const uint8_t *bytes;

	if (!gc_args_range(args, &addr, &len))
		return gc_bad_packet(err);
	if (len > GC_PACKET_SIZE / 2)
		len = GC_PACKET_SIZE / 2;
	while (got < len) {
		size_t n = peek(rsp, addr + got, len - got, &bytes);

		if (n == 0)
			break;
		gc_packet_add_hex(reply->out, bytes, n);
		got += n;
	}
	if (got < len && rsp->client == GC_CLIENT_DELVE)
		return absent(addr + got, err);
	return got || !len ? GC_OK : absent(addr, err);
}

/**
 * x. gdb's form, which lldb 21 takes too when it is offered, has a b in front
 * ("Packets", binary-upload). lldb before that has none, and finds out by x0,0
 * whether there is such a packet; nobody else sends this.
 */
enum gc_code gc_read_binary(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	struct gc_buf *out = reply->out;
	uint64_t addr, len, got = 0;
	size_t start;

	if (!gc_args_range(args, &addr, &len))
		return gc_bad_packet(err);
	if (rsp->client == GC_CLIENT_LLDB && addr == 0 && len == 0) {
		rsp->bare_x = true;
		gc_buf_str(out, "OK");
		return GC_OK;
	}
	if (!rsp->bare_x)
		gc_buf_char(out, 'b');
	start = out->len;
	while (got < len) {
		const uint8_t *bytes = NULL;
		size_t n = peek(rsp, addr + got, len - got, &bytes);
		size_t taken = gc_packet_add_binary(out, bytes, n, GC_PACKET_SIZE - (out->len - start));

		got += taken;
		if (taken < n || n == 0)
			break;
	}
	return got || !len ? GC_OK : absent(addr, err);
}

/** gdb probes with an empty X first; an error keeps it to M, and that fails the same way. */
enum gc_code gc_write_memory(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)reply;
	return gc_fail(err, GC_E_UNSUPPORTED, "this is a core file, its memory cannot be changed");
}

/** qSearch:memory:ADDR;LENGTH;PATTERN */
enum gc_code gc_search_memory(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	uint64_t addr, len, found;
	enum gc_code code;

	if (!gc_args_hex(args, &addr) || !gc_args_char(args, ';') || !gc_args_hex(args, &len) ||
	    !gc_args_char(args, ';') || gc_args_end(args))
		return gc_bad_packet(err);
	code = gc_process_search(rsp->target->process, addr, len, args->pos, gc_args_left(args), &found, err);
	if (code == GC_OK)
		gc_buf_printf(reply->out, "1,%" PRIx64, found);
	else if (code == GC_E_NOT_FOUND)
		gc_buf_char(reply->out, '0');
	else
		return code;
	return GC_OK;
}

/** Is every byte served? Looks at ranges, not at bytes. */
static bool all_served(const struct gc_rsp *rsp, uint64_t addr, uint64_t len)
{
	while (len) {
		const uint8_t *bytes;
		uint64_t n = gc_space_peek(&rsp->target->process->space, addr, &bytes);

		if (n == 0)
			return false;
		if (n >= len)
			return true;
		addr += n;
		len -= n;
	}
	return true;
}

/* gdb's xcrc32 (libiberty/crc32.c): polynomial 0x04c11db7, the highest bit first, no final inversion. */
static void crc_table(uint32_t table[256])
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i << 24;

		for (int bit = 0; bit < 8; bit++)
			c = c & 0x80000000 ? c << 1 ^ 0x04c11db7 : c << 1;
		table[i] = c;
	}
}

/** qCRC:ADDR,LENGTH */
enum gc_code gc_memory_crc(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			   struct gc_error *err)
{
	uint32_t table[256], crc = 0xffffffff;
	uint64_t addr, len;

	if (!gc_args_range(args, &addr, &len))
		return gc_bad_packet(err);
	if (!all_served(rsp, addr, len))
		return absent(addr, err);
	crc_table(table);
	while (len) {
		const uint8_t *bytes;
		size_t n = peek(rsp, addr, len, &bytes);

		for (size_t i = 0; i < n; i++)
			crc = crc << 8 ^ table[(crc >> 24 ^ bytes[i]) & 0xff];
		addr += n;
		len -= n;
	}
	gc_buf_printf(reply->out, "C%" PRIx32, crc);
	return GC_OK;
}

/** qMemTags:ADDR,LENGTH:TYPE */
enum gc_code gc_memory_tags(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	const struct gc_process *p = rsp->target->process;
	uint64_t granule = p->core.arch->tag_granule;
	struct gc_args range = gc_args_until(args, ':');
	struct gc_buf tags = GC_BUF_INIT;
	uint64_t addr, len, type;
	enum gc_code code;

	if (!gc_args_range(&range, &addr, &len) || !gc_args_hex(args, &type) || !gc_args_end(args))
		return gc_bad_packet(err);
	if (type != 1) /* allocation tags; gdb takes logical ones from the pointer itself */
		return gc_fail(err, GC_E_UNSUPPORTED, "tags of type %" PRIu64, type);
	if (len / granule > GC_PACKET_SIZE / 2 - 2)
		return gc_fail(err, GC_E_LIMIT, "more tags than a packet holds");
	code = gc_process_tags(p, addr, len, &tags, err);
	if (code == GC_OK && tags.failed)
		code = gc_fail_memory(err);
	if (code == GC_OK) {
		gc_buf_char(reply->out, 'm');
		gc_packet_add_hex(reply->out, tags.data, tags.len);
	}
	gc_buf_deinit(&tags);
	return code;
}

/** qIsAddressTagged:ADDR */
enum gc_code gc_address_tagged(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	uint64_t addr;

	if (!gc_args_hex(args, &addr) || !gc_args_end(args))
		return gc_bad_packet(err);
	gc_buf_str(reply->out, gc_process_is_tagged(rsp->target->process, addr) ? "01" : "00");
	return GC_OK;
}
