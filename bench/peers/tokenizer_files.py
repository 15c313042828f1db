#!/usr/bin/env python3
"""The tokenizers that bench/compare_tokenizers.sh encodes with, each in the form of file that each library reads.

    pip install -r bench/peers/tokenizers.txt
    python3 bench/peers/tokenizer_files.py FOLDER $PLUME_TEST_DATA TEXT ...

gpt2, cl100k, o200k   ranks (.tiktoken; a copy with the name that tells plume the expression) and the same as tokenizer.json; those of the latter two lie in the package bpe-openai
llama3, qwen2         cl100k's ranks with LLaMA-3's expression and ignore_merges, with Qwen2's expression and NFC: how those files look
llama2                SentencePiece BPE: tokenizer.model and the tokenizer.json that transformers makes of it
unigram               SentencePiece Unigram of 32,000 pieces, trained on every tenth line of the TEXTs; .model and .json
bert                  WordPiece: bge's vocabulary from its GGUF file, as tokenizer.json and as that file
"""
import base64
import gzip
import importlib.util
import json
import pathlib
import shutil
import struct
import sys

import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [b for b in range(256) if b not in PRINTABLE]
CHARACTER = {b: chr(b) for b in PRINTABLE} | {b: chr(256 + i) for i, b in enumerate(OTHERS)}
CL100K = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = (r"[^\r\n\p{L}\p{N}]?" + UPPER + "*" + LOWER + r"+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?" + UPPER + "+" + LOWER
         + r"*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def read_ranks(data):
    return {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in data.splitlines() if line}


def merges_of(ranks):
    """For each token the two tokens that merge into it last."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            options = [(ranks.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1)]
            best, i = min(options)
            if best >= rank:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            merges.append(tuple("".join(CHARACTER[b] for b in part) for part in parts))
    return merges


def byte_level(ranks, merges, regex, path, ignore_merges, normalizer=None):
    vocabulary = {"".join(CHARACTER[b] for b in token): rank for token, rank in ranks.items()}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(regex), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(path))


def scored_pieces(path):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [(model.id_to_piece(i), model.get_score(i)) for i in range(model.vocab_size())]


def llama_json(model, path):
    """As transformers' LlamaConverter with legacy = true."""
    pieces = scored_pieces(model)
    vocabulary = {piece: i for i, (piece, _) in enumerate(pieces)}
    merges = []
    for piece, score in pieces:
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in vocabulary and piece[i:] in vocabulary]
        merges += [(left, right, score) for left, right in sorted(local, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))]
    merges = [(left, right) for left, right, _ in sorted(merges, key=lambda merge: merge[2], reverse=True)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(path))


def train_unigram(texts, path):
    lines = []
    for text in texts:
        lines += open(text, encoding="utf-8").read().split("\n")[::10]
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=str(path.with_suffix("")), vocab_size=32000, hard_vocab_limit=False, model_type="unigram",
                                             byte_fallback=True, character_coverage=0.9995, normalization_rule_name="identity", add_dummy_prefix=True,
                                             remove_extra_whitespaces=False, num_threads=1, minloglevel=2)


def unigram_json(model, path):
    pieces = scored_pieces(model)
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.save(str(path))


def gguf_tokens(path):
    """tokenizer.ggml.tokens of a GGUF file."""
    data = pathlib.Path(path).read_bytes()
    at = data.index(b"tokenizer.ggml.tokens") + len(b"tokenizer.ggml.tokens")
    kind, of, count = struct.unpack_from("<IIQ", data, at)
    assert kind == 9 and of == 8
    at += 16
    tokens = []
    for _ in range(count):
        size, = struct.unpack_from("<Q", data, at)
        tokens.append(data[at + 8:at + 8 + size].decode())
        at += 8 + size
    return tokens


def bert_json(gguf, path):
    spelled = [t if t[0] + t[-1] == "[]" else t[1:] if t[0] == "\u2581" and len(t) > 1 else "##" + t for t in gguf_tokens(gguf)]
    tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(spelled)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(path))


def main():
    folder, data = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "tokenizers"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(data / "gpt2" / "tokenizer.json", folder / "gpt2.json")
    shutil.copy(data / "tiktoken" / "gpt2.tiktoken", folder / "gpt2.tiktoken")
    packed = pathlib.Path(importlib.util.find_spec("bpe_openai").submodule_search_locations[0]) / "data"
    for name, regex in [("cl100k", CL100K), ("o200k", O200K)]:
        text = gzip.decompress((packed / f"{name}_base.tiktoken.gz").read_bytes())
        (folder / f"{name}.tiktoken").write_bytes(text)
        (folder / f"{name}_base.tiktoken").write_bytes(text)
        ranks = read_ranks(text)
        merges = merges_of(ranks)
        byte_level(ranks, merges, regex, folder / f"{name}.json", True)
        if name == "cl100k":
            byte_level(ranks, merges, LLAMA3, folder / "llama3.json", True)
            byte_level(ranks, merges, QWEN2, folder / "qwen2.json", False, normalizers.NFC())
    shutil.copy(data / "llama2" / "tokenizer.model", folder / "llama2.model")
    llama_json(folder / "llama2.model", folder / "llama2.json")
    if not (folder / "unigram.model").exists():
        train_unigram(sys.argv[3:], folder / "unigram.model")
    unigram_json(folder / "unigram.model", folder / "unigram.json")
    shutil.copy(data / "llama.cpp" / "ggml-vocab-bert-bge.gguf", folder / "bert.gguf")
    bert_json(folder / "bert.gguf", folder / "bert.json")
    for name in ["llama3", "qwen2"]:
        (folder / name).mkdir(exist_ok=True)
        shutil.copy(folder / f"{name}.json", folder / name / "tokenizer.json")


main()
