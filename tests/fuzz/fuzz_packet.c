/*
 * Any bytes as a client. The first byte tells how they come:
 *
 *	'f'  each line is a packet's content, and gets its frame here
 *	'r'  as they are
 *
 * The second byte picks the core, x86_64 or aarch64.
 */
#include "fuzz.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/rsp.h"
#include "unit/core_builder.h"

struct dump {
	struct core_builder builder;
	struct gc_process process;
	struct gc_target *target;
};

/** A core with two threads, a file, memory with a hole, and tags. */
static void build(struct core_builder *b, uint16_t machine)
{
	static const uint64_t auxv[] = { AT_PAGESZ, 4096, AT_ENTRY, 0x400100, AT_HWCAP2, 1 << 18 };
	static const struct builder_file file = { 0x400000, 0x402000, 0, "/bin/program" };
	const size_t pr_reg = (machine == EM_AARCH64 ? 34 : 27) * sizeof(uint64_t); /* linux/elfcore.h */
	uint8_t bytes[0x2000];
	uint64_t regs[34];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < GC_COUNT(regs); i++)
		regs[i] = 0x400000 + i;
	builder_init(b, machine);
	builder_prstatus(b, 4711, 11, regs, pr_reg);
	builder_prpsinfo(b, 4711, "program", "/bin/program -x");
	builder_siginfo(b, 11, 1, 0xdead0000);
	builder_auxv(b, auxv, GC_COUNT(auxv) / 2);
	builder_files(b, 4096, &file, 1);
	builder_prstatus(b, 4712, 0, regs, pr_reg);
	builder_load(b, 0x400000, 0x4000, bytes, sizeof(bytes), PF_R | PF_X);
	builder_load(b, 0x7f0000000000, 0x2000, bytes, sizeof(bytes), PF_R | PF_W);
	builder_segment(b, 0x70000002, 0x7f0000000000, 0x1000, bytes, 128, 0); /* PT_AARCH64_MEMTAG_MTE */
}

static void open_dump(struct dump *d, uint16_t machine)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_input in;
	struct gc_error err;

	build(&d->builder, machine);
	builder_finish(&d->builder);
	input_of_bytes(&in, d->builder.out.data, d->builder.out.len);
	if (gc_process_open(&d->process, &in, &options, &err) != GC_OK ||
	    gc_core_target_new(&d->target, &d->process, &err) != GC_OK) {
		fprintf(stderr, "fuzz_packet: %s\n", err.text);
		abort();
	}
}

/** Opened once, as in the server: sessions share what they cannot change. */
static struct gc_target *target_of(uint8_t choice)
{
	static struct dump dumps[2];
	struct dump *d = &dumps[choice & 1];

	if (!d->target)
		open_dump(d, choice & 1 ? EM_AARCH64 : EM_X86_64);
	return d->target;
}

static bool feed_framed(struct gc_rsp *rsp, const uint8_t *data, size_t size, struct gc_buf *out)
{
	struct gc_buf packet = GC_BUF_INIT;
	unsigned sum = 0;
	bool goes_on;

	gc_buf_char(&packet, '$');
	for (size_t i = 0; i < size; i++) {
		gc_buf_char(&packet, (char)data[i]);
		sum += data[i];
	}
	gc_buf_printf(&packet, "#%02x", sum & 0xff);
	goes_on = gc_rsp_feed(rsp, packet.data, packet.len, out);
	gc_buf_deinit(&packet);
	return goes_on;
}

static void feed_lines(struct gc_rsp *rsp, const uint8_t *data, size_t size, struct gc_buf *out)
{
	while (size) {
		const uint8_t *newline = memchr(data, '\n', size);
		size_t len = newline ? (size_t)(newline - data) : size;

		if (!feed_framed(rsp, data, len, out))
			return;
		gc_buf_clear(out);
		data += newline ? len + 1 : len;
		size -= newline ? len + 1 : len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct gc_rsp_options options = { 0 };
	struct gc_buf out = GC_BUF_INIT;
	struct gc_rsp *rsp;
	struct gc_error err;

	if (size < 2)
		return 0;
	if (gc_rsp_new(&rsp, target_of(data[1]), &options, &err) != GC_OK)
		return 0;
	if (data[0] == 'f')
		feed_lines(rsp, data + 2, size - 2, &out);
	else
		gc_rsp_feed(rsp, data + 2, size - 2, &out);
	gc_rsp_free(rsp);
	gc_buf_deinit(&out);
	return 0;
}
