/*
 * A profile as pprof reads it: profile.proto of github.com/google/pprof,
 * encoded by hand (protobuf.dev, "Encoding") and packed by gzip.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "document/text.h"

#include "snapshot/goroutines_private.h"

#define MAX_LABELS 1024 /* as gc_go_labels */

/* Field numbers of profile.proto */
enum {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,

	TYPE_TYPE = 1,
	TYPE_UNIT = 2,

	SAMPLE_LOCATION = 1,
	SAMPLE_VALUE = 2,
	SAMPLE_LABEL = 3,

	LABEL_KEY = 1,
	LABEL_STR = 2,
	LABEL_NUM = 3,
	LABEL_UNIT = 4,

	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_FILE = 5,
	MAPPING_BUILD_ID = 6,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILES = 8,
	MAPPING_HAS_LINES = 9,
	MAPPING_HAS_INLINE = 10,

	LOCATION_ID = 1,
	LOCATION_MAPPING = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,

	LINE_FUNCTION = 1,
	LINE_LINE = 2,

	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILE = 4,
};

/* Protobuf */

enum { WIRE_VARINT = 0, WIRE_LEN = 2 };

static void put_varint(struct gc_buf *b, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		gc_buf_char(b, (char)(value | 0x80));
	gc_buf_char(b, (char)value);
}

/** A field that is 0 is left out, as in proto3. */
static void put_number(struct gc_buf *b, unsigned field, uint64_t value)
{
	if (!value)
		return;
	put_varint(b, field << 3 | WIRE_VARINT);
	put_varint(b, value);
}

static void put_bytes(struct gc_buf *b, unsigned field, const void *bytes, size_t len)
{
	put_varint(b, field << 3 | WIRE_LEN);
	put_varint(b, len);
	gc_buf_add(b, bytes, len);
}

static void put_message(struct gc_buf *b, unsigned field, const struct gc_buf *message)
{
	b->failed |= message->failed;
	put_bytes(b, field, gc_buf_text(message), message->len);
}

/* Strings, functions, mappings and locations, each once */

/** A string must be UTF-8, and pprof prints it as it is. */
static enum gc_code string_id(struct profile *p, const char *text, uint64_t *id, struct gc_error *err)
{
	size_t index;
	enum gc_code code;

	gc_buf_clear(&p->text);
	gc_text_str(&p->text, text ? text : "");
	code = p->text.failed ? gc_fail_memory(err)
			      : gc_intern(&p->strings, gc_buf_text(&p->text), p->text.len, &index, err);
	if (code == GC_OK)
		*id = index;
	return code;
}

static enum gc_code function_id(struct profile *p, const char *name, const char *file, uint64_t *id,
				struct gc_error *err)
{
	size_t index, before = p->functions.count;
	uint64_t key[2];
	enum gc_code code = string_id(p, name, &key[0], err);

	if (code == GC_OK)
		code = string_id(p, file, &key[1], err);
	if (code == GC_OK)
		code = gc_intern(&p->functions, key, sizeof(key), &index, err);
	if (code != GC_OK)
		return code;
	*id = index + 1;
	if (index != before)
		return GC_OK;
	gc_buf_clear(&p->message);
	put_number(&p->message, FUNCTION_ID, *id);
	put_number(&p->message, FUNCTION_NAME, key[0]);
	put_number(&p->message, FUNCTION_SYSTEM_NAME, key[0]);
	put_number(&p->message, FUNCTION_FILE, key[1]);
	put_message(&p->function_bytes, PROFILE_FUNCTION, &p->message);
	return GC_OK;
}

/** @param named its functions are, so that pprof does not look for them itself */
static enum gc_code mapping_id(struct profile *p, const struct gc_image *image, bool named, uint64_t *id,
			       struct gc_error *err)
{
	size_t index, before = p->mappings.count;
	char build_id[2 * GC_BUILD_ID_MAX + 1];
	uint64_t file, build;
	enum gc_code code;

