#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rsp/commands.h"
#include "rsp/tdesc.h"

/** qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH */
struct slice {
	struct gc_args annex;
	uint64_t offset, len;
};

static bool parse_slice(struct gc_args *args, struct slice *out)
{
	out->annex = gc_args_until(args, ':');
	return gc_args_range(args, &out->offset, &out->len);
}

static bool annex_is(const struct slice *slice, const char *text)
{
	struct gc_args annex = slice->annex;

	return gc_args_text(&annex, text) && gc_args_end(&annex);
}

/** m or l, and the bytes of the slice. */
static void add_slice(struct gc_reply *reply, const struct slice *slice, const void *bytes, uint64_t len)
{
	struct gc_buf *out = reply->out;
	size_t kind = out->len;
	uint64_t left = slice->offset < len ? len - slice->offset : 0;
	uint64_t wanted = slice->len < left ? slice->len : left;
	size_t taken = 0;

	if (wanted > GC_PACKET_SIZE)
		wanted = GC_PACKET_SIZE;
	gc_buf_char(out, 'm');
	if (wanted)
		taken = gc_packet_add_binary(out, (const char *)bytes + slice->offset, (size_t)wanted,
					     GC_PACKET_SIZE);
	if (taken == left && !out->failed)
		out->data[kind] = 'l';
}

/** A document is built when its first slice is asked for: 10,000 threads are 250 slices. */
typedef void build_fn(struct gc_rsp *rsp, const struct gc_args *annex, struct gc_buf *out);

static enum gc_code reply_document(struct gc_rsp *rsp, enum gc_document_kind kind, const struct slice *slice,
				   build_fn *build, struct gc_reply *reply, struct gc_error *err)
{
	struct gc_document *doc = &rsp->documents[kind];
	size_t len = gc_args_left(&slice->annex);

	if (len >= sizeof(doc->annex))
		return gc_bad_packet(err);
	if (!doc->built || !annex_is(slice, doc->annex)) {
		gc_buf_clear(&doc->text);
		build(rsp, &slice->annex, &doc->text);
		memcpy(doc->annex, slice->annex.pos, len);
		doc->annex[len] = '\0';
		doc->built = !doc->text.failed;
	}
	if (!doc->built)
		return gc_fail_memory(err);
	add_slice(reply, slice, doc->text.data, doc->text.len);
	return GC_OK;
}

static void build_features(struct gc_rsp *rsp, const struct gc_args *annex, struct gc_buf *out)
{
	(void)annex;
	gc_tdesc_xml(&rsp->target->process->regmap, rsp->client == GC_CLIENT_LLDB, out);
}

enum gc_code gc_xfer_features(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			      struct gc_error *err)
{
	struct slice slice;

	if (!parse_slice(args, &slice))
		return gc_bad_packet(err);
	if (!annex_is(&slice, "target.xml"))
		return gc_fail(err, GC_E_NOT_FOUND, "no such part of the description");
	return reply_document(rsp, GC_DOCUMENT_FEATURES, &slice, build_features, reply, err);
}

static void add_thread(struct gc_rsp *rsp, gc_tid tid, struct gc_buf *out)
{
	struct gc_thread_text text;
	struct gc_error err;

	if (rsp->target->ops->describe(rsp->target, tid, &text, &err) != GC_OK)
		text = (struct gc_thread_text){ "", "" };
	gc_buf_str(out, "<thread id=\"");
	gc_rsp_add_tid(rsp, out, tid);
	gc_buf_char(out, '"');
	if (*text.name) {
		gc_buf_str(out, " name=\"");
		gc_buf_xml(out, text.name);
		gc_buf_char(out, '"');
	}
	gc_buf_char(out, '>');
	gc_buf_xml(out, text.extra);
	gc_buf_str(out, "</thread>\n");
}

/* "Thread List Format" */
static void build_threads(struct gc_rsp *rsp, const struct gc_args *annex, struct gc_buf *out)
{
	const struct gc_tids *tids = rsp->target->ops->threads(rsp->target);

	(void)annex;
	gc_buf_str(out, "<?xml version=\"1.0\"?>\n<threads>\n");
	for (size_t i = 0; i < tids->count; i++)
		add_thread(rsp, tids->list[i], out);
	gc_buf_str(out, "</threads>\n");
}

enum gc_code gc_xfer_threads(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	struct slice slice;

	if (!parse_slice(args, &slice) || !annex_is(&slice, ""))
		return gc_bad_packet(err);
	return reply_document(rsp, GC_DOCUMENT_THREADS, &slice, build_threads, reply, err);
}

/** The part that an annex asks for: start=LM;prev=LM;lmid=NAMESPACE;, each may be left out. */
struct library_filter {
	uint64_t start, lmid; /* 0: all */
};

static struct library_filter parse_filter(struct gc_args annex)
{
	struct library_filter filter = { 0, 0 };

	while (!gc_args_end(&annex)) {
		struct gc_args part = gc_args_until(&annex, ';');

		if (gc_args_text(&part, "start="))
			gc_args_hex(&part, &filter.start);
		else if (gc_args_text(&part, "lmid="))
			gc_args_hex(&part, &filter.lmid);
	}
	return filter;
}

static void add_library(const struct gc_link *link, const char *name, struct gc_buf *out)
{
	gc_buf_str(out, "<library name=\"");
	gc_buf_xml(out, name);
	gc_buf_printf(out,
		      "\" lm=\"0x%" PRIx64 "\" l_addr=\"0x%" PRIx64 "\" l_ld=\"0x%" PRIx64 "\" lmid=\"0x%" PRIx64
		      "\"/>\n",
		      link->lm, link->l_addr, link->l_ld, link->lmid);
}

