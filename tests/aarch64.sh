#!/bin/sh
# Builds the fast tests for AArch64 with a cross compiler and runs them under emulation (qemu): its base level, NEON, is what they test there.
# Installs what is missing (see cmake/bootstrap.sh), or with --if-present says SKIP. PLUME_JOBS is the number of jobs.
# Ends with what was skipped and ctest's summary.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
case $(uname -m) in
  aarch64 | arm64)
    say 'This processor is AArch64 itself: sh tests/run.sh runs every test on it.'
    exit 0
    ;;
esac
present_or_skip "${1-}" doctest nlohmann aarch64 qemu
bootstrap doctest nlohmann aarch64 qemu
rm -f build/aarch64/tests.log build/aarch64/Testing/Temporary/LastTest.log

fast='base tensor kernels ops modules formats tokenizer generate'
failed=
# shellcheck disable=SC2086  # several words
rooms aarch64 "$fast parallel_threads" "$(printf '%s/ ' $fast)" -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake || failed=' aarch64'
report aarch64 aarch64
[ -z "$failed" ]
