"""N answers to every question: transformers `generate(num_return_sequences=N)` and idk-build, the same checkpoint,
questions, prompts and settings, two threads each, one after the other in one run.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install torch==2.15.0 transformers==5.23.0 numpy soundfile
    cargo build --release --bin idk-build
    /tmp/peers/bin/python benches/peers/sampling.py

transformers is timed without its imports and without loading the model, at the best of several batch sizes; idk-build is
timed as a whole program, from its start to the written dataset. Both once with the 30 s window of the checkpoint, to which
transformers pads every clip, and once with a copy of it whose window is as long as the clips (3 s).
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCHES = [4, 8, 16, 32]
TRIAL_QUESTIONS = 48


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=ROOT / "checkpoints/mini-lalm")
    parser.add_argument("--idk-build", type=Path, default=ROOT / "target/release/idk-build")
    parser.add_argument("--questions", type=int, default=80, help="of each modality")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--dataset", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--shorten", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def shorter_window(model: Path, out: Path, seconds: int):
    """A copy of the checkpoint that hears `seconds` at most, instead of 30."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, out)
    positions = seconds * 50
    config = json.loads((out / "config.json").read_text())
    config["audio_config"]["max_source_positions"] = positions
    (out / "config.json").write_text(json.dumps(config))
    extractor = json.loads((out / "preprocessor_config.json").read_text())
    extractor.update(chunk_length=seconds, n_samples=seconds * 16000, nb_max_frames=seconds * 100)
    (out / "preprocessor_config.json").write_text(json.dumps(extractor))
    tensors = load_file(out / "model.safetensors")
    for name in tensors:
        if name.endswith("embed_positions.weight"):
            tensors[name] = tensors[name][:positions].clone()
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


def run_ours(options, model: Path, folder: Path, questions: Path):
    """Seconds of the whole program, and its peak memory in MiB."""
    recipe = folder / "recipe.toml"
    recipe.write_text(
        f"""[model]\npath = "{model}"\n[data]\ntrain = "{questions}"\n[build]\nn_samples = {options.samples}\n"""
        f"""k = {options.samples}\ntemperature = 0.7\n[output]\ndir = "{folder / 'run'}"\n"""
    )
    environment = dict(os.environ, RAYON_NUM_THREADS=str(options.threads))
    start = time.perf_counter()
    process = subprocess.Popen(
        [options.idk_build, recipe], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"idk-build failed with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, folder / "run/dataset"


def run_transformers(options, model: Path, dataset: Path):
    """The same through a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--worker", model, "--dataset", dataset]
    command += ["--samples", str(options.samples), "--threads", str(options.threads)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def worker(options):
    import soundfile
    import torch
    from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(options.worker)
    processor.tokenizer.padding_side = "left"
    model = Qwen2AudioForConditionalGeneration.from_pretrained(options.worker, dtype=torch.float32).eval()
    rows = [json.loads(line) for line in (options.dataset / "questions.jsonl").read_text().splitlines()]

    def answer(rows):
        texts, audios = [], []
        for row in rows:
            content = [{"type": "audio", "audio_url": path} for path in row["audios"]]
            content.append({"type": "text", "text": row["message"].replace("<audio>", "")})
            chat = [{"role": "user", "content": content}]
            texts.append(processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False))
            audios += [soundfile.read(options.dataset / path, dtype="float32")[0] for path in row["audios"]]
        inputs = processor(text=texts, audio=audios, sampling_rate=16000, return_tensors="pt", padding=True)
        with torch.inference_mode():
            return model.generate(
                **inputs,
                do_sample=True,
                temperature=0.7,
                top_k=0,
                top_p=1.0,
                max_new_tokens=16,
                num_return_sequences=options.samples,
            )

    def timed(rows, batch):
        start = time.perf_counter()
        for at in range(0, len(rows), batch):
            answer(rows[at : at + batch])
        return time.perf_counter() - start

    answer(rows[:2])
    trial = rows[:TRIAL_QUESTIONS]
    rates = {batch: len(trial) / timed(trial, batch) for batch in BATCHES}
    best = max(rates, key=rates.get)
    rows.sort(key=lambda row: len(row["message"]))
    seconds = timed(rows, best)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "batch": best, "n": len(rows)}))


def main():
    options = arguments()
    if options.worker:
        return worker(options)
    if options.shorten:
        return shorter_window(options.model, options.shorten, 3)
    folder = Path(tempfile.mkdtemp())
    subprocess.run(
        [options.idk_build, "compose", "--split", "test", "--questions", str(options.questions), "--out", folder / "set"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    print(f"{options.samples} samples a question, {options.threads} threads\n")
    print("| window | | questions/s | peak memory, MiB | |")
    print("|---|---|---:|---:|---|")
    for window in ("30 s", "3 s"):
        model = options.model
        if window == "3 s":
            model = folder / "short"
            # By a process of its own: what this one holds in memory counts as the peak of every child that it starts.
            subprocess.run([sys.executable, __file__, "--model", options.model, "--shorten", model], check=True)
        place = folder / window.replace(" ", "")
        place.mkdir()
        ours_s, ours_mib, dataset = run_ours(options, model, place, folder / "set/questions.json")
        peer = run_transformers(options, model, dataset)
        n = peer["n"]
        print(f"| {window} | transformers, batch {peer['batch']} | {n / peer['seconds']:.2f} | {peer['peak_mib']:.0f} | |")
        faster, smaller = peer["seconds"] / ours_s, ours_mib / peer["peak_mib"]
        print(
            f"| {window} | idk-build | {n / ours_s:.2f} | {ours_mib:.0f} | {faster:.1f} x as fast, "
            f"{100 * smaller:.0f} % of the memory |",
            flush=True,
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
