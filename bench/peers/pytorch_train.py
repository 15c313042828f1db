#!/usr/bin/env python3
"""The training step of bench_train in PyTorch: the same shapes, the same work, the same report.

    python3 bench/peers/pytorch_train.py --config gpt2-124m --batch 4 --context 256 --threads 2 --precision f32 --json

Attention is written out and the optimiser is torch.optim.AdamW as it comes; --attention sdpa and --adamw fused are what a current
PyTorch offers. Models are GPT-2 (learned positions, layer norm, GELU tanh, tied head) and the LLaMA of llama2.c (rotary, RMSNorm,
SwiGLU, tied head). bf16 is torch.autocast, weights and moments stay f32. --data FILE trains on the characters of a text instead of
random tokens and reports the validation loss on its last tenth. --method lora freezes the model and trains LoRA on queries and values, as peft does on a
fused projection: one A of (rank, width), B for the rows of q and v.
"""
import argparse
import json
import math
import resource
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

IMPORT_RSS = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

CONFIGS = {
    "gpt2-124m": dict(family="gpt2", layers=12, heads=12, width=768, context=1024, bias=True, vocabulary=50257, rate=6e-4, low=6e-5, warmup=2000, beta2=0.95),
    "shakespeare-cpu": dict(family="gpt2", layers=4, heads=4, width=128, context=64, bias=False, vocabulary=65, rate=1e-3, low=1e-4, warmup=100, beta2=0.99),
    "stories15m": dict(family="llama", layers=6, heads=6, width=288, hidden=768, context=256, bias=False, vocabulary=32000, rate=5e-4, low=0.0, warmup=1000, beta2=0.95),
}


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class LayerNorm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


