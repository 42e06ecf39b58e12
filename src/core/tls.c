/*
 * Thread-local storage from the core alone.
 *
 * The program's own block lies at a place that the ELF TLS ABI fixes. Those of
 * libraries are found through the thread's DTV as glibc's libthread_db does
 * (nptl_db/td_thr_tlsbase.c): glibc describes the fields of its structures in
 * symbols named _thread_db_*, three 32-bit words each. Where no copy of glibc
 * is at hand, what has been the same in all versions must do, and with musl
 * the layout of its structures.
 */
#include <inttypes.h>
#include <string.h>

#include "gocore/bytes.h"
#include "gocore/process.h"

#include "core/module.h"

/* More modules or list nodes than this are damage. */
#define MAX_MODULES 65536
#define MAX_LISTS   4096

/* So far into a struct link_map its TLS fields are looked for (glibc 2.36 has them near 1100). */
#define LINK_MAP_SIZE 2048

/** A field as glibc describes it: size in bits, number of elements, offset (nptl_db/db_info.c). */
struct field {
	uint32_t bits, count, offset;
};

/** What to know of the C library to read a thread's DTV. */
struct dtv_layout {
	uint32_t slot_size;       /* of a dtv_t */
	uint32_t pointer_offset;  /* of the block's address in it */
	int64_t dtvp_offset;      /* of the pointer to the DTV from the thread pointer */
	bool has_length;          /* glibc: dtv[-1].counter is the number of slots */
	bool is_musl;             /* musl: dtv[0] is */
	struct field modid, tls_offset; /* glibc: of struct link_map; bits 0: not known */
};

/** One question. */
struct lookup {
	const struct gc_process *p;
	const struct gc_image *libc; /* that has the descriptions, or NULL */
	struct dtv_layout layout;
	uint64_t tp;
};


static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/** A description out of the copy of the C library. */
static bool read_words(const struct gc_image *libc, const char *name, uint8_t *words, size_t len)
{
	const uint8_t *bytes;
	struct gc_symbol sym;
	uint64_t left;

	if (!gc_elf_symbol_named(libc->file, name, &sym) || !gc_elf_at(libc->file, sym.value, &bytes, &left) ||
	    left < len)
		return false;
	memcpy(words, bytes, len);
	return true;
}

static bool read_field(const struct gc_image *libc, const char *name, struct field *out)
{
	uint8_t words[12];

	if (!read_words(libc, name, words, sizeof(words)))
		return false;
	*out = (struct field){ gc_load_le32(words), gc_load_le32(words + 4), gc_load_le32(words + 8) };
	return true;
}

/** glibc's own descriptions. */
static bool describe(const struct gc_image *libc, const struct gc_tls_abi *abi, struct dtv_layout *out)
{
	struct field dtvp, dtv, pointer;
	struct dtv_layout layout = { .has_length = true };
	uint8_t size[4];

	if (!read_field(libc, "_thread_db_link_map_l_tls_modid", &layout.modid) ||
	    !read_field(libc, "_thread_db_pthread_dtvp", &dtvp) ||
	    !read_field(libc, "_thread_db_dtv_dtv", &dtv) ||
	    !read_field(libc, "_thread_db_dtv_t_pointer_val", &pointer) ||
	    !read_words(libc, "_thread_db_sizeof_pthread", size, sizeof(size)))
		return false;
	if (dtvp.bits != 64 || pointer.bits != 64 || layout.modid.bits != 64)
		return false;
	if (dtv.bits < 64 || dtv.bits > 4096)
		return false;
	read_field(libc, "_thread_db_link_map_l_tls_offset", &layout.tls_offset);
	layout.slot_size = dtv.bits / 8;
	layout.pointer_offset = pointer.offset;
	layout.dtvp_offset = (int64_t)dtvp.offset - (abi->pthread_below_tp ? (int64_t)gc_load_le32(size) : 0);
	*out = layout;
	return true;
}

/** glibc 2.34 and later keep the descriptions in libc.so.6, earlier ones in libpthread.so.0. */
static bool may_describe(const struct gc_image *image)
{
	const char *name = base_name(image->path ? image->path : "");

	return image->file && (strncmp(name, "libc.so", 7) == 0 || strncmp(name, "libc-2", 6) == 0 ||
			       strncmp(name, "libpthread", 10) == 0);
}

