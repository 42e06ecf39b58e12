/* The Delve that is installed: where, for which machine, which version, and which Go it takes. */
#ifndef CMD_DELVE_H
#define CMD_DELVE_H

#include <stdbool.h>

#include "gocore/arch.h"
#include "gocore/error.h"

struct delve_version {
	unsigned minor, patch; /* of 1.minor.patch; 0.0: not known */
};

struct delve {
	char path[4096];             /* absolute */
	const struct gc_arch *arch;  /* that it was built for; NULL: one that we do not know */
	bool is_script;              /* arch is this machine's, since a script tells none */
	struct delve_version version;
};

/** Minor numbers of the Go versions that a Delve takes without complaint; max 0: not known. */
struct go_range {
	unsigned min, max;
};

/**
 * Find out about @name: a path, or a program in PATH.
 *
 * @return GC_E_NOT_FOUND if there is none, GC_E_FORMAT if it is no program
 */
enum gc_code delve_find(struct delve *out, const char *name, struct gc_error *err);

/** The architecture of this host, which a Delve out of its packages has too; NULL: not one of ours. */
const struct gc_arch *delve_host_arch(void);

/** "Version: 1.24.0" anywhere in @text. */
struct delve_version delve_version_of_text(const char *text);

struct go_range delve_takes(struct delve_version version);

/** The minor number of "go1.24.4"; 0 if it is another kind of version ("devel go1.25-..."). */
unsigned go_minor(const char *version);

#endif
