#!/bin/sh
# How much of one thread's undisturbed speed two threads keep while another process keeps one of the two cores busy; prints two rows.
#   sh bench/busy_core.sh
# ROUNDS (3)   BUILD folder of the benchmarks   TRAIN, MODEL flags of bench_train and bench_model
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-$top/build/bench/bench} work=$(mktemp -d)
unset OMP_WAIT_POLICY OMP_PROC_BIND GOMP_SPINCOUNT 2>/dev/null || true
train=${TRAIN:---shape gpt2-124m --batch 4 --sequence 64 --steps 3}
model=${MODEL:---shape gpt2-124m --prompt-tokens 8 --generate-tokens 32 --repeat 3}
busy=
trap '[ -z "$busy" ] || kill "$busy" 2>/dev/null; rm -rf "$work"' EXIT INT TERM
with_busy_core() {
  taskset -c 1 sh -c 'while :; do :; done' &
  busy=$!
  taskset -c 0,1 "$@"
  kill "$busy"
  wait "$busy" 2>/dev/null || true
  busy=
}
round=0
while [ "$round" -lt "${ROUNDS:-3}" ]; do
  # shellcheck disable=SC2086
  {
    taskset -c 0,1 "$build/bench_train" $train --threads 1 --json >>"$work/train1"
    with_busy_core "$build/bench_train" $train --threads 2 --json >>"$work/train2"
    taskset -c 0,1 "$build/bench_model" $model --threads 1 --json >>"$work/model1"
    with_busy_core "$build/bench_model" $model --threads 2 --json >>"$work/model2"
  }
  round=$((round + 1))
done
python3 - "$work" "${NO_HEADER:-}" <<'PY'
import json, statistics, sys

def rates(name, key):
    values = [json.loads(line)[key] for line in open(f"{sys.argv[1]}/{name}")]
    return statistics.median(values), f"{statistics.median(values):.1f} tokens/s ({min(values):.1f} to {max(values):.1f})"

if not sys.argv[2]:
    print("| what | one thread, undisturbed | two threads, one core busy | ratio |\n|---|---|---|---|")
for what, key in (("train", "tokens_per_second"), ("model", "decode_tokens_per_second")):
    (alone, alone_text), (busy, busy_text) = rates(what + "1", key), rates(what + "2", key)
    print(f"| {'training step' if what == 'train' else 'decoding'} | {alone_text} | {busy_text} | **{busy / alone:.2f}** |")
PY
