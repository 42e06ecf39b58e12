#!/bin/sh
# Every input under tests/fuzz/corpus/core, without a fuzzer.
exec "$GOCORE_BUILD/tests/fuzz/replay_core" "$GOCORE_SOURCE/tests/fuzz/corpus/core"
