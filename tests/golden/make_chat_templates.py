#!/usr/bin/env python3
"""Makes chat_templates/*.json: what jinja2, set up as transformers sets it up, makes of chat templates.

    python3.11 -m venv venv && venv/bin/pip install jinja2==3.1.6 markupsafe==3.0.4
    venv/bin/python make_chat_templates.py                      # writes the files; calls: calls.json alone
    venv/bin/python make_chat_templates.py TEMPLATE CHAT 0|1    # prints one rendering

The templates in chat_templates/families.txt are written for this test after the formats that the families publish; none is a copy. The
environment is that of transformers' chat_template_utils.py (ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks, loop controls, its
tojson, raise_exception, strftime_now and the extension that tracks {% generation %}), written anew from its documentation.
"""
import hashlib
import json
import pathlib
import random
import sys

import jinja2
import jinja2.ext
import jinja2.sandbox

assert jinja2.__version__ == "3.1.6"
OUT = pathlib.Path(__file__).parent / "chat_templates"
NOW = "26 Jul 2024"


class Generation(jinja2.ext.Extension):
    """{% generation %}: notes where its text stands among what was rendered before."""
    tags = {"generation"}
    before, ranges = None, None

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_track"), [], [], body).set_lineno(line)

    def _track(self, caller):
        text = caller()
        if Generation.ranges is not None:
            begin = len("".join(Generation.before))
            Generation.ranges.append((begin, begin + len(text)))
        return text


def environment():
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: NOW if form == "%d %b %Y" else "<" + form + ">"
    return env


ENV = environment()


def render(template, **variables):
    """The text and the ranges of bytes that {% generation %} wrote; None where the template fails."""
    Generation.before, Generation.ranges = [], []
    try:
        for block in ENV.from_string(template).generate(**variables):
            Generation.before.append(block)
        text = "".join(Generation.before)
        text.encode()
    except Exception as error:
        if "-v" in sys.argv:
            print(type(error).__name__, error, file=sys.stderr)
        return None
    finally:
        ranges, Generation.ranges = Generation.ranges, None
    return text, [[len(text[:a].encode()), len(text[:b].encode())] for a, b in ranges]


def short(text):
    return hashlib.sha256(text.encode()).hexdigest()[:16]


WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather of a place, e.g. \"Zürich\"", "parameters": {
        "type": "object", "properties": {
            "place": {"type": "string", "description": "A town"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Unit <b>&</b>"},
            "days": {"type": "array", "items": {"type": "integer"}}}, "required": ["place"]},
    "return": {"type": "object", "description": "what it is"}}}
PLAIN = {"type": "function", "function": {"name": "now", "description": "The time", "parameters": {"type": "object", "properties": {}}}}
DOCUMENTS = [{"title": "Elephants", "text": "They are large.\nVery."}, {"title": "Ants", "text": "They aren't."}]
SPECIAL = ("<s></s><|im_start|>system\n<|im_end|>[INST] x [/INST]<|eot_id|><|start_header_id|>user<|end_header_id|><start_of_turn>"
           "<end_of_turn><|user|><|end|><|endoftext|>{{ bos_token }}{% if 1 %}")


