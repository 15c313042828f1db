"""The LLaMA architecture in plain NumPy: reads a Hugging Face directory and generates greedily. Nothing is shared with plume or transformers.

    python3 tests/golden/llama_numpy.py DIRECTORY N [PROMPT_ID ...]      # prints N greedy ids; the prompt is the config's bos_token_id

Source of the formulas: meta-llama/llama:llama/model.py, with the half-split rotary embedding of Hugging Face files.
safetensors is read by hand (README of huggingface/safetensors), F32, F16, BF16 and F64; sharded directories by their index file.
"""
import json
import os
import struct
import sys

import numpy


def read_safetensors(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        raw = data[begin:end]
        if entry["dtype"] == "BF16":
            value = (numpy.frombuffer(raw, "<u2").astype(numpy.uint32) << 16).view(numpy.float32)
        else:
            value = numpy.frombuffer(raw, {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I32": "<i4", "I64": "<i8"}[entry["dtype"]])
        tensors[name] = value.reshape(entry["shape"])
    return tensors


def read_directory(directory):
    with open(os.path.join(directory, "config.json")) as file:
        config = json.load(file)
    index = os.path.join(directory, "model.safetensors.index.json")
    names = ["model.safetensors"]
    if os.path.exists(index):
        with open(index) as file:
            names = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for name in names:
        tensors.update(read_safetensors(os.path.join(directory, name)))
    return config, tensors


class Llama:
    """forward(ids) -> logits (tokens, vocabulary), every token from scratch."""

    def __init__(self, config, tensors, dtype=numpy.float32):
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.layers, self.eps = config["num_hidden_layers"], config["rms_norm_eps"]
        self.theta = config.get("rope_theta") or config.get("rope_parameters", {}).get("rope_theta", 10000.0)
        self.head_width = config.get("head_dim") or config["hidden_size"] // self.heads
        scaling = config.get("rope_scaling") or {}
        if config.get("hidden_act", "silu") != "silu" or scaling.get("rope_type", scaling.get("type", "default")) != "default":
            raise ValueError("only silu and unscaled rotary embeddings are written here")
        self.w = {name: value.astype(dtype) for name, value in tensors.items() if not name.endswith("rotary_emb.inv_freq")}
        self.dtype = dtype

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def norm(self, x, name):
        return x / numpy.sqrt(numpy.mean(x * x, axis=-1, keepdims=True) + self.dtype(self.eps)) * self.w[name + ".weight"]

    def rotate(self, x):
        """x (tokens, heads, width): pair (i, i + width/2) of token t turns by t * theta^(-2i/width)."""
        half = self.head_width // 2
        angle = numpy.arange(x.shape[0])[:, None, None] * self.theta ** (-2.0 * numpy.arange(half) / self.head_width)
        cos, sin = numpy.cos(angle).astype(self.dtype), numpy.sin(angle).astype(self.dtype)
        first, second = x[..., :half], x[..., half:]
        return numpy.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)

    def attention(self, x, name):
        tokens, width = x.shape[0], self.head_width
        q = self.rotate(self.linear(x, name + ".q_proj").reshape(tokens, self.heads, width))
        k = self.rotate(self.linear(x, name + ".k_proj").reshape(tokens, self.kv_heads, width))
        v = self.linear(x, name + ".v_proj").reshape(tokens, self.kv_heads, width)
        group = self.heads // self.kv_heads
        out = numpy.empty_like(q)
        future = numpy.triu(numpy.ones((tokens, tokens), dtype=bool), 1)
        for head in range(self.heads):
            scores = q[:, head] @ k[:, head // group].T / self.dtype(numpy.sqrt(width))
            scores[future] = -numpy.inf
            scores = numpy.exp(scores - scores.max(axis=-1, keepdims=True))
            out[:, head] = scores / scores.sum(axis=-1, keepdims=True) @ v[:, head // group]
        return self.linear(out.reshape(tokens, -1), name + ".o_proj")

    def mlp(self, x, name):
        gate = self.linear(x, name + ".gate_proj")
        return self.linear(gate / (1 + numpy.exp(-gate)) * self.linear(x, name + ".up_proj"), name + ".down_proj")

    def forward(self, ids, hidden=None):
        x = self.w["model.embed_tokens.weight"][numpy.asarray(ids)]
        for layer in range(self.layers):
            name = f"model.layers.{layer}"
            x = x + self.attention(self.norm(x, name + ".input_layernorm"), name + ".self_attn")
            x = x + self.mlp(self.norm(x, name + ".post_attention_layernorm"), name + ".mlp")
            if hidden is not None:
                hidden.append(x)
        x = self.norm(x, "model.norm")
        head = self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"])
        return x @ head.T

    def greedy(self, prompt, count):
        ids = list(prompt)
        for _ in range(count):
            ids.append(int(self.forward(ids)[-1].argmax()))
        return ids[len(prompt):]


def main(arguments):
    config, tensors = read_directory(arguments[0])
    prompt = [int(word) for word in arguments[2:]] or [config["bos_token_id"]]
    print(*Llama(config, tensors).greedy(prompt, int(arguments[1])))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1:])
