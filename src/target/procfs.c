#include "gocore/procfs.h"

#include <elf.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Column of the name in maps: the kernel pads to 25 + 6 * sizeof(void *) - 1
 * and adds a space (show_vma_header_prefix, fs/proc/task_mmu.c).
 */
#define NAME_COLUMN 73

/* More command line than execve(2) takes is damage (MAX_ARG_STRINGS would allow it, RLIMIT_STACK does not). */
#define MAX_CMDLINE (2U << 20)
#define MAX_ARGS    131072

/* So much of the auxiliary vector tells it from anything else: two entries. */
#define AUXV_HEAD 32

/** What a path under /proc names. */
struct proc_path {
	gc_tid tid;              /* of .../task/TID/..., else the pid */
	const char *name;        /* "maps" */
};

static bool parse_number(const char **text, gc_tid *out)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*out = strtoll(*text, &end, 10);
	*text = end;
	return *end == '/';
}

static bool has_thread(struct gc_target *t, gc_tid tid)
{
	const struct gc_core *core = &t->process->core;

	for (size_t i = 0; i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return true;
	return false;
}

/** @return GC_E_NOT_FOUND if @path is not of this process */
static enum gc_code parse_path(struct gc_target *t, const char *path, struct proc_path *out,
			       struct gc_error *err)
{
	const char *at = path;
	gc_tid pid, tid;

	if (strncmp(at, "/proc/", 6) != 0)
		goto not_found;
	at += 6;
	if (!parse_number(&at, &pid) || pid != t->process->core.pid)
		goto not_found;
	tid = pid;
	if (strncmp(at, "/task/", 6) == 0) {
		at += 6;
		if (!parse_number(&at, &tid) || !has_thread(t, tid))
			goto not_found;
	}
	*out = (struct proc_path){ tid, at + 1 };
	return GC_OK;
not_found:
	return gc_fail(err, GC_E_NOT_FOUND, "%s: not in this core", path);
}

/* Memory maps. */

static uint64_t file_offset(const struct gc_range *r)
{
	return r->file ? r->file->offset + (r->start - r->file->start) : 0;
}

/** The name with newlines as the kernel writes them (mangle_path of seq_file.c). */
static void add_name(struct gc_buf *out, const char *name)
{
	for (; *name; name++)
		if (*name == '\n')
			gc_buf_str(out, "\\012");
		else
			gc_buf_char(out, *name);
}

/** The line of maps. The core does not tell device, inode, and whether a mapping is shared. */
static void add_header(struct gc_buf *out, const struct gc_range *r, uint64_t end, unsigned inode)
{
	const char *name = r->file ? r->file->path : r->label;
	size_t line = out->len;

	gc_buf_printf(out, "%08" PRIx64 "-%08" PRIx64 " %c%c%cp %08" PRIx64 " 00:00 %u ", r->start, end,
		      r->flags & PF_R ? 'r' : '-', r->flags & PF_W ? 'w' : '-', r->flags & PF_X ? 'x' : '-',
		      file_offset(r), inode);
	if (name) {
		while (out->len - line < NAME_COLUMN && !out->failed)
			gc_buf_char(out, ' ');
		add_name(out, name);
	}
	gc_buf_char(out, '\n');
}

void gc_procfs_maps(const struct gc_process *p, struct gc_buf *out)
{
	size_t end;

	for (size_t i = 0; i < p->space.count; i = end) {
		end = gc_space_mapping_end(&p->space, i);
		add_header(out, &p->space.ranges[i], p->space.ranges[end - 1].end, 0);
	}
}

/** Index behind the ranges from @first on that are one mapping and served, or not served, all of them. */
static size_t same_end(const struct gc_space *space, size_t first)
{
	size_t end = gc_space_mapping_end(space, first), i = first + 1;

	while (i < end && gc_range_served(&space->ranges[i]) == gc_range_served(&space->ranges[first]))
		i++;
	return i;
}

/**
 * gdb's generate-core-file reads smaps (linux-tdep.c, parse_smaps_data). So
 * that it dumps all that the core holds and does not stumble over the rest,
 * mappings that are held in part are shown as several here, what is not held
 * has "dd" (do not dump; looked at only after a line "Anonymous:"), and
 * mappings of files have an inode: those with 0 get no row in the NT_FILE that
 * it writes.
 */
static void add_smaps(const struct gc_process *p, struct gc_buf *out)
{
	const struct gc_space *space = &p->space;
	size_t end;

	for (size_t i = 0; i < space->count; i = end) {
		const struct gc_range *r = &space->ranges[i];
		uint64_t last;

		end = same_end(space, i);
		last = space->ranges[end - 1].end;
		add_header(out, r, last, r->file ? 1 : 0);
		gc_buf_printf(out, "Size:           %8" PRIu64 " kB\n", (last - r->start) / 1024);
		gc_buf_printf(out, "KernelPageSize: %8" PRIu64 " kB\n", p->core.page_size / 1024);
		gc_buf_printf(out, "Anonymous:      %8" PRIu64 " kB\n",
			      r->file || !gc_range_served(r) ? 0 : (last - r->start) / 1024);
		gc_buf_str(out, "VmFlags:");
		gc_buf_str(out, r->flags & PF_R ? " rd" : "");
		gc_buf_str(out, r->flags & PF_W ? " wr" : "");
		gc_buf_str(out, r->flags & PF_X ? " ex" : "");
		gc_buf_str(out, gc_range_served(r) ? "" : " dd");
		gc_buf_str(out, gc_process_is_tagged(p, r->start) ? " mt" : "");
		gc_buf_str(out, " \n");
	}
}

/* Process and threads. */

/** The kernel's letter; a process whose state is not known is dead at any rate. */
static char state_of(const struct gc_core *core)
{
	char state = core->has_prpsinfo ? core->prpsinfo.state : 0;

	return (state >= 'A' && state <= 'Z') || state == 't' ? state : 'X';
}

static const char *comm_of(const struct gc_core *core)
{
	return core->has_prpsinfo ? core->prpsinfo.fname : "";
}

static const struct gc_thread *thread_of(const struct gc_core *core, gc_tid tid)
{
	static const struct gc_thread none;

	for (size_t i = 0; i < core->nthreads; i++)
		if (core->threads[i].tid == tid)
			return &core->threads[i];
	return &none;
}

static void add_status(const struct gc_core *core, gc_tid tid, struct gc_buf *out)
{
	const struct gc_prpsinfo *info = &core->prpsinfo;
	const struct gc_thread *thread = thread_of(core, tid);

	if (core->has_prpsinfo && tid == core->pid) {
		gc_buf_str(out, "Name:\t");
		add_name(out, info->fname);
		gc_buf_printf(out, "\nState:\t%c\n", state_of(core));
	}
	gc_buf_printf(out, "Tgid:\t%" PRId64 "\nPid:\t%" PRId64 "\n", core->pid, tid);
	if (core->has_prpsinfo)
		gc_buf_printf(out, "PPid:\t%" PRId64 "\nUid:\t%u\nGid:\t%u\n", info->ppid, info->uid,
			      info->gid);
	gc_buf_printf(out, "Threads:\t%zu\n", core->nthreads);
	if (thread->prstatus)
		gc_buf_printf(out, "SigPnd:\t%016" PRIx64 "\nSigBlk:\t%016" PRIx64 "\n", thread->sigpend,
			      thread->sighold);
}

/** The 52 fields of proc_pid_stat(5); 0 for all that the core does not tell. */
static void add_stat(const struct gc_core *core, gc_tid tid, struct gc_buf *out)
{
	const struct gc_prpsinfo *info = &core->prpsinfo;
	const struct gc_thread *thread = thread_of(core, tid);

	gc_buf_printf(out, "%" PRId64 " (", tid);
	add_name(out, tid == core->pid ? comm_of(core) : "");
	gc_buf_printf(out, ") %c %" PRId64 " %" PRId64 " %" PRId64, state_of(core), info->ppid, info->pgrp,
		      info->sid);
	gc_buf_str(out, " 0 -1 0 0 0 0 0 0 0 0 0 0"); /* 7 tty_nr, 8 tpgid ... 17 cstime, 18 priority */
	gc_buf_printf(out, " %d %zu", info->nice, core->nthreads);
	gc_buf_str(out, " 0 0 0 0 0 0 0 0 0 0");         /* 21 itrealvalue ... 30 kstkeip */
	gc_buf_printf(out, " %" PRIu64 " %" PRIu64, thread->sigpend, thread->sighold);
	gc_buf_str(out, " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"); /* 33 sigignore ... 51 env_end */
	gc_buf_printf(out, " %d\n", core->signal);      /* 52 exit_code */
}

/* Command line. */

/** Where the auxiliary vector lies on the first stack, 0 if it is not found. The kernel dumps a copy of it. */
static uint64_t find_auxv(const struct gc_process *p)
{
	const struct gc_note *auxv = p->core.auxv;
	const struct gc_range *stack;
	uint64_t random, at;

	if (!auxv || auxv->desc_len < AUXV_HEAD || !gc_core_auxv(&p->core, AT_RANDOM, &random))
		return 0;
	stack = gc_space_find(&p->space, random);
	if (!stack || !gc_range_served(stack) || !stack->bytes || random < stack->start || random >= stack->end)
		return 0; /* no pointer of the kernel's has a tag */
	/* The bytes of AT_RANDOM lie behind it; what is further away is a copy in some function's frame. */
	for (at = random & ~7ULL; at - stack->start >= AUXV_HEAD && at > stack->start; at -= 8)
		if (memcmp(stack->bytes + (at - AUXV_HEAD - stack->start), auxv->desc, AUXV_HEAD) == 0)
			return at - AUXV_HEAD;
	return 0;
}

/** Go back from @at over non-zero words to the zero before them. @return its address, 0 if there is none */
static uint64_t back_to_zero(const struct gc_space *space, uint64_t at)
{
	for (unsigned i = 0; i < MAX_ARGS; i++) {
		uint64_t word;

		at -= 8;
		if (gc_space_u64(space, at, &word, NULL) != GC_OK)
			return 0;
		if (word == 0)
			return at;
	}
	return 0;
}

/** Go back over argv to argc. @return how many there are, and where the first string lies */
static uint64_t find_argv(const struct gc_space *space, uint64_t end, uint64_t auxv, uint64_t *first)
{
	*first = UINT64_MAX;
	for (uint64_t n = 0; n < MAX_ARGS; n++) {
		uint64_t word;

		end -= 8;
		if (gc_space_u64(space, end, &word, NULL) != GC_OK)
			return 0;
		if (word == n)
			return n;
		if (word > auxv && word < *first) /* the program may have exchanged pointers, as getopt does */
			*first = word;
	}
	return 0;
}

/** Does @cmdline begin as NT_PRPSINFO has it, with spaces for the NULs? */
static bool fits_psargs(const struct gc_core *core, const char *cmdline, size_t len)
{
	const char *args = core->prpsinfo.args;

	for (size_t i = 0; core->has_prpsinfo && args[i]; i++)
		if (i >= len || (cmdline[i] ? cmdline[i] : ' ') != args[i])
			return false;
	return true;
}

/** @count strings that lie one behind another. @return false at what is not in the core; *@at is behind them */
static bool add_strings(const struct gc_space *space, uint64_t *at, uint64_t count, struct gc_buf *out)
{
	size_t before = out->len;

	for (uint64_t i = 0; i < count && out->len - before < MAX_CMDLINE; i++) {
		char text[4096];
		enum gc_code code;
		size_t len;

		do {
			code = gc_space_string(space, *at, text, sizeof(text), NULL);
			if (code != GC_OK && code != GC_E_LIMIT)
				return false;
			len = code == GC_OK ? strlen(text) + 1 : sizeof(text);
			gc_buf_add(out, text, len);
			*at += len;
		} while (code == GC_E_LIMIT && out->len - before < MAX_CMDLINE);
	}
	return true;
}

/**
 * argv as the kernel laid it out on the first stack (create_elf_tables, fs/binfmt_elf.c).
 *
 * @param env      where the strings of the environment begin: right behind it
 * @param nenv     how many there are
 */
static bool add_argv(const struct gc_process *p, struct gc_buf *out, uint64_t *env, uint64_t *nenv)
{
	uint64_t auxv = find_auxv(p), end = 0, argc;
	size_t before = out->len;

	/* envp ends with a zero before auxv, argv with one before envp */
	if (auxv && back_to_zero(&p->space, auxv) == auxv - 8)
		end = back_to_zero(&p->space, auxv - 8);
	argc = end ? find_argv(&p->space, end, auxv, env) : 0;
	if (argc && add_strings(&p->space, env, argc, out) &&
	    fits_psargs(&p->core, out->data + before, out->len - before)) {
		*nenv = (auxv - 16 - end) / 8;
		return true;
	}
	out->len = before;
	return false;
}

static void add_cmdline(const struct gc_process *p, struct gc_buf *out)
{
	uint64_t env, nenv;

	/* whole and with its NULs if it is found, else the note's text, as of a program that gave itself a title */
	if (!add_argv(p, out, &env, &nenv) && p->core.has_prpsinfo)
		gc_buf_add(out, p->core.prpsinfo.args, strlen(p->core.prpsinfo.args) + 1);
}

/** The environment that the program was started with. @return false if it is not found */
static bool add_environ(const struct gc_process *p, struct gc_buf *out)
{
	uint64_t env, nenv;
	size_t before = out->len;
	bool found = add_argv(p, out, &env, &nenv);

	out->len = before;
	if (found && add_strings(&p->space, &env, nenv, out))
		return true;
	out->len = before;
	return false;
}

enum gc_code gc_procfs_read(struct gc_target *t, const char *path, struct gc_buf *out, struct gc_error *err)
{
	const struct gc_process *p = t->process;
	const struct gc_core *core = &p->core;
	struct proc_path where;
	enum gc_code code = parse_path(t, path, &where, err);

	if (code != GC_OK)
		return code;
	if (strcmp(where.name, "maps") == 0)
		gc_procfs_maps(p, out);
	else if (strcmp(where.name, "smaps") == 0)
		add_smaps(p, out);
	else if (strcmp(where.name, "status") == 0)
		add_status(core, where.tid, out);
	else if (strcmp(where.name, "stat") == 0)
		add_stat(core, where.tid, out);
	else if (strcmp(where.name, "cmdline") == 0)
		add_cmdline(p, out);
	else if (strcmp(where.name, "auxv") == 0 && core->auxv)
		gc_buf_add(out, core->auxv->desc, core->auxv->desc_len);
	else if (strcmp(where.name, "comm") == 0 && core->has_prpsinfo && where.tid == core->pid)
		gc_buf_printf(out, "%s\n", core->prpsinfo.fname);
	else if (strcmp(where.name, "coredump_filter") == 0)
		gc_buf_str(out, "000001ff\n"); /* everything: what is not held is marked in smaps */
	else if (strcmp(where.name, "environ") != 0 || !add_environ(p, out))
		return gc_fail(err, GC_E_NOT_FOUND, "%s: not in this core", path);
	return out->failed ? gc_fail_memory(err) : GC_OK;
}

enum gc_code gc_procfs_readlink(struct gc_target *t, const char *path, struct gc_buf *out, struct gc_error *err)
{
	const char *exe = gc_process_exe(t->process);
	struct proc_path where;
	enum gc_code code = parse_path(t, path, &where, err);

	if (code != GC_OK)
		return code;
	if (strcmp(where.name, "exe") != 0 || !exe)
		return gc_fail(err, GC_E_NOT_FOUND, "%s: not known", path);
	gc_buf_str(out, exe);
	return out->failed ? gc_fail_memory(err) : GC_OK;
}
