#!/usr/bin/env bash
# Runs recipes one after the other, prints the time of each, stores their results in docs/results/ and rewrites the tables of
# README.md and docs/guide/results.md from them. A test holds these pages to the stored results.
#
#   cargo build --release --bins && scripts/results.sh sound music speech all sound-dpo
set -euo pipefail
cd "$(dirname "$0")/.."
train=${CARGO_TARGET_DIR:-target}/release/idk-train
runs=${RUNS:-runs/results}
mkdir -p "$runs"
runs=$(cd "$runs" && pwd)

for recipe in "$@"; do
  out="$runs/$(basename "$recipe")"
  started=$(date +%s)
  if ! "$train" "recipes/$recipe.toml" --fresh --set output.dir="$out" >"$out.table" 2>"$out.log"; then
    tail -5 "$out.log" >&2
    exit 1
  fi
  seconds=$(($(date +%s) - started))
  printf '%s: seed %s, %d min %d s\n' "$recipe" "$(sed -n 's/^seed = //p' "recipes/$recipe.toml")" $((seconds / 60)) $((seconds % 60))
done
IDK_WRITE_DOCS=1 IDK_RUNS="$runs" cargo test --quiet --release --workspace --test it result_tables >&2
