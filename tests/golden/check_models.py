"""Checks tests/golden/models/ a second way: NumPy forwards written from the formulas, and finite differences of the loss.

    python3 tests/golden/check_models.py          # needs NumPy only
"""
import json
import os

import numpy
from llama_numpy import Llama, read_directory, read_safetensors

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")


class Gpt2:
    """openai/gpt-2:src/model.py in NumPy float64; Conv1D weights are (in, out)."""

    def __init__(self, config, tensors, dtype=numpy.float64):
        self.config, self.w = config, {name: value.astype(dtype) for name, value in tensors.items()}

    def norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        return x / numpy.sqrt((x * x).mean(axis=-1, keepdims=True) + self.config["layer_norm_epsilon"]) * self.w[name + ".weight"] + self.w[name + ".bias"]

    def linear(self, x, name):
        return x @ self.w[name + ".weight"] + self.w[name + ".bias"]

    def forward(self, ids, hidden=None):
        width, heads, tokens = self.config["n_embd"], self.config["n_head"], len(ids)
        x = self.w["transformer.wte.weight"][numpy.asarray(ids)] + self.w["transformer.wpe.weight"][:tokens]
        future = numpy.triu(numpy.ones((tokens, tokens), dtype=bool), 1)
        for layer in range(self.config["n_layer"]):
            name = f"transformer.h.{layer}"
            qkv = self.linear(self.norm(x, name + ".ln_1"), name + ".attn.c_attn")
            mixed, size = [], width // heads
            for head in range(heads):
                q, k, v = (qkv[:, part * width + head * size:part * width + (head + 1) * size] for part in range(3))
                scores = q @ k.T / numpy.sqrt(size)
                scores[future] = -numpy.inf
                scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
                mixed.append(scores / scores.sum(axis=-1, keepdims=True) @ v)
            x = x + self.linear(numpy.concatenate(mixed, axis=-1), name + ".attn.c_proj")
            u = self.linear(self.norm(x, name + ".ln_2"), name + ".mlp.c_fc")
            x = x + self.linear(0.5 * u * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (u + 0.044715 * u ** 3))), name + ".mlp.c_proj")
            if hidden is not None:
                hidden.append(x)
        return self.norm(x, "transformer.ln_f") @ self.w["transformer.wte.weight"].T


def loss_of(model, ids, targets, lengths):
    total, trained, start = 0.0, 0, 0
    for length in lengths:
        logits = model.forward(ids[start:start + length])
        logits = logits - logits.max(axis=-1, keepdims=True)
        log_probabilities = logits - numpy.log(numpy.exp(logits).sum(axis=-1, keepdims=True))
        for row, target in enumerate(targets[start:start + length]):
            if target >= 0:
                total, trained = total - log_probabilities[row, target], trained + 1
        start += length
    return total / trained


def check(name):
    folder = os.path.join(HERE, name)
    config, tensors = read_directory(folder)
    f32, f64 = (read_safetensors(os.path.join(folder, file)) for file in ("golden.safetensors", "golden_f64.safetensors"))
    model = Gpt2(config, tensors) if config["model_type"] == "gpt2" else Llama(config, tensors, numpy.float64)
    ids, targets, lengths = f32["input_ids"], f32["targets"], f32["lengths"]
    start = 0
    for length in lengths:
        hidden = []
        logits = model.forward(ids[start:start + length], hidden)
        assert abs(logits - f64["logits"][start:start + length]).max() < 1e-11
        for layer, value in enumerate(hidden):
            assert abs(value - f32[f"hidden.{layer}"][start:start + length]).max() < 1e-5
        start += length
    assert abs(loss_of(model, ids, targets, lengths) - f64["loss"][0]) < 1e-12
    sampler, worst = numpy.random.Generator(numpy.random.PCG64(9)), 0.0
    for tensor in sorted(key[9:] for key in f64 if key.startswith("gradient.")):
        gradient, weight = f64["gradient." + tensor], model.w[tensor]
        direction = sampler.standard_normal(weight.shape)  # one directional derivative touches every element of the tensor
        step, original = 1e-5, weight.copy()
        values = []
        for k in (-2, -1, 1, 2):
            model.w[tensor] = original + k * step * direction
            values.append(loss_of(model, ids, targets, lengths))
        model.w[tensor] = original
        measured = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
        expected = float((gradient * direction).sum())
        worst = max(worst, abs(measured - expected) / max(numpy.sqrt((gradient ** 2).sum()), 1e-3))
    assert worst < 1e-7, worst
    with open(os.path.join(folder, "golden.json")) as file:
        facts = json.load(file)
    ids = list(facts["prompt_ids"])
    for _ in facts["greedy_ids"]:
        ids.append(int(model.forward(ids)[-1].argmax()))
    assert ids[len(facts["prompt_ids"]):] == facts["greedy_ids"]
    print(name, "agrees: logits, hidden states, loss, greedy ids; directional derivatives within", worst)


if __name__ == "__main__":
    for name in sorted(os.listdir(HERE)):
        check(name)
