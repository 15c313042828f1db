#!/usr/bin/env python3
"""The texts of bench/compare_tokenizers.sh: 10 MB each of English, Chinese and code, as english.txt, chinese.txt and code.txt in FOLDER.

    python3 bench/tokenizer_texts.py FOLDER [MORE_CHINESE ...]

English and Chinese are the running text of Debian's documentation (packages are downloaded, not installed), code is what lies under
/usr/include and /usr/lib/python3: real text, no line of prose twice. MORE_CHINESE: folders of further .json or .md files, such as
github.com/chinese-poetry/chinese-poetry; without one chinese.txt is as long as the packages make it.
"""
import gzip
import hashlib
import html
import json
import pathlib
import re
import subprocess
import sys
import tempfile

SIZE = 10_000_000
ENGLISH = ["python3-doc", "python3.11-doc", "debian-reference-en", "debian-handbook"]
CHINESE = ["libreoffice-help-zh-cn", "debian-reference-zh-cn", "manpages-zh", "gimp-help-zh-cn", "debian-handbook"]
TAGS = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", re.S | re.I)
CJK = re.compile("[\u3400-\u9fff]")


def unpack(packages, folder):
    folder.mkdir()
    for name in packages:
        if subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True).returncode:
            print(f"{name} is not to be had: left out", file=sys.stderr)
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", package, folder / package.name.split("_")[0]], check=True)


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def prose(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    text = data.decode("utf-8", "ignore")
    if ".html" in path.suffixes:
        text = html.unescape(TAGS.sub("", text))
    elif path.suffix == ".json":
        text = "\n".join(strings(json.loads(text)))
    elif "/man/" in str(path):
        text = re.sub(r"^[.'].*\n|\\f.|\\-|\\&", "", text, flags=re.M)
    return text


def shuffled(folders, suffixes):
    files = [f for folder in folders for f in pathlib.Path(folder).rglob("*") if f.suffix in suffixes and f.is_file() and not f.is_symlink()]
    return sorted(files, key=lambda f: hashlib.sha256(f.name.encode()).digest())


def write(path, parts):
    size, out = 0, []
    for part in parts:
        out.append(part)
        size += len(part.encode())
        if size >= SIZE:
            break
    path.write_bytes("".join(out).encode()[:SIZE].decode("utf-8", "ignore").encode())
    print(f"{path}: {path.stat().st_size} bytes")


def lines_once(files, wanted):
    seen = set()
    for file in files:
        kept = []
        for line in prose(file).split("\n"):
            line = line.rstrip()
            if not line.strip():
                if kept and kept[-1]:
                    kept.append("")
            elif wanted(line) and line not in seen:
                seen.add(line)
                kept.append(line)
        if kept:
            yield "\n".join(kept) + "\n"


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        unpack(ENGLISH, work / "english")
        files = [f for f in shuffled([work / "english"], {".html", ".txt", ".gz"}) if not re.search(r"/(?!en-US)[a-z]{2}-[A-Z]{2}/|genindex|searchindex", str(f))]
        write(folder / "english.txt", lines_once(files, lambda line: len(line) > 20 and line.isascii() or len(CJK.findall(line)) == 0 and len(line) > 40))
        unpack(CHINESE, work / "chinese")
        files = shuffled([work / "chinese", *sys.argv[2:]], {".html", ".gz", ".json", ".md"})
        write(folder / "chinese.txt", lines_once(files, lambda line: 10 * len(CJK.findall(line)) > 3 * len(line)))
        code = shuffled(["/usr/include", "/usr/lib/python3"], {".h", ".hpp", ".py"})
        write(folder / "code.txt", (f.read_text("utf-8", "ignore") for f in code))


main()
