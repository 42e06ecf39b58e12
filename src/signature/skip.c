/*
 * Functions that say nothing of where a fault is: those that end a process on
 * behalf of others. The order does not matter. doc/signatures.md shows the
 * table to users; a test compares the two.
 */
#include <fnmatch.h>
#include <string.h>

#include "signature/signature_private.h"

const struct gc_skip_rule gc_skip_rules[] = {
	{ "abort", "C library" },
	{ "raise", "C library" },
	{ "gsignal", "C library" },
	{ "kill", "C library" },
	{ "tgkill", "C library" },
	{ "pthread_kill", "C library" },
	{ "pthread_kill@*", "C library" },
	{ "__pthread_kill", "C library" },
	{ "__pthread_kill_implementation*", "C library" },
	{ "__pthread_kill_internal*", "C library" },
	{ "__libc_message*", "C library" },
	{ "__libc_fatal", "C library" },
	{ "__assert", "C library" },
	{ "__assert_fail", "C library" },
	{ "__assert_fail_base*", "C library" },
	{ "__assert_perror_fail", "C library" },
	{ "__fortify_fail*", "C library" },
	{ "__chk_fail", "C library" },
	{ "__*_chk_fail", "C library" },
	{ "__stack_chk_fail*", "C library" },
	{ "malloc_printerr*", "C library" },
	{ "_int_free*", "C library" },
	{ "_int_malloc*", "C library" },
	{ "_int_realloc*", "C library" },
	{ "malloc_consolidate*", "C library" },
	{ "unlink_chunk*", "C library" },
	{ "sysmalloc*", "C library" },
	{ "<signal handler called>", "signal" },
	{ "__restore_rt", "signal" },
	{ "__kernel_rt_sigreturn", "signal" },
	{ "std::terminate", "C++" },
	{ "__cxxabiv1::__terminate", "C++" },
	{ "__cxxabiv1::__unexpected", "C++" },
	{ "__gnu_cxx::__verbose_terminate_handler", "C++" },
	{ "__cxa_throw", "C++" },
	{ "__cxa_rethrow", "C++" },
	{ "__cxa_pure_virtual", "C++" },
	{ "__cxa_call_terminate", "C++" },
	{ "_Unwind_RaiseException", "C++" },
	{ "_Unwind_Resume*", "C++" },
	{ "__gxx_personality_v0", "C++" },
	{ "std::__throw_*", "C++" },
	{ "std::__glibcxx_assert_fail", "C++" },
	{ "std::rethrow_exception", "C++" },
	{ "std::__1::__throw_*", "C++" },
	{ "std::__1::__libcpp_verbose_abort", "C++" },
	{ "rust_panic", "Rust" },
	{ "rust_begin_unwind", "Rust" },
	{ "__rust_start_panic", "Rust" },
	{ "__rustc::rust_*", "Rust" },
	{ "__rustc::__rust_*", "Rust" },
	{ "core::panicking::*", "Rust" },
	{ "core::option::expect_failed", "Rust" },
	{ "core::option::unwrap_failed", "Rust" },
	{ "core::result::unwrap_failed", "Rust" },
	{ "core::cell::panic_*", "Rust" },
	{ "alloc::alloc::handle_alloc_error*", "Rust" },
	{ "alloc::raw_vec::capacity_overflow", "Rust" },
	{ "alloc::raw_vec::handle_error", "Rust" },
	{ "core::slice::index::slice_*_fail*", "Rust" },
	{ "core::str::slice_error_fail*", "Rust" },
	{ "std::panicking::*", "Rust" },
	{ "std::process::abort", "Rust" },
	{ "std::sys::*::abort_internal", "Rust" },
	{ "std::sys::*::stack_overflow::*", "Rust" },
	{ "std::sys_common::backtrace::__rust_end_short_backtrace*", "Rust" },
	{ "std::sys::backtrace::__rust_end_short_backtrace*", "Rust" },
	{ "panic_abort::*", "Rust" },
	{ "__rust_start_panic::abort", "Rust" },
	{ "panic", "Go runtime" },
	{ "runtime.gopanic", "Go runtime" },
	{ "runtime.panic*", "Go runtime" },
	{ "runtime.goPanic*", "Go runtime" },
	{ "runtime.sigpanic*", "Go runtime" },
	{ "runtime.fatal*", "Go runtime" },
	{ "runtime.throw*", "Go runtime" },
	{ "runtime.dopanic*", "Go runtime" },
	{ "runtime.crash", "Go runtime" },
	{ "runtime.dieFromSignal", "Go runtime" },
	{ "runtime.raise", "Go runtime" },
	{ "runtime.raiseproc", "Go runtime" },
	{ "runtime.tgkill", "Go runtime" },
	{ "runtime.sig*", "Go runtime" },
	{ "runtime.cgoSigtramp", "Go runtime" },
	{ "runtime.badsignal*", "Go runtime" },
	{ "runtime.usleep*", "Go runtime" },
	{ "runtime.systemstack*", "Go runtime" },
	{ "runtime.morestack*", "Go runtime" },
	{ "runtime.newstack*", "Go runtime" },
	{ "runtime.abort*", "Go runtime" },
	{ "runtime.exit*", "Go runtime" },
	{ "runtime/internal/sys.*", "Go runtime" },
	{ "internal/runtime/maps.fatal", "Go runtime" },
	{ "internal/sync.throw", "Go runtime" },
	{ "internal/sync.fatal", "Go runtime" },
	{ "sync.throw", "Go runtime" },
	{ "sync.fatal", "Go runtime" },
	{ NULL, NULL },
};

