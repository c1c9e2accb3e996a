# idk in a container.
#
#   docker build -t idk .                                             # for CPUs
#   docker run --rm -v "$PWD/runs:/idk/runs" idk idk-train recipes/sound.toml
#
#   docker build -t idk-cuda --build-arg FEATURES=cuda \
#       --build-arg BASE=nvidia/cuda:13.0.1-devel-ubuntu24.04 .       # for NVIDIA GPUs (NVRTC and the CUDA headers are in this image)
#   docker run --rm --gpus all -v /models:/models -v "$PWD/runs:/idk/runs" idk-cuda idk-train recipes/qwen2-audio/sound.toml
ARG BASE=ubuntu:24.04

FROM rust:1.95-bookworm AS build
ARG FEATURES=""
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bins --features "$FEATURES" \
 && mkdir /out && cp target/release/idk-build target/release/idk-train target/release/idk-eval /out/

FROM $BASE
COPY --from=build /out/ /usr/local/bin/
COPY recipes /idk/recipes
COPY checkpoints /idk/checkpoints
COPY dataset-builder/bank /idk/dataset-builder/bank
WORKDIR /idk
CMD ["idk-train", "--list"]
