#!/usr/bin/env bash
# Samples a dataset on several machines, one part on each, and merges the parts.
#
#   scripts/shards.sh recipes/sound.toml --set build.shard_size=64 -- gpu1 gpu2 gpu3
#
# The machines share this folder under the same path and are reached by `ssh` without a password; `localhost` is this one. A machine that
# is named twice samples two parts at once. After a failure, run the same command again: every part resumes.
set -euo pipefail
export build=${IDK_BUILD:-idk-build}

recipe=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do recipe+=("$1"); shift; done
if [ ${#recipe[@]} = 0 ] || [ $# -lt 2 ]; then
  echo "usage: scripts/shards.sh RECIPE [ARGUMENT...] -- MACHINE..." >&2
  exit 2
fi
shift

# Quoted, as ssh hands the machine's shell one line of text.
command=$(printf '%q ' "$build" "${recipe[@]}")
export line="cd $(printf '%q' "$PWD") && exec $command"
i=0
for machine in "$@"; do i=$((i + 1)); printf '%s\0%s\0' "$machine" "$i/$#"; done |
  xargs -0 -n 2 -P $# bash -c '
    if [ "$0" = localhost ]; then exec bash -c "$line --shard $1"; else exec ssh -n -o BatchMode=yes "$0" "$line --shard $1"; fi' ||
  { echo "a part has failed: run the same command again" >&2; exit 1; }
"$build" merge "${recipe[@]}"