static bool is_musl(const struct gc_process *p)
{
	for (size_t i = 0; i < p->images.count; i++)
		if (p->images.list[i].path && strncmp(base_name(p->images.list[i].path), "ld-musl", 7) == 0)
			return true;
	for (size_t i = 0; i < p->links.count; i++)
		if (strstr(p->links.list[i].name, "/ld-musl"))
			return true;
	return false;
}

/** The layout by description, else the one that has been the same in all versions. */
static void find_layout(struct lookup *l)
{
	const struct gc_tls_abi *abi = &l->p->core.arch->tls;

	if (is_musl(l->p)) {
		/* struct pthread, src/internal/pthread_impl.h: second word, or last one where TLS lies above */
		l->layout = (struct dtv_layout){
			.slot_size = 8, .dtvp_offset = abi->below_tp ? abi->dtv_offset : -8, .is_musl = true,
		};
		return;
	}
	for (size_t i = 0; i < l->p->images.count; i++) {
		const struct gc_image *image = &l->p->images.list[i];

		if (may_describe(image) && describe(image, abi, &l->layout)) {
			l->libc = image;
			return;
		}
	}
	/* tcbhead_t, sysdeps/ARCH/nptl/tls.h; dtv_t, sysdeps/generic/dl-dtv.h */
	l->layout = (struct dtv_layout){ .slot_size = 16, .dtvp_offset = abi->dtv_offset, .has_length = true };
}

/**
 * PT_TLS of a module on the list.
 *
 * @return GC_E_NOT_FOUND if the module has none; other codes: not known whether it has
 */
static enum gc_code tls_segment(const struct gc_process *p, const struct gc_link *link, Elf64_Phdr *out,
				struct gc_error *err)
{
	const Elf64_Phdr *tls;
	struct gc_module m;
	enum gc_code code;

	if (link->is_program)
		code = gc_module_of_program(&m, &p->core, &p->space, &p->images, err);
	else
		code = gc_module_of_link(&m, &p->space, link, err);
	if (code != GC_OK)
		return gc_fail(err, GC_E_FAULT, "the program headers of %s are not known", link->name);
	tls = gc_module_phdr(&m, PT_TLS);
	if (tls)
		*out = *tls;
	gc_module_deinit(&m);
	return tls ? GC_OK : gc_fail(err, GC_E_NOT_FOUND, "%s has no thread-local storage", link->name);
}

/** Module id by position (musl): it counts the modules that have TLS as it loads them, and unloads none. */
static enum gc_code count_modid(const struct gc_process *p, const struct gc_link *link, uint64_t *out,
				struct gc_error *err)
{
	enum gc_code code = GC_OK;
	uint64_t modid = 0;
	Elf64_Phdr tls;

	for (const struct gc_link *l = p->links.list; l <= link; l++) {
		code = tls_segment(p, l, &tls, err);
		if (code != GC_OK && code != GC_E_NOT_FOUND)
			return code;
		modid += code == GC_OK;
	}
	if (code == GC_OK)
		*out = modid;
	return code;
}

/**
 * Find the TLS fields of a link_map without glibc's descriptions: what they
 * hold is known from PT_TLS, and their order has been the same since glibc 2.5
 * (include/link.h): l_tls_initimage, l_tls_initimage_size, l_tls_blocksize,
 * l_tls_align, l_tls_firstbyte_offset, l_tls_offset, l_tls_modid.
 */
static enum gc_code find_link_fields(struct lookup *l, const struct gc_link *link, struct gc_error *err)
{
	uint8_t map[LINK_MAP_SIZE];
	enum gc_code code;
	Elf64_Phdr tls;
	size_t got;

	code = tls_segment(l->p, link, &tls, err);
	if (code == GC_OK)
		code = gc_space_read(&l->p->space, link->lm, map, sizeof(map), &got, err);
	if (code != GC_OK)
		return code;
	for (uint32_t at = 0; at + 56 <= got; at += 8) {
		if (gc_load_le64(map + at) != link->l_addr + tls.p_vaddr ||
		    gc_load_le64(map + at + 8) != tls.p_filesz || gc_load_le64(map + at + 16) != tls.p_memsz ||
		    gc_load_le64(map + at + 24) != tls.p_align)
			continue;
		l->layout.tls_offset = (struct field){ 64, 1, at + 40 };
		l->layout.modid = (struct field){ 64, 1, at + 48 };
		return GC_OK;
	}
	return gc_fail(err, GC_E_NOT_FOUND, "the link_map of %s does not show its thread-local storage",
		       link->name);
}

