/* The `monitor` commands: documents of this process, as text for people. */
#ifndef CMD_MONITOR_H
#define CMD_MONITOR_H

#include "gocore/rsp.h"

extern const struct gc_monitor monitor_commands[];
extern const size_t monitor_command_count;

enum gc_code monitor_goroutines(struct gc_target *t, const char *args, struct gc_buf *out, struct gc_error *err);

#endif
