//! Audio Flamingo 3, and Music Flamingo with Audio Flamingo Next: Qwen2-Audio's encoder over windows of 30 s, a projector
//! of two layers, a Qwen2 decoder. The latter two rotate the encoder's output by time.
//!
//! Goel et al. 2025, <https://arxiv.org/abs/2507.08128>; reference code `models/audioflamingo3` and `models/musicflamingo`
//! of transformers.

use crate::arch::Architecture;
use crate::arch::audio::{AudioRule, Pooling, Windows};
use crate::arch::config::{LalmConfig, ProjectorConfig, RotaryTime};
use crate::arch::decoder::{QWEN2, SpecialIds, read_text};
use crate::arch::encoder::read_audio;
use crate::arch::names::{LinearNames, Names, TRANSFORMERS5};
use crate::arch::section::Section;
use crate::arch::template::Template;
use crate::error::ModelError;

const NAMES: Names = Names {
    spellings: &[TRANSFORMERS5],
    portable_adapters: false,
    passed_over: &[],
    linears: LinearNames {
        decoder: ("language_model", "(q|k|v|o|gate|up|down)_proj"),
        encoder: ("audio_tower", "(q_proj|k_proj|v_proj|out_proj|fc1|fc2)"),
        projector: r"multi_modal_projector\.linear_(1|2)",
    },
};

const TEMPLATE: Template = Template {
    audio: "<sound>",
    end_of_turn: "<|im_end|>",
    pad: "[PAD]",
    around_audio: None,
    // The default system prompt differs by checkpoint, and only the folder's template has it.
    built_in: None,
};

/// The record of Audio Flamingo 3.
pub(crate) static AUDIO_FLAMINGO_3: Architecture = Architecture {
    model_types: &["audioflamingo3"],
    name: "Audio Flamingo 3",
    transformers_class: "AudioFlamingo3ForConditionalGeneration",
    config: read_audio_flamingo_3,
    to_json: None,
    names: NAMES,
    template: TEMPLATE,
    other_files: &[],
};

/// The record of Music Flamingo and Audio Flamingo Next.
pub(crate) static MUSIC_FLAMINGO: Architecture = Architecture {
    model_types: &["musicflamingo"],
    name: "Music Flamingo, Audio Flamingo Next",
    transformers_class: "MusicFlamingoForConditionalGeneration",
    config: read_music_flamingo,
    to_json: None,
    names: NAMES,
    template: Template { around_audio: Some(["<|sound_bos|>", "<|sound_eos|>"]), ..TEMPLATE },
    other_files: &[],
};

fn read_audio_flamingo_3(root: &Section) -> Result<LalmConfig, ModelError> {
    read(root, &AUDIO_FLAMINGO_3, 600)
}

fn read_music_flamingo(root: &Section) -> Result<LalmConfig, ModelError> {
    let mut config = read(root, &MUSIC_FLAMINGO, 1200)?;
    config.audio.rotary_time = Some(read_rotary_time(root, &config)?);
    Ok(config)
}

/// `max_audio_s`: longest clip where the processor's settings do not say.
fn read(
    root: &Section,
    architecture: &'static Architecture,
    max_audio_s: usize,
) -> Result<LalmConfig, ModelError> {
    root.refuse_if_set("quantization_config")?;
    root.expect_word("projector_hidden_act", &["gelu"])?;
    let text_section = root.section("text_config")?;
    let text = read_text(root, &text_section, &QWEN2)?;
    let rule = AudioRule { pool: 2, pooling: Pooling::Mean, windows: Windows::Each { max_audio_s } };
    let encoders = ["audioflamingo3_encoder", "musicflamingo_encoder"];
    let audio = read_audio(&root.section("audio_config")?, &encoders, rule)?;
    let ids = SpecialIds::read(root, &text_section, None, text.vocab_size)?;
    let projector = vec![[text.hidden_size, audio.d_model], [text.hidden_size, text.hidden_size]];
    let bias = root.flag("projector_bias")?.unwrap_or(true);
    Ok(LalmConfig {
        architecture,
        audio,
        projector: ProjectorConfig { layers: projector, bias },
        text,
        audio_token_id: ids.audio,
        eos_token_id: ids.eos,
        pad_token_id: ids.pad,
    })
}

