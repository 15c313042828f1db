#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/spans.json: the characters that Hugging Face tokenizers says each token stands for.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/golden/make_span_hashes.py tests/golden/tokenizers

For the tokenizers and variations of make_tokenizer_hashes.py, and a few more, the first 1,000 strings of tokenizer_strings.py: one CRC-32 of the
ids and of the begin and end of every token (little-endian int32, -1 behind each string; tokens that stand for nothing have begin and end 0).
"""
import itertools
import json
import sys
import zlib

import tokenizers
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors

from tokenizer_strings import strings

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__


def part(component):
    return json.loads(component.__getstate__())


def main():
    folder = sys.argv[1]
    variations = json.load(open(f"{folder}/variations.json"))
    chosen = {name: (entry["base"], entry["set"]) for name, entry in variations.items()
              if "/" not in name or name.split("/")[1] in ("nfc", "nfd", "nfkc", "nfkd", "nmt", "strip", "accents", "gpt2_prefix", "metaspace", "always", "cased", "kimi")}
    chosen["byte_bpe/trimmed"] = ("byte_bpe", {"pre_tokenizer": part(pre_tokenizers.ByteLevel(add_prefix_space=False)),
                                               "post_processor": part(processors.ByteLevel(trim_offsets=True))})
    roberta = processors.RobertaProcessing(("<|im_end|>", 2), ("<|im_start|>", 1), trim_offsets=True, add_prefix_space=True)
    chosen["byte_bpe/roberta"] = ("byte_bpe", {"pre_tokenizer": part(pre_tokenizers.ByteLevel(add_prefix_space=True)), "post_processor": part(roberta)})
    chosen["unigram/first"] = ("unigram", {"pre_tokenizer": part(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]))})
    chosen["unigram/replace"] = ("unigram", {"normalizer": part(normalizers.Sequence([normalizers.Replace("the", "a"), normalizers.Replace(tokenizers.Regex(r"\s+"), " "),
                                                                                      normalizers.Prepend("xy")]))})
    twice = pre_tokenizers.Sequence([pre_tokenizers.FixedLength(length=1), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)])
    for kept in (False, True):  # tokens of a part of a character, and spaces before each
        chosen[f"byte_bpe/parts_{'kept' if kept else 'trimmed'}"] = ("byte_bpe", {
            "normalizer": part(normalizers.ByteLevel()), "pre_tokenizer": part(twice),
            "post_processor": part(processors.ByteLevel(add_prefix_space=kept, trim_offsets=True))})
    spaced = normalizers.Sequence([normalizers.ByteLevel(), normalizers.Replace("\u0142", "  a ")])
    chosen["byte_bpe/parts_spaced"] = ("byte_bpe", {"normalizer": part(spaced), "post_processor": part(processors.ByteLevel(trim_offsets=True))})
    rows = {}
    for name, (base, members) in chosen.items():
        file = json.load(open(f"{folder}/{base}.json"))
        file.update(members)
        tokenizer = Tokenizer.from_str(json.dumps(file))
        vocabulary = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
        added = [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())]
        data = b""
        for text in itertools.islice(strings(vocabulary, added), 1000):
            encoding = tokenizer.encode(text, add_special_tokens=False)
            for i, (begin, end) in zip(encoding.ids, encoding.offsets):
                data += b"".join(n.to_bytes(4, "little") for n in (i, begin if begin < end else 0, end if begin < end else 0))
            data += b"\xff\xff\xff\xff"
        rows[name] = {"base": base, "set": members, "spans": f"{zlib.crc32(data):08x}"}
    with open(f"{folder}/spans.json", "w") as out:
        out.write("{\n" + ",\n".join(f" {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()) + "\n}\n")


main()
