#!/bin/sh
# Builds and runs every test of a change: the whole suite, then the readers of foreign data under AddressSanitizer and UndefinedBehaviorSanitizer.
# Installs what is missing (see cmake/bootstrap.sh). CXX picks the compiler, PLUME_JOBS the number of jobs.
# Ends with the time of each step, what was skipped, and ctest's summary: of the step that failed, else of the whole suite.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
start=$(date +%s)
bootstrap doctest nlohmann simde pkg-config

suite() { workflow test test; }

sanitized() {
  rooms=
  for room in base formats tokenizer malformed; do
    if ls tests/$room/*_test.cpp >/dev/null 2>&1; then rooms="$rooms $room"; fi
  done
  if cmake_at_least 25; then
    cmake --preset asan || return 1
  else
    cmake -G Ninja -S . -B build/asan -DCMAKE_BUILD_TYPE=Test '-DCMAKE_CXX_FLAGS=-O1 -g -D_GLIBCXX_ASSERTIONS' -DPLUME_BUILD_BENCH=OFF -DPLUME_BUILD_EXAMPLES=OFF \
      -DPLUME_WERROR=ON -DPLUME_SANITIZE=address,undefined || return 1
  fi
  # shellcheck disable=SC2046,SC2086  # several words
  cmake --build build/asan --target $(printf 'plume_test_%s ' $rooms) || return 1
  # shellcheck disable=SC2086
  (cd build/asan && ctest --output-on-failure --output-log tests.log -LE nightly -R "^($(printf '%s|' $rooms | sed 's/|$//'))/")
}

times=
closing=test  # the build folder whose summary stands last
failed=
step() {  # step FOLDER NAME: runs the function NAME, notes its time and whether it failed
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

printf '\n%s%6d s  in all\n' "$times" $(($(date +%s) - start))
skips=$(cat build/test/Testing/Temporary/LastTest.log build/asan/Testing/Temporary/LastTest.log 2>/dev/null | grep '^SKIP' | sort -u || true)
if [ -n "$skips" ]; then printf '%s skipped:\n%s\n' "$(printf '%s\n' "$skips" | wc -l | tr -d ' ')" "$skips"; else echo '0 skipped'; fi
if [ -n "$failed" ]; then echo "failed:$failed"; fi
if [ -e "build/$closing/tests.log" ]; then sed -n '/tests passed,/,$ { /^\[ERROR_MESSAGE\]/d; p; }' "build/$closing/tests.log"; else echo "build/$closing: no test was run"; fi
[ -z "$failed" ]