	*id = 0;
	if (!image)
		return GC_OK;
	code = gc_intern(&p->mappings, &image, sizeof(image), &index, err);
	if (code != GC_OK)
		return code;
	*id = index + 1;
	if (index != before)
		return GC_OK;
	gc_build_id_hex(&image->build_id, build_id);
	code = string_id(p, image->path, &file, err);
	if (code == GC_OK)
		code = string_id(p, build_id, &build, err);
	gc_buf_clear(&p->message);
	put_number(&p->message, MAPPING_ID, *id);
	put_number(&p->message, MAPPING_START, image->base);
	put_number(&p->message, MAPPING_LIMIT, image->end);
	put_number(&p->message, MAPPING_FILE, code == GC_OK ? file : 0);
	put_number(&p->message, MAPPING_BUILD_ID, code == GC_OK ? build : 0);
	for (unsigned has = MAPPING_HAS_FUNCTIONS; has <= MAPPING_HAS_INLINE; has++)
		put_number(&p->message, has, named);
	put_message(&p->mapping_bytes, PROFILE_MAPPING, &p->message);
	return code;
}

/** The lines of the calls at one pc, innermost first. */
static enum gc_code put_lines(struct profile *p, const struct gc_frame *frames, size_t nframes, struct gc_buf *out,
			      struct gc_error *err)
{
	struct gc_buf line = GC_BUF_INIT;
	enum gc_code code = GC_OK;

	for (size_t i = 0; i < nframes && code == GC_OK; i++) {
		uint64_t id;

		if (!frames[i].function)
			continue;
		code = function_id(p, frames[i].function, frames[i].file, &id, err);
		if (code != GC_OK)
			break;
		gc_buf_clear(&line);
		put_number(&line, LINE_FUNCTION, id);
		put_number(&line, LINE_LINE, frames[i].line);
		put_message(out, LOCATION_LINE, &line);
	}
	gc_buf_deinit(&line);
	return code;
}

static enum gc_code new_location(struct profile *p, const struct gc_frame *frames, size_t nframes, uint64_t id,
				 struct gc_error *err)
{
	const struct gc_frame *frame = &frames[nframes - 1];
	struct gc_buf message = GC_BUF_INIT;
	uint64_t mapping;
	enum gc_code code = mapping_id(p, frame->image, frame->function != NULL, &mapping, err);

	if (code == GC_OK) {
		put_number(&message, LOCATION_ID, id);
		put_number(&message, LOCATION_MAPPING, mapping);
		/* in the call, not behind it, since pprof looks up names by it */
		put_number(&message, LOCATION_ADDRESS, frame->exact || !frame->pc ? frame->pc : frame->pc - 1);
		code = put_lines(p, frames, nframes, &message, err);
		put_message(&p->location_bytes, PROFILE_LOCATION, &message);
	}
	gc_buf_deinit(&message);
	return code;
}

/** @param nframes of one pc, the physical frame last */
static enum gc_code location_id(struct profile *p, const struct gc_frame *frames, size_t nframes, uint64_t *id,
				struct gc_error *err)
{
	const struct gc_frame *frame = &frames[nframes - 1];
	uint64_t key[2] = { frame->pc, frame->exact };
	size_t index, before = p->locations.count;
	enum gc_code code = gc_intern(&p->locations, key, sizeof(key), &index, err);

	if (code != GC_OK)
		return code;
	*id = index + 1;
	return index == before ? new_location(p, frames, nframes, *id, err) : GC_OK;
}

/* Samples */

static enum gc_code put_locations(struct profile *p, const struct gc_frame *frames, size_t nframes,
				  struct gc_buf *out, struct gc_error *err)
{
	size_t end;

	for (size_t start = 0; start < nframes; start = end) {
		uint64_t id;
		enum gc_code code;

		for (end = start + 1; end < nframes && frames[end - 1].inlined; )
			end++;
		code = location_id(p, frames + start, end - start, &id, err);
		if (code != GC_OK)
			return code;
		put_varint(out, id);
	}
	return GC_OK;
}

