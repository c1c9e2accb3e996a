#!/usr/bin/env bash
# Everything that only a GPU can show, in two calls of a few minutes: golden values, the main job against the CPU, and speed and memory on a
# model with the shapes of Qwen2-Audio-7B and random weights, compared with transformers and PEFT. Leaves table.md for docs/gpu-log.md.
#
# Usage: scripts/gpu-check.sh [--call 1|2] [--bin FOLDER] [--out FOLDER] [--skip PART]... [--only PART]... [--minutes N] [--dry]
#        [--rehearse] [--device DEVICE]
#   --call      1: whether it is right (machine golden-f32 golden-bf16 main-job), 6 minutes; 2: how fast it is (the rest), 6 minutes
#   --bin       programs packed by scripts/pack-cuda.sh, or a folder with idk-train, idk-build, golden   [default: .cuda]
#   --out       where table.md, the logs and the kernel cache go                                        [default: gpu-check]
#   --skip      leave a part out; --only runs the named parts alone
#   --minutes   stop starting parts after this long                                                     [default: 10]
#   --dry       print every command and check the files, without a GPU
#   --rehearse  run every part with a tiny model: whether all rows come out, not what they say. Vulkan in software is slow and has
#               no bf16: there the limits are ten times as long, give it `--minutes 90`
#   --device    cpu, cuda or wgpu; with --rehearse also before the driver's stand-in of tests/end_to_end/cuda-compile.sh (cuda)
#               or Vulkan in software (wgpu)                                 [default: cuda, for a rehearsal cpu]
# Parts, in order of what they prove: machine golden-f32 golden-bf16 main-job golden-fusion matmul model sampling sft-1 again dpo-1
#   sft-8 profile autotune peers. `again` and `dpo-1` and the like need `sampling`, and all of them `model`; what these left in
#   $TMPDIR/gpu-check is used again. `autotune` is sft-1 by a program that was built with the feature autotune. `matmul` times every
#   kernel that cubek has for the 7B's products next to torch (CUDA alone), `profile` each kernel of some training steps (not on a CPU).
# A part that fails or runs out of time is a row that says so, with its first error; the others are still run. Rows are written as they
# come. PYTHON names the interpreter that has torch, safetensors, transformers and peft.
# The kernel cache (kernels.tar.xz in the packs) is unpacked first, and what it holds at the end is packed into --out, for the next call.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

bin=.cuda out=gpu-check minutes= dry= device= size=7b call=
skip=() only=()
while [ $# -gt 0 ]; do
    case $1 in
        --bin) bin=$2 && shift ;;
        --call) call=$2 && shift ;;
        --out) out=$2 && shift ;;
        --minutes) minutes=$2 && shift ;;
        --skip) skip+=("$2") && shift ;;
        --only) only+=("$2") && shift ;;
        --dry) dry=1 ;;
        --rehearse) size=tiny ;;
        --device) device=$2 && shift ;;
        *) echo "gpu-check.sh: unknown argument $1" >&2 && exit 2 ;;
    esac
    shift
done

if [ -z "$device" ]; then if [ $size = tiny ]; then device=cpu; else device=cuda; fi; fi
right="machine golden-f32 golden-bf16 main-job"
fast="golden-fusion matmul model sampling sft-1 again dpo-1 sft-8 profile autotune peers"
parts="$right $fast"
# shellcheck disable=SC2206 # the lists are split into words
case $call in
    "") ;;
    1) only+=($right) ;;
    2) only+=($fast) ;;
    *) echo "gpu-check.sh: --call is 1 or 2" >&2 && exit 2 ;;
esac
if [ -z "$minutes" ]; then if [ -n "$call" ]; then minutes=6; else minutes=10; fi; fi
for part in ${skip[@]+"${skip[@]}"} ${only[@]+"${only[@]}"}; do
    case " $parts " in
        *" $part "*) ;;
        *) echo "gpu-check.sh: no part $part; there are $parts" >&2 && exit 2 ;;
    esac
done

