#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_TEXTSECTS 4096
#define MAX_TABLE     ((uint64_t)4 << 30)
#define MD_HEADER_MAX 4096   /* largest plausible distance from pcHeader to the names */

/** Read the next chunk; zeros stand behind the end. @return bytes of it to go over; *@got is false for a hole */
static size_t next_chunk(const struct go_scan *scan, uint8_t *chunk, bool *got)
{
	uint64_t left = scan->end - scan->at;
	size_t step = left < GO_SCAN_CHUNK ? (size_t)left : GO_SCAN_CHUNK;
	size_t len = left < step + scan->ahead ? (size_t)left : step + scan->ahead;

	*got = go_read(&scan->mem, scan->at, chunk, len);
	if (!*got) { /* page by page */
		size_t page = 4096 - scan->at % 4096;

		step = step < page ? step : page;
		len = left < step + scan->ahead ? (size_t)left : step + scan->ahead;
		*got = go_read(&scan->mem, scan->at, chunk, len);
		if (!*got && len > step) {
			len = step;
			*got = go_read(&scan->mem, scan->at, chunk, len);
		}
	}
	memset(chunk + len, 0, GO_SCAN_CHUNK + scan->ahead - len);
	return step;
}

void go_scan_run(struct go_scan *scan)
{
	uint8_t *chunk = malloc(GO_SCAN_CHUNK + scan->ahead);
	bool go_on = chunk != NULL;

	scan->at = (scan->at + 7) & ~(uint64_t)7;
	while (go_on && scan->at < scan->end) {
		bool got;
		size_t step = next_chunk(scan, chunk, &got);

		if (step > *scan->budget)
			break;
		*scan->budget -= step;
		for (size_t off = 0; got && go_on && off < step; off += 8)
			go_on = scan->visit(scan->data, scan->at + off, chunk + off);
		scan->at += step;
	}
	scan->stopped = !go_on;
	free(chunk);
}

bool go_read_space(void *data, uint64_t addr, void *buf, size_t len)
{
	return gc_space_read_all(data, addr, buf, len, NULL) == GC_OK;
}

static uint64_t word(const uint8_t *md, unsigned off)
{
	return gc_load_le64(md + off);
}

/** A slice of the moduledata whose length is its capacity, as the linker makes them. */
static bool is_slice(const uint8_t *md, unsigned off)
{
	return word(md, off + 8) == word(md, off + 16) && word(md, off + 8) < MAX_TABLE;
}

bool go_is_moduledata(const uint8_t *md)
{
	uint64_t header = word(md, MD_PCHEADER), last = header;

	if (!header || header % 8 || word(md, MD_NAMES) - header < 64 ||
	    word(md, MD_NAMES) - header > MD_HEADER_MAX || word(md, MD_PCLNTABLE) != word(md, MD_FTAB))
		return false;
	for (unsigned off = MD_NAMES; off <= MD_FTAB; off += 24) {
		if (!is_slice(md, off) || word(md, off) < last || word(md, off) - header >= MAX_TABLE)
			return false;
		last = word(md, off);
	}
	return word(md, MD_FTAB + 8) > 0 && word(md, MD_TEXT) < word(md, MD_ETEXT) &&
	       word(md, MD_MINPC) < word(md, MD_MAXPC) && word(md, MD_MINPC) >= word(md, MD_TEXT);
}

/** All that the pcHeader says the moduledata says too. */
static void set_header(struct gc_go_moduledata *m, const uint8_t *md, const struct go_layout *layout)
{
	const uint64_t start = word(md, MD_PCHEADER);
	struct gc_pclntab_header h = {
		.is_118 = layout->minor < 20, .nfunc = word(md, MD_FTAB + 8) - 1, .text = m->text,
		.names = word(md, MD_NAMES) - start, .cus = word(md, MD_CUS) - start,
		.files = word(md, MD_FILES) - start, .values = word(md, MD_VALUES) - start,
		.funcs = word(md, MD_PCLNTABLE) - start,
	};

	gc_pclntab_make_header(&h, m->header);
}