static enum gc_code find_modid(struct lookup *l, const struct gc_link *link, uint64_t *out,
			       struct gc_error *err)
{
	enum gc_code code = GC_OK;
	uint64_t modid;

	if (l->layout.is_musl)
		return count_modid(l->p, link, out, err);
	if (!l->layout.modid.bits)
		code = find_link_fields(l, link, err);
	if (code == GC_OK)
		code = gc_space_u64(&l->p->space, link->lm + l->layout.modid.offset, &modid, err);
	if (code != GC_OK)
		return code;
	if (modid == 0)
		return gc_fail(err, GC_E_NOT_FOUND, "%s has no thread-local storage", link->name);
	if (modid > MAX_MODULES)
		return gc_fail(err, GC_E_LIMIT, "%s has the module id %" PRIu64, link->name, modid);
	*out = modid;
	return GC_OK;
}

/* How the list of modules with TLS is described, and where it begins. */
struct slotinfo {
	struct field len, next, slots, gen, map;
	uint64_t list;
};

static bool find_slotinfo(const struct lookup *l, struct slotinfo *out)
{
	const struct gc_image *libc = l->libc;
	struct field in_rtld;
	struct gc_symbol sym;

	if (!libc || !read_field(libc, "_thread_db_rtld_global__dl_tls_dtv_slotinfo_list", &in_rtld) ||
	    !read_field(libc, "_thread_db_dtv_slotinfo_list_len", &out->len) ||
	    !read_field(libc, "_thread_db_dtv_slotinfo_list_next", &out->next) ||
	    !read_field(libc, "_thread_db_dtv_slotinfo_list_slotinfo", &out->slots) ||
	    !read_field(libc, "_thread_db_dtv_slotinfo_gen", &out->gen) ||
	    !read_field(libc, "_thread_db_dtv_slotinfo_map", &out->map))
		return false;
	for (size_t i = 0; i < l->p->images.count; i++) {
		const struct gc_image *image = &l->p->images.list[i];

		if (image->is_interp && image->file && image->has_bias &&
		    gc_elf_symbol_named(image->file, "_rtld_global", &sym))
			return gc_space_u64(&l->p->space, image->bias + sym.value + in_rtld.offset, &out->list,
					    NULL) == GC_OK;
	}
	return false;
}

/** The generation that loaded module @modid (dtv_slotinfo, td_thr_tlsbase.c). @return false if not known */
static bool module_generation(const struct lookup *l, uint64_t modid, uint64_t *out)
{
	const struct gc_space *space = &l->p->space;
	struct slotinfo info;
	uint64_t at;

	if (!find_slotinfo(l, &info))
		return false;
	at = info.list;
	for (int i = 0; i < MAX_LISTS && at; i++) {
		uint64_t len;

		if (gc_space_u64(space, at + info.len.offset, &len, NULL) != GC_OK)
			return false;
		if (modid < len)
			return gc_space_u64(space, at + info.slots.offset + modid * (info.slots.bits / 8) +
					    info.gen.offset, out, NULL) == GC_OK;
		modid -= len;
		if (gc_space_u64(space, at + info.next.offset, &at, NULL) != GC_OK)
			return false;
	}
	return false;
}

/** Is the thread's DTV older than the module, so that its slot may belong to another one? */
static bool is_stale(const struct lookup *l, uint64_t dtv, uint64_t modid)
{
	uint64_t module, thread;

	return module_generation(l, modid, &module) &&
	       gc_space_u64(&l->p->space, dtv, &thread, NULL) == GC_OK && thread < module;
}

/** The block's address in the DTV. @return GC_E_NOT_FOUND if the thread has none for this module yet */
static enum gc_code read_dtv(const struct lookup *l, uint64_t modid, uint64_t *block, struct gc_error *err)
{
	const struct gc_space *space = &l->p->space;
	const struct dtv_layout *layout = &l->layout;
	uint64_t dtv, slots, value;
	enum gc_code code = gc_space_u64(space, l->tp + (uint64_t)layout->dtvp_offset, &dtv, err);

