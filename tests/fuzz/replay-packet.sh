#!/bin/sh
# Every input under tests/fuzz/corpus/packet, without a fuzzer.
exec "$GOCORE_BUILD/tests/fuzz/replay_packet" "$GOCORE_SOURCE/tests/fuzz/corpus/packet"
