/* What the files of signatures share. */
#ifndef SIGNATURE_SIGNATURE_PRIVATE_H
#define SIGNATURE_SIGNATURE_PRIVATE_H

#include "gocore/signature.h"

/** How many names "top" has. */
#define SIG_TOP 5

/** Frames that count: [first, end) of a crash's. */
struct sig_span {
	size_t first, end;
};

/** Do the rules skip a function of this name, as symbol tables have it? */
bool sig_is_skipped(const char *function);

/** Where threads and programs begin: not part of any fault. */
bool sig_is_start(const char *function);

/** What calls the program's own code in Rust: nothing farther out is part of any fault. */
bool sig_is_rust_start(const char *function);

/** A frame of the C library, by the name of its file? */
bool sig_is_libc(const struct gc_frame *frame);

/** The same, or of the libraries that compilers bring for C++ and unwinding? */
bool sig_is_runtime_library(const struct gc_frame *frame);

/** Which frames count. */
struct sig_span sig_span_of(const struct gc_crash *crash, const struct gc_stack_tools *tools);

/**
 * The calls that repeat on a stack that overflowed, as indexes in @frames,
 * beginning with the same one however deep the stack was.
 *
 * @param out   at least SIG_MAX_PERIOD
 * @return how many, 0: nothing repeats
 */
#define SIG_MAX_PERIOD 64
size_t sig_cycle(const struct gc_frames *frames, struct sig_span span, size_t out[SIG_MAX_PERIOD]);

/** Append the name that "top" has for a frame: the function's, else file and offset. @param go may be NULL */
void sig_frame_name(struct gc_buf *out, const struct gc_go *go, const struct gc_frame *frame);

/** A frame of the Go runtime itself? */
bool sig_is_runtime(const struct gc_go *go, const struct gc_frame *frame);

/** Append "BUILDID+0xOFFSET\n" of the address @pc, which is in @image. */
void sig_place(struct gc_buf *out, const struct gc_image *image, uint64_t pc);

/** Append what the goroutines wait for, to the inputs of both. */
enum gc_code sig_goroutines(struct gc_go *go, struct gc_buf *exact, struct gc_buf *top, struct gc_error *err);

#endif