/// `rope_parameters` of the root: those of the encoder's output, not of the language model.
fn read_rotary_time(root: &Section, config: &LalmConfig) -> Result<RotaryTime, ModelError> {
    let parameters = root.section("rope_parameters")?;
    parameters.expect_word("rope_type", &["default"])?;
    let theta = parameters.number("rope_theta", 1200.0)?;
    let factor = parameters.number("partial_rotary_factor", 0.2)?;
    let (audio, rule) = (&config.audio, config.audio.rule);
    let dim = (audio.d_model as f64 * factor) as usize;
    if dim == 0 || !dim.is_multiple_of(2) || 2 * dim > audio.d_model {
        let what = format!("{factor} of {} numbers are {dim}: not an even number up to half", audio.d_model);
        return Err(parameters.error("partial_rotary_factor", what));
    }
    let rows = audio.max_source_positions / rule.pool;
    if theta < rows as f64 {
        return Err(
            parameters.error("rope_theta", format!("{theta} is less than the {rows} rows of a window"))
        );
    }
    // A row spans the stride of a convolution and the pooling.
    let step_s = root.number("audio_frame_step", 0.01)? * (2 * rule.pool) as f64;
    Ok(RotaryTime { theta, dim, step_s })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::{Value, json};

    use super::*;

    /// As published, with what transformers adds when it saves: Music Flamingo from January 2026.
    fn published() -> Value {
        json!({
            "model_type": "musicflamingo", "audio_token_id": 151_667, "dtype": "bfloat16",
            "projector_bias": true, "projector_hidden_act": "gelu",
            "audio_bos_token_id": 151_670, "audio_eos_token_id": 151_671, "audio_frame_step": 0.01,
            "head_dim": 1280, "max_position_embeddings": 1200,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1200, "partial_rotary_factor": 0.2},
            "audio_config": {"model_type": "audioflamingo3_encoder", "hidden_size": 1280, "num_hidden_layers": 32,
              "num_attention_heads": 20, "intermediate_size": 5120, "num_mel_bins": 128, "max_source_positions": 1500,
              "scale_embedding": false, "activation_function": "gelu", "layerdrop": 0.0},
            "text_config": {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18_944,
              "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 151_672,
              "rms_norm_eps": 1e-6, "max_position_embeddings": 131_072, "rope_theta": 15_300_000.0,
              "use_cache": false, "bos_token_id": 151_670, "eos_token_id": 151_645, "pad_token_id": 151_671},
        })
    }

    fn read(value: &Value) -> Result<LalmConfig, String> {
        LalmConfig::from_value(Path::new("config.json"), value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_published_sizes_make_as_many_tensors_and_numbers_as_the_checkpoint() {
        let config = read(&published()).unwrap();
        // transformers builds 830 tensors; the Hub counts 8,267,215,360 numbers in them.
        assert_eq!((config.specs().len(), config.num_parameters()), (830, 8_267_215_360));
        let rotary = config.audio.rotary_time.unwrap();
        assert_eq!((rotary.dim, rotary.theta, rotary.step_s), (256, 1200.0, 0.04));
        let mut first = published();
        first["model_type"] = json!("audioflamingo3");
        let first = read(&first).unwrap();
        assert_eq!((first.audio.rotary_time, first.num_parameters()), (None, config.num_parameters()));
    }

    #[test]
    fn older_spellings_of_the_encoder_read_the_same() {
        let mut older = published();
        older["audio_config"] = json!({"d_model": 1280, "encoder_layers": 32, "encoder_attention_heads": 20,
            "encoder_ffn_dim": 5120, "init_std": 0.02});
        assert_eq!(read(&older), read(&published()));
    }

    #[test]
    fn the_id_of_the_placeholder_is_never_guessed() {
        let mut without = published();
        without.as_object_mut().unwrap().remove("audio_token_id");
        let error = read(&without).unwrap_err();
        assert!(error.contains("`audio_token_id`: is missing"), "{error}");
    }

    #[test]
    fn rotations_that_fit_no_row_are_rejected() {
        for (key, value) in
            [("partial_rotary_factor", 0.6), ("partial_rotary_factor", 0.0001), ("rope_theta", 700.0)]
        {
            let mut changed = published();
            changed["rope_parameters"][key] = json!(value);
            let error = read(&changed).unwrap_err();
            assert!(error.contains(&format!("rope_parameters.{key}`")), "{error}");
        }
    }
}
