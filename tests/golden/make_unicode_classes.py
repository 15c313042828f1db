#!/usr/bin/env python3
"""Writes include/plume/tokenizer/unicode_table.hpp, unicode_mapping.hpp and unicode_scripts.hpp.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3 unicodedata2==16.0.0
    venv/bin/python tests/golden/make_unicode_classes.py include/plume/tokenizer

General categories are those of Unicode 16.0.0, which the regular expressions of tokenizers 0.23.3 (Oniguruma) and tiktoken 0.14.0 carry as
well (checked below). The normalisers and some pre-tokenisers of tokenizers carry older or newer tables of their own; so that ids agree,
those sets and mappings are asked from that package, code point by code point.
"""
import sys

import unicodedata2 as unicode
from tokenizers import Regex, normalizers, pre_tokenizers

BLOCK = 256
END = 0xE1000  # from here on: private use, and the last two code points of a plane unassigned
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = ["Cn", "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So",
              "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "control white space"]


def category(c):
    if c in (0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85):
        return "control white space"
    return unicode.category(chr(c))


def matched(pattern):
    """The code points that a regular expression matches."""
    kept = set()
    for piece, _ in pre_tokenizers.Split(Regex(pattern), "removed").pre_tokenize_str("".join(map(chr, ALL))):
        kept.update(map(ord, piece))
    return set(ALL) - kept


def removed(normalizer):
    return {c for c in ALL if normalizer.normalize_str("a" + chr(c) + "b") == "ab"}


def isolated(pre_tokenizer):
    return {c for c in ALL if len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) == 3}


def bert(**options):
    values = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**values, **options})


def table(values):
    blocks, index = [], []
    for start in range(0, END, BLOCK):
        part = "".join(values[start:start + BLOCK])
        if part not in blocks:
            blocks.append(part)
        index.append(blocks.index(part))
    assert len(blocks) <= 256
    return blocks, index


def print_table(out, name, values, about):
    blocks, index = table(values)
    out.append(f"// {about}")
    out.append(f"inline constexpr std::uint8_t {name}_block[{len(index)}] = {{  // by code point / {BLOCK}")
    for i in range(0, len(index), 120):
        out.append("  " + "".join(f"{v}," for v in index[i:i + 120]))
    out.append("};")
    out.append(f"inline constexpr char {name}[{len(blocks) * BLOCK} + 1] =")
    for block in blocks:
        out.append(f'  "{block}"')
    out[-1] += ";"


def bytes_literal(data):
    return ['  "' + "".join(f"\\x{b:02x}" for b in data[i:i + 400]) + '"' for i in range(0, len(data), 400)] or ['  ""']


def print_strings(out, name, mapping):
    points = sorted(mapping)
    data, ends = b"", []
    for c in points:
        data += mapping[c].encode()
        ends.append(len(data))
    assert len(data) < 65536
    out.append(f"inline constexpr char32_t {name}_point[{len(points)}] = {{")
    out.extend("  " + "".join(f"{c:#x}," for c in points[i:i + 200]) for i in range(0, len(points), 200))
    out.append(f"}};\ninline constexpr std::uint16_t {name}_end[{len(points)}] = {{")
    out.extend("  " + "".join(f"{c}," for c in ends[i:i + 200]) for i in range(0, len(points), 200))
    out.append(f"}};\ninline constexpr char {name}_text[{len(data)} + 1] =")
    out.extend(bytes_literal(data))
    out[-1] += ";"


def header(about, name):
    return ["#pragma once", f"// {about} Written by tests/golden/make_unicode_classes.py; not edited by hand.", "#include <cstdint>\n",
            '#include "plume/base/config.hpp"\n', f"namespace plume::inline PLUME_ABI::{name} {{\n", "// clang-format off"]


def footer(name):
    return ["// clang-format on\n", f"}}  // namespace plume::inline PLUME_ABI::{name}", ""]


