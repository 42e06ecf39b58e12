#!/bin/bash
# start.sh CORE [PROGRAM] [OPTION...]: how long the stub takes from exec to "listening on" (median of
# ROUNDS, 21), and what it then holds in memory of its own (RssAnon) and in all.
# STUB names the program (./gocore-stub).
set -eu
stub=${STUB:-./gocore-stub} rounds=${ROUNDS:-21}
[ $# -gt 0 ] || { sed -n '2,4s/^# //p' "$0"; exit 2; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkfifo "$tmp/messages"
for ((i = 0; i < rounds; i++)); do
	begin=${EPOCHREALTIME/./}
	"$stub" "$@" --listen="unix:$tmp/s" 2> "$tmp/messages" > /dev/null &
	pid=$!
	exec 3< "$tmp/messages"
	while read -r line <&3; do
		case $line in 'listening on'*) break ;; esac
	done
	end=${EPOCHREALTIME/./}
	echo $((end - begin)) >> "$tmp/times"
	grep -E '^Rss(Anon|File)|^VmHWM' "/proc/$pid/status" > "$tmp/memory"
	kill $pid
	wait $pid || :
	exec 3<&-
done
sort -n "$tmp/times" | awk -v n="$rounds" '{ t[NR] = $1 }
	END { printf "ready after %.1f ms (median of %d; %.1f to %.1f)\n", t[int((n + 1) / 2)] / 1000, n, t[1] / 1000, t[n] / 1000 }'
awk '{ printf "%s %.1f MiB  ", $1, $2 / 1024 } END { print "" }' "$tmp/memory"
