/* What the kernel left on the stack for the new program: auxiliary vector, arguments, environment. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "snapshot/snap.h"

#define AUXV_ENTRY   16
#define MAX_ENTRIES  256
#define MAX_STRINGS  65536
#define MAX_STRING   0x20000 /* MAX_ARG_STRLEN, linux/binfmts.h */
#define MAX_STACK    (64U << 20) /* looked through for the vector */

/** How a value is to be read. */
enum kind {
	NUMBER,
	HEX,
	STRING, /* its address */
};

/* linux/auxvec.h and asm/auxvec.h */
static const struct {
	uint64_t type;
	const char *name;
	enum kind kind;
} types[] = {
	{ AT_IGNORE, "AT_IGNORE", HEX },
	{ AT_EXECFD, "AT_EXECFD", NUMBER },
	{ AT_PHDR, "AT_PHDR", HEX },
	{ AT_PHENT, "AT_PHENT", NUMBER },
	{ AT_PHNUM, "AT_PHNUM", NUMBER },
	{ AT_PAGESZ, "AT_PAGESZ", NUMBER },
	{ AT_BASE, "AT_BASE", HEX },
	{ AT_FLAGS, "AT_FLAGS", HEX },
	{ AT_ENTRY, "AT_ENTRY", HEX },
	{ AT_NOTELF, "AT_NOTELF", NUMBER },
	{ AT_UID, "AT_UID", NUMBER },
	{ AT_EUID, "AT_EUID", NUMBER },
	{ AT_GID, "AT_GID", NUMBER },
	{ AT_EGID, "AT_EGID", NUMBER },
	{ AT_PLATFORM, "AT_PLATFORM", STRING },
	{ AT_HWCAP, "AT_HWCAP", HEX },
	{ AT_CLKTCK, "AT_CLKTCK", NUMBER },
	{ AT_SECURE, "AT_SECURE", NUMBER },
	{ AT_BASE_PLATFORM, "AT_BASE_PLATFORM", STRING },
	{ AT_RANDOM, "AT_RANDOM", HEX },
	{ AT_HWCAP2, "AT_HWCAP2", HEX },
	{ 27, "AT_RSEQ_FEATURE_SIZE", NUMBER },
	{ 28, "AT_RSEQ_ALIGN", NUMBER },
	{ 29, "AT_HWCAP3", HEX },
	{ 30, "AT_HWCAP4", HEX },
	{ AT_EXECFN, "AT_EXECFN", STRING },
	{ AT_SYSINFO_EHDR, "AT_SYSINFO_EHDR", HEX },
	{ 51, "AT_MINSIGSTKSZ", NUMBER },
};

static size_t index_of(uint64_t type)
{
	size_t i = 0;

	while (i < GC_COUNT(types) && types[i].type != type)
		i++;
	return i;
}

/** A string of the process; @return false if it is not there or too long */
static bool read_string(struct gc_snap *s, uint64_t addr, struct gc_buf *out)
{
	char *room;

	gc_buf_clear(out);
	room = gc_buf_reserve(out, MAX_STRING);
	if (!room || gc_space_string(&s->p->space, addr, room, MAX_STRING, NULL) != GC_OK)
		return false;
	out->len = strlen(room);
	return true;
}

static json_t *entry_of(struct gc_snap *s, uint64_t type, uint64_t value, struct gc_buf *string)
{
	json_t *object = gc_doc_object(&s->d);
	size_t known = index_of(type);

	gc_doc_size(&s->d, object, "type", type);
	gc_doc_str(&s->d, object, "name", known < GC_COUNT(types) ? types[known].name : NULL);
	gc_doc_hex(&s->d, object, "value", value);
	if (known == GC_COUNT(types))
		return object;
	if (types[known].kind == NUMBER)
		gc_doc_size(&s->d, object, "number", value);
	else if (types[known].kind == STRING && read_string(s, value, string))
		gc_doc_strn(&s->d, object, "text", string->data, string->len);
	return object;
}

