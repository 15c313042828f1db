"""Writes tests/golden/sentence/: what sentence-transformers puts behind the tiny encoders of tests/golden/encoders/, and the vectors that it makes.

    python3 tests/golden/make_sentence.py     # needs the versions in make_families.py and sentence-transformers 6.2.0

One folder an encoder: modules.json beside the folders of Pooling and Dense as these modules save themselves (Dense random), and
golden.safetensors: `vectors` in float64 of the two texts of the encoder's fixture, from its `states`, through Pooling, Dense and Normalize.
"""
import json
import os
import shutil

import numpy
import sentence_transformers
import torch
from safetensors.numpy import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = "6.2.0"
# encoder: seed, pooling, outputs, bias, activation; the last has no Normalize
MODELS = {"t5_encoder": (1, "mean", 11, False, torch.nn.Identity(), True), "bert_cls": (2, "cls", 9, True, torch.nn.Tanh(), False)}


def make(name):
    seed, pooling, outputs, bias, activation, normalised = MODELS[name]
    folder = os.path.join(HERE, "sentence", name)
    shutil.rmtree(folder, ignore_errors=True)
    golden = load_file(os.path.join(HERE, "encoders", name, "golden.safetensors"))
    states, lengths = torch.from_numpy(golden["states"]), golden["source_lengths"].tolist()
    width = states.shape[1]
    dense = Dense(width, outputs, bias=bias, activation_function=activation)
    draw = numpy.random.Generator(numpy.random.PCG64(seed))
    with torch.no_grad():
        for _, parameter in sorted(dense.named_parameters()):
            parameter.copy_(torch.from_numpy((0.4 * draw.standard_normal(tuple(parameter.shape))).astype("float32")))
    modules = {"": "sentence_transformers.models.Transformer", "1_Pooling": Pooling(width, pooling_mode=pooling), "2_Dense": dense}
    if normalised:
        modules["3_Normalize"] = Normalize()
    listed = []
    for index, (path, module) in enumerate(modules.items()):
        if path:
            os.makedirs(os.path.join(folder, path))
            module.save(os.path.join(folder, path))
            if not os.listdir(os.path.join(folder, path)):
                os.rmdir(os.path.join(folder, path))
        kind = module if isinstance(module, str) else f"{type(module).__module__}.{type(module).__name__}"
        listed.append(dict(idx=index, name=str(index), path=path, type=kind))
    with open(os.path.join(folder, "modules.json"), "w") as file:
        json.dump(listed, file, indent=2)
        file.write("\n")
    dense.double()
    rows = torch.zeros(len(lengths), max(lengths), width, dtype=torch.float64)
    mask = torch.zeros(len(lengths), max(lengths), dtype=torch.float64)
    for row, part in enumerate(torch.split(states, lengths)):
        rows[row, :len(part)], mask[row, :len(part)] = part, 1
    features = dict(token_embeddings=rows, attention_mask=mask)
    with torch.no_grad():
        for path, module in modules.items():
            features = module(features) if path else features
    vectors = features["sentence_embedding"].numpy()
    assert vectors.dtype == numpy.float64 and vectors.shape == (len(lengths), outputs)
    origin = dict(made_by="tests/golden/make_sentence.py", seed=seed, sentence_transformers=sentence_transformers.__version__, torch=torch.__version__)
    save_file({"vectors": numpy.ascontiguousarray(vectors)}, os.path.join(folder, "golden.safetensors"), metadata={"origin": json.dumps(origin)})
    for where, _, files in os.walk(folder):
        for file in files:
            os.chmod(os.path.join(where, file), 0o644)
    print(name, numpy.linalg.norm(vectors, axis=1), [item["type"] for item in listed])


if __name__ == "__main__":
    assert sentence_transformers.__version__ == VERSION, sentence_transformers.__version__
    for name in MODELS:
        make(name)
