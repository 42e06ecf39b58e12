/* Names of functions as signatures write them: the same for the same source, whoever compiled it for what. */
#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#include "signature/signature_private.h"

/* Names are made by compilers; longer ones are somebody's joke. */
#define MAX_NAME 4096

/** Cut off a suffix that a compiler gives to a part or copy of a function: ".cold", ".constprop.0.isra.0". */
static bool cut_clone(char *name)
{
	static const char *const words[] = {
		"constprop", "isra", "part", "cold", "clone", "llvm", "lto_priv", "localalias", "specialized",
		"avx2", "avx512f", "sse2", "default", "resolver", "ifunc",
	};
	size_t len = strlen(name), word;
	char *dot;

	while (len && (isdigit((unsigned char)name[len - 1])))
		len--;
	if (name[len] && len && name[len - 1] == '.')
		len--;
	else
		len = strlen(name);
	if (len == 0)
		return false;
	for (dot = name + len - 1; dot > name && *dot != '.'; dot--)
		;
	if (dot == name)
		return false;
	word = (size_t)(name + len - dot) - 1;
	for (size_t i = 0; i < GC_COUNT(words); i++) {
		if (strlen(words[i]) == word && strncmp(dot + 1, words[i], word) == 0) {
			*dot = '\0';
			return true;
		}
	}
	return false;
}

/** "h" and 16 digits, that Rust's first mangling appends. */
static void cut_rust_hash(char *name)
{
	size_t len = strlen(name);

	if (len > 19 && strncmp(name + len - 19, "::h", 3) == 0 &&
	    strspn(name + len - 16, "0123456789abcdef") == 16)
		name[len - 19] = '\0';
}

/** "[abi:cxx11]" and its like. */
static void cut_abi_tags(char *name)
{
	char *tag;

	while ((tag = strstr(name, "[abi:"))) {
		char *end = strchr(tag, ']');

		if (!end)
			return;
		memmove(tag, end + 1, strlen(end + 1) + 1);
	}
}

/**
 * The parameters of a C++ function, and what stands behind them; those of a function pointer or operator() stay, and
 * those in the name of a lambda: "main::{lambda(int)#1}::operator()(int) const".
 */
static void cut_parameters(char *name)
{
	unsigned depth = 0; /* in <> and {} */

	for (char *p = name; *p; p++) {
		if (strncmp(p, "operator", 8) == 0) {
			p += 8;
			p += strncmp(p, "()", 2) == 0 ? 2 : strspn(p, "<>=-+*/!&|^%~,[] ");
			if (*p == '\0')
				return;
		}
		if (strncmp(p, "(anonymous namespace)", 21) == 0) {
			p += 20;
			continue;
		}
		if (*p == '<' || *p == '{')
			depth++;
		else if ((*p == '}' || (*p == '>' && p > name && p[-1] != '-')) && depth)
			depth--;
		else if (*p == '(' && !depth && p > name) {
			*p = '\0';
			return;
		}
	}
}

/** The return type that a template instance has: "int max<int>". */
static void cut_return_type(char *name)
{
	unsigned depth = 0;
	char *from = name;

	for (char *p = name; *p; p++) {
		if (strncmp(p, "operator", 8) == 0)
			break;
		if (*p == '<' || *p == '(' || *p == '{')
			depth++;
		else if ((*p == '>' || *p == ')' || *p == '}') && depth)
			depth--;
		else if (*p == ' ' && !depth)
			from = p + 1;
	}
	if (from > name && *from)
		memmove(name, from, strlen(from) + 1);
}

/** memcpy of "__memcpy_avx_unaligned_erms": which one runs depends on the processor. */
static bool plain_string_function(char *name)
{
	static const char *const families[] = { "mem", "str", "wcs", "wmem", "stp", "rawmem", "bcopy", "bzero" };
	char *from = name + strspn(name, "_"), *end = from + strcspn(from, "_");

	if (from == name || end == from || *end == '\0')
		return false;
	for (size_t i = 0; i < GC_COUNT(families); i++) {
		if (strncmp(from, families[i], strlen(families[i])) == 0) {
			*end = '\0';
			memmove(name, from, strlen(from) + 1);
			return true;
		}
	}
	return false;
}

