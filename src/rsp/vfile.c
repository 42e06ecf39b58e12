/*
 * Host I/O ("Host I/O Packets") on what belongs to the core and nothing else:
 * the checked images, by the names that the core gives them, and a /proc/PID
 * made from the core. This host's own files are never looked at.
 */
#include <inttypes.h>
#include <limits.h>
#include <string.h>

#include "gocore/procfs.h"
#include "gocore/program_file.h"
#include "rsp/commands.h"

/* "Errno Values" and "Open Flags" of the File-I/O protocol, which are no host's own. */
enum fileio_errno {
	FILEIO_ENOENT = 2,
	FILEIO_EBADF = 9,
	FILEIO_EINVAL = 22,
	FILEIO_EMFILE = 24,
	FILEIO_EROFS = 30,
};

#define FILEIO_WRITE_FLAGS (0x1 | 0x2 | 0x8 | 0x200 | 0x400) /* WRONLY RDWR APPEND CREAT TRUNC */

#define FILEIO_REGULAR 0100000
#define FILEIO_STAT_SIZE 64

/* What one session may hold of made files: smaps of 70,000 mappings is 50 MB. */
#define MAX_MADE ((size_t)256 << 20)

void gc_open_file_close(struct gc_open_file *file)
{
	gc_buf_deinit(&file->made);
	*file = (struct gc_open_file){ .used = false };
}

static enum gc_code reply_errno(struct gc_reply *reply, enum fileio_errno number)
{
	gc_buf_printf(reply->out, "F-1,%x", (unsigned)number);
	return GC_OK;
}

/** Without // and /./, .. resolved by name. @return false if it is too long or not absolute */
static bool normalise(const char *path, char out[PATH_MAX])
{
	size_t len = 0;

	if (*path != '/')
		return false;
	while (*path) {
		size_t part = strcspn(++path, "/");

		if (part == 2 && memcmp(path, "..", 2) == 0) {
			while (len && out[--len] != '/')
				;
		} else if (part && !(part == 1 && *path == '.')) {
			if (part + 2 > PATH_MAX - len)
				return false;
			out[len++] = '/';
			memcpy(out + len, path, part);
			len += part;
		}
		path += part;
	}
	out[len] = '\0';
	return true;
}

/** Where /lib, /bin and the like are links into /usr, both names are the same file. */
static const char *without_usr(const char *path)
{
	static const char *const merged[] = { "/usr/lib", "/usr/bin/", "/usr/sbin/" };

	for (size_t i = 0; i < GC_COUNT(merged); i++)
		if (strncmp(path, merged[i], strlen(merged[i])) == 0)
			return path + strlen("/usr");
	return path;
}