void go_parse_moduledata(struct gc_go_moduledata *m, uint64_t addr, const uint8_t *md, const struct go_layout *layout)
{
	*m = (struct gc_go_moduledata){
		.addr = addr, .pclntab = word(md, MD_PCHEADER),
		.pclntab_len = word(md, MD_PCLNTABLE) + word(md, MD_PCLNTABLE + 8) - word(md, MD_PCHEADER),
		.text = word(md, MD_TEXT), .etext = word(md, MD_ETEXT),
		.minpc = word(md, MD_MINPC), .maxpc = word(md, MD_MAXPC),
		.noptrdata = word(md, MD_NOPTRDATA), .enoptrdata = word(md, MD_NOPTRDATA + 8),
		.data = word(md, MD_NOPTRDATA + 16), .edata = word(md, MD_NOPTRDATA + 24),
		.bss = word(md, MD_NOPTRDATA + 32), .ebss = word(md, MD_NOPTRDATA + 40),
		.noptrbss = word(md, MD_NOPTRDATA + 48), .enoptrbss = word(md, MD_NOPTRDATA + 56),
		.types = word(md, layout->md.types), .etypes = word(md, layout->md.etypes),
		.gofunc = word(md, layout->md.gofunc),
	};
	set_header(m, md, layout);
}

size_t go_read_sections(struct gc_go_moduledata *m, const struct go_memory *mem, const uint8_t *md,
			const struct go_layout *layout)
{
	uint64_t addr = word(md, layout->md.textsectmap), n = word(md, layout->md.textsectmap + 8);
	uint8_t row[24];

	if (n < 2 || n > MAX_TEXTSECTS)
		return 0;
	m->sections = calloc(n, sizeof(*m->sections));
	if (!m->sections)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!go_read(mem, addr + 24 * i, row, sizeof(row)) || word(row, 8) < word(row, 0)) {
			free(m->sections);
			m->sections = NULL;
			return 0;
		}
		m->sections[i] = (struct gc_text_section){ word(row, 0), word(row, 8), word(row, 16) };
	}
	return n;
}

/** Copy what there is of the pclntab and note which pages are there. @return false when out of memory */
static bool copy_table(struct gc_go_moduledata *m, const struct go_memory *mem)
{
	uint64_t pages = (m->pclntab_len + GC_PCLNTAB_PAGE - 1) / GC_PCLNTAB_PAGE;

	m->copy = calloc(1, m->pclntab_len);
	m->present = calloc(1, pages / 8 + 1);
	for (uint64_t i = 0; m->copy && m->present && i < pages; i++) {
		uint64_t off = i * GC_PCLNTAB_PAGE, left = m->pclntab_len - off;

		if (go_read(mem, m->pclntab + off, m->copy + off, left < GC_PCLNTAB_PAGE ? left : GC_PCLNTAB_PAGE))
			m->present[i / 8] |= (uint8_t)(1 << i % 8);
	}
	return m->copy && m->present;
}

/** Is it none at all, rather than one of a version that is not known? Their magic numbers are neighbours. */
static bool is_garbage(const uint8_t *header)
{
	return gc_load_le32(header) >> 8 != 0xffffff || gc_load_le16(header + 4) != 0 || header[7] != 8;
}

/** Judge the header that is there by what the moduledata says. @return false if there is none to use */
static bool check_header(struct gc_go_moduledata *m, uint8_t *header, uint8_t quantum)
{
	bool is_header = gc_pclntab_is_header(header, quantum);

	if (gc_load_le32(m->header) == 0) /* no moduledata */
		return is_header;
	m->header[6] = quantum;
	memcpy(m->header, header, is_header ? 4 : 0);
	m->bad_header = gc_pclntab_headers_differ(m->header, header) && (is_header || is_garbage(header)) &&
			gc_pclntab_is_header(m->header, quantum);
	return is_header || m->bad_header;
}