static enum gc_code put_label(struct profile *p, const struct profile_label *label, struct gc_buf *out,
			      struct gc_error *err)
{
	uint64_t key, text = 0, unit = 0;
	enum gc_code code = string_id(p, label->key, &key, err);

	if (code == GC_OK)
		code = string_id(p, label->text, &text, err);
	if (code == GC_OK)
		code = string_id(p, label->unit, &unit, err);
	if (code != GC_OK)
		return code;
	gc_buf_clear(&p->message);
	put_number(&p->message, LABEL_KEY, key);
	put_number(&p->message, LABEL_STR, text);
	if (!label->text) {
		put_number(&p->message, LABEL_NUM, (uint64_t)label->number);
		put_number(&p->message, LABEL_UNIT, unit);
	}
	put_message(out, SAMPLE_LABEL, &p->message);
	return GC_OK;
}

enum gc_code profile_init(struct profile *profile, struct gc_error *err)
{
	size_t none;

	*profile = (struct profile){ .counts = NULL };
	return gc_intern(&profile->strings, "", 0, &none, err);
}

enum gc_code profile_add(struct profile *p, const struct gc_frame *frames, size_t nframes,
			 const struct profile_label *labels, size_t nlabels, struct gc_error *err)
{
	struct gc_buf *sample = &p->scratch, ids = GC_BUF_INIT;
	enum gc_code code = put_locations(p, frames, nframes, &ids, err);
	size_t index;

	gc_buf_clear(sample);
	if (code == GC_OK)
		put_message(sample, SAMPLE_LOCATION, &ids);
	gc_buf_deinit(&ids);
	for (size_t i = 0; i < nlabels && code == GC_OK; i++)
		code = put_label(p, &labels[i], sample, err);
	if (code == GC_OK && sample->failed)
		code = gc_fail_memory(err);
	if (code == GC_OK)
		code = gc_intern(&p->samples, sample->data, sample->len, &index, err);
	if (code == GC_OK && !gc_intern_room(&p->counts, &p->cap, index, sizeof(*p->counts)))
		code = gc_fail_memory(err);
	if (code == GC_OK)
		p->counts[index]++;
	return code;
}

static enum gc_code put_type(struct profile *p, unsigned field, struct gc_buf *out, struct gc_error *err)
{
	uint64_t type, unit;
	enum gc_code code = string_id(p, "goroutine", &type, err);

	if (code == GC_OK)
		code = string_id(p, "count", &unit, err);
	if (code != GC_OK)
		return code;
	gc_buf_clear(&p->message);
	put_number(&p->message, TYPE_TYPE, type);
	put_number(&p->message, TYPE_UNIT, unit);
	put_message(out, field, &p->message);
	return GC_OK;
}

static void put_samples(struct profile *p, struct gc_buf *out)
{
	struct gc_buf value = GC_BUF_INIT;

	for (size_t i = 0; i < p->samples.count; i++) {
		size_t len;
		const void *rest = gc_intern_bytes(&p->samples, i, &len);

		gc_buf_clear(&value);
		put_varint(&value, (uint64_t)p->counts[i]);
		gc_buf_clear(&p->message);
		gc_buf_add(&p->message, rest, len);
		put_message(&p->message, SAMPLE_VALUE, &value);
		put_message(out, PROFILE_SAMPLE, &p->message);
	}
	gc_buf_deinit(&value);
}

enum gc_code profile_encode(struct profile *p, struct gc_buf *out, struct gc_error *err)
{
	const struct gc_buf *parts[] = { &p->mapping_bytes, &p->location_bytes, &p->function_bytes };
	enum gc_code code = put_type(p, PROFILE_SAMPLE_TYPE, out, err);

