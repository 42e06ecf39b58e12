/* What the goroutines of a process wait for. */
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"

#include "signature/signature_private.h"

/* Goroutines that are looked at, and groups that are kept. */
#define MAX_GOROUTINES 200000
#define MAX_GROUPS     4096

struct grouping {
	struct gc_wait_groups *out;
	struct gc_intern keys;
	struct gc_buf key;
	struct gc_frames frames;
	size_t cap;
};

static enum gc_code key_of(struct grouping *g, const struct gc_goroutine *goroutine, struct gc_error *err)
{
	struct gc_buf *key = &g->key;

	gc_buf_clear(key);
	gc_buf_str(key, goroutine->wait_reason ? goroutine->wait_reason : gc_go_status_name(goroutine->status));
	gc_buf_char(key, '\0');
	gc_buf_add(key, &goroutine->go_pc, sizeof(goroutine->go_pc));
	for (size_t i = 0; i < g->frames.count; i++)
		gc_buf_add(key, &g->frames.list[i].pc, sizeof(g->frames.list[i].pc));
	return key->failed ? gc_fail_memory(err) : GC_OK;
}

static enum gc_code new_group(struct grouping *g, const struct gc_goroutine *goroutine, struct gc_error *err)
{
	struct gc_wait_groups *out = g->out;

	if (!gc_intern_room(&out->list, &g->cap, out->count, sizeof(*out->list)))
		return gc_fail_memory(err);
	out->list[out->count++] = (struct gc_wait_group){
		.status = gc_go_status_name(goroutine->status), .wait_reason = goroutine->wait_reason,
		.first = goroutine, .frames = g->frames,
	};
	g->frames = (struct gc_frames){ .list = NULL };
	return GC_OK;
}

static enum gc_code add(struct grouping *g, struct gc_go *go, const struct gc_goroutine *goroutine,
			struct gc_error *err)
{
	struct gc_go_stack_end end;
	struct gc_error why;
	size_t index, before = g->keys.count;
	enum gc_code code;

	gc_frames_clear(&g->frames);
	if (gc_go_goroutine_stack(go, goroutine, &g->frames, &end, &why) == GC_E_MEMORY)
		return gc_fail_memory(err);
	code = key_of(g, goroutine, err);
	if (code == GC_OK)
		code = gc_intern(&g->keys, g->key.data, g->key.len, &index, err);
	if (code == GC_OK && index == before) {
		if (index >= MAX_GROUPS) {
			g->out->capped = true;
			return GC_E_LIMIT;
		}
		code = new_group(g, goroutine, err);
	}
	if (code == GC_OK) {
		g->out->list[index].count++;
		g->out->goroutines++;
	}
	return code;
}

static int by_size(const void *left, const void *right)
{
	const struct gc_wait_group *a = left, *b = right;

	if (a->count != b->count)
		return a->count < b->count ? 1 : -1;
	return a->first->goid < b->first->goid ? -1 : a->first->goid > b->first->goid;
}

enum gc_code gc_wait_groups_of(struct gc_wait_groups *out, struct gc_go *go, struct gc_error *err)
{
	struct gc_wait_groups groups = { .list = NULL };
	struct grouping g = { .out = &groups };
	enum gc_code code = GC_OK;
	size_t count;
	const struct gc_goroutine *list = gc_go_goroutines(go, &count);

	for (size_t i = 0; i < count && code == GC_OK; i++) {
		groups.capped |= i >= MAX_GOROUTINES;
		if (groups.capped)
			break;
		if (!gc_go_is_system(go, &list[i]))
			code = add(&g, go, &list[i], err);
	}
	gc_intern_deinit(&g.keys);
	gc_buf_deinit(&g.key);
	gc_frames_deinit(&g.frames);
	if (code == GC_E_MEMORY) {
		gc_wait_groups_deinit(&groups);
		return code;
	}
	if (groups.count)
		qsort(groups.list, groups.count, sizeof(*groups.list), by_size);
	*out = groups;
	return GC_OK;
}

