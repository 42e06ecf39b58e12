#include "core_builder.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gocore/bytes.h"

#define EHDR_SIZE 64
#define PHDR_SIZE 56
#define SHDR_SIZE 64

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "core_builder: %s failed\n", what);
	abort();
}

void builder_init(struct core_builder *b, uint16_t machine)
{
	*b = (struct core_builder){
		.machine = machine,
		.type = ET_CORE,
		.phentsize = PHDR_SIZE,
		.load_align = 1,
		.note_segment = SIZE_MAX,
	};
}

void builder_deinit(struct core_builder *b)
{
	for (size_t i = 0; i < b->nsegments; i++)
		gc_buf_deinit(&b->segments[i].bytes);
	free(b->segments);
	gc_buf_deinit(&b->out);
}

static void add_zeros(struct gc_buf *buf, size_t len)
{
	char *to = gc_buf_reserve(buf, len);

	check(to != NULL, "malloc");
	memset(to, 0, len);
	buf->len += len;
}

static void add_u32(struct gc_buf *buf, uint32_t value)
{
	uint8_t bytes[4];

	gc_store_le32(bytes, value);
	gc_buf_add(buf, bytes, sizeof(bytes));
}

static void add_u64(struct gc_buf *buf, uint64_t value)
{
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_buf_add(buf, bytes, sizeof(bytes));
}

static void pad(struct gc_buf *buf, uint64_t align)
{
	if (align > 1 && buf->len % align)
		add_zeros(buf, align - buf->len % align);
}

struct builder_segment *builder_segment(struct core_builder *b, uint32_t type, uint64_t addr, uint64_t memsz,
					const void *bytes, uint64_t filesz, uint32_t flags)
{
	struct builder_segment *s = b->segments;

	if ((b->nsegments & (b->nsegments - 1)) == 0) { /* full: the storage doubles at powers of two */
		s = realloc(s, (b->nsegments ? b->nsegments * 2 : 1) * sizeof(*s));
		check(s != NULL, "malloc");
		b->segments = s;
	}
	s += b->nsegments++;
	*s = (struct builder_segment){
		.type = type, .flags = flags, .addr = addr, .memsz = memsz, .filesz = filesz, .align = 1,
	};
	if (bytes)
		gc_buf_add(&s->bytes, bytes, filesz);
	return s;
}

struct builder_segment *builder_load(struct core_builder *b, uint64_t addr, uint64_t memsz, const void *bytes,
				     uint64_t filesz, uint32_t flags)
{
	return builder_segment(b, PT_LOAD, addr, memsz, bytes, filesz, flags);
}

void builder_note_segment(struct core_builder *b, uint64_t align)
{
	builder_segment(b, PT_NOTE, 0, 0, NULL, 0, 0)->align = align;
	b->note_segment = b->nsegments - 1;
}

void builder_note_named(struct core_builder *b, const char *owner, uint32_t namesz, uint32_t type,
			const void *desc, size_t len)
{
	struct builder_segment *s;
	struct gc_buf *buf;
	uint64_t align;

	if (b->note_segment == SIZE_MAX)
		builder_note_segment(b, 4);
	s = &b->segments[b->note_segment];
	buf = &s->bytes;
	align = s->align == 8 ? 8 : 4; /* 0 and 1 mean 4 to everybody */
	add_u32(buf, namesz);
	add_u32(buf, (uint32_t)len);
	add_u32(buf, type);
	gc_buf_add(buf, owner, namesz);
	pad(buf, align);
	gc_buf_add(buf, desc, len);
	pad(buf, align);
	s->filesz = buf->len;
}

void builder_note(struct core_builder *b, const char *owner, uint32_t type, const void *desc, size_t len)
{
	builder_note_named(b, owner, *owner ? (uint32_t)strlen(owner) + 1 : 0, type, desc, len);
}

void builder_prstatus(struct core_builder *b, int32_t tid, uint16_t sig, const void *regs, size_t regs_len)
{
	uint32_t size = b->machine == EM_AARCH64 ? 392 : 336;
	uint8_t desc[392] = { 0 };

	check(regs_len <= size - 112 - 8, "length of pr_reg");
	gc_store_le32(desc, sig);
	gc_store_le16(desc + 12, sig);
	gc_store_le32(desc + 32, (uint32_t)tid);
	gc_store_le32(desc + 36, 1);
	gc_store_le32(desc + 40, (uint32_t)tid);
	gc_store_le32(desc + 44, (uint32_t)tid);
	if (regs_len)
		memcpy(desc + 112, regs, regs_len);
	builder_note(b, "CORE", NT_PRSTATUS, desc, size);
}

void builder_prpsinfo(struct core_builder *b, int32_t pid, const char *fname, const char *args)
{
	uint8_t desc[136] = { 0 };

	desc[1] = 'R';
	gc_store_le32(desc + 16, 1000);
	gc_store_le32(desc + 20, 100);
	gc_store_le32(desc + 24, (uint32_t)pid);
	gc_store_le32(desc + 28, 1);
	memcpy(desc + 40, fname, strnlen(fname, 16));
	memcpy(desc + 56, args, strnlen(args, 80));
	builder_note(b, "CORE", NT_PRPSINFO, desc, sizeof(desc));
}

void builder_siginfo(struct core_builder *b, int32_t signo, int32_t code, uint64_t addr)
{
	uint8_t desc[128] = { 0 };

	gc_store_le32(desc, (uint32_t)signo);
	gc_store_le32(desc + 8, (uint32_t)code);
	gc_store_le64(desc + 16, addr);
	builder_note(b, "CORE", NT_SIGINFO, desc, sizeof(desc));
}