	if (code == GC_OK)
		code = put_type(p, PROFILE_PERIOD_TYPE, out, err);
	if (code != GC_OK)
		return code;
	put_number(out, PROFILE_PERIOD, 1);
	put_samples(p, out);
	for (size_t i = 0; i < GC_COUNT(parts); i++) {
		out->failed |= parts[i]->failed;
		gc_buf_add(out, gc_buf_text(parts[i]), parts[i]->len);
	}
	for (size_t i = 0; i < p->strings.count; i++) {
		size_t len;
		const void *text = gc_intern_bytes(&p->strings, i, &len);

		put_bytes(out, PROFILE_STRING, text, len);
	}
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

void profile_deinit(struct profile *p)
{
	struct gc_intern *sets[] = { &p->strings, &p->functions, &p->locations, &p->mappings, &p->samples };
	struct gc_buf *bufs[] = {
		&p->function_bytes, &p->location_bytes, &p->mapping_bytes, &p->scratch, &p->message, &p->text,
	};

	for (size_t i = 0; i < GC_COUNT(sets); i++)
		gc_intern_deinit(sets[i]);
	for (size_t i = 0; i < GC_COUNT(bufs); i++)
		gc_buf_deinit(bufs[i]);
	free(p->counts);
	p->counts = NULL;
}

/* Goroutines */

/** gzip (RFC 1952) without a time, so that the same core gives the same bytes. */
static enum gc_code compress_to(struct gc_buf *out, const struct gc_buf *plain, struct gc_error *err)
{
	z_stream z = { .next_in = (Bytef *)plain->data };
	size_t left = plain->len;
	int done = Z_OK;

	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return gc_fail_memory(err);
	do {
		uInt step = left < 1U << 30 ? (uInt)left : 1U << 30, room = 1U << 16;

		z.avail_in = step;
		z.next_out = (Bytef *)gc_buf_reserve(out, room);
		z.avail_out = room;
		if (!z.next_out)
			break;
		done = deflate(&z, step == left ? Z_FINISH : Z_NO_FLUSH);
		out->len += room - z.avail_out;
		left -= step - z.avail_in;
	} while (done == Z_OK || done == Z_BUF_ERROR);
	deflateEnd(&z);
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

struct pprof_writer {
	struct profile profile;
	struct gc_buf plain;
};

static enum gc_code begin(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct pprof_writer *w = writer;

	(void)g;
	return profile_init(&w->profile, err);
}

static enum gc_code add(void *writer, struct goroutines *g, const struct goroutine_view *view, struct gc_error *err)
{
	struct profile_label list[2 + MAX_LABELS];
	struct pprof_writer *w = writer;
	struct gc_go_labels labels = { .count = 0 };
	struct gc_error why;
	size_t n = 0;
	enum gc_code code;

	list[n++] = (struct profile_label){ .key = "state", .text = goroutine_state(view->g) };
	if (view->g->wait_minutes)
		list[n++] = (struct profile_label){
			.key = "wait", .number = view->g->wait_minutes, .unit = "minutes",
		};
	if (view->g->labels && gc_go_labels(g->go, view->g, &labels, &why) != GC_OK)
		labels.count = 0;
	for (size_t i = 0; i < labels.count && n < GC_COUNT(list); i++)
		list[n++] = (struct profile_label){ .key = labels.list[i].key, .text = labels.list[i].value };
	code = profile_add(&w->profile, view->frames, view->nframes, list, n, err);
	if (labels.count)
		gc_go_labels_deinit(&labels);
	return code;
}

static enum gc_code end(void *writer, struct goroutines *g, struct gc_error *err)
{
	struct pprof_writer *w = writer;
	enum gc_code code = profile_encode(&w->profile, &w->plain, err);

	return code == GC_OK ? compress_to(&g->out, &w->plain, err) : code;
}

static void deinit(void *writer)
{
	struct pprof_writer *w = writer;

	profile_deinit(&w->profile);
	gc_buf_deinit(&w->plain);
}

const struct goroutines_writer goroutines_pprof = { begin, add, end, deinit, sizeof(struct pprof_writer) };
