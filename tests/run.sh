#!/bin/sh
# Builds and runs every test of a change: the whole suite, then the readers of foreign data under AddressSanitizer and UndefinedBehaviorSanitizer,
# then matrix products, norms, attention and a whole model on NEON, under emulation (tests/aarch64.sh runs more there).
# Installs what is missing (see cmake/bootstrap.sh). CXX picks the compiler, PLUME_JOBS the number of jobs.
# Ends with the time of each step, what was skipped, and ctest's summary: of the step that failed, else of the whole suite.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
start=$(date +%s)
bootstrap doctest nlohmann simde pkg-config

suite() { workflow test test; }

# -Og compiles in two thirds of the time of -O1, which is more than its tests lose.
sanitized() {
  readers=
  for room in base formats tokenizer malformed; do
    if ls tests/$room/*_test.cpp >/dev/null 2>&1; then readers="$readers $room"; fi
  done
  # shellcheck disable=SC2086  # several words
  rooms asan "$readers" "$(printf '%s/ ' $readers)" '-DCMAKE_CXX_FLAGS=-Og -g1 -D_GLIBCXX_ASSERTIONS' -DPLUME_SANITIZE=address,undefined
}

aarch64() { rooms aarch64 smoke smoke/ -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake; }

times=
folders=
closing=test  # the build folder whose summary stands last
failed=
step() {  # step FOLDER NAME: runs the function NAME, notes its time and whether it failed
  folders="$folders $1"
  rm -f "build/$1/tests.log" "build/$1/Testing/Temporary/LastTest.log"
  begin=$(date +%s)
  if ! "$2"; then
    [ -n "$failed" ] || closing=$1
    failed="$failed $2"
  fi
  times="$times$(printf '%6d s  %s' $(($(date +%s) - begin)) "$2")
"
}
step test suite
step asan sanitized
case $(uname -m) in
  aarch64 | arm64) ;;  # the suite ran on it
  *)
    if (bootstrap doctest nlohmann aarch64 qemu); then
      step aarch64 aarch64
    else
      missing_steps='SKIP: the tests for AArch64 need its cross compiler and qemu (sh tests/aarch64.sh says more)'
    fi
    ;;
esac

printf '\n%s%6d s  in all\n' "$times" $(($(date +%s) - start))
# shellcheck disable=SC2086  # several words
report "$closing" $folders
[ -z "$failed" ]
