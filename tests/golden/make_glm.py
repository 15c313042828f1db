"""Writes tests/golden/families/{chatglm,chatglm_one_stream,glm_130b,glm_130b_two_streams}/ and tests/golden/glm.json.

    python3 tests/golden/make_glm.py FOLDER [NAME...]       # needs the versions in PINNED; the same bytes on the same machine

No release of transformers has ChatGLM-6B: FOLDER holds its published files, and two of GLM-130B and GLM, under the hashes in FILES. They are
executed, never copied. Revision: modeling_chatglm.py of a8ede826 (2023-04-27, "Fix position ids in 1d position encoding"), where sop behind
[gMASK] stands at the mask; in the files of March 2023 it stood at its own index. In every revision the scale of the residual stream is that of
28 layers, whatever num_layers says, because the model does not hand num_layers on to its blocks.

GLM-130B's own code (SwissArmyTransformer, sat/model/official/glm130B_model.py of c6e5ffa8) needs a GPU. Its block is ChatGLM's with the scale
sqrt(2 layers) and, as reinit() there does, a first layer of twice the width with the activation GEGLU; GEGLU too stands in
modeling_chatglm.py. The head is tied. Positions and masks are get_masks_and_position_ids of GLM-130B's generate.py, executed.

Formats are those of make_families.py. The tests' targets: tokens from sop on; what the context predicts is not trained.
glm.json: `positions` (get_position_ids, get_masks), `infilling` (fill_blanks of generate.py, executed on the tiny glm_130b), `training`
(make_block_data of GLM's blocklm_utils.py, and the loss of the tiny chatglm), `frequencies` (bits of float16 inverse frequencies).
"""
import ast
import hashlib
import importlib.util
import json
import os
import random
import re
import shutil
import sys
import types
from functools import partial

import numpy
import safetensors
import torch
import transformers
from safetensors.numpy import save_file

from double_precision import DoublePrecision

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
PINNED = {"torch": "1.13.0", "transformers": "4.27.1", "safetensors": "0.4.5", "numpy": "1.24.2"}
FOUND = {"torch": torch.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__, "numpy": numpy.__version__}
FILES = {  # file: its repository and commit, SHA-256
    "chatglm/modeling_chatglm.py": ("THUDM/chatglm-6b a8ede826", "e77d33a0354ab0948d54f953708d09baa7345966f2fb73df749e8fe5352863eb"),
    "chatglm/configuration_chatglm.py": ("THUDM/chatglm-6b 63ce1bac", "942977b9f878be607345860a88d2fc74a75256e91d0e14ef40391818352c359b"),
    "chatglm/tokenization_chatglm.py": ("THUDM/chatglm-6b 4d0fc39a", "b52a2d87f05cd3919ba6401e6be1a82b99cd91609fbc562fea407f000dc9f873"),
    "glm-130b/generate.py": ("THUDM/GLM-130B 212215c5", "a284e770b9b0c293eed17c0e3dc0db8d0b9ba119573d6b108b5f793ba47c5be6"),
    "glm/blocklm_utils.py": ("THUDM/GLM 4f61ed72", "bc4e771f85bcb2c3b3f13e42ad69236ba542db5162ff68ff6a41e3ba58152986"),
}
VOCABULARY, GENERATED = 59, 64
MASK, GMASK, SMASK, SOP, EOP, EOS = 50, 51, 52, 53, 54, 55
CONTEXTS = ((20, 7, MASK, 37), (9, 8, GMASK, 23))  # tokens before sop, place of the mask token, its kind, all tokens

COMMON = dict(vocab_size=VOCABULARY, hidden_size=36, num_attention_heads=3, layernorm_epsilon=1e-4, bos_token_id=SOP, eos_token_id=EOP, mask_token_id=MASK,
              gmask_token_id=GMASK, pad_token_id=3, max_sequence_length=96, inner_hidden_size=44)
# name: seed, keys of the configuration
MODELS = {
    "chatglm": (61, dict(COMMON, num_layers=3)),
    "chatglm_one_stream": (62, dict(COMMON, num_layers=2, hidden_size=30, position_encoding_2d=False)),
    "glm_130b": (63, dict(COMMON, num_layers=3, position_encoding_2d=False)),
    "glm_130b_two_streams": (64, dict(COMMON, num_layers=2, inner_hidden_size=52)),
}


