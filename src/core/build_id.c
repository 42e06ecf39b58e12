/*
 * Build IDs: the GNU one (ld --build-id, a note) and Go's own (cmd/internal/buildid:
 * a note of owner "Go" and type 4, and the same text at the start of .text).
 */
#include <stdlib.h>
#include <string.h>

#include "gocore/arch.h"
#include "gocore/bytes.h"
#include "gocore/cursor.h"

#include "core/elf_identity.h"

#define NT_GO_BUILD_ID 4
#define MAX_NOTE_SEGMENTS 64
#define MAX_NOTE_BYTES 0x10000
#define MAX_GO_BUILD_ID 256
#define GO_TEXT_BYTES 0x8000 /* cmd/internal/buildid looks into the first 32 KiB */

/** The next note, without alignment padding. @return false at the end and where the rest is damaged */
static bool next_note(struct gc_cursor *c, size_t align, struct gc_note *out)
{
	struct gc_note note = { 0 };
	const uint8_t *owner, *desc;
	uint32_t namesz, descsz;

	gc_cursor_align(c, align);
	if (gc_cursor_u32(c, &namesz, NULL) != GC_OK || gc_cursor_u32(c, &descsz, NULL) != GC_OK ||
	    gc_cursor_u32(c, &note.type, NULL) != GC_OK || gc_cursor_bytes(c, namesz, &owner, NULL) != GC_OK)
		return false;
	gc_cursor_align(c, align);
	if (gc_cursor_bytes(c, descsz, &desc, NULL) != GC_OK)
		return false;
	while (namesz > 0 && owner[namesz - 1] == 0) /* "Go" is padded to 4 with NULs that are counted */
		namesz--;
	note.owner = (const char *)owner;
	note.owner_len = namesz;
	note.desc = desc;
	note.desc_len = descsz;
	*out = note;
	return true;
}

static bool find_note(const uint8_t *notes, size_t len, size_t align, const char *owner, uint32_t type,
		      uint64_t max_desc, struct gc_note *out)
{
	struct gc_cursor c;
	struct gc_note note;

	gc_cursor_init(&c, notes, len, 0);
	while (next_note(&c, align == 8 ? 8 : 4, &note)) {
		if (note.type != type || note.owner_len != strlen(owner) || note.desc_len == 0 ||
		    note.desc_len > max_desc || memcmp(note.owner, owner, note.owner_len) != 0)
			continue;
		*out = note;
		return true;
	}
	return false;
}

bool gc_build_id_of_notes(const uint8_t *notes, size_t len, size_t align, struct gc_build_id *out)
{
	struct gc_note note;

	if (!find_note(notes, len, align, "GNU", NT_GNU_BUILD_ID, GC_BUILD_ID_MAX, &note))
		return false;
	memcpy(out->bytes, note.desc, note.desc_len);
	out->len = note.desc_len;
	return true;
}

bool gc_build_id_equal(const struct gc_build_id *a, const struct gc_build_id *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

void gc_build_id_hex(const struct gc_build_id *id, char out[2 * GC_BUILD_ID_MAX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < id->len; i++) {
		*out++ = digits[id->bytes[i] >> 4];
		*out++ = digits[id->bytes[i] & 15];
	}
	*out = '\0';
}

/** Go build IDs are four base64 words with slashes between; anything else printable is taken too. */
static char *printable(const uint8_t *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] > '~')
			return NULL;
	return len > 0 ? strndup((const char *)text, len) : NULL;
}

/** "\xff Go build ID: \"...\"\n \xff" in the text. */
static char *go_build_id_of_text(const uint8_t *text, size_t len)
{
	static const char start[] = "\xff Go build ID: \"";
	const uint8_t *at = memmem(text, len, start, sizeof(start) - 1);
	const uint8_t *end;
	size_t left;

	if (!at)
		return NULL;
	at += sizeof(start) - 1;
	left = (size_t)(text + len - at);
	end = memchr(at, '"', left < MAX_GO_BUILD_ID ? left : MAX_GO_BUILD_ID);
	return end ? printable(at, (size_t)(end - at)) : NULL;
}

static void identity_of_notes(const uint8_t *notes, size_t len, size_t align, struct gc_build_id *build_id,
			      char **go_build_id)
{
	struct gc_note note;

	if (build_id->len == 0)
		gc_build_id_of_notes(notes, len, align, build_id);
	if (!*go_build_id && find_note(notes, len, align, "Go", NT_GO_BUILD_ID, MAX_GO_BUILD_ID, &note))
		*go_build_id = printable(note.desc, note.desc_len);
}

/**
 * Go's linker since 1.24 puts the GNU note right behind its own, but the
 * PT_NOTE ends between them (cmd/link/internal/ld/elf.go).
 */
static void gnu_note_behind(const Elf64_Phdr *ph, gc_read_fn *read, void *data, struct gc_build_id *out)
{
	uint64_t offset = ph->p_offset + (ph->p_filesz + 3) / 4 * 4;
	uint8_t note[16 + GC_BUILD_ID_MAX];
	uint32_t len;

	if (offset < ph->p_offset || !read(data, offset, note, 16))
		return;
	len = gc_load_le32(note + 4);
	if (len <= GC_BUILD_ID_MAX && read(data, offset, note, 16 + len))
		gc_build_id_of_notes(note, 16 + len, 4, out);
}

/** As much as there is of [offset, offset + *len), halving until it can be read. */
static uint8_t *read_some(gc_read_fn *read, void *data, uint64_t offset, size_t *len)
{
	uint8_t *bytes = malloc(*len);

	while (bytes && *len > 0 && !read(data, offset, bytes, *len))
		*len /= 2;
	return bytes;
}

void gc_identity_read(const struct gc_phdrs *phdrs, gc_read_fn *read, void *data,
		      struct gc_build_id *build_id, char **go_build_id)
{
	const Elf64_Phdr *text = NULL;
	size_t segments = 0;

	build_id->len = 0;
	*go_build_id = NULL;
	for (size_t i = 0; i < phdrs->count; i++) {
		const Elf64_Phdr *ph = &phdrs->list[i];
		size_t len = ph->p_filesz < MAX_NOTE_BYTES ? (size_t)ph->p_filesz : MAX_NOTE_BYTES;
		uint8_t *notes;

		if (ph->p_type == PT_LOAD && ph->p_flags & PF_X && !text)
			text = ph;
		if (ph->p_type != PT_NOTE || len == 0 || ++segments > MAX_NOTE_SEGMENTS)
			continue;
		notes = malloc(len);
		if (notes && read(data, ph->p_offset, notes, len))
			identity_of_notes(notes, len, ph->p_align, build_id, go_build_id);
		if (notes && *go_build_id && build_id->len == 0)
			gnu_note_behind(ph, read, data, build_id);
		free(notes);
	}
	if (!*go_build_id && build_id->len == 0 && text && text->p_filesz > 0) {
		size_t len = text->p_filesz < GO_TEXT_BYTES ? (size_t)text->p_filesz : GO_TEXT_BYTES;
		uint8_t *bytes = read_some(read, data, text->p_offset, &len);

		if (bytes)
			*go_build_id = go_build_id_of_text(bytes, len);
		free(bytes);
	}
}
