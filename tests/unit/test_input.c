/* src/core/input.c and unpack.c: plain, compressed, piped and useless files. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lz4frame.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include "gocore/buf.h"
#include "gocore/input.h"

#include "core/unpack.h"

#define MIB (1024 * 1024)

static char dir[64];       /* for the test's files */
static char tmpdir[80];    /* what TMPDIR names */

static const char *in_dir(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void set_up(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test_input.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(tmpdir, sizeof(tmpdir), "%s/tmp", dir);
	ck_assert_int_eq(mkdir(tmpdir, 0700), 0);
	setenv("TMPDIR", tmpdir, 1);
}

/** Remove everything; @return how many files TMPDIR still had */
static int empty_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	while ((e = readdir(d))) {
		char name[400];

		if (e->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
		if (remove(name) == 0)
			n++;
	}
	closedir(d);
	return n;
}

static void tear_down(void)
{
	ck_assert_int_eq(empty_dir(tmpdir), 0); /* nothing is left behind */
	empty_dir(dir);
	rmdir(dir);
}

static const char *write_file(const char *name, const void *bytes, size_t len)
{
	const char *path = in_dir(name);
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, len, f), len);
	fclose(f);
	return path;
}

/* ---- Compressors: one frame each ---- */

static void pack_zstd(struct gc_buf *to, const void *from, size_t len)
{
	char *at = gc_buf_reserve(to, ZSTD_compressBound(len));

	to->len += ZSTD_compress(at, ZSTD_compressBound(len), from, len, 3);
}

static void pack_xz(struct gc_buf *to, const void *from, size_t len)
{
	size_t cap = lzma_stream_buffer_bound(len), used = 0;
	char *at = gc_buf_reserve(to, cap);

	ck_assert_int_eq(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, NULL, from, len, (uint8_t *)at,
						 &used, cap), LZMA_OK);
	to->len += used;
}

static void pack_lz4(struct gc_buf *to, const void *from, size_t len)
{
	const LZ4F_preferences_t prefs = { .frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled };
	size_t cap = LZ4F_compressFrameBound(len, &prefs);
	char *at = gc_buf_reserve(to, cap);

	to->len += LZ4F_compressFrame(at, cap, from, len, &prefs);
}

static void pack_gzip(struct gc_buf *to, const void *from, size_t len)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)from, .avail_in = (uInt)len };
	size_t cap;

	ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
	cap = deflateBound(&z, len);
	z.next_out = (Bytef *)gc_buf_reserve(to, cap);
	z.avail_out = (uInt)cap;
	ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
	to->len += z.total_out;
	deflateEnd(&z);
}

static const struct format {
	const char *name;
	void (*pack)(struct gc_buf *to, const void *from, size_t len);
} formats[] = {
	{ "zstd", pack_zstd },
	{ "xz", pack_xz },
	{ "lz4", pack_lz4 },
	{ "gzip", pack_gzip },
};

/** 3 MiB and a bit: random, zeros, random, zeros at the end. */
static uint8_t *sample(size_t *len)
{
	uint8_t *bytes;
	uint32_t x = 12345;

	*len = 3 * MIB + 1234;
	bytes = calloc(1, *len);
	for (size_t i = 0; i < *len; i++) {
		x = x * 1664525 + 1013904223;
		if (i < 10000 || (i > 2 * MIB && i < 2 * MIB + 300000))
			bytes[i] = (uint8_t)(x >> 24);
	}
	return bytes;
}

static enum gc_code open_bytes(struct gc_input *in, const void *bytes, size_t len, struct gc_error *err)
{
	return gc_input_open(in, write_file("f", bytes, len), NULL, NULL, err);
}

START_TEST(plain_file_is_mapped)
{
	struct gc_input in;
	struct gc_error err;
	struct stat st;
	const char *path = write_file("plain", "some text", 9);

	stat(path, &st);
	ck_assert_int_eq(gc_input_open(&in, path, NULL, NULL, &err), GC_OK);
	ck_assert_uint_eq(in.size, 9);
	ck_assert_mem_eq(in.bytes, "some text", 9);
	ck_assert_str_eq(in.path, path);
	ck_assert_ptr_null(in.compression);
	ck_assert_uint_eq(in.ino, st.st_ino);
	ck_assert_int_eq(in.mtime, st.st_mtime);
	gc_input_close(&in);
	gc_input_close(&in);
}
END_TEST

static void check_refused(const char *path, enum gc_code code, const char *text)
{
	struct gc_input in = { .fd = 77 };
	struct gc_error err;

	ck_assert_int_eq(gc_input_open(&in, path, NULL, NULL, &err), code);
	ck_assert_ptr_nonnull(strstr(err.text, text));
	ck_assert_int_eq(in.fd, 77);
}

