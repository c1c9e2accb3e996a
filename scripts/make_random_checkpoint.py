"""A checkpoint with the shapes of Qwen2-Audio-7B and random weights, and clips and questions to run it on.

    python scripts/make_random_checkpoint.py --out /tmp/random-7b

Speed and memory depend on shapes and not on values, so this stands in for the 16.8 GB of the real one where nothing can be
downloaded. Needs torch and safetensors; weights are drawn on the GPU if there is one. `--zeros` needs neither: it writes files
of holes that take no space on the disk, for runs that only look at shapes. The tokenizer is that of
checkpoints/mini-lalm: texts become other tokens than with the real one, about as many. `--layers 2` makes one of few layers,
`--size tiny` one of a few MB, on which scripts/gpu-check.sh is rehearsed without a GPU.
"""

import argparse
import json
import math
import random
import shutil
import struct
import wave
from dataclasses import dataclass, replace
from pathlib import Path

try:
    import torch
    from safetensors.torch import save_file
except ImportError:
    torch = None

ROOT = Path(__file__).resolve().parents[1]
SHARD_BYTES = 4 << 30


@dataclass(frozen=True)
class Sizes:
    """Widths of the language model and of the audio encoder, heads, and layers of each."""

    vocab: int
    hidden: int
    inner: int
    heads: int
    audio_width: int
    audio_inner: int
    audio_heads: int
    layers: int


SIZES = {
    "7b": Sizes(156032, 4096, 11008, 32, 1280, 5120, 20, 32),
    "tiny": Sizes(2048, 64, 128, 4, 32, 64, 2, 2),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", choices=SIZES, default="7b")
    parser.add_argument("--layers", type=int, help="of each tower, instead of the size's")
    parser.add_argument("--tokenizer", type=Path, default=ROOT / "checkpoints/mini-lalm")
    parser.add_argument("--zeros", action="store_true", help="weights of 0, without torch")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    return parser.parse_args()


def shapes(sizes: Sizes):
    """Name and shape of every tensor, as on the Hub."""
    width, hidden = sizes.audio_width, sizes.hidden

    def linear(name, out, inner, bias=True):
        yield f"{name}.weight", (out, inner)
        if bias:
            yield f"{name}.bias", (out,)

    def layer_norm(name):
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)

    tower = "audio_tower"
    for conv, inner in (("conv1", 128), ("conv2", width)):
        yield f"{tower}.{conv}.weight", (width, inner, 3)
        yield f"{tower}.{conv}.bias", (width,)
    yield f"{tower}.embed_positions.weight", (1500, width)
    yield from layer_norm(f"{tower}.layer_norm")
    for index in range(sizes.layers):
        layer = f"{tower}.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{layer}.self_attn.{projection}", width, width, projection != "k_proj")
        yield from linear(f"{layer}.fc1", sizes.audio_inner, width)
        yield from linear(f"{layer}.fc2", width, sizes.audio_inner)
        yield from layer_norm(f"{layer}.self_attn_layer_norm")
        yield from layer_norm(f"{layer}.final_layer_norm")
    yield from linear("multi_modal_projector.linear", hidden, width)
    model = "language_model.model"
    yield f"{model}.embed_tokens.weight", (sizes.vocab, hidden)
    yield f"{model}.norm.weight", (hidden,)
    yield from linear("language_model.lm_head", sizes.vocab, hidden, bias=False)
    for index in range(sizes.layers):
        layer = f"{model}.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{layer}.self_attn.{projection}", hidden, hidden, projection != "o_proj")
        yield from linear(f"{layer}.mlp.gate_proj", sizes.inner, hidden, bias=False)
        yield from linear(f"{layer}.mlp.up_proj", sizes.inner, hidden, bias=False)
        yield from linear(f"{layer}.mlp.down_proj", hidden, sizes.inner, bias=False)
        yield f"{layer}.input_layernorm.weight", (hidden,)
        yield f"{layer}.post_attention_layernorm.weight", (hidden,)


def draw(name: str, shape, device):
    if name.endswith(".bias"):
        return torch.zeros(shape, dtype=torch.bfloat16)
    if len(shape) == 1:
        return torch.ones(shape, dtype=torch.bfloat16)
    std = 1.0 / math.sqrt(math.prod(shape[1:]))
    # Writers to the residual stream are smaller, or it would grow with every layer.
    if name.endswith(("o_proj.weight", "down_proj.weight", "out_proj.weight", "fc2.weight")):
        std /= 8
    return (torch.randn(shape, device=device, dtype=torch.bfloat16) * std).cpu()


