#!/bin/sh
# compilers.sh INCLUDE_DIR HERE WORK OPTION...: a strict consumer of plume/plume.hpp, compiled, linked and run with each of g++ and clang++ 14, 16
# and 19 that is there, in C++20 and C++23, with OpenMP and without. OPTIONs name the include directories of the dependencies.
set -eu
include=$1
here=$2
work=$3
shift 3
mkdir -p "$work"
status=0
for compiler in g++ clang++-14 clang++-16 clang++-19; do
  if ! command -v $compiler >/dev/null 2>&1; then
    echo "SKIP: $compiler is absent"
    continue
  fi
  threads=-pthread
  if printf '#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n' | $compiler -fopenmp -x c++ - -o "$work/openmp" 2>/dev/null; then
    threads="-fopenmp $threads"
  else
    echo "SKIP: $compiler with OpenMP: its omp.h or library is absent"
  fi
  for standard in c++20 c++23; do
    for option in $threads; do
      if $compiler -std=$standard $option -O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Werror "-I$include" "$@" "$here/compilers.cpp" \
        -o "$work/program" && "$work/program"; then
        echo "$compiler -std=$standard $option: right"
      else
        echo "$compiler -std=$standard $option: FAILS"
        status=1
      fi
    done
  done
done
exit $status
