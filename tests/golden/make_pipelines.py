#!/usr/bin/env python3
"""Writes tests/golden/tokenizers/pipelines.json: tokenizers put together at random, and what Hugging Face tokenizers makes of 200 strings with each.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/golden/make_pipelines.py tests/golden/tokenizers

A row is a base of make_tokenizer_hashes.py, the members to replace (normaliser, pre-tokeniser, post-processor, decoder, added tokens of every kind), and
CRC-32s over all strings: "ids" (little-endian int32, -1 behind each string), "spans" (begin and end of every token in characters, 0 and 0 where it stands
for nothing), "text" and "special" (what decodes from the ids without and with special tokens, malformed bytes as one "?" a run, a zero byte behind each). The
strings are those of tokenizer_strings.py for the model's vocabulary and the contents of the added tokens. tokenizers decides what is special by the decoded
spelling, so that it prints a special token whose spelling a normaliser changes; "text" leaves out all that are.
"""
import itertools
import json
import random
import re
import sys
import zlib

import tokenizers
from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors

from tokenizer_strings import strings

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
BASES = ["byte_bpe", "bert", "word_level", "unigram", "char_bpe", "llama", "suffix_bpe", "prefix_bpe"]
CONTENTS = ["Hello", " New ", "\u00c9t\u00e9", "<X y>", "THE", "\u4e16\u754c", "x  y", "\ufb01n", "[A]", "  ", "Bot", "e\u0301", "\u2581Q"]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
COUNT, TEXTS = 60, 200


def part(component):
    return json.loads(component.__getstate__())


def joined(steps, key):
    if not steps:
        return None
    return steps[0] if len(steps) == 1 else {"type": "Sequence", key: steps}


def normalizer(choose):
    def flag():
        return choose.random() < 0.5
    makers = [normalizers.NFC, normalizers.NFD, normalizers.NFKC, normalizers.NFKD, normalizers.Lowercase, normalizers.StripAccents, normalizers.Nmt, normalizers.ByteLevel,
              lambda: normalizers.Strip(flag(), flag()),
              lambda: normalizers.BertNormalizer(clean_text=flag(), handle_chinese_chars=flag(), strip_accents=choose.choice([None, True, False]), lowercase=flag()),
              lambda: normalizers.Prepend(choose.choice(["\u2581", "xy", "e\u0301 "])),
              lambda: normalizers.Replace(choose.choice([" ", "a", "the", "\u2581", "e"]), choose.choice(["", "\u2581", "bb", "\u00e9\u4e16", " "])),
              lambda: normalizers.Replace(Regex(choose.choice([r"\s+", "[a-e]+", r"\p{L}+"])), choose.choice(["", " ", "xyz", "\u4e16"]))]
    return joined([part(choose.choice(makers)()) for _ in range(choose.choice([0, 1, 1, 1, 2, 3]))], "normalizers")


def pre_tokenizer(choose, spells):
    def flag():
        return choose.random() < 0.5
    makers = [pre_tokenizers.Whitespace, pre_tokenizers.WhitespaceSplit, pre_tokenizers.BertPreTokenizer, pre_tokenizers.UnicodeScripts,
              lambda: pre_tokenizers.Punctuation(choose.choice(BEHAVIORS)), lambda: pre_tokenizers.Digits(flag()),
              lambda: pre_tokenizers.Metaspace(prepend_scheme=choose.choice(["always", "first", "never"]), split=flag()),
              lambda: pre_tokenizers.Split(choose.choice([" ", "a", "\u2581"]), choose.choice(BEHAVIORS)),
              lambda: pre_tokenizers.Split(Regex(choose.choice([r"\s+", r"\p{L}+", "[a-e]"])), choose.choice(BEHAVIORS), flag()),
              lambda: pre_tokenizers.CharDelimiterSplit(choose.choice("a \u00e9")), lambda: pre_tokenizers.FixedLength(choose.choice([1, 3]))]
    steps = [part(choose.choice(makers)()) for _ in range(choose.choice([0, 1, 1, 2]))]
    if spells or choose.random() < 0.2:
        steps.append(part(pre_tokenizers.ByteLevel(add_prefix_space=flag(), use_regex=flag())))
    return joined(steps, "pretokenizers")


