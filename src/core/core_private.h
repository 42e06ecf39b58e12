/* Shared by the files that read a core's headers and notes. */
#ifndef CORE_CORE_PRIVATE_H
#define CORE_CORE_PRIVATE_H

#include "gocore/core.h"

/* linux/elf.h; <elf.h> of older systems lacks some of them. */
#define GC_NT_PRSTATUS 1
#define GC_NT_FPREGSET 2
#define GC_NT_PRPSINFO 3
#define GC_NT_AUXV     6
#define GC_NT_SIGINFO  0x53494749
#define GC_NT_FILE     0x46494c45

/* Delve, pkg/elfwriter/delve_core_notes.go */
#define GC_NT_DELVE_HEADER 0x444c5645
#define GC_NT_DELVE_THREAD 0x444c5654

/** A PT_NOTE: where its bytes are. */
struct gc_note_segment {
	uint64_t offset, filesz;
	uint64_t have;  /* of filesz, bytes that the file really holds */
	uint64_t align;
};

/** Fill everything in @core that comes from notes; its threads may be none afterwards. */
enum gc_code gc_notes_read(struct gc_core *core, const struct gc_note_segment *segments, size_t n,
			   struct gc_error *err);

/** The parts of gc_notes_read with a file of their own. What is damaged is left out and said. */
enum gc_code gc_notes_read_threads(struct gc_core *core, struct gc_error *err);
enum gc_code gc_notes_read_files(struct gc_core *core, struct gc_error *err);

/** The first note of the process with this type, or NULL. */
const struct gc_note *gc_notes_find(const struct gc_core *core, const char *owner, uint32_t type);

/** "note 3 (NT_PRSTATUS)" */
const char *gc_note_where(const struct gc_core *core, const struct gc_note *note, char buf[64]);

bool gc_note_is_prstatus(const struct gc_core *core, const struct gc_note *note);
bool gc_note_is_delve_header(const struct gc_note *note);
bool gc_note_is_delve_thread(const struct gc_core *core, const struct gc_note *note);

void gc_delve_read_header(const struct gc_note *note, struct gc_delve_header *out);

/** @return false if the note is too short to say which thread it is */
bool gc_delve_thread_id(const struct gc_note *note, gc_tid *out);

/** Decode the registers of a thread note. */
enum gc_code gc_delve_load(const struct gc_core *core, const struct gc_note *note, struct gc_regs *out,
			   struct gc_error *err);

#endif
