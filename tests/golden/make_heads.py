"""Writes tests/golden/heads/: tiny models with heads of labels, and what transformers computes with them.

    python3 tests/golden/make_heads.py [NAME...]     # needs the versions that make_families.py pins

One folder a model: config.json and model.safetensors as transformers saves them, golden.safetensors (float64, by the same means as in
make_families.py): `scores`, `loss`, `gradient.*` of the head, and of every tensor where ALL says so. Batches are padded on the left, and one
sequence ends in the padding token: it is read before it.
"""
import json
import os
import shutil
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file

from make_families import FOUND, GPTJ, LLAMA, NEOX, NO_TOKENS, PINNED, STABLE, VOCABULARY, WHOLE, DoublePrecision, as_in_file, fill

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "heads")
PAD, LENGTHS = 7, (37, 23, 30)
SMALL = dict(LLAMA, hidden_size=12, intermediate_size=20, num_attention_heads=3, num_key_value_heads=1, head_dim=4, pad_token_id=PAD)
EVEN = dict(WHOLE, hidden_size=12, intermediate_size=20, num_attention_heads=3, num_key_value_heads=1, pad_token_id=PAD)
GPT = dict(vocab_size=VOCABULARY, n_positions=71, n_embd=12, n_layer=2, n_head=3, layer_norm_epsilon=1e-4, resid_pdrop=0.0, embd_pdrop=0.0,
           attn_pdrop=0.0, summary_first_dropout=0.0, bos_token_id=None, eos_token_id=None, pad_token_id=PAD)
BLOOM = dict(vocab_size=VOCABULARY, hidden_size=12, n_layer=2, n_head=3, layer_norm_epsilon=1e-4, **{**NO_TOKENS, "pad_token_id": PAD})
NAMES = dict(id2label={0: "bad", 1: "middling", 2: "good"}, label2id={"bad": 0, "middling": 1, "good": 2})
SEQUENCE, TOKENS, DOUBLE = "ForSequenceClassification", "ForTokenClassification", "DoubleHeadsModel"

# name: seed, stem and class, keys
MODELS = {
    "gpt2_sequence": (1, "GPT2", SEQUENCE, dict(GPT, **NAMES)),
    "gpt2_tokens": (2, "GPT2", TOKENS, dict(GPT, num_labels=5)),
    "gpt2_double": (3, "GPT2", DOUBLE, GPT),
    "openai_gpt_sequence": (4, "OpenAIGPT", SEQUENCE, dict(GPT, num_labels=2)),
    "openai_gpt_double": (205, "OpenAIGPT", DOUBLE, GPT),
    "llama_reward": (6, "Llama", SEQUENCE, dict(SMALL, num_labels=1)),
    "llama_several": (7, "Llama", SEQUENCE, dict(SMALL, num_labels=4, problem_type="multi_label_classification")),
    "llama_tokens": (8, "Llama", TOKENS, dict(SMALL, num_labels=3)),
    "mistral_sequence": (9, "Mistral", SEQUENCE, dict(SMALL, num_labels=3, sliding_window=9)),
    "qwen2_regression": (10, "Qwen2", SEQUENCE, dict(EVEN, num_labels=2, problem_type="regression", tie_word_embeddings=True)),
    "qwen2_tokens": (11, "Qwen2", TOKENS, dict(EVEN, num_labels=3)),
    "qwen3_sequence": (12, "Qwen3", SEQUENCE, dict(SMALL, num_labels=3)),
    "gemma_sequence": (13, "Gemma", SEQUENCE, dict(SMALL, num_labels=3)),
    "gemma2_sequence": (14, "Gemma2", SEQUENCE, dict(SMALL, num_labels=3, sliding_window=9, query_pre_attn_scalar=4)),
    "gemma3_sequence": (15, "Gemma3Text", SEQUENCE, dict(SMALL, num_labels=3, sliding_window=9, query_pre_attn_scalar=4)),
    "phi3_sequence": (16, "Phi3", SEQUENCE, dict(EVEN, num_labels=3)),
    "olmo2_sequence": (17, "Olmo2", SEQUENCE, dict(EVEN, num_labels=3)),
    "smollm3_tokens": (118, "SmolLM3", TOKENS, dict(SMALL, num_labels=3)),
    "stablelm_sequence": (19, "StableLm", SEQUENCE, dict(STABLE, num_labels=3, hidden_size=24, num_attention_heads=3, num_key_value_heads=3,
                                                        partial_rotary_factor=0.5, pad_token_id=PAD)),
    "gptj_sequence": (20, "GPTJ", SEQUENCE, dict(GPTJ, num_labels=3, pad_token_id=PAD)),
    "gpt_neox_sequence": (21, "GPTNeoX", SEQUENCE, dict(NEOX, num_labels=3, pad_token_id=PAD)),
    "gpt_neox_tokens": (22, "GPTNeoX", TOKENS, dict(NEOX, num_labels=3, pad_token_id=PAD)),
    "bloom_sequence": (23, "Bloom", SEQUENCE, dict(BLOOM, num_labels=3)),
    "bloom_tokens": (24, "Bloom", TOKENS, dict(BLOOM, num_labels=3)),
    "mixtral_sequence": (25, "Mixtral", SEQUENCE, dict(SMALL, num_labels=3, num_local_experts=3, num_experts_per_tok=2)),
}
ALL = ("gpt2_sequence", "gpt2_tokens", "gpt2_double", "openai_gpt_double", "llama_reward", "llama_several", "llama_tokens")


