#!/bin/sh
# interrupt.sh EXAMPLES WORK: a run of pretrain that Ctrl-C stops prints the command that goes on; that command ends with the weights of a run
# that was left alone. Ctrl-C also ends train_tokenizer.
set -eu
examples=$1
work=$2
rm -rf "$work"
mkdir -p "$work"
cd "$work"
fail() {
  echo "$*"
  exit 1
}

awk 'BEGIN { for (i = 0; i < 400; i++) print "the cat number " i " sat on the mat and saw the dog" }' >text.txt
printf '{"family": "llama", "layers": 2, "heads": 2, "width": 32, "hidden": 64, "context": 64, "batch": 4, "steps": 150, "evaluate_every": 50}\n' >small.json

# interrupt LOG EXPECTED PROGRAM...: sends SIGINT once the log shows EXPECTED; sets status
interrupt() {
  log=$1 expected=$2
  shift 2
  # a shell without job control starts background commands with SIGINT ignored; the programs set a handler of their own
  "$@" 2>"$log" &
  process=$!
  for _ in $(seq 600); do
    grep -q -- "$expected" "$log" 2>/dev/null && break
    kill -0 "$process" 2>/dev/null || break
    sleep 0.05
  done
  kill -INT "$process" 2>/dev/null || fail "ended before it could be interrupted: $(cat "$log")"
  status=0
  wait "$process" || status=$?
}

"$examples/pretrain" --data text.txt --config small.json --threads 1 --seed 3 --out whole --quiet
interrupt log '^10/150' "$examples/pretrain" --data text.txt --config small.json --threads 1 --seed 3 --out "cut short" --log-every 1
[ "$status" -eq 130 ] || fail "exit status $status, expected 130: $(cat log)"
grep -q '^stopped at step [0-9]* of 150; resume with:$' log || fail "does not say how to go on: $(cat log)"
resume=$(tail -n 1 log)
case $resume in *"--out 'cut short'"*' --resume') ;; *) fail "not a command that goes on: $resume" ;; esac
sh -c "$resume" 2>log || fail "the command fails: $resume: $(cat log)"
for file in model.safetensors checkpoints/step-150/weights.safetensors checkpoints/step-150/optimizer.safetensors; do
  cmp "whole/$file" "cut short/$file" || fail "$file differs from that of the run that was left alone"
done

# Enough distinct words to keep the merges busy.
awk 'BEGIN { srand(1); for (i = 0; i < 150000; i++) { word = ""; for (j = 0; j < 12; j++) word = word sprintf("%c", 97 + int(26 * rand())); print word } }' >words.txt
interrupt log 'merging pairs' "$examples/train_tokenizer" --data words.txt --vocab-size 400000 --out tokenizer
[ "$status" -eq 130 ] || fail "train_tokenizer: exit status $status, expected 130: $(cat log)"
