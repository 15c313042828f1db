#!/usr/bin/env python3
"""Writes tests/golden/gguf/: a small GGUF vocabulary of the kind "t5", and hashes of what other libraries make of 50,000 strings with it and the samples.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 protobuf==7.36.2 sentencepiece==0.2.3 tokenizers==0.23.3 cffi
    venv/bin/pip install --no-deps llama-cpp-cffi==0.4.42
    venv/bin/python tests/golden/make_gguf_hashes.py $PLUME_TEST_DATA tests/golden/gguf [NAME ...]

llama-cpp-cffi 0.4.42 holds llama.cpp of April 2025; where the C++ library of the system is older than GCC 13's, preload a library that defines
__cxa_call_terminate. It reads the kinds "llama" and "t5" and GPT-2. Where llama.cpp only comes close to the tokenizer that a file was made from (Falcon's
digits, BERT's normalisation, GPT-NeoX without a pre-tokeniser's name), that tokenizer is built with Hugging Face's library. The strings are those of tokenizer_strings.py; "plain" takes spellings of control tokens as text, "recognise" as tokens.
"""
import glob
import importlib.util
import json
import os
import sys

import tokenizers
from gguf import GGUFReader, GGUFWriter
from sentencepiece import sentencepiece_model_pb2 as proto

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from tokenizer_strings import grouped, id_bytes, strings


def llama_cpp():
    package = importlib.util.find_spec("llama").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("llama._llama_cpp_cpu", glob.glob(f"{package}/_llama_cpp_cpu*.so")[0])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.lib.llama_backend_init()
    return module.lib, module.ffi


def write_t5(source, path):
    model = proto.ModelProto.FromString(open(source, "rb").read())
    rules = model.normalizer_spec
    writer = GGUFWriter(path, "t5")
    writer.add_tokenizer_model("t5")
    writer.add_token_list([piece.piece for piece in model.pieces])
    writer.add_token_scores([piece.score for piece in model.pieces])
    writer.add_token_types([piece.type for piece in model.pieces])
    writer.add_add_space_prefix(rules.add_dummy_prefix)
    writer.add_remove_extra_whitespaces(rules.remove_extra_whitespaces)
    writer.add_precompiled_charsmap(rules.precompiled_charsmap)
    writer.add_unk_token_id(0)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(True)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def original(name, fields, parse):
    """Falcon's, BERT's or GPT-NeoX's tokenizer.json, from what the GGUF file was made of it."""
    assert tokenizers.__version__ == "0.23.3", tokenizers.__version__
    tokens, types = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()
    if name == "bert-bge":
        spelled = [t if t[0] + t[-1] == "[]" else t[1:] if t[0] == "\u2581" and len(t) > 1 else "##" + t for t in tokens]
        tokenizer = Tokenizer(models.WordPiece({t: i for i, t in enumerate(spelled)}, unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    else:
        merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
        tokenizer = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
        level = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.pre_tokenizer = level if name == "gpt-neox" else pre_tokenizers.Sequence(
            [pre_tokenizers.Punctuation("contiguous"), level, pre_tokenizers.Digits(), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    tokenizer.add_tokens([AddedToken(t, special=False, normalized=False) for t, kind in zip(tokens, types) if kind == 4])
    if parse:
        tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types) if kind in (2, 3)])
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


def main():
    data, folder, only = sys.argv[1], sys.argv[2], sys.argv[3:]
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(f"{folder}/t5.gguf"):
        write_t5(f"{folder}/../sentencepiece/unigram_map.model", f"{folder}/t5.gguf")
    files = {"t5": f"{folder}/t5.gguf"}
    for name in ["llama-spm", "gpt-2", "falcon", "gpt-neox", "bert-bge"]:
        files[name] = f"{data}/tokenizers/llama.cpp/ggml-vocab-{name}.gguf"
    lib, ffi = llama_cpp()
    parameters = lib.llama_model_default_params()
    parameters.vocab_only = True
    path = f"{folder}/hashes.json"
    hashes = json.load(open(path)) if os.path.exists(path) else {}
    for name, file in files.items():
        if only and name not in only:
            continue
        fields = GGUFReader(file).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        types = fields["tokenizer.ggml.token_type"].contents()
        special = [token for token, kind in zip(tokens, types) if kind in (2, 3)]
        vocabulary = lib.llama_model_get_vocab(lib.llama_model_load_from_file(file.encode(), parameters))
        buffer = ffi.new("llama_token[]", 4096)

        def encode(text, parse):
            raw = text.encode()
            count = lib.llama_tokenize(vocabulary, raw, len(raw), buffer, 4096, False, parse)
            assert count >= 0
            return [buffer[i] for i in range(count)]
        texts = list(strings(tokens, special))
        hashes[name] = {}
        for way, parse in [("plain", False), ("recognise", True)]:
            ids_of = (lambda text: encode(text, parse)) if name in ["t5", "llama-spm", "gpt-2"] else original(name, fields, parse)
            hashes[name][way] = grouped(id_bytes(ids_of(text)) for text in texts)
        with open(path, "w") as out:
            rows = [f" {json.dumps(key)}: {{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in ways.items()) + "}" for key, ways in hashes.items()]
            out.write("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
