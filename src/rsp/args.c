#include "rsp/args.h"

#include <string.h>

bool gc_args_char(struct gc_args *args, char c)
{
	if (gc_args_end(args) || *args->pos != c)
		return false;
	args->pos++;
	return true;
}

bool gc_args_text(struct gc_args *args, const char *text)
{
	size_t len = strlen(text);

	if (gc_args_left(args) < len || memcmp(args->pos, text, len) != 0)
		return false;
	args->pos += len;
	return true;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool gc_args_hex(struct gc_args *args, uint64_t *out)
{
	const char *p = args->pos;
	uint64_t value = 0;

	for (; p < args->end && digit_value(*p) >= 0; p++) {
		if (value >> 60)
			return false;
		value = value << 4 | (uint64_t)digit_value(*p);
	}
	if (p == args->pos)
		return false;
	args->pos = p;
	*out = value;
	return true;
}

struct gc_args gc_args_until(struct gc_args *args, char stop)
{
	size_t left = gc_args_left(args);
	const char *at = left ? memchr(args->pos, stop, left) : NULL;
	struct gc_args part = { args->pos, at ? at : args->end };

	args->pos = at ? at + 1 : args->end;
	return part;
}

bool gc_args_hex_text(struct gc_args *args, char *buf, size_t cap)
{
	size_t len = gc_args_left(args) / 2;

	if (gc_args_left(args) % 2 || len >= cap)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = digit_value(args->pos[2 * i]), low = digit_value(args->pos[2 * i + 1]);

		if (high < 0 || low < 0 || high + low == 0)
			return false;
		buf[i] = (char)(high << 4 | low);
	}
	buf[len] = '\0';
	args->pos = args->end;
	return true;
}

bool gc_args_range(struct gc_args *args, uint64_t *addr, uint64_t *len)
{
	struct gc_args rest = *args;

	if (!gc_args_hex(&rest, addr) || !gc_args_char(&rest, ',') || !gc_args_hex(&rest, len) ||
	    !gc_args_end(&rest))
		return false;
	*args = rest;
	return true;
}
