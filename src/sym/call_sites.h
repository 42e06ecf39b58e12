/* The calls that a function makes, as DW_TAG_call_site (DWARF 5) and DW_TAG_GNU_call_site tell. */
#ifndef SYM_CALL_SITES_H
#define SYM_CALL_SITES_H

#include "sym/unit.h"

struct gc_call_site {
	uint64_t ret;        /* link-time address behind the call */
	uint64_t target;     /* link-time; 0: not known */
	const char *name;    /* of a target that is only declared here, as symbol tables have it; or NULL */
	bool tail;           /* a jump: there is no coming back */
};

/** Those of one function. */
struct gc_call_sites {
	uint64_t die;        /* of the function */
	uint64_t entry;      /* link-time */
	struct gc_call_site *list;
	size_t count, cap;
};

/** @param out  filled in; what is damaged or too much is left out */
enum gc_code gc_call_sites_read(struct gc_call_sites *out, struct gc_dies *dies, const struct gc_unit *unit,
				const struct gc_unit_function *function, struct gc_error *err);
void gc_call_sites_deinit(struct gc_call_sites *sites);

#endif
