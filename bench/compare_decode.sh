#!/bin/sh
# Decoding of plume and llama2.c, turn by turn in one run, the same file and thread count; prints a row of the README's table.
#   sh bench/compare_decode.sh LLAMA2C_FOLDER MODEL.bin THREADS
# A MODEL.bin that is missing is written first: the shape of stories15m with random weights.
# ROUNDS (5) turns of each side   STEPS (256) positions   BUILD folder of bench_model   OUT file for the JSON lines
set -eu
[ $# -eq 3 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
folder=$1 model=$2 threads=$3
build=${BUILD:-$top/build/bench/bench} steps=${STEPS:-256} out=${OUT:-$(mktemp)}
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
[ -e "$model" ] || "$build/bench_model" --shape stories15m --save "$model" --prompt-tokens 1 --generate-tokens 1 --repeat 1 >/dev/null
: >"$out"
round=0
while [ "$round" -lt "${ROUNDS:-5}" ]; do
  "$build/bench_model" --model "$model" --prompt-tokens 1 --generate-tokens $((steps - 1)) --threads "$threads" --repeat 3 --json >>"$out"
  sh "$top/bench/peers/llama2c.sh" "$folder" "$model" "$threads" "$steps" >>"$out"
  round=$((round + 1))
done
python3 "$top/bench/table.py" ${NO_HEADER:+--no-header} "$out"
