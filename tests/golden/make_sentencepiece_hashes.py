#!/usr/bin/env python3
"""Writes tests/golden/sentencepiece/: small SentencePiece models of every kind, and hashes of what sentencepiece and transformers make of 50,000 strings.

    python3 -m venv venv && venv/bin/pip install sentencepiece==0.2.3 protobuf==7.36.2 transformers==4.44.2
    venv/bin/python tests/golden/make_sentencepiece_hashes.py $PLUME_TEST_DATA tests/golden/sentencepiece [NAME ...]

The models are trained on words that this script makes up; a model that is there already is kept. The strings are those of tokenizer_strings.py.
hashes.json has, per model and way, one CRC-32 for each 1,000 strings: "encode" and "decode" are sentencepiece's, "legacy" and "non_legacy" are
transformers' LlamaTokenizer, for which the spellings of special tokens in the text are those tokens. "long" is one CRC-32: of the ids of the first
20,000 strings in one text, for Unigram models. NAME "long" makes these alone, "t5" those that T5Tokenizer makes of 2,000 strings with unigram_map.
"""
import io
import itertools
import json
import os
import random
import sys
import zlib

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

from tokenizer_strings import grouped, id_bytes, strings

assert sentencepiece.__version__ == "0.2.3", sentencepiece.__version__
RULES = [("41", "61"), ("41 42", "78 79"), ("41 42 43", "7A"), ("3000", "20"), ("9", "20"), ("2581", "20"), ("D F", "DF"), ("E9", "65 301"),
         ("FB01", "66 69"), ("200B", ""), ("4E16 754C", "4E16"), ("2160", "49 20"), ("1F642", "20 3A 29 20")]
REVERSE = [("61", "41"), ("78 79", "41 42"), ("20 20", "20"), ("4E16", "4E16 754C"), ("65 301", "E9"), ("74 68 65", "")]


def corpus():
    choose = random.Random(1)
    scripts = ["abcdefghijklmnoprstuvwy", "ABCDEFGHIJ", "0123456789", "\u00e9\u00fc\u00df\u00f1", "\u0430\u0431\u0432\u0433\u0434\u0435\u0438", "\u03b1\u03b2\u03b3\u03b4",
               "\u4e16\u754c\u4f60\u597d\u5fc3", "\u3053\u3093\u306b\u3061\u306f", "\uc548\ub155", "\u05e9\u05dc\u05d5\u05dd", "\u0e44\u0e17\u0e22"]
    weights = [60, 6, 6, 4, 6, 4, 6, 4, 2, 2, 2]
    words = ["".join(choose.choice(script) for _ in range(choose.randint(1, 7))) for script in choose.choices(scripts, weights, k=900)]
    words += ["the", "and", "don't", "it's", "Hello", "botchan", "camelCase", "x=y;", "!!!", "...", "(a)", "##ing"] * 3
    for _ in range(4000):
        yield " ".join(words[min(int(choose.paretovariate(0.7)) - 1, len(words) - 1)] + choose.choice(["", "", "", ",", ".", "?"])
                       for _ in range(choose.randint(3, 14)))


def train(folder, name, change=None, rules=None, reverse=None, **options):
    path = f"{folder}/{name}.model"
    if os.path.exists(path):
        return
    for file, rows in [("rules", rules), ("reverse", reverse)]:
        if rows:
            with open(f"/tmp/{file}.tsv", "w") as out:
                out.writelines(f"{a}\t{b}\n" for a, b in rows)
            options["normalization_rule_tsv" if file == "rules" else "denormalization_rule_tsv"] = f"/tmp/{file}.tsv"
    model = io.BytesIO()
    given = dict(vocab_size=400, hard_vocab_limit=False, num_threads=1, minloglevel=2, character_coverage=1.0)
    given.update(options)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(list(corpus())), model_writer=model, **given)
    file = proto.ModelProto.FromString(model.getvalue())
    for spec in [file.normalizer_spec, file.denormalizer_spec]:
        spec.ClearField("normalization_rule_tsv")
    if not file.denormalizer_spec.precompiled_charsmap:
        file.ClearField("denormalizer_spec")
    if change:
        change(file)
    with open(path, "wb") as out:
        out.write(file.SerializeToString())