work=${TMPDIR:-/tmp}/gpu-check-$size
# Of their own for each folder of packed programs.
unpacked=$work/bin-$(realpath "$bin" | cksum | cut -d ' ' -f 1)
seven=$work/random-$size
python=${PYTHON:-python3}
# What idk keeps of kernels, and what the driver keeps of them.
export XDG_CACHE_HOME=$work/cache CUDA_CACHE_PATH=$work/cache/driver CUDA_CACHE_MAXSIZE=4294967296
kernels=$XDG_CACHE_HOME/idk/kernels
mkdir -p "$out" "$work" "$unpacked" "$kernels"
if [ -f "$bin/kernels.tar.xz" ] && [ -z "$(ls "$kernels")" ]; then tar -xJf "$bin/kernels.tar.xz" -C "$kernels"; fi
table=$out/table.md
slack=1 questions=60
if [ $size = tiny ]; then questions=6; fi
if [ "$size-$device" = tiny-wgpu ]; then slack=10; fi
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

# Runs a command within its own limit and what is left of the whole; its output goes to a log, its process number next to it.
run() { # seconds, log, command...
    local limit=$(($1 * slack)) log=$out/$2.log pid=$out/$2.pid left=$((deadline - SECONDS))
    shift 2
    if [ -n "$dry" ]; then
        echo "+ timeout $limit $*"
        return 0
    fi
    [ "$left" -lt 10 ] && echo "no time left" > "$log" && return 124
    # shellcheck disable=SC2016
    timeout --signal INT --kill-after 10 $((limit < left ? limit : left)) \
        bash -c 'echo $$ > "$0"; exec "$@"' "$pid" "$@" > "$log" 2>&1
}

why() { # status, log: the first error of a part that did not work, else its last line
    local last
    last=$(grep -m 1 '^error\|panicked at' "$out/$2.log" 2> /dev/null)
    [ -n "$last" ] || last=$(grep -v '^hint\|^$' "$out/$2.log" 2> /dev/null | tail -1)
    last=$(echo "$last" | tr '|' ' ' | cut -c1-160)
    if [ "$1" = 124 ]; then echo "out of time: $last"; else echo "FAILED ($1): $last"; fi
}

program() { # name: where it is, unpacked if need be
    if [ -x "$bin/$1" ]; then
        echo "$bin/$1"
        return
    fi
    if [ ! "$unpacked/done" -nt "$bin/programs.tar.xz" ]; then
        [ -f "$bin/programs.tar.xz" ] && tar -xJf "$bin/programs.tar.xz" -C "$unpacked" && touch "$unpacked/done" || return 1
    fi
    [ -x "$unpacked/$1" ] && echo "$unpacked/$1"
}

gpu_mib() {
    nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1
}

of_process() { # process, VmHWM or VmRSS: MiB
    awk -v name="$2:" '$1 == name { printf "%d", $2 / 1024 }' "/proc/$1/status" 2> /dev/null
}

# Watches a training run, some times a second: the time, the steps so far, the device's memory, the host's peak.
watch() { # metrics file, samples file, process file, job
    local pid steps memory host
    until [ -s "$3" ]; do kill -0 "$4" 2> /dev/null || return; sleep 0.05; done
    pid=$(cat "$3")
    while kill -0 "$4" 2> /dev/null; do
        steps=0
        [ -f "$1" ] && steps=$(grep -c '"loss"' "$1")
        if [ $size = tiny ]; then memory=$(of_process "$pid" VmRSS); else memory=$(gpu_mib); fi
        host=$(of_process "$pid" VmHWM)
        [ -n "$host" ] || break
        echo "$(date +%s.%N) $steps ${memory:-0} $host"
        sleep 0.2
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
    if [ $size = tiny ]; then
        row "GPU" "none: a rehearsal on $device with a tiny model"
    else
        row "GPU" "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>&1 | head -1)"
    fi
    row "commit of the programs" "$(cut -c1-7 "$bin/commit" 2> /dev/null || echo unknown)"
}

