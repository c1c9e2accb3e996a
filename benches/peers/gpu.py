"""LoRA steps and sampling of transformers + PEFT on a GPU, on the rows of a dataset that idk-build wrote: the peers of
scripts/gpu-check.sh.

    python benches/peers/gpu.py --model /tmp/gpu-check/random-7b --dataset /tmp/gpu-check/seven-64/dataset

Prints rows of a Markdown table: questions a second at N samples; SFT rows a second and peak memory at batch 1 and 8, with and
without gradient checkpointing; DPO pairs a second at batch 1, the reference being the model with its adapter off in each step, as
TRL does by default. bfloat16 base, float32 adapters, SDPA attention, rank 8 on all linear layers of the language model.
`--device cpu` is for rehearsing it with a tiny model. Needs torch, transformers and peft.
"""

import argparse
import json
import resource
import time
import wave
from pathlib import Path

import numpy
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

TARGETS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
WARM_UP = 3
SAMPLED_ROWS = 32
BETA = 0.1


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=12)
    parser.add_argument("--steps", type=int, default=12, help=f"timed; {WARM_UP} more warm up")
    return parser.parse_args()


def rows_of(dataset: Path, name: str):
    rows = [json.loads(line) for line in (dataset / name).read_text().splitlines()]
    if not rows:
        raise SystemExit(f"{dataset / name} has no rows")
    return rows


def samples_of(path: Path):
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getsampwidth(), file.getnchannels()) != (16000, 2, 1):
            raise SystemExit(f"{path} is not a WAV file of 16 bits, 16 kHz and one channel")
        return numpy.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(numpy.float32) / 32768


def inputs_of(processor, options, prompts):
    """`prompts`: user's text, recordings and answer (`None`: the model is to answer) of each row."""
    texts, audios = [], []
    for question, paths, answer in prompts:
        content = [{"type": "audio", "audio_url": path} for path in paths]
        content.append({"type": "text", "text": question.replace("<audio>", "")})
        chat = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        texts.append(text if answer is None else text + answer + "<|im_end|>")
        audios += [samples_of(options.dataset / path) for path in paths]
    inputs = processor(text=texts, audio=audios, sampling_rate=16000, return_tensors="pt", padding=True)
    inputs = {name: value.to(options.device) for name, value in inputs.items()}
    if all(answer is not None for _, _, answer in prompts):
        # Rows are padded on the left and end with their answers.
        labels = torch.full_like(inputs["input_ids"], -100)
        for index, (_, _, answer) in enumerate(prompts):
            length = len(processor.tokenizer(answer + "<|im_end|>")["input_ids"])
            labels[index, -length:] = inputs["input_ids"][index, -length:]
        inputs["labels"] = labels
    return inputs


def sft_prompt(row, answered: bool):
    *_, user, assistant = row["messages"]
    return user["content"], row["audios"], assistant["content"] if answered else None


def dpo_prompts(row):
    """The pair as two rows: chosen, rejected."""
    question = row["prompt"][-1]["content"]
    return [(question, row["audios"], row[side][-1]["content"]) for side in ("chosen", "rejected")]


def synchronize(options):
    if options.device != "cpu":
        torch.cuda.synchronize()


def peak_mib(options):
    """Since the last `reset_peak`; on a CPU that of the whole process."""
    if options.device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated() / 2**20


def reset_peak(options):
    if options.device != "cpu":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def answer_log_probs(model, inputs):
    """Sums of the answers' log-probabilities, one a row."""
    labels = inputs["labels"][:, 1:]
    logits = model(**{name: value for name, value in inputs.items() if name != "labels"}).logits[:, :-1].float()
    chosen = torch.gather(logits.log_softmax(-1), 2, labels.clamp(min=0).unsqueeze(2)).squeeze(2)
    return (chosen * (labels != -100)).sum(1)


def dpo_loss(model, inputs):
    with torch.no_grad(), model.disable_adapter():
        reference = answer_log_probs(model, inputs)
    gain = answer_log_probs(model, inputs) - reference
    return -torch.nn.functional.logsigmoid(BETA * (gain[0] - gain[1]))


def train(model, options, batches, checkpointing: bool, loss_of):
    """Steps a second and peak memory in MiB over batches that are made while the clock runs."""
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    else:
        model.gradient_checkpointing_disable()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    reset_peak(options)
    start = 0.0
    for step in range(WARM_UP + options.steps):
        if step == WARM_UP:
            synchronize(options)
            start = time.perf_counter()
        loss_of(model, batches(step)).backward()
        optimizer.step()
        optimizer.zero_grad()
    synchronize(options)
    return options.steps / (time.perf_counter() - start), peak_mib(options)


def sample(model, processor, options):
    """Questions a second at the best of three batch sizes; the first batch of each is not timed."""
    model.eval()
    rows = rows_of(options.dataset, "sft.jsonl")
    best = 0.0
    for batch in (4, 8, 16):
        start = 0.0
        for at in range(0, SAMPLED_ROWS, batch):
            if at == batch:
                synchronize(options)
                start = time.perf_counter()
            prompts = [sft_prompt(rows[(at + i) % len(rows)], answered=False) for i in range(batch)]
            with torch.inference_mode():
                model.generate(
                    **inputs_of(processor, options, prompts), do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
                    num_return_sequences=options.samples, max_new_tokens=options.new_tokens, min_new_tokens=options.new_tokens,
                )
        synchronize(options)
        best = max(best, (SAMPLED_ROWS - batch) / (time.perf_counter() - start))
    return best


def report(what: str, unit: str, batch: int, measure):
    try:
        steps, peak = measure()
        result = f"{batch * steps:.2f} {unit}/s, peak {peak:.0f} MiB"
    except torch.OutOfMemoryError:
        result = "out of memory"
    print(f"| transformers + PEFT {what} | {result} |", flush=True)


def main():
    options = arguments()
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(options.model)
    processor.tokenizer.padding_side = "left"
    base = Qwen2AudioForConditionalGeneration.from_pretrained(options.model, dtype=torch.bfloat16, attn_implementation="sdpa")
    base = base.to(options.device)
    print(f"| transformers generate, N={options.samples} | {sample(base, processor, options):.2f} questions/s |", flush=True)
    model = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, target_modules=TARGETS, task_type="CAUSAL_LM"))
    rows, pairs = (rows_of(options.dataset, name) for name in ("sft.jsonl", "dpo.jsonl"))

    def rows_at(batch: int):
        at = lambda step: [rows[(step * batch + i) % len(rows)] for i in range(batch)]
        return lambda step: inputs_of(processor, options, [sft_prompt(row, answered=True) for row in at(step)])

    def pair_at(step: int):
        return inputs_of(processor, options, dpo_prompts(pairs[step % len(pairs)]))

    for batch, checkpointing in ((1, False), (8, False), (8, True)):
        kind = "checkpointing" if checkpointing else "no checkpointing"
        sft = lambda: train(model, options, rows_at(batch), checkpointing, lambda model, inputs: model(**inputs).loss)
        report(f"SFT, batch {batch}, {kind}", "rows", batch, sft)
    report("DPO, batch 1, checkpointing", "pairs", 1, lambda: train(model, options, pair_at, True, dpo_loss))


if __name__ == "__main__":
    main()
