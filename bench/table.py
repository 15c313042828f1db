#!/usr/bin/env python3
"""Rows of a Markdown table from the JSON lines of benchmark programs.

    python3 bench/table.py [--no-header] FILE...

A file is one comparison: lines of plume and of one other program that ran turn by turn, or of plume alone. A row gives the medians over
the turns, their range, and the ratios of the medians; speed and memory come from the same turns. A file whose machine was not steady
(its peak differed by more than 5 %, its read test by more than 15 %) is marked: measure it again.
"""
import json
import statistics
import sys

HEADER = ["what", "plume", "peer", "speed ratio", "peak RSS, MB", "RSS ratio", "versions and options"]


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.startswith("{")]


def key_of(line):
    for key in ("tokens_per_second", "decode_tokens_per_second", "training_seconds"):
        if key in line:
            return key
    raise SystemExit(f"no speed in {line}")


def one(lines, key):
    values = [line[key] for line in lines if key in line]
    return statistics.median(values) if values else None


def number(value):
    return f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def speed(lines, key):
    values = [line[key] for line in lines]
    unit = "s" if key == "training_seconds" else "tokens/s"
    return f"{number(statistics.median(values))} {unit} ({number(min(values))} to {number(max(values))})"


def what(line):
    threads = f"{line['threads']} thread{'s' if line['threads'] > 1 else ''}"
    if "config" in line:
        return f"train {line['config']} B{line['batch']} T{line['context']}, {threads}"
    return f"decode {line['model'].split('/')[-1]}, {line['prompt']} + {line['tokens']} tokens, {threads}"


def steadiness(lines):
    marks = []
    for key, name, allowed in (("peak_flops_per_second", "peak", 1.05), ("read_bytes_per_second", "read test", 1.15)):
        values = [line[key] for line in lines if line.get(key)]
        if values and max(values) > allowed * min(values):
            marks.append(f"NOT STEADY: {name} {min(values) / 1e9:.1f} to {max(values) / 1e9:.1f}")
    return marks


def described(line):
    parts = [line["precision"], line["version"]]
    if line.get("options"):
        parts.append(line["options"])
    return ", ".join(parts)


def details(ours):
    notes = []
    flops, peak, read_rate, moved = (one(ours, key) for key in ("flops_per_second", "peak_flops_per_second", "read_bytes_per_second", "decode_bytes_per_second"))
    if flops and peak:
        notes.append(f"{flops / 1e9:.1f} GFLOP/s = {100 * flops / peak:.0f} % of the {ours[0].get('peak_of', 'f32')} peak of {peak / 1e9:.1f}")
    if moved and read_rate:
        notes.append(f"{moved / 1e9:.1f} GB/s = {100 * one(ours, 'share_of_read'):.0f} % of the read test of {read_rate / 1e9:.1f}")
    return notes


def row(lines):
    ours = [line for line in lines if line["program"] == "plume"]
    theirs = [line for line in lines if line["program"] != "plume"]
    key = key_of(ours[0])
    rss = one(ours, "peak_rss_bytes")
    cells = [what(ours[0]), speed(ours, key), "", "", number(rss / 1e6), "", ""]
    notes = [f"plume {described(ours[0])}"]
    if theirs:
        ratio = one(ours, key) / one(theirs, key)
        peer_rss = one(theirs, "peak_rss_bytes")
        cells[2] = f"{theirs[0]['program']} {speed(theirs, key)}"
        cells[3] = f"**{1 / ratio if key == 'training_seconds' else ratio:.2f}**"
        cells[4] += f" against {number(peer_rss / 1e6)}"
        cells[5] = f"**{rss / peer_rss:.2f}**"
        imported = one(theirs, "import_rss_bytes")
        if imported:
            cells[4] += f" ({number(imported / 1e6)} of it the import)"
        notes.append(f"peer {described(theirs[0])}")
    for name in ("validation_loss",):
        if name in ours[0]:
            notes.append("validation loss " + " against ".join(f"{one(side, name):.3f}" for side in (ours, theirs) if side))
    cells[6] = "; ".join(notes + details(ours) + steadiness(lines))
    return "| " + " | ".join(cells) + " |"


def main():
    paths = [path for path in sys.argv[1:] if path != "--no-header"]
    if not paths:
        sys.exit(__doc__)
    if "--no-header" not in sys.argv:
        print("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    for path in paths:
        lines = read(path)
        if lines:
            print(row(lines))


if __name__ == "__main__":
    main()