def turned(x, cosine, sine):
    """Rotates the pairs (i, i + half) of each head; x is (batch, heads, tokens, head width)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, first * sine + second * cosine), dim=-1)


class Lora(nn.Module):
    """Adds alpha / rank (x A^T) B^T to the queries and the values of a fused projection."""

    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        width = base.in_features
        self.base, self.scale = base, alpha / rank
        self.a = nn.Parameter(torch.empty(rank, width))
        self.b_query, self.b_value = nn.Parameter(torch.zeros(width, rank)), nn.Parameter(torch.zeros(width, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x):
        reduced = functional.linear(x, self.a) * self.scale
        query, key, value = self.base(x).chunk(3, dim=-1)
        return torch.cat((query + functional.linear(reduced, self.b_query), key, value + functional.linear(reduced, self.b_value)), dim=-1)


class Block(nn.Module):
    def __init__(self, c, attention):
        super().__init__()
        width, hidden = c["width"], c.get("hidden", 4 * c["width"])
        self.heads, self.attention, self.gated = c["heads"], attention, c["family"] == "llama"
        norm = (lambda: RmsNorm(width)) if self.gated else (lambda: LayerNorm(width, c["bias"]))
        self.norm1, self.norm2 = norm(), norm()
        self.qkv = nn.Linear(width, 3 * width, bias=c["bias"])
        self.output = nn.Linear(width, width, bias=c["bias"])
        self.up = nn.Linear(width, hidden, bias=c["bias"])
        self.gate = nn.Linear(width, hidden, bias=False) if self.gated else None
        self.down = nn.Linear(hidden, width, bias=c["bias"])

    def attend(self, x, mask, angles):
        batch, tokens, width = x.shape
        q, k, v = (part.view(batch, tokens, self.heads, width // self.heads).transpose(1, 2) for part in self.qkv(x).split(width, dim=2))
        if angles is not None:
            q, k = turned(q, *angles), turned(k, *angles)
        if self.attention == "sdpa":
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            scores = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(q.size(-1)))
            y = functional.softmax(scores.masked_fill(mask, float("-inf")), dim=-1) @ v
        return self.output(y.transpose(1, 2).contiguous().view(batch, tokens, width))

    def mlp(self, x):
        if self.gated:
            return self.down(functional.silu(self.gate(x)) * self.up(x))
        return self.down(functional.gelu(self.up(x), approximate="tanh"))

    def forward(self, x, mask, angles):
        x = x + self.attend(self.norm1(x), mask, angles)
        return x + self.mlp(self.norm2(x))


class Model(nn.Module):
    def __init__(self, c, attention):
        super().__init__()
        width, self.rotary = c["width"], c["family"] == "llama"
        self.embedding = nn.Embedding(c["vocabulary"], width)
        self.position = None if self.rotary else nn.Embedding(c["context"], width)
        self.blocks = nn.ModuleList(Block(c, attention) for _ in range(c["layers"]))
        self.norm = RmsNorm(width) if self.rotary else LayerNorm(width, c["bias"])
        head = width // c["heads"]
        angles = torch.arange(c["context"])[:, None] * 10000.0 ** (-torch.arange(0, head, 2) / head)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        self.register_buffer("mask", torch.ones(c["context"], c["context"], dtype=torch.bool).triu(1), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = 1 / math.sqrt(2 * c["layers"]) if name.endswith(("output.weight", "down.weight")) else 1
                nn.init.normal_(parameter, std=0.02 * scale)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def loss(self, inputs, targets):
        tokens = inputs.size(1)
        x = self.embedding(inputs)
        angles = None
        if self.rotary:
            angles = self.cosine[:tokens], self.sine[:tokens]
        else:
            x = x + self.position.weight[:tokens]
        for block in self.blocks:
            x = block(x, self.mask[:tokens, :tokens], angles)
        logits = functional.linear(self.norm(x), self.embedding.weight)  # the head is the embedding
        return functional.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


def character_ids(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    number = {character: index for index, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([number[character] for character in text])
    kept = len(ids) - len(ids) // 10
    return len(number), ids[:kept], ids[kept:]


def validation_loss(model, ids, context, batch=16):
    """Mean over all tokens but the first, in windows side by side."""
    total, count = 0.0, 0
    with torch.no_grad():
        for begin in range(0, len(ids) - 1, context * batch):
            end = min(begin + context * batch, len(ids) - 1)
            whole = (end - begin) // context * context
            for start, stop, width in ((begin, begin + whole, context), (begin + whole, end, end - begin - whole)):
                if stop > start:
                    inputs, targets = ids[start:stop].view(-1, width), ids[start + 1:stop + 1].view(-1, width)
                    total += model.loss(inputs, targets).item() * (stop - start)
                    count += stop - start
    return total / count


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", choices=CONFIGS, default="gpt2-124m")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--context", type=int, default=0, help="tokens of a sequence; 0: as the configuration says")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--steps", type=int, default=5, help="steps to measure, after one that is not")
    parser.add_argument("--clip", type=float, default=1.0, help="bound of the gradient norm; 0: none")
    parser.add_argument("--method", choices=("full", "lora"), default="full", help="all weights, or LoRA of rank 8 on queries and values")
    parser.add_argument("--attention", choices=("explicit", "sdpa"), default="explicit")
    parser.add_argument("--adamw", choices=("default", "fused"), default="default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", help="text to train on by characters")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    c = dict(CONFIGS[options.config])
    if options.data:
        c["vocabulary"], training, held_out = character_ids(options.data)
    context = options.context or c["context"]
    model = Model(c, options.attention)
    if options.method == "lora":
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        for block in model.blocks:
            block.qkv = Lora(block.qkv)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [{"params": [p for p in trained if p.ndim >= 2], "weight_decay": 0.1}, {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0}]
    extra = {"fused": True} if options.adamw == "fused" else {}
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=c["rate"], betas=(0.9, c["beta2"]), eps=1e-8, **extra)

    def rate_at(step):
        warmup = min(c["warmup"], options.steps // 4) if options.data else c["warmup"]
        if step < warmup:
            return c["rate"] * (step + 1) / warmup
        share = (step - warmup) / max(1, options.steps + 1 - warmup)
        return c["low"] + 0.5 * (c["rate"] - c["low"]) * (1 + math.cos(math.pi * share))

    seconds, losses = [], []
    for step in range(options.steps + 1):
        began = time.perf_counter()
        if options.data:
            starts = torch.randint(len(training) - context, (options.batch,)).tolist()
            window = torch.stack([training[start:start + context + 1] for start in starts])
        else:
            window = torch.randint(c["vocabulary"], (options.batch, context + 1))
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step)
        optimizer.zero_grad(set_to_none=True)
        if options.precision == "bf16":
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = model.loss(window[:, :-1], window[:, 1:])
        else:
            loss = model.loss(window[:, :-1], window[:, 1:])
        loss.backward()
        if options.clip > 0:
            torch.nn.utils.clip_grad_norm_(trained, options.clip)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    seconds = seconds[1:]
    tokens = options.batch * context
    rates = [tokens / second for second in seconds]
    report = {"program": "pytorch", "version": "torch " + torch.__version__, "config": options.config, "precision": options.precision, "method": options.method,
              "batch": options.batch, "context": context, "threads": options.threads, "steps": options.steps,
              "options": f"{'LoRA rank 8 on q and v, ' if options.method == 'lora' else ''}clip {options.clip:g}, attention {options.attention}, AdamW {options.adamw}",
              "tokens_per_second": statistics.median(rates), "tokens_per_second_min": min(rates), "tokens_per_second_max": max(rates),
              "step_milliseconds": 1e3 * statistics.median(seconds), "peak_rss_bytes": rss, "import_rss_bytes": IMPORT_RSS,
              "first_loss": losses[0], "last_loss": losses[-1]}
    if options.data:
        report["training_seconds"] = sum(seconds)
        report["validation_loss"] = validation_loss(model, held_out, context)
    if options.json:
        print(json.dumps(report))
    else:
        print(f"{options.config} {options.precision} B{options.batch} T{context}, {options.threads} threads: {report['tokens_per_second']:.1f} tokens/s "
              f"(min {min(rates):.1f}, max {max(rates):.1f}, {options.steps} steps), {report['step_milliseconds']:.1f} ms a step, "
              f"peak RSS {rss / 1e6:.0f} MB ({IMPORT_RSS / 1e6:.0f} of it the import); {report['options']}; "
              f"loss {losses[0]:.4f} to {losses[-1]:.4f}; {report['version']}")


if __name__ == "__main__":
    main()
