/* Which files: named ones, folders, lists; and which part of them. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/intern.h"
#include "core/unpack.h"
#include "gocore/bytes.h"
#include "gocore/triage.h"

/** What a file is, by its first bytes. */
enum content {
	CONTENT_CORE,
	CONTENT_PACKED,  /* it may hold a core */
	CONTENT_LINES,   /* of a former run */
	CONTENT_OTHER,
	CONTENT_UNKNOWN, /* it cannot be read; errno says why */
};

static enum gc_code add_file(struct gc_triage_list *list, const char *path, bool named, const char *refused,
			     struct gc_error *err)
{
	struct gc_triage_file *file;

	if (!gc_intern_room(&list->files, &list->cap, list->count, sizeof(*list->files)))
		return gc_fail_memory(err);
	file = &list->files[list->count];
	*file = (struct gc_triage_file){
		.path = strdup(path), .named = named, .refused = refused ? strdup(refused) : NULL,
	};
	if (!file->path || (refused && !file->refused)) {
		free(file->path);
		free(file->refused);
		return gc_fail_memory(err);
	}
	list->count++;
	return GC_OK;
}

static enum gc_code add_lines(struct gc_triage_list *list, const char *path, struct gc_error *err)
{
	char *copy = strdup(path);

	if (!copy || !gc_intern_room(&list->lines, &list->lines_cap, list->nlines, sizeof(*list->lines))) {
		free(copy);
		return gc_fail_memory(err);
	}
	list->lines[list->nlines++] = copy;
	return GC_OK;
}

/* Content. */

static bool is_elf_core(const uint8_t *bytes, size_t len)
{
	return len >= 18 && memcmp(bytes, ELFMAG, SELFMAG) == 0 &&
	       (bytes[EI_DATA] == ELFDATA2MSB ? bytes[17] == ET_CORE && bytes[16] == 0
					      : gc_load_le16(bytes + 16) == ET_CORE);
}

static bool is_lines(const uint8_t *bytes, size_t len)
{
	static const char begin[] = "{\"schema\":\"gocore-stub/triage/";

	return len >= sizeof(begin) - 1 && memcmp(bytes, begin, sizeof(begin) - 1) == 0;
}

static enum content content_of(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	uint8_t bytes[64];
	ssize_t len;

	if (fd < 0)
		return CONTENT_UNKNOWN;
	len = pread(fd, bytes, sizeof(bytes), 0);
	close(fd);
	if (len < 0)
		return CONTENT_UNKNOWN;
	if (is_elf_core(bytes, (size_t)len))
		return CONTENT_CORE;
	if (gc_codec_by_magic(bytes, (size_t)len))
		return CONTENT_PACKED;
	return is_lines(bytes, (size_t)len) ? CONTENT_LINES : CONTENT_OTHER;
}

/** A file of a folder: what cannot be told is a core that failed, what is something else does not count. */
static enum gc_code add_found(struct gc_triage_list *list, const char *path, struct gc_error *err)
{
	char why[256];

	switch (content_of(path)) {
	case CONTENT_CORE:
	case CONTENT_PACKED:
		return add_file(list, path, false, NULL, err);
	case CONTENT_UNKNOWN:
		snprintf(why, sizeof(why), "cannot be opened: %s", strerror(errno));
		return add_file(list, path, false, why, err);
	default:
		list->others++;
		return GC_OK;
	}
}

/* Folders. */

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static enum gc_code add_entry(struct gc_triage_list *list, const FTSENT *entry, struct gc_error *err)
{
	switch (entry->fts_info) {
	case FTS_F:
		return add_found(list, entry->fts_path, err);
	case FTS_DEFAULT: /* FIFO, socket, device */
		gc_problem(&list->problems, entry->fts_path, "is %s, so it is left out",
			   S_ISFIFO(entry->fts_statp->st_mode) ? "a FIFO"
			   : S_ISSOCK(entry->fts_statp->st_mode) ? "a socket" : "a device");
		return GC_OK;
	case FTS_DC:
		gc_problem(&list->problems, entry->fts_path,
			   "leads back to a folder that it is in, so it is not followed");
		return GC_OK;
	case FTS_DNR:
	case FTS_ERR:
	case FTS_NS:
		gc_problem(&list->problems, entry->fts_path, "cannot be read: %s", strerror(entry->fts_errno));
		return GC_OK;
	case FTS_SLNONE:
		gc_problem(&list->problems, entry->fts_path, "is a link to nothing");
		return GC_OK;
	default:
		return GC_OK;
	}
}