def load(folder):
    for name, (_, digest) in FILES.items():
        with open(os.path.join(folder, name), "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest, f"{name} is another revision"
    package = types.ModuleType("reference")
    package.__path__ = [os.path.join(folder, "chatglm")]
    sys.modules["reference"] = package
    modules = {}
    for name in ("configuration_chatglm", "modeling_chatglm", "tokenization_chatglm"):
        spec = importlib.util.spec_from_file_location("reference." + name, os.path.join(folder, "chatglm", name + ".py"))
        modules[name] = sys.modules["reference." + name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[name])
    return modules


def pieces_of(path, names, scope):
    """Executes single functions and classes of a file whose imports are not to be had."""
    with open(path) as file:
        tree = ast.parse(file.read())
    tree.body = [node for node in tree.body if getattr(node, "name", None) in names]
    exec(compile(tree, path, "exec"), scope)
    return scope


def build(name):
    keys = MODELS[name][1]
    config = REFERENCE["configuration_chatglm"].ChatGLMConfig(**keys)
    model = REFERENCE["modeling_chatglm"].ChatGLMForConditionalGeneration(config, empty_init=False).eval()
    if name.startswith("glm_130b"):
        model.lm_head.weight = model.transformer.word_embeddings.weight
        for layer in model.transformer.layers:
            layer.num_layers = len(model.transformer.layers)
            layer.mlp.dense_h_to_4h = torch.nn.Linear(config.hidden_size, 2 * config.inner_hidden_size)
            layer.mlp.activation_func = REFERENCE["modeling_chatglm"].GEGLU()
    return model.to(torch.get_default_dtype())


def fill(model, seed):
    """Every parameter random: gains around 1, biases around 0, small embeddings, so that a wrong epsilon of a norm shows."""
    generator = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = generator.standard_normal(tuple(parameter.shape))
            if parameter.ndim == 1:
                value = 0.2 * noise if name.endswith("bias") else 1 + 0.3 * noise
            else:
                value = noise * (0.08 if "word_embeddings" in name else 2.0 / numpy.sqrt(parameter.shape[-1]))
            parameter.copy_(torch.from_numpy(value.astype("float32")))


def sequences(seed):
    tokens = numpy.random.Generator(numpy.random.PCG64(seed + 1000))
    made = []
    for context, place, kind, count in CONTEXTS:
        ids = [int(t) for t in tokens.integers(4, 50, count)]
        ids[place], ids[context] = kind, SOP
        made.append(ids)
    prompt = [int(t) for t in tokens.integers(4, 50, 9)] + [GMASK, SOP]
    return made, prompt


def layout(name, model, ids):
    """Position ids and mask (True: not seen) of one sequence."""
    context = ids.index(SOP)
    kind = GMASK if GMASK in ids else MASK
    if name == "glm_130b":
        _, mask, positions = GLM_130B["get_masks_and_position_ids"](torch.tensor([ids[:context + 1]]), ids.index(kind), len(ids) - context - 1, gmask=kind == GMASK)
        return positions[0], mask[0]
    one = torch.tensor([ids])
    positions = model.get_position_ids(one, mask_positions=[ids.index(kind)], device="cpu", use_gmasks=[kind == GMASK])
    return positions[0], model.get_masks(one, device="cpu")[0]


def padded(name, model, batch):
    """Left padding, as ChatGLMTokenizer._pad makes it: what is padding sees nothing and is not seen, its positions are 0."""
    width = max(len(ids) for ids in batch)
    tokens, masks, positions = [], [], []
    for ids in batch:
        place, mask = layout(name, model, ids)
        pad = width - len(ids)
        tokens.append([3] * pad + ids)
        masks.append(torch.nn.functional.pad(mask, (pad, 0, pad, 0), value=True))
        positions.append(torch.nn.functional.pad(place, (pad, 0)))
        if name == "chatglm":
            assert_padded_alike(ids, width, masks[-1], positions[-1], tokens[-1])
    return torch.tensor(tokens), torch.stack(masks), torch.stack(positions)


def assert_padded_alike(ids, width, mask, positions, tokens):
    tokenizer = object.__new__(REFERENCE["tokenization_chatglm"].ChatGLMTokenizer)
    tokenizer.__dict__.update(padding_side="left", _bos_token="sop", _mask_token="mask", gmask_token="gmask", _pad_token="pad",
                              sp_tokenizer={"sop": SOP, "mask": MASK, "gmask": GMASK})
    tokenizer.convert_tokens_to_ids = lambda token: 3
    theirs = tokenizer._pad({"input_ids": ids}, width, transformers.utils.PaddingStrategy.MAX_LENGTH)
    assert theirs["input_ids"] == tokens and (theirs["attention_mask"] == mask.numpy()).all() and (theirs["position_ids"] == positions.numpy()).all()


def forward(name, model, batch):
    caught = {}
    hooks = [layer.register_forward_hook(lambda m, i, o, index=index: caught.update({str(index): o[0].transpose(0, 1)}))
             for index, layer in enumerate(model.transformer.layers)]
    tokens, mask, positions = padded(name, model, batch)
    logits = model(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    width = tokens.shape[1]
    rows = torch.tensor([[t >= width - len(ids) for t in range(width)] for ids in batch])
    return logits[rows], {key: value[rows] for key, value in caught.items()}


def targets_of(batch):
    return [t if row >= ids.index(SOP) else -1 for ids in batch for row, t in enumerate(ids[1:] + [-1])]


def run(name, weights, batch, prompt):
    model = build(name)
    model.load_state_dict(weights, strict=False)
    logits, hidden = forward(name, model, batch)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(targets_of(batch)), ignore_index=-1)
    loss.backward()
    out = {"logits": logits.detach(), "loss": loss.detach().reshape(1)}
    out.update({"hidden." + key: value.detach() for key, value in hidden.items()})
    out.update({"gradient." + key: parameter.grad for key, parameter in model.named_parameters()})
    start = 0
    for ids in batch:  # padding must not matter
        alone = forward(name, model, [ids])[0].detach()
        difference = float((alone - out["logits"][start:start + len(ids)]).abs().max())
        assert difference < (1e-10 if alone.dtype == torch.float64 else 1e-4), (name, difference)
        start += len(ids)
    chosen, margin = list(prompt), float("inf")
    with torch.no_grad():
        for _ in range(GENERATED):
            best = forward(name, model, [chosen])[0][-1].topk(2)
            margin = min(margin, float(best.values[0] - best.values[1]))
            chosen.append(int(best.indices[0]))
    if name == "chatglm":  # its own generation, through its cache
        own = model.generate(torch.tensor([prompt]), max_new_tokens=GENERATED, do_sample=False, eos_token_id=None, pad_token_id=3, use_cache=True)
        assert own[0].tolist() == chosen, "the published generation differs"
    return out, chosen[len(prompt):], margin


def make(name):
    seed, keys = MODELS[name]
    folder = os.path.join(HERE, "families", name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = build(name)
    fill(model, seed)
    weights = {key: value.clone() for key, value in model.state_dict().items() if "inv_freq" not in key}
    stored = {key: value.numpy() for key, value in weights.items() if key != "lm_head.weight" or not name.startswith("glm_130b")}
    save_file(stored, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    if name.startswith("glm_130b"):
        config = dict(keys, architectures=["GLM130B"], model_type="glm-130b", eos_token_id=[EOP, EOS], smask_token_id=SMASK, end_of_text_token_id=EOS,
                      position_encoding_2d=keys.get("position_encoding_2d", True))
        del config["pad_token_id"]
    else:
        model.config.architectures = ["ChatGLMModel" if name == "chatglm" else "ChatGLMForConditionalGeneration"]
        config = model.config.to_diff_dict()
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2, sort_keys=True)
        file.write("\n")
    batch, prompt = sequences(seed)
    f32, ids, _ = run(name, weights, batch, prompt)
    with DoublePrecision():
        f64, ids64, margin = run(name, weights, batch, prompt)
    assert all(value.dtype == torch.float64 for value in f64.values()), [k for k, v in f64.items() if v.dtype != torch.float64]
    assert ids == ids64 and margin > 1e-4, (name, margin)
    difference = float((f32["logits"].double() - f64["logits"]).abs().max())
    assert 0 < difference < 4e-5, (name, difference)
    numbers = {key: value.to(torch.float32).numpy() if key.startswith("hidden.") else value.numpy() for key, value in f64.items()}
    integers = lambda values: numpy.array(values, dtype=numpy.int32)
    numbers.update(input_ids=integers(sum(batch, [])), targets=integers(targets_of(batch)), lengths=integers([len(ids) for ids in batch]),
                   prompt_ids=integers(prompt), greedy_ids=integers(ids))
    save_file({key: numpy.ascontiguousarray(value) for key, value in numbers.items()}, os.path.join(folder, "golden.safetensors"),
              metadata={"origin": json.dumps({"made_by": "tests/golden/make_glm.py", "seed": seed, "files": [origin for origin, _ in FILES.values()], **FOUND})})
    print(name, "loss", float(f64["loss"][0]), "margin", margin, "largest logit", float(f64["logits"].abs().max()), "f32 differs by", difference,
          "greedy kinds", len(set(ids)), flush=True)


def position_cases():
    generator, cases = random.Random(7), []
    for name in ("chatglm", "chatglm_one_stream"):
        model = build(name)
        for masks in ((MASK,), (GMASK,), (MASK, MASK), (MASK, GMASK), (GMASK, MASK)):
            ids = [generator.randrange(4, 50) for _ in range(15)]
            for place, kind in zip(sorted(generator.sample(range(9), len(masks))), masks):
                ids[place] = kind
            ids[9] = SOP
            with torch.no_grad():
                answer = model.prepare_inputs_for_generation(torch.tensor([ids]))
            cases.append(dict(model=name, ids=ids, positions=answer["position_ids"][0].reshape(-1, len(ids)).tolist(),
                              seen=(~answer["attention_mask"][0, 0]).int().tolist()))
    return cases


def filling_cases():
    """fill_blanks, on texts of numbers, with a batch_filling_sequence of a few lines: the greedy token until an end token or the last place."""
    with DoublePrecision():
        model = build("glm_130b")
        fill(model, MODELS["glm_130b"][0])
        model = model.double()
    commands = {"[MASK]": MASK, "[gMASK]": GMASK, "[sMASK]": SMASK, "sop": SOP, "eop": EOP, "eos": EOS}

    class Words:
        tokenize = staticmethod(lambda text: [int(word) for word in text.split()])
        detokenize = staticmethod(lambda ids: " ".join(str(i) for i in ids))
        get_command = staticmethod(commands.__getitem__)

    def batch_filling_sequence(model, seqs, lengths, strategy, get_masks_and_position_ids):
        tokens, mask, positions = get_masks_and_position_ids(seqs)
        chosen = seqs[0].tolist()
        with torch.no_grad(), DoublePrecision():
            while len(chosen) < tokens.shape[1]:
                count = len(chosen)
                logits = model(input_ids=torch.tensor([chosen]), position_ids=positions[:, :count], attention_mask=mask[:, :, :count, :count], use_cache=False).logits
                chosen.append(int(logits[0, -1].argmax()))
                if chosen[-1] in (MASK, GMASK, SMASK, SOP):  # fill_blanks would go on for ever
                    raise OverflowError
                if chosen[-1] in strategy.end_tokens:
                    break
        return torch.tensor([[chosen]]), None

    torch.cuda.LongTensor = lambda data, device=None: torch.tensor(data)
    GLM_130B.update(batch_filling_sequence=batch_filling_sequence, mpu=types.SimpleNamespace(get_model_parallel_rank=lambda: 1))
    generator, cases, found = random.Random(11), [], {}
    words = lambda count: " ".join(str(generator.randrange(4, 50)) for _ in range(count))
    shapes = [lambda: f"{words(5)} [MASK] {words(4)}", lambda: f"{words(3)} [MASK] {words(3)} [MASK] {words(2)} [MASK] {words(4)}", lambda: words(6),
              lambda: f"{words(4)} [gMASK]", lambda: f"[sMASK] {words(5)} [sMASK]", lambda: f"{words(3)} [MASK] {words(3)} [gMASK]"]
    for number, shape in enumerate(shapes):
        for _ in range(40):  # two texts whose blanks all end by an end token, and one that the limit ends
            if found.get((number, True), 0) == 2 and (number, False) in found:
                break
            text, limit = shape(), 40
            GLM_130B["args"] = types.SimpleNamespace(sampling_strategy="BaseStrategy", num_beams=1, max_sequence_length=96, out_seq_length=limit, device="cpu")
            strategy = types.SimpleNamespace(end_tokens=[EOP, EOS])
            try:
                answers, _, blanks = GLM_130B["fill_blanks"](text, model, Words, strategy)
            except OverflowError:
                continue
            whole = len(answers[0].split()) + 1 < limit - 8
            if found.get((number, whole), 0) < (2 if whole else 1) and all(blanks[0][1:] if len(blanks[0]) > 1 else blanks[0]):
                found[number, whole] = found.get((number, whole), 0) + 1
                ids = [commands[word] if word in commands else int(word) for word in text.split()]
                cases.append(dict(ids=ids, length=limit, answer=[int(word) for word in answers[0].split()],
                                  blanks=[[int(word) for word in blank.split()] for blank in blanks[0]]))
    return cases


def training_cases(folder):
    numpy.long = numpy.int64
    import copy
    scope = pieces_of(os.path.join(folder, "glm", "blocklm_utils.py"), {"ConstructBlockStrategy"}, dict(np=numpy, copy=copy, random=random))
    strategy = object.__new__(scope["ConstructBlockStrategy"])
    commands = {"MASK": MASK, "gMASK": GMASK, "sMASK": SMASK, "sop": SOP, "eop": EOP}
    strategy.__dict__.update(random_position=False, encoder_decoder=False, shuffle_blocks=True, sentinel_token=False, block_mask_prob=0.0, context_mask_ratio=0.0,
                             block_position_encoding=True, eod_token=-7, generation_mask=GMASK, gap_sentence_mask=SMASK,
                             tokenizer=types.SimpleNamespace(get_command=lambda token: types.SimpleNamespace(Id=commands[token])))
    generator, cases = random.Random(13), []
    with DoublePrecision():
        model = build("chatglm").double()
        fill(model, MODELS["chatglm"][0])
    for task, mask, counts in (("bert", MASK, (1, 1)), ("bert", MASK, (3, 1, 4, 2)), ("bert", MASK, (2, 2, 5)), ("generation", GMASK, (11,)), ("gap_sentence", SMASK, (6, 5))):
        ids = numpy.array([generator.randrange(4, 50) for _ in range(33)])
        lengths = list(counts)
        spans = strategy.sample_spans(lengths, len(ids), generator) if task != "generation" else [(22, 33)]
        shuffled = list(spans)
        generator.shuffle(shuffled)
        order = list(shuffled)

        class Fixed:  # the shuffle that was drawn above
            @staticmethod
            def shuffle(values):
                values[:] = order

        tokens, targets, trained, positions, context = strategy.make_block_data(ids.copy(), None, None, list(spans), Fixed, task=task)
        seen = torch.ones(1, 1, len(tokens), len(tokens)).tril()
        seen[..., :context] = 1
        with DoublePrecision(), torch.no_grad():
            logits = model(input_ids=torch.tensor(tokens)[None], position_ids=torch.tensor(positions)[None], attention_mask=seen < 0.5, use_cache=False).logits[0]
            loss = float(torch.nn.functional.cross_entropy(logits[trained > 0], torch.tensor(targets)[trained > 0]))
        cases.append(dict(loss=loss, ids=ids.tolist(), spans=order, mask=mask, tokens=tokens.tolist(), targets=targets.tolist(), trained=trained.tolist(),
                          positions=positions.tolist(), context=int(context)))
    return cases


def make_json(folder):
    bits = {str(width): REFERENCE["modeling_chatglm"].RotaryEmbedding(width).inv_freq.numpy().view(numpy.uint16).tolist() for width in (6, 12, 64, 128)}
    with open(os.path.join(HERE, "glm.json"), "w") as file:
        json.dump(dict(origin=dict(made_by="tests/golden/make_glm.py", files=[origin for origin, _ in FILES.values()], **FOUND), frequencies=bits,
                       positions=position_cases(), infilling=filling_cases(), training=training_cases(folder)), file)
        file.write("\n")


if __name__ == "__main__":
    for package, version in PINNED.items():
        assert FOUND[package].startswith(version), f"{package} is {FOUND[package]}, this fixture is made with {version}"
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    REFERENCE = load(sys.argv[1])
    GLM_130B = pieces_of(os.path.join(sys.argv[1], "glm-130b", "generate.py"), {"get_masks_and_position_ids", "fill_blanks", "isEnglish"},
                         dict(torch=torch, re=re, partial=partial, List=list, Tuple=tuple, print=lambda *_: None))
    for name in [name for name in sys.argv[2:] if name != "glm.json"] or ([] if sys.argv[2:] else MODELS):
        make(name)
    if not sys.argv[2:] or sys.argv[2:] == ["glm.json"]:
        make_json(sys.argv[1])
