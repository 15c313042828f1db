#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/mark_spans.json: what Hugging Face tokenizers' normal forms make of characters whose marks change places, and the
bytes that each character of the result comes from.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/golden/make_mark_spans.py tests/golden/tokenizers

{form: [[text, result, [begin, end of the first character in bytes of the text, begin of the second, ...]], ...]}
"""
import json
import random
import sys

import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__

LETTERS = [0x61, 0x75, 0xFC, 0x1E69, 0x390, 0x1F80, 0x212B, 0x95C, 0xFB2C, 0x1100, 0x1161, 0x11A8, 0xAC00, 0xAC01, 0x4E2D, 0xFB01, 0xFDFA, 0x1D15E, 0x9C7, 0x11347]
MARKS = [0x300, 0x301, 0x302, 0x307, 0x308, 0x323, 0x327, 0x328, 0x338, 0x344, 0x345, 0x94D, 0x5B0, 0x64B, 0x3099, 0x9BE, 0xF71, 0xF73, 0x1133E, 0x1D165, 0x1D16F]


def main():
    choose = random.Random(20261127)
    out = {}
    for form in ["NFC", "NFD", "NFKC", "NFKD"]:
        tokenizer = Tokenizer(models.WordLevel({"x": 0}, unk_token="x"))
        tokenizer.normalizer = getattr(normalizers, form)()
        tokenizer.pre_tokenizer = pre_tokenizers.FixedLength(length=1)
        rows = out[form] = []
        while len(rows) < 150:
            text = "".join(chr(choose.choice(MARKS if choose.random() < 0.6 else LETTERS)) for _ in range(choose.randint(2, 7)))
            places = [len(text[:i].encode()) for i in range(len(text) + 1)]
            result = tokenizer.normalizer.normalize_str(text)
            offsets = tokenizer.encode(text).offsets
            assert len(offsets) == len(result)
            rows.append([text, result, [places[i] for pair in offsets for i in pair]])
    with open(f"{sys.argv[1]}/mark_spans.json", "w") as file:
        file.write("{\n" + ",\n".join(f" {json.dumps(form)}: [\n  " + ",\n  ".join(json.dumps(row) for row in rows) + "]" for form, rows in out.items()) + "\n}\n")


main()
