"""LoRA steps and sampling of transformers + PEFT on a GPU, on the rows of a dataset that idk-build wrote: the peers of
scripts/gpu-check.sh.

    python benches/peers/gpu.py --model /tmp/gpu-check/random-7b --dataset /tmp/gpu-check/seven-64/dataset

Prints rows of a Markdown table: SFT rows a second and peak memory at batch 1 and 8, with and without gradient checkpointing,
questions a second at N samples. bfloat16 base, float32 adapters, SDPA attention, rank 8 on all linear layers of the language model.
"""

import argparse
import json
import time
from pathlib import Path

import soundfile
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=12)
    parser.add_argument("--steps", type=int, default=12, help="timed; three more warm up")
    return parser.parse_args()


def rows_of(dataset: Path):
    return [json.loads(line) for line in (dataset / "sft.jsonl").read_text().splitlines()]


def inputs_of(processor, dataset: Path, rows, answered: bool):
    texts, audios = [], []
    for row in rows:
        content = [{"type": "audio", "audio_url": path} for path in row["audios"]]
        content.append({"type": "text", "text": row["messages"][-2]["content"].replace("<audio>", "")})
        chat = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        texts.append(text + (row["messages"][-1]["content"] + "<|im_end|>" if answered else ""))
        audios += [soundfile.read(dataset / path, dtype="float32")[0] for path in row["audios"]]
    inputs = processor(text=texts, audio=audios, sampling_rate=16000, return_tensors="pt", padding=True)
    return {name: value.cuda() for name, value in inputs.items()}


def train(model, processor, options, batch: int, checkpointing: bool):
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    else:
        model.gradient_checkpointing_disable()
    model.train()
    rows = rows_of(options.dataset)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    start = 0.0
    for step in range(3 + options.steps):
        if step == 3:
            torch.cuda.synchronize()
            start = time.perf_counter()
        chosen = [rows[(step * batch + i) % len(rows)] for i in range(batch)]
        inputs = inputs_of(processor, options.dataset, chosen, answered=True)
        # The answers end the rows, padded on the left: about ten tokens carry the loss.
        labels = inputs["input_ids"].clone()
        labels[:, :-10] = -100
        model(**inputs, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    seconds = time.perf_counter() - start
    return batch * options.steps / seconds, torch.cuda.max_memory_allocated() / 2**20


def sample(model, processor, options):
    model.eval()
    rows = rows_of(options.dataset)[:32]
    best = 0.0
    for batch in (4, 8, 16):
        start = 0.0
        for number, at in enumerate(range(0, len(rows), batch)):
            if number == 1:
                torch.cuda.synchronize()
                start = time.perf_counter()
            inputs = inputs_of(processor, options.dataset, rows[at : at + batch], answered=False)
            with torch.inference_mode():
                model.generate(
                    **inputs, do_sample=True, temperature=1.0, top_k=0, top_p=1.0, num_return_sequences=options.samples,
                    max_new_tokens=options.new_tokens, min_new_tokens=options.new_tokens,
                )
        torch.cuda.synchronize()
        best = max(best, (len(rows) - batch) / (time.perf_counter() - start))
    return best


def main():
    options = arguments()
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(options.model)
    processor.tokenizer.padding_side = "left"
    base = Qwen2AudioForConditionalGeneration.from_pretrained(options.model, dtype=torch.bfloat16, attn_implementation="sdpa")
    base = base.cuda()
    print(f"| transformers generate, N={options.samples} | {sample(base, processor, options):.2f} questions/s |", flush=True)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS, task_type="CAUSAL_LM")
    model = get_peft_model(base, lora)
    for batch, checkpointing in ((1, False), (8, False), (8, True)):
        try:
            rate, peak = train(model, processor, options, batch, checkpointing)
            result = f"{rate:.2f} rows/s, peak {peak:.0f} MiB"
        except torch.OutOfMemoryError:
            result = "out of memory"
        kind = "checkpointing" if checkpointing else "no checkpointing"
        print(f"| transformers + PEFT SFT, batch {batch}, {kind} | {result} |", flush=True)


if __name__ == "__main__":
    main()
