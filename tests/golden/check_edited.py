#!/usr/bin/env python3
"""Opens tokenizers that plume edited in Hugging Face tokenizers, and records the ids they give there: tests/golden/tokenizers/edited.json.

    PLUME_EDITED_OUTPUT=/tmp/edited build/test/tests/tokenizer -tc="Files of edited*"          # the folder exists
    python3 tests/golden/check_edited.py /tmp/edited tests/golden/tokenizers/edited.json         # needs tokenizers==0.23.3

A file is named by the CRC-32 of its bytes, the ids by that of little-endian int32, -1 behind each text of texts.json.
"""
import json
import os
import struct
import sys
import zlib

import tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
folder, out = sys.argv[1:3]
texts, record = json.load(open(f"{folder}/texts.json", encoding="utf-8")), {}
for name in sorted(os.listdir(folder)):
    if name == "texts.json":
        continue
    tokenizer = tokenizers.Tokenizer.from_file(f"{folder}/{name}")
    crc = 0
    for text in texts:
        ids = tokenizer.encode(text).ids
        crc = zlib.crc32(struct.pack(f"<{len(ids) + 1}i", *ids, -1), crc)
    record[name.removesuffix(".json")] = {"file": f"{zlib.crc32(open(f'{folder}/{name}', 'rb').read()):08x}", "ids": f"{crc:08x}"}
with open(out, "w") as file:
    json.dump(record, file, indent=1)
    file.write("\n")
print(len(record), "files")
