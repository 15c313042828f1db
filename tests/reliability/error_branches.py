#!/usr/bin/env python3
"""What the tests ran of the headers that read foreign bytes: the lines, and above all every place that refuses something.

    error_branches.py COVERAGE NOTES

COVERAGE is what `llvm-cov export` wrote of them, NOTES what noted_requirements.hpp noted. A place that refuses (`throw`, a call of a helper
that throws, `require`) and was never reached must stand in waivers.txt, with a reason; a waiver for a place that was reached, or is not
there, is stale. Fails on either, and below 95 % of the lines. coverage.sh runs it.
"""
import collections
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
INCLUDE = HERE.parent.parent / "include"
LEAST_LINES = 95.0

# The headers that read foreign bytes, or bytes that a crash may have cut.
HEADERS = """
base/atomic_save base/bytes base/checked base/checksum base/directory base/files base/gguf base/json base/json_value base/protobuf base/text
base/utf8
formats/*
tokenizer/added_tokens tokenizer/base64 tokenizer/byte_pair_files tokenizer/gguf_pre_tokenizers tokenizer/gguf_tokenizer
tokenizer/llama2c_tokenizer tokenizer/precompiled_map tokenizer/read_bert tokenizer/read_byte_bpe tokenizer/read_marian tokenizer/read_sentencepiece
tokenizer/sentencepiece_model tokenizer/sentencepiece_rules tokenizer/text_pattern tokenizer/tiktoken tokenizer/tokenizer_files tokenizer/tokenizer_json tokenizer/tokenizer_json_parts
tokenizer/template/*
data/chat_dataset data/chat_form data/chat_template_file data/chat_templates data/chats data/parse_chat data/token_dataset
train/checkpoint train/metrics train/named_configs train/state train/train
peft/adapter_files
models/config models/config_json models/encoder_decoder_files models/encoder_files models/encoder_heads_json models/family models/families/* models/gguf_config
models/gguf_vocabulary models/load models/load_gguf models/rotary_json models/save models/save_gguf models/task_json models/tensor_files
models/weight_delta
""".split()

# Helpers that throw, whatever their arguments.
HELPERS = (r"fail|fail_at|fail_undefined|fail_overflow|refuse|unexpected|expected|unsupported|unknown|exceeded|wrong_kind|wrong_type|give_up"
           r"|rethrow_memory_failure")
ALWAYS = re.compile(r"\bthrow\b(?!\s*;)|(?<![:\w])(?:" + HELPERS + r")\s*\(")
CONDITIONAL = re.compile(r"(?<![:\w.])require\s*\(")
DECLARED = re.compile(r"(?:\bvoid|\bauto)\s+(?:\w+::)?$")  # before the name: its declaration or definition


def headers():
    for pattern in HEADERS:
        found = sorted((INCLUDE / "plume").glob(pattern + ".hpp"))
        if not found:
            sys.exit(f"error_branches.py: there is no header {pattern}")
        yield from found


def without_text(source):
    """The source with comments and literals blanked out, every character in its place."""
    token = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
    return token.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)


def closing(code, opening):
    depth = 0
    for at in range(opening, len(code)):
        depth += {"(": 1, ")": -1}.get(code[at], 0)
        if depth == 0:
            return at
    return len(code) - 1


def refusals(source):
    """Yields (line, column, last line, whether it refuses only where its condition fails) of every place that refuses."""
    code = without_text(source)
    for expression in (ALWAYS, CONDITIONAL):
        for match in expression.finditer(code):
            if DECLARED.search(code, 0, match.start()) or code[: match.start()].endswith("void "):
                continue
            begin = code.rfind("\n", 0, match.start()) + 1
            if code[begin:].lstrip().startswith("#"):
                continue
            last = match.end()
            if match.group().endswith("("):
                last = closing(code, match.end() - 1)
            line = code.count("\n", 0, match.start()) + 1
            yield line, match.start() - begin + 1, code.count("\n", 0, last) + 1, expression is CONDITIONAL


