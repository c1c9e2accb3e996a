"""Assembles the PTX that the stand-in collected and prints one table: what was compiled, what it took, what the card lacks.

    python report.py FOLDER PTXAS

FOLDER holds a folder per part with driver-*.tsv, nvrtc-*.tsv and ptx/. Ends with 1 if a kernel cannot be compiled or
assembled, or asks for more than an H100 has.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

# Compute capability 9.0 (CUDA C++ Programming Guide, "Features and Technical Specifications").
MAX_SHARED = 232448
MAX_REGISTERS = 65536
MAX_REGISTERS_OF_THREAD = 255


def rows(folder: Path, pattern: str):
    for file in sorted(folder.glob(pattern)):
        for line in file.read_text().splitlines():
            yield line.split("\t")


class Assembled:
    """What ptxas says of one kernel."""

    def __init__(self, ptxas: str, file: Path):
        done = subprocess.run([ptxas, "-arch=sm_90a", "-v", str(file), "-o", os.devnull], capture_output=True, text=True)
        self.error = None if done.returncode == 0 else done.stderr.strip().splitlines()[0]
        number = lambda pattern: int((re.findall(pattern, done.stderr) or ["0"])[0])
        self.registers = number(r"Used (\d+) registers")
        self.static_shared = number(r"(\d+) bytes smem")
        self.spilled = number(r"(\d+) bytes spill stores")


def problems_of(kernel, assembled):
    """What a kernel, as it was launched, asks for beyond the card."""
    _, name, _, _, threads, shared = kernel
    threads, shared = int(threads), int(shared)
    if assembled.error:
        yield f"{name} is not assembled: {assembled.error}"
    # Registers are given out to warps in units of 256.
    per_warp = -(-assembled.registers * 32 // 256) * 256
    taken = per_warp * -(-threads // 32)
    if taken > MAX_REGISTERS or assembled.registers > MAX_REGISTERS_OF_THREAD:
        yield f"{name}: {assembled.registers} registers in {threads} threads are more than {MAX_REGISTERS}"
    if shared + assembled.static_shared > MAX_SHARED:
        yield f"{name}: {shared + assembled.static_shared} bytes of shared memory are more than {MAX_SHARED}"


def main():
    work, ptxas = Path(sys.argv[1]), sys.argv[2]
    files = {file.stem: file for file in work.glob("*/ptx/*.ptx")}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        assembled = dict(zip(files, pool.map(lambda file: Assembled(ptxas, file), files.values())))
    problems, slowest = [], []
    print("| part | kernels | compiled | seconds in NVRTC | launches | peak of device memory | --dry-run |\n|---|---|---|---|---|---|---|")
    for part in sorted(folder.parent for folder in work.glob("*/ptx")):
        compilations = list(rows(part, "nvrtc-*.tsv"))
        totals = defaultdict(int)
        kernels = []
        for row in rows(part, "driver-*.tsv"):
            if row[0] == "kernel":
                kernels.append(row)
            elif row[0] == "total":
                totals[row[1]] = max(totals[row[1]], int(row[2])) if row[1] == "peak_bytes" else totals[row[1]] + int(row[2])
            else:
                problems.append(f"{part.name}: {row[1]}: {row[0]}, {row[2]}")
        for result, seconds, size, name in compilations:
            slowest.append((float(seconds), part.name, name, int(size)))
            if result != "0":
                problems.append(f"{part.name}: {name} is not compiled by NVRTC (error {result})")
        for kernel in kernels:
            if kernel[2] in assembled:
                problems += [f"{part.name}: {problem}" for problem in problems_of(kernel, assembled[kernel[2]])]
        said = part / "dry-run-bytes"
        said = said.read_text().strip() if said.exists() else ""
        estimate = f"{int(said) / 2**20:.0f} MiB" if said else "-"
        seconds = sum(float(row[1]) for row in compilations)
        print(
            f"| {part.name} | {len(kernels)} | {len(compilations)} | {seconds:.0f} | {totals['launches']} "
            f"| {totals['peak_bytes'] / 2**20:.0f} MiB | {estimate} |"
        )
        # burn writes to a tensor in place if no other thread holds it at that moment: once in a while the other of two kernels.
        if part.name == "again" and len(compilations) * 50 > len(kernels):
            problems.append(f"again: {len(compilations)} kernels were compiled although the cache has them")
        if not kernels:
            problems.append(f"{part.name}: no kernel was loaded")
    spilled = sum(1 for one in assembled.values() if one.spilled)
    print(f"\n{len(files)} kernels assembled for sm_90a, {spilled} of them spill registers. Longest in NVRTC:\n")
    print("| seconds | part | source | kernel |\n|---|---|---|---|")
    for seconds, part, name, size in sorted(slowest, reverse=True)[:10]:
        print(f"| {seconds:.1f} | {part} | {size} bytes | {name} |")
    print(f"\n{len(problems)} problems" + "".join(f"\n- {problem}" for problem in sorted(set(problems))))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
