#!/usr/bin/env python3
"""One row of bench/compare_tokenizers.sh from its measurements: LIBRARY PATH FIRST BEST COUNT CRC BYTES a line."""
import os
import statistics
import sys

tokenizer, way, path = sys.argv[1:4]
runs = {}
for line in sys.stdin:
    library, _, first, later, count, crc, size = line.split()
    size = int(size) / 1e6
    runs.setdefault(library, []).append((float(first), float(later), count, crc))
medians = {library: [statistics.median(run[i] for run in rows) for i in (0, 1)] for library, rows in runs.items()}
cells = []
for library, (first, later) in medians.items():
    text = f"{library} {size / first:.1f} / {size / later:.1f}"
    if library != "plume":
        text += f" (x {first / medians['plume'][0]:.1f} / {later / medians['plume'][1]:.1f})"
        if runs[library][0][2:] != runs["plume"][0][2:]:
            text += " other ids"
    cells.append(text)
print(f"| {tokenizer} | {os.path.basename(path)} | {way} | " + " | ".join(cells) + " |", flush=True)
