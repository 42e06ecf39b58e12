/*
 * A server on a core made in memory, for the transcripts and for what needs a
 * core of an odd shape (thousands of threads, all bytes special):
 *
 *	rsp_driver [-a ARCH] [-t THREADS] [-r MIB] [-o] [-v] LISTEN
 *
 * What is in it:
 *
 *	0x400000  4096 bytes dumped, 8192 not: an ELF header's program headers
 *	0x500000  dynamic section, r_debug, link maps of the program and two libraries
 *	0x600000  128 KiB of # $ } *, all of which need an escape
 *	0x700000  two segments of 4096 bytes side by side: byte i is i * 7
 *	0x10000000 with -r: so many MiB of random bytes
 *
 * The process is 4711 with the threads 4711 (SIGBUS), 4712, 4713...; the
 * aarch64 one has memory tags at 0x700000.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gocore/bytes.h"
#include "gocore/log.h"
#include "gocore/rsp.h"
#include "unit/core_builder.h"

#define PID     4711
#define TEXT    0x400000
#define DATA    0x500000
#define SPECIAL 0x600000
#define PLAIN   0x700000
#define RANDOM  0x10000000

struct arguments {
	uint16_t machine;
	unsigned threads, random_mib;
	const char *listen;
	bool once;
};

/** Program headers as the process had them: one PT_DYNAMIC. */
static void add_text(struct core_builder *b)
{
	uint8_t text[4096] = { 0 };
	uint8_t *phdr = text + 64, *dynamic = text + 64 + 56;

	gc_store_le32(phdr, PT_PHDR);
	gc_store_le32(phdr + 4, PF_R);
	gc_store_le64(phdr + 8, 64);
	gc_store_le64(phdr + 16, TEXT + 64);
	gc_store_le64(phdr + 32, 112);
	gc_store_le64(phdr + 40, 112);
	gc_store_le32(dynamic, PT_DYNAMIC);
	gc_store_le32(dynamic + 4, PF_R | PF_W);
	gc_store_le64(dynamic + 16, DATA);
	gc_store_le64(dynamic + 32, 64);
	gc_store_le64(dynamic + 40, 64);
	builder_load(b, TEXT, 0x3000, text, sizeof(text), PF_R | PF_X);
}

/** A struct link_map at DATA + @at. */
static void put_link(uint8_t *data, size_t at, uint64_t l_addr, const char *name, uint64_t next, uint64_t prev)
{
	strcpy((char *)data + at + 64, name);
	gc_store_le64(data + at, l_addr);
	gc_store_le64(data + at + 8, DATA + at + 64);
	gc_store_le64(data + at + 16, l_addr ? l_addr + 0xe00 : DATA);
	gc_store_le64(data + at + 24, next);
	gc_store_le64(data + at + 32, prev);
}

static void add_data(struct core_builder *b)
{
	uint8_t data[4096] = { 0 };

	gc_store_le64(data, DT_DEBUG);
	gc_store_le64(data + 8, DATA + 0x100);
	gc_store_le32(data + 0x100, 1);            /* r_version */
	gc_store_le64(data + 0x108, DATA + 0x200); /* r_map */
	put_link(data, 0x200, 0, "", DATA + 0x300, 0);
	put_link(data, 0x300, 0x7f0000000000, "/lib/libc.so.6", DATA + 0x400, DATA + 0x200);
	put_link(data, 0x400, 0x7f0000100000, "/opt/a&b/lib<1>.so", 0, DATA + 0x300);
	builder_load(b, DATA, sizeof(data), data, sizeof(data), PF_R | PF_W);
}

static void add_memory(struct core_builder *b, unsigned random_mib)
{
	static uint8_t special[0x20000];
	size_t size = (size_t)random_mib << 20;
	uint8_t plain[0x2000], *random;

	for (size_t i = 0; i < sizeof(special); i++)
		special[i] = (uint8_t)"#$}*"[i % 4];
	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)(i * 7);
	builder_load(b, SPECIAL, sizeof(special), special, sizeof(special), PF_R | PF_W);
	builder_load(b, PLAIN, 0x1000, plain, 0x1000, PF_R | PF_W);
	builder_load(b, PLAIN + 0x1000, 0x1000, plain + 0x1000, 0x1000, PF_R | PF_W);
	if (!size)
		return;
	random = malloc(size);
	if (!random)
		abort();
	srand48(1);
	for (size_t i = 0; i < size; i++)
		random[i] = (uint8_t)(lrand48() >> 8);
	builder_load(b, RANDOM, size, random, size, PF_R | PF_W);
	free(random);
}

