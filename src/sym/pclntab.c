#include "gocore/pclntab.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

/* runtime/symtab.go (pcHeader.magic): the first is Go 1.18 and 1.19, the other 1.20 and later. */
#define MAGIC_116 0xfffffffaU
#define MAGIC_118 0xfffffff0U
#define MAGIC_120 0xfffffff1U

#define MAX_FUNCS   (1U << 28)
#define MAX_NAME    65536
#define MAX_INLINED 256     /* calls inlined into each other */
#define NO_FILE     0xffffffffU
#define NO_FUNCDATA 0xffffffffU

/* pcHeader */
enum {
	H_QUANTUM = 6,
	H_PTR_SIZE = 7,
	H_NFUNC = 8,
	H_TEXT = 24,
	H_NAMES = 32,
	H_CUS = 40,
	H_FILES = 48,
	H_VALUES = 56,
	H_FUNCS = 64,
};

/* _func; the part behind startLine begins 4 bytes earlier before Go 1.20 */
enum {
	F_NAME = 4,
	F_PCSP = 16,
	F_PCFILE = 20,
	F_PCLN = 24,
	F_NPCDATA = 28,
	F_CU = 32,
	F_START_LINE = 36,
	F_ID = 36,
	F_FLAGS = 37,
	F_NFUNCDATA = 39,
	F_SIZE = 40,
};

/* functab: pairs of entry offset and _func offset, then the end of the text */
#define FUNCTAB_ENTRY 8

/* A name in the runtime's spelling, for those that differ from the table's. */
struct printed {
	uint32_t name;
	char *text;
};

struct gc_name_cache {
	struct printed *slots;   /* open addressing; text NULL: free */
	size_t count, size;      /* size is a power of two */
};

/** @len bytes at offset @off, NULL if they are not all there. */
static const uint8_t *at(const struct gc_pclntab *t, uint64_t off, uint64_t len)
{
	if (off > t->src.len || len > t->src.len - off || len == 0)
		return NULL;
	for (uint64_t page = off / GC_PCLNTAB_PAGE; t->src.present && page <= (off + len - 1) / GC_PCLNTAB_PAGE;
	     page++)
		if (!(t->src.present[page / 8] >> page % 8 & 1))
			return NULL;
	return t->src.bytes + off;
}

/** A NUL-terminated string that ends before @end, in place, or NULL. */
static const char *string_at(const struct gc_pclntab *t, uint64_t off, uint64_t end)
{
	uint64_t done = 0;

	if (end > t->src.len)
		end = t->src.len;
	while (off < end && done < end - off && done < MAX_NAME) {
		uint64_t in_page = GC_PCLNTAB_PAGE - (off + done) % GC_PCLNTAB_PAGE;
		uint64_t n = in_page < end - off - done ? in_page : end - off - done;
		const uint8_t *bytes = at(t, off + done, n);

		if (!bytes)
			return NULL;
		if (memchr(bytes, 0, n))
			return (const char *)(bytes - done);
		done += n;
	}
	return NULL;
}

bool gc_pclntab_is_header(const uint8_t *bytes, uint8_t quantum)
{
	uint32_t magic = gc_load_le32(bytes);
	uint64_t last = 64;

	if ((magic != MAGIC_118 && magic != MAGIC_120) || gc_load_le16(bytes + 4) != 0 ||
	    bytes[H_QUANTUM] != quantum || bytes[H_PTR_SIZE] != 8)
		return false;
	for (unsigned field = H_NAMES; field <= H_FUNCS; field += 8) {
		uint64_t off = gc_load_le64(bytes + field);

		if (off < last || off >= (uint64_t)1 << 34)
			return false;
		last = off;
	}
	return gc_load_le64(bytes + H_NFUNC) < MAX_FUNCS;
}

