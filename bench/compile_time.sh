#!/bin/sh
# Compile time and memory of a user's translation unit: user seconds (best of N, default 3), peak megabytes, kilobytes of code.
#   sh bench/compile_time.sh [N]
# Eigen, where the default path still needs it, is looked for where pkg-config or Debian has it. On a busy machine compare with the line
# "standard headers", which does not depend on plume.
set -eu
runs=${1:-3}
root=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export CCACHE_DISABLE=1
eigen=$(pkg-config --cflags eigen3 2>/dev/null || echo -I/usr/include/eigen3)

: >"$scratch/empty.cpp"
cat >"$scratch/standard.cpp" <<'SOURCE'
#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
SOURCE
echo '#include <plume/plume.hpp>' >"$scratch/umbrella.cpp"
cat >"$scratch/generate.cpp" <<'SOURCE'
#include <plume/plume.hpp>
#include <iostream>
int main(int, char** argv) {
  plume::Model model = plume::load(argv[1]);
  plume::generate(model, "Once upon a time", {.max_tokens = 100}, [](std::string_view piece) { std::cout << piece; });
}
SOURCE

measure() {  # compiler, label, source, flags
  compiler=$1 label=$2 source=$3
  shift 3
  run=0
  while [ "$run" -lt "$runs" ]; do
    /usr/bin/time -f '%U %M' -a -o "$scratch/times" "$compiler" -std=c++20 -fopenmp -I"$root/include" $eigen "$@" -c "$source" \
      -o "$scratch/object.o"
    run=$((run + 1))
  done
  bytes=$(size "$scratch/object.o" | awk 'NR == 2 { print $1 }')
  sort -n "$scratch/times" | awk -v compiler="$compiler" -v label="$label" -v bytes="$bytes" \
    'NR == 1 { printf "%-12s %-28s %7.2f s %6.0f MB %6.0f kB\n", compiler, label, $1, $2 / 1024, bytes / 1024 }'
  rm "$scratch/times"
}

for compiler in g++ clang++; do
  command -v "$compiler" >/dev/null || continue
  measure "$compiler" "empty file" "$scratch/empty.cpp" -O2
  measure "$compiler" "standard headers" "$scratch/standard.cpp" -O2
  measure "$compiler" "plume.hpp" "$scratch/umbrella.cpp" -O2
  measure "$compiler" "load + generate" "$scratch/generate.cpp" -O2
  measure "$compiler" "load + generate, -O0" "$scratch/generate.cpp" -O0
done
