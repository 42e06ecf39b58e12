#!/bin/bash
# triage.sh CORE:PROGRAM...: cores per second of triage over COPIES (2000) links to these cores, with 1, 2 and
# JOBS (nproc) workers, and what one holds in memory at most, beside gdb and eu-stack on each core and its program,
# as many at a time. OPTIONS is more for STUB (./gocore-stub), as --sysroot=DIR; gdb gets GDB_SYSROOT and is GDB
# (gdb-multiarch). All in one run, so that the ratios mean something; processor time is less of an accident than
# the clock where others use the machine, too.
set -eu
stub=$(realpath "${STUB:-./gocore-stub}") gdb=${GDB:-gdb-multiarch} copies=${COPIES:-2000} jobs=${JOBS:-$(nproc)}
[ $# -gt 0 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir "$tmp/cores"
pairs=("$@")
for ((i = 0; i < copies; i++)); do
	pair=${pairs[i % ${#pairs[@]}]}
	ln -s "$(realpath "${pair%%:*}")" "$tmp/cores/core.$i"
done
# shellcheck disable=SC2206 # words
options=(${OPTIONS:-})
for pair; do options+=("--bin-dir=$(dirname "$(realpath "${pair#*:}")")"); done
echo "load: $(cut -d' ' -f1-3 /proc/loadavg), $(nproc) processors, $copies cores of ${#pairs[@]} kinds"

# row NAME CORES COMMAND...: cores per second, by the clock and by processor time
row() {
	local name=$1 n=$2
	shift 2
	python3 - "$name" "$n" "$@" <<'END'
import resource, subprocess, sys, time
name, n, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
begin = time.monotonic()
done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall, usage = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = usage.ru_utime + usage.ru_stime
print('%-34s %9.1f cores/s  %8.3f ms of processor time a core  %6.1f MiB at most%s' % (
    name, n / wall, 1000 * cpu / n, usage.ru_maxrss / 1024, '' if done.returncode in (0, 3) else '  FAILED'))
END
}

for j in $(printf '%s\n' 1 2 "$jobs" | sort -nu); do
	row "triage -j $j" "$copies" "$stub" triage "$tmp/cores" -j "$j" -o "$tmp/out.ndjson" "${options[@]}"
done
[ "$(wc -l < "$tmp/out.ndjson")" = "$copies" ] || echo "not every core has a line"
printf '%s\n' "${pairs[@]}" > "$tmp/pairs"
export GDB_SYSROOT=${GDB_SYSROOT:-/} gdb
# shellcheck disable=SC2016 # expanded by the inner shell
row "gdb thread apply all bt, $jobs at a time" ${#pairs[@]} xargs -P "$jobs" -a "$tmp/pairs" -n 1 sh -c \
	'"$gdb" -nx -batch -iex "set debuginfod enabled off" -ex "set sysroot $GDB_SYSROOT" -ex "thread apply all bt" "${0#*:}" "${0%%:*}"; true'
# shellcheck disable=SC2016
row "eu-stack, $jobs at a time" ${#pairs[@]} xargs -P "$jobs" -a "$tmp/pairs" -n 1 sh -c \
	'eu-stack --core="${0%%:*}" --executable="${0#*:}"; true'
