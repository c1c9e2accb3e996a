"""A LoRA step of SFT: transformers + PEFT and idk-train, the same checkpoint, rows, batches and LoRA layers, two threads
each, one after the other in one run, in several rounds.

    python -m venv /tmp/peers
    /tmp/peers/bin/pip install torch==2.15.0 transformers==5.23.0 peft==0.21.2 tensorboard numpy soundfile
    cargo build --release --bins
    /tmp/peers/bin/python benches/peers/train.py

Both train one epoch over the same rows, in the order of the file, and must start from the same loss (printed). Time a step:
- transformers: of whole steps, after two that are not counted; without reading the recordings, whose features are there
  before the clock starts. It runs its frozen encoder in each step.
- idk-train: what a step more costs the whole program, which reads and encodes the recordings too: the time from its start
  to the last step of a run of `--steps`, less that of a run of a quarter of them, over the steps between.
The rows "encoded" give transformers the encoder's outputs, too, so that only the language model's work is compared; the time
of idk-train is then that between its first and last step.
"""

import argparse
import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from sampling import ROOT, shorter_window

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MODES = [(dtype, attention) for dtype in ("float32", "bfloat16") for attention in ("eager", "sdpa")]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "checkpoints/mini-lalm")
    parser.add_argument("--bin", type=Path, default=ROOT / "target/release", help="folder of idk-build and idk-train")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer-steps", type=int, default=10)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--shorten", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dataset", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def build(options, folder: Path, steps: int):
    """A dataset with enough rows for `steps`, and the recipe that trains on it."""
    folder.mkdir()
    rows = steps * options.batch * options.accumulation
    recipe = f"""
[model]
path = "{options.model}"
[data]
tasks = ["sound"]
train_questions = {rows}
limit_per_task = {rows}
[build]
temperature = 0.2
[lora]
rank = {options.rank}
alpha = {2.0 * options.rank}
[train]
max_steps = {steps}
batch_size = {options.batch}
gradient_accumulation_steps = {options.accumulation}
schedule = "constant"
warmup_ratio = 0.0
shuffle = false
[eval]
limit = 1
[output]
dir = "{folder / 'run'}"
"""
    (folder / "recipe.toml").write_text(recipe)
    subprocess.run([options.bin / "idk-build", folder / "recipe.toml"], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def run_ours(options, folder: Path):
    """Seconds to the last step, and a step after the first; peak memory in MiB; the first loss."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = folder / "run"
    for part in ("checkpoints", "logs", "adapter", "eval"):
        shutil.rmtree(run / part, ignore_errors=True)
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads))
    started = time.time()
    process = subprocess.Popen([options.bin / "idk-train", folder / "recipe.toml"], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(message.decode())
    events = EventAccumulator(str(next(run.rglob("events.out.tfevents.*"))))
    events.Reload()
    losses = events.Scalars("train/loss")
    steady = (losses[-1].wall_time - losses[0].wall_time) / (len(losses) - 1)
    return {
        "steps": len(losses),
        "whole_s": losses[-1].wall_time - started,
        "steady_s": steady,
        "peak_mib": usage.ru_maxrss / 1024,
        "first_loss": losses[0].value,
    }


def run_peer(options, folder: Path, worker: str):
    command = [sys.executable, __file__, "--worker", worker, "--dataset", folder / "long/run/dataset"]
    command += ["--model", options.model]
    for name in ("threads", "batch", "accumulation", "rank", "peer_steps"):
        command += ["--" + name.replace("_", "-"), str(getattr(options, name))]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(lines.splitlines()[-1])


def prepared(options, processor, torch):
    """Inputs of each micro-batch, with labels on the answer and its end alone."""
    import soundfile

    rows = [json.loads(line) for line in (options.dataset / "sft.jsonl").read_text().splitlines()]
    rows = rows[: (options.peer_steps + 2) * options.batch * options.accumulation]
    for at in range(0, len(rows), options.batch):
        texts, audios, answers = [], [], []
        for row in rows[at : at + options.batch]:
            user, answer = row["messages"]
            content = [{"type": "audio", "audio_url": path} for path in row["audios"]]
            content.append({"type": "text", "text": user["content"].replace("<audio>", "")})
            prompt = processor.apply_chat_template(
                [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
            )
            ending = answer["content"] + "<|im_end|>"
            texts.append(prompt + ending)
            answers.append(len(processor.tokenizer(ending)["input_ids"]))
            audios += [soundfile.read(options.dataset / path, dtype="float32")[0] for path in row["audios"]]
        inputs = processor(text=texts, audio=audios, sampling_rate=16000, return_tensors="pt", padding=True)
        labels = torch.full_like(inputs["input_ids"], -100)
        for row, length in enumerate(answers):
            labels[row, -length:] = inputs["input_ids"][row, -length:]
        yield dict(inputs, labels=labels)


def worker(options):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    dtype, attention, features = options.worker.split(",")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(options.model)
    processor.tokenizer.padding_side = "left"
    model = Qwen2AudioForConditionalGeneration.from_pretrained(
        options.model, dtype=getattr(torch, dtype), attn_implementation=attention
    )
    layers = rf".*language_model.*\.({'|'.join(LAYERS)})"
    config = LoraConfig(r=options.rank, lora_alpha=2 * options.rank, target_modules=layers)
    model = get_peft_model(model, config)
    model.train()
    batches = list(prepared(options, processor, torch))
    if features == "ready":
        batches = [embedded(model, batch, torch) for batch in batches]
    for batch in batches:
        for name, value in batch.items():
            batch[name] = value.to(getattr(torch, dtype)) if value.is_floating_point() else value
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.0, fused=True)
    labels = [int((batch["labels"] != -100).sum()) for batch in batches]

    def step(at):
        part = range(at, at + options.accumulation)
        total = 0.0
        for index in part:
            loss = model(**batches[index]).loss * labels[index] / sum(labels[i] for i in part)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total

    first_loss = step(0)
    step(options.accumulation)
    started = time.perf_counter()
    for index in range(2, options.peer_steps + 2):
        step(index * options.accumulation)
    seconds = (time.perf_counter() - started) / options.peer_steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"step_s": seconds, "peak_mib": peak, "first_loss": first_loss}))


def embedded(model, batch, torch):
    """The batch with the encoder's outputs instead of the audio: only the language model is left to run."""
    inner = model.get_base_model()
    found = {}

    def keep(_, __, kwargs):
        found.update(kwargs)
        raise StopIteration

    language_model = next(module for name, module in inner.named_modules() if name.endswith("language_model"))
    handle = language_model.register_forward_pre_hook(keep, with_kwargs=True)
    with torch.no_grad(), contextlib.suppress(StopIteration):
        model(**{name: value for name, value in batch.items() if name != "labels"})
    handle.remove()
    return {
        "inputs_embeds": found["inputs_embeds"].detach(),
        "attention_mask": batch["attention_mask"],
        "labels": batch["labels"],
    }


def compare(options, window: str, folder: Path):
    """Prints the table's rows of a window; the best of all rounds counts for each."""
    build(options, folder / "long", options.steps)
    build(options, folder / "short", max(options.steps // 4, 1))
    ours, peers = [], {}
    for _ in range(options.rounds):
        long, short = run_ours(options, folder / "long"), run_ours(options, folder / "short")
        long["step_s"] = (long["whole_s"] - short["whole_s"]) / (long["steps"] - short["steps"])
        ours.append(long)
        for features in ("own", "ready"):
            for dtype, attention in MODES:
                name = f"{dtype},{attention},{features}"
                peers.setdefault(name, []).append(run_peer(options, folder, name))
    mib = min(run["peak_mib"] for run in ours)
    for features, key, label in (("own", "step_s", "idk-train"), ("ready", "steady_s", "idk-train, language model")):
        of_kind = {name: min(runs, key=lambda run: run["step_s"]) for name, runs in peers.items() if name.endswith(features)}
        for name, run in of_kind.items():
            row = f"| {window} | transformers + PEFT, {name.replace(',own', '').replace(',ready', ', encoded')}"
            print(f"{row} | {1000 * run['step_s']:.0f} | {run['peak_mib']:.0f} | {run['first_loss']:.4f} | |")
        best = min(of_kind.values(), key=lambda run: run["step_s"])
        small = min(run["peak_mib"] for run in of_kind.values())
        seconds = min(run[key] for run in ours)
        print(
            f"| {window} | {label} | {1000 * seconds:.0f} | {mib:.0f} | {ours[0]['first_loss']:.4f} | "
            f"{seconds / best['step_s']:.2f} x the time, {mib / small:.2f} x the memory |",
            flush=True,
        )


def main():
    options = arguments()
    if options.worker:
        return worker(options)
    if options.shorten:
        return shorter_window(options.model, options.shorten, 3)
    folder = Path(tempfile.mkdtemp())
    rows = f"batch {options.batch}"
    rows += f" x {options.accumulation}" if options.accumulation > 1 else ""
    print(f"LoRA rank {options.rank} on all linear layers of the language model, {rows}, {options.threads} threads, "
          f"best of {options.rounds} rounds\n")
    print("| window | | ms a step | peak memory, MiB | first loss | |")
    print("|---|---|---:|---:|---:|---|")
    for window in ("30 s", "3 s"):
        if window == "3 s":
            # By a process of its own: what this one holds in memory counts as the peak of every child that it starts.
            short = folder / "short"
            subprocess.run([sys.executable, __file__, "--model", options.model, "--shorten", short], check=True)
            options.model = short
        place = folder / window.replace(" ", "")
        place.mkdir()
        compare(options, window, place)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