/** @wanted is normalised. */
static bool same_path(const char *wanted, const char *path)
{
	char other[PATH_MAX];

	return path && normalise(path, other) && strcmp(without_usr(wanted), without_usr(other)) == 0;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/** The image that was mapped from @wanted; the interpreter also under another directory's name. */
static const struct gc_image *image_of(const struct gc_process *p, const char *wanted)
{
	const struct gc_image *program = gc_images_program(&p->images);

	if (program && same_path(wanted, gc_process_exe(p)))
		return program;
	for (size_t i = 0; i < p->images.count; i++)
		if (same_path(wanted, p->images.list[i].path))
			return &p->images.list[i];
	for (size_t i = 0; i < p->links.count; i++)
		if (p->links.list[i].image && same_path(wanted, p->links.list[i].name))
			return p->links.list[i].image;
	for (size_t i = 0; i < p->images.count; i++)
		if (p->images.list[i].is_interp &&
		    strcmp(base_name(wanted), base_name(p->images.list[i].path)) == 0)
			return &p->images.list[i];
	return NULL;
}

/** The checked copy of what the client calls @path, or NULL. */
static const struct gc_input *find_image(const struct gc_process *p, const char *path)
{
	const struct gc_image *image;
	char wanted[PATH_MAX];

	if (!normalise(path, wanted))
		return NULL;
	image = image_of(p, wanted);
	return image && image->file ? &image->file->input : NULL;
}

/** Is another file served in the place of this one? */
static bool is_replaced(const struct gc_rsp *rsp, const struct gc_input *input)
{
	const struct gc_program_file *other = rsp->target->program_file;
	const struct gc_image *program = gc_images_program(&rsp->target->process->images);

	return other && program && program->file && input == &program->file->input;
}

/** The image's file, or what is served in its place. */
static void use_image(const struct gc_rsp *rsp, struct gc_open_file *file)
{
	if (is_replaced(rsp, file->input) &&
	    gc_program_file_get(rsp->target->program_file, &file->bytes, &file->size, NULL) == GC_OK)
		return;
	file->bytes = file->input->bytes;
	file->size = file->input->size;
}

/** Fill @file with what the client calls @path. @return false if we have none */
static bool open_path(const struct gc_rsp *rsp, const char *path, struct gc_open_file *file, struct gc_error *err)
{
	struct gc_target *t = rsp->target;
	struct gc_buf link = GC_BUF_INIT;
	enum gc_code code;

	*file = (struct gc_open_file){ .used = true };
	if (gc_procfs_readlink(t, path, &link, err) == GC_OK)
		path = gc_buf_text(&link);
	file->input = find_image(t->process, path);
	if (file->input) {
		use_image(rsp, file);
		gc_buf_deinit(&link);
		return true;
	}
	code = gc_procfs_read(t, path, &file->made, err);
	gc_buf_deinit(&link);
	if (code != GC_OK || file->made.failed) {
		gc_open_file_close(file);
		return false;
	}
	file->bytes = (const uint8_t *)file->made.data;
	file->size = file->made.len;
	return true;
}

static struct gc_open_file *free_slot(struct gc_rsp *rsp)
{
	size_t made = 0;

	for (size_t i = 0; i < GC_COUNT(rsp->files); i++)
		made += rsp->files[i].made.len;
	for (size_t i = 0; i < GC_COUNT(rsp->files) && made < MAX_MADE; i++)
		if (!rsp->files[i].used)
			return &rsp->files[i];
	return NULL;
}

static struct gc_open_file *file_numbered(struct gc_rsp *rsp, struct gc_args *args)
{
	uint64_t fd;

	if (!gc_args_hex(args, &fd) || fd >= GC_COUNT(rsp->files) || !rsp->files[fd].used)
		return NULL;
	return &rsp->files[fd];
}

/** A path in hex, up to the next comma. */
static bool parse_path(struct gc_args *args, char path[PATH_MAX])
{
	struct gc_args hex = gc_args_until(args, ',');

	return gc_args_hex_text(&hex, path, PATH_MAX);
}

/** vFile:setfs:PID. There is one file system only. */
enum gc_code gc_vfile_setfs(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	gc_buf_str(reply->out, "F0");
	return GC_OK;
}

/** vFile:open:PATH,FLAGS,MODE */
enum gc_code gc_vfile_open(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			   struct gc_error *err)
{
	struct gc_open_file *slot;
	uint64_t flags, mode;
	char path[PATH_MAX];

	if (!parse_path(args, path) || !gc_args_hex(args, &flags) || !gc_args_char(args, ',') ||
	    !gc_args_hex(args, &mode) || !gc_args_end(args))
		return reply_errno(reply, FILEIO_EINVAL);
	if (flags & FILEIO_WRITE_FLAGS)
		return reply_errno(reply, FILEIO_EROFS);
	slot = free_slot(rsp);
	if (!slot)
		return reply_errno(reply, FILEIO_EMFILE);
	if (!open_path(rsp, path, slot, err))
		return reply_errno(reply, FILEIO_ENOENT);
	gc_buf_printf(reply->out, "F%zx", (size_t)(slot - rsp->files));
	return GC_OK;
}

enum gc_code gc_vfile_close(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	struct gc_open_file *file = file_numbered(rsp, args);

	(void)err;
	if (!file || !gc_args_end(args))
		return reply_errno(reply, FILEIO_EBADF);
	gc_open_file_close(file);
	gc_buf_str(reply->out, "F0");
	return GC_OK;
}

/** vFile:pread:FD,COUNT,OFFSET. A count that does not fit the packet gets what does. */
enum gc_code gc_vfile_pread(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	struct gc_open_file *file = file_numbered(rsp, args);
	struct gc_buf data = GC_BUF_INIT;
	uint64_t count, offset;
	size_t taken = 0;

	(void)err;
	if (!file)
		return reply_errno(reply, FILEIO_EBADF);
	if (!gc_args_char(args, ',') || !gc_args_range(args, &count, &offset))
		return reply_errno(reply, FILEIO_EINVAL);
	if (offset < file->size) {
		uint64_t left = file->size - offset;
		size_t len = (size_t)(count < left ? count : left);

		taken = gc_packet_add_binary(&data, file->bytes + offset,
					     len < GC_PACKET_SIZE ? len : GC_PACKET_SIZE,
					     GC_PACKET_SIZE - 16);
	}
	gc_buf_printf(reply->out, "F%zx;", taken);
	gc_buf_add(reply->out, data.data, data.len);
	reply->out->failed |= data.failed;
	gc_buf_deinit(&data);
	return GC_OK;
}

static void put_be(uint8_t *to, size_t size, uint64_t value)
{
	while (size--) {
		to[size] = (uint8_t)value;
		value >>= 8;
	}
}

/** "struct stat" of the File-I/O protocol, big-endian. What nobody knows of the file is 0. */
static enum gc_code reply_stat(struct gc_reply *reply, const struct gc_open_file *file)
{
	uint8_t stat[FILEIO_STAT_SIZE] = { 0 };
	bool made = !file->input;

	put_be(stat + 4, 4, made ? 0 : file->input->ino);
	put_be(stat + 8, 4, FILEIO_REGULAR | (made ? 0444 : 0555)); /* st_mode */
	put_be(stat + 12, 4, 1);                                    /* st_nlink */
	put_be(stat + 28, 8, file->size);
	put_be(stat + 36, 8, 4096);                                 /* st_blksize */
	put_be(stat + 44, 8, file->size / 512 + (file->size % 512 != 0));
	for (size_t i = 52; i < FILEIO_STAT_SIZE; i += 4)           /* st_atime, st_mtime, st_ctime */
		put_be(stat + i, 4, made ? 0 : (uint64_t)file->input->mtime);
	gc_buf_printf(reply->out, "F%x;", FILEIO_STAT_SIZE);
	gc_packet_add_binary(reply->out, stat, sizeof(stat), 2 * sizeof(stat));
	return GC_OK;
}

enum gc_code gc_vfile_fstat(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			    struct gc_error *err)
{
	const struct gc_open_file *file = file_numbered(rsp, args);

	(void)err;
	return file && gc_args_end(args) ? reply_stat(reply, file) : reply_errno(reply, FILEIO_EBADF);
}

/** vFile:stat:PATH and vFile:lstat:PATH; the link under /proc counts as what it points to. */
enum gc_code gc_vfile_stat(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			   struct gc_error *err)
{
	struct gc_open_file file;
	char path[PATH_MAX];

	if (!parse_path(args, path) || !gc_args_end(args))
		return reply_errno(reply, FILEIO_EINVAL);
	if (!open_path(rsp, path, &file, err))
		return reply_errno(reply, FILEIO_ENOENT);
	reply_stat(reply, &file);
	gc_open_file_close(&file);
	return GC_OK;
}

enum gc_code gc_vfile_readlink(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			       struct gc_error *err)
{
	struct gc_buf link = GC_BUF_INIT;
	char path[PATH_MAX];

	if (!parse_path(args, path) || !gc_args_end(args))
		return reply_errno(reply, FILEIO_EINVAL);
	if (gc_procfs_readlink(rsp->target, path, &link, err) == GC_OK && link.len < PATH_MAX) {
		gc_buf_printf(reply->out, "F%zx;", link.len);
		gc_packet_add_binary(reply->out, link.data, link.len, 2 * link.len);
	} else {
		reply_errno(reply, find_image(rsp->target->process, path) ? FILEIO_EINVAL : FILEIO_ENOENT);
	}
	gc_buf_deinit(&link);
	return GC_OK;
}

enum gc_code gc_vfile_pwrite(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	return reply_errno(reply, FILEIO_EBADF); /* none was opened for writing */
}

enum gc_code gc_vfile_unlink(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
			     struct gc_error *err)
{
	(void)rsp;
	(void)args;
	(void)err;
	return reply_errno(reply, FILEIO_EROFS);
}
