"""Torch's times of the matrix products that model/examples/matmul_strategies.rs times, in the same order, in bfloat16 on a GPU.

    python benches/peers/matmul.py
"""

import time

import torch

# m, k, n, and whether the second factor is the transpose of a weight [n, k].
SHAPES = [
    (352, 4096, 11008, True),
    (352, 11008, 4096, False),
    (64, 4096, 4096, True),
    (64, 11008, 4096, True),
    (3520, 4096, 11008, True),
    (1500, 1280, 5120, True),
    (24000, 1280, 5120, True),
    (64, 4096, 32000, True),
]
LAUNCHES = 100


def numbers(*shape):
    return torch.rand(*shape, device="cuda", dtype=torch.bfloat16) * 2 - 1


def seconds(product):
    for _ in range(5):
        product()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(LAUNCHES):
        product()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) / LAUNCHES


def main():
    for m, k, n, transposed in SHAPES:
        a = numbers(m, k)
        b = numbers(n, k).t() if transposed else numbers(k, n)
        taken = seconds(lambda: a @ b)
        print(f"{m} x {k} x {n}: torch {1e6 * taken:.1f} us {2 * m * k * n / taken / 1e12:.1f} TFLOP/s", flush=True)


if __name__ == "__main__":
    main()
