#!/usr/bin/env bash
# Everything that only a GPU can show, in ten minutes: golden values, the main job against the CPU, and speed and memory on a
# model with the shapes of Qwen2-Audio-7B and random weights, beside transformers and PEFT. Leaves table.md for docs/gpu-log.md.
#
# Usage: scripts/gpu-check.sh [--bin FOLDER] [--out FOLDER] [--skip PART]... [--only PART]... [--minutes N] [--dry]
#   --bin      programs packed by scripts/pack-cuda.sh, or a folder with idk-train, idk-build, golden   [default: .cuda]
#   --out      where table.md and the logs go                                                          [default: gpu-check]
#   --skip     leave a part out; --only runs the named parts alone
#   --minutes  stop starting parts after this long                                                     [default: 10]
#   --dry      print every command and check the files, without a GPU
# Parts, in order: machine golden-f32 golden-bf16 golden-fusion main-job model sampling sft-1 sft-8 peers
# A part that fails or runs out of time is a row that says so; the others go on.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bin=.cuda out=gpu-check minutes=10 dry=
skip=() only=()
while [ $# -gt 0 ]; do
    case $1 in
        --bin) bin=$2 && shift ;;
        --out) out=$2 && shift ;;
        --minutes) minutes=$2 && shift ;;
        --skip) skip+=("$2") && shift ;;
        --only) only+=("$2") && shift ;;
        --dry) dry=1 ;;
        *) echo "gpu-check.sh: unknown argument $1" >&2 && exit 2 ;;
    esac
    shift
done

work=${TMPDIR:-/tmp}/gpu-check
seven=$work/random-7b
python=${PYTHON:-python3}
mkdir -p "$out" "$work"
table=$out/table.md
deadline=$((SECONDS + 60 * minutes))

row() { # what, value
    printf '| %s | %s |\n' "$1" "$2" | tee -a "$table"
}

