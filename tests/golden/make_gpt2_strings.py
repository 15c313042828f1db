#!/usr/bin/env python3
"""Writes tests/golden/gpt2_strings.jsonl: random Unicode strings with GPT-2's pieces and ids, by Hugging Face tokenizers.

    pip install tokenizers==0.23.3
    python3 tests/golden/make_gpt2_strings.py ENCODER_JSON VOCAB_BPE > tests/golden/gpt2_strings.jsonl

A line is [text, [bytes of each piece], number of ids, FNV-1a 64 of the ids as little-endian int32]. The pieces need no vocabulary;
the ids need GPT-2's own files, which are not part of this repository.
"""
import json
import random
import sys

import tokenizers
from tokenizers import Tokenizer, models, pre_tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000"
NOT_SPACES = "\x1c\x1f\u180e\u200b\u200d\u2060\ufeff\0"
WORDS = ["the", "Hello", "don't", "I've", "we'll", "they're", "it's", "I'd", "I'm", "'S", "'RE", "can't've", "''ll", "'", "naïve", "Straße", "ﬁn",
         "世界", "你好", "안녕", "こんにちは", "Привет", "שלום", "مرحبا", "नमस्ते", "ไทย", "Ελλάδα", "🙂", "👩‍👩‍👧", "🇩🇪", "e\u0301", "½", "Ⅷ", "²³", "٣٤", "१२", "𝟘𝟙",
         "12345", "3.14", "1,000", "!!!", "--", "://", "<|endoftext|>", "_x_", "\r\n", "\n\n", "  ", "   ", " ' ", "\u17b4", "\ud7ff", "\ufffd", "\U0010ffff"]


def scalar(rng):
    while True:
        c = rng.choice([rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x10000), rng.randrange(0x20000), rng.randrange(0x110000)])
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def text(rng):
    parts = []
    for _ in range(rng.randrange(1, 9)):
        kind = rng.randrange(7)
        if kind < 3:
            parts.append(rng.choice(WORDS) + rng.choice(["", "", " "]))
        elif kind == 3:
            parts.append("".join(rng.choice(SPACES) for _ in range(rng.randrange(1, 4))))
        elif kind == 4:
            parts.append(rng.choice(NOT_SPACES))
        else:
            parts.append("".join(scalar(rng) for _ in range(rng.randrange(1, 4))))
    return "".join(parts)


def fnv(ids):
    value = 0xCBF29CE484222325
    for i in ids:
        for byte in i.to_bytes(4, "little"):
            value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def main():
    rng = random.Random(7)
    tokenizer = Tokenizer(models.BPE.from_file(sys.argv[1], sys.argv[2]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    for _ in range(2500):
        string = text(rng)
        ids = tokenizer.encode(string).ids
        pieces = [len(string[a:b].encode()) for _, (a, b) in tokenizer.pre_tokenizer.pre_tokenize_str(string)]
        assert sum(pieces) == len(string.encode()), string
        print(json.dumps([string, pieces, len(ids), fnv(ids)], separators=(",", ":")))


main()