START_TEST(useless_files_are_refused)
{
	check_refused(in_dir("none"), GC_E_IO, "No such file");
	check_refused(dir, GC_E_FORMAT, "is a directory");
	check_refused("/dev/null", GC_E_FORMAT, "is a device");
	check_refused(write_file("empty", "", 0), GC_E_FORMAT, "is empty");
	ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
	check_refused(in_dir("fifo"), GC_E_FORMAT, "is a pipe that nobody writes to");
}
END_TEST

START_TEST(packed_file_is_unpacked)
{
	const struct format *f = &formats[_i];
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;
	struct stat st;
	size_t len;
	uint8_t *bytes = sample(&len);

	f->pack(&packed, bytes, len);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_OK);
	ck_assert_str_eq(in.compression, f->name);
	ck_assert_uint_eq(in.size, len);
	ck_assert_mem_eq(in.bytes, bytes, len);
	ck_assert_uint_eq(in.ino, 0);
	ck_assert_int_ne(in.mtime, 0);
	/* About 310 KB are not zero; the rest stays holes. */
	ck_assert_int_eq(fstat(in.fd, &st), 0);
	ck_assert_uint_lt((uint64_t)st.st_blocks * 512, 400000);
	ck_assert_uint_eq(st.st_nlink, 0);
	gc_input_close(&in);
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

/** Unpack @packed with limits. */
static enum gc_code unpack_at_most(const struct gc_buf *packed, uint64_t max_size, uint64_t max_data,
				   struct gc_error *err)
{
	struct gc_stream stream;
	struct gc_unpack_job job = {
		.codec = gc_codec_by_magic((const uint8_t *)packed->data, packed->len), .from = &stream, .to = memfd_create("unpacked", 0),
		.to_dir = "/nowhere", .max_size = max_size, .max_data = max_data,
	};
	int from = memfd_create("packed", 0);
	uint64_t size = 0;
	enum gc_code code;

	ck_assert_int_eq(write(from, packed->data, packed->len), (ssize_t)packed->len);
	lseek(from, 0, SEEK_SET);
	ck_assert_int_eq(gc_stream_init(&stream, from, err), GC_OK);
	code = gc_unpack(&job, &size, err);
	gc_stream_deinit(&stream);
	close(from);
	close(job.to);
	return code;
}

/** Zeros take no room but are counted; what is not zero has to fit beside what others need. */
START_TEST(packed_bombs_end)
{
	const struct format *f = &formats[_i];
	const size_t len = 8 << 20;
	struct gc_buf zeros = GC_BUF_INIT, packed = GC_BUF_INIT;
	struct gc_error err;
	uint8_t *bytes = calloc(1, len);

	f->pack(&zeros, bytes, len);
	memset(bytes, 1, len);
	f->pack(&packed, bytes, len);
	ck_assert_int_eq(unpack_at_most(&zeros, len, 0, &err), GC_OK);
	ck_assert_int_eq(unpack_at_most(&zeros, len - 1, 0, &err), GC_E_LIMIT);
	ck_assert_msg(strstr(err.text, "unpack it yourself") != NULL, "%s", err.text);
	ck_assert_int_eq(unpack_at_most(&packed, len, len, &err), GC_OK);
	ck_assert_int_eq(unpack_at_most(&packed, len, len / 2, &err), GC_E_LIMIT);
	ck_assert_msg(strstr(err.text, "no room in /nowhere for the unpacked file (4.0 MiB") != NULL, "%s", err.text);
	gc_buf_deinit(&zeros);
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

START_TEST(several_frames_are_one_file)
{
	const struct format *f = &formats[_i];
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;
	size_t len;
	uint8_t *bytes = sample(&len);

	f->pack(&packed, bytes, 5000);
	f->pack(&packed, bytes + 5000, 0);
	f->pack(&packed, bytes + 5000, 7);
	f->pack(&packed, bytes + 5007, len - 5007);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_OK);
	ck_assert_uint_eq(in.size, len);
	ck_assert_mem_eq(in.bytes, bytes, len);
	gc_input_close(&in);
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

START_TEST(skippable_frames_and_padding)
{
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;

	gc_buf_add(&packed, "\x50\x2a\x4d\x18\x04\0\0\0abcd", 12); /* as pzstd does */
	pack_zstd(&packed, "hello", 5);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_OK);
	ck_assert_mem_eq(in.bytes, "hello", 5);
	gc_input_close(&in);

	gc_buf_clear(&packed);
	pack_gzip(&packed, "hello", 5);
	for (int i = 0; i < 512; i++)
		gc_buf_char(&packed, 0);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_OK);
	ck_assert_uint_eq(in.size, 5);
	gc_input_close(&in);

	gc_buf_clear(&packed);
	pack_zstd(&packed, "", 0);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_E_FORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "empty"));
	gc_buf_deinit(&packed);
}
END_TEST