wanted() { # part
    local part
    if [ ${#only[@]} -gt 0 ]; then
        for part in "${only[@]}"; do [ "$part" = "$1" ] && return 0; done
        return 1
    fi
    for part in ${skip[@]+"${skip[@]}"}; do [ "$part" = "$1" ] && return 1; done
    return 0
}

# Runs a command within its own limit and what is left of the whole; its output goes to a log.
run() { # seconds, log, command...
    local limit=$1 log=$out/$2.log left=$((deadline - SECONDS))
    shift 2
    if [ -n "$dry" ]; then
        echo "+ timeout $limit $*"
        return 0
    fi
    [ "$left" -lt 10 ] && echo "no time left" > "$log" && return 124
    timeout --signal INT --kill-after 10 $((limit < left ? limit : left)) "$@" > "$log" 2>&1
}

why() { # status, log: the end of a part that did not work
    local last
    last=$(grep -v '^hint' "$out/$2.log" 2> /dev/null | tail -1 | cut -c1-120)
    if [ "$1" = 124 ]; then echo "out of time: $last"; else echo "FAILED ($1): $last"; fi
}

program() { # name: where it is, unpacked if need be
    if [ -x "$bin/$1" ]; then
        echo "$bin/$1"
    elif [ -f "$bin/$1.xz" ]; then
        [ -x "$work/$1" ] || { xz --decompress --stdout "$bin/$1.xz" > "$work/$1" && chmod +x "$work/$1"; }
        echo "$work/$1"
    else
        return 1
    fi
}

# Watches a training run: once a second the time, the steps so far and the GPU's memory.
watch() { # metrics file, samples file, process
    while kill -0 "$3" 2> /dev/null; do
        local steps=0
        [ -f "$1" ] && steps=$(grep -c '"loss"' "$1")
        echo "$(date +%s.%N) $steps $(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1)"
        sleep 1
    done > "$2"
}

need() { # program
    program "$1" > /dev/null && return 0
    row "$1" "missing: run scripts/pack-cuda.sh first"
    return 1
}

machine() {
    if [ -n "$dry" ]; then
        echo "+ nvidia-smi"
        return
    fi
    row "GPU" "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -1)"
    row "commit" "$(git rev-parse --short HEAD 2> /dev/null || echo unknown)"
}

golden() { # part, program, type, tolerance
    need "$2" || return
    run 100 "$1" env IDK_TEST_DEVICE=cuda IDK_TEST_DTYPE="$3" IDK_TEST_TOLERANCE="$4" \
        IDK_FIXTURE_DIR="$PWD/tests/fixtures/qwen2-audio-tiny" "$(program "$2")" --test-threads 1 --nocapture
    local status=$?
    [ -n "$dry" ] && return
    local passed worst
    passed=$(sed -n 's/^test result: .* \([0-9]* passed; [0-9]* failed\).*/\1/p' "$out/$1.log")
    worst=$(sed -n 's/.*max difference //p' "$out/$1.log" | sort -g | tail -1)
    if [ -n "$passed" ]; then
        row "$1 (within $4)" "$passed, greatest difference $worst"
    else
        row "$1" "$(why $status "$1")"
    fi
}

main_job() {
    need idk-train || return
    local device
    for device in cpu cuda; do
        local start=$SECONDS
        run 120 "main-job-$device" "$(program idk-train)" recipes/sound.toml --fresh --json --set model.device=$device \
            --set model.dtype=f32 --set data.limit_per_task=60 --set output.dir="$work/main-job-$device"
        local status=$?
        [ -n "$dry" ] && continue
        local loss
        loss=$(tail -1 "$work/main-job-$device/logs/metrics.jsonl" 2> /dev/null | sed -n 's/.*"loss": *\([0-9.e-]*\).*/\1/p')
        if [ $status = 0 ]; then
            row "main job on $device, 60 questions a task" "$((SECONDS - start)) s, last loss ${loss:-unknown}"
        else
            row "main job on $device" "$(why $status "main-job-$device")"
        fi
    done
}

model() {
    local start=$SECONDS
    run 120 model "$python" scripts/make_random_checkpoint.py --out "$seven"
    local status=$?
    [ -n "$dry" ] && return
    if [ $status = 0 ]; then
        row "random checkpoint" "$(du -sh "$seven" | cut -f1) in $((SECONDS - start)) s"
    else
        row "random checkpoint" "$(why $status model)"
    fi
}

recipe() { # the settings of the 7B's parts
    cat > "$work/seven.toml" << TOML
[model]
path = "$seven"
device = "cuda"
[data]
train = "$seven/questions/train.json"
test = "$seven/questions/test.json"
[build]
n_samples = 5
k = 5
max_new_tokens = 12
batch_size = 64
[lora]
rank = 8
[train]
learning_rate = 1e-4
recompute = true
[output]
dir = "$work/seven"
TOML
}

# The difference between many and few questions leaves loading, compiling and tuning out.
sampling() {
    need idk-build || return
    recipe
    local seconds=() count status
    for count in 16 64; do
        local start
        start=$(date +%s.%N)
        run 120 "sampling-$count" "$(program idk-build)" "$work/seven.toml" --set data.limit_per_task=$count \
            --set output.dir="$work/seven-$count"
        status=$?
        [ -n "$dry" ] && continue
        [ $status = 0 ] || { row "sampling, $count questions" "$(why $status "sampling-$count")" && return; }
        seconds+=("$(echo "$(date +%s.%N) $start" | awk '{print $1 - $2}')")
    done
    [ -n "$dry" ] && return
    row "idk-build, 16 questions with loading and tuning" "${seconds[0]} s"
    row "idk-build, N=5, 12 tokens, 10 s clips" "$(echo "${seconds[@]}" | awk '{printf "%.2f questions/s", 48 / ($2 - $1)}')"
}

sft() { # batch size, steps
    need idk-train || return
    recipe
    local name=sft-$1 dir=$work/seven-sft-$1
    if [ -z "$dry" ]; then
        [ -d "$work/seven-64/dataset" ] || { row "$name" "needs the part sampling" && return; }
        rm -rf "$dir" && cp -r "$work/seven-64" "$dir"
    fi
    if [ -n "$dry" ]; then
        run 130 "$name" "$(program idk-train)" "$work/seven.toml" --set train.batch_size="$1" --set train.max_steps="$2" \
            --set data.limit_per_task=64 --set output.dir="$dir"
        return
    fi
    run 130 "$name" "$(program idk-train)" "$work/seven.toml" --set train.batch_size="$1" --set train.max_steps="$2" \
        --set data.limit_per_task=64 --set output.dir="$dir" &
    local job=$!
    watch "$dir/logs/metrics.jsonl" "$out/$name.samples" $job
    wait $job
    local status=$?
    [ $status = 0 ] || row "$name" "$(why $status "$name")"
    awk -v batch="$1" '
        $2 > 0 && !first { first = $1; first_steps = $2 }
        $2 > last_steps { last = $1; last_steps = $2 }
        $3 > peak { peak = $3 }
        $2 > 0 { steps[n] = $2; memory[n++] = $3 }
        END {
            if (last_steps - first_steps < 5) { print "too few steps"; exit }
            for (i = 0; i < n; i++) {
                if (!early && steps[i] >= last_steps / 4) early = memory[i]
                late = memory[i]
            }
            printf "%.2f rows/s (%d steps), peak %d MiB, %d MiB after a quarter and %d at the end", \
                batch * (last_steps - first_steps) / (last - first), last_steps, peak, early, late
        }' "$out/$name.samples" > "$out/$name.result"
    row "idk-train SFT, batch $1, recompute" "$(cat "$out/$name.result")"
}

peers() {
    run 150 peers "$python" benches/peers/gpu.py --model "$seven" --dataset "$work/seven-64/dataset"
    local status=$?
    [ -n "$dry" ] && return
    [ $status = 0 ] || row "transformers + PEFT" "$(why $status peers)"
    grep '^|' "$out/peers.log" | tee -a "$table"
}

: > "$table"
printf '| what | measured |\n|---|---|\n' | tee -a "$table"
wanted machine && machine
wanted golden-f32 && golden golden-f32 golden f32 2e-3
wanted golden-bf16 && golden golden-bf16 golden bf16 0.3
if wanted golden-fusion && program golden-fusion > /dev/null; then golden golden-fusion golden-fusion f32 2e-3; fi
wanted main-job && main_job
wanted model && model
wanted sampling && sampling
wanted sft-1 && sft 1 200
wanted sft-8 && sft 8 30
wanted peers && peers
echo "table: $table"