void gc_wait_groups_deinit(struct gc_wait_groups *groups)
{
	for (size_t i = 0; i < groups->count; i++)
		gc_frames_deinit(&groups->list[i].frames);
	free(groups->list);
	*groups = (struct gc_wait_groups){ .list = NULL };
}

/* As parts of a signature. */


/** What a goroutine waits by, which says less than who called it. */
static bool is_wait(const struct gc_go *go, const struct gc_frame *frame)
{
	static const char *const prefixes[] = { "sync.", "internal/", "syscall.", "time.Sleep" };

	for (size_t i = 0; frame->function && i < GC_COUNT(prefixes); i++)
		if (strncmp(frame->function, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return sig_is_runtime(go, frame);
}

/** "main.worker [chan receive]": the innermost function that is not the runtime's, and its state. */
static void write_top(struct gc_buf *out, const struct gc_go *go, const struct gc_wait_group *group)
{
	size_t i = 0;

	while (i < group->frames.count && is_wait(go, &group->frames.list[i]))
		i++;
	if (i < group->frames.count)
		sig_frame_name(out, go, &group->frames.list[i]);
	else
		gc_buf_str(out, "runtime");
	gc_buf_printf(out, " [%s]", group->wait_reason ? group->wait_reason : group->status);
}

static void write_exact(struct gc_buf *out, const struct gc_go *go, const struct gc_wait_group *group)
{
	gc_buf_printf(out, "goroutine %s\n", group->wait_reason ? group->wait_reason : group->status);
	for (size_t i = 0; i < group->frames.count; i++)
		if (!group->frames.list[i].inlined && !sig_is_runtime(go, &group->frames.list[i]))
			sig_place(out, group->frames.list[i].image, group->frames.list[i].pc);
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/** The texts in order, each once: how many goroutines do the same depends on the load. */
static void join(struct gc_buf *out, char **texts, size_t count, size_t most, const char *between)
{
	size_t n = 0;

	if (count)
		qsort(texts, count, sizeof(*texts), compare_text);
	for (size_t i = 0; i < count && n < most; i++) {
		if (i > 0 && strcmp(texts[i], texts[i - 1]) == 0)
			continue;
		if (out->len && *between)
			gc_buf_str(out, between);
		gc_buf_str(out, texts[i]);
		n++;
	}
}

typedef void write_fn(struct gc_buf *out, const struct gc_go *go, const struct gc_wait_group *group);

static bool write_texts(const struct gc_wait_groups *groups, const struct gc_go *go, write_fn *write, char **texts)
{
	struct gc_buf text = GC_BUF_INIT;
	bool ok = true;

	for (size_t i = 0; i < groups->count && ok; i++) {
		gc_buf_clear(&text);
		write(&text, go, &groups->list[i]);
		texts[i] = text.failed ? NULL : strdup(gc_buf_text(&text));
		ok = texts[i] != NULL;
	}
	gc_buf_deinit(&text);
	return ok;
}

static enum gc_code write_groups(const struct gc_wait_groups *groups, const struct gc_go *go, struct gc_buf *exact,
				 struct gc_buf *top, struct gc_error *err)
{
	char **texts = calloc(2 * groups->count + 1, sizeof(*texts));
	bool ok = texts && write_texts(groups, go, write_top, texts) &&
		  write_texts(groups, go, write_exact, texts + groups->count);

	if (ok) {
		join(top, texts, groups->count, SIG_TOP, " < ");
		join(exact, texts + groups->count, groups->count, groups->count, "");
	}
	for (size_t i = 0; texts && i < 2 * groups->count; i++)
		free(texts[i]);
	free(texts);
	return ok ? GC_OK : gc_fail_memory(err);
}

enum gc_code sig_goroutines(struct gc_go *go, struct gc_buf *exact, struct gc_buf *top, struct gc_error *err)
{
	struct gc_wait_groups groups;
	enum gc_code code = gc_wait_groups_of(&groups, go, err);

	if (code != GC_OK)
		return code;
	code = write_groups(&groups, go, exact, top, err);
	gc_wait_groups_deinit(&groups);
	return code;
}