golden() { # part, program, type, tolerance, arguments of the program...
    need "$2" || return
    local part=$1 program=$2 type=$3 tolerance=$4
    shift 4
    run 100 "$part" env IDK_TEST_DEVICE="${on:-$device}" IDK_TEST_DTYPE="$type" IDK_TEST_TOLERANCE="$tolerance" \
        IDK_FIXTURE_DIR="$PWD/tests/fixtures/qwen2-audio-tiny" "$(program "$program")" --test-threads 1 --nocapture "$@"
    local status=$?
    [ -n "$dry" ] && return
    local passed worst
    passed=$(sed -n 's/^test result: .* \([0-9]* passed; [0-9]* failed\).*/\1/p' "$out/$part.log")
    worst=$(differences "$out/$part.log" | sort -g | tail -1)
    if [ -n "$passed" ]; then
        row "$part (within $tolerance)" "$passed, greatest difference ${worst:-unknown}"
        [ $status = 0 ] || row "$part, first failure" "$(grep -m 1 -A 1 'panicked at' "$out/$part.log" | tail -1 | tr '|' ' ' | cut -c1-160)"
    else
        row "$part" "$(why $status "$part")"
    fi
}

differences() { # log of the golden checks
    sed -n 's/.*max difference //p' "$1"
}

# Half of the digits are gone in bfloat16: the yardstick is how far it is off on the CPU. Which tokens sampling keeps, and which
# ratios RL clips, is a matter of yes or no that rounding decides, so these checks are left out.
golden_bf16() {
    local part on
    for on in cpu $device; do
        part=golden-bf16
        [ "$on" = "$device" ] || part=golden-bf16-$on
        golden $part golden bf16 1 --skip warped_distributions --skip sampled_answers
        [ "$on" = "$device" ] && break
    done
    if [ -n "$dry" ] || [ "$device" = cpu ] || [ -z "$(differences "$out/golden-bf16.log")" ]; then return; fi
    row "golden-bf16, greatest difference in those of the CPU" \
        "$(paste <(differences "$out/golden-bf16.log") <(differences "$out/golden-bf16-cpu.log") |
            awk 'NF == 2 { cpu = $2 > 0.001 ? $2 : 0.001; if ($1 / cpu > most) most = $1 / cpu } END { printf "%.2f x", most }')"
}

main_job() {
    need idk-train || return
    local on devices="cpu $device"
    [ "$device" = cpu ] && devices=cpu
    for on in $devices; do
        local start=$SECONDS
        run 120 "main-job-$on" "$(program idk-train)" recipes/sound.toml --fresh --json --set model.device="$on" \
            --set model.dtype=f32 --set data.limit_per_task=$questions --set output.dir="$work/main-job-$on"
        local status=$?
        [ -n "$dry" ] && continue
        local loss
        loss=$(tail -1 "$work/main-job-$on/logs/metrics.jsonl" 2> /dev/null | sed -n 's/.*"loss": *\([0-9.e-]*\).*/\1/p')
        if [ $status = 0 ]; then
            row "main job on $on, $questions questions per task" "$((SECONDS - start)) s, last loss ${loss:-unknown}"
        else
            row "main job on $on" "$(why $status "main-job-$on")"
        fi
    done
}

model() {
    local start=$SECONDS
    run 120 model "$python" scripts/make_random_checkpoint.py --size $size --out "$seven"
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
device = "$device"
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
gradient_checkpointing = true
[output]
dir = "$work/seven"
TOML
}

# The first run compiles kernels; the difference of the other two leaves loading out.
sampling() {
    need idk-build || return
    recipe
    local seconds=() name count status start
    for name in 16-first 16 64; do
        count=${name%-first}
        start=$(date +%s.%N)
        rm -rf "$work/seven-$name"
        run 120 "sampling-$name" "$(program idk-build)" "$work/seven.toml" --set data.limit_per_task="$count" \
            --set output.dir="$work/seven-$name"
        status=$?
        [ -n "$dry" ] && continue
        [ $status = 0 ] || { row "sampling, $count questions" "$(why $status "sampling-$name")" && return; }
        seconds+=("$(echo "$(date +%s.%N) $start" | awk '{print $1 - $2}')")
    done
    [ -n "$dry" ] && return
    row "idk-build, 16 questions: first run, second run" "${seconds[0]} s, ${seconds[1]} s"
    row "idk-build, N=5, 12 tokens, 10 s clips" \
        "$(echo "${seconds[@]}" | awk '{ if ($3 > $2) printf "%.2f questions/s", 48 / ($3 - $2); else print "too fast to tell" }')"
}

