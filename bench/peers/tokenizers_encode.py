#!/usr/bin/env python3
"""Megabytes a second of the reference tokenizers, for bench/bench_tokenizer.cpp: same files, one thread (processor time, so that neighbours do not count), best of three.

    pip install tokenizers==0.23.3 tiktoken==0.14.0
    RAYON_NUM_THREADS=1 python3 bench/peers/tokenizers_encode.py TOKENIZER.json|RANKS.tiktoken TEXT ...
"""
import base64
import sys
import time

GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


def checksum(ids):
    value = 14695981039346656037
    for i in ids:
        value = ((value ^ i) * 1099511628211) & (2**64 - 1)
    return value


def main():
    if sys.argv[1].endswith(".tiktoken"):
        import tiktoken
        ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in open(sys.argv[1], "rb")}
        encode = tiktoken.Encoding("x", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={}).encode_ordinary
    else:
        import tokenizers
        tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    for path in sys.argv[2:]:
        text = open(path, encoding="utf-8", newline="").read()
        lines, size = text.splitlines(keepends=True), len(text.encode())
        best = {}
        for name, parts in (("whole", [text]), ("by lines", lines)):
            for _ in range(3):
                start = time.process_time()
                ids = [i for part in parts for i in encode(part)]
                best[name] = min(best.get(name, 1e9), time.process_time() - start)
            if name == "whole":
                print(f"{path}: {size / 1e6:.1f} MB, {len(ids)} ids ({checksum(ids):016x}): ", end="")
        print(", ".join(f"{size / 1e6 / seconds:.1f} MB/s {name}" for name, seconds in best.items()), flush=True)


main()
