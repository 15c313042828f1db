#!/usr/bin/env python3
"""Writes tests/golden/trainers/: what other trainers make of Natsume Soseki's Botchan in English (public domain; in the test data).

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 sentencepiece==0.2.3
    venv/bin/python tests/golden/make_trainers.py $PLUME_TEST_DATA tests/golden/trainers

word_piece.json: the vocabulary of WordPieceTrainer of tokenizers. Its result changes from run to run (equally frequent pairs go by ids that
depend on the order of a hash table), so there are the pieces that 12 runs have in common, and the others that some run had.

unigram.json: sentencepiece's unigram trainer: tokens and negative log-likelihood (nats, best path, its own scores) of the text, line by line. Beside
it two baselines of as many pieces: characters alone, and the substrings of greatest count x length with their relative frequency and nothing else.
"""
import collections
import io
import json
import math
import os
import sys

import sentencepiece
import tokenizers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
assert sentencepiece.__version__ == "0.2.3", sentencepiece.__version__
VOCABULARY = 2000
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def word_piece(path):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train([path], trainers.WordPieceTrainer(vocab_size=VOCABULARY, min_frequency=2, special_tokens=SPECIAL, show_progress=False))
    return set(tokenizer.get_vocab())


def best_path(word, score, longest):
    best = [(0.0, 0)] + [(-math.inf, 0)] * len(word)
    for end in range(1, len(word) + 1):
        for begin in range(max(0, end - longest), end):
            piece = word[begin:end]
            if piece in score and best[begin][0] + score[piece] > best[end][0]:
                best[end] = (best[begin][0] + score[piece], best[begin][1] + 1)
    return best[-1]


def baseline(lines, size, longest):
    """Pieces by count x length, scores by count."""
    words = collections.Counter("\u2581" + word for line in lines for word in line.split(" "))
    counts = collections.Counter()
    for word, count in words.items():
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + longest, len(word)) + 1):
                counts[word[begin:end]] += count
    single = {piece: count for piece, count in counts.items() if len(piece) == 1}
    others = sorted((piece for piece in counts if len(piece) > 1), key=lambda piece: (-counts[piece] * len(piece), piece))
    pieces = dict(single)
    pieces.update((piece, counts[piece]) for piece in others[: max(0, size - len(single))])
    total = sum(pieces.values())
    score = {piece: math.log(count / total) for piece, count in pieces.items()}
    nats = tokens = 0
    for word, count in words.items():
        value, length = best_path(word, score, longest)
        nats, tokens = nats - count * value, tokens + count * length
    return {"tokens": tokens, "nats": round(nats, 1)}


def unigram(path):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        input=path, model_writer=model, model_type="unigram", vocab_size=VOCABULARY, byte_fallback=True, character_coverage=1.0,
        normalization_rule_name="identity", remove_extra_whitespaces=False, num_threads=1, minloglevel=2)
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    lines = [line for line in open(path, encoding="utf-8").read().split("\n") if line]
    nats = tokens = 0
    for line in lines:
        ids = processor.encode(line)
        assert not any(processor.is_byte(i) or processor.is_unknown(i) for i in ids)
        tokens, nats = tokens + len(ids), nats - sum(processor.get_score(i) for i in ids)
    pieces = VOCABULARY - 259
    return {"vocabulary": VOCABULARY, "lines": len(lines), "sentencepiece": {"tokens": tokens, "nats": round(nats, 1)},
            "characters": baseline(lines, 0, 1), "frequent_substrings": baseline(lines, pieces, 16)}


def main():
    path = os.path.join(sys.argv[1], "tokenizers/sentencepiece/botchan.txt")
    os.makedirs(sys.argv[2], exist_ok=True)
    runs = [word_piece(path) for _ in range(12)]
    always, ever = set.intersection(*runs), set.union(*runs)
    for name, value in (("word_piece", {"vocabulary": VOCABULARY, "always": sorted(always), "sometimes": sorted(ever - always)}),
                        ("unigram", unigram(path))):
        with open(os.path.join(sys.argv[2], name + ".json"), "w", encoding="utf-8") as out:
            out.write(json.dumps(value, ensure_ascii=False) + "\n")


main()