def main(folder):
    categories = {c: category(c) for c in range(0x110000)}
    for name in ("L", "N", "M", "P", "S", "Lu", "Ll", "Lm", "Lo"):
        assert matched(rf"\p{{{name}}}") == {c for c in ALL if categories[c].startswith(name)}, name
    assert matched(r"\s") == {c for c in ALL if categories[c] in ("Zs", "Zl", "Zp", "control white space")}
    assert all(categories[c] == ("Cn" if c & 0xFFFE == 0xFFFE or c < 0xF0000 else "Co") for c in range(END, 0x110000))

    out = header("Unicode 16.0.0: the general category of every code point.", "unicode_table")
    out.append(f"inline constexpr char32_t end = {END:#x};  // from here on: private use, and the last two code points of a plane unassigned")
    letters = [chr(0x60 + CATEGORIES.index(categories[c])) for c in range(0x110000)]
    print_table(out, "category", letters, "'`' + the place in: " + " ".join(CATEGORIES[:-1]) + " and Cc that is white space.")
    out += footer("unicode_table")
    open(f"{folder}/unicode_table.hpp", "w").write("\n".join(out))

    out = header("What Hugging Face tokenizers 0.23.3 does to single code points.", "unicode_mapping")
    sets = {
        "punctuation": isolated(pre_tokenizers.Punctuation()),
        "bert_accent": removed(bert(strip_accents=True)),
        "accent": removed(normalizers.StripAccents()),
        "control": removed(bert(clean_text=True)),
        "numeric": isolated(pre_tokenizers.Digits(individual_digits=True)),
        "word": matched(r"\w"),
    }
    whitespace_word = {c for c in ALL if len(pre_tokenizers.Whitespace().pre_tokenize_str("a" + chr(c) + "a")) == 1}
    assert whitespace_word ^ sets["word"] == {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE, 0x200C, 0x200D}
    names = list(sets)
    combinations = {c: sum(1 << i for i, n in enumerate(names) if c in sets[n]) for c in range(0x110000)}
    private = {combinations[c] for c in range(END, 0x110000) if categories[c] == "Co"}
    assert private == {1 << names.index("control")}, private
    assert all(combinations[c] == 0 for c in range(END, 0x110000) if categories[c] != "Co")
    different = sorted(set(combinations.values()))
    out.append("enum Property : std::uint8_t { " + ", ".join(f"{n} = {1 << i}" for i, n in enumerate(names)) + " };")
    out.append(f"inline constexpr std::uint8_t properties[{len(different)}] = {{{','.join(map(str, different))}}};")
    print_table(out, "property", [chr(0x60 + different.index(combinations[c])) for c in range(0x110000)], "'`' + an index into properties.")

    canonical, compatible, compose = {}, {}, []
    nfd, nfkd, nfc = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
    for c in ALL:
        if 0xAC00 <= c < 0xD7A4:
            continue  # Hangul syllables: by arithmetic
        text = chr(c)
        if (d := nfd.normalize_str(text)) != text:
            canonical[c] = d
            assert d == unicode.normalize("NFD", text)
        if (k := nfkd.normalize_str(text)) != d:
            compatible[c] = k
        pair = unicode.decomposition(text).split()
        if len(pair) == 2 and not pair[0].startswith("<") and nfc.normalize_str(text) == text:
            first, second = (int(x, 16) for x in pair)
            if nfc.normalize_str(chr(first) + chr(second)) == text:
                compose.append((first, second, c))
    print_strings(out, "canonical", canonical)
    print_strings(out, "compatible", compatible)
    compose.sort()
    out.append(f"inline constexpr char32_t compose[{len(compose)}][3] = {{")
    out.extend("  " + "".join(f"{{{a:#x},{b:#x},{c:#x}}}," for a, b, c in compose[i:i + 60]) for i in range(0, len(compose), 60))
    out.append("};")
    # canonical combining classes; the normalisers' older Unicode does not know the latest marks
    ranges = []
    for c in ALL:
        k = unicode.combining(chr(c))
        if k == 0 or nfd.normalize_str("a" + chr(c) + "\u0323\u0301") != unicode.normalize("NFD", "a" + chr(c) + "\u0323\u0301"):
            continue
        if k in (220, 0):  # the probe above cannot tell 220 from 0: ask with another mark
            if nfd.normalize_str("a\u0301" + chr(c)) != unicode.normalize("NFD", "a\u0301" + chr(c)):
                continue
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == k:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, k])
    out.append(f"inline constexpr char32_t combining[{len(ranges)}][3] = {{  // first, last, canonical combining class")
    out.extend("  " + "".join(f"{{{a:#x},{b:#x},{k}}}," for a, b, k in ranges[i:i + 24]) for i in range(0, len(ranges), 24))
    out.append("};")
    lower = normalizers.Lowercase()
    print_strings(out, "lower", {c: low for c in ALL if (low := lower.normalize_str(chr(c))) != chr(c)})
    out += footer("unicode_mapping")
    open(f"{folder}/unicode_mapping.hpp", "w").write("\n".join(out))

    out = header("Scripts as the pre-tokeniser UnicodeScripts of Hugging Face tokenizers 0.23.3 tells them apart.", "unicode_scripts")
    step = pre_tokenizers.UnicodeScripts()

    def joins(a, b):
        return len(step.pre_tokenize_str(a + b)) == 1
    known = [c for c in ALL if not (joins("a", chr(c)) and joins("\u05d0", chr(c)))]  # the others go with any script
    representatives, rows, at = [], [], 0
    for piece, _ in step.pre_tokenize_str("".join(map(chr, known))):
        script = next((i for i, r in enumerate(representatives) if joins(r, piece[0])), len(representatives))
        if script == len(representatives):
            representatives.append(piece[0])
        for c in map(ord, piece):
            if rows and rows[-1][1] == c - 1 and rows[-1][2] == script:
                rows[-1][1] = c
            else:
                rows.append([c, c, script])
    out.append(f"inline constexpr char32_t ranges[{len(rows)}][3] = {{  // first, last, a number that stands for the script")
    out.extend("  " + "".join(f"{{{a:#x},{b:#x},{k}}}," for a, b, k in rows[i:i + 24]) for i in range(0, len(rows), 24))
    out.append("};")
    out += footer("unicode_scripts")
    open(f"{folder}/unicode_scripts.hpp", "w").write("\n".join(out))


main(sys.argv[1])
