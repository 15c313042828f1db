"""Writes tests/golden/pair_lora/: adapters that peft saved for the encoder-decoders of tests/golden/encoder_decoders/, and what peft computes with them.

    python3 tests/golden/make_pair_lora.py     # needs the versions in make_families.py, peft 0.21.2, accelerate 1.15.0

One folder an adapter, as PeftModel.save_pretrained writes it (adapter_config.json, adapter_model.safetensors, float32; A and B both random), and
golden.safetensors, computed in float64 from those values (double_precision.py) on the batch of the base model's fixture: `logits`, `loss`,
`gradient.MODULE.lora_A` and `.lora_B`, the losses before each of 12 steps of AdamW (lr 3e-3, betas 0.9/0.999, eps 1e-6, decay 0.1 on A and B) in
`step_losses`, and 24 greedy ids of the first source in `greedy_ids`.
"""
import json
import os
import shutil

import numpy
import peft
import torch
import transformers
from safetensors.numpy import load_file, save_file

from make_encoder_decoders import HERE, build, forward
from make_families import FOUND, PINNED, DoublePrecision

LORA, BASES = os.path.join(HERE, "pair_lora"), os.path.join(HERE, "encoder_decoders")
PEFT, STEPS, GENERATED = "0.21.2", 12, 24
# name: base, seed, size of B, options
ADAPTERS = {
    "t5_q_v": ("t5", 1, 0.3, dict(r=3, lora_alpha=16, target_modules=["q", "v"])),
    "t5_gated_all": ("t5_gated", 2, 0.08, dict(r=4, lora_alpha=5, target_modules="all-linear", use_rslora=True, rank_pattern={"EncDecAttention.k": 2, "wi_1": 6},
                                         alpha_pattern={"EncDecAttention.k": 3, "wi_1": 9})),
    "t5_gated_head": ("t5_gated", 3, 0.2, dict(r=2, lora_alpha=3, target_modules=["o", "lm_head"])),
    "marian_q_v": ("marian", 4, 0.15, dict(r=3, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "marian_split_some": ("marian_split", 5, 0.15, dict(r=2, lora_alpha=4, target_modules=["encoder_attn.k_proj", "out_proj", "fc1", "fc2"], lora_dropout=0.1)),
}


def adapted(base, options):
    plain = build(base)
    weights = {key: torch.from_numpy(value) for key, value in load_file(os.path.join(BASES, base, "model.safetensors")).items()}
    missing, unexpected = plain.load_state_dict(weights, strict=False)
    assert not unexpected and all("embed_" in key or key == "lm_head.weight" for key in missing), (missing, unexpected)
    return peft.get_peft_model(plain, peft.LoraConfig(task_type="SEQ_2_SEQ_LM", **options)).eval()


def lora_of(model):
    return {key: parameter for key, parameter in sorted(model.named_parameters()) if "lora_" in key}


def plain_name(key):
    return key.removeprefix("base_model.model.").replace(".default.weight", "")


def computed(base, options, values, sources, inputs, targets):
    model = adapted(base, options)
    with torch.no_grad():
        for key, parameter in lora_of(model).items():
            parameter.copy_(values[key])
    model.requires_grad_(False)  # the fixture's own script lets a buffer of Marian's learn
    for parameter in lora_of(model).values():
        parameter.requires_grad_(True)
    plain = model.get_base_model()
    if hasattr(plain, "final_logits_bias"):
        plain.final_logits_bias = plain.final_logits_bias.detach()

    def loss_of():
        logits = forward(plain, sources, inputs)[0]
        return logits, torch.nn.functional.cross_entropy(logits, targets, ignore_index=-1)

    logits, loss = loss_of()
    loss.backward()
    out = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            out["gradient." + plain_name(key)] = parameter.grad.clone()
        else:
            assert parameter.grad is None, key
    return out, model, plain, loss_of


def make(name):
    base, seed, size, options = ADAPTERS[name]
    folder = os.path.join(LORA, name)
    shutil.rmtree(folder, ignore_errors=True)
    model = adapted(base, options)
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for key, parameter in lora_of(model).items():
            scale = 1 / numpy.sqrt(parameter.shape[1]) if "lora_A" in key else size
            parameter.copy_(torch.from_numpy((scale * generator.standard_normal(tuple(parameter.shape))).astype(numpy.float32)))
    values = {key: parameter.detach().clone() for key, parameter in lora_of(model).items()}
    model.create_or_update_model_card = lambda directory: None  # it would need Jinja2
    model.save_pretrained(folder, save_embedding_layers=False)
    path = os.path.join(folder, "adapter_config.json")
    with open(path) as file:
        config = json.load(file)
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()  # a set, in no order
    with open(path, "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")

    golden = load_file(os.path.join(BASES, base, "golden.safetensors"))
    cut = lambda ids, lengths: [part.tolist() for part in numpy.split(golden[ids], numpy.cumsum(golden[lengths])[:-1])]
    sources, inputs = cut("source_ids", "source_lengths"), cut("input_ids", "target_lengths")
    targets = torch.tensor(golden["targets"].tolist())
    single = computed(base, options, values, sources, inputs, targets)[0]
    with DoublePrecision():
        out, model, plain, loss_of = computed(base, options, values, sources, inputs, targets)
        most = 1e-3 * max(float(value.abs().max()) for key, value in out.items() if key.startswith("gradient."))
        apart = max(float((single[key].double() - value).abs().max()) / max(float(value.abs().max()), most) for key, value in out.items())
        assert apart < 3e-5, (name, apart)  # else float32 itself cannot be within 1e-4 of this fixture
        logits = out["logits"]
        with torch.no_grad():
            model.disable_adapter_layers()
            assert float((loss_of()[0] - logits).abs().max()) > 0.3  # the adapter is felt
            model.enable_adapter_layers()
            ids, margin = [plain.config.decoder_start_token_id], float("inf")
            for _ in range(GENERATED):
                best = forward(plain, sources[:1], [ids])[0][-1].topk(2)
                margin = min(margin, float(best.values[0] - best.values[1]))
                ids.append(int(best.indices[0]))
        assert margin > 1e-3, (name, margin)
        optimiser = torch.optim.AdamW(lora_of(model).values(), lr=3e-3, eps=1e-6, weight_decay=0.1)
        losses = []
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss = loss_of()[1]
            losses.append(float(loss.detach()))
            loss.backward()
            optimiser.step()
    numbers = {key: value.numpy() for key, value in out.items()}
    assert all(value.dtype == numpy.float64 for value in numbers.values())
    numbers.update(step_losses=numpy.array(losses), greedy_ids=numpy.array(ids[1:], dtype=numpy.int32))
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_pair_lora.py", "base": base, "seed": seed, "peft": peft.__version__, **FOUND})})
    for file in os.listdir(folder):
        os.chmod(os.path.join(folder, file), 0o644)
    print(name, len(values) // 2, "layers, f32 differs by", apart, "margin", margin, "losses", losses[0], losses[-1], "ids", len(set(ids)), flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    assert peft.__version__ == PEFT, peft.__version__
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for name in ADAPTERS:
        make(name)
