"""Writes tests/golden/encoder_heads/: tiny encoders with heads, and what transformers computes with them.

    python3 tests/golden/make_encoder_heads.py [NAME...]     # needs the versions in make_families.py; every run gives the same bytes

One folder a model: config.json and model.safetensors as transformers saves them, golden.safetensors (float64, as in make_encoder_decoders.py):
`scores` of sequences or tokens, or `logits` of a head of masked tokens, `loss` and `gradient.*` of every tensor. A sequence is a pair of texts,
with token types 0 and 1 where the model has them; batches are padded on the right and only real tokens are stored, packed.
"""
import json
import os
import shutil
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file

from make_encoder_decoders import BERT, fill, gradients, padded, padding
from make_families import FOUND, PINNED, VOCABULARY, DoublePrecision

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "encoder_heads")
SEQUENCE, TOKENS, MASKED = "ForSequenceClassification", "ForTokenClassification", "ForMaskedLM"
PAIRS = ((17, 20), (9, 14), (1, 29))  # tokens of both texts of each sequence
SMALL = dict(BERT, hidden_size=18, intermediate_size=28, type_vocab_size=2, max_position_embeddings=40)
ROBERTA = dict(SMALL, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1)
NAMES = dict(id2label={0: "bad", 1: "middling", 2: "good"}, label2id={"bad": 0, "middling": 1, "good": 2})

# name: seed, stem and class, keys
MODELS = {
    "bert_sequence": (1, "Bert", SEQUENCE, dict(SMALL, **NAMES)),
    "bert_reranker": (2, "Bert", SEQUENCE, dict(SMALL, num_labels=1)),
    "bert_several": (3, "Bert", SEQUENCE, dict(SMALL, num_labels=4, problem_type="multi_label_classification")),
    "bert_tokens": (4, "Bert", TOKENS, dict(SMALL, num_labels=5)),
    "bert_masked": (5, "Bert", MASKED, dict(SMALL, hidden_act="gelu_new")),
    "roberta_sequence": (6, "Roberta", SEQUENCE, dict(ROBERTA, **NAMES)),
    "roberta_tokens": (7, "Roberta", TOKENS, dict(ROBERTA, num_labels=3)),
    "roberta_masked": (8, "Roberta", MASKED, dict(ROBERTA, hidden_act="relu")),
    "xlm_roberta_reranker": (9, "XLMRoberta", SEQUENCE, dict(ROBERTA, num_labels=1, pad_token_id=4, max_position_embeddings=44)),
}


def build(name):
    _, stem, kind, keys = MODELS[name]
    config = getattr(transformers, stem + "Config")(**keys)
    config._attn_implementation = "eager"
    return getattr(transformers, stem + kind)(config).eval()


def run(name, weights, sequences, types, labels):
    kind = MODELS[name][2]
    model = build(name)
    model.load_state_dict(weights)
    ids, mask = padded(sequences, padding(model))
    rows = mask.bool()
    if kind == SEQUENCE:
        wanted = torch.tensor(labels["labels"]) if "labels" in labels else torch.tensor(labels["targets"], dtype=model.dtype)
    else:
        wanted = torch.full(ids.shape, -100)
        wanted[rows] = torch.tensor([-100 if label < 0 else label for label in labels["labels"]])
    answer = model(input_ids=ids, attention_mask=mask, token_type_ids=padded(types, 0)[0], labels=wanted)
    out = {"logits" if kind == MASKED else "scores": (answer.logits if kind == SEQUENCE else answer.logits[rows]).detach(),
           "loss": answer.loss.detach().reshape(1)}
    out.update(gradients(model, answer.loss, "gradient."))
    return out


def make(name):
    seed, stem, kind, keys = MODELS[name]
    folder = os.path.join(HERE, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name)
    fill(model, seed)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    draw = numpy.random.Generator(numpy.random.PCG64(seed + 2000))
    pad = model.config.pad_token_id
    sequences = [[9 if stem != "Bert" and t == pad else int(t) for t in draw.integers(0, VOCABULARY, a + b)] for a, b in PAIRS]
    types = [[0] * a + [min(1, keys["type_vocab_size"] - 1)] * b for a, b in PAIRS]
    count, tokens = model.config.num_labels, sum(map(len, sequences))
    if kind == TOKENS:
        labels = dict(labels=[int(l) for l in draw.integers(-1, count, tokens)])
    elif kind == MASKED:
        labels = dict(labels=[int(l) if draw.random() < 0.3 else -1 for l in draw.integers(0, VOCABULARY, tokens)])
    elif keys.get("problem_type") == "multi_label_classification":
        labels = dict(targets=draw.integers(0, 2, (len(PAIRS), count)).astype("float64").tolist())
    elif count == 1:
        labels = dict(targets=numpy.round(draw.standard_normal((len(PAIRS), 1)), 3).tolist())
    else:
        labels = dict(labels=[int(l) for l in draw.integers(0, count, len(PAIRS))])

    f32 = run(name, weights, sequences, types, labels)
    with DoublePrecision():
        f64 = run(name, weights, sequences, types, labels)
    assert all(value.dtype == torch.float64 for value in f64.values()), name
    most = 1e-3 * max(float(value.abs().max()) for key, value in f64.items() if key.startswith("gradient."))
    apart = max(float((f32[key].double() - value).abs().max()) / max(float(value.abs().max()), most) for key, value in f64.items())
    assert 0 < apart < 3e-5, (name, apart)  # else float32 itself cannot be within 1e-4 of this fixture
    integers = lambda values: numpy.array(values, dtype=numpy.int32)
    numbers = {key: value.numpy() for key, value in f64.items()}
    numbers.update(input_ids=integers(sum(sequences, [])), lengths=integers(list(map(len, sequences))), token_types=integers(sum(types, [])))
    for key, value in labels.items():
        numbers[key] = numpy.array(value) if key == "targets" else integers(value)
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_encoder_heads.py", "seed": seed, **FOUND})})
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    print(name, "loss", float(f64["loss"][0]), "f32 differs by", apart, flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or MODELS:
        make(name)
