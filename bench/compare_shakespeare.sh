#!/bin/sh
# Tiny Shakespeare by characters to the same loss: `pretrain --config shakespeare-cpu` and PyTorch, turn by turn, 2,000 steps each, no
# evaluation before the end; prints a row of the README's table.
#   sh bench/compare_shakespeare.sh TINYSHAKESPEARE.txt THREADS [PRECISION [PEER_PRECISION]]
# ROUNDS (3) turns of each side, seeds 1, 2, ...   EXAMPLES folder of pretrain   PYTHON python with torch   STEPS (2000)
# PEER_FLAGS more flags for pytorch_train.py       OUT file for the JSON lines
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
data=$1 threads=$2 precision=${3:-f32} peer_precision=${4:-${3:-f32}}
examples=${EXAMPLES:-$top/build/release/examples} python=${PYTHON:-python3} steps=${STEPS:-2000} out=${OUT:-$(mktemp)}
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$out"
seed=1
while [ "$seed" -le "${ROUNDS:-3}" ]; do
  flags="--config shakespeare-cpu --tokenizer char --validation 0.1 --steps $steps --evaluate-every $steps --seed $seed --threads $threads"
  [ "$precision" = f32 ] || flags="$flags --precision $precision"
  # shellcheck disable=SC2086
  "$examples/pretrain" --data "$data" --out "$work/$seed" --quiet --json $flags >"$work/report.json"
  python3 - "$work/report.json" "$work/$seed/metrics.jsonl" "$threads" "$precision" >>"$out" <<'PY'
import json, sys

report = json.load(open(sys.argv[1]))
lines = [json.loads(line) for line in open(sys.argv[2])]
# The steps alone: the last line before the evaluation at the end, carried on to the last step.
before = [line for line in lines if line["validation_loss"] is None][-1]
seconds = before["seconds"] * report["steps"] / before["step"]
print(json.dumps({"program": "plume", "version": "pretrain of preset release", "config": "shakespeare-cpu", "precision": sys.argv[4], "batch": 12,
                  "context": 64, "threads": int(sys.argv[3]), "training_seconds": seconds, "validation_loss": report["validation_loss"],
                  "peak_rss_bytes": report["peak_rss_bytes"], "options": f"{report['steps']} steps"}))
PY
  # shellcheck disable=SC2086
  OMP_NUM_THREADS=$threads "$python" "$top/bench/peers/pytorch_train.py" --config shakespeare-cpu --batch 12 --threads "$threads" \
    --steps $((steps - 1)) --seed "$seed" --precision "$peer_precision" --data "$data" --json ${PEER_FLAGS:-} >>"$out"
  seed=$((seed + 1))
done
python3 "$top/bench/table.py" ${NO_HEADER:+--no-header} "$out"
