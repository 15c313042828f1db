#!/bin/sh
# compilers.sh SOURCE WORK OPTION...: the whole library with each of g++ and clang++ 14, 16 and 19 that is there, all warnings being errors: all of its
# bodies and kernels compiled, linked and run by a consumer in C++20, and plume/plume.hpp parsed in C++20 and C++23, with OpenMP and without.
# OPTIONs name the include directories of the dependencies.
set -eu
source=$1
work=$2
shift 2
mkdir -p "$work"
failed=

build() {  # build COMPILER OPTION...: the program
  "$@" -DPLUME_COMPILED=1 -c "$source/tests/package/consumer/main.cpp" -o "$work/main.o" &&
    "$@" -c "$source/src/compiled.cpp" -o "$work/bodies.o" &&
    "$@" -c "$source/src/compiled_kernels.cpp" -o "$work/kernels.o" &&
    "$@" "$work/main.o" "$work/bodies.o" "$work/kernels.o" -o "$work/program" &&
    "$work/program"
}
parse() { printf '#include "plume/plume.hpp"\n' | "$@" -fsyntax-only -x c++ -; }
must() {  # must COMMAND...
  if "$@"; then
    echo "right: $*"
  else
    echo "FAILS: $*"
    failed=1
  fi
}

for compiler in g++ clang++-14 clang++-16 clang++-19; do
  if ! command -v $compiler >/dev/null 2>&1; then
    echo "SKIP: $compiler is absent"
    continue
  fi
  back_ends=-pthread
  if printf '#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n' | $compiler -fopenmp -x c++ - -o "$work/openmp" 2>/dev/null; then
    back_ends='-fopenmp -pthread'
  else
    echo "SKIP: $compiler finds no OpenMP of its own"
  fi
  strict="$compiler -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror"
  for back_end in $back_ends; do
    # shellcheck disable=SC2086  # several words
    must build $strict -std=c++20 -O2 $back_end "-I$source/include" "$@"
    for standard in c++20 c++2b; do
      # shellcheck disable=SC2086
      must parse $strict -std=$standard $back_end "-I$source/include" "$@"
    done
  done
done
[ -z "$failed" ]