	if (code == GC_OK && (layout->has_length || layout->is_musl))
		code = gc_space_u64(space, layout->is_musl ? dtv : dtv - layout->slot_size, &slots, err);
	if (code != GC_OK)
		return code;
	if (modid <= slots && !is_stale(l, dtv, modid)) {
		code = gc_space_u64(space, dtv + modid * layout->slot_size + layout->pointer_offset, &value,
				    err);
		if (code != GC_OK)
			return code;
		/* TLS_DTV_UNALLOCATED is all ones; td_thr_tlsbase.c looks at bit 0 only */
		if (value && !(value & 1)) {
			*block = value;
			return GC_OK;
		}
	}
	return gc_fail(err, GC_E_NOT_FOUND,
		       "this thread has not allocated the module's thread-local storage yet");
}

/** The block of a library that the dynamic linker placed at a fixed distance from the thread pointer. */
static bool static_block(const struct lookup *l, const struct gc_link *link, uint64_t *block)
{
	uint64_t offset;

	if (l->layout.tls_offset.bits != 64 ||
	    gc_space_u64(&l->p->space, link->lm + l->layout.tls_offset.offset, &offset, NULL) != GC_OK ||
	    offset == 0 || (int64_t)offset == -1 || (int64_t)offset == -2) /* NO_, FORCED_DYNAMIC_TLS_OFFSET */
		return false;
	*block = l->p->core.arch->tls.below_tp ? l->tp - offset : l->tp + offset;
	return true;
}

static enum gc_code library_block(struct lookup *l, const struct gc_link *link, uint64_t *block,
				  struct gc_error *err)
{
	enum gc_code code;
	uint64_t modid = 0;

	find_layout(l);
	code = find_modid(l, link, &modid, err);
	if (code == GC_OK)
		code = read_dtv(l, modid, block, err);
	if (code == GC_E_NOT_FOUND && static_block(l, link, block))
		return GC_OK;
	return code;
}

static uint64_t round_up(uint64_t value, uint64_t align)
{
	return (value + (align - 1)) & ~(align - 1);
}

/**
 * The program's block: fixed by the ABI, since its code has the distances as
 * constants (_dl_determine_tlsoffset, glibc elf/dl-tls.c, for the first module).
 */
static enum gc_code program_block(const struct lookup *l, uint64_t *block, struct gc_error *err)
{
	const struct gc_tls_abi *abi = &l->p->core.arch->tls;
	const struct gc_link program = { .name = (char *)"the program", .is_program = true };
	uint64_t align, skew, offset;
	enum gc_code code;
	Elf64_Phdr tls;

	code = tls_segment(l->p, &program, &tls, err);
	if (code != GC_OK)
		return code;
	align = tls.p_align ? tls.p_align : 1;
	if (align & (align - 1))
		return gc_fail(err, GC_E_FORMAT, "the program's PT_TLS has the alignment %" PRIu64, align);
	skew = -tls.p_vaddr & (align - 1);
	if (abi->below_tp) {
		offset = round_up(tls.p_memsz - skew, align) + skew;
		*block = l->tp - offset;
	} else {
		offset = round_up(abi->tcb_size, align);
		if (offset - abi->tcb_size < skew)
			offset += align;
		*block = l->tp + (offset - skew);
	}
	return GC_OK;
}

static const struct gc_link *find_link(const struct gc_link_map *links, uint64_t lm)
{
	for (size_t i = 0; i < links->count; i++)
		if (links->list[i].lm == lm)
			return &links->list[i];
	return NULL;
}

enum gc_code gc_process_tls(const struct gc_process *p, const struct gc_regs *regs, uint64_t lm, uint64_t offset,
			    uint64_t *out, struct gc_error *err)
{
	struct lookup l = { .p = p };
	const struct gc_link *link = find_link(&p->links, lm);
	enum gc_code code = GC_E_NOT_FOUND;
	uint64_t block = 0;

	if (!gc_regs_u64(regs, p->core.arch->tp, &l.tp) || l.tp == 0)
		return gc_fail(err, GC_E_NOT_FOUND, "the thread pointer is not known");
	if (lm && !link)
		return gc_fail(err, GC_E_NOT_FOUND, "no module has its link_map at 0x%" PRIx64, lm);
	if (!link || link->is_program)
		code = program_block(&l, &block, err);
	if (link && code == GC_E_NOT_FOUND) /* also a program run as ld.so PROGRAM: AT_PHDR is ld.so's */
		code = library_block(&l, link, &block, err);
	if (code == GC_OK)
		*out = block + offset;
	return code;
}
