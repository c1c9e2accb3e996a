#!/usr/bin/env bash
# Compiles every CUDA kernel of a run with the real NVRTC and ptxas, on a machine without a GPU.
#
# A stand-in for the driver (cuda_stand_in/) shows one H100, checks every launch against its limits and runs nothing. It fails if a
# kernel does not compile or assemble, or asks for more threads, shared memory, registers or blocks than the card has. It says
# nothing of numbers or speed.
#
# Usage: tests/end_to_end/cuda-compile.sh [--only PART]...
#   VENV     where NVRTC, CUDA's headers and ptxas are or go [default: ~/.cache/idk/nvrtc]
#   BIN      folder of idk-train built with `--features cuda` [default: target/release, built when missing]
#   FUSION   folder of one built with `--features cuda,fusion`; the parts whose names end in -fusion need it
#   KEEP     folder for runs and logs [default: a temporary one]
#   CACHE    kernel cache to fill [default: a new one in KEEP]
#   LIMIT    seconds that a part may take [default: 3600]
#   SOURCES  keep the sources of kernels that take NVRTC longer than this many seconds [default: 1000]
# Parts: mini-f32 mini-bf16 mini-dpo merge again seven-bf16 seven-f32 seven-dpo mini-f32-fusion mini-bf16-fusion seven-bf16-fusion
#   `mini` is checkpoints/mini-lalm, `seven` has the widths of Qwen2-Audio-7B and one layer in each tower; `again` is mini-f32 with
#   the cache that it filled, where next to nothing may be compiled.
set -euo pipefail
cd "$(dirname "$0")/../.."
only=()
while [ $# -gt 0 ]; do
    case $1 in
        --only) only+=("$2") && shift ;;
        *) echo "cuda-compile.sh: unknown argument $1" >&2 && exit 2 ;;
    esac
    shift
done
venv=${VENV:-$HOME/.cache/idk/nvrtc}
bin=${BIN:-target/release}
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
work=$(realpath "$work")
cache=${CACHE:-$work/kernels}
here=tests/end_to_end/cuda_stand_in
failed=0

# CUDA 13.0 is what .cargo/config.toml builds against, and the oldest whose driver (580) a machine may have.
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import nvidia.cu13' 2> /dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet 'nvidia-cuda-nvrtc==13.0.*' 'nvidia-cuda-runtime==13.0.*' 'nvidia-cuda-cccl==13.0.*' \
        'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-nvcc==13.0.*' 'nvidia-nvvm==13.0.*'
fi
cuda=$("$venv/bin/python" -c 'import nvidia.cu13 as found; print(list(found.__path__)[0])')
[ -x "$bin/idk-train" ] || cargo build --release --features cuda --bins

stand_in=$work/stand-in
mkdir -p "$stand_in"
cc -shared -fPIC -O1 -w -o "$stand_in/libcuda.so.1" "$here/driver.c" -lpthread
cc -shared -fPIC -O1 -w -o "$stand_in/libnvrtc.so" "$here/nvrtc.c" -ldl
ln -sf libcuda.so.1 "$stand_in/libcuda.so"
for builtins in "$cuda"/lib/libnvrtc-builtins.so.*; do ln -sf "$builtins" "$stand_in/"; done

wanted() { # part
    local part
    if [ ${#only[@]} -gt 0 ]; then
        for part in "${only[@]}"; do [ "$part" = "$1" ] && return 0; done
        return 1
    fi
    case $1 in *-fusion) [ -n "${FUSION:-}" ] ;; esac
}

on_stand_in() { # part, program, arguments...
    local part=$1
    shift
    # `full` measures no peak of the card, which a card that takes no time has not.
    env LD_LIBRARY_PATH="$stand_in:$cuda/lib" CUDA_PATH="$cuda" CUDA_STAND_IN_OUT="$work/$part" \
        CUDA_STAND_IN_NVRTC="$cuda/lib/libnvrtc.so.13" CUDA_STAND_IN_SOURCES="${SOURCES:-1000}" CUBECL_AUTOTUNE_LEVEL=full \
        timeout --kill-after 10 "${LIMIT:-3600}" "$@"
}

# Runs idk-train before the stand-in. Its numbers mean nothing, so a stop for numeric reasons (70) is no failure.
run() { # part, folder of the program, arguments...
    local part=$1 folder=$2 status=0
    shift 2
    rm -rf "${work:?}/$part"
    mkdir -p "$work/$part/ptx"
    set -- "$@" --set model.device=cuda --set model.kernel_cache_dir="$cache"
    mkdir -p "$work/$part/dry/ptx"
    on_stand_in "$part/dry" "$folder/idk-train" "$@" --dry-run --json 2> /dev/null |
        sed -n 's/.*"peak":\([0-9]*\).*/\1/p' > "$work/$part/dry-run-bytes" || true
    local start=$SECONDS
    on_stand_in "$part" "$folder/idk-train" "$@" --fresh > "$work/$part/run.log" 2>&1 || status=$?
    echo "$part: exit $status after $((SECONDS - start)) s"
    if [ $status != 0 ] && [ $status != 70 ]; then
        grep -m 3 -i 'error\|panicked' "$work/$part/run.log" || tail -3 "$work/$part/run.log"
        failed=1
    fi
}

mini() { # part, folder, type, arguments...
    local part=$1 folder=$2 dtype=$3
    shift 3
    run "$part" "$folder" recipes/sound.toml --set model.dtype="$dtype" --set data.limit_per_task=8 --set train.max_steps=2 \
        --set build.max_idk_share=1.0 --set build.max_rejected_share=1 --set output.dir="$work/$part/run" "$@"
}

# One layer of each tower has every shape of the 32.
seven() { # part, folder, arguments...
    local part=$1 folder=$2
    shift 2
    [ -f "$work/seven/config.json" ] || python3 scripts/make_random_checkpoint.py --zeros --layers 1 --clips 16 --out "$work/seven"
    run "$part" "$folder" recipes/qwen2-audio/sound.toml --set model.path="$work/seven" --set data.train="$work/seven/questions/train.json" \
        --set data.test="$work/seven/questions/test.json" --set build.n_samples=5 --set build.max_new_tokens=4 --set train.max_steps=2 \
        --set output.dir="$work/$part/run" "$@"
}

wanted mini-f32 && mini mini-f32 "$bin" f32
wanted again && mini again "$bin" f32
if wanted merge; then
    # On the CPU, but from what was trained before the stand-in.
    rm -rf "$work/merged"
    "$bin/idk-train" merge "$work/mini-f32/run" --out "$work/merged" > "$work/merge.log" 2>&1 && echo "merge: done" || { tail -3 "$work/merge.log"; failed=1; }
fi
wanted mini-bf16 && mini mini-bf16 "$bin" bf16
wanted mini-dpo && mini mini-dpo "$bin" f32 --set train.method=dpo
wanted seven-bf16 && seven seven-bf16 "$bin"
wanted seven-f32 && seven seven-f32 "$bin" --set model.dtype=f32
wanted seven-dpo && seven seven-dpo "$bin" --set train.method=dpo --set train.batch_size=1
wanted mini-f32-fusion && mini mini-f32-fusion "$FUSION" f32
wanted mini-bf16-fusion && mini mini-bf16-fusion "$FUSION" bf16
wanted seven-bf16-fusion && seven seven-bf16-fusion "$FUSION"
"$venv/bin/python" "$here/report.py" "$work" "$cuda/bin/ptxas" || failed=1
[ -n "${KEEP:-}" ] || rm -rf "$work"
exit $failed
