#include "sym/line_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include "gocore/bytes.h"

#define FORMAT "gocore-stub lines 3"

#define SUFFIX ".lines"

#define MAX_AGE       (30 * 24 * 3600) /* seconds */
#define MAX_LOOKED_AT 100000           /* files in the folder */
#define MAX_CONTENT ((size_t)4 << 20)
#define MAX_HEAD    1024

/* First bytes of records. */
enum {
	CALLS = 1, ANSWER = 2, NAMED = 3, EXPORTED = 4,
};

/* Which parts of a frame, an answer and a call there are. */
enum {
	HAS_FUNCTION = 1, HAS_FILE = 2, HAS_PATH = 4, IS_INLINED = 8,

	HAS_FRAMES = 1, HAS_CALLS = 2, KNOWS_CALLS = 4, HAS_SYMBOL = 8, KNOWS_SYMBOL = 16,

	HAS_NAME = 1, IS_TAIL = 2,
};

#define MIN_SITE 17 /* bytes of a call */

/* The file. */

static uint32_t checksum(const void *bytes, size_t len)
{
	return (uint32_t)crc32(0, bytes, (uInt)len); /* MAX_CONTENT is less than 32 bits */
}

/** Programs of several builds, and files that were found with and without debug files, do not push each other out. */
static bool path_of(const struct gc_line_cache *cache, const struct gc_buf *head, char path[PATH_MAX])
{
	char id[2 * GC_BUILD_ID_MAX + 1];

	if (cache->image->build_id.len < 2)
		return false;
	gc_build_id_hex(&cache->image->build_id, id);
	return (size_t)snprintf(path, PATH_MAX, "%s/%s-%08" PRIx32 SUFFIX, cache->dir, id,
				checksum(head->data, head->len)) < PATH_MAX;
}

static void describe(struct gc_buf *b, const char *what, const struct gc_elf_file *file)
{
	gc_buf_str(b, what);
	gc_buf_hex(b, file->build_id.bytes, file->build_id.len);
	gc_buf_printf(b, " %" PRIu64 " %" PRId64, file->input.size, file->input.mtime);
}

/** What must be equal for the answers to be true: this very program, which may know better next time, and the files. */
static bool write_head(const struct gc_line_cache *cache, struct gc_buf *out)
{
	struct stat self;

	if (stat("/proc/self/exe", &self) != 0)
		return false;
	gc_buf_printf(out, FORMAT " by %jd %jd.%09ld", (intmax_t)self.st_size, (intmax_t)self.st_mtim.tv_sec,
		      self.st_mtim.tv_nsec);
	describe(out, " of ", cache->image);
	if (cache->debug)
		describe(out, " and ", cache->debug);
	gc_buf_char(out, '\n');
	return !out->failed && out->len < MAX_HEAD;
}

void gc_line_cache_supplement(struct gc_buf *out, bool needed, const struct gc_elf_file *supplement)
{
	if (supplement)
		describe(out, "", supplement);
	else if (needed)
		gc_buf_str(out, "missing");
}

/* Reading. */

/** Others could put names into our mouth. */
static bool is_ours(int fd, struct stat *st)
{
	return fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
	       (st->st_mode & (S_IWGRP | S_IWOTH)) == 0 && st->st_size > 0 &&
	       (uint64_t)st->st_size <= MAX_CONTENT + MAX_HEAD;
}

static char *read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *content = NULL;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (is_ours(fd, &st))
		content = malloc((size_t)st.st_size);
	if (content && pread(fd, content, (size_t)st.st_size, 0) != st.st_size) {
		free(content);
		content = NULL;
	}
	close(fd);
	*len = content ? (size_t)st.st_size : 0;
	return content;
}

static bool next_string(struct gc_cursor *c, bool there, const char **out)
{
	*out = NULL;
	return !there || gc_cursor_string(c, out, NULL) == GC_OK;
}

char *gc_line_cache_read(const struct gc_line_cache *cache, struct gc_cursor *answers, const char **supplement)
{
	struct gc_buf head = GC_BUF_INIT;
	char path[PATH_MAX], *content = NULL;
	uint32_t sum;
	size_t len;

	if (write_head(cache, &head) && path_of(cache, &head, path))
		content = read_file(path, &len);
	if (content && len >= head.len && memcmp(content, head.data, head.len) == 0) {
		gc_cursor_init(answers, content + head.len, len - head.len, 0);
		if (gc_cursor_u32(answers, &sum, NULL) == GC_OK && len - head.len - 4 <= MAX_CONTENT &&
		    checksum(answers->pos, gc_cursor_left(answers)) == sum && next_string(answers, true, supplement)) {
			gc_buf_deinit(&head);
			return content;
		}
	}
	gc_buf_deinit(&head);
	free(content);
	return NULL;
}