enum gc_code go_open_table(struct gc_go_moduledata *m, const struct go_memory *mem, const uint8_t *bytes,
			   size_t nsections, uint8_t quantum, struct gc_error *err)
{
	struct gc_pclntab_source src = {
		.bytes = bytes, .len = m->pclntab_len, .text = m->text, .sections = m->sections,
		.nsections = nsections, .gofunc = m->gofunc, .read = mem->read, .data = mem->data,
		.quantum = quantum,
	};
	uint8_t header[GC_PCLNTAB_HEADER];
	enum gc_code code;

	if (m->pclntab_len > MAX_TABLE || !go_read(mem, m->pclntab, header, sizeof(header)))
		return gc_fail(err, GC_E_FAULT, "the pclntab at 0x%" PRIx64 " is not in the core", m->pclntab);
	if (!check_header(m, header, quantum))
		return gc_fail(err, GC_E_FORMAT, "no pclntab of Go 1.18 or later at 0x%" PRIx64, m->pclntab);
	if (m->bad_header)
		src.header = m->header;
	if (!bytes) {
		if (!copy_table(m, mem))
			return gc_fail_memory(err);
		src.bytes = m->copy;
		src.present = m->present;
	}
	code = gc_pclntab_init(&m->table, &src, err);
	m->has_table = code == GC_OK;
	return code;
}

static void module_deinit(struct gc_go_moduledata *m)
{
	gc_pclntab_deinit(&m->table);
	free(m->copy);
	free(m->present);
	free(m->sections);
}

void gc_go_modules_deinit(struct gc_go_modules *modules)
{
	for (size_t i = 0; i < modules->count; i++)
		module_deinit(&modules->list[i]);
	free(modules->list);
	*modules = (struct gc_go_modules){ .list = NULL };
}

/* The module of a file */

struct relocation {
	uint64_t addr, value;
};

/** A file as the linker left it, with the relative relocations that the loader would apply. */
struct file_memory {
	struct gc_elf_file *file;
	struct relocation *list;
	size_t count;
};

static int compare_relocations(const void *a, const void *b)
{
	const struct relocation *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/** Those of [@start, @end). Elf64_Rela: offset, info, addend */
static bool read_relocations(struct file_memory *m, uint64_t start, uint64_t end)
{
	const struct gc_arch *arch = gc_arch_by_machine(m->file->phdrs.machine);
	uint64_t addr, size, len;
	const uint8_t *bytes;

	if (!arch || !gc_elf_dynamic(m->file, DT_RELA, 0, &addr) || !gc_elf_dynamic(m->file, DT_RELASZ, 0, &size) ||
	    !gc_elf_at(m->file, addr, &bytes, &len))
		return true;
	if (size > len)
		size = len;
	m->list = calloc(size / 24 + 1, sizeof(*m->list));
	if (!m->list)
		return false;
	for (uint64_t off = 0; size - off >= 24; off += 24)
		if ((uint32_t)gc_load_le64(bytes + off + 8) == arch->reloc_relative &&
		    gc_load_le64(bytes + off) >= start && gc_load_le64(bytes + off) < end)
			m->list[m->count++] = (struct relocation){ gc_load_le64(bytes + off),
								   gc_load_le64(bytes + off + 16) };
	qsort(m->list, m->count, sizeof(*m->list), compare_relocations);
	return true;
}

/** gc_read_fn of a struct file_memory. */
static bool read_relocated(void *data, uint64_t addr, void *buf, size_t len)
{
	struct file_memory *m = data;
	size_t low = 0, high = m->count;
	const uint8_t *bytes;
	uint64_t have;

	if (!gc_elf_at(m->file, addr, &bytes, &have) || have < len)
		return false;
	memcpy(buf, bytes, len);
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (m->list[mid].addr < addr)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low < m->count && m->list[low].addr - addr < len && len - (m->list[low].addr - addr) >= 8; low++)
		gc_store_le64((uint8_t *)buf + (m->list[low].addr - addr), m->list[low].value);
	return true;
}

static bool read_file(void *data, uint64_t addr, void *buf, size_t len)
{
	const uint8_t *bytes;
	uint64_t have;

	if (!gc_elf_at(data, addr, &bytes, &have) || have < len)
		return false;
	memcpy(buf, bytes, len);
	return true;
}

struct file_finder {
	uint8_t md[MD_SIZE];
	uint64_t addr;   /* 0: not found */
};

