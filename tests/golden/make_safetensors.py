"""Writes safetensors/*.safetensors and safetensors/logits.npy with the Python packages. Needs safetensors==0.4.5, numpy==1.26.4."""
import pathlib

import numpy as np
from safetensors import serialize

folder = pathlib.Path(__file__).parent / "safetensors"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(3)


def entry(dtype, shape, data):
    return {"dtype": dtype, "shape": shape, "data": data}


def bf16(values):
    return (np.asarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()


mixed = {
    "wte.weight": entry("float32", [3, 5], random.normal(size=(3, 5)).astype(np.float32).tobytes()),
    "a/f32 \"quoted\"\n": entry("float32", [2], np.array([1.5, -0.0], np.float32).tobytes()),
    "scalar": entry("float64", [], np.array(np.pi).tobytes()),
    "half": entry("float16", [2, 1, 3], np.arange(6, dtype=np.float16).tobytes()),
    "brain": entry("bfloat16", [4], bf16([1.0, -2.5, 3.0, np.inf])),
    "ids": entry("int32", [3], np.array([-1, 2, 2**31 - 1], np.int32).tobytes()),
    "bytes": entry("uint8", [3], bytes([0, 128, 255])),
    "signed": entry("int8", [1, 1, 1, 3], np.array([-128, 0, 127], np.int8).tobytes()),
    "empty": entry("float32", [0, 7], b""),
    "caf\u00e9": entry("float32", [1], np.array([2.0], np.float32).tobytes()),
}
(folder / "mixed.safetensors").write_bytes(serialize(mixed, {"format": "pt"}))
(folder / "bare.safetensors").write_bytes(serialize({"w": mixed["wte.weight"]}, None))
other = {
    "long": entry("int64", [2], np.array([1, -1], np.int64).tobytes()),
    "flag": entry("bool", [1], b"\1"),
    "f8": entry("float8_e4m3fn", [3], bytes(3)),
    "rank5": entry("float32", [1, 1, 1, 1, 1], bytes(4)),
    "odd": entry("float32", [1], np.array([7.0], np.float32).tobytes()),
}
(folder / "other.safetensors").write_bytes(serialize(other, {"format": "pt"}))
np.save(folder / "logits.npy", np.array([[1.5, -2.0, 0.25], [3.0, 4.0, -0.0]], np.float32))
