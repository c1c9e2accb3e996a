//! Qwen2-Audio: Whisper's encoder with pooling by two, one linear layer as projector, a Qwen2 decoder.
//!
//! Chu et al. 2024, <https://arxiv.org/abs/2407.10759>; reference code `models/qwen2_audio` of transformers.

use serde_json::{Value, json};

use crate::arch::Architecture;
use crate::arch::audio::{AudioRule, Pooling, Windows};
use crate::arch::config::{LalmConfig, ProjectorConfig};
use crate::arch::decoder::{QWEN2, SpecialIds, read_text};
use crate::arch::encoder::read_audio;
use crate::arch::names::{LinearNames, Names, TRANSFORMERS5};
use crate::arch::section::Section;
use crate::arch::template::Template;
use crate::error::ModelError;

const CLASS: &str = "Qwen2AudioForConditionalGeneration";

/// The record.
pub(crate) static ARCHITECTURE: Architecture = Architecture {
    model_types: &["qwen2_audio"],
    name: "Qwen2-Audio",
    transformers_class: CLASS,
    config: read,
    to_json: Some(write),
    names: Names {
        spellings: &[TRANSFORMERS5],
        portable_adapters: true,
        passed_over: &[],
        linears: LinearNames {
            decoder: ("language_model", "(q|k|v|o|gate|up|down)_proj"),
            encoder: ("audio_tower", "(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"),
            projector: r"multi_modal_projector\.linear",
        },
    },
    template: Template {
        audio: "<|AUDIO|>",
        end_of_turn: "<|im_end|>",
        pad: "<|endoftext|>",
        // The published folder has none in a file; this renders as the processor's own class does.
        around_audio: None,
        built_in: Some(concat!(
            "{% set audio = namespace(number=0) %}",
            "{% if messages and messages[0].role != 'system' %}",
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}",
            "{% for message in messages %}<|im_start|>{{ message.role }}\n",
            "{% if message.content is string %}{{ message.content }}",
            "{% else %}{% for part in message.content %}",
            "{% if part.type == 'audio' %}{% set audio.number = audio.number + 1 %}",
            "Audio {{ audio.number }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n",
            "{% else %}{{ part.text }}{% endif %}",
            "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}",
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        )),
    },
    other_files: &[],
};

/// How a clip becomes tokens.
pub(crate) const RULE: AudioRule = AudioRule { pool: 2, pooling: Pooling::Mean, windows: Windows::One };

fn read(root: &Section) -> Result<LalmConfig, ModelError> {
    root.refuse_if_set("quantization_config")?;
    let text_section = root.section("text_config")?;
    let text = read_text(root, &text_section, &QWEN2)?;
    let audio = read_audio(&root.section("audio_config")?, &["qwen2_audio_encoder"], RULE)?;
    let ids = SpecialIds::read(root, &text_section, Some(151_646), text.vocab_size)?;
    Ok(LalmConfig {
        architecture: &ARCHITECTURE,
        projector: ProjectorConfig { layers: vec![[text.hidden_size, audio.d_model]], bias: true },
        audio,
        text,
        audio_token_id: ids.audio,
        eos_token_id: ids.eos,
        pad_token_id: ids.pad,
    })
}

