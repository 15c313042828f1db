"""Converts stories260K.bin (llama2.c version 0) to a Hugging Face directory on its own and writes tests/golden/stories260k_hf.json.

    python3 tests/golden/make_stories260k_hf.py STORIES260K_FOLDER HF_OUTPUT_FOLDER [TOKENS [FIXTURE.json]]

STORIES260K_FOLDER holds stories260K.bin, tok512.bin and golden.json (karpathy/llama2.c at 350e04fe). Generation from BOS is done by llama_numpy.py and by
transformers; both must give the text documented in golden.json. TOKENS is 200. Formats: llama2.c:export.py, run.c (version 0) and tokenizer.py.
"""
import hashlib
import json
import os
import platform
import struct
import sys

import numpy
import safetensors
import torch
import transformers
from safetensors.numpy import save_file
from transformers import LlamaForCausalLM

from llama_numpy import Llama, read_directory

HERE = os.path.dirname(os.path.abspath(__file__))


def half_split(weight, heads):
    """Rows of each head from interleaved pairs (2i, 2i+1) to halves (i, i + width/2)."""
    return weight.reshape(heads, -1, 2, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


def read_llama2c(path):
    with open(path, "rb") as file:
        data = file.read()
    dim, hidden, layers, heads, kv_heads, vocabulary, positions = struct.unpack_from("<7i", data)
    shared, vocabulary = vocabulary > 0, abs(vocabulary)
    kv = dim // heads * kv_heads
    groups = [("embed", (vocabulary, dim)), ("att_norm", (layers, dim)), ("wq", (layers, dim, dim)), ("wk", (layers, kv, dim)), ("wv", (layers, kv, dim)),
              ("wo", (layers, dim, dim)), ("ffn_norm", (layers, dim)), ("w1", (layers, hidden, dim)), ("w2", (layers, dim, hidden)),
              ("w3", (layers, hidden, dim)), ("norm", (dim,)), ("cos", (positions, dim // heads // 2)), ("sin", (positions, dim // heads // 2))]
    if not shared:
        groups.append(("head", (vocabulary, dim)))
    assert len(data) == 28 + 4 * sum(int(numpy.prod(shape)) for _, shape in groups)
    source, offset = {}, 28
    for name, shape in groups:
        count = int(numpy.prod(shape))
        source[name] = numpy.frombuffer(data, "<f4", count, offset).reshape(shape)
        offset += 4 * count
    tensors = {"model.embed_tokens.weight": source["embed"], "model.norm.weight": source["norm"]}
    if not shared:
        tensors["lm_head.weight"] = source["head"]
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        tensors[prefix + "input_layernorm.weight"] = source["att_norm"][layer]
        tensors[prefix + "self_attn.q_proj.weight"] = half_split(source["wq"][layer], heads)
        tensors[prefix + "self_attn.k_proj.weight"] = half_split(source["wk"][layer], kv_heads)
        tensors[prefix + "self_attn.v_proj.weight"] = source["wv"][layer]
        tensors[prefix + "self_attn.o_proj.weight"] = source["wo"][layer]
        tensors[prefix + "post_attention_layernorm.weight"] = source["ffn_norm"][layer]
        tensors[prefix + "mlp.gate_proj.weight"] = source["w1"][layer]
        tensors[prefix + "mlp.down_proj.weight"] = source["w2"][layer]
        tensors[prefix + "mlp.up_proj.weight"] = source["w3"][layer]
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": dim, "intermediate_size": hidden, "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": positions,
              "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "attention_bias": False, "mlp_bias": False,
              "tie_word_embeddings": shared, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32"}
    return config, {name: numpy.ascontiguousarray(value) for name, value in tensors.items()}


def read_pieces(path, vocabulary):
    with open(path, "rb") as file:
        data = file.read()
    pieces, offset = [], 4  # the first word is the longest piece's length
    for _ in range(vocabulary):
        _, length = struct.unpack_from("<fi", data, offset)
        pieces.append(data[offset + 8:offset + 8 + length])
        offset += 8 + length
    assert offset == len(data)
    return pieces


def decode(ids, pieces):
    """llama2.c run.c: after BOS one leading space is dropped; <0xHH> pieces are raw bytes; generation ends at BOS or EOS."""
    out = b""
    for position, token in enumerate(ids):
        piece = pieces[token]
        if position == 0 and piece.startswith(b" "):
            piece = piece[1:]
        if len(piece) == 6 and piece.startswith(b"<0x"):
            piece = bytes([int(piece[3:5], 16)])
        out += piece
    return out.decode("utf-8")


def main(source, target, count=200, fixture=os.path.join(HERE, "stories260k_hf.json")):
    with open(os.path.join(source, "golden.json")) as file:
        documented = json.load(file)
    for name in ("stories260K.bin", "tok512.bin"):
        with open(os.path.join(source, name), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == documented["sha256"][name], name
    config, tensors = read_llama2c(os.path.join(source, "stories260K.bin"))
    os.makedirs(target, exist_ok=True)
    with open(os.path.join(target, "config.json"), "w") as file:
        json.dump(config, file, indent=1)
    save_file(tensors, os.path.join(target, "model.safetensors"), metadata={"format": "pt"})

    bos = config["bos_token_id"]
    by_numpy = Llama(*read_directory(target))
    ids = by_numpy.greedy([bos], count)
    margins = numpy.sort(Llama(*read_directory(target), numpy.float64).forward([bos] + ids[:-1]), axis=-1)
    margin = float((margins[:, -1] - margins[:, -2]).min())
    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(target, attn_implementation="eager", local_files_only=True).eval()
    with torch.no_grad():
        generated = model.generate(torch.tensor([[bos]]), attention_mask=torch.ones(1, 1, dtype=torch.long), max_new_tokens=count, do_sample=False,
                                   eos_token_id=None, pad_token_id=0)[0, 1:].tolist()
        logits = model(torch.tensor([[bos]])).logits[0, 0].numpy()
    assert ids == generated, "llama_numpy.py and transformers disagree"
    assert abs(by_numpy.forward([bos])[0] - logits).max() < 1e-4
    text = decode(ids, read_pieces(os.path.join(source, "tok512.bin"), config["vocab_size"]))
    expected = documented["greedy"][0]["text"]
    print("documented text:", text == expected, "| begins with it:", text.startswith(expected), "| smallest margin", margin)
    assert text == expected, text
    first = Llama(*read_directory(target), numpy.float64).forward([bos])[0]
    best = numpy.argsort(-first)[:10]

    def facts(value):
        flat = value.ravel()
        return {"shape": list(value.shape), "sha256": hashlib.sha256(value.astype("<f4").tobytes()).hexdigest(), "sum": float(flat.sum(dtype=numpy.float64)),
                "samples": {str(i): float(flat[i]) for i in sorted({0, 1, flat.size // 3, flat.size // 2, flat.size - 1})}}

    result = {
        "origin": {"made_by": "tests/golden/make_stories260k_hf.py", "source": documented["source"], "source_sha256": documented["sha256"]["stories260K.bin"],
                   "python": platform.python_version(), "torch": torch.__version__, "numpy": numpy.__version__, "transformers": transformers.__version__,
                   "safetensors": safetensors.__version__},
        "config": config,
        "prompt_ids": [bos],
        "greedy_ids": ids,
        "greedy_smallest_margin": margin,
        "first_logits_top10": [{"id": int(i), "value": float(first[i])} for i in best],
        "tensors": {name: facts(tensors[name]) for name in sorted(tensors)},
    }
    with open(fixture, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *(int(a) if a.isdigit() else a for a in sys.argv[3:]))
