//! Qwen2.5-Omni's thinker, for audio and text: Whisper's layers over windows of 2 s, one linear layer as projector, a Qwen2
//! decoder. The parts that see and speak are passed over.
//!
//! Xu et al. 2025, <https://arxiv.org/abs/2503.20215>; reference code `models/qwen2_5_omni` of transformers. For audio and
//! text the three rows of its positions (mRoPE) are equal, so they are ordinary rotary positions.

use crate::arch::Architecture;
use crate::arch::audio::{AudioRule, Pooling, Windows};
use crate::arch::config::{LalmConfig, ProjectorConfig};
use crate::arch::decoder::{DecoderKind, SpecialIds, read_text};
use crate::arch::encoder::read_audio;
use crate::arch::names::{LinearNames, Names};
use crate::arch::section::Section;
use crate::arch::template::Template;
use crate::error::ModelError;

/// The record.
pub(crate) static ARCHITECTURE: Architecture = Architecture {
    model_types: &["qwen2_5_omni", "qwen2_5_omni_thinker"],
    name: "Qwen2.5-Omni",
    transformers_class: "Qwen2_5OmniThinkerForConditionalGeneration",
    config: read,
    to_json: None,
    names: Names {
        spellings: &[
            // transformers 5, in memory.
            &[
                ("multi_modal_projector.linear", "model.audio_tower.proj"),
                ("audio_tower.layer_norm", "model.audio_tower.ln_post"),
                ("audio_tower", "model.audio_tower"),
                ("language_model.model", "model.language_model"),
                ("language_model.lm_head", "lm_head"),
            ],
            // The whole model as published.
            &[
                ("multi_modal_projector.linear", "thinker.audio_tower.proj"),
                ("audio_tower.layer_norm", "thinker.audio_tower.ln_post"),
                ("audio_tower", "thinker.audio_tower"),
                ("language_model.model", "thinker.model"),
                ("language_model.lm_head", "thinker.lm_head"),
            ],
            // A thinker alone in transformers 4. Its `model` is also the beginning of the first spelling.
            &[
                ("multi_modal_projector.linear", "audio_tower.proj"),
                ("audio_tower.layer_norm", "audio_tower.ln_post"),
                ("language_model.model", "model"),
                ("language_model.lm_head", "lm_head"),
            ],
        ],
        portable_adapters: false,
        passed_over: &[
            "talker.",
            "token2wav.",
            "thinker.visual.",
            "visual.",
            "model.visual.",
            // Stored and never read.
            "thinker.audio_tower.audio_bos_eos_token.",
            "audio_tower.audio_bos_eos_token.",
            "model.audio_tower.audio_bos_eos_token.",
        ],
        linears: LinearNames {
            decoder: ("language_model", "(q|k|v|o|gate|up|down)_proj"),
            encoder: ("audio_tower", "(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"),
            projector: r"audio_tower\.proj",
        },
    },
    template: Template {
        audio: "<|AUDIO|>",
        end_of_turn: "<|im_end|>",
        pad: "<|endoftext|>",
        around_audio: None,
        built_in: Some(concat!(
            "{% if messages and messages[0].role != 'system' %}",
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}",
            "{% for message in messages %}<|im_start|>{{ message.role }}\n",
            "{% if message.content is string %}{{ message.content }}",
            "{% else %}{% for part in message.content %}",
            "{% if part.type == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>",
            "{% else %}{{ part.text }}{% endif %}",
            "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}",
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        )),
    },
    // The voices of the part that speaks.
    other_files: &["spk_dict.pt"],
};

/// The defaults of `Qwen2_5OmniTextConfig`.
const DECODER: DecoderKind = DecoderKind {
    model_type: "qwen2_5_omni_text",
    qkv_bias: true,
    rope_types: &["default", "mrope"],
    vocab_size: 152_064,
    hidden_size: 3584,
    intermediate_size: 18_944,
    num_hidden_layers: 28,
    num_attention_heads: 28,
    num_key_value_heads: 4,
    head_dim: None,
    max_position_embeddings: 32_768,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
};

