#!/usr/bin/env python3
"""Writes tests/package/requests/expressions.hpp: what Oniguruma, as Hugging Face tokenizers has it, finds by expressions.

    python3 -m venv venv && venv/bin/pip install tokenizers==0.23.3
    venv/bin/python tests/golden/make_expressions.py > tests/package/requests/expressions.hpp

"found" holds an expression, a text and its matches; "classes" an expression for one character with how many code points it matches, and the sum of each
times its place among them (modulo 2**64). Letters whose other case Unicode 15 or 16 brought are left out: how they fold is PCRE2's own.
"""
import tokenizers
from tokenizers import Regex, pre_tokenizers

assert tokenizers.__version__ == "0.23.3", tokenizers.__version__

FOUND = [
    # options hold to the end of the group they stand in, with its alternatives
    (r"a(?i)b|t", "aB ab T t aT b"), (r"(?:a(?i)b|t)e|B", "aTe ate aBe te B b"), (r"(?i)a(?-i)b|T", "ab Ab AT At T t"), (r"(?i)the|x", "The X"),
    (r"(?i:a(?-i)b|c)d", "aBd abd Abd ABd Cd cd"), (r"(?<=(?i)a)b", "Abab"), (r"(?x)a b # (?i)(" + "\nc", "abc ABC"), (r"a(?#()b", "ab"),
    (r"(a(?i)b){2}|B", "abaB aBAb B b"),
    # letters without a meaning, and characters by their numbers
    (r"x\pL+", "xpL xpLL x\u00e9"), (r"\Qa.\E", "QaxE Qa.E a."), (r"\F\L\l\U\E\i\j\I\J\m\q\T\V", "FLlUEijIJmqTV"), (r"a{,}", "a{,} aa"), (r"a{,}+", "a{,}}} aa"),
    (r"\C-A+", "\x01\x01C-A"), (r"\cA", "\x01cA"), (r"\u4e16+", "\u4e16\u4e16u4e16"), (r"[\u4e00-\u9fff]+", "\u4e16\u754c\u3042"), (r"\x41\x{42}", "AB"),
    ("\\\u00e9+", "\u00e9\u00e9e"), ("[\\\u00e9\\\u3002]+", "\u00e9\u3002e\u00c3"), (r"(?i)\u00e9", "\u00e9\u00c9"),
    # classes
    (r"[^\S\n]+", "a \t\n b"), (r"[\W_]+", "ab_ !c"), (r"[^\W\d_]+", "ab1c_d\u00e9\u0301"), (r"[\s\S]", "a\n"), (r"[\D1]+", "a12b"), (r"[\H]+", "agfz"),
    (r"[^[^a]b]+", "abca"), (r"[^a&&b]+", "abc"), (r"[a&&[^b]c]+", "abca"), (r"[a[^b]]+", "abca"), (r"[^[a][b]]+", "abcd"), (r"[\pL]+", "pL\u00e9"),
    (r"[]a]+", "]ab"), (r"[a\]]+", "a]b"), (r"[a-c-e]+", "abc-de"), (r"[-a]+", "-ab"), (r"[\w-]+", "a-b c"), (r"[\x41-\x43\101\0\cB\b]+", "ABCD\0\x02\x08"),
    (r"[\R\X\N\O\k]+", "RXNOk\n"), (r"[\o{101}\e\a\f\v]+", "A\x1b\x07\x0c\x0b"), (r"[a^]+", "a^"), (r"[$.*(]+", "$.*("),
    (r"[[:^alpha:]1]+", "ab12"), (r"[\p{^L}a]+", "ab12"), (r"\P{^L}+", "ab1"), (r"(?i)[a-z&&[^e]]+", "azZeE"), (r"[\p{Han}&&[^\u4e16]]+", "\u4e16\u754c"),
    (r"(?i)[^\P{Lu}]", "aAbB\u00e91"), (r"(?i)\P{Lu}+", "aAbB\u00e91"), (r"(?i)\p{Lu}+", "aAbB"), (r"[a&b]+", "a&b"), (r"(?i)\bK", "\u212a ak k"),
]
CLASSES = [
    r"\d", r"\D", r"[\d]", r"[^\d]", r"[[:digit:]]", r"[[:alnum:]]", r"[[:alpha:]]", r"[[:upper:]]", r"[[:lower:]]", r"[[:word:]]", r"[[:space:]]", r"\w", r"\W",
    r"[\w]", r"[^\w]", r"[\W_]", r"[^\W\d_]", r"\s", r"\S", r"[^\S\n]", r"\h", r"\p{C}", r"\p{Cn}", r"\P{Cn}", r"\p{Cc}", r"\p{Co}", r"\p{Other}", r"\p{L}",
    r"\P{L}", r"[\P{L}]", r"[^\P{L}]", r"\p{^L}", r"\P{^L}", r"[^\s\p{L}\p{N}]", r"[\p{L}\p{M}]", r"\p{M}", r"\p{Mn}", r"\p{Mc}", r"\p{N}", r"\p{P}", r"\p{S}",
    r"\p{So}", r"\p{Lu}", r"\p{Ll}", r"\p{Lm}", r"\p{Lo}", r"\p{Nl}", r"\p{No}", r"\p{Alphabetic}", r"\p{Alpha}", r"\p{Uppercase}", r"\p{Lowercase}", r"\p{Alnum}",
    r"\p{Space}", r"\p{XDigit}", r"\p{Upper}", r"\p{Lower}", r"\p{ASCII}", r"\p{Any}", r"\p{Hebrew}", r"[^\p{Greek}]", r"[\p{L}&&[^\p{Lu}]]",
    r"(?i)[[:upper:]]", r"(?i)[[:lower:]]", r"(?i)[^\p{Lu}]", r"(?i)[\p{Ll}]", r"(?i)[^\P{Lu}]", r"(?i)[\p{L}]", r"(?i)[\p{M}]", r"(?i)[\p{Mn}]", r"(?i)\p{Mn}",
    r"(?i)\p{Lu}", r"(?i)\w", r"(?i)[\w]", r"(?i)[\W_]", r"(?i)[^\W_]", r"(?i)[^a-z]", r"(?i)[^\r\n\p{L}\p{N}]", r"(?i)[\p{Greek}]", r"(?i)[\p{So}]", r"(?i)[\p{Nl}]",
    r"(?i)[à-ÿ]",
]


