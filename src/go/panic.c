#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/buf.h"
#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_PANICS 256
#define MAX_TEXT   65536
#define MAX_NAME   4096
#define MAX_FRAME  65536   /* of throw, searched for its message */

/* abi.Type of internal/abi/type.go (runtime._type before Go 1.21) */
enum {
	TYPE_TFLAG = 20,
	TYPE_KIND = 23,
	TYPE_STR = 40,
	TYPE_SIZE = 48,
	TFLAG_EXTRA_STAR = 2,
	KIND_MASK = 31,
};

/* abi.Kind */
enum kind {
	KIND_BOOL = 1,
	KIND_INT = 2,
	KIND_INT8, KIND_INT16, KIND_INT32, KIND_INT64,
	KIND_UINT, KIND_UINT8, KIND_UINT16, KIND_UINT32, KIND_UINT64, KIND_UINTPTR,
	KIND_FLOAT32, KIND_FLOAT64, KIND_COMPLEX64, KIND_COMPLEX128,
	KIND_STRING = 24,
};

/** An interface value. */
struct value {
	uint64_t type, data;
};

static bool read_all(const struct gc_go *go, uint64_t addr, void *buf, size_t len)
{
	return gc_space_read_all(&go->p->space, addr, buf, len, NULL) == GC_OK;
}

static bool read_value(const struct gc_go *go, uint64_t addr, struct value *out)
{
	uint8_t words[16];

	if (!read_all(go, addr, words, sizeof(words)))
		return false;
	*out = (struct value){ gc_load_le64(words), gc_load_le64(words + 8) };
	return true;
}

static char *copy_text(const struct gc_go *go, uint64_t addr, uint64_t len)
{
	char *text = len <= MAX_TEXT ? malloc(len + 1) : NULL;

	if (text && len && !read_all(go, addr, text, len)) {
		free(text);
		return NULL;
	}
	if (text)
		text[len] = '\0';
	return text;
}

/** The string whose header is at @addr. */
static char *read_string(const struct gc_go *go, uint64_t addr)
{
	struct value header;

	return read_value(go, addr, &header) ? copy_text(go, header.type, header.data) : NULL;
}

/** A type's record. @return false if @type is in no module's types */
static bool read_type(const struct gc_go *go, uint64_t type, uint8_t out[TYPE_SIZE], uint64_t *types)
{
	for (size_t i = 0; i < go->modules.count; i++) {
		const struct gc_go_moduledata *m = &go->modules.list[i];

		if (type < m->types || type >= m->etypes || type % 8)
			continue;
		*types = m->types;
		return read_all(go, type, out, TYPE_SIZE);
	}
	return false;
}

/** abi.Name: a flag byte, the length as a varint, the bytes. */
static char *read_name(const struct gc_go *go, uint64_t addr)
{
	uint8_t head[3];
	uint64_t len;

	if (!read_all(go, addr, head, sizeof(head)))
		return NULL;
	len = head[1] & 0x7f;
	if (head[1] & 0x80)
		len |= (uint64_t)(head[2] & 0x7f) << 7;
	if (len == 0 || len > MAX_NAME || (head[1] & head[2] & 0x80))
		return NULL;
	return copy_text(go, addr + (head[1] & 0x80 ? 3 : 2), len);
}

/** "*main.RequestError" */
static char *type_name(const struct gc_go *go, uint64_t type)
{
	uint8_t record[TYPE_SIZE];
	uint64_t types;
	char *name;

	if (!read_type(go, type, record, &types))
		return NULL;
	name = read_name(go, types + gc_load_le32(record + TYPE_STR));
	if (name && record[TYPE_TFLAG] & TFLAG_EXTRA_STAR)
		memmove(name, name + 1, strlen(name));
	return name;
}