/** The program. A static one has no link map. */
static void add_program(const struct gc_process *p, struct gc_buf *out)
{
	const struct gc_image *image = gc_images_program(&p->images);
	const char *exe = gc_process_exe(p);
	struct gc_link made = { .l_addr = image ? image->bias : 0 };

	if (!exe)
		return;
	for (size_t i = 0; i < p->links.count; i++)
		if (p->links.list[i].is_program) {
			add_library(&p->links.list[i], exe, out);
			return;
		}
	if (image && image->has_bias)
		add_library(&made, exe, out);
}

static void add_libraries(const struct gc_link_map *links, const struct library_filter *filter, struct gc_buf *out)
{
	bool started = filter->start == 0;

	for (size_t i = 0; i < links->count; i++) {
		const struct gc_link *link = &links->list[i];

		started = started || link->lm == filter->start;
		if (started && !link->is_program && (!filter->lmid || link->lmid == filter->lmid))
			add_library(link, link->name, out);
	}
}

/**
 * lldb (14 to 21) reads the list three times while it connects, and adds a
 * module each time that its own path for the file is not the one in the list:
 *
 * - for the stop reply's library: key, before it looks for anything itself.
 *   If it was given no program, it finds it by this list and in no other way.
 * - in its dynamic loader, which reads the auxiliary vector first. This one
 *   knows the program already, and loads the libraries.
 * - for the library: key once more. What is in the list and has another path
 *   is added again, and what is not in it is dropped, as the vDSO. An empty
 *   list changes nothing.
 */
static void add_lldb_list(struct gc_rsp *rsp, const struct library_filter *filter, struct gc_buf *out)
{
	if (!rsp->asked_auxv && !rsp->named_program) {
		add_program(rsp->target->process, out);
		rsp->named_program = true;
	} else if (!rsp->named_libraries) {
		add_libraries(&rsp->target->process->links, filter, out);
		rsp->named_libraries = rsp->asked_auxv;
	}
}

/** lldb takes main-lm for the address of what DT_DEBUG points to, unless qShlibInfoAddr tells that. */
static bool wants_main_lm(const struct gc_rsp *rsp, const struct gc_link_map *links)
{
	return links->main_lm && (rsp->client != GC_CLIENT_LLDB || links->dt_debug);
}

/* "Library List Format for SVR4 Targets". gdb would show the program as one more library. */
static void build_libraries(struct gc_rsp *rsp, const struct gc_args *annex, struct gc_buf *out)
{
	const struct gc_link_map *links = &rsp->target->process->links;
	struct library_filter filter = parse_filter(*annex);

	gc_buf_str(out, "<library-list-svr4 version=\"1.0\"");
	if (wants_main_lm(rsp, links))
		gc_buf_printf(out, " main-lm=\"0x%" PRIx64 "\"", links->main_lm);
	gc_buf_str(out, ">\n");
	if (rsp->client == GC_CLIENT_LLDB)
		add_lldb_list(rsp, &filter, out);
	else
		add_libraries(links, &filter, out);
	gc_buf_str(out, "</library-list-svr4>\n");
}

enum gc_code gc_xfer_libraries(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	struct slice slice;

	if (!parse_slice(args, &slice))
		return gc_bad_packet(err);
	if (rsp->client == GC_CLIENT_LLDB && slice.offset == 0)
		rsp->documents[GC_DOCUMENT_LIBRARIES].built = false; /* see add_lldb_list */
	return reply_document(rsp, GC_DOCUMENT_LIBRARIES, &slice, build_libraries, reply, err);
}

enum gc_code gc_xfer_auxv(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			  struct gc_error *err)
{
	const struct gc_note *auxv = rsp->target->process->core.auxv;
	struct slice slice;

	if (!parse_slice(args, &slice) || !annex_is(&slice, ""))
		return gc_bad_packet(err);
	rsp->asked_auxv = true;
	if (!auxv)
		return gc_fail(err, GC_E_NOT_FOUND, "the core has no auxiliary vector");
	add_slice(reply, &slice, auxv->desc, auxv->desc_len);
	return GC_OK;
}

/** The annex is the process, empty for the only one. */
enum gc_code gc_xfer_exec_file(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	const struct gc_process *p = rsp->target->process;
	const struct gc_image *program = gc_images_program(&p->images);
	const char *path = gc_process_exe(p);
	struct slice slice;
	char pid[32];

	if (!parse_slice(args, &slice))
		return gc_bad_packet(err);
	snprintf(pid, sizeof(pid), "%" PRIx64, p->core.pid);
	if (!annex_is(&slice, "") && !annex_is(&slice, pid))
		return gc_fail(err, GC_E_NOT_FOUND, "no such process");
	if (rsp->client == GC_CLIENT_DELVE && program && program->found_path)
		path = program->found_path; /* it opens the file on this host and nowhere else */
	if (!path)
		return gc_fail(err, GC_E_NOT_FOUND, "the core does not name its program");
	add_slice(reply, &slice, path, strlen(path));
	return GC_OK;
}

enum gc_code gc_xfer_siginfo(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	const struct gc_note *note;
	struct slice slice;

	if (!parse_slice(args, &slice) || !annex_is(&slice, ""))
		return gc_bad_packet(err);
	note = rsp->target->ops->siginfo(rsp->target, rsp->thread);
	if (!note)
		return gc_fail(err, GC_E_NOT_FOUND, "the thread has no siginfo");
	add_slice(reply, &slice, note->desc, note->desc_len);
	return GC_OK;
}
