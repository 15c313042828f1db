#!/usr/bin/env python3
"""Writes tests/golden/llama2c.json: sums of the files that llama2.c's own export.py makes of a small model, and of stories260K.

    python3 tests/golden/make_llama2c.py LLAMA2C_FOLDER STORIES260K.bin tests/golden/llama2c.json     # torch; karpathy/llama2.c at 350e04fe

The small model's weights are a function of their place: weight i of tensor t is the signed upper 20 bits of hashed(200 + t, i) times 2^-20; t counts the
tensors of NAMES, layer by layer. Its output layer is its own.
"""
import contextlib
import hashlib
import io
import json
import sys
import tempfile

import numpy
import torch

from hashed_numbers import hashed

SMALL = dict(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, vocab_size=20, hidden_dim=48, max_seq_len=16)
LAYER = {"att_norm": "attention_norm", "wq": "attention.wq", "wk": "attention.wk", "wv": "attention.wv", "wo": "attention.wo",
         "ffn_norm": "ffn_norm", "w1": "feed_forward.w1", "w2": "feed_forward.w2", "w3": "feed_forward.w3"}


def names(layers):
    """llama2.c's parameters in the order of version 0."""
    return (["tok_embeddings.weight"] + [f"layers.{i}.{name}.weight" for name in LAYER.values() for i in range(layers)] + ["norm.weight"])


def fill(model, values):
    state = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for name, value in values.items():
            state[name].copy_(torch.from_numpy(value.reshape(state[name].shape).copy()))


def sums(export, model, sizes):
    out = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        export.version1_export(model, folder + "/1")
        out["1"] = hashlib.sha256(open(folder + "/1", "rb").read()).hexdigest()
        for size in sizes:
            export.version2_export(model, folder + "/2", size)
            out[f"2, groups of {size}"] = hashlib.sha256(open(folder + "/2", "rb").read()).hexdigest()
    return out


def main(llama2c, stories, path):
    sys.path.insert(0, llama2c)
    import export
    from model import ModelArgs, Transformer

    model = Transformer(ModelArgs(**SMALL))
    model.output.weight = torch.nn.Parameter(torch.zeros(SMALL["vocab_size"], SMALL["dim"]))
    model.tok_embeddings.weight = torch.nn.Parameter(torch.zeros(SMALL["vocab_size"], SMALL["dim"]))
    state, values = model.state_dict(keep_vars=True), {}
    for stream, name in enumerate(names(SMALL["n_layers"]) + ["output.weight"]):
        parts = (hashed(200 + stream, state[name].numel()) >> numpy.uint64(44)).astype(numpy.float64) - 2.0**19
        values[name] = (parts * 2.0**-20).astype(numpy.float32)
    values["layers.1.attention.wk.weight"][:32] = 0  # a group without a scale
    fill(model, values)
    record = {"origin": f"make_llama2c.py, karpathy/llama2.c at 350e04fe, torch {torch.__version__}", "small": sums(export, model, [32, 16])}

    data = numpy.fromfile(stories, dtype=numpy.int32, count=7)
    floats = numpy.fromfile(stories, dtype=numpy.float32, offset=28)
    args = dict(zip(["dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len"], (int(v) for v in data)))
    model, values, at = Transformer(ModelArgs(**args)), {}, 0
    state = model.state_dict(keep_vars=True)
    for name in names(args["n_layers"]):
        values[name], at = floats[at:at + state[name].numel()], at + state[name].numel()
    fill(model, values)
    record["stories260K"] = sums(export, model, [64])
    with open(path, "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