def post_processor(choose, names, ids):
    def flag():
        return choose.random() < 0.5
    level = part(processors.ByteLevel(trim_offsets=flag(), add_prefix_space=flag()))
    first, last = choose.choice(names), choose.choice(names)
    roberta = part(processors.RobertaProcessing((first, ids[first]), (last, ids[last]), trim_offsets=flag(), add_prefix_space=flag()))
    around = [{"SpecialToken": {"id": first, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": last, "type_id": 0}}]
    template = {"type": "TemplateProcessing", "single": around, "pair": around + [{"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in [first, last]}}
    return choose.choice([None, level, roberta, template, {"type": "Sequence", "processors": [level, template]}])


def decoder(choose, spells):
    def flag():
        return choose.random() < 0.5
    makers = [lambda: decoders.WordPiece(cleanup=flag()), lambda: decoders.Metaspace(prepend_scheme=choose.choice(["always", "first", "never"])), decoders.BPEDecoder,
              lambda: decoders.CTC("a", "b", flag()), decoders.Fuse, decoders.ByteFallback, lambda: decoders.Strip(choose.choice(" a\u2581"), choose.randrange(3), 0),
              lambda: decoders.Replace("\u2581", " "), lambda: decoders.Replace(Regex("[a-e]+"), "Q")]
    if spells:
        return part(decoders.ByteLevel())
    return joined([part(choose.choice(makers)()) for _ in range(choose.choice([0, 1, 1, 2, 3]))], "decoders")


def added_tokens(choose, tokens, names):
    tokens = json.loads(json.dumps(tokens))
    for token in tokens:
        if choose.random() < 0.3:
            token["normalized"] = not token["normalized"]
    known, free = {token["content"] for token in tokens}, max([len(names) - 1] + [token["id"] for token in tokens]) + 1
    for content in choose.sample(CONTENTS, choose.randrange(6)) + [choose.choice(names)]:
        if content in known:
            continue
        known.add(content)
        inside = content in names
        flags = {name: choose.random() < 0.3 for name in ["single_word", "lstrip", "rstrip"]}
        # no special token may be the model's: plain text never becomes one in plume
        tokens.append({"id": names.index(content) if inside else free, "content": content, **flags, "normalized": choose.random() < 0.6,
                       "special": not inside and choose.random() < 0.3})
        free += not inside
    return sorted(tokens, key=lambda token: token["id"])


def question_marks(text):
    return re.sub("\ufffd+", "?", text)


def row(seed):
    """Nothing where tokenizers refuses the file or panics."""
    choose = random.Random(seed)
    base = choose.choice(BASES)
    file = json.load(open(f"{sys.argv[1]}/{base}.json"))
    vocabulary = file["model"]["vocab"]
    ids = {piece: i for i, (piece, _) in enumerate(vocabulary)} if isinstance(vocabulary, list) else vocabulary
    names = sorted(ids, key=ids.get)
    spells = base == "byte_bpe"
    members = {"normalizer": normalizer(choose), "pre_tokenizer": pre_tokenizer(choose, spells), "post_processor": post_processor(choose, names, ids),
               "decoder": decoder(choose, spells), "added_tokens": added_tokens(choose, file["added_tokens"], names)}
    for key in list(members):
        if key != "added_tokens" and not spells and choose.random() < 0.3:
            del members[key]
    file.update(members)
    sums = {"ids": 0, "spans": 0, "text": 0, "special": 0}
    try:
        tokenizer = Tokenizer.from_str(json.dumps(file))
        added = tokenizer.get_added_tokens_decoder()
        spelled = [tokenizer.id_to_token(i) for i, token in added.items() if token.normalized]
        if len(set(spelled)) < len(spelled) or "" in spelled:  # which of two is found is chance
            return None
        special = {i for i, token in added.items() if token.special}
        for text in itertools.islice(strings(names, [token.content for _, token in sorted(added.items())]), TEXTS):
            encoding = tokenizer.encode(text, add_special_tokens=True)
            spans = [at if begin < end else 0 for begin, end in encoding.offsets for at in (begin, end)]
            for key, values in [("ids", encoding.ids), ("spans", spans)]:
                sums[key] = zlib.crc32(b"".join(i.to_bytes(4, "little") for i in values) + b"\xff\xff\xff\xff", sums[key])
            for key, kept in [("text", [i for i in encoding.ids if i not in special]), ("special", encoding.ids)]:
                sums[key] = zlib.crc32(question_marks(tokenizer.decode(kept, skip_special_tokens=False)).encode() + b"\0", sums[key])
    except BaseException as error:
        print(seed, str(error)[:100])
        return None
    return {"base": base, "set": members, **{key: f"{value:08x}" for key, value in sums.items()}}


def main():
    rows = [made for made in (row(seed) for seed in range(3 * COUNT)) if made][:COUNT]
    with open(f"{sys.argv[1]}/pipelines.json", "w") as out:
        out.write("[\n" + ",\n".join(" " + json.dumps(made) for made in rows) + "\n]\n")


main()
