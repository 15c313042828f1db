"""Writes tests/golden/encoder_decoders/ and tests/golden/encoders/: tiny models and what transformers computes with them.

    python3 tests/golden/make_encoder_decoders.py [NAME...]     # needs the versions in make_families.py; every run gives the same bytes

One folder a model: config.json and model.safetensors as transformers saves them, golden.safetensors (float64, but for `hidden.*`).
As in make_families.py the names torch.float32 and Tensor.float mean float64 while a model computes; the same in plain float32 must agree.
Encoder-decoders are padded on the right, as their tokenizers do; only real tokens are stored, packed.
"""
import json
import os
import shutil
import sys

import numpy
import torch
import transformers
from safetensors.numpy import save_file

from make_families import FOUND, PINNED, VOCABULARY, DoublePrecision

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES, TARGETS, GENERATED = (37, 23), (19, 29), 64

T5 = dict(vocab_size=VOCABULARY, d_model=18, d_kv=5, d_ff=44, num_layers=2, num_decoder_layers=3, num_heads=3, relative_attention_num_buckets=8,
          relative_attention_max_distance=21, layer_norm_epsilon=1e-4, dropout_rate=0.0, decoder_start_token_id=0)
MARIAN = dict(vocab_size=VOCABULARY, d_model=20, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4, decoder_attention_heads=5,
              encoder_ffn_dim=28, decoder_ffn_dim=36, max_position_embeddings=96, activation_function="swish", scale_embedding=True, dropout=0.0,
              pad_token_id=VOCABULARY - 1, decoder_start_token_id=VOCABULARY - 1, eos_token_id=1, forced_eos_token_id=1)
BERT = dict(vocab_size=VOCABULARY, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=44, max_position_embeddings=48,
            type_vocab_size=3, layer_norm_eps=1e-4, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)

# name: seed, class of the configuration, its keys
MODELS = {
    "t5": (201, "T5", T5),
    "t5_gated": (202, "T5", dict(T5, feed_forward_proj="gated-gelu", tie_word_embeddings=False)),
    "marian": (203, "Marian", MARIAN),
    "marian_split": (204, "Marian", dict(MARIAN, d_model=15, encoder_attention_heads=3, activation_function="relu", scale_embedding=False,
                                         share_encoder_decoder_embeddings=False, decoder_vocab_size=47, pad_token_id=46, decoder_start_token_id=46)),
    "bert": (205, "Bert", BERT),
    "bert_cls": (206, "Bert", dict(BERT, hidden_act="gelu_new", num_attention_heads=4)),
    "roberta": (207, "Roberta", dict(BERT, pad_token_id=1, bos_token_id=0, eos_token_id=2)),
    "t5_encoder": (209, "T5Encoder", T5),
    "t5_gated_encoder": (210, "T5Encoder", dict(T5, d_model=20, feed_forward_proj="gated-gelu", num_layers=3)),
    "xlm_roberta": (208, "XLMRoberta", dict(BERT, hidden_size=20, num_attention_heads=5, pad_token_id=4, type_vocab_size=1)),
}
HEADS = {"T5": "T5ForConditionalGeneration", "Marian": "MarianMTModel", "Bert": "BertModel", "Roberta": "RobertaModel",
         "XLMRoberta": "XLMRobertaModel", "T5Encoder": "T5EncoderModel"}
ENCODERS = ("Bert", "Roberta", "XLMRoberta", "T5Encoder")
# What generate() is asked for beside 4 beams that are all returned.
SEARCHES = [dict(), dict(early_stopping=True, length_penalty=0.6), dict(early_stopping="never", length_penalty=1.7),
            dict(early_stopping="never", length_penalty=0.0), dict(bad_words=True, renormalize_logits=True, forced_eos_token_id=1)]


def build(name):
    _, family, keys = MODELS[name]
    config = getattr(transformers, family.removesuffix("Encoder") + "Config")(**keys)
    config._attn_implementation = "eager"
    model = getattr(transformers, HEADS[family])(config)
    if name == "t5_gated":  # transformers ties a head unless a file holds another
        model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    if family == "Marian":
        model.final_logits_bias.requires_grad_(True)  # a buffer: its gradient is asked for all the same
    return model.eval()


def trained(model):
    found = {name: parameter for name, parameter in model.named_parameters() if "embed_positions" not in name}
    if hasattr(model, "final_logits_bias"):
        found["final_logits_bias"] = model.final_logits_bias
    return found