def build(name):
    _, stem, kind, keys = MODELS[name]
    config = getattr(transformers, stem + "Config")(**keys)
    config._attn_implementation = config._experts_implementation = "eager"
    model = getattr(transformers, stem + kind)(config).eval()
    model.get_input_embeddings().padding_idx = None  # else that token's row would never learn, not even where it is a real token
    return model


def padded(sequences):
    width = max(len(sequence) for sequence in sequences)
    ids, mask = torch.full((len(sequences), width), PAD), torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, width - len(sequence):] = torch.tensor(sequence)
        mask[row, width - len(sequence):] = 1
    return ids, mask


def run(name, weights, sequences, labels):
    kind = MODELS[name][2]
    model = build(name)
    model.load_state_dict(weights)
    ids, mask = padded(sequences)
    keys = dict(input_ids=ids, attention_mask=mask)
    if name.startswith(("gpt2", "openai", "gptj", "gpt_neox")):
        keys["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    rows, out = mask.bool(), {}
    if kind == DOUBLE:  # two questions of two options each
        width = ids.shape[1]
        keys["mc_token_ids"] = torch.tensor([width - len(s) + p for s, p in zip(sequences, labels["positions"])])
        answer = model(**keys)
        out["logits"] = answer.logits.reshape(4, width, -1)[rows]
        out["scores"] = answer.mc_logits.reshape(4, 1)
        targets = torch.tensor([t for sequence in sequences for t in sequence[1:] + [-1]])
        out["token_loss"] = torch.nn.functional.cross_entropy(out["logits"], targets, ignore_index=-1).reshape(1)
        out["choice_loss"] = torch.nn.functional.cross_entropy(out["scores"].reshape(2, 2), torch.tensor(labels["answers"])).reshape(1)
        loss = (0.5 * out["token_loss"] + out["choice_loss"]).reshape(())
    elif kind == TOKENS:
        wanted = torch.full(ids.shape, -100)
        wanted[rows] = torch.where(torch.tensor(labels["labels"]) < 0, -100, torch.tensor(labels["labels"]))
        answer = model(**keys, labels=wanted)
        out["scores"], loss = answer.logits[rows], answer.loss
    else:
        wanted = torch.tensor(labels["labels"]) if "labels" in labels else torch.tensor(labels["targets"], dtype=model.dtype)
        answer = model(**keys, labels=wanted)
        out["scores"], loss = answer.logits, answer.loss
    loss.backward()
    out = {key: value.detach() for key, value in out.items()}
    out["loss"] = loss.detach().reshape(1)
    for parameter_name, parameter in model.named_parameters():
        if name in ALL or parameter_name.startswith(("score", "classifier", "multiple_choice_head")):
            for file_name, gradient in as_in_file(MODELS[name][1], parameter_name, parameter.grad):
                out["gradient." + file_name] = gradient.clone()
    return out


def make(name):
    seed, stem, kind, keys = MODELS[name]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name)
    fill(model, seed, 1.2, 0.0 if stem.startswith("Gemma") else 1.0)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    draw = numpy.random.Generator(numpy.random.PCG64(seed + 2000))
    lengths = (19, 23, 11, 17) if kind == DOUBLE else LENGTHS
    sequences = [[int(t) for t in draw.integers(0, VOCABULARY, length)] for length in lengths]
    if kind == SEQUENCE:
        sequences[1][-2:] = [PAD, PAD]
    count = model.config.num_labels
    if kind == DOUBLE:
        labels = dict(positions=[lengths[0] - 1, 20, 4, 16], answers=[1, 0])
    elif kind == TOKENS:
        labels = dict(labels=[int(l) for l in draw.integers(-1, count, sum(lengths))])
    elif keys.get("problem_type") == "multi_label_classification":
        labels = dict(targets=draw.integers(0, 2, (len(lengths), count)).astype("float64").tolist())
    elif count == 1 or keys.get("problem_type") == "regression":
        labels = dict(targets=numpy.round(draw.standard_normal((len(lengths), count)), 3).tolist())
    else:
        labels = dict(labels=[int(l) for l in draw.integers(0, count, len(lengths))])

    f32 = run(name, weights, sequences, labels)
    with DoublePrecision():
        f64 = run(name, weights, sequences, labels)
    assert all(value.dtype == torch.float64 for value in f64.values()), name
    difference = float((f32["scores"].double() - f64["scores"]).abs().max())
    assert 0 < difference < 2e-5, (name, difference)
    most = 1e-3 * max(float(value.abs().max()) for key, value in f64.items() if key.startswith("gradient."))
    apart = max(float((f32[key].double() - value).abs().max()) / max(float(value.abs().max()), most) for key, value in f64.items() if key.startswith("gradient."))
    assert apart < 5e-5, (name, apart)  # else float32 itself cannot be within 1e-4 of this fixture
    integers = lambda values: numpy.array(values, dtype=numpy.int32)
    numbers = {key: value.numpy() for key, value in f64.items()}
    numbers.update(input_ids=integers(sum(sequences, [])), lengths=integers(lengths))
    for key, value in labels.items():
        numbers[key] = numpy.array(value) if key == "targets" else integers(value)
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_heads.py", "seed": seed, **FOUND})})
    print(name, "loss", float(f64["loss"][0]), "f32 differs by", difference, "and its gradients by", apart, flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or MODELS:
        make(name)
