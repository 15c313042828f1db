#!/usr/bin/env python3
"""Runs GGUF models that plume wrote in llama.cpp, and records what it makes of them: tests/golden/gguf/models_from_plume.json.

    PLUME_GGUF_OUTPUT=/tmp/gguf build/test/tests/models -tc="files for llama.cpp*"     # the folder exists
    venv/bin/python tests/golden/check_gguf_models.py /tmp/gguf                         # needs what make_gguf_blocks.py needs, and safetensors

Of the families' tiny models: how far its logits are from those of transformers (the rule of DECISIONS 27: by the largest of all), and the ids of greedy
decoding. phi3_long is left out: llama.cpp picks its factors by the context that is asked for, transformers by the length of the text. Of wide ones in types of 256 weights to a block: the first
logits of seven tokens. Of stories260K: the greedy continuation of an empty prompt by 200 tokens. Architectures that this llama.cpp does not know are left out.
"""
import hashlib
import json
import os
import subprocess
import sys

import numpy
from safetensors.numpy import load_file

from check_gguf import greedy
from make_gguf_blocks import VERSIONS
from make_gguf_hashes import llama_cpp

HERE = os.path.dirname(os.path.abspath(__file__))


class Llama:
    def __init__(self, lib, ffi, path):
        self.lib, self.ffi = lib, ffi
        parameters = lib.llama_model_default_params()
        parameters.n_gpu_layers = 0
        self.model = lib.llama_model_load_from_file(path.encode(), parameters)
        if self.model == ffi.NULL:
            raise ValueError(path)
        self.size = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))

    def context(self):
        options = self.lib.llama_context_default_params()
        options.n_ctx, options.n_threads, options.n_threads_batch = 96, 1, 1
        options.type_k = options.type_v = self.lib.GGML_TYPE_F32
        return self.lib.llama_init_from_model(self.model, options)

    def logits(self, ids):
        """One token after the other, so that every position's logits are at hand."""
        context, rows = self.context(), []
        for token in ids:
            rows.append(self.step(context, int(token)))
        self.lib.llama_free(context)
        return numpy.stack(rows)

    def step(self, context, token):
        tokens = self.ffi.new("llama_token[]", [token])
        assert self.lib.llama_decode(context, self.lib.llama_batch_get_one(tokens, 1)) == 0
        return numpy.frombuffer(self.ffi.buffer(self.lib.llama_get_logits_ith(context, -1), 4 * self.size), dtype=numpy.float32).copy()

    def greedy(self, prompt, count):
        context, ids = self.context(), []
        for token in prompt:
            logits = self.step(context, int(token))
        while len(ids) < count:
            ids.append(int(logits.argmax()))
            logits = self.step(context, ids[-1])
        self.lib.llama_free(context)
        return ids


def check_family(lib, ffi, path, fixture):
    numbers = load_file(f"{fixture}/golden.safetensors")
    llama = Llama(lib, ffi, path)
    begin, worst = 0, 0.0
    largest = numpy.abs(numbers["logits"]).max()
    for length in numbers["lengths"]:
        rows = slice(begin, begin + int(length))
        worst = max(worst, float(numpy.abs(llama.logits(numbers["input_ids"][rows]) - numbers["logits"][rows]).max() / largest))
        begin += int(length)
    return {"logits_error": worst, "greedy_ids": llama.greedy(numbers["prompt_ids"], len(numbers["greedy_ids"]))}


def run(path):
    lib, ffi = llama_cpp()
    if os.path.basename(path).startswith("wide-"):
        logits = Llama(lib, ffi, path).logits([3, 1, 4, 15, 92, 65, 35])[:, :5]
        return json.dump({"logits": [[round(float(x), 6) for x in row] for row in logits]}, sys.stdout)
    fixture = os.path.join(HERE, "families", os.path.basename(path).removesuffix(".gguf"))
    json.dump(check_family(lib, ffi, path, fixture) if os.path.isdir(fixture) else {"text": greedy(lib, ffi, path, 200)}, sys.stdout)


def main(folder):
    record = {"origin": f"check_gguf_models.py, {VERSIONS}"}
    for name in sorted(set(os.listdir(folder)) - {"phi3_long.gguf"}):
        path = os.path.join(folder, name)
        ran = subprocess.run([sys.executable, __file__, path], capture_output=True, text=True)  # for llama.cpp aborts on what it does not know
        if ran.returncode != 0:
            print(f"{name}: llama.cpp does not run it: {[line for line in ran.stderr.splitlines() if 'error' in line.lower()][:2]}")
            continue
        entry = json.loads(ran.stdout)
        record[name] = {"sha256": hashlib.sha256(open(path, "rb").read()).hexdigest(), **entry}
        print(name, entry.get("logits_error"), repr(entry.get("text", "")[:100]))
    with open(os.path.join(HERE, "gguf", "models_from_plume.json"), "w") as file:
        json.dump(record, file, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1]) if os.path.isdir(sys.argv[1]) else run(sys.argv[1])
