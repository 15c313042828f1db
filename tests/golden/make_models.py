"""Writes the tiny reference models of tests/golden/models/ and what transformers computes with them.

    python3 tests/golden/make_models.py            # needs requirements.txt; every run gives the same bytes on the same machine

One folder per model: config.json and model.safetensors as transformers saves them, golden.safetensors (float32, transformers as it is),
golden_f64.safetensors (float64, patched as below) and golden.json. README.md lists every key.

transformers computes RMSNorm, rotary angles, LLaMA's softmax and the logits' last cast in float32 even for a float64 model.
`double_precision` replaces these four places; the float32 run uses transformers untouched and must agree with the float64 run.
"""
import contextlib
import json
import os
import platform
import shutil

import numpy
import safetensors
import torch
import transformers
from safetensors.numpy import save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.models.llama import modeling_llama

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "models")
PINNED = {"torch": "1.13", "numpy": "1.24", "transformers": "4.44.2", "safetensors": "0.4.5"}
FOUND = {"torch": torch.__version__, "numpy": numpy.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__}
LENGTHS = [37, 23]
STEPS = 20
PROMPT_LENGTH, GENERATED = 5, 64
ADAMW = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-6}
DECAY, CLIP = 0.1, 1.0

GPT2 = dict(vocab_size=131, n_positions=71, n_embd=48, n_layer=2, n_head=3, n_inner=104, layer_norm_epsilon=1e-5,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None)
LLAMA = dict(vocab_size=131, hidden_size=48, intermediate_size=104, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
             max_position_embeddings=96, rms_norm_eps=1e-5, rope_theta=5000.0, bos_token_id=None, eos_token_id=None, pad_token_id=None)
LLAMA_TIED = dict(LLAMA, hidden_size=24, intermediate_size=52, num_key_value_heads=3, rope_theta=700.0, rms_norm_eps=1e-4,
                  tie_word_embeddings=True, attention_bias=True, mlp_bias=True)
MODELS = {
    "gpt2": (101, lambda: GPT2LMHeadModel(GPT2Config(**GPT2, attn_implementation="eager"))),
    "llama": (202, lambda: LlamaForCausalLM(LlamaConfig(**LLAMA, attn_implementation="eager"))),
    "llama_tied_biased": (303, lambda: LlamaForCausalLM(LlamaConfig(**LLAMA_TIED, attn_implementation="eager"))),
}


def fill(model, seed):
    """Every parameter random: gains around 1, biases around 0, small embeddings (so that a wrong norm eps shows in the first layer)."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = generator.standard_normal(tuple(parameter.shape))
            if parameter.ndim == 1:
                value = 0.2 * noise if name.endswith("bias") else 1.0 + 0.3 * noise
            else:
                value = noise * (0.08 if any(key in name for key in ("wte", "wpe", "embed_tokens")) else 1.2 / numpy.sqrt(parameter.shape[-1]))
            parameter.copy_(torch.from_numpy(value.astype(numpy.float32)))


@contextlib.contextmanager
def double_precision():
    """Replaces the float32 islands of transformers' LLaMA by float64; GPT-2 has none."""
    norm, rotary, softmax = modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward, torch.nn.functional.softmax

    def norm64(self, hidden_states):
        return self.weight * (hidden_states * torch.rsqrt(hidden_states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))

    def rotary64(self, x, position_ids):
        width = self.config.hidden_size // self.config.num_attention_heads
        frequencies = self.config.rope_theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = position_ids.to(torch.float64)[:, :, None] * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()

    def softmax64(x, dim=None, dtype=None):
        return softmax(x, dim=dim)

    modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward, torch.nn.functional.softmax = norm64, rotary64, softmax64
    try:
        yield
    finally:
        modeling_llama.LlamaRMSNorm.forward, modeling_llama.LlamaRotaryEmbedding.forward, torch.nn.functional.softmax = norm, rotary, softmax


def blocks_of(model):
    return model.transformer.h if hasattr(model, "transformer") else model.model.layers


def forward(model, ids, mask):
    """Logits (batch, tokens, vocabulary) and hidden states, read by hooks before transformers casts anything to float32."""
    caught = {}
    hooks = [model.lm_head.register_forward_hook(lambda m, i, o: caught.update({"final": i[0], "logits": o}))]
    for index, block in enumerate(blocks_of(model)):
        hooks.append(block.register_forward_hook(lambda m, i, o, index=index: caught.update({str(index): o[0]})))
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    for hook in hooks:
        hook.remove()
    return caught.pop("logits"), caught


def padded(sequences):
    """Left padding; the pad id is an ordinary token, so a wrong mask would change the numbers."""
    width = max(len(sequence) for sequence in sequences)
    ids, mask = torch.full((len(sequences), width), 7), torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence):] = torch.tensor(sequence)
        mask[row, width - len(sequence):] = 1
    return ids, mask


def pack(batch, mask):
    return batch[mask.bool()]


def greedy(model, prompt):
    """Ids by full recompute, and the smallest distance between the best and the second logit on the way."""
    ids, margin = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(GENERATED):
            logits, _ = forward(model, *padded([ids]))
            best = logits[0, -1].topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            ids.append(int(best.indices[0]))
    return ids[len(prompt):], margin


