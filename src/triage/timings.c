#include "triage/timings.h"


#include "base/clock.h"
#include "gocore/triage.h"

void triage_timings_begin(struct triage_timings *t, bool on)
{
	*t = (struct triage_timings){ .on = on, .last = on ? gc_now() : 0 };
}

void triage_timings_step(struct triage_timings *t, const char *name)
{
	double at;

	if (!t->on || t->count == TRIAGE_MAX_STEPS)
		return;
	at = gc_now();
	t->steps[t->count].name = name;
	t->steps[t->count++].seconds = at - t->last;
	t->last = at;
}

static enum gc_code timed_lines(void *data, const struct gc_frame *frame, struct gc_frames *out, struct gc_error *err)
{
	struct triage_timings *t = data;
	const double began = gc_now();
	enum gc_code code = gc_process_lines_frames(t->tools->lines, frame, out, err);

	t->symbols += gc_now() - began;
	return code;
}

void triage_timings_watch(struct triage_timings *t, const struct gc_stack_tools *tools)
{
	t->tools = tools;
	if (t->on)
		gc_unwinder_set_lines(tools->unwinder, timed_lines, NULL, t);
}

void gc_triage_time(json_t *line, const char *step, double seconds)
{
	json_t *timings = json_object_get(line, "timings_ms");
	const double before = json_number_value(json_object_get(timings, step));

	/* three digits behind the point, as elapsed_ms */
	json_object_set_new(timings, step, json_real((double)(int64_t)((before + seconds * 1e3) * 1e3 + 0.5) / 1e3));
}

void triage_timings_add(const struct triage_timings *t, json_t *line)
{
	if (!t->on || !line)
		return;
	json_object_set_new(line, "timings_ms", json_object());
	for (size_t i = 0; i < t->count; i++)
		gc_triage_time(line, t->steps[i].name, t->steps[i].seconds);
	gc_triage_time(line, "symbols", t->symbols);
	gc_triage_time(line, "unwind", -t->symbols);
}