static bool next_frame(struct gc_cursor *c, struct gc_line_frame *out)
{
	uint8_t flags;

	*out = (struct gc_line_frame){ .line = 0 };
	if (gc_cursor_u8(c, &flags, NULL) != GC_OK || gc_cursor_u32(c, &out->line, NULL) != GC_OK ||
	    gc_cursor_u64(c, &out->entry, NULL) != GC_OK)
		return false;
	out->inlined = flags & IS_INLINED;
	return next_string(c, flags & HAS_FUNCTION, &out->function) && next_string(c, flags & HAS_FILE, &out->file) &&
	       next_string(c, flags & HAS_PATH, &out->path);
}

static bool next_symbol(struct gc_cursor *c, struct gc_table_symbol *out)
{
	return gc_cursor_u64(c, &out->value, NULL) == GC_OK && gc_cursor_u64(c, &out->size, NULL) == GC_OK &&
	       next_string(c, true, &out->name);
}

static bool next_answer(struct gc_cursor *c, struct gc_line_record *out, struct gc_line_frame *frames, size_t max)
{
	uint8_t flags;
	uint16_t n;

	if (gc_cursor_u64(c, &out->pc, NULL) != GC_OK || gc_cursor_u8(c, &flags, NULL) != GC_OK ||
	    gc_cursor_u64(c, &out->die, NULL) != GC_OK || gc_cursor_u16(c, &n, NULL) != GC_OK || n > max)
		return false;
	out->has_frames = flags & HAS_FRAMES;
	out->has_calls = flags & HAS_CALLS;
	out->knows_calls = flags & KNOWS_CALLS;
	out->has_symbol = flags & HAS_SYMBOL;
	out->count = n;
	if (flags & KNOWS_SYMBOL && !next_symbol(c, &out->symbol))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!next_frame(c, &frames[i]))
			return false;
	return true;
}

static bool next_site(struct gc_cursor *c, struct gc_call_site *out)
{
	uint8_t flags;

	if (gc_cursor_u64(c, &out->ret, NULL) != GC_OK || gc_cursor_u64(c, &out->target, NULL) != GC_OK ||
	    gc_cursor_u8(c, &flags, NULL) != GC_OK)
		return false;
	out->tail = flags & IS_TAIL;
	return next_string(c, flags & HAS_NAME, &out->name);
}

static bool next_calls(struct gc_cursor *c, struct gc_call_sites *out)
{
	struct gc_call_sites calls = { .list = NULL };
	uint32_t n;

	if (gc_cursor_u64(c, &calls.die, NULL) != GC_OK || gc_cursor_u64(c, &calls.entry, NULL) != GC_OK ||
	    gc_cursor_u32(c, &n, NULL) != GC_OK || n > gc_cursor_left(c) / MIN_SITE)
		return false;
	calls.list = calloc((size_t)n + 1, sizeof(*calls.list));
	while (calls.list && calls.count < n && next_site(c, &calls.list[calls.count]))
		calls.count++;
	calls.cap = calls.count;
	if (!calls.list || calls.count < n) {
		gc_call_sites_deinit(&calls);
		return false;
	}
	*out = calls;
	return true;
}

bool gc_line_cache_next(struct gc_cursor *answers, struct gc_line_record *out, struct gc_line_frame *frames,
			size_t max)
{
	uint8_t kind;

	if (gc_cursor_u8(answers, &kind, NULL) != GC_OK)
		return false;
	*out = (struct gc_line_record){
		.is_calls = kind == CALLS, .is_named = kind == NAMED || kind == EXPORTED, .exports = kind == EXPORTED,
	};
	if (out->is_named)
		return gc_cursor_u64(answers, &out->value, NULL) == GC_OK && next_string(answers, true, &out->name);
	return kind == CALLS ? next_calls(answers, &out->calls) :
	       kind == ANSWER && next_answer(answers, out, frames, max);
}

/* Writing. */

static void add_number(struct gc_buf *b, uint64_t value, unsigned size)
{
	for (unsigned i = 0; i < size; i++)
		gc_buf_char(b, (char)(uint8_t)(value >> 8 * i));
}

static void add_string(struct gc_buf *b, const char *text)
{
	if (text)
		gc_buf_add(b, text, strlen(text) + 1);
}

/** @return false, and no more than there was @before, if that was too much */
static bool check_room(struct gc_buf *answers, size_t before)
{
	if (answers->len > MAX_CONTENT)
		answers->len = before;
	return answers->len > before && !answers->failed;
}

