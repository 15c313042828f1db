#!/usr/bin/env python3
"""Seconds in which a library turns texts into ids on one thread, for bench/compare_tokenizers.sh; the C++ side is bench/bench_tokenizer.cpp.

    RAYON_NUM_THREADS=1 python3 bench/peers/tokenizers_encode.py LIBRARY FOLDER TOKENIZER WAY TEXT ...

FOLDER is what tokenizer_files.py wrote. WAY: "whole" encodes a text in one call; "documents" gives the library parts of about 4 KB, cut at
line ends, all in one call where it has one; "behind" gives it the first half of the parts, and times the second. Prints per text: seconds of
the first time, the least seconds of further times (as many as fit into $SECONDS_A_TEXT, 2; the first again where that took longer), the
number of ids, their CRC-32, and the bytes of text. Seconds are the processor's. Making the strings is not counted, making a Python list of
ids is where the library gives nothing else. Exit status 3: the library cannot read or does not have this tokenizer.
"""
import array
import base64
import json
import os
import sys
import time
import zlib

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
NONE = 3
LONGEST = float(os.environ.get("SECONDS_A_TEXT", "2"))


def expression(folder, name):
    file = json.load(open(f"{folder}/{name}.json", encoding="utf-8"))
    if name == "gpt2":
        return r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    return file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]


def ranks(folder, name):
    file = {"llama3": "cl100k"}.get(name, name)
    if file not in ("gpt2", "cl100k", "o200k"):
        sys.exit(NONE)  # Qwen2 normalises, the others are no ranks
    return {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in open(f"{folder}/{file}.tiktoken", "rb") if line.strip()}


def of_tokenizers(folder, name):
    import tokenizers
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/{name}.json")
    batch = lambda texts: tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return (lambda text: batch([text])), batch, lambda out: [e.ids for e in out]


def of_tiktoken(folder, name):
    import tiktoken
    encoding = tiktoken.Encoding(name, pat_str=expression(folder, name), mergeable_ranks=ranks(folder, name), special_tokens={})
    return (lambda text: [encoding.encode_ordinary(text)]), (lambda texts: [encoding.encode_ordinary(t) for t in texts]), None


def of_sentencepiece(folder, name):
    import sentencepiece
    if name not in ("llama2", "unigram"):
        sys.exit(NONE)
    model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/{name}.model")
    return (lambda text: [model.encode(text)]), (lambda texts: model.encode(texts, num_threads=1)), None


def of_rs_bpe(folder, name):
    from rs_bpe.bpe import openai
    if name not in ("cl100k", "o200k"):
        sys.exit(NONE)
    encoding = {"cl100k": openai.cl100k_base, "o200k": openai.o200k_base}[name]()
    return (lambda text: [encoding.encode(text)]), (lambda texts: [encoding.encode(t) for t in texts]), None


def of_bpe_openai(folder, name):
    import bpe_openai
    if name not in ("cl100k", "o200k"):
        sys.exit(NONE)
    encoding = bpe_openai.get_encoding(f"{name}_base")
    return (lambda text: [encoding.encode_ordinary(text)]), (lambda texts: [encoding.encode_ordinary(t) for t in texts]), None


def of_tokie(folder, name):
    import tokie
    tokenizer = tokie.Tokenizer.from_json(f"{folder}/{name}.json")
    batch = lambda texts: tokenizer.encode_batch(texts, add_special_tokens=False)
    return (lambda text: [tokenizer.encode(text, add_special_tokens=False)]), batch, lambda out: [e.ids for e in out]


def of_fastokens(folder, name):
    import fastokens
    tokenizer = fastokens.Tokenizer.from_file(f"{folder}/{name}.json")

    def batch(texts):
        return tokenizer.encode_batch_flat(texts)[0]
    return (lambda text: batch([text])), batch, lambda out: [array.array("I", out)]


def of_riptoken(folder, name):
    import riptoken
    encoding = riptoken.CoreBPE(ranks(folder, name), {}, expression(folder, name))
    return (lambda text: [encoding.encode_ordinary(text)]), (lambda texts: [encoding.encode_ordinary(t) for t in texts]), None


def of_kitoken(folder, name):
    import kitoken
    path = f"{folder}/{name}" + (".model" if name in ("llama2", "unigram") else ".json")
    tokenizer = kitoken.Kitoken.from_file(path)
    return (lambda text: [tokenizer.encode(text, False)]), (lambda texts: [tokenizer.encode(t, False) for t in texts]), None


def of_gigatoken(folder, name):
    import gigatoken
    if name in ("gpt2", "cl100k", "o200k"):
        tokenizer = gigatoken.Tokenizer.from_tiktoken(f"{folder}/{name}.tiktoken", name)
    elif name == "llama2":
        tokenizer = gigatoken.Tokenizer.from_sentencepiece(f"{folder}/{name}.model")
    else:
        tokenizer = gigatoken.Tokenizer(f"{folder}/{name}.json")
    return (lambda data: [tokenizer.encode(data)]), (lambda texts: tokenizer.encode_batch(texts, parallel=False)), lambda out: [e.tolist() for e in out]


def documents(data):
    at = 0
    while at < len(data):
        end = data.find(b"\n", at + 4096) + 1 or len(data)
        yield data[at:end]
        at = end


def main():
    library, folder, name, way = sys.argv[1:5]
    try:
        whole, batch, ids_of = globals()["of_" + library](folder, name)
    except Exception as problem:  # pylint: disable=broad-except
        print(f"{library} does not read {name}: {problem}", file=sys.stderr)
        sys.exit(NONE)
    for path in sys.argv[5:]:
        data = open(path, "rb").read()
        size = len(data)
        parts = data.decode() if way == "whole" else [part.decode() for part in documents(data)]
        encode = whole if way == "whole" else batch
        if way == "behind":
            encode(parts[:len(parts) // 2])
            parts = parts[len(parts) // 2:]
            size = sum(len(part.encode()) for part in parts)
        seconds = []
        while not seconds or (sum(seconds) < LONGEST and len(seconds) < 12):
            start = time.process_time()
            out = encode(parts)
            seconds.append(time.process_time() - start)
        ids = array.array("I")
        for part in ids_of(out) if ids_of else out:
            ids.extend(part)
        print(f"{path} {seconds[0]:.6f} {min(seconds[1:] or seconds):.6f} {len(ids)} {zlib.crc32(ids.tobytes()):08x} {size}", flush=True)
        del out


main()
