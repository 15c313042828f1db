#!/bin/sh
# Products of a few tokens of plume and of Eigen built with -march=native, turn by turn in one run; prints rows of the README's table.
#   sh bench/compare_skinny.sh
# ROUNDS (3) turns of each side   BUILD folder of the benchmarks   FILTER (tokens:[124]/) which rows   OUT folder for the JSON files
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build/bench/bench} filter=${FILTER:-tokens:[124]/} out=${OUT:-$(mktemp -d)}
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
mkdir -p "$out"
round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
  "$build/kernels/gemm_bench" --benchmark_filter="few_tokens.*$filter" --benchmark_out="$out/plume$round.json" >/dev/null 2>&1
  "$build/peers/eigen_skinny_bench" --benchmark_filter="few_tokens.*$filter" --benchmark_out="$out/eigen$round.json" >/dev/null 2>&1
  round=$((round + 1))
done
python3 "$top/bench/kernel_table.py" ${NO_HEADER:+--no-header} --peer "$out"/eigen*.json --plume "$out"/plume*.json
