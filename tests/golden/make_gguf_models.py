"""Writes tests/golden/gguf_models/: models of tests/golden/families and tests/golden/models as GGUF files.

    python3 tests/golden/make_gguf_models.py      # needs the versions in PINNED

Names of tensors are those of the gguf package, keys are written by its writer. What llama.cpp's converter does to values beyond that is
done here from its description: rows of queries and keys in pairs (llama), 1 added to gains (gemma), queries, keys and values apart
(bloom, gptneox), experts stacked. Where transformers reads such files itself, its logits must be the fixture's.
"""
import importlib.metadata
import json
import os
import re
import tempfile

import gguf
import numpy
import torch
import transformers
from safetensors.numpy import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
PINNED = {"gguf": "0.19.0", "transformers": "5.24.0", "torch": "2.15"}
# Fixture: architecture. transformers' reader of GGUF takes many settings for granted (head width, windows, caps, scaling): of these models it
# reads the three of READ_BACK as they are.
MODELS = {
    "families/llama_llama3": "LLAMA", "families/llama_linear": "LLAMA", "families/llama_yarn": "LLAMA", "families/mistral_full": "LLAMA",
    "families/mixtral": "LLAMA", "models/gpt2": "GPT2", "families/qwen2": "QWEN2", "families/qwen3": "QWEN3",
    "families/qwen2_moe_plain": "QWEN2MOE", "families/qwen3_moe_renormalised": "QWEN3MOE", "families/gemma": "GEMMA", "families/gemma2": "GEMMA2",
    "families/gemma3_default": "GEMMA3", "families/phi3": "PHI3", "families/phi3_long": "PHI3", "families/olmo2": "OLMO2",
    "families/smollm3": "SMOLLM3", "families/stablelm": "STABLELM", "families/stablelm_parallel": "STABLELM", "families/gpt_neox": "GPTNEOX",
    "families/bloom": "BLOOM",
}
READ_BACK = ("families/mistral_full", "families/qwen2", "families/bloom")


def permuted(rows, heads):
    """(heads, 2, half, ...) -> (heads, half, 2, ...): pairs that turn together lie side by side."""
    shape = rows.shape
    return rows.reshape(heads, 2, shape[0] // heads // 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def apart(rows, heads):
    """Each head's query, key and value in turn -> all queries, all keys, all values."""
    width = rows.shape[0] // heads // 3
    return rows.reshape(heads, 3, width, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)


def tensors_of(arch, config, weights):
    heads = config.get("num_attention_heads", config.get("n_head"))
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[arch], layers)
    experts, out = {}, {}
    for name, value in weights.items():
        if arch == "BLOOM":
            name = name.replace("transformer.", "")
        if name == "lm_head.weight" and config.get("tie_word_embeddings", arch in ("GPT2", "BLOOM", "GEMMA", "GEMMA2", "GEMMA3")):
            continue
        stack = re.match(r"(model\.layers\.\d+\.(?:block_sparse_moe|mlp)\.experts)\.(\d+)\.(\w+)\.weight", name)
        if stack:
            experts.setdefault((stack[1], stack[3]), {})[int(stack[2])] = value
            continue
        if arch in ("LLAMA", "SMOLLM3") and ("q_proj" in name or "k_proj" in name):
            value = permuted(value, heads if "q_proj" in name else config["num_key_value_heads"])
        if arch.startswith("GEMMA") and name.endswith("norm.weight"):
            value = value + numpy.float32(1)
        if arch in ("BLOOM", "GPTNEOX") and "query_key_value" in name:
            value = apart(value, heads)
        if arch == "GPT2" and re.search(r"\.(c_attn|c_proj|c_fc)\.weight", name):
            value = value.T
        out[names.get_name(name, try_suffixes=(".weight", ".bias")) or "?" + name] = numpy.ascontiguousarray(value)
    for (prefix, part), matrices in experts.items():
        stacked = numpy.stack([matrices[e] for e in range(len(matrices))])
        out[names.get_name(f"{prefix}.{part}.weight", try_suffixes=(".weight",))] = stacked
    assert not any(name.startswith("?") for name in out), list(out)
    return out


