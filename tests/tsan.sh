#!/bin/sh
# The tests of threads under ThreadSanitizer: eight threads with sessions on one model, cancelling, loading and generating at once, and the
# team of threads that parallel loops run on. First on the std::thread back end (libgomp's barriers are invisible to the sanitizer; CXX picks
# the compiler), then on the OpenMP of clang, whose libarcher tells the sanitizer about them. With --if-present says SKIP where doctest is
# missing.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
present_or_skip "${1-}" doctest
bootstrap doctest
rm -f build/tsan/tests.log build/tsan-openmp/tests.log
usual=${TSAN_OPTIONS-}
failed=

export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1 $usual"
rooms tsan 'concurrency parallel_threads' 'concurrency/ kernels/parallel_test_threads$' -DPLUME_SANITIZE=thread -DPLUME_OPENMP=OFF || failed=' tsan'

archer=
for clang in clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14; do
  [ -z "$archer" ] && have "$clang" || continue
  found=$("$clang" -print-file-name=libarcher.so)
  case $found in /*) archer=$found ;; esac
done
if [ -n "$archer" ]; then
  export TSAN_OPTIONS="ignore_noninstrumented_modules=1:$TSAN_OPTIONS" OMP_TOOL_LIBRARIES="$archer"
  rooms tsan-openmp concurrency concurrency/ -DPLUME_SANITIZE=thread -DCMAKE_TOOLCHAIN_FILE=cmake/clang.cmake ||
    failed="$failed tsan-openmp"
else
  missing_steps='SKIP: OpenMP under ThreadSanitizer needs clang++ with libarcher (Debian: apt install clang libomp-14-dev)'
fi
report tsan tsan tsan-openmp
[ -z "$failed" ]