START_TEST(stream_that_ends_early)
{
	const struct format *f = &formats[_i];
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;
	char text[100];
	size_t len;
	uint8_t *bytes = sample(&len);

	f->pack(&packed, bytes, len);
	snprintf(text, sizeof(text), "compressed with %s, ends early after %zu bytes", f->name,
		 packed.len / 2);
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len / 2, &err), GC_E_TRUNCATED);
	ck_assert_ptr_nonnull(strstr(err.text, text));
	for (size_t cut = 6; cut < packed.len; cut += cut < 40 || cut > packed.len - 40 ? 1 : packed.len / 20)
		ck_assert_int_eq(open_bytes(&in, packed.data, cut, &err), GC_E_TRUNCATED);
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

START_TEST(stream_that_is_damaged)
{
	const struct format *f = &formats[_i];
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;
	size_t len;
	uint8_t *bytes = sample(&len);

	f->pack(&packed, bytes, len);
	gc_buf_str(&packed, "and then rubbish");
	ck_assert_int_eq(open_bytes(&in, packed.data, packed.len, &err), GC_E_FORMAT);
	ck_assert_ptr_nonnull(strstr(err.text, "damaged after"));
	for (size_t i = 8; i < 300; i++) {
		enum gc_code code;

		packed.data[i] = (char)(packed.data[i] ^ 0x55);
		code = open_bytes(&in, packed.data, packed.len - 16, &err);
		packed.data[i] = (char)(packed.data[i] ^ 0x55);
		if (code == GC_OK) /* zstd without a checksum, or a time stamp */
			gc_input_close(&in);
		else
			ck_assert(code == GC_E_FORMAT || code == GC_E_TRUNCATED || code == GC_E_LIMIT);
	}
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

/** A child that writes @len bytes to @fd in two parts with @pause_ms between. */
static pid_t writer(int fd, const void *bytes, size_t len, unsigned pause_ms)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		size_t half = len / 2;

		if (write(fd, bytes, half) < 0)
			_exit(1);
		usleep(pause_ms * 1000);
		_exit(write(fd, (const char *)bytes + half, len - half) < 0);
	}
	close(fd);
	return pid;
}

/** Open "-" with @fd as standard input. */
static enum gc_code open_stdin(struct gc_input *in, int fd, gc_progress_fn *progress, void *data,
			       struct gc_error *err)
{
	int saved = dup(STDIN_FILENO);
	enum gc_code code;

	dup2(fd, STDIN_FILENO);
	close(fd);
	code = gc_input_open(in, "-", progress, data, err);
	dup2(saved, STDIN_FILENO);
	close(saved);
	return code;
}

START_TEST(standard_input_from_a_pipe)
{
	struct gc_buf packed = GC_BUF_INIT;
	struct gc_input in;
	struct gc_error err;
	size_t len;
	uint8_t *bytes = sample(&len);
	pid_t pid;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	pid = writer(p[1], bytes, len, 20);
	ck_assert_int_eq(open_stdin(&in, p[0], NULL, NULL, &err), GC_OK);
	waitpid(pid, NULL, 0);
	ck_assert_ptr_null(in.compression);
	ck_assert_uint_eq(in.size, len);
	ck_assert_mem_eq(in.bytes, bytes, len);
	ck_assert_int_eq(in.mtime, 0);
	gc_input_close(&in);

	pack_zstd(&packed, bytes, len);
	ck_assert_int_eq(pipe(p), 0);
	pid = writer(p[1], packed.data, packed.len, 0);
	ck_assert_int_eq(open_stdin(&in, p[0], NULL, NULL, &err), GC_OK);
	waitpid(pid, NULL, 0);
	ck_assert_str_eq(in.compression, "zstd");
	ck_assert_mem_eq(in.bytes, bytes, len);
	gc_input_close(&in);

	ck_assert_int_eq(pipe(p), 0);
	close(p[1]);
	ck_assert_int_eq(open_stdin(&in, p[0], NULL, NULL, &err), GC_E_FORMAT);
	ck_assert_str_eq(err.text, "is empty");
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

START_TEST(standard_input_from_a_file)
{
	struct gc_input in;
	struct gc_error err;
	int fd = open(write_file("in", "0123456789", 10), O_RDONLY);

	ck_assert_int_eq(open_stdin(&in, dup(fd), NULL, NULL, &err), GC_OK);
	ck_assert_uint_eq(in.size, 10);
	ck_assert_uint_ne(in.ino, 0); /* mapped, not copied */
	gc_input_close(&in);

	lseek(fd, 4, SEEK_SET);
	ck_assert_int_eq(open_stdin(&in, fd, NULL, NULL, &err), GC_OK);
	ck_assert_uint_eq(in.size, 6);
	ck_assert_mem_eq(in.bytes, "456789", 6);
	gc_input_close(&in);
}
END_TEST

START_TEST(named_pipe_with_a_writer)
{
	struct gc_input in;
	struct gc_error err;
	const char *path = in_dir("fifo");
	int fd;
	pid_t pid;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDWR);
	pid = fork();
	if (pid == 0) {
		usleep(30000);
		_exit(write(fd, "slow bytes", 10) != 10);
	}
	close(fd); /* the child has its own */
	ck_assert_int_eq(gc_input_open(&in, path, NULL, NULL, &err), GC_OK);
	ck_assert_uint_eq(in.size, 10);
	gc_input_close(&in);
	waitpid(pid, NULL, 0);
}
END_TEST

