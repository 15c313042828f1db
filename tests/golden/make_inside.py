"""Writes tests/golden/inside/: what transformers sees inside the tiny models of families/ and models/: hidden states, attention maps, masks of
the caller's own.

    python3 tests/golden/make_inside.py      # needs the versions that make_families.py pins, and its models

NAME.safetensors, float64 by the same means as there:
  input_ids, lengths       two sequences, packed; transformers pads them on the left
  hidden_states.I          I = 0 ... layers, of all tokens
  attentions.L.S           layer L, sequence S: (heads, queries, keys)
  masked.ids, masked.KIND  (queries, keys), 1: visible; KIND.logits, KIND.loss, KIND.gradient (of the token embedding) under it
"""
import inspect
import json
import os

import numpy
import torch
import transformers
from safetensors.numpy import save_file

from make_families import FOUND, PINNED, DoublePrecision, padded

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = {"gpt2": ("models/gpt2", True), "llama": ("families/llama_llama3", True), "bloom": ("families/bloom", False),
          "mistral": ("families/mistral", False), "openai_gpt": ("families/openai_gpt", False)}
LENGTHS, MASKED = (13, 11), 19


def positions(model, mask):
    return dict(position_ids=(mask.cumsum(-1) - 1).clamp(min=0)) if "position_ids" in inspect.signature(model.forward).parameters else {}


def make(name):
    folder, masks = MODELS[name]
    single = transformers.AutoModelForCausalLM.from_pretrained(os.path.join(HERE, folder), attn_implementation="eager")
    with DoublePrecision():
        compute(name, folder, masks, single)


def compute(name, folder, masks, single):
    model = transformers.AutoModelForCausalLM.from_config(single.config, attn_implementation="eager", dtype=torch.float64).eval()
    model.load_state_dict(single.state_dict())
    draw = numpy.random.Generator(numpy.random.PCG64(sum(map(ord, name))))
    vocabulary = model.config.vocab_size
    sequences = [[int(t) for t in draw.integers(0, vocabulary, length)] for length in LENGTHS]
    ids, mask = padded(sequences)
    numbers = {"input_ids": numpy.array(sum(sequences, []), dtype=numpy.int32), "lengths": numpy.array(LENGTHS, dtype=numpy.int32)}
    with torch.no_grad():
        answer = model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True, **positions(model, mask))
    assert len(answer.hidden_states) == len(answer.attentions) + 1 == model.config.num_hidden_layers + 1
    for index, states in enumerate(answer.hidden_states):
        numbers[f"hidden_states.{index}"] = states[mask.bool()].numpy()
    for layer, maps in enumerate(answer.attentions):
        for row, length in enumerate(LENGTHS):
            numbers[f"attentions.{layer}.{row}"] = maps[row, :, -length:, -length:].numpy()
    if masks:
        chosen = [int(t) for t in draw.integers(0, vocabulary, MASKED)]
        numbers["masked.ids"] = numpy.array(chosen, dtype=numpy.int32)
        place = numpy.arange(MASKED)
        kinds = {"random": (draw.random((MASKED, MASKED)) < 0.4) | (place[:, None] == place), "blocks": place[:, None] // 5 == place // 5}
        for kind, visible in kinds.items():
            numbers[f"masked.{kind}"] = visible.astype(numpy.int32)
            bias = torch.zeros((1, 1, MASKED, MASKED)).masked_fill(~torch.tensor(visible), torch.finfo(torch.float64).min)
            model.zero_grad()
            logits = model(input_ids=torch.tensor([chosen]), attention_mask=bias, position_ids=torch.arange(MASKED)[None]).logits[0]
            loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(chosen[1:]))
            loss.backward()
            numbers[f"{kind}.logits"], numbers[f"{kind}.loss"] = logits.detach().numpy(), loss.detach().reshape(1).numpy()
            numbers[f"{kind}.gradient"] = model.get_input_embeddings().weight.grad.numpy().copy()
    for key, value in numbers.items():
        assert value.dtype in (numpy.float64, numpy.int32), (name, key, value.dtype)
    os.makedirs(os.path.join(HERE, "inside"), exist_ok=True)
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(HERE, "inside", name + ".safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_inside.py", "model": folder, **FOUND})})
    print(name, len(numbers), "tensors", flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in MODELS:
        make(name)