void gc_pclntab_make_header(const struct gc_pclntab_header *h, uint8_t out[GC_PCLNTAB_HEADER])
{
	memset(out, 0, GC_PCLNTAB_HEADER);
	gc_store_le32(out, h->is_118 ? MAGIC_118 : MAGIC_120);
	out[H_QUANTUM] = h->quantum;
	out[H_PTR_SIZE] = 8;
	gc_store_le64(out + H_NFUNC, h->nfunc);
	gc_store_le64(out + H_TEXT, h->text);
	gc_store_le64(out + H_NAMES, h->names);
	gc_store_le64(out + H_CUS, h->cus);
	gc_store_le64(out + H_FILES, h->files);
	gc_store_le64(out + H_VALUES, h->values);
	gc_store_le64(out + H_FUNCS, h->funcs);
}

bool gc_pclntab_headers_differ(const uint8_t *a, const uint8_t *b)
{
	return memcmp(a, b, H_NFUNC + 8) != 0 || memcmp(a + H_NAMES, b + H_NAMES, GC_PCLNTAB_HEADER - H_NAMES) != 0;
}

static void set_part(struct gc_pclntab *t, const uint8_t *header, unsigned field, uint64_t *start, uint64_t *end)
{
	uint64_t next = gc_load_le64(header + field + 8);

	*start = gc_load_le64(header + field);
	*end = next < t->src.len ? next : t->src.len;
}

enum gc_code gc_pclntab_init(struct gc_pclntab *t, const struct gc_pclntab_source *src, struct gc_error *err)
{
	const uint8_t *header;

	*t = (struct gc_pclntab){ .src = *src };
	header = src->header ? src->header : at(t, 0, GC_PCLNTAB_HEADER);
	if (!header)
		return gc_fail(err, GC_E_TRUNCATED, "no pclntab header");
	if (gc_load_le32(header) <= MAGIC_116 + 1 && gc_load_le32(header) >= MAGIC_116)
		return gc_fail(err, GC_E_UNSUPPORTED, "a pclntab of before Go 1.18");
	if (!gc_pclntab_is_header(header, src->quantum))
		return gc_fail(err, GC_E_FORMAT, "damaged pclntab header");
	t->nfunc = (uint32_t)gc_load_le64(header + H_NFUNC);
	t->text = src->text ? src->text : gc_load_le64(header + H_TEXT);
	t->long_tree = gc_load_le32(header) == MAGIC_118;
	set_part(t, header, H_NAMES, &t->names, &t->names_end);
	set_part(t, header, H_CUS, &t->cus, &t->cus_end);
	set_part(t, header, H_FILES, &t->files, &t->files_end);
	set_part(t, header, H_VALUES, &t->values, &t->values_end);
	t->funcs = gc_load_le64(header + H_FUNCS);
	t->src.header = NULL;
	if (t->nfunc && t->funcs >= src->len)
		return gc_fail(err, GC_E_TRUNCATED, "the functions of the pclntab are missing");
	return GC_OK;
}

void gc_pclntab_deinit(struct gc_pclntab *t)
{
	if (t->printed) {
		for (size_t i = 0; i < t->printed->size; i++)
			free(t->printed->slots[i].text);
		free(t->printed->slots);
		free(t->printed);
	}
	*t = (struct gc_pclntab){ .nfunc = 0 };
}

/** Run-time address of a text offset, as (*moduledata).textAddr of runtime/symtab.go. */
static uint64_t text_addr(const struct gc_pclntab *t, uint64_t off)
{
	for (size_t i = 0; i < t->src.nsections; i++) {
		const struct gc_text_section *s = &t->src.sections[i];
		bool last = i + 1 == t->src.nsections;

		if (off >= s->start && (off < s->end || (last && off == s->end)))
			return s->base + (off - s->start);
	}
	return t->text + off;
}

/** The inverse, (*moduledata).textOff. */
static bool text_off(const struct gc_pclntab *t, uint64_t pc, uint64_t *out)
{
	for (size_t i = 0; i < t->src.nsections; i++) {
		const struct gc_text_section *s = &t->src.sections[i];

		if (pc >= s->base && pc - s->base < s->end - s->start) {
			*out = pc - s->base + s->start;
			return true;
		}
	}
	if (t->src.nsections || pc < t->text)
		return false;
	*out = pc - t->text;
	return true;
}

