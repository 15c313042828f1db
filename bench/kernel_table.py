#!/usr/bin/env python3
"""Rows of a Markdown table from the JSON files of kernel benchmarks (--benchmark_out=FILE).

    python3 bench/kernel_table.py [--no-header] --plume FILE... [--peer FILE...]

Files of one side are turns of one run: a row is the median over them. With a peer, rows of the same name get the ratio of the speeds.
"""
import argparse
import json
import statistics


def turns(paths):
    """Name -> list of results; and what the programs say about themselves."""
    results, context = {}, {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        context = data["context"]
        for line in data["benchmarks"]:
            if line.get("run_type", "iteration") == "iteration" and "error_occurred" not in line:
                results.setdefault(line["name"].removesuffix("/real_time"), []).append(line)
    return results, context


def median(lines, key):
    return statistics.median(line[key] for line in lines)


def speed(lines):
    for key in ("GFLOP/s", "GB/s"):
        if key in lines[0]:
            values = [line[key] for line in lines]
            return f"{statistics.median(values):.1f} {key} ({min(values):.1f} to {max(values):.1f})"
    return f"{median(lines, 'real_time'):.3g} {lines[0]['time_unit']}"


def shares(lines):
    notes = []
    if "share" in lines[0]:
        notes.append(f"{100 * median(lines, 'share'):.0f} % of the peak")
    if "of_read" in lines[0]:
        notes.append(f"{median(lines, 'GB/s'):.1f} GB/s = {100 * median(lines, 'of_read'):.0f} % of the read test")
    return ", ".join(notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-header", action="store_true")
    parser.add_argument("--plume", nargs="+", required=True)
    parser.add_argument("--peer", nargs="+", default=[])
    options = parser.parse_args()
    ours, context = turns(options.plume)
    theirs, peer_context = turns(options.peer)
    if not options.no_header:
        print("| kernel | plume | share | peer | speed ratio |\n|---|---|---|---|---|")
    for name, lines in ours.items():
        peer, ratio = "", ""
        if name in theirs:
            peer = f"Eigen {speed(theirs[name])}"
            ratio = f"**{median(theirs[name], 'real_time') / median(lines, 'real_time'):.2f}**"
        print(f"| {name} | {speed(lines)} | {shares(lines)} | {peer} | {ratio} |")
    print(f"\nplume built with {context.get('built with', '?')}" + (f"; Eigen {peer_context['Eigen']}" if "Eigen" in peer_context else ""))


if __name__ == "__main__":
    main()