def unused(file):
    for i, piece in enumerate(file.pieces):
        if piece.type == 1 and i % 3 == 0:
            piece.type = 5


def ties(file):
    for i, piece in enumerate(file.pieces):
        if piece.type == 1:
            piece.score = -float(i // 40)


def gaps(file):  # pieces whose characters are none
    kept = [piece for piece in file.pieces if piece.type != 1 or len(piece.piece) > 1 or piece.piece in "\u2581aeiou"]
    del file.pieces[:]
    file.pieces.extend(kept)


def mixed(file):  # every type where normal ones were; scores above zero, which user-defined pieces do not follow
    choose = random.Random(3)
    for piece in file.pieces:
        if piece.type == 1:
            piece.type = choose.choices([1, 3, 4, 5], [70, 5, 10, 15])[0]
            piece.score = choose.choices([piece.score, 0.5, 3.0, -20.0], [90, 4, 3, 3])[0]


def plain_spaces(file):
    file.normalizer_spec.escape_whitespaces = False
    for piece in file.pieces:
        if piece.type == 1:
            piece.piece = piece.piece.replace("\u2581", " ")


def train_all(folder):
    symbols = ["<user>", "the", " a", "\u4e16\u754c", "##", "\u2581x", "12"]
    llama = dict(normalization_rule_name="identity", remove_extra_whitespaces=False, byte_fallback=True)
    train(folder, "bpe_llama", model_type="bpe", vocab_size=700, control_symbols=["<pad>", "<|im_end|>"], user_defined_symbols=symbols, **llama)
    train(folder, "bpe_suffix", model_type="bpe", treat_whitespace_as_suffix=True, rules=RULES, user_defined_symbols=["<user>"])
    train(folder, "bpe_unused", unused, model_type="bpe", normalization_rule_name="identity", allow_whitespace_only_pieces=True)
    train(folder, "bpe_ties", ties, model_type="bpe", rules=RULES, add_dummy_prefix=False)
    train(folder, "bpe_gaps", gaps, model_type="bpe", **llama, vocab_size=700)
    train(folder, "bpe_spaces", plain_spaces, model_type="bpe", normalization_rule_name="identity", split_by_whitespace=False)
    train(folder, "unigram", model_type="unigram", normalization_rule_name="nmt_nfkc_cf", unk_surface=" [unknown] ")
    train(folder, "unigram_bytes", model_type="unigram", vocab_size=700, user_defined_symbols=symbols, unk_id=3, bos_id=1, eos_id=2, pad_id=0, **llama)
    train(folder, "unigram_user", unused, model_type="unigram", rules=RULES, user_defined_symbols=symbols + ["e\u0301", "AB"], reverse=REVERSE)
    train(folder, "unigram_map", model_type="unigram", rules=RULES, user_defined_symbols=["<user>"])
    train(folder, "unigram_suffix", model_type="unigram", treat_whitespace_as_suffix=True, rules=RULES, remove_extra_whitespaces=False, bos_id=-1)
    train(folder, "unigram_mixed", mixed, model_type="unigram", rules=RULES, user_defined_symbols=symbols)
    train(folder, "bpe_mixed", mixed, model_type="bpe", rules=RULES, user_defined_symbols=symbols)
    train(folder, "word_unused", unused, model_type="word", rules=RULES, vocab_size=300)
    train(folder, "char_unused", unused, model_type="char", rules=RULES, user_defined_symbols=symbols)
    train(folder, "word", model_type="word", rules=RULES, use_all_vocab=True)
    train(folder, "char", model_type="char", rules=RULES, user_defined_symbols=symbols)


def long_hash(path):
    """Of Unigram models alone: their sums grow with a text. Nothing for the others."""
    if proto.ModelProto.FromString(open(path, "rb").read()).trainer_spec.model_type != 1:
        return {}
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    text = "".join(itertools.islice(strings(pieces, [piece for i, piece in enumerate(pieces) if model.is_control(i) or model.is_unknown(i)]), 20_000))
    return {"long": f"{zlib.crc32(id_bytes(model.encode(text))):08x}"}


def t5_hash(path):
    """Of transformers' T5Tokenizer with seven sentinels behind the pieces, eos left out. It knows no <s>: texts with one are passed over."""
    import transformers
    from transformers.models.t5 import tokenization_t5
    assert transformers.__version__ == "4.44.2", transformers.__version__
    tokenization_t5.import_protobuf = lambda *_: proto
    tokenizer = transformers.T5Tokenizer(vocab_file=path, extra_ids=7, legacy=True)
    pieces = [tokenizer.sp_model.id_to_piece(i) for i in range(tokenizer.sp_model.get_piece_size())]
    texts = itertools.islice(strings(pieces, ["<extra_id_0>", "<extra_id_6>", "<extra_id_7>", "</s>"]), 2_000)
    rows = [id_bytes(tokenizer.encode(text, add_special_tokens=False)) if "<s>" not in text else b"" for text in texts]
    return {"t5": grouped(rows)}


def hashes_of(path, ways):
    model = sentencepiece.SentencePieceProcessor(model_file=path)
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    special = [piece for i, piece in enumerate(pieces) if model.is_control(i) or model.is_unknown(i)]
    texts = list(strings(pieces, special))
    ids = [model.encode(text) for text in texts]
    result = {"encode": grouped(map(id_bytes, ids)), "decode": grouped(model.decode(each).encode() + b"\0" for each in ids)}
    result.update(long_hash(path))
    if path.endswith("/unigram_map.model"):
        result.update(t5_hash(path))
    if ways:
        import transformers
        from transformers.models.llama import tokenization_llama
        assert transformers.__version__ == "4.44.2", transformers.__version__
        tokenization_llama.import_protobuf = lambda *_: proto  # its own copy would be registered twice
        for name, legacy in [("legacy", True), ("non_legacy", False)]:
            tokenizer = transformers.LlamaTokenizer(vocab_file=path, legacy=legacy, unk_token="<unk>", bos_token="<s>", eos_token="</s>")
            tokenizer.add_special_tokens({"additional_special_tokens": [transformers.AddedToken(s, normalized=False, special=True) for s in special]})
            result[name] = grouped(id_bytes(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
    return result


def main():
    data, folder, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    train_all(folder)
    path = f"{folder}/hashes.json"
    hashes = json.load(open(path)) if os.path.exists(path) else {}
    files = {name[:-6]: f"{folder}/{name}" for name in sorted(os.listdir(folder)) if name.endswith(".model")}
    for name in ["hf-fixtures/spiece.model", "hf-fixtures/test_sentencepiece.model", "sentencepiece/test_model.model", "llama2/tokenizer.model"]:
        files[name] = f"{data}/tokenizers/{name}"
    for name, file in files.items():
        if only == ["long"]:
            hashes[name].update(long_hash(file))
        elif only == ["t5"]:
            hashes[name].update(t5_hash(file) if name == "unigram_map" else {})
        elif only and name not in only:
            continue
        print(name, flush=True)
        if only not in (["long"], ["t5"]):
            hashes[name] = hashes_of(file, name in ["bpe_llama", "unigram_map", "unigram", "llama2/tokenizer.model", "sentencepiece/test_model.model"])
        with open(path, "w") as out:
            rows = [f" {json.dumps(key)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in ways.items()) + "}" for key, ways in hashes.items()]
            out.write("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