/** Entry offset of function @index; that of nfunc is the end of the text. */
static bool entry_off(const struct gc_pclntab *t, uint32_t index, uint32_t *out)
{
	const uint8_t *p = at(t, t->funcs + (uint64_t)index * FUNCTAB_ENTRY, 4);

	if (!p)
		return false;
	*out = gc_load_le32(p);
	return true;
}

static uint32_t pcdata(const struct gc_pclntab *t, uint64_t record, uint32_t size, uint32_t npcdata, uint32_t index)
{
	const uint8_t *p = index < npcdata ? at(t, record + size + (uint64_t)index * 4, 4) : NULL;

	return p ? gc_load_le32(p) : 0;
}

static uint64_t funcdata(const struct gc_pclntab *t, uint64_t record, uint32_t size, uint32_t npcdata,
			 uint32_t nfuncdata, uint32_t index)
{
	const uint8_t *p;
	uint32_t off;

	if (index >= nfuncdata || !t->src.gofunc)
		return 0;
	p = at(t, record + size + ((uint64_t)npcdata + index) * 4, 4);
	off = p ? gc_load_le32(p) : NO_FUNCDATA;
	return off == NO_FUNCDATA ? 0 : t->src.gofunc + off;
}

bool gc_pclntab_func(const struct gc_pclntab *t, uint32_t index, struct gc_pcfunc *out)
{
	uint32_t shift = t->long_tree ? 0 : 4, start, end, npcdata;
	const uint8_t *entry, *p;
	uint64_t record;

	if (index >= t->nfunc || !entry_off(t, index, &start) || !entry_off(t, index + 1, &end))
		return false;
	entry = at(t, t->funcs + (uint64_t)index * FUNCTAB_ENTRY, FUNCTAB_ENTRY);
	if (!entry)
		return false;
	record = t->funcs + gc_load_le32(entry + 4);
	p = at(t, record, F_SIZE + shift);
	if (!p)
		return false;
	npcdata = gc_load_le32(p + F_NPCDATA);
	*out = (struct gc_pcfunc){
		.index = index, .entry = text_addr(t, start), .end = text_addr(t, end),
		.name = gc_load_le32(p + F_NAME),
		.start_line = shift ? gc_load_le32(p + F_START_LINE) : 0,
		.pcsp = gc_load_le32(p + F_PCSP), .pcfile = gc_load_le32(p + F_PCFILE),
		.pcln = gc_load_le32(p + F_PCLN), .cu = gc_load_le32(p + F_CU),
		.id = p[F_ID + shift], .flags = p[F_FLAGS + shift],
		.inlines = pcdata(t, record, F_SIZE + shift, npcdata, GC_PCDATA_INLINE),
		.tree = funcdata(t, record, F_SIZE + shift, npcdata, p[F_NFUNCDATA + shift], GC_FUNCDATA_INLINE),
	};
	return out->end > out->entry;
}

bool gc_pclntab_find(const struct gc_pclntab *t, uint64_t pc, struct gc_pcfunc *out)
{
	uint32_t low = 0, high = t->nfunc, entry;
	struct gc_pcfunc f;
	uint64_t off;

	if (!text_off(t, pc, &off))
		return false;
	while (low < high) { /* the last function that starts at or before off */
		uint32_t mid = low + (high - low) / 2;

		if (!entry_off(t, mid, &entry))
			return false;
		if (entry <= off)
			low = mid + 1;
		else
			high = mid;
	}
	if (!low || !gc_pclntab_func(t, low - 1, &f) || pc < f.entry || pc >= f.end)
		return false;
	*out = f;
	return true;
}

const char *gc_pclntab_name(const struct gc_pclntab *t, uint32_t name)
{
	const char *text = string_at(t, t->names + name, t->names_end);

	return text && *text ? text : NULL;
}

/** funcNameForPrint of runtime/symtab.go: type arguments become "...". @return NULL if nothing changes */
static char *shorten(const char *name)
{
	const char *open = strchr(name, '['), *close = open ? strrchr(open, ']') : NULL;
	char *out;

	if (!close || strncmp(open, "[...]", (size_t)(close - open) + 1) == 0)
		return NULL;
	out = malloc((size_t)(open - name) + strlen("[...]") + strlen(close + 1) + 1);
	if (out) {
		memcpy(out, name, (size_t)(open - name));
		strcpy(stpcpy(out + (open - name), "[...]"), close + 1);
	}
	return out;
}

