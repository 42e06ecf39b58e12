#!/bin/bash
# goroutines.sh CORE PROGRAM [OPTION...]: how long gdb takes to connect, list the threads and show a stack
# when they are goroutines (median of ROUNDS, 5), with equal ones joined and one by one; and beside it
# the list of all goroutines by "gocore-stub goroutines" and, if there is one, by Delve.
# goroutines.sh --million [FOLDER]: a Go program with a million goroutines is built and dumped there with gcore (4 GB of
# disk; an own folder, removed at the end, if none is named), and all of them are listed with their stacks.
# STUB names the program (./gocore-stub), GDB the debugger (gdb-multiarch), DLV Delve (dlv), GOROUTINES how many (1000000).
set -eu
stub=${STUB:-./gocore-stub} gdb=${GDB:-gdb-multiarch} dlv=${DLV:-dlv} rounds=${ROUNDS:-5}
[ $# -ge 2 ] || [ "${1:-}" = --million ] || { sed -n '2,7s/^# //p' "$0"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# make_million FOLDER: FOLDER/million and FOLDER/core.PID
make_million() {
	local pid
	cat > "$1/million.go" <<-'end'
		package main

		import (
			"fmt"
			"os"
			"strconv"
			"sync"
		)

		func wait(ready *sync.WaitGroup, c chan int) {
			ready.Done()
			<-c
		}

		func main() {
			n, _ := strconv.Atoi(os.Args[1])
			c := make(chan int)
			var ready sync.WaitGroup
			ready.Add(n)
			for i := 0; i < n; i++ {
				go wait(&ready, c)
			}
			ready.Wait()
			fmt.Println("ready")
			os.Stdin.Read(make([]byte, 1))
		}
	end
	go build -o "$1/million" "$1/million.go"
	mkfifo "$tmp/in" "$tmp/ready"
	"$1/million" "${GOROUTINES:-1000000}" < "$tmp/in" > "$tmp/ready" &
	pid=$!
	exec 9> "$tmp/in"
	read -r _ < "$tmp/ready"
	gcore -o "$1/core" "$pid" > "$tmp/gcore" 2>&1 || { tail -3 "$tmp/gcore"; kill "$pid"; return 1; }
	exec 9>&-
	wait "$pid"
	core=$1/core.$pid
}

if [ "${1:-}" = --million ]; then
	for tool in go gcore; do
		command -v "$tool" > /dev/null || { echo "skipped: there is no $tool"; exit 77; }
	done
	folder=${2:-$tmp}
	mkdir -p "$folder"
	make_million "$folder"
	"$(pwd)/tests/bench/compare" -n "${ROUNDS:-3}" \
		'goroutines --json' "$stub" goroutines --json "$core" "$folder/million" -- \
		'goroutines --group' "$stub" goroutines --group "$core" "$folder/million" -- \
		'goroutines --format=folded' "$stub" goroutines --format=folded "$core" "$folder/million"
	echo "wanted of $(du -h --apparent-size "$core" | cut -f1): less than 6000 ms and 1536 MiB"
	exit 0
fi

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
