#!/bin/sh
# Runs every comparison and prints the README's tables. Nothing else may run meanwhile: it takes about an hour.
#   sh bench/readme_table.sh [PART...]     parts: gemm skinny train train15m train2 shakespeare pretrain decode decode124m busy; none: all
# LLAMA2C   folder with run.c and tokenizer.bin of karpathy/llama2.c          (for decode)
# PYTHON    python with torch 1.13 and an optimised BLAS (Debian 12: python3-torch and libopenblas0-pthread); default /usr/bin/python3
# PYTHON2   python with a current torch                                        (for train2)
# TEXT      tiny Shakespeare, TOKENIZER folder of GPT-2's tokenizer            (for shakespeare, pretrain)
# PRECISIONS  "f32 bf16": which precisions of plume run                        ROUNDS turns of each side
# Builds: cmake --preset bench && cmake --build --preset bench; for pretrain also the preset release.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
export PYTHON="${PYTHON:-/usr/bin/python3}" ROUNDS="${ROUNDS:-3}" BUILD="${BUILD:-$top/build/bench/bench}" NO_HEADER=1
precisions=${PRECISIONS:-f32 bf16}
work=${WORK:-$(mktemp -d)}
parts=${*:-gemm skinny train train15m train2 shakespeare pretrain decode decode124m busy}

echo "Commit $(git -C "$top" rev-parse --short HEAD), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1), $(nproc) CPUs, $(uname -sr), $(date -u +%Y-%m-%d)."
rows() { printf '\n| what | plume | peer | speed ratio | peak RSS, MB | RSS ratio | versions and options |\n|---|---|---|---|---|---|---|\n'; }
asked() {
  for part in $parts; do [ "$part" = "$1" ] && return 0; done
  return 1
}
needs() {
  eval "value=\${$1:-}"
  [ -n "$value" ] && return 0
  echo "(left out: set $1)"
  return 1
}

if asked gemm; then
  echo
  filter=step_f32
  case " $precisions " in *" bf16 "*) filter='step_' ;; esac
  "$BUILD/kernels/gemm_bench" --benchmark_filter="$filter" --benchmark_repetitions="$ROUNDS" --benchmark_out="$work/gemm.json" >/dev/null 2>&1
  NO_HEADER='' python3 "$top/bench/kernel_table.py" --plume "$work/gemm.json"
fi
if asked skinny; then
  echo
  NO_HEADER='' sh "$top/bench/compare_skinny.sh"
fi
rows
for precision in $precisions; do
  if asked train; then
    for context in 64 256; do
      sh "$top/bench/compare_train.sh" gpt2-124m 4 "$context" 2 "$precision" f32
      sh "$top/bench/compare_train.sh" gpt2-124m 4 "$context" 1 "$precision" f32
      [ "$precision" = f32 ] || sh "$top/bench/compare_train.sh" gpt2-124m 4 "$context" 2 "$precision" "$precision"
    done
  fi
  if asked train15m; then
    sh "$top/bench/compare_train.sh" stories15m 8 256 2 "$precision" f32
    sh "$top/bench/compare_train.sh" stories15m 8 256 1 "$precision" f32
  fi
  if asked train2 && needs PYTHON2; then
    for context in 64 256; do
      PYTHON=$PYTHON2 PEER_FLAGS="--attention sdpa --adamw fused" sh "$top/bench/compare_train.sh" gpt2-124m 4 "$context" 2 "$precision"
    done
  fi
  if asked shakespeare && needs TEXT; then
    sh "$top/bench/compare_shakespeare.sh" "$TEXT" 2 "$precision" f32
  fi
done
if asked pretrain && needs TEXT && needs TOKENIZER; then sh "$top/bench/compare_pretrain.sh" "$TEXT" "$TOKENIZER" 4 64 2; fi
if asked decode && needs LLAMA2C; then
  for threads in 1 2; do sh "$top/bench/compare_decode.sh" "$LLAMA2C" "$work/stories15m.bin" "$threads"; done
fi
if asked decode124m; then
  for precision in $precisions; do
    for threads in 1 2; do
      "$BUILD/bench_model" --shape gpt2-124m --type "$precision" --prompt-tokens 128 --generate-tokens 64 --repeat 5 --threads "$threads" --json >"$work/decode"
      python3 "$top/bench/table.py" --no-header "$work/decode"
    done
  done
fi
if asked busy; then
  echo
  NO_HEADER='' sh "$top/bench/busy_core.sh"
fi
