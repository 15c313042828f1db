#!/bin/sh
# The tests of threads under ThreadSanitizer, on the std::thread back end (libgomp's barriers are invisible to it): eight threads with sessions
# on one model, cancelling, loading and generating at once, and the team of threads that parallel loops run on. CXX picks the compiler.
set -eu
CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
present_or_skip "${1-}" doctest
bootstrap doctest
export TSAN_OPTIONS="halt_on_error=1:second_deadlock_stack=1 ${TSAN_OPTIONS-}"
rooms tsan 'concurrency parallel_threads' 'concurrency/ kernels/parallel_test_threads$' -DPLUME_SANITIZE=thread -DPLUME_OPENMP=OFF