/** As few digits as tell the number from all others: strconv's format 'g' with precision -1. */
static void add_shortest(struct gc_buf *out, double v, bool is_float32)
{
	char text[40], *e;
	int digits = 0, exponent;

	do
		snprintf(text, sizeof(text), "%.*e", digits, v);
	while (++digits < 17 && (is_float32 ? strtof(text, NULL) != (float)v : strtod(text, NULL) != v));
	e = strchr(text, 'e'); /* with two digits behind it at least, as Go has it */
	exponent = e ? atoi(e + 1) : 0;
	if (exponent < -4 || exponent >= 6)
		gc_buf_str(out, text);
	else
		gc_buf_printf(out, "%.*f", digits - 1 > exponent ? digits - 1 - exponent : 0, v);
}

/** As printfloat of runtime/print.go: +1.500000e+000; since Go 1.26 as short as can be. */
static void add_float(const struct gc_go *go, struct gc_buf *out, double v, bool is_float32)
{
	char text[40], *e;

	if (isnan(v) || isinf(v)) {
		gc_buf_str(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
		return;
	}
	if (go->layout->minor >= 26) {
		add_shortest(out, v, is_float32);
		return;
	}
	snprintf(text, sizeof(text), "%+.6e", v);
	e = strchr(text, 'e'); /* with two or three digits behind it */
	if (e)
		gc_buf_printf(out, "%.*s%c%03d", (int)(e + 1 - text), text, e[1], abs(atoi(e + 1)));
}

static double load_float(enum kind kind, const uint8_t *bytes)
{
	uint32_t u32 = gc_load_le32(bytes);
	uint64_t u64;
	double d;
	float f;

	if (kind == KIND_FLOAT32 || kind == KIND_COMPLEX64) {
		memcpy(&f, &u32, sizeof(f));
		return (double)f;
	}
	u64 = gc_load_le64(bytes);
	memcpy(&d, &u64, sizeof(d));
	return d;
}

/** As printcomplex: the second part always has a sign. */
static void add_complex(const struct gc_go *go, struct gc_buf *out, enum kind kind, const uint8_t bytes[16])
{
	const bool small = kind == KIND_COMPLEX64;
	const double imaginary = load_float(kind, bytes + (small ? 4 : 8));

	gc_buf_char(out, '(');
	add_float(go, out, load_float(kind, bytes), small);
	if (go->layout->minor >= 26 && !isinf(imaginary) && (isnan(imaginary) || !signbit(imaginary)))
		gc_buf_char(out, '+');
	add_float(go, out, imaginary, small);
	gc_buf_str(out, "i)");
}

static void add_number(const struct gc_go *go, struct gc_buf *out, enum kind kind, const uint8_t bytes[16])
{
	uint64_t u = gc_load_le64(bytes);

	switch (kind) {
	case KIND_BOOL:
		gc_buf_str(out, u & 1 ? "true" : "false");
		break;
	case KIND_INT8:
		gc_buf_printf(out, "%d", (int8_t)u);
		break;
	case KIND_INT16:
		gc_buf_printf(out, "%d", (int16_t)u);
		break;
	case KIND_INT32:
		gc_buf_printf(out, "%" PRId32, (int32_t)u);
		break;
	case KIND_INT:
	case KIND_INT64:
		gc_buf_printf(out, "%" PRId64, (int64_t)u);
		break;
	case KIND_FLOAT32:
	case KIND_FLOAT64:
		add_float(go, out, load_float(kind, bytes), kind == KIND_FLOAT32);
		break;
	case KIND_COMPLEX64:
	case KIND_COMPLEX128:
		add_complex(go, out, kind, bytes);
		break;
	default: /* unsigned; the bytes behind it are 0 */
		gc_buf_printf(out, "%" PRIu64, u);
		break;
	}
}

static size_t kind_size(enum kind kind)
{
	switch (kind) {
	case KIND_BOOL:
	case KIND_INT8:
	case KIND_UINT8:
		return 1;
	case KIND_INT16:
	case KIND_UINT16:
		return 2;
	case KIND_INT32:
	case KIND_UINT32:
	case KIND_FLOAT32:
		return 4;
	case KIND_COMPLEX128:
		return 16;
	default:
		return 8;
	}
}

/** Does a type's name have a package, so that the runtime prints main.T(value)? */
static bool is_named(const char *name)
{
	return strchr(name, '.') != NULL;
}

/* Types of package runtime whose Error puts something before the text that they hold. */
static const char *error_prefix(const char *name)
{
	return strcmp(name, "runtime.errorString") == 0 ? "runtime error: " : NULL;
}

/** The buffer's text, which is the caller's now; NULL when memory ran out. */
static char *finish(struct gc_buf *out)
{
	if (!out->failed)
		return out->data;
	gc_buf_deinit(out);
	return NULL;
}

/** Text of strings; named ones are quoted, but for the runtime's own errors. */
static char *string_text(const struct gc_go *go, const char *name, uint64_t data)
{
	char *text = read_string(go, data);
	struct gc_buf out = GC_BUF_INIT;

	if (!text || !is_named(name))
		return text;
	if (error_prefix(name))
		gc_buf_printf(&out, "%s%s", error_prefix(name), text);
	else if (strcmp(name, "runtime.plainError") == 0)
		gc_buf_str(&out, text);
	else
		gc_buf_printf(&out, "%s(\"%s\")", name, text);
	free(text);
	return finish(&out);
}

/** Error types of the standard library that hold their text in their first field. */
static bool holds_text(const char *name)
{
	static const char *const names[] = {
		"*errors.errorString", "*fmt.wrapError", "*fmt.wrapErrors", "runtime.errorAddressString",
	};

	for (size_t i = 0; i < GC_COUNT(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/** The basic kinds, as printpanicval and printanycustomtype of runtime/error.go print them. */
static char *number_text(const struct gc_go *go, const struct value *v, const char *name, enum kind kind)
{
	struct gc_buf out = GC_BUF_INIT;
	uint8_t bytes[16] = { 0 };

	if (!read_all(go, v->data, bytes, kind_size(kind)))
		return NULL;
	if (is_named(name))
		gc_buf_printf(&out, "%s(", name);
	add_number(go, &out, kind, bytes);
	if (is_named(name))
		gc_buf_char(&out, ')');
	return finish(&out);
}

/**
 * What the runtime prints for a panic's value. Errors that it has not asked for
 * their text yet are shown as it shows values that are no errors: by type and
 * address.
 */
static char *value_text(const struct gc_go *go, const struct value *v, const char *name)
{
	struct gc_buf out = GC_BUF_INIT;
	uint8_t record[TYPE_SIZE];
	uint64_t types;
	enum kind kind;

	if (!name || !read_type(go, v->type, record, &types))
		return NULL;
	kind = record[TYPE_KIND] & KIND_MASK;
	if (kind == KIND_STRING)
		return string_text(go, name, v->data);
	if (holds_text(name))
		return read_string(go, v->data);
	if (kind >= KIND_BOOL && kind <= KIND_COMPLEX128)
		return number_text(go, v, name, kind);
	gc_buf_printf(&out, "(%s) 0x%" PRIx64, name, v->data);
	return finish(&out);
}

/**
 * The type that panic was called with. Before it dies the runtime replaces
 * errors by their text (preprintpanics), but gopanic's own argument, spilled
 * where its caller has room for it, still is what it was.
 */
static char *called_type(const struct gc_go *go, const struct gc_frame *gopanic)
{
	uint64_t at = gopanic->cfa + (go->abi->link_register ? 8 : 0);
	struct value v;

	return gopanic->cfa && read_value(go, at, &v) ? type_name(go, v.type) : NULL;
}

/** The next frame of gopanic from @*index on. */
static const struct gc_frame *next_gopanic(const struct gc_frames *frames, size_t *index)
{
	for (; *index < frames->count; (*index)++) {
		const struct gc_frame *f = &frames->list[*index];

		if (f->function && !f->inlined && strcmp(f->function, "panic") == 0) {
			(*index)++;
			return f;
		}
	}
	return NULL;
}

static bool flag_at(const struct gc_go *go, uint64_t addr, uint16_t off)
{
	uint8_t flag;

	return off != NO_FIELD && read_all(go, addr + off, &flag, 1) && flag == 1;
}

static bool add_panic(const struct gc_go *go, uint64_t addr, const struct gc_frame *gopanic, struct gc_go_panics *out)
{
	const struct go_layout *l = go->layout;
	struct gc_go_panic p = { .type = NULL };
	struct gc_go_panic *list;
	struct value v;

	if (!read_value(go, addr + l->panic.arg, &v))
		return false;
	list = realloc(out->list, (out->count + 1) * sizeof(*list));
	if (!list)
		return false;
	out->list = list;
	p.type = type_name(go, v.type);
	p.text = v.type ? value_text(go, &v, p.type) : strdup("nil"); /* panic(nil), until Go 1.20 */
	if (gopanic && p.type && strcmp(p.type, "string") == 0) {
		char *called = called_type(go, gopanic);

		if (called) {
			free(p.type);
			p.type = called;
		}
	}
	p.recovered = flag_at(go, addr, l->panic.recovered);
	p.goexit = flag_at(go, addr, l->panic.goexit);
	p.repanicked = flag_at(go, addr, l->panic.repanicked);
	list[out->count++] = p;
	return true;
}

static void reverse(struct gc_go_panics *panics)
{
	for (size_t i = 0; i < panics->count / 2; i++) {
		struct gc_go_panic p = panics->list[i];

		panics->list[i] = panics->list[panics->count - 1 - i];
		panics->list[panics->count - 1 - i] = p;
	}
}

/** The chain begins with the innermost panic. */
static void read_chain(struct gc_go *go, const struct gc_goroutine *g, struct gc_go_panics *out)
{
	struct gc_frames frames = { .list = NULL };
	uint64_t addr = g->panics;
	size_t index = 0;

	gc_go_goroutine_stack(go, g, &frames, NULL, NULL);
	while (addr && out->count < MAX_PANICS) {
		if (!add_panic(go, addr, next_gopanic(&frames, &index), out) ||
		    gc_space_u64(&go->p->space, addr + go->layout->panic.link, &addr, NULL) != GC_OK)
			break;
	}
	gc_frames_deinit(&frames);
	reverse(out);
	out->goroutine = out->count ? g : NULL;
}

/** The goroutine of the thread that crashed; else one that runs and panics. */
static const struct gc_goroutine *find_panicking(struct gc_go *go)
{
	const struct gc_core *core = &go->p->core;
	const struct gc_go_m *m = core->nthreads ? gc_go_m_of_thread(go, core->threads[0].tid) : NULL;
	const struct gc_goroutine *g = m ? gc_go_goroutine_at(go, m->curg) : NULL;

	if (g && g->panics)
		return g;
	for (size_t i = 0; i < go->nms; i++) {
		g = gc_go_goroutine_at(go, go->ms[i].curg);
		if (g && g->panics && g->status == GC_GO_RUNNING)
			return g;
	}
	return NULL;
}

/* fatal error: */

static bool is_message_closure(struct gc_go *go, uint64_t pc)
{
	const struct go_pc *what = gc_go_is_text(go, pc) ? go_pc_lookup(go, pc, true) : NULL;
	const char *name;

	if (!what || what->entry != pc)
		return false;
	name = go->pcs.lines[what->first + what->count - 1].function;
	return name && (strcmp(name, "runtime.throw.func1") == 0 || strcmp(name, "runtime.fatal.func1") == 0);
}

/** The string that a closure of @words before it holds, or NULL. */
static char *message_at(struct gc_go *go, uint64_t closure, unsigned int words)
{
	uint64_t text, len;

	return go_word(go, closure + 8 * words, &text) && go_word(go, closure + 8 * words + 8, &len) ?
		       copy_text(go, text, len) : NULL;
}

/**
 * throw(s) prints s in a closure {function, s} that lies in its frame
 * (runtime/panic.go). That of fatal has the goroutine's panics before s since
 * Go 1.26, which as a string's address and length were no string.
 */
static char *message_of(struct gc_go *go, const struct gc_frame *f)
{
	uint64_t word;

	if (!f->cfa || f->cfa < f->sp || f->cfa - f->sp > MAX_FRAME)
		return NULL;
	for (uint64_t at = f->sp; f->cfa - at >= 24; at += 8)
		if (go_word(go, at, &word) && is_message_closure(go, word)) {
			char *text = message_at(go, at, 1);

			return text ? text : message_at(go, at, 2);
		}
	return NULL;
}

/** What a thread gave up with; fatalpanic prints the chain, and may do so before. */
static void message_on(struct gc_go *go, const struct gc_thread *thread, struct gc_go_panics *out)
{
	struct gc_frames frames = { .list = NULL };

	gc_go_thread_stack(go, thread->tid, &frames, NULL);
	for (size_t i = 0; i < frames.count; i++) {
		const char *name = frames.list[i].function;

		if (!name)
			continue;
		if (!out->fatal && (strcmp(name, "runtime.throw") == 0 || strcmp(name, "runtime.fatal") == 0)) {
			out->fatal = message_of(go, &frames.list[i]);
			out->fatal_tid = thread->tid;
			/* since Go 1.26 fatal prints the chain (printPreFatalDeferPanic) */
			out->unsaid = out->fatal && (go->layout->minor < 26 || strcmp(name, "runtime.throw") == 0);
		} else if (strcmp(name, "runtime.fatalpanic") == 0) {
			out->unsaid = false;
		}
	}
	gc_frames_deinit(&frames);
}

/** The first thread crashed; else look at those whose M throws. */
static void find_message(struct gc_go *go, struct gc_go_panics *out)
{
	const struct gc_core *core = &go->p->core;

	for (size_t i = 0; i < core->nthreads && !out->fatal; i++) {
		const struct gc_go_m *m = gc_go_m_of_thread(go, core->threads[i].tid);

		if (i > 0 && (!m || !m->throwing))
			continue;
		message_on(go, &core->threads[i], out);
	}
}

/** newstack of runtime/stack.go; a call that pushed has taken its word already. */
static void find_overflow(struct gc_go *go, struct gc_go_panics *out)
{
	const struct gc_go_m *m = gc_go_m_of_thread(go, out->fatal_tid);
	const struct gc_goroutine *g = m ? gc_go_goroutine_at(go, m->curg) : NULL;

	if (g && out->fatal && strcmp(out->fatal, "stack overflow") == 0 &&
	    go_symbol_word(go, "runtime.maxstacksize", 0, &out->stack_limit))
		out->stack_sp = g->sched_sp - go->abi->call_push;
}

enum gc_code gc_go_panics_read(struct gc_go *go, struct gc_go_panics *out, struct gc_error *err)
{
	struct gc_go_panics panics = { .list = NULL };
	const struct gc_goroutine *g = find_panicking(go);

	(void)err;
	if (g)
		read_chain(go, g, &panics);
	find_message(go, &panics);
	find_overflow(go, &panics);
	*out = panics;
	return GC_OK;
}

void gc_go_panics_deinit(struct gc_go_panics *panics)
{
	for (size_t i = 0; i < panics->count; i++) {
		free(panics->list[i].type);
		free(panics->list[i].text);
	}
	free(panics->list);
	free(panics->fatal);
	*panics = (struct gc_go_panics){ .list = NULL };
}
