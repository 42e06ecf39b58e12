#!/bin/bash
# snapshot.sh CORE PROGRAM [GO_CORE GO_PROGRAM]: how long "snapshot --json" takes beside eu-stack and gdb on a
# C core, with the debug files of libraries that are on this host and without any; and "goroutines" on a Go core
# beside Delve if there is one. Every table is measured in turn in one run: least and median time of ROUNDS (21),
# the median as a multiple of the first row's, and memory. Lines that earlier runs kept are used, as a user has it;
# --no-cache shows what the first run takes. Run in the build folder after `make check TESTS=`.
# STUB names the program (./gocore-stub), GDB the debugger (gdb), DLV Delve (dlv), OPTIONS more for STUB.
set -eu
stub=${STUB:-./gocore-stub} gdb=${GDB:-gdb} dlv=${DLV:-dlv} rounds=${ROUNDS:-21}
[ $# -eq 2 ] || [ $# -eq 4 ] || { sed -n '2,7s/^# //p' "$0"; exit 2; }
compare=$(pwd)/tests/bench/compare
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# shellcheck disable=SC2206 # OPTIONS are words
options=(${OPTIONS:-})

# head TITLE
head() { printf '\n%-34s %13s %13s  %10s  %12s\n' "$1" least median 'of first' memory; }

# stacks TITLE [DIR]: debug files in DIR only
stacks() {
	head "$1"
	"$compare" -n "$rounds" \
		'snapshot --json' "$stub" snapshot --json "$core" "$program" "${options[@]}" ${2:+--debug-dir="$2"} -- \
		'snapshot --json --no-cache' "$stub" snapshot --json --no-cache "$core" "$program" "${options[@]}" \
		${2:+--debug-dir="$2"} -- \
		'snapshot' "$stub" snapshot "$core" "$program" "${options[@]}" ${2:+--debug-dir="$2"} -- \
		'eu-stack' eu-stack --core="$core" --executable="$program" ${2:+--debuginfo-path="$2"} -- \
		'eu-stack, lines and inlined calls' eu-stack --source --inlines --core="$core" --executable="$program" \
		${2:+--debuginfo-path="$2"} -- \
		'gdb, thread apply all bt' "$gdb" -nx -batch ${2:+-iex "set debug-file-directory $2"} \
		-ex 'thread apply all bt' "$program" "$core"
	echo 'wanted: eu-stack 3.00 x or more, gdb 100 x or more'
}

core=$1 program=$2
stacks 'debug files of this host'
stacks 'no debug files' "$tmp"
[ $# -eq 4 ] || exit 0
core=$3 program=$4
head 'goroutines'
"$compare" -n "$rounds" \
	'goroutines --json' "$stub" goroutines --json "$core" "$program" "${options[@]}" -- \
	'goroutines' "$stub" goroutines "$core" "$program" "${options[@]}" -- \
	'goroutines --group' "$stub" goroutines --group "$core" "$program" "${options[@]}" -- \
	'goroutines --format=pprof' "$stub" goroutines --format=pprof "$core" "$program" "${options[@]}" -- \
	'snapshot --json' "$stub" snapshot --json "$core" "$program" "${options[@]}"
echo 'goroutines' > "$tmp/list"
echo 'goroutines -t 10' > "$tmp/stacks"
head 'goroutines'
"$compare" -n 1 \
	'goroutines --json' "$stub" goroutines --json "$core" "$program" "${options[@]}" -- \
	'Delve, goroutines' "$dlv" core "$program" "$core" --allow-non-terminal-interactive \
	--check-go-version=false --init "$tmp/list" -- \
	'Delve, goroutines with stacks' "$dlv" core "$program" "$core" --allow-non-terminal-interactive \
	--check-go-version=false --init "$tmp/stacks"
