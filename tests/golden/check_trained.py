#!/usr/bin/env python3
"""Opens tokenizers that plume trained and edited in Hugging Face tokenizers, and records the ids they give there: tests/golden/trainers/from_plume/.

    cmake --build --preset test
    python3 tests/golden/check_trained.py build/test/examples $PLUME_TEST_DATA tests/golden/trainers/from_plume     # needs tokenizers==0.23.3

train_tokenizer learns from Botchan (public domain; in the test data). Its three files are kept, with a CRC-32 of the ids (little-endian int32, -1 behind each
text) of every line of the book and of the strings below. The test trained_files_test.cpp compares plume's ids with these, and the files it writes with the
files that were read here.
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

import tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
STRINGS = ["", " ", "  two  spaces", "tab\tand\nlines\n\n", "na\u00efve caf\u00e9 \u4e16\u754c", "\U0001f642\u0301 x\u0301", "1234567 <0x41> ##ing </w> \u2581", "I'VE we'll"]


def main():
    examples, data, out = sys.argv[1:4]
    os.makedirs(out, exist_ok=True)
    book = os.path.join(data, "tokenizers/sentencepiece/botchan.txt")
    lines = open(book, encoding="utf-8", newline="").read().split("\n") + STRINGS
    sums = {}
    for kind in ("bpe", "unigram", "wordpiece"):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([os.path.join(examples, "train_tokenizer"), "--model", kind, "--data", book, "--vocab-size", "700", "--out", folder, "--quiet"], check=True)
            tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
            assert tokenizer.get_vocab_size() == 700
            crc = 0
            for line in lines:
                ids = tokenizer.encode(line).ids
                crc = zlib.crc32(struct.pack(f"<{len(ids) + 1}i", *ids, -1), crc)
                if kind == "bpe" or (kind == "unigram" and "\u2581" not in line and not line.startswith(" ")):
                    assert tokenizer.decode(ids) == line, (kind, line, tokenizer.decode(ids))
            sums[kind] = f"{crc:08x}"
            shutil.copy(os.path.join(folder, "tokenizer.json"), os.path.join(out, kind + ".json"))
    with open(os.path.join(out, "ids.json"), "w") as file:
        json.dump(sums, file)
        file.write("\n")
    print(sums)


main()
