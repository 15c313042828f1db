"""Writes tests/golden/ops/ops_f64.safetensors: inputs, values and gradients of single operations, from torch in float64.

    python3 tests/golden/make_ops.py               # needs requirements.txt; every run gives the same bytes on the same machine

Gradients belong to the scalar sum(y * dy) with a random dy. Each value is computed a second time by a NumPy formula and each gradient is checked by
finite differences (torch.autograd.gradcheck) before anything is written. README.md lists every key.
"""
import json
import math
import os
import platform

import numpy
import safetensors
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops")
FOUND = {"torch": torch.__version__, "numpy": numpy.__version__, "safetensors": safetensors.__version__}
GENERATOR = numpy.random.Generator(numpy.random.PCG64(404))
OUT = {}


def random(*shape, scale=1.0, shift=0.0):
    return torch.from_numpy(GENERATOR.standard_normal(shape) * scale + shift)


def put(name, value):
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    value = numpy.asarray(value)
    OUT[name] = numpy.ascontiguousarray(value.astype(numpy.int32) if value.dtype.kind == "i" else value.astype(numpy.float64)).reshape(value.shape or (1,))


def record(op, function, inputs, formula, dy=None, shared=False, **facts):
    """inputs: differentiable tensors by name; formula: the same value from NumPy arrays; facts: everything else a test needs.

    shared: q, k, v and dy are stored once for all attentions."""
    leaves = {name: value.clone().requires_grad_(True) for name, value in inputs.items()}
    y = function(*leaves.values())
    second = formula(*(value.numpy() for value in inputs.values()))
    assert y.dtype == torch.float64 and abs(y.detach().numpy() - second).max() <= 1e-12 * max(1.0, abs(second).max()), op
    assert torch.autograd.gradcheck(function, tuple(leaves.values()), eps=1e-6, atol=1e-7, rtol=1e-6), op
    dy = random(*y.shape) if dy is None else dy
    (y * dy).sum().backward()
    if not shared:
        put(f"{op}.dy", dy)
    put(f"{op}.y", y)
    for name, leaf in leaves.items():
        if not shared or name not in ("q", "k", "v"):
            put(f"{op}.{name}", inputs[name])
        put(f"{op}.d{name}", leaf.grad)
    for name, value in facts.items():
        put(f"{op}.{name}", value)


def norms():
    rows = torch.tensor([1.0, 0.003, 5.0, 0.2, 30.0, 1.0, 0.02], dtype=torch.float64)[:, None]  # the small rows feel eps
    x = (random(7, 13) + 0.4) * rows
    weight, bias, eps = random(13, scale=0.3, shift=1.0), random(13, scale=0.2), 1e-5

    def layer_norm(x, w, b):
        x = x - x.mean(-1, keepdims=True)
        return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + eps) * w + b

    record("layer_norm", lambda x, w, b: F.layer_norm(x, (13,), w, b, eps), {"x": x, "weight": weight, "bias": bias}, layer_norm, eps=eps)
    record("rms_norm", lambda x, w: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * w, {"x": x, "weight": weight},
           lambda x, w: x / numpy.sqrt((x * x).sum(-1, keepdims=True) / 13 + eps) * w, eps=eps)


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


ERF = numpy.vectorize(math.erf)
ACTIVATIONS = {
    "gelu_tanh": (lambda x: F.gelu(x, approximate="tanh"), lambda x: 0.5 * x * (1 + numpy.tanh(numpy.sqrt(2 / numpy.pi) * (x + 0.044715 * x ** 3)))),
    "gelu_erf": (lambda x: F.gelu(x), lambda x: 0.5 * x * (1 + ERF(x / numpy.sqrt(2)))),
    "silu": (F.silu, lambda x: x * sigmoid(x)),
    "quick_gelu": (lambda x: x * torch.sigmoid(1.702 * x), lambda x: x * sigmoid(1.702 * x)),
    "relu": (F.relu, lambda x: numpy.maximum(x, 0)),
}


def activations():
    x = random(5, 17, scale=2.0)
    x[0, :6] = torch.tensor([-12.0, -6.5, -1e-3, 1e-3, 6.5, 12.0])
    gate, up = random(5, 17, scale=1.5), random(5, 17)
    for name, (function, formula) in ACTIVATIONS.items():
        record(name, function, {"x": x}, formula)
        record("gated_" + name, lambda g, u: function(g) * u, {"gate": gate, "up": up}, lambda g, u: formula(g) * u)


