/*
 * Parsing what follows a packet's name. Each helper takes what it names off
 * the front; one that fails takes nothing.
 */
#ifndef RSP_ARGS_H
#define RSP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gc_args {
	const char *pos, *end;
};

static inline size_t gc_args_left(const struct gc_args *args)
{
	return (size_t)(args->end - args->pos);
}

/** Is everything taken? */
static inline bool gc_args_end(const struct gc_args *args)
{
	return args->pos == args->end;
}

bool gc_args_char(struct gc_args *args, char c);
bool gc_args_text(struct gc_args *args, const char *text);

/** A number in hex, at least one digit. @return false too if it needs more than 64 bits */
bool gc_args_hex(struct gc_args *args, uint64_t *out);

/** Up to the next @stop, which is taken as well but not part of the result, or to the end. */
struct gc_args gc_args_until(struct gc_args *args, char stop);

/** All that is left as hex-coded text, NUL-terminated. @return false if it is no hex, holds a NUL or is too long */
bool gc_args_hex_text(struct gc_args *args, char *buf, size_t cap);

/** ADDR,LENGTH and nothing behind it. */
bool gc_args_range(struct gc_args *args, uint64_t *addr, uint64_t *len);

#endif