static struct printed *find_slot(const struct gc_name_cache *cache, uint32_t name)
{
	size_t i = name * 2654435761U & (cache->size - 1);

	while (cache->slots[i].text && cache->slots[i].name != name)
		i = (i + 1) & (cache->size - 1);
	return &cache->slots[i];
}

/** Make the cache and keep at least half of it free. @return false when out of memory */
static bool make_room(struct gc_pclntab *t)
{
	struct gc_name_cache *old = t->printed, *cache = old;
	struct printed *slots;
	size_t size;

	if (!cache)
		cache = t->printed = calloc(1, sizeof(*cache));
	if (!cache || 2 * (cache->count + 1) <= cache->size)
		return cache != NULL;
	size = cache->size ? 2 * cache->size : 64;
	slots = calloc(size, sizeof(*slots));
	if (!slots)
		return false;
	struct gc_name_cache bigger = { slots, cache->count, size };

	for (size_t i = 0; i < cache->size; i++)
		if (cache->slots[i].text)
			*find_slot(&bigger, cache->slots[i].name) = cache->slots[i];
	free(cache->slots);
	*cache = bigger;
	return true;
}

const char *gc_pclntab_print_name(struct gc_pclntab *t, uint32_t name)
{
	const char *text = gc_pclntab_name(t, name);
	struct printed *slot;
	char *shorter;

	if (!text)
		return NULL;
	if (strcmp(text, "runtime.gopanic") == 0) /* printFuncName of runtime/traceback.go */
		return "panic";
	if (!strchr(text, '[') || !make_room(t))
		return text;
	slot = find_slot(t->printed, name);
	if (slot->text)
		return slot->text;
	shorter = shorten(text);
	if (!shorter)
		return text;
	*slot = (struct printed){ name, shorter };
	t->printed->count++;
	return shorter;
}

const char *gc_pclntab_file(const struct gc_pclntab *t, const struct gc_pcfunc *f, int32_t number)
{
	const uint8_t *p;
	uint64_t off;

	if (number < 0)
		return NULL;
	off = t->cus + ((uint64_t)f->cu + (uint32_t)number) * 4;
	p = off < t->cus_end ? at(t, off, 4) : NULL;
	if (!p || gc_load_le32(p) == NO_FILE)
		return NULL;
	return string_at(t, t->files + gc_load_le32(p), t->files_end);
}

/** Reads one pc-value program (runtime/symtab.go, step). */
struct steps {
	const struct gc_pclntab *t;
	const struct gc_pcfunc *f;
	uint64_t off;      /* of the next byte */
	uint64_t left;     /* steps: a sound table has no more than the function has instructions */
	bool first;
	struct gc_pcrow row;
};

/** At most 5 bytes make 32 bits. @return false if it is damaged */
static bool uleb(struct steps *s, uint32_t *out)
{
	uint32_t value = 0;

	for (unsigned shift = 0; shift < 35; shift += 7) {
		const uint8_t *p = s->off < s->t->values_end ? at(s->t, s->off, 1) : NULL;

		if (!p)
			return false;
		s->off++;
		value |= shift < 32 ? (uint32_t)(*p & 0x7f) << shift : 0;
		if (!(*p & 0x80)) {
			*out = value;
			return true;
		}
	}
	return false;
}

static void steps_init(struct steps *s, const struct gc_pclntab *t, const struct gc_pcfunc *f, uint32_t table)
{
	*s = (struct steps){
		.t = t, .f = f, .off = t->values + table, .first = true,
		.left = table ? (f->end - f->entry) / t->src.quantum + 1 : 0,
		.row = { .end = f->entry, .value = -1 },
	};
}

