#!/usr/bin/env bash
# Runs recipes one after the other and prints docs/guide/results.md's part of each: command, minutes, seed, table.
#
#   cargo build --release --bins && scripts/results.sh sound music speech all sound-dpo > results.md
set -euo pipefail
cd "$(dirname "$0")/.."
train=${CARGO_TARGET_DIR:-target}/release/idk-train
runs=${RUNS:-runs}
mkdir -p "$runs"

for recipe in "$@"; do
  out="$runs/$(basename "$recipe")"
  started=$(date +%s)
  if ! "$train" "recipes/$recipe.toml" --fresh --set output.dir="$out" >"$out.table" 2>"$out.log"; then
    tail -5 "$out.log" >&2
    exit 1
  fi
  seconds=$(($(date +%s) - started))
  printf '## %s\n\n    cargo run --release --bin idk-train -- recipes/%s.toml\n\n' "$recipe" "$recipe"
  printf 'Seed %s, %d min %d s.\n\n' "$(sed -n 's/^seed = //p' "recipes/$recipe.toml")" $((seconds / 60)) $((seconds % 60))
  cat "$out.table"
  printf '\n'
done
