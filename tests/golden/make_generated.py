"""Writes tests/golden/generated.json: what transformers' generate() writes with the encoder-decoders of tests/golden/encoder_decoders/.

    python3 tests/golden/make_generated.py     # needs the versions in make_families.py; every run gives the same bytes

For each model, of its first source:
- `penalised`: 64 greedy ids under a repetition penalty of 1.3 with the two tokens of `suppressed` banned;
- `sampled`: ids drawn at temperature 0.7 with top-k 9 and top-p 0.85, and `probabilities`, what each was drawn from (rounded to 9 digits).
End tokens end nothing.
"""
import json
import os

import torch
import transformers
from safetensors.numpy import load_file

from make_encoder_decoders import HERE, MODELS, build
from make_families import FOUND, PINNED, DoublePrecision

PENALTY, DRAWN, RULE = 1.3, 16, dict(temperature=0.7, top_k=9, top_p=0.85)
FOLDER = os.path.join(HERE, "encoder_decoders")


def run(name):
    model = build(name)
    weights = {key: torch.from_numpy(value) for key, value in load_file(os.path.join(FOLDER, name, "model.safetensors")).items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected and all("embed_" in key or key == "lm_head.weight" for key in missing), (missing, unexpected)
    model.generation_config.eos_token_id = model.generation_config.forced_eos_token_id = None
    golden = load_file(os.path.join(FOLDER, name, "golden.safetensors"))
    source = torch.tensor([golden["source_ids"][:golden["source_lengths"][0]].tolist()])
    greedy = golden["greedy_ids"].tolist()
    suppressed = [greedy[0], next(token for token in greedy if token != greedy[0])]
    keys = dict(use_cache=False, eos_token_id=None, forced_eos_token_id=None, return_dict_in_generate=True, output_scores=True)
    found = model.generate(source, do_sample=False, max_new_tokens=64, repetition_penalty=PENALTY, suppress_tokens=suppressed, **keys)
    margin = min(float(row.topk(2).values[0, 0] - row.topk(2).values[0, 1]) for row in found.scores)
    assert margin > 1e-4, (name, margin)
    out = {"suppressed": suppressed, "penalised": found.sequences[0, 1:].tolist()}
    torch.manual_seed(7)
    found = model.generate(source, do_sample=True, max_new_tokens=DRAWN, **RULE, **keys)
    out["sampled"] = found.sequences[0, 1:].tolist()
    out["probabilities"] = [[round(float(p), 9) for p in scores[0].softmax(-1)] for scores in found.scores]
    assert len(out["penalised"]) == 64 and len(out["sampled"]) == DRAWN
    print(name, "margin", margin, "different ids", len(set(out["penalised"])), len(set(out["sampled"])), found.scores[0].dtype)
    return out


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    with DoublePrecision():
        models = {name: run(name) for name in sorted(MODELS) if os.path.isdir(os.path.join(FOLDER, name))}
    golden = {"origin": {"made_by": "tests/golden/make_generated.py", "repetition_penalty": PENALTY, **RULE, **FOUND}, "models": models}
    with open(os.path.join(HERE, "generated.json"), "w") as file:
        json.dump(golden, file, indent=None, separators=(",", ":"))
        file.write("\n")
