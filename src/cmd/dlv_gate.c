/* Is a program one for Delve, and for this Delve? */
#include "cmd/dlv.h"

#include <limits.h>
#include <stdio.h>

#include "gocore/buildinfo.h"
#include "gocore/log.h"

/** A Delve whose version takes this Go, for the message. */
static void other_delves(unsigned go, char out[64])
{
	unsigned first = 0, last = 0;

	for (unsigned minor = 6; minor < 100; minor++) {
		struct go_range range = delve_takes((struct delve_version){ minor, UINT_MAX });

		if (go < range.min || go > range.max)
			continue;
		if (!first)
			first = minor;
		last = minor;
	}
	if (!first)
		*out = '\0';
	else
		snprintf(out, 64, first == last ? " (1.%u does)" : " (1.%u to 1.%u do)", first, last);
}

/** Delve's own gate says less, and says it late. @return false after saying it */
static bool is_go_taken(const struct delve *d, const struct dlv_args *args, const char *program, const char *go)
{
	struct go_range range = delve_takes(d->version);
	unsigned minor = go_minor(go);
	char others[64];

	if (!minor || !range.max || args->any_go || (minor >= range.min && minor <= range.max))
		return true;
	other_delves(minor, others);
	gc_warn("%s: was built by %s, and Delve 1.%u.%u (%s) is for Go 1.%u to 1.%u: name one that is for it with "
		"--dlv=PATH%s, or try your luck with -- --check-go-version=false", program, go, d->version.minor,
		d->version.patch, d->path, range.min, range.max, others);
	return false;
}

bool dlv_takes(struct gc_elf_file *file, const char *path, const struct delve *d,
			 const struct dlv_args *args)
{
	struct gc_buildinfo info;
	const uint8_t *bytes;
	uint64_t len, addr;
	bool taken;

	if (gc_buildinfo_of_file(&info, file, NULL) != GC_OK) {
		gc_warn("%s: is no Go program, and Delve is for Go: gdb and lldb take its core", path);
		return false;
	}
	taken = is_go_taken(d, args, path, info.version);
	gc_buildinfo_deinit(&info);
	if (taken && !gc_elf_section(file, ".debug_info", &bytes, &len, &addr) &&
	    !gc_elf_section(file, ".zdebug_info", &bytes, &len, &addr))
		gc_warn("%s: has no debug information (go build -ldflags=-w), without which Delve shows little; "
			"gdb gets names and stacks from gocore-stub all the same", path);
	return taken;
}