def loss():
    logits = random(11, 19, scale=2.0)
    logits[3] += 900.0  # exp of a raw logit overflows
    targets = torch.tensor([4, -1, 18, 0, 7, 7, -1, 11, 2, -1, 16])

    def formula(z):
        z = z - z.max(-1, keepdims=True)
        log_p = z - numpy.log(numpy.exp(z).sum(-1, keepdims=True))
        rows = [(row, int(t)) for row, t in enumerate(targets) if t >= 0]
        return numpy.array(-sum(log_p[r, t] for r, t in rows) / len(rows))

    record("cross_entropy", lambda z: F.cross_entropy(z, targets, ignore_index=-1), {"logits": logits}, formula,
           dy=torch.tensor(1.0, dtype=torch.float64), targets=targets)


def linears():
    x, weight, bias = random(7, 13), random(5, 13, scale=0.4), random(5)
    record("linear", F.linear, {"x": x, "weight": weight, "bias": bias}, lambda x, w, b: x @ w.T + b)
    record("conv1d", lambda x, w, b: x @ w + b, {"x": x, "weight": weight.T.contiguous(), "bias": bias}, lambda x, w, b: numpy.einsum("ti,io->to", x, w) + b)
    ids = torch.tensor([3, 0, 10, 3, 7, 3, 10, 1, 9])  # repeated ids add their gradients; 2, 4, 5, 6, 8 get none
    record("embedding", lambda w: F.embedding(ids, w), {"weight": random(11, 6)}, lambda w: w[ids.numpy()], ids=ids)


def rotaries():
    heads, width, theta = 3, 10, 500.0
    positions = numpy.array([0, 1, 2, 5, 17, 100, 1003])
    x, dy = random(7, heads * width), random(7, heads * width)
    for layout in ("half_split", "interleaved"):
        for suffix, rotated in (("", width), ("_partial", 6)):
            half = rotated // 2
            first = numpy.arange(half) if layout == "half_split" else 2 * numpy.arange(half)
            second = first + (half if layout == "half_split" else 1)
            angle = torch.from_numpy(positions[:, None, None] * theta ** (-2.0 * numpy.arange(half) / rotated))

            def function(x):
                a = x.view(7, heads, width)
                y = a.clone()
                y[..., first] = a[..., first] * angle.cos() - a[..., second] * angle.sin()
                y[..., second] = a[..., second] * angle.cos() + a[..., first] * angle.sin()
                return y.reshape(7, heads * width)

            def formula(x):  # the same as multiplication of complex numbers
                y = x.reshape(7, heads, width).copy()
                z = (y[..., first] + 1j * y[..., second]) * numpy.exp(1j * angle.numpy())
                y[..., first], y[..., second] = z.real, z.imag
                return y.reshape(7, heads * width)

            record(f"rotary_{layout}{suffix}", function, {"x": x}, formula, dy=dy, positions=positions, theta=theta, heads=heads, rotated=rotated)


T, HEADS, KV, WIDTH = 23, 6, 3, 10


def alibi_slopes():
    """ofirpress/attention_with_linear_biases for 6 heads: the slopes of 4 heads, then every second slope of 8."""
    return numpy.array([2.0 ** -2, 2.0 ** -4, 2.0 ** -6, 2.0 ** -8, 2.0 ** -1, 2.0 ** -3])


def relative_buckets(buckets=8, farthest=16):
    """T5's one-directional buckets of the distance query - key: half exact, then logarithmic."""
    out = numpy.zeros((T, T), dtype=numpy.int64)
    for query in range(T):
        for key in range(query + 1):
            distance = query - key
            exact = buckets // 2
            far = exact + int(math.log(max(distance, 1) / exact) / math.log(farthest / exact) * (buckets - exact)) if distance >= exact else 0
            out[query, key] = distance if distance < exact else min(far, buckets - 1)
    return out


