/* Unwinding where no table tells how. */
#include "gocore/bytes.h"

#include "x86_64.h"

/* The restorers of glibc and musl. The kernel leaves sp at the ucontext, for the handler took the return address. */
const struct gc_sigreturn x86_64_sigreturns[X86_64_NSIGRETURNS] = {
	{ .len = 9, .call = 7, .code = { 0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05 } }, /* mov $15,%rax; syscall */
	{ .len = 7, .call = 5, .code = { 0xb8, 15, 0, 0, 0, 0x0f, 0x05 } },             /* mov $15,%eax; syscall */
};

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
