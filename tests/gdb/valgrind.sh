#!/bin/sh
# The same sessions as elsewhere with the stub under valgrind: no invalid or uninitialised access.
command -v valgrind > /dev/null || { echo "SKIP: valgrind is not installed"; exit 77; }
valgrind -q true || { echo "SKIP: valgrind does not run here (Debian: libc6-dbg)"; exit 77; }
case $(ldd "$GOCORE_STUB" 2> /dev/null) in
*libasan* | *libubsan*) echo "SKIP: not with a sanitizer"; exit 77 ;;
esac
nm "$GOCORE_STUB" 2> /dev/null | grep -q __asan_init && { echo "SKIP: not with a sanitizer"; exit 77; }
# Exit status 99 of any process of the stub, and any report, fail the test (tests/lib/gocore.py).
GOCORE_STUB="valgrind -q --error-exitcode=99 --trace-children=no $GOCORE_STUB"
GOCORE_OPTIONS=--no-sandbox # which would catch valgrind's own system calls
GOCORE_SLOW=10
export GOCORE_STUB GOCORE_OPTIONS GOCORE_SLOW
cd "$GOCORE_SOURCE/tests/gdb" || exit 1
${PYTHON:-python3} many-clients.py ManyClients.test_own_sessions ManyClients.test_pipelined \
	ManyClients.test_hostile_arguments &&
${PYTHON:-python3} memory.py Memory.test_plugin_aarch64 Memory.test_plugin_x86_64_by_m &&
${PYTHON:-python3} values.py Values.test_tls_by_packet Values.test_plugin_aarch64_with_nothing \
	Values.test_plugin_x86_64_with_nothing
