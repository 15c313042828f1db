"""Writes tests/golden/families/: tiny models of every family and what transformers computes with them.

    python3 tests/golden/make_families.py [NAME...]     # needs the versions in PINNED; every run gives the same bytes on the same machine

One folder a model: config.json and model.safetensors as transformers saves them, golden.safetensors (float64, but for `hidden.*`).
transformers computes norms, rotary angles, softmax and logits in float32 whatever the model's type. Here the names torch.float32 and
Tensor.float mean float64 while a model computes, so that the numbers are float64 throughout; the same model in plain float32 must agree.
"""
import json
import os
import shutil
import sys

import numpy
import safetensors
import torch
import transformers
from safetensors.numpy import save_file

from double_precision import DoublePrecision

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "families")
PINNED = {"torch": "2.15", "transformers": "5.24.0", "safetensors": "0.8", "numpy": "2.4"}
FOUND = {"torch": torch.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__, "numpy": numpy.__version__}
VOCABULARY, LENGTHS, PROMPT, GENERATED = 53, (37, 23), 5, 64
NO_TOKENS = dict(bos_token_id=None, eos_token_id=None, pad_token_id=None)

LLAMA = dict(vocab_size=VOCABULARY, hidden_size=18, intermediate_size=36, num_hidden_layers=2, num_attention_heads=6, num_key_value_heads=2,
             head_dim=4, max_position_embeddings=96, rms_norm_eps=1e-4, **NO_TOKENS)
THREE = dict(LLAMA, num_hidden_layers=3)
WHOLE = dict(LLAMA, hidden_size=24)  # heads of width / heads
del WHOLE["head_dim"]
GPTJ = dict(vocab_size=VOCABULARY, n_positions=96, n_embd=24, n_layer=2, n_head=4, n_inner=44, rotary_dim=4, layer_norm_epsilon=1e-4,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **NO_TOKENS)
NEOX = dict(vocab_size=VOCABULARY, hidden_size=24, intermediate_size=44, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=96,
            layer_norm_eps=1e-4, **NO_TOKENS)
STABLE = {key: value for key, value in WHOLE.items() if key != "rms_norm_eps"} | dict(layer_norm_eps=1e-4)
GEMMA2 = dict(THREE, query_pre_attn_scalar=4, sliding_window=9)
THETA = dict(rope_theta=700.0)
FACTORS = [1.0, 1.3], [2.5, 4.0]