def fill(model, seed):
    """Every parameter random: gains around 1, biases around 0, small embeddings, so that a wrong epsilon of a norm shows."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(trained(model).items()):
            noise = generator.standard_normal(tuple(parameter.shape))
            if name == "final_logits_bias":
                value = 0.3 * noise
            elif parameter.ndim == 1:
                value = 0.2 * noise if name.endswith("bias") else 1.0 + 0.3 * noise
            elif "relative_attention_bias" in name:
                value = 0.7 * noise
            else:
                small = any(key in name for key in ("shared", "embed"))
                value = noise * (0.3 if small else 0.8 / numpy.sqrt(parameter.shape[-1]))
            parameter.copy_(torch.from_numpy(value.astype("float32")))


def padded(sequences, pad):
    width = max(len(sequence) for sequence in sequences)
    ids, mask = torch.full((len(sequences), width), pad), torch.zeros((len(sequences), width), dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, :len(sequence)] = torch.tensor(sequence)
        mask[row, :len(sequence)] = 1
    return ids, mask


def hooks(model, caught):
    """Catches what each layer makes of the residual stream."""
    kinds = {"T5Block": 0, "MarianEncoderLayer": 0, "MarianDecoderLayer": 0, "BertLayer": 0, "RobertaLayer": 0, "XLMRobertaLayer": 0}
    placed = []
    for name, module in model.named_modules():
        if type(module).__name__ in kinds:
            stack, index = ("decoder" if "decoder" in name else "encoder"), name.rsplit(".", 1)[1]
            placed.append(module.register_forward_hook(
                lambda m, i, o, key=f"hidden.{stack}.{index}": caught.update({key: o[0] if isinstance(o, (tuple, list)) else o})))
    return placed


def forward(model, sources, targets):
    ids, mask = padded(sources, 7)
    inputs, target_mask = padded(targets, 7)
    caught = {}
    placed = hooks(model, caught)
    logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=inputs, decoder_attention_mask=target_mask).logits
    for hook in placed:
        hook.remove()
    rows = {"encoder": mask.bool(), "decoder": target_mask.bool()}
    return logits[rows["decoder"]], {key: value[rows[key.split(".")[1]]] for key, value in caught.items()}


def gradients(model, loss, prefix):
    for parameter in trained(model).values():
        parameter.grad = None
    loss.backward(retain_graph=True)
    return {prefix + name: (torch.zeros_like(p) if p.grad is None else p.grad.clone()) for name, p in trained(model).items()}


def practise(name, model, sources, targets):
    """A random model writes one token again and again: some steps of training give it something to say, and an end."""
    optimiser = torch.optim.Adam(trained(model).values(), lr=0.01)
    labels = torch.tensor([t for target in targets for t in target[1:] + [1]])
    for _ in range(90 if name == "marian_split" else 60):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(forward(model, sources, targets)[0], labels).backward()
        optimiser.step()


def until(ids, ends):
    """Behind the end token there is padding."""
    return next((ids[:place + 1] for place, token in enumerate(ids) if token in ends), ids)


def run_encoder_decoder(name, weights, sources, targets):
    model = build(name)
    model.load_state_dict(weights)
    config = model.config
    logits, hidden = forward(model, sources, targets)
    labels = torch.tensor([t for target in targets for t in target[1:] + [-1]])
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=-1)
    out = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
    out.update({key: value.detach() for key, value in hidden.items()})
    out.update(gradients(model, loss, "gradient."))
    start = 0
    for source, target in zip(sources, targets):  # padding must not matter: each pair alone gives its rows
        alone = forward(model, [source], [target])[0].detach()
        difference = float((alone - out["logits"][start:start + len(target)]).abs().max())
        assert difference < (1e-10 if logits.dtype == torch.float64 else 1e-4), (name, difference)
        start += len(target)

    integers = {}
    with torch.no_grad():
        chosen, margin = [config.decoder_start_token_id], float("inf")
        for _ in range(GENERATED):
            best = forward(model, sources[:1], [chosen])[0][-1].topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            chosen.append(int(best.indices[0]))
        integers["greedy_ids"] = chosen[1:]
        ends = integers["end_tokens"] = sorted({1, chosen[13]})
        source = torch.tensor([sources[0]])  # without a cache: that of 5.24 has as many layers as the encoder
        for index, search in enumerate(SEARCHES):
            keys = {key: value for key, value in search.items() if key != "bad_words"}
            keys.setdefault("forced_eos_token_id", None)
            keys["eos_token_id"] = ends
            if "bad_words" in search:
                keys["bad_words_ids"] = [[config.pad_token_id]]
            found = model.generate(source, num_beams=4, num_return_sequences=4, max_new_tokens=24, do_sample=False, use_cache=False,
                                   return_dict_in_generate=True, output_scores=True, **keys)
            out[f"beam.{index}.scores"] = found.sequences_scores.clone()
            for beam, sequence in enumerate(found.sequences.tolist()):
                ids = sequence[1:]
                integers[f"beam.{index}.{beam}"] = until(ids, ends)
        found = model.generate(source, num_beams=1, eos_token_id=ends, do_sample=False, max_new_tokens=24, forced_eos_token_id=None, use_cache=False)
        integers["generated_ids"] = until(found[0].tolist()[1:], ends)
    if name == "t5":
        from transformers.models.t5.modeling_t5 import T5Attention
        distances = torch.arange(-200, 201)
        for key, both in (("buckets.both", True), ("buckets.causal", False)):
            integers[key] = T5Attention._relative_position_bucket(distances, both, 32, 128).tolist()
    return out, integers, margin


def padding(model):
    """Any token, for the attention mask hides it; but RoBERTa numbers positions by what is not its own padding token."""
    return model.config.pad_token_id if "roberta" in model.config.model_type else 7


def run_encoder(name, weights, sources, types):
    model = build(name)
    model.load_state_dict(weights)
    ids, mask = padded(sources, padding(model))
    caught = {}
    placed = hooks(model, caught)
    answer = model(input_ids=ids, attention_mask=mask, **({"token_type_ids": padded(types, 0)[0]} if types else {}))
    for hook in placed:
        hook.remove()
    rows, table = mask.bool(), model.get_input_embeddings().weight
    states = answer.last_hidden_state
    mean = (states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    embeddings = {"mean": torch.nn.functional.normalize(mean), "cls": states[:, 0]}
    out = {"states": states[rows].detach()}
    out.update({key: value[rows].detach() for key, value in caught.items()})
    out.update({"embedding." + key: value.detach() for key, value in embeddings.items()})
    targets = torch.tensor([(7 * t + 3) % VOCABULARY for source in sources for t in source])
    of_pooled = torch.tensor([5, 11])
    losses = {"states": (states[rows], targets), "mean": (embeddings["mean"], of_pooled)}
    if getattr(answer, "pooler_output", None) is not None:
        out["pooled"], losses["pooled"] = answer.pooler_output.detach(), (answer.pooler_output, of_pooled)
    for key, (vectors, wanted) in losses.items():
        loss = torch.nn.functional.cross_entropy(vectors @ table.T, wanted)
        out["loss." + key] = loss.detach().reshape(1)
        out.update(gradients(model, loss, f"gradient.{key}."))
    return out, {"targets": targets.tolist()}, 1.0


def make(name):
    seed, family, _ = MODELS[name]
    folder = os.path.join(HERE, "encoders" if family in ENCODERS else "encoder_decoders", name)
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name)
    fill(model, seed)
    tokens = numpy.random.Generator(numpy.random.PCG64(seed + 1000))
    words = getattr(model.config, "decoder_vocab_size", None) or VOCABULARY
    sources = [[int(t) for t in tokens.integers(0, VOCABULARY, length)] for length in SOURCES]
    if family in ("Roberta", "XLMRoberta"):
        sources = [[t if t != padding(model) else 9 for t in source] for source in sources]
    integers = {"source_ids": sum(sources, []), "source_lengths": list(map(len, sources))}
    if family in ENCODERS:
        extra = []
        if family != "T5Encoder":
            extra = [[int(t) for t in tokens.integers(0, model.config.type_vocab_size, length)] for length in SOURCES]
            integers["token_types"] = sum(extra, [])
        run = run_encoder
    else:
        start = model.config.decoder_start_token_id
        extra = [[start] + [int(t) for t in tokens.integers(0, words, length - 1)] for length in TARGETS]
        practise(name, model, sources, extra)
        integers.update(input_ids=sum(extra, []), target_lengths=list(map(len, extra)), targets=[t for e in extra for t in e[1:] + [-1]])
        run = run_encoder_decoder

    weights = {key: value.detach().clone() for key, value in model.state_dict().items()}
    model.save_pretrained(folder)
    if os.path.exists(os.path.join(folder, "generation_config.json")):
        os.remove(os.path.join(folder, "generation_config.json"))
    f32, ids, _ = run(name, weights, sources, extra)
    with DoublePrecision():
        f64, ids64, margin = run(name, weights, sources, extra)
    assert all(value.dtype == torch.float64 for value in f64.values()), [k for k, v in f64.items() if v.dtype != torch.float64]
    assert ids == ids64 and margin > 1e-4, (name, margin, [k for k in ids if ids[k] != ids64[k]])
    key = "states" if family in ENCODERS else "logits"
    difference = float((f32[key].double() - f64[key]).abs().max())
    assert 0 < difference < 2e-5, (name, difference)

    numbers = {key: value.to(torch.float32).numpy() if key.startswith("hidden.") else value.numpy() for key, value in f64.items()}
    numbers.update({key: numpy.array(value, dtype=numpy.int32) for key, value in (integers | ids).items()})
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_encoder_decoders.py", "seed": seed, **FOUND})})
    print(name, "different ids", len(set(ids.get("greedy_ids", []))), "margin", margin, "f32 differs by", difference, flush=True)


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for name in sys.argv[1:] or MODELS:
        make(name)
