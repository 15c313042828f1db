#!/bin/sh
# finetune_resume.sh EXAMPLES WORK: tuning that Ctrl-C stops prints the command that goes on, and that ends with the adapter of a run that was
# left alone, bit for bit. The merged model computes what the model and its adapter compute.
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

awk 'BEGIN { for (i = 0; i < 200; i++) print "User: where is number " i "?\nAssistant: it sits on the mat.\n" }' >text.txt
printf '{"family": "llama", "layers": 2, "heads": 2, "width": 32, "hidden": 64, "context": 128, "batch": 4, "steps": 30, "evaluate_every": 50}\n' >small.json
"$examples/pretrain" --data text.txt --config small.json --tokenizer bytes --threads 1 --out base --quiet
awk 'BEGIN { for (i = 0; i < 100; i++) printf "{\"messages\": [{\"role\": \"user\", \"content\": \"where is number %d?\"}, {\"role\": \"assistant\", \"content\": \"number %d swims in the sea\"}, {\"role\": \"user\", \"content\": \"why\"}, {\"role\": \"assistant\", \"content\": \"it likes water\"}]}\n", i, i }' >chats.jsonl

tune() {
  "$examples/finetune" --model base --data chats.jsonl --threads 1 --seed 3 --steps 120 --evaluate-every 25 --batch 3 --accumulation 2 --dropout 0.1 \
    --learning-rate 2e-2 --precision bf16 --activations bf16 --pack --sequence 100 --targets q_proj,v_proj,down_proj "$@"
}
tune --out whole --merge --quiet

# interrupt LOG EXPECTED PROGRAM...: sends SIGINT once the log shows EXPECTED; sets status
interrupt() {
  log=$1 expected=$2
  shift 2
  "$@" 2>"$log" &
  process=$!
  for _ in $(seq 600); do
    grep -q -- "$expected" "$log" 2>/dev/null && break
    kill -0 "$process" 2>/dev/null || break
    sleep 0.02
  done
  kill -INT "$process" 2>/dev/null || fail "ended before it could be interrupted: $(cat "$log")"
  status=0
  wait "$process" || status=$?
}
interrupt log '^10/120' "$examples/finetune" --model base --data chats.jsonl --threads 1 --seed 3 --steps 120 --evaluate-every 25 --batch 3 \
  --accumulation 2 --dropout 0.1 --learning-rate 2e-2 --precision bf16 --activations bf16 --pack --sequence 100 \
  --targets q_proj,v_proj,down_proj --out "cut short" --log-every 1
[ "$status" -eq 130 ] || fail "exit status $status, expected 130: $(cat log)"
grep -q '^stopped at step [0-9]* of 120; resume with:$' log || fail "does not say how to go on: $(cat log)"
[ -f "cut short/adapter_model.safetensors" ] || fail "the stopped run left no adapter"
resume=$(tail -n 1 log)
case $resume in *"--out 'cut short'"*' --resume') ;; *) fail "not a command that goes on: $resume" ;; esac
cmp -s "whole/adapter_model.safetensors" "cut short/adapter_model.safetensors" && fail "the run was not cut short"
sh -c "$resume" 2>log || fail "the command fails: $resume: $(cat log)"
if grep -q '^[1-9]/120' log; then fail "began again instead of going on: $(cat log)"; fi
for file in adapter_model.safetensors adapter_config.json checkpoints/step-120/optimizer.safetensors; do
  cmp "whole/$file" "cut short/$file" || fail "$file differs from that of the run that was left alone"
done

# Another base, or another rank, is not what the checkpoint belongs to.
"$examples/pretrain" --data text.txt --config small.json --tokenizer bytes --threads 1 --seed 9 --out other --quiet
sed 's/--model base/--model other/' >resume.sh <<END
$resume
END
status=0
sh resume.sh 2>log || status=$?
[ "$status" -eq 1 ] && grep -q '^error: .*another model' log || fail "resumes on another base: $(cat log)"

# score's log-probabilities, one a line
logprobs() {
  "$examples/score" --text 'User: where is number 7?
Assistant: number 7 swims in the sea' --threads 1 --json "$@" | sed 's/.*"logprobs": *\[\([^]]*\)\].*/\1/' | tr ',' '\n'
}
logprobs --model base >base.txt
logprobs --model base --adapter whole >adapter.txt
logprobs --model whole/merged >merged.txt
[ "$(wc -l <merged.txt)" -gt 40 ] || fail "too few log-probabilities: $(cat merged.txt)"
largest() {
  paste "$1" "$2" | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d } END { print most + 0 }'
}
awk "BEGIN { exit !($(largest adapter.txt merged.txt) < 1e-4) }" || fail "adapter and merged model differ by $(largest adapter.txt merged.txt)"
awk "BEGIN { exit !($(largest adapter.txt base.txt) > 0.1) }" || fail "the adapter changes log-probabilities by $(largest adapter.txt base.txt) only"
[ -f whole/merged/plume_chat.json ] || fail "the merged model does not note its template"