static void add_frame(struct gc_buf *b, const struct gc_line_frame *f)
{
	add_number(b, (f->function ? HAS_FUNCTION : 0) | (f->file ? HAS_FILE : 0) | (f->path ? HAS_PATH : 0) |
		      (f->inlined ? IS_INLINED : 0), 1);
	add_number(b, f->line, 4);
	add_number(b, f->entry, 8);
	add_string(b, f->function);
	add_string(b, f->file);
	add_string(b, f->path);
}

void gc_line_cache_add_supplement(struct gc_buf *answers, const char *supplement)
{
	add_string(answers, supplement);
}

bool gc_line_cache_add(struct gc_buf *answers, const struct gc_line_record *record,
		       const struct gc_line_frame *frames)
{
	const size_t before = answers->len;

	add_number(answers, ANSWER, 1);
	add_number(answers, record->pc, 8);
	add_number(answers, (record->has_frames ? HAS_FRAMES : 0) | (record->has_calls ? HAS_CALLS : 0) |
			    (record->knows_calls ? KNOWS_CALLS : 0) | (record->has_symbol ? HAS_SYMBOL : 0) |
			    (record->symbol.name ? KNOWS_SYMBOL : 0), 1);
	add_number(answers, record->die, 8);
	add_number(answers, record->count, 2);
	if (record->symbol.name) {
		add_number(answers, record->symbol.value, 8);
		add_number(answers, record->symbol.size, 8);
		add_string(answers, record->symbol.name);
	}
	for (size_t i = 0; i < record->count; i++)
		add_frame(answers, &frames[i]);
	return check_room(answers, before);
}

bool gc_line_cache_add_named(struct gc_buf *answers, bool exports, const char *name, uint64_t value)
{
	const size_t before = answers->len;

	add_number(answers, exports ? EXPORTED : NAMED, 1);
	add_number(answers, value, 8);
	add_string(answers, name);
	return check_room(answers, before);
}

bool gc_line_cache_add_calls(struct gc_buf *answers, const struct gc_call_sites *calls)
{
	const size_t before = answers->len;

	add_number(answers, CALLS, 1);
	add_number(answers, calls->die, 8);
	add_number(answers, calls->entry, 8);
	add_number(answers, calls->count, 4);
	for (size_t i = 0; i < calls->count; i++) {
		const struct gc_call_site *site = &calls->list[i];

		add_number(answers, site->ret, 8);
		add_number(answers, site->target, 8);
		add_number(answers, (site->name ? HAS_NAME : 0) | (site->tail ? IS_TAIL : 0), 1);
		add_string(answers, site->name);
	}
	return check_room(answers, before);
}

/** The folder, and the one that it lies in (XDG Base Directory Specification: with mode 0700). */
static void make_dir(const char *dir)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(dir, '/');

	if (mkdir(dir, 0700) == 0 || errno != ENOENT || !slash || slash == dir ||
	    (size_t)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - dir), dir) >= sizeof(parent))
		return;
	mkdir(parent, 0700);
	mkdir(dir, 0700);
}

/** Files that nobody has added to for long: of programs and libraries that are gone, mostly. */
static void remove_old(const char *dir)
{
	const time_t oldest = time(NULL) - MAX_AGE;
	const struct dirent *entry;
	DIR *d = opendir(dir);

	for (size_t i = 0; d && i < MAX_LOOKED_AT && (entry = readdir(d)); i++) {
		const size_t len = strlen(entry->d_name);
		struct stat st;

		if (len > strlen(SUFFIX) && strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) == 0 &&
		    fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_mtime < oldest)
			unlinkat(dirfd(d), entry->d_name, 0);
	}
	if (d)
		closedir(d);
}

/** As a whole or not at all, also if others do the same now. */
static void replace_file(const char *path, const struct gc_buf *content)
{
	char other[PATH_MAX];
	bool done;
	int fd;

	if ((size_t)snprintf(other, sizeof(other), "%s.XXXXXX", path) >= sizeof(other))
		return;
	fd = mkostemp(other, O_CLOEXEC);
	if (fd < 0)
		return;
	done = write(fd, content->data, content->len) == (ssize_t)content->len;
	done = close(fd) == 0 && done;
	if (!done || rename(other, path) != 0)
		unlink(other);
}

void gc_line_cache_write(const struct gc_line_cache *cache, const struct gc_buf *answers)
{
	struct gc_buf content = GC_BUF_INIT;
	char path[PATH_MAX];

	if (write_head(cache, &content) && path_of(cache, &content, path) && !answers->failed) {
		add_number(&content, checksum(answers->data, answers->len), 4);
		gc_buf_add(&content, answers->data, answers->len);
		make_dir(cache->dir);
		remove_old(cache->dir);
		if (!content.failed)
			replace_file(path, &content);
	}
	gc_buf_deinit(&content);
}
