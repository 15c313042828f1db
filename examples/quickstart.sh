#!/bin/sh
# Trains a small language model on a made-up little world, from nothing, and asks it questions that it never saw in training.
#   sh examples/quickstart.sh                 the little world; about five minutes after the build
#   sh examples/quickstart.sh --data FILE     your own text instead
#   ... --out DIR (default quickstart/), --seed N, --steps N, --questions N (default 100)
# Installs what is missing (see cmake/bootstrap.sh). CXX picks the compiler, PLUME_JOBS the number of build jobs.
set -eu
here=$PWD
usage() { sed -n '2,6s/^# \{0,1\}//p' "$0"; }
refuse() {
  printf 'error: %s\n' "$*" >&2
  exit 2
}
absolute() { case $1 in /*) printf '%s\n' "$1" ;; *) printf '%s\n' "$here/$1" ;; esac }

quote() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }  # for a shell

data= out= seed=1 steps= questions=100
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

if [ -z "$data" ]; then
  say '== a little world'
  "$bin/little_world" --out "$out/world" --seed "$seed" >&2
  data=$out/world/train.txt
  validation=$out/world/validation.txt
  held_out=$out/world/held_out.jsonl
else
  validation=0.05
  held_out=
fi

say '== tokenizer'
"$bin/train_tokenizer" --data "$data" --vocab-size 1280 --out "$out/tokenizer" >&2

say '== training'
model=$out/model
began=$(date +%s)
"$bin/pretrain" --overwrite --config tiny --data "$data" --validation "$validation" --tokenizer "$out/tokenizer" --out "$model" --seed "$seed" --time-limit 270 ${steps:+--steps "$steps"} >&2
training=$(($(date +%s) - began))

complete() { "$bin/generate" --model "$model" --quiet --prompt "$@"; }

say '== samples'
if [ -n "$held_out" ]; then
  for opening in 'One morning' 'Once upon a time there was a' 'It was a sunny day in'; do
    printf '%s' "$opening"
    complete "$opening" --max-tokens 80 --temperature 0.7 --seed "$seed" --stop '<|endoftext|>'
    echo
  done
else
  complete '' --max-tokens 200 --temperature 0.8 --seed "$seed"
fi

# Held-out questions: right when the answer's first sentence ends in the key word.
accuracy=
if [ -n "$held_out" ]; then
  say '== questions that the training text never asks'
  asked=0 right=0
  while [ "$asked" -lt "$questions" ] && IFS= read -r line; do
    prompt=$(printf '%s\n' "$line" | sed 's/.*"prompt": "\([^"]*\)".*/\1/')
    key=$(printf '%s\n' "$line" | sed 's/.*"key": "\([^"]*\)".*/\1/')
    text=$(complete "$prompt" --max-tokens 16 --temperature 0 </dev/null)
    answer=${text#"$prompt"}
    answer=${answer%%.*}
    mark=wrong
    case $answer in *" $key") mark=right right=$((right + 1)) ;; esac
    asked=$((asked + 1))
    if [ "$asked" -le 8 ]; then printf '%s%s.  [%s]\n' "$prompt" "$answer" "$mark"; fi
  done <"$held_out"
  [ "$asked" -eq 0 ] || accuracy=$(awk "BEGIN { printf \"%.2f\", $right / $asked }")
fi

printf '\nThe loss: %s\nMore: %s --model %s --prompt "Once upon a time"\n' "$model/loss.svg" "$(quote "$bin/generate")" "$(quote "$model")"
printf 'quickstart: %straining %d s, model %s\n' "${accuracy:+held-out accuracy $accuracy, }" "$training" "$model"