# What --dry-run expects a training run to take at its peak, MiB.
estimate() { # name, settings of the run...
    local name=$1-estimate
    shift
    run 60 "$name" "$(program idk-train)" "$work/seven.toml" --dry-run --json "$@" || return
    [ -n "$dry" ] || sed -n 's/.*"peak":\([0-9]*\).*/\1/p' "$out/$name.log" | awk '{printf "%d", $1 / 1048576}'
}

# Trains on the rows of `sampling` and adds rows about speed, the first step's wait and memory.
trainer=idk-train
training() { # name, what, its unit, batch size, settings...
    need $trainer || return
    recipe
    local name=$1 what=$2 unit=$3 batch=$4 dir=$work/seven-$1
    shift 4
    local settings=(--set train.batch_size="$batch" --set data.limit_per_task=64 --set output.dir="$dir" "$@")
    if [ -n "$dry" ]; then
        run 130 "$name" "$(program $trainer)" "$work/seven.toml" "${settings[@]}"
        estimate "$name" "${settings[@]}"
        return
    fi
    [ -d "$work/seven-64/dataset" ] || { row "$name" "needs the part sampling" && return; }
    rm -rf "$dir" "$out/$name.pid" && cp -r "$work/seven-64" "$dir"
    local start expected
    expected=$(estimate "$name" "${settings[@]}")
    start=$(date +%s.%N)
    run 130 "$name" "$(program $trainer)" "$work/seven.toml" "${settings[@]}" &
    local job=$!
    watch "$dir/logs/metrics.jsonl" "$out/$name.samples" "$out/$name.pid" $job
    wait $job
    local status=$?
    [ $status = 0 ] || row "$name" "$(why $status "$name")"
    [ $status = 0 ] || [ -d "$dir/logs" ] || return
    awk -v batch="$batch" -v unit="$unit" -v start="$start" -v expected="${expected:-0}" -v what="$what" '
        function say(name, value) { printf "| %s%s | %s |\n", what, name, value }
        $2 > 0 && !first { first = $1; first_steps = $2; host = $4 }
        $2 > last_steps { last = $1; last_steps = $2 }
        $3 > peak { peak = $3 }
        $2 > 0 { steps[n] = $2; memory[n++] = $3 }
        END {
            if (!first) { say("", "FAILED: no step was seen"); exit }
            say(": first step after", sprintf("%.1f s from the start, host peak %d MiB by then", first - start, host))
            if (last > first) say("", sprintf("%.2f %s/s (%d steps)", batch * (last_steps - first_steps) / (last - first), unit, last_steps))
            for (i = 0; i < n; i++) {
                if (!early && steps[i] >= last_steps / 4) early = memory[i]
                late = memory[i]
            }
            say(": memory", sprintf("peak %d MiB, %d after a quarter, %d at the end; --dry-run said %d, measured/said %.2f", \
                peak, early, late, expected, expected ? peak / expected : 0))
        }' "$out/$name.samples" | tee -a "$table"
}

sft() { # batch size, steps
    training "sft-$1" "idk-train SFT, batch $1, gradient_checkpointing" rows "$1" --set train.max_steps="$2"
}

# Kernels that sft-1 compiled and chose may be on the disk now.
again() {
    training again "idk-train SFT, batch 1, again" rows 1 --set train.max_steps=10
}

# The first step's wait and the speed with every kernel tried, compared with sft-1.
autotune() {
    program idk-train-autotune > /dev/null || return
    trainer=idk-train-autotune
    training autotune "idk-train SFT, batch 1, built with autotune" rows 1 --set train.max_steps=60
    trainer=idk-train
}

dpo() { # steps
    training dpo-1 "idk-train DPO, batch 1, gradient_checkpointing" pairs 1 --set train.method=dpo --set train.max_steps="$1"
}

