#!/usr/bin/env python3
"""Writes tests/golden/marian/: two small SentencePiece models, vocabularies over them, and hashes of what transformers' MarianTokenizer makes of 5,000 strings.

    python3 -m venv venv && venv/bin/pip install transformers==5.24.0 sentencepiece==0.2.3 protobuf==7.36.2 sacremoses==0.2.0 tokenizers==0.23.3
    venv/bin/python tests/golden/make_marian.py $PLUME_TEST_DATA tests/golden/marian

source.spm is Unigram on Botchan in English (public domain; sentencepiece/botchan.txt), target.spm BPE on the Analects (corpora/chinese-poetry/lunyu.json). A model
that is there already is kept. vocab.json lacks some of their pieces and gives ids to some characters that source.spm does not know. separate/ holds the files of
a tokenizer with "separate_vocabs" over the same two models; its special tokens have one id on both sides, for transformers takes the source's for both.

The strings are those of tokenizer_strings.py for the pieces of vocab.json, every third behind a language code or what looks like one. hashes.json has a CRC-32 per
1,000 strings: "source" and "target" of the ids (int32, little-endian, -1 behind each string), "source_plain" with special tokens as any text, "decode" and
"decode_special" of the text that the source's ids give, with the target's SentencePiece (use_source_tokenizer=False), a zero byte behind each.
"""
import io
import itertools
import json
import os
import shutil
import sys
import tempfile

import sentencepiece
import transformers

from tokenizer_strings import grouped, id_bytes, strings

assert transformers.__version__ == "5.24.0", transformers.__version__
assert sentencepiece.__version__ == "0.2.3", sentencepiece.__version__
CODES = [">>deu<<", ">>zho_Hans<<", ">>x<<", ">><<", ">> deu<<", ">>deu<"]
SPECIAL = ["</s>", "<unk>", "<pad>"]
COUNT = 5_000


def train(path, lines, **options):
    if os.path.exists(path):
        return
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, hard_vocab_limit=False, num_threads=1, minloglevel=2, **options)
    with open(path, "wb") as out:
        out.write(model.getvalue())


def pieces_of(path):
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    return [model.id_to_piece(i) for i in range(model.get_piece_size()) if not model.is_control(i) and not model.is_unknown(i)]


def save(path, value):
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=False, indent=0)
        out.write("\n")


def numbered(names):
    return {name: i for i, name in enumerate(dict.fromkeys(names))}


def hashes(folder, texts):
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    source = [tokenizer(text).input_ids for text in texts]
    default = [tokenizer.decode(ids, skip_special_tokens=True) for ids in source]
    decoded = [tokenizer.decode(ids, skip_special_tokens=True, use_source_tokenizer=False) for ids in source]
    print(folder, sum(a != b for a, b in zip(default, decoded)), "of", len(texts), "texts decode otherwise by default")
    result = {"source": source, "target": [tokenizer(text_target=text).input_ids for text in texts], "decode": decoded,
              "decode_special": [tokenizer.decode(ids, use_source_tokenizer=False) for ids in source],
              "source_plain": [tokenizer(text, split_special_tokens=True).input_ids for text in texts]}
    return {key: grouped(map(id_bytes, each) if isinstance(each[0], list) else (text.encode() + b"\0" for text in each)) for key, each in result.items()}


def main():
    data, folder = sys.argv[1:]
    os.makedirs(f"{folder}/separate", exist_ok=True)
    english = [line for line in open(f"{data}/tokenizers/sentencepiece/botchan.txt", encoding="utf-8").read().split("\n") if line.strip()]
    analects = [line for chapter in json.load(open(f"{data}/corpora/chinese-poetry/lunyu.json", encoding="utf-8")) for line in chapter["paragraphs"]]
    train(f"{folder}/source.spm", english[:2500], vocab_size=500, model_type="unigram", character_coverage=0.999, normalization_rule_name="identity")
    train(f"{folder}/target.spm", analects, vocab_size=1100, model_type="bpe", character_coverage=0.98, normalization_rule_name="identity")
    source, target = pieces_of(f"{folder}/source.spm"), pieces_of(f"{folder}/target.spm")
    both = [piece for i, piece in enumerate(source + target) if i % 7 != 3]
    save(f"{folder}/vocab.json", numbered(["</s>", "<unk>"] + both + [">>deu<<", ">>zho_Hans<<", "\u2581caf\u00e9", "\u00e9", "\u00fc\u00fc", "<s>", "<pad>"]))
    save(f"{folder}/tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", "source_lang": "eng", "target_lang": "zho", "unk_token": "<unk>",
                                             "eos_token": "</s>", "pad_token": "<pad>", "model_max_length": 512, "separate_vocabs": False})
    save(f"{folder}/separate/vocab.json", numbered(SPECIAL + source[::-1] + [">>deu<<"]))
    save(f"{folder}/separate/target_vocab.json", numbered(SPECIAL + target))
    save(f"{folder}/separate/tokenizer_config.json", {"tokenizer_class": "MarianTokenizer", "unk_token": "<unk>", "eos_token": {"content": "</s>", "__type": "AddedToken"},
                                                      "pad_token": "<pad>", "separate_vocabs": True, "added_tokens_decoder": {
                                                          "0": {"content": "</s>", "special": True}, "1": {"content": "<unk>", "special": True},
                                                          "2": {"content": "<pad>", "special": True}}})
    names = list(json.load(open(f"{folder}/vocab.json", encoding="utf-8")))
    texts = [CODES[i // 3 % len(CODES)] + text if i % 3 == 0 else text for i, text in enumerate(itertools.islice(strings(names, SPECIAL + CODES), COUNT))]
    out = {"joint": hashes(folder, texts)}
    with tempfile.TemporaryDirectory() as both_files:
        shutil.copytree(f"{folder}/separate", both_files, dirs_exist_ok=True)
        for name in ["source.spm", "target.spm"]:
            shutil.copy(f"{folder}/{name}", both_files)
        out["separate"] = hashes(both_files, texts)
    with open(f"{folder}/hashes.json", "w") as file:
        file.write(json.dumps(out, indent=1) + "\n")


main()
