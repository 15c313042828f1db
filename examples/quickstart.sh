#!/bin/sh
# Trains a small chat model on a made-up little world, from nothing: reads texts, learns to answer, is examined, and talks.
#   sh examples/quickstart.sh                 the little world; under three minutes after the build
#   sh examples/quickstart.sh --data FILE     trains on your own text instead; nothing is tuned or asked
#   ... --out DIR (default quickstart/), --seed N, --steps N (of pre-training), --questions N (default 600, all)
#   ... --permute-answers                     a control: texts and dialogues give each person the facts of another, so answers must be wrong
# Installs what is missing (see cmake/bootstrap.sh). CXX picks the compiler, PLUME_JOBS the number of build jobs.
set -eu
here=$PWD
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }
refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$here/$1" ;; esac }

quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }  # for a shell

data= out= seed=1 steps= questions=600 permute=
while [ $# -gt 0 ]; do
  case $1 in
    --*=*)  # --flag=value
      word=$1
      shift
      set -- "${word%%=*}" "${word#*=}" "$@"
      ;;
  esac
  case $1 in
    -h | --help) usage; exit 0 ;;
    --permute-answers)
      permute=$1
      shift
      continue
      ;;
    --data | --out | --seed | --steps | --questions) [ $# -gt 1 ] || refuse "$1 needs a value" ;;
    *) refuse "$1 is not known (see --help)" ;;
  esac
  [ -n "$2" ] || refuse "$1 needs a value"
  case $1 in --seed | --steps | --questions) case $2 in *[!0-9]* | ???????????????????*) refuse "$1 needs a whole number of at most 18 digits, not $2" ;; esac ;; esac
  case $1 in
    --data) data=$(absolute "$2") ;;
    --out) out=$(absolute "$2") ;;
    --seed) seed=$2 ;;
    --steps) steps=$2 ;;
    --questions) questions=$2 ;;
  esac
  shift 2
done
[ -z "$data" ] || { [ -f "$data" ] && [ -r "$data" ]; } || refuse "--data: $data is not a file that can be read"

CDPATH= cd -- "$(dirname -- "$0")/.."
. cmake/bootstrap.sh
bootstrap
say '== build'
workflow quickstart release >&2
bin=$PWD/build/release/examples
out=${out:-$PWD/quickstart}
mkdir -p -- "$out"
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY-passive}"  # spinning threads hurt on a loaded machine

model=$out/model
began=$(date +%s)
seconds=0
begin() { began=$(date +%s); }
count() { seconds=$((seconds + $(date +%s) - began)); }

pretrain() {  # pretrain VALIDATION: $data to $model
  say '== tokenizer'
  "$bin/train_tokenizer" --data "$data" --vocab-size 1280 --out "$out/tokenizer" >&2
  say '== pre-training'
  begin
  "$bin/pretrain" --overwrite --config tiny --data "$data" --validation "$1" --tokenizer "$out/tokenizer" --out "$model" --seed "$seed" ${steps:+--steps "$steps"} >&2
  count
}

if [ -n "$data" ]; then
  pretrain 0.05
  say '== sample'
  "$bin/generate" --model "$model" --quiet --prompt '' --max-tokens 200 --temperature 0.8 --seed "$seed"
  printf '\nThe loss: %s\nMore: %s --model %s --prompt "Once upon a time"\n' "$model/loss.svg" "$(quote "$bin/generate")" "$(quote "$model")"
  printf 'quickstart: training %d s, model %s\n' "$seconds" "$model"
  exit
fi

say '== a little world'
world=$out/world
"$bin/little_world" --out "$world" --seed "$seed" ${permute:+"$permute"} >&2
data=$world/train.txt
pretrain "$world/validation.txt"

# Each question is in a wording that no text and no dialogue uses; an answer counts when every character is right.
examine() { "$bin/quiz" --model "$model" --data "$world/held_out.jsonl" --limit "$questions" --max-tokens 16 "$@"; }

say '== examination of the model that has only read'
examine
say '== instruction tuning: LoRA on dialogues'
begin
"$bin/finetune" --overwrite --model "$model" --data "$world/chats.jsonl" --out "$out/tuned" --merge --pack --sequence 128 --batch 8 \
  --rank 16 --alpha 32 --dropout 0.2 --targets all-linear --learning-rate 5e-3 --epochs 1 --validation 0.02 --seed "$seed" >&2
count
say '== examination after tuning'
report=$(examine --adapter "$out/tuned" --show 8)
printf '%s\n' "$report"
accuracy=$(printf '%s\n' "$report" | awk '$1 == "accuracy" { printf "%.2f", $2 / 100 }')

model=$out/tuned/merged
talk() { "$bin/chat" --model "$model" --temperature 0 --seed "$seed" "$@"; }
if [ -t 0 ] && [ -t 1 ]; then
  say '== chat: ask "Where does Mila live?" (/help lists commands, Ctrl-D leaves)'
  talk || true
else
  say '== chat'
  printf '%s\n' 'Where does Mila live?' 'What is the occupation of Oscar?' 'Which pet does Nora feed?' >"$out/asked.txt"
  talk --quiet <"$out/asked.txt" | paste -d '\n' "$out/asked.txt" -
fi

printf '\nThe loss: %s, %s\nMore: %s --model %s\n' "$out/model/loss.svg" "$out/tuned/loss.svg" "$(quote "$bin/chat")" "$(quote "$model")"
printf 'quickstart: held-out accuracy %s, training %d s, model %s\n' "$accuracy" "$seconds" "$model"
