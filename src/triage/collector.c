#include "triage/collector.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

/* Longer values are no names of hosts or units (systemd: UNIT_NAME_MAX is 256). */
#define MAX_VALUE 256

/** @return false: not there, too long, or with bytes that are no text */
static bool read_attribute(const char *path, const char *name, char value[MAX_VALUE + 1])
{
	ssize_t len = getxattr(path, name, value, MAX_VALUE);

	if (len <= 0)
		return false;
	value[len] = '\0';
	return strlen(value) == (size_t)len;
}

bool triage_add_time(struct gc_doc *d, json_t *root, int64_t seconds)
{
	time_t t = (time_t)seconds;
	char text[32];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return false;
	gc_doc_str(d, root, "time", text);
	return true;
}

/** systemd appends six zeros to the kernel's seconds (coredump.c, gather_pid_metadata_from_argv). */
static bool add_timestamp(struct gc_doc *d, json_t *root, const char *text)
{
	char *end;
	long long microseconds = strtoll(text, &end, 10);

	return end != text && !*end && microseconds > 0 && triage_add_time(d, root, microseconds / 1000000);
}

bool triage_add_collected(struct gc_doc *d, json_t *root, const char *path)
{
	char value[MAX_VALUE + 1];

	if (read_attribute(path, "user.coredump.hostname", value))
		gc_doc_str(d, root, "host", value);
	if (read_attribute(path, "user.coredump.unit", value))
		gc_doc_str(d, root, "unit", value);
	return read_attribute(path, "user.coredump.timestamp", value) && add_timestamp(d, root, value);
}
