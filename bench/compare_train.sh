#!/bin/sh
# Training steps of plume and PyTorch, turn by turn in one run, the same shape and thread count; prints a row of the README's table.
#   sh bench/compare_train.sh CONFIG BATCH CONTEXT THREADS [PRECISION [PEER_PRECISION]]
# ROUNDS (3)   turns of each side             STEPS (5)     measured steps of a turn
# BUILD        folder of bench_train          PLUME_FLAGS   more flags for it
# PYTHON       python with torch              PEER_FLAGS    more flags for pytorch_train.py, as "--attention sdpa --adamw fused"
# OUT          file for the JSON lines of all turns (default: a temporary one)
set -eu
[ $# -ge 4 ] || { sed -n '2,7s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
config=$1 batch=$2 context=$3 threads=$4 precision=${5:-f32} peer_precision=${6:-${5:-f32}}
build=${BUILD:-$top/build/bench/bench} python=${PYTHON:-python3} steps=${STEPS:-5} out=${OUT:-$(mktemp)}
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
: >"$out"
round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
  # shellcheck disable=SC2086
  "$build/bench_train" --shape "$config" --batch "$batch" --sequence "$context" --threads "$threads" --steps "$steps" \
    --precision "$precision" --json ${PLUME_FLAGS:-} >>"$out"
  # shellcheck disable=SC2086
  OMP_NUM_THREADS=$threads "$python" "$top/bench/peers/pytorch_train.py" --config "$config" --batch "$batch" --context "$context" \
    --threads "$threads" --steps "$steps" --precision "$peer_precision" --json ${PEER_FLAGS:-} >>"$out"
  round=$((round + 1))
done
python3 "$top/bench/table.py" ${NO_HEADER:+--no-header} "$out"