def run(model, sequences, prompt):
    ids, mask = padded(sequences)
    targets = torch.tensor([t for sequence in sequences for t in sequence[1:] + [-1]])

    def loss_of(logits):
        return torch.nn.functional.cross_entropy(pack(logits, mask), targets, ignore_index=-1)

    out = {}
    logits, hidden = forward(model, ids, mask)
    loss = loss_of(logits)
    loss.backward()
    out["logits"] = pack(logits, mask)
    for name, value in hidden.items():
        out["hidden." + name] = pack(value, mask)
    out["loss"] = loss.reshape(1)
    for name, parameter in model.named_parameters():
        out["gradient." + name] = parameter.grad.clone()
    start = 0
    for sequence in sequences:  # padding must not matter: each sequence alone gives its rows
        alone, _ = forward(model, *padded([sequence]))
        difference = float((alone[0] - out["logits"][start:start + len(sequence)]).abs().max())
        assert difference < (1e-12 if logits.dtype == torch.float64 else 1e-5), difference
        start += len(sequence)
    out["greedy"], margin = greedy(model, prompt)

    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}], foreach=False, **ADAMW)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(forward(model, ids, mask)[0])
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        losses.append(float(loss))
        optimizer.step()
    out["step_losses"], out["step_norms"] = torch.tensor(losses, dtype=torch.float64), torch.tensor(norms, dtype=torch.float64)
    for name, parameter in model.named_parameters():
        out["after." + name] = parameter
    numbers = {name: value.detach().numpy() for name, value in out.items() if isinstance(value, torch.Tensor)}
    return numbers, out["greedy"], margin


def deviation(mine, reference, prefix):
    """The measure of the parity tests: max abs difference over max(the tensor's largest value, 1e-3 x the model's largest), worst tensor."""
    names = [name for name in reference if name.startswith(prefix)]
    largest = max(abs(reference[name]).max() for name in names)
    return max(float(abs(mine[name] - reference[name]).max() / max(abs(reference[name]).max(), 1e-3 * largest)) for name in names)


def save(path, tensors, origin):
    save_file({name: numpy.ascontiguousarray(value) for name, value in tensors.items()}, path, metadata={"origin": json.dumps(origin)})


def make(name):
    seed, build = MODELS[name]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = build().eval()
    fill(model, seed)
    model.save_pretrained(folder)
    os.remove(os.path.join(folder, "generation_config.json"))
    tokens = numpy.random.Generator(numpy.random.PCG64(seed + 1))
    sequences = [[int(t) for t in tokens.integers(0, 131, length)] for length in LENGTHS]
    prompt = [int(t) for t in tokens.integers(0, 131, PROMPT_LENGTH)]
    inputs = numpy.array([t for s in sequences for t in s], dtype=numpy.int32)
    targets = numpy.array([t for s in sequences for t in s[1:] + [-1]], dtype=numpy.int32)

    f64_model = build().eval()
    f64_model.load_state_dict(model.state_dict())
    f64_model = f64_model.double()
    with torch.no_grad():  # the library's own cached generation must give the ids of the full recompute
        kwargs = dict(max_new_tokens=GENERATED, do_sample=False, eos_token_id=None, pad_token_id=0)
        by_generate = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, PROMPT_LENGTH, dtype=torch.long), **kwargs)[0, PROMPT_LENGTH:].tolist()
    f32, ids, _ = run(model, sequences, prompt)
    with double_precision():
        f64, ids64, margin = run(f64_model, sequences, prompt)
    assert all(value.dtype == numpy.float64 for value in f64.values())
    assert ids == ids64 == by_generate

    differences = {"logits": float(abs(f32["logits"] - f64["logits"]).max())}
    differences.update({key: deviation(f32, f64, key + ".") for key in ("hidden", "gradient", "after")})
    assert differences["logits"] < 1e-5 and max(differences.values()) < 1e-4, differences
    origin = {"made_by": "tests/golden/make_models.py", "seed": seed, "python": platform.python_version(), **FOUND}
    shared = {"input_ids": inputs, "targets": targets, "lengths": numpy.array(LENGTHS, dtype=numpy.int32),
              "prompt_ids": numpy.array(prompt, dtype=numpy.int32), "greedy_ids": numpy.array(ids, dtype=numpy.int32)}
    keep32 = {key: value.astype(numpy.float32) for key, value in f32.items() if not key.startswith(("gradient.", "after."))}
    keep64 = {key: value for key, value in f64.items() if not key.startswith("hidden.")}
    save(os.path.join(folder, "golden.safetensors"), {**shared, **keep32}, origin)
    save(os.path.join(folder, "golden_f64.safetensors"), keep64, origin)
    facts = {
        "origin": origin,
        "lengths": LENGTHS,
        "input_ids": inputs.tolist(),
        "targets": targets.tolist(),
        "prompt_ids": prompt,
        "greedy_ids": ids,
        "greedy_smallest_margin": margin,
        "loss": float(f64["loss"][0]),
        "adamw": {"steps": STEPS, "learning_rate": ADAMW["lr"], "beta1": 0.9, "beta2": 0.999, "epsilon": ADAMW["eps"], "weight_decay_on_matrices": DECAY, "clip_norm": CLIP},
        "step_losses": f64["step_losses"].tolist(),
        "step_norms": f64["step_norms"].tolist(),
        "float32_oracle_against_float64": differences,
    }
    with open(os.path.join(folder, "golden.json"), "w") as file:
        json.dump(facts, file, indent=1)
        file.write("\n")
    print(name, "parameters", sum(v.size for k, v in f64.items() if k.startswith("gradient.")), "margin", margin, "loss", facts["loss"], differences)
    print("  norms", [round(n, 3) for n in facts["step_norms"]], "losses", round(facts["step_losses"][0], 3), round(facts["step_losses"][-1], 3))
    print("  ids", ids)
    smallest = sorted((abs(v).max(), k) for k, v in f64.items() if k.startswith("gradient."))[:4]
    print("  smallest gradients", smallest)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    for name in MODELS:
        make(name)
