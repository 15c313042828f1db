"""Writes tests/golden/deltas/: weight deltas made by the procedures that were published, in numpy.

    python3 tests/golden/make_deltas.py      # numpy 2.4, safetensors 0.8; the base is families/mistral_full

add/            the delta: config.json and model.safetensors of target - base. The target has one token more (a pad token), whose rows the base gets
                as zeros first (LLMZoo:tools/apply_delta.py; FastChat's and Alpaca's apply the same rule)
golden.safetensors  the target's tensors
golden.json     Alpaca's naive integrity check, the sum over all tensors of the target (stanford_alpaca:weight_diff.py), without and with the
                inv_freq tensor that each layer had in the transformers of that time
xor/            plain.bin, base.bin and what was published of them: open_assistant.bin (oasst-sft-6-llama-30b-xor:xor_codec.py: the base goes
                on with zeros) and belle.bin (LianjiaTech/BELLE:models/encrypt.py: the base starts again, the plain file's sha256 in front)
"""
import hashlib
import json
import os
import shutil

import numpy
from safetensors.numpy import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
BASE, OUT = os.path.join(HERE, "families", "mistral_full"), os.path.join(HERE, "deltas")


def add():
    os.makedirs(os.path.join(OUT, "add"))
    base = load_file(os.path.join(BASE, "model.safetensors"))
    draw = numpy.random.Generator(numpy.random.PCG64(1))
    with open(os.path.join(BASE, "config.json")) as file:
        config = json.load(file)
    config["vocab_size"] += 1
    delta, target = {}, {}
    for name, tensor in sorted(base.items()):
        if tensor.shape[0] == config["vocab_size"] - 1:
            tensor = numpy.concatenate([tensor, numpy.zeros((1,) + tensor.shape[1:], numpy.float32)])
        delta[name] = (0.01 * draw.standard_normal(tensor.shape)).astype(numpy.float32)
        target[name] = tensor + delta[name]
    save_file(delta, os.path.join(OUT, "add", "model.safetensors"), metadata={"format": "pt"})
    save_file(target, os.path.join(OUT, "golden.safetensors"), metadata={"origin": json.dumps({"made_by": "tests/golden/make_deltas.py"})})
    with open(os.path.join(OUT, "add", "config.json"), "w") as file:
        json.dump(config, file, indent=2)
    total = float(sum(tensor.sum(dtype=numpy.float64) for tensor in target.values()))
    width, theta = config["head_dim"], config["rope_parameters"]["rope_theta"]
    inverse_frequencies = 1.0 / theta ** (numpy.arange(0, width, 2) / width)
    with_frequencies = total + config["num_hidden_layers"] * float(inverse_frequencies.sum())
    with open(os.path.join(OUT, "golden.json"), "w") as file:
        json.dump({"sum": total, "sum_with_frequencies": with_frequencies}, file, indent=2)


def exclusive_or(data, base, mode):
    data, base = numpy.frombuffer(data, numpy.uint8), numpy.frombuffer(base, numpy.uint8)
    if mode == "zeros":
        key = numpy.zeros(len(data), numpy.uint8)
        key[:min(len(data), len(base))] = base[:len(data)]
    else:
        key = numpy.tile(base, len(data) // len(base) + 1)[:len(data)]
    return numpy.bitwise_xor(data, key).tobytes()


def xor():
    os.makedirs(os.path.join(OUT, "xor"))
    draw = numpy.random.Generator(numpy.random.PCG64(2))
    plain, base = draw.bytes(5003), draw.bytes(1999)
    files = {"plain": plain, "base": base, "open_assistant": exclusive_or(plain, base, "zeros"),
             "belle": hashlib.sha256(plain).digest() + exclusive_or(plain, base, "repeated")}
    for name, content in files.items():
        with open(os.path.join(OUT, "xor", name + ".bin"), "wb") as file:
            file.write(content)


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    add()
    xor()
