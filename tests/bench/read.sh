#!/bin/bash
# read.sh [GDBSERVER...]: how fast memory is read by a raw client with one request in flight, from the
# stub and from each gdbserver in the same run. Run in the build folder after `make check TESTS=`.
set -eu
size=$((256 << 20))
here=$(pwd)
tmp=$(mktemp -d)
pids=()
end() { kill "${pids[@]}" 2> /dev/null || :; rm -rf "$tmp"; }
trap end EXIT

# port FILE: waits for the port that a server tells in FILE
port() {
	for ((i = 0; i < 100; i++)); do
		sed -nE 's/^listening on 127\.0\.0\.1:([0-9]+)$|^Listening on port ([0-9]+)$/\1\2/p' "$1" | grep . && return
		sleep 0.1
	done
	echo "read.sh: the server did not start: $(cat "$1")" >&2
	exit 1
}

"$here/tests/rsp/rsp_driver" -r $((size >> 20)) :0 2> "$tmp/stub" &
pids+=($!)
at=127.0.0.1:$(port "$tmp/stub")
echo "gocore-stub: $size bytes of random content"
for how in 'x 65536' 'm 65536' 'x 8192' 'm 8192'; do
	# shellcheck disable=SC2086 # two words
	"$here/tests/bench/rsp_read" "$at" 0x10000000 $size $how
done
# The same random bytes for gdbserver: those of the process that has just served them.
most=0
while IFS='- ' read -r start end _; do
	if ((0x$end - 0x$start > most)); then
		most=$((0x$end - 0x$start)) content=0x$start
	fi
done < "/proc/${pids[0]}/maps"
for server; do
	"$server" --attach 127.0.0.1:0 "${pids[0]}" 2> "$tmp/server" > /dev/null &
	gdbserver=$!
	at=127.0.0.1:$(port "$tmp/server")
	echo "$server: $size bytes of the same"
	for how in 'x 65536' 'x 32768' 'm 8192' 'm 4096'; do
		# shellcheck disable=SC2086
		"$here/tests/bench/rsp_read" "$at" "$content" $((size / 8)) $how || :
	done
	kill -9 $gdbserver
	wait $gdbserver 2> /dev/null || :
done
