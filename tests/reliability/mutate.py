#!/usr/bin/env python3
"""Changes one thing in a header that reads foreign bytes, and looks whether a test notices: a comparison turned, + for -, && for ||, a check
dropped, a number off by one. Mutants inside concat(...), the text of errors, are not made. Those that do not compile do not count.

    mutate.py [--n 20] [--seed 1] [--only PART] [--build build/test]

Needs the programs of build/test (cmake --preset test; cmake --build --preset test). Works in a folder of its own. A mutant in a body behind
#if PLUME_BODIES is compiled alone, on the precompiled header of the tests; any other makes its test files be compiled anew. The linker takes
the mutated functions instead of the library's. Mutants that change nothing stand in equivalent_mutants.txt, with the reason.
Fails where fewer than 90 % are killed.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

from error_branches import INCLUDE, closing, without_text

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
LEAST_KILLED = 90.0

# Which tests are asked about a header, the quickest first.
TESTS = [
    (r"base/(bytes|checked|checksum)", "base/files_test malformed/llama2c_test malformed/safetensors_test"),
    (r"base/(directory|files|atomic_save)", "base/files_test reliability/system_calls_test malformed/paths_test train/file_faults_test"),
    (r"base/gguf", "base/gguf_test malformed/gguf_test tokenizer/gguf_tokenizer_test"),
    (r"base/json", "base/json_test malformed/config_test malformed/safetensors_test malformed/tokenizer_json_test"),
    (r"base/protobuf", "base/protobuf_test malformed/sentencepiece_test"),
    (r"base/utf8", "base/json_test tokenizer/stream_decoder_test malformed/tokenizer_test"),
    (r"formats/llama2c|models/families/llama2c", "formats/llama2c_test malformed/llama2c_test models/load_test"),
    (r"formats/\w*gguf", "formats/gguf_test malformed/gguf_test models/save_gguf_test"),
    (r"formats/", "formats/safetensors_test malformed/safetensors_test formats/llama2c_test"),
    (r"tokenizer/template/", "malformed/chat_template_test tokenizer/jinja_template_test"),
    (r"tokenizer/(gguf_\w+)", "malformed/gguf_test tokenizer/gguf_tokenizer_test"),
    (r"tokenizer/llama2c_tokenizer", "malformed/tokenizer_test tokenizer/llama2c_tokenizer_test"),
    (r"tokenizer/read_bert", "tokenizer/read_bert_test"),
    (r"tokenizer/read_marian", "malformed/marian_test tokenizer/read_marian_test"),
    (r"tokenizer/(read_sentencepiece|sentencepiece_\w+|precompiled_map)", "malformed/sentencepiece_test tokenizer/read_sentencepiece_test"),
    (r"tokenizer/(read_byte_bpe|byte_pair_files|tokenizer_files|added_tokens|tiktoken|base64)",
     "tokenizer/tokenizer_files_test tokenizer/trained_files_test tokenizer/byte_bpe_test malformed/tokenizer_test malformed/tokenizer_json_test"),
    (r"tokenizer/text_pattern", "tokenizer/byte_pairs_test tokenizer/tokenizer_files_test malformed/tokenizer_json_test"),
    (r"tokenizer/", "tokenizer/tokenizer_files_test tokenizer/trained_files_test malformed/tokenizer_json_test tokenizer/edit_vocabulary_test"),
    (r"data/chats", "data/chats_test malformed/chats_test"),
    (r"data/chat_", "data/chat_template_file_test data/chat_form_test malformed/chat_template_test"),
    (r"train/metrics", "reliability/system_calls_test train/train_test train/resume_test"),
    (r"train/named_configs", "train/named_configs_test"),
    (r"train/", "malformed/paths_test reliability/system_calls_test malformed/checkpoint_test train/file_faults_test train/resume_test"),
    (r"peft/", "peft/adapter_files_test"),
    (r"models/\w*gguf", "models/gguf_models_test models/save_gguf_test"),
    (r"models/config\.", "models/config_test malformed/config_test"),
    (r"models/(encoder|families/(t5|marian|bert|encoder_))", "models/encoder_test models/encoder_heads_test models/sentence_test models/encoder_decoder_test models/families_test"),
    (r"models/task_json", "models/heads_test models/config_test"),
    (r"models/(weight_delta|tensor_files)", "models/weight_delta_test models/load_test models/families_test"),
    (r"models/", "malformed/config_test models/load_test models/families_test"),
]
HEADERS = """
base/atomic_save base/bytes base/checked base/checksum base/directory base/files base/gguf base/json base/json_value base/protobuf base/utf8
formats/* tokenizer/added_tokens tokenizer/base64 tokenizer/byte_pair_files tokenizer/gguf_pre_tokenizers tokenizer/gguf_tokenizer
tokenizer/llama2c_tokenizer tokenizer/precompiled_map tokenizer/read_bert tokenizer/read_byte_bpe tokenizer/read_marian tokenizer/read_sentencepiece
tokenizer/sentencepiece_model
tokenizer/sentencepiece_rules tokenizer/text_pattern tokenizer/tiktoken tokenizer/tokenizer_files
tokenizer/tokenizer_json tokenizer/tokenizer_json_parts
tokenizer/template/lexer tokenizer/template/parser tokenizer/template/expression_parser tokenizer/template/jinja_template
data/chats data/chat_form data/chat_template_file train/checkpoint train/metrics train/named_configs train/state peft/adapter_files
models/config models/config_json models/encoder_decoder_files models/encoder_files models/encoder_heads_json models/family models/families/* models/gguf_config
models/gguf_vocabulary models/load models/load_gguf models/rotary_json models/save models/task_json models/tensor_files models/weight_delta
""".split()

OPERATORS = [
    (re.compile(r" (<=|>=|<|>) "), {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}),
    (re.compile(r" (==|!=) "), {"==": "!=", "!=": "=="}),
    (re.compile(r" (&&|\|\|) "), {"&&": "||", "||": "&&"}),
    (re.compile(r" (\+|-) "), {"+": "-", "-": "+"}),
    (re.compile(r" (\+=|-=) "), {"+=": "-=", "-=": "+="}),
]
NUMBER = re.compile(r"(?<![\w.'])(\d+)(?=u?\b)(?![\w.'])(?!u?l)")
CHECK = re.compile(r"\bif \(")
REFUSES = re.compile(r"\s*(?:\[\[unlikely\]\]\s*)?(?:return\s+)?(?:throw\b|[\w.]*\b(?:fail\w*|refuse|unexpected|expected|unsupported|unknown|exceeded|wrong_kind|wrong_type)\s*\()")
REQUIRE = re.compile(r"(?<![:\w.])require\s*\(")


class Mutant:
    def __init__(self, header, source, begin, end, text):
        self.header, self.begin, self.end, self.text = header, begin, end, text
        self.line = source.count("\n", 0, begin) + 1
        self.old = source.split("\n")[self.line - 1].strip()
        changed = source[:begin] + text + source[end:]
        self.new = changed.split("\n")[self.line - 1].strip()
        self.source = changed

    def __str__(self):
        return f"{self.header}:{self.line}\n      {self.old}\n    > {self.new}"


def mutants(header):
    source = (INCLUDE / "plume" / header).read_text()
    code = without_text(source)
    spans = []  # texts of errors, preprocessor lines, template arguments
    for match in re.finditer(r"\bconcat\(", code):
        spans.append((match.start(), closing(code, match.end() - 1)))
    for match in re.finditer(r"(?m)^\s*#.*$|\btemplate <[^\n]*|\bstatic_assert\([^\n]*", code):
        spans.append((match.start(), match.end()))
    inside = lambda at: any(begin <= at <= end for begin, end in spans)
    for expression, other in OPERATORS:
        for match in expression.finditer(code):
            if not inside(match.start(1)):
                yield Mutant(header, source, match.start(1), match.end(1), other[match.group(1)])
    for match in NUMBER.finditer(code):
        if not inside(match.start()):
            yield Mutant(header, source, match.start(1), match.end(1), str(int(match.group(1)) + 1))
    for match in CHECK.finditer(code):
        end = closing(code, match.end() - 1)
        if REFUSES.match(code, end + 1):
            begin = max(match.end(), code.rfind(";", match.end(), end) + 1)  # if (declaration; condition)
            yield Mutant(header, source, begin, end, f"false && ({source[begin:end]})")
    for match in REQUIRE.finditer(code):
        if not re.search(r"\bvoid\s+$", code[: match.start()]):
            yield Mutant(header, source, match.start(), match.start(), "if (false) ")


def body(source):
    """(begin, end) of what stands behind #if PLUME_BODIES."""
    begin = source.find("\n#if PLUME_BODIES\n")
    if begin < 0:
        return None
    begin += len("\n#if PLUME_BODIES\n")
    depth = 0
    for match in re.finditer(r"(?m)^#(if|ifdef|ifndef|endif)\b.*$", source[begin:]):
        if match.group(1) != "endif":
            depth += 1
        elif depth == 0:
            return begin, begin + match.start()
        else:
            depth -= 1
    return None


class Bench:
    """Compiles, links and runs in a temporary folder with what lies in the build folder."""

    def __init__(self, build, work, data):
        self.build, self.work, self.data = build, work, data
        self.commands = {}
        for entry in json.loads((build / "compile_commands.json").read_text()):
            self.commands.setdefault(str(pathlib.Path(entry["file"])), shlex.split(entry["command"]))
        self.links = {}
        shutil.copytree(INCLUDE, work / "include")
        self.before, self.plain, self.unchanged = {}, {}, {}  # plain: the object of a header's bodies without a change

    def compile_command(self, test, source, target, precompiled):
        command = list(self.commands[next(file for file in self.commands if file.endswith(f"/tests/{test}.cpp"))])
        command[command.index("-o") + 1] = str(target)
        command[command.index("-c") + 1] = str(source)
        if not precompiled:
            at = next((i for i, word in enumerate(command) if word.endswith("cmake_pch.hxx")), None)
            if at is not None:
                del command[at - 1 : at + 1]
            command = [w.replace("-DPLUME_COMPILED=1", "-DPLUME_COMPILED=2") for w in command if w not in ("-g", "-g1")]
            command = [f"-I{self.work}/include" if w.startswith("-I") and w.endswith("/include") else w for w in command] + ["-O0"]
        return [word for word in command if word != "-Werror"] + ["-w"]

    def link_command(self, room):
        if room not in self.links:
            lines = subprocess.run(["ninja", "-C", str(self.build), "-t", "commands", f"plume_test_{room}"], capture_output=True, text=True, check=True)
            line = lines.stdout.strip().split("\n")[-1]
            words = shlex.split(line)
            self.links[room] = words[words.index("&&") + 1 : len(words) - 1 - words[::-1].index("&&")]
        return list(self.links[room])

    def run(self, command, seconds, **options):
        try:
            return subprocess.run(command, cwd=self.build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, **options)
        except subprocess.TimeoutExpired:
            return None

    def compile_bodies(self, header, text, test):
        unit = self.work / "mutant.cpp"
        unit.write_text(f'#include "plume/{header}"\n#undef PLUME_BODIES\n#define PLUME_BODIES 1\n{text}')
        return self.run(self.compile_command(test, unit, self.work / "mutant.o", True), 600)

    def bodies_before(self, header, test):
        """What must stand before the bodies of a header so that they compile alone: nothing, or the bodies of a header it includes."""
        if header not in self.before:
            source = (INCLUDE / "plume" / header).read_text()
            begin, end = body(source)
            included = re.findall(r'(?m)^#include "plume/([^"]+)"', source)
            candidates = [""]
            for name in included:
                text = (INCLUDE / "plume" / name).read_text()
                if name.split("/")[0] == header.split("/")[0] and body(text):
                    candidates.append(text[slice(*body(text))] + "\n")
            candidates.append("".join(candidates))
            self.before[header] = None
            for candidate in candidates:
                result = self.compile_bodies(header, candidate + source[begin:end], test)
                if result is not None and result.returncode == 0:
                    self.before[header] = candidate
                    self.plain[header] = (self.work / "mutant.o").read_bytes()
                    break
        return self.before[header]

    def objects(self, mutant, tests):
        """The object files that hold the mutant, {test file: object} where test files were compiled anew, and whether it compiles."""
        header = self.work / "include" / "plume" / mutant.header
        begin, end = body(mutant.source) or (0, 0)
        if begin <= mutant.begin < end:
            before = self.bodies_before(mutant.header, tests[0])
            if before is not None:
                result = self.compile_bodies(mutant.header, before + mutant.source[begin:end], tests[0])
                if result is None or result.returncode != 0:
                    return [], {}, False
                if (self.work / "mutant.o").read_bytes() != self.plain[mutant.header]:
                    return [str(self.work / "mutant.o")], {}, True  # else nothing of it stands there alone: its users compile it
        old = header.read_text()
        header.write_text(mutant.source)
        anew = {}
        try:
            for number, test in enumerate(tests):
                target = self.work / f"test{number}.o"
                result = self.run(self.compile_command(test, TOP / "tests" / f"{test}.cpp", target, False), 900)
                if result is None or result.returncode != 0:
                    if number == 0:
                        return [], {}, False
                    break
                anew[test] = str(target)
        finally:
            header.write_text(old)
        return [], anew, True

    def program(self, room, first, anew):
        words = self.link_command(room)
        words[words.index("-o") + 1] = str(self.work / "program")
        if anew:  # only they, and what the room's own program begins with
            words = [w for w in words if not (w.endswith("_test.cpp.o") and f"plume_test_{room}.dir" in w)]
        words[1:1] = first + list(anew.values()) + ["-Wl,--allow-multiple-definition"]
        result = self.run(words, 300)
        if result is None or result.returncode != 0:
            sys.exit(f"mutate.py: cannot link {room}:\n{result.stdout if result else 'time is over'}")

    def run_test(self, program, test):
        environment = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "2", "PLUME_TEST_DATA": self.data, "TMPDIR": str(self.work)}
        return self.run([str(program), f"--source-file=*/{test}.cpp", "--abort-after=1"], 240, env=environment)

    def passes_unchanged(self, test):
        if test not in self.unchanged:
            words = self.link_command(test.split("/")[0])
            result = self.run_test(self.build / words[words.index("-o") + 1], test)
            self.unchanged[test] = result is not None and result.returncode == 0
        return self.unchanged[test]

    def verdict(self, tests, first, anew):
        """The test that fails, or None."""
        rooms = {}
        for test in tests:
            if not anew or test in anew:
                rooms.setdefault(test.split("/")[0], []).append(test)
        for room, files in rooms.items():
            self.program(room, first, {test: anew[test] for test in files} if anew else {})
            for test in files:
                result = self.run_test(self.work / "program", test)
                if result is None or result.returncode != 0:
                    if not self.passes_unchanged(test):
                        sys.exit(f"mutate.py: {test} fails without any change; build {self.build} anew")
                    return test if result else f"{test} (endless)"
        return None


