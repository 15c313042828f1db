#!/usr/bin/env python3
"""Writes tests/golden/bert/: the vocab.txt of the WordPiece tokenizer of tests/golden/tokenizers/bert.json, and hashes of what transformers makes of 5,000 strings.

    python3 -m venv venv && venv/bin/pip install transformers==5.24.0 tokenizers==0.23.3
    venv/bin/python tests/golden/make_bert.py tests/golden

The strings are those of tokenizer_strings.py for the vocabulary and its special tokens. hashes.json has, per tokenizer_config.json, one CRC-32 for each 1,000
strings of the ids that BertTokenizer gives (int32, little-endian, -1 behind each string; special tokens in the text are those tokens), and how many strings the
slow tokenizer, BertTokenizerLegacy, cuts otherwise: the two clean text, and know punctuation, by Unicode of different years.
"""
import itertools
import json
import os
import sys
import tempfile

import tokenizers
import transformers
from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

from tokenizer_strings import grouped, id_bytes, strings

assert transformers.__version__ == "5.24.0", transformers.__version__
assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
CONFIGS = {"usual": {}, "cased": {"do_lower_case": False}, "accents": {"do_lower_case": True, "strip_accents": False},
           "cased_without": {"do_lower_case": False, "strip_accents": True}, "chinese": {"tokenize_chinese_chars": False, "strip_accents": None},
           "named": {"unk_token": {"content": "[PAD]", "__type": "AddedToken"}, "cls_token": "the", "sep_token": "[X]", "do_lower_case": False}}


def main():
    folder = sys.argv[1]
    vocabulary = json.load(open(f"{folder}/tokenizers/bert.json", encoding="utf-8"))["model"]["vocab"]
    names = sorted(vocabulary, key=vocabulary.get)
    os.makedirs(f"{folder}/bert", exist_ok=True)
    with open(f"{folder}/bert/vocab.txt", "w", encoding="utf-8", newline="\n") as out:
        out.writelines(name + "\n" for name in names)
    texts = list(itertools.islice(strings(names, ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]), 5_000))
    result = {}
    for name, config in CONFIGS.items():
        with tempfile.TemporaryDirectory() as place:
            with open(f"{place}/vocab.txt", "w", encoding="utf-8", newline="\n") as out:
                out.writelines(each + "\n" for each in names)
            with open(f"{place}/tokenizer_config.json", "w") as out:
                json.dump({"tokenizer_class": "BertTokenizer", **config}, out)
            fast, slow = transformers.BertTokenizer.from_pretrained(place), BertTokenizerLegacy.from_pretrained(place)
            ids = [fast(text).input_ids for text in texts]
            other = [k for k, text in enumerate(texts) if slow(text).input_ids != ids[k]]
        print(name, len(other), [(texts[k], fast.convert_ids_to_tokens(ids[k]), slow.tokenize(texts[k])) for k in other[:2]])
        result[name] = {"config": config, "ids": grouped(map(id_bytes, ids)), "slow_differs": len(other)}
    with open(f"{folder}/bert/hashes.json", "w") as out:
        out.write("{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in result.items()) + "\n}\n")


main()
