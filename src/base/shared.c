#include "gocore/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"

/* A process that makes the bytes for so long has gone astray; the others do without it. */
#define PATIENCE 20 /* seconds */

/** In memory that all processes map. */
struct shared_head {
	pthread_mutex_t lock; /* robust: who dies with it leaves it to the next */
	bool made;
};

struct gc_shared {
	struct shared_head *head;
	int fd;               /* the bytes, once they are made */
	const uint8_t *bytes; /* mapped here, or own.data */
	uint64_t len;
	struct gc_buf own;    /* those that could not be shared */
	struct gc_error failed;
};

static bool init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attr;
	bool done;

	if (pthread_mutexattr_init(&attr) != 0)
		return false;
	done = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
	       pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
	       pthread_mutex_init(lock, &attr) == 0;
	pthread_mutexattr_destroy(&attr);
	return done;
}

enum gc_code gc_shared_new(struct gc_shared **out, struct gc_error *err)
{
	struct gc_shared *s = calloc(1, sizeof(*s));
	void *head;

	if (!s)
		return gc_fail_memory(err);
	s->fd = -1;
	head = mmap(NULL, sizeof(*s->head), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (head == MAP_FAILED)
		goto failed;
	s->head = head;
	s->fd = memfd_create("gocore-stub", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (s->fd < 0 || !init_lock(&s->head->lock))
		goto failed;
	*out = s;
	return GC_OK;
failed:
	gc_fail_errno(err, errno, "shared memory");
	gc_shared_free(s);
	return err ? err->code : GC_E_IO;
}

void gc_shared_free(struct gc_shared *s)
{
	if (!s)
		return;
	if (s->bytes && s->bytes != (const uint8_t *)s->own.data)
		munmap((void *)s->bytes, s->len);
	gc_buf_deinit(&s->own);
	if (s->fd >= 0)
		close(s->fd);
	if (s->head)
		munmap(s->head, sizeof(*s->head)); /* others may still use the lock */
	free(s);
}

/** @return false if another process does not let go of it */
static bool take_lock(struct shared_head *head)
{
	struct timespec until;
	int failed;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE;
	failed = pthread_mutex_timedlock(&head->lock, &until);
	if (failed == EOWNERDEAD)
		failed = pthread_mutex_consistent(&head->lock);
	return failed == 0;
}

/** With the lock: map what is in the descriptor. It is sealed, so that it stays as long as it is. */
static bool map_bytes(struct gc_shared *s)
{
	off_t size = lseek(s->fd, 0, SEEK_END); /* fstat() may be another system call, which takes a path */
	void *map;

	if (size <= 0)
		return false;
	map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, s->fd, 0);
	if (map == MAP_FAILED)
		return false;
	s->bytes = map;
	s->len = (uint64_t)size;
	return true;
}

/** With the lock. A maker before us may have died halfway: its bytes are overwritten, for they are the same. */
static void publish(struct gc_shared *s)
{
	if (!s->own.len || lseek(s->fd, 0, SEEK_SET) != 0 || !gc_write_all(s->fd, s->own.data, s->own.len))
		return;
	if (fcntl(s->fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0)
		s->head->made = true;
}

/** Make them here, for all if @locked. */
static void make_bytes(struct gc_shared *s, gc_make_fn *make, void *data, bool locked)
{
	if (make(data, &s->own, &s->failed) == GC_OK && s->own.failed)
		gc_fail_memory(&s->failed);
	if (s->failed.code != GC_OK) {
		gc_buf_deinit(&s->own);
		return;
	}
	if (locked)
		publish(s);
	if (locked && s->head->made && map_bytes(s)) {
		gc_buf_deinit(&s->own);
		return;
	}
	s->bytes = s->own.data ? (const uint8_t *)s->own.data : (const uint8_t *)"";
	s->len = s->own.len;
}

enum gc_code gc_shared_get(struct gc_shared *s, gc_make_fn *make, void *data, const uint8_t **bytes, uint64_t *len,
			   struct gc_error *err)
{
	if (!s->bytes && s->failed.code == GC_OK) {
		bool locked = take_lock(s->head);

		if (!locked || !s->head->made || !map_bytes(s))
			make_bytes(s, make, data, locked);
		if (locked)
			pthread_mutex_unlock(&s->head->lock);
	}
	if (s->failed.code != GC_OK) {
		if (err)
			*err = s->failed;
		return s->failed.code;
	}
	*bytes = s->bytes;
	*len = s->len;
	return GC_OK;
}
