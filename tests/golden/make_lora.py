"""Writes tests/golden/lora/: adapters that peft saved for the tiny models of tests/golden/models/, and what peft computes with them.

    python3 tests/golden/make_lora.py            # needs requirements.txt and peft==0.12.0, accelerate==0.33.0, psutil==5.9.8

One folder per adapter, as PeftModel.save_pretrained writes it (adapter_config.json, adapter_model.safetensors, float32), and golden.safetensors, computed in
float64 (make_models.py says how) from those values. A and B are both random. README.md lists every key. Every merged weight is computed a second time in NumPy
from the published formula; a difference above 1e-12 stops the script.
"""
import json
import os
import re
import shutil

import numpy
import peft
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

import make_models

HERE = os.path.dirname(os.path.abspath(__file__))
LORA = os.path.join(HERE, "lora")
ADAPTERS = {
    "gpt2_c_attn": ("gpt2", dict(r=5, lora_alpha=7, target_modules=["c_attn"])),
    "gpt2_patterns": ("gpt2", dict(r=4, lora_alpha=6, target_modules=["attn.c_attn", "c_proj", "mlp.c_fc"], use_rslora=True, lora_dropout=0.1,
                                   rank_pattern={"mlp.c_proj": 3, "h.1.attn.c_attn": 7}, alpha_pattern={"h.1.attn.c_attn": 11, "mlp.c_proj": 2})),
    "llama_q_v": ("llama", dict(r=3, lora_alpha=16, target_modules=["q_proj", "v_proj"])),
    "llama_patterns": ("llama_tied_biased", dict(r=4, lora_alpha=5, target_modules="all-linear", use_rslora=True,
                                                 rank_pattern={"down_proj": 6, "layers.1.self_attn.q_proj": 2},
                                                 alpha_pattern={"down_proj": 3, "layers.1.self_attn.q_proj": 9})),
}


def batch_of(base):
    golden = load_file(os.path.join(HERE, "models", base, "golden.safetensors"))
    ids, sequences, start = golden["input_ids"].tolist(), [], 0
    for length in golden["lengths"].tolist():
        sequences.append(ids[start:start + length])
        start += length
    return sequences, torch.tensor(golden["targets"].tolist())


def forward(model, ids, mask):
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    caught = {}  # before transformers casts anything to float32
    hook = model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: caught.update(logits=output))
    model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    hook.remove()
    return caught["logits"]


def value_for(patterns, module, otherwise):
    """The published rule: the first key that is the end of the module's path."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise)


def make(name, base, options, seed):
    folder = os.path.join(LORA, name)
    shutil.rmtree(folder, ignore_errors=True)
    source = os.path.join(HERE, "models", base)
    plain = AutoModelForCausalLM.from_pretrained(source, attn_implementation="eager").eval()
    model = peft.get_peft_model(plain, peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for key, parameter in sorted(model.named_parameters()):
            if "lora_" in key:
                scale = 1 / numpy.sqrt(parameter.shape[1]) if "lora_A" in key else 0.4
                parameter.copy_(torch.from_numpy((scale * generator.standard_normal(tuple(parameter.shape))).astype(numpy.float32)))
    model.double()
    sequences, targets = batch_of(base)
    ids, mask = make_models.padded(sequences)
    logits = make_models.pack(forward(model, ids, mask), mask)
    loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=-1)
    loss.backward()
    out = {"input_ids": numpy.array([i for s in sequences for i in s], numpy.int32), "targets": targets.numpy().astype(numpy.int32),
           "lengths": numpy.array([len(s) for s in sequences], numpy.int32), "logits": logits.detach().numpy(), "loss": loss.detach().reshape(1).numpy()}
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            out["gradient." + key.removeprefix("base_model.model.").replace(".default.weight", "")] = parameter.grad.numpy().copy()
        else:
            assert parameter.grad is None, key
    with torch.no_grad():
        model.disable_adapter_layers()
        difference = float((make_models.pack(forward(model, ids, mask), mask) - logits).abs().max())
        assert difference > 0.3, difference  # the adapter is felt
        model.enable_adapter_layers()
    model.create_or_update_model_card = lambda directory: None  # it would need Jinja2
    model.float().save_pretrained(folder)
    model.double()
    with open(os.path.join(folder, "adapter_config.json")) as file:
        config = json.load(file)
    config["base_model_name_or_path"] = base  # not a path of this machine
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # a set, in no order
    with open(os.path.join(folder, "adapter_config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")

    stored = load_file(os.path.join(folder, "adapter_model.safetensors"))
    weights = {key: value.detach().numpy() for key, value in plain_weights(source).items()}
    merged = model.merge_and_unload()
    for key, value in merged.named_parameters():
        module = key.removesuffix(".weight")
        a = stored.get(f"base_model.model.{module}.lora_A.weight")
        if a is None:
            assert numpy.array_equal(value.detach().numpy(), weights[key]), key
            continue
        b = stored[f"base_model.model.{module}.lora_B.weight"]
        rank, alpha = value_for(options.get("rank_pattern", {}), module, options["r"]), value_for(options.get("alpha_pattern", {}), module, options["lora_alpha"])
        assert a.shape[0] == b.shape[1] == rank, (module, a.shape, rank)
        delta = (alpha / numpy.sqrt(rank) if options.get("use_rslora") else alpha / rank) * (b.astype(numpy.float64) @ a.astype(numpy.float64))
        expected = weights[key].astype(numpy.float64) + (delta.T if base == "gpt2" else delta)
        assert abs(expected - value.detach().numpy()).max() < 1e-12, (key, abs(expected - value.detach().numpy()).max())
        out["merged." + module] = expected.astype(numpy.float32)
    with torch.no_grad():
        again = make_models.pack(forward(merged, ids, mask), mask)
    assert float((again - logits).abs().max()) < 1e-11
    print(name, "loss", float(loss), "felt", difference, "merged against adapted", float((again - logits).abs().max()), "layers", len(stored) // 2)
    origin = {"script": "tests/golden/make_lora.py", "seed": seed, **make_models.FOUND, "peft": peft.__version__}
    save_file({key: numpy.ascontiguousarray(value) for key, value in out.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps(origin, sort_keys=True)})


def plain_weights(source):
    return dict(AutoModelForCausalLM.from_pretrained(source).named_parameters())


if __name__ == "__main__":
    assert peft.__version__ == "0.12.0", peft.__version__
    torch.set_num_threads(1)
    for number, (name, (base, options)) in enumerate(ADAPTERS.items()):
        with make_models.double_precision():
            make(name, base, options, 700 + number)
