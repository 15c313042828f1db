#!/bin/sh
# Turning texts into ids beside other libraries: the same tokenizers and texts, turn by turn in one run, each turn a process of its own.
#   sh bench/compare_tokenizers.sh TEXT ...
# TEXTs: those of bench/tokenizer_texts.py (10 MB each of English, Chinese and code).
# FOLDER            what bench/peers/tokenizer_files.py wrote
# ROUNDS (3)        turns of each side; medians count
# TOKENIZERS, LIBRARIES, WAYS ("documents behind whole")   fewer of them
# BUILD             folder of bench_tokenizer
# PYTHON            python with bench/peers/tokenizers.txt
# Prints MB of text a second on one thread, "first time / later times" in one process (a library may remember words), and how many times as
# fast plume is; "behind": a new text, and that text again, where another one came before. Rates are of the processor's time. "other ids" says
# that a library is no peer there.
set -eu
[ $# -ge 1 ] || { sed -n '2,12s/^# //p' "$0" >&2; exit 2; }
top=$(cd "$(dirname "$0")/.." && pwd)
folder=${FOLDER:?what bench/peers/tokenizer_files.py wrote} build=${BUILD:-$top/build/bench/bench} python=${PYTHON:-python3}
libraries=${LIBRARIES:-tokenizers tiktoken sentencepiece gigatoken fastokens tokie riptoken rs_bpe bpe_openai kitoken}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "load $(cut -d ' ' -f 1-3 /proc/loadavg); ${ROUNDS:-3} rounds"
for tokenizer in ${TOKENIZERS:-gpt2 cl100k o200k llama3 qwen2 llama2 unigram bert}; do
  case $tokenizer in
    gpt2) file=gpt2.tiktoken ;;
    cl100k | o200k) file=${tokenizer}_base.tiktoken ;;
    llama2 | unigram) file=$tokenizer.model ;;
    bert) file=bert.gguf ;;
    *) file=$tokenizer/tokenizer.json ;;
  esac
  for way in ${WAYS:-documents behind whole}; do
    for text in "$@"; do
      round=0
      while [ "$round" -lt "${ROUNDS:-3}" ]; do
        "$build/bench_tokenizer" "$folder/$file" "$way" 1 "$text" | sed 's/^/plume /' >>"$work/rows"
        for library in $libraries; do
          [ ! -e "$work/no.$tokenizer.$way.$library" ] || continue
          if "$python" "$top/bench/peers/tokenizers_encode.py" "$library" "$folder" "$tokenizer" "$way" "$text" >"$work/row" 2>>"$work/log"; then
            sed "s/^/$library /" "$work/row" >>"$work/rows"
          else
            touch "$work/no.$tokenizer.$way.$library"
          fi
        done
        round=$((round + 1))
      done
      "$python" "$top/bench/tokenizer_table.py" "$tokenizer" "$way" "$text" <"$work/rows"
      : >"$work/rows"
    done
  done
done
