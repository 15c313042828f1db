#!/usr/bin/env python3
"""Writes tests/golden/chatglm/: two small ice_text.model files, and what ChatGLM-6B's published tokenizers make of 5,000 strings.

    python3 -m venv venv && venv/bin/pip install transformers==4.27.1 sentencepiece==0.2.3 protobuf==7.36.2
    venv/bin/python tests/golden/make_chatglm.py FOLDER $PLUME_TEST_DATA tests/golden/chatglm

FOLDER holds published files under the hashes in FILES; they are executed, never copied. icetk 0.0.7 is on PyPI.

ice_text.model is Unigram on Botchan (public domain; sentencepiece/botchan.txt) and the Analects (corpora/chinese-poetry/lunyu.json), with the pieces that the
published file of April 2023 has behind those of training: special tokens (control), tab and blanks (user-defined), bytes. early/ice_text.model lacks them, as the
file of March 2023 does: the tokenizer of that time adds them. The real files cannot be had here; their published sizes differ by 6,323 bytes, which is what these
pieces take. A model that is there already is kept.

The strings are those of tokenizer_strings.py, some with longer runs of white space: see texts(). golden.json has, for each tokenizer, a CRC-32 per 1,000 strings:
"ids" of tokenizer.encode without what stands around, with all special tokens named (int32, little-endian, -1 behind each string), "plain" of SPTokenizer.encode, which knows none, "decode" of
SPTokenizer.decode of the latter, "decode_ids" of tokenizer.decode of the former without clean_up_tokenization_spaces (a zero byte behind each text); "behind",
what tokenizer("a") has behind its text; and some texts with their ids and texts. "tuned": what ptuning/main.py trains on, without padding. Until 14 April 2023 the tokenizers put something else behind a text that holds
mask tokens: what is meant there is up to infill().
"""
import ast
import hashlib
import importlib.util
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
import types

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as proto

from tokenizer_strings import grouped, id_bytes, strings

assert transformers.__version__ == "4.27.1", transformers.__version__
assert sentencepiece.__version__ == "0.2.3", sentencepiece.__version__
FILES = {  # file: where it is from, SHA-256
    "chatglm/tokenization_chatglm.py": ("THUDM/chatglm-6b 4d0fc39a (2023-05-08)", "b52a2d87f05cd3919ba6401e6be1a82b99cd91609fbc562fea407f000dc9f873"),
    "chatglm-early/tokenization_chatglm.py": ("THUDM/chatglm-6b 23ad39b (2023-04-05)", "4cfdfd07c101d36d16bbe4ab108d4a6227cf333c62ceee32a24659487d0830d9"),
    "ptuning/main.py": ("THUDM/ChatGLM-6B 12e3670 (2023-05-17)", "14c6502716acc235b9d896ab4230ebb7576eeb5b8bf8b73eaa6d90da2511b9e9"),
    "icetk/text_tokenizer.py": ("icetk 0.0.7", "3e0dace4a97bdb614a74ed96ac9f7ebe039b3e96b136391a952f392ce3d0d1bf"),
}
COUNT = 5_000
SPECIAL = ["[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"]
MORE = ["<s>", "</s>", "<pad>", "<unk>"]
TYPED = SPECIAL + MORE + ["<image_5>", "<|blank_81|>", "<|blank_02|>", "<|blank_", "<|blank_7", "<n", "<|tab|", "|>", "<0x41>", "<n>", "<|tab|>", "<|blank_5|>", "<|blank_80|>"]
RULES = [("FF0C", "2C"), ("FF1A", "3A"), ("FF1F", "3F"), ("3000", "20"), ("FB01", "66 69"), ("E9", "65 301"), ("200B", ""), ("D", ""), ("2028", "20")]
LISTED = ["", " ", "  ", "\n", "\t", "a", " a", "a ", "the  boss\n\tsaid:   \"yes\"", "\u5b50\u66f0\uff1a\u5b78\u800c\u6642\u7fd2\u4e4b\uff0c", "\u4f60\u597d",
          " " * 80, " " * 81, " " * 82, " " * 163 + "x", "x" + " " * 240, "[gMASK] <sop>", "a <n> b<|tab|><|blank_3|>", "\U0001f642\u0000<0x41>", "line\r\nline\n\n\nline",
          "[Round 0]\n\u95ee\uff1a\u4f60\u597d\n\u7b54\uff1a", "a <sop> b", "x [MASK]\n y"]