def write_zeros(out: Path, sizes: Sizes):
    """One file with a header and a hole where the weights would be."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes(sizes):
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_weights(out: Path, sizes: Sizes):
    if torch is None:
        raise SystemExit("needs torch and safetensors; --zeros does not")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    shards, shard, size = [], {}, 0
    for name, shape in shapes(sizes):
        if size > SHARD_BYTES:
            shards.append(save(out, len(shards), shard))
            shard, size = {}, 0
        shard[name] = draw(name, shape, device)
        size += shard[name].numel() * 2
    shards.append(save(out, len(shards), shard))
    weight_map = {name: file for file, names in shards for name in names}
    index = {"metadata": {}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def save(out: Path, index: int, tensors):
    file = f"model-{index + 1:05}.safetensors"
    save_file(tensors, out / file, metadata={"format": "pt"})
    return file, list(tensors)


def write_config(out: Path, tokenizer: Path, sizes: Sizes):
    small = json.loads((tokenizer / "config.json").read_text())
    text = small["text_config"]
    if text["vocab_size"] > sizes.vocab:
        raise SystemExit(f"{tokenizer} has {text['vocab_size']} tokens, more than the {sizes.vocab} of the model")
    config = {
        "architectures": ["Qwen2AudioForConditionalGeneration"],
        "model_type": "qwen2_audio",
        "audio_token_index": small.get("audio_token_index", small.get("audio_token_id")),
        "vocab_size": sizes.vocab,
        "audio_config": {
            "model_type": "qwen2_audio_encoder", "num_mel_bins": 128, "encoder_layers": sizes.layers,
            "encoder_attention_heads": sizes.audio_heads, "encoder_ffn_dim": sizes.audio_inner, "d_model": sizes.audio_width,
            "activation_function": "gelu", "scale_embedding": False, "max_source_positions": 1500,
        },
        "text_config": {
            "model_type": "qwen2", "bos_token_id": text["bos_token_id"], "eos_token_id": text["eos_token_id"],
            "pad_token_id": text["pad_token_id"], "hidden_size": sizes.hidden, "intermediate_size": sizes.inner,
            "num_hidden_layers": sizes.layers, "num_attention_heads": sizes.heads, "num_key_value_heads": sizes.heads,
            "max_position_embeddings": 8192, "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "torch_dtype": "bfloat16",
            "use_mrope": False, "use_sliding_window": False, "tie_word_embeddings": False, "vocab_size": sizes.vocab,
        },
    }
    (out / "config.json").write_text(json.dumps(config, indent=1))
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(tokenizer / name, out / name)
    extractor = json.loads((tokenizer / "preprocessor_config.json").read_text())
    extractor.update(feature_size=128, chunk_length=30, n_samples=480000, nb_max_frames=3000)
    (out / "preprocessor_config.json").write_text(json.dumps(extractor, indent=1))


def write_questions(out: Path, count: int, seconds: float):
    folder = out / "questions"
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    generator = random.Random(1)
    questions = []
    for index in range(count):
        samples = [int(generator.gauss(0, 3000)) for _ in range(int(16000 * seconds))]
        with wave.open(str(folder / f"audio/{index}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
        questions.append({
            "id": f"q{index}", "audio_id": f"audio/{index}.wav", "question": f"Which of these is heard in clip {index}?",
            "choices": ["dog", "cat", "rain", "train"], "answer": "dog", "task": "sound", "category": "", "dataset": "noise",
            "sub-category": f"group {index % 4}", "difficulty": "easy", "split": "test",
        })
    (folder / "train.json").write_text(json.dumps(questions, indent=1))
    (folder / "test.json").write_text(json.dumps([dict(questions[0], id="t0")], indent=1))


def main():
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = SIZES[options.size]
    if options.layers:
        sizes = replace(sizes, layers=options.layers)
    write_config(options.out, options.tokenizer, sizes)
    write_questions(options.out, options.clips, options.seconds)
    (write_zeros if options.zeros else write_weights)(options.out, sizes)


if __name__ == "__main__":
    main()
