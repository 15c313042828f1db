#!/usr/bin/env python3
"""Opens GGUF files that plume wrote with Python's gguf package and llama.cpp, and records what they read: tests/golden/gguf/from_plume.json.

    PLUME_GGUF_OUTPUT=/tmp/gguf build/test/tests/formats -tc="Files for Python*"      # the folder exists
    venv/bin/python tests/golden/check_gguf.py /tmp/gguf                               # needs what make_gguf_blocks.py needs

The test then compares the sums of the files it writes with those of the files that were read here, and its numbers with Python's. `text` is llama.cpp's
greedy continuation of an empty prompt by 200 tokens.
"""
import hashlib
import json
import os
import sys

import numpy
from gguf import GGUFReader, quants

from make_gguf_blocks import VERSIONS, sum_of, weights
from make_gguf_hashes import llama_cpp

HERE = os.path.dirname(os.path.abspath(__file__))


def check_types(path):
    reader, source, sums = GGUFReader(path), weights(100, 64), {}
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields == {"general.architecture": "test", "test.list": ["a", "b"], "general.quantization_version": 2}, fields
    for tensor in reader.tensors:
        assert tensor.name == tensor.tensor_type.name and list(tensor.shape) == [256, 64] and tensor.data_offset % 32 == 0
        values = quants.dequantize(tensor.data, tensor.tensor_type).reshape(64, 256)
        if tensor.name not in ("Q4_K", "Q6_K"):  # gguf does not write these
            assert tensor.data.tobytes() == quants.quantize(source, tensor.tensor_type).tobytes(), tensor.name
        squares = (source.astype(numpy.float64) ** 2).sum(axis=1)
        error = ((values.astype(numpy.float64) - source) ** 2).sum(axis=1)[28:40] / squares[28:40]  # rows whose scales are no tiny halfs
        print(f"{tensor.name}: relative error {numpy.sqrt(error.mean()):.5f}")
        sums[tensor.name] = sum_of(values)
    return sums


def greedy(lib, ffi, path, count):
    parameters = lib.llama_model_default_params()
    parameters.n_gpu_layers = 0
    model = lib.llama_model_load_from_file(path.encode(), parameters)
    assert model != ffi.NULL, f"llama.cpp refuses {path}"
    vocabulary = lib.llama_model_get_vocab(model)
    options = lib.llama_context_default_params()
    options.n_ctx, options.n_threads, options.n_threads_batch = 256, 1, 1
    context = lib.llama_init_from_model(model, options)
    size, token, text, buffer = lib.llama_vocab_n_tokens(vocabulary), lib.llama_vocab_bos(vocabulary), b"", ffi.new("char[]", 256)
    for _ in range(count):
        tokens = ffi.new("llama_token[]", [token])
        assert lib.llama_decode(context, lib.llama_batch_get_one(tokens, 1)) == 0
        logits = numpy.frombuffer(ffi.buffer(lib.llama_get_logits_ith(context, -1), 4 * size), dtype=numpy.float32)
        token = int(logits.argmax())
        if token == lib.llama_vocab_bos(vocabulary) or lib.llama_vocab_is_eog(vocabulary, token):
            break
        text += ffi.buffer(buffer, lib.llama_token_to_piece(vocabulary, token, buffer, 256, 0, False))[:]
    lib.llama_free(context)
    lib.llama_model_free(model)
    return text.decode().lstrip(" ")


def main(folder):
    lib, ffi = llama_cpp()
    record = {"origin": f"check_gguf.py, {VERSIONS}"}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        record[name] = {"sha256": hashlib.sha256(open(path, "rb").read()).hexdigest()}
        if name == "types.gguf":
            record[name]["tensors"] = check_types(path)
        else:
            record[name]["text"] = greedy(lib, ffi, path, 200)
            print(name, repr(record[name]["text"][:100]))
    with open(os.path.join(HERE, "gguf", "from_plume.json"), "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1])
