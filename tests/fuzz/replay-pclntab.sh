#!/bin/sh
# Every input under tests/fuzz/corpus/pclntab, without a fuzzer.
exec "$GOCORE_BUILD/tests/fuzz/replay_pclntab" "$GOCORE_SOURCE/tests/fuzz/corpus/pclntab"
