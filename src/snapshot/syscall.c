/* The system call that a thread is in. */
#include <inttypes.h>
#include <stdio.h>

#include "gocore/syscalls.h"

#include "snapshot/snap.h"

/** "futex(0x7f…, 0x80, 0, ?)"; a value that is no longer known as ? */
static void add_text(struct gc_snap *s, json_t *object, const struct gc_in_syscall *call)
{
	struct gc_buf text = GC_BUF_INIT;
	char value[24];

	if (call->name)
		gc_buf_str(&text, call->name);
	else
		gc_buf_printf(&text, "system call %" PRIu64, call->number);
	gc_buf_char(&text, '(');
	for (unsigned i = 0; i < call->nargs; i++)
		gc_buf_printf(&text, "%s%s", i ? ", " : "",
			      call->has_arg[i] ? gc_snap_value(call->args[i], value) : "?");
	gc_buf_char(&text, ')');
	if (call->has_result)
		gc_buf_printf(&text, " = %" PRId64, call->result);
	if (text.failed)
		s->d.failed = true;
	gc_doc_str(&s->d, object, "text", gc_buf_text(&text));
	gc_buf_deinit(&text);
}

/** null where the register holds something else by now */
static json_t *arguments_of(struct gc_snap *s, const struct gc_in_syscall *call)
{
	json_t *array = gc_doc_array(&s->d);

	for (unsigned i = 0; i < call->nargs; i++) {
		char text[24];

		snprintf(text, sizeof(text), "0x%" PRIx64, call->args[i]);
		gc_doc_append(&s->d, array, call->has_arg[i] ? json_string_nocheck(text) : json_null());
	}
	return array;
}

void gc_snap_syscall(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t)
{
	struct gc_in_syscall call;
	json_t *out;

	if (!gc_in_syscall(s->p, t->thread, t->regs, &call))
		return;
	out = gc_doc_object(&s->d);
	gc_doc_size(&s->d, out, "number", call.number);
	gc_doc_str(&s->d, out, "name", call.name);
	gc_doc_set(&s->d, out, "arguments", arguments_of(s, &call));
	if (call.has_result)
		gc_doc_int(&s->d, out, "result", call.result);
	add_text(s, out, &call);
	gc_doc_set(&s->d, object, "syscall", out);
}
