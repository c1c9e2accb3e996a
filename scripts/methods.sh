#!/usr/bin/env bash
# Trains the embedded model with every method and three seeds, tests each adapter by text and guided, on the validation questions by
# text, and rewrites the tables of docs/guide/methods.md from the results. Runs that exist are kept, so the script can be stopped and
# started again. `rl` and `exact` start from the adapters of `calibrated`, `dpo` from those of `sft`.
#
#   cargo build --release --bins && RUNS=runs/methods SEEDS="0 1 2" scripts/methods.sh [METHOD...]
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${CARGO_TARGET_DIR:-target}/release
runs=${RUNS:-runs/methods}
seeds=${SEEDS:-0 1 2}
mkdir -p "$runs"
runs=$(cd "$runs" && pwd)

# NAME RECIPE KEY=VALUE...: trains NAME-SEED and answers the test questions by text and guided, with one offset for a fifth and
# one for three tenths of the validation questions refused.
method() {
  local name=$1 recipe=$2 out set seed
  shift 2
  for seed in $seeds; do
    out="$runs/$name-$seed"
    set=(--set "seed=$seed" --set "output.dir=$out" --set 'data.val="bank:val"' --set data.val_questions=300)
    for key in "$@"; do set+=(--set "${key//SEED/$seed}"); done
    say "$name-$seed" "$bin/idk-train" "recipes/$recipe.toml" "${set[@]}" --set eval.answer_by=text
    say "$name-$seed, validation questions" "$bin/idk-eval" "$out/recipe.toml" --set eval.answer_by=text \
      --set 'data.val=""' --set 'data.test="bank:val"' --out "$out/val"
    say "$name-$seed guided" "$bin/idk-eval" "$out/recipe.toml" --set eval.answer_by=guided --out "$out/guided"
    for share in 0.2 0.3; do
      offset=$("$bin/idk-eval" pick "$out" --set eval.answer_by=guided --refuse $share --json 2>>"$runs/log" |
        sed -n 's/.*"picked":{"value":\([^,]*\),.*/\1/p')
      say "$name-$seed guided, offset $offset" "$bin/idk-eval" "$out/recipe.toml" --set eval.answer_by=guided \
        --set "eval.refusal_offset=$offset" --out "$out/guided-$share"
    done
  done
}

say() {
  local what=$1 started
  shift
  started=$(date +%s)
  "$@" >>"$runs/log" 2>&1 || { tail -5 "$runs/log" >&2; exit 1; }
  printf '%s: %s s\n' "$what" $(($(date +%s) - started))
}

for chosen in "${@:-sft sft-own dpo calibrated listwise rl exact sft-sound calibrated-sound calibrated-music calibrated-speech}"; do
  for name in $chosen; do
    case $name in
      sft) method sft all ;;
      sft-own) method sft-own all 'build.target="own"' ;;
      dpo) method dpo sound-dpo 'data.tasks=[]' data.train_questions=1600 "dpo.init=$runs/sft-SEED/adapter" ;;
      calibrated) method calibrated calibrated ;;
      listwise) method listwise listwise ;;
      rl) method rl rl "rl.init=$runs/calibrated-SEED/adapter" ;;
      exact) method exact rl rl.exact=true "rl.init=$runs/calibrated-SEED/adapter" ;;
      sft-sound) method sft-sound sound ;;
      calibrated-sound | calibrated-music | calibrated-speech)
        method "$name" calibrated "data.tasks=[\"${name#calibrated-}\"]" ;;
      dpo-sound) method dpo-sound sound-dpo "dpo.init=$runs/sft-sound-SEED/adapter" ;;
      rl-sound) method rl-sound rl 'data.tasks=["sound"]' "rl.init=$runs/calibrated-sound-SEED/adapter" ;;
      exact-sound)
        method exact-sound rl rl.exact=true 'data.tasks=["sound"]' "rl.init=$runs/calibrated-sound-SEED/adapter" ;;
      *) echo "no method $name" >&2; exit 2 ;;
    esac
  done
done
IDK_WRITE_DOCS=1 IDK_RUNS="$runs" cargo test --quiet --release --workspace --test it method_tables >&2
