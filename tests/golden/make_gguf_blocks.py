#!/usr/bin/env python3
"""Writes tests/golden/gguf/blocks.json: what Python's gguf package makes of blocks of random bytes, and of random weights; and files of its writer, whole and in parts.

    python3 -m venv venv && venv/bin/pip install gguf==0.19.0 numpy==2.4.6 cffi && venv/bin/pip install --no-deps llama-cpp-cffi==0.4.42
    venv/bin/python tests/golden/make_gguf_blocks.py tests/golden/gguf

Bytes and weights are functions of their place, which the test computes again (hashed_numbers.py); every pattern of bits occurs, scales that are NaN or infinite
too. Sums are SHA-256 of little-endian float32, where every NaN is 0x7fc00000, or of the blocks.
llama-cpp-cffi may need a preloaded library, as make_gguf_hashes.py says.
"""
import ctypes
import glob
import hashlib
import importlib.util
import json
import sys

import gguf
import numpy
from gguf import GGMLQuantizationType, GGUFWriter, quants

from hashed_numbers import hashed

VERSIONS = f"gguf 0.19.0, numpy {numpy.__version__}, llama-cpp-cffi 0.4.42 (llama.cpp of April 2025)"
READ = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"]
NUMBERS = {"F64": numpy.float64, "I8": numpy.int8, "I16": numpy.int16, "I32": numpy.int32, "I64": numpy.int64}  # gguf leaves these to numpy
WRITTEN = ["F16", "BF16", "Q8_0", "Q4_0"]


def random_bytes(stream, count):
    return (hashed(stream, count) >> numpy.uint64(56)).astype(numpy.uint8)


def weights(stream, rows):
    """Rows of 256: sums of four uniform numbers, times 2^(row % 40 - 30); row 7 is zero, row 9 has one weight, row 11 equal ones, row 13 whole numbers."""
    parts = (hashed(stream, rows * 256 * 4) >> numpy.uint64(44)).astype(numpy.float64) - 2.0**19
    out = parts.reshape(rows, 256, 4).sum(axis=2) * 2.0**-20  # exact: 22 bits
    out *= 2.0 ** (numpy.arange(rows) % 40 - 30)[:, None]
    out[7] = 0
    out[9, :] = 0
    out[9, 100] = -0.375
    out[11, :] = 0.625
    out[13] = numpy.arange(256) % 17 - 8
    return out.astype(numpy.float32)


def sum_of(values):
    values = numpy.ascontiguousarray(values)
    if values.dtype == numpy.float32:
        bits = values.view(numpy.uint32).copy()
        bits[numpy.isnan(values)] = 0x7FC00000
        values = bits
    return hashlib.sha256(values.tobytes()).hexdigest()


def entries(writer):
    writer.add_name("written by Python")
    writer.add_uint8("test.u8", 200)
    writer.add_int8("test.i8", -100)
    writer.add_uint16("test.u16", 60000)
    writer.add_int16("test.i16", -30000)
    writer.add_uint32("test.u32", 4000000000)
    writer.add_int32("test.i32", -2000000000)
    writer.add_float32("test.f32", 0.1)
    writer.add_bool("test.yes", True)
    writer.add_bool("test.no", False)
    writer.add_uint64("test.u64", 1 << 63)
    writer.add_int64("test.i64", -(1 << 62))
    writer.add_float64("test.f64", 0.1)
    writer.add_string("test.text", "caf\u00e9 \u20ac")
    writer.add_array("test.texts", ["a", "", "\u2581b c"])
    writer.add_array("test.ints", [3, -1, 7])
    writer.add_array("test.reals", [0.5, -2.0])
    writer.add_array("test.bools", [True, False, True])
    writer.add_quantization_version(2)


def errors_of_llama_cpp(source):
    """Squared errors of llama.cpp's own search, row by row, relative to the sum of squares."""
    package = importlib.util.find_spec("llama").submodule_search_locations[0]
    quantize = ctypes.CDLL(glob.glob(f"{package}/_llama_cpp_cpu*.so")[0]).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    errors = {}
    for kind in (GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K):
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = numpy.zeros(source.size // block * size, dtype=numpy.uint8)
        assert quantize(int(kind), source.ctypes.data, blocks.ctypes.data, 0, len(source), 256, None) == blocks.size
        values = quants.dequantize(blocks.reshape(1, -1), kind).reshape(source.shape).astype(numpy.float64)
        squares = (source.astype(numpy.float64) ** 2).sum(axis=1)
        errors[kind.name] = [float(e) for e in ((values - source) ** 2).sum(axis=1) / numpy.where(squares > 0, squares, 1)]
    return errors


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(folder):
    record = {"origin": f"make_gguf_blocks.py, {VERSIONS}", "decoded": {}, "encoded": {}}
    for stream, name in enumerate(READ + list(NUMBERS)):
        kind = GGMLQuantizationType[name]
        block, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = 65536 // block  # of each type, as many as make 65,536 weights
        packed = random_bytes(stream, blocks * size)
        with numpy.errstate(all="ignore"):
            if name in NUMBERS:
                values = packed.view(NUMBERS[name]).astype(numpy.float32)
            else:
                values = quants.dequantize(packed.reshape(1, -1), kind).reshape(-1)
        assert values.size == blocks * block and values.dtype == numpy.float32
        finite = values[numpy.isfinite(values)]
        record["decoded"][name] = {"number": int(kind), "weights": block, "bytes": size, "blocks": blocks, "stream": stream, "packed": sum_of(packed),
                                   "sha256": sum_of(values), "first": [float(v) if numpy.isfinite(v) else None for v in values[:4]],
                                   "not_finite": int(values.size - finite.size)}
    source = weights(100, 64)
    record["weights"] = {"stream": 100, "rows": 64, "sha256": sum_of(source)}
    for name in WRITTEN:
        record["encoded"][name] = sum_of(quants.quantize(source, GGMLQuantizationType[name]))
    record["errors of llama.cpp"] = errors_of_llama_cpp(source)
    with open(f"{folder}/blocks.json", "w") as file:
        json.dump(record, file, indent=1)
        file.write("\n")

    writer = GGUFWriter(f"{folder}/written.gguf", "test")
    entries(writer)
    small = weights(101, 16)
    writer.add_tensor("vector", small[0, :5].copy())
    writer.add_tensor("matrix", small[:6, :32].copy().reshape(2, 3, 32))
    for name in WRITTEN:
        kind = GGMLQuantizationType[name]
        data = quants.quantize(small[:2, :64].copy(), kind)
        writer.add_tensor("tensor." + name, data.view(numpy.uint8) if name == "BF16" else data, raw_dtype=None if name == "F16" else kind)
    finish(writer)

    writer = GGUFWriter(f"{folder}/parts.gguf", "test", split_max_tensors=2)  # parts-00001-of-00003.gguf and so on
    writer.add_name("in parts")
    for i in range(5):
        writer.add_tensor(f"tensor.{i}", small[i, :4 + i].copy())
    finish(writer)


if __name__ == "__main__":
    main(sys.argv[1])