def quoted(text):
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode()) + '"'


def matches(regex, text):
    kept = {at for _, at in pre_tokenizers.Split(Regex(regex), "removed", False).pre_tokenize_str(text)}
    return [piece for piece, at in pre_tokenizers.Split(Regex(regex), "isolated", False).pre_tokenize_str(text) if at not in kept]


PAIRED = [*range(0x1C89, 0x1C8B), 0x264, *range(0xA7CB, 0xA7CE), *range(0xA7DA, 0xA7DD), 0x19B, *range(0x10D50, 0x10D66), *range(0x10D70, 0x10D86)]
everything = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
unpaired = "".join(c for c in everything if ord(c) not in PAIRED)
print("// Written by tests/golden/make_expressions.py; not edited by hand.")
print("#pragma once\n#include <cstddef>\n#include <cstdint>\n#include <string_view>\n\n// clang-format off\nnamespace expressions {\nusing namespace std::string_view_literals;\n")
print("inline constexpr struct { std::string_view regex, text, expected; } found[] = {")
for regex, text in FOUND:
    print(f"  {{{quoted(regex)}sv, {quoted(text)}sv, {quoted(''.join('|' + m for m in matches(regex, text)))}sv}},")
print("};\ninline constexpr struct { std::string_view regex; std::size_t count; std::uint64_t sum; } classes[] = {")
for regex in CLASSES:
    points = [ord(c) for c in "".join(matches(regex + "+", unpaired if regex.startswith("(?i)") else everything))]
    print(f"  {{{quoted(regex)}sv, {len(points)}, {sum(i * c for i, c in enumerate(points, 1)) % 2**64}u}},")
print("};\n// letters whose other case Unicode 15 or 16 brought\ninline constexpr std::uint32_t paired[] = {" + ", ".join(f"{c:#x}" for c in PAIRED) + "};\n\n}  // namespace expressions\n// clang-format on")