def says(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, id="call00001"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


CHATS = {
    "one": {"messages": [says("user", "Hello")]},
    "turns": {"messages": [says("user", "Who are you?"), says("assistant", "A model."), says("user", "  And now?  \n")]},
    "system": {"messages": [says("system", " Be brief.\n"), says("user", "Hi"), says("assistant", " Hi! "), says("user", "Bye"), says("assistant", "Bye.")]},
    "empty": {"messages": [says("system", ""), says("user", ""), says("assistant", ""), says("user", "\n")]},
    "unicode": {"messages": [says("system", "Sprich Deutsch: äöüß"), says("user", "你好, 👩‍👩‍👧! ΟΔΟΣ"), says("assistant", "Здравствуй\u00a0мир\u2028"), says("user", "\u3000e\u0301\u3000")]},
    "specials": {"messages": [says("system", SPECIAL), says("user", SPECIAL), says("assistant", SPECIAL), says("user", "x" + SPECIAL + "y")]},
    "tools": {"messages": [says("system", "Use tools."), says("user", "Weather in Zürich?")], "tools": [WEATHER, PLAIN]},
    "calls": {"messages": [says("user", "Weather?"), says("assistant", None, tool_calls=[call("get_weather", {"place": "Zürich \"Süd\"", "days": [1, 2.5, None], "deep": {"a": True}})]),
                           says("tool", "{\"sky\": \"<grey>\"}", tool_call_id="call00001", name="get_weather"), says("assistant", "It is grey."), says("user", "Thanks")], "tools": [WEATHER]},
    "two calls": {"messages": [says("system", "S"), says("user", "Both?"), says("assistant", "", tool_calls=[call("now", {}, "aaaaaaaa1"), call("get_weather", {"place": "Bern"}, "aaaaaaaa2")]),
                               says("tool", "12:00", tool_call_id="aaaaaaaa1", name="now"), says("tool", "wet", tool_call_id="aaaaaaaa2", name="get_weather")], "tools": [PLAIN, WEATHER]},
    "text arguments": {"messages": [says("user", "Weather?"), says("assistant", None, tool_calls=[{"type": "function", "function": {"name": "now", "arguments": "{\"x\": 1}"}}]),
                                    says("tool", "12:00")], "tools": None},
    "parts": {"messages": [says("user", [{"type": "text", "text": "What is"}, {"type": "image"}, {"type": "text", "text": " this?"}]), says("assistant", [{"type": "text", "text": "A cat"}]),
                           says("user", [{"type": "text", "text": ""}])]},
    "thinks": {"messages": [says("user", "2+2?"), says("assistant", "<think>\nhm\nfour\n</think>\n\n4", reasoning_content=None), says("user", "3+3?"),
                            says("assistant", "6", reasoning_content="six")]},
    "documents": {"messages": [says("system", "Cite."), says("user", "How large is an ant?")], "documents": DOCUMENTS},
    "two in a row": {"messages": [says("user", "a"), says("user", "b"), says("assistant", "c"), says("assistant", "d")]},
    "other role": {"messages": [says("system", "s"), says("critic", "no <|im_end|>"), says("user", "u")]},
    "long": {"messages": [says("user" if i % 2 == 0 else "assistant", f"Turn {i}: " + "word " * (i % 7)) for i in range(41)]},
    "none": {"messages": []},
}
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "enable_thinking": True, "date_string": "1 Jan 2025"}


def families():
    found, name = {}, None
    for line in (OUT / "families.txt").read_text().splitlines(keepends=True):
        if line.startswith("==== "):
            name = line[5:].strip()
            found[name] = ""
        elif name:
            found[name] += line
    return {name: text[:-1] for name, text in found.items()}  # the last line end stands for the file's


def variables_of(chat, prompt):
    return {"messages": chat["messages"], "tools": chat.get("tools"), "documents": chat.get("documents"), "add_generation_prompt": prompt, **VARIABLES}


def make_families():
    cases, failed, marked = [], 0, 0
    for name, template in families().items():
        worked = 0
        for chat_name, chat in CHATS.items():
            for prompt in (False, True):
                found = render(template, **variables_of(chat, prompt))
                case = {"template": name, "chat": chat_name, "prompt": prompt}
                if found is None:
                    failed += 1
                else:
                    worked += 1
                    case |= {"bytes": len(found[0].encode()), "sha256": short(found[0])}
                    if found[1]:
                        case["generations"] = found[1]
                        marked += 1
                cases.append(case)
        print(f"{name}: {worked} of {2 * len(CHATS)}")
        assert worked >= 8 or "-v" in sys.argv, name
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in cases)
    chats = json.dumps(CHATS, ensure_ascii=False, separators=(",", ":"))
    (OUT / "families.json").write_text(f'{{"chats":{chats},\n"variables":{json.dumps(VARIABLES)},\n"cases":[\n{lines}\n]}}\n')
    print(len(families()), "templates,", len(cases), "renderings,", failed, "of them refused,", marked, "with an assistant mask")


