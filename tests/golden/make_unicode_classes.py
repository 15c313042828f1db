#!/usr/bin/env python3
"""Writes include/plume/tokenizer/unicode_table.hpp from Python's unicodedata.

    python3 tests/golden/make_unicode_classes.py > include/plume/tokenizer/unicode_table.hpp

Python 3.11 carries Unicode 14.0.0. Classes: 1 letter (general category L*), 2 number (N*), 3 white space (the property
White_Space), 0 everything else, unassigned code points included.
"""
import unicodedata

# PropList.txt, White_Space; unchanged since Unicode 6.3.
WHITE_SPACE = {*range(0x09, 0x0E), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000}
BLOCK = 256


def class_of(code_point):
    if code_point in WHITE_SPACE:
        return 3
    category = unicodedata.category(chr(code_point))
    return {"L": 1, "N": 2}.get(category[0], 0)


def main():
    classes = [class_of(c) for c in range(0x110000)]
    last = max(c for c in range(0x110000) if classes[c])
    blocks, index = [], []
    for start in range(0, last + 1, BLOCK):
        part = classes[start:start + BLOCK]
        words = tuple(sum(part[i + j] << (2 * j) for j in range(32)) for i in range(0, BLOCK, 32))
        if words not in blocks:
            blocks.append(words)
        index.append(blocks.index(words))
    print("#pragma once")
    print(f"// Unicode {unicodedata.unidata_version}: two bits a code point. Written by tests/golden/make_unicode_classes.py; not edited by hand.")
    print("#include <cstdint>\n\n#include \"plume/base/config.hpp\"\n")
    print("namespace plume::inline PLUME_ABI::unicode_table {\n")
    print("// clang-format off")
    print(f"inline constexpr char32_t end = {len(index) * BLOCK:#x};  // code points from here on are in class 0")
    print(f"inline constexpr std::uint8_t block_of[{len(index)}] = {{  // by code point / {BLOCK}")
    for i in range(0, len(index), 32):
        print("  " + "".join(f"{v}," for v in index[i:i + 32]))
    print("};")
    print(f"inline constexpr std::uint64_t blocks[{len(blocks)}][{BLOCK // 32}] = {{")
    for words in blocks:
        print("  {" + ",".join(f"{w:#x}" for w in words) + "},")
    print("};\n// clang-format on\n\n}  // namespace plume::inline PLUME_ABI::unicode_table")


main()
