#!/usr/bin/env python3
"""Where the time of a GPU goes: sums up the kernels that cubecl has timed, by name.

    CUBECL_DEBUG_LOG=profile.log CUBECL_DEBUG_OPTION=profile-medium idk-train RECIPE --set train.max_steps=6
    scripts/gpu_profile.py profile.log[.gz]

Every kernel is waited for while it is timed, so the run takes longer than without, and short kernels look longer than they are:
none is shown with less than about 3 us. A launch of more than 50 ms was compiled or loaded first and is left out.
"""

import collections
import gzip
import re
import sys

SECONDS = {"ns": 1e-9, "µs": 1e-6, "us": 1e-6, "ms": 1e-3, "s": 1.0}
LINE = re.compile(r"\| ([\d.]+)(ns|µs|us|ms|s) *\| (.*)$")
COMPILED = 0.05
ROWS = 25


def kernels(path):
    opened = gzip.open(path, "rt", errors="replace") if path.endswith(".gz") else open(path, errors="replace")
    with opened as log:
        for line in log:
            if found := LINE.match(line):
                yield found[3].strip(), float(found[1]) * SECONDS[found[2]]


def short(name):
    """First words of the name, and the hash that tells a kernel from the others of its kind."""
    head, _, key = name.rpartition("_")
    words = [word.strip() for word in head.split("|") if not word.strip().startswith(("Dynamic", "__", "TensorArgs"))]
    return " ".join(words[:3])[:60], key


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    total, count, left_out = collections.Counter(), collections.Counter(), 0
    for name, seconds in kernels(sys.argv[1]):
        if seconds >= COMPILED:
            left_out += 1
            continue
        total[short(name)] += seconds
        count[short(name)] += 1
    if not total:
        sys.exit(f"{sys.argv[1]} has no timed kernels")
    everything = sum(total.values())
    print(f"{sum(count.values())} launches, {everything:.2f} s; {left_out} of more than {COMPILED:.2f} s left out\n")
    print("| kernel | key | launches | mean us | s | % |\n|---|---|---:|---:|---:|---:|")
    for (name, key), seconds in total.most_common(ROWS):
        launches = count[name, key]
        share, mean = 100 * seconds / everything, 1e6 * seconds / launches
        print(f"| {name} | {key} | {launches} | {mean:.1f} | {seconds:.2f} | {share:.1f} |")


if __name__ == "__main__":
    main()
