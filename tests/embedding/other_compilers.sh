#!/bin/sh
# other_compilers.sh PROGRAM WORK PLUGINS OPTION...: a host compiled by one compiler loads libraries compiled by another, with that one's OpenMP.
# PROGRAM is the test program of shared libraries, PLUGINS the folder of its own ones; OPTIONs name include directories.
set -eu
here=$(dirname -- "$0")
program=$1
work=$2
plugins=$3
shift 3
tried=
for compiler in g++ clang++ clang++-14 clang++-16 clang++-19; do
  command -v $compiler >/dev/null 2>&1 || continue
  rm -rf "$work" && mkdir -p "$work"
  cp "$plugins"/*.so "$work/"
  openmp=-fopenmp
  printf '#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n' | $compiler -fopenmp -x c++ - -o "$work/openmp" 2>/dev/null || openmp=-pthread
  unique=
  case $compiler in g++) unique=-fno-gnu-unique ;; esac
  # shellcheck disable=SC2086  # several words
  $compiler -std=c++20 -O1 $openmp $unique -fPIC -shared -fvisibility=hidden "$@" "$here/plugin.cpp" -o "$work/libplume_test_plugin_hidden.so"
  if [ $openmp = -fopenmp ]; then  # else its names are those of another configuration, and its errors of other types
    $compiler -std=c++20 -O1 $openmp -fPIC -shared "$@" "$here/plugin.cpp" -o "$work/libplume_test_plugin_visible.so"
  fi
  echo "libraries by $compiler $openmp"
  PLUME_TEST_PLUGINS=$work "$program" '--source-file=*/shared_libraries_test.cpp'
  tried="$tried $compiler"
done
[ -n "$tried" ] || echo 'SKIP: no other compiler is there'