/** The name that the manual has, of one that the C library uses inside. */
static void cut_libc_alias(char *name)
{
	static const char *const prefixes[] = {
		"__GI___libc_", "__GI___", "__GI_", "__libc_", "__new_", "__old_", "___", "__",
	};
	const size_t len = strlen(name);

	if (plain_string_function(name))
		return;
	if (strcmp(name, "cfree") == 0) { /* an old name of free, at the same address */
		memmove(name, name + 1, len);
		return;
	}
	if (len > 5 && strcmp(name + len - 5, "_impl") == 0)
		name[len - 5] = '\0';
	for (size_t i = 0; i < GC_COUNT(prefixes); i++) {
		size_t prefix = strlen(prefixes[i]);

		if (strncmp(name, prefixes[i], prefix) == 0 && name[prefix]) {
			memmove(name, name + prefix, strlen(name + prefix) + 1);
			return;
		}
	}
}

/** cgo puts a hash of the package's files in: "_cgo_14b577a6476c_Cfunc_c_inner". */
static void cut_cgo_hash(char *name)
{
	char *hash = strncmp(name, "_cgo_", 5) == 0 ? name + 5 : strncmp(name, "_cgoexp_", 8) == 0 ? name + 8 : NULL;
	size_t len = hash ? strspn(hash, "0123456789abcdef") : 0;

	if (len == 12 && hash[len] == '_')
		memmove(hash, hash + len + 1, strlen(hash + len + 1) + 1);
}

static void cut_c_name(char *name)
{
	char *at = name[0] ? strchr(name + 1, '@') : NULL; /* "memcpy@plt", "memcpy@@GLIBC_2.14" */

	if (at)
		*at = '\0';
	while (cut_clone(name))
		;
	if (strncmp(name, "_cgo", 4) == 0) {
		cut_cgo_hash(name);
	} else if (strchr(name, '(') || strchr(name, ':') || strchr(name, '<')) {
		cut_abi_tags(name);
		cut_parameters(name);
		cut_return_type(name);
		cut_rust_hash(name);
	}
}

static void copy_name(char out[MAX_NAME], const char *function)
{
	size_t len = strlen(function);

	if (len >= MAX_NAME)
		len = MAX_NAME - 1;
	memcpy(out, function, len);
	out[len] = '\0';
}

void gc_signature_name(struct gc_buf *out, const char *function, bool go)
{
	char name[MAX_NAME];

	copy_name(name, function);
	if (go)
		cut_cgo_hash(name);
	else
		cut_c_name(name);
	gc_buf_str(out, *name ? name : function);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

bool sig_is_runtime(const struct gc_go *go, const struct gc_frame *frame)
{
	static const char *const prefixes[] = { "runtime.", "runtime/internal/", "internal/runtime/" };

	if (!frame->function || !go || !gc_go_is_text(go, frame->pc))
		return false;
	for (size_t i = 0; i < GC_COUNT(prefixes); i++)
		if (strncmp(frame->function, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return strcmp(frame->function, "panic") == 0; /* as tracebacks call runtime.gopanic */
}

void sig_frame_name(struct gc_buf *out, const struct gc_go *go, const struct gc_frame *frame)
{
	const struct gc_image *image = frame->image;
	char name[MAX_NAME];

	if (frame->function && sig_is_libc(frame)) {
		copy_name(name, frame->function);
		cut_c_name(name);
		cut_libc_alias(name);
		gc_buf_str(out, name);
	} else if (frame->function) {
		gc_signature_name(out, frame->function, go && gc_go_is_text(go, frame->pc));
	} else if (image && frame->pc >= image->base) {
		gc_buf_printf(out, "%s+0x%" PRIx64, base_name(image->path),
			      frame->pc - (image->has_bias ? image->bias : image->base));
	} else {
		gc_buf_str(out, "?");
	}
}

/** What the build of an image is called: its build ID, else that of Go, else the name of the file. */
static void write_build(struct gc_buf *out, const struct gc_image *image)
{
	const struct gc_build_id *id = image->build_id.len || !image->file ? &image->build_id : &image->file->build_id;
	const char *go = image->go_build_id || !image->file ? image->go_build_id : image->file->go_build_id;
	char hex[2 * GC_BUILD_ID_MAX + 1];

	gc_build_id_hex(id, hex);
	gc_buf_str(out, id->len ? hex : go ? go : base_name(image->path));
}

void sig_place(struct gc_buf *out, const struct gc_image *image, uint64_t pc)
{
	if (!image || pc < image->base) {
		gc_buf_str(out, "?\n");
		return;
	}
	write_build(out, image);
	gc_buf_printf(out, "+0x%" PRIx64 "\n", pc - (image->has_bias ? image->bias : image->base));
}