static void add_tags(struct core_builder *b)
{
	uint8_t tags[128];

	for (size_t i = 0; i < sizeof(tags); i++)
		tags[i] = (uint8_t)(i % 16 | (15 - i % 16) << 4);
	builder_segment(b, 0x70000002, PLAIN, 0x1000, tags, sizeof(tags), 0); /* PT_AARCH64_MEMTAG_MTE */
}

static void add_threads(struct core_builder *b, unsigned threads)
{
	const size_t nregs = b->machine == EM_X86_64 ? 27 : 34; /* of pr_reg */
	static const uint64_t auxv[] = { AT_PAGESZ, 4096, AT_PHDR, TEXT + 64, AT_PHENT, 56, AT_PHNUM, 2 };
	uint64_t regs[34];

	for (unsigned i = 0; i < threads; i++) {
		for (size_t j = 0; j < nregs; j++)
			regs[j] = 0x10000 * (uint64_t)i + 0x101 * j;
		builder_prstatus(b, PID + (int32_t)i, 7, regs, nregs * sizeof(*regs));
		if (i)
			continue;
		builder_prpsinfo(b, PID, "made", "made up");
		builder_siginfo(b, 7, 2, 0xdead0000);
		builder_auxv(b, auxv, GC_COUNT(auxv) / 2);
	}
}

static void build(struct core_builder *b, const struct arguments *args)
{
	builder_init(b, args->machine);
	add_threads(b, args->threads);
	add_text(b);
	add_data(b);
	add_memory(b, args->random_mib);
	if (args->machine == EM_AARCH64)
		add_tags(b);
	builder_finish(b);
}

static enum gc_code monitor_hello(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err)
{
	(void)t;
	(void)err;
	gc_buf_printf(out, "hello, %s\n", *args ? args : "world");
	return GC_OK;
}

static enum gc_code monitor_long(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err)
{
	(void)t;
	(void)args;
	(void)err;
	for (unsigned i = 0; i < 300; i++)
		gc_buf_printf(out, "line %u\n", i);
	return GC_OK;
}

static enum gc_code monitor_fail(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err)
{
	(void)t;
	(void)args;
	(void)out;
	return gc_fail(err, GC_E_NOT_FOUND, "there is nothing");
}

static const struct gc_monitor monitors[] = {
	{ "hello", "[NAME]", "greet", monitor_hello },
	{ "long", NULL, "300 lines", monitor_long },
	{ "fail", NULL, "fail", monitor_fail },
};

static void on_ready(void *data, const char *address, bool loopback, bool last)
{
	(void)data;
	(void)last;
	fprintf(stderr, "listening on %s%s\n", address, loopback ? "" : " (not loopback)");
}

static int serve(const struct gc_process *process, const struct arguments *args)
{
	const struct gc_rsp_options options = { monitors, GC_COUNT(monitors), gc_log_is_verbose() };
	const struct gc_listen where = { .address = args->listen, .once = args->once, .ready = on_ready };
	struct gc_target *target = NULL;
	struct gc_error err;
	enum gc_code code;

	code = gc_core_target_new(&target, process, &err);
	if (code == GC_OK)
		code = gc_rsp_serve(target, &options, &where, &err);
	if (code != GC_OK)
		fprintf(stderr, "rsp_driver: %s\n", err.text);
	gc_target_free(target);
	return code == GC_OK ? 0 : 1;
}

static bool parse(int argc, char **argv, struct arguments *out)
{
	int c;

	*out = (struct arguments){ .machine = EM_X86_64, .threads = 3 };
	while ((c = getopt(argc, argv, "a:t:r:ov")) != -1) {
		switch (c) {
		case 'a': out->machine = strcmp(optarg, "aarch64") == 0 ? EM_AARCH64 : EM_X86_64; break;
		case 't': out->threads = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': out->random_mib = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'o': out->once = true; break;
		case 'v': gc_log_verbose(true); break;
		default: return false;
		}
	}
	out->listen = argv[optind];
	return out->listen != NULL;
}

int main(int argc, char **argv)
{
	const struct gc_find_options find = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_process process;
	struct core_builder b;
	struct arguments args;
	struct gc_input in;
	struct gc_error err;
	int status;

	if (!parse(argc, argv, &args)) {
		fprintf(stderr, "usage: rsp_driver [-a ARCH] [-t THREADS] [-r MIB] [-o] [-v] LISTEN\n");
		return 2;
	}
	build(&b, &args);
	input_of_bytes(&in, b.out.data, b.out.len);
	builder_deinit(&b);
	if (gc_process_open(&process, &in, &find, &err) != GC_OK) {
		fprintf(stderr, "rsp_driver: %s\n", err.text);
		return 1;
	}
	status = serve(&process, &args);
	gc_process_close(&process);
	return status;
}