PAIRS = [("the boss said nothing to the old man,\nand went home", "a  long answer: \u5b50\u66f0\uff0c\u5b78\u800c\u6642\u7fd2\u4e4b\nand more of it"), ("a", "b"), ("[gMASK] the", "[MASK")]


def load(folder, name):
    path = os.path.join(folder, name)
    with open(path, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == FILES[name][1], f"{name} is another revision"
    module_name = {"icetk/text_tokenizer.py": "icetk.text_tokenizer"}.get(name, "reference_" + name.split("/")[0].replace("-", "_"))
    spec = importlib.util.spec_from_file_location(module_name, path)
    module = sys.modules[module_name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_all(folder):
    package = types.ModuleType("icetk")  # whose own first file wants torch and more
    package.__path__ = []
    package.sentencepiece_model_pb2 = sys.modules["icetk.sentencepiece_model_pb2"] = proto  # its own is of an older protobuf
    sys.modules["icetk"] = package
    load(folder, "icetk/text_tokenizer.py")
    return load(folder, "chatglm/tokenization_chatglm.py"), load(folder, "chatglm-early/tokenization_chatglm.py")


def train(lines, **options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, model_type="unigram", hard_vocab_limit=False, num_threads=1, minloglevel=2,
                                             unk_id=0, bos_id=1, eos_id=2, pad_id=3, user_defined_symbols=["<n>"], **options)
    file = proto.ModelProto.FromString(model.getvalue())
    file.normalizer_spec.ClearField("normalization_rule_tsv")
    file.ClearField("denormalizer_spec")
    return file


def complete(file):
    size = len(file.SerializeToString())
    for name, kind in [(piece, 3) for piece in SPECIAL] + [("<|tab|>", 4)] + [(f"<|blank_{i}|>", 4) for i in range(2, 81)] + [(f"<0x{i:02X}>", 6) for i in range(256)]:
        file.pieces.append(proto.ModelProto.SentencePiece(piece=name, score=0.0, type=kind))
    file.trainer_spec.byte_fallback = True
    data = file.SerializeToString()
    assert len(data) - size in (6323, 6320), len(data) - size  # 3 fewer where the field was there already
    return data


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as out:
        out.write(data)


def texts(pieces):
    """Every third string begins with a run of spaces, every fifth with other white space, every seventh ends with both."""
    for i, text in enumerate(itertools.islice(strings(pieces, TYPED), COUNT)):
        if i % 3 == 0:
            text = " " * (i % 170) + text
        if i % 5 == 0:
            text = "\t\n  \n"[: i % 6] + text
        if i % 7 == 0:
            text = text + " " * (i % 90) + "\n" * (i % 3)
        yield text


def config(eos, images=None):
    keys = {"bos_token": "<sop>", "eos_token": "<eop>", "end_token": "</s>"} if not eos else {"bos_token": "<sop>", "eop_token": "<eop>", "eos_token": "</s>"}
    keys.update({"gmask_token": "[gMASK]", "mask_token": "[MASK]", "pad_token": "<pad>", "unk_token": "<unk>", "remove_space": False, "do_lower_case": False,
                 "tokenizer_class": "ChatGLMTokenizer"})
    return keys if images is None else dict(keys, num_image_tokens=images)


def golden(module, model, keys):
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(model, f"{folder}/ice_text.model")
        with open(f"{folder}/tokenizer_config.json", "w") as out:
            json.dump(keys, out)
        tokenizer = module.ChatGLMTokenizer.from_pretrained(folder)
        tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL + MORE})
        core = tokenizer.sp_tokenizer
        pieces = [core[i] for i in range(core.num_image_tokens, core.num_tokens)]
        given = list(texts(pieces))
        encode = lambda text: tokenizer.encode(text, add_special_tokens=False)
        decode = lambda ids: tokenizer.decode(ids, clean_up_tokenization_spaces=False, spaces_between_special_tokens=False)
        ids, plain = [encode(text) for text in given], [core.encode(text) for text in given]
        text_bytes = lambda all_texts: grouped(text.encode() + b"\0" for text in all_texts)
        return {"vocabulary": core.num_tokens, "images": core.num_image_tokens, "ids": grouped(map(id_bytes, ids)), "plain": grouped(map(id_bytes, plain)),
                "decode": text_bytes(core.decode(each) for each in plain), "decode_ids": text_bytes(map(decode, ids)),
                "tokens": {token: core[token] for token in SPECIAL + MORE},
                "behind": tokenizer("a", return_attention_mask=False).input_ids[len(encode("a")):],
                "listed": [{"text": text, "ids": encode(text), "plain": core.encode(text), "decoded": core.decode(core.encode(text))} for text in LISTED]}


