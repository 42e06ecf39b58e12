#include "rsp/session.h"

#include <stdlib.h>
#include <string.h>

#include "gocore/log.h"
#include "rsp/commands.h"

/* How often one reply is repeated; a line that garbles more is no line. */
#define MAX_REPEATS 8

/* Console output per packet, before it becomes hex. */
#define CONSOLE_PIECE 2048

#define TRACE_LENGTH 200

enum gc_code gc_rsp_new(struct gc_rsp **out, struct gc_target *t, const struct gc_rsp_options *options,
			struct gc_error *err)
{
	const struct gc_tids *tids = t->ops->threads(t);
	struct gc_rsp *rsp = calloc(1, sizeof(*rsp));

	if (!rsp)
		return gc_fail_memory(err);
	rsp->target = t;
	rsp->options = *options;
	if (tids->count)
		rsp->thread = tids->list[0];
	*out = rsp;
	return GC_OK;
}

void gc_rsp_free(struct gc_rsp *rsp)
{
	if (!rsp)
		return;
	for (size_t i = 0; i < GC_COUNT(rsp->files); i++)
		gc_open_file_close(&rsp->files[i]);
	for (size_t i = 0; i < GC_COUNT(rsp->documents); i++)
		gc_buf_deinit(&rsp->documents[i].text);
	gc_regs_deinit(&rsp->regs);
	gc_buf_deinit(&rsp->last);
	gc_buf_deinit(&rsp->unescaped);
	gc_packet_reader_deinit(&rsp->reader);
	free(rsp);
}

enum gc_code gc_bad_packet(struct gc_error *err)
{
	return gc_fail(err, GC_E_USAGE, "malformed packet");
}

static void trace(const struct gc_rsp *rsp, const char *direction, const char *data, size_t len)
{
	struct gc_buf line = GC_BUF_INIT;
	size_t shown = len < TRACE_LENGTH ? len : TRACE_LENGTH;

	if (!rsp->options.trace)
		return;
	for (size_t i = 0; i < shown; i++) {
		if (data[i] >= ' ' && data[i] <= '~' && data[i] != '\\')
			gc_buf_char(&line, data[i]);
		else
			gc_buf_printf(&line, "\\x%02x", (uint8_t)data[i]);
	}
	if (shown < len)
		gc_buf_printf(&line, "... (%zu bytes)", len);
	gc_debug("%s %s", direction, gc_buf_text(&line));
	gc_buf_deinit(&line);
}

/** Close the reply's packet; remember it while the client may ask for it again. */
static void finish(struct gc_reply *reply)
{
	struct gc_rsp *rsp = reply->rsp;
	struct gc_buf *out = reply->out;

	if (reply->silent) {
		out->len = reply->start;
		return;
	}
	gc_packet_end(out, reply->start);
	if (out->failed)
		return;
	trace(rsp, "->", out->data + reply->start, out->len - reply->start);
	if (rsp->no_ack)
		return;
	gc_buf_clear(&rsp->last);
	gc_buf_add(&rsp->last, out->data + reply->start, out->len - reply->start);
	rsp->repeats = 0;
}

static struct gc_reply begin(struct gc_rsp *rsp, struct gc_buf *out)
{
	return (struct gc_reply){ .rsp = rsp, .out = out, .start = gc_packet_begin(out) };
}

void gc_reply_console(struct gc_reply *reply, const char *text, size_t len)
{
	while (len) {
		size_t piece = len < CONSOLE_PIECE ? len : CONSOLE_PIECE;

		gc_buf_char(reply->out, 'O');
		gc_packet_add_hex(reply->out, text, piece);
		finish(reply);
		reply->start = gc_packet_begin(reply->out);
		text += piece;
		len -= piece;
	}
}

/** The packet's data without escapes: where it is, or in a copy of ours. */
static const char *without_escapes(struct gc_rsp *rsp, size_t *len)
{
	const struct gc_packet_reader *r = &rsp->reader;

	*len = r->len;
	if (!r->len || !memchr(r->data, '}', r->len))
		return r->data;
	gc_buf_clear(&rsp->unescaped);
	gc_buf_add(&rsp->unescaped, r->data, r->len);
	if (rsp->unescaped.failed)
		return NULL;
	*len = gc_packet_unescape(rsp->unescaped.data, r->len);
	return rsp->unescaped.data;
}

static void answer(struct gc_rsp *rsp, struct gc_buf *out)
{
	bool acknowledge = !rsp->no_ack;
	struct gc_reply reply;
	const char *data;
	size_t len;

	trace(rsp, "<-", rsp->reader.data, rsp->reader.len);
	if (acknowledge)
		gc_buf_char(out, '+');
	reply = begin(rsp, out);
	data = without_escapes(rsp, &len);
	if (data)
		gc_rsp_dispatch(rsp, data, len, &reply);
	else
		gc_buf_str(out, "E01");
	finish(&reply);
}

static void refuse(struct gc_rsp *rsp, struct gc_buf *out)
{
	struct gc_reply reply;

	if (!rsp->no_ack)
		gc_buf_char(out, '+');
	reply = begin(rsp, out);
	gc_buf_str(out, "E01");
	finish(&reply);
}

/**
 * A wrong checksum: ask again, or without acknowledgements take it as it is,
 * since the client waits for an answer and cannot be asked (as gdbserver does).
 */
static void damaged(struct gc_rsp *rsp, struct gc_buf *out)
{
	if (!rsp->no_ack)
		gc_buf_char(out, '-');
	else if (rsp->reader.too_long)
		refuse(rsp, out);
	else
		answer(rsp, out);
}

static void repeat(struct gc_rsp *rsp, struct gc_buf *out)
{
	if (rsp->no_ack || rsp->last.failed || rsp->repeats >= MAX_REPEATS)
		return;
	rsp->repeats++;
	gc_buf_add(out, rsp->last.data, rsp->last.len);
}

static void handle(struct gc_rsp *rsp, enum gc_packet_event event, struct gc_buf *out)
{
	switch (event) {
	case GC_PACKET_READY:
		answer(rsp, out);
		break;
	case GC_PACKET_DAMAGED:
		damaged(rsp, out);
		break;
	case GC_PACKET_TOO_LONG:
		refuse(rsp, out);
		break;
	case GC_PACKET_NACK:
		repeat(rsp, out);
		break;
	case GC_PACKET_ACK:
	case GC_PACKET_NONE:
		break;
	case GC_PACKET_INTERRUPT:
		break; /* nothing runs: an answer would be taken for that of the next packet */
	}
}

bool gc_rsp_feed(struct gc_rsp *rsp, const void *bytes, size_t len, struct gc_buf *out)
{
	const char *pos = bytes;

	while (len && !rsp->over) {
		enum gc_packet_event event;
		size_t used = gc_packet_read(&rsp->reader, pos, len, &event);

		pos += used;
		len -= used;
		handle(rsp, event, out);
		if (out->failed)
			rsp->over = true;
	}
	return !rsp->over;
}
