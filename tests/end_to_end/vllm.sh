#!/usr/bin/env bash
# Serves checkpoints/mini-lalm with vLLM on this machine's CPU and builds datasets from it: its greedy answers must be
# those of `sampler = "local"`, and builds with sampling must be the same bytes, also without the folder. Then evaluates
# through it, with and without the folder at hand: texts must be those of the local evaluation, log-probabilities within
# 1e-4.
#
# Usage: tests/end_to_end/vllm.sh           needs 5 GB of memory; the first run installs vLLM (6.5 GB of disk)
#   VENV     where vLLM is or goes          [default: ~/.cache/idk/vllm]
#   BIN      folder of the programs         [default: target/release, built when missing]
#   KEEP     folder for runs and log        [default: a temporary one]
#   QUESTIONS  of each modality             [default: 4]
#   RECORD   1: records the replies in tests/fixtures/vllm again
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${VENV:-$HOME/.cache/idk/vllm}
bin=${BIN:-target/release}
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
model=$PWD/checkpoints/mini-lalm

[ -x "$venv/bin/vllm" ] || tests/end_to_end/install_vllm.sh "$venv"
[ -x "$bin/idk-build" ] && [ -x "$bin/idk-eval" ] || cargo build --release --bins

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# Prefills are not split: on a CPU a seeded request whose prefill is split ends the server.
env OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 VLLM_CPU_KVCACHE_SPACE=1 \
    VLLM_CPU_OMP_THREADS_BIND=nobind CUDA_VISIBLE_DEVICES= "$venv/bin/vllm" serve "$model" \
    --host 127.0.0.1 --port "$port" --served-model-name mini --api-key e2e --enforce-eager --dtype float32 \
    --max-model-len 1024 --no-enable-chunked-prefill --max-num-batched-tokens 16384 > "$work/vllm.log" 2>&1 &
