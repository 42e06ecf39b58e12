/* How long things take. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <time.h>

/** Seconds since some moment that does not change; only differences mean anything. */
static inline double gc_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#endif