/* Outer frames up to and with one of these are left out. */
static const char *const starts[] = {
	"_start", "__libc_start_main*", "__libc_start_call_main", "__libc_start_main_impl", "generic_start_main*",
	"start_thread", "clone", "clone3", "__clone", "__clone3", "thread_start", "__thread_start",
	"libc_start_main_stage2",
	"runtime.main", "runtime.goexit*", "runtime.mstart*", "runtime.rt0_go*", "_rt0_*", "runtime.mcall*",
	"std::rt::lang_start*", "std::thread::*::thread_start",
	"std::sys::*::thread_start",
};

static bool matches(const char *pattern, const char *function)
{
	const size_t plain = strcspn(pattern, "*?[\\");

	return strncmp(pattern, function, plain) == 0 &&
	       (pattern[plain] == '\0' ? function[plain] == '\0' : fnmatch(pattern + plain, function + plain, 0) == 0);
}

static bool is_listed(const char *function)
{
	for (const struct gc_skip_rule *rule = gc_skip_rules; rule->pattern; rule++)
		if (matches(rule->pattern, function))
			return true;
	return false;
}

bool sig_is_skipped(const char *function)
{
	struct gc_buf name = GC_BUF_INIT;
	bool listed;

	if (strncmp(function, "__GI_", 5) == 0) /* what the C library calls its own functions: __GI___assert_fail */
		function += 5;
	listed = is_listed(function);
	if (listed || !strchr(function, ':'))
		return listed;
	gc_signature_name(&name, function, false); /* std::terminate of "std::terminate()" */
	listed = is_listed(gc_buf_text(&name));
	gc_buf_deinit(&name);
	return listed;
}

bool sig_is_start(const char *function)
{
	for (size_t i = 0; i < GC_COUNT(starts); i++)
		if (matches(starts[i], function))
			return true;
	return false;
}

bool sig_is_rust_start(const char *function)
{
	return matches("std::sys_common::backtrace::__rust_begin_short_backtrace*", function) ||
	       matches("std::sys::backtrace::__rust_begin_short_backtrace*", function);
}

/** Is the frame in a file whose name is one of these? */
static bool is_in(const struct gc_frame *frame, const char *const *names, size_t count)
{
	const char *slash = frame->image ? strrchr(frame->image->path, '/') : NULL;

	for (size_t i = 0; slash && i < count; i++)
		if (matches(names[i], slash + 1))
			return true;
	return false;
}

bool sig_is_libc(const struct gc_frame *frame)
{
	static const char *const names[] = {
		"libc.so.*", "libc-2.*.so", "libpthread*.so*", "ld-linux*", "ld-2.*.so", "ld-musl-*", "libc.musl-*",
	};

	return is_in(frame, names, GC_COUNT(names));
}

bool sig_is_runtime_library(const struct gc_frame *frame)
{
	static const char *const names[] = {
		"libstdc++.so*", "libc++.so*", "libc++abi.so*", "libgcc_s*", "libunwind.so*",
	};

	return sig_is_libc(frame) || is_in(frame, names, GC_COUNT(names));
}
