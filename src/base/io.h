/* read(2) and write(2) until all is done; signals in between are no error. */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <stdbool.h>
#include <stddef.h>

/** @return false with errno if not all of it was written; a descriptor that does not block may say EAGAIN */
bool gc_write_all(int fd, const void *bytes, size_t len);

/** gc_write_all to a socket; when the other side is gone there is no SIGPIPE. */
bool gc_send_all(int fd, const void *bytes, size_t len);

/** @return false if there are fewer than @len bytes before the end, or an error */
bool gc_read_all(int fd, void *buf, size_t len);

#endif
