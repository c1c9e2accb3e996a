"""A checkpoint with the shapes of a published model and random weights, and clips and questions to run it on.

    python scripts/make_random_checkpoint.py --out /tmp/random-7b
    python scripts/make_random_checkpoint.py --out /tmp/voxtral --family voxtral --size 3b --zeros

Speed and memory depend on shapes and not on values, so this stands in for the weights of the real one where nothing can be
downloaded. Needs torch and safetensors; weights are drawn on the GPU if there is one. `--zeros` needs neither: it writes files
of holes that take no space on the disk, for runs that only look at shapes. Tokenizer and settings are those of a small model of
the family in this repository: texts become other tokens than with the real one. `--layers 2` makes one of few layers,
`--size tiny` a Qwen2-Audio of a few MB, on which scripts/gpu-check.sh is rehearsed without a GPU.
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
    kv_heads: int
    layers: int
    audio_width: int = 1280
    audio_inner: int = 5120
    audio_heads: int = 20
    audio_layers: int = 32
    head_dim: int = 128
    positions: int = 8192


@dataclass(frozen=True)
class Family:
    """Where the tokenizer and the settings of a family come from, and how its tensors are called."""

    settings: str
    sizes: dict
    projector: int = 1
    projector_bias: bool = True
    biases: bool = True
    stacked: int = 1
    chunk_length: int = 30


FAMILIES = {
    "qwen2-audio": Family("checkpoints/mini-lalm", {
        "7b": Sizes(156032, 4096, 11008, 32, 32, 32),
        "tiny": Sizes(2048, 64, 128, 4, 4, 2, 32, 64, 2, 2, head_dim=16),
    }),
    "qwen2_5-omni": Family("tests/fixtures/qwen2_5-omni-tiny", {
        "7b": Sizes(152064, 3584, 18944, 28, 4, 28, positions=32768),
        "3b": Sizes(151936, 2048, 11008, 16, 2, 36, positions=32768),
    }, chunk_length=300),
    "audio-flamingo-3": Family("tests/fixtures/audioflamingo3-tiny", {
        "8b": Sizes(151672, 3584, 18944, 28, 4, 28, positions=32768),
    }, projector=2),
    "music-flamingo": Family("tests/fixtures/musicflamingo-tiny", {
        "8b": Sizes(151672, 3584, 18944, 28, 4, 28, positions=131072),
    }, projector=2),
    "voxtral": Family("tests/fixtures/voxtral-tiny", {
        "3b": Sizes(131072, 3072, 8192, 32, 8, 30, positions=131072),
        "24b": Sizes(131072, 5120, 32768, 32, 8, 40, positions=131072),
    }, projector=2, projector_bias=False, biases=False, stacked=4),
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--family", choices=FAMILIES, default="qwen2-audio")
    parser.add_argument("--size", help="the first of the family by default: " + ", ".join(
        f"{name} {'|'.join(family.sizes)}" for name, family in FAMILIES.items()))
    parser.add_argument("--layers", type=int, help="of each tower, instead of the size's")
    parser.add_argument("--tokenizer", type=Path, help="folder of the tokenizer and the settings, instead of the family's")
    parser.add_argument("--zeros", action="store_true", help="weights of 0, without torch")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0)
    return parser.parse_args()


def shapes(family: str, sizes: Sizes):
    """Name and shape of every tensor, as on the Hub, but for parts that the program passes over."""
    kind, omni = FAMILIES[family], family == "qwen2_5-omni"
    width, hidden = sizes.audio_width, sizes.hidden

    def linear(name, out, inner, bias=True):
        yield f"{name}.weight", (out, inner)
        if bias:
            yield f"{name}.bias", (out,)

    def layer_norm(name):
        yield f"{name}.weight", (width,)
        yield f"{name}.bias", (width,)

    tower = "thinker.audio_tower" if omni else "audio_tower"
    for conv, inner in (("conv1", 128), ("conv2", width)):
        yield f"{tower}.{conv}.weight", (width, inner, 3)
        yield f"{tower}.{conv}.bias", (width,)
    if omni:
        yield from layer_norm(f"{tower}.ln_post")
    else:
        yield f"{tower}.embed_positions.weight", (1500, width)
        yield from layer_norm(f"{tower}.layer_norm")
    for index in range(sizes.audio_layers):
        layer = f"{tower}.layers.{index}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield from linear(f"{layer}.self_attn.{projection}", width, width, projection != "k_proj")
        yield from linear(f"{layer}.fc1", sizes.audio_inner, width)
        yield from linear(f"{layer}.fc2", width, sizes.audio_inner)
        yield from layer_norm(f"{layer}.self_attn_layer_norm")
        yield from layer_norm(f"{layer}.final_layer_norm")
    if omni:
        yield from linear(f"{tower}.proj", hidden, width)
    elif kind.projector == 1:
        yield from linear("multi_modal_projector.linear", hidden, width)
    else:
        yield from linear("multi_modal_projector.linear_1", hidden, kind.stacked * width, kind.projector_bias)
        yield from linear("multi_modal_projector.linear_2", hidden, hidden, kind.projector_bias)
    model, head = ("thinker.model", "thinker.lm_head") if omni else ("language_model.model", "language_model.lm_head")
    yield f"{model}.embed_tokens.weight", (sizes.vocab, hidden)
    yield f"{model}.norm.weight", (hidden,)
    yield from linear(head, sizes.vocab, hidden, bias=False)
    queries, keys = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim
    for index in range(sizes.layers):
        layer = f"{model}.layers.{index}"
        for projection, rows in (("q_proj", queries), ("k_proj", keys), ("v_proj", keys)):
            yield from linear(f"{layer}.self_attn.{projection}", rows, hidden, kind.biases)
        yield from linear(f"{layer}.self_attn.o_proj", hidden, queries, bias=False)
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


def write_zeros(out: Path, tensors):
    """One file with a header and a hole where the weights would be."""
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in tensors:
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(out / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)


def write_weights(out: Path, tensors):
    if torch is None:
        raise SystemExit("needs torch and safetensors; --zeros does not")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    shards, shard, size = [], {}, 0
    for name, shape in tensors:
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


def write_config(out: Path, settings: Path, family: str, sizes: Sizes):
    """The settings of the small model in `settings` with these sizes."""
    config = json.loads((settings / "config.json").read_text())
    root = config.get("thinker_config", config)
    text, audio = root["text_config"], root["audio_config"]
    if text["vocab_size"] > sizes.vocab:
        raise SystemExit(f"{settings} has {text['vocab_size']} tokens, more than the {sizes.vocab} of the model")
    text.update(
        vocab_size=sizes.vocab, hidden_size=sizes.hidden, intermediate_size=sizes.inner, num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads, num_key_value_heads=sizes.kv_heads, head_dim=sizes.head_dim,
        max_position_embeddings=sizes.positions, rms_norm_eps=1e-5, layer_types=None,
    )
    # Families spell the sizes of the encoder in two ways.
    newer = "hidden_size" in audio
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads") if newer else (
        "d_model", "encoder_ffn_dim", "encoder_layers", "encoder_attention_heads")
    values = (sizes.audio_width, sizes.audio_inner, sizes.audio_layers, sizes.audio_heads)
    audio.update(zip(names, values), num_mel_bins=128, max_source_positions=1500)
    if family == "qwen2_5-omni":
        audio.update(n_window=100, output_dim=sizes.hidden)
    if family == "music-flamingo":
        root["rope_parameters"] = {"rope_type": "default", "rope_theta": 1200.0, "partial_rotary_factor": 0.2}
    for section in (root, config):
        if "vocab_size" in section:
            section["vocab_size"] = sizes.vocab
    config["torch_dtype"] = "bfloat16"
    (out / "config.json").write_text(json.dumps(config, indent=1))
    names = ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja", "tekken.json")
    for name in names:
        if (settings / name).exists():
            shutil.copy(settings / name, out / name)
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (settings / name).exists():
            whole = json.loads((settings / name).read_text())
            seconds = FAMILIES[family].chunk_length
            whole.get("feature_extractor", whole).update(
                feature_size=128, chunk_length=seconds, n_samples=16000 * seconds, nb_max_frames=100 * seconds)
            (out / name).write_text(json.dumps(whole, indent=1))


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
    family = FAMILIES[options.family]
    size = options.size or next(iter(family.sizes))
    if size not in family.sizes:
        raise SystemExit(f"{options.family} has the sizes {', '.join(family.sizes)}")
    sizes = family.sizes[size]
    if options.layers:
        sizes = replace(sizes, layers=options.layers, audio_layers=options.layers)
    write_config(options.out, options.tokenizer or ROOT / family.settings, options.family, sizes)
    write_questions(options.out, options.clips, options.seconds)
    (write_zeros if options.zeros else write_weights)(options.out, shapes(options.family, sizes))


if __name__ == "__main__":
    main()