def read_equivalents():
    """{(header, old line, new line)}: a header, then pairs of lines (- the old, + the new), then the reason behind a #."""
    listed, header, old = set(), None, None
    for text in (HERE / "equivalent_mutants.txt").read_text().splitlines():
        if text.startswith("- "):
            old = text[2:].strip()
        elif text.startswith("+ "):
            listed.add((header, old, text[2:].strip()))
        elif text and not text.startswith("#") and not text.startswith(" "):
            header = text.strip()
    return listed


def tests_of(header):
    for pattern, tests in TESTS:
        if re.match(pattern, header):
            return tests.split()
    sys.exit(f"mutate.py: no test is named for {header}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=20, help="mutants that compile and can be noticed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="headers whose name holds this")
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build" / "test")
    parser.add_argument("--list", action="store_true", help="count the mutants there are, and make none")
    arguments = parser.parse_args()
    data = os.environ.get("PLUME_TEST_DATA", str(TOP.parent / "shared" / "data"))
    every = []
    for pattern in HEADERS:
        found = sorted((INCLUDE / "plume").glob(pattern + ".hpp"))
        if not found:
            sys.exit(f"mutate.py: there is no header {pattern}")
        for header in found:
            name = str(header.relative_to(INCLUDE / "plume"))
            if arguments.only in name:
                tests_of(name)
                every.extend(mutants(name))
    if arguments.list:
        print(f"{len(every)} mutants")
        return
    if not (arguments.build / "compile_commands.json").exists():
        print(f"SKIP: {arguments.build} is not built: cmake --preset test; cmake --build --preset test")
        return
    equivalent = read_equivalents()
    random.Random(arguments.seed).shuffle(every)
    killed, survived, uncompiled, left_out = 0, [], 0, 0
    with tempfile.TemporaryDirectory(prefix="plume-mutants-") as folder:
        bench = Bench(arguments.build.resolve(), pathlib.Path(folder), data)

        for mutant in every:
            if killed + len(survived) >= arguments.n:
                break
            if (mutant.header, mutant.old, mutant.new) in equivalent:
                left_out += 1
                continue
            tests = tests_of(mutant.header)
            begin = time.monotonic()
            first, anew, compiles = bench.objects(mutant, tests)
            if not compiles:
                uncompiled += 1
                print(f"  does not compile  {mutant}", flush=True)
                continue
            verdict = bench.verdict(tests, first, anew)
            seconds = time.monotonic() - begin
            if verdict:
                killed += 1
                print(f"  killed {seconds:4.0f} s by {verdict}  {mutant}", flush=True)
            else:
                survived.append(mutant)
                print(f"  SURVIVED {seconds:4.0f} s  {mutant}", flush=True)
    share = 100 * killed / max(killed + len(survived), 1)
    print(f"seed {arguments.seed}: {killed} of {killed + len(survived)} mutants killed ({share:.0f} %), {uncompiled} did not compile, "
          f"{left_out} change nothing (equivalent_mutants.txt)")
    if share < LEAST_KILLED:
        sys.exit(f"fewer than {LEAST_KILLED:.0f} % were killed")


if __name__ == "__main__":
    main()
