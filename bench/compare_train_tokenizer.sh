#!/bin/sh
# Training a byte-level BPE vocabulary beside Hugging Face tokenizers: the same text, turn by turn in one run, both read the file themselves.
#   sh bench/compare_train_tokenizer.sh TEXT [VOCABULARY (32000)]
# ROUNDS (3)        turns of each side; the best one counts
# THREADS ("1 2")   numbers of threads to compare at
# BUILD             folder of bench_train_tokenizer
# PYTHON            python with tokenizers==0.23.3
set -eu
[ $# -ge 1 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
text=$1 vocabulary=${2:-32000} build=${BUILD:-$top/build/bench/bench} python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "$(wc -c <"$text") bytes of text, $vocabulary tokens; load $(cut -d ' ' -f 1-3 /proc/loadavg)"
for threads in ${THREADS:-1 2}; do
  : >"$work/plume"
  : >"$work/peer"
  round=0
  while [ "$round" -lt "${ROUNDS:-3}" ]; do
    "$build/bench_train_tokenizer" "$threads" "$vocabulary" "$text" >>"$work/plume"
    RAYON_NUM_THREADS=$threads "$python" "$top/bench/peers/tokenizers_train.py" "$vocabulary" "$text" >>"$work/peer"
    round=$((round + 1))
  done
  sort -n "$work/plume" | head -n 1 >"$work/best_plume"
  sort -n "$work/peer" | head -n 1 >"$work/best_peer"
  paste -d ' ' "$work/best_plume" "$work/best_peer" | awk -v threads="$threads" '{
    printf "%d threads: plume %.2f s (%.2f s of the processors, %d tokens), tokenizers %.2f s (%.2f s, %d): %.1f times as fast, by processor time %.1f\n",
      threads, $1, $2, $3, $4, $5, $6, $4 / $1, $5 / $2 }'
done