void gc_snap_auxv(struct gc_snap *s, json_t *root)
{
	const struct gc_note *note = s->p->core.auxv;
	struct gc_buf string = GC_BUF_INIT;
	json_t *list;

	if (!note)
		return;
	list = gc_doc_array(&s->d);
	for (uint64_t at = 0; note->desc_len - at >= AUXV_ENTRY && at < (uint64_t)MAX_ENTRIES * AUXV_ENTRY;
	     at += AUXV_ENTRY) {
		uint64_t type = gc_load_le64(note->desc + at);

		if (type == AT_NULL)
			break;
		gc_doc_append(&s->d, list, entry_of(s, type, gc_load_le64(note->desc + at + 8), &string));
	}
	gc_doc_set(&s->d, root, "auxv", list);
	gc_buf_deinit(&string);
}

/* Arguments and environment lie right below the vector: argc, argv..., NULL, envp..., NULL, auxv. */

/** Find the vector itself in the range that AT_EXECFN or AT_RANDOM, which lie above it, points into. */
static bool find_vector(const struct gc_snap *s, uint64_t above, uint64_t *out)
{
	const struct gc_arch *arch = s->p->core.arch;
	const struct gc_note *note = s->p->core.auxv;
	const struct gc_range *r;
	uint64_t len, low;

	if (arch->clean_data)
		above = arch->clean_data(above);
	r = gc_space_find(&s->p->space, above);
	if (!r || !gc_range_served(r) || !r->bytes || note->desc_len < AUXV_ENTRY)
		return false;
	low = above - r->start > MAX_STACK ? above - MAX_STACK : r->start;
	for (len = 0; note->desc_len - len >= AUXV_ENTRY && gc_load_le64(note->desc + len) != AT_NULL;)
		len += AUXV_ENTRY;
	/* newest addresses first: only what the program left on its stack is below */
	for (uint64_t at = above & ~(uint64_t)7; len && at > low && at - low >= 8; at -= 8)
		if (r->end - (at - 8) >= len && memcmp(r->bytes + (at - 8 - r->start), note->desc, len) == 0) {
			*out = at - 8;
			return true;
		}
	return false;
}

/** Pointers before @end, down to the NULL before them. @return address of the first; 0: damaged */
static uint64_t list_before(const struct gc_snap *s, uint64_t end)
{
	for (size_t i = 0; i < MAX_STRINGS && end >= 8; i++) {
		uint64_t value;

		if (gc_space_u64(&s->p->space, end - 8, &value, NULL) != GC_OK)
			return 0;
		if (value == 0)
			return end;
		end -= 8;
	}
	return 0;
}

/** The arguments before their NULL at @end: as many as argc, the word before the first, says. */
static uint64_t arguments_before(const struct gc_snap *s, uint64_t end)
{
	for (uint64_t n = 0; n < MAX_STRINGS && end >= 8 * (n + 1); n++) {
		uint64_t value;

		if (gc_space_u64(&s->p->space, end - 8 * (n + 1), &value, NULL) != GC_OK)
			return 0;
		if (value == n)
			return end - 8 * n;
	}
	return 0;
}

static void set_strings(struct gc_snap *s, json_t *root, const char *key, uint64_t from, uint64_t to)
{
	struct gc_buf string = GC_BUF_INIT;
	json_t *list = gc_doc_array(&s->d);

	for (uint64_t at = from; at < to; at += 8) {
		uint64_t addr;

		if (gc_space_u64(&s->p->space, at, &addr, NULL) == GC_OK && read_string(s, addr, &string))
			gc_doc_add_str(&s->d, list, gc_buf_text(&string));
		else
			gc_doc_append(&s->d, list, json_null());
	}
	gc_doc_set(&s->d, root, key, list);
	gc_buf_deinit(&string);
}

void gc_snap_strings(struct gc_snap *s, json_t *root)
{
	uint64_t above, vector, env, args;

	if (!s->p->core.auxv || (!gc_core_auxv(&s->p->core, AT_EXECFN, &above) &&
				 !gc_core_auxv(&s->p->core, AT_RANDOM, &above)))
		return;
	if (!find_vector(s, above, &vector)) {
		gc_problem(&s->d.problems, "environment", "the start of the stack is not in the core");
		return;
	}
	env = list_before(s, vector - 8);
	args = env ? arguments_before(s, env - 8) : 0;
	if (args)
		set_strings(s, root, "arguments", args, env - 8);
	if (env)
		set_strings(s, root, "environment", env, vector - 8);
	else
		gc_problem(&s->d.problems, "environment", "the list of strings is damaged");
}