def write(path, arch, config, weights):
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH[arch]])
    width = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    head = config.get("head_dim") or width // heads
    rope = config.get("rope_parameters") or {}
    local = None
    if "full_attention" in rope:
        local, rope = rope["sliding_attention"], rope["full_attention"]
    writer.add_context_length(config.get("max_position_embeddings", config.get("n_positions", 2048)))
    writer.add_embedding_length(width)
    writer.add_block_count(config.get("num_hidden_layers", config.get("n_layer")))
    writer.add_feed_forward_length(config.get("intermediate_size") or config.get("n_inner") or 4 * width)
    writer.add_head_count(heads)
    if "num_key_value_heads" in config:
        writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_vocab_size(config["vocab_size"])
    if arch not in ("GPT2", "BLOOM", "GPTNEOX"):
        writer.add_key_length(head)
        writer.add_value_length(head)
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    else:
        writer.add_layer_norm_eps(config.get("layer_norm_epsilon", config.get("layer_norm_eps")))
    if rope:
        writer.add_rope_freq_base(rope["rope_theta"])
        writer.add_rope_dimension_count(int(head * rope.get("partial_rotary_factor", 1)))
    extra = {}
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if kind == "llama3":
        frequency = rope["rope_theta"] ** (-numpy.arange(0, head, 2, dtype=numpy.float64) / head)
        wavelength = 2 * numpy.pi / frequency
        low, high = rope["original_max_position_embeddings"] / rope["low_freq_factor"], rope["original_max_position_embeddings"] / rope["high_freq_factor"]
        smooth = (rope["original_max_position_embeddings"] / wavelength - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        factors = numpy.where(wavelength < high, 1.0, numpy.where(wavelength > low, rope["factor"], 1 / ((1 - smooth) / rope["factor"] + smooth)))
        extra["rope_freqs.weight"] = factors.astype(numpy.float32)
    if kind == "longrope":
        trained = config["original_max_position_embeddings"]
        writer.add_rope_scaling_orig_ctx_len(trained)
        scale = config["max_position_embeddings"] / trained
        writer.add_rope_scaling_attn_factors((1 + numpy.log(scale) / numpy.log(trained)) ** 0.5 if scale > 1 else 1.0)
        extra["rope_factors_long.weight"] = numpy.array(rope["long_factor"], dtype=numpy.float32)
        extra["rope_factors_short.weight"] = numpy.array(rope["short_factor"], dtype=numpy.float32)
    if local:
        writer.add_rope_freq_base_swa(local["rope_theta"])
    if config.get("sliding_window") and arch in ("PHI3", "GEMMA2", "GEMMA3"):
        writer.add_sliding_window(config["sliding_window"])
    if arch == "GEMMA2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if arch in ("GPTNEOX", "STABLELM"):
        writer.add_parallel_residual(config["use_parallel_residual"])
    experts = config.get("num_local_experts", config.get("num_experts"))
    if experts:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        if "moe_intermediate_size" in config:
            writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
        if "shared_expert_intermediate_size" in config:
            writer.add_expert_shared_feed_forward_length(config["shared_expert_intermediate_size"])
    for name, value in {**tensors_of(arch, config, weights), **extra}.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(name, arch):
    folder = os.path.join(HERE, name)
    config, weights = json.load(open(os.path.join(folder, "config.json"))), load_file(os.path.join(folder, "model.safetensors"))
    golden = load_file(os.path.join(folder, "golden.safetensors"))
    path = os.path.join(HERE, "gguf_models", os.path.basename(name) + ".gguf")
    write(path, arch, config, weights)
    print(name, os.path.getsize(path), "bytes", flush=True)
    if name not in READ_BACK:
        return
    with tempfile.TemporaryDirectory() as place:
        os.symlink(path, os.path.join(place, "m.gguf"))
        model = transformers.AutoModelForCausalLM.from_pretrained(place, gguf_file="m.gguf", attn_implementation="eager", dtype=torch.float32).eval()
    first = int(golden["lengths"][0])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor(golden["input_ids"][:first].astype(numpy.int64))[None]).logits[0].numpy()
    difference = abs(logits - golden["logits"][:first]).max()
    assert difference < 1e-5, (name, difference)


if __name__ == "__main__":
    for package, version in PINNED.items():
        found = importlib.metadata.version(package)
        assert found.startswith(version), f"{package} is {found}, this fixture is made with {version}"
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.makedirs(os.path.join(HERE, "gguf_models"), exist_ok=True)
    for name, arch in MODELS.items():
        make(name, arch)