static enum gc_code walk(struct gc_triage_list *list, const char *path, struct gc_error *err)
{
	char *copy = strdup(path), *const paths[] = { copy, NULL };
	FTS *tree = copy ? fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, by_name) : NULL;
	enum gc_code code = tree ? GC_OK : gc_fail_memory(err);
	FTSENT *entry;

	while (code == GC_OK && (entry = fts_read(tree)))
		code = add_entry(list, entry, err);
	if (tree)
		fts_close(tree);
	free(copy);
	return code;
}

enum gc_code gc_triage_list_add(struct gc_triage_list *list, const char *path, struct gc_error *err)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return walk(list, path, err);
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && content_of(path) == CONTENT_LINES)
		return add_lines(list, path, err);
	return add_file(list, path, true, NULL, err); /* whatever is wrong with it, its line will say */
}

/* Lists of files. */

enum gc_code gc_triage_list_add_from(struct gc_triage_list *list, const char *path, struct gc_error *err)
{
	FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
	enum gc_code code = GC_OK;
	struct gc_buf all = GC_BUF_INIT;
	char end, *to;
	size_t got;

	if (!in)
		return gc_fail_errno(err, errno, "cannot be opened");
	while ((to = gc_buf_reserve(&all, 65536)) && (got = fread(to, 1, 65536, in)) > 0)
		all.len += got;
	if (ferror(in))
		code = gc_fail_errno(err, errno, "cannot be read");
	else if (all.failed)
		code = gc_fail_memory(err);
	if (in != stdin)
		fclose(in);
	/* find -print0 ends the last one, too; a name may hold newlines then */
	end = all.len && memchr(all.data, '\0', all.len) ? '\0' : '\n';
	for (size_t at = 0; code == GC_OK && at < all.len;) {
		char *stop = memchr(all.data + at, end, all.len - at);
		size_t len = stop ? (size_t)(stop - (all.data + at)) : all.len - at;
		char *one = strndup(all.data + at, len);

		code = !one ? gc_fail_memory(err) : len ? gc_triage_list_add(list, one, err) : GC_OK;
		free(one);
		at += len + 1;
	}
	gc_buf_deinit(&all);
	return code;
}

/* Parts. */

/** FNV-1a of 64 bits, folded: a run on another machine takes the same part. */
static uint32_t hash_of(const char *path)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 0x100000001b3;
	return (uint32_t)(h ^ h >> 32);
}

static void free_file(struct gc_triage_file *file)
{
	free(file->path);
	free(file->refused);
}

void gc_triage_list_shard(struct gc_triage_list *list, unsigned part, unsigned parts)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (hash_of(list->files[i].path) % parts == part - 1)
			list->files[kept++] = list->files[i];
		else
			free_file(&list->files[i]);
	}
	list->count = kept;
}

enum gc_code gc_triage_list_unique(struct gc_triage_list *list, struct gc_error *err)
{
	struct gc_intern seen = { .count = 0 };
	enum gc_code code = GC_OK;
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		const size_t before = seen.count;
		size_t index = before;

		if (code == GC_OK)
			code = gc_intern(&seen, list->files[i].path, strlen(list->files[i].path), &index, err);
		if (index == before)
			list->files[kept++] = list->files[i];
		else
			free_file(&list->files[i]);
	}
	list->count = kept;
	gc_intern_deinit(&seen);
	return code;
}

void gc_triage_list_deinit(struct gc_triage_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free_file(&list->files[i]);
	for (size_t i = 0; i < list->nlines; i++)
		free(list->lines[i]);
	free(list->files);
	free(list->lines);
	gc_problems_deinit(&list->problems);
	*list = (struct gc_triage_list){ .files = NULL };
}
