#!/bin/bash
# snapshot.sh CORE PROGRAM [GO_CORE GO_PROGRAM]: how long "snapshot --json" takes beside eu-stack and gdb
# (median of ROUNDS, 21; gdb 3) on a C core, and "goroutines" on a Go core beside Delve if there is one;
# and what they hold in memory at most. All in one run, so that the ratios mean something. With debug files
# of the C library on this host compare with the eu-stack that shows lines, or give OPTIONS=--debug-dir=/none.
# STUB names the program (./gocore-stub), GDB the debugger (gdb-multiarch), DLV Delve (dlv), OPTIONS more for STUB.
set -eu
stub=${STUB:-./gocore-stub} gdb=${GDB:-gdb-multiarch} dlv=${DLV:-dlv} rounds=${ROUNDS:-21}
[ $# -eq 2 ] || [ $# -eq 4 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
first=

# measure ROUNDS NAME COMMAND...: a row; the first one since first= is what the others are compared with
measure() {
	local n=$1 name=$2 i begin end median memory
	shift 2
	command -v "$1" > /dev/null || return 0
	: > "$tmp/times"
	for ((i = 0; i < n; i++)); do
		begin=${EPOCHREALTIME/./}
		"$@" > /dev/null 2> "$tmp/err" < /dev/null || { echo "$name: failed: $(tail -1 "$tmp/err")"; return 0; }
		end=${EPOCHREALTIME/./}
		echo $((end - begin)) >> "$tmp/times"
	done
	median=$(sort -n "$tmp/times" | sed -n "$((n / 2 + 1))p")
	memory=$(python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$@")
	first=${first:-$median}
	awk -v name="$name" -v t="$median" -v first="$first" -v memory="$memory" \
		'BEGIN { printf "%-36s %10.2f ms  %7.1f x  %8.1f MiB\n", name, t / 1000, t / first, memory / 1024 }'
}

# shellcheck disable=SC2086 # OPTIONS are words
options=(${OPTIONS:-})
printf '%-36s %13s  %9s  %12s\n' command time ratio memory
measure "$rounds" 'snapshot --json' "$stub" snapshot --json "$1" "$2" "${options[@]}"
measure "$rounds" 'snapshot' "$stub" snapshot "$1" "$2" "${options[@]}"
measure "$rounds" 'eu-stack' eu-stack --core="$1" --executable="$2"
measure "$rounds" 'eu-stack, lines and inlined calls' eu-stack --source --inlines --core="$1" --executable="$2"
measure 3 'gdb, thread apply all bt' "$gdb" -nx -batch -ex 'thread apply all bt' "$2" "$1"
[ $# -eq 4 ] || exit 0
first=
measure "$rounds" 'goroutines --json' "$stub" goroutines --json "$3" "$4" "${options[@]}"
measure "$rounds" 'goroutines' "$stub" goroutines "$3" "$4" "${options[@]}"
measure "$rounds" 'goroutines --group' "$stub" goroutines --group "$3" "$4" "${options[@]}"
measure "$rounds" 'goroutines --format=pprof' "$stub" goroutines --format=pprof "$3" "$4" "${options[@]}"
echo 'goroutines' > "$tmp/list"
echo 'goroutines -t 10' > "$tmp/stacks"
measure 1 'Delve, goroutines' "$dlv" core "$4" "$3" --allow-non-terminal-interactive --check-go-version=false --init "$tmp/list"
measure 1 'Delve, goroutines with stacks' "$dlv" core "$4" "$3" --allow-non-terminal-interactive --check-go-version=false --init "$tmp/stacks"