void builder_auxv(struct core_builder *b, const uint64_t *pairs, size_t npairs)
{
	struct gc_buf desc = GC_BUF_INIT;

	for (size_t i = 0; i < 2 * npairs; i++)
		add_u64(&desc, pairs[i]);
	add_zeros(&desc, 16);
	builder_note(b, "CORE", NT_AUXV, desc.data, desc.len);
	gc_buf_deinit(&desc);
}

void builder_files(struct core_builder *b, uint64_t page_size, const struct builder_file *files, size_t n)
{
	struct gc_buf desc = GC_BUF_INIT;

	add_u64(&desc, n);
	add_u64(&desc, page_size);
	for (size_t i = 0; i < n; i++) {
		add_u64(&desc, files[i].start);
		add_u64(&desc, files[i].end);
		add_u64(&desc, files[i].page_offset);
	}
	for (size_t i = 0; i < n; i++)
		gc_buf_add(&desc, files[i].path, strlen(files[i].path) + 1);
	builder_note(b, "CORE", NT_FILE, desc.data, desc.len);
	gc_buf_deinit(&desc);
}

static void store_ehdr(struct core_builder *b)
{
	uint8_t *e = (uint8_t *)b->out.data;
	bool sections = b->xnum;

	memcpy(e, ELFMAG, SELFMAG);
	e[EI_CLASS] = ELFCLASS64;
	e[EI_DATA] = ELFDATA2LSB;
	e[EI_VERSION] = EV_CURRENT;
	gc_store_le16(e + 16, b->type);
	gc_store_le16(e + 18, b->machine);
	gc_store_le32(e + 20, EV_CURRENT);
	gc_store_le64(e + 32, b->phoff);
	gc_store_le64(e + 40, sections ? EHDR_SIZE : 0);
	gc_store_le16(e + 52, EHDR_SIZE);
	gc_store_le16(e + 54, b->phentsize);
	gc_store_le16(e + 56, b->xnum ? PN_XNUM : (uint16_t)b->nsegments);
	gc_store_le16(e + 58, sections ? SHDR_SIZE : 0);
	gc_store_le16(e + 60, sections ? 1 : 0);
	if (sections)
		gc_store_le32(e + EHDR_SIZE + 44, (uint32_t)b->nsegments); /* sh_info */
}

static void store_phdrs(struct core_builder *b)
{
	for (size_t i = 0; i < b->nsegments; i++) {
		const struct builder_segment *s = &b->segments[i];
		uint8_t *p = (uint8_t *)b->out.data + b->phoff + i * b->phentsize;

		gc_store_le32(p, s->type);
		gc_store_le32(p + 4, s->flags);
		gc_store_le64(p + 8, s->offset);
		gc_store_le64(p + 16, s->addr);
		gc_store_le64(p + 32, s->filesz);
		gc_store_le64(p + 40, s->memsz);
		gc_store_le64(p + 48, s->align);
	}
}

static void add_segment_bytes(struct core_builder *b, struct builder_segment *s)
{
	if (s->fixed_offset)
		return;
	pad(&b->out, s->type == PT_NOTE ? s->align : b->load_align);
	s->offset = b->out.len;
	gc_buf_add(&b->out, s->bytes.data, s->bytes.len);
	if (s->filesz > s->bytes.len)
		add_zeros(&b->out, s->filesz - s->bytes.len);
}

void builder_finish(struct core_builder *b)
{
	gc_buf_clear(&b->out);
	add_zeros(&b->out, EHDR_SIZE + (b->xnum ? SHDR_SIZE : 0));
	if (!b->phdrs_at_end) {
		b->phoff = b->out.len;
		add_zeros(&b->out, b->nsegments * b->phentsize);
	}
	/* Notes first, as the kernel, gdb and qemu have them. */
	for (size_t i = 0; i < b->nsegments; i++)
		if (b->segments[i].type == PT_NOTE)
			add_segment_bytes(b, &b->segments[i]);
	for (size_t i = 0; i < b->nsegments; i++)
		if (b->segments[i].type != PT_NOTE)
			add_segment_bytes(b, &b->segments[i]);
	if (b->phdrs_at_end) {
		b->phoff = b->out.len;
		add_zeros(&b->out, b->nsegments * b->phentsize);
	}
	check(!b->out.failed, "malloc");
	store_ehdr(b);
	store_phdrs(b);
}

enum gc_code builder_open_core(struct core_builder *b, struct gc_core *core, struct gc_error *err)
{
	builder_finish(b);
	return core_of_bytes(core, b->out.data, b->out.len, err);
}

void input_of_bytes(struct gc_input *in, const void *bytes, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	struct gc_error err;
	char path[64];

	check(fd >= 0, "memfd_create");
	check(write(fd, bytes, len) == (ssize_t)len, "write");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (gc_input_open(in, path, NULL, NULL, &err) != GC_OK) {
		fprintf(stderr, "core_builder: %s\n", err.text);
		abort();
	}
	close(fd);
}

enum gc_code core_of_bytes(struct gc_core *core, const void *bytes, size_t len, struct gc_error *err)
{
	struct gc_input in;

	if (len == 0) { /* gc_input_open has already refused it; gc_core_open must too */
		in = (struct gc_input){ .path = strdup("empty"), .fd = -1 };
		return gc_core_open(core, &in, err);
	}
	input_of_bytes(&in, bytes, len);
	return gc_core_open(core, &in, err);
}

bool has_problem(const struct gc_problems *p, const char *text)
{
	for (size_t i = 0; i < p->count; i++)
		if (strstr(p->list[i].where, text) || strstr(p->list[i].what, text))
			return true;
	return false;
}