def tuned(folder, module, model, keys):
    """What preprocess_function_train of ptuning/main.py makes of pairs of texts, under several limits."""
    path = os.path.join(folder, "ptuning/main.py")
    with open(path, "rb") as file:
        source = file.read()
    assert hashlib.sha256(source).hexdigest() == FILES["ptuning/main.py"][1], "ptuning/main.py is another revision"
    tree = ast.parse(source)
    tree.body = [node for node in ast.walk(tree) if getattr(node, "name", None) == "preprocess_function_train"]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        shutil.copy(model, f"{place}/ice_text.model")
        with open(f"{place}/tokenizer_config.json", "w") as out:
            json.dump(keys, out)
        tokenizer = module.ChatGLMTokenizer.from_pretrained(place)
        for source_length, target_length in [(64, 64), (8, 64), (64, 8), (1, 2), (7, 3), (200, 200)]:
            limits = types.SimpleNamespace(max_source_length=source_length, max_target_length=target_length, ignore_pad_token_for_loss=True)
            scope = dict(data_args=limits, tokenizer=tokenizer, prompt_column="prompt", response_column="answer", history_column=None, prefix="")
            exec(compile(tree, path, "exec"), scope)
            for prompt, answer in PAIRS:
                made = scope["preprocess_function_train"]({"prompt": [prompt], "answer": [answer]})
                ids, labels = made["input_ids"][0], made["labels"][0]
                kept = ids.index(tokenizer.eos_token_id) + 1  # the rest is padding
                assert set(ids[kept:]) <= {tokenizer.pad_token_id} and set(labels[kept:]) <= {-100}
                rows.append({"max_source": source_length, "max_target": target_length, "prompt": prompt, "answer": answer, "inputs": ids[:kept], "labels": labels[:kept]})
    return rows


def main():
    published, data, folder = sys.argv[1:]
    latest, early = load_all(published)
    english = [line for line in open(f"{data}/tokenizers/sentencepiece/botchan.txt", encoding="utf-8").read().split("\n") if line.strip()]
    analects = [line for chapter in json.load(open(f"{data}/corpora/chinese-poetry/lunyu.json", encoding="utf-8")) for line in chapter["paragraphs"]]
    lines = english[:1200] + analects[:300]
    if not os.path.exists(f"{folder}/ice_text.model"):
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
            rules.writelines(f"{a}\t{b}\n" for a, b in RULES)
            rules.flush()
            write(f"{folder}/ice_text.model", complete(train(lines, vocab_size=1000, character_coverage=0.99, normalization_rule_tsv=rules.name)))
    if not os.path.exists(f"{folder}/early/ice_text.model"):
        write(f"{folder}/early/ice_text.model", train(lines, vocab_size=900, character_coverage=0.98, normalization_rule_name="identity",
                                                      remove_extra_whitespaces=False).SerializeToString())
    rows = {}
    for name, module, model, keys in [("images_0", latest, "ice_text.model", config(False, 0)), ("images_20000", latest, "ice_text.model", config(False)),
                                      ("early", early, "early/ice_text.model", config(True))]:
        rows[name] = dict(config=keys, **golden(module, f"{folder}/{model}", keys))
    rows["tuned"] = tuned(published, latest, f"{folder}/ice_text.model", config(False, 0))
    with open(f"{folder}/golden.json", "w", encoding="utf-8") as out:
        json.dump(rows, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


main()
