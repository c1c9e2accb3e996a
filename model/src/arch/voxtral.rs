//! Voxtral: Whisper's encoder over whole windows of 30 s, four positions side by side to a projector of two layers, a Llama
//! decoder.
//!
//! Liu et al. 2025, <https://arxiv.org/abs/2507.13264>; reference code `models/voxtral` of transformers, and mistral-common
//! for chats.

use crate::arch::Architecture;
use crate::arch::audio::{AudioRule, Pooling, Windows};
use crate::arch::config::{LalmConfig, ProjectorConfig};
use crate::arch::decoder::{DecoderKind, SpecialIds, read_text};
use crate::arch::encoder::read_audio;
use crate::arch::names::{LinearNames, Names, TRANSFORMERS5};
use crate::arch::section::Section;
use crate::arch::template::Template;
use crate::error::ModelError;

/// The record.
pub(crate) static ARCHITECTURE: Architecture = Architecture {
    model_types: &["voxtral"],
    name: "Voxtral",
    transformers_class: "VoxtralForConditionalGeneration",
    config: read,
    to_json: None,
    names: Names {
        spellings: &[TRANSFORMERS5],
        portable_adapters: false,
        passed_over: &[],
        linears: LinearNames {
            decoder: ("language_model", "(q|k|v|o|gate|up|down)_proj"),
            encoder: ("audio_tower", "(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"),
            projector: r"multi_modal_projector\.linear_(1|2)",
        },
    },
    template: Template {
        audio: "[AUDIO]",
        end_of_turn: "</s>",
        pad: "<pad>",
        around_audio: None,
        // Published folders have none: mistral-common renders chats, in this way.
        built_in: Some(concat!(
            "<s>{% for message in messages %}",
            "{% if message.role == 'system' %}[SYSTEM_PROMPT]{% elif message.role == 'user' %}[INST]",
            "{% elif message.role != 'assistant' %}",
            "{{ raise_exception('a message is of a system, a user or an assistant') }}{% endif %}",
            "{% if message.content is string %}{{ message.content }}",
            "{% else %}{% for part in message.content %}",
            "{% if part.type == 'audio' %}[BEGIN_AUDIO][AUDIO]{% else %}{{ part.text }}{% endif %}",
            "{% endfor %}{% endif %}",
            "{% if message.role == 'system' %}[/SYSTEM_PROMPT]{% elif message.role == 'user' %}[/INST]",
            "{% else %}</s>{% endif %}{% endfor %}",
        )),
    },
    other_files: &[],
};

/// The defaults of `VoxtralConfig`: the language model of the Mini.
const DECODER: DecoderKind = DecoderKind {
    model_type: "llama",
    qkv_bias: false,
    rope_types: &["default"],
    vocab_size: 131_072,
    hidden_size: 3072,
    intermediate_size: 8192,
    num_hidden_layers: 30,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: Some(128),
    max_position_embeddings: 131_072,
    rms_norm_eps: 1e-5,
    rope_theta: 1e8,
};

fn read(root: &Section) -> Result<LalmConfig, ModelError> {
    root.refuse_if_set("quantization_config")?;
    root.expect_word("projector_hidden_act", &["gelu"])?;
    let text_section = root.section("text_config")?;
    text_section.refuse_if_set("sliding_window")?;
    let text = read_text(root, &text_section, &DECODER)?;
    let audio_section = root.section("audio_config")?;
    let rule = AudioRule { pool: 1, pooling: Pooling::Stack, windows: Windows::Filled };
    let mut audio = read_audio(&audio_section, &["voxtral_encoder"], rule)?;
    // The projector reads as many numbers as the encoder's feed-forward layers are wide, by definition of the family.
    let width = audio.encoder_ffn_dim;
    audio.rule.pool = width / audio.d_model;
    if !width.is_multiple_of(audio.d_model) || !audio.max_source_positions.is_multiple_of(audio.rule.pool) {
        let what = format!(
            "{width} numbers are no whole positions of {} numbers that {} positions can be grouped in",
            audio.d_model, audio.max_source_positions
        );
        return Err(audio_section.error("intermediate_size", what));
    }
    let ids = SpecialIds::read(root, &text_section, None, text.vocab_size)?;
    let layers = vec![[text.hidden_size, width], [text.hidden_size, text.hidden_size]];
    Ok(LalmConfig {
        architecture: &ARCHITECTURE,
        projector: ProjectorConfig { layers, bias: false },
        audio,
        text,
        audio_token_id: ids.audio,
        eos_token_id: ids.eos,
        pad_token_id: ids.pad,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// As published: the Mini, which leaves nothing out, and which is what is left out.
    fn published() -> Value {
        json!({
            "model_type": "voxtral", "audio_token_id": 24, "projector_hidden_act": "gelu", "hidden_size": 3072,
            "vocab_size": 131_072,
            "audio_config": {"model_type": "voxtral_encoder", "hidden_size": 1280, "intermediate_size": 5120,
              "num_hidden_layers": 32, "num_attention_heads": 20, "num_key_value_heads": 20, "head_dim": 64,
              "num_mel_bins": 128, "max_source_positions": 1500, "vocab_size": 51_866},
            "text_config": {"model_type": "llama", "hidden_size": 3072, "intermediate_size": 8192, "head_dim": 128,
              "num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 131_072,
              "rms_norm_eps": 1e-5, "rope_theta": 1e8, "max_position_embeddings": 131_072, "attention_bias": false,
              "mlp_bias": false, "rope_scaling": null, "sliding_window": null},
        })
    }

    fn read(value: &Value) -> Result<LalmConfig, String> {
        LalmConfig::from_value(Path::new("config.json"), value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_published_sizes_make_as_many_tensors_and_numbers_as_the_checkpoint() {
        let config = read(&published()).unwrap();
        // As transformers builds it from these sizes.
        assert_eq!((config.specs().len(), config.num_parameters()), (762, 4_676_271_104));
        assert_eq!((config.audio.rule.pool, config.text.head_dim, config.text.qkv_bias), (4, 128, false));
        assert_eq!(read(&json!({"model_type": "voxtral", "audio_token_id": 24})).unwrap(), config);
    }

    #[test]
    fn what_the_decoder_does_not_have_is_rejected_by_name() {
        for (section, key, value) in [
            ("text_config", "attention_bias", json!(true)),
            ("text_config", "mlp_bias", json!(true)),
            ("text_config", "sliding_window", json!(4096)),
            ("text_config", "rope_scaling", json!({"type": "yarn"})),
            ("audio_config", "intermediate_size", json!(5000)),
            ("audio_config", "max_source_positions", json!(1502)),
        ] {
            let mut changed = published();
            changed[section][key] = value;
            let key = if key == "max_source_positions" { "intermediate_size" } else { key };
            let error = read(&changed).unwrap_err();
            assert!(error.contains(&format!("{section}.{key}`")), "{error}");
        }
        let mut without = published();
        without.as_object_mut().unwrap().remove("audio_token_id");
        assert!(read(&without).unwrap_err().contains("`audio_token_id`: is missing"));
    }
}
