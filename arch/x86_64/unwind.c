/* Unwinding where no table tells how. */
#include <string.h>

#include "gocore/bytes.h"

#include "x86_64.h"

/* The restorers of glibc and musl. The kernel leaves sp at the ucontext, for the handler took the return address. */
const struct gc_sigreturn x86_64_sigreturns[X86_64_NSIGRETURNS] = {
	{ .len = 9, .call = 7, .code = { 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05 } }, /* mov $15,%rax; syscall */
	{ .len = 7, .call = 5, .code = { 0xb8, 15, 0, 0, 0, 0x0f, 0x05 } },             /* mov $15,%eax; syscall */
};

#define MAX_FRAME 0x1000000

static bool starts(const uint8_t *code, size_t len, const char *with, size_t n)
{
	return len >= n && memcmp(code, with, n) == 0;
}

static bool is_return(const uint8_t *code, size_t len)
{
	return starts(code, len, "\xc3", 1) || starts(code, len, "\xf3\xc3", 2) || starts(code, len, "\xc2", 1);
}

/** Length of an instruction that compilers put between those of a prologue and that leaves the stack alone; 0: unknown */
static size_t harmless(const uint8_t *code, size_t len)
{
	const size_t rex = len > 0 && (code[0] & 0xf0) == 0x40 ? 1 : 0;
	const uint8_t op = len > rex + 1 ? code[rex] : 0;
	const uint8_t modrm = len > rex + 1 ? code[rex + 1] : 0;

	if ((op == 0x89 || op == 0x8b || op == 0x31 || op == 0x33 || op == 0x63) && modrm >> 6 == 3)
		return (modrm & 7) == 4 || (modrm >> 3 & 7) == 4 ? 0 : rex + 2; /* register to register, not sp */
	if ((op == 0x8d || op == 0x8b) && (modrm & 0xc7) == 5 && (modrm >> 3 & 7) != 4)
		return rex + 6; /* relative to rip */
	if (op == 0x89 && (modrm & 0xc7) == 5)
		return rex + 6; /* a store there */
	if (op == 0xc7 && modrm == 5)
		return rex + 10; /* of a constant */
	if ((op == 0x85 || op == 0x39 || op == 0x3b) && modrm >> 6 == 3)
		return rex + 2; /* test, cmp */
	if (op >= 0xb8 && op <= 0xbf && op != 0xbc && !(rex && code[0] & 8))
		return rex + 5; /* a constant */
	return 0;
}

/** One instruction of a prologue. @return its length, 0: it is none */
static size_t prologue_step(const uint8_t *code, size_t len, struct gc_prologue *p)
{
	const size_t rex = starts(code, len, "\x41", 1) ? 1 : 0;

	if (len > rex && (code[rex] & 0xf8) == 0x50) { /* push */
		p->pushed += 8;
		if (!rex && code[0] == 0x55 && !p->fp_saved) {
			p->fp_saved = true;
			p->fp_at = p->pushed;
		}
		return rex + 1;
	}
	if (starts(code, len, "\x48\x89\xe5", 3) || starts(code, len, "\x48\x8b\xec", 3)) { /* mov %rsp,%rbp */
		p->has_frame = p->fp_saved;
		p->frame = p->pushed;
		return 3;
	}
	if (len >= 4 && starts(code, len, "\x48\x83\xec", 3)) { /* sub $n,%rsp */
		p->pushed += code[3];
		return 4;
	}
	if (len >= 7 && starts(code, len, "\x48\x81\xec", 3) && gc_load_le32(code + 3) < MAX_FRAME) {
		p->pushed += gc_load_le32(code + 3);
		return 7;
	}
	return harmless(code, len);
}

/** "endbr64; push %rbp; mov %rsp,%rbp; push %rbx; sub $24,%rsp", where the pc is in it or behind it */
bool x86_64_prologue(const uint8_t *code, size_t at, size_t len, struct gc_prologue *out)
{
	size_t i = starts(code, len, "\xf3\x0f\x1e\xfa", 4) ? 4 : 0;

	*out = (struct gc_prologue){ .pushed = 8, .ret_saved = true, .ret_at = 8 };
	if (is_return(code + at, len - at))
		return true;
	while (i < at && !out->has_frame) {
		size_t n = prologue_step(code + i, len - i, out);

		if (n == 0)
			break;
		i += n;
	}
	/* code that is not understood may do anything; but what has pushed something has most of it behind it */
	return i >= at || out->has_frame || out->pushed > 8;
}

/** Length of "call *..." with its ModRM byte at @modrm, without prefixes; 0: it is none */
static size_t indirect_len(const uint8_t *modrm, size_t left)
{
	static const uint8_t displacement[] = { 0, 1, 4, 0 };
	const uint8_t mod = modrm[0] >> 6, rm = modrm[0] & 7;
	size_t len = 2;

	if ((modrm[0] >> 3 & 7) != 2)
		return 0;
	if (mod == 3)
		return len;
	len += displacement[mod];
	if (mod == 0 && rm == 5)
		len += 4;
	if (rm == 4) {
		len++;
		if (mod == 0 && left >= 2 && (modrm[1] & 7) == 5)
			len += 4;
	}
	return len;
}

bool x86_64_is_call(const uint8_t *code, size_t len, uint64_t ret, uint64_t *target)
{
	*target = 0;
	if (len >= 5 && code[len - 5] == 0xe8) {
		*target = ret + (uint64_t)(int64_t)(int32_t)gc_load_le32(code + len - 4);
		return true;
	}
	for (size_t n = 2; n <= 7 && n <= len; n++)
		if (code[len - n] == 0xff && indirect_len(code + len - n + 1, n - 1) == n)
			return true;
	return false;
}
