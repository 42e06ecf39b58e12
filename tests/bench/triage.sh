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
	python3 - "$tmp/rows" "$name" "$n" "$@" <<'END'
import resource, subprocess, sys, time
rows, name, n, command = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
begin = time.monotonic()
done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
wall, usage = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = usage.ru_utime + usage.ru_stime
print('%-34s %9.1f cores/s  %8.3f ms of processor time a core  %6.1f MiB at most%s' % (
    name, n / wall, 1000 * cpu / n, usage.ru_maxrss / 1024, '' if done.returncode in (0, 3) else '  FAILED'))
with open(rows, 'a') as f:
    print(name.split(',')[0], n / wall, cpu / n, sep='\t', file=f)
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
python3 - "$tmp/rows" <<'END'
import sys
rows = [(name, float(rate), float(cpu)) for name, rate, cpu in (line.rstrip('\n').split('\t') for line in open(sys.argv[1]))]
best = [row for row in rows if row[0].startswith('triage')]
for name, rate, cpu in rows:
    if name.startswith('triage'):
        print('%s: %.2f times as fast as triage -j 1' % (name, rate / best[0][1]))
    else:
        print('%s is %.0f times as fast as %s (%.0f times by processor time)' % (best[-1][0], best[-1][1] / rate, name, cpu / best[-1][2]))
END
# Where the time goes: the same cores once more, by one worker that notes each step.
"$stub" triage "$tmp/cores" -j 1 --timings -o "$tmp/timed.ndjson" "${options[@]}" || true
python3 - "$tmp/timed.ndjson" <<'END'
import collections, json, sys
steps, n = collections.Counter(), 0
for line in map(json.loads, open(sys.argv[1])):
    steps.update(line.get('timings_ms', {}))
    n += 1
total = sum(steps.values())
print('where the time of a core goes: ' + ', '.join(
    '%s %.3f ms (%.0f %%)' % (name, ms / n, 100 * ms / total) for name, ms in steps.most_common()))
END