fn write(config: &LalmConfig, dtype: &str) -> Value {
    let (audio, text) = (&config.audio, &config.text);
    json!({
        "architectures": [CLASS],
        "audio_config": {
            "activation_dropout": 0.0,
            "activation_function": "gelu",
            "attention_dropout": 0.0,
            "d_model": audio.d_model,
            "dropout": 0.0,
            "encoder_attention_heads": audio.encoder_attention_heads,
            "encoder_ffn_dim": audio.encoder_ffn_dim,
            "encoder_layerdrop": 0.0,
            "encoder_layers": audio.encoder_layers,
            "max_source_positions": audio.max_source_positions,
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": audio.num_mel_bins,
            "scale_embedding": false,
        },
        "audio_token_index": config.audio_token_id,
        "ignore_index": -100,
        "model_type": "qwen2_audio",
        "text_config": {
            "bos_token_id": config.pad_token_id,
            "eos_token_id": config.eos_token_id,
            "head_dim": text.head_dim,
            "hidden_act": "silu",
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "max_position_embeddings": text.max_position_embeddings,
            "model_type": "qwen2",
            "num_attention_heads": text.num_attention_heads,
            "num_hidden_layers": text.num_hidden_layers,
            "num_key_value_heads": text.num_key_value_heads,
            "pad_token_id": config.pad_token_id,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_theta,
            "tie_word_embeddings": text.tie_word_embeddings,
            "torch_dtype": dtype,
            "use_mrope": false,
            "use_sliding_window": false,
            "vocab_size": text.vocab_size,
        },
        "tie_word_embeddings": text.tie_word_embeddings,
        "torch_dtype": dtype,
        "vocab_size": text.vocab_size,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(value: &Value) -> Result<LalmConfig, ModelError> {
        LalmConfig::from_value(Path::new("config.json"), value)
    }

    #[test]
    fn the_hub_config_of_the_7b_reads_with_its_documented_sizes() {
        let config = read(&json!({
            "model_type": "qwen2_audio", "audio_token_index": 151_646, "vocab_size": 156_032,
            "audio_config": {"model_type": "qwen2_audio_encoder"},
            "text_config": {"model_type": "qwen2", "intermediate_size": 11008, "max_position_embeddings": 8192,
                "rms_norm_eps": 1e-5, "sliding_window": 32768, "use_mrope": false, "vocab_size": 156_032},
        }))
        .unwrap();
        assert_eq!(
            (config.text.hidden_size, config.text.head_dim, config.text.num_key_value_heads),
            (4096, 128, 32)
        );
        assert_eq!(
            (config.audio.d_model, config.audio.encoder_layers, config.audio.max_source_positions),
            (1280, 32, 1500)
        );
        assert_eq!((config.text.rope_theta, config.text.tie_word_embeddings), (10_000.0, false));
    }

    #[test]
    fn the_transformers_5_spelling_reads_the_same() {
        let old =
            read(&json!({"audio_token_index": 7, "text_config": {"rope_theta": 5e5, "vocab_size": 400}}))
                .unwrap();
        let new = read(&json!({"audio_token_id": 7, "text_config": {"dtype": "bfloat16", "vocab_size": 400,
            "layer_types": ["full_attention"], "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}}))
        .unwrap();
        assert_eq!(old, new);
        assert_eq!(new.text.rope_theta, 5e5);
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let config = read(&json!({"audio_token_index": 9, "text_config": {"vocab_size": 400, "hidden_size": 48,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "eos_token_id": 3, "pad_token_id": 2,
            "tie_word_embeddings": true}}))
        .unwrap();
        assert_eq!(read(&config.to_json("float32").unwrap()).unwrap(), config);
    }

    #[test]
    fn unsupported_or_malformed_keys_are_refused_by_name() {
        let cases = [
            (json!({"text_config": {"use_sliding_window": true}}), "text_config.use_sliding_window"),
            (json!({"text_config": {"rope_scaling": {"type": "yarn"}}}), "text_config.rope_scaling"),
            (
                json!({"text_config": {"rope_parameters": {"rope_type": "yarn"}}}),
                "text_config.rope_parameters.rope_type",
            ),
            (json!({"text_config": {"hidden_act": "gelu"}}), "text_config.hidden_act"),
            (json!({"text_config": {"num_attention_heads": 5}}), "num_key_value_heads"),
            (json!({"text_config": {"hidden_size": -1}}), "text_config.hidden_size"),
            (json!({"text_config": {"layer_types": ["sliding_attention"]}}), "text_config.layer_types"),
            (json!({"audio_config": {"activation_function": "relu"}}), "audio_config.activation_function"),
            (json!({"audio_config": {"scale_embedding": true}}), "audio_config.scale_embedding"),
            (json!({"model_type": "llama"}), "model_type"),
            (json!({"quantization_config": {}}), "quantization_config"),
            (json!({"audio_token_index": 999_999_999}), "audio_token_index"),
            (
                json!({"text_config": {"max_position_embeddings": 2_000_000_000}}),
                "text_config.max_position_embeddings",
            ),
        ];
        for (value, key) in cases {
            let error = read(&value).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(&format!("{key}`")), "{value}: {error}");
        }
    }
}