class Counts:
    """How often a place was reached, from llvm-cov's segments of one file."""

    def __init__(self, file):
        self.segments = file["segments"]

    def reached(self, line, column):
        active = None
        for segment in self.segments:
            if (segment[0], segment[1]) > (line, column):
                break
            active = segment
        return active is not None and active[3] and active[2] > 0


def read_waivers(path):
    """{header: Counter of lines}; a header, then lines of it, each with its reason on the next line behind a #."""
    waivers = collections.defaultdict(collections.Counter)
    reasons = {}
    header = line = None
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if not text.strip() or text.startswith("#"):
            continue
        if not text.startswith(" "):
            header, line = text.strip(), None
        elif text.strip().startswith("# "):
            if line is None:
                sys.exit(f"{path.name}:{number}: a reason without its line")
            reasons[header, line] = text.strip()[2:]
            line = None
        else:
            if header is None or line is not None:
                sys.exit(f"{path.name}:{number}: a header, then its lines, each followed by its reason")
            line = text.strip()
            waivers[header][line] += 1
    if line is not None:
        sys.exit(f"{path.name}: the last line has no reason")
    return waivers, reasons


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    files = {}
    for export in json.loads(pathlib.Path(sys.argv[1]).read_text())["data"]:
        for file in export["files"]:
            files[str(pathlib.Path(file["filename"]).resolve())] = file
    failed = set()
    notes = pathlib.Path(sys.argv[2])
    if notes.exists():
        for note in notes.read_text().split("\n"):
            path, _, line = note.rpartition(":")
            if line.isdigit():
                failed.add((str(pathlib.Path(path).resolve()), int(line)))

    waivers, reasons = read_waivers(HERE / "waivers.txt")
    problems = []
    lines = covered = places = reached = waived = 0
    table = []
    for header in headers():
        name = str(header.relative_to(INCLUDE))
        source = header.read_text()
        texts = source.split("\n")
        file = files.get(str(header))
        here = [0, 0]
        if file:
            here = [file["summary"]["lines"]["count"], file["summary"]["lines"]["covered"]]
        lines, covered = lines + here[0], covered + here[1]
        counts = Counts(file) if file else None
        never = {}
        mine = 0
        for line, column, last, conditional in refusals(source):
            mine += 1
            if conditional:
                ok = any((str(header), at) in failed for at in range(line, last + 1))
            else:
                ok = counts is not None and counts.reached(line, column)
            if not ok:
                never.setdefault(line, 0)
                never[line] += 1
        places += mine
        reached += mine - sum(never.values())
        unused = collections.Counter(waivers.pop(name, {}))
        for line in sorted(never):
            text = texts[line - 1].strip()
            if unused[text] > 0:
                unused[text] -= 1
                waived += never[line]
            else:
                problems.append(f"{name}:{line}: never reached: {text}")
        for text, count in unused.items():
            if count > 0:
                problems.append(f"waivers.txt: {name}: reached by a test, or not there: {text}")
        if here[0]:
            table.append((100 * here[1] / here[0], here[1], here[0], mine, sum(never.values()), name))
    for name in waivers:
        problems.append(f"waivers.txt: {name} is not among the headers that are looked at")

    for share, run, of, mine, never, name in sorted(table):
        print(f"{share:6.1f} %  {run:5d} of {of:5d} lines, {mine - never:3d} of {mine:3d} refusals  {name}")
    share = 100 * covered / max(lines, 1)
    print(f"{share:6.1f} %  {covered:5d} of {lines:5d} lines; {reached} of {places} refusals reached, {waived} waived, {places - reached - waived} neither")
    for (name, text), reason in sorted(reasons.items()):
        print(f"waived: {name}: {text}\n        {reason}")
    for problem in problems:
        print(problem)
    if share < LEAST_LINES:
        problems.append("lines")
        print(f"{share:.1f} % of the lines were run, {LEAST_LINES:.0f} % are asked for")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
