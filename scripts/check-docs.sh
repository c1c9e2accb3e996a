#!/usr/bin/env bash
# Runs every command of the tutorial on the embedded model, in the order of the pages, in an empty folder. Tests check the links
# and the spelling of all other commands (`cargo test --release --workspace --test it docs`).
#
#   cargo build --release --bins && scripts/check-docs.sh [FOLDER]      three minutes on two cores
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
bin=$(cd "${CARGO_TARGET_DIR:-target}/release" && pwd)
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
cd "$folder"
export PATH="$bin:$PATH"
# Completions and manual pages go where a user has them.
export HOME="$folder/home"
mkdir -p "$HOME/.local/share/bash-completion/completions"

for page in first-run report own-questions; do
  # Indented lines that run a program, with the lines that they continue on.
  sed -e ':a' -e '/\\$/N; s/\\\n */ /; ta' "$root/docs/tutorial/$page.md" |
    sed -n -e 's/^    \(cargo run --release --bin \(idk-[a-z]*\) -- \)/    \2 /' -e 's/^    \(idk-[a-z]* .*\)/\1/p' |
    while IFS= read -r command; do
      printf '%s: %s\n' "$page" "$command"
      bash -euo pipefail -c "$command" </dev/null >last.out 2>&1 || { tail -20 last.out; exit 1; }
    done
done
printf 'all commands of the tutorial ran in %s\n' "$folder"
