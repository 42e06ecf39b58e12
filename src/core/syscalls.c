#include "gocore/syscalls.h"

#include <string.h>

#include "gocore/bytes.h"

/* linux/errno.h: a call that is to be repeated or was never finished "returns" one of these */
#define ERESTARTSYS           512
#define ERESTART_RESTARTBLOCK 516
#define ENOSYS_CODE           38 /* what the register is set to before the call is made (entry_64.S) */

const struct gc_syscall *gc_syscall_by_number(const struct gc_arch *arch, uint64_t number)
{
	const struct gc_syscall_abi *abi = arch->syscalls;

	return number < abi->count && abi->table[number].name ? &abi->table[number] : NULL;
}

/** Is the instruction that makes system calls at @addr? */
static bool is_call(const struct gc_process *p, uint64_t addr)
{
	const struct gc_syscall_abi *abi = p->core.arch->syscalls;
	uint8_t code[sizeof(abi->code)];

	return gc_space_read_all(&p->space, addr, code, abi->len, NULL) == GC_OK &&
	       memcmp(code, abi->code, abi->len) == 0;
}

/** The number that the kernel says. @return false: none, or it does not say */
static bool number_inside(const struct gc_process *p, const struct gc_thread *thread, const struct gc_regs *regs,
			  uint64_t *out)
{
	const struct gc_syscall_abi *abi = p->core.arch->syscalls;
	const struct gc_note *note;

	if (!abi->note)
		return gc_regs_u64(regs, p->core.arch->syscall_nr, out) && (int64_t)*out >= 0;
	note = gc_thread_note(&p->core, thread, "LINUX", abi->note);
	if (!note || note->desc_len < 4)
		return false;
	*out = gc_load_le32(note->desc);
	return (int32_t)*out >= 0;
}

static void set_call(const struct gc_arch *arch, const struct gc_regs *regs, struct gc_in_syscall *out)
{
	const struct gc_syscall *call = gc_syscall_by_number(arch, out->number);

	out->name = call ? call->name : NULL;
	out->nargs = call ? call->args : (unsigned)GC_COUNT(out->args);
	for (unsigned i = 0; i < out->nargs; i++)
		out->has_arg[i] = gc_regs_u64(regs, arch->syscalls->args[i], &out->args[i]);
}

/** The call is behind it, or still going on. */
static void set_result(const struct gc_arch *arch, const struct gc_regs *regs, struct gc_in_syscall *out)
{
	const struct gc_syscall_abi *abi = arch->syscalls;
	uint64_t value;

	if (abi->result == abi->args[0]) { /* one of the two, and nothing tells which */
		out->has_arg[0] = false;
		return;
	}
	if (!gc_regs_u64(regs, abi->result, &value))
		return;
	out->result = (int64_t)value;
	out->has_result = !(out->result <= -ERESTARTSYS && out->result >= -ERESTART_RESTARTBLOCK) &&
			  out->result != -ENOSYS_CODE;
}

bool gc_in_syscall(const struct gc_process *p, const struct gc_thread *thread, const struct gc_regs *regs,
		   struct gc_in_syscall *out)
{
	const struct gc_arch *arch = p->core.arch;
	struct gc_in_syscall call = { .name = NULL };
	uint64_t pc;

	if (!arch->syscalls || !gc_regs_u64(regs, arch->pc, &pc))
		return false;
	if (number_inside(p, thread, regs, &call.number) && pc >= arch->syscalls->len &&
	    is_call(p, pc - arch->syscalls->len)) {
		set_call(arch, regs, &call);
		set_result(arch, regs, &call);
	} else if (arch->syscalls->rewinds && gc_regs_u64(regs, arch->syscalls->number, &call.number) &&
		   is_call(p, pc)) {
		set_call(arch, regs, &call);
	} else {
		return false;
	}
	*out = call;
	return true;
}