static bool next_step(struct steps *s)
{
	uint32_t change, advance;

	if (!s->left || !uleb(s, &change) || (change == 0 && !s->first) || !uleb(s, &advance))
		return false;
	s->first = false;
	s->left--;
	s->row.start = s->row.end;
	s->row.end += (uint64_t)advance * s->t->src.quantum;
	s->row.value = (int32_t)((uint32_t)s->row.value + (change & 1 ? ~(change >> 1) : change >> 1));
	return true;
}

int32_t gc_pclntab_value(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint32_t table, uint64_t pc)
{
	struct steps s;

	steps_init(&s, t, f, table);
	while (next_step(&s))
		if (pc < s.row.end)
			return s.row.value;
	return -1;
}

enum gc_code gc_pclntab_rows(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint32_t table,
			     struct gc_pcrows *out, struct gc_error *err)
{
	struct gc_pcrows rows = { .list = NULL };
	struct steps s;
	size_t cap = 0;

	steps_init(&s, t, f, table);
	while (next_step(&s) && s.row.start < f->end) {
		if (rows.count == cap) {
			size_t more = cap ? 2 * cap : 16;
			struct gc_pcrow *list = realloc(rows.list, more * sizeof(*list));

			if (!list) {
				free(rows.list);
				return gc_fail_memory(err);
			}
			rows.list = list;
			cap = more;
		}
		rows.list[rows.count++] = s.row;
	}
	*out = rows;
	return GC_OK;
}

void gc_pcrows_deinit(struct gc_pcrows *rows)
{
	free(rows->list);
	*rows = (struct gc_pcrows){ .list = NULL };
}

bool gc_pclntab_inlined(const struct gc_pclntab *t, const struct gc_pcfunc *f, int32_t index,
			struct gc_inlined_call *out)
{
	uint32_t size = t->long_tree ? 20 : 16;
	uint8_t e[20];

	if (index < 0 || !f->tree || !t->src.read ||
	    !t->src.read(t->src.data, f->tree + (uint64_t)(uint32_t)index * size, e, size))
		return false;
	if (!t->long_tree) { /* runtime/symtabinl.go, inlinedCall */
		*out = (struct gc_inlined_call){
			.id = e[0], .name = gc_load_le32(e + 4),
			.parent_pc = f->entry + gc_load_le32(e + 8), .start_line = gc_load_le32(e + 12),
		};
		return true;
	}
	*out = (struct gc_inlined_call){
		.parent = (int16_t)gc_load_le16(e), .id = e[2], .file = (int32_t)gc_load_le32(e + 4),
		.line = gc_load_le32(e + 8), .name = gc_load_le32(e + 12),
		.parent_pc = f->entry + gc_load_le32(e + 16), .has_parent = true,
	};
	return true;
}

static uint32_t line_at(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc)
{
	int32_t line = gc_pclntab_value(t, f, f->pcln, pc);

	return line > 0 ? (uint32_t)line : 0;
}

static const char *file_at(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc)
{
	return gc_pclntab_file(t, f, gc_pclntab_value(t, f, f->pcfile, pc));
}

size_t gc_pclntab_lines(const struct gc_pclntab *t, const struct gc_pcfunc *f, uint64_t pc,
			struct gc_pcline *out, size_t cap)
{
	struct gc_pcline line = { .file = file_at(t, f, pc), .line = line_at(t, f, pc), .inlined = true };
	int32_t index = gc_pclntab_value(t, f, f->inlines, pc);
	struct gc_inlined_call call;
	size_t count = 0;

	while (count + 1 < cap && count < MAX_INLINED && gc_pclntab_inlined(t, f, index, &call)) {
		line.name = call.name;
		line.id = call.id;
		out[count++] = line;
		if (call.has_parent) {
			line.file = gc_pclntab_file(t, f, call.file);
			line.line = call.line;
			index = call.parent;
		} else {
			line.file = file_at(t, f, call.parent_pc);
			line.line = line_at(t, f, call.parent_pc);
			index = gc_pclntab_value(t, f, f->inlines, call.parent_pc);
		}
	}
	line.name = f->name;
	line.id = f->id;
	line.inlined = false;
	out[count++] = line;
	return count;
}
