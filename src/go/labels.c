#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "go/go_private.h"

#define MAX_LABELS  1024
#define MAX_TEXT    65536
#define MAX_ALL     ((size_t)64 << 20) /* bytes of the labels of all goroutines */
#define MAX_BUCKETS ((uint64_t)1 << 16)
#define MAX_CHAIN   64

/* Until Go 1.23 labels are a map[string]string: runtime/map.go, hmap and bmap. */
enum {
	HMAP_B = 9,
	HMAP_BUCKETS = 16,
	HMAP_OLD_BUCKETS = 24,
	BUCKET_COUNT = 8,
	BUCKET_KEYS = 8,
	BUCKET_VALUES = BUCKET_KEYS + 16 * BUCKET_COUNT,
	BUCKET_OVERFLOW = BUCKET_VALUES + 16 * BUCKET_COUNT,
	BUCKET_SIZE = BUCKET_OVERFLOW + 8,
	MIN_TOP_HASH = 5,   /* below: empty or moved to the new buckets */
};

#define FIRST_LABEL_SLICE 24   /* Go 1.24: runtime/pprof labelMap is a struct with a slice */

/** The string whose header (pointer, length) is at @header; NULL if it is not there or absurd. */
static char *read_string(struct gc_go *go, const uint8_t *header)
{
	uint64_t addr = gc_load_le64(header), len = gc_load_le64(header + 8);
	char *text;

	if (len > MAX_TEXT || len > MAX_ALL - go->label_bytes)
		return NULL;
	go->label_bytes += len;
	text = malloc(len + 1);
	if (text && len && gc_space_read_all(&go->p->space, addr, text, len, NULL) != GC_OK) {
		free(text);
		return NULL;
	}
	if (text)
		text[len] = '\0';
	return text;
}

/** @return false if it is none, and what follows is hardly any */
static bool add_label(struct gc_go *go, const uint8_t *key, const uint8_t *value, struct gc_go_labels *out)
{
	struct gc_go_label label = { read_string(go, key), read_string(go, value) };
	struct gc_go_label *list = NULL;

	if (label.key && label.value && out->count < MAX_LABELS)
		list = realloc(out->list, (out->count + 1) * sizeof(*list));
	if (!list) {
		free(label.key);
		free(label.value);
		return false;
	}
	out->list = list;
	list[out->count++] = label;
	return true;
}

static void read_slice(struct gc_go *go, uint64_t addr, struct gc_go_labels *out)
{
	uint8_t header[16], pair[32];
	uint64_t list, n;

	if (gc_space_read_all(&go->p->space, addr, header, sizeof(header), NULL) != GC_OK)
		return;
	list = gc_load_le64(header);
	n = gc_load_le64(header + 8);
	for (uint64_t i = 0; n <= MAX_LABELS && i < n; i++) {
		if (gc_space_read_all(&go->p->space, list + 32 * i, pair, sizeof(pair), NULL) != GC_OK ||
		    !add_label(go, pair, pair + 16, out))
			return;
	}
}

static void read_buckets(struct gc_go *go, uint64_t first, uint64_t n, struct gc_go_labels *out)
{
	uint8_t b[BUCKET_SIZE];

	for (uint64_t i = 0; first && i < n && i < MAX_BUCKETS && out->count < MAX_LABELS; i++) {
		uint64_t addr = first + BUCKET_SIZE * i;

		for (int chain = 0; addr && chain < MAX_CHAIN; chain++) {
			if (gc_space_read_all(&go->p->space, addr, b, sizeof(b), NULL) != GC_OK)
				return;
			for (unsigned k = 0; k < BUCKET_COUNT; k++)
				if (b[k] >= MIN_TOP_HASH &&
				    !add_label(go, b + BUCKET_KEYS + 16 * k, b + BUCKET_VALUES + 16 * k, out))
					return;
			addr = gc_load_le64(b + BUCKET_OVERFLOW);
		}
	}
}

static void read_map(struct gc_go *go, uint64_t addr, struct gc_go_labels *out)
{
	uint8_t hmap[48];
	uint64_t map;

	if (gc_space_u64(&go->p->space, addr, &map, NULL) != GC_OK || !map ||
	    gc_space_read_all(&go->p->space, map, hmap, sizeof(hmap), NULL) != GC_OK || hmap[HMAP_B] > 16)
		return;
	read_buckets(go, gc_load_le64(hmap + HMAP_BUCKETS), (uint64_t)1 << hmap[HMAP_B], out);
	if (hmap[HMAP_B])
		read_buckets(go, gc_load_le64(hmap + HMAP_OLD_BUCKETS), (uint64_t)1 << (hmap[HMAP_B] - 1), out);
}

static int compare_labels(const void *a, const void *b)
{
	const struct gc_go_label *x = a, *y = b;

	return strcmp(x->key, y->key);
}

enum gc_code gc_go_labels(struct gc_go *go, const struct gc_goroutine *g, struct gc_go_labels *out,
			  struct gc_error *err)
{
	struct gc_go_labels labels = { .list = NULL };

	(void)err;
	if (g->labels && (go->minor ? go->minor : go->layout->minor) >= FIRST_LABEL_SLICE)
		read_slice(go, g->labels, &labels);
	else if (g->labels)
		read_map(go, g->labels, &labels);
	if (labels.count)
		qsort(labels.list, labels.count, sizeof(*labels.list), compare_labels);
	*out = labels;
	return GC_OK;
}

void gc_go_labels_deinit(struct gc_go_labels *labels)
{
	for (size_t i = 0; i < labels->count; i++) {
		free(labels->list[i].key);
		free(labels->list[i].value);
	}
	free(labels->list);
	*labels = (struct gc_go_labels){ .list = NULL };
}
