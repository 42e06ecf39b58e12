/* Shared by those who look at the debug information of all images. */
#ifndef SYM_PROCESS_LINES_H
#define SYM_PROCESS_LINES_H

#include "gocore/lines.h"

struct image_lines {
	struct gc_lines *lines;   /* NULL: not asked yet, or none */
	bool opened, told;        /* told: of its damage */
};

struct gc_process_lines {
	const struct gc_process *p;
	struct gc_symbols *symbols;
	const struct gc_find_options *options;
	struct gc_problems *problems;
	struct image_lines *images; /* as p->images.list */
};

struct image_lines *gc_process_lines_of(struct gc_process_lines *l, const struct gc_image *image);

#endif