# Generated templates. -------------------------------------------------------------------------------------------------------------------
DATA = {
    "messages": [{"role": "user", "content": " Hello\n"}, {"role": "assistant", "content": "Straße ǆ ΣΑΣ", "tags": ["b", "A", "c"]}, {"role": "tool", "content": None, "n": 3}],
    "i": 7, "j": -3, "zero": 0, "f": 2.5, "g": -0.1, "t": True, "n": None, "s": "The quick brown-fox", "u": "éß漢字 👍 ŉa", "e": "", "w": "  two  words\t\n",
    "l": [3, 1, 2], "m": ["b", "A", "c", "a"], "d": {"b": 1, "A": 2.0, "c": "x\"y'z"}, "x": [{"k": "v", "n": 2}, {"k": "w", "n": 1}, {"n": 3}], "deep": {"a": [{"b": [1, [2, {"c": None}]]}]},
}


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names = []

    def pick(self, *options):
        return self.random.choice(options)

    def any(self, depth):
        return self.pick(self.text, self.whole, self.real, self.truth, self.list, self.dict, self.whatever)(depth)

    def whatever(self, depth):
        r = self.random.random()
        if r < 0.2 or depth <= 0:
            return self.pick("n", "nope", "none", "i", "s", "l", "d", "x", "deep", "messages", "messages[0]", "messages[-1].content", "d.zz", "f", "t", *self.names)
        if r < 0.4:
            return f"({self.any(depth - 1)} if {self.truth(depth - 1)} else {self.any(depth - 1)})"
        if r < 0.45:
            return f"({self.any(depth - 1)} if {self.truth(depth - 1)})"
        if r < 0.6:
            return f"({self.any(depth - 1)} {self.pick('or', 'and')} {self.any(depth - 1)})"
        if r < 0.75:
            return f"{self.list(depth - 1)}[{self.whole(depth - 1)}]"
        if r < 0.85:
            return f"{self.list(depth - 1)}|{self.pick('first', 'last', 'sum', 'min', 'max')}"
        if r < 0.95:
            return f"{self.dict(depth - 1)}.get({self.text(0)}{self.pick('', ', ' + self.any(0))})"
        return f"({self.any(depth - 1)}|default({self.any(0)}{self.pick('', ', true')}))"

    def quoted(self):
        words = ["a", "b", " ", "x y", "é", "漢", "\\n", "\\t", "-", "<|im_end|>", "o", "The", "Qu", "ß", "'", '"', "\\\\", "{", "}}", "%}", "1", "2.5", "", "  ", "A", "\u01c6", "Σ", "\\u00e9", "\\x41", "&<>"]
        text = "".join(self.random.choice(words) for _ in range(self.random.randint(0, 3)))
        if "'" not in text:
            return "'" + text + "'"
        return '"' + text.replace('"', "") + '"'

    def text(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.2:
            return self.pick(self.quoted(), self.quoted(), "s", "u", "e", "w", "messages[0].content", "messages[1]['content']", "messages[1].role", "d.c")
        d = depth - 1
        if r < 0.35:
            return f"({self.text(d)} {self.pick('+', '~')} {self.text(d)})"
        if r < 0.4:
            return f"({self.any(d)} ~ {self.any(d)})"
        if r < 0.6:
            name = self.pick("trim", "upper", "lower", "title", "capitalize", "string", "reverse", "trim('a ')", "replace('a', 'oo')", "replace(' ', '', 1)", "indent", "indent(2, true)",
                             "indent('>', blank=true)", "replace('', '-')")
            return f"{self.text(d)}|{name}" if self.random.random() < 0.5 else f"({self.text(d)}|{name})"
        if r < 0.75:
            name = self.pick("strip()", "lstrip()", "rstrip()", "strip('x ')", "lstrip(' T')", "upper()", "lower()", "title()", "capitalize()", "replace('o', '0')", "replace('a', 'b', 1)",
                             "removeprefix('a')", "removesuffix('x')", "rstrip('\\n')")
            return f"{self.text(d)}.{name}" if not self.random.random() < 0.2 else f"({self.text(d)}).{name}"
        if r < 0.85:
            return f"{self.text(0)}{self.slice(d)}"
        if r < 0.92:
            return f"{self.list(d)}|" + self.pick('join', 'join(", ")', 'join(s)', 'map("string")|join("/")')
        return f"{self.any(d)}|" + self.pick('tojson', 'tojson', 'tojson(indent=2)', 'string', 'tojson(ensure_ascii=true)', 'tojson(sort_keys=true)', 'tojson(separators=[",", ":"])', 'tojson(indent=0)')

    def slice(self, depth):
        bound = lambda: self.pick("", "", "0", "1", "2", "-1", "-2", "5", "-9", "100", self.whole(0))
        step = self.pick("", "", ":", ":1", ":2", ":-1", ":-2", ":3")
        return f"[{bound()}:{bound()}{step}]"

    def whole(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.3:
            return self.pick("i", "j", "zero", "0", "1", "2", "3", "10", "-1", "x[0].n", "0x1f", "1_000", "true", str(self.random.randint(-50, 50)))
        d = depth - 1
        if r < 0.6:
            return f"({self.whole(d)} {self.pick('+', '-', '*', '//', '%')} {self.whole(d)})"
        if r < 0.65:
            return f"({self.whole(0)} ** {self.pick('0', '1', '2', '3', '5')})"
        if r < 0.8:
            return f"{self.pick(self.text, self.list, self.dict)(d)}|{self.pick('length', 'count')}"
        if r < 0.85:
            return f"{self.pick(self.text, self.real, self.whole)(d)}|int"
        if r < 0.9:
            return f"-{self.whole(0)}"
        if r < 0.95:
            return f"{self.whole(d)}|abs"
        return f"{self.text(d)}.{self.pick('find', 'count', 'rfind', 'index')}({self.text(0)})"

    def real(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.3:
            return self.pick("f", "g", "0.5", "1e3", "1.25", "1e16", "1e22", "123456789.125", "1e-5", "0.0001", "2.0")
        d = depth - 1
        if r < 0.7:
            return f"({self.real(d)} {self.pick('+', '-', '*', '/', '//', '%')} {self.pick(self.real, self.whole)(d)})"
        if r < 0.8:
            return f"({self.whole(d)} / {self.whole(d)})"
        if r < 0.9:
            return f"{self.pick(self.real, self.text)(d)}|float"
        return f"{self.real(d)}|" + self.pick('round', 'round(1)', 'round(2)', 'abs', 'round(1, "floor")', 'round(0, "ceil")')

    def truth(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.15:
            return self.pick("t", "true", "False", "i > 3", "s", "e", "loop is defined", "nope is defined")
        d = depth - 1
        if r < 0.3:
            kind = self.pick(self.whole, self.real, self.text)
            return f"{kind(d)} {self.pick('==', '!=', '<', '>', '<=', '>=')} {kind(d)}"
        if r < 0.35:
            return f"({self.whole(d)} {self.pick('<', '<=', '==')} {self.whole(d)} {self.pick('<', '>=', '!=')} {self.real(d)})"
        if r < 0.45:
            return f"({self.text(d)} {self.pick('in', 'not in')} {self.pick(self.text, self.list, self.dict)(d)})"
        if r < 0.5:
            return f"({self.any(d)} in {self.list(d)})"
        if r < 0.55:
            return f"not {self.truth(d)}"
        if r < 0.65:
            return f"({self.truth(d)} {self.pick('and', 'or')} {self.truth(d)})"
        if r < 0.7:
            return f"{self.any(d)} == {self.any(d)}"
        if r < 0.75:
            return f"{self.text(d)}.{self.pick('startswith', 'endswith')}({self.text(0)})"
        name = self.pick("defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "true", "false", "not none", "not defined", "callable",
                         "eq 2", "ne(3)", "sameas true", "odd", "even", "divisibleby 2", "in [1, 'a']", "gt 1", "equalto('a')", "not string")
        return f"({self.any(d)} is {name})"

    def list(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.2:
            return self.pick("l", "m", "x", "messages", "[]", "[1, 'a', none]", "(1, 2)", "deep.a", "range(4)", "range(5, 0, -2)", "[[1, 2], [3]]", "('z',)")
        d = depth - 1
        if r < 0.3:
            return "[" + ", ".join(self.any(d) for _ in range(self.random.randint(0, 3))) + "]"
        if r < 0.4:
            return f"({self.list(d)} + {self.list(d)})"
        if r < 0.5:
            return f"{self.list(0)}{self.slice(d)}"
        if r < 0.6:
            return f"{self.text(d)}." + self.pick('split()', 'split(" ")', 'split("o", 1)', 'rsplit(" ", 1)', 'splitlines()', 'split(none, 1)', 'rsplit(none, 1)', 'rsplit()')
        if r < 0.65:
            return f"{self.text(d)}|list"
        if r < 0.7:
            return f"{self.dict(d)}|" + self.pick('dictsort', 'items|list', 'list', 'dictsort(true)', 'dictsort(false, "value")', 'dictsort(reverse=true)')
        if r < 0.75:
            return f"{self.dict(d)}.{self.pick('keys()', 'values()', 'items()')}|list"
        if r < 0.8:
            return "x|" + self.pick('map(attribute="k")', 'selectattr("k")', 'rejectattr("k", "defined")', 'selectattr("n", "gt", 1)', 'map(attribute="k", default="?")', 'sort(attribute="n")', 'selectattr("k", "equalto", "v")') + "|list"
        tail = self.pick("sort", "unique|list", "reverse|list", "list", "map('string')|list", "select|list", "reject('none')|list", "map('upper')|list", "sort(reverse=true)", "select('string')|list",
                         "batch(2)|list", "map('trim')|list", "sort(case_sensitive=true)", "select('odd')|list", "map('length')|list", "batch(3, 'f')|list")
        return f"{self.list(d)}|{tail}"

    def dict(self, depth):
        r = self.random.random()
        if depth <= 0 or r < 0.5:
            return self.pick("d", "messages[0]", "x[0]", "deep", "{}", "{'a': 1}", "dict(p=1, q='r')")
        keys = self.random.sample(["'a'", "'b'", "'é'", "1", "'x y'", "true", "none", "2.5", "'c\\n'"], self.random.randint(0, 3))
        return "{" + ", ".join(f"{k}: {self.any(depth - 1)}" for k in keys) + "}"

    def block(self, name):
        return "{%" + self.pick("", "", "", "-", "+") + " " + name + " " + self.pick("", "", "", "-", "+") + "%}"

    def plain(self):
        return "".join(self.pick(" ", "\n", "a", "B ", "\n\n", "  ", "\t", "é", "{ ", "}", "%", "#", "x: ", "<|s|>", "\n  ", "\\n", "'", "\u3000", "\r\n") for _ in range(self.random.randint(0, 4)))

    def statements(self, depth):
        return "".join(self.statement(depth) for _ in range(self.random.randint(1, 3)))

    def statement(self, depth):
        r = self.random.random()
        if r < 0.3 or depth <= 0:
            return self.plain() + "{{" + self.pick("", "-", "") + " " + self.any(self.pick(1, 2)) + " " + self.pick("", "-", "") + "}}" + self.plain()
        d = depth - 1
        if r < 0.4:
            return self.plain()
        if r < 0.44:
            return "{#" + self.pick("", "-", "+") + self.plain().replace("#", "") + "c" + self.pick("", "-", "+") + "#}"
        if r < 0.56:
            out = self.block("if " + self.truth(1)) + self.statements(d)
            if self.random.random() < 0.3:
                out += self.block("elif " + self.truth(1)) + self.statements(d)
            if self.random.random() < 0.5:
                out += self.block("else") + self.statements(d)
            return out + self.block("endif")
        if r < 0.74:
            name = self.pick("a", "b", "c")
            self.names.append(name)
            target, over = self.pick((name, self.list(1)), (name, self.list(1)), (name, self.dict(1)), (f"k, {name}", f"{self.dict(1)}.items()"), (f"k, {name}", f"{self.dict(1)}|items"), (name, self.text(1)))
            head = f"for {target} in {over}" + self.pick("", "", f" if {name}", f" if {name} is not none")
            body = self.statements(d)
            if self.random.random() < 0.6:
                body += "{{ loop." + self.pick("index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "cycle('p', 'q')", "changed(i)", "depth") + " }}"
            if self.random.random() < 0.15:
                body += self.block("if " + self.truth(1)) + self.block(self.pick("break", "continue")) + self.block("endif") + self.plain()
            out = self.block(head) + body
            if self.random.random() < 0.2:
                out += self.block("else") + self.plain()
            self.names.pop()
            return out + self.block("endfor")
        if r < 0.84:
            name = self.pick("a", "b", "c", "y")
            return self.block(f"set {name} = {self.any(2)}") + self.plain() + "{{ " + name + " }}"
        if r < 0.87:
            return self.block("set " + self.pick("a", "b") + self.pick("", " | trim", "|upper")) + self.statements(d) + self.block("endset") + "{{ a }}{{ b|length }}"
        if r < 0.9:
            return self.block("set ns = namespace(v=" + self.any(1) + ", w=0)") + self.block("for a in l") + self.block("set ns.w = ns.w + a") + self.block("endfor") + "{{ ns.v }}{{ ns.w }}{{ ns.z is defined }}"
        if r < 0.95:
            call = self.pick("mm(1)", "mm('x', q=2)", "mm(q=3, p='z')", "mm()", "mm(1, 2)", "mm(1, 2, 3)", "mm(r=1)")
            return self.block("macro mm(p, q=" + self.any(0) + ")") + "[{{ p }}{{ q }}" + self.statements(d) + "]" + self.block("endmacro") + "{{ " + call + " }}"
        if r < 0.97:
            return self.block("filter " + self.pick("upper", "trim", "replace('a', 'b')|lower")) + self.statements(d) + self.block("endfilter")
        if r < 0.99:
            return self.block("with a = " + self.any(1) + ", b = 3") + self.statements(d) + "{{ a }}{{ b }}" + self.block("endwith")
        return self.pick("{% raw %}", "{%- raw -%}") + "{{ no }}" + self.plain() + self.pick("{% endraw %}", "{%- endraw -%}")


def make_generated(count):
    rows, failed, seed = [], 0, 0
    seen = set()
    while len(rows) < count:
        seed += 1
        maker = Maker(seed)
        template = "{{ " + maker.any(3) + " }}" if seed % 2 else maker.statements(2)
        if len(template) > 160 or template in seen:
            continue
        found = render(template, tools=None, documents=None, add_generation_prompt=False, **DATA)
        if found is None:
            if failed * 5 > len(rows) + 1:  # a fifth of them fails
                continue
            failed += 1
            rows.append([template, None])
            seen.add(template)
            continue
        text = found[0]
        if any(word in text for word in ("<generator", " at 0x", "<built-in", "<Namespace", "<class", "<bound", "<Macro", "Cycler", "<LoopContext")) or len(text) > 20000:
            continue
        if any(len(word) > 18 for word in "".join(c if c.isdigit() else " " for c in text).split()):
            continue
        seen.add(template)
        rows.append([template, text if len(text.encode()) <= 40 and not text.startswith("#") else "#" + short(text)])
    lines = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in rows)
    (OUT / "generated.json").write_text(f'{{"data":{json.dumps(DATA, ensure_ascii=False)},\n"cases":[\n{lines}\n]}}\n')
    print(len(rows), "generated templates,", failed, "of them fail, from", seed, "seeds")


VALUES = {"n": 42, "m": -7, "x": 3.14159, "y": -0.5, "z": 1234567.891, "s": "h\u00e9llo", "t": "a{b}%c", "e": "", "no": None, "yes": True, "l": [1, "b", 2.5],
          "d": {"k": "v", "n": 5, "deep": {"er": [7, 8]}}, "tree": [{"name": "a", "kids": [{"name": "b", "kids": [{"name": "c", "kids": []}]}, {"name": "d", "kids": []}]},
                                                                   {"name": "e", "kids": []}]}
CALLS = (OUT / "calls.txt").read_text().split("\n")


def make_calls():
    rows = []
    for template in CALLS:
        text = (CALLS[0] if "f(" in template and template != CALLS[0] else "") + template
        found = render(text, messages=[], tools=None, documents=None, add_generation_prompt=False, **VALUES)
        rows.append([text, None if found is None else found[0]])
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    (OUT / "calls.json").write_text(f'{{"data":{json.dumps(VALUES, ensure_ascii=False)},\n"cases":[\n{lines}\n]}}\n')


def main():
    if len(sys.argv) > 3:
        template, chat, prompt = sys.argv[1:4]
        found = render(families()[template], **variables_of(CHATS[chat], prompt == "1"))
        sys.stdout.write("fails\n" if found is None else found[0])
        return
    make_calls()
    if sys.argv[1:] != ["calls"]:
        make_families()
        make_generated(5000)


main()
