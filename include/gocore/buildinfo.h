/*
 * The build information that the Go linker puts into every program: version,
 * main module, dependencies and build settings.
 *
 * Formats: debug/buildinfo (buildinfo.go) and runtime/debug (mod.go) of the Go
 * sources; the form with pointers until Go 1.17, inline strings since 1.18.
 */
#ifndef GOCORE_BUILDINFO_H
#define GOCORE_BUILDINFO_H

#include "gocore/elf_file.h"
#include "gocore/process.h"

struct gc_go_module {
	const char *path;
	const char *version;       /* "" where there is none, "(devel)" */
	const char *sum;           /* "" where there is none */
	const char *replaced_by;   /* path of the replacement, or NULL */
	const char *replaced_version;
};

struct gc_go_setting {
	const char *key, *value;   /* "GOARCH", "arm64"; "-compiler", "gc" */
};

struct gc_buildinfo {
	char *version;             /* "go1.24.4" */
	const char *path;          /* import path of the main package, or NULL */
	bool has_main;
	struct gc_go_module main;  /* the main module */
	struct gc_go_module *deps;
	size_t ndeps;
	struct gc_go_setting *settings;
	size_t nsettings;
	char *text;                /* what the others point into */
};

/** @return GC_E_NOT_FOUND if it is no Go program (or one of before Go 1.13) */
enum gc_code gc_buildinfo_of_file(struct gc_buildinfo *out, struct gc_elf_file *file, struct gc_error *err);

/** The same out of the dumped memory of the program, for when there is no file. */
enum gc_code gc_buildinfo_of_memory(struct gc_buildinfo *out, const struct gc_process *p, struct gc_error *err);
void gc_buildinfo_deinit(struct gc_buildinfo *info);

/** @return value of a build setting, or NULL */
const char *gc_buildinfo_setting(const struct gc_buildinfo *info, const char *key);

#endif