# Every kernel for the matrix products of the 7B, and torch's times.
matmul() {
    [ "$device" = cuda ] || return
    need matmul_strategies || return
    run 90 matmul "$(program matmul_strategies)"
    local status=$?
    run 40 matmul-torch "$python" benches/peers/matmul.py
    [ -n "$dry" ] && return
    [ $status = 0 ] || row "matrix products" "$(why $status matmul)"
    # The best of each shape next to what is taken without autotune.
    awk '/^[0-9]/ { if (shape != "") print shape "|" auto "|" best; shape = $0; auto = best = ""; most = 0 }
        /TFLOP/ { split($0, part, " us "); split(part[2], rate, " "); name = substr($0, 3, 24); sub(/ +$/, "", name)
            if (name == "auto") auto = rate[1]; if (rate[1] > most) { most = rate[1]; best = rate[1] " (" name ")" } }
        END { if (shape != "") print shape "|" auto "|" best }' "$out/matmul.log" |
        while IFS='|' read -r shape auto best; do
            if [ -n "$best" ]; then row "$shape" "${auto:-no} TFLOP/s, best $best"; else row "$shape" "no kernel is right"; fi
        done
    while read -r line; do row "${line%%: *}" "${line#*: }"; done < <(grep TFLOP "$out/matmul-torch.log")
}

# Each kernel of two training steps, with a wait after each.
profile() {
    [ "$device" = cpu ] && return
    need idk-train || return
    recipe
    [ -n "$dry" ] || [ -d "$work/seven-64/dataset" ] || { row "profile" "needs the part sampling" && return; }
    rm -rf "$work/seven-profile" "$work/profile.log"
    [ -n "$dry" ] || cp -r "$work/seven-64" "$work/seven-profile"
    run 90 profile env CUBECL_DEBUG_LOG="$work/profile.log" CUBECL_DEBUG_OPTION=profile-medium "$(program idk-train)" \
        "$work/seven.toml" --set train.batch_size=1 --set train.max_steps=2 --set data.limit_per_task=64 \
        --set output.dir="$work/seven-profile"
    local status=$?
    [ -n "$dry" ] && return
    "$python" scripts/gpu_profile.py "$work/profile.log" > "$out/profile.md" 2> "$out/profile.err" ||
        row "profile" "$(why $status profile)"
    [ -s "$out/profile.md" ] && row "profile" "profile.md: $(head -1 "$out/profile.md")"
}

peers() {
    local on=$device # torch knows no wgpu
    if [ "$device" = wgpu ]; then on=cpu; fi
    run 150 peers "$python" benches/peers/gpu.py --model "$seven" --dataset "$work/seven-64/dataset" --device $on
    local status=$?
    [ -n "$dry" ] && return
    [ $status = 0 ] || row "transformers + PEFT" "$(why $status peers)"
    grep '^|' "$out/peers.log" | tee -a "$table"
}

: > "$table"
printf '| what | measured |\n|---|---|\n' | tee -a "$table"
wanted machine && machine
# CUDA multiplies float32 on tensor cores in TF32: docs/gpu-log.md says how far that is off. Vulkan and the CPU do not.
near=2e-3
if [ "$device" = cuda ]; then near=5e-2; fi
wanted golden-f32 && golden golden-f32 golden f32 $near
wanted golden-bf16 && golden_bf16
wanted main-job && main_job
if wanted golden-fusion && program golden-fusion > /dev/null; then golden golden-fusion golden-fusion f32 $near; fi
wanted matmul && matmul
wanted model && model
wanted sampling && sampling
wanted sft-1 && sft 1 100
wanted again && again
wanted dpo-1 && dpo 60
wanted sft-8 && sft 8 20
wanted profile && profile
wanted autotune && autotune
wanted peers && peers
if [ -z "$dry" ] && [ -n "$(ls "$kernels")" ]; then
    tar -cJf "$out/kernels.tar.xz" -C "$kernels" . && row "kernel cache" "$(du -k "$out/kernels.tar.xz" | cut -f1) KiB packed"
fi
echo "table: $table"