def attention(q, k, v, allowed, cap=None, bias=None):
    """q (queries, heads * width), k and v (keys, kv heads * width); bias (heads, queries, keys)."""
    q, k, v = q.view(-1, HEADS, WIDTH).transpose(0, 1), k.view(-1, KV, WIDTH).transpose(0, 1), v.view(-1, KV, WIDTH).transpose(0, 1)
    k, v = k.repeat_interleave(HEADS // KV, 0), v.repeat_interleave(HEADS // KV, 0)
    scores = q @ k.transpose(1, 2) / math.sqrt(WIDTH)
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    if bias is not None:
        scores = scores + bias
    weights = scores.masked_fill(~torch.from_numpy(allowed), -math.inf).softmax(-1)
    return (weights @ v).transpose(0, 1).reshape(-1, HEADS * WIDTH)


def attention_rows(q, k, v, allowed, cap=None, bias=None):
    """The same, one query and one head at a time, over the allowed keys only."""
    out = numpy.zeros_like(q)
    for row in range(q.shape[0]):
        keys = numpy.flatnonzero(allowed[row])
        for head in range(HEADS):
            mine, theirs = slice(head * WIDTH, (head + 1) * WIDTH), slice(head // (HEADS // KV) * WIDTH, (head // (HEADS // KV) + 1) * WIDTH)
            scores = numpy.array([q[row, mine] @ k[key, theirs] for key in keys]) / math.sqrt(WIDTH)
            if cap is not None:
                scores = cap * numpy.tanh(scores / cap)
            if bias is not None:
                scores = scores + bias[head, row, keys]
            weights = numpy.exp(scores)
            out[row, mine] = weights @ v[keys][:, theirs] / weights.sum()
    return out


def attentions():
    q, k, v, dy = random(T, HEADS * WIDTH, scale=1.5), random(T, KV * WIDTH), random(T, KV * WIDTH), random(T, HEADS * WIDTH)
    for name, value in {"q": q, "k": k, "v": v, "dy": dy, "heads": HEADS, "kv_heads": KV, "scale": 1 / math.sqrt(WIDTH)}.items():
        put("attention." + name, value)
    distance = numpy.arange(T)[:, None] - numpy.arange(T)[None, :]
    causal = distance >= 0
    documents = numpy.repeat([0, 1, 2], [9, 1, 13])
    slopes, buckets = alibi_slopes(), relative_buckets()
    alibi = -slopes[:, None, None] * distance[None]
    three = {"q": q, "k": k, "v": v}

    def plain(name, allowed, cap=None, bias=None, **facts):
        if cap is not None:
            facts["cap"] = cap
        tensor_bias = None if bias is None else torch.from_numpy(bias)
        record("attention_" + name, lambda q, k, v: attention(q, k, v, allowed, cap, tensor_bias), three,
               lambda q, k, v: attention_rows(q, k, v, allowed, cap, bias), dy=dy, shared=True, **facts)

    plain("causal", causal)
    plain("full", numpy.ones((T, T), dtype=bool))
    plain("packed", causal & (documents[:, None] == documents[None, :]), lengths=numpy.array([9, 1, 13]))
    plain("window", causal & (distance < 5), window=5)
    plain("alibi", causal, bias=alibi, slopes=slopes)
    plain("soft_cap", causal, cap=1.5)
    plain("soft_cap_window", causal & (distance < 5), cap=1.5, window=5)
    table = random(8, HEADS)
    record("attention_relative", lambda q, k, v, table: attention(q, k, v, causal, bias=table[torch.from_numpy(buckets)].permute(2, 0, 1)),
           {**three, "table": table}, lambda q, k, v, table: attention_rows(q, k, v, causal, bias=table[buckets].transpose(2, 0, 1)),
           dy=dy, shared=True, buckets=buckets)
    # the last 4 queries against all keys, as with a cache
    record("attention_cached", lambda q, k, v: attention(q, k, v, causal[-4:]), {"q": q[-4:], "k": k, "v": v},
           lambda q, k, v: attention_rows(q, k, v, causal[-4:]), dy=dy[-4:], shared=True)


def main():
    assert FOUND["torch"].startswith("1.13") and FOUND["numpy"].startswith("1.24") and FOUND["safetensors"] == "0.4.5", FOUND
    torch.set_num_threads(1)
    for part in (norms, activations, loss, linears, rotaries, attentions):
        part()
    os.makedirs(HERE, exist_ok=True)
    origin = {"made_by": "tests/golden/make_ops.py", "seed": 404, "python": platform.python_version(), **FOUND}
    save_file(OUT, os.path.join(HERE, "ops_f64.safetensors"), metadata={"origin": json.dumps(origin)})
    for name in sorted(OUT):
        print(name, OUT[name].dtype, OUT[name].shape)


if __name__ == "__main__":
    main()