server=$!
stop() {
    kill -TERM "$server" 2> /dev/null || true
    wait "$server" || true
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap stop EXIT

echo "waiting for vLLM (log: $work/vllm.log)"
for second in $(seq 180); do
    kill -0 "$server" 2> /dev/null || { tail -30 "$work/vllm.log"; echo "vLLM ended"; exit 1; }
    if "$venv/bin/python" -c "import urllib.request as u; u.urlopen('http://127.0.0.1:$port/health', timeout=2)" 2> /dev/null; then
        echo "vLLM is up after $second tries"
        break
    fi
    sleep 1
done

if [ -n "${RECORD:-}" ]; then
    "$venv/bin/python" tests/fixtures/vllm/record.py "http://127.0.0.1:$port" mini e2e tests/fixtures/qwen2-audio-tiny/a.wav
fi

printf '[data]\ntrain = "bank:val"\nlimit_per_task = %s\n' "${QUESTIONS:-4}" > "$work/recipe.toml"
build() { # NAME, then settings
    local name=$1 arguments=()
    shift
    for setting in "model.path=$model" "output.dir=$work/$name" "$@"; do arguments+=(--set "$setting"); done
    IDK_E2E_KEY=e2e "$bin/idk-build" "$work/recipe.toml" "${arguments[@]}"
}
served=(build.sampler=openai "build.server_url=http://127.0.0.1:$port/v1" build.server_model=mini
    build.server_key_env=IDK_E2E_KEY)
greedy=(build.temperature=0 build.n_samples=2 build.k=2)

build local "${greedy[@]}"
build served "${served[@]}" "${greedy[@]}"
"$venv/bin/python" - "$work" <<'PY'
import json, sys
rows = [[json.loads(line) for line in open(f"{sys.argv[1]}/{name}/dataset/samples.jsonl")] for name in ("local", "served")]
assert len(rows[0]) == len(rows[1]) > 0, [len(part) for part in rows]
worst = 0.0
for local, served in zip(*rows):
    for key in ("id", "sample", "text", "verdict", "choice"):
        assert local[key] == served[key], f"{key} differs:\n  {local}\n  {served}"
    worst = max(worst, abs(local["log_prob"] - served["log_prob"]))
assert worst < 1e-3, f"log-probabilities differ by {worst}"
print(f"greedy: {len(rows[0])} rows are the same; log-probabilities differ by at most {worst:.1e}")
PY

build sampled-1 "${served[@]}" build.n_samples=5 build.server_concurrency=1
build sampled-8 "${served[@]}" build.n_samples=5 build.server_concurrency=8
cmp "$work/sampled-1/dataset/samples.jsonl" "$work/sampled-8/dataset/samples.jsonl"
echo "sampled: the same bytes at 1 and at 8 requests under way"

at=("model.server_url=http://127.0.0.1:$port/v1" model.server_model=mini model.server_key_env=IDK_E2E_KEY)
arguments=()
for setting in "${at[@]}" build.n_samples=5 "output.dir=$work/free"; do arguments+=(--set "$setting"); done
IDK_E2E_KEY=e2e "$bin/idk-build" "$work/recipe.toml" "${arguments[@]}"
cmp "$work/sampled-1/dataset/samples.jsonl" "$work/free/dataset/samples.jsonl"
echo "sampled: the same bytes without the folder of the model"

if build wrong "${served[@]}" build.server_model=other 2> "$work/wrong.txt"; then
    echo "a model that is not served was not noticed"
    exit 1
fi
grep -q 'does not exist' "$work/wrong.txt"

evaluate() { # NAME, then settings
    local name=$1 arguments=()
    shift
    for setting in "${methods[@]}" "$@"; do arguments+=(--set "$setting"); done
    IDK_E2E_KEY=e2e "$bin/idk-eval" "$work/eval.toml" "${arguments[@]}" --out "$work/$name" > /dev/null
}
printf '[data]\ntest = "bank:test"\nval = "bank:val"\nlimit_per_task = %s\n' "${QUESTIONS:-4}" > "$work/eval.toml"
methods=('eval.methods=["idk-prompt", "mcot", "task-agent", "one-pass", "threshold"]')

evaluate eval-local "model.path=$model"
evaluate eval-strict "model.path=$model" "${at[@]}"
evaluate eval-free "${at[@]}"
evaluate eval-options-local "model.path=$model" eval.answer_by=options
evaluate eval-options-free "${at[@]}" eval.answer_by=options
"$venv/bin/python" - "$work" <<'PY'
import json, sys


def rows(folder, name):
    return [json.loads(line) for line in open(f"{sys.argv[1]}/{folder}/answers-{name}.jsonl")]


worst, count = 0.0, 0
for ours, theirs in (("eval-local", "eval-strict"), ("eval-local", "eval-free"), ("eval-options-local", "eval-options-free")):
    for name in ("base", "idk-prompt", "mcot", "task-agent", "one-pass", "threshold"):
        local, served = rows(ours, name), rows(theirs, name)
        assert len(local) == len(served) > 0, (theirs, name, len(local), len(served))
        for a, b in zip(local, served):
            for key in ("id", "text", "verdict", "choice", "steps"):
                assert a.get(key) == b.get(key), f"{theirs} {name} {key}:\n  {a}\n  {b}"
            numbers = [[row.get("log_prob"), row.get("refusal_margin"), *(row.get("option_log_probs") or [])] for row in (a, b)]
            assert len(numbers[0]) == len(numbers[1]), f"{theirs} {name}:\n  {a}\n  {b}"
            for x, y in zip(*numbers):
                assert (x is None) == (y is None), f"{theirs} {name}:\n  {a}\n  {b}"
                worst = max(worst, abs((x or 0) - (y or 0)))
            count += 1
assert worst < 1e-4, f"log-probabilities differ by {worst}"
print(f"evaluation: {count} answers are the same; log-probabilities differ by at most {worst:.1e}")
PY
echo "passed"