static bool found_in_file(void *data, uint64_t addr, const uint8_t *md)
{
	struct file_finder *f = data;

	if (!go_is_moduledata(md))
		return true;
	memcpy(f->md, md, MD_SIZE);
	f->addr = addr;
	return false;
}

static void find_in_file(struct file_finder *f, struct file_memory *mem)
{
	const struct gc_phdrs *phdrs = &mem->file->phdrs;
	uint64_t budget = GO_SCAN_BUDGET;

	for (int writable = 1; writable >= 0; writable--) {
		for (size_t i = 0; i < phdrs->count && !f->addr; i++) {
			const Elf64_Phdr *ph = &phdrs->list[i];
			struct go_scan scan = {
				.mem = { read_relocated, mem }, .at = ph->p_vaddr, .budget = &budget,
				.ahead = MD_SIZE, .visit = found_in_file, .data = f,
			};

			if (ph->p_type != PT_LOAD || ph->p_flags & PF_X ||
			    !!(ph->p_flags & PF_W) != writable || ph->p_filesz > UINT64_MAX - ph->p_vaddr)
				continue;
			scan.end = ph->p_vaddr + ph->p_filesz;
			go_scan_run(&scan);
		}
	}
}

bool go_file_moduledata_at(struct gc_elf_file *file, uint64_t addr, uint8_t md[MD_SIZE])
{
	struct file_memory mem = { .file = file };
	bool found;

	found = addr < UINT64_MAX - MD_SIZE && read_relocations(&mem, addr, addr + MD_SIZE) &&
		read_relocated(&mem, addr, md, MD_SIZE) && go_is_moduledata(md);
	free(mem.list);
	return found;
}

uint64_t go_file_moduledata(struct gc_elf_file *file, uint8_t md[MD_SIZE])
{
	struct file_memory mem = { .file = file };
	struct file_finder f = { .addr = 0 };

	if (read_relocations(&mem, 0, UINT64_MAX))
		find_in_file(&f, &mem);
	free(mem.list);
	if (f.addr)
		memcpy(md, f.md, MD_SIZE);
	return f.addr;
}

static enum gc_code add_file_module(struct gc_go_modules *out, struct file_memory *mem, int minor,
				    struct gc_error *err)
{
	const struct gc_arch *arch = gc_arch_by_machine(mem->file->phdrs.machine);
	const struct go_layout *layout = go_layout_for(minor ? minor : go_layouts[go_nlayouts - 1].minor);
	struct go_memory reader = { read_relocated, mem }, plain = { read_file, mem->file };
	struct file_finder f = { .addr = 0 };
	const uint8_t *bytes;
	uint64_t len = 0;
	size_t nsections;

	if (!arch)
		return gc_fail(err, GC_E_UNSUPPORTED, "a program for another machine");
	find_in_file(&f, mem);
	if (!f.addr)
		return gc_fail(err, GC_E_NOT_FOUND, "no Go code in this file");
	out->list = calloc(1, sizeof(*out->list));
	if (!out->list)
		return gc_fail_memory(err);
	out->count = 1;
	go_parse_moduledata(&out->list[0], f.addr, f.md, layout);
	nsections = go_read_sections(&out->list[0], &reader, f.md, layout);
	if (!gc_elf_at(mem->file, out->list[0].pclntab, &bytes, &len))
		len = 0;
	if (len < out->list[0].pclntab_len)
		out->list[0].pclntab_len = len;
	/* the tables themselves have no relocations */
	return go_open_table(&out->list[0], &plain, len ? bytes : NULL, nsections, arch->go_abi.quantum, err);
}

enum gc_code gc_go_module_of_file(struct gc_go_modules *out, struct gc_elf_file *file, int minor,
				  struct gc_error *err)
{
	struct file_memory mem = { .file = file };
	struct gc_go_modules found = { .list = NULL };
	enum gc_code code;

	code = read_relocations(&mem, 0, UINT64_MAX) ? add_file_module(&found, &mem, minor, err) : gc_fail_memory(err);
	free(mem.list);
	if (code == GC_OK)
		*out = found;
	else
		gc_go_modules_deinit(&found);
	return code;
}
