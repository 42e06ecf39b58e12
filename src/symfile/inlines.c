#include "symfile/inlines.h"

#include <stdlib.h>
#include <string.h>

#define MAX_INDEX (1U << 20)
#define MAX_DEPTH 256

static uint32_t line_at(const struct symfile_tables *tables, uint64_t pc)
{
	int32_t line = symfile_value(&tables->lines, pc);

	return line > 0 ? (uint32_t)line : 0;
}

/** Make room for one more node and for tree index @index. */
static bool make_room(struct symfile_inlines *t, uint32_t index)
{
	if (index >= t->by_index_cap) {
		uint32_t cap = t->by_index_cap ? t->by_index_cap : 256;
		uint32_t *by_index;

		while (cap <= index)
			cap *= 2;
		by_index = realloc(t->by_index, cap * sizeof(*by_index));
		if (!by_index)
			return false;
		memset(by_index + t->by_index_cap, 0, (cap - t->by_index_cap) * sizeof(*by_index));
		t->by_index = by_index;
		t->by_index_cap = cap;
	}
	if (t->count == t->cap) {
		uint32_t cap = t->cap ? 2 * t->cap : 64;
		struct symfile_inlined *nodes = realloc(t->nodes, cap * sizeof(*nodes));

		if (!nodes)
			return false;
		t->nodes = nodes;
		t->cap = cap;
	}
	return true;
}

/** What a walk towards the function itself needs. */
struct reader {
	struct symfile_inlines *t;
	struct symfile *s;
	const struct gc_pcfunc *f;
	const struct symfile_tables *tables;
	struct symfile_files *files;
};

/** Add a node that is not linked yet. @return its caller's index in the tree, -1: the function itself; -2: no memory */
static int32_t add_node(struct reader *r, int32_t index, const struct gc_inlined_call *call)
{
	struct symfile_inlined *node;
	int32_t file, parent;

	if (!make_room(r->t, (uint32_t)index))
		return -2;
	node = &r->t->nodes[r->t->count];
	*node = (struct symfile_inlined){
		.index = index, .name = call->name, .start_line = call->start_line, .parent = NO_NODE,
		.child = NO_NODE, .last_child = NO_NODE, .sibling = NO_NODE, .first = NO_NODE, .last = NO_NODE,
	};
	if (call->has_parent) {
		file = call->file;
		node->call_line = call->line;
		parent = call->parent;
	} else {
		file = symfile_value(&r->tables->files, call->parent_pc);
		node->call_line = line_at(r->tables, call->parent_pc);
		parent = symfile_value(&r->tables->inlines, call->parent_pc);
	}
	node->call_file = symfile_file(r->s, r->files, r->f, file);
	r->t->by_index[index] = ++r->t->count;
	return parent < 0 || (uint32_t)parent >= MAX_INDEX ? -1 : parent;
}

static void link_node(struct symfile_inlines *t, uint32_t node, uint32_t parent)
{
	uint32_t *first = parent == NO_NODE ? &t->root : &t->nodes[parent].child;
	uint32_t *last = parent == NO_NODE ? &t->last_root : &t->nodes[parent].last_child;

	t->nodes[node].parent = parent;
	t->nodes[node].depth = parent == NO_NODE ? 1 : t->nodes[parent].depth + 1;
	if (*last == NO_NODE)
		*first = node;
	else
		t->nodes[*last].sibling = node;
	*last = node;
}

/** The node of tree element @index, with all those that it is inlined into. @return false when out of memory */
static bool find_node(struct reader *r, int32_t index, uint32_t *out)
{
	struct symfile_inlines *t = r->t;
	uint32_t begin = t->count, known = NO_NODE, added = 0;
	struct gc_inlined_call call;

	*out = NO_NODE;
	while (index >= 0 && (uint32_t)index < MAX_INDEX) {
		if ((uint32_t)index < t->by_index_cap && t->by_index[index]) {
			known = t->by_index[index] - 1;
			break;
		}
		if (added == MAX_DEPTH || !gc_pclntab_inlined(r->s->table, r->f, index, &call))
			break;
		index = add_node(r, index, &call);
		if (index == -2)
			return false;
		added++;
	}
	if (known != NO_NODE && (known >= begin || t->nodes[known].depth + added > MAX_DEPTH))
		known = NO_NODE; /* a circle, or too deep: damaged */
	for (uint32_t node = begin + added; node-- > begin; known = node) /* outer ones first */
		link_node(t, node, known);
	*out = known;
	return true;
}

/** [start, end) belongs to @node. Spans come in ascending order. */
static bool add_span(struct symfile_inlines *t, struct symfile_inlined *node, uint64_t start, uint64_t end)
{
	struct symfile_span *last = node->last == NO_NODE ? NULL : &t->spans[node->last];

	if (last && last->end == start) {
		last->end = end;
		return true;
	}
	if (t->nspans == t->spans_cap) {
		uint32_t cap = t->spans_cap ? 2 * t->spans_cap : 256;
		struct symfile_span *spans = realloc(t->spans, cap * sizeof(*spans));

		if (!spans)
			return false;
		t->spans = spans;
		t->spans_cap = cap;
	}
	t->spans[t->nspans] = (struct symfile_span){ start, end, NO_NODE };
	if (node->last == NO_NODE)
		node->first = t->nspans;
	else
		t->spans[node->last].next = t->nspans;
	node->last = t->nspans++;
	return true;
}

enum gc_code symfile_inlines_read(struct symfile_inlines *t, struct symfile *s, const struct gc_pcfunc *f,
				  const struct symfile_tables *tables, struct symfile_files *files,
				  struct gc_error *err)
{
	struct reader r = { t, s, f, tables, files };
	bool lost = false;

	symfile_inlines_clear(t);
	for (size_t i = 0; i < tables->inlines.count; i++) {
		const struct gc_pcrow *row = &tables->inlines.list[i];
		uint32_t node;

		if (row->value < 0 || row->end <= row->start)
			continue;
		if (!find_node(&r, row->value, &node))
			return gc_fail_memory(err);
		lost |= node == NO_NODE;
		if (node != NO_NODE && symfile_spend(s, t->nodes[node].depth, err) != GC_OK)
			return GC_E_LIMIT;
		for (; node != NO_NODE; node = t->nodes[node].parent)
			if (!add_span(t, &t->nodes[node], row->start, row->end))
				return gc_fail_memory(err);
	}
	s->lost_trees += lost;
	return GC_OK;
}

void symfile_inlines_clear(struct symfile_inlines *t)
{
	for (uint32_t i = 0; i < t->count; i++)
		t->by_index[t->nodes[i].index] = 0;
	t->count = t->nspans = 0;
	t->root = t->last_root = NO_NODE;
}

void symfile_inlines_deinit(struct symfile_inlines *t)
{
	free(t->nodes);
	free(t->spans);
	free(t->by_index);
	*t = (struct symfile_inlines){ .count = 0 };
}