struct calls {
	int count;
	uint64_t done, total;
};

static void count_calls(void *data, uint64_t done, uint64_t total)
{
	struct calls *c = data;

	c->count++;
	c->done = done;
	c->total = total;
}

START_TEST(progress_is_told_now_and_then)
{
	struct calls calls = { 0 };
	struct gc_input in;
	struct gc_error err;
	size_t len;
	uint8_t *bytes = sample(&len);
	pid_t pid;
	int p[2];

	ck_assert_int_eq(pipe(p), 0);
	pid = writer(p[1], bytes, len, 250);
	ck_assert_int_eq(open_stdin(&in, p[0], count_calls, &calls, &err), GC_OK);
	waitpid(pid, NULL, 0);
	ck_assert_int_ge(calls.count, 1);
	ck_assert_int_le(calls.count, 20);
	ck_assert_uint_gt(calls.done, len / 2);
	ck_assert_uint_eq(calls.total, 0);
	gc_input_close(&in);
	free(bytes);
}
END_TEST

START_TEST(temporary_directory_is_named_when_it_fails)
{
	struct gc_buf packed = GC_BUF_INIT;
	struct rlimit limit = { .rlim_cur = 0 }, saved;
	struct gc_input in;
	struct gc_error err;
	size_t len;
	uint8_t *bytes = sample(&len);
	const char *path;

	pack_lz4(&packed, bytes, len);
	setenv("TMPDIR", in_dir("missing"), 1);
	path = write_file("f", packed.data, packed.len);
	ck_assert_int_eq(gc_input_open(&in, path, NULL, NULL, &err), GC_E_IO);
	ck_assert_ptr_nonnull(strstr(err.text, "/missing (set TMPDIR)"));

	/* A file size limit is the full disk that every test may have. */
	setenv("TMPDIR", tmpdir, 1);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &saved);
	limit = (struct rlimit){ .rlim_cur = MIB, .rlim_max = saved.rlim_max };
	setrlimit(RLIMIT_FSIZE, &limit);
	ck_assert_int_eq(gc_input_open(&in, path, NULL, NULL, &err), GC_E_IO);
	setrlimit(RLIMIT_FSIZE, &saved);
	ck_assert_ptr_nonnull(strstr(err.text, "no room in "));
	ck_assert_ptr_nonnull(strstr(err.text, tmpdir));
	ck_assert_ptr_nonnull(strstr(err.text, "set TMPDIR"));
	gc_buf_deinit(&packed);
	free(bytes);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("input");
	TCase *t = tcase_create("input");
	int n = (int)GC_COUNT(formats);

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, plain_file_is_mapped);
	tcase_add_test(t, useless_files_are_refused);
	tcase_add_loop_test(t, packed_file_is_unpacked, 0, n);
	tcase_add_loop_test(t, packed_bombs_end, 0, n);
	tcase_add_loop_test(t, several_frames_are_one_file, 0, n);
	tcase_add_test(t, skippable_frames_and_padding);
	tcase_add_loop_test(t, stream_that_ends_early, 0, n);
	tcase_add_loop_test(t, stream_that_is_damaged, 0, n);
	tcase_add_test(t, standard_input_from_a_pipe);
	tcase_add_test(t, standard_input_from_a_file);
	tcase_add_test(t, named_pipe_with_a_writer);
	tcase_add_test(t, progress_is_told_now_and_then);
	tcase_add_test(t, temporary_directory_is_named_when_it_fails);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
