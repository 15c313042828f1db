#!/bin/sh
# Whether `pretrain` runs as fast as bench_train: both turn by turn on the same shape, pretrain on a text with GPT-2's tokenizer.
#   sh bench/compare_pretrain.sh TEXT GPT2_TOKENIZER_FOLDER BATCH CONTEXT THREADS
# ROUNDS (3)   STEPS (5)   BUILD folder of bench_train   EXAMPLES folder of pretrain   OUT file for the JSON lines
set -eu
[ $# -eq 5 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
text=$1 tokenizer=$2 batch=$3 context=$4 threads=$5
build=${BUILD:-$top/build/bench/bench} examples=${EXAMPLES:-$top/build/release/examples} steps=${STEPS:-5} out=${OUT:-$(mktemp)}
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
: >"$out"
round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
  "$build/bench_train" --shape gpt2-124m --batch "$batch" --sequence "$context" --threads "$threads" --steps "$steps" --json >>"$out"
  rm -rf "$work/model"
  "$examples/pretrain" --data "$text" --tokenizer "$tokenizer" --config gpt2-124m --validation 0 --batch "$batch" --sequence "$context" \
    --accumulation 1 --steps $((steps + 1)) --log-every 1 --threads "$threads" --out "$work/model" --quiet --json >"$work/report.json"
  python3 - "$work/report.json" "$work/model/metrics.jsonl" "$batch" "$context" "$threads" >>"$out" <<'PY'
import json, statistics, sys

batch, context, threads = (int(word) for word in sys.argv[3:])
lines = [json.loads(line) for line in open(sys.argv[2])]
rates = [batch * context / (after["seconds"] - before["seconds"]) for before, after in zip(lines, lines[1:])]
print(json.dumps({"program": "pretrain", "version": "preset release", "config": "gpt2-124m", "precision": "f32", "batch": batch,
                  "context": context, "threads": threads, "tokens_per_second": statistics.median(rates),
                  "tokens_per_second_min": min(rates), "tokens_per_second_max": max(rates),
                  "peak_rss_bytes": json.load(open(sys.argv[1]))["peak_rss_bytes"], "options": "its defaults"}))
PY
  round=$((round + 1))
done
python3 "$top/bench/table.py" ${NO_HEADER:+--no-header} "$out"
