/* GDB's own signal numbers, which its stop replies carry whatever the system (include/gdb/signals.def). */
#ifndef RSP_GDB_SIGNALS_H
#define RSP_GDB_SIGNALS_H

/** @return GDB's number of a Linux signal; 0 stays 0, what GDB has no number for is GDB_SIGNAL_UNKNOWN */
int gc_gdb_signal(int linux_number);

#endif
