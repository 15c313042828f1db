"""Writes include/plume/tokenizer/template/case_table.hpp: what Python's str methods know about case and printing.

Run with CPython 3.11 (Unicode 14.0.0): python3.11 make_case_tables.py
Everything is asked of str itself, so that the table agrees with upper(), lower(), title(), capitalize() and repr().
"""
import pathlib
import unicodedata

assert unicodedata.unidata_version == "14.0.0"
ALL = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(holds):
    found = []
    for c in ALL:
        if holds(c):
            if found and found[-1][1] == ord(c) - 1:
                found[-1][1] += 1
            else:
                found.append([ord(c), ord(c)])
    return found


def runs(mapped):
    """first, last, stride (1 or 2), delta of single code points that map to single ones."""
    found = []
    for c in ALL:
        to = mapped(c)
        if to == c or len(to) != 1:
            continue
        delta = ord(to) - ord(c)
        if found:
            first, last, stride, old = found[-1]
            step = ord(c) - last
            if old == delta and (step == stride or (first == last and step <= 2)):
                found[-1] = [first, ord(c), step, delta]
                continue
        found.append([ord(c), ord(c), 1, delta])
    return found


def full(mapped):
    return [(ord(c), mapped(c)) for c in ALL if len(mapped(c)) > 1]


def numbers(name, kind, rows):
    flat = [f"{{{','.join(str(n) for n in row)}}}" for row in rows]
    lines, line = [], "   "
    for item in flat:
        if len(line) + len(item) + 2 > 138:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    lines.append(line)
    return f"inline constexpr {kind} {name}[{len(rows)}] = {{\n" + "\n".join(lines) + "\n};\n"


def texts(name, rows):
    flat = ['{%d, "%s"}' % (c, "".join(f"\\x{b:02x}" for b in text.encode())) for c, text in rows]
    lines, line = [], "   "
    for item in flat:
        if len(line) + len(item) + 2 > 138:
            lines.append(line)
            line = "   "
        line += " " + item + ","
    lines.append(line)
    return f"inline constexpr FullMapping {name}[{len(rows)}] = {{\n" + "\n".join(lines) + "\n};\n"


def cased(c):  # title() lowers what follows a cased character
    return (c + "a").title()[-1] == "a"


def before_sigma(c):  # lower() writes a final sigma right after a cased character that is not ignorable
    return (c + "\u03a3").lower()[-1] == "\u03c2"


def ignorable(c):
    return ("A" + c + "\u03a3").lower()[-1] == "\u03c2" and not before_sigma(c)


assert all(cased(c) for c in ALL if before_sigma(c))
titles = [(ord(c), c.title()) for c in ALL if c.title() != c.upper()]
out = """#pragma once
// Case and printable characters as CPython 3.11 knows them, Unicode 14.0.0. Written by tests/golden/make_case_tables.py; not edited by hand.
#include <string_view>

#include "plume/base/config.hpp"

namespace plume::inline PLUME_ABI::jinja::case_table {

// clang-format off
struct Range { char32_t first, last; };
struct Run { char32_t first, last; int stride, delta; };
struct FullMapping { char32_t from; std::string_view to; };
"""
out += numbers("to_upper", "Run", runs(str.upper)) + texts("to_upper_full", full(str.upper))
out += numbers("to_lower", "Run", runs(str.lower)) + texts("to_lower_full", full(str.lower))
out += "// where the title case is not the upper case\n" + texts("to_title", titles)
out += numbers("cased", "Range", ranges(cased)) + numbers("case_ignorable", "Range", ranges(ignorable))
out += "// what repr() escapes\n" + numbers("unprintable", "Range", [r for r in ranges(lambda c: not c.isprintable())])
out += "// clang-format on\n\n}  // namespace plume::inline PLUME_ABI::jinja::case_table\n"
path = pathlib.Path(__file__).parents[2] / "include/plume/tokenizer/template/case_table.hpp"
path.write_text(out)
print(path, len(out.splitlines()), "lines", len(out), "bytes")