# name: seed, class of the configuration, its keys, then what is special about the fixture
MODELS = {
    "llama_llama3": (1, "Llama", dict(THREE, rope_parameters=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                                  original_max_position_embeddings=32, **THETA))),
    "llama_linear": (2, "Llama", dict(LLAMA, tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", factor=2.5, **THETA))),
    "llama_dynamic": (3, "Llama", dict(LLAMA, max_position_embeddings=16, rope_parameters=dict(rope_type="dynamic", factor=3.0, **THETA)),
                      dict(lengths=(37,), cached=True, rows=96)),
    "llama_yarn": (4, "Llama", dict(LLAMA, head_dim=8, rope_parameters=dict(rope_type="yarn", factor=4.0, beta_fast=6.0, beta_slow=1.5,
                                                                           original_max_position_embeddings=24, **THETA))),
    "mistral": (5, "Mistral", dict(THREE, sliding_window=9, rope_parameters=dict(rope_type="default", **THETA))),
    "mistral_full": (6, "Mistral", dict(LLAMA, sliding_window=None)),
    "qwen2": (7, "Qwen2", dict({k: v for k, v in WHOLE.items()}, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", **THETA))),
    "qwen2_window": (8, "Qwen2", dict({k: v for k, v in WHOLE.items()}, num_hidden_layers=3, use_sliding_window=True, sliding_window=7,
                                      max_window_layers=1)),
    "qwen3": (9, "Qwen3", dict(LLAMA, head_dim=6)),
    "qwen3_biased": (10, "Qwen3", dict(LLAMA, attention_bias=True, tie_word_embeddings=True)),
    "gemma": (11, "Gemma", dict(LLAMA, num_key_value_heads=1)),
    "gemma2": (12, "Gemma2", GEMMA2),
    "gemma2_uncapped": (13, "Gemma2", dict(GEMMA2, query_pre_attn_scalar=7, attn_logit_softcapping=None, final_logit_softcapping=None, attention_bias=True)),
    "gemma3": (14, "Gemma3Text", dict(GEMMA2, query_pre_attn_scalar=7, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
                                      rope_parameters=dict(sliding_attention=dict(rope_type="default", rope_theta=90.0),
                                                           full_attention=dict(rope_type="linear", factor=2.0, rope_theta=3000.0)))),
    "gemma3_default": (115, "Gemma3Text", dict(LLAMA, num_hidden_layers=7, hidden_size=12, intermediate_size=20, query_pre_attn_scalar=4,
                                              sliding_window=6), dict(scale=0.9)),
    "phi3": (16, "Phi3", {k: v for k, v in WHOLE.items()}),
    "phi3_long": (17, "Phi3", dict({k: v for k, v in WHOLE.items()}, original_max_position_embeddings=16, sliding_window=11,
                                   rope_parameters=dict(rope_type="longrope", short_factor=FACTORS[0], long_factor=FACTORS[1], **THETA)),
                  dict(prompt=19)),
    "phi3_short": (18, "Phi3", dict({k: v for k, v in WHOLE.items()}, original_max_position_embeddings=80,
                                    rope_parameters=dict(rope_type="longrope", short_factor=FACTORS[0], long_factor=FACTORS[1], **THETA))),
    "olmo2": (19, "Olmo2", dict({k: v for k, v in WHOLE.items()}, rope_parameters=dict(rope_type="default", **THETA))),
    "smollm3": (20, "SmolLM3", dict(LLAMA, num_hidden_layers=5)),
    "smollm3_listed": (21, "SmolLM3", dict(THREE, no_rope_layers=[0, 1, 0], use_sliding_window=True, sliding_window=8, attention_bias=True,
                                           mlp_bias=True, tie_word_embeddings=False)),
    "stablelm": (22, "StableLm", dict(STABLE, hidden_size=48, partial_rotary_factor=0.5)),
    "stablelm_parallel": (23, "StableLm", dict(STABLE, hidden_size=48, use_parallel_residual=True, use_qkv_bias=True)),
    "gptj": (24, "GPTJ", GPTJ),
    "codegen": (25, "CodeGen", dict(GPTJ, n_head=8, n_embd=48, n_inner=36)),
    "gpt_neox": (26, "GPTNeoX", NEOX),
    "gpt_neox_sequential": (27, "GPTNeoX", dict(NEOX, use_parallel_residual=False, attention_bias=False, tie_word_embeddings=True,
                                                hidden_act="gelu_new", rope_parameters=dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.5))),
    "bloom": (28, "Bloom", dict(vocab_size=VOCABULARY, hidden_size=24, n_layer=2, n_head=6, layer_norm_epsilon=1e-4, **NO_TOKENS)),
    "mixtral": (30, "Mixtral", dict(LLAMA, num_local_experts=5, num_experts_per_tok=2)),
    "qwen2_moe": (31, "Qwen2Moe", dict(WHOLE, num_hidden_layers=3, num_experts=5, num_experts_per_tok=3, moe_intermediate_size=20,
                                       shared_expert_intermediate_size=28, mlp_only_layers=[1], use_sliding_window=True, sliding_window=9,
                                       max_window_layers=2)),
    "qwen3_moe": (32, "Qwen3Moe", dict(THREE, num_experts=6, num_experts_per_tok=2, moe_intermediate_size=20, decoder_sparse_step=2,
                                       use_sliding_window=True, sliding_window=10)),
    "qwen3_moe_renormalised": (33, "Qwen3Moe", dict(LLAMA, num_experts=6, num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=True,
                                                    attention_bias=True)),
    "qwen2_moe_plain": (34, "Qwen2Moe", dict(WHOLE, num_experts=3, num_experts_per_tok=2, moe_intermediate_size=20, shared_expert_intermediate_size=28)),
    # GPT-3's alternating dense and locally banded layers on transformers' GPT-2: every second block gets a mask of the last 9 keys as well
    "gpt3": (35, "GPT2", dict(vocab_size=VOCABULARY, n_positions=96, n_embd=24, n_layer=3, n_head=3, n_inner=44, layer_norm_epsilon=1e-4,
                              resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **NO_TOKENS), dict(window=9)),
    "openai_gpt": (29, "OpenAIGPT", dict(vocab_size=VOCABULARY, n_positions=71, n_embd=24, n_layer=3, n_head=3, layer_norm_epsilon=1e-4,
                                         resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=None, eos_token_id=None)),
}


def build(name):
    _, family, keys = MODELS[name][:3]
    config = getattr(transformers, family + "Config")(**keys)
    config._attn_implementation = config._experts_implementation = "eager"
    head = {"Gemma3Text": "Gemma3ForCausalLM", "OpenAIGPT": "OpenAIGPTLMHeadModel", "GPT2": "GPT2LMHeadModel"}.get(family, family + "ForCausalLM")
    model = getattr(transformers, head)(config).eval()
    if window := MODELS[name][3].get("window") if len(MODELS[name]) > 3 else None:
        for block in model.transformer.h[1::2]:
            block.attn.register_forward_pre_hook(lambda module, args, keys: (args, keys | dict(attention_mask=banded(keys["attention_mask"], window))), with_kwargs=True)
    return model


def banded(mask, window):
    """The additive mask (batch, 1, queries, keys) of the last `window` keys of each query alone; queries are the last ones."""
    queries, keys = mask.shape[-2:]
    distance = torch.arange(keys - queries, keys)[:, None] - torch.arange(keys)
    return mask.masked_fill(distance >= window, torch.finfo(mask.dtype).min)


def fill(model, seed, scale, gain):
    """Every parameter random: gains around `gain`, biases around 0, small embeddings, so that a wrong epsilon of a norm shows."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = generator.standard_normal(tuple(parameter.shape))
            if parameter.ndim == 1:
                value = 0.2 * noise if name.endswith("bias") else gain + 0.3 * noise
            else:
                small = any(key in name for key in ("wte", "embed", "word_embeddings"))
                value = noise * (0.08 if small else scale / numpy.sqrt(parameter.shape[-1]))
            parameter.copy_(torch.from_numpy(value.astype("float32")))


def blocks_of(model):
    for path in ("transformer.h", "model.layers", "gpt_neox.layers"):
        found = model
        for part in path.split("."):
            found = getattr(found, part, None)
            if found is None:
                break
        if found is not None:
            return found
    raise KeyError("blocks")


def forward(model, ids, mask):
    caught = {}
    hooks = [block.register_forward_hook(lambda m, i, o, index=index: caught.update({str(index): o[0] if isinstance(o, (tuple, list)) else o}))
             for index, block in enumerate(blocks_of(model))]
    keys = dict(input_ids=ids, attention_mask=mask)
    if "position_ids" in model.forward.__code__.co_varnames or isinstance(model, transformers.GPT2LMHeadModel):
        keys["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    logits = model(**keys).logits
    for hook in hooks:
        hook.remove()
    return logits, caught


def padded(sequences):
    """Left padding; the pad id is an ordinary token, so a wrong mask would change the numbers."""
    width = max(len(sequence) for sequence in sequences)
    ids, mask = torch.full((len(sequences), width), 7), torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence):] = torch.tensor(sequence)
        mask[row, width - len(sequence):] = 1
    return ids, mask


def as_in_file(family, name, tensor):
    """What save_pretrained makes of a parameter: some families are saved under older names, and each expert apart."""
    if family == "GPTNeoX":
        name = name.replace("lm_head", "embed_out")
    if family == "Mixtral":
        name = name.replace(".mlp.", ".block_sparse_moe.")
    gate, up, down = ("w1", "w3", "w2") if family == "Mixtral" else ("gate_proj", "up_proj", "down_proj")
    if name.endswith("experts.gate_up_proj"):
        prefix, half = name[:-len("gate_up_proj")], tensor.shape[1] // 2
        return [(f"{prefix}{e}.{part}.weight", tensor[e, rows]) for e in range(len(tensor))
                for part, rows in ((gate, slice(0, half)), (up, slice(half, None)))]
    if name.endswith("experts.down_proj"):
        return [(f"{name[:-len('down_proj')]}{e}.{down}.weight", tensor[e]) for e in range(len(tensor))]
    return [(name, tensor)]


def run(name, weights, sequences, prompt, special):
    def fresh():  # dynamic rotary positions remember the longest sequence they saw
        model = build(name)
        model.load_state_dict(weights)
        return model

    model = fresh()
    ids, mask = padded(sequences)
    logits, hidden = forward(model, ids, mask)
    rows = mask.bool()
    targets = torch.tensor([t for sequence in sequences for t in sequence[1:] + [-1]])
    loss = torch.nn.functional.cross_entropy(logits[rows], targets, ignore_index=-1)
    loss.backward()
    out = {"logits": logits[rows].detach(), "loss": loss.detach().reshape(1)}
    for index, value in hidden.items():
        out["hidden." + index] = value[rows].detach()
    for parameter_name, parameter in model.named_parameters():
        for file_name, gradient in as_in_file(MODELS[name][1], parameter_name, parameter.grad):
            out["gradient." + file_name] = gradient.clone()
    start = 0
    for sequence in sequences:  # padding must not matter: each sequence alone gives its rows
        alone = forward(fresh(), *padded([sequence]))[0][0].detach()
        difference = float((alone - out["logits"][start:start + len(sequence)]).abs().max())
        assert difference < (1e-10 if logits.dtype == torch.float64 else 1e-4), (name, difference)
        start += len(sequence)

    model, chosen, margin = fresh(), list(prompt), float("inf")
    with torch.no_grad():
        cache = None
        for _ in range(GENERATED):
            if special.get("cached"):
                known = 0 if cache is None else len(chosen) - 1
                answer = model(input_ids=torch.tensor([chosen[known:]]), position_ids=torch.arange(known, len(chosen))[None], cache=cache, use_cache=True)
                cache, last = answer.get("cache", None) or answer.past_key_values, answer.logits[0, -1]
            else:
                last = forward(model, *padded([chosen]))[0][0, -1]
            best = last.topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            chosen.append(int(best.indices[0]))
    return out, chosen[len(prompt):], margin


def make(name):
    seed, family, _, *rest = MODELS[name]
    special = rest[0] if rest else {}
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name)
    fill(model, seed, special.get("scale", 1.2), 0.0 if family.startswith("Gemma") else 1.0)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    if "window" in special:
        with open(os.path.join(folder, "config.json")) as file:
            config = json.load(file)
        config.update(architectures=["GPT3LMHeadModel"], model_type="gpt3", window_size=special["window"],
                      attention_layers=["local" if i % 2 else "global" for i in range(config["n_layer"])])
        with open(os.path.join(folder, "config.json"), "w") as file:
            json.dump(config, file, indent=2)
            file.write("\n")
    tokens = numpy.random.Generator(numpy.random.PCG64(seed + 1000))
    sequences = [[int(t) for t in tokens.integers(0, VOCABULARY, length)] for length in special.get("lengths", LENGTHS)]
    prompt = [int(t) for t in tokens.integers(0, VOCABULARY, special.get("prompt", PROMPT))]

    f32, ids, _ = run(name, weights, sequences, prompt, special)
    with DoublePrecision():
        f64, ids64, margin = run(name, weights, sequences, prompt, special)
    assert all(value.dtype == torch.float64 for value in f64.values()), [k for k, v in f64.items() if v.dtype != torch.float64]
    assert ids == ids64 and margin > 1e-4, (name, margin)
    difference = float((f32["logits"].double() - f64["logits"]).abs().max())
    assert 0 < difference < 2e-5, (name, difference)

    numbers = {key: value.to(torch.float32).numpy() if key.startswith("hidden.") else value.numpy() for key, value in f64.items()}
    integers = lambda values: numpy.array(values, dtype=numpy.int32)
    numbers.update(input_ids=integers(sum(sequences, [])), targets=integers([t for s in sequences for t in s[1:] + [-1]]),
                   lengths=integers([len(s) for s in sequences]), prompt_ids=integers(prompt), greedy_ids=integers(ids))
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_families.py", "seed": seed, **FOUND})})
    print(name, "parameters", sum(v.size for k, v in numbers.items() if k.startswith("gradient.")), "loss", float(f64["loss"][0]), "margin",
          margin, "f32 differs by", difference, flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or MODELS:
        make(name)
