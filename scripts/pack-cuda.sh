#!/usr/bin/env bash
# Builds what scripts/gpu-check.sh runs and packs it small enough to be taken to a machine with a GPU.
#
# Usage: scripts/pack-cuda.sh [FOLDER]        [default: .cuda]
#   CARGO_TARGET_DIR  as for cargo            [default: target]
#   FEATURES=         programs without GPU, for `scripts/gpu-check.sh --rehearse`   [default: cuda]
#   FUSION=1          also the golden checks with fused GPU kernels (builds the GPU crates again)
#   AUTOTUNE=1        also idk-train with autotune (builds the GPU crates again)
#   KERNELS=FOLDER    a kernel cache to take along, such as one that tests/end_to_end/cuda-compile.sh filled (CACHE)
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-.cuda}
features=${FEATURES-cuda}
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$out"
# What is packed now must not be mixed with programs of another day.
rm -f "$out"/*.xz
git rev-parse HEAD > "$out/commit"

# Prints the path of the golden checks' program.
golden() { # cargo's features
    cargo test --release --workspace --features "$1" --test golden --no-run --message-format json |
        sed -n 's/.*"executable":"\([^"]*\/golden-[^"]*\)".*/\1/p' | tail -1
}
packed=$(mktemp -d)
trap 'rm -rf "$packed"' EXIT
pack() { # program, name
    cp "$1" "$packed/$2"
    strip "$packed/$2"
}

cargo build --release --workspace --features "$features" --bins
pack "$target/release/idk-train" idk-train
pack "$target/release/idk-build" idk-build
pack "$(golden "$features")" golden
if [ -n "$features" ]; then
    cargo build --release --workspace --features "$features" --example matmul_strategies
    pack "$target/release/examples/matmul_strategies" matmul_strategies
fi
if [ -n "${FUSION:-}" ]; then
    pack "$(golden "$features,fusion")" golden-fusion
fi
if [ -n "${AUTOTUNE:-}" ]; then
    cargo build --release --workspace --features "$features,autotune" --bins
    pack "$target/release/idk-train" idk-train-autotune
fi
# The programs share most of their code, which is found again as far back as the dictionary goes.
tar -cC "$packed" . | xz --x86 --lzma2=preset=6,dict=512MiB > "$out/programs.tar.xz"
if [ -n "${KERNELS:-}" ]; then
    tar -cJf "$out/kernels.tar.xz" -C "$KERNELS" .
fi
du -h "$out"/*.xz
