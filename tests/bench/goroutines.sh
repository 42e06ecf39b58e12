#!/bin/bash
# goroutines.sh CORE PROGRAM [OPTION...]: how long gdb takes to connect, list the threads and show a stack
# when they are goroutines (median of ROUNDS, 5), with equal ones joined and one by one; and beside it
# the list of all goroutines by "gocore-stub goroutines" and, if there is one, by Delve.
# STUB names the program (./gocore-stub), GDB the debugger (gdb-multiarch), DLV Delve (dlv).
set -eu
stub=${STUB:-./gocore-stub} gdb=${GDB:-gdb-multiarch} dlv=${DLV:-dlv} rounds=${ROUNDS:-5}
[ $# -ge 2 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkfifo "$tmp/messages"
core=$1 program=$2
shift 2

# measure NAME COMMAND...: the median of several runs, which have to succeed
measure() {
	local name=$1 begin end
	shift
	: > "$tmp/times"
	for ((i = 0; i < rounds; i++)); do
		begin=${EPOCHREALTIME/./}
		"$@" > "$tmp/out" 2>&1 < /dev/null || { echo "$name: failed"; tail -3 "$tmp/out"; return 0; }
		end=${EPOCHREALTIME/./}
		echo $((end - begin)) >> "$tmp/times"
	done
	sort -n "$tmp/times" | awk -v n="$rounds" -v name="$name" -v lines="$(wc -l < "$tmp/out")" '{ t[NR] = $1 }
		END { printf "%-34s %7.3f s  (%d lines)\n", name, t[int((n + 1) / 2)] / 1e6, lines }'
}

# debug OPTION...: the whole way of a user, the stub's start included. Not through a pipe: gdb is slow on one.
debug() {
	local pid line
	"$stub" "$core" "$program" --listen="unix:$tmp/s" "$@" 2> "$tmp/messages" > /dev/null &
	pid=$!
	while read -r line; do
		case $line in 'listening on'*) break ;; esac
	done < "$tmp/messages"
	"$gdb" -nx -batch -ex 'set width 0' -ex 'set height 0' -ex "target remote $tmp/s" -ex 'info threads' \
		-ex 'thread 3' -ex 'backtrace'
	kill $pid
	wait $pid || :
}

measure 'gdb, OS threads' debug --threads=os "$@"
measure 'gdb, goroutines' debug "$@"
measure 'gdb, goroutines one by one' debug --goroutines=all "$@"
measure 'gocore-stub goroutines' "$stub" goroutines "$core" "$program" "$@"
if command -v "$dlv" > /dev/null; then
	echo 'goroutines -t 1' > "$tmp/commands"
	measure 'Delve, goroutines' "$dlv" core "$program" "$core" --allow-non-terminal-interactive --init "$tmp/commands"
fi
