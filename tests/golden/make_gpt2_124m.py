"""Writes tests/golden/gpt2_124m/step.safetensors: the loss and samples of the gradients of one step of GPT-2 124M in float64.

    HF_HUB_OFFLINE=1 python3 tests/golden/make_gpt2_124m.py      # needs requirements.txt and about 6 GB; every run gives the same numbers

The model is transformers' GPT2LMHeadModel in its default shape. Its 124 million parameters are no file: they are a hash of their place
(`hashed`), which the test computes too. README.md describes both.
"""
import json
import os
import platform

import numpy
import safetensors
import torch
import transformers
from safetensors.numpy import save_file
from transformers import GPT2Config, GPT2LMHeadModel

OUTPUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gpt2_124m", "step.safetensors")
PINNED = {"torch": "1.13", "numpy": "1.24", "transformers": "4.44.2", "safetensors": "0.4.5"}
FOUND = {"torch": torch.__version__, "numpy": numpy.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__}
SEQUENCES, LENGTH, VOCABULARY = 2, 64, 50257
SAMPLES = 100  # of each tensor: so many anywhere, and as many of the largest
TOKEN_STREAM, SAMPLE_STREAM = 1000, 2000


def hashed(stream, positions):
    """64 random bits of a place: the finaliser of SplitMix64 [Steele, Lea, Flood 2014] of stream * 2^32 + position."""
    with numpy.errstate(over="ignore"):
        x = (numpy.uint64(stream) << numpy.uint64(32)) + positions.astype(numpy.uint64) + numpy.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return x ^ (x >> numpy.uint64(31))


def parameter(stream, name, count):
    """centre + width * u, u uniform in (-1, 1) with 24 bits. The widths have few bits, so every product is exact in double."""
    u = ((hashed(stream, numpy.arange(count)) >> numpy.uint64(40)).astype(numpy.float64) + 0.5) * 2.0**-23 - 1.0
    if name.endswith("bias"):
        centre, width = 0.0, 51 / 256
    elif ".ln_" in name:
        centre, width = 1.0, 77 / 256
    else:
        centre, width = 0.0, 142 / 2048
    return (centre + width * u).astype(numpy.float32)


def step(dtype):
    """Loss and gradients by name."""
    model = GPT2LMHeadModel(GPT2Config(attn_implementation="eager", resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)).to(dtype)
    parameters = dict(model.named_parameters())  # a tied matrix once: there is no lm_head.weight
    with torch.no_grad():
        for stream, name in enumerate(sorted(parameters)):
            tensor = parameters[name]
            tensor.copy_(torch.from_numpy(parameter(stream, name, tensor.numel())).view(tensor.shape))
    logits = model(input_ids=torch.from_numpy(IDS[:, :-1]), use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.reshape(-1, VOCABULARY), torch.from_numpy(IDS[:, 1:]).reshape(-1))
    loss.backward()
    return loss.item(), {name: parameters[name].grad.numpy().reshape(-1) for name in sorted(parameters)}


IDS = (hashed(TOKEN_STREAM, numpy.arange(SEQUENCES * (LENGTH + 1))) % numpy.uint64(VOCABULARY)).astype(numpy.int64).reshape(SEQUENCES, LENGTH + 1)


def main():
    for name, version in PINNED.items():
        assert FOUND[name].startswith(version), f"{name} is {FOUND[name]}, pinned is {version}"
    loss, gradients = step(torch.float64)
    single_loss, single = step(torch.float32)

    largest = max(abs(gradient).max() for gradient in gradients.values())
    worst = max((abs(single[name] - gradient).max() / max(abs(gradient).max(), 1e-3 * largest), name) for name, gradient in gradients.items())
    print(f"loss {loss:.9f}, in float32 {single_loss:.9f}; gradients in float32 are at most {worst[0]:.2e} away ({worst[1]})")

    places, values = [], []
    for stream, gradient in enumerate(gradients.values()):
        anywhere = hashed(SAMPLE_STREAM + stream, numpy.arange(SAMPLES)) % numpy.uint64(gradient.size)
        top = numpy.argsort(-abs(gradient), kind="stable")[:SAMPLES]
        place = numpy.concatenate([anywhere.astype(numpy.int64), top])
        places.append(place)
        values.append(gradient[place])
    tensors = {
        "input_ids": IDS[:, :-1].reshape(-1).astype(numpy.int32),
        "targets": IDS[:, 1:].reshape(-1).astype(numpy.int32),
        "loss": numpy.array([loss]),
        "largest": numpy.array([abs(gradient).max() for gradient in gradients.values()]),
        "norm": numpy.array([numpy.sqrt((gradient**2).sum()) for gradient in gradients.values()]),
        "places": numpy.array(places, dtype=numpy.int32),
        "values": numpy.array(values),
        # A few parameters, so that a test can tell its generator from this one.
        "parameters": numpy.array([parameter(stream, name, 3) for stream, name in enumerate(gradients)], dtype=numpy.float64),
    }
    origin = {"script": "tests/golden/make_gpt2_124m.py", "python": platform.python_version(), **FOUND,
              "float32_oracle_against_float64": {"loss": abs(single_loss - loss), "gradient": worst[0], "tensor": worst[1]}}
    os.makedirs(os.path.dirname(OUTPUT), exist_ok=True)
    save_file({name: numpy.ascontiguousarray(tensor) for name, tensor in tensors.items()}, OUTPUT, metadata={"origin": json.dumps(origin)})


if __name__ == "__main__":
    main()
