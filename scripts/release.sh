#!/usr/bin/env bash
# Builds the three programs for a target and packs them with the recipes, the embedded model and the recordings.
#
#   scripts/release.sh TARGET FOLDER      e.g. scripts/release.sh x86_64-unknown-linux-gnu dist
set -euo pipefail
cd "$(dirname "$0")/.."
target=$1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=idk-$version-$target
mkdir -p "$2"
out=$(cd "$2" && pwd)
pack=$(mktemp -d)
trap 'rm -rf "$pack"' EXIT

cargo build --release --locked --bins --target "$target"
mkdir -p "$pack/$name/dataset-builder"
for program in idk-build idk-train idk-eval; do
  cp "${CARGO_TARGET_DIR:-target}/$target/release/$program" "$pack/$name/"
done
cp -r README.md LICENSE-APACHE LICENSE-MIT CITATION.cff recipes checkpoints "$pack/$name/"
cp -r dataset-builder/bank "$pack/$name/dataset-builder/"
tar -C "$pack" -czf "$out/$name.tar.gz" "$name"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
printf '%s\n' "$out/$name.tar.gz"
