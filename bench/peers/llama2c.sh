#!/bin/sh
# Decoding speed and memory of llama2.c (github.com/karpathy/llama2.c), built as its README says is fastest: one JSON line.
#   sh bench/peers/llama2c.sh LLAMA2C_FOLDER MODEL.bin THREADS [STEPS]
# The folder holds run.c and tokenizer.bin. The program is built once, next to the model.
set -eu
[ $# -ge 3 ] || { echo "usage: sh $0 LLAMA2C_FOLDER MODEL.bin THREADS [STEPS]" >&2; exit 2; }
folder=$1 model=$2 threads=$3 steps=${4:-256}
program=$(dirname "$model")/llama2c_run
flags="-Ofast -march=native -fopenmp"
if [ ! -x "$program" ] || [ "$folder/run.c" -nt "$program" ]; then
  # shellcheck disable=SC2086
  gcc $flags -o "$program" "$folder/run.c" -lm
fi
commit=$(git -C "$folder" rev-parse --short HEAD 2>/dev/null || echo unknown)
OMP_NUM_THREADS=$threads exec python3 - "$program" "$model" "$folder/tokenizer.bin" "$steps" "$threads" "llama2.c $commit gcc $(gcc -dumpfullversion) $flags" <<'PY'
import json, re, resource, subprocess, sys, time

program, model, tokenizer, steps, threads, version = sys.argv[1:]
began = time.perf_counter()
run = subprocess.run([program, model, "-t", "0", "-n", steps, "-z", tokenizer, "-i", "Once"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
seconds = time.perf_counter() - began
found = re.search(rb"achieved tok/s: ([0-9.]+)", run.stderr)
rate = float(found.group(1)) if found else 0
# It stops at the first begin token that it draws: then its contexts were shorter than ours. (Random weights with a tied head repeat the
# last token for ever, hence the prompt.)
if rate * seconds < 0.95 * (int(steps) - 1):
    sys.exit(f"llama2.c made only about {rate * seconds:.0f} of {steps} tokens: use other weights")
print(json.dumps({"program": "llama2.c", "version": version, "model": model, "precision": "f32", "prompt": 1, "tokens": int(steps) - 1,
                  "threads": int(threads), "decode_tokens_per_second": rate, "process_seconds": seconds,
                  "peak_rss_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}))
PY
