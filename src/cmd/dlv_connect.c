/* Delve on the core of a stub that serves already. */
#include "cmd/dlv.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "cmd/helper.h"
#include "gocore/go_target.h"
#include "gocore/log.h"
#include "gocore/rsp.h"

/** The thread in the answer to ?, which is the crashed one; 0: not known. */
static gc_tid ask_thread(int fd)
{
	static const char question[] = "$?#3f";
	char answer[4096];
	const struct timeval patience = { .tv_sec = 5 };
	size_t len = 0;
	char *thread, *dot;
	gc_tid tid;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (write(fd, question, sizeof(question) - 1) != sizeof(question) - 1)
		return 0;
	do {
		ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);

		if (n <= 0)
			return 0;
		len += (size_t)n;
		answer[len] = '\0';
	} while (!strchr(answer, '#') && len < sizeof(answer) - 1);
	thread = strstr(answer, "thread:");
	if (!thread)
		return 0;
	dot = strchr(thread, '.');
	tid = strtoll(dot ? dot + 1 : thread + strlen("thread:"), NULL, 16);
	return tid < GC_GO_TID_BASE ? tid : 0; /* goroutines are no threads to Delve */
}

static int start(const char *address, const char *path, const struct delve *delve,
		 const struct dlv_args *args, gc_tid crashed)
{
	const struct dlv_start s = { delve, args, path, crashed };

	setenv(HELPER_CONNECT, address, 1);
	setenv(HELPER_PROGRAM, path, 1);
	if (args->dap)
		dlv_print_launch(path, NULL);
	return dlv_exec_on_stub(&s);
}

static bool is_arch_of(const struct gc_elf_file *file, const struct delve *delve, const char *path)
{
	const struct gc_arch *arch = gc_arch_by_machine(file->phdrs.machine);

	if (arch && arch == delve->arch)
		return true;
	gc_warn("%s: is of %s, and this Delve (%s) takes every stub for one of %s; give it the core: gocore-stub dlv "
		"CORE PROGRAM", path, arch ? arch->elf_name : "another architecture", delve->path,
		delve->arch ? delve->arch->elf_name : "its own architecture");
	return false;
}

int dlv_connected(const char *address, const char *program, const char *name, const struct dlv_args *args)
{
	struct gc_elf_file file;
	int fd, status = EXIT_UNUSABLE;
	struct gc_error err;
	char path[PATH_MAX];
	struct delve delve;
	gc_tid crashed;

	if (gc_elf_file_open(&file, program, &err) != GC_OK) {
		print_error(program, &err);
		return EXIT_UNUSABLE;
	}
	if (delve_find(&delve, name, &err) != GC_OK || gc_rsp_dial(address, &fd, &err) != GC_OK) {
		gc_warn("%s", err.text);
		goto out;
	}
	crashed = ask_thread(fd);
	close(fd);
	if (is_arch_of(&file, &delve, program) && dlv_takes(&file, program, &delve, args) &&
	    dlv_program(&file, program, path))
		status = start(address, path, &delve, args, crashed);
out:
	gc_elf_file_close(&file);
	return status;
}