fn read(root: &Section) -> Result<LalmConfig, ModelError> {
    root.refuse_if_set("quantization_config")?;
    // A thinker that is saved alone has at the root what the whole model has in a section.
    let nested = "thinker_config";
    let section = if root.is_absent(nested) { None } else { Some(root.section(nested)?) };
    let thinker = section.as_ref().unwrap_or(root);
    thinker.refuse_if_set("quantization_config")?;
    let text_section = thinker.section("text_config")?;
    let mut text = read_text(thinker, &text_section, &DECODER)?;
    // The section of the language model has a default of transformers, which the thinker overrules.
    text.tie_word_embeddings = thinker.flag("tie_word_embeddings")?.unwrap_or(false);
    let audio_section = thinker.section("audio_config")?;
    let n_window = audio_section.positive("n_window", 100)?;
    let windows = Windows::Bare { frames: 2 * n_window };
    let rule = AudioRule { pool: 2, pooling: Pooling::Mean, windows };
    let mut audio = read_audio(&audio_section, &["qwen2_5_omni_audio_encoder"], rule)?;
    audio.stored_positions = false;
    if !n_window.is_multiple_of(rule.pool) || n_window > audio.max_source_positions {
        let most = audio.max_source_positions;
        return Err(audio_section.error("n_window", format!("{n_window} is not an even number up to {most}")));
    }
    let width = audio_section.positive("output_dim", 3584)?;
    if width != text.hidden_size {
        let what = format!("{width} is not the hidden_size of the language model, {}", text.hidden_size);
        return Err(audio_section.error("output_dim", what));
    }
    let ids = SpecialIds::read(thinker, &text_section, Some(151_646), text.vocab_size)?;
    Ok(LalmConfig {
        architecture: &ARCHITECTURE,
        projector: ProjectorConfig { layers: vec![[width, audio.d_model]], bias: true },
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

    /// The thinker's part of the published 7B.
    fn thinker() -> Value {
        json!({
            "model_type": "qwen2_5_omni_thinker", "audio_token_index": 151_646, "eos_token_id": 151_645,
            "pad_token_id": 151_643, "position_id_per_seconds": 25, "vision_config": {"depth": 32},
            "audio_config": {"model_type": "qwen2_5_omni_audio_encoder", "d_model": 1280, "encoder_layers": 32,
              "encoder_attention_heads": 20, "encoder_ffn_dim": 5120, "num_mel_bins": 128,
              "max_source_positions": 1500, "n_window": 100, "output_dim": 3584},
            "text_config": {"model_type": "qwen2_5_omni_text", "hidden_size": 3584, "intermediate_size": 18_944,
              "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064,
              "rope_theta": 1e6, "rms_norm_eps": 1e-6, "max_position_embeddings": 32_768, "use_sliding_window": false,
              "sliding_window": 32_768, "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default",
              "type": "default"}},
        })
    }

    fn read(value: &Value) -> Result<LalmConfig, String> {
        LalmConfig::from_value(Path::new("config.json"), value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_published_sizes_make_as_many_tensors_and_numbers_as_the_checkpoint() {
        let config = read(&thinker()).unwrap();
        // transformers counts 639,647,232 numbers in the audio tower, of which 2 x 3584 are never read, and
        // 7,615,616,512 in the language model; its 488 + 339 tensors are the projector's and the head's too.
        assert_eq!(config.num_parameters(), 639_647_232 - 2 * 3584 + 7_615_616_512);
        assert_eq!(config.specs().len(), 488 + 339);
        assert_eq!(
            (config.audio_token_id, config.eos_token_id, config.pad_token_id),
            (151_646, Some(151_645), Some(151_643))
        );
    }

    #[test]
    fn the_whole_model_and_its_thinker_alone_read_the_same() {
        let whole = json!({"model_type": "qwen2_5_omni", "thinker_config": thinker(), "talker_config": {},
            "token2wav_config": {}, "enable_audio_output": true});
        assert_eq!(read(&whole), read(&thinker()));
        let mut newer = thinker();
        let text = newer["text_config"].as_object_mut().unwrap();
        let mut rope = text.remove("rope_scaling").unwrap();
        rope["rope_theta"] = text.remove("rope_theta").unwrap();
        text.insert("rope_parameters".to_owned(), rope);
        text.insert("tie_word_embeddings".to_owned(), json!(true));
        assert_eq!(read(&newer), read(&thinker()), "as transformers 5 writes it");
    }

    #[test]
    fn windows_and_widths_that_cannot_be_are_rejected_by_name() {
        for (key, value, said) in [
            ("n_window", json!(99), "audio_config.n_window`"),
            ("n_window", json!(1502), "audio_config.n_window`"),
            ("output_dim", json!(2048), "audio_config.output_dim`"),
        ] {
            let mut changed = thinker();
            changed["audio_config"][key] = value;
            let error = read(&changed).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
        let mut scaled = thinker();
        scaled["text_config"]["rope_scaling"]["rope_type"] = json!("yarn");
        assert!(read(&scaled).unwrap_err().contains("text_config.rope_scaling.rope_type`"));
        let whole = json!({"model_type": "qwen2_5_omni", "thinker_config": scaled});
        assert!(read(&whole).unwrap_err().contains("thinker_config.text_config.rope_scaling.rope_type`"));
    }
}
